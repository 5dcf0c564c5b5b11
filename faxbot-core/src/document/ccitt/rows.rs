//! What every decoder keeps between its rows.

use super::{
    CcittError, check_row, check_width,
    lines::{paint, write_row},
    modes::{Coded, Fault},
};

/// The rows of one strip: how many there were, and the one that the next is coded by.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    width: u32,
    max_rows: u32,
    done: u32,
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

/// A row to decode: the changes go into the empty list `coding`.
pub(super) struct Row<'a> {
    pub(super) width: u32,
    pub(super) reference: &'a [u32],
    pub(super) coding: &'a mut Vec<u32>,
}

impl Rows {
    pub(super) fn new(width: u32, max_rows: u32) -> Result<Self, CcittError> {
        check_width(width)?;
        Ok(Self {
            width,
            max_rows,
            done: 0,
            state: State::Rows,
            // The imaginary row above the first one is white (ITU-T T.4, T.6).
            reference: Vec::new(),
            coding: Vec::new(),
            words: vec![0; width.div_ceil(64) as usize],
        })
    }

    pub(super) fn width(&self) -> u32 {
        self.width
    }

    pub(super) fn done(&self) -> u32 {
        self.done
    }

    /// The next row is the last one that is asked for.
    pub(super) fn is_last(&self) -> bool {
        self.max_rows.saturating_sub(self.done) <= 1
    }

    /// Has `decode` find the changes of the next row and paints it. The first error of the data
    /// is kept and given again.
    #[inline]
    pub(super) fn next(
        &mut self,
        row: &mut [u8],
        decode: impl FnOnce(Row<'_>) -> Result<Coded, Fault>,
    ) -> Result<bool, CcittError> {
        check_row(self.width, row.len())?;
        match self.state {
            State::Rows => {}
            State::Ended => return Ok(false),
            State::Failed(error) => return Err(error),
        }
        if self.done >= self.max_rows {
            self.state = State::Ended;
            return Ok(false);
        }
        self.coding.clear();
        let coded = decode(Row {
            width: self.width,
            reference: &self.reference,
            coding: &mut self.coding,
        });
        match coded {
            Ok(Coded::Row) => {
                paint(&self.coding, self.width, &mut self.words);
                write_row(&self.words, row);
                std::mem::swap(&mut self.reference, &mut self.coding);
                self.done += 1;
                Ok(true)
            }
            Ok(Coded::Repeat) => {
                write_row(&self.words, row);
                self.done += 1;
                Ok(true)
            }
            Ok(Coded::EndOfBlock) => {
                self.state = State::Ended;
                Ok(false)
            }
            Err(fault) => {
                let error = fault.at(self.done);
                self.state = State::Failed(error);
                Err(error)
            }
        }
    }
}
