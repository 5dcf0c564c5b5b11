//! Records of calls: pages of what we saw, with what the server measured.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use faxbot_core::{
    Error, ErrorKind, Result,
    id::{CallId, CallRef, RequestId},
    plugin::Page,
    sip::{CallRecord, Disposition, HistoryQuery},
};

use super::calls::Calls;

/// Records of a page when the query names no number, and at most.
const USUAL_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// How many records of the server's are kept: as many as our own of ended calls.
const MAX_CDRS: usize = 10_000;

/// The server's own records, bounded.
#[derive(Debug)]
pub(crate) struct Cdrs {
    by_call: HashMap<CallId, Cdr>,
    order: VecDeque<CallId>,
    /// Marks the cursors of these books: another adapter's are refused.
    mark: String,
}

/// What the server measured of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cdr {
    pub(crate) duration_seconds: u64,
    pub(crate) billable_seconds: u64,
    pub(crate) disposition: Disposition,
}

impl Default for Cdrs {
    fn default() -> Self {
        Self {
            by_call: HashMap::new(),
            order: VecDeque::new(),
            mark: RequestId::new().as_uuid().simple().to_string(),
        }
    }
}

impl Cdrs {
    /// Keeps what the server measured of a call. A call that was moved about has several records: the
    /// longest is that of the whole call.
    pub(crate) fn keep(&mut self, id: CallId, cdr: Cdr) {
        if let Some(known) = self.by_call.get_mut(&id) {
            if cdr.duration_seconds >= known.duration_seconds {
                *known = cdr;
            }
            return;
        }
        if self.order.len() >= MAX_CDRS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_call.remove(&oldest);
        }
        self.order.push_back(id);
        self.by_call.insert(id, cdr);
    }

    /// The record with the durations that the server measured, if it told.
    fn measured(&self, mut record: CallRecord) -> CallRecord {
        let cdr = record.id.and_then(|id| self.by_call.get(&id));
        if let Some(cdr) = cdr {
            record.duration_seconds = Some(cdr.duration_seconds);
            record.billable_seconds = Some(cdr.billable_seconds);
            // Ours knows more: who cancelled, and whether the second party answered.
            if record.disposition == Disposition::Unknown {
                record.disposition = cdr.disposition;
            }
        }
        record
    }

    /// A page of the calls that ended, in the order of their ends.
    ///
    /// # Errors
    /// `InvalidRequest` for a cursor that is none of these books.
    pub(crate) fn page(
        &self,
        calls: &mut Calls,
        query: &HistoryQuery,
        now: Instant,
    ) -> Result<Page<CallRecord>> {
        calls.sweep(now);
        let before = match &query.cursor {
            Some(cursor) => self.read_cursor(cursor)?,
            None => u64::MAX,
        };
        let most = match query.limit {
            0 => USUAL_PAGE,
            limit => limit.min(LARGEST_PAGE),
        };
        let mut found = calls
            .ended()
            .filter(|(number, record)| *number < before && self.is_wanted(record, query));
        let mut items = Vec::new();
        let mut last = before;
        for (number, record) in found.by_ref().take(most) {
            items.push(self.measured(record.clone()));
            last = number;
        }
        Ok(match found.next() {
            Some(_) => Page::more(items, format!("{}{last:016x}", self.mark)),
            None => Page::last(items),
        })
    }

    fn is_wanted(&self, record: &CallRecord, query: &HistoryQuery) -> bool {
        query.id.is_none_or(|id| record.id == Some(id))
            && query.since.is_none_or(|since| record.start >= since)
            && query.until.is_none_or(|until| record.start < until)
            && query.direction.is_none_or(|it| record.direction == it)
            && query
                .disposition
                .is_none_or(|it| self.measured(record.clone()).disposition == it)
    }

    /// The number that the page before ended with. Records that come meanwhile have greater ones.
    fn read_cursor(&self, cursor: &str) -> Result<u64> {
        let number = cursor.strip_prefix(&self.mark);
        let number = number.filter(|number| number.len() == 16);
        number
            .and_then(|number| u64::from_str_radix(number, 16).ok())
            .ok_or_else(|| {
                let message = "the cursor is not one of this adapter; begin with the first page";
                Error::new(ErrorKind::InvalidRequest, "get_call_history", message)
            })
    }

    /// The server's own record of a call that ended.
    ///
    /// # Errors
    /// `NotFound` when it told none.
    pub(crate) fn cdr(&self, calls: &Calls, call: &CallRef) -> Result<CallRecord> {
        let record = calls.record(call).cloned();
        let told = record.and_then(|record| Some((*self.by_call.get(&record.id?)?, record)));
        let Some((cdr, record)) = told else {
            let message = "the server told no record of such a call; it does when the call is over";
            return Err(Error::new(ErrorKind::NotFound, "get_cdr", message));
        };
        let mut record = self.measured(record);
        record.disposition = cdr.disposition;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cdr(duration_seconds: u64) -> Cdr {
        Cdr {
            duration_seconds,
            billable_seconds: 0,
            disposition: Disposition::Answered,
        }
    }

    #[test]
    fn the_servers_records_are_bounded_and_the_oldest_goes() {
        let mut cdrs = Cdrs::default();
        let ids: Vec<_> = (0..=MAX_CDRS).map(|_| CallId::new()).collect();
        for &id in &ids {
            cdrs.keep(id, cdr(1));
            cdrs.keep(id, cdr(2));
        }
        assert_eq!((cdrs.by_call.len(), cdrs.order.len()), (MAX_CDRS, MAX_CDRS));
        assert!(!cdrs.by_call.contains_key(&ids[0]));
        assert_eq!(cdrs.by_call.get(&ids[1]), Some(&cdr(2)));
    }

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_a_cursor() {
        let cdrs = Cdrs::default();
        let cursor = format!("{}{:016x}", cdrs.mark, 7);
        assert_eq!(cdrs.read_cursor(&cursor).unwrap(), 7);
        for bad in ["", "7", &cdrs.mark, &cursor[1..], &format!("{cursor}0")] {
            assert!(cdrs.read_cursor(bad).is_err(), "{bad}");
        }
    }
}
