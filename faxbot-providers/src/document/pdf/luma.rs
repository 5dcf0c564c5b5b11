//! Colour to grey, a band of rows at a time: what was just read from memory is still in the cache
//! when it is turned to black and white.

/// A band of white pixels compares as a whole this many bytes at a time.
const BLOCK: usize = 64;

/// The luma of opaque pixels (four bytes each: red, green, blue, alpha) as a byte each.
pub(super) fn grey(pixels: &[u8], width: usize, grey: &mut Vec<u8>) {
    grey.resize(pixels.len() / 4, 0xFF);
    let rows = pixels.chunks_exact(width.saturating_mul(4).max(4));
    for (row, grey) in rows.zip(grey.chunks_exact_mut(width.max(1))) {
        if is_white(row) {
            grey.fill(0xFF);
        } else {
            for (pixel, grey) in row.as_chunks().0.iter().zip(grey) {
                *grey = luma(*pixel);
            }
        }
    }
}

fn is_white(row: &[u8]) -> bool {
    let (blocks, rest) = row.as_chunks::<BLOCK>();
    // No branch within a block, so that it is compared with few instructions.
    blocks
        .iter()
        .all(|block| block.iter().fold(0xFF, |all, byte| all & byte) == 0xFF)
        && rest.iter().all(|byte| *byte == 0xFF)
}

/// ITU-R BT.601.
fn luma([red, green, blue, _]: [u8; 4]) -> u8 {
    let weighted = u32::from(red) * 77 + u32::from(green) * 150 + u32::from(blue) * 29;
    // The weights add up to 256.
    weighted.to_le_bytes()[1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_the_luminance_of_itu_r_bt_601() {
        assert_eq!(luma([255, 255, 255, 255]), 255);
        assert_eq!(luma([0, 0, 0, 255]), 0);
        assert_eq!(luma([153, 153, 153, 255]), 153);
        assert_eq!(luma([255, 0, 0, 255]), 76);
        assert_eq!(luma([255, 255, 0, 255]), 226);
    }

    #[test]
    fn rows_of_white_and_of_colour_become_grey() {
        let mut band = vec![0xFF; 4 * 40 * 3];
        band[4 * 45] = 0;
        let mut found = vec![7; 3];
        grey(&band, 40, &mut found);
        let mut wanted = vec![0xFF; 120];
        wanted[45] = luma([0, 255, 255, 255]);
        assert_eq!(found, wanted);
        grey(&band[..160], 40, &mut found);
        assert_eq!(found, [0xFF; 40]);
    }
}
