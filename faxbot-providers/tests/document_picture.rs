//! PNG, JPEG and TIFF pictures through the converter.
#![cfg(test)]
#![cfg(feature = "document")]

mod document_support;
#[path = "document_support/picture.rs"]
mod picture;

use std::io::Cursor;

use faxbot_core::{
    DocumentReason,
    document::{ConvertOptions, Document, DocumentConverter, FaxTiff, Halftone, Resolution},
};
use png::{BitDepth, ColorType};

use document_support::{Bench, bitmap, test_file, with_limits};
use picture::{SHORT, SIZE, black_box, colour, fields, png, samples, tiff as tiff_file};

/// 204 by 196 pixels per inch, as pixels per metre: a pixel of the picture is one of the fax.
const FAX_DIMS: Option<(u32, u32)> = Some((8031, 7717));
const FAX_INCH: Option<(u32, u32)> = Some((204, 196));
/// Where a picture of 40 columns stands.
const LEFT: usize = (1728 - 40) / 2;

fn threshold() -> ConvertOptions {
    ConvertOptions::default().with_halftone(Halftone::Threshold)
}

/// Red is black too.
fn is_black(x: u32, y: u32) -> bool {
    colour(x, y)[1] == 0
}

/// Converts a document that has to show the test's picture pixel by pixel.
async fn shows_the_picture(name: &str, document: Vec<u8>) {
    let bench = Bench::new();
    let image = bench.convert(document, threshold()).await;
    let rows = bitmap(
        &image.unwrap_or_else(|error| panic!("{name}: {error:?}")),
        0,
    );
    assert_eq!(rows.len(), 24, "{name}");
    for (y, row) in (0..).zip(&rows) {
        for (x, black) in (0..).zip(&row[LEFT..LEFT + 40]) {
            assert_eq!(*black, is_black(x, y), "{name}: {x} {y}");
        }
        assert!(
            !row[..LEFT].contains(&true) && !row[LEFT + 40..].contains(&true),
            "{name}"
        );
    }
}

fn packed(bits: u32, value: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for y in 0..SIZE.1 {
        for x in (0..SIZE.0).step_by((8 / bits) as usize) {
            bytes.push((x..x + 8 / bits).fold(0, |byte, x| byte << bits | value(x, y)));
        }
    }
    bytes
}

#[tokio::test]
async fn a_png_of_every_kind_shows_the_same() {
    let grey = |[_, green, _]: [u8; 3]| green;
    let index = |x, y| match colour(x, y) {
        [0, ..] => 0,
        [_, 255, _] if (x + y) % 2 == 0 => 1,
        [_, 255, _] => 3,
        _ => 2,
    };
    let bit = |x, y| u8::from(!is_black(x, y));
    for (kind, data) in [
        (
            (ColorType::Grayscale, BitDepth::Eight),
            samples(|c| [grey(c)]),
        ),
        (
            (ColorType::Grayscale, BitDepth::Sixteen),
            samples(|c| [grey(c), 1]),
        ),
        ((ColorType::Grayscale, BitDepth::One), packed(1, bit)),
        (
            (ColorType::Grayscale, BitDepth::Two),
            packed(2, |x, y| 3 * bit(x, y)),
        ),
        (
            (ColorType::Grayscale, BitDepth::Four),
            packed(4, |x, y| 15 * bit(x, y)),
        ),
        (
            (ColorType::GrayscaleAlpha, BitDepth::Eight),
            samples(|c| [0, 255 - grey(c)]),
        ),
        ((ColorType::Rgb, BitDepth::Eight), samples(|c| c)),
        (
            (ColorType::Rgb, BitDepth::Sixteen),
            samples(|[r, g, b]| [r, 0, g, 0, b, 0]),
        ),
        (
            (ColorType::Rgba, BitDepth::Eight),
            samples(|[r, g, b]| [r, 0, b, 255 - g]),
        ),
        ((ColorType::Indexed, BitDepth::Two), packed(2, index)),
        ((ColorType::Indexed, BitDepth::Four), packed(4, index)),
    ] {
        shows_the_picture(&format!("{kind:?}"), png(SIZE, kind, FAX_DIMS, &data)).await;
    }
}

