//! The conferences of the server and who is in them, of ours and of others. Sans-IO, but for the
//! question that makes good a gap.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::Duration,
};

use faxbot_core::{ErrorKind, Private, Result, sip::SipEvent};

use super::{
    books::Books,
    core::Core,
    dialplan::CONFERENCE,
    request::action,
    server::{Server, refusal},
};
use crate::protocol::ami::{Message, Reply};

/// How many conferences are followed, how many members of each, and how many of all. Others are left
/// out.
const MAX_ROOMS: usize = 1000;
const MAX_MEMBERS: usize = 1000;
const MAX_ALL_MEMBERS: usize = 20_000;

/// The longest name of a conference that Asterisk keeps (`MAX_CONF_NAME` of `app_confbridge`), and the
/// longest `Uniqueid` (`AST_MAX_UNIQUEID`).
pub(super) const MAX_NAME: usize = 79;
const MAX_UNIQUEID: usize = 149;

/// How many recordings of one conference are asked for at once; more are told without their file.
const MAX_ASKED: usize = 16;

/// How often the members of a conference are asked for anew while they change.
const TRIES: usize = 5;

const CONNECT: &str = "connect";

/// How long all of them may take: nobody fails to connect because others confer.
const REFRESH: Duration = Duration::from_secs(5);

/// The conferences of the server and who is in them.
#[derive(Debug, Default)]
pub(super) struct Conferences {
    rooms: BTreeMap<String, Room>,
    /// Those whose members changed while the server's lists are asked for: an event may be newer than
    /// a list.
    changed: Option<HashSet<String>>,
}

#[derive(Debug, Default)]
struct Room {
    /// `Uniqueid`s. Not `BridgeNumChannels`, which counts those of the server that announce and record.
    members: HashSet<String>,
    /// The first member came by our extension, so a recording has the name that it is given.
    ours: bool,
    /// The files of recordings that were asked for and have not begun.
    asked: VecDeque<String>,
    /// It is being recorded; with the file where it is known.
    recording: Option<Option<String>>,
}

/// A conference of the server's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedRoom {
    pub(super) name: String,
    pub(super) locked: bool,
}

impl Conferences {
    /// Names and numbers of members.
    pub(super) fn list(&self) -> Vec<(Private, usize)> {
        let rooms = self
            .rooms
            .iter()
            .filter(|(_, room)| !room.members.is_empty());
        rooms
            .map(|(name, room)| (Private::new(name.clone()), room.members.len()))
            .collect()
    }

    pub(super) fn has(&self, room: &str, uniqueid: &str) -> bool {
        let room = self.rooms.get(self.known_as(room));
        room.is_some_and(|room| room.members.contains(uniqueid))
    }

    /// The name by which the server tells of a conference: as the first who joined wrote it. Capitals
    /// make no other name (`conference_bridge_cmp_cb` of `app_confbridge`).
    fn known_as<'a>(&'a self, room: &'a str) -> &'a str {
        if self.rooms.contains_key(room) {
            return room;
        }
        let mut names = self.rooms.keys();
        names.find(|name| same(name, room)).map_or(room, |it| it)
    }

    /// A recording is about to be asked for. Several may be at once; all but one will be refused.
    pub(super) fn will_record(&mut self, room: &str, file: &str) {
        let room = &self.known_as(room).to_owned();
        if let Some(room) = self.rooms.get_mut(room).filter(|room| room.ours) {
            if room.asked.len() >= MAX_ASKED {
                room.asked.pop_front();
            }
            room.asked.push_back(file.to_owned());
        }
    }

    /// It was refused.
    pub(super) fn not_recorded(&mut self, room: &str, file: &str) {
        let room = &self.known_as(room).to_owned();
        if let Some(room) = self.rooms.get_mut(room) {
            room.asked.retain(|it| it != file);
        }
    }

    fn room(&mut self, name: &str) -> Option<&mut Room> {
        if self.rooms.len() >= MAX_ROOMS && !self.rooms.contains_key(name) {
            tracing::debug!("asterisk: the server has more conferences than are followed");
            return None;
        }
        Some(self.rooms.entry(name.to_owned()).or_default())
    }

