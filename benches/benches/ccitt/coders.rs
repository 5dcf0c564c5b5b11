//! The coders that are measured, with packed pages in and out.

use fax::{Color, VecWriter, encoder::Encoder};
use faxbot_core::document::{
    FaxCoding,
    ccitt::{CcittError, T4Coding, T4Decoder, T4Encoder, T6Decoder, T6Encoder, row_bytes},
};
use hayro_ccitt::{DecodeSettings, DecoderContext, EncodingMode};

use super::{ROWS, WIDTH};

/// A coder. `None` is what it cannot do, or a failure.
#[derive(Clone, Copy)]
pub(crate) struct Coder {
    pub(crate) name: &'static str,
    /// It loses the last row of T.4 unless a return-to-control code follows, which the strips of a
    /// TIFF do not have.
    pub(crate) needs_end: bool,
    pub(crate) encode: fn(FaxCoding, &[u8]) -> Option<Vec<u8>>,
    pub(crate) decode: fn(FaxCoding, &[u8], &mut [u8]) -> Option<()>,
}

pub(crate) const OURS: Coder = Coder {
    name: "ours",
    needs_end: false,
    encode: |coding, page| encode(coding, page, false).ok(),
    decode: |coding, data, page| decode(coding, data, page).ok().filter(|all| *all).map(drop),
};

/// Of the crate `fax`: no MR, and no writing of MH.
pub(crate) const FAX: Coder = Coder {
    name: "fax",
    needs_end: true,
    encode: fax_encode,
    decode: fax_decode,
};

/// Of `hayro-ccitt`, which reads all three and writes none.
pub(crate) const HAYRO: Coder = Coder {
    name: "hayro-ccitt",
    needs_end: false,
    encode: |_, _| None,
    decode: hayro_decode,
};

pub(crate) fn encode(coding: FaxCoding, page: &[u8], end: bool) -> Result<Vec<u8>, CcittError> {
    let rows = page.chunks_exact(row_bytes(WIDTH));
    if let Some(coding) = coding.t4() {
        let mut encoder = T4Encoder::new(WIDTH, coding)?.with_return_to_control(end);
        for row in rows {
            encoder.encode_row(row)?;
        }
        return Ok(encoder.finish());
    }
    let mut encoder = T6Encoder::new(WIDTH)?;
    for row in rows {
        encoder.encode_row(row)?;
    }
    Ok(encoder.finish())
}

/// Whether all rows came.
fn decode(coding: FaxCoding, data: &[u8], page: &mut [u8]) -> Result<bool, CcittError> {
    let rows = page.chunks_exact_mut(row_bytes(WIDTH));
    if let Some(coding) = coding.t4() {
        let mut decoder = T4Decoder::new(data, WIDTH, ROWS, coding)?;
        for row in rows {
            if !decoder.next_row(row)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let mut decoder = T6Decoder::new(data, WIDTH, ROWS)?;
    for row in rows {
        if !decoder.next_row(row)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn fax_encode(coding: FaxCoding, page: &[u8]) -> Option<Vec<u8>> {
    if coding != FaxCoding::T6 {
        return None;
    }
    let mut encoder = Encoder::new(VecWriter::with_capacity(page.len() * 8));
    for row in page.chunks_exact(row_bytes(WIDTH)) {
        let pixels = row.iter().flat_map(|byte| {
            (0..8).map(move |bit| {
                if byte & (0x80 >> bit) == 0 {
                    Color::White
                } else {
                    Color::Black
                }
            })
        });
        // Writing into memory has no error.
        let Ok(()) = encoder.encode_line(pixels, WIDTH);
    }
    let Ok(writer) = encoder.finish();
    Some(writer.finish())
}

fn fax_decode(coding: FaxCoding, data: &[u8], page: &mut [u8]) -> Option<()> {
    let mut painter = Painter::new(page);
    let bytes = data.iter().copied();
    match coding.t4() {
        None => fax::decoder::decode_g4(bytes, WIDTH, Some(ROWS), |changes| painter.row(changes)),
        Some(T4Coding::Mh) => {
            fax::decoder::decode_g3(bytes, |changes| painter.row(changes))?;
            painter.whole().then_some(())
        }
        Some(_) => None,
    }
}

fn hayro_decode(coding: FaxCoding, data: &[u8], page: &mut [u8]) -> Option<()> {
    let mut painter = Painter::new(page);
    let mut context = DecoderContext::new(DecodeSettings {
        columns: WIDTH,
        rows: ROWS,
        end_of_block: true,
        end_of_line: coding.t4().is_some(),
        rows_are_byte_aligned: false,
        encoding: match coding.t4() {
            None => EncodingMode::Group4,
            Some(T4Coding::Mh) => EncodingMode::Group3_1D,
            Some(_) => EncodingMode::Group3_2D,
        },
        strict: false,
    });
    hayro_ccitt::decode(data, &mut painter, &mut context).ok()?;
    painter.whole().then_some(())
}

/// Paints rows for the two crates, which give the colour changes of a row; the `pels` of `fax` is
/// slower than these fills.
struct Painter<'a> {
    rows: std::slice::ChunksExactMut<'a, u8>,
}

impl<'a> Painter<'a> {
    fn new(page: &'a mut [u8]) -> Self {
        Self {
            rows: page.chunks_exact_mut(row_bytes(WIDTH)),
        }
    }

    fn row(&mut self, changes: &[u32]) {
        if let Some(row) = self.rows.next() {
            row.fill(0);
            for run in changes.chunks(2) {
                let start = run.first().copied().unwrap_or(WIDTH);
                fill(row, start, run.get(1).copied().unwrap_or(WIDTH));
            }
        }
    }

    fn whole(&self) -> bool {
        self.rows.len() == 0
    }
}

impl hayro_ccitt::Decoder for Painter<'_> {
    fn push_row(&mut self, changes: &[u32]) {
        self.row(changes);
    }
}

fn fill(row: &mut [u8], start: u32, end: u32) {
    let (first, last) = ((start / 8) as usize, (end / 8) as usize);
    let (head, tail) = (0xff_u8 >> (start % 8), !(0xff_u8 >> (end % 8)));
    if first == last {
        row.iter_mut()
            .skip(first)
            .take(1)
            .for_each(|byte| *byte |= head & tail);
        return;
    }
    row.iter_mut()
        .skip(first)
        .take(1)
        .for_each(|byte| *byte |= head);
    row.iter_mut()
        .skip(last)
        .take(1)
        .for_each(|byte| *byte |= tail);
    if let Some(middle) = row.get_mut(first + 1..last) {
        middle.fill(0xff);
    }
}
