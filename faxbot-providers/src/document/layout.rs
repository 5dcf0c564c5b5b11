//! How a page of any size stands on fax paper.

use faxbot_core::document::{FaxWidth, Resolution};

use super::text::rows_per_row;

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
    let turned = width > height && width * mm > paper.millimetres() * TURN_FROM;
    let (across, down) = if turned {
        (height, width)
    } else {
        (width, height)
    };
    let columns = f64::from(paper.pixels());
    let shrink = (paper.millimetres() / (across * mm)).min(1.0);
    let scale_x = mm * columns / paper.millimetres() * shrink;
    let scale_y = mm * resolution.lines_per_millimetre() * shrink;
    let height = down * mm * shrink;
    // Files say 842 or 841 points for the 841.89 of A4.
    let height = if (height - A4_HEIGHT_MM).abs() < A4_TOLERANCE_MM {
        A4_HEIGHT_MM
    } else {
        height
    };
    Some(Layout {
        rows: whole(height * resolution.lines_per_millimetre()).max(1),
        turned,
        scale_x,
        scale_y,
        left: ((columns - across * scale_x) / 2.0).floor().max(0.0),
    })
}

/// Where a picture stands on its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Whether it is turned by 90 degrees, anticlockwise, before it is scaled.
    pub(super) turned: bool,
    /// Columns left of the picture.
    pub(super) left: u32,
    /// Columns of the picture; at least 1, at most those of the paper.
    pub(super) columns: u32,
    /// Rows of the picture and of its page; at least 1.
    pub(super) rows: u32,
}

/// Where the size of a picture comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// It is a page of a fax, which was as wide as paper and upright.
    Fax,
    /// The picture states it.
    Stated,
    /// Nobody does.
    Guessed,
}

/// How many times as high as wide a picture is that is no page but a roll of paper.
const ROLL: f64 = 3.0;

/// Places a picture of `width` by `height` millimetres.
///
/// One that states its size and fits across the paper keeps it, however high it is. Any other is
/// scaled down to the paper's width and height, turned if that is better; a roll is scaled to the
/// width alone, and so is a page of a wider fax. Nothing is made larger.
pub(super) fn place(
    (width, height): (f64, f64),
    size: Size,
    paper: FaxWidth,
    resolution: Resolution,
) -> Option<Place> {
    if !width.is_normal() || !height.is_normal() || width < 0.0 || height < 0.0 {
        return None;
    }
    let sheet = paper.millimetres();
    let turned = size != Size::Fax && width > height && width > sheet * TURN_FROM;
    let (across, down) = if turned {
        (height, width)
    } else {
        (width, height)
    };
    let shrink = (sheet / across).min(1.0);
    let fits = size == Size::Stated && shrink == 1.0;
    let shrink = if fits || size == Size::Fax || down > across * ROLL {
        shrink
    } else {
        shrink.min(f64::from(sheet_height_mm(paper)) / down)
    };
    let points = (across * shrink / MM_PER_POINT, down * shrink / MM_PER_POINT);
    let layout = fit(points, 1.0, paper, resolution)?;
    let columns = whole(points.0 * layout.scale_x + 0.5).clamp(1, paper.pixels());
    Some(Place {
        turned,
        left: (paper.pixels() - columns) / 2,
        columns,
        rows: layout.rows,
    })
}

/// Places a page of a fax as wide as the paper on a page in another resolution: each row becomes
/// two or four, or two or four become one.
pub(super) fn place_fax(
    rows: u32,
    from: Resolution,
    paper: FaxWidth,
    resolution: Resolution,
) -> Place {
    Place {
        turned: false,
        left: 0,
        columns: paper.pixels(),
        rows: rows.saturating_mul(lines(resolution)).div_ceil(lines(from)),
    }
}

/// The size in millimetres of a fax page.
pub(super) fn fax_size_mm(
    rows: u32,
    width: FaxWidth,
    resolution: Resolution,
) -> Option<(f64, f64)> {
    (rows > 0).then(|| {
        (
            width.millimetres(),
            f64::from(rows) / resolution.lines_per_millimetre(),
        )
    })
}

/// How many rows of a fax in resolution `from` make whole rows in `resolution`.
pub(super) fn rows_together(from: Resolution, resolution: Resolution) -> u32 {
    (lines(from) / lines(resolution)).max(1)
}

