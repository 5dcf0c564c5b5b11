//! Fax pages as a PDF, their coded rows as they are in the TIFF.

use std::io::{self, Read, Seek, Write};

use faxbot_core::{
    Error, Result,
    document::{
        ccitt::PageQuality,
        tiff::{PageInfo, TiffReader},
    },
};
use pdf_writer::{Chunk, Content, Filter, Finish, Name, Rect, Ref, writers::Catalog};

use super::{
    coded::{Coded, Origin},
    error::Failed,
    size::millimetres,
};

const POINTS_PER_MM: f64 = 72.0 / 25.4;
/// The shortest and the longest side of a page that every viewer shows (ISO 32000-1 Annex C).
const MIN_POINTS: f64 = 3.0;
const MAX_POINTS: f64 = 14_400.0;

const CATALOG: i32 = 1;
const PAGE_TREE: i32 = 2;
const FIRST_PAGE: i32 = 3;
/// Objects of a page: itself, its content, its image.
const PAGE_OBJECTS: i32 = 3;
const IMAGE: Name<'_> = Name(b"Fax");

/// The place of an object in the cross-reference table has ten digits (ISO 32000-1 §7.5.4).
const MAX_OFFSET: u64 = 9_999_999_999;

/// Writes the pages as a PDF that says nothing but its pages, one at a time: what is held is the
/// coded rows of one page.
pub(super) fn write_pdf<R: Read + Seek, W: Write>(
    reader: &mut TiffReader<R>,
    out: W,
    origin: Origin,
    failed: Failed,
) -> Result<Vec<PageQuality>> {
    let count = i32::try_from(reader.page_count())
        .ok()
        .filter(|count| *count < (i32::MAX - FIRST_PAGE) / PAGE_OBJECTS)
        .ok_or_else(|| failed.too_large("the fax has too many pages for a pdf"))?;
    let mut objects = Objects::start(out, failed)?;
    objects.add(|chunk, id| {
        chunk
            .indirect(id)
            .start::<Catalog<'_>>()
            .pages(Ref::new(PAGE_TREE));
    })?;
    objects.add(|chunk, id| {
        let pages = (0..count).map(|page| Ref::new(FIRST_PAGE + page * PAGE_OBJECTS));
        chunk.pages(id).kids(pages).count(count);
    })?;
    let mut qualities = Vec::new();
    for index in 0..reader.page_count() {
        let page = reader.page(index).map_err(|error| failed.tiff(error))?;
        let (coded, quality) =
            Coded::read(reader, &page, origin).map_err(|error| failed.tiff(error))?;
        write_page(&mut objects, &page, &coded)?;
        qualities.push(quality);
    }
    objects.finish(Ref::new(CATALOG))?;
    Ok(qualities)
}

/// The page, its content and its image, in this order.
fn write_page<W: Write>(objects: &mut Objects<W>, page: &PageInfo, coded: &Coded) -> Result<()> {
    let pixels = |count| i32::try_from(count).unwrap_or(i32::MAX);
    let size = (pixels(page.width), pixels(page.rows));
    let (width, height) = points(page);
    if i32::try_from(coded.data.len()).is_err() {
        return Err(objects.failed.too_large("a page is too large for a pdf"));
    }
    objects.add(|chunk, id| {
        let mut page = chunk.page(id);
        page.parent(Ref::new(PAGE_TREE))
            .media_box(Rect::new(0.0, 0.0, width, height))
            .contents(after(id, 1));
        page.resources().x_objects().pair(IMAGE, after(id, 2));
    })?;
    objects.add(|chunk, id| {
        let mut content = Content::new();
        content
            .transform(matrix(page.orientation, width, height))
            .x_object(IMAGE);
        chunk.stream(id, &content.finish());
    })?;
    objects.add(|chunk, id| {
        chunk.reserve(coded.data.len());
        let mut image = chunk.image_xobject(id, &coded.data);
        image.width(size.0).height(size.1).bits_per_component(1);
        image.color_space().device_gray();
        image.filter(Filter::CcittFaxDecode);
        coded.parameters(&mut image.decode_parms(), size);
        image.finish();
    })
}

