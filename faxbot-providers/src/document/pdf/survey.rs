//! A page's first reading: what it would cost, and its painting if it has text and lines only.
//!
//! hayro keeps all that a page paints until the page is done: a form that draws a form ten times that
//! draws a form ten times would take the memory of the machine.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use faxbot_core::{Error, Result};
use hayro::{
    hayro_interpret::{
        BlendMode, CacheKey, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps,
        InterpreterCache, InterpreterSettings, Paint, SoftMask, StrokeProps,
        font::{Glyph, GlyphRun},
        hayro_cmap::WritingMode,
        interpret_page,
        pattern::{Pattern, TilingPattern},
        util::x_y_advances,
    },
    hayro_syntax::page::Page,
    kurbo::{Affine, BezPath, PathEl, Point, Rect, Shape},
};

use super::{
    super::{output::too_large, worker::Stop},
    check,
    fonts::Fonts,
    plain::Canvas,
};

/// Bytes that hayro may keep for one page, beside the page itself.
const MAX_PAGE_BYTES: f64 = 256.0 * 1024.0 * 1024.0;

/// What a painted cell of 4 by 4 pixels on an outline takes: its coverage and its place.
const CELL_BYTES: f64 = 40.0;

/// What painting anything takes.
const DRAW_BYTES: f64 = 200.0;

/// What a pixel of an image or a group takes.
const PIXEL_BYTES: f64 = 4.0;

/// What a dash of a line takes while the line is made into an outline.
const DASH_BYTES: f64 = 200.0;

/// Elements up to which a clip is a box or nearly one, which adds nothing to what it clips.
const PLAIN_CLIP: usize = 8;

/// Looks at the page as it will be drawn, and paints it on `canvas` on the way. Gives whether the
/// canvas has all of it; if not, hayro has to draw it.
///
/// # Errors
/// `Document(TooLarge)`; `Document(Timeout)` when it is no longer wanted.
pub(super) fn survey<'a>(
    page: &'a Page<'a>,
    view: View<'_>,
    canvas: Canvas<'_>,
    cache: &InterpreterCache<'a>,
    settings: &InterpreterSettings,
    stop: &Stop,
) -> Result<bool> {
    let settings = settings.clone();
    let mut context = Context::new(view.transform, view.target, cache, page.xref(), settings);
    let mut cost = Cost {
        canvas: Some(canvas),
        target: view.target,
        patterns: view.patterns,
        fonts: view.fonts,
        stop,
        bytes: 0.0,
        times: 1.0,
        clips: Vec::new(),
        masks: HashSet::new(),
        nested: false,
    };
    // A device cannot return an error; unwinding is the way out of the interpreter.
    catch_unwind(AssertUnwindSafe(|| {
        if let Some(canvas) = &mut cost.canvas {
            canvas.begin(view.transform, view.clip);
        }
        interpret_page(page, &mut context, &mut cost);
        if let Some(canvas) = &mut cost.canvas
            && view.clip.is_some()
        {
            canvas.pop_clip();
        }
        cost.canvas.is_some()
    }))
    .map_err(|payload| match payload.downcast::<Error>() {
        Ok(error) => *error,
        Err(payload) => resume_unwind(payload),
    })
}

/// How a page is looked at.
pub(super) struct View<'s> {
    /// The fax page in pixels.
    pub(super) target: Rect,
    /// From the page to pixels.
    pub(super) transform: Affine,
    /// What shows of the page, if that is not all of the target.
    pub(super) clip: Option<Rect>,
    /// Whether the document has patterns.
    pub(super) patterns: bool,
    /// Where letters that are missing are noted.
    pub(super) fonts: &'s Fonts,
}

struct Cost<'s> {
    /// None as soon as there is something that only hayro draws.
    canvas: Option<Canvas<'s>>,
    target: Rect,
    patterns: bool,
    fonts: &'s Fonts,
    stop: &'s Stop,
    bytes: f64,
    /// How often the pattern cell is drawn that is being looked at.
    times: f64,
    /// The outlines of the clips that hold, each with those before it.
    clips: Vec<f64>,
    /// Masks that hayro has by now. It draws them anew within each other mask or pattern.
    masks: HashSet<u128>,
    /// Within a mask or a pattern.
    nested: bool,
}

