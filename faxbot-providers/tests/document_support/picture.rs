//! Pictures that tests make, and what became of them.

use std::io::Cursor;

/// The picture of the tests: 40 by 24, the left 16 columns black, the rest white above row 8 and red
/// below.
pub(crate) const SIZE: (u32, u32) = (40, 24);

/// Red, green and blue of a pixel of it.
pub(crate) fn colour(x: u32, y: u32) -> [u8; 3] {
    match (x, y) {
        (..16, _) => [0; 3],
        (_, ..8) => [255; 3],
        _ => [255, 0, 0],
    }
}

/// All pixels of it, each as `sample` makes it of its colour.
pub(crate) fn samples<const N: usize>(sample: impl Fn([u8; 3]) -> [u8; N]) -> Vec<u8> {
    let sample = &sample;
    (0..SIZE.1)
        .flat_map(|y| (0..SIZE.0).flat_map(move |x| sample(colour(x, y))))
        .collect()
}

/// Left, top, right and bottom of what is black; right and bottom are outside.
pub(crate) fn black_box(rows: &[Vec<bool>]) -> (usize, usize, usize, usize) {
    let columns = || 0..rows[0].len();
    let column = |x: usize| rows.iter().any(|row| row[x]);
    let black = |row: &Vec<bool>| row.contains(&true);
    (
        columns().position(column).unwrap(),
        rows.iter().position(black).unwrap(),
        columns().rposition(column).unwrap() + 1,
        rows.iter().rposition(black).unwrap() + 1,
    )
}

/// A PNG of the given kind. `dims` is pixels per metre in both directions.
pub(crate) fn png(
    (width, height): (u32, u32),
    (color, depth): (png::ColorType, png::BitDepth),
    dims: Option<(u32, u32)>,
    data: &[u8],
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut info = png::Info::with_size(width, height);
    info.color_type = color;
    info.bit_depth = depth;
    if color == png::ColorType::Indexed {
        info.palette = Some(vec![0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0].into());
        // The last colour is black, and cannot be seen.
        info.trns = Some(vec![255, 255, 255, 0].into());
    }
    info.pixel_dims = dims.map(|(xppu, yppu)| png::PixelDimensions {
        xppu,
        yppu,
        unit: png::Unit::Meter,
    });
    let mut writer = png::Encoder::with_info(Cursor::new(&mut file), info)
        .unwrap()
        .write_header()
        .unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    file
}

/// A tag of a TIFF page: its number, its type and its values.
pub(crate) type Field = (u16, u16, Vec<u32>);

pub(crate) const SHORT: u16 = 3;
pub(crate) const LONG: u16 = 4;
pub(crate) const RATIONAL: u16 = 5;

/// Fields, the tag of the places of strips or tiles, and these.
pub(crate) type Page = (Vec<Field>, u16, Vec<Vec<u8>>);

/// A little-endian TIFF.
pub(crate) fn tiff(pages: &[Page]) -> Vec<u8> {
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    for (fields, places, strips) in pages {
        let mut fields = fields.clone();
        let mut offsets = Vec::new();
        for strip in strips {
            offsets.push(u32::try_from(file.len()).unwrap());
            file.extend_from_slice(strip);
            file.resize(file.len().next_multiple_of(2), 0);
        }
        let lengths = strips
            .iter()
            .map(|strip| u32::try_from(strip.len()).unwrap());
        let counts = if *places == 273 { 279 } else { places + 1 };
        fields.push((*places, LONG, offsets));
        fields.push((counts, LONG, lengths.collect()));
        fields.sort_by_key(|field| field.0);
        let mut directory = u16::try_from(fields.len()).unwrap().to_le_bytes().to_vec();
        for (tag, kind, values) in &fields {
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| {
                    value.to_le_bytes()[..if *kind == SHORT { 2 } else { 4 }].to_vec()
                })
                .collect();
            let count = values.len() / if *kind == RATIONAL { 2 } else { 1 };
            directory.extend(tag.to_le_bytes());
            directory.extend(kind.to_le_bytes());
            directory.extend(u32::try_from(count).unwrap().to_le_bytes());
            if bytes.len() <= 4 {
                let mut inline = bytes;
                inline.resize(4, 0);
                directory.extend(inline);
            } else {
                directory.extend(u32::try_from(file.len()).unwrap().to_le_bytes());
                file.extend(bytes);
            }
        }
        let at = u32::try_from(file.len()).unwrap();
        file[link..link + 4].copy_from_slice(&at.to_le_bytes());
        file.extend(directory);
        link = file.len();
        file.extend([0; 4]);
    }
    file
}

/// The fields of a page of the test's picture.
pub(crate) fn fields(photometric: u32, bits: &[u32], per_inch: Option<(u32, u32)>) -> Vec<Field> {
    let mut fields = vec![
        (256, LONG, vec![SIZE.0]),
        (257, LONG, vec![SIZE.1]),
        (258, SHORT, bits.to_vec()),
        (259, SHORT, vec![1]),
        (262, SHORT, vec![photometric]),
        (277, SHORT, vec![u32::try_from(bits.len()).unwrap()]),
    ];
    if let Some((x, y)) = per_inch {
        fields.push((282, RATIONAL, vec![x, 1]));
        fields.push((283, RATIONAL, vec![y, 1]));
        fields.push((296, SHORT, vec![2]));
    }
    fields
}
