//! Rows as lists of colour changes.
//!
//! A list holds the pixels where the colour differs from the pixel before (the first is compared
//! with white), ascending, each below the width. So entries at even places start black, entries at
//! odd places start white, and the length's parity is the colour at the end of the row.

const TOP: u64 = 1 << 63;

/// Replaces `changes` by those of a packed row of `width` pixels.
pub(super) fn find_changes(row: &[u8], width: u32, changes: &mut Vec<u32>) {
    changes.clear();
    let mut carry = 0;
    let mut base = 0;
    for chunk in row.chunks(8) {
        let word = match chunk.first_chunk::<8>() {
            Some(bytes) => u64::from_be_bytes(*bytes),
            None => partial_word(chunk),
        };
        let mut marks = word ^ (word >> 1 | carry << 63);
        carry = word & 1;
        if width - base < 64 {
            // Bits behind the width are padding of any value.
            marks &= !(u64::MAX >> (width - base));
        }
        while marks != 0 {
            let offset = marks.leading_zeros();
            changes.push(base + offset);
            marks ^= TOP >> offset;
        }
        base += 64;
    }
}

fn partial_word(chunk: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(chunk) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

/// Paints a row of `width` pixels into words from its changes; bits behind the width become 0.
pub(super) fn paint(changes: &[u32], width: u32, words: &mut [u64]) {
    words.fill(0);
    if changes.is_empty() {
        return;
    }
    for &change in changes {
        if let Some(word) = words.get_mut((change / 64) as usize) {
            *word |= TOP >> (change % 64);
        }
    }
    let mut carry = 0;
    for word in words.iter_mut() {
        // Each bit becomes the parity of the marks up to it: the inverse of `find_changes`.
        let mut fill = *word;
        if fill == 0 {
            // Most words of most pages.
            *word = carry;
            continue;
        }
        fill ^= fill >> 1;
        fill ^= fill >> 2;
        fill ^= fill >> 4;
        fill ^= fill >> 8;
        fill ^= fill >> 16;
        fill ^= fill >> 32;
        fill ^= carry;
        carry = 0_u64.wrapping_sub(fill & 1);
        *word = fill;
    }
    let used = width % 64;
    if used > 0
        && let Some(last) = words.last_mut()
    {
        *last &= !(u64::MAX >> used);
    }
}

/// Packs painted words into a row; `words` has `width.div_ceil(64)` of them.
pub(super) fn write_row(words: &[u64], row: &mut [u8]) {
    let (chunks, rest) = row.as_chunks_mut::<8>();
    let mut words = words.iter();
    for (chunk, word) in chunks.iter_mut().zip(words.by_ref()) {
        *chunk = word.to_be_bytes();
    }
    if let Some(last) = words.next() {
        for (to, from) in rest.iter_mut().zip(last.to_be_bytes()) {
            *to = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(row: &[u8], width: u32) -> (Vec<u32>, Vec<u8>) {
        let mut changes = vec![7];
        find_changes(row, width, &mut changes);
        let mut painted = vec![0xaa; row.len()];
        let mut words = vec![1; width.div_ceil(64) as usize];
        paint(&changes, width, &mut words);
        write_row(&words, &mut painted);
        (changes, painted)
    }

    #[test]
    fn changes_alternate_from_white() {
        assert_eq!(
            round_trip(&[0b0011_1000], 8),
            (vec![2, 5], vec![0b0011_1000])
        );
        assert_eq!(
            round_trip(&[0b1000_0001], 8),
            (vec![0, 1, 7], vec![0b1000_0001])
        );
        assert_eq!(round_trip(&[0xff; 9], 72), (vec![0], vec![0xff; 9]));
        assert_eq!(round_trip(&[0; 9], 72), (vec![], vec![0; 9]));
    }

    #[test]
    fn padding_bits_make_no_changes_and_are_painted_white() {
        assert_eq!(round_trip(&[0b0000_0111], 5), (vec![], vec![0]));
        assert_eq!(round_trip(&[0b0000_1111], 5), (vec![4], vec![0b0000_1000]));
    }

    #[test]
    fn a_run_across_words_has_no_change_at_their_border() {
        let mut row = [0; 32];
        row[7] = 1;
        row[8..24].fill(0xff);
        row[24] = 0x80;
        assert_eq!(round_trip(&row, 256), (vec![63, 193], row.to_vec()));
    }

    #[test]
    fn every_single_pixel_of_odd_widths_is_found() {
        for width in [1_u32, 7, 8, 9, 63, 64, 65, 127, 128, 129] {
            for pixel in 0..width {
                let mut row = vec![0; width.div_ceil(8) as usize];
                row[pixel as usize / 8] = 0x80 >> (pixel % 8);
                let (changes, painted) = round_trip(&row, width);
                let mut expected = vec![pixel, pixel + 1];
                expected.retain(|change| *change < width);
                assert_eq!((changes, painted), (expected, row), "{width} {pixel}");
            }
        }
    }
}
