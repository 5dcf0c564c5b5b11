//! T.4: what the tables of the recommendation say, what another decoder reads, and damage.
#![allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use super::{
    CcittError, T4Coding, T4Decoder, T4Encoder,
    bits::BitWriter,
    lines::find_changes,
    row_bytes,
    row_codes::{code_row, code_runs},
};

#[allow(dead_code, reason = "each test file uses a part of the charts")]
#[path = "../../../tests/charts/mod.rs"]
mod charts;

use charts::{Chart, Numbers};

const CODINGS: [T4Coding; 3] = [T4Coding::MhAligned, T4Coding::Mh, T4Coding::Mr];
const WIDTHS: [u32; 10] = [1, 2, 7, 8, 63, 64, 65, 216, 1728, 2432];
const EOL: &str = "000000000001";
/// An end-of-line code with the tag of a one-dimensional row.
const EOL1: &str = "0000000000011";
const EOL0: &str = "0000000000010";

type Rows = Vec<Vec<u8>>;

/// How the end-of-line codes of a sample are written.
#[derive(Debug, Clone, Copy)]
struct Style {
    coding: T4Coding,
    fill: Fill,
    first_code: bool,
    /// End-of-line codes behind the last row.
    codes_at_end: u32,
    /// One-dimensional rows are every `k`-th (ITU-T T.4 §4.2.1).
    k: usize,
}

#[derive(Debug, Clone, Copy)]
enum Fill {
    None,
    /// Each code ends at a byte border.
    Aligned,
    Any(u64),
}

impl Style {
    fn new(coding: T4Coding) -> Self {
        Self {
            coding,
            fill: Fill::None,
            first_code: true,
            codes_at_end: 6,
            k: 4,
        }
    }

    fn encode(self, chart: &Chart) -> Vec<u8> {
        let mut out = BitWriter::default();
        let (mut reference, mut changes) = (Vec::new(), Vec::new());
        for (index, row) in chart.rows.iter().enumerate() {
            find_changes(row, chart.width, &mut changes);
            let one_dimensional = self.coding != T4Coding::Mr || index % self.k == 0;
            if self.coding == T4Coding::MhAligned {
                align(&mut out, 0);
            } else {
                self.separate(&mut out, self.first_code || index > 0, one_dimensional);
            }
            if one_dimensional {
                code_runs(&mut out, &changes, chart.width);
            } else {
                code_row(&mut out, &reference, &changes, chart.width);
            }
            std::mem::swap(&mut reference, &mut changes);
        }
        if self.coding != T4Coding::MhAligned {
            let mut end = self;
            for _ in 0..self.codes_at_end {
                end.separate(&mut out, true, true);
                // The codes of the return-to-control code have no fill between them.
                if let Fill::Aligned = self.fill {
                    end.fill = Fill::None;
                }
            }
        }
        out.finish()
    }

    fn separate(self, out: &mut BitWriter, code: bool, one_dimensional: bool) {
        if code {
            match self.fill {
                Fill::None => {}
                Fill::Aligned => align(out, 12),
                Fill::Any(seed) => {
                    let zeros = Numbers(seed ^ out.len() as u64).below(150);
                    (0..zeros).for_each(|_| out.put(0, 1));
                }
            }
            out.put(1, 12);
        }
        if self.coding == T4Coding::Mr {
            out.put(one_dimensional.into(), 1);
        }
    }
}

/// Fills up so that `bits` more end at a byte border.
fn align(out: &mut BitWriter, bits: usize) {
    while !(out.len() + bits).is_multiple_of(8) {
        out.put(0, 1);
    }
}

fn decode(
    data: &[u8],
    width: u32,
    max_rows: u32,
    coding: T4Coding,
) -> Result<Rows, (Rows, CcittError)> {
    let mut decoder = T4Decoder::new(data, width, max_rows, coding).unwrap();
    let mut rows = Vec::new();
    let mut row = vec![0x55; row_bytes(width)];
    loop {
        let before = row.clone();
        match decoder.next_row(&mut row) {
            Ok(true) => rows.push(row.clone()),
            Ok(false) => {
                assert_eq!(decoder.next_row(&mut row), Ok(false));
                assert_eq!(decoder.rows() as usize, rows.len());
                return Ok(rows);
            }
            Err(error) => {
                assert_eq!(decoder.next_row(&mut row), Err(error), "the error is final");
                assert_eq!(row, before);
                return Err((rows, error));
            }
        }
    }
}

