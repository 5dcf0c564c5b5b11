//! Clustered dots: a newspaper screen of 45 degrees.

use super::pack::padded;

/// The order in which the pixels of a cell of 8 by 8 become black: those where
/// `cos(2 pi x / 8) cos(2 pi y / 8)` is highest first, equal ones from both dots in turn and from
/// opposite sides of a dot. So two round dots grow (at a corner and in the middle of the cell), touch
/// at half grey as a checkerboard of 4 by 4, and leave two round holes.
const ORDER: [[u8; 8]; 8] = [
    [0, 8, 50, 60, 56, 40, 18, 4],
    [10, 24, 36, 48, 42, 32, 28, 16],
    [53, 39, 27, 15, 21, 31, 35, 47],
    [63, 55, 13, 3, 7, 23, 45, 59],
    [57, 41, 19, 5, 1, 9, 51, 61],
    [43, 33, 29, 17, 11, 25, 37, 49],
    [20, 30, 34, 46, 52, 38, 26, 14],
    [6, 22, 44, 58, 62, 54, 12, 2],
];

/// Below which value a pixel of the cell is black. The black share of an even grey `g` is
/// `(255 - g) / 255` within 1/128.
pub(super) static DOTS: [[u8; 8]; 8] = limits(0, 255);

/// The same with nearly black as black and nearly white as white: ink and paper of a scan have no
/// holes and no specks.
pub(super) static DOTS_BESIDE_TEXT: [[u8; 8]; 8] = limits(24, 240);

/// Limits spread evenly from `white` down to `black`.
#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, within 0 to 255"
)]
const fn limits(black: u32, white: u32) -> [[u8; 8]; 8] {
    let mut limits = [[0; 8]; 8];
    let mut at = 0;
    while at < 64 {
        let order = ORDER[at / 8][at % 8] as u32;
        // Rounded up, as what is below the limit is black.
        limits[at / 8][at % 8] = (white - (white - black) * (2 * order + 1) / 128) as u8;
        at += 1;
    }
    limits
}

/// Screens a row with a row of the cell.
pub(super) fn row(pixels: &[u8], cell: &[u8; 8], row: &mut [u8]) {
    let (eights, rest) = pixels.as_chunks();
    let mut bytes = row.iter_mut();
    for (eight, byte) in eights.iter().zip(&mut bytes) {
        *byte = black(eight, cell);
    }
    if let Some(byte) = bytes.next() {
        *byte = black(&padded(rest), cell);
    }
}

/// A bit for each of eight pixels that is below its limit.
pub(super) fn black(pixels: &[u8; 8], cell: &[u8; 8]) -> u8 {
    pixels.iter().zip(cell).fold(0, |byte, (pixel, limit)| {
        byte << 1 | u8::from(pixel < limit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_has_every_place_once() {
        let mut all: Vec<u8> = ORDER.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..64));
    }

    #[test]
    fn black_and_white_have_no_dots() {
        for cell in DOTS.iter().chain(&DOTS_BESIDE_TEXT) {
            assert_eq!(black(&[0; 8], cell), 0xff);
            assert_eq!(black(&[255; 8], cell), 0);
        }
        for cell in &DOTS_BESIDE_TEXT {
            assert_eq!(black(&[24; 8], cell), 0xff);
            assert_eq!(black(&[240; 8], cell), 0);
        }
    }
}
