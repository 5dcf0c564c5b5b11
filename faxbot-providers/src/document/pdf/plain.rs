//! Pages of text and lines only, which most faxes are: painted straight into the scene, each shape
//! of a letter once. hayro's own way fills the outline of every letter anew when pixels are to be
//! black or white without grey at their edges, which takes twice as long.
//!
//! What is painted is what hayro paints, except that letters stand on quarters of a pixel across and
//! on whole rows, as hayro places them when it paints in grey.

use std::{collections::HashMap, sync::Arc};

use hayro::{
    hayro_interpret::{
        DrawMode, FillRule, StrokeProps,
        color::Color,
        font::{HintingCache, OutlineGlyph},
    },
    kurbo::{Affine, BezPath, Cap, Join, Rect, Shape, Stroke},
    vello_cpu::{
        Image, ImageSource, PixelMetadata, Pixmap, RasterizerSettings, RenderContext, Resources,
        TargetInit, Tint, TintMode,
        color::{
            AlphaColor, Srgb,
            palette::css::{BLACK, TRANSPARENT},
        },
        peniko::{Extend, Fill, ImageAlphaType, ImageQuality, ImageSampler},
    },
};

use super::page::COVERAGE;

/// Places of a letter within a pixel, across.
const STEPS: f64 = 4.0;

/// Pixels of a letter's sides up to which its shape is kept.
const MAX_SIDE: f64 = 128.0;

/// Pixels an em square has for its letters to be hinted.
const HINTED: std::ops::RangeInclusive<f64> = 4.0..=128.0;

/// Units of an em square.
const EM: f64 = 1000.0;

/// Shapes of letters, kept from page to page.
#[derive(Default)]
pub(super) struct Letters {
    shapes: HashMap<Key, Option<Shaped>>,
    hinting: HintingCache,
    resources: Resources,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    glyph: u128,
    hinted: bool,
    linear: [u64; 4],
    step: u8,
}

#[derive(Clone)]
struct Shaped {
    pixels: Arc<Pixmap>,
    left: f64,
    top: f64,
}

/// A page being painted.
pub(super) struct Canvas<'c> {
    pub(super) context: &'c mut RenderContext,
    pub(super) letters: &'c mut Letters,
}

