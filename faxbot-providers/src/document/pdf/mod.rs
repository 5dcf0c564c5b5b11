//! PDF pages by hayro.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use faxbot_core::{DocumentReason, Error, Result, document::ConvertOptions};
use hayro::{
    RenderCache, RenderSettings,
    hayro_interpret::{InterpreterSettings, InterpreterWarning, util::TransformExt},
    hayro_syntax::{
        DecryptionError, LoadPdfError, Pdf,
        object::{Array, Dict, Object, Stream},
        page::Page,
    },
    kurbo::Affine,
    render_into,
    vello_cpu::{
        Pixmap, RasterizerSettings, RenderContext, Resources, TargetInit,
        color::palette::css::WHITE,
    },
};

use super::{
    convert::{OPERATION, Renderer},
    halftone::Screen,
    layout::{Layout, fit},
    output::{FaxFile, PageRows, check_pages, check_pixels, internal, too_large},
    part::{Job, Part},
};

/// Coverage (of 255) above which a pixel is painted. hayro draws lines at least one pixel wide in
/// the finer direction, which is 0.48 of a pixel in the coarser one at 98 and 391 lines per inch;
/// such a line may lie across two pixels, and has to be seen all the same.
const COVERAGE: u8 = 60;

/// Pixels of one image in the document; 600 dots per inch on A3 are 70 million. hayro decodes an
/// image as a whole.
const MAX_IMAGE_PIXELS: u64 = 100_000_000;

/// Rows of a page that hayro can draw.
const MAX_ROWS: u32 = u16::MAX as u32;

/// The renderer of the feature `render`.
#[derive(Debug)]
pub(super) struct HayroRenderer;

impl Renderer for HayroRenderer {
    fn open(&self, pdf: Vec<u8>, options: &ConvertOptions) -> Result<Box<dyn Part>> {
        if is_cut_off(&pdf) {
            return Err(damaged("the pdf is cut off"));
        }
        let pdf = Pdf::new(pdf).map_err(load_error)?;
        check_page_tree(&pdf, pdf.pages().len())?;
        check_pages(pdf.pages().len(), options)?;
        check_images(&pdf)?;
        let mut layouts = Vec::with_capacity(pdf.pages().len());
        for (index, page) in pdf.pages().iter().enumerate() {
            let layout =
                layout(page, options).ok_or_else(|| damaged("a page of the pdf has no size"))?;
            check_pixels(index, layout.rows, options)?;
            if layout.rows > MAX_ROWS {
                return Err(too_large(format!(
                    "page {} is too long",
                    index.saturating_add(1)
                )));
            }
            layouts.push(layout);
        }
        Ok(Box::new(PdfPart { pdf, layouts }))
    }
}

/// A PDF whose pages have their places on paper.
struct PdfPart {
    pdf: Pdf,
    layouts: Vec<Layout>,
}

impl Part for PdfPart {
    fn pages(&self) -> u32 {
        u32::try_from(self.layouts.len()).unwrap_or(u32::MAX)
    }

    fn draw(self: Box<Self>, job: &Job<'_>, out: &mut FaxFile<'_>) -> Result<()> {
        let mut painter = Painter::new(&job.options);
        let cache = RenderCache::new();
        for (page, layout) in self.pdf.pages().iter().zip(&self.layouts) {
            check_contents(page)?;
            out.page(layout.rows, |rows| painter.page(page, layout, &cache, rows))?;
        }
        Ok(())
    }
}

/// What is kept from page to page: pixels, settings and the packed row.
struct Painter {
    width: u16,
    context: RenderContext,
    pixels: Pixmap,
    resources: Resources,
    interpreter: InterpreterSettings,
    settings: RenderSettings,
    incomplete: Arc<AtomicBool>,
    screen: Screen,
    grey: Vec<u8>,
}

impl Painter {
    fn new(options: &ConvertOptions) -> Self {
        let incomplete = Arc::new(AtomicBool::new(false));
        let seen = incomplete.clone();
        let interpreter = InterpreterSettings {
            warning_sink: Arc::new(move |warning| match warning {
                // Viewers do not draw such annotations either.
                InterpreterWarning::UnresolvedAnnotationAppearance => {}
                _ => seen.store(true, Ordering::Relaxed),
            }),
            ..InterpreterSettings::default()
        };
        let pixels = options.width.pixels();
        Self {
            width: u16::try_from(pixels).unwrap_or(u16::MAX),
            context: RenderContext::new(0, 0),
            pixels: Pixmap::new(0, 0),
            resources: Resources::default(),
            interpreter,
            settings: RenderSettings {
                aliasing_threshold: Some(COVERAGE),
                ..RenderSettings::default()
            },
            incomplete,
            screen: Screen::new(options.halftone, pixels),
            grey: Vec::new(),
        }
    }

    fn page<'a>(
        &mut self,
        page: &'a Page<'a>,
        layout: &Layout,
        cache: &RenderCache<'a>,
        rows: &mut PageRows<'_>,
    ) -> Result<()> {
        let height = u16::try_from(layout.rows).map_err(|_| internal("a page is too long"))?;
        self.context.reset_and_resize(self.width, height);
        self.pixels.resize(self.width, height);
        render_into(
            page,
            cache,
            &self.interpreter,
            &self.settings,
            &mut self.context,
            transform(page, layout),
        );
        self.context.flush();
        self.context.render_with(
            &mut self.pixels,
            &mut self.resources,
            RasterizerSettings {
                target_init: TargetInit::Clear(WHITE),
                ..RasterizerSettings::default()
            },
        );
        if self.incomplete.load(Ordering::Relaxed) {
            return Err(damaged("an image or a font of the pdf cannot be read"));
        }
        self.screen.begin_page();
        let band = usize::from(self.width) * 4 * Screen::BAND;
        for pixels in self.pixels.data_as_u8_slice().chunks(band) {
            self.grey.clear();
            self.grey.extend(pixels.as_chunks().0.iter().map(luma));
            self.screen.band(&self.grey, |row| rows.row(row))?;
        }
        Ok(())
    }
}

