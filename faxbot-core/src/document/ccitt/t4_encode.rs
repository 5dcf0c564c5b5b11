//! Rows to ITU-T T.4.

use super::{
    CcittError, T4Coding,
    bits::{BitWriter, EndOfLine},
    row_codes::RowPair,
    t4_decode::RTC_CODES,
};

/// The K of a new encoder: ITU-T T.4 §4.2.1 has 2 at standard and 4 at fine resolution, and libtiff
/// too.
const DEFAULT_K: u32 = 4;

/// Codes rows by ITU-T T.4 (Group 3, MH or MR), one row after the other.
///
/// The same rows always give the same bytes. An end-of-line code stands before each row, as libtiff
/// writes them; [`T4Coding::MhAligned`] has none. There is no return-to-control code behind the last
/// row unless [`with_return_to_control`](Self::with_return_to_control) asks for it: the strips of a
/// TIFF file have none (TIFF 6.0 §11).
///
/// ```
/// use faxbot_core::document::ccitt::{T4Coding, T4Decoder, T4Encoder};
///
/// # fn main() -> Result<(), faxbot_core::document::ccitt::CcittError> {
/// let rows = [[0x00, 0x00], [0x0f, 0xf0], [0x0f, 0x00]];
/// let mut encoder = T4Encoder::new(16, T4Coding::Mr)?.with_k(2);
/// for row in &rows {
///     encoder.encode_row(row)?;
/// }
/// let strip = encoder.finish();
///
/// let mut decoder = T4Decoder::new(&strip, 16, 3, T4Coding::Mr)?;
/// let mut out = [0; 2];
/// let mut decoded = Vec::new();
/// while decoder.next_row(&mut out)? {
///     decoded.push(out);
/// }
/// assert_eq!(decoded, rows);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct T4Encoder {
    coding: T4Coding,
    out: BitWriter,
    rows: RowPair,
    k: u32,
    /// Rows that may be two-dimensional before the next one-dimensional one.
    two_dimensional_left: u32,
    aligned: bool,
    return_to_control: bool,
}

impl T4Encoder {
    /// A coder of rows of `width` pixels.
    ///
    /// # Errors
    ///
    /// [`CcittError::Width`] if the width is 0 or above [`MAX_WIDTH`](super::MAX_WIDTH).
    pub fn new(width: u32, coding: T4Coding) -> Result<Self, CcittError> {
        Ok(Self {
            rows: RowPair::new(width)?,
            out: BitWriter::default(),
            coding,
            k: DEFAULT_K,
            two_dimensional_left: 0,
            aligned: false,
            return_to_control: false,
        })
    }

    /// Sets K: at least every K-th row of [`T4Coding::Mr`] is one-dimensional, so that a damaged
    /// row costs K rows at most. Default 4; ITU-T T.4 §4.2.1 has 2 at standard (98 lines per inch)
    /// and 4 at fine resolution (196), and allows more above. 0 counts as 1. The other codings have
    /// no use for it.
    #[must_use]
    pub fn with_k(mut self, k: u32) -> Self {
        self.k = k.max(1);
        self
    }

    /// Fills up with zeros before each end-of-line code so that it ends at a byte border: bit 2 of
    /// `T4Options`. Off by default.
    #[must_use]
    pub fn with_aligned_end_of_lines(mut self, aligned: bool) -> Self {
        self.aligned = aligned;
        self
    }

    /// Ends with the return-to-control code, six end-of-line codes (ITU-T T.4 §4.1.4), as a page on
    /// the line does. Off by default, and never for [`T4Coding::MhAligned`].
    #[must_use]
    pub fn with_return_to_control(mut self, wanted: bool) -> Self {
        self.return_to_control = wanted;
        self
    }

    /// Pixels of a row.
    pub fn width(&self) -> u32 {
        self.rows.width()
    }

    /// Rows coded so far.
    pub fn rows(&self) -> u32 {
        self.rows.count()
    }

    /// Codes the next row. Bits behind the width are ignored.
    ///
    /// # Errors
    ///
    /// [`CcittError::RowLength`] if the row is not [`row_bytes`](super::row_bytes) long; nothing
    /// was coded then.
    pub fn encode_row(&mut self, row: &[u8]) -> Result<(), CcittError> {
        self.rows.advance(row)?;
        if self.coding == T4Coding::MhAligned {
            self.rows.code_runs(&mut self.out);
            self.out.fill(0);
            return Ok(());
        }
        if self.aligned {
            self.out.fill(EndOfLine::BITS);
        }
        let two_dimensional = self.coding == T4Coding::Mr && self.two_dimensional_left > 0;
        self.put_end_of_line(two_dimensional);
        if two_dimensional {
            self.two_dimensional_left -= 1;
            self.rows.code_modes(&mut self.out);
        } else {
            self.two_dimensional_left = self.k - 1;
            self.rows.code_runs(&mut self.out);
        }
        Ok(())
    }

    /// The coded rows, filled up to a whole byte.
    pub fn finish(mut self) -> Vec<u8> {
        if self.return_to_control && self.coding != T4Coding::MhAligned {
            if self.aligned {
                self.out.fill(EndOfLine::BITS);
            }
            for _ in 0..RTC_CODES {
                self.put_end_of_line(false);
            }
        }
        self.out.finish()
    }

    /// An end-of-line code, with the tag of the next row for MR (ITU-T T.4 §4.2.2).
    fn put_end_of_line(&mut self, two_dimensional: bool) {
        if self.coding == T4Coding::Mr {
            let tag = u64::from(!two_dimensional);
            self.out.put(0b10 | tag, EndOfLine::BITS + 1);
        } else {
            self.out.put(0b1, EndOfLine::BITS);
        }
    }
}
