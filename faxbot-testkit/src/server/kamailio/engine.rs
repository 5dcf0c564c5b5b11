//! The server behind the sockets: requests go in, answers and events come out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    auth::Access,
    builder::Setup,
    evapi::{Evapi, Said},
    events::Told,
    methods,
    rpc::{Channel, Refusal, Reply, SeenRpc, id_of},
    state::State,
};
use crate::server::{
    http::{Callback, HttpAnswer, MockVendor, SeenRequest, Then},
    proxy::{By, Happening, Tree},
    script::ReplyFault,
};

/// Requests that are kept; older ones are dropped.
const KEPT: usize = 100_000;

/// A mocked Kamailio as the mock HTTP server has it.
#[derive(Debug)]
pub struct Kamailio {
    pub(super) setup: Setup,
    pub(super) state: State,
    pub(super) evapi: Evapi,
    pub(super) requests: Vec<SeenRpc>,
    pub(super) next_replies: Vec<(String, ReplyFault)>,
    /// Methods whose next request is carried out so long after it came, without an answer.
    pub(super) next_late: Vec<(String, Duration)>,
    late: BTreeMap<(Instant, u64), SeenRpc>,
    serial: u64,
    access: Access,
    /// Requests of who may not ask.
    pub(super) refused: usize,
    /// It is stopped.
    pub(super) down: bool,
}

/// What becomes of an answer.
pub(super) enum Answered {
    /// None comes.
    Nothing,
    As(Reply, Option<ReplyFault>),
}

impl Kamailio {
    pub(super) fn new(setup: Setup, evapi: Evapi, state: State) -> Self {
        Self {
            access: Access::new(setup.auth.clone()),
            setup,
            state,
            evapi,
            requests: Vec::new(),
            next_replies: Vec::new(),
            next_late: Vec::new(),
            late: BTreeMap::new(),
            serial: 0,
            refused: 0,
            down: false,
        }
    }

    /// Lets time pass, and relays what happened.
    pub(super) fn advance(&mut self, now: Instant) {
        while let Some(entry) = self.late.first_entry() {
            let (due, _) = *entry.key();
            if due > now {
                break;
            }
            let request = entry.remove();
            self.relay(due);
            let _unheard = methods::run(self, &request, due);
        }
        self.relay(now);
        for (number, contact) in self.state.expire(now) {
            self.tell(&Told::Contact {
                action: "expired",
                number: &number,
                contact: &contact,
            });
        }
    }

    fn relay(&mut self, now: Instant) {
        for (happening, at) in self.state.world.advance(now) {
            let wall = self.state.world.wall(at);
            let by_rpc = matches!(happening, Happening::Ended { by: By::Server, .. });
            if by_rpc && self.setup.silent_ends {
                continue;
            }
            for line in self.setup.events.lines(&happening, wall) {
                self.evapi.relay(&line);
            }
        }
    }

    /// A client of evapi did something.
    pub(super) fn said(&self, said: &Said) {
        self.tell(&match said {
            Said::Came(number) => Told::Hello {
                number: *number,
                version: &self.setup.version,
            },
            Said::Message(message) => Told::Echo(message),
        });
    }

    pub(super) fn tell(&self, told: &Told<'_>) {
        if let Some(line) = self.setup.events.told(told) {
            self.evapi.relay(&line);
        }
    }

    /// The server starts anew: what it kept in memory is gone.
    pub(super) fn restart(&mut self, now: Instant) {
        self.late.clear();
        self.down = false;
        self.state.restart(now);
    }

