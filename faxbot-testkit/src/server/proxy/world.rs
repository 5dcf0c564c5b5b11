//! The calls of a proxy: a state machine without a wire. Time goes in, what happened comes out.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use faxbot_core::Timestamp;
use tokio::time::Instant;

use super::{
    agent::{AgentStep, Leg},
    call::PassingCall,
    dialog::{Dialog, Stage},
    happening::{By, Happening},
    phone::Phone,
    uri::Target,
};
use crate::server::{
    base::matches,
    script::{CallScript, Ending, ReplyFault, Timings},
};

/// From the answer to the ACK.
const ACK: Duration = Duration::from_millis(2);

/// Entries of the table of dialogs.
const ENTRIES: u64 = 1024;

/// Calls that are over and still known; older ones are dropped.
const KEPT: u64 = 20_000;

/// What a proxy is set up with.
#[derive(Debug, Clone)]
pub(in crate::server) struct ProxySetup {
    pub timings: Timings,
    /// How long a phone may ring: `fr_inv_timer`.
    pub ring_timeout: Duration,
    /// How long a silent party is tried: `fr_timer`.
    pub answer_timeout: Duration,
    /// How long a dialog that ended is listed.
    pub linger: Duration,
    /// Whom it is when it calls a phone itself.
    pub controller: String,
    pub rules: Vec<(String, CallScript)>,
    pub phones: Vec<(String, Phone)>,
    /// Hosts that calls reach past the proxy.
    pub elsewhere: Vec<String>,
    /// The header of a client's mark.
    pub mark: &'static str,
}

/// What can be done about a dialog by its handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Endable {
    /// It was answered: both sides got a BYE.
    Ended,
    /// It rings on; only the server forgot it.
    RingsOn,
    /// It had ended before.
    WasOver,
    /// There is none.
    Unknown,
}

/// How far the call itself is, whatever the server knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Tried,
    Rings,
    Up,
    Over,
}

#[derive(Debug)]
struct Passing {
    dialog: Dialog,
    life: Life,
    script: CallScript,
    hangs_up: Option<Duration>,
    leg: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Ring(u64, u16),
    Answer(u64),
    Ack(u64),
    Refuse(u64, u16),
    TimeOut(u64),
    Cancel(u64),
    HangUp(u64, By),
    Unlist(u64),
    Leg(u64, AgentStep),
}

/// The calls of a proxy.
#[derive(Debug)]
pub(in crate::server) struct ProxyWorld {
    pub(in crate::server) setup: ProxySetup,
    origin: (Instant, Timestamp),
    serial: u64,
    calls: BTreeMap<u64, Passing>,
    pub(super) legs: BTreeMap<u64, Leg>,
    schedule: BTreeMap<(Instant, u64), Step>,
    steps: u64,
    pub(super) happened: Vec<Happening>,
    next_calls: VecDeque<CallScript>,
    next_phones: VecDeque<Phone>,
    /// Dialogs so far in this run, and those that came to nothing.
    pub(in crate::server) begun: u64,
    pub(in crate::server) failed: u64,
}

impl ProxyWorld {
    pub(in crate::server) fn new(setup: ProxySetup, now: Instant, wall: Timestamp) -> Self {
        Self {
            setup,
            origin: (now, wall),
            serial: 0,
            calls: BTreeMap::new(),
            legs: BTreeMap::new(),
            schedule: BTreeMap::new(),
            steps: 0,
            happened: Vec::new(),
            next_calls: VecDeque::new(),
            next_phones: VecDeque::new(),
            begun: 0,
            failed: 0,
        }
    }

    /// The wall clock at an instant.
    pub(in crate::server) fn wall(&self, at: Instant) -> Timestamp {
        let (origin, wall) = self.origin;
        let passed = at.saturating_duration_since(origin).as_micros();
        let micros = wall
            .as_microsecond()
            .saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        Timestamp::from_unix_microseconds(micros).unwrap_or(wall)
    }

    /// What happens to the next call, before all rules.
    pub(in crate::server) fn next_call(&mut self, script: CallScript) {
        self.next_calls.push_back(script);
    }

    /// The next phone that is rung by the proxy is this one.
    pub(in crate::server) fn next_phone(&mut self, phone: Phone) {
        self.next_phones.push_back(phone);
    }