    fn join(&mut self, name: &str, uniqueid: String, ours: bool) -> Vec<SipEvent> {
        let all: usize = self.rooms.values().map(|room| room.members.len()).sum();
        if uniqueid.is_empty() || uniqueid.len() > MAX_UNIQUEID || all >= MAX_ALL_MEMBERS {
            return Vec::new();
        }
        let Some(room) = self.room(name) else {
            return Vec::new();
        };
        if room.members.is_empty() {
            room.ours = ours;
        }
        if room.members.len() >= MAX_MEMBERS || !room.members.insert(uniqueid) {
            return Vec::new();
        }
        vec![changed(name, room.members.len())]
    }

    fn leave(&mut self, name: &str, uniqueid: &str) -> Vec<SipEvent> {
        let Some(room) = self.rooms.get_mut(name) else {
            return Vec::new();
        };
        if !room.members.remove(uniqueid) {
            return Vec::new();
        }
        vec![changed(name, room.members.len())]
    }

    fn end(&mut self, name: &str) -> Vec<SipEvent> {
        let Some(mut room) = self.rooms.remove(name) else {
            return Vec::new();
        };
        let mut out: Vec<_> = room.records(false).into_iter().collect();
        if !room.members.is_empty() {
            out.push(changed(name, 0));
        }
        out
    }

    /// Notes a change of who is where, for a list that is being asked for.
    fn note(&mut self, name: &str) {
        if let Some(changed) = self.changed.as_mut().filter(|it| it.len() < MAX_ROOMS) {
            changed.insert(name.to_owned());
        }
    }

    /// Whether an event told of it since the lists began, or since this was asked.
    fn has_changed(&mut self, name: &str) -> bool {
        let changed = self.changed.as_mut();
        changed.is_some_and(|changed| changed.len() >= MAX_ROOMS || changed.remove(name))
    }

    /// Takes over the members that the server's list shows.
    fn take_over(&mut self, name: &str, members: HashSet<String>) -> Vec<SipEvent> {
        if members.is_empty() {
            return self.end(name);
        }
        let others = self.rooms.iter().filter(|(other, _)| *other != name);
        let others: usize = others.map(|(_, room)| room.members.len()).sum();
        if others + members.len() > MAX_ALL_MEMBERS {
            return Vec::new();
        }
        let Some(room) = self.room(name) else {
            return Vec::new();
        };
        if room.members == members {
            return Vec::new();
        }
        room.members = members;
        room.asked.clear();
        vec![changed(name, room.members.len())]
    }

    /// Ends those that the server did not list, but for those that began since.
    fn end_others(&mut self, listed: &HashSet<String>) -> Vec<SipEvent> {
        let gone = self.rooms.keys().filter(|name| !listed.contains(*name));
        let gone: Vec<_> = gone.cloned().collect();
        let mut out = Vec::new();
        for name in gone {
            if !self.has_changed(&name) {
                out.extend(self.end(&name));
            }
        }
        out
    }
}