/// The picture without a size of its own: 72 pixels per inch, scaled.
async fn shows_the_picture_scaled(name: &str, document: Vec<u8>) {
    let bench = Bench::new();
    let image = bench.convert(document, threshold()).await;
    let rows = bitmap(
        &image.unwrap_or_else(|error| panic!("{name}: {error:?}")),
        0,
    );
    let (left, top, right, bottom) = black_box(&rows);
    assert_eq!(
        (rows.len(), right - left, top, bottom),
        (65, 113, 0, 65),
        "{name}"
    );
    for (x, y, black) in [
        (2, 2, true),
        (20, 2, false),
        (38, 5, false),
        (20, 12, true),
        (38, 22, true),
    ] {
        let found = rows[y * 65 / 24][left + x * 113 / 40];
        assert_eq!(found, black, "{name}: {x} {y}");
    }
}

#[tokio::test]
async fn a_jpeg_of_every_kind_and_an_interlaced_png_show_the_same() {
    for name in [
        "interlaced.png",
        "colour-420.jpg",
        "colour-440.jpg",
        "progressive.jpg",
        "rgb.jpg",
        "cmyk.jpg",
    ] {
        shows_the_picture_scaled(name, test_file(name)).await;
    }
    let mut grey = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut grey, 95)
        .encode(
            &samples(|[_, green, _]| [green]),
            SIZE.0,
            SIZE.1,
            image::ExtendedColorType::L8,
        )
        .unwrap();
    shows_the_picture_scaled("grey", grey).await;
    let reason = Bench::new()
        .refused(test_file("arithmetic.jpg"), threshold())
        .await;
    assert_eq!(reason, Some(DocumentReason::Unsuitable));
}

#[tokio::test]
async fn a_tiff_of_every_kind_shows_the_same() {
    let bit = |x, y| u8::from(!is_black(x, y));
    let one = |photometric, bits: &[u32], data: Vec<u8>| {
        tiff_file(&[(fields(photometric, bits, FAX_INCH), 273, vec![data])])
    };
    let mut palette = fields(3, &[8], FAX_INCH);
    let mut map = vec![0; 768];
    for (index, colour) in [(1, [1, 1, 1]), (2, [1, 0, 0])] {
        for (part, on) in colour.into_iter().enumerate() {
            map[part * 256 + index] = on * 0xffff;
        }
    }
    palette.push((320, SHORT, map));
    let indexes = samples(|[red, green, _]| [u8::from(red > 0) + u8::from(red > 0 && green == 0)]);
    let mut tiles = fields(1, &[8], FAX_INCH);
    tiles.extend([(322, SHORT, vec![32]), (323, SHORT, vec![16])]);
    let tile = |left: u32, top: u32| {
        (top..top + 16)
            .flat_map(|y| (left..left + 32).map(move |x| 255 * bit(x, y)))
            .collect()
    };
    let with_extra = |photometric, samples: usize, extra: &[u32], data: Vec<u8>| {
        let mut fields = fields(photometric, &vec![8; samples], FAX_INCH);
        fields.push((338, SHORT, extra.to_vec()));
        tiff_file(&[(fields, 273, vec![data])])
    };
    for (name, file) in [
        ("grey", one(1, &[8], samples(|[_, green, _]| [green]))),
        (
            "white is 0",
            one(0, &[8], samples(|[_, green, _]| [255 - green])),
        ),
        ("4 bits", one(1, &[4], packed(4, |x, y| 15 * bit(x, y)))),
        (
            "4 bits, white is 0",
            one(0, &[4], packed(4, |x, y| 15 - 15 * bit(x, y))),
        ),
        (
            "16 bits",
            one(1, &[16], samples(|[_, green, _]| [0, green])),
        ),
        (
            "16 bits, white is 0",
            one(0, &[16], samples(|[_, green, _]| [0, 255 - green])),
        ),
        ("rgb", one(2, &[8; 3], samples(|c| c))),
        (
            "cmyk",
            one(
                5,
                &[8; 4],
                samples(|[r, g, b]| [255 - r, 255 - g, 255 - b, 0]),
            ),
        ),
        (
            "alpha",
            with_extra(2, 4, &[2], samples(|[r, g, b]| [r, 0, b, 255 - g])),
        ),
        (
            "a sample of no meaning",
            with_extra(2, 4, &[0], samples(|[r, g, b]| [r, g, b, 77])),
        ),
        (
            "alpha and a sample of no meaning",
            with_extra(2, 5, &[2, 0], samples(|[r, g, b]| [r, 0, b, 255 - g, 77])),
        ),
        (
            "grey with alpha",
            with_extra(1, 2, &[2], samples(|[_, green, _]| [0, 255 - green])),
        ),
        (
            "grey with a sample of no meaning",
            with_extra(1, 2, &[0], samples(|[_, green, _]| [green, 0])),
        ),
        (
            "cmyk with alpha",
            with_extra(5, 5, &[2], samples(|[_, g, _]| [0, 0, 0, 255, 255 - g])),
        ),
        (
            "cmyk with a sample of no meaning",
            with_extra(
                5,
                5,
                &[0],
                samples(|[r, g, b]| [255 - r, 255 - g, 255 - b, 0, 77]),
            ),
        ),
        ("palette", tiff_file(&[(palette, 273, vec![indexes])])),
        ("bilevel", one(1, &[1], packed(1, bit))),
        (
            "tiles",
            tiff_file(&[(
                tiles,
                324,
                vec![tile(0, 0), tile(32, 0), tile(0, 16), tile(32, 16)],
            )]),
        ),
    ] {
        shows_the_picture(name, file).await;
    }
}