    /// When [`advance`](Self::advance) has something to do next.
    pub(in crate::server) fn due(&self) -> Option<Instant> {
        self.schedule.first_key_value().map(|((due, _), _)| *due)
    }

    /// Ages to `now`, and gives what happened since the last time, with the instant of each.
    pub(in crate::server) fn advance(&mut self, now: Instant) -> Vec<(Happening, Instant)> {
        let mut all: Vec<_> = self.take(now);
        while let Some(entry) = self.schedule.first_entry() {
            let (due, _) = *entry.key();
            if due > now {
                break;
            }
            let step = entry.remove();
            self.step(step, due);
            all.append(&mut self.take(due));
        }
        all
    }

    fn take(&mut self, at: Instant) -> Vec<(Happening, Instant)> {
        let happened = std::mem::take(&mut self.happened);
        happened.into_iter().map(|one| (one, at)).collect()
    }

    pub(super) fn plan(&mut self, at: Instant, step: Step) {
        self.steps += 1;
        self.schedule.insert((at, self.steps), step);
    }

    /// The phone that a number or an address belongs to.
    pub(in crate::server) fn phone(&self, target: &Target) -> Phone {
        self.setup
            .phones
            .iter()
            .rev()
            .find(|(pattern, _)| matches(pattern, &target.user) || matches(pattern, &target.uri))
            .map_or_else(Phone::answers, |(_, phone)| phone.clone())
    }

    /// The same, with those that were put in line.
    pub(in crate::server) fn rung(&mut self, target: &Target) -> Phone {
        match self.next_phones.pop_front() {
            Some(phone) => phone,
            None => self.phone(target),
        }
    }

    /// The server did something beside the calls.
    pub(in crate::server) fn tells(&mut self, happening: Happening) {
        self.happened.push(happening);
    }

    /// How the party at this address takes the next call.
    pub(in crate::server) fn script(&mut self, uri: &str) -> CallScript {
        if let Some(script) = self.next_calls.pop_front() {
            return script;
        }
        let user = Target::parse(uri).map(|target| target.user);
        let user = user.unwrap_or_default();
        let rule = self.rule(&user, uri).cloned();
        rule.unwrap_or_else(CallScript::answer)
    }

    /// What goes wrong with the reply to a request for a call to this address.
    pub(in crate::server) fn reply_fault(&self, to: &str) -> Option<ReplyFault> {
        if let Some(next) = self.next_calls.front() {
            return next.reply.clone();
        }
        let target = Target::parse(to)?;
        let rule = self.rule(&target.user, &target.uri)?;
        rule.reply.clone()
    }

