//! The bundled font, drawn to black and white pixels in cells of one width.

use std::{collections::HashMap, rc::Rc, sync::LazyLock};

use ab_glyph::{
    Font, FontRef, Glyph as Place, Outline, OutlineCurve, OutlinedGlyph, Point, PxScale,
    PxScaleFactor, point,
};
use faxbot_core::{Result, document::Resolution};

use super::super::output::internal;

/// DejaVu Sans Mono; what was left out of it is in the README beside it. Read where it lies: a
/// character costs nothing before it is drawn.
static FONT: LazyLock<Option<FontRef<'static>>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("font/DejaVuSansMono-subset.ttf")).ok()
});

/// Units of the font: of an em, of a cell; the heights of a small x, of capitals and figures, and
/// of letters such as b; the depth of p; and by how much round letters go beyond flat ones.
const EM: f32 = 2048.0;
const ADVANCE: f32 = 1233.0;
const X_HEIGHT: f32 = 1120.0;
const CAPITAL: f32 = 1493.0;
const ASCENDER: f32 = 1556.0;
const DESCENDER: f32 = -426.0;
const OVERSHOOT: f32 = 29.0;

/// Coverage above which a pixel is black. A little below half: strokes at 98 lines per inch are
/// one row thick and hardly ever fall on whole rows.
const COVERAGE: f32 = 0.42;

/// Whether the font has a character.
pub(in crate::document) fn has(character: char) -> bool {
    FONT.as_ref()
        .is_some_and(|font| font.glyph_id(character).0 != 0)
}

/// How large characters are.
#[derive(Debug, Clone, Copy)]
pub(in crate::document) struct Size {
    /// Columns of a cell.
    pub(in crate::document) cell: u16,
    /// Rows of a small x at 98 lines per inch; whole, so that it ends with a row.
    pub(in crate::document) x_height: u16,
    /// Whether a zero is drawn without the dot that tells it from an O. Small ones close up.
    pub(in crate::document) plain_zero: bool,
}

/// Rows at this resolution for each row at 98 lines per inch.
pub(in crate::document) fn rows_per_row(resolution: Resolution) -> u16 {
    match resolution {
        Resolution::Standard => 1,
        Resolution::Superfine => 4,
        _ => 2,
    }
}

/// The font in one size at one resolution. Characters are drawn once and kept.
pub(in crate::document) struct Face {
    font: &'static FontRef<'static>,
    factor: PxScaleFactor,
    cell: u16,
    plain_zero: bool,
    drawn: HashMap<char, Rc<Glyph>>,
}

/// A character as pixels.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::document) struct Glyph {
    /// Columns from the left edge of the cell.
    pub(super) left: i32,
    /// Rows from the base line, downwards; negative above it.
    pub(super) top: i32,
    /// Rows, packed.
    pub(super) rows: Vec<Vec<u8>>,
}

impl Glyph {
    /// The row below the last one.
    pub(super) fn bottom(&self) -> i32 {
        let rows = i32::try_from(self.rows.len()).unwrap_or(i32::MAX);
        self.top.saturating_add(rows)
    }

    fn is_black(row: &[u8]) -> bool {
        row.iter().any(|byte| *byte != 0)
    }
}

impl Face {
    pub(in crate::document) fn new(size: Size, resolution: Resolution) -> Result<Self> {
        let font = FONT
            .as_ref()
            .ok_or_else(|| internal("the bundled font cannot be read"))?;
        let rows = f32::from(size.x_height) * f32::from(rows_per_row(resolution));
        Ok(Self {
            font,
            factor: PxScaleFactor {
                horizontal: f32::from(size.cell) / ADVANCE,
                vertical: rows / X_HEIGHT,
            },
            cell: size.cell,
            plain_zero: size.plain_zero,
            drawn: HashMap::new(),
        })
    }

    /// Columns of a cell.
    pub(in crate::document) fn cell(&self) -> u16 {
        self.cell
    }

