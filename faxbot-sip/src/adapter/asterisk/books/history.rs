//! The server's own records of calls: `Cdr` events.

use faxbot_core::{
    Result,
    id::CallId,
    sip::{Disposition, SipEvent},
};

use super::super::{incoming, outcome::Leg, request::action, server::Server};
use super::Books;
use crate::{adapter::history::Cdr, protocol::ami::Message};

impl Books {
    /// The server's own record of a call; it comes shortly before the `Hangup` of our channel, or much
    /// later where `cdr.conf` has `batch`. Its times are local ones without a zone, and left alone.
    pub(crate) fn cdr(&mut self, event: &Message) -> Vec<SipEvent> {
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
pub(crate) async fn sends_cdr(server: &Server) -> Result<bool> {
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
