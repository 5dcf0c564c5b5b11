//! Calls that come to us, as the books see them. Sans-IO.
//!
//! `call.route` is answered at once with a `dumb` channel: the engine connects the caller to it, rings,
//! and the call waits there for as long as we like. The address of that channel has the id of the call:
//! it shows in `chan.startup` and in `engine.status`, so that the call is found again after a gap, and by
//! another process of the same instance (observed on Yate 6.4.1).

pub(super) mod accept;
pub(super) mod decide;
pub(super) mod receive;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use faxbot_core::{
    Private, Result,
    id::{CallId, CallRef},
    sip::SipEvent,
};
use uuid::Uuid;

use super::{config::YateConfig, server::Channel, state::Desk};
use crate::{
    adapter::{
        books::{Arrival, Sign},
        calls::Now,
        incoming::{Decides, MAX_HEADERS, MAX_WAITING, private},
    },
    protocol::yate::Message,
};

/// How long after its deadline the engine itself ends a call that waits: we may be gone by then.
const NET: Duration = Duration::from_secs(15);

/// How long the engine takes at the most to connect a call that we took: the route was answered, and
/// only its own modules are asked after that.
const OFFER: Duration = Duration::from_secs(60);

/// What every incoming call is told with, where its message has it.
const ALWAYS: [&str; 4] = ["callername", "sip_uri", "address", "billid"];

/// Which calls are for us, and those whose channel is still to come.
#[derive(Debug, Default)]
pub(super) struct Entrance {
    /// What the address of a waiting call begins with; `None` when no calls come to us.
    prefix: Option<String>,
    /// Parameters that a call is told with, and the names that it is told them by.
    headers: Vec<(String, String)>,
    offers: HashMap<CallId, Offer>,
    order: VecDeque<CallId>,
}

/// A call that we took and whose channel is still to come.
#[derive(Debug)]
struct Offer {
    channel: String,
    caller: Option<Private>,
    called: Option<Private>,
    headers: BTreeMap<String, Private>,
    at: std::time::Instant,
}

impl Entrance {
    pub(super) fn of(config: &YateConfig) -> Self {
        let headers = config.incoming_headers.iter();
        let always = ALWAYS
            .iter()
            .map(|name| ((*name).to_owned(), (*name).to_owned()));
        Self {
            prefix: config.incoming.then(|| format!("{}-in-", config.instance)),
            // Yate writes the names of headers in lower case.
            headers: headers
                .map(|name| (format!("sip_{}", name.to_ascii_lowercase()), name.clone()))
                .chain(always)
                .collect(),
            ..Self::default()
        }
    }

    /// The connection is over, and with it what the engine was about to do.
    pub(super) fn forget(&mut self) {
        self.offers.clear();
        self.order.clear();
    }

    pub(super) fn is_waited_for(&self) -> bool {
        !self.offers.is_empty()
    }

    /// The address that a call waits at.
    pub(super) fn address(&self, id: CallId) -> Option<String> {
        let prefix = self.prefix.as_ref()?;
        Some(format!("{prefix}{}", id.as_uuid()))
    }

    /// The call that waits at an address.
    pub(super) fn waits_at(&self, address: &str) -> Option<CallId> {
        let uuid = address.strip_prefix(self.prefix.as_ref()?)?;
        // Only the exact form that we write.
        (uuid.len() == 36)
            .then(|| Uuid::try_parse(uuid).ok())
            .flatten()
            .map(CallId::from_uuid)
    }

    fn sweep(&mut self, now: Now) {
        while let Some(oldest) = self.order.front() {
            let offer = self.offers.get(oldest);
            let over = offer.is_none_or(|it| now.instant.saturating_duration_since(it.at) > OFFER);
            if !over && self.order.len() < MAX_WAITING {
                break;
            }
            if let Some(id) = self.order.pop_front() {
                self.offers.remove(&id);
            }
        }
    }
}

/// Whether a route is that of a call from outside: not of a message, not of a channel that begins a call
/// here, and not of one that is transferred.
pub(super) fn is_from_outside(message: &Message<'_>) -> bool {
    let text = |name: &str| message.text(name).unwrap_or_default();
    let channel = text("id");
    let here = ["dumb/", "fax/"].iter().any(|own| channel.starts_with(own));
    channel.contains('/')
        && !here
        && matches!(&*text("route_type"), "" | "call")
        && !matches!(&*text("reason"), "transfer" | "divert")
        && !message.flag("answered")
}

impl Desk {
    /// A call from outside is routed: takes it, unless it is known. Answers its id and how long the
    /// engine lets it wait.
    pub(super) fn offered(
        &mut self,
        message: &Message<'_>,
        now: Now,
    ) -> Option<(CallId, Duration)> {
        let text = |name: &str| message.text(name).filter(|text| !text.is_empty());
        let channel = text("id")?.into_owned();
        self.entrance.prefix.as_ref()?;
        if !is_from_outside(message) || self.leg(&channel).is_some() {
            return None;
        }
        self.entrance.sweep(now);
        let mut headers = BTreeMap::new();
        for (param, name) in self.entrance.headers.iter().take(MAX_HEADERS) {
            if let Some(value) = text(param) {
                headers.insert(name.clone(), private(&value));
            }
        }
        let id = CallId::new();
        let offer = Offer {
            channel,
            caller: text("caller").map(|caller| private(&caller)),
            called: text("called").map(|called| private(&called)),
            headers,
            at: now.instant,
        };
        self.entrance.offers.insert(id, offer);
        self.entrance.order.push_back(id);
        Some((id, self.door.deadline.saturating_add(NET)))
    }

