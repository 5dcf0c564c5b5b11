//! Fax TIFF: what is written is read, by this crate and by libtiff; hostile files are refused.
#![cfg(test)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use std::io::Cursor;

use faxbot_core::document::{
    Resolution,
    ccitt::{CcittError, T6Encoder},
    tiff::{
        Compression, FillOrder, PageInfo, PageNumber, PageNumbers, Photometric, Rational,
        TiffError, TiffLimits, TiffReader, TiffWriter,
    },
};

#[allow(dead_code, reason = "each test file uses a part of the charts")]
mod charts;

use charts::{Chart, Numbers};

type Reader = TiffReader<Cursor<Vec<u8>>>;

fn encode(chart: &Chart) -> Vec<u8> {
    let mut encoder = T6Encoder::new(chart.width).unwrap();
    for row in &chart.rows {
        encoder.encode_row(row).unwrap();
    }
    encoder.finish()
}

fn file(pages: &[(Chart, Resolution)]) -> Vec<u8> {
    let width = pages[0].0.width;
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()))
        .unwrap()
        .with_width(width)
        .unwrap();
    for (chart, resolution) in pages {
        writer
            .add_page(chart.rows.len() as u32, *resolution, &encode(chart))
            .unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn three_pages() -> Vec<(Chart, Resolution)> {
    vec![
        (charts::text(1728, 300, 1), Resolution::Fine),
        (charts::lines(1728, 151), Resolution::Standard),
        (charts::halftone(1728, 77), Resolution::Superfine),
    ]
}

fn open(file: &[u8]) -> Result<Reader, TiffError> {
    TiffReader::open(Cursor::new(file.to_vec()))
}

fn rows(reader: &mut Reader, page: &PageInfo) -> Result<Vec<Vec<u8>>, TiffError> {
    let mut rows = Vec::new();
    reader.decode_page(page, |row| rows.push(row.to_vec()))?;
    Ok(rows)
}

/// Opens, reads the tags of and decodes everything: the rows of each page.
fn read_all(file: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, TiffError> {
    let mut reader = open(file)?;
    let pages: Vec<PageInfo> = reader.pages().collect::<Result<_, _>>()?;
    pages.iter().map(|page| rows(&mut reader, page)).collect()
}

/// A hand-made file: its entries as (tag, type, count, value), each page linked to the next.
#[derive(Clone)]
struct Raw {
    big: bool,
    data: Vec<u8>,
    pages: Vec<Vec<(u16, u16, u32, u32)>>,
    /// Where the last page's link leads.
    last_link: u32,
}

impl Raw {
    /// One page of 16 by 4 pixels, `data` as its strip at offset 8.
    fn new(data: &[u8]) -> Self {
        let page = vec![
            (256, 4, 1, 16),
            (257, 4, 1, 4),
            (259, 3, 1, 4),
            (262, 3, 1, 0),
            (273, 4, 1, 8),
            (278, 4, 1, 4),
            (279, 4, 1, data.len() as u32),
        ];
        Self {
            big: false,
            data: data.to_vec(),
            pages: vec![page],
            last_link: 0,
        }
    }

    fn with(mut self, tag: u16, kind: u16, count: u32, value: u32) -> Self {
        self.pages[0].retain(|entry| entry.0 != tag);
        self.pages[0].push((tag, kind, count, value));
        self.pages[0].sort_unstable();
        self
    }

    fn without(mut self, tag: u16) -> Self {
        self.pages[0].retain(|entry| entry.0 != tag);
        self
    }

    fn build(&self) -> Vec<u8> {
        let short = |value: u16| {
            if self.big {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        let long = |value: u32| {
            if self.big {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        let mut out = if self.big {
            b"MM".to_vec()
        } else {
            b"II".to_vec()
        };
        out.extend(short(42));
        out.extend(long(8 + self.data.len() as u32));
        out.extend(&self.data);
        for (index, page) in self.pages.iter().enumerate() {
            out.extend(short(page.len() as u16));
            for &(tag, kind, count, value) in page {
                out.extend(short(tag));
                out.extend(short(kind));
                out.extend(long(count));
                if kind == 3 && count == 1 {
                    out.extend(short(value as u16));
                    out.extend([0; 2]);
                } else {
                    out.extend(long(value));
                }
            }
            let next = out.len() as u32 + 4;
            out.extend(long(if index + 1 < self.pages.len() {
                next
            } else {
                self.last_link
            }));
        }
        out
    }
}

fn small() -> Chart {
    Chart {
        width: 16,
        rows: vec![
            vec![0x00, 0x00],
            vec![0x0f, 0xf0],
            vec![0x0f, 0x01],
            vec![0xff, 0xff],
        ],
    }
}

#[test]
fn written_pages_are_read_with_their_pixels_and_tags() {
    let pages = three_pages();
    let mut reader = open(&file(&pages)).unwrap();
    assert_eq!(reader.page_count(), 3);
    for (index, (chart, resolution)) in pages.iter().enumerate() {
        let page = reader.page(index as u32).unwrap();
        assert_eq!((page.width, page.rows), (1728, chart.rows.len() as u32));
        assert_eq!(page.compression, Compression::T6);
        assert_eq!(page.photometric, Photometric::MinIsWhite);
        assert_eq!(page.fill_order, FillOrder::MsbFirst);
        assert_eq!(
            (
                page.bits_per_sample,
                page.samples_per_pixel,
                page.orientation
            ),
            (1, 1, 1)
        );
        assert_eq!((page.subfile_type, page.t6_options), (2, 0));
        assert_eq!(
            page.x_resolution,
            Some(Rational {
                numerator: 204,
                denominator: 1
            })
        );
        assert_eq!(
            page.y_per_inch(),
            Some(f64::from(resolution.lines_per_inch()))
        );
        assert_eq!(page.fax_resolution(), Some(*resolution));
        assert_eq!(
            page.page_number,
            Some(PageNumber {
                number: index as u16,
                total: 3
            })
        );
        assert_eq!((page.strips.len(), page.rows_per_strip), (1, page.rows));
        assert_eq!(reader.read_strip(page.strips[0]).unwrap(), encode(chart));
        assert_eq!(rows(&mut reader, &page).unwrap(), chart.rows);
    }
    assert!(matches!(
        reader.page(3),
        Err(TiffError::NoPage { page: 3, pages: 3 })
    ));
}

#[test]
fn the_wider_fax_pages_are_written_and_other_widths_refused() {
    for width in [1728, 2048, 2432] {
        let chart = charts::text(width, 100, 4);
        assert_eq!(
            read_all(&file(&[(chart.clone(), Resolution::Fine)])).unwrap(),
            [chart.rows]
        );
    }
    for width in [0, 1, 1734, 2433] {
        let writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
        assert!(
            matches!(writer.with_width(width), Err(TiffError::Unsupported { .. })),
            "{width}"
        );
    }
}

#[test]
fn a_file_is_valid_after_each_page_and_has_no_total_until_it_is_finished() {
    let mut out = Cursor::new(Vec::new());
    let mut writer = TiffWriter::new(&mut out).unwrap();
    let chart = charts::text(1728, 60, 1);
    for _ in 0..2 {
        writer
            .add_page(60, Resolution::Fine, &encode(&chart))
            .unwrap();
    }
    drop(writer);
    let mut reader = open(out.get_ref()).unwrap();
    assert_eq!(reader.page_count(), 2);
    let page = reader.page(1).unwrap();
    assert_eq!(
        page.page_number,
        Some(PageNumber {
            number: 1,
            total: 0
        })
    );
    assert_eq!(rows(&mut reader, &page).unwrap(), chart.rows);
}

#[test]
fn no_page_and_empty_pages_are_refused() {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
    assert!(matches!(
        writer.add_page(0, Resolution::Fine, &[1]),
        Err(TiffError::Unsupported { .. })
    ));
    assert!(matches!(
        writer.add_page(1, Resolution::Fine, &[]),
        Err(TiffError::Unsupported { .. })
    ));
    assert!(matches!(writer.finish(), Err(TiffError::NoPage { .. })));
}

#[test]
fn a_page_range_is_copied_byte_for_byte() {
    let pages = three_pages();
    let mut reader = open(&file(&pages)).unwrap();
    for (numbers, expected) in [
        (
            PageNumbers::Keep,
            PageNumber {
                number: 1,
                total: 3,
            },
        ),
        (
            PageNumbers::Renumber,
            PageNumber {
                number: 0,
                total: 2,
            },
        ),
    ] {
        let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
        writer.copy_pages(&mut reader, 1..3, numbers).unwrap();
        let mut copy = TiffReader::open(writer.finish().unwrap()).unwrap();
        assert_eq!(copy.page_count(), 2);
        assert_eq!(copy.page(0).unwrap().page_number, Some(expected));
        for index in 0..2 {
            let (old, new) = (reader.page(index + 1).unwrap(), copy.page(index).unwrap());
            assert_eq!(
                copy.read_strip(new.strips[0]).unwrap(),
                reader.read_strip(old.strips[0]).unwrap()
            );
            let same = PageInfo::clone(&new);
            assert_eq!(
                (same.width, same.rows, same.y_resolution),
                (old.width, old.rows, old.y_resolution)
            );
            assert_eq!(
                rows(&mut copy, &new).unwrap(),
                pages[index as usize + 1].0.rows
            );
        }
    }
}

#[test]
fn added_and_copied_pages_are_numbered_together() {
    let pages = three_pages();
    let mut reader = open(&file(&pages)).unwrap();
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()))
        .unwrap()
        .with_software("Faxbot\u{e9}\n");
    writer
        .add_page(300, Resolution::Fine, &encode(&pages[0].0))
        .unwrap();
    writer
        .copy_pages(&mut reader, 2..3, PageNumbers::Renumber)
        .unwrap();
    writer
        .copy_pages(&mut reader, 0..0, PageNumbers::Renumber)
        .unwrap();
    let error = writer
        .copy_pages(&mut reader, 2..4, PageNumbers::Renumber)
        .unwrap_err();
    assert!(matches!(error, TiffError::NoPage { page: 3, pages: 3 }));
    assert_eq!(writer.page_count(), 2);
    let file = writer.finish().unwrap().into_inner();
    assert!(file.windows(7).any(|bytes| bytes == b"Faxbot\0"));
    let mut copy = open(&file).unwrap();
    for index in 0..2 {
        let expected = PageNumber {
            number: index,
            total: 2,
        };
        assert_eq!(copy.page(index.into()).unwrap().page_number, Some(expected));
    }
}

#[test]
fn copies_keep_strips_fill_order_options_and_quality_tags() {
    let mut raw = Raw::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
        .with(254, 4, 1, 2)
        .with(259, 3, 1, 3)
        .with(266, 3, 1, 2)
        .with(274, 3, 1, 6)
        .with(278, 4, 1, 2)
        .with(292, 4, 1, 5)
        .with(296, 3, 1, 3)
        .with(326, 4, 1, 7)
        .with(327, 3, 1, 2)
        .with(328, 4, 1, 3);
    // Two strips of three and five bytes, then their table in the data.
    raw.data
        .extend([8, 0, 0, 0, 11, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0]);
    let raw = raw.with(273, 4, 2, 18).with(279, 4, 2, 26);
    let mut reader = open(&raw.build()).unwrap();
    let old = reader.page(0).unwrap();
    assert_eq!(old.strips.len(), 2);
    let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
    writer
        .copy_pages(&mut reader, 0..1, PageNumbers::Keep)
        .unwrap();
    let mut copy = TiffReader::open(writer.finish().unwrap()).unwrap();
    let mut new = copy.page(0).unwrap();
    for (from, to) in old.strips.iter().zip(&new.strips) {
        assert_eq!(
            reader.read_strip(*from).unwrap(),
            copy.read_strip(*to).unwrap()
        );
    }
    new.strips.clone_from(&old.strips);
    assert_eq!(new, old);
    assert_eq!(
        (old.bad_rows, old.clean_fax_data, old.consecutive_bad_rows),
        (Some(7), Some(2), Some(3))
    );
    assert_eq!(
        (old.t4_options, old.orientation, old.page_number),
        (5, 6, None)
    );
    let error = rows(&mut copy, &new).unwrap_err();
    assert!(matches!(error, TiffError::Unsupported { .. }), "{error}");
}

#[test]
fn big_endian_files_and_both_fill_orders_and_photometrics_give_the_same_pixels() {
    let strip = encode(&small());
    let reversed: Vec<u8> = strip.iter().map(|byte| byte.reverse_bits()).collect();
    let inverted: Vec<Vec<u8>> = small()
        .rows
        .iter()
        .map(|row| row.iter().map(|byte| !byte).collect())
        .collect();
    for big in [false, true] {
        let table = [
            (Raw::new(&strip), small().rows),
            (Raw::new(&reversed).with(266, 3, 1, 2), small().rows),
            (Raw::new(&strip).with(262, 3, 1, 1), inverted.clone()),
            (Raw::new(&strip).without(262), small().rows),
            (Raw::new(&small().bytes()).with(259, 3, 1, 1), small().rows),
            (Raw::new(&small().bytes()).without(259), small().rows),
            // Dimensions as SHORT and BYTE, RowsPerStrip as "all".
            (
                Raw::new(&strip)
                    .with(256, 3, 1, 16)
                    .with(278, 4, 1, u32::MAX),
                small().rows,
            ),
        ];
        for (mut raw, expected) in table {
            raw.big = big;
            assert_eq!(read_all(&raw.build()).unwrap(), [expected]);
        }
    }
}

#[test]
fn pages_of_several_strips_are_decoded_as_one() {
    let chart = small();
    let strips: Vec<Vec<u8>> = chart
        .rows
        .chunks(3)
        .map(|rows| {
            encode(&Chart {
                width: 16,
                rows: rows.to_vec(),
            })
        })
        .collect();
    let mut raw = Raw::new(&strips.concat()).with(278, 4, 1, 3);
    let table = raw.data.len() as u32 + 8;
    for value in [
        8,
        8 + strips[0].len() as u32,
        strips[0].len() as u32,
        strips[1].len() as u32,
    ] {
        raw.data.extend(value.to_le_bytes());
    }
    let raw = raw.with(273, 4, 2, table).with(279, 4, 2, table + 8);
    assert_eq!(read_all(&raw.build()).unwrap(), [chart.rows]);
}

#[test]
fn units_and_odd_resolutions_are_understood() {
    let strip = encode(&small());
    let mut raw = Raw::new(&strip)
        .with(282, 5, 1, 8 + strip.len() as u32)
        .with(283, 5, 1, 16 + strip.len() as u32);
    raw.data
        .extend([80_u32, 1, 385, 5].map(u32::to_le_bytes).concat());
    for (unit, x, y) in [
        (3, Some(203.2), Some(195.58)),
        (2, Some(80.0), Some(77.0)),
        (1, None, None),
    ] {
        let page = open(&raw.clone().with(296, 3, 1, unit).build())
            .unwrap()
            .page(0)
            .unwrap();
        let close =
            |a: Option<f64>, b: Option<f64>| a.zip(b).map_or(a == b, |(a, b)| (a - b).abs() < 1e-9);
        assert!(
            close(page.x_per_inch(), x) && close(page.y_per_inch(), y),
            "{unit}: {page:?}"
        );
    }
    let mut zero = raw.clone();
    let end = zero.data.len();
    zero.data[end - 4..].fill(0);
    assert_eq!(
        open(&zero.build()).unwrap().page(0).unwrap().y_per_inch(),
        None
    );
    assert_eq!(
        open(&Raw::new(&strip).build())
            .unwrap()
            .page(0)
            .unwrap()
            .y_per_inch(),
        None
    );
}

#[test]
fn files_that_are_no_tiff_are_told_apart() {
    for bytes in [
        &b""[..],
        b"II",
        b"%PDF-1.7\n",
        b"II\x2a\0\x08\0\0",
        b"IM\x2a\0\x08\0\0\0",
        b"II\0\x2a\x08\0\0\0",
    ] {
        assert!(matches!(open(bytes), Err(TiffError::NotTiff)), "{bytes:?}");
    }
    assert!(matches!(
        open(b"II\x2b\0\x08\0\0\0\x10\0\0\0\0\0\0\0"),
        Err(TiffError::BigTiff)
    ));
    assert!(matches!(
        open(b"II\x2a\0\0\0\0\0"),
        Err(TiffError::NoPage { pages: 0, .. })
    ));
}

#[test]
fn loops_and_endless_chains_of_pages_are_refused() {
    let strip = encode(&small());
    let first = 8 + strip.len() as u32;
    let directory = 2 + 12 * 7 + 4;
    for (pages, link, expected) in [
        (1, first, 0),
        (3, first, 0),
        (3, first + directory, 1),
        (3, first + 2 * directory, 2),
    ] {
        let mut raw = Raw::new(&strip);
        raw.pages = vec![raw.pages[0].clone(); pages];
        raw.last_link = link;
        let error = open(&raw.build()).unwrap_err();
        assert!(
            matches!(error, TiffError::Loop { page } if page == expected),
            "{error}"
        );
    }
    let mut raw = Raw::new(&strip);
    raw.pages = vec![raw.pages[0].clone(); 6];
    let limits = TiffLimits::new().with_max_pages(5);
    let error = TiffReader::with_limits(Cursor::new(raw.build()), limits).unwrap_err();
    assert!(
        matches!(
            error,
            TiffError::Limit {
                value: 6,
                limit: 5,
                ..
            }
        ),
        "{error}"
    );
    raw.pages.pop();
    assert_eq!(
        TiffReader::with_limits(Cursor::new(raw.build()), limits)
            .unwrap()
            .page_count(),
        5
    );
}

#[test]
fn impossible_tags_are_refused_before_memory_is_taken() {
    let strip = encode(&small());
    let raw = || Raw::new(&strip);
    type Check = fn(&TiffError) -> bool;
    let table: Vec<(&str, Raw, Check)> = vec![
        ("no width", raw().without(256), |e| {
            matches!(e, TiffError::MissingTag { tag: 256, .. })
        }),
        ("no rows", raw().without(257), |e| {
            matches!(e, TiffError::MissingTag { tag: 257, .. })
        }),
        ("no offsets", raw().without(273), |e| {
            matches!(e, TiffError::MissingTag { tag: 273, .. })
        }),
        ("no lengths", raw().without(279), |e| {
            matches!(e, TiffError::MissingTag { tag: 279, .. })
        }),
        ("width 0", raw().with(256, 4, 1, 0), |e| {
            matches!(e, TiffError::InvalidTag { tag: 256, .. })
        }),
        ("rows 0", raw().with(257, 4, 1, 0), |e| {
            matches!(e, TiffError::InvalidTag { tag: 257, .. })
        }),
        ("strip of 0 rows", raw().with(278, 4, 1, 0), |e| {
            matches!(e, TiffError::InvalidTag { tag: 278, .. })
        }),
        ("huge width", raw().with(256, 4, 1, u32::MAX), |e| {
            matches!(e, TiffError::Limit { .. })
        }),
        ("huge rows", raw().with(257, 4, 1, u32::MAX), |e| {
            matches!(e, TiffError::Limit { .. })
        }),
        ("text as width", raw().with(256, 2, 1, 16), |e| {
            matches!(e, TiffError::InvalidTag { tag: 256, .. })
        }),
        ("unknown type", raw().with(256, 99, 1, 16), |e| {
            matches!(e, TiffError::InvalidTag { tag: 256, .. })
        }),
        ("no value", raw().with(256, 4, 0, 16), |e| {
            matches!(e, TiffError::InvalidTag { tag: 256, .. })
        }),
        ("many strips", raw().with(273, 4, u32::MAX, 8), |e| {
            matches!(e, TiffError::InvalidTag { tag: 273, .. })
        }),
        ("one strip of two", raw().with(278, 4, 1, 2), |e| {
            matches!(e, TiffError::InvalidTag { tag: 273, .. })
        }),
        ("strip behind the end", raw().with(273, 4, 1, 4000), |e| {
            matches!(e, TiffError::OutOfFile { .. })
        }),
        ("strip over the end", raw().with(279, 4, 1, 4000), |e| {
            matches!(e, TiffError::OutOfFile { .. })
        }),
        ("longest strip", raw().with(279, 4, 1, u32::MAX), |e| {
            matches!(e, TiffError::OutOfFile { .. })
        }),
        ("strip in the header", raw().with(273, 4, 1, 4), |e| {
            matches!(e, TiffError::OutOfFile { offset: 4, .. })
        }),
        ("value outside", raw().with(256, 4, 3, u32::MAX), |e| {
            matches!(e, TiffError::OutOfFile { .. })
        }),
        ("fill order", raw().with(266, 3, 1, 3), |e| {
            matches!(e, TiffError::InvalidTag { tag: 266, .. })
        }),
        ("orientation", raw().with(274, 3, 1, 9), |e| {
            matches!(e, TiffError::InvalidTag { tag: 274, .. })
        }),
        ("unit", raw().with(296, 3, 1, 0), |e| {
            matches!(e, TiffError::InvalidTag { tag: 296, .. })
        }),
        ("compression", raw().with(259, 4, 1, 70_000), |e| {
            matches!(e, TiffError::InvalidTag { tag: 259, .. })
        }),
        ("resolution", raw().with(282, 4, 1, 204), |e| {
            matches!(e, TiffError::InvalidTag { tag: 282, .. })
        }),
        ("fraction outside", raw().with(282, 5, 1, 9999), |e| {
            matches!(e, TiffError::OutOfFile { .. })
        }),
        ("page number", raw().with(297, 3, 1, 0), |e| {
            matches!(e, TiffError::InvalidTag { tag: 297, .. })
        }),
    ];
    for (name, raw, expected) in table {
        let error = open(&raw.build()).unwrap().page(0).unwrap_err();
        assert!(expected(&error), "{name}: {error:?}");
    }
}

#[test]
fn overlapping_strips_are_refused() {
    let strip = encode(&small());
    let mut raw = Raw::new(&strip).with(278, 4, 1, 2);
    let table = 8 + raw.data.len() as u32;
    raw.data
        .extend([8_u32, 9, 4, 4].map(u32::to_le_bytes).concat());
    let raw = raw.with(273, 4, 2, table).with(279, 4, 2, table + 8);
    let error = open(&raw.build()).unwrap().page(0).unwrap_err();
    assert!(matches!(error, TiffError::Overlap { page: 0 }), "{error}");
}

#[test]
fn pages_that_are_no_fax_are_refused_by_decoding_and_copying() {
    let strip = encode(&small());
    for raw in [
        Raw::new(&strip).with(258, 3, 1, 8),
        Raw::new(&strip).with(277, 3, 1, 3),
        Raw::new(&strip).with(259, 3, 1, 5),
        Raw::new(&strip).with(262, 3, 1, 2),
    ] {
        let mut reader = open(&raw.build()).unwrap();
        let page = reader.page(0).unwrap();
        assert!(matches!(
            rows(&mut reader, &page),
            Err(TiffError::Unsupported { page: 0, .. })
        ));
        let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
        let error = writer
            .copy_pages(&mut reader, 0..1, PageNumbers::Keep)
            .unwrap_err();
        assert!(
            matches!(error, TiffError::Unsupported { page: 0, .. }),
            "{error}"
        );
    }
}

#[test]
fn missing_rows_are_an_error_and_not_white() {
    let strip = encode(&small());
    // Six rows announced, the end of the block after four.
    let mut reader = open(
        &Raw::new(&strip)
            .with(257, 4, 1, 6)
            .with(278, 4, 1, 6)
            .build(),
    )
    .unwrap();
    let page = reader.page(0).unwrap();
    let mut seen = 0;
    let error = reader.decode_page(&page, |_| seen += 1).unwrap_err();
    assert!(
        matches!(
            error,
            TiffError::MissingRows {
                page: 0,
                announced: 6,
                found: 4
            }
        ),
        "{error}"
    );
    assert_eq!(seen, 4);
    // The strip cut off in a row.
    let mut reader = open(&Raw::new(&strip).with(279, 4, 1, 3).build()).unwrap();
    let page = reader.page(0).unwrap();
    let error = rows(&mut reader, &page).unwrap_err();
    let TiffError::Damaged {
        page: 0,
        first_row: 0,
        source,
    } = error
    else {
        panic!("{error}")
    };
    assert!(
        matches!(source, CcittError::Truncated { row: 1..=3 }),
        "{source}"
    );
    // Packed rows, three of four.
    let mut reader = open(&Raw::new(&small().bytes()[..6]).with(259, 3, 1, 1).build()).unwrap();
    let page = reader.page(0).unwrap();
    let error = rows(&mut reader, &page).unwrap_err();
    assert!(
        matches!(
            error,
            TiffError::MissingRows {
                announced: 4,
                found: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn limits_hold_for_each_page() {
    let data = file(&three_pages());
    for (limits, what) in [
        (TiffLimits::new().with_max_width(1727), "width in pixels"),
        (TiffLimits::new().with_max_rows(299), "number of rows"),
        (
            TiffLimits::new().with_max_page_bytes(100),
            "bytes of a page",
        ),
    ] {
        let mut reader = TiffReader::with_limits(Cursor::new(data.clone()), limits).unwrap();
        let error = reader.page(0).unwrap_err();
        assert!(
            matches!(error, TiffError::Limit { what: found, .. } if found == what),
            "{error}"
        );
    }
}

#[test]
fn files_cut_at_any_byte_are_refused_or_whole() {
    let pages = three_pages();
    let data = file(&pages);
    let whole: Vec<_> = pages.into_iter().map(|(chart, _)| chart.rows).collect();
    // Everything is checked near the ends of the pages, and each 97th byte between.
    let last = data.len();
    for len in (0..last).filter(|len| len % 97 == 0 || last - len < 400) {
        match read_all(&data[..len]) {
            Ok(pages) => assert_eq!(pages, whole, "{len}"),
            Err(error) => assert!(!matches!(error, TiffError::Io(_)), "{len}: {error}"),
        }
    }
}

#[test]
fn damaged_and_random_files_are_read_or_refused() {
    let mut numbers = Numbers(21);
    let chart = charts::text(1728, 60, 1);
    let data = file(&[
        (chart.clone(), Resolution::Fine),
        (chart, Resolution::Standard),
    ]);
    let directories: Vec<usize> = data
        .windows(4)
        .enumerate()
        .filter(|(_, bytes)| bytes == &[254, 0, 4, 0])
        .map(|(at, _)| at)
        .collect();
    assert_eq!(directories.len(), 2);
    let mut whole = 0;
    for _ in 0..3000 {
        let mut damaged = data.clone();
        for _ in 0..1 + numbers.below(4) {
            // Mostly the directories: the strips are the subject of the codec's tests.
            let at = match numbers.below(4) {
                0 => numbers.below(data.len() as u32) as usize,
                1 => numbers.below(8) as usize,
                _ => directories[numbers.below(2) as usize] + numbers.below(250) as usize,
            };
            damaged[at.min(data.len() - 1)] =
                [0, 1, 0xff, numbers.below(256) as u8][numbers.below(4) as usize];
        }
        match read_all(&damaged) {
            Ok(_) => whole += 1,
            Err(error) => assert!(!matches!(error, TiffError::Io(_)), "{error}"),
        }
        if let Ok(mut reader) = open(&damaged) {
            let count = reader.page_count();
            let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
            if writer
                .copy_pages(&mut reader, 0..count, PageNumbers::Renumber)
                .is_ok()
            {
                let copy = writer.finish().unwrap();
                assert_eq!(TiffReader::open(copy).unwrap().page_count(), count);
            }
        }
    }
    assert!((100..2900).contains(&whole), "{whole} of 3000 were read");
    for _ in 0..2000 {
        let mut garbage: Vec<u8> = (0..numbers.below(400))
            .map(|_| numbers.below(256) as u8)
            .collect();
        for (to, from) in garbage.iter_mut().zip(*b"II\x2a\0\x08\0\0\0\x04\0") {
            *to = from;
        }
        let _ = read_all(&garbage);
    }
}

/// The tools of libtiff read our files without a word of complaint, and say the same of the pixels.
mod libtiff {
    use std::{path::Path, process::Command};

    use super::*;

    /// Runs a tool: its standard output; any word on standard error fails the test.
    fn run(tool: &str, arguments: &[&str], directory: &Path) -> String {
        let output = Command::new(tool)
            .args(arguments)
            .current_dir(directory)
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && complaint.is_empty(),
            "{tool} {arguments:?}: {complaint}"
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn pages_to_check() -> Vec<(Chart, Resolution)> {
        let charts = charts::all(1728, 200).into_iter().map(|(_, chart)| chart);
        charts
            .zip(
                [
                    Resolution::Standard,
                    Resolution::Fine,
                    Resolution::Superfine,
                ]
                .into_iter()
                .cycle(),
            )
            .collect()
    }

    fn write(directory: &Path, name: &str, pages: &[(Chart, Resolution)]) {
        std::fs::write(directory.join(name), file(pages)).unwrap();
    }

    #[test]
    #[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
    fn tiffinfo_reads_every_page_without_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        let pages = pages_to_check();
        write(directory.path(), "a.tif", &pages);
        let text = run("tiffinfo", &["-D", "a.tif"], directory.path());
        assert_eq!(
            text.matches("Compression Scheme: CCITT Group 4").count(),
            pages.len()
        );
        assert_eq!(
            text.matches("Subfile Type: multi-page document (2 = 0x2)")
                .count(),
            pages.len()
        );
        assert!(
            text.contains(&format!("Page Number: 1-{}", pages.len())),
            "{text}"
        );
        assert!(text.contains("Resolution: 204, 391 pixels/inch"), "{text}");
    }

    #[test]
    #[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
    fn tiffcp_reads_the_same_pixels() {
        for width in [1728, 2048, 2432] {
            let directory = tempfile::tempdir().unwrap();
            let pages: Vec<_> = charts::all(width, 200)
                .into_iter()
                .map(|(_, chart)| (chart, Resolution::Fine))
                .collect();
            write(directory.path(), "a.tif", &pages);
            let expected: Vec<_> = pages.iter().map(|(chart, _)| chart.rows.clone()).collect();
            run(
                "tiffcp",
                &["-c", "none", "a.tif", "none.tif"],
                directory.path(),
            );
            run(
                "tiffcp",
                &[
                    "-c", "g4", "-f", "lsb2msb", "-B", "-r", "33", "none.tif", "big.tif",
                ],
                directory.path(),
            );
            for name in ["none.tif", "big.tif"] {
                let data = std::fs::read(directory.path().join(name)).unwrap();
                assert!(read_all(&data).unwrap() == expected, "{name} {width}");
            }
        }
    }

    #[test]
    #[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
    fn libtiff_codes_each_page_into_the_same_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let pages = pages_to_check();
        write(directory.path(), "a.tif", &pages);
        run(
            "tiffcp",
            &["-c", "none", "a.tif", "none.tif"],
            directory.path(),
        );
        run(
            "tiffcp",
            &["-c", "g4", "-r", "200", "none.tif", "g4.tif"],
            directory.path(),
        );
        let mut theirs = open(&std::fs::read(directory.path().join("g4.tif")).unwrap()).unwrap();
        for (index, (chart, _)) in pages.iter().enumerate() {
            let page = theirs.page(index as u32).unwrap();
            assert_eq!(page.strips.len(), 1);
            assert!(
                theirs.read_strip(page.strips[0]).unwrap() == encode(chart),
                "page {index}"
            );
        }
    }

    #[test]
    #[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
    fn tiff2pdf_takes_written_and_copied_pages() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "a.tif", &three_pages());
        run(
            "tiffcp",
            &[
                "-c", "g3:2d", "-r", "50", "-f", "lsb2msb", "a.tif", "g3.tif",
            ],
            directory.path(),
        );
        let mut g3 = open(&std::fs::read(directory.path().join("g3.tif")).unwrap()).unwrap();
        let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
        writer.copy_pages(&mut g3, 0..3, PageNumbers::Keep).unwrap();
        std::fs::write(
            directory.path().join("copy.tif"),
            writer.finish().unwrap().into_inner(),
        )
        .unwrap();
        for name in ["a.tif", "copy.tif"] {
            run("tiffinfo", &["-D", name], directory.path());
            run("tiff2pdf", &["-o", "a.pdf", name], directory.path());
            assert!(directory.path().join("a.pdf").metadata().unwrap().len() > 1000);
        }
        // G3 pages that were copied without decoding have the pixels of the original.
        run(
            "tiffcp",
            &["-c", "g4", "copy.tif", "g4.tif"],
            directory.path(),
        );
        let expected: Vec<_> = three_pages()
            .into_iter()
            .map(|(chart, _)| chart.rows)
            .collect();
        assert!(
            read_all(&std::fs::read(directory.path().join("g4.tif")).unwrap()).unwrap() == expected
        );
    }
}
