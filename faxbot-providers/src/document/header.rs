//! The line above each page: when, from whom, to whom, which page.

use std::{ops::Range, path::Path};

use faxbot_core::{
    DocumentReason, Effect, Error, ErrorKind, Result,
    document::{
        ConvertOptions, FaxImage, PageHeader,
        tiff::{PageInfo, PageNumber, TiffError, TiffLimits},
    },
};

use super::{
    output::{FaxFile, PageRows, too_large},
    source::read_failed,
    text::{Canvas, Cell, Face, Size, Step, Steps, rows_per_row},
    worker::Stop,
    zone::Zone,
};

/// The public operation that errors name.
pub(super) const OPERATION: &str = "copy_pages";

/// Small enough for 104 characters across A4, large enough to be read at 98 lines per inch.
const SIZE: Size = Size {
    cell: 16,
    x_height: 7,
    plain_zero: true,
};

/// Columns left white at each side: machines do not print up to the edge.
const MARGIN: u32 = 32;

/// At 98 lines per inch: what is added above the page, as spandsp does, and where letters stand
/// in it. Accents of capitals reach its first row.
const ROWS: u16 = 16;
const BASE_LINE: u16 = 12;

/// White cells between the fields; the labels have them in front.
const GAP: usize = 2;
const FROM: &str = "  From: ";
const TO: &str = "  To: ";

/// Copies pages, each with a header line above it. Errors name [`OPERATION`].
pub(super) fn copy_with_header(
    image: &FaxImage,
    pages: Range<u32>,
    header: &PageHeader,
    zone: &Zone,
    directory: &Path,
    stop: &Stop,
) -> Result<FaxImage> {
    copy(image, pages, header, zone, directory, stop)
        .map_err(|error| error.with_operation(OPERATION))
}

/// Refuses a range without pages or outside of the fax.
pub(super) fn check_range(image: &FaxImage, pages: &Range<u32>) -> Result<()> {
    if pages.is_empty() || pages.end > image.pages() {
        let message = "the fax has no such pages";
        return Err(
            Error::new(ErrorKind::InvalidRequest, OPERATION, message).with_effect(Effect::NoEffect)
        );
    }
    Ok(())
}

fn copy(
    image: &FaxImage,
    pages: Range<u32>,
    header: &PageHeader,
    zone: &Zone,
    directory: &Path,
    stop: &Stop,
) -> Result<FaxImage> {
    let options = ConvertOptions::default()
        .with_width(image.width())
        .with_resolution(image.resolution())
        .with_coding(image.coding());
    let mut line = Line::new(header, zone, &options)?;
    let mut reader = image.reader()?;
    let mut out = FaxFile::create(directory, &options, stop)?;
    for (place, index) in (0_u32..).zip(pages) {
        stop.check()?;
        let page = reader.page(index).map_err(changed)?;
        check_page(&page, image, &line)?;
        let number = header.first_page.saturating_add(place);
        line.paint(header, number);
        let mut rows = PageRows::new(&options, stop)?;
        for row in line.canvas.rows() {
            rows.row(row)?;
        }
        let mut written = Ok(());
        reader
            .decode_page(&page, |row| {
                if written.is_ok() {
                    written = rows.row(row);
                }
            })
            .map_err(changed)?;
        written?;
        let drawn = rows.finish(page.rows.saturating_add(line.rows))?;
        let number = page.page_number.unwrap_or_else(|| numbered(header, number));
        out.add_numbered(drawn, number)?;
    }
    out.finish()
}

/// Whether a page is what the facts of the fax say, and has room for the line.
fn check_page(page: &PageInfo, image: &FaxImage, line: &Line) -> Result<()> {
    if page.width != image.width().pixels() || page.fax_resolution() != Some(image.resolution()) {
        return Err(Error::document(
            OPERATION,
            DocumentReason::Damaged,
            "the fax changed while it was copied",
        ));
    }
    let rows = page.rows.saturating_add(line.rows);
    if rows > TiffLimits::new().max_rows {
        return Err(too_large(
            "a page is too long for a header line above it".to_owned(),
        ));
    }
    Ok(())
}

/// For a page that had no number in the file.
fn numbered(header: &PageHeader, number: u32) -> PageNumber {
    PageNumber {
        number: u16::try_from(number.saturating_sub(1)).unwrap_or(u16::MAX),
        // 0 is "unknown" (TIFF 6.0 §12).
        total: u16::try_from(header.total).unwrap_or(0),
    }
}

/// The header line of one fax.
struct Line {
    face: Face,
    canvas: Canvas,
    rows: u32,
    base_line: i32,
    columns: usize,
    at: String,
}

impl Line {
    fn new(header: &PageHeader, zone: &Zone, options: &ConvertOptions) -> Result<Self> {
        let width = options.width.pixels();
        let finer = rows_per_row(options.resolution);
        let rows = u32::from(ROWS * finer);
        Ok(Self {
            face: Face::new(SIZE, options.resolution)?,
            canvas: Canvas::new(width, rows),
            rows,
            base_line: i32::from(BASE_LINE * finer),
            columns: ((width - 2 * MARGIN) / u32::from(SIZE.cell)) as usize,
            at: zone.date_and_time(header.at),
        })
    }

    fn paint(&mut self, header: &PageHeader, number: u32) {
        self.canvas.clear();
        let cells = cells(header, &self.at, number, self.columns);
        self.canvas
            .line(&mut self.face, &cells, MARGIN, self.base_line);
    }
}