    /// The engine did not get our answer: the call goes on without us.
    pub(super) fn offer_is_void(&mut self, id: CallId) {
        self.entrance.offers.remove(&id);
    }

    /// A channel begins that a call of ours waits at. One that we did not take is another process's.
    pub(super) fn comes_in(
        &mut self,
        seat: &str,
        address: &str,
        now: Now,
    ) -> Option<Vec<SipEvent>> {
        let id = self.entrance.waits_at(address)?;
        let offer = self.entrance.offers.remove(&id)?;
        let channel = offer.channel.clone();
        let mut out = self.arrive(
            Arrival {
                id,
                native: offer.channel,
                caller: offer.caller,
                called: offer.called,
                headers: offer.headers,
                answered: false,
                late: false,
                age: Duration::ZERO,
            },
            now,
        );
        out.extend(self.is_other(id, seat, now));
        // Messages of the engine overtake each other: it may be over by now.
        out.extend(self.catch_strays(&channel, now));
        Some(out)
    }

    /// Calls that wait in the list: those that nobody was told of, and those whose decision may not have
    /// arrived.
    pub(super) fn waiting_in(&mut self, list: &[Channel], now: Now) -> Vec<SipEvent> {
        let mut out = Vec::new();
        for seat in list {
            let Some(id) = self.entrance.waits_at(&seat.address) else {
                continue;
            };
            let far = seat.leg.joined.as_deref().unwrap_or_default();
            let Some(caller) = list.iter().find(|it| it.leg.native == far) else {
                continue;
            };
            let answered = caller.leg.sign == Sign::Up;
            if self.came_in(id) {
                out.extend(self.is_other(id, &seat.leg.native, now));
                if answered {
                    out.extend(self.answered_in_list(id, now));
                } else {
                    self.waits_still(id, now);
                }
            } else if !answered && !self.entrance.offers.contains_key(&id) {
                // One that is answered was decided on by an earlier process.
                out.extend(self.arrive(
                    Arrival {
                        id,
                        native: far.to_owned(),
                        caller: caller.caller.as_deref().map(private),
                        called: caller.called.as_deref().map(private),
                        headers: BTreeMap::new(),
                        answered: false,
                        late: true,
                        age: caller.age,
                    },
                    now,
                ));
                out.extend(self.is_other(id, &seat.leg.native, now));
            }
        }
        let elsewhere = self.not_waiting_in(list);
        for id in elsewhere {
            self.waits_no_longer(id);
        }
        out
    }

    /// Whether the list has a waiting call that is new to us: who calls is asked for then.
    pub(super) fn has_strangers(&self, list: &[Channel]) -> bool {
        list.iter().any(|seat| {
            let id = self.entrance.waits_at(&seat.address);
            id.is_some_and(|id| !self.came_in(id) && !self.entrance.offers.contains_key(&id))
        })
    }

    /// A call is answered: by our order, whose answer was lost, or by somebody else.
    fn answered_in_list(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let undecided = self.waiting_of(id).is_none_or(|it| it.is_undecided());
        if undecided {
            self.waits_no_longer(id);
        }
        let mut out = self.accepted(id, now);
        out.extend(self.own_is(id, Sign::Up, now));
        out
    }

    /// Calls of ours that the list shows with somebody else: another took them while nobody looked.
    fn not_waiting_in(&self, list: &[Channel]) -> Vec<CallId> {
        let mut out = Vec::new();
        for channel in list {
            let Some(id) = self.own_call(&channel.leg.native) else {
                continue;
            };
            let with = channel.leg.joined.as_deref();
            let at = list.iter().find(|it| Some(it.leg.native.as_str()) == with);
            let waits = at.is_some_and(|it| self.entrance.waits_at(&it.address) == Some(id));
            if self.came_in(id) && !waits {
                out.push(id);
            }
        }
        out
    }

    /// The channel that a call waits at.
    pub(super) fn seat(&self, id: CallId) -> Option<String> {
        let line = self.lines.get(&id)?;
        let seat = line.others.iter().find(|it| it.starts_with("dumb/"));
        seat.cloned()
    }
}

impl Decides for Desk {
    fn told(&self, call: &CallRef, operation: &'static str) -> Result<Option<CallId>> {
        crate::adapter::books::Books::told(self, call, operation)
    }

    fn undecide(&mut self, id: CallId, now: Now) {
        self.paths.retain(|_, call| *call != id);
        crate::adapter::books::Books::undecide(self, id, now);
    }

    fn decision_unsure(&mut self, id: CallId, now: Now) {
        crate::adapter::books::Books::decision_unsure(self, id, now);
    }

    fn too_late(&mut self, id: CallId, now: Now) {
        self.paths.retain(|_, call| *call != id);
        crate::adapter::books::Books::too_late(self, id, now);
    }
}