fn hayro(data: &[u8], width: u32, rows: u32, coding: T4Coding) -> Rows {
    use hayro_ccitt::{DecodeSettings, Decoder, DecoderContext, EncodingMode};

    struct Sink(Chart);

    impl Decoder for Sink {
        fn push_row(&mut self, changes: &[u32]) {
            let (y, width) = (self.0.rows.len() as u32, self.0.width);
            self.0.rows.extend(Chart::white(width, 1).rows);
            for pair in changes.chunks(2) {
                let end = pair.get(1).copied().unwrap_or(width);
                self.0.fill(pair[0], y, end - pair[0], 1);
            }
        }
    }

    let mut out = Sink(Chart::white(width, 0));
    let settings = DecodeSettings {
        columns: width,
        rows,
        end_of_block: true,
        end_of_line: coding != T4Coding::MhAligned,
        rows_are_byte_aligned: coding == T4Coding::MhAligned,
        encoding: if coding == T4Coding::Mr {
            EncodingMode::Group3_2D
        } else {
            EncodingMode::Group3_1D
        },
        strict: true,
    };
    hayro_ccitt::decode(data, &mut out, &mut DecoderContext::new(settings)).unwrap();
    out.0.rows
}

/// Bits as text, filled up with zeros to a byte.
fn bits(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    digits
        .chunks(8)
        .map(|byte| {
            byte.iter()
                .enumerate()
                .fold(0, |sum, (place, digit)| sum | (digit & 1) << (7 - place))
        })
        .collect()
}

fn styles(coding: T4Coding) -> Vec<Style> {
    let mut styles = Vec::new();
    for fill in [Fill::None, Fill::Aligned, Fill::Any(3)] {
        for first_code in [true, false] {
            for codes_at_end in [0, 1, 2, 5, 6, 7] {
                for k in [1, 2, 4, usize::MAX] {
                    styles.push(Style {
                        coding,
                        fill,
                        first_code,
                        codes_at_end,
                        k,
                    });
                }
            }
        }
    }
    styles
}

#[test]
fn rows_in_the_codes_of_the_recommendation_are_read() {
    // Eight white pixels; two white, three black, three white.
    let (white, black) = ("10011", "0111 10 1000");
    // V(0) three times; VR(1) and V(0) twice: the black run is one pixel shorter on the left.
    let (same, moved) = ("1 1 1", "011 1 1");
    let table: &[(T4Coding, String, &[u8])] = &[
        (
            T4Coding::MhAligned,
            format!("{black} 000000 {white} 000"),
            &[0b0011_1000, 0],
        ),
        (
            T4Coding::Mh,
            format!("{EOL}{white}{EOL}{black}{}", EOL.repeat(6)),
            &[0, 0b0011_1000],
        ),
        (
            T4Coding::Mh,
            format!("{white}{EOL}{black}"),
            &[0, 0b0011_1000],
        ),
        (
            T4Coding::Mr,
            format!(
                "{EOL1}{black}{EOL0}{same}{EOL0}{moved}{EOL1}{white}{}",
                EOL1.repeat(6)
            ),
            &[0b0011_1000, 0b0011_1000, 0b0001_1000, 0],
        ),
        // Runs of no pixels leave no trace in the row that the next one is coded by.
        (
            T4Coding::Mr,
            format!("{EOL1} 0111 0000110111 0111 011 {EOL0} 1 1"),
            &[0b0000_1111, 0b0000_1111],
        ),
    ];
    for (coding, text, expected) in table {
        let rows = decode(&bits(text), 8, u32::MAX, *coding).unwrap();
        assert_eq!(rows.concat(), *expected, "{coding:?} {text}");
    }
    // A white row of 1728 pixels, and one of 2560 + 64 + 3 pixels that is black from 1 on.
    assert_eq!(
        decode(&bits("010011011 00110101"), 1728, 1, T4Coding::Mh).unwrap(),
        [[0; 216]]
    );
    let long = bits("000111 000000011111 0000001111 10");
    assert_eq!(
        decode(&long, 2628, 1, T4Coding::Mh).unwrap()[0][..3],
        [0x7f, 0xff, 0xff]
    );
}