/// Date, names, and at the right end which page it is. Names get what the other two leave.
fn cells(header: &PageHeader, at: &str, number: u32, columns: usize) -> Vec<Cell> {
    let page = text(&format!("P. {number}/{}", header.total), columns);
    let mut line = text(at, columns.saturating_sub(page.len() + GAP));
    let from = text(&header.from, columns);
    let to = text(&header.to, columns);
    let label = |label: &'static str, name: &[Cell]| if name.is_empty() { "" } else { label };
    let labels = [label(FROM, &from), label(TO, &to)];
    let taken = line.len() + labels.concat().len() + GAP + page.len();
    let shares = shares(from.len(), to.len(), columns.saturating_sub(taken));
    for ((label, name), share) in labels.into_iter().zip([from, to]).zip(shares) {
        line.extend(label.chars().map(Cell::new));
        line.extend(shorten(name, share));
    }
    line.extend(blanks(columns.saturating_sub(line.len() + page.len())));
    line.extend(page);
    line
}

/// What two names that want `from` and `to` cells get of `room`: one that needs less than half
/// leaves the rest to the other.
fn shares(from: usize, to: usize, room: usize) -> [usize; 2] {
    let half = room / 2;
    if from <= half {
        [from, to.min(room - from)]
    } else if to <= half {
        [from.min(room - to), to]
    } else {
        [half, half]
    }
}

fn shorten(mut cells: Vec<Cell>, room: usize) -> Vec<Cell> {
    if cells.len() > room {
        cells.truncate(room.saturating_sub(1));
        while cells.last().is_some_and(Cell::is_blank) {
            cells.pop();
        }
        if room > 0 {
            cells.push(Cell::new('…'));
        }
    }
    cells
}

fn blanks(count: usize) -> impl Iterator<Item = Cell> {
    std::iter::repeat_n(Cell::new(' '), count)
}

/// At most one cell more than `columns`, so that what is too long still shows as such. What cannot
/// be drawn is `?`: a header never fails a fax. All white space is one blank.
fn text(text: &str, columns: usize) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for step in Steps::new(text.trim().chars()) {
        if cells.len() > columns {
            break;
        }
        let cell = match step {
            Step::Cell(cell) => cell,
            Step::Refused(_) => Cell::new('?'),
            Step::MayBreak | Step::SoftHyphen => continue,
            Step::Space | Step::Tab | Step::Line | Step::Page => {
                if cells.last().is_none_or(Cell::is_blank) {
                    continue;
                }
                Cell::new(' ')
            }
        };
        cells.push(cell);
    }
    while cells.last().is_some_and(Cell::is_blank) {
        cells.pop();
    }
    cells
}

/// The file was readable when its facts were read.
fn changed(error: TiffError) -> Error {
    match error {
        TiffError::Io(source) => read_failed(source),
        other => Error::document(
            OPERATION,
            DocumentReason::Damaged,
            "the fax changed or is damaged",
        )
        .with_source(other),
    }
}

#[cfg(test)]
mod tests {
    use faxbot_core::Timestamp;

    use super::*;

    const AT: &str = "2026-11-21 09:00 CET";

    fn shown(from: &str, to: &str, number: u32, total: u32) -> String {
        let header = PageHeader::new(Timestamp::UNIX_EPOCH, total)
            .with_from(from)
            .with_to(to);
        let cells = cells(&header, AT, number, 104);
        assert_eq!(cells.len(), 104);
        cells.iter().map(|cell| cell.text()).collect()
    }

    #[test]
    fn the_line_has_time_names_and_page() {
        let line = shown("Dr. Example +49 30 1234", "+49 30 9999", 2, 3);
        assert_eq!(
            line.trim_end_matches("P. 2/3").trim_end(),
            "2026-11-21 09:00 CET  From: Dr. Example +49 30 1234  To: +49 30 9999"
        );
        assert!(line.ends_with("  P. 2/3"));
    }

    #[test]
    fn names_that_are_empty_or_blank_have_no_label() {
        let line = shown(" \n\t", "", 1, 1);
        assert!(
            !line.contains(':') || line.matches(':').count() == 1,
            "{line}"
        );
        assert_eq!(line.split_whitespace().last(), Some("1/1"));
    }

    #[test]
    fn long_names_are_shortened_and_the_page_always_shows() {
        let long = "x".repeat(300);
        for (from, to, expected) in [
            (&*long, "short", "…  To: short  P. 1/2"),
            ("short", &*long, "From: short  To: xxxx"),
            (&*long, &*long, "…  To: xxxx"),
            (&*long, "", "…  P. 1/2"),
        ] {
            let line = shown(from, to, 1, 2);
            assert!(line.contains(expected), "{line}");
            assert!(line.ends_with("  P. 1/2"), "{line}");
        }
        let line = shown(&long, &long, u32::MAX, u32::MAX);
        assert!(line.ends_with("  P. 4294967295/4294967295"), "{line}");
    }

    #[test]
    fn what_the_font_has_not_is_a_question_mark_and_fails_nothing() {
        let line = shown("漢字 Ж\u{0}é\u{200b}", "a\r\nb\t c\u{c}d", 1, 1);
        assert!(line.contains("From: ?? Ж?é  To: a b c d  "), "{line}");
    }

    #[test]
    fn a_name_of_millions_of_characters_costs_no_more_than_a_line() {
        let line = shown(&"a\u{301}".repeat(1 << 20), &" ".repeat(1 << 20), 1, 1);
        assert!(line.contains('…'));
    }
}
