//! The server behind the sockets: requests go in, answers and events come out.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    b2b::B2bStep,
    builder::Setup,
    callops::CallopsStep,
    events, methods,
    mi::{self, Channel, Envelope, Read, Refusal, SeenMi},
    session::SessionStep,
    sockets::{Destination, Sockets},
    state::State,
    subscribe,
    which::{self, module_of},
};
use crate::server::{
    http::{Callback, HttpAnswer, MockVendor, Promise, SeenRequest},
    proxy::Tree,
    script::ReplyFault,
};

/// Requests that are kept; older ones are dropped.
const KEPT: usize = 100_000;

/// Something that is due.
#[derive(Debug)]
pub(super) enum Step {
    B2b(B2bStep),
    Callops(CallopsStep),
    Session(SessionStep),
    /// A request that got no answer is carried out.
    Late(SeenMi),
    /// Contacts that were not renewed.
    Contacts,
}

/// A mocked OpenSIPS as the mock HTTP server has it.
#[derive(Debug)]
pub struct OpenSips {
    pub(super) setup: Setup,
    pub(super) state: State,
    pub(super) sockets: Sockets,
    pub(super) requests: Vec<SeenMi>,
    pub(super) next_replies: Vec<(String, ReplyFault)>,
    /// Methods whose next request is carried out so long after it came, without an answer.
    pub(super) next_late: Vec<(String, Duration)>,
    commands: Vec<(String, Vec<Vec<String>>)>,
    schedule: BTreeMap<(Instant, u64), Step>,
    steps: u64,
    event_ids: i64,
    /// All of MI over HTTP is one process.
    pub(super) busy_until: Option<Instant>,
    waiting: VecDeque<(SeenRequest, Promise)>,
}

/// What a channel makes of an answer.
#[derive(Debug)]
pub(super) enum Answered {
    /// Broken JSON.
    Broken,
    /// A notification: nothing, whatever came of it.
    Nothing,
    /// No answer comes, and the request may be carried out later.
    Never,
    /// An answer, or none that can be built.
    As {
        body: Option<String>,
        after: Duration,
        fault: Option<ReplyFault>,
    },
}

impl OpenSips {
    pub(super) fn new(setup: Setup, sockets: Sockets, state: State) -> Self {
        let mut commands = which::commands(setup.release);
        commands.retain(|(name, _)| !setup.is_off(name) && !setup.is_off(module_of(name)));
        Self {
            setup,
            state,
            sockets,
            requests: Vec::new(),
            next_replies: Vec::new(),
            next_late: Vec::new(),
            commands,
            schedule: BTreeMap::new(),
            steps: 0,
            event_ids: 1_804_289_383,
            busy_until: None,
            waiting: VecDeque::new(),
        }
    }

    /// The names of the commands.
    pub(super) fn commands(&self) -> &[(String, Vec<Vec<String>>)] {
        &self.commands
    }

    pub(super) fn plan(&mut self, at: Instant, step: Step) {
        self.steps += 1;
        self.schedule.insert((at, self.steps), step);
    }

    /// Lets time pass, and tells what happened.
    pub(super) fn advance(&mut self, now: Instant) {
        loop {
            let own = self.schedule.first_key_value().map(|((due, _), _)| *due);
            let Some(due) = own.filter(|due| *due <= now) else {
                self.pass(now);
                let again = self.schedule.first_key_value();
                if again.is_some_and(|((due, _), _)| *due <= now) {
                    continue;
                }
                return;
            };
            self.pass(due);
            // What passed may have planned something before it.
            if let Some(((at, _), step)) = self.schedule.pop_first() {
                self.step(step, at.max(due));
            }
        }
    }

    fn pass(&mut self, now: Instant) {
        for (happening, at) in self.state.world.advance(now) {
            for event in events::of(self, &happening, at) {
                event.tell(self, at);
            }
            self.callops_saw(&happening, at);
        }
    }

    /// Tells what a step did to calls.
    pub(super) fn advance_world(&mut self, at: Instant) {
        self.pass(at);
    }

    fn step(&mut self, step: Step, at: Instant) {
        match step {
            Step::B2b(step) => self.b2b_step(&step, at),
            Step::Callops(step) => self.callops_step(&step, at),
            Step::Session(step) => self.session_step(&step, at),
            Step::Late(request) => {
                let _unheard = methods::run(self, &request, at);
                self.pass(at);
            }
            Step::Contacts => self.drop_contacts(at),
        }
    }

    /// Whole seconds of the wall clock.
    pub(super) fn second(&self, at: Instant) -> i64 {
        self.state.world.wall(at).as_second()
    }

    /// Tells everybody who subscribed to it.
    pub(super) fn tell(&mut self, event: &str, params: Option<Tree>, at: Instant) {
        let Some(number) = subscribe::number_of(event) else {
            return;
        };
        let second = self.second(at);
        for to in self.state.subscriptions.of(number, second) {
            let text = self.event_text(event, params.clone(), &to);
            self.sockets.send(&to, text);
        }
    }

