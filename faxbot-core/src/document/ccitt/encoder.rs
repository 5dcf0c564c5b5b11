//! One coder for every coding.

use super::{CcittError, FaxCoding, T4Encoder, T6Encoder};
use crate::document::Resolution;

/// The most rows between two one-dimensional ones of MR, plus one (ITU-T T.4 §4.2.1).
const fn k(resolution: Resolution) -> u32 {
    match resolution {
        Resolution::Standard => 2,
        _ => 4,
    }
}

/// Codes rows in any [`FaxCoding`], as the strips of a fax TIFF have it: T.4 without return to
/// control.
#[derive(Debug)]
pub struct FaxEncoder(Encoder);

#[derive(Debug)]
enum Encoder {
    T4(T4Encoder),
    T6(T6Encoder),
}

impl FaxEncoder {
    /// A coder of rows of `width` pixels. The resolution tells how far a damaged row of MR may
    /// reach.
    ///
    /// # Errors
    ///
    /// [`CcittError::Width`] if the width is 0 or above [`MAX_WIDTH`](super::MAX_WIDTH).
    pub fn new(width: u32, coding: FaxCoding, resolution: Resolution) -> Result<Self, CcittError> {
        Ok(Self(match coding.t4() {
            None => Encoder::T6(T6Encoder::new(width)?),
            Some(coding) => Encoder::T4(T4Encoder::new(width, coding)?.with_k(k(resolution))),
        }))
    }

    /// Rows coded so far.
    pub fn rows(&self) -> u32 {
        match &self.0 {
            Encoder::T4(encoder) => encoder.rows(),
            Encoder::T6(encoder) => encoder.rows(),
        }
    }

    /// Codes the next row. Bits behind the width are ignored.
    ///
    /// # Errors
    ///
    /// [`CcittError::RowLength`] if the row is not [`row_bytes`](super::row_bytes) long; nothing
    /// was coded then.
    pub fn encode_row(&mut self, row: &[u8]) -> Result<(), CcittError> {
        match &mut self.0 {
            Encoder::T4(encoder) => encoder.encode_row(row),
            Encoder::T6(encoder) => encoder.encode_row(row),
        }
    }

    /// The coded rows, filled up to a whole byte.
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            Encoder::T4(encoder) => encoder.finish(),
            Encoder::T6(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::ccitt::{T4Coding, T4Decoder, T6Decoder};

    #[test]
    fn every_coding_is_read_by_its_decoder() {
        let rows = [[0x0f_u8, 0xf0], [0x0f, 0xf8], [0x00, 0x00]];
        for coding in [FaxCoding::T6, FaxCoding::Mh, FaxCoding::Mr] {
            let mut encoder = FaxEncoder::new(16, coding, Resolution::Fine).unwrap();
            for row in &rows {
                encoder.encode_row(row).unwrap();
            }
            assert_eq!(encoder.rows(), 3);
            let strip = encoder.finish();
            let mut row = [0; 2];
            let mut found = Vec::new();
            if coding == FaxCoding::T6 {
                let mut decoder = T6Decoder::new(&strip, 16, 3).unwrap();
                while decoder.next_row(&mut row).unwrap() {
                    found.push(row);
                }
            } else {
                let t4 = coding.t4().unwrap_or(T4Coding::Mh);
                let mut decoder = T4Decoder::new(&strip, 16, 3, t4).unwrap();
                while decoder.next_row(&mut row).unwrap() {
                    found.push(row);
                }
            }
            assert_eq!(found, rows, "{coding:?}");
        }
    }
}
