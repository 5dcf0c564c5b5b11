//! One page: drawn in colour, turned to grey, to black and white, and coded, band by band.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use faxbot_core::{DocumentReason, Error, Result, document::ConvertOptions};
use hayro::{
    RenderCache, RenderSettings,
    hayro_interpret::{
        InterpreterCache, InterpreterSettings, InterpreterWarning,
        util::{RectExt, TransformExt},
    },
    hayro_syntax::page::Page,
    kurbo::{Affine, Rect},
    render_into,
    vello_cpu::{
        Pixmap, RasterizerSettings, RenderContext, Resources, TargetInit,
        color::palette::css::WHITE,
    },
};

use super::{
    super::{
        convert::OPERATION,
        halftone::Screen,
        layout::{Layout, fit},
        output::{DrawnPage, PageRows, internal},
        worker::Stop,
    },
    damaged,
    fonts::{self, Fonts},
    luma,
    plain::{Canvas, Letters},
    survey::{View, survey},
};

/// Coverage (of 255) above which a pixel is painted. hayro draws lines at least one pixel wide in
/// the finer direction, which is 0.48 of a pixel in the coarser one at 98 and 391 lines per inch;
/// such a line may lie across two pixels, and has to be seen all the same.
pub(super) const COVERAGE: u8 = 60;

/// What hayro keeps of a document from page to page: fonts, glyphs, colour profiles.
#[derive(Default)]
pub(super) struct Cache<'a> {
    survey: InterpreterCache<'a>,
    letters: Letters,
    drawing: RenderCache<'a>,
}

/// What a thread keeps from page to page: pixels, settings and the packed row.
pub(super) struct Painter {
    options: ConvertOptions,
    patterns: bool,
    width: u16,
    context: RenderContext,
    pixels: Pixmap,
    resources: Resources,
    interpreter: InterpreterSettings,
    settings: RenderSettings,
    incomplete: Arc<AtomicBool>,
    fonts: Arc<Fonts>,
    screen: Screen,
    grey: Vec<u8>,
}

impl Painter {
    pub(super) fn new(options: &ConvertOptions, patterns: bool) -> Self {
        let incomplete = Arc::new(AtomicBool::new(false));
        let seen = incomplete.clone();
        let fonts = Arc::new(Fonts::default());
        let interpreter = InterpreterSettings {
            warning_sink: Arc::new(move |warning| match warning {
                // Viewers do not draw such annotations either.
                InterpreterWarning::UnresolvedAnnotationAppearance => {}
                _ => seen.store(true, Ordering::Relaxed),
            }),
            font_resolver: fonts::resolver(fonts.clone()),
            ..InterpreterSettings::default()
        };
        let pixels = options.width.pixels();
        Self {
            options: *options,
            patterns,
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
            fonts,
            screen: Screen::new(options.halftone, pixels),
            grey: Vec::new(),
        }
    }

    pub(super) fn page<'a>(
        &mut self,
        page: &'a Page<'a>,
        layout: &Layout,
        cache: &mut Cache<'a>,
        stop: &Stop,
    ) -> Result<DrawnPage> {
        stop.check()?;
        let height = u16::try_from(layout.rows).map_err(|_| internal("a page is too long"))?;
        self.context.reset_and_resize(self.width, height);
        self.pixels.resize(self.width, height);
        let transform = transform(page, layout);
        let target = Rect::new(0.0, 0.0, f64::from(self.width), f64::from(height));
        let view = View {
            target,
            transform,
            clip: crop(page, transform, target),
            patterns: self.patterns,
            fonts: &self.fonts,
        };
        let canvas = Canvas {
            context: &mut self.context,
            letters: &mut cache.letters,
        };
        let plain = survey(page, view, canvas, &cache.survey, &self.interpreter, stop)?;
        if self.fonts.are_missing() {
            return Err(Error::document(
                OPERATION,
                DocumentReason::Unsuitable,
                "a font is not embedded: embed all fonts, e.g. export as PDF/A",
            ));
        }
        if !plain {
            self.context.reset_and_resize(self.width, height);
            render_into(
                page,
                &cache.drawing,
                &self.interpreter,
                &self.settings,
                &mut self.context,
                transform,
            );
        }
        if self.incomplete.load(Ordering::Relaxed) {
            return Err(damaged("an image or a font of the pdf cannot be read"));
        }
        stop.check()?;
        self.context.flush();
        self.context.render_with(
            &mut self.pixels,
            &mut self.resources,
            RasterizerSettings {
                target_init: TargetInit::Clear(WHITE),
                ..RasterizerSettings::default()
            },
        );
        self.code(layout.rows, stop)
    }

    fn code(&mut self, height: u32, stop: &Stop) -> Result<DrawnPage> {
        let mut rows = PageRows::new(&self.options, stop)?;
        self.screen.begin_page();
        let width = usize::from(self.width);
        for pixels in self
            .pixels
            .data_as_u8_slice()
            .chunks(width * 4 * Screen::BAND)
        {
            luma::grey(pixels, width, &mut self.grey);
            self.screen.band(&self.grey, |row| rows.row(row))?;
        }
        rows.finish(height)
    }
}

pub(super) fn layout(page: &Page<'_>, options: &ConvertOptions) -> Option<Layout> {
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

/// The crop box, unless the page as it is drawn lies within it.
fn crop(page: &Page<'_>, transform: Affine, target: Rect) -> Option<Rect> {
    let clip = page.intersected_crop_box().to_kurbo();
    let shown = transform.transform_rect_bbox(clip);
    // A hair more, for the rounding of the transform.
    let hair = 1.0 / 256.0;
    (!shown.inflate(hair, hair).contains_rect(target)).then_some(clip)
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