    fn event_text(&mut self, event: &str, params: Option<Tree>, to: &Destination) -> String {
        let mut members = vec![("jsonrpc", Tree::from("2.0"))];
        let Destination::Tcp(_, method) = to else {
            members.push(("method", event.into()));
            members.extend(params.map(|params| ("params", params)));
            return Tree::object(members).compact();
        };
        members.push(("method", method.as_deref().unwrap_or(event).into()));
        let named = |params: Tree| -> Tree {
            if !self.setup.event_param {
                return params;
            }
            let rest = match params {
                Tree::Object(members) => members,
                other => {
                    let values = other.values().into_iter();
                    values.map(|value| (String::new(), value.clone())).collect()
                }
            };
            let name = ("opensips_event".to_owned(), Tree::from(event));
            Tree::Object(std::iter::once(name).chain(rest).collect())
        };
        members.extend(params.map(|params| ("params", named(params))));
        if self.setup.reliable {
            self.event_ids = self
                .event_ids
                .wrapping_mul(1_103_515_245)
                .wrapping_add(12_345)
                & 0x7fff_ffff;
            members.push(("id", Tree::Int(self.event_ids)));
        }
        Tree::object(members).compact()
    }

    /// The server starts anew: what it kept in memory is gone.
    pub(super) fn restart(&mut self, now: Instant) {
        self.schedule.clear();
        self.waiting.clear();
        self.busy_until = None;
        self.sockets.close();
        self.state.restart(now);
    }

    /// A request as it came by one of the channels.
    pub(super) fn rpc(&mut self, body: &[u8], channel: Channel, now: Instant) -> Answered {
        let answered = |outcome, id: &Tree| Answered::As {
            body: mi::answer(outcome, id),
            after: Duration::ZERO,
            fault: None,
        };
        let Envelope { method, params, id } = match mi::read(body) {
            Read::Broken => return Answered::Broken,
            Read::Refused(refusal, id) => return answered(Err(refusal), &id),
            Read::Request(envelope) => envelope,
        };
        let found = self.commands.iter().find(|(name, _)| *name == method);
        let bound = match found {
            None => Err(Refusal::no_method()),
            Some((name, recipes)) => which::bind(name, recipes, &params),
        };
        let (named, refusal) = match bound {
            Ok(named) => (named, None),
            Err(refusal) => (Vec::new(), Some(refusal)),
        };
        let seen = SeenMi {
            method: method.clone(),
            params,
            channel,
            at: now,
            named,
        };
        if self.requests.len() == KEPT {
            self.requests.remove(0);
        }
        self.requests.push(seen.clone());
        if let Some(time) = take(&mut self.next_late, &method) {
            self.plan(now + time, Step::Late(seen));
            return Answered::Never;
        }
        self.state.next_second = None;
        let mut fault = take(&mut self.next_replies, &method);
        if fault.is_none() {
            fault = self.fault_of_script(&seen);
        }
        let (outcome, mut after) = match (refusal, &fault) {
            (Some(refusal), _) => (Err(refusal), Duration::ZERO),
            (None, Some(ReplyFault::Refuse(why))) => {
                (Err(Refusal::new(500, why.clone())), Duration::ZERO)
            }
            (None, _) => methods::run(self, &seen, now),
        };
        self.pass(now);
        if after > Duration::ZERO && channel == Channel::Http {
            // It waits for the end of a SIP transaction, and nobody else is served meanwhile.
            self.busy_until = Some(now + after);
        }
        if let Some(ReplyFault::Slow(time)) = &fault {
            after += *time;
        }
        match id {
            None => Answered::Nothing,
            Some(id) => Answered::As {
                body: mi::answer(outcome, &id),
                after,
                fault,
            },
        }
    }

    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.busy_until.is_some_and(|until| until > now)
    }
}

fn take<T>(waiting: &mut Vec<(String, T)>, method: &str) -> Option<T> {
    let at = waiting.iter().position(|(name, _)| name == method)?;
    Some(waiting.remove(at).1)
}

impl MockVendor for OpenSips {
    fn handle(&mut self, request: &SeenRequest, now: Instant) -> HttpAnswer {
        if self.is_busy(now) || !self.waiting.is_empty() {
            // It is read when the process is free, also when its client has left.
            let (answer, promise) = HttpAnswer::promised();
            self.waiting.push_back((request.clone(), promise));
            return answer;
        }
        self.http(request, now)
    }

    fn tick(&mut self, now: Instant) -> Vec<Callback> {
        self.advance(now);
        while !self.is_busy(now) {
            let Some((request, promise)) = self.waiting.pop_front() else {
                break;
            };
            let answer = self.http(&request, now);
            promise.keep(answer);
        }
        Vec::new()
    }

    fn due(&self) -> Option<Instant> {
        let own = self.schedule.first_key_value().map(|((due, _), _)| *due);
        let free = self.busy_until.filter(|_| !self.waiting.is_empty());
        [own, free, self.state.world.due()]
            .into_iter()
            .flatten()
            .min()
    }
}
