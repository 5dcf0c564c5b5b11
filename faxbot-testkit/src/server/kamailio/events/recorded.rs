//! Events as the recordings have them: texts are pasted in, so that a line break in one, or a value
//! that is not set, makes no JSON.

use std::fmt::Write as _;

use faxbot_core::Timestamp;

use crate::server::proxy::{By, Dialog, Happening, reason};

/// One event that is being written.
struct Line(String);

impl Line {
    fn new(event: &str) -> Self {
        Self(format!("{{\"event\":\"{event}\""))
    }

    /// A value that the script pastes in between quotes. What is not set is `<null>`.
    fn text(mut self, name: &str, value: Option<&str>) -> Self {
        // As `{s.escape.common}`: quotes and backslashes, no line breaks.
        let value = value.unwrap_or("<null>");
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let _infallible = write!(self.0, ",\"{name}\":\"{value}\"");
        self
    }

    fn number(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let _infallible = write!(self.0, ",\"{name}\":{value}");
        self
    }

    fn parties(self, dialog: &Dialog) -> Self {
        self.text("from", Some(&dialog.from_uri))
            .text("to", Some(&dialog.to_uri))
    }

    fn handle(self, dialog: &Dialog) -> Self {
        self.number("h_entry", dialog.h_entry)
            .number("h_id", dialog.h_id)
    }

    fn done(self, at: Timestamp) -> String {
        self.number("ts", at.as_second()).end()
    }

    fn end(self) -> String {
        let mut text = self.0;
        text.push('}');
        text
    }
}

/// What the script relays of it, in its order.
pub(super) fn lines(happening: &Happening, at: Timestamp) -> Vec<String> {
    let line = Line::new;
    match happening {
        // A transaction that the server forgot makes no event any more.
        Happening::Acknowledged(_) | Happening::LegReply { .. } => Vec::new(),
        Happening::Progress { dialog, .. }
        | Happening::Confirmed(dialog)
        | Happening::Cancelled(dialog)
        | Happening::Refused { dialog, .. }
            if !dialog.listed =>
        {
            Vec::new()
        }
        Happening::Began(dialog) => {
            let new = line("call:new")
                .text("callid", Some(&dialog.call_id))
                .parties(dialog)
                .text("job", dialog.mark.as_deref())
                .text(
                    "referred_by",
                    Some(dialog.referred_by.as_deref().unwrap_or_default()),
                )
                .handle(dialog);
            vec![new.done(at)]
        }
        Happening::Progress { dialog, status } => {
            let progress = line("call:progress")
                .text("callid", Some(&dialog.call_id))
                .number("status", status)
                .text("reason", Some(reason(*status)));
            vec![progress.done(at)]
        }
        Happening::Confirmed(dialog) => {
            let start = line("dialog:start")
                .text("callid", Some(&dialog.call_id))
                .parties(dialog)
                .handle(dialog)
                .number("state", 3)
                .text("job", dialog.mark.as_deref());
            vec![start.done(at)]
        }
        Happening::Cancelled(dialog) => {
            vec![
                line("call:cancel")
                    .text("callid", Some(&dialog.call_id))
                    .done(at),
            ]
        }
        Happening::Refused {
            dialog,
            status,
            timed_out,
        } => {
            let failed = line("call:failed")
                .text("callid", Some(&dialog.call_id))
                .text("status", Some(&status.to_string()))
                .text("reason", Some(reason(*status)));
            // A 503 is passed on as a 500 of Kamailio's own (recording `end_rejected_503`).
            let own = *timed_out || *status == 503;
            let rs = (!own).then(|| status.to_string());
            vec![failed.done(at), dialog_failed(dialog, rs.as_deref(), at)]
        }
        Happening::Forgotten(dialog) => vec![dialog_failed(dialog, None, at)],
        Happening::Ended { dialog, by } => ended(dialog, *by, at),
        Happening::Local {
            method,
            call_id,
            ruri,
            from,
            to,
            ..
        } => {
            let local = line("local:request")
                .text("method", Some(method))
                .text("callid", Some(call_id))
                .text("ruri", Some(ruri))
                .text("from", Some(from))
                .text("to", Some(to));
            vec![local.done(at)]
        }
        Happening::Notify {
            call_id,
            state,
            status,
        } => {
            let notify = line("bridge:notify")
                .text("callid", Some(call_id))
                .text("state", Some(state))
                .text(
                    "sipfrag",
                    Some(&format!("SIP/2.0 {status} {}\r\n", reason(*status))),
                );
            vec![notify.done(at)]
        }
    }
}

fn dialog_failed(dialog: &Dialog, rs: Option<&str>, at: Timestamp) -> String {
    // A message that Kamailio makes up has another method.
    let method = if rs.is_some() { "INVITE" } else { "OPTIONS" };
    Line::new("dialog:failed")
        .text("callid", Some(&dialog.call_id))
        .parties(dialog)
        .handle(dialog)
        .text("rs", rs)
        .text("t_reply_code", Some("0"))
        .text("method", Some(method))
        .text("job", dialog.mark.as_deref())
        .done(at)
}

fn ended(dialog: &Dialog, by: By, at: Timestamp) -> Vec<String> {
    let (method, who, direction) = match by {
        By::Caller => ("BYE", dialog.from_uri.as_str(), Some("downstream")),
        By::Callee => ("BYE", dialog.to_uri.as_str(), Some("upstream")),
        By::Server => ("OPTIONS", "sip:you@kamailio.org", None),
    };
    let mut all = Vec::new();
    if dialog.listed && dialog.answered_at.is_some() {
        let end = Line::new("dialog:end")
            .text("callid", Some(&dialog.call_id))
            .parties(dialog)
            .handle(dialog);
        let end = match by {
            By::Server => end.number("lifetime", "<null>"),
            _ => end.number("lifetime", dialog.duration(at)),
        };
        let end = end
            .text("method", Some(method))
            .text("by", Some(who))
            .text("job", dialog.mark.as_deref());
        all.push(end.done(at));
    }
    if let Some(direction) = direction {
        let bye = Line::new("call:bye")
            .text("callid", Some(&dialog.call_id))
            .text("by", Some(who))
            .text("direction", Some(direction))
            .text("reason", Some(""));
        all.push(bye.done(at));
    }
    all
}

pub(super) fn hello(number: usize) -> String {
    Line::new("hello")
        .text("addr", Some("127.0.0.1"))
        .number("conidx", number)
        .end()
}

pub(super) fn echo(message: &[u8]) -> String {
    let message = String::from_utf8_lossy(message);
    Line::new("echo").text("msg", Some(&message)).end()
}
