//! Two-dimensional rows: the modes that T.6 (MMR) and T.4 (MR) share.

use super::{
    CcittError,
    bits::{BitReader, OutOfBits},
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

/// What a row's code words were.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Coded {
    Row,
    /// The same as the row above.
    Repeat,
    EndOfBlock,
}

/// Why a row cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    OutOfBits,
    Code,
    Row,
    Extension,
}

impl Fault {
    pub(super) fn at(self, row: u32) -> CcittError {
        match self {
            Self::OutOfBits => CcittError::Truncated { row },
            Self::Code => CcittError::InvalidCode { row },
            Self::Row => CcittError::InvalidRow { row },
            Self::Extension => CcittError::Extension { row },
        }
    }
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

/// Decodes one row's changes into the empty list `coding`.
///
/// The names are those of ITU-T T.6. The place of `b1` has the parity of the length of
/// `coding`, which is the colour of `a0`.
pub(super) fn decode_row(
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
pub(super) fn push(changes: &mut Vec<u32>, at: u32) {
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