impl Canvas<'_> {
    /// Begins a page that shows what is within `clip`, if that is not all.
    pub(super) fn begin(&mut self, transform: Affine, clip: Option<Rect>) {
        self.context.take_current_state();
        self.context.reset_mask();
        self.context.reset_filter_effect();
        self.context.set_aliasing_threshold(Some(COVERAGE));
        if let Some(clip) = clip {
            self.context.set_transform(transform);
            self.context.push_clip_rect(&clip);
        }
    }

    pub(super) fn clip_path(&mut self, path: &BezPath, rule: FillRule) {
        self.context.set_fill_rule(fill_rule(rule));
        self.context.set_transform(Affine::IDENTITY);
        self.context.push_clip_path(path);
    }

    pub(super) fn clip_rect(&mut self, rect: &Rect) {
        self.context.set_fill_rule(Fill::NonZero);
        self.context.set_transform(Affine::IDENTITY);
        self.context.push_clip_rect(rect);
    }

    pub(super) fn pop_clip(&mut self) {
        self.context.pop_clip();
    }

    pub(super) fn path(
        &mut self,
        path: &BezPath,
        transform: Affine,
        color: &Color,
        mode: &DrawMode,
    ) {
        self.context.set_transform(transform);
        self.context.set_paint(rgba(color));
        if let DrawMode::Fill(rule) | DrawMode::FillAndStroke(rule, _) = mode {
            self.context.set_fill_rule(fill_rule(*rule));
            self.context.fill_path(path);
        }
        if let DrawMode::Stroke(stroke) | DrawMode::FillAndStroke(_, stroke) = mode {
            self.stroke(path, transform, stroke, 1.0);
        }
    }

    pub(super) fn rect(&mut self, rect: &Rect, transform: Affine, color: &Color, mode: &DrawMode) {
        if matches!(mode, DrawMode::Fill(_)) {
            self.context.set_transform(transform);
            self.context.set_paint(rgba(color));
            self.context.set_fill_rule(Fill::NonZero);
            self.context.fill_rect(rect);
        } else {
            self.path(&rect.to_path(0.1), transform, color, mode);
        }
    }

    /// The outline of a letter as a path.
    pub(super) fn letter_outline(
        &mut self,
        glyph: &OutlineGlyph,
        (run, place): (Affine, Affine),
        color: &Color,
        stroke: &StrokeProps,
    ) {
        self.context.set_paint(rgba(color));
        self.context.set_transform(run);
        // Letters would look very bold with lines of a pixel.
        self.stroke(&(place * glyph.outline()), run, stroke, 0.25);
    }

    pub(super) fn letter(
        &mut self,
        glyph: &OutlineGlyph,
        transform: Affine,
        color: &Color,
        level: bool,
    ) {
        let [a, b, c, d, e, f] = transform.as_coeffs();
        let hinted = level && b == 0.0 && HINTED.contains(&(d.abs() * EM));
        let steps = (e * STEPS).round();
        let (x, y) = ((steps / STEPS).floor(), f.round());
        let part = steps - x * STEPS;
        let key = Key {
            glyph: glyph.identifier().cache_key(),
            hinted,
            linear: [a, b, c, d].map(f64::to_bits),
            step: [0, 1, 2, 3]
                .into_iter()
                .rfind(|step| f64::from(*step) <= part)
                .unwrap_or(0),
        };
        if let Some(known) = self.letters.shapes.get(&key) {
            if let Some(shape) = known.clone() {
                self.paint_shape(&shape, x, y, rgba(color));
            }
            return;
        }
        let outline = hinted
            .then(|| {
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "a number within HINTED, to the nearest"
                )]
                let size = (d.abs() * EM) as f32;
                glyph.hinted_outline(size, &self.letters.hinting)
            })
            .flatten();
        let hinted_outline = outline.is_some();
        let path = outline.unwrap_or_else(|| glyph.outline());
        let placed = Affine::new([a, b, c, d, part / STEPS, 0.0]) * &path;
        let area = placed.bounding_box();
        let sides = (area.width(), area.height());
        if !(sides.0 <= MAX_SIDE && sides.1 <= MAX_SIDE) {
            let y = if hinted_outline { y } else { f };
            self.context.set_paint(rgba(color));
            self.context.set_fill_rule(Fill::NonZero);
            self.context.set_transform(Affine::new([a, b, c, d, e, y]));
            self.context.fill_path(&path);
            return;
        }
        let shape = shaped(&placed, area, &mut self.letters.resources);
        if let Some(shape) = &shape {
            self.paint_shape(shape, x, y, rgba(color));
        }
        self.letters.shapes.insert(key, shape);
    }

    fn paint_shape(&mut self, shape: &Shaped, x: f64, y: f64, color: AlphaColor<Srgb>) {
        let (width, height) = (shape.pixels.width(), shape.pixels.height());
        self.context
            .set_transform(Affine::translate((x + shape.left, y + shape.top)));
        self.context.set_paint_transform(Affine::IDENTITY);
        self.context.set_paint(Image {
            image: ImageSource::Pixmap(shape.pixels.clone()),
            sampler: ImageSampler {
                x_extend: Extend::Pad,
                y_extend: Extend::Pad,
                quality: ImageQuality::Low,
                alpha: 1.0,
            },
        });
        let tinted = color != BLACK;
        if tinted {
            self.context.set_tint(Some(Tint {
                color,
                mode: TintMode::AlphaMask,
            }));
        }
        let area = Rect::new(0.0, 0.0, f64::from(width), f64::from(height));
        // A whole number of pixels: without the threshold it is filled faster.
        self.context.set_aliasing_threshold(None);
        self.context.fill_rect(&area);
        self.context.set_aliasing_threshold(Some(COVERAGE));
        if tinted {
            self.context.set_tint(None);
        }
    }

    /// Lines have at least `least` pixels in the finer direction, as hayro draws them.
    fn stroke(&mut self, path: &BezPath, transform: Affine, props: &StrokeProps, least: f64) {
        let [a, b, c, d, ..] = transform.as_coeffs();
        let factor = a.hypot(b).max(c.hypot(d));
        let mut width = f64::from(props.line_width).max(0.01 / factor);
        let pixels = width * factor;
        if pixels < least {
            width = width / pixels * least;
        }
        // At a pixel, round ends look like square ones and cost more.
        let thin = pixels <= 1.0;
        let cap = match props.line_cap {
            Cap::Round if thin => Cap::Square,
            cap => cap,
        };
        let join = match props.line_join {
            Join::Round if thin => Join::Bevel,
            join => join,
        };
        self.context.set_stroke(Stroke {
            width,
            join,
            miter_limit: f64::from(props.miter_limit),
            start_cap: cap,
            end_cap: cap,
            dash_pattern: props
                .dash_array
                .iter()
                .map(|dash| f64::from(*dash))
                .collect(),
            dash_offset: f64::from(props.dash_offset),
        });
        self.context.stroke_path(path);
    }
}

/// A letter's pixels, black where enough of a pixel is covered.
fn shaped(path: &BezPath, area: Rect, resources: &mut Resources) -> Option<Shaped> {
    if area.is_zero_area() {
        return None;
    }
    let (left, top) = (area.x0.floor(), area.y0.floor());
    let mut context = RenderContext::new(side(area.x1 - left), side(area.y1 - top));
    context.set_aliasing_threshold(Some(COVERAGE));
    context.set_transform(Affine::translate((-left, -top)));
    context.set_paint(BLACK);
    context.fill_path(path);
    context.flush();
    let mut pixels = Pixmap::new(context.width(), context.height());
    let settings = RasterizerSettings {
        target_init: TargetInit::Clear(TRANSPARENT),
        ..RasterizerSettings::default()
    };
    context.render_with(&mut pixels, resources, settings);
    let (width, height) = (pixels.width(), pixels.height());
    let metadata = PixelMetadata {
        may_have_transparency: true,
        alpha_type: ImageAlphaType::AlphaPremultiplied,
    };
    let data = pixels.data_as_u8_slice().to_vec();
    Some(Shaped {
        pixels: Arc::new(Pixmap::from_parts(data, width, height, metadata)),
        left,
        top,
    })
}

fn side(length: f64) -> u16 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 1 and MAX_SIDE and a pixel more"
    )]
    let side = length.ceil().clamp(1.0, MAX_SIDE + 2.0) as u16;
    side
}

fn rgba(color: &Color) -> AlphaColor<Srgb> {
    let [red, green, blue, alpha] = color.to_rgba().to_rgba8();
    AlphaColor::from_rgba8(red, green, blue, alpha)
}

fn fill_rule(rule: FillRule) -> Fill {
    match rule {
        FillRule::NonZero => Fill::NonZero,
        FillRule::EvenOdd => Fill::EvenOdd,
    }
}
