//! The conferences of Yate: its channels `conf/N` tell of members by whom they are connected to, with the
//! name of the conference as their address (observed on Yate 6.4.1). That holds for the conferences of
//! others too.

use std::collections::{HashMap, HashSet, VecDeque};

use faxbot_core::{Private, Result, sip::SipEvent};

use super::super::{core::Core, server::Server, state::Desk};
use crate::{
    adapter::rooms::{Conferences, MAX_MEMBERS, MAX_ROOMS, Names},
    protocol::yate::Message,
};

/// Begins the names of conferences that only pass a pair of parties to their music.
pub(super) const HOLD: &str = "faxbot-hold-";

/// How a member joins: the last one stays, and there is room for many.
pub(super) const MEMBER: [(&str, &str); 2] = [("lonely", "true"), ("maxusers", "1000")];

/// The longest name of a conference.
pub(super) const MAX_NAME: usize = 79;

/// How many channels of conferences are followed.
const MAX_SEATS: usize = 20_000;

/// Channels of conferences that are gone, of which a late message may still tell that they came.
const MAX_GONE: usize = 200;

const NAMES: Names = Names {
    ignores_case: false,
    longest_room: MAX_NAME,
    longest_member: 64,
};

/// The conferences of the server.
#[derive(Debug)]
pub(in crate::adapter::yate) struct Rooms {
    table: Conferences,
    /// What each channel of a conference is for.
    seats: HashMap<String, Seat>,
    gone: VecDeque<String>,
}

#[derive(Debug)]
struct Seat {
    room: String,
    /// `None` for what records the conference.
    member: Option<String>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            table: Conferences::new(NAMES),
            seats: HashMap::new(),
            gone: VecDeque::new(),
        }
    }
}

impl Rooms {
    /// Names and numbers of members.
    pub(in crate::adapter::yate) fn list(&self) -> Vec<(Private, usize)> {
        self.table.list()
    }

    pub(super) fn has(&self, room: &str, member: &str) -> bool {
        self.table.has(room, member)
    }

    /// The conference that a channel belongs to.
    pub(super) fn room_of(&self, seat: &str) -> Option<String> {
        self.seats.get(seat).map(|seat| seat.room.clone())
    }

    pub(super) fn will_record(&mut self, room: &str, file: &str) {
        self.table.will_record(room, file);
    }

    pub(super) fn not_recorded(&mut self, room: &str, file: &str) {
        self.table.not_recorded(room, file);
    }

    fn comes(&mut self, seat: &str, room: &str, peer: &str) -> Vec<SipEvent> {
        let hidden = room.is_empty() || room.starts_with(HOLD);
        let gone = self.gone.iter().any(|gone| gone == seat);
        if hidden || gone || self.seats.len() >= MAX_SEATS || self.seats.contains_key(seat) {
            return Vec::new();
        }
        let records = peer.starts_with("wave/");
        let member = (!records).then(|| peer.to_owned());
        let room = room.to_owned();
        let out = match &member {
            Some(member) => self.table.join(&room, member, true),
            None => self.table.records(&room, true),
        };
        self.seats.insert(seat.to_owned(), Seat { room, member });
        out
    }

    fn goes(&mut self, seat: &str) -> Vec<SipEvent> {
        if self.gone.len() >= MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back(seat.to_owned());
        let Some(Seat { room, member }) = self.seats.remove(seat) else {
            return Vec::new();
        };
        let Some(member) = member else {
            return self.table.records(&room, false);
        };
        let mut out = self.table.leave(&room, &member);
        let members = |seat: &Seat| seat.room == room && seat.member.is_some();
        if !self.seats.values().any(members) {
            out.extend(self.table.end(&room));
        }
        out
    }

