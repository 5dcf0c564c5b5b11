//! Calls that come to us, as the books see them: they wait in `park` for a decision, or their
//! application `socket` called us. Sans-IO.
//!
//! A call that waits is not answered. Whatever is decided is one order to the channel, by its uuid, on
//! the one connection that the adapter has; a socket only brings the call and holds it meanwhile.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | which channels are calls for us, in events and lists |
//! | `announce` | what is asked and set before a call is told of |
//! | `accept` | one order that answers a call and makes of it what was decided |
//! | `decide` | rejecting, and the deadline |
//! | `receive` | the pages of a fax that came in |
//! | `socket` | the port that the application `socket` calls |

pub(super) mod accept;
pub(super) mod announce;
pub(super) mod decide;
pub(super) mod receive;
pub(super) mod socket;

use std::{collections::BTreeMap, time::Duration};

use faxbot_core::{
    Private, Timestamp,
    id::{CallId, CallRef},
    sip::SipEvent,
};

use super::{
    causes,
    config::{FreeswitchConfig, IncomingPath},
    outcome::{Kind, call_of},
    server::Channel,
    state::Desk,
};
use crate::{
    adapter::{
        books::{Arrival, Leg, UNSURE},
        calls::Now,
        hub::Book as _,
        incoming::{Decides, Stage, private},
    },
    protocol::esl::Event,
};

/// The variable of a channel that somebody decided on: what it was made, by the word of [`Kind`].
/// Whoever comes later knows by it that the call does not wait.
pub(super) const DECIDED: &str = "faxbot_kind";

/// What a call is told with besides the headers that are configured, by FreeSWITCH's own names.
const TOLD: [&str; 4] = [
    "Caller-Caller-ID-Name",
    "Caller-RDNIS",
    "Caller-Network-Addr",
    "variable_sip_call_id",
];

/// How calls come to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Way {
    /// They do not.
    #[default]
    Shut,
    Park,
    Socket,
}

/// Which channels are calls for us.
#[derive(Debug, Default)]
pub(super) struct Gate {
    way: Way,
    context: Option<String>,
    headers: Vec<String>,
}

impl Gate {
    pub(super) fn new(config: &FreeswitchConfig) -> Self {
        Self {
            way: match config.incoming {
                IncomingPath::Off => Way::Shut,
                IncomingPath::Park => Way::Park,
                IncomingPath::Socket { .. } => Way::Socket,
            },
            context: config.incoming_context.clone(),
            headers: config.incoming_headers.clone(),
        }
    }

    /// The application in whose list entry a call waits. A channel that a socket of type `async` holds
    /// is one of `socket` there.
    fn application(&self) -> Option<&'static str> {
        match self.way {
            Way::Shut => None,
            Way::Park => Some("park"),
            Way::Socket => Some("socket"),
        }
    }

    fn is_of_context(&self, context: &str) -> bool {
        self.context
            .as_deref()
            .is_none_or(|wanted| wanted == context)
    }
}

/// FreeSWITCH writes a number or name that it does not have in one of these ways.
fn is_known(text: &str) -> bool {
    !["", "unknown", "anonymous", "_undef_"]
        .iter()
        .any(|it| text.eq_ignore_ascii_case(it))
}

fn known(text: &str) -> Option<Private> {
    is_known(text).then(|| private(text))
}

/// What a call is told with, picked out of the headers of its channel: all of it may be written by the
/// caller.
struct Told<'a> {
    /// The SIP headers that are configured.
    wanted: &'a [String],
    told: BTreeMap<String, Private>,
}

impl<'a> Told<'a> {
    fn new(wanted: &'a [String]) -> Self {
        Self {
            wanted,
            told: BTreeMap::new(),
        }
    }

    fn take(&mut self, name: &str, value: &str) {
        if TOLD.contains(&name) {
            let value = known(value).map(|value| (name.to_owned(), value));
            self.told.extend(value);
        }
        let Some(header) = header_of(name).filter(|_| !value.is_empty()) else {
            return;
        };
        // Names of SIP headers have no case; in variables they stand as they came.
        let mut wanted = self.wanted.iter();
        if let Some(wanted) = wanted.find(|it| it.eq_ignore_ascii_case(header)) {
            self.told.insert(wanted.clone(), private(value));
        }
    }
}

/// A call by the headers of its channel, those of `CHANNEL_PARK` and of the reply to `connect`.
fn arrival(id: CallId, event: &Event<'_>, wanted: &[String]) -> Arrival {
    let text = |name: &str| event.text(name).unwrap_or_default();
    let mut headers = Told::new(wanted);
    event.each_text(|name, value| headers.take(name, value));
    Arrival {
        id,
        native: text("Unique-ID").into_owned(),
        caller: known(&text("Caller-Caller-ID-Number")),
        called: known(&text("Caller-Destination-Number")),
        headers: headers.told,
        answered: text("Answer-State") == "answered",
        late: false,
        age: Duration::ZERO,
    }
}

/// The SIP header that a variable holds: `sip_h_` for those that `mod_sofia` has no name for.
fn header_of(variable: &str) -> Option<&str> {
    let name = variable.strip_prefix("variable_sip_")?;
    Some(name.strip_prefix("h_").unwrap_or(name))
}

impl Channel {
    /// Whether it is a call that came in and was not answered.
    fn rings_us(&self) -> bool {
        self.direction == "inbound" && matches!(self.callstate.as_str(), "RINGING" | "EARLY")
    }
}

