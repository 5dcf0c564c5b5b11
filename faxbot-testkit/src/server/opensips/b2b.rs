//! Click-to-dial: the tuples of `b2b_logic` (recordings `05_click_to_dial_*`).

use std::time::Duration;

use tokio::time::Instant;

use super::{
    engine::{OpenSips, Step},
    mi::SeenMi,
    which::Release,
};
use crate::server::{
    proxy::{By, Phone, PickUp, Target, Tree},
    script::{CallScript, Ending, ReplyFault},
};

/// How far a tuple is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum B2bStage {
    /// It could not be begun, and stays for a minute.
    Dead,
    /// The first party is called, then the second.
    Connecting,
    /// Both talk.
    Connected,
    /// It is over, and listed still.
    Ending,
}

/// A call that the server made between two parties. `Debug` shows its key and stage.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct B2bCall {
    /// The key of the tuple.
    pub key: String,
    /// The free text that it was begun with.
    pub scenario: String,
    /// How far it is.
    pub stage: B2bStage,
    /// The address of the first party.
    pub first: String,
    /// The address of the second party.
    pub second: String,
}

impl std::fmt::Debug for B2bCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("B2bCall")
            .field("key", &self.key)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// A party of a tuple.
#[derive(Debug, Clone)]
pub(super) struct Party {
    /// The name of the entity; a party that was brought in has none.
    pub name: Option<String>,
    pub uri: String,
    pub display: String,
    /// Its Call-ID, once it is called.
    pub key: Option<String>,
    pub up: bool,
}

impl Party {
    fn new(name: Option<String>, uri: &str, display: &str) -> Self {
        Self {
            name,
            uri: uri.to_owned(),
            display: display.to_owned(),
            key: None,
            up: false,
        }
    }

    /// Reads `id,uri[,display name]`. `Err` where there is no URI, `None` for one that is none.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, ()> {
        let mut parts = text.splitn(3, ',');
        let (Some(name), Some(uri)) = (parts.next(), parts.next()) else {
            return Err(());
        };
        let display = parts.next().unwrap_or_default();
        Ok(Target::parse(uri).map(|_| Self::new(Some(name.to_owned()), uri, display)))
    }
}

/// One call of the server's own.
#[derive(Debug)]
pub(super) struct Tuple {
    number: u64,
    /// Its number in the key: it comes again for later calls.
    place: i64,
    pub key: String,
    pub scenario: String,
    pub stage: B2bStage,
    pub first: Option<Party>,
    pub second: Option<Party>,
    phone: Phone,
    script: CallScript,
    /// Counts what was begun, so that what is left of it is not taken for what came after.
    turn: u32,
    since: Instant,
}

#[derive(Debug)]
pub(super) struct B2bStep {
    number: u64,
    turn: u32,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    FirstAnswers,
    FirstFails,
    SecondAnswers,
    SecondFails,
    HangsUp,
    Gone,
}

impl OpenSips {
    /// What goes wrong with the reply to a scenario, by the rule for its second party.
    pub(super) fn fault_of_script(&mut self, request: &SeenMi) -> Option<ReplyFault> {
        if request.method != "b2b_trigger_scenario" {
            return None;
        }
        let second = request.text("entity2")?;
        let second = Party::parse(&second).ok()??;
        let world = &mut self.state.world;
        // It is put back for the call itself.
        let script = world.script(&second.uri);
        let fault = script.reply.clone();
        self.state.next_second = Some(script);
        fault
    }

    fn new_tuple(&mut self, scenario: &str, now: Instant) -> Tuple {
        let number = self.state.serial();
        // A number after that of the last call that is there, and 0 when there is none: calls one after
        // the other all had 697.0 (recordings `05_click_to_dial_*`).
        let last = self.state.tuples.last().map(|tuple| tuple.place);
        let place = last.map_or(0, |place| place + 1);
        Tuple {
            number,
            place,
            key: format!("697.{place}"),
            scenario: scenario.to_owned(),
            stage: B2bStage::Dead,
            first: None,
            second: None,
            phone: Phone::answers(),
            script: CallScript::answer(),
            turn: 0,
            since: now,
        }
    }

