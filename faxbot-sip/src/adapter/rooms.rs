//! The conferences of a server and who is in them, of ours and of others: bounded, by events and by
//! lists. Sans-IO.

use std::collections::{BTreeMap, HashSet, VecDeque};

use faxbot_core::{Private, sip::SipEvent};

/// How many conferences are followed, how many members of each, and how many of all. Others are left
/// out.
pub(crate) const MAX_ROOMS: usize = 1000;
pub(crate) const MAX_MEMBERS: usize = 1000;
const MAX_ALL_MEMBERS: usize = 20_000;

/// How many recordings of one conference are asked for at once; more are told without their file.
const MAX_ASKED: usize = 16;

/// What a server takes for a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// Capitals make no other name of a conference.
    pub(crate) ignores_case: bool,
    /// Bytes of the longest name of a conference.
    pub(crate) longest_room: usize,
    /// Bytes of the longest name of a member.
    pub(crate) longest_member: usize,
}

impl Names {
    /// Whether two names are of one conference.
    pub(crate) fn same(&self, one: &str, two: &str) -> bool {
        if self.ignores_case {
            one.eq_ignore_ascii_case(two)
        } else {
            one == two
        }
    }

    fn is_room(&self, name: &str) -> bool {
        (1..=self.longest_room).contains(&name.len())
    }

    /// Whether a member can have this name.
    pub(crate) fn is_member(&self, name: &str) -> bool {
        (1..=self.longest_member).contains(&name.len())
    }
}

/// The conferences of the server and who is in them.
#[derive(Debug)]
pub(crate) struct Conferences {
    names: Names,
    rooms: BTreeMap<String, Room>,
    /// Those whose members changed while the server's lists are asked for: an event may be newer than
    /// a list.
    changed: Option<HashSet<String>>,
}

#[derive(Debug, Default)]
struct Room {
    /// Channels, by the server's names.
    members: HashSet<String>,
    /// The first member came by an order of ours, so a recording has the name that it is given.
    ours: bool,
    /// The files of recordings that were asked for and have not begun.
    asked: VecDeque<String>,
    /// It is being recorded; with the file where it is known.
    recording: Option<Option<String>>,
}

impl Conferences {
    pub(crate) fn new(names: Names) -> Self {
        Self {
            names,
            rooms: BTreeMap::new(),
            changed: None,
        }
    }

    /// Names and numbers of members.
    pub(crate) fn list(&self) -> Vec<(Private, usize)> {
        let rooms = self
            .rooms
            .iter()
            .filter(|(_, room)| !room.members.is_empty());
        rooms
            .map(|(name, room)| (Private::new(name.clone()), room.members.len()))
            .collect()
    }

    pub(crate) fn has(&self, room: &str, member: &str) -> bool {
        let room = self.rooms.get(self.known_as(room));
        room.is_some_and(|room| room.members.contains(member))
    }

    /// The name by which the server tells of a conference: as the first who joined wrote it.
    fn known_as<'a>(&'a self, room: &'a str) -> &'a str {
        if !self.names.ignores_case || self.rooms.contains_key(room) {
            return room;
        }
        let mut names = self.rooms.keys();
        names
            .find(|name| self.names.same(name, room))
            .map_or(room, |it| it)
    }

    /// A recording is about to be asked for. Several may be at once; all but one will be refused.
    pub(crate) fn will_record(&mut self, room: &str, file: &str) {
        let room = &self.known_as(room).to_owned();
        if let Some(room) = self.rooms.get_mut(room).filter(|room| room.ours) {
            if room.asked.len() >= MAX_ASKED {
                room.asked.pop_front();
            }
            room.asked.push_back(file.to_owned());
        }
    }

    /// It was refused.
    pub(crate) fn not_recorded(&mut self, room: &str, file: &str) {
        let room = &self.known_as(room).to_owned();
        if let Some(room) = self.rooms.get_mut(room) {
            room.asked.retain(|it| it != file);
        }
    }

