//! PDF pages by hayro.

mod check;
mod codec;
mod fonts;
mod luma;
mod page;
mod plain;
mod survey;
mod unpack;

use faxbot_core::{DocumentReason, Error, Result, document::ConvertOptions};
use hayro::hayro_syntax::{DecryptionError, LoadPdfError, Pdf, PdfData};

use super::{
    convert::{OPERATION, Renderer},
    layout::Layout,
    output::{FaxFile, check_pages, check_pixels, too_large},
    parallel::{Pages, Seat, draw_pages},
    part::{Job, Part},
};
use page::{Cache, Painter};
use unpack::Unpacked;

/// Rows of a page that hayro can draw.
const MAX_ROWS: u32 = u16::MAX as u32;

/// Pages that a thread draws from one opened document. hayro keeps what it decoded (contents,
/// fonts, glyphs, colour profiles) as long as the document and its cache live.
const BATCH_PAGES: usize = 32;

/// Bytes of page contents, decoded, after which a batch ends early.
const BATCH_BYTES: usize = 8 << 20;

/// The renderer of the feature `render`.
#[derive(Debug)]
pub(super) struct HayroRenderer;

impl Renderer for HayroRenderer {
    fn open(&self, pdf: Vec<u8>, options: &ConvertOptions) -> Result<Box<dyn Part>> {
        check::is_whole(&pdf)?;
        let mut unpacked = Unpacked::default();
        unpacked.raw(&pdf)?;
        let data = PdfData::from(pdf);
        let pdf = Pdf::new(data.clone()).map_err(load_error)?;
        check::page_tree(&pdf)?;
        check_pages(pdf.pages().len(), options)?;
        let patterns = check::objects(&pdf, &mut unpacked)?;
        let mut layouts = Vec::with_capacity(pdf.pages().len());
        for (index, page) in pdf.pages().iter().enumerate() {
            let layout = page::layout(page, options)
                .ok_or_else(|| damaged("a page of the pdf has no size"))?;
            check_pixels(index, layout.rows, options)?;
            if layout.rows > MAX_ROWS {
                return Err(too_large(format!(
                    "page {} is too long",
                    index.saturating_add(1)
                )));
            }
            layouts.push(layout);
        }
        Ok(Box::new(PdfPart {
            data,
            pdf,
            layouts,
            patterns,
        }))
    }
}

/// A PDF whose pages have their places on paper.
struct PdfPart {
    data: PdfData,
    pdf: Pdf,
    layouts: Vec<Layout>,
    patterns: bool,
}

impl Part for PdfPart {
    fn pages(&self) -> u32 {
        u32::try_from(self.layouts.len()).unwrap_or(u32::MAX)
    }

    fn draw(self: Box<Self>, job: &Job<'_>, out: &mut FaxFile<'_>) -> Result<()> {
        draw_pages(job, out, self.layouts.len(), |pages, seat| {
            let mut painter = Painter::new(&job.options, self.patterns);
            let mut seat = self.batch(&self.pdf, &mut painter, pages, seat);
            while let Some(held) = seat {
                seat = match self.reopen() {
                    Ok(pdf) => self.batch(&pdf, &mut painter, pages, held),
                    Err(error) => pages.next(|_, _| Err(error)).and(None),
                };
            }
        })
    }
}

impl PdfPart {
    /// The document with nothing decoded.
    fn reopen(&self) -> Result<Pdf> {
        let pdf = Pdf::new(self.data.clone()).map_err(load_error)?;
        // hayro mends a broken cross-reference table when it meets the first wrong entry. This
        // meets it now: what a page shows does not depend on the pages that were drawn before.
        check::objects(&pdf, &mut Unpacked::default())?;
        if pdf.pages().len() == self.layouts.len() {
            Ok(pdf)
        } else {
            Err(damaged("the page tree of the pdf is damaged"))
        }
    }

    /// Draws pages until hayro keeps too much. The seat, if there are more pages to draw in it.
    fn batch<'f>(
        &self,
        pdf: &Pdf,
        painter: &mut Painter,
        pages: &Pages<'_, 'f>,
        seat: Seat,
    ) -> Option<Seat> {
        let mut cache = Cache::default();
        let mut decoded = 0_usize;
        for _ in 0..BATCH_PAGES {
            pages.next(|index, stop| {
                let (Some(page), Some(layout)) = (pdf.pages().get(index), self.layouts.get(index))
                else {
                    return Err(damaged("the page tree of the pdf is damaged"));
                };
                decoded = decoded.saturating_add(check::contents(page)?);
                painter.page(page, layout, &mut cache, stop)
            })?;
            if decoded > BATCH_BYTES {
                break;
            }
        }
        pages.keep(seat)
    }
}

fn load_error(error: LoadPdfError) -> Error {
    let (reason, message) = match error {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => (
            DocumentReason::Encrypted,
            "password-protected: send an unprotected copy",
        ),
        LoadPdfError::Decryption(_) => (
            DocumentReason::Encrypted,
            "the encryption of the pdf is not supported: send an unprotected copy",
        ),
        LoadPdfError::Invalid => (DocumentReason::Damaged, "the pdf cannot be read"),
    };
    Error::document(OPERATION, reason, message)
}

fn damaged(message: &'static str) -> Error {
    Error::document(OPERATION, DocumentReason::Damaged, message)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use faxbot_core::Timestamp;

    use super::*;
    use crate::document::{
        worker::{Stop, Threads},
        zone::Zone,
    };

    #[test]
    fn the_file_does_not_depend_on_the_number_of_threads() {
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/assets/sample.pdf");
        let directory = tempfile::tempdir().unwrap();
        let options = ConvertOptions::default();
        let drawn = |threads| {
            let part = HayroRenderer
                .open(fs::read(sample).unwrap(), &options)
                .unwrap();
            let (stop, zone, threads) = (Stop::default(), Zone::default(), Threads::of(threads));
            let job = Job {
                options,
                total: part.pages(),
                at: Timestamp::UNIX_EPOCH,
                zone: &zone,
                stop: &stop,
                threads: &threads,
            };
            let mut out = FaxFile::create(directory.path(), &options, &stop).unwrap();
            part.draw(&job, &mut out).unwrap();
            fs::read(out.finish().unwrap().path()).unwrap()
        };
        let alone = drawn(0);
        for threads in 1..4 {
            assert!(drawn(threads) == alone, "{threads}");
        }
    }
}
