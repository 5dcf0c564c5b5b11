//! Steps to lines, lines to pages. Nothing here knows a resolution, so pages end at the same words
//! at each of them.

use faxbot_core::Result;

use super::cell::{Cell, Step};

/// Cells from one tab stop to the next.
const TAB: usize = 8;

/// What a line is called that ends by itself or because it is full.
type Line = Vec<Cell>;

/// Cuts steps into pages of `rows` lines of at most `columns` cells. A line ends at its last space
/// or wherever else it may; a word that is longer than a line is cut. Holds one page at a time.
///
/// A page on which nothing is drawn is left out: form feeds and blank lines make none.
pub(super) struct Pages<F> {
    columns: usize,
    rows: usize,
    line: Line,
    chance: Option<Chance>,
    /// The line is full and a space followed, which nobody sees.
    full: bool,
    page: Vec<Line>,
    on_page: F,
}

/// The last place where the line may end.
#[derive(Debug, Clone, Copy)]
struct Chance {
    at: usize,
    hyphen: bool,
}

impl<F: FnMut(&[Line]) -> Result<()>> Pages<F> {
    pub(super) fn new(columns: usize, rows: usize, on_page: F) -> Self {
        Self {
            columns,
            rows,
            line: Vec::new(),
            chance: None,
            full: false,
            page: Vec::new(),
            on_page,
        }
    }