/// Width and height of the upright page in points; as large or as small as it can be shown when the
/// tags want more or less.
#[allow(
    clippy::cast_possible_truncation,
    reason = "at most MAX_POINTS; seven digits are enough for a page"
)]
fn points(page: &PageInfo) -> (f32, f32) {
    let (width, height) = millimetres(page);
    let scale = POINTS_PER_MM.min(MAX_POINTS / width.max(height));
    let side = |mm: f64| (mm * scale).max(MIN_POINTS) as f32;
    (side(width), side(height))
}

/// Brings the image's unit square, whose first row is at the top, onto the page so that it stands
/// upright (TIFF 6.0 §8, `Orientation`).
fn matrix(orientation: u16, x: f32, y: f32) -> [f32; 6] {
    match orientation {
        2 => [-x, 0.0, 0.0, y, x, 0.0],
        3 => [-x, 0.0, 0.0, -y, x, y],
        4 => [x, 0.0, 0.0, -y, 0.0, y],
        5 => [0.0, -y, -x, 0.0, x, y],
        6 => [0.0, -y, x, 0.0, 0.0, y],
        7 => [0.0, y, x, 0.0, 0.0, 0.0],
        8 => [0.0, y, -x, 0.0, x, 0.0],
        _ => [x, 0.0, 0.0, y, 0.0, 0.0],
    }
}

fn after(id: Ref, count: i32) -> Ref {
    Ref::new(id.get().saturating_add(count))
}

/// A PDF that is written object by object, numbered from 1: `pdf-writer` would hold all of it.
struct Objects<W> {
    out: W,
    at: u64,
    offsets: Vec<u64>,
    failed: Failed,
}

impl<W: Write> Objects<W> {
    fn start(out: W, failed: Failed) -> Result<Self> {
        let mut objects = Self {
            out,
            at: 0,
            offsets: Vec::new(),
            failed,
        };
        // The second line tells programs that guess that the file is binary (ISO 32000-1 §7.5.2).
        objects.write(b"%PDF-1.4\n%\x80\x80\x80\x80\n")?;
        Ok(objects)
    }

    fn add(&mut self, fill: impl FnOnce(&mut Chunk, Ref)) -> Result<()> {
        self.offsets.push(self.at);
        let mut chunk = Chunk::new();
        let number = i32::try_from(self.offsets.len()).unwrap_or(i32::MAX);
        fill(&mut chunk, Ref::new(number));
        self.write(chunk.as_bytes())
    }

    /// Writes the cross-reference table and the trailer (ISO 32000-1 §7.5.4, §7.5.5).
    fn finish(mut self, catalog: Ref) -> Result<()> {
        let table = self.at;
        if table > MAX_OFFSET {
            return Err(self.failed.too_large("the fax is too large for a pdf"));
        }
        let size = self.offsets.len().saturating_add(1);
        let mut end = format!("xref\n0 {size}\n0000000000 65535 f \n");
        for offset in std::mem::take(&mut self.offsets) {
            end.push_str(&format!("{offset:010} 00000 n \n"));
        }
        let root = catalog.get();
        end.push_str(&format!(
            "trailer\n<< /Size {size} /Root {root} 0 R >>\nstartxref\n{table}\n%%EOF\n"
        ));
        self.write(end.as_bytes())?;
        let failed = self.failed;
        self.out
            .flush()
            .map_err(|source| cannot_write(failed, source))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.at = self.at.saturating_add(bytes.len() as u64);
        let failed = self.failed;
        self.out
            .write_all(bytes)
            .map_err(|source| cannot_write(failed, source))
    }
}

fn cannot_write(failed: Failed, source: io::Error) -> Error {
    failed.io("the pdf cannot be written", source)
}
