//! Broken, hostile and unsuitable files are refused.

use super::*;

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

#[test]
fn a_page_whose_fields_were_changed_is_refused_and_does_not_panic() {
    let packed = Raw::new(&small().bytes()).with(259, 3, 1, 1);
    let mut reader = open(&packed.build()).unwrap();
    let mut page = reader.page(0).unwrap();
    page.width = 0;
    let error = reader.decode_page(&page, |_| ()).unwrap_err();
    assert!(matches!(error, TiffError::Unsupported { .. }), "{error}");
}