    /// A request as it came by one of the channels.
    pub(super) fn rpc(&mut self, body: &[u8], channel: Channel, now: Instant) -> Answered {
        // What is no JSON gets no answer at all (recordings `basics`, `rpc_dgram`).
        let Some(request) = Tree::parse(body) else {
            return Answered::Nothing;
        };
        let plain = matches!(&request, Tree::Object(_)) && request.get("jsonrpc").is_some();
        let method = request.get("method").and_then(Tree::text);
        let Some(method) = method.filter(|_| plain) else {
            // A batch, no version, no method: nothing is done, and the answer does not say so.
            let nothing = Reply::new(Ok(Tree::Object(Vec::new())), id_of(&request));
            return Answered::As(nothing, None);
        };
        let id = id_of(&request);
        let seen = SeenRpc {
            method: method.to_owned(),
            params: request.get("params").cloned().unwrap_or(Tree::Null),
            channel,
            at: now,
        };
        if self.requests.len() == KEPT {
            self.requests.remove(0);
        }
        self.requests.push(seen.clone());
        if let Some(time) = take(&mut self.next_late, method) {
            self.serial += 1;
            self.late.insert((now + time, self.serial), seen);
            return Answered::Nothing;
        }
        let fault = take(&mut self.next_replies, method);
        // What goes wrong with the reply is in the script of who is called, as for every mock.
        let fault = fault.or_else(|| match method {
            "dlg.bridge_dlg" => self.state.world.reply_fault(seen.text(1)?),
            _ => None,
        });
        let (outcome, after) = match &fault {
            Some(ReplyFault::Refuse(why)) => (Err(Refusal::new(500, why.clone())), Duration::ZERO),
            _ => methods::run(self, &seen, now),
        };
        self.relay(now);
        let mut reply = Reply::new(outcome, id);
        reply.after = after;
        if let Some(ReplyFault::Slow(time)) = &fault {
            reply.after += *time;
        }
        Answered::As(reply, fault)
    }

    /// Whether a method is there.
    pub(super) fn has(&self, method: &str) -> bool {
        methods::ALL.contains(&method) && !self.setup.without.iter().any(|off| is_off(off, method))
            || self.setup.uac_registrations && methods::UAC.contains(&method)
    }

    pub(super) fn methods(&self) -> BTreeSet<&'static str> {
        let all = methods::ALL.iter().chain(methods::UAC);
        all.copied().filter(|method| self.has(method)).collect()
    }
}

/// A module's prefix ends in a dot; anything else is a method.
fn is_off(off: &str, method: &str) -> bool {
    off == method || off.ends_with('.') && method.starts_with(off)
}

fn take<T>(waiting: &mut Vec<(String, T)>, method: &str) -> Option<T> {
    let at = waiting.iter().position(|(name, _)| name == method)?;
    Some(waiting.remove(at).1)
}

impl MockVendor for Kamailio {
    fn handle(&mut self, request: &SeenRequest, now: Instant) -> HttpAnswer {
        let named = |answer: HttpAnswer| {
            answer
                .with_header("sia", "SIP/2.0/TCP 127.0.0.1:55302")
                .with_header("server", &self.setup.server_header())
        };
        if request.path != self.setup.path {
            // What the script does not serve gets what the script says: often nothing.
            return match self.setup.elsewhere_status {
                None => HttpAnswer::new(200).then(Then::Never),
                Some(status) => named(HttpAnswer::new(status)),
            };
        }
        if let Some(challenge) = self.access.refuses(request, now) {
            self.refused += 1;
            return named(challenge);
        }
        match self.rpc(&request.body, Channel::Http, now) {
            Answered::Nothing => HttpAnswer::new(200).then(Then::Never),
            Answered::As(reply, fault) => self.http(reply, fault),
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Callback> {
        self.advance(now);
        Vec::new()
    }

    fn due(&self) -> Option<Instant> {
        let late = self.late.first_key_value().map(|((due, _), _)| *due);
        let others = [self.state.world.due(), self.state.expires()];
        others.into_iter().chain([late]).flatten().min()
    }
}

impl Kamailio {
    fn http(&self, reply: Reply, fault: Option<ReplyFault>) -> HttpAnswer {
        let mut answer = HttpAnswer::new(reply.status)
            .with_header("sia", "SIP/2.0/TCP 127.0.0.1:55302")
            .with_body("application/json", reply.body)
            .with_header("server", &self.setup.server_header())
            .after(reply.after);
        if let Some(reason) = &reply.reason {
            answer = answer.with_reason(reason);
        }
        match fault {
            Some(ReplyFault::DropBefore) => answer.then(Then::Cut),
            Some(ReplyFault::DropAfter) => answer.with_header("connection", "close"),
            Some(ReplyFault::Garbage(bytes)) => answer.with_body("application/json", bytes),
            Some(ReplyFault::Silent) => answer.then(Then::Never),
            Some(ReplyFault::Slow(_) | ReplyFault::Refuse(_)) | None => answer,
        }
    }
}
