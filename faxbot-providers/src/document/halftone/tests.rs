use super::*;

const ALL: [Halftone; 4] = [
    Halftone::Auto,
    Halftone::Threshold,
    Halftone::ClusteredDot,
    Halftone::FloydSteinberg,
];

/// The page in packed rows.
fn page(screen: &mut Screen, width: usize, pixels: &[u8]) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    screen.begin_page();
    for band in pixels.chunks(width * Screen::BAND) {
        screen
            .band(band, |row| {
                rows.push(row.to_vec());
                Ok(())
            })
            .unwrap();
    }
    rows
}

fn screened(method: Halftone, width: usize, pixels: &[u8]) -> Vec<Vec<u8>> {
    let mut screen = Screen::new(method, u32::try_from(width).unwrap());
    page(&mut screen, width, pixels)
}

/// A page whose pixels are a function of column and row.
fn drawn(width: usize, rows: usize, pixel: impl Fn(usize, usize) -> u8) -> Vec<u8> {
    let pixel = &pixel;
    (0..rows)
        .flat_map(|y| (0..width).map(move |x| pixel(x, y)))
        .collect()
}

fn black(rows: &[Vec<u8>]) -> f64 {
    rows.iter()
        .flatten()
        .map(|byte| f64::from(byte.count_ones()))
        .sum()
}

/// A number that looks random.
fn noise(x: usize, y: usize) -> usize {
    (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35) >> 7
}

#[test]
fn rows_are_packed_by_the_threshold() {
    let grey = [255, 0, 153, 217, 76, 226, 255, 0, 0];
    assert_eq!(
        screened(Halftone::Threshold, 9, &grey),
        [[0b0110_1001, 0b1000_0000]]
    );
}

#[test]
fn black_and_white_stay_as_they_are_under_every_method() {
    for width in [1728, 77] {
        let pixels = drawn(width, 50, |x, y| {
            if noise(x, y).is_multiple_of(3) {
                0
            } else {
                255
            }
        });
        let wanted = screened(Halftone::Threshold, width, &pixels);
        for method in ALL {
            assert!(screened(method, width, &pixels) == wanted, "{method:?}");
        }
    }
}

#[test]
fn dots_of_an_even_grey_are_as_black_as_it_is_dark() {
    for grey in 0..=255 {
        let rows = screened(Halftone::ClusteredDot, 64, &[grey; 64 * 64]);
        let share = black(&rows) / (64.0 * 64.0);
        let wanted = f64::from(255 - grey) / 255.0;
        assert!((share - wanted).abs() < 0.02, "{grey}: {share}");
        let rows = screened(Halftone::FloydSteinberg, 64, &[grey; 64 * 64]);
        let share = black(&rows) / (64.0 * 64.0);
        assert!((share - wanted).abs() < 0.02, "{grey}: {share}");
    }
}

#[test]
fn dots_grow_round_in_place() {
    let cell = |grey| screened(Halftone::ClusteredDot, 8, &[grey; 64]).concat();
    let light = [
        0b1100_0001,
        0,
        0,
        0b0001_1000,
        0b0001_1100,
        0,
        0,
        0b1000_0001,
    ];
    let half = [
        0b1100_0011,
        0b1100_0011,
        0b0011_1100,
        0b0011_1100,
        0b0011_1100,
        0b0011_1100,
        0b1100_0011,
        0b1100_0011,
    ];
    assert_eq!(cell(217), light);
    assert_eq!(cell(127), half);
}

#[test]
fn every_page_begins_anew() {
    let pixels = drawn(80, 37, |x, y| u8::try_from((x * 3 + y) % 256).unwrap());
    for method in ALL {
        let mut screen = Screen::new(method, 80);
        let first = page(&mut screen, 80, &pixels);
        assert!(page(&mut screen, 80, &pixels) == first, "{method:?}");
        assert_eq!(first.len(), 37);
    }
}

