//! How large a page is on paper.

use faxbot_core::document::{FaxWidth, Resolution, tiff::PageInfo};

use super::upright::Turn;

/// How far a nominal resolution may be off: 200 and 204 mean the same, 196 and 204 do not.
const TOLERANCE: f64 = 0.025;

/// What no fax and no scanner has counts as unknown, in pixels per inch.
const POSSIBLE: std::ops::RangeInclusive<f64> = 20.0..=4800.0;

/// Width and height of the upright page in millimetres, by its resolution tags: 215 mm for 1728
/// columns and 3.85, 7.7 or 15.4 lines per millimetre for the fax resolutions, which the tags round.
/// A page that does not tell counts as fine.
pub(in crate::document) fn millimetres(page: &PageInfo) -> (f64, f64) {
    let across = f64::from(page.width) / columns_per_mm(page.width, page.x_per_inch());
    let down = f64::from(page.rows) / rows_per_mm(page.y_per_inch());
    if Turn::of(page).transpose {
        (down, across)
    } else {
        (across, down)
    }
}

fn columns_per_mm(width: u32, per_inch: Option<f64>) -> f64 {
    match per_inch.filter(|value| POSSIBLE.contains(value)) {
        Some(value) if !near(value, Resolution::PIXELS_PER_INCH) => value / 25.4,
        _ => fax_columns_per_mm(width),
    }
}

/// Columns per millimetre of fax paper, for which files say 200, 203 or 204 pixels per inch.
fn fax_columns_per_mm(width: u32) -> f64 {
    let paper = FaxWidth::from_pixels(width).unwrap_or_default();
    f64::from(paper.pixels()) / paper.millimetres()
}

fn rows_per_mm(per_inch: Option<f64>) -> f64 {
    let Some(value) = per_inch.filter(|value| POSSIBLE.contains(value)) else {
        return Resolution::Fine.lines_per_millimetre();
    };
    Resolution::ALL
        .into_iter()
        .find(|it| near(value, it.lines_per_inch()))
        .map_or(value / 25.4, Resolution::lines_per_millimetre)
}

fn near(value: f64, nominal: u32) -> bool {
    (value / f64::from(nominal) - 1.0).abs() <= TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fax_resolutions_have_their_true_geometry_and_others_what_they_say() {
        for (x, expected) in [
            (None, 215.0),
            (Some(204.0), 215.0),
            (Some(200.0), 215.0),
            (Some(203.0), 215.0),
            (Some(196.0), 1728.0 / 196.0 * 25.4),
            (Some(300.0), 1728.0 / 300.0 * 25.4),
            // Forged.
            (Some(0.000_1), 215.0),
            (Some(1e12), 215.0),
            (Some(f64::NAN), 215.0),
        ] {
            let found = 1728.0 / columns_per_mm(1728, x);
            assert!((found - expected).abs() < 1e-9, "{x:?}: {found}");
        }
        for (y, expected) in [
            (None, 7.7),
            (Some(98.0), 3.85),
            (Some(100.0), 3.85),
            (Some(195.58), 7.7),
            (Some(200.0), 7.7),
            (Some(391.0), 15.4),
            (Some(400.0), 15.4),
            (Some(300.0), 300.0 / 25.4),
            (Some(0.000_1), 7.7),
        ] {
            let found = rows_per_mm(y);
            assert!((found - expected).abs() < 1e-9, "{y:?}: {found}");
        }
    }
}
