//! How a page of any size stands on fax paper.

use faxbot_core::document::{FaxWidth, Resolution};

const MM_PER_POINT: f64 = 25.4 / 72.0;

const A4_HEIGHT_MM: f64 = 297.0;
/// A little more than a point.
const A4_TOLERANCE_MM: f64 = 0.4;

/// A page that is wider than the paper by less than this is not turned, only scaled down: a
/// square page or a Letter page would gain nothing.
const TURN_FROM: f64 = 1.01;

/// Where the page goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layout {
    /// Rows of the fax page; at least 1.
    pub(super) rows: u32,
    /// Whether the page is turned by 90 degrees, anticlockwise, before it is scaled.
    pub(super) turned: bool,
    /// Columns per point.
    pub(super) scale_x: f64,
    /// Rows per point.
    pub(super) scale_y: f64,
    /// Columns left of the page.
    pub(super) left: f64,
}

/// Millimetres of a row (ITU-T T.4 §2.1: 1728 along 215 mm, 2048 along 255, 2432 along 303).
fn paper_mm(width: FaxWidth) -> f64 {
    match width {
        FaxWidth::B4 => 255.0,
        FaxWidth::A3 => 303.0,
        _ => 215.0,
    }
}

/// Lines per millimetre (ITU-T T.4 §2.2 and Annex table: 3.85, 7.7, 15.4), which the nominal 98,
/// 196 and 391 lines per inch stand for.
fn lines_per_mm(resolution: Resolution) -> f64 {
    match resolution {
        Resolution::Standard => 3.85,
        Resolution::Superfine => 15.4,
        _ => 7.7,
    }
}

/// Places a page of `width` by `height` units of `unit` points; `None` if it has no size.
pub(super) fn fit(
    (width, height): (f64, f64),
    unit: f64,
    paper: FaxWidth,
    resolution: Resolution,
) -> Option<Layout> {
    let mm = MM_PER_POINT * unit;
    if !(width * mm).is_normal()
        || !(height * mm).is_normal()
        || width * mm < 0.0
        || height * mm < 0.0
    {
        return None;
    }
    let turned = width > height && width * mm > paper_mm(paper) * TURN_FROM;
    let (across, down) = if turned {
        (height, width)
    } else {
        (width, height)
    };
    let columns = f64::from(paper.pixels());
    let shrink = (paper_mm(paper) / (across * mm)).min(1.0);
    let scale_x = mm * columns / paper_mm(paper) * shrink;
    let scale_y = mm * lines_per_mm(resolution) * shrink;
    let height = down * mm * shrink;
    // Files say 842 or 841 points for the 841.89 of A4.
    let height = if (height - A4_HEIGHT_MM).abs() < A4_TOLERANCE_MM {
        A4_HEIGHT_MM
    } else {
        height
    };
    Some(Layout {
        rows: whole(height * lines_per_mm(resolution)).max(1),
        turned,
        scale_x,
        scale_y,
        left: ((columns - across * scale_x) / 2.0).floor().max(0.0),
    })
}

/// Rounds down; what no page can have becomes the largest number.
fn whole(rows: f64) -> u32 {
    // A hair more: 141.732 points are 50 mm, which is a whole number of rows.
    let rows = (rows + 0.01).floor();
    if rows >= f64::from(u32::MAX) {
        return u32::MAX;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 0 and u32::MAX, checked above"
    )]
    let rows = rows.max(0.0) as u32;
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const A4: (f64, f64) = (595.276, 841.89);
    const A4_ROUNDED: [(f64, f64); 3] = [(595.0, 842.0), (595.0, 841.0), (596.0, 843.0)];

    fn fine(size: (f64, f64)) -> Layout {
        fit(size, 1.0, FaxWidth::A4, Resolution::Fine).unwrap()
    }

    #[test]
    fn a4_has_the_rows_of_its_resolution() {
        for resolution in Resolution::ALL {
            let layout = fit(A4, 1.0, FaxWidth::A4, resolution).unwrap();
            assert_eq!(layout.rows, resolution.rows_a4());
            assert!(!layout.turned);
            assert_eq!(layout.left, 20.0);
            for size in A4_ROUNDED {
                let layout = fit(size, 1.0, FaxWidth::A4, resolution).unwrap();
                assert_eq!(layout.rows, resolution.rows_a4(), "{size:?}");
            }
        }
    }

    #[test]
    fn landscape_is_turned_and_gives_the_same_page() {
        let layout = fine((A4.1, A4.0));
        assert!(layout.turned);
        assert_eq!(
            Layout {
                turned: false,
                ..layout
            },
            fine(A4)
        );
    }

    #[test]
    fn landscape_that_fits_across_stays_upright() {
        let layout = fine((595.276, 420.0));
        assert!(!layout.turned);
        assert_eq!(layout.rows, 1140);
    }

    #[test]
    fn a_page_wider_than_the_paper_is_scaled_down_in_proportion() {
        // Letter is 0.9 mm too wide.
        let letter = fine((612.0, 792.0));
        assert!((letter.scale_x * 612.0 - 1728.0).abs() < 1e-6);
        assert_eq!((letter.rows, letter.left), (2142, 0.0));
        let a2 = fine((1190.55, 1683.78));
        assert!((a2.scale_x * 1190.55 - 1728.0).abs() < 1e-6);
        let square = fine((14400.0, 14400.0));
        assert!(!square.turned || square.rows == 1655);
        assert_eq!(square.rows, 1655);
    }

    #[test]
    fn user_units_scale_the_page() {
        assert_eq!(
            fit(
                (A4.0 / 2.0, A4.1 / 2.0),
                2.0,
                FaxWidth::A4,
                Resolution::Fine
            )
            .unwrap()
            .rows,
            2286
        );
    }

    #[test]
    fn impossible_sizes_have_no_layout_and_huge_ones_no_overflow() {
        for size in [
            (0.0, 10.0),
            (10.0, 0.0),
            (-1.0, 10.0),
            (f64::NAN, 1.0),
            (f64::INFINITY, 1.0),
        ] {
            assert_eq!(
                fit(size, 1.0, FaxWidth::A4, Resolution::Fine),
                None,
                "{size:?}"
            );
        }
        assert_eq!(fine((1.0, 1e30)).rows, u32::MAX);
        assert_eq!(fine((0.1, 0.1)).rows, 1);
    }
}