    /// Takes the next step; what is refused has to be dealt with before.
    ///
    /// # Errors
    /// What `on_page` gives.
    pub(super) fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Cell(cell) => self.cell(cell),
            Step::Space => {
                self.space();
                Ok(())
            }
            Step::Tab => {
                self.space();
                while !self.full && !self.line.len().is_multiple_of(TAB) {
                    self.space();
                }
                Ok(())
            }
            Step::Line => self.end_line(),
            Step::Page => self.end_page(),
            Step::MayBreak => {
                self.may_break(false);
                Ok(())
            }
            Step::SoftHyphen => {
                if self.line.len() < self.columns {
                    self.may_break(true);
                }
                Ok(())
            }
            Step::Refused(_) => Ok(()),
        }
    }

    /// Ends the text.
    ///
    /// # Errors
    /// What `on_page` gives.
    pub(super) fn finish(mut self) -> Result<()> {
        self.end_page()
    }

    fn cell(&mut self, cell: Cell) -> Result<()> {
        if self.line.len() >= self.columns {
            let chance = self.chance.filter(|chance| {
                let before = self.line.iter().take(chance.at);
                !self.full && !before.clone().all(Cell::is_blank)
            });
            let rest = match chance {
                Some(chance) => {
                    let rest = self.line.split_off(chance.at);
                    if chance.hyphen {
                        self.line.push(Cell::new('-'));
                    }
                    rest
                }
                None => Vec::new(),
            };
            self.end_line()?;
            self.line = rest;
        }
        self.line.push(cell);
        Ok(())
    }

    fn space(&mut self) {
        if self.line.len() < self.columns {
            self.line.push(Cell::new(' '));
            self.may_break(false);
        } else {
            self.full = true;
        }
    }

    fn may_break(&mut self, hyphen: bool) {
        let at = self.line.len();
        self.chance = Some(Chance { at, hyphen });
    }

    fn end_line(&mut self) -> Result<()> {
        self.chance = None;
        self.full = false;
        let mut line = std::mem::take(&mut self.line);
        line.retain(|cell| !cell.is_ghost());
        while line.last().is_some_and(Cell::is_blank) {
            line.pop();
        }
        self.page.push(line);
        if self.page.len() >= self.rows {
            return self.give_page();
        }
        Ok(())
    }

    fn end_page(&mut self) -> Result<()> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        self.give_page()
    }

    fn give_page(&mut self) -> Result<()> {
        let drawn = self.page.iter().any(|line| !line.is_empty());
        let given = if drawn {
            (self.on_page)(&self.page)
        } else {
            Ok(())
        };
        self.page.clear();
        given
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cell::Steps, *};

    /// Pages of three lines of ten cells.
    fn pages(text: &str) -> Vec<Vec<String>> {
        let mut given = Vec::new();
        let mut pages = Pages::new(10, 3, |page: &[Line]| {
            let lines = page
                .iter()
                .map(|line| line.iter().map(Cell::text).collect());
            given.push(lines.collect());
            Ok(())
        });
        for step in Steps::new(text.chars()).with_ghosts() {
            pages.step(step).unwrap();
        }
        pages.finish().unwrap();
        given
    }

    #[test]
    fn lines_end_at_words() {
        for (text, expected) in [
            ("one two three", &["one two", "three"][..]),
            ("0123456789 abc", &["0123456789", "abc"]),
            ("0123456789    abc", &["0123456789", "abc"]),
            ("0123456789\nabc", &["0123456789", "abc"]),
            ("0123456789 \nabc", &["0123456789", "abc"]),
            ("0123456789abc", &["0123456789", "abc"]),
            ("ab 0123456789abc", &["ab", "0123456789", "abc"]),
            ("   0123456789", &["   0123456", "789"]),
            ("one        two", &["one", "two"]),
            ("  in dented text", &["  in", "dented", "text"]),
            ("a\n\nb", &["a", "", "b"]),
            ("a  b", &["a  b"]),
            ("trailing  ", &["trailing"]),
            // No-break spaces and word joiners hold words together.
            ("aa bbb\u{a0}ccccc", &["aa", "bbb ccccc"]),
            ("abc\u{2060}def ghij", &["abcdef", "ghij"]),
            ("aaaaaa\u{200b}bbbbbb", &["aaaaaa", "bbbbbb"]),
            ("aaaaaa\u{ad}bbbbbb", &["aaaaaa-", "bbbbbb"]),
            ("aaa\u{ad}bbb", &["aaabbb"]),
            ("aaaaaaaaaa\u{ad}bb", &["aaaaaaaaaa", "bb"]),
            ("aaaaaaaaa\u{ad}bb", &["aaaaaaaaa-", "bb"]),
            ("\u{ad}aaaaaaaaaabb", &["aaaaaaaaaa", "bb"]),
            ("\u{ad}\u{ad}a", &["a"]),
        ] {
            assert_eq!(pages(text).concat(), expected, "{text:?}");
        }
    }

    #[test]
    fn tabs_go_to_columns_of_eight() {
        for (text, expected) in [
            ("\tx", &["        x"][..]),
            ("ab\tx", &["ab      x"]),
            ("1234567\tx", &["1234567 x"]),
            ("12345678\tx", &["12345678", "x"]),
            ("a\t\t\tx", &["a", "x"]),
        ] {
            assert_eq!(pages(text).concat(), expected, "{text:?}");
        }
    }

    #[test]
    fn pages_end_when_they_are_full_and_at_form_feeds() {
        for (text, expected) in [
            ("a\nb\nc\n", &[&["a", "b", "c"][..]][..]),
            ("a\nb\nc\nd", &[&["a", "b", "c"], &["d"]]),
            ("a\u{c}b", &[&["a"], &["b"]]),
            ("a\n\u{c}b\n\u{c}", &[&["a"], &["b"]]),
            ("\u{c}a\u{c}\u{c}\n\u{c}b", &[&["a"], &["b"]]),
            ("a\nb\nc\u{c}d", &[&["a", "b", "c"], &["d"]]),
            ("a\n\n\n\n\n\n\n\nb", &[&["a", "", ""], &["", "", "b"]]),
            ("a\n\n\n\n\n\n", &[&["a", "", ""]]),
            ("\n\na", &[&["", "", "a"]]),
        ] {
            assert_eq!(pages(text), expected, "{text:?}");
        }
        for blank in ["", "\n\n\n\n\n", " \t \u{c}\u{c}", "\u{200b}\u{ad}\u{feff}"] {
            assert!(pages(blank).is_empty(), "{blank:?}");
        }
    }

    #[test]
    fn ghosts_count_in_a_line_and_do_not_show() {
        assert_eq!(pages("12\u{ffff} 456 89").concat(), ["12 456 89"]);
        assert_eq!(pages("12\u{ffff} 456 890").concat(), ["12 456", "890"]);
    }
}
