//! The threshold, eight pixels at a time.

/// Luminance from which a pixel is white under the threshold. Grey text (153) stays; light table
/// shades (217) go.
const WHITE_FROM: u8 = 160;

const HIGH: u64 = 0x8080_8080_8080_8080;
const LOW: u64 = 0x0101_0101_0101_0101;

/// Packs a row by the threshold; the bits behind its end are 0.
pub(super) fn threshold(pixels: &[u8], row: &mut [u8]) {
    let (eights, rest) = pixels.as_chunks();
    for (eight, byte) in eights.iter().zip(row.iter_mut()) {
        *byte = black(u64::from_be_bytes(*eight));
    }
    if let Some(last) = last(rest, row) {
        *last = black(u64::from_be_bytes(padded(rest)));
    }
}

/// As [`threshold`], and marks in `grey`, a word for eight pixels, those that are neither black nor
/// white.
pub(super) fn threshold_and_mark(pixels: &[u8], row: &mut [u8], grey: &mut [u64]) {
    let (eights, rest) = pixels.as_chunks();
    for ((eight, byte), grey) in eights.iter().zip(row.iter_mut()).zip(grey.iter_mut()) {
        let word = u64::from_be_bytes(*eight);
        *byte = black(word);
        *grey |= impure(word);
    }
    if let (Some(last), Some(grey)) = (last(rest, row), grey.last_mut()) {
        let word = u64::from_be_bytes(padded(rest));
        *last = black(word);
        *grey |= impure(word);
    }
}

/// The byte of a row for the pixels behind the last eight, if there are some.
fn last<'a>(rest: &[u8], row: &'a mut [u8]) -> Option<&'a mut u8> {
    if rest.is_empty() {
        None
    } else {
        row.last_mut()
    }
}

/// Fewer than eight pixels with white behind them.
pub(super) fn padded(rest: &[u8]) -> [u8; 8] {
    let mut eight = [255; 8];
    for (pixel, from) in eight.iter_mut().zip(rest) {
        *pixel = *from;
    }
    eight
}

/// What carries the white values above 127, without their top bit, into the top bit.
const CARRY: u64 = LOW * (256 - WHITE_FROM as u64);

/// A bit for each of eight pixels, the first in the highest byte, that is below the threshold.
fn black(word: u64) -> u8 {
    let white = ((word & !HIGH) + CARRY) & word & HIGH;
    gather(!white & HIGH)
}

/// Gathers the top bit of each byte: the product moves bit `8 i` to `56 + i`, without a carry.
fn gather(tops: u64) -> u8 {
    let product = (tops >> 7).wrapping_mul(0x0102_0408_1020_4080);
    product.to_be_bytes()[0]
}

/// Not 0 when a byte is neither 0 nor 255.
fn impure(word: u64) -> u64 {
    word ^ (((word & HIGH) >> 7) * 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_alone_is_black_below_the_threshold() {
        for place in 0..8 {
            for value in 0..=255_u8 {
                for beside in [0, 159, 160, 255] {
                    let mut pixels = [beside; 8];
                    pixels[place] = value;
                    let wanted = pixels.iter().enumerate().fold(0, |byte, (at, pixel)| {
                        byte | (u8::from(*pixel < WHITE_FROM) << (7 - at))
                    });
                    assert_eq!(black(u64::from_be_bytes(pixels)), wanted, "{pixels:?}");
                    let pure = pixels.iter().all(|pixel| [0, 255].contains(pixel));
                    assert_eq!(impure(u64::from_be_bytes(pixels)) == 0, pure, "{pixels:?}");
                }
            }
        }
    }
}