/// Whether two names are of one conference.
pub(super) fn same(one: &str, two: &str) -> bool {
    one.eq_ignore_ascii_case(two)
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

impl Books {
    /// `ConfbridgeJoin`, `Leave`, `End` and their like (`05_confbridge`).
    pub(super) fn conference_event(&mut self, event: &Message) -> Vec<SipEvent> {
        let text = |header: &str| event.get_str(header).unwrap_or_default();
        let name = text("Conference");
        if name.is_empty() || name.len() > MAX_NAME {
            return Vec::new();
        }
        let rooms = &mut self.conferences;
        let kind = event.event().map(<[u8]>::to_ascii_lowercase);
        let kind = kind.as_deref();
        if let Some(b"confbridgejoin" | b"confbridgeleave" | b"confbridgeend") = kind {
            rooms.note(&name);
        }
        match kind {
            Some(b"confbridgejoin") => {
                let ours = self.moves.context.as_deref() == Some(&text("Context"));
                let ours = ours && text("Exten") == CONFERENCE;
                rooms.join(&name, text("Uniqueid").into_owned(), ours)
            }
            Some(b"confbridgeleave") => rooms.leave(&name, &text("Uniqueid")),
            Some(b"confbridgeend") => rooms.end(&name),
            Some(b"confbridgerecord") => {
                let room = rooms.rooms.get_mut(&*name);
                room.and_then(|room| room.records(true))
                    .into_iter()
                    .collect()
            }
            Some(b"confbridgestoprecord") => {
                let room = rooms.rooms.get_mut(&*name);
                room.and_then(|room| room.records(false))
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The conferences of the server. `None` for an account that may not ask.
pub(super) async fn listed(
    server: &Server,
    operation: &'static str,
) -> Result<Option<Vec<ListedRoom>>> {
    let question = action("ConfbridgeListRooms", &[], operation)?;
    let Some(reply) = list(server.ask(question, operation).await?, operation)? else {
        return Ok(None);
    };
    let room = |event: &Message| {
        Some(ListedRoom {
            name: event.get_str("Conference")?.into_owned(),
            locked: event.get_str("Locked")?.eq_ignore_ascii_case("yes"),
        })
    };
    Ok(Some(reply.events.iter().filter_map(room).collect()))
}

/// The `Uniqueid`s of the members of a conference.
pub(super) async fn members(
    server: &Server,
    room: &str,
    operation: &'static str,
) -> Result<Option<HashSet<String>>> {
    let question = action("ConfbridgeList", &[("Conference", room)], operation)?;
    let Some(reply) = list(server.ask(question, operation).await?, operation)? else {
        return Ok(None);
    };
    let members = reply.events.iter();
    let members = members.filter_map(|event| Some(event.get_str("Uniqueid")?.into_owned()));
    let members = members.filter(|it| !it.is_empty() && it.len() <= MAX_UNIQUEID);
    Ok(Some(members.take(MAX_MEMBERS).collect()))
}

/// An empty list is an error to the server (`05_confbridge`).
fn list(reply: Reply, operation: &'static str) -> Result<Option<Reply>> {
    let text = reply.message().unwrap_or_default().to_ascii_lowercase();
    let empty =
        text.contains("no active conferences") || text.contains("no conference by that name");
    if reply.is_success() || empty {
        return Ok(Some(reply));
    }
    let error = refusal(&reply, operation);
    match error.kind() {
        // Or the module is not loaded.
        ErrorKind::PermissionDenied | ErrorKind::ServerBusy => Ok(None),
        _ => Err(error),
    }
}

/// Makes good what was missed: asks for all conferences, and tells of those that changed.
pub(super) async fn refresh(core: &Core, server: &Server) -> Result<()> {
    core.state().books.conferences.changed = Some(HashSet::new());
    let done = ask_for_all(core, server).await;
    core.state().books.conferences.changed = None;
    match done {
        // It will not say.
        Err(error) if error.kind() == ErrorKind::Rejected => Ok(()),
        Ok(false) => {
            tracing::warn!(
                "asterisk: conferences are too many, or change too fast, to be listed; their members may be wrong"
            );
            Ok(())
        }
        done => done.map(drop),
    }
}

/// Answers whether all are known now.
async fn ask_for_all(core: &Core, server: &Server) -> Result<bool> {
    let end = core.clock.now() + REFRESH;
    let Some(rooms) = listed(server, CONNECT).await? else {
        return Ok(true);
    };
    let names = rooms.into_iter().map(|room| room.name);
    let names: HashSet<String> = names.filter(|name| name.len() <= MAX_NAME).collect();
    core.events(|state, _| state.books.conferences.end_others(&names));
    let mut all = names.len() <= MAX_ROOMS;
    for name in names.iter().take(MAX_ROOMS) {
        if core.clock.now() >= end {
            return Ok(false);
        }
        all &= ask_for_one(core, server, name).await?;
    }
    Ok(all)
}

async fn ask_for_one(core: &Core, server: &Server, name: &str) -> Result<bool> {
    for _ in 0..TRIES {
        core.state().books.conferences.has_changed(name);
        let Some(members) = members(server, name, CONNECT).await? else {
            return Ok(true);
        };
        let done = core.change(|state, _| {
            let rooms = &mut state.books.conferences;
            if rooms.has_changed(name) {
                (false, Vec::new())
            } else {
                (true, rooms.take_over(name, members))
            }
        });
        if done {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[path = "rooms_tests.rs"]
mod tests;