    /// A recording began, or ended.
    pub(crate) fn records(&mut self, room: &str, runs: bool) -> Vec<SipEvent> {
        let told = self.rooms.get_mut(room);
        told.and_then(|room| room.records(runs))
            .into_iter()
            .collect()
    }

    /// A member is there. `ours` tells whether it came by an order of ours.
    pub(crate) fn join(&mut self, room: &str, member: &str, ours: bool) -> Vec<SipEvent> {
        self.note(room);
        let all: usize = self.rooms.values().map(|room| room.members.len()).sum();
        if !self.names.is_member(member) || all >= MAX_ALL_MEMBERS {
            return Vec::new();
        }
        let Some(kept) = self.room(room) else {
            return Vec::new();
        };
        if kept.members.is_empty() {
            kept.ours = ours;
        }
        if kept.members.len() >= MAX_MEMBERS || !kept.members.insert(member.to_owned()) {
            return Vec::new();
        }
        vec![changed(room, kept.members.len())]
    }

    /// A member is gone.
    pub(crate) fn leave(&mut self, room: &str, member: &str) -> Vec<SipEvent> {
        self.note(room);
        let Some(kept) = self.rooms.get_mut(room) else {
            return Vec::new();
        };
        if !kept.members.remove(member) {
            return Vec::new();
        }
        vec![changed(room, kept.members.len())]
    }

    /// The conference is over.
    pub(crate) fn end(&mut self, room: &str) -> Vec<SipEvent> {
        self.note(room);
        self.remove(room)
    }

    fn room(&mut self, name: &str) -> Option<&mut Room> {
        if !self.names.is_room(name) {
            return None;
        }
        if self.rooms.len() >= MAX_ROOMS && !self.rooms.contains_key(name) {
            tracing::debug!("the server has more conferences than are followed");
            return None;
        }
        Some(self.rooms.entry(name.to_owned()).or_default())
    }

    fn remove(&mut self, name: &str) -> Vec<SipEvent> {
        let Some(mut room) = self.rooms.remove(name) else {
            return Vec::new();
        };
        let mut out: Vec<_> = room.records(false).into_iter().collect();
        if !room.members.is_empty() {
            out.push(changed(name, 0));
        }
        out
    }

    /// The server's lists are asked for from now on, until [`is_listed`](Self::is_listed).
    pub(crate) fn is_being_listed(&mut self) {
        self.changed = Some(HashSet::new());
    }

    pub(crate) fn is_listed(&mut self) {
        self.changed = None;
    }

    /// Notes a change of who is where, for a list that is being asked for.
    fn note(&mut self, name: &str) {
        if let Some(changed) = self.changed.as_mut().filter(|it| it.len() < MAX_ROOMS) {
            changed.insert(name.to_owned());
        }
    }

    /// Whether an event told of it since the lists began, or since this was asked.
    pub(crate) fn has_changed(&mut self, room: &str) -> bool {
        let changed = self.changed.as_mut();
        changed.is_some_and(|changed| changed.len() >= MAX_ROOMS || changed.remove(room))
    }

    /// Takes over the members that the server's list shows.
    pub(crate) fn take_over(&mut self, room: &str, members: HashSet<String>) -> Vec<SipEvent> {
        if members.is_empty() {
            return self.remove(room);
        }
        let others = self.rooms.iter().filter(|(other, _)| *other != room);
        let others: usize = others.map(|(_, room)| room.members.len()).sum();
        if others + members.len() > MAX_ALL_MEMBERS {
            return Vec::new();
        }
        let Some(kept) = self.room(room) else {
            return Vec::new();
        };
        if kept.members == members {
            return Vec::new();
        }
        kept.members = members;
        kept.asked.clear();
        vec![changed(room, kept.members.len())]
    }

    /// Ends those that the server did not list, but for those that began since.
    pub(crate) fn end_others(&mut self, listed: &HashSet<String>) -> Vec<SipEvent> {
        let gone = self.rooms.keys().filter(|name| !listed.contains(*name));
        let gone: Vec<_> = gone.cloned().collect();
        let mut out = Vec::new();
        for name in gone {
            if !self.has_changed(&name) {
                out.extend(self.remove(&name));
            }
        }
        out
    }
}