    /// Begins nothing, and keeps it.
    pub(super) fn dead_tuple(&mut self, scenario: &str, now: Instant) {
        let tuple = self.new_tuple(scenario, now);
        self.b2b_plan(&tuple, now + Duration::from_secs(60), What::Gone);
        self.state.tuples.push(tuple);
    }

    /// Calls the first party, then the second.
    pub(super) fn trigger(&mut self, scenario: &str, first: Party, second: Party, now: Instant) {
        let mut tuple = self.new_tuple(scenario, now);
        let timings = self.setup.timings.clone();
        if let Some(target) = Target::parse(&first.uri) {
            tuple.phone = self.state.world.rung(&target);
        }
        tuple.script = match self.state.next_second.take() {
            Some(script) => script,
            None => self.state.world.script(&second.uri),
        };
        tuple.stage = B2bStage::Connecting;
        let mut first = first;
        first.key = Some(self.b2b_key(now));
        tuple.first = Some(first);
        tuple.second = Some(second);
        let ring = tuple.phone.ring.unwrap_or(timings.ring);
        let (after, what) = match tuple.phone.pick_up {
            PickUp::Answers => (timings.setup + ring, What::FirstAnswers),
            PickUp::Rejects(_) => (
                timings.setup + tuple.phone.ring.unwrap_or_default(),
                What::FirstFails,
            ),
            PickUp::RingsOn => (self.setup.ring_timeout, What::FirstFails),
            PickUp::Silent => (self.setup.answer_timeout, What::FirstFails),
        };
        self.b2b_plan(&tuple, now + after, what);
        self.state.tuples.push(tuple);
    }

    fn b2b_plan(&mut self, tuple: &Tuple, at: Instant, what: What) {
        let step = B2bStep {
            number: tuple.number,
            turn: tuple.turn,
            what,
        };
        self.plan(at, Step::B2b(step));
    }

    /// A Call-ID of `b2b_entities`.
    pub(super) fn b2b_key(&mut self, now: Instant) -> String {
        let number = self.state.serial();
        let spread = number.wrapping_mul(2_654_435_761) % 1_000_000_000;
        let key = format!("B2B.{}.{}.{}", spread % 512, spread / 131, self.second(now));
        match self.setup.release {
            Release::V3_2 => key,
            Release::V3_4 | Release::V3_6 => format!("{key}.{spread}"),
        }
    }

    /// Calls the second party. Its end is planned.
    fn call_second(&mut self, tuple: &mut Tuple, at: Instant) {
        let key = self.b2b_key(at);
        let Some(second) = &mut tuple.second else {
            return;
        };
        second.key = Some(key);
        let script = &tuple.script;
        let setup = self.setup.timings.setup;
        let ring = script.ring.unwrap_or(self.setup.timings.ring);
        let (after, what) = match script.ending {
            Ending::Answer => (setup + ring, What::SecondAnswers),
            Ending::Busy | Ending::Congestion | Ending::Rejected(_) => {
                (setup + ring, What::SecondFails)
            }
            Ending::NoEndpoint => (setup, What::SecondFails),
            Ending::NoAnswer => (
                setup + script.ring.unwrap_or(self.setup.ring_timeout),
                What::SecondFails,
            ),
            Ending::Unreachable => (self.setup.answer_timeout, What::SecondFails),
            Ending::RingsForEver => return,
        };
        self.b2b_plan(tuple, at + after, what);
    }

    pub(super) fn b2b_step(&mut self, step: &B2bStep, at: Instant) {
        let is_meant = |tuple: &Tuple| tuple.number == step.number && tuple.turn == step.turn;
        let Some(place) = self.state.tuples.iter().position(is_meant) else {
            return;
        };
        let mut tuple = self.state.tuples.remove(place);
        match step.what {
            What::Gone | What::FirstFails => return,
            What::FirstAnswers => {
                if let Some(first) = &mut tuple.first {
                    first.up = true;
                }
                self.call_second(&mut tuple, at);
            }
            What::SecondAnswers => {
                if let Some(second) = &mut tuple.second {
                    second.up = true;
                }
                tuple.stage = B2bStage::Connected;
                for time in [tuple.phone.hangs_up, tuple.script.hangup_after]
                    .into_iter()
                    .flatten()
                {
                    self.b2b_plan(&tuple, at + time, What::HangsUp);
                }
            }
            What::SecondFails => {
                // The first party gets a BYE; what is left of the tuple is dropped later.
                tuple.stage = B2bStage::Ending;
                tuple.first = None;
                let linger = self.setup.linger;
                self.b2b_plan(&tuple, at + linger, What::Gone);
            }
            // Both get a BYE.
            What::HangsUp => return,
        }
        self.state.tuples.insert(place, tuple);
    }