    fn rule(&self, user: &str, uri: &str) -> Option<&CallScript> {
        let mut rules = self.setup.rules.iter().rev();
        let found = rules.find(|(pattern, _)| matches(pattern, user) || matches(pattern, uri));
        found.map(|(_, script)| script)
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A call comes through. Gives its Call-ID.
    pub(in crate::server) fn place(&mut self, call: PassingCall, at: Instant) -> String {
        let number = self.next_serial();
        let script = match call.script {
            Some(script) => script,
            None => self.script(&call.to),
        };
        let spread = number.wrapping_mul(0x9e37_79b9).wrapping_add(0x1234_5678) % 1_000_000_000;
        let dialog = Dialog {
            h_entry: u32::try_from(spread % ENTRIES).unwrap_or_default(),
            h_id: u32::try_from(1000 + number).unwrap_or(u32::MAX),
            call_id: format!("c{spread:09}-{number}@127.0.0.1"),
            from_uri: call.from,
            to_uri: call.to,
            from_tag: format!("c{number}{:04}", spread % 10_000),
            to_tag: None,
            stage: Stage::Begun,
            begun_at: self.wall(at),
            answered_at: None,
            ended_at: None,
            mark: call.mark,
            referred_by: call.referred_by,
            rang: false,
            listed: true,
        };
        let call_id = dialog.call_id.clone();
        self.begun += 1;
        self.happened.push(Happening::Began(dialog.clone()));
        self.plan_call(number, &script, call.cancels, at);
        self.calls.insert(
            number,
            Passing {
                dialog,
                life: Life::Tried,
                script,
                hangs_up: call.hangs_up,
                leg: call.leg,
            },
        );
        call_id
    }

    fn plan_call(
        &mut self,
        number: u64,
        script: &CallScript,
        cancels: Option<Duration>,
        at: Instant,
    ) {
        let rings = at + self.setup.timings.setup;
        let ends = rings + script.ring.unwrap_or(self.setup.timings.ring);
        if let Some(time) = cancels {
            self.plan(at + time, Step::Cancel(number));
        }
        match script.ending {
            Ending::Unreachable => {
                return self.plan(at + self.setup.answer_timeout, Step::TimeOut(number));
            }
            Ending::NoEndpoint => return self.plan(rings, Step::Refuse(number, 404)),
            _ => {}
        }
        let first = if script.progress { 183 } else { 180 };
        self.plan(rings, Step::Ring(number, first));
        match script.ending {
            Ending::Answer => self.plan(ends, Step::Answer(number)),
            Ending::Busy => self.plan(ends, Step::Refuse(number, 486)),
            Ending::Congestion => self.plan(ends, Step::Refuse(number, 503)),
            Ending::Rejected(status) => self.plan(ends, Step::Refuse(number, status)),
            Ending::NoAnswer => {
                let limit = script.ring.unwrap_or(self.setup.ring_timeout);
                self.plan(rings + limit, Step::TimeOut(number));
            }
            // Its caller has to end it.
            Ending::RingsForEver | Ending::Unreachable | Ending::NoEndpoint => {}
        }
    }

    fn step(&mut self, step: Step, at: Instant) {
        match step {
            Step::Leg(leg, step) => self.agent_step(leg, step, at),
            Step::Ring(number, status) => self.ring(number, status),
            Step::Answer(number) => self.answer(number, at),
            Step::Ack(number) => {
                if let Some(call) = self.calls.get_mut(&number)
                    && call.dialog.stage == Stage::Answered
                {
                    call.dialog.stage = Stage::Up;
                    let acknowledged = Happening::Acknowledged(call.dialog.clone());
                    self.happened.push(acknowledged);
                }
            }
            Step::Refuse(number, status) => self.refuse(number, status, false, at),
            Step::TimeOut(number) => self.refuse(number, 408, true, at),
            Step::Cancel(number) => {
                let waits = |call: &Passing| matches!(call.life, Life::Tried | Life::Rings);
                if let Some(call) = self.calls.get(&number)
                    && waits(call)
                {
                    let cancelled = Happening::Cancelled(call.dialog.clone());
                    self.happened.push(cancelled);
                    self.refuse(number, 487, false, at);
                }
            }
            Step::HangUp(number, by) => self.over(number, by, at),
            Step::Unlist(number) => {
                if let Some(call) = self.calls.get_mut(&number) {
                    call.dialog.listed = false;
                }
                if number > KEPT {
                    self.calls.remove(&(number - KEPT));
                }
            }
        }
    }

    fn ring(&mut self, number: u64, status: u16) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        if call.life != Life::Tried {
            return;
        }
        call.life = Life::Rings;
        call.dialog.rang = true;
        if call.dialog.stage == Stage::Begun {
            call.dialog.stage = Stage::Early;
        }
        let dialog = call.dialog.clone();
        let leg = call.leg;
        self.happened.push(Happening::Progress { dialog, status });
        if let Some(leg) = leg {
            self.told_phone(leg, status);
        }
    }

    fn answer(&mut self, number: u64, at: Instant) {
        let wall = self.wall(at);
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        if !matches!(call.life, Life::Tried | Life::Rings) {
            return;
        }
        call.life = Life::Up;
        call.dialog.to_tag = Some(call.dialog.callee_tag());
        let tracked = call.dialog.stage < Stage::Answered && call.dialog.listed;
        if tracked {
            call.dialog.stage = Stage::Answered;
            call.dialog.answered_at = Some(wall);
        }
        let dialog = call.dialog.clone();
        let leg = call.leg;
        let ends = [
            call.script.hangup_after.map(|time| (time, By::Callee)),
            call.hangs_up.map(|time| (time, By::Caller)),
        ];
        self.happened.push(Happening::Progress {
            dialog: dialog.clone(),
            status: 200,
        });
        if tracked {
            self.happened.push(Happening::Confirmed(dialog));
            self.plan(at + ACK, Step::Ack(number));
        }
        for (time, by) in ends.into_iter().flatten() {
            self.plan(at + time, Step::HangUp(number, by));
        }
        if let Some(leg) = leg {
            self.told_phone(leg, 200);
        }
    }

