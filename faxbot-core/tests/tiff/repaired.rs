//! Damaged pages in T.4 come back whole, with what was wrong with them.

use super::*;

const CODINGS: [T4Coding; 3] = [T4Coding::MhAligned, T4Coding::Mh, T4Coding::Mr];

#[test]
fn missing_rows_are_white_and_counted_and_no_row_is_invented() {
    let chart = charts::lines(200, 30);
    for coding in CODINGS {
        for min_is_black in [false, true] {
            let form = Form {
                min_is_black,
                ..Form::new(Some(coding))
            };
            let file = form.build(200, 37, &form.strips(&chart));
            let (rows, quality) = repair(&file).unwrap();
            assert_eq!(rows[..30], chart.rows[..], "{coding:?}");
            assert!(rows[30..].iter().all(|row| *row == [0; 25]), "{coding:?}");
            assert_eq!(quality, PageQuality::new(7, 7).with_missing_rows(7));
            // What is too much is left out.
            let file = form.build(200, 21, &form.strips(&chart));
            let (rows, quality) = repair(&file).unwrap();
            assert_eq!(rows, chart.rows[..21]);
            assert!(quality.is_clean());
        }
    }
}

#[test]
fn a_damaged_row_is_the_one_above_it_whatever_the_polarity() {
    // Eight white pixels, eight black ones, a row that is too short, eight white ones.
    let text =
        "000000000001 10011 000000000001 00110101 000101 000000000001 0111 000000000001 10011";
    let strip = t4::bits(&[text]);
    for (min_is_black, expected) in [(false, [0, 0xff, 0xff, 0]), (true, [0xff, 0, 0, 0xff])] {
        let form = Form {
            min_is_black,
            ..Form::new(Some(T4Coding::Mh))
        };
        let (rows, quality) = repair(&form.build(8, 4, std::slice::from_ref(&strip))).unwrap();
        assert_eq!(rows.concat(), expected);
        assert_eq!(quality, PageQuality::new(1, 1));
    }
}

#[test]
fn a_bad_first_row_is_white_at_the_top_of_the_page_and_a_copy_in_later_strips() {
    let chart = charts::noise(64, 6, 2, 5);
    for min_is_black in [false, true] {
        for coding in [T4Coding::Mh, T4Coding::Mr] {
            let form = Form {
                min_is_black,
                rows_per_strip: 3,
                ..Form::new(Some(coding))
            };
            let mut strips = form.strips(&chart);
            for strip in &mut strips {
                // An extension in place of the first row's codes, behind the code and the tag.
                strip[2..4].copy_from_slice(&[0b0000_0001, 0b1111_1111]);
            }
            let (rows, quality) = repair(&form.build(64, 6, &strips)).unwrap();
            assert_eq!(rows[0], [0; 8]);
            assert_eq!(rows[3], rows[2]);
            if coding == T4Coding::Mh {
                assert_eq!(rows[1..3], chart.rows[1..3]);
                assert_eq!(rows[4..], chart.rows[4..]);
                assert_eq!(quality, PageQuality::new(2, 1));
            } else {
                assert_eq!(quality, PageQuality::new(6, 6));
            }
        }
    }
}

#[test]
fn a_strip_that_is_lost_costs_no_other() {
    let chart = charts::text(300, 100, 3);
    for coding in CODINGS {
        let form = Form {
            rows_per_strip: 40,
            ..Form::new(Some(coding))
        };
        let mut strips = form.strips(&chart);
        strips[1] = vec![0; 5];
        let (rows, quality) = repair(&form.build(300, 100, &strips)).unwrap();
        assert!(rows[..40] == chart.rows[..40] && rows[80..] == chart.rows[80..]);
        assert_eq!(
            (quality.bad_rows, quality.longest_bad_run),
            (40, 40),
            "{coding:?}"
        );
    }
}

#[test]
fn damage_in_t6_and_packed_pages_is_an_error_as_without_repair() {
    let chart = charts::text(200, 40, 3);
    let form = Form::new(None);
    let strips = form.strips(&chart);
    for (rows, strip) in [
        (41, strips[0].clone()),
        (40, strips[0][..strips[0].len() / 2].to_vec()),
    ] {
        let error = repair(&form.build(200, rows, &[strip])).unwrap_err();
        assert!(
            matches!(
                error,
                TiffError::MissingRows { .. } | TiffError::Damaged { .. }
            ),
            "{error}"
        );
    }
    let packed = Raw::new(&small().bytes()[..6]).with(259, 3, 1, 1);
    assert!(matches!(
        repair(&packed.build()).unwrap_err(),
        TiffError::MissingRows { .. }
    ));
    assert!(matches!(
        repair(&Raw::new(&[1; 8]).with(259, 3, 1, 5).build()).unwrap_err(),
        TiffError::Unsupported { .. }
    ));
}

#[test]
fn pages_that_share_their_strips_are_refused_once_they_are_more_than_the_file() {
    let strip = vec![0xff; 4000];
    let mut raw = Raw::new(&strip);
    raw.pages = vec![raw.pages[0].clone(); 50];
    let mut reader = open(&raw.build()).unwrap();
    let file_len = raw.build().len();
    let fit = file_len / strip.len();
    assert!(fit < 5);
    // In any order, and a page that was read can be read again.
    for index in [7, 3].into_iter().take(fit) {
        for _ in 0..100 {
            reader.page(index).unwrap();
        }
    }
    for index in [0, 49, 0] {
        let error = reader.page(index).unwrap_err();
        assert!(
            matches!(error, TiffError::Overlap { page } if page == index),
            "{error}"
        );
    }
    let first = [7, 3][0];
    reader.page(first).unwrap();
}