#[tokio::test]
async fn a_compressed_tiff_shows_the_same() {
    use tiff::encoder::{Compression, TiffEncoder, colortype};
    for (name, compression) in [
        ("lzw", Compression::Lzw),
        (
            "deflate",
            Compression::Deflate(tiff::encoder::DeflateLevel::Balanced),
        ),
        ("packbits", Compression::Packbits),
    ] {
        let mut file = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut file)
            .unwrap()
            .with_compression(compression);
        let mut page = encoder
            .new_image::<colortype::RGB8>(SIZE.0, SIZE.1)
            .unwrap();
        page.resolution(
            tiff::tags::ResolutionUnit::Inch,
            tiff::encoder::Rational { n: 204, d: 1 },
        );
        page.write_data(&samples(|c| c)).unwrap();
        shows_the_picture(name, file.into_inner()).await;
    }
}

#[tokio::test]
async fn jpeg_strips_in_a_tiff_are_decoded_and_their_end_is_looked_for() {
    let jpeg = test_file("colour-420.jpg");
    let page = |strip: &[u8]| {
        let mut fields = fields(6, &[8; 3], None);
        fields.retain(|field| field.0 != 259);
        fields.push((259, SHORT, vec![7]));
        fields.push((530, SHORT, vec![2, 2]));
        tiff_file(&[(fields, 273, vec![strip.to_vec()])])
    };
    shows_the_picture_scaled("jpeg", page(&jpeg)).await;
    let reason = Bench::new()
        .refused(page(&jpeg[..jpeg.len() - 20]), threshold())
        .await;
    assert_eq!(reason, Some(DocumentReason::Damaged));
}

#[tokio::test]
async fn every_orientation_shows_the_picture_upright() {
    // Where the black part is: of a picture of 40 by 24, or turned.
    for orientation in 1..=8 {
        let mut page = fields(1, &[1], FAX_INCH);
        page.push((274, SHORT, vec![orientation]));
        let bits = packed(1, |x, y| u8::from(!(x < 8 && y < 12)));
        let file = tiff_file(&[(page, 273, vec![bits])]);
        let bench = Bench::new();
        let image = bench.convert(file, threshold()).await.unwrap();
        let (left, top, _, _) = black_box(&bitmap(&image, 0));
        let turned = orientation >= 5;
        let middle = 1728 / 2;
        let wanted = match orientation {
            1 | 4 | 5 | 8 => left < middle - 4,
            _ => left + 2 >= middle,
        };
        assert!(wanted, "{orientation}: {left}");
        let upper = matches!(orientation, 1 | 2 | 5 | 6);
        assert_eq!(top == 0, upper, "{orientation}: {top}");
        let rows = bitmap(&image, 0).len();
        assert_eq!(rows > 24, turned, "{orientation}: {rows}");
    }
}

/// The segment of a camera that was held so.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let len = u16::try_from(block.len() + 2).unwrap().to_be_bytes();
    [&[0xff, 0xe1, len[0], len[1]], &block[..]].concat()
}

