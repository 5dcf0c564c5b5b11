//! ITU-T T.6 to rows.

use super::{
    CcittError,
    bits::{BitReader, OutOfBits},
    check_row, check_width,
    lines::{paint, write_row},
    runs::{RunError, read_run},
    t6_encode::{EOFB, EOFB_BITS},
};

/// Bits that tell every mode (ITU-T T.6 table 1).
const MODE_BITS: u32 = 7;

static MODES: [(Mode, u8); 1 << MODE_BITS] = mode_table();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Horizontal,
    /// a1 is so many pixels right of b1, plus 3.
    Vertical(u8),
    Extension,
    /// Seven zeros: the end of the block, or nothing.
    Zeros,
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler only")]
const fn mode_table() -> [(Mode, u8); 1 << MODE_BITS] {
    const CODES: [(u8, u8, Mode); 10] = [
        (0b1, 1, Mode::Vertical(3)),
        (0b011, 3, Mode::Vertical(4)),
        (0b010, 3, Mode::Vertical(2)),
        (0b001, 3, Mode::Horizontal),
        (0b0001, 4, Mode::Pass),
        (0b00_0011, 6, Mode::Vertical(5)),
        (0b00_0010, 6, Mode::Vertical(1)),
        (0b000_0011, 7, Mode::Vertical(6)),
        (0b000_0010, 7, Mode::Vertical(0)),
        (0b000_0001, 7, Mode::Extension),
    ];
    let mut table = [(Mode::Zeros, 0); 1 << MODE_BITS];
    let mut i = 0;
    while i < CODES.len() {
        let (code, len, mode) = CODES[i];
        let spare = 7 - len;
        let first = (code as usize) << spare;
        let mut offset = 0;
        while offset < 1 << spare {
            table[first + offset] = (mode, len);
            offset += 1;
        }
        i += 1;
    }
    table
}

/// Decodes one block (strip) of ITU-T T.6 (Group 4, MMR), one row after the other.
///
/// Nothing is repaired: T.6 codes each row by the one above, so what follows an error is noise.
#[derive(Debug, Clone)]
pub struct T6Decoder<'a> {
    bits: BitReader<'a>,
    width: u32,
    max_rows: u32,
    rows: u32,
    state: State,
    reference: Vec<u32>,
    coding: Vec<u32>,
    /// The pixels of the row above.
    words: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Rows,
    Ended,
    Failed(CcittError),
}

/// What a row's code words were.
enum Coded {
    Row,
    /// The same as the row above.
    Repeat,
    EndOfBlock,
}

enum Fault {
    OutOfBits,
    Code,
    Row,
    Extension,
}

impl From<OutOfBits> for Fault {
    fn from(_: OutOfBits) -> Self {
        Self::OutOfBits
    }
}

impl From<RunError> for Fault {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Invalid => Self::Code,
            RunError::OutOfBits => Self::OutOfBits,
        }
    }
}

impl<'a> T6Decoder<'a> {
    /// A decoder of rows of `width` pixels that ends after `max_rows` rows or at the end-of-block
    /// code, whichever is first. The bytes are most significant bit first.
    ///
    /// # Errors
    ///
    /// [`CcittError::Width`] if the width is 0 or above [`MAX_WIDTH`](super::MAX_WIDTH).
    pub fn new(data: &'a [u8], width: u32, max_rows: u32) -> Result<Self, CcittError> {
        check_width(width)?;
        Ok(Self {
            bits: BitReader::new(data),
            width,
            max_rows,
            rows: 0,
            state: State::Rows,
            reference: Vec::new(),
            coding: Vec::new(),
            words: vec![0; width.div_ceil(64) as usize],
        })
    }

    /// Pixels of a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows decoded so far.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Decodes the next row into `row`, or returns `false` after the last one.
    ///
    /// The last row is that before the end-of-block code, which may come before `max_rows`:
    /// compare [`rows`](Self::rows) with what the file announces. The code may be missing after
    /// `max_rows` rows, since not every writer adds it.
    ///
    /// # Errors
    ///
    /// [`CcittError::RowLength`] for a buffer that is not [`row_bytes`](super::row_bytes) long,
    /// after which the call can be repeated. Any other error is one of the data; it is final, `row`
    /// is then unchanged, and further calls give it again.
    pub fn next_row(&mut self, row: &mut [u8]) -> Result<bool, CcittError> {
        check_row(self.width, row.len())?;
        match self.state {
            State::Rows => {}
            State::Ended => return Ok(false),
            State::Failed(error) => return Err(error),
        }
        if self.rows >= self.max_rows {
            self.state = State::Ended;
            return Ok(false);
        }
        self.coding.clear();
        match decode_row(
            &mut self.bits,
            &self.reference,
            &mut self.coding,
            self.width,
        ) {
            Ok(Coded::Row) => {
                paint(&self.coding, self.width, &mut self.words);
                write_row(&self.words, row);
                std::mem::swap(&mut self.reference, &mut self.coding);
                self.rows += 1;
                Ok(true)
            }
            Ok(Coded::Repeat) => {
                write_row(&self.words, row);
                self.rows += 1;
                Ok(true)
            }
            Ok(Coded::EndOfBlock) => {
                self.state = State::Ended;
                Ok(false)
            }
            Err(fault) => {
                let row = self.rows;
                let error = match fault {
                    Fault::OutOfBits => CcittError::Truncated { row },
                    Fault::Code => CcittError::InvalidCode { row },
                    Fault::Row => CcittError::InvalidRow { row },
                    Fault::Extension => CcittError::Extension { row },
                };
                self.state = State::Failed(error);
                Err(error)
            }
        }
    }
}

