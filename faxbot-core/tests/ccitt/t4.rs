//! ITU-T T.4: MH and MR.

use super::*;

pub(super) const CODINGS: [T4Coding; 3] = [T4Coding::MhAligned, T4Coding::Mh, T4Coding::Mr];

pub(super) fn encode(chart: &Chart, coding: T4Coding, k: u32) -> Vec<u8> {
    code(
        T4Encoder::new(chart.width, coding).unwrap().with_k(k),
        chart,
    )
}

pub(super) fn code(mut encoder: T4Encoder, chart: &Chart) -> Vec<u8> {
    for row in &chart.rows {
        encoder.encode_row(row).unwrap();
    }
    assert_eq!(encoder.rows() as usize, chart.rows.len());
    encoder.finish()
}

fn decode(data: &[u8], width: u32, max_rows: u32, coding: T4Coding) -> Rows {
    let mut decoder = T4Decoder::new(data, width, max_rows, coding).unwrap();
    let mut rows = Vec::new();
    let mut row = vec![0x55; row_bytes(width)];
    while decoder.next_row(&mut row).unwrap() {
        rows.push(row.clone());
    }
    rows
}

fn writer() -> impl Strategy<Value = (T4Coding, u32, bool, bool)> {
    (
        prop::sample::select(&CODINGS[..]),
        prop_oneof![Just(1), Just(2), Just(4), Just(u32::MAX)],
        any::<bool>(),
        any::<bool>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_image_survives(
        chart in image(),
        (coding, k, aligned, return_to_control) in writer(),
    ) {
        let encoder = T4Encoder::new(chart.width, coding)
            .unwrap()
            .with_k(k)
            .with_aligned_end_of_lines(aligned)
            .with_return_to_control(return_to_control);
        let data = code(encoder, &chart);
        let rows = chart.rows.len() as u32;
        prop_assert_eq!(&decode(&data, chart.width, rows, coding), &chart.rows);
        // Without a known number of rows, the end of the data or its code ends the image.
        prop_assert_eq!(&decode(&data, chart.width, u32::MAX, coding), &chart.rows);
        let (repaired, quality) = repair::repaired(&data, chart.width, u32::MAX, coding);
        prop_assert_eq!(&repaired, &chart.rows);
        prop_assert_eq!(quality, PageQuality::default());
        prop_assert_eq!(&oracle::hayro(&data, chart.width, rows, Some(coding)), &chart.rows);
    }
}

#[test]
fn every_chart_survives_at_every_width() {
    for width in WIDTHS {
        for (name, chart) in charts::all(width, 30) {
            for coding in CODINGS {
                let data = encode(&chart, coding, 4);
                assert!(
                    decode(&data, width, 30, coding) == chart.rows,
                    "{name} {width} {coding:?}"
                );
                let (repaired, quality) = repair::repaired(&data, width, 30, coding);
                assert!(repaired == chart.rows, "{name} {width} {coding:?}");
                assert!(quality.is_clean());
            }
        }
    }
}

#[test]
fn a_wrong_row_length_codes_nothing_and_a_wrong_width_is_refused() {
    let mut encoder = T4Encoder::new(9, T4Coding::Mh).unwrap();
    assert_eq!(
        encoder.encode_row(&[0]),
        Err(CcittError::RowLength { needed: 2, got: 1 })
    );
    assert_eq!(encoder.rows(), 0);
    assert!(encoder.finish().is_empty());
    for width in [0, MAX_WIDTH + 1] {
        assert_eq!(
            T4Encoder::new(width, T4Coding::Mr).unwrap_err(),
            CcittError::Width { width }
        );
    }
}

#[test]
fn uncompressed_mode_and_other_extensions_are_refused_in_every_coding() {
    for extension in 0..8 {
        // The end-of-line code of rows without one is left out.
        for (coding, text) in [
            (T4Coding::MhAligned, format!("000000001{extension:03b}")),
            (
                T4Coding::Mh,
                format!("000000000001 000000001{extension:03b}"),
            ),
            (
                T4Coding::Mr,
                format!("000000000001 1 000000001{extension:03b}"),
            ),
            (
                T4Coding::Mr,
                format!("000000000001 0 0000001{extension:03b}"),
            ),
        ] {
            let data = bits(&format!("{text} 1111111111111111"));
            let mut decoder = T4Decoder::new(&data, 64, 10, coding).unwrap();
            assert_eq!(
                decoder.next_row(&mut [0; 8]),
                Err(CcittError::Extension { row: 0 }),
                "{text}"
            );
        }
    }
}
