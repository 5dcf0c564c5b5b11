//! Subscriptions to events.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    sockets::Destination,
    which::{EVENTS, Release},
};
use crate::server::proxy::Tree;

/// Seconds that a subscription lasts where none are said.
pub(super) const EXPIRE: i64 = 3600;

#[derive(Debug, Clone)]
struct Subscription {
    to: Destination,
    expire: i64,
    since: i64,
}

impl Subscription {
    fn left(&self, second: i64) -> i64 {
        self.since
            .saturating_add(self.expire)
            .saturating_sub(second)
    }

    fn tree(&self, second: i64) -> Tree {
        let left = self.left(second);
        let ttl = if left > 0 {
            Tree::Int(left)
        } else {
            "expired".into()
        };
        Tree::object([
            ("socket", Tree::from(self.to.text())),
            ("expire", Tree::Int(self.expire)),
            ("ttl", ttl),
        ])
    }
}

/// Who wants which events, by the number of the event. Times are whole seconds of the wall clock.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(BTreeMap<usize, Vec<Subscription>>);

/// The number of an event.
pub(super) fn number_of(event: &str) -> Option<usize> {
    EVENTS.iter().position(|(name, _)| *name == event)
}

impl Subscriptions {
    /// Subscribes, or renews.
    pub(super) fn add(&mut self, event: usize, to: Destination, expire: i64, second: i64) {
        let all = self.0.entry(event).or_default();
        let known = all.iter_mut().find(|subscription| subscription.to == to);
        match known {
            Some(known) => (known.expire, known.since) = (expire, second),
            None => all.insert(
                0,
                Subscription {
                    to,
                    expire,
                    since: second,
                },
            ),
        }
    }

    /// Who is told of an event now. One that ends in this second is told still.
    pub(super) fn of(&mut self, event: usize, second: i64) -> Vec<Destination> {
        self.drop_old(second);
        let all = self.0.get(&event).into_iter().flatten();
        all.map(|subscription| subscription.to.clone()).collect()
    }

    fn drop_old(&mut self, second: i64) {
        for all in self.0.values_mut() {
            all.retain(|subscription| subscription.left(second) >= 0);
        }
        self.0.retain(|_, all| !all.is_empty());
    }

    fn event(number: usize, all: &[Subscription], second: i64) -> Tree {
        let subscribers = all.iter().map(|subscription| subscription.tree(second));
        let members = [("Subscribers", Tree::List(subscribers.collect()))];
        Tree::object(head(number).into_iter().chain(members))
    }

    /// All events with their subscribers.
    pub(super) fn all(&mut self, second: i64) -> Tree {
        self.drop_old(second);
        let events = self.0.iter();
        let events = events.map(|(&number, all)| Self::event(number, all, second));
        Tree::object([("Events", Tree::List(events.collect()))])
    }

    /// One event with its subscribers; nothing in it when there are none.
    pub(super) fn one(&mut self, number: usize, second: i64) -> Tree {
        self.drop_old(second);
        let event = self.0.get(&number).map_or(Tree::Object(Vec::new()), |all| {
            Self::event(number, all, second)
        });
        Tree::object([("Event", event)])
    }

    /// One subscriber of one event.
    pub(super) fn subscriber(&mut self, number: usize, socket: &str, second: i64) -> Option<Tree> {
        self.drop_old(second);
        let all = self.0.get(&number)?;
        let found = all
            .iter()
            .find(|subscription| subscription.to.text() == socket)?;
        let members = [("Subscriber", found.tree(second))];
        let event = Tree::object(head(number).into_iter().chain(members));
        Some(Tree::object([("Event", event)]))
    }

    /// The sockets of all subscriptions, each once.
    pub(super) fn sockets(&self) -> BTreeSet<Destination> {
        let all = self.0.values().flatten();
        all.map(|subscription| subscription.to.clone()).collect()
    }

    /// What is subscribed to: the event and the socket.
    pub(super) fn listed(&self, second: i64) -> Vec<(String, String)> {
        let events = self.0.iter().flat_map(|(&number, all)| {
            let name = EVENTS.get(number).map_or("", |(name, _)| name);
            let there = all.iter().filter(move |one| one.left(second) >= 0);
            there.map(move |one| (name.to_owned(), one.to.text()))
        });
        events.collect()
    }
}

fn head(number: usize) -> [(&'static str, Tree); 2] {
    let name = EVENTS.get(number).map_or("", |(name, _)| name);
    let id = i64::try_from(number).unwrap_or_default();
    [("name", name.into()), ("id", Tree::Int(id))]
}

/// All events that a server publishes, as `events_list` has them.
pub(super) fn published(release: Release, is_off: impl Fn(&str) -> bool) -> Tree {
    let there = EVENTS.iter().enumerate().filter(|(_, (event, _))| {
        release
            .module_of_event(event)
            .is_some_and(|module| !is_off(module) && !is_off(event))
    });
    let all = there.map(|(number, _)| Tree::object(head(number)));
    Tree::object([("Events", Tree::List(all.collect()))])
}