    /// Rows of an em.
    pub(super) fn em_rows(&self) -> i32 {
        whole(self.factor.vertical * EM)
    }

    /// The pixels of a character; none for a space, and for what the font has not.
    pub(super) fn glyph(&mut self, character: char) -> Rc<Glyph> {
        if let Some(drawn) = self.drawn.get(&character) {
            return drawn.clone();
        }
        let drawn = Rc::new(self.draw(character));
        self.drawn.insert(character, drawn.clone());
        drawn
    }

    fn draw(&self, character: char) -> Glyph {
        let id = self.font.glyph_id(character);
        let outline = if id.0 == 0 {
            None
        } else {
            self.font.outline(id)
        };
        let Some(mut outline) = outline else {
            return Glyph::default();
        };
        if self.plain_zero && character == '0' {
            outline.curves.retain(|curve| !is_in_zero(curve));
        }
        if !is_drawing(character) {
            align(&mut outline, 1.0 / self.factor.vertical);
        }
        let place = Place {
            id,
            scale: PxScale::from(1.0),
            position: point(0.0, 0.0),
        };
        let outline = OutlinedGlyph::new(place, outline, self.factor);
        let bounds = outline.px_bounds();
        let row_bytes = usize::try_from(whole(bounds.width())).map_or(0, |width| width.div_ceil(8));
        let height = usize::try_from(whole(bounds.height())).unwrap_or(0);
        let mut rows = vec![vec![0_u8; row_bytes]; height];
        outline.draw(|x, y, coverage| {
            let byte = rows
                .get_mut(y as usize)
                .and_then(|row| row.get_mut(x as usize / 8));
            if coverage > COVERAGE
                && let Some(byte) = byte
            {
                *byte |= 0x80 >> (x % 8);
            }
        });
        let mut top = whole(bounds.min.y);
        // The place of a mark follows from rows that show.
        while rows.last().is_some_and(|row| !Glyph::is_black(row)) {
            rows.pop();
        }
        let white = rows.iter().take_while(|row| !Glyph::is_black(row)).count();
        rows.drain(..white);
        top = top.saturating_add(i32::try_from(white).unwrap_or(0));
        Glyph {
            left: whole(bounds.min.x),
            top,
            rows,
        }
    }
}

/// Whether a curve belongs to the dot in a zero.
fn is_in_zero(curve: &OutlineCurve) -> bool {
    let inside =
        |point: &Point| (450.0..780.0).contains(&point.x) && (600.0..900.0).contains(&point.y);
    match curve {
        OutlineCurve::Line(a, b) => [a, b].into_iter().all(inside),
        OutlineCurve::Quad(a, b, c) => [a, b, c].into_iter().all(inside),
        OutlineCurve::Cubic(a, b, c, d) => [a, b, c, d].into_iter().all(inside),
    }
}

/// Lines and blocks that have to meet those of the next cell.
fn is_drawing(character: char) -> bool {
    matches!(character, '\u{2500}'..='\u{259f}')
}

/// Moves the heights that letters share onto rows, and flattens what round letters have beyond
/// them: at 98 lines per inch a row is an eighth of a small x, and a round top would otherwise have
/// a pixel of its own above it.
fn align(outline: &mut Outline, row: f32) {
    let whole_rows = |height: f32| (height / row).round() * row;
    let capital = whole_rows(CAPITAL);
    let ascender = whole_rows(ASCENDER).max(capital);
    let heights = [
        (DESCENDER, DESCENDER),
        (-OVERSHOOT, 0.0),
        (0.0, 0.0),
        (X_HEIGHT, X_HEIGHT),
        (X_HEIGHT + OVERSHOOT, X_HEIGHT),
        (CAPITAL, capital),
        (CAPITAL + OVERSHOOT, capital),
        (ASCENDER, ascender),
    ];
    let moved = |Point { x, y }| point(x, interpolate(&heights, y));
    for curve in &mut outline.curves {
        *curve = match curve.clone() {
            OutlineCurve::Line(a, b) => OutlineCurve::Line(moved(a), moved(b)),
            OutlineCurve::Quad(a, b, c) => OutlineCurve::Quad(moved(a), moved(b), moved(c)),
            OutlineCurve::Cubic(a, b, c, d) => {
                OutlineCurve::Cubic(moved(a), moved(b), moved(c), moved(d))
            }
        };
    }
    outline.bounds.min = moved(outline.bounds.min);
    outline.bounds.max = moved(outline.bounds.max);
}