/// Decodes one row's changes into the empty list `coding`.
///
/// The names are those of ITU-T T.6 The place of `b1` has the parity of the length of
/// `coding`, which is the colour of `a0`.
fn decode_row(
    bits: &mut BitReader<'_>,
    reference: &[u32],
    coding: &mut Vec<u32>,
    width: u32,
) -> Result<Coded, Fault> {
    let b = |place: usize| reference.get(place).copied().unwrap_or(width);
    let (mut a0, mut above) = (0, 0);
    let mut started = false;
    bits.refill();
    if bits.leading_ones() as usize > reference.len() {
        bits.consume(u32::try_from(reference.len() + 1).unwrap_or(u32::MAX))?;
        return Ok(Coded::Repeat);
    }
    loop {
        bits.refill();
        let ones = bits.leading_ones();
        if ones > 0 {
            // Each 1 is V(0): the next change of the reference row is one of this row.
            let rest = reference.get(above..).unwrap_or_default();
            match rest.get(..ones as usize) {
                Some(copied) => {
                    coding.extend_from_slice(copied);
                    bits.consume(ones)?;
                    above += copied.len();
                    a0 = copied.last().copied().unwrap_or(a0);
                    started = true;
                    continue;
                }
                None => {
                    coding.extend_from_slice(rest);
                    bits.consume(u32::try_from(rest.len() + 1).unwrap_or(ones))?;
                    return Ok(Coded::Row);
                }
            }
        }
        let (mode, len) = lookup(bits.peek(MODE_BITS));
        match mode {
            Mode::Vertical(shift) => {
                bits.consume(u32::from(len))?;
                let a1 = (b(above) + u32::from(shift))
                    .checked_sub(3)
                    .ok_or(Fault::Row)?;
                if a1 < a0 || a1 > width {
                    return Err(Fault::Row);
                }
                if a1 == width {
                    return Ok(Coded::Row);
                }
                push(coding, a1);
                a0 = a1;
                above = if above > 0 && b(above - 1) > a0 {
                    above - 1
                } else {
                    above + 1
                };
            }
            Mode::Horizontal => {
                bits.consume(u32::from(len))?;
                let black = coding.len() % 2 == 1;
                let a1 = a0 + read_run(bits, black, width)?;
                bits.refill();
                let a2 = a1 + read_run(bits, !black, width)?;
                if a2 > width {
                    return Err(Fault::Row);
                }
                if a1 < width {
                    push(coding, a1);
                }
                if a2 >= width {
                    return Ok(Coded::Row);
                }
                push(coding, a2);
                a0 = a2;
            }
            Mode::Pass => {
                bits.consume(u32::from(len))?;
                a0 = b(above + 1);
                if a0 >= width {
                    // b2 is the imaginary change behind the row: nothing is left to pass to.
                    return Err(Fault::Row);
                }
                above += 2;
            }
            Mode::Extension => {
                bits.consume(u32::from(len))?;
                return Err(Fault::Extension);
            }
            Mode::Zeros => {
                if bits.visible() < EOFB_BITS {
                    return Err(Fault::OutOfBits);
                }
                if !started && bits.peek(EOFB_BITS) == EOFB {
                    return Ok(Coded::EndOfBlock);
                }
                return Err(Fault::Code);
            }
        }
        started = true;
        while b(above) <= a0 {
            above += 2;
        }
    }
}

/// Adds a change. Two at one pixel are none: a run of no pixels, which some coders write.
#[inline]
fn push(changes: &mut Vec<u32>, at: u32) {
    if changes.last() == Some(&at) {
        changes.pop();
    } else {
        changes.push(at);
    }
}

#[inline]
fn lookup(index: u64) -> (Mode, u8) {
    let entry = usize::try_from(index)
        .ok()
        .and_then(|index| MODES.get(index));
    entry.copied().unwrap_or((Mode::Zeros, 0))
}
