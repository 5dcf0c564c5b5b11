//! What the script of a mocked Kamailio relays by evapi.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use faxbot_core::Timestamp;

use crate::server::proxy::{By, Dialog, Happening};

/// How the script writes its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EventForm {
    /// As the recordings have them: texts are pasted in, so that a line break in one, or a value
    /// that is not set, makes no JSON.
    #[default]
    Recorded,
    /// With a version, and what may be any text in base64, in members that end in `64`.
    Versioned,
}

/// One event that is being written.
struct Line {
    text: String,
    form: EventForm,
}

impl Line {
    fn new(form: EventForm, event: &str) -> Self {
        let version = match form {
            EventForm::Recorded => "",
            EventForm::Versioned => "\"faxbot\":1,",
        };
        Self {
            text: format!("{{{version}\"event\":\"{event}\""),
            form,
        }
    }

    /// A value that the script pastes in between quotes. What is not set is `<null>`.
    fn text(mut self, name: &str, value: Option<&str>) -> Self {
        let value = match (self.form, value) {
            (EventForm::Versioned, None) => return self,
            (EventForm::Recorded, None) => "<null>",
            (_, Some(value)) => value,
        };
        // As `{s.escape.common}`: quotes and backslashes, no line breaks.
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let _infallible = write!(self.text, ",\"{name}\":\"{value}\"");
        self
    }

    /// Any text.
    fn free(self, name: &str, value: &str) -> Self {
        match self.form {
            EventForm::Recorded => self.text(name, Some(value)),
            EventForm::Versioned => {
                let encoded = STANDARD.encode(value);
                self.text(&format!("{name}64"), Some(&encoded))
            }
        }
    }

    fn number(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let _infallible = write!(self.text, ",\"{name}\":{value}");
        self
    }

    fn parties(self, dialog: &Dialog) -> Self {
        let line = match self.form {
            EventForm::Recorded => self,
            EventForm::Versioned => self.text("from_tag", Some(&dialog.from_tag)),
        };
        line.text("from", Some(&dialog.from_uri))
            .text("to", Some(&dialog.to_uri))
    }

    fn handle(self, dialog: &Dialog) -> Self {
        self.number("h_entry", dialog.h_entry)
            .number("h_id", dialog.h_id)
    }

    fn done(self, at: Timestamp) -> String {
        let mut text = self.number("ts", at.as_second()).text;
        text.push('}');
        text
    }
}

/// What the script relays of it, in its order.
pub(super) fn lines(happening: &Happening, at: Timestamp, form: EventForm) -> Vec<String> {
    let line = |event: &str| Line::new(form, event);
    match happening {
        // A transaction that the server forgot makes no event any more.
        Happening::Acknowledged(_) => Vec::new(),
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
                .free("reason", reason(*status));
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
                .free("reason", reason(*status));
            // A 503 is passed on as a 500 of Kamailio's own (recording `end_rejected_503`).
            let own = *timed_out || *status == 503;
            let rs = (!own).then(|| status.to_string());
            vec![
                failed.done(at),
                dialog_failed(form, dialog, rs.as_deref(), at),
            ]
        }
        Happening::Forgotten(dialog) => vec![dialog_failed(form, dialog, None, at)],
        Happening::Ended { dialog, by } => ended(form, dialog, *by, at),
        Happening::Local {
            method,
            call_id,
            ruri,
            from,
            to,
        } => {
            let leg = matches!(method.as_ref(), "INVITE" | "REFER" | "BYE");
            if form == EventForm::Versioned && !leg {
                return Vec::new();
            }
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
                .free("state", state)
                .free(
                    "sipfrag",
                    &format!("SIP/2.0 {status} {}\r\n", reason(*status)),
                );
            vec![notify.done(at)]
        }
    }
}

fn reason(status: u16) -> &'static str {
    crate::server::proxy::reason(status)
}

fn dialog_failed(form: EventForm, dialog: &Dialog, rs: Option<&str>, at: Timestamp) -> String {
    // A message that Kamailio makes up has another method.
    let method = if rs.is_some() { "INVITE" } else { "OPTIONS" };
    Line::new(form, "dialog:failed")
        .text("callid", Some(&dialog.call_id))
        .parties(dialog)
        .handle(dialog)
        .text("rs", rs)
        .text("t_reply_code", Some("0"))
        .text("method", Some(method))
        .text("job", dialog.mark.as_deref())
        .done(at)
}

fn ended(form: EventForm, dialog: &Dialog, by: By, at: Timestamp) -> Vec<String> {
    let (method, who, direction) = match by {
        By::Caller => ("BYE", dialog.from_uri.as_str(), Some("downstream")),
        By::Callee => ("BYE", dialog.to_uri.as_str(), Some("upstream")),
        By::Server => ("OPTIONS", "sip:you@kamailio.org", None),
    };
    let mut all = Vec::new();
    if dialog.listed && dialog.answered_at.is_some() {
        let end = Line::new(form, "dialog:end")
            .text("callid", Some(&dialog.call_id))
            .parties(dialog)
            .handle(dialog);
        let end = match (by, form) {
            (By::Server, EventForm::Versioned) => end,
            (By::Server, EventForm::Recorded) => end.number("lifetime", "<null>"),
            _ => end.number("lifetime", dialog.duration(at)),
        };
        let end = end
            .text("method", Some(method))
            .text("by", Some(who))
            .text("job", dialog.mark.as_deref());
        all.push(end.done(at));
    }
    if let Some(direction) = direction {
        let bye = Line::new(form, "call:bye")
            .text("callid", Some(&dialog.call_id))
            .text("by", Some(who))
            .text("direction", Some(direction))
            .free("reason", "");
        all.push(bye.done(at));
    }
    all
}

pub(super) fn hello(form: EventForm, number: usize) -> String {
    let mut text = Line::new(form, "hello")
        .text("addr", Some("127.0.0.1"))
        .number("conidx", number)
        .text;
    text.push('}');
    text
}

pub(super) fn echo(form: EventForm, message: &[u8]) -> String {
    let message = String::from_utf8_lossy(message);
    let mut text = Line::new(form, "echo").free("msg", &message).text;
    text.push('}');
    text
}