/// Where a height goes that lies between two of the list; beyond its ends all move alike.
fn interpolate(heights: &[(f32, f32)], height: f32) -> f32 {
    let between = heights.windows(2).find_map(|pair| match pair {
        [(from, to), (next_from, next_to)] if *from <= height && height < *next_from => {
            Some(to + (height - from) / (next_from - from) * (next_to - to))
        }
        _ => None,
    });
    let end = match heights {
        [(from, to), ..] if height < *from => to - from,
        [.., (from, to)] => to - from,
        [] => 0.0,
    };
    between.unwrap_or(height + end)
}

/// A whole number of pixels; the sizes of characters are far from the limits.
fn whole(pixels: f32) -> i32 {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, and characters have hundreds of pixels at most"
    )]
    let whole = pixels.round() as i32;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        cell: 18,
        x_height: 8,
        plain_zero: false,
    };

    #[test]
    fn a_small_x_has_the_rows_of_its_size_at_every_resolution() {
        for resolution in Resolution::ALL {
            let glyph = Face::new(SIZE, resolution).unwrap().glyph('x');
            let rows = i32::from(8 * rows_per_row(resolution));
            assert_eq!((glyph.top, glyph.bottom()), (-rows, 0), "{resolution}");
        }
    }

    #[test]
    fn flat_and_round_letters_end_on_the_same_rows() {
        for resolution in Resolution::ALL {
            for x_height in [7, 8] {
                let size = Size { x_height, ..SIZE };
                let mut face = Face::new(size, resolution).unwrap();
                let mut ends = |letters: &str| -> Vec<(i32, i32)> {
                    let mut ends: Vec<_> = letters
                        .chars()
                        .map(|letter| face.glyph(letter))
                        .map(|glyph| (glyph.top, glyph.bottom()))
                        .collect();
                    ends.dedup();
                    ends
                };
                assert_eq!(ends("xzoes").len(), 1, "{resolution}");
                assert_eq!(ends("HEXOCGS0248").len(), 1, "{resolution}");
            }
        }
    }

    #[test]
    fn a_plain_zero_has_no_dot() {
        let middle = |plain_zero| {
            let size = Size { plain_zero, ..SIZE };
            let glyph = Face::new(size, Resolution::Fine).unwrap().glyph('0');
            let row = &glyph.rows[glyph.rows.len() / 2];
            let pixels: String = row.iter().map(|byte| format!("{byte:08b}")).collect();
            pixels.split('0').filter(|run| !run.is_empty()).count()
        };
        assert_eq!((middle(false), middle(true)), (3, 2));
    }

    #[test]
    fn every_character_that_stands_for_itself_shows_at_the_coarsest_resolution() {
        let mut face = Face::new(SIZE, Resolution::Standard).unwrap();
        for character in "!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~äß€Ωжё─│┼Ծა…“”–—✓☎№".chars()
        {
            assert!(has(character), "{character}");
            assert!(!face.glyph(character).rows.is_empty(), "{character}");
        }
    }

    #[test]
    fn what_cannot_be_laid_out_in_cells_is_not_in_the_font() {
        for character in "漢あ한אبभไ🙂\u{fffd}\u{ad}\u{200b}\t\n".chars() {
            assert!(!has(character), "{character:?}");
        }
    }
}
