//! Characters to cells: what stands side by side.

use std::iter::Peekable;

use unicode_normalization::{
    UnicodeNormalization,
    char::{canonical_combining_class, compose, is_combining_mark},
};

use super::font;

/// Marks over one character. Real text has two or three; a stack of hundreds is not text.
const MAX_MARKS: usize = 8;

/// Stands for a cell that counts when lines are broken and is not there when they are drawn. A
/// noncharacter (Unicode Standard §23.7), which no text has a use for.
pub(super) const GHOST: char = '\u{ffff}';

/// What stands in one place of a line: a character, and the marks over and under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::document) struct Cell {
    pub(super) base: char,
    pub(super) marks: Vec<char>,
}

impl Cell {
    pub(in crate::document) fn new(base: char) -> Self {
        Self {
            base,
            marks: Vec::new(),
        }
    }

    /// The characters.
    #[cfg(test)]
    pub(in crate::document) fn text(&self) -> String {
        std::iter::once(&self.base).chain(&self.marks).collect()
    }

    pub(super) fn is_ghost(&self) -> bool {
        self.base == GHOST
    }

    pub(in crate::document) fn is_blank(&self) -> bool {
        self.base == ' ' && self.marks.is_empty()
    }
}

/// A step of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::document) enum Step {
    /// Something to draw.
    Cell(Cell),
    /// A space at which a line may end.
    Space,
    /// To the next tab stop.
    Tab,
    /// The end of a line. Carriage return and line feed are one.
    Line,
    /// The end of a page.
    Page,
    /// A line may end here; nothing is drawn.
    MayBreak,
    /// A line may end here, with a hyphen.
    SoftHyphen,
    /// What cannot be drawn right.
    Refused(char),
}

/// The steps of a text.
pub(in crate::document) struct Steps<I: Iterator<Item = char>> {
    characters: Peekable<I>,
    ghosts: bool,
}

impl<I: Iterator<Item = char>> Steps<I> {
    pub(in crate::document) fn new(characters: I) -> Self {
        Self {
            characters: characters.peekable(),
            ghosts: false,
        }
    }

    /// Takes [`GHOST`] for a cell; otherwise it is refused as what the font has not.
    pub(super) fn with_ghosts(mut self) -> Self {
        self.ghosts = true;
        self
    }

    /// A character with the marks that follow it, composed (Unicode normalisation form C) as far as
    /// the font goes.
    fn cluster(&mut self, base: char) -> Step {
        let mut parts = vec![base];
        while let Some(mark) = self.characters.next_if(|next| is_mark(*next)) {
            if is_ignored(mark) {
                continue;
            }
            if parts.len() > MAX_MARKS {
                return Step::Refused(mark);
            }
            parts.push(mark);
        }
        let composed: Vec<char> = parts.iter().copied().nfc().collect();
        cell(composed)
            .or_else(|missing| cell(partly_composed(&parts)).map_err(|_| missing))
            .map_or_else(Step::Refused, Step::Cell)
    }
}

impl<I: Iterator<Item = char>> Iterator for Steps<I> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            let character = self.characters.next()?;
            let marked = self.characters.peek().is_some_and(|next| is_mark(*next));
            return Some(match character {
                ' '..='~' if !marked => match character {
                    ' ' => Step::Space,
                    other => Step::Cell(Cell::new(other)),
                },
                '\n' => Step::Line,
                '\r' => {
                    self.characters.next_if_eq(&'\n');
                    Step::Line
                }
                // Next line, line separator, paragraph separator.
                '\u{85}' | '\u{2028}' | '\u{2029}' => Step::Line,
                '\u{c}' => Step::Page,
                '\t' => Step::Tab,
                '\u{ad}' => Step::SoftHyphen,
                '\u{200b}' => Step::MayBreak,
                // Spaces of other widths; a cell has one width.
                '\u{2000}'..='\u{2006}' | '\u{2008}'..='\u{200a}' | '\u{205f}' if !marked => {
                    Step::Space
                }
                // Spaces at which no line ends.
                '\u{a0}' | '\u{2007}' | '\u{202f}' => self.cluster(' '),
                GHOST if self.ghosts => Step::Cell(Cell::new(GHOST)),
                other if is_ignored(other) => continue,
                other => self.cluster(other),
            });
        }
    }
}

/// The decomposed characters, with each mark put into the base that the font has a character for:
/// its place there is better than over the letter.
fn partly_composed(parts: &[char]) -> Vec<char> {
    let mut decomposed = parts.iter().copied().nfd();
    let mut base = decomposed.next().unwrap_or(' ');
    let mut marks: Vec<char> = Vec::new();
    for mark in decomposed {
        let class = canonical_combining_class(mark);
        let blocked = marks
            .iter()
            .any(|before| canonical_combining_class(*before) == class);
        match compose(base, mark).filter(|both| !blocked && font::has(*both)) {
            Some(both) => base = both,
            None => marks.push(mark),
        }
    }
    marks.insert(0, base);
    marks
}