/// ITU-R BT.601 luma of an opaque pixel.
fn luma([red, green, blue, _]: &[u8; 4]) -> u8 {
    let weighted = u16::from(*red) * 77 + u16::from(*green) * 150 + u16::from(*blue) * 29;
    weighted.to_be_bytes()[0]
}

fn layout(page: &Page<'_>, options: &ConvertOptions) -> Option<Layout> {
    let (width, height) = page.render_dimensions();
    // ISO 32000-1 §14.11.2, table 30: the size of a unit in 1/72 inch.
    let unit = page
        .raw()
        .get::<f32>("UserUnit")
        .filter(|unit| unit.is_normal() && *unit > 0.0)
        .unwrap_or(1.0);
    fit(
        (f64::from(width), f64::from(height)),
        f64::from(unit),
        options.width,
        options.resolution,
    )
}

fn transform(page: &Page<'_>, layout: &Layout) -> Affine {
    let (width, _) = page.render_dimensions();
    let turn = if layout.turned {
        // (x, y) to (y, width - x): the top edge goes to the left.
        Affine::new([0.0, -1.0, 1.0, 0.0, 0.0, f64::from(width)])
    } else {
        Affine::IDENTITY
    };
    Affine::translate((layout.left, 0.0))
        * Affine::scale_non_uniform(layout.scale_x, layout.scale_y)
        * turn
        * page.initial_transform(true).to_kurbo()
}

/// A file ends with `startxref` behind its last object (ISO 32000-1 §7.5.5). hayro would show what
/// is left of one that was cut.
fn is_cut_off(pdf: &[u8]) -> bool {
    let last = |word: &[u8]| pdf.windows(word.len()).rposition(|bytes| bytes == word);
    match (last(b"startxref"), last(b"endobj")) {
        (Some(end), Some(object)) => end < object,
        _ => true,
    }
}

/// hayro leaves out pages that it cannot find and looks for lost ones; both make another document.
fn check_page_tree(pdf: &Pdf, found: usize) -> Result<()> {
    let catalog = pdf.xref().get::<Dict<'_>>(pdf.xref().root_id());
    let Some(tree) = catalog.and_then(|catalog| catalog.get::<Dict<'_>>("Pages")) else {
        return Err(damaged("the pdf has no page tree"));
    };
    if tree
        .get::<u32>("Count")
        .is_some_and(|count| usize::try_from(count).is_ok_and(|count| count > found))
    {
        return Err(damaged("pages of the pdf are missing"));
    }
    Ok(())
}

/// hayro draws a page without its contents when they cannot be read.
fn check_contents(page: &Page<'_>) -> Result<()> {
    let lost = || damaged("the contents of a page of the pdf cannot be read");
    let key = "Contents";
    if !page.raw().contains_key(key) {
        return Ok(());
    }
    if let Some(parts) = page.raw().get::<Array<'_>>(key) {
        let mut read = 0_usize;
        for part in parts.iter::<Stream<'_>>() {
            part.decoded_data().map_err(|_| lost())?;
            read = read.saturating_add(1);
        }
        return if read == parts.raw_iter().count() {
            Ok(())
        } else {
            Err(lost())
        };
    }
    let stream = page.raw().get::<Stream<'_>>(key).ok_or_else(lost)?;
    stream.decoded_data().map(drop).map_err(|_| lost())
}

fn check_images(pdf: &Pdf) -> Result<()> {
    for object in pdf.objects() {
        let Object::Stream(stream) = object else {
            continue;
        };
        let side = |key: &str| stream.dict().get::<u32>(key).map_or(0, u64::from);
        if side("Width").saturating_mul(side("Height")) > MAX_IMAGE_PIXELS {
            return Err(too_large(format!(
                "an image of the pdf has more than {MAX_IMAGE_PIXELS} pixels"
            )));
        }
    }
    Ok(())
}

fn load_error(error: LoadPdfError) -> Error {
    match error {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => Error::document(
            OPERATION,
            DocumentReason::Encrypted,
            "the pdf needs a password",
        ),
        LoadPdfError::Decryption(_) => Error::document(
            OPERATION,
            DocumentReason::Encrypted,
            "the encryption of the pdf is not supported",
        ),
        LoadPdfError::Invalid => damaged("the pdf cannot be read"),
    }
}

fn damaged(message: &'static str) -> Error {
    Error::document(OPERATION, DocumentReason::Damaged, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_the_luminance_of_itu_r_bt_601() {
        assert_eq!(luma(&[255, 255, 255, 255]), 255);
        assert_eq!(luma(&[0, 0, 0, 255]), 0);
        assert_eq!(luma(&[153, 153, 153, 255]), 153);
        assert_eq!(luma(&[255, 0, 0, 255]), 76);
        assert_eq!(luma(&[255, 255, 0, 255]), 226);
    }

    #[test]
    fn a_file_without_its_end_is_cut_off() {
        assert!(!is_cut_off(
            b"1 0 obj null endobj xref trailer startxref 9 %%EOF"
        ));
        assert!(is_cut_off(b"1 0 obj null endobj xref trailer"));
        assert!(is_cut_off(b"startxref 0 %%EOF 1 0 obj null endobj"));
        assert!(is_cut_off(b""));
    }
}
