//! A dialog as a proxy keeps it.

use std::fmt;

use faxbot_core::Timestamp;

/// How far a dialog is, as Kamailio and OpenSIPS number it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// The INVITE passed.
    Begun = 1,
    /// It rings.
    Early = 2,
    /// Answered, and the ACK has not passed.
    Answered = 3,
    /// Answered.
    Up = 4,
    /// Ended; listed for a while.
    Over = 5,
}

/// One dialog of a mocked proxy. `Debug` shows its handle and stage.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dialog {
    /// Its entry in the table of dialogs.
    pub h_entry: u32,
    /// Its number in that entry.
    pub h_id: u32,
    /// The Call-ID.
    pub call_id: String,
    /// Who calls.
    pub from_uri: String,
    /// Who is called, as the caller wrote it.
    pub to_uri: String,
    /// The caller's tag.
    pub from_tag: String,
    /// The callee's tag, from the answer on.
    pub to_tag: Option<String>,
    /// How far it is.
    pub stage: Stage,
    /// When the INVITE came.
    pub begun_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The header of the INVITE that carries a client's mark.
    pub mark: Option<String>,
    /// `Referred-By` of the INVITE.
    pub referred_by: Option<String>,
    /// Whether the callee's phone gave any sign of life.
    pub rang: bool,
    /// Whether the server still has it. A call of which the server forgot its dialog goes on.
    pub listed: bool,
}

impl Dialog {
    /// The caller's contact.
    pub(in crate::server) fn caller_contact(&self) -> String {
        contact(&self.from_uri, "5091")
    }

    /// The callee's contact.
    pub(in crate::server) fn callee_contact(&self) -> String {
        contact(&self.to_uri, "5080")
    }

    /// The tag that the callee has, also while it rings.
    pub(in crate::server) fn callee_tag(&self) -> String {
        let number = u64::from(self.h_id);
        format!("u{number}{:04}", number * 7 % 10_000)
    }

    /// Seconds from the answer to `now`, or to its end.
    pub(in crate::server) fn duration(&self, now: Timestamp) -> i64 {
        let Some(answered) = self.answered_at else {
            // What both servers write: the end less a start of 0.
            return self.ended_at.map_or(0, Timestamp::as_second);
        };
        self.ended_at.unwrap_or(now).as_second() - answered.as_second()
    }
}

fn contact(uri: &str, port: &str) -> String {
    let user = super::uri::Target::parse(uri).map(|target| target.user);
    format!("sip:{}@127.0.0.1:{port}", user.unwrap_or_default())
}

impl fmt::Debug for Dialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialog")
            .field("h_entry", &self.h_entry)
            .field("h_id", &self.h_id)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