impl Desk {
    /// Calls come in as this configuration says.
    pub(super) fn open_gate(&mut self, config: &FreeswitchConfig) {
        self.gate = Gate::new(config);
        self.door.kind = Kind::Incoming.word();
        self.door.deadline = config.incoming_deadline;
    }

    /// A channel that we do not know waits in `park`.
    pub(super) fn came_to_park(&mut self, event: &Event<'_>, now: Now) -> Vec<SipEvent> {
        let text = |name: &str| event.text(name).unwrap_or_default();
        let uuid = text("Unique-ID");
        // One that a socket holds is announced as parked too; that is not ours to decide on.
        let waits = self.gate.way == Way::Park
            && text("Call-Direction") == "inbound"
            && text("variable_current_application") != "socket"
            && event.text(&format!("variable_{DECIDED}")).is_none()
            && self.gate.is_of_context(&text("Caller-Context"));
        match call_of(&uuid).filter(|_| waits) {
            Some(id) => {
                let came = arrival(id, event, &self.gate.headers);
                self.arrive(came, now)
            }
            None => Vec::new(),
        }
    }

    /// An accepted call is parked again behind a bridge that did not come about (observed on
    /// FreeSWITCH 1.10.12: before or after the end of the other channel).
    pub(super) fn is_back(&mut self, id: CallId, event: &Event<'_>) {
        let text = |name: &str| event.text(name).unwrap_or_default();
        let disposition = text("variable_originate_disposition");
        let decided = self.waiting_of(id).is_some_and(|it| !it.is_undecided());
        if !decided || matches!(&*disposition, "" | "SUCCESS") {
            return;
        }
        let status = causes::sip_status(&text("variable_last_bridge_proto_specific_hangup_cause"));
        self.second_says(id, causes::causes(&disposition, status));
        if let Some(line) = self.lines.get_mut(&id) {
            line.second.over = true;
        }
    }

    /// A call that the application `socket` brought. `false` for one that is none of ours.
    pub(super) fn came_by_socket(
        &mut self,
        event: &Event<'_>,
        now: Now,
    ) -> (Option<CallId>, Vec<SipEvent>) {
        let text = |name: &str| event.text(name).unwrap_or_default();
        let ours =
            text("Call-Direction") == "inbound" && self.gate.is_of_context(&text("Caller-Context"));
        match call_of(&text("Unique-ID")).filter(|_| ours) {
            Some(id) => {
                let came = arrival(id, event, &self.gate.headers);
                (Some(id), self.arrive(came, now))
            }
            None => (None, Vec::new()),
        }
    }

    /// Calls that wait in the list and that nobody was told of, and orders that did not arrive.
    pub(super) fn waiting_in(&mut self, list: &[Channel], now: Now) -> Vec<SipEvent> {
        let Some(application) = self.gate.application() else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for channel in list {
            let waits = channel.rings_us() && channel.application == application;
            match self.leg(&channel.uuid) {
                Some(Leg::Own(id)) if waits => self.waits_still(id, now),
                Some(Leg::Own(id)) => self.went(id, channel, application, now),
                None if waits && self.gate.way == Way::Park => {
                    if let Some(id) = call_of(&channel.uuid)
                        && self.gate.is_of_context(&channel.context)
                    {
                        out.extend(self.arrive(found(id, channel, now.wall), now));
                    }
                }
                Some(Leg::Other(_)) | None => {}
            }
        }
        out
    }

    /// The list shows a call elsewhere: our order arrived, or somebody else took it while nobody
    /// looked.
    fn went(&mut self, id: CallId, channel: &Channel, application: &str, now: Now) {
        let stays = channel.application == application;
        let line = self.lines.get(&id);
        let since = line.and_then(|line| line.requested);
        if since.is_none_or(|since| now.instant.saturating_duration_since(since) < UNSURE) {
            // The list is written behind: it may show what ran before.
            if self
                .waiting_of(id)
                .is_some_and(|it| it.stage() == Stage::Unsure)
            {
                self.unsure(id, now);
            }
            return;
        }
        if let Some(waiting) = self.waiting_of(id) {
            match waiting.stage() {
                // It was answered before, and nothing shows that it moved.
                Stage::New | Stage::Open if waiting.answered && stays => {}
                // The list may be older than the order.
                Stage::Deciding => {}
                Stage::New | Stage::Open | Stage::Unsure | Stage::Decided => {
                    self.waits_no_longer(id);
                }
            }
        }
    }
}

/// A call as the list has it: its headers are asked for.
fn found(id: CallId, channel: &Channel, now: Timestamp) -> Arrival {
    let age = channel.created().map(|at| now.duration_since(at));
    Arrival {
        id,
        native: channel.uuid.clone(),
        caller: known(&channel.cid_num),
        called: known(&channel.dest),
        headers: known(&channel.cid_name)
            .map(|name| (TOLD[0].to_owned(), name))
            .into_iter()
            .collect(),
        answered: false,
        late: true,
        age: age.unwrap_or_default(),
    }
}

impl Decides for Desk {
    fn told(&self, call: &CallRef, operation: &'static str) -> faxbot_core::Result<Option<CallId>> {
        (**self).told(call, operation)
    }

    fn undecide(&mut self, id: CallId, now: Now) {
        (**self).undecide(id, now);
    }

    fn decision_unsure(&mut self, id: CallId, now: Now) {
        (**self).decision_unsure(id, now);
    }

    fn too_late(&mut self, id: CallId, now: Now) {
        (**self).too_late(id, now);
    }
}

#[cfg(test)]
#[path = "incoming_tests.rs"]
mod tests;