/// Strokes of 3 pixels with antialiased borders, in grey.
fn grey_text(x: usize, y: usize) -> u8 {
    match (x % 11, y % 23) {
        (_, 18..) => 255,
        (3..=5, _) | (_, 8..=10) => 153,
        (2 | 6, _) | (_, 7 | 11) => 204,
        _ => 255,
    }
}

#[test]
fn grey_text_stays_solid() {
    let pixels = drawn(400, 200, grey_text);
    let auto = screened(Halftone::Auto, 400, &pixels);
    assert!(auto == screened(Halftone::Threshold, 400, &pixels));
}

#[test]
fn light_shades_and_dirt_of_paper_become_white() {
    for pixels in [
        vec![217; 400 * 64],
        drawn(400, 64, |x, y| {
            u8::try_from(255 - noise(x, y) % 45).unwrap()
        }),
    ] {
        assert_eq!(black(&screened(Halftone::Auto, 400, &pixels)), 0.0);
    }
}

#[test]
fn an_even_grey_area_gets_dots_and_the_text_on_it_stays() {
    for (fill, ink) in [(200, 0), (128, 0), (64, 255), (128, 255)] {
        // An area that does not begin with a block, with strokes in it.
        let is_ink = |x: usize, y: usize| x % 29 < 4 && y % 40 > 15;
        let pixels = drawn(400, 200, |x, y| match (x, y) {
            (61..=340, 27..=180) if is_ink(x, y) => ink,
            (61..=340, 27..=180) => fill,
            _ => 255,
        });
        let rows = screened(Halftone::Auto, 400, &pixels);
        for y in 0..200 {
            for x in 0..400 {
                let found = rows[y][x / 8] & (0x80 >> (x % 8)) != 0;
                let pixel = pixels[y * 400 + x];
                if [0, 255].contains(&pixel) {
                    assert_eq!(found, pixel == 0, "{x} {y}");
                }
            }
        }
        let inside = drawn(400, 200, |x, y| {
            let filled = (72..=328).contains(&x) && (40..=168).contains(&y);
            u8::from(filled && pixels[y * 400 + x] == fill)
        });
        let area: f64 = inside.iter().map(|pixel| f64::from(*pixel)).sum();
        let dots = inside
            .iter()
            .enumerate()
            .filter(|(at, inside)| {
                **inside == 1 && rows[at / 400][at % 400 / 8] & (0x80 >> (at % 8)) != 0
            })
            .count();
        let share = f64::from(u32::try_from(dots).unwrap()) / area;
        assert!((0.1..0.9).contains(&share), "{fill} {ink}: {share}");
    }
}

#[test]
fn a_photo_has_dots_everywhere() {
    // A picture of waves with grain, from black to white.
    let pixels = drawn(512, 512, |x, y| {
        let wave = |at: usize| (f64::from(u32::try_from(at).unwrap()) / 40.0).sin();
        let grain = f64::from(u32::try_from(noise(x, y) % 13).unwrap()) - 6.0;
        let value = 120.0 + 75.0 * wave(x + y) + 35.0 * wave(3 * y + 40) + grain;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 4 to 250"
        )]
        let value = value.clamp(4.0, 250.0).round() as u8;
        value
    });
    let auto = screened(Halftone::Auto, 512, &pixels);
    let threshold = screened(Halftone::Threshold, 512, &pixels);
    let dots: Vec<Vec<u8>> = {
        let mut rows = threshold.clone();
        for (y, row) in rows.iter_mut().enumerate() {
            let pixels = &pixels[y * 512..(y + 1) * 512];
            dots::row(pixels, &DOTS_BESIDE_TEXT[y % 8], row);
        }
        rows
    };
    let differ = auto
        .iter()
        .flatten()
        .zip(dots.iter().flatten())
        .filter(|(auto, dots)| auto != dots)
        .count();
    assert!(differ * 100 < 64 * 512, "{differ}");
}
