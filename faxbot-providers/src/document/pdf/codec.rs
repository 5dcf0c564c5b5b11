//! How large images are by their own codes, whatever the document says of them.

use hayro::hayro_syntax::{
    Filter,
    object::{Array, Dict, Stream},
};

/// Columns of an image or of a predictor (ISO 32000-1 §7.4.4.4, §7.4.6).
const MAX_COLUMNS: u64 = 1_000_000;

/// Pixels that decoding takes room for.
pub(super) fn pixels(stream: &Stream<'_>) -> u64 {
    let dict = stream.dict();
    let side = |long: &str, short: &str| {
        let side = dict.get::<u32>(short).or_else(|| dict.get::<u32>(long));
        side.map_or(0, u64::from)
    };
    let (width, height) = (side("Width", "W"), side("Height", "H"));
    let mut most = width.saturating_mul(height);
    for key in ["DecodeParms", "DP"] {
        let one = dict.get::<Dict<'_>>(key);
        let several = dict.get::<Array<'_>>(key);
        let several = several.iter().flat_map(|list| list.iter::<Dict<'_>>());
        for parameters in one.into_iter().chain(several) {
            most = most.max(rows_and_columns(&parameters, height));
        }
    }
    if let [filter @ (Filter::JpxDecode | Filter::Jbig2Decode)] = stream.filters().as_slice() {
        let data = stream.raw_data();
        most = most.max(if *filter == Filter::JpxDecode {
            jpeg2000(&data)
        } else {
            jbig2(&data)
        });
    }
    most
}

fn rows_and_columns(parameters: &Dict<'_>, height: u64) -> u64 {
    let number = |key: &str| parameters.get::<u32>(key).map_or(0, u64::from);
    let columns = number("Columns");
    if columns > MAX_COLUMNS || number("Colors") > 64 {
        return u64::MAX;
    }
    // A predictor has no rows: it takes room for one.
    let rows = if parameters.contains_key("K") || parameters.contains_key("Rows") {
        height.max(number("Rows"))
    } else {
        1
    };
    columns.saturating_mul(rows)
}

/// The image area of the largest SIZ marker (ISO/IEC 15444-1 §A.5.1).
fn jpeg2000(data: &[u8]) -> u64 {
    const START: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
    data.windows(16)
        .filter(|bytes| bytes.starts_with(&START))
        .filter_map(|bytes| Some((number(bytes, 8)?, number(bytes, 12)?)))
        .map(|(width, height)| width.saturating_mul(height))
        .max()
        .unwrap_or(0)
}

/// The largest page or region (ITU-T T.88 §7.2, §7.4.1, §7.4.8).
fn jbig2(mut data: &[u8]) -> u64 {
    let mut most = 0;
    while let Some((kind, header)) = jbig2_header(data) {
        let length = number(data, header.saturating_sub(4)).unwrap_or(0);
        data = data.get(header..).unwrap_or_default();
        if matches!(kind, 4 | 6 | 7 | 20 | 22 | 23 | 36 | 38..=40 | 42 | 43 | 48)
            && let (Some(width), Some(height)) = (number(data, 0), number(data, 4))
        {
            // A page of unknown height grows with its stripes, which are regions.
            let height = if height == u64::from(u32::MAX) {
                1
            } else {
                height
            };
            most = most.max(width.saturating_mul(height));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        data = data.get(length..).unwrap_or_default();
    }
    most
}

/// The type of the next segment, and the bytes of its header.
fn jbig2_header(data: &[u8]) -> Option<(u8, usize)> {
    let flags = *data.get(4)?;
    let counted = *data.get(5)?;
    let (references, at) = match counted >> 5 {
        7 => {
            let count = usize::try_from(number(data, 5)? & 0x1FFF_FFFF).ok()?;
            (count, count.checked_add(8)?.checked_div(8)?.checked_add(9)?)
        }
        count => (usize::from(count), 6),
    };
    let size = match number(data, 0)? {
        ..=256 => 1,
        257..=65_536 => 2,
        _ => 4,
    };
    let page = if flags & 0x40 == 0 { 1 } else { 4 };
    let header = references
        .checked_mul(size)?
        .checked_add(at)?
        .checked_add(page + 4)?;
    (header <= data.len()).then_some((flags & 0x3F, header))
}

fn number(data: &[u8], at: usize) -> Option<u64> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u64::from(u32::from_be_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_stream_tells_its_own_size() {
        let mut jpx = vec![0; 20];
        jpx.extend([0xFF, 0x4F, 0xFF, 0x51, 0, 47, 0, 0]);
        jpx.extend(70_000_u32.to_be_bytes());
        jpx.extend(50_000_u32.to_be_bytes());
        assert_eq!(jpeg2000(&jpx), 3_500_000_000);
        assert_eq!(jpeg2000(b"no image at all, but long"), 0);
        // Segment 0: page information, 19 bytes; segment 1: an immediate generic region.
        let mut jbig = vec![0, 0, 0, 0, 48, 0, 1, 0, 0, 0, 19, 0, 0, 0, 100, 0, 0, 0, 50];
        jbig.extend([0; 11]);
        assert_eq!(jbig2(&jbig), 5_000);
        jbig.extend([0, 0, 0, 1, 38, 0, 1, 0, 0, 0, 18, 0, 1, 0, 0, 0, 1, 0, 0]);
        assert_eq!(jbig2(&jbig), 1 << 32);
        for cut in 0..jbig.len() {
            assert!(jbig2(&jbig[..cut]) <= 1 << 32);
        }
    }
}