/// A base and its marks, or the first of them that the font has not.
fn cell(parts: Vec<char>) -> Result<Cell, char> {
    let mut parts = parts.into_iter();
    let Some(base) = parts.next() else {
        return Ok(Cell::new(' '));
    };
    // A mark with nothing before it stands over a space.
    let (base, first) = if is_combining_mark(base) {
        (' ', Some(base))
    } else {
        (base, None)
    };
    let marks: Vec<char> = first.into_iter().chain(parts).collect();
    if base != ' ' && !font::has(base) {
        return Err(base);
    }
    match marks
        .iter()
        .find(|mark| !is_combining_mark(**mark) || !font::has(**mark))
    {
        Some(missing) => Err(*missing),
        None => Ok(Cell { base, marks }),
    }
}

/// What belongs to the character before it.
fn is_mark(character: char) -> bool {
    !character.is_ascii() && (is_combining_mark(character) || is_variation(character))
}

/// Chooses between forms of a character, of which the font has one.
fn is_variation(character: char) -> bool {
    matches!(character, '\u{fe00}'..='\u{fe0f}')
}

/// Invisible, and without meaning for text that runs from left to right: joiners, marks of and
/// isolation for that direction, a byte order mark inside, invisible operators.
///
/// Marks for the other direction are not among them: they change the order of what is drawn.
fn is_ignored(character: char) -> bool {
    is_variation(character)
        || matches!(
            character,
            '\u{34f}'
                | '\u{200c}'..='\u{200e}'
                | '\u{202a}'
                | '\u{202c}'
                | '\u{202d}'
                | '\u{2060}'..='\u{2064}'
                | '\u{2066}'
                | '\u{2068}'
                | '\u{2069}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<Step> {
        Steps::new(text.chars()).collect()
    }

    fn letter(base: char, marks: &str) -> Step {
        Step::Cell(Cell {
            base,
            marks: marks.chars().collect(),
        })
    }

    #[test]
    fn letters_and_marks_become_one_cell() {
        for (text, expected) in [
            ("a", letter('a', "")),
            ("a\u{308}", letter('ä', "")),
            ("\u{212b}", letter('Å', "")),
            // Dot below and hook above: composed where Unicode has it, over each other elsewhere.
            ("q\u{323}\u{309}", letter('q', "\u{323}\u{309}")),
            ("q\u{309}\u{323}", letter('q', "\u{323}\u{309}")),
            ("\u{301}", letter(' ', "\u{301}")),
            (" \u{301}", letter(' ', "\u{301}")),
            ("\u{a0}", letter(' ', "")),
            ("\u{2714}\u{fe0f}", letter('✔', "")),
            ("a\u{34f}\u{301}", letter('á', "")),
        ] {
            assert_eq!(steps(text), [expected], "{text:?}");
        }
    }

    #[test]
    fn what_the_font_has_only_in_parts_is_put_together() {
        for (text, expected) in [
            ("k\u{324}", letter('k', "\u{324}")),
            ("Ấ", letter('Â', "\u{301}")),
            ("A\u{301}\u{302}", letter('Á', "\u{302}")),
            ("x\u{301}\u{308}", letter('x', "\u{301}\u{308}")),
        ] {
            assert_eq!(steps(text), [expected], "{text:?}");
        }
    }

    #[test]
    fn line_ends_are_one_step() {
        use Step::{Line, Page, Tab};
        assert_eq!(
            steps("\r\n\n\r\r\n\u{2028}\u{85}"),
            [Line, Line, Line, Line, Line, Line]
        );
        assert_eq!(steps("\u{c}\t"), [Page, Tab]);
    }

    #[test]
    fn invisible_characters_are_left_out_or_say_where_a_line_may_end() {
        assert_eq!(
            steps("\u{feff}\u{200d}\u{200e}\u{2068}\u{2069}\u{2060}\u{fe0e}"),
            []
        );
        assert_eq!(
            steps("\u{ad}\u{200b}\u{2003} "),
            [Step::SoftHyphen, Step::MayBreak, Step::Space, Step::Space]
        );
    }

    #[test]
    fn what_cannot_be_drawn_right_is_refused() {
        for (text, refused) in [
            ("漢", '漢'),
            ("a🙂", '🙂'),
            ("ש", 'ש'),
            ("ع", 'ع'),
            ("क्ष", 'क'),
            ("한", '한'),
            ("\u{202e}x", '\u{202e}'),
            ("\u{200f}", '\u{200f}'),
            ("\u{fffd}", '\u{fffd}'),
            ("\u{0}", '\u{0}'),
            ("\u{1b}[1m", '\u{1b}'),
            ("\u{7f}", '\u{7f}'),
            ("\u{9b}", '\u{9b}'),
            ("1\u{fe0f}\u{20e3}", '\u{20e3}'),
            ("\u{3000}", '\u{3000}'),
            ("\u{e000}", '\u{e000}'),
        ] {
            assert!(
                steps(text).contains(&Step::Refused(refused)),
                "{text:?} {:?}",
                steps(text)
            );
        }
        let stack: String = std::iter::once('a')
            .chain(std::iter::repeat_n('\u{301}', 1000))
            .collect();
        assert_eq!(steps(&stack).first(), Some(&Step::Refused('\u{301}')));
    }
}