/// Rows for each row of standard resolution.
fn lines(resolution: Resolution) -> u32 {
    rows_per_row(resolution).into()
}

/// The size in millimetres of `width` by `height` pixels with so many of them per inch. 204 pixels
/// and 98, 196 and 391 lines per inch are names for those of ITU-T T.4, which are not quite as many.
pub(super) fn size_mm((width, height): (u32, u32), (x, y): (f64, f64)) -> (f64, f64) {
    let (width, height) = (f64::from(width), f64::from(height));
    match Resolution::from_lines_per_inch(y) {
        Some(resolution) if FAX_PIXELS_PER_INCH.contains(&x) => (
            width * FaxWidth::A4.millimetres() / f64::from(FaxWidth::A4.pixels()),
            height / resolution.lines_per_millimetre(),
        ),
        _ => (width / x * 25.4, height / y * 25.4),
    }
}

/// Pixels per inch of a row that stand for the 204 of a fax: files say 203, 204 or 204.1. A scan
/// of 200 by 200 is no fax, and as large as it says.
const FAX_PIXELS_PER_INCH: std::ops::RangeInclusive<f64> = 202.0..=206.0;

/// The height of the paper that belongs to a width: A4, B4 (ISO 216 would say 353, T.4's paper is
/// the Japanese one of 364) and A3.
pub(super) fn sheet_height_mm(width: FaxWidth) -> u16 {
    match width {
        FaxWidth::B4 => 364,
        FaxWidth::A3 => 420,
        _ => 297,
    }
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

    fn placed(mm: (f64, f64), size: Size) -> (bool, u32, u32, u32) {
        let place = place(mm, size, FaxWidth::A4, Resolution::Fine).unwrap();
        (place.turned, place.left, place.columns, place.rows)
    }

    #[test]
    fn a_picture_that_says_its_size_keeps_it() {
        assert_eq!(
            placed((210.0, 297.0), Size::Stated),
            (false, 20, 1688, 2286)
        );
        assert_eq!(placed((107.5, 100.0), Size::Stated), (false, 432, 864, 770));
        assert_eq!(
            placed((107.5, 600.0), Size::Stated),
            (false, 432, 864, 4620)
        );
    }

    #[test]
    fn a_picture_too_large_is_scaled_to_the_sheet() {
        // 4000 by 3000 pixels at 72 per inch, turned; then 9 by 16, and a roll.
        assert_eq!(
            placed((1411.1, 1058.3), Size::Guessed),
            (true, 0, 1728, 2207)
        );
        assert_eq!(
            placed((381.0, 677.3), Size::Stated),
            (false, 192, 1343, 2286)
        );
        assert_eq!(
            placed((381.0, 4000.0), Size::Stated),
            (false, 0, 1728, 17380)
        );
        // Small, without a size of its own.
        assert_eq!(placed((100.0, 50.0), Size::Guessed), (false, 462, 804, 385));
        // As wide as the paper, too high for a page.
        assert_eq!(
            placed((200.0, 400.0), Size::Guessed),
            (false, 267, 1194, 2286)
        );
    }

    #[test]
    fn a_page_of_a_wider_fax_is_scaled_and_never_turned() {
        let b4 = fax_size_mm(77, FaxWidth::B4, Resolution::Fine).unwrap();
        assert_eq!(placed(b4, Size::Fax), (false, 0, 1728, 64));
    }

    #[test]
    fn rows_of_a_fax_become_two_or_one_of_two() {
        use Resolution::{Fine, Standard, Superfine};
        for (from, to, rows, together) in [
            (Standard, Fine, 202, 1),
            (Standard, Superfine, 404, 1),
            (Fine, Standard, 51, 2),
            (Superfine, Standard, 26, 4),
            (Superfine, Fine, 51, 2),
            (Fine, Fine, 101, 1),
        ] {
            let place = place_fax(101, from, FaxWidth::A4, to);
            assert_eq!((place.columns, place.rows), (1728, rows));
            assert_eq!(rows_together(from, to), together);
        }
    }

    #[test]
    fn fax_resolutions_are_those_of_t4() {
        assert_eq!(size_mm((1728, 1540), (204.0, 196.0)), (215.0, 200.0));
        assert_eq!(size_mm((300, 600), (300.0, 300.0)), (25.4, 50.8));
    }
}
