//! Events of the script that is shipped with the adapter, version 1
//! (`docs/adapters/kamailio-events.cfg`): texts are base64, in members that end in `64`.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use faxbot_core::Timestamp;

use super::Told;
use crate::server::proxy::{By, Dialog, Happening, reason};

/// One event that is being written.
struct Line(String);

impl Line {
    fn new(event: &str) -> Self {
        Self(format!("{{\"faxbot\":1,\"event\":\"{event}\""))
    }

    /// An event of a dialog: `FAXBOT_DIALOG`.
    fn of(event: &str, dialog: &Dialog) -> Self {
        let mut line = Self::new(event);
        if dialog.listed {
            line = line.plain("h_entry", dialog.h_entry);
            line = line.plain("h_id", dialog.h_id);
        }
        line = line.text("callid", &dialog.call_id);
        if dialog.listed {
            line = line.text("from_tag", &dialog.from_tag);
            if let Some(job) = &dialog.mark {
                line = line.text("job", job);
            }
        }
        line
    }

    fn text(mut self, name: &str, value: &str) -> Self {
        let _infallible = write!(self.0, ",\"{name}64\":\"{}\"", STANDARD.encode(value));
        self
    }

    /// A number, true or false.
    fn plain(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let _infallible = write!(self.0, ",\"{name}\":{value}");
        self
    }

    fn word(self, name: &str, value: &str) -> Self {
        self.plain(name, format_args!("\"{value}\""))
    }

    fn end(self) -> String {
        let mut text = self.0;
        text.push('}');
        text
    }
}

/// What the script relays of it, in its order.
pub(super) fn lines(happening: &Happening, at: Timestamp) -> Vec<String> {
    match happening {
        // A transaction that the server forgot makes no event any more.
        Happening::Progress { dialog, .. }
        | Happening::Confirmed(dialog)
        | Happening::Refused { dialog, .. }
            if !dialog.listed =>
        {
            Vec::new()
        }
        // The failure tells of the CANCEL, and nothing of the ACK.
        Happening::Acknowledged(_) | Happening::Cancelled(_) => Vec::new(),
        Happening::Began(dialog) => {
            let new = Line::of("new", dialog)
                .text("from_uri", &dialog.from_uri)
                .text("from_name", "")
                .text("to_uri", &dialog.to_uri)
                .text("ruri", &dialog.to_uri)
                .text(
                    "referred_by",
                    dialog.referred_by.as_deref().unwrap_or_default(),
                );
            vec![new.end()]
        }
        Happening::Progress { status: 200.., .. } => Vec::new(),
        Happening::Progress { dialog, status } => {
            let progress = Line::new("progress")
                .text("callid", &dialog.call_id)
                .text("from_tag", &dialog.from_tag)
                .text("to_tag", &dialog.callee_tag())
                .plain("code", status)
                .text("reason", reason(*status))
                .plain("sdp", *status == 183);
            vec![progress.end()]
        }
        Happening::Confirmed(dialog) => {
            let start = Line::of("start", dialog)
                .text("to_tag", dialog.to_tag.as_deref().unwrap_or_default())
                .text("from_uri", &dialog.from_uri)
                .text("to_uri", &dialog.to_uri);
            vec![start.end()]
        }
        Happening::Refused {
            dialog,
            status,
            timed_out,
        } => {
            let failed = Line::new("failed")
                .text("callid", &dialog.call_id)
                .text("from_tag", &dialog.from_tag)
                .plain("code", status)
                .text("reason", reason(*status))
                .plain("replied", !*timed_out || dialog.rang)
                .plain("cancelled", *status == 487);
            // A 503 is passed on as a 500 of Kamailio's own (recording `end_rejected_503`).
            let own = *timed_out || *status == 503;
            let dialog = Line::of("dialog_failed", dialog);
            let dialog = if own {
                dialog
            } else {
                dialog.plain("code", status)
            };
            vec![failed.end(), dialog.end()]
        }
        Happening::Forgotten(dialog) => vec![Line::of("dialog_failed", dialog).end()],
        Happening::Ended { dialog, by } => ended(dialog, *by, at),
        Happening::Local {
            method,
            call_id,
            ruri,
            from,
            to,
            refer_to,
        } => {
            if !matches!(method.as_ref(), "INVITE" | "REFER" | "BYE") {
                return Vec::new();
            }
            let leg = Line::new("leg")
                .text("callid", call_id)
                .word("method", method)
                .text("from_uri", from)
                .text("to_uri", to)
                .text("ruri", ruri)
                .text("refer_to", refer_to.as_deref().unwrap_or_default());
            vec![leg.end()]
        }
        Happening::LegReply {
            method,
            call_id,
            status,
        } => {
            let reply = Line::new("leg_reply")
                .text("callid", call_id)
                .word("method", method)
                .plain("code", status)
                .text("reason", reason(*status));
            vec![reply.end()]
        }
        Happening::Notify {
            call_id,
            state,
            status,
        } => {
            let notify = Line::new("notify")
                .text("callid", call_id)
                .plain("code", status)
                .text("state", state);
            vec![notify.end()]
        }
    }
}

fn ended(dialog: &Dialog, by: By, at: Timestamp) -> Vec<String> {
    let mut all = Vec::new();
    let (who, tag, uri) = match by {
        By::Caller => ("caller", dialog.from_tag.as_str(), &dialog.from_uri),
        By::Callee => (
            "callee",
            dialog.to_tag.as_deref().unwrap_or_default(),
            &dialog.to_uri,
        ),
        By::Server => ("server", "", &dialog.from_uri),
    };
    if by != By::Server {
        let bye = Line::new("bye")
            .text("callid", &dialog.call_id)
            .text("from_tag", tag)
            .text("from_uri", uri)
            .text("reason", "");
        all.push(bye.end());
    }
    if dialog.listed && dialog.answered_at.is_some() {
        let mut end = Line::of("end", dialog);
        if by != By::Server {
            end = end.plain("lifetime", dialog.duration(at));
        }
        all.push(end.word("who", who).text("reason", "").end());
    }
    all
}

/// What else the script tells.
pub(super) fn told(told: &Told<'_>) -> Option<String> {
    let line = match told {
        Told::Hello { version, .. } => {
            Line::new("hello").word("server", &format!("kamailio {version}"))
        }
        Told::Echo(message) => {
            let mut line = Line::new("pong").0;
            let _infallible = write!(line, ",\"echo64\":\"{}\"", STANDARD.encode(message));
            Line(line)
        }
        Told::Message {
            call_id,
            from,
            to,
            text,
        } => Line::new("message")
            .text("callid", call_id)
            .plain("cseq", 1)
            .text("from_uri", from)
            .text("from_name", "")
            .text("to_uri", to)
            .text("type", "text/plain")
            .text("body", text),
        Told::Contact {
            action,
            number,
            contact,
        } => Line::new("usrloc")
            .word("action", action)
            .text("user", number)
            .text("contact", contact),
        Told::Destination { up, uri } => {
            let event = if *up { "dst_up" } else { "dst_down" };
            Line::new(event).text("uri", uri)
        }
    };
    Some(line.end())
}
