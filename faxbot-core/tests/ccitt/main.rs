//! The fax codings: what is coded is decoded, by this crate and by others; damaged data is an error
//! or repaired.
#![cfg(test)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use faxbot_core::document::ccitt::{
    CcittError, MAX_WIDTH, PageQuality, T4Coding, T4Decoder, T4Encoder, T6Decoder, T6Encoder,
    row_bytes,
};
use proptest::prelude::*;

#[allow(dead_code, reason = "each test file uses a part of the charts")]
#[path = "../charts/mod.rs"]
mod charts;
mod repair;
mod t4;
mod t6;

use charts::{Chart, Numbers};

const WIDTHS: [u32; 14] = [1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 216, 1728, 2048, 2432];

type Rows = Vec<Vec<u8>>;

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

fn error_row(error: CcittError) -> u32 {
    match error {
        CcittError::Truncated { row }
        | CcittError::InvalidCode { row }
        | CcittError::InvalidRow { row }
        | CcittError::Extension { row } => row,
        other => panic!("{other}"),
    }
}

fn image() -> impl Strategy<Value = Chart> {
    let width = prop_oneof![
        20 => prop::sample::select(&WIDTHS[..]),
        20 => 1_u32..700,
        1 => prop_oneof![Just(MAX_WIDTH), 2_500..MAX_WIDTH],
    ];
    (width, 0_usize..12, any::<u64>(), 0_u32..5).prop_map(|(width, rows, seed, style)| {
        let rows = if width > 2_432 { rows.min(3) } else { rows };
        let mut numbers = Numbers(seed);
        let mut chart = Chart::white(width, rows as u32);
        for y in 0..rows as u32 {
            match style {
                // Noise of one density per row.
                0 => {
                    let of = 1 + numbers.below(40);
                    (0..width).for_each(|x| {
                        if numbers.below(of) == 0 {
                            chart.set(x, y)
                        }
                    });
                }
                // Runs of any length.
                1 => {
                    let mut x = numbers.below(width + 1);
                    while x < width {
                        let run = 1 + numbers.below(width);
                        chart.fill(x, y, run.min(width - x), 1);
                        x += run + 1 + numbers.below(width);
                    }
                }
                // The row above, each edge moved by up to four pixels: the vertical modes.
                2 if y > 0 => {
                    let mut x = 0;
                    while x < width {
                        let shift = numbers.below(9);
                        let source = (x + shift).checked_sub(4).filter(|x| *x < width);
                        if source.is_some_and(|source| chart.black(source, y - 1)) {
                            chart.set(x, y);
                        }
                        x += 1;
                    }
                }
                3 => (0..width)
                    .filter(|x| (x + y) % 2 == 0)
                    .for_each(|x| chart.set(x, y)),
                _ => (0..width / 3).for_each(|x| {
                    if numbers.below(3) == 0 {
                        chart.fill(x * 3, y, 3, 1)
                    }
                }),
            }
        }
        chart
    })
}

/// Other implementations.
mod oracle {
    use fax::{Color, VecWriter, encoder::Encoder};
    use hayro_ccitt::{DecodeSettings, Decoder, DecoderContext, EncodingMode};

    use super::{Chart, T4Coding};

    struct Sink(Chart);

    impl Sink {
        fn push(&mut self, changes: &[u32]) {
            let y = self.0.rows.len() as u32;
            self.0.rows.extend(Chart::white(self.0.width, 1).rows);
            let width = self.0.width;
            for pair in changes.chunks(2) {
                let end = pair.get(1).copied().unwrap_or(width).min(width);
                self.0.fill(pair[0], y, end.saturating_sub(pair[0]), 1);
            }
        }
    }

    impl Decoder for Sink {
        fn push_row(&mut self, changes: &[u32]) {
            self.push(changes);
        }
    }

    /// `None` is T.6.
    pub(super) fn hayro(
        data: &[u8],
        width: u32,
        rows: u32,
        coding: Option<T4Coding>,
    ) -> Vec<Vec<u8>> {
        let mut out = Sink(Chart::white(width, 0));
        if rows > 0 {
            let settings = DecodeSettings {
                columns: width,
                rows,
                end_of_block: true,
                end_of_line: matches!(coding, Some(T4Coding::Mh | T4Coding::Mr)),
                rows_are_byte_aligned: coding == Some(T4Coding::MhAligned),
                encoding: match coding {
                    None => EncodingMode::Group4,
                    Some(T4Coding::Mr) => EncodingMode::Group3_2D,
                    Some(_) => EncodingMode::Group3_1D,
                },
                strict: true,
            };
            hayro_ccitt::decode(data, &mut out, &mut DecoderContext::new(settings)).unwrap();
        }
        out.0.rows
    }

    pub(super) fn fax_decode(data: &[u8], width: u32, rows: u32) -> Vec<Vec<u8>> {
        let mut out = Sink(Chart::white(width, 0));
        fax::decoder::decode_g4(data.iter().copied(), width, Some(rows), |changes| {
            out.push(changes)
        })
        .unwrap();
        out.0.rows
    }

    pub(super) fn fax_encode(chart: &Chart) -> Vec<u8> {
        let mut encoder = Encoder::new(VecWriter::new());
        for y in 0..chart.rows.len() as u32 {
            let pixels = (0..chart.width).map(|x| {
                if chart.black(x, y) {
                    Color::Black
                } else {
                    Color::White
                }
            });
            encoder.encode_line(pixels, chart.width).unwrap();
        }
        encoder.finish().unwrap().finish()
    }
}