impl Cost<'_> {
    fn spend(&mut self, bytes: f64) {
        // A number that is none counts as too large.
        self.bytes += (bytes + DRAW_BYTES) * self.times;
        let within = self.bytes < MAX_PAGE_BYTES;
        if !within {
            leave(too_large(
                "a page of the pdf is too complex: print it to a pdf as an image and send that"
                    .to_owned(),
            ));
        }
        if let Err(error) = self.stop.check() {
            leave(error);
        }
    }

    /// The bytes of an outline within the page, in cells along it. `wide` is how far a line reaches
    /// to its sides.
    fn outline(&self, path: &BezPath, transform: Affine, wide: f64) -> f64 {
        let mut from = Point::ZERO;
        let mut length = 0.0;
        for element in path.elements() {
            let (bends, end) = match *element {
                PathEl::MoveTo(to) => {
                    from = transform * to;
                    length += 4.0;
                    continue;
                }
                PathEl::ClosePath => continue,
                PathEl::LineTo(to) => ([to, to], to),
                PathEl::QuadTo(bend, to) => ([bend, bend], to),
                PathEl::CurveTo(one, two, to) => ([one, two], to),
            };
            let to = transform * end;
            let straight = Rect::from_points(from, to).inflate(wide, wide);
            let hull = bends
                .iter()
                .fold(straight, |hull, bend| hull.union_pt(transform * *bend));
            // A curve that leaves the box of its ends may cross its hull three times.
            let (straight, hull) = (self.within(straight), self.within(hull));
            length += straight + 3.0 * (hull - straight);
            from = to;
        }
        length / 4.0 * CELL_BYTES
    }

    /// What the outlines of the clips add to something in this area.
    fn clipped(&self, area: Rect) -> f64 {
        let clips = self.clips.last().copied().unwrap_or(0.0);
        // No more than all cells of the area.
        clips.min(self.pixels(area) / PIXEL_BYTES / 16.0 * CELL_BYTES)
    }

    /// Dashes of a line; not a number if there is no end of them.
    fn dashes(path: &BezPath, stroke: &StrokeProps) -> f64 {
        let dashes = &stroke.dash_array;
        if dashes.is_empty() {
            return 0.0;
        }
        let period: f64 = dashes.iter().map(|dash| f64::from(*dash)).sum();
        if dashes.iter().any(|dash| *dash < 0.0) || period <= 0.0 {
            return f64::NAN;
        }
        let length = path.perimeter(1.0);
        let count = dashes.iter().fold(0.0, |count, _| count + 1.0);
        // The offset is walked through, too.
        (length + f64::from(stroke.dash_offset).abs()) / period * count
    }

    /// Half the length around a box, as far as it lies on the page.
    fn within(&self, area: Rect) -> f64 {
        let area = area.intersect(self.target);
        4.0 + area.width().max(0.0) + area.height().max(0.0)
    }

    fn pixels(&self, area: Rect) -> f64 {
        let area = area.intersect(self.target);
        area.width().max(0.0) * area.height().max(0.0) * PIXEL_BYTES
    }

    /// A pattern becomes a picture each time it is used.
    fn paint(&mut self, paint: &Paint<'_>, area: Rect, stroke: bool) {
        let Paint::Pattern(pattern) = paint else {
            return;
        };
        self.canvas = None;
        self.spend(self.pixels(area));
        if let Pattern::Tiling(tiling) = &**pattern {
            self.tiling(tiling, stroke);
        }
    }

    fn tiling(&mut self, tiling: &TilingPattern<'_>, stroke: bool) {
        let copies = |size: f64, step: f32| (size / f64::from(step).abs()).ceil().max(0.0) + 2.0;
        let times = self.times;
        let outside = (std::mem::take(&mut self.masks), self.nested);
        self.nested = true;
        self.times *= copies(tiling.bbox.width(), tiling.x_step)
            * copies(tiling.bbox.height(), tiling.y_step);
        tiling.interpret(self, tiling.matrix, stroke);
        self.times = times;
        (self.masks, self.nested) = outside;
    }

    fn mask(&mut self, mask: Option<&SoftMask<'_>>) {
        let Some(mask) = mask else { return };
        self.canvas = None;
        if self.masks.insert(mask.cache_key()) {
            // A mask has a byte a pixel; its colours go when it is done.
            let held = if self.nested { PIXEL_BYTES } else { 0.0 };
            self.spend(self.target.area() * (1.0 + held));
            let outside = (std::mem::take(&mut self.masks), self.nested);
            self.nested = true;
            mask.interpret(self);
            (self.masks, self.nested) = outside;
        }
    }

    fn draw(&mut self, bytes: f64, area: Rect, props: &DrawProps<'_>, mode: &DrawMode) {
        self.spend(bytes + self.clipped(area));
        self.properties(area, props, mode);
    }

    fn properties(&mut self, area: Rect, props: &DrawProps<'_>, mode: &DrawMode) {
        self.mask(props.soft_mask.as_ref());
        if props.blend_mode != BlendMode::Normal {
            self.canvas = None;
        }
        let stroke = !matches!(mode, DrawMode::Fill(_));
        self.paint(&props.paint, area, stroke);
    }
}

