//! What a proxy notices. Each mock tells it to its clients in its own words.

use std::borrow::Cow;

use super::dialog::Dialog;

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum By {
    Caller,
    Callee,
    /// The server itself, as it was told to.
    Server,
}

/// Something that the proxy saw or did. Dialogs are as they were then.
#[derive(Debug, Clone)]
pub(in crate::server) enum Happening {
    /// The INVITE passed.
    Began(Dialog),
    /// A provisional or good reply to it.
    Progress { dialog: Dialog, status: u16 },
    /// The dialog is confirmed.
    Confirmed(Dialog),
    /// The ACK of the caller passed.
    Acknowledged(Dialog),
    /// The caller takes it back.
    Cancelled(Dialog),
    /// It came to nothing. A time-out is the server's own 408.
    Refused {
        dialog: Dialog,
        status: u16,
        timed_out: bool,
    },
    /// The server forgets an unanswered dialog, as it was told to; the phone rings on.
    Forgotten(Dialog),
    /// An answered call ends.
    Ended { dialog: Dialog, by: By },
    /// The server sends a request of its own.
    Local {
        method: Cow<'static, str>,
        call_id: String,
        ruri: String,
        from: String,
        to: String,
        /// Of a REFER, as it is sent.
        refer_to: Option<String>,
    },
    /// A phone replies to such a request.
    LegReply {
        method: &'static str,
        call_id: String,
        status: u16,
    },
    /// A phone that was asked to transfer tells how that goes.
    Notify {
        call_id: String,
        state: &'static str,
        status: u16,
    },
}

/// The customary words of a status (RFC 3261 section 21).
pub(in crate::server) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        415 => "Unsupported Media Type",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        600 => "Busy Everywhere",
        _ => "Other",
    }
}
