//! The conferences of the server and who is in them, of ours and of others. Sans-IO, but for the
//! question that makes good a gap.

use std::collections::{BTreeMap, HashSet, VecDeque};

use faxbot_core::{ErrorKind, Private, Result, sip::SipEvent};

use super::{
    books::Books,
    core::Core,
    dialplan::CONFERENCE,
    request::action,
    server::{Server, refusal},
};
use crate::protocol::ami::{Message, Reply};

/// How many conferences are followed, and how many members of each. Others are left out.
const MAX_ROOMS: usize = 1000;
const MAX_MEMBERS: usize = 1000;

/// How many recordings of one conference are asked for at once; more are told without their file.
const MAX_ASKED: usize = 16;

/// How often the members are asked for anew while they change.
const TRIES: usize = 5;

/// The conferences of the server and who is in them.
#[derive(Debug, Default)]
pub(super) struct Conferences {
    rooms: BTreeMap<String, Room>,
    /// Changes with each event.
    version: u64,
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
        let room = self.rooms.get(room);
        room.is_some_and(|room| room.members.contains(uniqueid))
    }

    /// A recording is about to be asked for. Several may be at once; all but one will be refused.
    pub(super) fn will_record(&mut self, room: &str, file: &str) {
        if let Some(room) = self.rooms.get_mut(room).filter(|room| room.ours) {
            if room.asked.len() >= MAX_ASKED {
                room.asked.pop_front();
            }
            room.asked.push_back(file.to_owned());
        }
    }

    /// It was refused.
    pub(super) fn not_recorded(&mut self, room: &str, file: &str) {
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

    /// Takes over what the server's lists show.
    fn take_over(&mut self, listed: Vec<(String, HashSet<String>)>) -> Vec<SipEvent> {
        let names: HashSet<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
        let gone = self
            .rooms
            .keys()
            .filter(|name| !names.contains(name.as_str()));
        let gone: Vec<_> = gone.cloned().collect();
        let mut out: Vec<_> = gone.iter().flat_map(|name| self.end(name)).collect();
        for (name, members) in listed {
            let Some(room) = self.room(&name) else {
                continue;
            };
            if room.members != members {
                room.members = members;
                room.asked.clear();
                out.push(changed(&name, room.members.len()));
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

impl Books {
    /// `ConfbridgeJoin`, `Leave`, `End` and their like (`05_confbridge`).
    pub(super) fn conference_event(&mut self, event: &Message) -> Vec<SipEvent> {
        let text = |header: &str| event.get_str(header).unwrap_or_default();
        let name = text("Conference");
        if name.is_empty() {
            return Vec::new();
        }
        let rooms = &mut self.conferences;
        rooms.version = rooms.version.wrapping_add(1);
        match event.event().map(<[u8]>::to_ascii_lowercase).as_deref() {
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
    const OPERATION: &str = "connect";
    for _ in 0..TRIES {
        let before = core.state().books.conferences.version;
        let Some(rooms) = listed(server, OPERATION).await? else {
            return Ok(());
        };
        let mut all = Vec::new();
        for room in rooms.into_iter().take(MAX_ROOMS) {
            let Some(members) = members(server, &room.name, OPERATION).await? else {
                return Ok(());
            };
            all.push((room.name, members));
        }
        let done = core.change(|state, _| {
            // An event may be newer than the lists, so they are only taken over where none came.
            if state.books.conferences.version == before {
                (true, state.books.conferences.take_over(all))
            } else {
                (false, Vec::new())
            }
        });
        if done {
            return Ok(());
        }
    }
    tracing::warn!(
        "asterisk: conferences change too fast to be listed; their members may be wrong"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::protocol::{
        ami::{AmiCodec, MAX_MESSAGE, Role},
        session::Codec as _,
    };

    fn counts(events: &[SipEvent]) -> Vec<usize> {
        let count = |event: &SipEvent| match event {
            SipEvent::ConferenceChanged { members, .. } => Some(*members),
            _ => None,
        };
        events.iter().filter_map(count).collect()
    }

    fn message(name: &str, headers: &[(&str, &str)]) -> Message {
        let start = "Asterisk Call Manager/11.0.0\r\n";
        let mut text =
            format!("{start}Event: {name}\r\nConference: standup\r\nBridgeNumChannels: 7\r\n");
        for (header, value) in headers {
            text += &format!("{header}: {value}\r\n");
        }
        text += "\r\n";
        let mut bytes = BytesMut::from(text.as_str());
        let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
        codec.decode(&mut bytes).unwrap().unwrap();
        codec.decode(&mut bytes).unwrap().unwrap()
    }

    fn books() -> Books {
        let mut books = Books::new();
        books.moves.context = Some("faxbot-faxbot".to_owned());
        books
    }

    #[test]
    fn members_are_counted_by_their_channels() {
        let mut books = books();
        let mut events = Vec::new();
        for (name, channel) in [
            ("ConfbridgeJoin", "1.1"),
            ("ConfbridgeJoin", "1.2"),
            ("ConfbridgeJoin", "1.2"),
            ("ConfbridgeMute", "1.2"),
            ("ConfbridgeLeave", "1.1"),
            ("ConfbridgeLeave", "1.9"),
            ("ConfbridgeLeave", "1.2"),
            ("ConfbridgeEnd", ""),
        ] {
            events.extend(books.conference_event(&message(name, &[("Uniqueid", channel)])));
        }
        assert_eq!(counts(&events), [1, 2, 1, 0]);
        assert!(books.conferences.list().is_empty());
    }

    #[test]
    fn a_conference_that_ends_at_once_has_nobody() {
        let mut books = books();
        books.conference_event(&message("ConfbridgeJoin", &[("Uniqueid", "1.1")]));
        let events = books.conference_event(&message("ConfbridgeEnd", &[]));
        assert_eq!(counts(&events), [0]);
    }

    #[test]
    fn a_recording_has_its_file_where_the_name_is_known() {
        let ours = [("Context", "faxbot-faxbot"), ("Exten", "conference")];
        for (came_by, known) in [(&ours[..], true), (&[][..], false)] {
            let mut books = books();
            let mut headers = vec![("Uniqueid", "1.1")];
            headers.extend_from_slice(came_by);
            books.conference_event(&message("ConfbridgeJoin", &headers));
            books.conferences.will_record("standup", "refused.wav");
            books.conferences.will_record("standup", "a.wav");
            books.conferences.will_record("standup", "late.wav");
            books.conferences.not_recorded("standup", "refused.wav");
            for (name, runs) in [("ConfbridgeRecord", true), ("ConfbridgeStopRecord", false)] {
                let events = books.conference_event(&message(name, &[]));
                let [SipEvent::RecordingChanged { running, file, .. }] = &events[..] else {
                    panic!("{events:?}");
                };
                let file = file.as_ref().map(|file| file.expose().as_str());
                assert_eq!((*running, file), (runs, known.then_some("a.wav")));
            }
            assert!(
                books
                    .conference_event(&message("ConfbridgeStopRecord", &[]))
                    .is_empty()
            );
        }
    }

    #[test]
    fn a_recording_ends_with_its_conference() {
        let mut books = books();
        books.conference_event(&message("ConfbridgeJoin", &[("Uniqueid", "1.1")]));
        books.conference_event(&message("ConfbridgeRecord", &[]));
        books.conference_event(&message("ConfbridgeLeave", &[("Uniqueid", "1.1")]));
        let events = books.conference_event(&message("ConfbridgeEnd", &[]));
        assert!(matches!(
            &events[..],
            [SipEvent::RecordingChanged { running: false, .. }]
        ));
    }

    #[test]
    fn what_a_server_makes_grow_is_bounded() {
        let mut conferences = Conferences::default();
        for number in 0..=MAX_ROOMS {
            conferences.join(&format!("room-{number}"), "1.1".to_owned(), false);
        }
        for number in 0..=MAX_MEMBERS {
            conferences.join("room-0", format!("2.{number}"), false);
        }
        assert_eq!(conferences.rooms.len(), MAX_ROOMS);
        assert_eq!(conferences.rooms["room-0"].members.len(), MAX_MEMBERS);
    }

    #[test]
    fn lists_after_a_gap_tell_only_of_what_changed() {
        let mut conferences = Conferences::default();
        conferences.join("same", "1.1".to_owned(), false);
        conferences.join("gone", "1.2".to_owned(), false);
        let set = |members: &[&str]| members.iter().map(|it| (*it).to_owned()).collect();
        let listed = vec![
            ("same".to_owned(), set(&["1.1"])),
            ("new".to_owned(), set(&["1.3", "1.4"])),
        ];
        let events = conferences.take_over(listed);
        assert_eq!(counts(&events), [0, 2]);
        assert!(conferences.has("new", "1.4") && !conferences.has("gone", "1.2"));
    }
}