impl Room {
    fn records(&mut self, runs: bool) -> Option<SipEvent> {
        let file = if runs {
            let file = self.asked.pop_front();
            self.recording = Some(file.clone());
            file
        } else {
            self.asked.clear();
            self.recording.take()?
        };
        Some(SipEvent::RecordingChanged {
            id: None,
            running: runs,
            file: file.map(Private::new),
        })
    }
}

fn changed(room: &str, members: usize) -> SipEvent {
    SipEvent::ConferenceChanged {
        conference: Private::new(room.to_owned()),
        members,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conferences() -> Conferences {
        Conferences::new(Names {
            ignores_case: true,
            longest_room: 79,
            longest_member: 149,
        })
    }

    fn counts(events: &[SipEvent]) -> Vec<usize> {
        let count = |event: &SipEvent| match event {
            SipEvent::ConferenceChanged { members, .. } => Some(*members),
            _ => None,
        };
        events.iter().filter_map(count).collect()
    }

    #[test]
    fn what_a_server_makes_grow_is_bounded() {
        let mut conferences = conferences();
        for number in 0..=MAX_ROOMS {
            conferences.join(&format!("room-{number}"), "1.1", false);
        }
        for number in 0..=MAX_MEMBERS {
            conferences.join("room-0", &format!("2.{number}"), false);
        }
        assert_eq!(conferences.rooms.len(), MAX_ROOMS);
        assert_eq!(conferences.rooms["room-0"].members.len(), MAX_MEMBERS);
        let all = |conferences: &Conferences| -> usize {
            conferences.list().iter().map(|(_, members)| members).sum()
        };
        for number in 0..MAX_ALL_MEMBERS {
            let room = format!("room-{}", number % MAX_ROOMS);
            conferences.join(&room, &format!("3.{number}"), false);
        }
        assert_eq!(all(&conferences), MAX_ALL_MEMBERS);
        conferences.take_over("more", HashSet::from(["4.1".to_owned()]));
        assert_eq!(all(&conferences), MAX_ALL_MEMBERS);
    }

    #[test]
    fn names_that_a_server_cannot_have_are_not_kept() {
        let mut conferences = conferences();
        let long = "x".repeat(150);
        for (room, member) in [("a", ""), ("a", long.as_str()), ("", "1.1"), (&long, "1.1")] {
            assert!(conferences.join(room, member, false).is_empty());
        }
        assert!(conferences.list().is_empty());
    }

    #[test]
    fn a_conference_is_the_same_in_capitals_where_the_server_says_so() {
        for ignores_case in [true, false] {
            let mut conferences = conferences();
            conferences.names.ignores_case = ignores_case;
            conferences.join("standup", "1.1", true);
            assert_eq!(conferences.has("StandUp", "1.1"), ignores_case);
            conferences.will_record("STANDUP", "a.wav");
            let asked = |it: &Conferences| it.rooms["standup"].asked.len();
            assert_eq!(asked(&conferences), usize::from(ignores_case));
            conferences.not_recorded("StandUp", "a.wav");
            assert_eq!(asked(&conferences), 0);
        }
    }

    #[test]
    fn lists_after_a_gap_tell_only_of_what_changed() {
        let mut conferences = conferences();
        conferences.join("same", "1.1", false);
        conferences.join("gone", "1.2", false);
        let set = |members: &[&str]| members.iter().map(|it| (*it).to_owned()).collect();
        let mut events = conferences.end_others(&set(&["same", "new"]));
        events.extend(conferences.take_over("same", set(&["1.1"])));
        events.extend(conferences.take_over("new", set(&["1.3", "1.4"])));
        // It ended between the two lists.
        events.extend(conferences.take_over("short", set(&[])));
        assert_eq!(counts(&events), [0, 2]);
        assert!(conferences.has("new", "1.4") && !conferences.has("gone", "1.2"));
    }
}
