//! Which answer belongs to which request.
//!
//! Messages are matched by ids that nobody can guess. Commands such as `watch` have no id: the engine
//! answers them in their order and names what was asked, so that a request whose caller left keeps its
//! place until its answer, or a later one, came.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Instant,
};

use super::frame::Verb;
use crate::protocol::{ids::Ids, session::Token};

/// The requests that the engine owes an answer to.
pub(super) struct Table {
    ids: Ids,
    messages: HashMap<u64, (Token, Instant)>,
    /// In the order in which they were queued; their numbers rise.
    commands: VecDeque<Entry>,
    deadlines: BTreeSet<(Instant, u64)>,
    most: usize,
}

struct Entry {
    number: u64,
    verb: Verb,
    name: String,
    who: Who,
}

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// A command of the login, and whether it is required.
    Step {
        required: bool,
    },
    Ping,
    Caller(Token, Instant),
    /// Nobody any more.
    Gone,
}

impl Table {
    pub(super) fn new(random: [u8; 16], most: usize) -> Self {
        Self {
            ids: Ids::new(random),
            messages: HashMap::new(),
            commands: VecDeque::new(),
            deadlines: BTreeSet::new(),
            most: most.max(1),
        }
    }

    /// Requests that wait for their answer.
    pub(super) fn live(&self) -> usize {
        self.deadlines.len()
    }

    /// Places of commands that were given up count too: the engine is that far behind.
    pub(super) fn is_full(&self) -> bool {
        self.live() >= self.most || self.commands.len() >= self.most.saturating_mul(2)
    }

    /// The id to send a message with.
    pub(super) fn message(&mut self, token: Token, deadline: Instant) -> String {
        let number = self.ids.next();
        self.messages.insert(number, (token, deadline));
        self.deadlines.insert((deadline, number));
        self.ids.text(number)
    }

    pub(super) fn command(&mut self, verb: Verb, name: &str, who: Who) {
        let number = self.ids.next();
        if let Who::Caller(_, deadline) = who {
            self.deadlines.insert((deadline, number));
        }
        self.commands.push_back(Entry {
            number,
            verb,
            name: name.to_owned(),
            who,
        });
    }

    /// Whose message has this id. A late answer, and one with an id that is not ours, is nobody's.
    pub(super) fn answered(&mut self, id: &[u8]) -> Option<Token> {
        let number = self.ids.number(id)?;
        let (token, deadline) = self.messages.remove(&number)?;
        self.deadlines.remove(&(deadline, number));
        Some(token)
    }

    /// Who asked for this. The engine answers in order: whoever left before is not answered any
    /// more.
    pub(super) fn confirmed(&mut self, verb: Verb, name: &str) -> Option<Who> {
        let asked = |entry: &Entry| entry.verb == verb && entry.name == name;
        let at = self.commands.iter().position(asked)?;
        let entry = self.commands.remove(at)?;
        while self
            .commands
            .front()
            .is_some_and(|first| first.who == Who::Gone && first.number < entry.number)
        {
            self.commands.pop_front();
        }
        if let Who::Caller(_, deadline) = entry.who {
            self.deadlines.remove(&(deadline, entry.number));
        }
        Some(entry.who)
    }

    /// Whether a command of the login has no answer yet.
    pub(super) fn has_steps(&self) -> bool {
        let step = |entry: &Entry| matches!(entry.who, Who::Step { .. });
        self.commands.iter().any(step)
    }

    pub(super) fn has_ping(&self) -> bool {
        self.commands.iter().any(|entry| entry.who == Who::Ping)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Gives up the next request whose deadline has passed. `take_back` drops bytes that were not
    /// handed out: then no answer can come and no place is kept.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        take_back: impl FnOnce(Token) -> bool,
    ) -> Option<Token> {
        let first = *self.deadlines.first().filter(|(at, _)| *at <= now)?;
        self.deadlines.remove(&first);
        if let Some((token, _)) = self.messages.remove(&first.1) {
            take_back(token);
            return Some(token);
        }
        let at = self
            .commands
            .binary_search_by_key(&first.1, |entry| entry.number)
            .ok()?;
        let entry = self.commands.get_mut(at)?;
        let Who::Caller(token, _) = std::mem::replace(&mut entry.who, Who::Gone) else {
            return None;
        };
        if take_back(token) {
            self.commands.remove(at);
        }
        Some(token)
    }
}
