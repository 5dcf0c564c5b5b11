//! Damaged rows of ITU-T T.4: counted, replaced, left behind at the next end-of-line code.

use super::{
    PageQuality, T4Coding, Tally,
    bits::{BitReader, EndOfLine},
    modes::Coded,
    rows::Row,
    t4_decode::{Next, decode_coded, read_codes},
};

/// What a repairing decoder keeps between its rows.
#[derive(Debug, Clone)]
pub(super) struct Repair {
    tally: Tally,
    first: bool,
    /// The row above is as it was sent, so a two-dimensional one can be decoded by it. The
    /// imaginary white row above the first one is.
    trusted: bool,
    /// Rows to come of which only the end-of-line codes are there.
    empty: u32,
    /// The row behind them, whose codes are read already.
    waiting: Option<Next>,
    /// The rows follow each other without end-of-line codes.
    joined: bool,
}

impl Default for Repair {
    fn default() -> Self {
        Self {
            tally: Tally::default(),
            first: true,
            trusted: true,
            empty: 0,
            waiting: None,
            joined: false,
        }
    }
}

impl Repair {
    pub(super) fn quality(&self) -> PageQuality {
        self.tally.quality()
    }

    /// Decodes the next row, of which `last` says that no other is wanted behind it.
    pub(super) fn decode(
        &mut self,
        bits: &mut BitReader<'_>,
        coding: T4Coding,
        last: bool,
        row: Row<'_>,
    ) -> Coded {
        let Some(next) = self.next(bits, coding) else {
            return self.bad();
        };
        if next == Next::End {
            return Coded::EndOfBlock;
        }
        let start = bits.clone();
        let decodable = self.trusted || next == Next::OneDimensional;
        let decoded = decodable
            .then(|| decode_coded(bits, next, row).ok())
            .flatten()
            .filter(|_| last || self.joined || ends_here(bits));
        if let Some(coded) = decoded {
            self.trusted = true;
            self.tally.good();
            return coded;
        }
        if coding == T4Coding::MhAligned {
            *bits = BitReader::new(&[]);
        } else {
            // From the start of the row: its last code word may have eaten into the zeros.
            *bits = start;
            bits.seek_end_of_line();
        }
        self.bad()
    }

    /// Reads what stands before the next row, or `None` if that row is empty.
    fn next(&mut self, bits: &mut BitReader<'_>, coding: T4Coding) -> Option<Next> {
        if self.empty > 0 {
            self.empty -= 1;
            return None;
        }
        if let Some(next) = self.waiting.take() {
            return Some(next);
        }
        let first = std::mem::take(&mut self.first);
        // A tag that is cut off is the end of the data.
        let (codes, next) = read_codes(bits, coding, first).unwrap_or((0, Next::End));
        if first {
            self.joined = match coding {
                T4Coding::MhAligned => true,
                T4Coding::Mh => are_joined(bits.clone()),
                // The tag of a row has its place behind the code.
                T4Coding::Mr => false,
            };
        }
        if next != Next::End && codes > 1 {
            self.empty = codes - 2;
            self.waiting = Some(next);
            return None;
        }
        Some(next)
    }

    fn bad(&mut self) -> Coded {
        self.trusted = false;
        self.tally.bad();
        Coded::Repeat
    }
}

/// Whether a row of the right length is one, or the start of one that is longer.
fn ends_here(bits: &BitReader<'_>) -> bool {
    bits.clone().take_end_of_line() != EndOfLine::Missing
}

/// Whether no row is behind an end-of-line code, from the start of the first row on. Writers leave
/// such codes out for all rows or for none, so one row behind one code settles it; damage can make
/// a row behind a code look like none.
fn are_joined(mut bits: BitReader<'_>) -> bool {
    loop {
        bits.seek_end_of_line();
        match read_codes(&mut bits, T4Coding::Mh, false) {
            Ok((1, Next::OneDimensional)) => return false,
            Ok((_, Next::End)) | Err(_) => return true,
            Ok(_) => {}
        }
    }
}