    /// Takes over what the server's list shows.
    fn listed(&mut self, list: Vec<(String, String, String)>) -> Vec<SipEvent> {
        let mut rooms: HashMap<String, HashSet<String>> = HashMap::new();
        self.seats.clear();
        // Another run of the engine counts its channels anew.
        self.gone.clear();
        for (seat, room, peer) in list.into_iter().take(MAX_SEATS) {
            if room.starts_with(HOLD) || !(1..=MAX_NAME).contains(&room.len()) {
                continue;
            }
            let records = peer.starts_with("wave/");
            if !records && (rooms.len() < MAX_ROOMS || rooms.contains_key(&room)) {
                let members = rooms.entry(room.clone()).or_default();
                if members.len() < MAX_MEMBERS && NAMES.is_member(&peer) {
                    members.insert(peer.clone());
                }
            }
            let member = (!records).then_some(peer);
            self.seats.insert(seat, Seat { room, member });
        }
        let names = rooms.keys().cloned().collect();
        let mut out = self.table.end_others(&names);
        for (room, members) in rooms {
            out.extend(self.table.take_over(&room, members));
        }
        out
    }
}

impl Desk {
    /// What a message says of a conference.
    pub(in crate::adapter::yate) fn room_told(
        &mut self,
        channel: &str,
        message: &Message<'_>,
    ) -> Vec<SipEvent> {
        let text = |name: &str| message.text(name).unwrap_or_default();
        let rooms = &mut self.orders.rooms;
        if channel.starts_with("conf/") {
            return if message.is("chan.connected") {
                rooms.comes(channel, &text("address"), &text("peerid"))
            } else if message.is("chan.disconnected") {
                rooms.goes(channel)
            } else {
                Vec::new()
            };
        }
        // Who leaves, or what no longer records, may tell more than the conference's own channel does.
        let last = text("lastpeerid");
        let parts = message.is("chan.disconnected") && last.starts_with("conf/");
        if parts { rooms.goes(&last) } else { Vec::new() }
    }
}

/// Makes good what was missed: asks for all conferences, and tells of those that changed.
pub(in crate::adapter::yate) async fn refresh(
    core: &Core,
    server: &Server,
    operation: &'static str,
) -> Result<()> {
    let list = server.items("conf", operation).await?;
    let list = list.into_iter();
    let list = list.map(|it| (it.leg.native, it.address, it.leg.joined.unwrap_or_default()));
    let list = list.collect();
    core.hub
        .events(|state, _| state.books.orders.rooms.listed(list));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(events: &[SipEvent]) -> Vec<usize> {
        let count = |event: &SipEvent| match event {
            SipEvent::ConferenceChanged { members, .. } => Some(*members),
            _ => None,
        };
        events.iter().filter_map(count).collect()
    }

    #[test]
    fn a_conference_has_the_partners_of_its_channels() {
        let mut rooms = Rooms::default();
        let mut events = rooms.comes("conf/1", "a", "sip/1");
        events.extend(rooms.comes("conf/2", "a", "sip/2"));
        events.extend(rooms.goes("conf/1"));
        events.extend(rooms.goes("conf/2"));
        assert_eq!(counts(&events), [1, 2, 1, 0]);
        assert!(rooms.list().is_empty());
    }

    #[test]
    fn what_came_after_it_went_is_not_there() {
        let mut rooms = Rooms::default();
        assert!(rooms.goes("conf/1").is_empty());
        assert!(rooms.comes("conf/1", "a", "sip/1").is_empty());
        assert!(!rooms.has("a", "sip/1"));
    }

    #[test]
    fn a_list_makes_good_what_was_missed() {
        let mut rooms = Rooms::default();
        rooms.comes("conf/1", "gone", "sip/1");
        rooms.comes("conf/2", "same", "sip/2");
        let row = |seat: &str, room: &str, peer: &str| {
            (seat.to_owned(), room.to_owned(), peer.to_owned())
        };
        let events = rooms.listed(vec![
            row("conf/2", "same", "sip/2"),
            row("conf/3", "new", "sip/3"),
            row("conf/4", "new", "wave/1"),
            row("conf/5", "faxbot-hold-1", "sip/4"),
        ]);
        assert_eq!(counts(&events), [0, 1]);
        assert!(rooms.has("new", "sip/3") && rooms.list().len() == 2);
    }
}