#[test]
fn every_chart_is_read_at_every_width_as_another_decoder_reads_it() {
    for width in WIDTHS {
        for (name, chart) in charts::all(width, 40) {
            for coding in CODINGS {
                for fill in [Fill::None, Fill::Aligned, Fill::Any(1)] {
                    let style = Style {
                        fill,
                        ..Style::new(coding)
                    };
                    let data = style.encode(&chart);
                    assert!(
                        decode(&data, width, 40, coding).unwrap() == chart.rows,
                        "{name} {width} {style:?}"
                    );
                    assert!(
                        hayro(&data, width, 40, coding) == chart.rows,
                        "hayro: {name} {width} {style:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_encoder_writes_the_codes_row_by_row() {
    for width in WIDTHS {
        for (name, chart) in charts::all(width, 21) {
            for coding in CODINGS {
                for (k, aligned, codes_at_end) in
                    [(4, false, 0), (1, true, 6), (2, false, 6), (9, true, 0)]
                {
                    let mut encoder = T4Encoder::new(width, coding)
                        .unwrap()
                        .with_k(k)
                        .with_aligned_end_of_lines(aligned)
                        .with_return_to_control(codes_at_end > 0);
                    for row in &chart.rows {
                        encoder.encode_row(row).unwrap();
                    }
                    assert_eq!((encoder.rows(), encoder.width()), (21, width));
                    let style = Style {
                        fill: if aligned { Fill::Aligned } else { Fill::None },
                        codes_at_end,
                        k: k as usize,
                        ..Style::new(coding)
                    };
                    assert!(
                        encoder.finish() == style.encode(&chart),
                        "{name} {width} {style:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_way_to_write_the_end_of_line_is_read_with_and_without_a_known_length() {
    for (_, chart) in charts::all(70, 9) {
        for coding in CODINGS {
            for style in styles(coding) {
                let data = style.encode(&chart);
                for max_rows in [9, u32::MAX] {
                    assert!(
                        decode(&data, 70, max_rows, coding).unwrap() == chart.rows,
                        "{max_rows} {style:?}"
                    );
                }
                assert!(decode(&data, 70, 8, coding).unwrap() == chart.rows[..8]);
            }
        }
    }
}

#[test]
fn a_return_to_control_ends_the_rows_with_and_without_tags() {
    let row = "0111 10 1000";
    for (coding, text) in [
        (
            T4Coding::Mh,
            format!("{EOL}{row}{}{EOL}{row}", EOL.repeat(6)),
        ),
        (
            T4Coding::Mr,
            format!("{EOL1}{row}{}{EOL1}{row}", EOL1.repeat(6)),
        ),
        (
            T4Coding::Mr,
            format!("{EOL1}{row}{}{EOL1}{row}", EOL.repeat(6)),
        ),
        (T4Coding::Mr, format!("{EOL1}{row}{}", EOL.repeat(6))),
        // Nothing but the end.
        (T4Coding::Mr, format!("{EOL1}{row}{EOL}")),
        (T4Coding::Mh, format!("{EOL}{row}{EOL} 0000")),
    ] {
        assert_eq!(
            decode(&bits(&text), 8, 10, coding).unwrap(),
            [[0b0011_1000]],
            "{text}"
        );
    }
    for coding in CODINGS {
        assert_eq!(decode(&[], 8, 10, coding).unwrap(), Rows::new());
        if coding != T4Coding::MhAligned {
            assert_eq!(
                decode(&bits(&EOL1.repeat(6)), 8, 10, T4Coding::Mr).unwrap(),
                Rows::new()
            );
        }
    }
}

#[test]
fn rows_that_are_none_are_refused_with_their_number() {
    let row = "0111 10 1000";
    let code = CcittError::InvalidCode { row: 1 };
    let outside = CcittError::InvalidRow { row: 1 };
    let table: &[(T4Coding, String, CcittError)] = &[
        // The row ends before its width: an end-of-line code in place of a run.
        (
            T4Coding::Mh,
            format!("{EOL}{row}{EOL} 0111 {EOL}{row}{EOL}"),
            code,
        ),
        (
            T4Coding::Mr,
            format!("{EOL1}{row}{EOL0} 1 {EOL1}{row}{EOL1}"),
            code,
        ),
        // More runs than the width.
        (
            T4Coding::Mh,
            format!("{EOL}{row}{EOL} 0111 000101 {EOL}{row}"),
            outside,
        ),
        (
            T4Coding::Mr,
            format!("{EOL1}{row}{EOL0} 000011 1 011 {EOL1}{row}"),
            outside,
        ),
        (
            T4Coding::MhAligned,
            format!("{row} 000000 10100 000"),
            outside,
        ),
        // Data goes on behind the width.
        (T4Coding::Mh, format!("{EOL}{row} 10011 {EOL}{row}"), code),
        (T4Coding::Mr, format!("{EOL1}{row} 1 1 1 {EOL1}{row}"), code),
        // No row between two codes, and two rows missing.
        (T4Coding::Mh, format!("{EOL}{row}{EOL}{EOL}{row}"), code),
        (
            T4Coding::Mr,
            format!("{EOL1}{row}{EOL1}{EOL1}{EOL0} 1 1 1"),
            code,
        ),
        // Pass mode with nothing to pass.
        (
            T4Coding::Mr,
            format!("{EOL1} 10011 {EOL0} 0001 1 {EOL1}"),
            outside,
        ),
        // The end of block of T.6.
        (
            T4Coding::MhAligned,
            format!("{row} 000000 {EOL}{EOL}{EOL}"),
            code,
        ),
        // Make-up codes without end.
        (
            T4Coding::Mh,
            format!("{EOL}{row}{EOL}{}", "11011".repeat(40)),
            code,
        ),
    ];
    for (coding, text, expected) in table {
        let (rows, error) = decode(&bits(text), 8, 10, *coding).unwrap_err();
        assert_eq!(error, *expected, "{coding:?} {text}");
        assert_eq!(rows.len(), 1, "{coding:?} {text}");
    }
}

#[test]
fn uncompressed_mode_and_other_extensions_are_refused() {
    for extension in 0..8 {
        for (coding, text) in [
            (
                T4Coding::Mh,
                format!("{EOL}10011{EOL} 000000001{extension:03b} 1111111111111111"),
            ),
            (
                T4Coding::Mr,
                format!("{EOL1}10011{EOL1} 000000001{extension:03b} 1111111111111111"),
            ),
            (
                T4Coding::Mr,
                format!("{EOL1}10011{EOL0} 0000001{extension:03b} 1111111111111111"),
            ),
        ] {
            let (rows, error) = decode(&bits(&text), 8, 10, coding).unwrap_err();
            assert_eq!(
                (rows.len(), error),
                (1, CcittError::Extension { row: 1 }),
                "{text}"
            );
        }
    }
}

#[test]
fn cut_data_gives_the_rows_before_the_cut_and_never_a_white_one() {
    for (name, chart) in charts::all(120, 12) {
        for coding in CODINGS {
            for fill in [Fill::None, Fill::Aligned, Fill::Any(9)] {
                let style = Style {
                    fill,
                    ..Style::new(coding)
                };
                let data = style.encode(&chart);
                for len in 0..data.len() {
                    let (rows, error) = match decode(&data[..len], 120, 12, coding) {
                        Ok(rows) => (rows, None),
                        Err((rows, error)) => (rows, Some(error)),
                    };
                    let row = rows.len() as u32;
                    assert!(rows == chart.rows[..rows.len()], "{name} {len} {style:?}");
                    if let Some(error) = error {
                        assert_eq!(
                            error,
                            CcittError::Truncated { row },
                            "{name} {len} {style:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn damaged_strips_and_random_bytes_are_decoded_or_refused() {
    let mut numbers = Numbers(31);
    let strips: Vec<(T4Coding, Vec<u8>)> = charts::all(200, 60)
        .iter()
        .flat_map(|(_, chart)| CODINGS.map(|coding| (coding, Style::new(coding).encode(chart))))
        .collect();
    let mut refused = 0;
    for round in 0..6000 {
        let (coding, mut data) = strips[round % strips.len()].clone();
        if round % 5 == 0 {
            data = (0..numbers.below(300))
                .map(|_| numbers.below(256) as u8)
                .collect();
            // Zeros alone are rare in random bytes.
            data.iter_mut().for_each(|byte| {
                if numbers.below(2) == 0 {
                    *byte = 0;
                }
            });
        }
        for _ in 0..1 + numbers.below(4) {
            if data.is_empty() {
                break;
            }
            let at = numbers.below(data.len() as u32) as usize;
            match numbers.below(3) {
                0 => data[at] ^= 1 << numbers.below(8),
                1 => data[at] = numbers.below(256) as u8,
                _ => {
                    data.remove(at);
                }
            }
        }
        match decode(&data, 200, 60, coding) {
            Ok(rows) => assert!(rows.len() <= 60),
            Err((
                rows,
                CcittError::Truncated { row }
                | CcittError::InvalidCode { row }
                | CcittError::InvalidRow { row }
                | CcittError::Extension { row },
            )) => {
                assert_eq!(row as usize, rows.len());
                refused += 1;
            }
            Err((_, error)) => panic!("{error}"),
        }
    }
    assert!(refused > 2000, "{refused}");
}

#[test]
fn a_wrong_buffer_loses_no_row_and_a_wrong_width_is_refused() {
    let chart = charts::text(100, 30, 2);
    let data = Style::new(T4Coding::Mr).encode(&chart);
    let mut decoder = T4Decoder::new(&data, 100, 30, T4Coding::Mr).unwrap();
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
    for width in [0, super::MAX_WIDTH + 1] {
        assert_eq!(
            T4Decoder::new(&data, width, 1, T4Coding::Mh).unwrap_err(),
            CcittError::Width { width }
        );
    }
}
