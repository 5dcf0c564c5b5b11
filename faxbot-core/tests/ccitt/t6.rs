//! ITU-T T.6.

use super::*;

fn encode(chart: &Chart) -> Vec<u8> {
    let mut encoder = T6Encoder::new(chart.width).unwrap();
    for row in &chart.rows {
        encoder.encode_row(row).unwrap();
    }
    assert_eq!(encoder.rows() as usize, chart.rows.len());
    encoder.finish()
}

fn decode(data: &[u8], width: u32, max_rows: u32) -> Result<Rows, (Rows, CcittError)> {
    let mut decoder = T6Decoder::new(data, width, max_rows).unwrap();
    let mut rows = Vec::new();
    let mut row = vec![0x55; row_bytes(width)];
    loop {
        match decoder.next_row(&mut row) {
            Ok(true) => rows.push(row.clone()),
            Ok(false) => return Ok(rows),
            Err(error) => {
                assert_eq!(decoder.next_row(&mut row), Err(error), "the error is final");
                return Err((rows, error));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_image_survives(chart in image()) {
        let data = encode(&chart);
        prop_assert_eq!(decode(&data, chart.width, chart.rows.len() as u32).unwrap(), chart.rows.clone());
        // Without a known number of rows, the end-of-block code ends the image.
        prop_assert_eq!(decode(&data, chart.width, u32::MAX).unwrap(), chart.rows);
    }

    #[test]
    fn other_decoders_read_any_image(chart in image()) {
        let data = encode(&chart);
        prop_assert_eq!(&oracle::hayro(&data, chart.width, chart.rows.len() as u32, None), &chart.rows);
        prop_assert_eq!(&oracle::fax_decode(&data, chart.width, chart.rows.len() as u32), &chart.rows);
    }

    #[test]
    fn any_image_of_another_encoder_is_read(
        // That encoder keeps the places of pixels in 16 signed bits.
        chart in image().prop_filter("not too wide", |chart| chart.width <= 2_432),
    ) {
        let data = oracle::fax_encode(&chart);
        prop_assert_eq!(decode(&data, chart.width, u32::MAX).unwrap(), chart.rows);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        data in prop::collection::vec(any::<u8>(), 0..300),
        width in prop::sample::select(&WIDTHS[..]),
    ) {
        if let Err((rows, error)) = decode(&data, width, 5000) {
            prop_assert_eq!(error_row(error) as usize, rows.len());
        }
    }
}

#[test]
fn every_chart_survives_at_every_width() {
    for width in WIDTHS {
        for (name, chart) in charts::all(width, 40) {
            let data = encode(&chart);
            assert_eq!(
                decode(&data, width, 40).unwrap(),
                chart.rows,
                "{name} {width}"
            );
            assert_eq!(
                oracle::hayro(&data, width, 40, None),
                chart.rows,
                "hayro: {name} {width}"
            );
            assert_eq!(
                oracle::fax_decode(&data, width, 40),
                chart.rows,
                "fax: {name} {width}"
            );
            assert_eq!(
                decode(&oracle::fax_encode(&chart), width, 40).unwrap(),
                chart.rows,
                "{name} {width}"
            );
        }
    }
}

#[test]
fn the_widest_row_survives() {
    let mut chart = Chart::white(65_535, 3);
    chart.fill(1, 0, 65_533, 1);
    chart.fill(5_000, 1, 30_000, 1);
    chart.fill(0, 2, 65_535, 1);
    assert_eq!(decode(&encode(&chart), 65_535, 3).unwrap(), chart.rows);
}

#[test]
fn cut_data_is_an_error_at_the_row_where_it_ends_and_never_white_rows() {
    for (name, chart) in charts::all(216, 24) {
        let data = encode(&chart);
        for len in 0..data.len() {
            match decode(&data[..len], 216, 24) {
                // Only what the end-of-block code takes may be missing.
                Ok(rows) => assert_eq!(
                    (&rows, data.len() - len <= 3),
                    (&chart.rows, true),
                    "{name} {len}"
                ),
                Err((rows, error)) => {
                    assert_eq!(
                        error,
                        CcittError::Truncated {
                            row: rows.len() as u32
                        },
                        "{name} {len}"
                    );
                    assert_eq!(rows, chart.rows[..rows.len()], "{name} {len}");
                }
            }
        }
    }
}

#[test]
fn fewer_rows_than_announced_end_at_the_end_of_block() {
    let chart = charts::text(216, 100, 9);
    let data = encode(&chart);
    let mut decoder = T6Decoder::new(&data, 216, 101).unwrap();
    let mut row = vec![0; 27];
    while decoder.next_row(&mut row).unwrap() {}
    assert_eq!(decoder.rows(), 100);
}

#[test]
fn uncompressed_mode_and_other_extensions_are_refused() {
    // 0000001 and three bits: 111 is uncompressed mode, the others are reserved.
    for extension in 0..8_u8 {
        let data = [0b1000_0001, extension << 5, 0xff, 0xff];
        let (rows, error) = decode(&data, 64, 10).unwrap_err();
        assert_eq!((rows.len(), error), (1, CcittError::Extension { row: 1 }));
    }
}

#[test]
fn codes_that_leave_the_row_are_refused() {
    let table: &[(&[u8], CcittError)] = &[
        // VR(1) at the end of a white row.
        (&[0b0110_0000, 0, 0, 0], CcittError::InvalidRow { row: 0 }),
        // VL(1) of a width-8 row is black pixel 7; then VL(3) goes back behind it.
        (
            &[0b0100_0000, 0b1000_0000, 0, 0],
            CcittError::InvalidRow { row: 0 },
        ),
        // Pass mode with nothing above.
        (&[0b0001_0000, 0, 0, 0], CcittError::InvalidRow { row: 0 }),
        // Horizontal, white 63, black 2 in 8 pixels.
        (
            &[0b0010_0110, 0b1001_1000, 0, 0, 0],
            CcittError::InvalidRow { row: 0 },
        ),
        // Horizontal, then no white code: nine zeros.
        (
            &[0b0010_0000, 0b0000_1111, 0xff, 0xff],
            CcittError::InvalidCode { row: 0 },
        ),
        // One end-of-line code, not two.
        (
            &[0x00, 0x1f, 0xff, 0xff],
            CcittError::InvalidCode { row: 0 },
        ),
        // Zero bits up to the end: fill, not a row.
        (&[0b1000_0000], CcittError::Truncated { row: 1 }),
        (&[], CcittError::Truncated { row: 0 }),
    ];
    for (data, expected) in table {
        assert_eq!(decode(data, 8, 10).unwrap_err().1, *expected, "{data:x?}");
    }
}

#[test]
fn an_end_of_block_inside_a_row_is_refused() {
    // Horizontal: white 2, black 2 of 8 pixels, then the end of the block.
    let bits: u64 = 0b0_0101_1111 << 55 | 0x00_1001 << 31;
    let (rows, error) = decode(&bits.to_be_bytes(), 8, 10).unwrap_err();
    assert_eq!((rows.len(), error), (0, CcittError::InvalidCode { row: 0 }));
}

#[test]
fn runs_of_no_pixels_leave_no_trace_in_the_reference_row() {
    // Row 0: horizontal white 2, black 0; horizontal white 2, black 4 of 8 pixels: black 4..8.
    // Row 1: V(0) for the change at 4, V(0) for the end.
    let text = "001 0111 0000110111 001 0111 011 11 000000000001000000000001";
    assert_eq!(decode(&bits(text), 8, 10).unwrap(), [[0x0f], [0x0f]]);
}

#[test]
fn damaged_pages_are_decoded_or_refused() {
    let mut numbers = Numbers(11);
    let pages: Vec<Vec<u8>> = charts::all(200, 60)
        .iter()
        .map(|(_, chart)| encode(chart))
        .collect();
    for round in 0..3000 {
        let mut data = pages[round % pages.len()].clone();
        for _ in 0..1 + numbers.below(4) {
            let at = numbers.below(data.len() as u32) as usize;
            match numbers.below(3) {
                0 => data[at] ^= 1 << numbers.below(8),
                1 => data[at] = numbers.below(256) as u8,
                _ => {
                    data.remove(at);
                    data.push(0);
                }
            }
        }
        match decode(&data, 200, 60) {
            Ok(rows) => assert!(rows.len() <= 60),
            Err((rows, error)) => assert_eq!(error_row(error) as usize, rows.len()),
        }
    }
}

#[test]
fn a_row_buffer_of_the_wrong_length_loses_no_row() {
    let chart = charts::text(100, 60, 2);
    let data = encode(&chart);
    let mut decoder = T6Decoder::new(&data, 100, 60).unwrap();
    assert_eq!(
        decoder.next_row(&mut [0; 12]),
        Err(CcittError::RowLength {
            needed: 13,
            got: 12
        })
    );
    let mut row = [0; 13];
    for expected in &chart.rows {
        assert!(decoder.next_row(&mut row).unwrap());
        assert_eq!(row[..], expected[..]);
    }
    assert!(!decoder.next_row(&mut row).unwrap());
}