    fn refuse(&mut self, number: u64, status: u16, timed_out: bool, at: Instant) {
        let wall = self.wall(at);
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        if !matches!(call.life, Life::Tried | Life::Rings) {
            return;
        }
        call.life = Life::Over;
        call.dialog.stage = Stage::Over;
        call.dialog.ended_at = Some(wall);
        let dialog = call.dialog.clone();
        let leg = call.leg;
        self.failed += 1;
        self.happened.push(Happening::Refused {
            dialog,
            status,
            timed_out,
        });
        self.plan(at + self.setup.linger, Step::Unlist(number));
        if let Some(leg) = leg {
            self.told_phone(leg, status);
        }
    }

    fn over(&mut self, number: u64, by: By, at: Instant) {
        let wall = self.wall(at);
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        if call.life != Life::Up {
            return;
        }
        call.life = Life::Over;
        call.dialog.stage = Stage::Over;
        call.dialog.ended_at = Some(wall);
        // What the server ended itself, it forgets at once (recording `end_rpc_end_dlg`).
        let dialog = call.dialog.clone();
        if by == By::Server {
            call.dialog.listed = false;
        }
        if by == By::Server {
            let to = dialog.clone();
            for (ruri, from, to) in [
                (to.caller_contact(), &to.to_uri, &to.from_uri),
                (to.callee_contact(), &to.from_uri, &to.to_uri),
            ] {
                self.happened.push(Happening::Local {
                    method: "BYE".into(),
                    call_id: dialog.call_id.clone(),
                    ruri,
                    from: from.clone(),
                    to: to.clone(),
                    refer_to: None,
                });
            }
        }
        self.happened.push(Happening::Ended { dialog, by });
        self.plan(at + self.setup.linger, Step::Unlist(number));
    }

    /// All dialogs that the server has, as it lists them: by their entries.
    pub(in crate::server) fn listed(&self) -> Vec<&Dialog> {
        let mut all: Vec<&Dialog> = self
            .calls
            .values()
            .map(|call| &call.dialog)
            .filter(|dialog| dialog.listed)
            .collect();
        all.sort_by_key(|dialog| (dialog.h_entry, dialog.h_id));
        all
    }

    /// A call by its Call-ID, also one that the server forgot.
    pub(in crate::server) fn call(&self, call_id: &str) -> Option<&Dialog> {
        let mut calls = self.calls.values().map(|call| &call.dialog);
        calls.find(|dialog| dialog.call_id == call_id)
    }

    /// Ends the first listed dialog that is meant, as a client of the server may.
    pub(in crate::server) fn end(
        &mut self,
        is_meant: impl Fn(&Dialog) -> bool,
        at: Instant,
    ) -> Endable {
        let wall = self.wall(at);
        let found = self
            .calls
            .iter_mut()
            .find(|(_, call)| call.dialog.listed && is_meant(&call.dialog));
        let Some((&number, call)) = found else {
            return Endable::Unknown;
        };
        match call.dialog.stage {
            Stage::Over => Endable::WasOver,
            Stage::Begun | Stage::Early => {
                call.dialog.stage = Stage::Over;
                call.dialog.ended_at = Some(wall);
                let forgotten = Happening::Forgotten(call.dialog.clone());
                self.happened.push(forgotten);
                Endable::RingsOn
            }
            Stage::Answered | Stage::Up => {
                self.over(number, By::Server, at);
                Endable::Ended
            }
        }
    }

    /// A party of a call hangs up, or takes it back. False when there is no such call.
    pub(in crate::server) fn hangs_up(&mut self, call_id: &str, by: By, at: Instant) -> bool {
        let found = self
            .calls
            .iter()
            .find(|(_, call)| call.dialog.call_id == call_id && call.life != Life::Over);
        let Some((&number, call)) = found else {
            return false;
        };
        let step = match (call.life, by) {
            (Life::Up, by) => Step::HangUp(number, by),
            (_, By::Callee) => Step::Refuse(number, 603),
            _ => Step::Cancel(number),
        };
        self.step(step, at);
        true
    }

    /// The server starts anew: its dialogs are forgotten, and the calls themselves go on.
    pub(in crate::server) fn restart(&mut self) {
        for call in self.calls.values_mut() {
            call.dialog.listed = false;
        }
        self.legs.clear();
        self.happened.clear();
        (self.begun, self.failed) = (0, 0);
    }
}