    /// `b2b_terminate_call`: BYE or CANCEL to both. False when there is no such tuple.
    pub(super) fn terminate(&mut self, key: &str) -> bool {
        let call_id = key.split(';').next().unwrap_or_default();
        let by_tags = key.split(';').count() == 3;
        let is_meant = |tuple: &Tuple| {
            let parties = [&tuple.first, &tuple.second];
            tuple.key == key
                || by_tags
                    && parties
                        .into_iter()
                        .flatten()
                        .any(|party| party.key.as_deref() == Some(call_id))
        };
        let Some(place) = self.state.tuples.iter().position(is_meant) else {
            return false;
        };
        let stays = |tuple: &Tuple| matches!(tuple.stage, B2bStage::Ending | B2bStage::Dead);
        if self
            .state
            .tuples
            .get(place)
            .is_some_and(|tuple| !stays(tuple))
        {
            self.state.tuples.remove(place);
        }
        true
    }

    /// `b2b_bridge`: the second party gets a BYE, then another is called. False when there is no
    /// such call.
    pub(super) fn bridge(&mut self, key: &str, uri: &str, now: Instant) -> bool {
        let connected = |tuple: &Tuple| tuple.key == key && tuple.stage == B2bStage::Connected;
        let Some(place) = self.state.tuples.iter().position(connected) else {
            return false;
        };
        let mut tuple = self.state.tuples.remove(place);
        tuple.turn += 1;
        tuple.stage = B2bStage::Connecting;
        tuple.since = now;
        tuple.second = Some(Party::new(None, uri, ""));
        tuple.script = self.state.world.script(uri);
        self.call_second(&mut tuple, now);
        self.state.tuples.insert(place, tuple);
        true
    }

    /// A party hangs up. False when there is no such call.
    pub(super) fn b2b_hangs_up(&mut self, key_or_scenario: &str, by: By, at: Instant) -> bool {
        let is_meant = |tuple: &Tuple| {
            (tuple.key == key_or_scenario || tuple.scenario == key_or_scenario)
                && matches!(tuple.stage, B2bStage::Connecting | B2bStage::Connected)
        };
        let Some(tuple) = self.state.tuples.iter().find(|tuple| is_meant(tuple)) else {
            return false;
        };
        let first_is_up = tuple.first.as_ref().is_some_and(|first| first.up);
        let what = match (tuple.stage, by) {
            (B2bStage::Connecting, By::Callee) if first_is_up => What::SecondFails,
            _ => What::HangsUp,
        };
        let step = B2bStep {
            number: tuple.number,
            turn: tuple.turn,
            what,
        };
        self.b2b_step(&step, at);
        true
    }

    /// The tuples as a test sees them.
    pub(super) fn b2b_calls(&self) -> Vec<B2bCall> {
        let uri =
            |party: &Option<Party>| party.as_ref().map_or_else(String::new, |it| it.uri.clone());
        let all = self.state.tuples.iter();
        all.map(|tuple| B2bCall {
            key: tuple.key.clone(),
            scenario: tuple.scenario.clone(),
            stage: tuple.stage,
            first: uri(&tuple.first),
            second: uri(&tuple.second),
        })
        .collect()
    }
}

impl Tuple {
    /// As `b2b_list` has it.
    pub(super) fn tree(&self, release: Release, now: Instant) -> Tree {
        let [connecting, connected, ending] = release.tuple_states();
        let age = now.saturating_duration_since(self.since).as_secs();
        let (state, lifetime) = match self.stage {
            B2bStage::Dead => (0, 60),
            B2bStage::Connecting => (connecting, 4_294_967_295),
            B2bStage::Connected => (connected, 43_200),
            B2bStage::Ending => (ending, 30 + i64::try_from(age).unwrap_or_default()),
        };
        Tree::object([
            ("id", Tree::Int(self.place)),
            ("key", self.key.as_str().into()),
            ("state", Tree::Int(state)),
            ("lifetime", Tree::Int(lifetime)),
            ("db_flag", Tree::Int(2)),
            ("scenario", self.scenario.as_str().into()),
            ("SERVERS", Tree::List(Vec::new())),
            ("CLIENTS", self.parties(true)),
            ("BRIDGE_ENTITIES", self.parties(false)),
        ])
    }

