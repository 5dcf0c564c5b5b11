//! Records of calls: what we saw, and the server's own.

use std::collections::{HashMap, VecDeque};

use faxbot_core::{
    Error, ErrorKind, Result,
    id::{CallId, CallRef, RequestId},
    plugin::Page,
    sip::{CallRecord, Disposition, HistoryQuery, SipEvent},
};

use super::{books::Books, core::Core, incoming, outcome::Leg, request::action, server::Server};
use crate::protocol::ami::Message;

/// Records of a page when the query names no number, and at most.
const USUAL_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// How many records of the server's are kept: as many as our own of ended calls.
const MAX_CDRS: usize = 10_000;

/// The server's own records, bounded.
#[derive(Debug)]
pub(super) struct Cdrs {
    by_call: HashMap<CallId, Cdr>,
    order: VecDeque<CallId>,
    /// Marks the cursors of these books: another adapter's are refused.
    mark: String,
}

/// What the server measured of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cdr {
    duration_seconds: u64,
    billable_seconds: u64,
    disposition: Disposition,
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
    fn keep(&mut self, id: CallId, cdr: Cdr) {
        // A call that was moved about has several: the longest is that of the whole call.
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
}

impl Books {
    /// The server's own record of a call; it comes shortly before the `Hangup` of our channel, or much
    /// later where `cdr.conf` has `batch`. Its times are local ones without a zone, and left alone.
    pub(super) fn cdr(&mut self, event: &Message) -> Vec<SipEvent> {
        let id = event
            .get_str("UniqueID")
            .and_then(|uniqueid| match self.leg(&uniqueid) {
                Some(Leg::Own(id)) => Some(id),
                Some(_) => None,
                // One that came to us is known by its channel while it is up, and by its id after.
                None => Some(incoming::call_id(&uniqueid)),
            });
        let ours =
            |id: &CallId| self.lines.contains_key(id) || self.calls.record(&(*id).into()).is_some();
        if let Some(id) = id.filter(ours)
            && let Some(cdr) = read(event)
        {
            self.cdrs.keep(id, cdr);
        }
        Vec::new()
    }
}

fn read(event: &Message) -> Option<Cdr> {
    let seconds = |header| event.get_str(header)?.trim().parse().ok();
    Some(Cdr {
        duration_seconds: seconds("Duration")?,
        billable_seconds: seconds("BillableSeconds")?,
        disposition: match event.get_str("Disposition").as_deref() {
            Some("ANSWERED") => Disposition::Answered,
            Some("NO ANSWER") => Disposition::NoAnswer,
            Some("BUSY") => Disposition::Busy,
            Some("CONGESTION") => Disposition::Congestion,
            Some("FAILED") => Disposition::Failed,
            _ => Disposition::Unknown,
        },
    })
}

/// Whether the server sends `Cdr` events, as far as it tells: `cdr_manager` is there only if its own
/// file enables it, and `cdr.conf` may still say that nothing is recorded.
pub(super) async fn sends_cdr(server: &Server) -> Result<bool> {
    const OPERATION: &str = "connect";
    if server.has_module("cdr_manager", OPERATION).await? != Some(true) {
        return Ok(false);
    }
    let question = action("Command", &[("Command", "cdr show status")], OPERATION)?;
    let reply = server.ask(question, OPERATION).await?;
    // `Logging:                    Enabled`; an account without `command` is not told.
    let disabled = reply.response.get_all("Output").any(|line| {
        let line = String::from_utf8_lossy(line);
        line.trim_start()
            .strip_prefix("Logging:")
            .is_some_and(|state| state.trim() == "Disabled")
    });
    Ok(!disabled)
}

/// A page of the calls that ended, in the order of their ends.
pub(super) fn page(core: &Core, query: &HistoryQuery) -> Result<Page<CallRecord>> {
    let now = core.now().instant;
    let mut state = core.state();
    let books = &mut state.books;
    books.calls.sweep(now);
    let before = match &query.cursor {
        Some(cursor) => read_cursor(&books.cdrs.mark, cursor)?,
        None => u64::MAX,
    };
    let most = match query.limit {
        0 => USUAL_PAGE,
        limit => limit.min(LARGEST_PAGE),
    };
    let wanted = |record: &CallRecord| {
        let cdrs = &books.cdrs;
        query.id.is_none_or(|id| record.id == Some(id))
            && query.since.is_none_or(|since| record.start >= since)
            && query.until.is_none_or(|until| record.start < until)
            && query.direction.is_none_or(|it| record.direction == it)
            && query
                .disposition
                .is_none_or(|it| cdrs.measured(record.clone()).disposition == it)
    };
    let mut found = books
        .calls
        .ended()
        .filter(|(number, record)| *number < before && wanted(record));
    let mut items = Vec::new();
    let mut last = before;
    for (number, record) in found.by_ref().take(most) {
        items.push(books.cdrs.measured(record.clone()));
        last = number;
    }
    Ok(match found.next() {
        Some(_) => Page::more(items, format!("{}{last:016x}", books.cdrs.mark)),
        None => Page::last(items),
    })
}

/// The number that the page before ended with. Records that come meanwhile have greater ones.
fn read_cursor(mark: &str, cursor: &str) -> Result<u64> {
    let number = cursor.strip_prefix(mark);
    let number = number.filter(|number| number.len() == 16);
    number
        .and_then(|number| u64::from_str_radix(number, 16).ok())
        .ok_or_else(|| {
            let message = "the cursor is not one of this adapter; begin with the first page";
            Error::new(ErrorKind::InvalidRequest, "get_call_history", message)
        })
}

/// The server's own record of a call that ended.
pub(super) fn cdr(core: &Core, call: &CallRef) -> Result<CallRecord> {
    let state = core.state();
    let books = &state.books;
    let record = books.calls.record(call).cloned();
    let told = record.and_then(|record| Some((*books.cdrs.by_call.get(&record.id?)?, record)));
    let Some((cdr, record)) = told else {
        let message = "the server told no record of such a call; it does when the call is over";
        return Err(Error::new(ErrorKind::NotFound, "get_cdr", message));
    };
    let mut record = books.cdrs.measured(record);
    record.disposition = cdr.disposition;
    Ok(record)
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
        let mark = Cdrs::default().mark;
        let cursor = format!("{mark}{:016x}", 7);
        assert_eq!(read_cursor(&mark, &cursor).unwrap(), 7);
        for bad in ["", "7", &mark, &cursor[1..], &format!("{cursor}0")] {
            assert!(read_cursor(&mark, bad).is_err(), "{bad}");
        }
    }
}