/// How far a line reaches to its sides and over its corners. A thin one is counted by its length.
fn wide(mode: &DrawMode, transform: Affine) -> f64 {
    let (DrawMode::Stroke(stroke) | DrawMode::FillAndStroke(_, stroke)) = mode else {
        return 0.0;
    };
    let (x, y) = x_y_advances(&transform);
    let width = f64::from(stroke.line_width) * x.length().max(y.length());
    if width > 2.0 {
        width * f64::from(stroke.miter_limit).clamp(1.0, 10.0) / 2.0
    } else {
        0.0
    }
}

/// Leaves the interpreter without the message of a panic.
fn leave(error: Error) -> ! {
    resume_unwind(Box::new(error))
}

impl<'a> Device<'a> for Cost<'_> {
    fn draw_path(&mut self, path: &BezPath, props: DrawProps<'a>, mode: &DrawMode) {
        let wide = wide(mode, props.transform);
        let area = props.transform.transform_rect_bbox(path.bounding_box());
        let mut bytes = self.outline(path, props.transform, wide);
        if let DrawMode::Stroke(stroke) | DrawMode::FillAndStroke(_, stroke) = mode {
            bytes += Self::dashes(path, stroke) * DASH_BYTES;
        }
        self.draw(bytes, area.inflate(wide, wide), &props, mode);
        if let (Some(canvas), Paint::Color(color)) = (&mut self.canvas, &props.paint) {
            canvas.path(path, props.transform, color, mode);
        }
    }

    fn draw_rect(&mut self, rect: &Rect, props: DrawProps<'a>, mode: &DrawMode) {
        if !matches!(mode, DrawMode::Fill(_)) {
            return self.draw_path(&rect.to_path(0.1), props, mode);
        }
        let area = props.transform.transform_rect_bbox(*rect);
        let bytes = self.within(area) / 2.0 * CELL_BYTES;
        self.draw(bytes, area, &props, mode);
        if let (Some(canvas), Paint::Color(color)) = (&mut self.canvas, &props.paint) {
            canvas.rect(rect, props.transform, color, mode);
        }
    }

    fn push_clip_path(&mut self, clip: &ClipPath) {
        let bytes = self.outline(&clip.path, Affine::IDENTITY, 0.0);
        self.spend(bytes + self.clipped(clip.path.bounding_box()));
        let before = self.clips.last().copied().unwrap_or(0.0);
        let plain = clip.path.elements().len() <= PLAIN_CLIP;
        self.clips.push(if plain { before } else { before + bytes });
        if let Some(canvas) = &mut self.canvas {
            canvas.clip_path(&clip.path, clip.fill);
        }
    }

    fn push_clip_rect(&mut self, rect: &Rect) {
        self.spend(self.within(*rect) / 2.0 * CELL_BYTES + self.clipped(*rect));
        self.clips.push(self.clips.last().copied().unwrap_or(0.0));
        if let Some(canvas) = &mut self.canvas {
            canvas.clip_rect(rect);
        }
    }

    fn pop_clip(&mut self) {
        self.clips.pop();
        if let Some(canvas) = &mut self.canvas {
            canvas.pop_clip();
        }
    }

    fn push_transparency_group(
        &mut self,
        opacity: f32,
        mask: Option<SoftMask<'a>>,
        blend_mode: BlendMode,
    ) {
        self.spend(0.0);
        // Any other group looks the same without being one.
        if opacity < 1.0 || blend_mode != BlendMode::Normal {
            self.canvas = None;
        }
        self.mask(mask.as_ref());
    }

    fn pop_transparency_group(&mut self) {}

    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, mode: &DrawMode) {
        // The letters are counted one by one.
        self.spend(0.0);
        self.properties(self.target, &props, mode);
        let wide = wide(mode, props.transform);
        let level = run.writing_mode() == WritingMode::Horizontal;
        for glyph in run.glyphs() {
            match &**glyph {
                Glyph::Outline(outline) => {
                    let transform = props.transform * glyph.transform();
                    // An em square; the strokes of a letter are about as long as its border.
                    let em = transform.transform_rect_bbox(Rect::new(0.0, 0.0, 1000.0, 1000.0));
                    if em.overlaps(self.target) && !matches!(mode, DrawMode::Invisible) {
                        self.fonts.look_at(outline);
                    }
                    let em = em.inflate(wide, wide);
                    self.spend(self.within(em) / 2.0 * CELL_BYTES + self.clipped(em));
                    if let (Some(canvas), Paint::Color(color)) = (&mut self.canvas, &props.paint) {
                        if let DrawMode::Fill(_) | DrawMode::FillAndStroke(..) = mode {
                            canvas.letter(outline, transform, color, level);
                        }
                        if let DrawMode::Stroke(stroke) | DrawMode::FillAndStroke(_, stroke) = mode
                        {
                            let place = (props.transform, glyph.transform());
                            canvas.letter_outline(outline, place, color, stroke);
                        }
                    }
                }
                Glyph::Type3(drawn) => {
                    self.canvas = None;
                    self.spend(0.0);
                    drawn.interpret(self, props.transform, glyph.transform(), &props.paint);
                }
            }
        }
    }

    fn draw_image(&mut self, image: Image<'a, '_>, props: ImageDrawProps<'a>) {
        self.canvas = None;
        let size = match &image {
            Image::Stencil(image) => check::image(image.stream()),
            Image::Raster(image) => check::image(image.stream()),
        };
        if let Err(error) = size {
            leave(error);
        }
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        let (x, y) = x_y_advances(&props.transform);
        let area = props
            .transform
            .transform_rect_bbox(Rect::new(0.0, 0.0, width, height));
        if area.overlaps(self.target) {
            // An image is scaled down before it is drawn, but not up, in each direction alone.
            let pixels = if x.length() < 1.0 || y.length() < 1.0 {
                (width * x.length() + 1.0) * (height * y.length() + 1.0)
            } else {
                width * height
            };
            let edge = self.within(area) / 2.0 * CELL_BYTES;
            self.spend(pixels * PIXEL_BYTES + edge + self.clipped(area));
        }
        self.mask(props.soft_mask.as_ref());
        if let Image::Stencil(stencil) = image
            && self.patterns
        {
            // What it is painted with is told only when it is decoded.
            stencil.with_stencil(|_, paint| self.paint(paint, area, false), Some((1, 1)));
        }
    }
}