#[tokio::test]
async fn a_photo_of_a_camera_held_upright_is_upright() {
    let jpeg = test_file("colour-420.jpg");
    for (orientation, upright) in [(1, false), (3, false), (6, true), (8, true)] {
        let turned = [&jpeg[..2], &exif(orientation), &jpeg[2..]].concat();
        let bench = Bench::new();
        let image = bench.convert(turned, threshold()).await.unwrap();
        let rows = bitmap(&image, 0);
        assert_eq!(rows.len() > 100, upright, "{orientation}: {}", rows.len());
        // The black part of 16 columns, full height: at the right, the top or the bottom.
        let (left, _, right, _) = black_box(&rows);
        let black = |x: usize, y: usize| rows[y][left + x * (right - left) / 40];
        match orientation {
            3 => assert!(black(38, 62) && !black(4, 62)),
            6 => assert!(rows[2][left + 2] && rows[2][right - 2]),
            8 => assert!(rows[rows.len() - 2][left + 2]),
            _ => assert!(black(2, 2)),
        }
    }
}

#[tokio::test]
async fn pictures_have_their_size_on_paper() {
    let grey = (ColorType::Grayscale, BitDepth::Eight);
    let all_black = |size: (u32, u32), dims| {
        png(
            size,
            grey,
            dims,
            &vec![0; size.0 as usize * size.1 as usize],
        )
    };
    // Per metre.
    let dpi = |dpi: u32| Some((dpi * 10_000 / 254, dpi * 10_000 / 254));
    for (name, size, dims, wide, high) in [
        ("an A4 scan of 100 dpi", (827, 1169), dpi(100), 1688, 2286),
        ("50 mm of 300 dpi", (591, 591), dpi(300), 402, 385),
        (
            "a long receipt that says its size",
            (315, 1575),
            dpi(100),
            643,
            3080,
        ),
        ("a screenshot", (1080, 1920), None, 1343, 2286),
        (
            "a landscape photo is turned",
            (1600, 1200),
            None,
            1728,
            2207,
        ),
        ("a long screenshot", (400, 4000), None, 1134, 10865),
        ("a small icon", (32, 32), None, 91, 86),
        (
            "a silly resolution counts as none",
            (32, 32),
            dpi(1),
            91,
            86,
        ),
    ] {
        let bench = Bench::new();
        let image = bench
            .convert(all_black(size, dims), threshold())
            .await
            .unwrap();
        let (left, top, right, bottom) = black_box(&bitmap(&image, 0));
        assert_eq!(top, 0, "{name}");
        assert!(
            (right - left).abs_diff(wide) <= 1 && bottom.abs_diff(high) <= 1,
            "{name}: {} by {bottom}",
            right - left
        );
        assert!((1728 - right).abs_diff(left) <= 1, "{name}");
    }
}

#[tokio::test]
async fn a_picture_that_states_only_the_shape_of_its_pixels_keeps_its_shape() {
    // 204 pixels along are as long as 102 down: 40 by 24 pixels are 20 by 24 of the same sides.
    let black = png(
        SIZE,
        (ColorType::Grayscale, BitDepth::Eight),
        None,
        &[0; 960],
    );
    let mut chunk = [
        &b"pHYs"[..],
        &204_u32.to_be_bytes(),
        &102_u32.to_be_bytes(),
        &[0],
    ]
    .concat();
    chunk.extend(crc32(&chunk).to_be_bytes());
    let shaped = [&black[..33], &9_u32.to_be_bytes(), &chunk, &black[33..]].concat();
    let jpeg = {
        let mut file = Vec::new();
        image::codecs::jpeg::JpegEncoder::new(&mut file)
            .encode(&[0; 960], SIZE.0, SIZE.1, image::ExtendedColorType::L8)
            .unwrap();
        // Unit and densities of the JFIF header.
        file[13..18].copy_from_slice(&[0, 0, 204, 0, 102]);
        file
    };
    let mut page = fields(1, &[8], None);
    page.extend([
        (282, 5, vec![204, 1]),
        (283, 5, vec![102, 1]),
        (296, SHORT, vec![1]),
    ]);
    let tiff = tiff_file(&[(page, 273, vec![vec![0; 960]])]);
    for (name, file) in [("png", shaped), ("jpeg", jpeg), ("tiff", tiff)] {
        let bench = Bench::new();
        let image = bench.convert(file, threshold()).await.unwrap();
        let (left, _, right, bottom) = black_box(&bitmap(&image, 0));
        // 7.06 by 8.47 mm.
        assert!((right - left).abs_diff(57) <= 1, "{name}: {}", right - left);
        assert!(bottom.abs_diff(65) <= 1, "{name}: {bottom}");
    }
}

