//! The requests of the optional methods.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    address::Address,
    id::{CallId, CallRef},
    message::MessageContent,
    redact::MASK,
    sip::{Capability, Direction, Disposition},
};

/// What an incoming call becomes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptAs {
    /// Answered, up and silent until told what to do.
    Park,
    /// Answered in an extension of the server's dialplan.
    Extension {
        /// The extension.
        extension: String,
        /// The context; `None` is the adapter's default.
        context: Option<String>,
    },
    /// Answered and bridged to another party.
    Bridge(Address),
    /// Answered as a fax machine.
    Fax,
}

impl AcceptAs {
    /// The capability that this needs.
    pub fn capability(&self) -> Capability {
        match self {
            Self::Fax => Capability::ReceiveFax,
            Self::Park | Self::Extension { .. } | Self::Bridge(_) => Capability::Incoming,
        }
    }
}

impl fmt::Debug for AcceptAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Park => f.write_str("Park"),
            Self::Extension { .. } => write!(f, "Extension({MASK})"),
            Self::Bridge(to) => f.debug_tuple("Bridge").field(to).finish(),
            Self::Fax => f.write_str("Fax"),
        }
    }
}

/// Why an incoming call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectCause {
    /// Busy (SIP 486, Q.850 17).
    Busy,
    /// Nobody there (SIP 480, Q.850 19).
    Unavailable,
    /// No such number (SIP 404, Q.850 1).
    NotFound,
    /// Refused (SIP 603, Q.850 21).
    Declined,
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferRequest {
    /// The call that is transferred.
    pub call: CallRef,
    /// How.
    pub plan: TransferPlan,
}

/// How a call is transferred.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferPlan {
    /// To a new party, without asking it first.
    Blind(Address),
    /// To the party of another call of ours.
    Attended(CallRef),
}

impl TransferRequest {
    /// A blind transfer.
    pub fn blind(call: impl Into<CallRef>, to: Address) -> Self {
        Self {
            call: call.into(),
            plan: TransferPlan::Blind(to),
        }
    }

    /// An attended transfer.
    pub fn attended(call: impl Into<CallRef>, other: impl Into<CallRef>) -> Self {
        Self {
            call: call.into(),
            plan: TransferPlan::Attended(other.into()),
        }
    }

    /// The capability that this needs.
    pub fn capability(&self) -> Capability {
        match self.plan {
            TransferPlan::Blind(_) => Capability::TransferBlind,
            TransferPlan::Attended(_) => Capability::TransferAttended,
        }
    }
}

/// Something done to a conference.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConferenceRequest {
    /// Its name at the server.
    pub conference: String,
    /// What is done.
    pub action: ConferenceAction,
}

/// What is done to a conference.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConferenceAction {
    /// A call joins it.
    Join(CallRef),
    /// A member is muted or not.
    Mute(CallRef, bool),
    /// A member leaves.
    Kick(CallRef),
    /// Nobody else may join, or again everybody.
    Lock(bool),
    /// It is recorded, or no longer.
    Record(bool),
    /// Everybody leaves.
    End,
}

impl ConferenceRequest {
    /// `action` on `conference`.
    pub fn new(conference: impl Into<String>, action: ConferenceAction) -> Self {
        Self {
            conference: conference.into(),
            action,
        }
    }
}

impl fmt::Debug for ConferenceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConferenceRequest({MASK}, {:?})", self.action)
    }
}

/// Starts or stops the recording of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordRequest {
    /// The call.
    pub call: CallRef,
    /// Whether it is to run.
    pub run: bool,
}

impl RecordRequest {
    /// Starts a recording.
    pub fn start(call: impl Into<CallRef>) -> Self {
        Self {
            call: call.into(),
            run: true,
        }
    }

    /// Stops it.
    pub fn stop(call: impl Into<CallRef>) -> Self {
        Self {
            call: call.into(),
            run: false,
        }
    }
}

/// DTMF to send into a call.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DtmfRequest {
    /// The call.
    pub call: CallRef,
    /// `0`-`9`, `A`-`D`, `*`, `#`.
    pub digits: String,
    /// How long each is pressed; 100 ms by default.
    pub duration: Duration,
}

impl DtmfRequest {
    /// Digits of 100 ms.
    pub fn new(call: impl Into<CallRef>, digits: impl Into<String>) -> Self {
        Self {
            call: call.into(),
            digits: digits.into(),
            duration: Duration::from_millis(100),
        }
    }
}

impl fmt::Debug for DtmfRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digits are PINs and account numbers.
        write!(f, "DtmfRequest({:?}, {MASK})", self.call)
    }
}

/// A message over SIP.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SipMessage {
    /// From whom; the server's default when absent.
    pub from: Option<Address>,
    /// To whom.
    pub to: Address,
    /// What.
    pub content: MessageContent,
}

impl SipMessage {
    /// A message from the server's default sender.
    pub fn new(to: Address, content: MessageContent) -> Self {
        Self {
            from: None,
            to,
            content,
        }
    }
}

/// Which records are wanted, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HistoryQuery {
    /// Only this call.
    pub id: Option<CallId>,
    /// Only those that started at or after.
    pub since: Option<Timestamp>,
    /// Only those that started before.
    pub until: Option<Timestamp>,
    /// Only this way.
    pub direction: Option<Direction>,
    /// Only with this end.
    pub disposition: Option<Disposition>,
    /// At most so many; 0 is the adapter's own limit.
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<String>,
}
