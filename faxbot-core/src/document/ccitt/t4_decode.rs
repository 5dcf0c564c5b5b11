//! ITU-T T.4 to rows.

use super::{
    CcittError, T4Coding,
    bits::{BitReader, EndOfLine},
    modes::{Coded, Fault, decode_row, push},
    rows::Rows,
    runs::{RunError, read_run},
};

/// End-of-line codes in the return-to-control code that ends a page (ITU-T T.4 §4.1.4).
pub(super) const RTC_CODES: u32 = 6;

/// The extension code of one-dimensional rows, without the three bits that tell which (ITU-T T.4
/// §4.1.3): where it may stand, nothing else starts with eight zeros and a 1.
const EXTENSION: u64 = 0b0_0000_0001;
const EXTENSION_BITS: u32 = 9;

/// Decodes one strip of ITU-T T.4 (Group 3, MH or MR), one row after the other.
///
/// End-of-line codes may have fill of any length before them, which covers those that end at a byte
/// border (bit 2 of `T4Options`). The first one may be missing, and so may the return-to-control
/// code behind the last row.
///
/// Nothing is repaired: the first row that cannot be decoded ends the decoding with its error, and
/// so does a row that is missing between two end-of-line codes.
#[derive(Debug, Clone)]
pub struct T4Decoder<'a> {
    bits: BitReader<'a>,
    coding: T4Coding,
    rows: Rows,
}

/// What the next row is.
enum Next {
    OneDimensional,
    TwoDimensional,
    End,
}

impl<'a> T4Decoder<'a> {
    /// A decoder of rows of `width` pixels that ends after `max_rows` rows, at the
    /// return-to-control code, or where the data ends between two rows, whichever is first. The
    /// bytes are most significant bit first.
    ///
    /// # Errors
    ///
    /// [`CcittError::Width`] if the width is 0 or above [`MAX_WIDTH`](super::MAX_WIDTH).
    pub fn new(
        data: &'a [u8],
        width: u32,
        max_rows: u32,
        coding: T4Coding,
    ) -> Result<Self, CcittError> {
        Ok(Self {
            rows: Rows::new(width, max_rows)?,
            bits: BitReader::new(data),
            coding,
        })
    }

    /// Pixels of a row.
    pub fn width(&self) -> u32 {
        self.rows.width()
    }

    /// Rows decoded so far.
    pub fn rows(&self) -> u32 {
        self.rows.done()
    }

    /// Decodes the next row into `row`, or returns `false` after the last one.
    ///
    /// The last row may come before `max_rows`: T.4 has no other way to tell a page that was cut
    /// between two rows from one that ends there, so compare [`rows`](Self::rows) with what the
    /// file announces.
    ///
    /// # Errors
    ///
    /// [`CcittError::RowLength`] for a buffer that is not [`row_bytes`](super::row_bytes) long,
    /// after which the call can be repeated. Any other error is one of the data; it is final, `row`
    /// is then unchanged, and further calls give it again.
    pub fn next_row(&mut self, row: &mut [u8]) -> Result<bool, CcittError> {
        let first = self.rows.done() == 0;
        let (bits, coding) = (&mut self.bits, self.coding);
        self.rows
            .next(row, |row| match start_row(bits, coding, first)? {
                Next::End => Ok(Coded::EndOfBlock),
                Next::OneDimensional => decode_runs(bits, row.coding, row.width),
                Next::TwoDimensional => {
                    match decode_row(bits, row.reference, row.coding, row.width)? {
                        // That of T.6 has no place here.
                        Coded::EndOfBlock => Err(Fault::Code),
                        coded => Ok(coded),
                    }
                }
            })
    }
}

/// Reads what stands between two rows.
fn start_row(bits: &mut BitReader<'_>, coding: T4Coding, first: bool) -> Result<Next, Fault> {
    if coding == T4Coding::MhAligned {
        bits.align();
        bits.refill();
        return Ok(if bits.visible() == 0 {
            Next::End
        } else {
            Next::OneDimensional
        });
    }
    let mut codes = 0;
    let mut two_dimensional = false;
    while codes < RTC_CODES {
        match bits.take_end_of_line() {
            EndOfLine::Found => codes += 1,
            EndOfLine::Missing => break,
            EndOfLine::OutOfBits => return Ok(Next::End),
        }
        if coding == T4Coding::Mr {
            bits.refill();
            if bits.visible() == 0 {
                return Ok(Next::End);
            }
            // Some machines send no tag bit in the return-to-control code. No row starts with so
            // many zeros, whatever its tag.
            if bits.leading_zeros() < EndOfLine::ZEROS {
                two_dimensional = !take_tag(bits)?;
            }
        }
    }
    match codes {
        0 if first => {
            if coding == T4Coding::Mr {
                two_dimensional = !take_tag(bits)?;
            }
        }
        1 => {}
        RTC_CODES => return Ok(Next::End),
        // Data that goes on behind a whole row, or a row that is not between its codes.
        _ => return Err(Fault::Code),
    }
    Ok(if two_dimensional {
        Next::TwoDimensional
    } else {
        Next::OneDimensional
    })
}

/// The bit that is 1 before a one-dimensional row (ITU-T T.4 §4.2.2).
fn take_tag(bits: &mut BitReader<'_>) -> Result<bool, Fault> {
    bits.refill();
    let tag = bits.peek(1) == 1;
    bits.consume(1)?;
    Ok(tag)
}

/// Decodes a one-dimensional row's changes into the empty list `coding`.
fn decode_runs(
    bits: &mut BitReader<'_>,
    coding: &mut Vec<u32>,
    width: u32,
) -> Result<Coded, Fault> {
    let mut black = false;
    let mut a0 = 0;
    loop {
        bits.refill();
        a0 += match read_run(bits, black, width) {
            Ok(pixels) => pixels,
            Err(RunError::Invalid) if bits.peek(EXTENSION_BITS) == EXTENSION => {
                return Err(Fault::Extension);
            }
            Err(error) => return Err(error.into()),
        };
        if a0 >= width {
            break;
        }
        push(coding, a0);
        black = !black;
    }
    if a0 > width {
        return Err(Fault::Row);
    }
    Ok(Coded::Row)
}
