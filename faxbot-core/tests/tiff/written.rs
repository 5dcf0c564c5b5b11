//! What is written and copied is read again.

use super::*;

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
}

#[test]
fn pages_in_every_coding_stand_in_one_file_and_say_how_they_are_coded() {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
    let mut expected = Vec::new();
    for (chart, resolution) in three_pages() {
        for (coding, options, compression) in [
            (FaxCoding::T6, 0, Compression::T6),
            (FaxCoding::Mh, 0, Compression::T4),
            (FaxCoding::Mr, 1, Compression::T4),
        ] {
            for aligned in [false, true] {
                let page = NewPage::new(chart.rows.len() as u32, resolution)
                    .with_coding(coding)
                    .with_aligned_end_of_lines(aligned);
                writer
                    .add_coded_page(&page, &encode_as(&chart, coding, aligned))
                    .unwrap();
                let options = if aligned && coding != FaxCoding::T6 {
                    options | 4
                } else {
                    options
                };
                expected.push((chart.rows.clone(), coding, compression, options));
            }
        }
    }
    let mut reader = TiffReader::open(writer.finish().unwrap()).unwrap();
    assert_eq!(reader.page_count() as usize, expected.len());
    for (index, (pixels, coding, compression, options)) in expected.into_iter().enumerate() {
        let page = reader.page(index as u32).unwrap();
        assert_eq!(
            (page.coding(), page.compression, page.t4_options),
            (Some(coding), compression, options)
        );
        assert_eq!((page.bad_rows, page.clean_fax_data), (None, None));
        assert!(rows(&mut reader, &page).unwrap() == pixels, "page {index}");
    }
}

#[test]
fn the_quality_of_a_received_page_is_in_its_tags() {
    let (chart, resolution) = three_pages().remove(0);
    for (quality, tags) in [
        (PageQuality::default(), (0, 0, 0)),
        (PageQuality::new(7, 3), (7, 1, 3)),
        (PageQuality::new(7, 3).with_missing_rows(2), (7, 1, 3)),
        (PageQuality::new(7, 3).with_repaired(false), (7, 2, 3)),
    ] {
        let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
        let page = NewPage::new(chart.rows.len() as u32, resolution).with_quality(quality);
        writer.add_coded_page(&page, &encode(&chart)).unwrap();
        let page = TiffReader::open(writer.finish().unwrap())
            .unwrap()
            .page(0)
            .unwrap();
        assert_eq!(
            (
                page.bad_rows,
                page.clean_fax_data,
                page.consecutive_bad_rows
            ),
            (Some(tags.0), Some(tags.1), Some(tags.2))
        );
    }
}

#[test]
fn only_fax_compressions_have_a_fax_coding() {
    for (compression, options, expected) in [
        (1, 0, None),
        (2, 0, Some(FaxCoding::Mh)),
        (3, 0, Some(FaxCoding::Mh)),
        (3, 4, Some(FaxCoding::Mh)),
        (3, 1, Some(FaxCoding::Mr)),
        (3, 5, Some(FaxCoding::Mr)),
        (4, 1, Some(FaxCoding::T6)),
        (5, 0, None),
    ] {
        let raw = Raw::new(&[0; 20])
            .with(259, 3, 1, compression)
            .with(292, 4, 1, options);
        assert_eq!(
            open(&raw.build()).unwrap().page(0).unwrap().coding(),
            expected,
            "{compression} {options}"
        );
    }
}