    fn parties(&self, called_only: bool) -> Tree {
        let both = [
            (0, &self.first, &self.second),
            (1, &self.second, &self.first),
        ];
        let there = both.into_iter().filter_map(|(no, party, other)| {
            let party = party.as_ref()?;
            if called_only && party.key.is_none() {
                return None;
            }
            Some((no, party, other.as_ref()))
        });
        let all = there.enumerate().map(|(place, (no, party, other))| {
            let connected = self.stage == B2bStage::Connected;
            let index = if called_only {
                i64::try_from(place).unwrap_or_default()
            } else {
                no
            };
            let peer = other
                .and_then(|other| other.key.clone())
                .filter(|_| connected);
            // Who calls is the other party; one that is gone is remembered.
            let from = party
                .key
                .as_ref()
                .map(|_| other.map_or("sip:gone@127.0.0.1", |other| other.uri.as_str()));
            let members = [
                ("index", Some(Tree::Int(index))),
                ("scenario_id", party.name.clone().map(Tree::Text)),
                ("key", party.key.clone().map(Tree::Text)),
                ("disconnected", Some(Tree::Int(0))),
                ("state", Some(Tree::Int(i64::from(party.up)))),
                (
                    "no",
                    Some(Tree::Int(if party.key.is_some() { no } else { 0 })),
                ),
                ("type", Some(Tree::Int(1))),
                ("peer", peer.map(Tree::Text)),
                ("to_uri", Some(party.uri.as_str().into())),
                ("from_uri", from.map(Tree::from)),
            ];
            Tree::object(
                members
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
        });
        Tree::List(all.collect())
    }

    /// Its parties as `b2be_list` has them.
    pub(super) fn entities(&self) -> Vec<Tree> {
        let parties = [(&self.first, &self.second), (&self.second, &self.first)];
        let there = parties.into_iter().filter_map(|(party, other)| {
            let party = party.as_ref()?;
            let key = party.key.as_ref()?;
            let other = other.as_ref().map_or("", |other| other.uri.as_str());
            Some(entity(
                key,
                &self.key,
                "b2b_logic",
                &party.display,
                other,
                &party.uri,
                party.up,
            ))
        });
        there.collect()
    }
}

/// An entity as `b2be_list` and `ua_session_list` have it.
pub(super) fn entity(
    key: &str,
    logic_key: &str,
    module: &str,
    display: &str,
    from: &str,
    to: &str,
    up: bool,
) -> Tree {
    let number = key.split('.').nth(2).and_then(|part| part.parse().ok());
    let contact = Target::parse(to).map_or_else(String::new, |to| to.uri);
    let leg = Tree::object([
        ("id", Tree::Int(0)),
        ("tag", "aaede92289".into()),
        ("cseq", Tree::Int(2)),
        ("contact", contact.as_str().into()),
    ]);
    Tree::object([
        ("dlg", Tree::Int(number.unwrap_or_default())),
        ("logic_key", logic_key.into()),
        ("mod_name", module.into()),
        ("state", Tree::Int(if up { 5 } else { 2 })),
        ("last_invite_cseq", Tree::Int(2)),
        ("last_method", Tree::Int(if up { 4 } else { 1 })),
        ("db_flag", Tree::Int(2)),
        ("callid", key.into()),
        ("from", display.into()),
        ("from_uri", from.into()),
        ("from_tag", "a3e2264945b2dc447a452cb861776115".into()),
        ("to", "".into()),
        ("to_uri", to.into()),
        ("to_tag", "aaede92289".into()),
        (
            "cseq",
            Tree::object([("caller", Tree::Int(2)), ("callee", Tree::Int(1))]),
        ),
        (
            "contact",
            Tree::object([
                ("caller", Tree::from("sip:b2b@127.0.0.1:25060")),
                ("callee", contact.into()),
            ]),
        ),
        ("send_sock", "127.0.0.1".into()),
        ("LEGS", Tree::List(if up { vec![leg] } else { Vec::new() })),
    ])
}
