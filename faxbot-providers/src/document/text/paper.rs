//! Where lines of text stand on paper.

use faxbot_core::{
    Result,
    document::{ConvertOptions, FaxWidth, Resolution},
};

use super::{
    super::{layout::sheet_height_mm, output::PageRows},
    canvas::Canvas,
    cell::Cell,
    font::{Face, Size, rows_per_row},
};

/// 2.24 mm wide, about 10.5 points: 80 characters fit on A4.
const TEXT: Size = Size {
    cell: 18,
    x_height: 8,
    plain_zero: false,
};

/// Of a title line, which has the room of three.
const TITLE: Size = Size {
    cell: 54,
    x_height: 24,
    plain_zero: false,
};

/// Columns left white at each side: 17.9 mm.
const SIDE: u32 = 144;

/// Rows at 98 lines per inch of a line, so that lines drawn with characters meet; of the white
/// above and below a page, at least: 15.8 mm; and from the top of a line to where letters stand.
const LINE: u32 = 17;
const WHITE: u32 = 61;
const BASE_LINE: u32 = 13;

/// Rows in 100 mm at 98 lines per inch (ITU-T T.4 §2.2: 3.85 lines per millimetre).
const ROWS_IN_100_MM: u32 = 385;

/// The measures of a page, the same at every resolution but for the rows it is drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paper {
    /// Pixels of a row.
    width: u32,
    height_mm: u32,
    /// Characters of a line.
    pub(super) columns: usize,
    /// Lines of a page.
    pub(super) lines: usize,
    /// Rows at 98 lines per inch above the first line.
    top: u32,
}

impl Paper {
    pub(super) fn new(width: FaxWidth) -> Self {
        let height_mm = u32::from(sheet_height_mm(width));
        let width = width.pixels();
        let rows = height_mm * ROWS_IN_100_MM / 100;
        let lines = (rows - 2 * WHITE) / LINE;
        Self {
            width,
            height_mm,
            columns: ((width - 2 * SIDE) / u32::from(TEXT.cell)) as usize,
            lines: lines as usize,
            top: (rows - lines * LINE) / 2,
        }
    }

    /// Rows of a page.
    pub(super) fn rows(&self, resolution: Resolution) -> u32 {
        self.height_mm * ROWS_IN_100_MM * u32::from(rows_per_row(resolution)) / 100
    }
}

/// Draws pages.
pub(super) struct Press {
    paper: Paper,
    face: Face,
    title: Face,
    canvas: Canvas,
    /// Rows for each row at 98 lines per inch.
    finer: u32,
}

impl Press {
    pub(super) fn new(paper: Paper, options: &ConvertOptions) -> Result<Self> {
        Ok(Self {
            paper,
            face: Face::new(TEXT, options.resolution)?,
            title: Face::new(TITLE, options.resolution)?,
            canvas: Canvas::new(paper.width, paper.rows(options.resolution)),
            finer: u32::from(rows_per_row(options.resolution)),
        })
    }

    /// Draws a page. Its first line is as high as three if it is a title; the two that follow
    /// should be empty.
    pub(super) fn page(&mut self, lines: &[Vec<Cell>], title: bool) {
        self.canvas.clear();
        for (index, line) in (0_u32..).zip(lines) {
            let (face, base_line) = if title && index == 0 {
                (&mut self.title, 3 * BASE_LINE)
            } else {
                (&mut self.face, BASE_LINE)
            };
            let row = (self.paper.top + index * LINE + base_line) * self.finer;
            let row = i32::try_from(row).unwrap_or(i32::MAX);
            self.canvas.line(face, line, SIDE, row);
        }
    }

    /// Gives the rows of the page.
    pub(super) fn print(&self, rows: &mut PageRows<'_>) -> Result<()> {
        self.canvas.rows().try_for_each(|row| rows.row(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_as_much_at_every_resolution_and_has_its_height() {
        for (width, columns, lines) in [
            (FaxWidth::A4, 80, 60),
            (FaxWidth::B4, 97, 75),
            (FaxWidth::A3, 119, 87),
        ] {
            let paper = Paper::new(width);
            assert_eq!((paper.columns, paper.lines), (columns, lines));
            assert!((60..=70).contains(&paper.top), "{paper:?}");
        }
        for resolution in Resolution::ALL {
            assert_eq!(
                Paper::new(FaxWidth::A4).rows(resolution),
                resolution.rows_a4()
            );
        }
    }
}
