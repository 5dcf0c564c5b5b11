//! The conferences of FreeSWITCH (`mod_conference`): its events, and the one question that makes good
//! a gap.

use std::collections::HashSet;

use faxbot_core::{Error, ErrorKind, Result, sip::SipEvent};
use serde::Deserialize;

use super::{core::Core, server::Server, state::Desk};
use crate::{
    adapter::{
        books::Leg,
        calls::Now,
        rooms::{MAX_MEMBERS, MAX_ROOMS, Names},
    },
    protocol::esl::Event,
};

/// The subclass of all events of conferences.
pub(super) const MAINTENANCE: &str = "conference::maintenance";

/// What happens in a conference that is of no use to anybody here, and is most of what its events are:
/// the actions that the diet leaves at the server (recording `04_conference`).
pub(super) const CHATTER: &[&str] = &[
    "start-talking",
    "stop-talking",
    "floor-change",
    "energy-level",
    "energy-level-member",
    "volume-level",
    "gain-level",
    "volume-in-member",
    "volume-out-member",
    "mute-detect",
    "play-file",
    "play-file-done",
    "play-file-member",
    "play-file-member-done",
    "dtmf",
    "dtmf-member",
];

/// The hash of conferences tells capitals apart (`conference_find` in `conference_member.c`). A name of
/// a conference of ours is shorter; others' may have any.
pub(super) const NAMES: Names = Names {
    ignores_case: false,
    longest_room: 255,
    longest_member: 255,
};

/// The variable that tells a channel which was not let in when it parks.
pub(super) const BEHIND: &str = "faxbot_conference";

/// A conference of the server's list. Fields that are not here are not needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Room {
    conference_name: String,
    pub(super) locked: bool,
    pub(super) recording: bool,
    pub(super) members: Vec<Member>,
}

/// A member of it. What plays or records is one too, without a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Member {
    pub(super) id: u32,
    pub(super) uuid: String,
}

impl Desk {
    /// An event of a conference (recording `04_conference`).
    pub(super) fn conference_told(&mut self, event: &Event<'_>, now: Now) -> Vec<SipEvent> {
        let text = |header: &str| event.text(header).unwrap_or_default();
        let name = text("Conference-Name");
        if name.is_empty() || name.len() > NAMES.longest_room {
            return Vec::new();
        }
        let uuid = text("Unique-ID");
        match &*text("Action") {
            "add-member" => self.rooms.join(&name, &uuid, true),
            "del-member" => self.rooms.leave(&name, &uuid),
            "conference-destroy" => self.rooms.end(&name),
            "start-recording" => {
                self.rooms.will_record(&name, &text("Path"));
                self.rooms.records(&name, true)
            }
            "stop-recording" => self.rooms.records(&name, false),
            // Behind the conference it would wait in `park`; who is sent away is to be gone.
            "kick-member" | "hup-member" => {
                if let Some(Leg::Own(id)) = self.leg(&uuid) {
                    self.hang_up_when_there(id, now);
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// A channel parks behind a conference that it was sent to: it was not let in, or left.
    pub(super) fn parked_behind(&mut self, event: &Event<'_>) {
        let Some(mark) = event.text(&format!("variable_{BEHIND}")) else {
            return;
        };
        if let Some(refused) = self.joins.get_mut(&*mark) {
            *refused = true;
        }
    }
}

/// The conferences of the server, with their members. `None` for an account that may not ask, and
/// where the module is not loaded.
pub(super) async fn listed(server: &Server, operation: &'static str) -> Result<Option<Vec<Room>>> {
    read(
        server.api("conference", "json_list", operation).await,
        operation,
    )
}

/// One conference; `None` where there is none of that name, or for an account that may not ask.
pub(super) async fn one(
    server: &Server,
    name: &str,
    operation: &'static str,
) -> Result<Option<Room>> {
    let answer = server
        .api("conference", &format!("{name} json_list"), operation)
        .await;
    let rooms = read(answer, operation)?.unwrap_or_default();
    Ok(rooms.into_iter().find(|room| room.conference_name == name))
}

fn read(answer: Result<String>, operation: &'static str) -> Result<Option<Vec<Room>>> {
    let text = match answer {
        Ok(text) => text,
        Err(error) if is_absent(&error) => return Ok(Some(Vec::new())),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ServerBusy
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if text.starts_with("+OK No active conferences") {
        return Ok(Some(Vec::new()));
    }
    let rooms = serde_json::from_str(&text).map_err(|source| {
        let message = "the list of conferences is not the JSON that FreeSWITCH writes";
        Error::new(ErrorKind::Protocol, operation, message).with_source(source)
    })?;
    Ok(Some(rooms))
}

/// `-ERR Conference x not found`.
pub(super) fn is_absent(error: &Error) -> bool {
    let native = error.native_text().unwrap_or_default();
    native.starts_with("-ERR Conference ") && native.ends_with(" not found")
}

/// Makes good what was missed: asks for all conferences, and tells of those that changed.
pub(super) async fn refresh(core: &Core, server: &Server) -> Result<()> {
    if !core.hub.state().books.abilities.conference {
        return Ok(());
    }
    core.hub.state().books.rooms.is_being_listed();
    let listed = listed(server, "connect").await;
    core.hub.events(|state, _| {
        let out = match &listed {
            Ok(Some(listed)) => taken_over(&mut state.books, listed),
            _ => Vec::new(),
        };
        state.books.rooms.is_listed();
        out
    });
    match listed {
        // It will not say.
        Err(error) if error.kind() == ErrorKind::Rejected => Ok(()),
        listed => listed.map(drop),
    }
}

fn taken_over(desk: &mut Desk, listed: &[Room]) -> Vec<SipEvent> {
    let names = listed.iter().map(|room| room.conference_name.clone());
    let names: HashSet<String> = names.collect();
    let mut out = desk.rooms.end_others(&names);
    for room in listed.iter().take(MAX_ROOMS) {
        // An event that came since is newer than the list.
        if desk.rooms.has_changed(&room.conference_name) {
            continue;
        }
        let members = room.members.iter().map(|member| member.uuid.clone());
        let members = members.filter(|uuid| NAMES.is_member(uuid));
        let members = members.take(MAX_MEMBERS).collect();
        out.extend(desk.rooms.take_over(&room.conference_name, members));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_what_is_no_list_says_so() {
        // 04_conference, shortened.
        let text = r#"[{"conference_name":"room1","member_count":2,"locked":true,"recording":true,
            "members":[{"type":"caller","id":2,"flags":{"can_hear":true},"uuid":"u2"},
            {"type":"recording_node","id":3}]}]"#;
        let rooms = read(Ok(text.to_owned()), "conference").unwrap().unwrap();
        assert_eq!(rooms.len(), 1);
        assert!(rooms[0].locked && rooms[0].recording);
        assert_eq!(rooms[0].members[0].uuid, "u2");
        assert_eq!(rooms[0].members[1].uuid, "");
        let none = read(Ok("+OK No active conferences.".to_owned()), "conference");
        assert_eq!(none.unwrap(), Some(Vec::new()));
        let error = read(Ok("[{".to_owned()), "conference").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }
}