#[tokio::test]
async fn several_documents_become_one_fax_of_one_resolution() {
    let bits = |y: u32| packed(1, move |x, row| u8::from((x + row + y).is_multiple_of(3)));
    // A fax of 1728 columns made of the same byte.
    let fax = |per_inch, byte: u8| {
        let mut page = fields(0, &[1], Some((204, per_inch)));
        page.retain(|field| field.0 != 256);
        page.push((256, SHORT, vec![1728]));
        tiff_file(&[(page, 273, vec![[byte; 216 * 24].to_vec()])])
    };
    let bench = Bench::new();
    let parts = [
        png(
            SIZE,
            (ColorType::Grayscale, BitDepth::One),
            FAX_DIMS,
            &bits(0),
        ),
        fax(98, 0x5a),
        fax(196, 0xa5),
        test_file("progressive.jpg"),
    ];
    let document = Document::combined(parts.map(Document::bytes));
    let image = bench
        .converter
        .to_fax(document, ConvertOptions::default())
        .await
        .unwrap();
    assert_eq!((image.pages(), image.resolution()), (4, Resolution::Fine));
    let byte = |page, y: usize| {
        bitmap(&image, page)[y][..8]
            .iter()
            .fold(0_u8, |byte, black| byte << 1 | u8::from(*black))
    };
    assert_eq!(
        (bitmap(&image, 1).len(), byte(1, 0), byte(1, 47)),
        (48, 0x5a, 0x5a)
    );
    assert_eq!(
        (bitmap(&image, 2).len(), byte(2, 0), byte(2, 23)),
        (24, 0xa5, 0xa5)
    );
}

#[tokio::test]
async fn a_fax_is_scaled_where_it_is_asked_for() {
    let bench = Bench::new();
    let page = |width: u32, per_inch, rows: u32, row: &dyn Fn(u32) -> u8| {
        let mut page = fields(0, &[1], Some((204, per_inch)));
        page.retain(|field| field.0 > 257);
        page.extend([(256, SHORT, vec![width]), (257, SHORT, vec![rows])]);
        let data = (0..rows)
            .flat_map(|y| vec![row(y); width as usize / 8])
            .collect();
        (page, 273, vec![data])
    };
    // A hairline in every eighth row of an odd number.
    let hairlines = |y: u32| if y.is_multiple_of(8) { 0xff } else { 0 };
    let scale = |resolution| {
        ConvertOptions::default()
            .with_fax_tiff(FaxTiff::Scale)
            .with_resolution(resolution)
    };
    let lines = |rows: &[Vec<bool>]| rows.iter().filter(|row| row[100]).count();
    let file = tiff_file(&[page(1728, 391, 81, &hairlines)]);
    for (resolution, rows, black) in [
        (Resolution::Superfine, 81, 11),
        (Resolution::Fine, 41, 11),
        (Resolution::Standard, 21, 11),
    ] {
        let image = bench
            .convert(file.clone(), scale(resolution))
            .await
            .unwrap();
        let found = bitmap(&image, 0);
        assert_eq!((found.len(), lines(&found)), (rows, black), "{resolution}");
    }
    // Kept as it is, whatever is asked for.
    let keep = scale(Resolution::Standard).with_fax_tiff(FaxTiff::Keep);
    let image = bench.convert(file, keep).await.unwrap();
    assert_eq!(image.resolution(), Resolution::Superfine);

    // Two resolutions, and two widths.
    let mixed = tiff_file(&[
        page(1728, 98, 40, &|_| 0xf0),
        page(1728, 196, 40, &|_| 0x0f),
        page(2048, 196, 77, &|_| 0xff),
    ]);
    let image = bench
        .convert(mixed, ConvertOptions::default())
        .await
        .unwrap();
    assert_eq!((image.pages(), image.resolution()), (3, Resolution::Fine));
    let rows = [0, 1, 2].map(|page| bitmap(&image, page).len());
    // B4 becomes smaller in both directions: 215 of 255 mm.
    assert_eq!(rows, [80, 40, 64]);
    assert!(bitmap(&image, 2).iter().flatten().all(|black| *black));
}

