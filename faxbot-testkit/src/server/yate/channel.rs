//! One channel, and what messages about it say.

use faxbot_core::Timestamp;

use super::{cdr::Cdr, fax::FaxSide};
use crate::server::script::CallScript;

/// Which driver a channel belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dumb,
    Sip,
    Fax,
    Conf,
    Tone,
    Wave,
    Moh,
}

impl Kind {
    pub(super) fn module(self) -> &'static str {
        match self {
            Self::Dumb => "dumb",
            Self::Sip => "sip",
            Self::Fax => "fax",
            Self::Conf => "conf",
            Self::Tone => "tone",
            Self::Wave => "wave",
            Self::Moh => "moh",
        }
    }

    /// Sound sources come and go without `chan.hangup` and CDR; a conference too.
    pub(super) fn is_call(self) -> bool {
        matches!(self, Self::Dumb | Self::Sip | Self::Fax)
    }
}

/// A recording or a playback that runs on a channel.
#[derive(Debug, Clone)]
pub(super) struct Media {
    pub path: String,
    /// By `chan.record`; else by `chan.attach`, which goes on beside it.
    pub of_call: bool,
    pub since: Timestamp,
    /// Most bytes of the file.
    pub most: Option<u64>,
}

/// A channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub id: String,
    pub kind: Kind,
    /// In the order they were made, over all kinds.
    pub serial: u64,
    pub status: String,
    pub address: Option<String>,
    pub target: Option<String>,
    pub bill: Option<String>,
    pub peer: Option<String>,
    pub last_peer: Option<String>,
    pub answered: bool,
    /// Seen from the engine: it did not make this call.
    pub incoming: bool,
    pub domain: Option<String>,
    /// The dialog of a SIP channel.
    pub dialog: Option<String>,
    pub contact: Option<String>,
    /// The last response of the far end, with its text.
    pub response: Option<(u16, String)>,
    pub fax: Option<FaxSide>,
    pub cdr: Option<Cdr>,
    /// How the far end goes on.
    pub script: Option<CallScript>,
    /// The number that was dialled.
    pub dialled: String,
    /// `maxcall`: until then it has to be answered.
    pub answer_by: Option<Timestamp>,
    /// `timeout`: then it is over.
    pub over_at: Option<Timestamp>,
    pub digits: u32,
    pub recordings: Vec<Media>,
    /// The conference that a `conf/N` is in.
    pub room: Option<String>,
    /// The status that a caller got instead of an answer.
    pub refusal: Option<u16>,
}

impl Channel {
    pub(super) fn new(id: String, kind: Kind, incoming: bool) -> Self {
        Self {
            id,
            kind,
            serial: 0,
            status: if incoming { "incoming" } else { "outgoing" }.to_owned(),
            address: None,
            target: None,
            bill: None,
            peer: None,
            last_peer: None,
            answered: false,
            incoming,
            domain: None,
            dialog: None,
            contact: None,
            response: None,
            fax: None,
            cdr: None,
            script: None,
            dialled: String::new(),
            answer_by: None,
            over_at: None,
            digits: 0,
            recordings: Vec::new(),
            room: None,
            refusal: None,
        }
    }

    /// What `Channel::complete` puts into a message (`engine/Channel.cpp`), behind `id` and
    /// `module`.
    pub(super) fn state(&self) -> Vec<(String, String)> {
        let mut all = Vec::with_capacity(16);
        let mut add = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                all.push((name.to_owned(), value.to_owned()));
            }
        };
        add("status", Some(&self.status));
        add("address", self.address.as_deref());
        add("targetid", self.target.as_deref());
        add("billid", self.bill.as_deref());
        add("peerid", self.peer.as_deref());
        add("lastpeerid", self.last_peer.as_deref());
        add(
            "answered",
            Some(if self.answered { "true" } else { "false" }),
        );
        add(
            "direction",
            Some(if self.incoming {
                "incoming"
            } else {
                "outgoing"
            }),
        );
        add("domain", self.domain.as_deref());
        add("callid", self.dialog.as_deref());
        if let Some(fax) = &self.fax {
            all.extend(fax.state());
        }
        all
    }

    /// The two first parameters of all messages about it.
    pub(super) fn head(&self) -> [(String, String); 2] {
        [
            ("id".to_owned(), self.id.clone()),
            ("module".to_owned(), self.kind.module().to_owned()),
        ]
    }

    /// Everything that is known of it.
    pub(super) fn complete(&self) -> Vec<(String, String)> {
        let mut all = self.head().to_vec();
        all.extend(self.state());
        all
    }

    /// What a SIP leg says of its last response, and of its sound.
    pub(super) fn sip_facts(&self, ended_by_far_end: bool) -> Vec<(String, String)> {
        let mut all = Vec::new();
        if self.kind != Kind::Sip {
            return all;
        }
        if let Some((code, text)) = &self.response {
            all.push(("cause_sip".to_owned(), code.to_string()));
            // An incoming leg has sent its responses itself.
            if !text.is_empty() {
                all.push(("reason_sip".to_owned(), text.clone()));
            }
        }
        if self.answered {
            all.push((
                "rtp_stats".to_owned(),
                "PS=0,OS=0,PR=0,OR=0,PL=0".to_owned(),
            ));
        }
        if let Some(contact) = self.contact.as_ref().filter(|_| ended_by_far_end) {
            all.push(("sip_contact".to_owned(), contact.clone()));
        }
        all
    }
}
