//! ITU-T T.4 to rows.

use super::{
    CcittError, PageQuality, T4Coding,
    bits::{BitReader, EndOfLine},
    modes::{Coded, Fault, decode_row, push},
    rows::{Row, Rows},
    runs::{RunError, read_run},
    t4_repair::Repair,
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
/// Unless [`with_repair`](Self::with_repair) asks for it, nothing is repaired: the first row that
/// cannot be decoded ends the decoding with its error, and so does a row that is missing between
/// two end-of-line codes.
#[derive(Debug, Clone)]
pub struct T4Decoder<'a> {
    bits: BitReader<'a>,
    coding: T4Coding,
    rows: Rows,
    repair: Option<Repair>,
}

/// What the next row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
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
            repair: None,
        })
    }

    /// Repairs damaged rows instead of failing. Off by default; ask for it before the first row.
    ///
    /// A row that cannot be decoded is a copy of the row above it, white if it is the first, and is
    /// counted in [`quality`](Self::quality). Such is a row with a code word that is none or an
    /// extension, one that is shorter or longer than the width, and one of which only the two
    /// end-of-line codes are there. Decoding goes on behind the next end-of-line code; no data is
    /// an error then.
    ///
    /// In [`T4Coding::Mr`] the rows after a bad one are bad too, up to the next one-dimensional
    /// row, which is what T.4 has those for (§4.2.1): what they are coded by is lost. (The receiver
    /// spandsp decodes them by a guess at the lost row, and counts as good what then fits the width
    /// by chance.)
    ///
    /// The rows of [`T4Coding::Mh`] may follow each other without end-of-line codes, and those of
    /// [`T4Coding::MhAligned`] always do. Nothing else tells where the next row starts: the first bad
    /// one is the last.
    ///
    /// The work is at most a few passes over the data, and one copy for each row.
    #[must_use]
    pub fn with_repair(mut self, repair: bool) -> Self {
        self.repair = repair.then(Repair::default);
        self
    }

    /// Pixels of a row.
    pub fn width(&self) -> u32 {
        self.rows.width()
    }

    /// Rows decoded so far, the repaired ones among them.
    pub fn rows(&self) -> u32 {
        self.rows.done()
    }

    /// How many of the rows so far were repaired. Rows that do not come at all are not known here:
    /// compare [`rows`](Self::rows) with what the file announces.
    pub fn quality(&self) -> PageQuality {
        self.repair
            .as_ref()
            .map_or_else(PageQuality::default, Repair::quality)
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
        if let Some(repair) = &mut self.repair {
            let last = self.rows.is_last();
            return self
                .rows
                .next(row, |row| Ok(repair.decode(bits, coding, last, row)));
        }
        self.rows.next(row, |row| {
            let next = start_row(bits, coding, first)?;
            decode_coded(bits, next, row)
        })
    }
}

/// Decodes the codes of a row's pixels.
#[inline]
pub(super) fn decode_coded(
    bits: &mut BitReader<'_>,
    next: Next,
    row: Row<'_>,
) -> Result<Coded, Fault> {
    match next {
        Next::End => Ok(Coded::EndOfBlock),
        Next::OneDimensional => decode_runs(bits, row.coding, row.width),
        Next::TwoDimensional => {
            match decode_row(bits, row.reference, row.coding, row.width)? {
                // That of T.6 has no place here.
                Coded::EndOfBlock => Err(Fault::Code),
                coded => Ok(coded),
            }
        }
    }
}

/// Reads what stands between two rows.
fn start_row(bits: &mut BitReader<'_>, coding: T4Coding, first: bool) -> Result<Next, Fault> {
    let (codes, next) = read_codes(bits, coding, first)?;
    match (codes, next) {
        (_, Next::End) | (1, _) => Ok(next),
        (0, _) if first || coding == T4Coding::MhAligned => Ok(next),
        // Data that goes on behind a whole row, or a row that is not between its codes.
        _ => Err(Fault::Code),
    }
}

/// Consumes end-of-line codes, at most those of a return-to-control code: how many there were, and
/// what comes next.
pub(super) fn read_codes(
    bits: &mut BitReader<'_>,
    coding: T4Coding,
    first: bool,
) -> Result<(u32, Next), Fault> {
    if coding == T4Coding::MhAligned {
        bits.align();
        bits.refill();
        return Ok(if bits.visible() == 0 {
            (0, Next::End)
        } else {
            (0, Next::OneDimensional)
        });
    }
    let mut codes = 0;
    let mut two_dimensional = false;
    while codes < RTC_CODES {
        match bits.take_end_of_line() {
            EndOfLine::Found => codes += 1,
            EndOfLine::Missing => break,
            EndOfLine::OutOfBits => return Ok((codes, Next::End)),
        }
        if coding == T4Coding::Mr {
            bits.refill();
            if bits.visible() == 0 {
                return Ok((codes, Next::End));
            }
            // Some machines send no tag bit in the return-to-control code. No row starts with so
            // many zeros, whatever its tag.
            if bits.leading_zeros() < EndOfLine::ZEROS {
                two_dimensional = !take_tag(bits)?;
            }
        }
    }
    if codes == 0 && first && coding == T4Coding::Mr {
        two_dimensional = !take_tag(bits)?;
    }
    let next = match codes {
        RTC_CODES => Next::End,
        _ if two_dimensional => Next::TwoDimensional,
        _ => Next::OneDimensional,
    };
    Ok((codes, next))
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
    let mut at = 0;
    loop {
        // Enough for both runs: each fills up behind its make-up codes.
        bits.refill();
        for black in [false, true] {
            let pixels = read_run(bits, black, width).map_err(|error| run_fault(bits, error))?;
            at += pixels;
            if at >= width {
                return if at == width {
                    Ok(Coded::Row)
                } else {
                    Err(Fault::Row)
                };
            }
            if pixels > 0 {
                coding.push(at);
            } else {
                push(coding, at);
            }
        }
    }
}

#[cold]
fn run_fault(bits: &BitReader<'_>, error: RunError) -> Fault {
    if error == RunError::Invalid && bits.peek(EXTENSION_BITS) == EXTENSION {
        return Fault::Extension;
    }
    error.into()
}