#[tokio::test]
async fn a_picture_cut_anywhere_is_damaged() {
    let bench = Bench::new();
    let data = samples(|c| c);
    let strips: Vec<Vec<u8>> = data
        .chunks(SIZE.0 as usize * 3 * 8)
        .map(<[u8]>::to_vec)
        .collect();
    let mut page = fields(2, &[8; 3], FAX_INCH);
    page.push((278, SHORT, vec![8]));
    let mut last = tiff_file(&[(page, 273, strips)]);
    // The directory first, so that the cut is in a strip.
    let whole = last.len();
    for (name, file) in [
        (
            "png",
            png(SIZE, (ColorType::Rgb, BitDepth::Eight), None, &data),
        ),
        ("interlaced", test_file("interlaced.png")),
        ("baseline", test_file("colour-420.jpg")),
        ("progressive", test_file("progressive.jpg")),
        ("tiff", std::mem::take(&mut last)),
    ] {
        for part in 3..20 {
            let cut = file.len() * part / 20;
            // Behind the pixels of a PNG nothing is missed.
            if name.contains("png") || name == "interlaced" {
                let end = file.windows(4).position(|four| four == b"IEND").unwrap();
                if cut > end - 16 {
                    continue;
                }
            }
            let reason = bench.refused(&file[..cut], threshold()).await;
            assert_eq!(
                reason,
                Some(DocumentReason::Damaged),
                "{name} cut at {cut} of {whole}"
            );
        }
    }
}

#[tokio::test]
async fn hostile_pictures_are_refused_with_their_reason() {
    let bench = Bench::new();
    let huge = |width: u32, height: u32| {
        let mut file = png(SIZE, (ColorType::Grayscale, BitDepth::One), None, &[0; 120]);
        file[16..20].copy_from_slice(&width.to_be_bytes());
        file[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = crc32(&file[12..29]);
        file[29..33].copy_from_slice(&crc.to_be_bytes());
        file
    };
    let big_tiff = |width: u32, height: u32| {
        let mut page = fields(1, &[8], None);
        page.retain(|field| field.0 > 257);
        page.extend([(256, 4, vec![width]), (257, 4, vec![height])]);
        tiff_file(&[(page, 273, vec![vec![0; 64]])])
    };
    let mut big_progressive = test_file("progressive.jpg");
    let frame = big_progressive
        .windows(2)
        .position(|two| two == [0xff, 0xc2]);
    let sides = frame.unwrap() + 5;
    big_progressive[sides..sides + 4].copy_from_slice(&[0x1f, 0x40, 0x1f, 0x40]);
    let mut looped = tiff_file(&[(fields(1, &[8], None), 273, vec![vec![0; 960]])]);
    let at = looped.len() - 4;
    let first: [u8; 4] = looped[4..8].try_into().unwrap();
    looped[at..].copy_from_slice(&first);
    use DocumentReason::{Damaged, TooLarge, Unsuitable};
    let mut planes = fields(2, &[8; 3], None);
    planes.push((284, SHORT, vec![2]));
    for (name, file, reason) in [
        ("a gigapixel png", huge(50_000, 50_000), TooLarge),
        ("a line of a png", huge(1, 100_000_000), TooLarge),
        ("a row of a png", huge(100_000_000, 1), TooLarge),
        ("a png of no width", huge(0, 5), Damaged),
        ("a png as long as a street", huge(60, 65_000), TooLarge),
        ("a png without its pixels", huge(9000, 9000), Damaged),
        ("a gigapixel tiff", big_tiff(50_000, 50_000), TooLarge),
        ("a tiff of no height", big_tiff(10, 0), Damaged),
        ("a tiff without its pixels", big_tiff(2000, 2000), Damaged),
        (
            "a progressive jpeg of 64 megapixels",
            big_progressive,
            TooLarge,
        ),
        ("a chain with a loop", looped, Damaged),
        (
            "planes",
            tiff_file(&[(planes, 273, vec![vec![0; 960]; 3])]),
            Unsuitable,
        ),
    ] {
        assert_eq!(
            bench.refused(file, threshold()).await,
            Some(reason),
            "{name}"
        );
    }
    let small = png(SIZE, (ColorType::Grayscale, BitDepth::One), None, &[0; 120]);
    let few = with_limits(|limits| limits.pixels = 1728 * 10);
    assert_eq!(bench.refused(small, few).await, Some(TooLarge));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}
