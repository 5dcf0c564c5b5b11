//! Orders to conferences.

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::{CallState, ConferenceAction, ConferenceRequest},
};
use uuid::Uuid;

use super::{
    control::own_channel,
    core::Core,
    rooms::{self, BEHIND, Room},
    server::Server,
};
use crate::adapter::claim::Claim;

const OPERATION: &str = "conference";

/// How long a channel may take to join: some milliseconds.
const JOIN: Duration = Duration::from_secs(10);

/// The longest name of a conference of ours.
const MAX_NAME: usize = 79;

/// What `conference` takes for a command where a name is expected (`conference_api_sub_*` without a
/// conference).
const COMMANDS: [&str; 4] = ["list", "json_list", "xml_list", "count"];

/// Carries out an order to a conference.
pub(super) async fn conference(
    core: &Core,
    server: &Server,
    request: ConferenceRequest,
) -> Result<()> {
    let room = request.conference.as_str();
    check_name(room)?;
    match &request.action {
        ConferenceAction::Join(call) => join(core, server, room, call).await,
        ConferenceAction::Mute(call, muted) => {
            let uuid = channel(core, call)?;
            let id = member(server, room, &uuid).await?;
            let word = if *muted { "mute" } else { "unmute" };
            order(server, room, &format!("{word} {id}")).await.map(drop)
        }
        ConferenceAction::Kick(call) => {
            let uuid = channel(core, call)?;
            member(server, room, &uuid).await?;
            // By `kick` it would hear so and then wait in `park`.
            server
                .hang_up(&uuid, None)
                .await
                .map_err(|error| error.with_operation(OPERATION))
        }
        ConferenceAction::Lock(true) => order(server, room, "lock").await.map(drop),
        ConferenceAction::Lock(false) => order(server, room, "unlock").await.map(drop),
        ConferenceAction::Record(true) => {
            if there(server, room).await?.recording {
                return Err(state("the conference is being recorded already"));
            }
            let Some(file) = recording(core) else {
                return Err(state(
                    "the server did not tell its directory of recordings; set options.recordings",
                ));
            };
            order(server, room, &format!("record {file}"))
                .await
                .map(drop)
        }
        ConferenceAction::Record(false) => {
            there(server, room).await?;
            let told = order(server, room, "norecord all").await?;
            // It counts wrong, but names what it stopped (recording `04_conference`).
            if told.contains("Stopped recording file") {
                Ok(())
            } else {
                Err(state("the conference is not being recorded"))
            }
        }
        ConferenceAction::End => end(core, server, room).await,
        _ => Err(Error::unsupported(OPERATION)),
    }
}

/// A name of our own: that of the conference may be a name of a person.
fn recording(core: &Core) -> Option<String> {
    let directory = core.hub.state().books.abilities.recordings.clone()?;
    let instance = &core.config.instance;
    let file = format!("faxbot-{instance}-conference-{}.wav", Uuid::new_v4());
    Some(format!("{directory}/{file}"))
}

/// The channel that a request names: one of the call, or the call's own.
fn channel(core: &Core, call: &CallRef) -> Result<String> {
    let state = core.hub.state();
    let named = call.native.clone().filter(|it| Uuid::try_parse(it).is_ok());
    let own = || state.books.own_channel(state.books.find(call)?);
    named
        .or_else(own)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, OPERATION, "no such call in the books"))
}

/// The number of a channel in the conference.
async fn member(server: &Server, room: &str, uuid: &str) -> Result<u32> {
    let room = there(server, room).await?;
    let found = room.members.iter().find(|member| member.uuid == uuid);
    found.map(|member| member.id).ok_or_else(|| {
        let message = "the call is not in the conference";
        Error::new(ErrorKind::NotFound, OPERATION, message)
    })
}

async fn there(server: &Server, room: &str) -> Result<Room> {
    let found = rooms::one(server, room, OPERATION).await?;
    found.ok_or_else(|| Error::new(ErrorKind::NotFound, OPERATION, "no such conference"))
}

/// An order to a conference, with its refusals by their words (`mod_conference.c`,
/// `conference_api.c`; recording `04_conference`).
async fn order(server: &Server, room: &str, what: &str) -> Result<String> {
    let done = server
        .api("conference", &format!("{room} {what}"), OPERATION)
        .await;
    done.map_err(|error| {
        let text = error.native_text().unwrap_or_default().to_owned();
        let (kind, message) = if rooms::is_absent(&error) {
            (ErrorKind::NotFound, "no such conference")
        } else if text.starts_with("-ERR Non-Existant ID") {
            (ErrorKind::NotFound, "the call is not in the conference")
        } else {
            return error;
        };
        Error::new(kind, OPERATION, message).with_native(None, Some(text))
    })
}

/// Sends everybody away. Channels of ours end: behind the conference they would wait in `park`;
/// others' go on as their dialplan says.
async fn end(core: &Core, server: &Server, room: &str) -> Result<()> {
    let members = there(server, room).await?.members;
    order(server, room, "hup all").await?;
    for member in members {
        let ours = core.hub.state().books.leg(&member.uuid).is_some();
        if !ours {
            continue;
        }
        match server.hang_up(&member.uuid, None).await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error.with_operation(OPERATION));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_name(room: &str) -> Result<()> {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let is_command = COMMANDS.iter().any(|word| room.eq_ignore_ascii_case(word));
    if (1..=MAX_NAME).contains(&room.len()) && room.chars().all(known) && !is_command {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidRequest,
        OPERATION,
        "the name of a conference has 1 to 79 letters, digits, - and _, and is no command (list, json_list, xml_list, count)",
    ))
}

fn state(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidState, OPERATION, message)
}

fn locked() -> Error {
    let message = "the conference is locked";
    Error::new(ErrorKind::Rejected, OPERATION, message)
}

/// What is moved.
struct Place {
    own: String,
    /// The channel that it talks with.
    other: Option<String>,
}

/// Sends our channel, and the one that it talks with, to the conference.
async fn join(core: &Core, server: &Server, room: &str, call: &CallRef) -> Result<()> {
    let mut claim = Claim::new(&core.hub, OPERATION);
    let (id, was) = claim.take(call)?;
    let done = async {
        let here = own_channel(core, server, id, OPERATION).await?;
        let here = Place {
            own: here.uuid,
            other: here.joined,
        };
        if core.hub.state().books.rooms.has(room, &here.own) {
            return Ok(());
        }
        // Asked before, so that a call that talks is not moved for nothing.
        let listed = rooms::one(server, room, OPERATION).await?;
        if listed.is_some_and(|room| room.locked) {
            return Err(locked());
        }
        enter(core, server, room, id, was, &here).await
    };
    let done = done.await.map_err(|error: Error| error.with_call_id(id));
    if done
        .as_ref()
        .is_err_and(|error| error.effect() == Effect::Unknown)
    {
        claim.unsure();
    }
    done
}

/// A join that waits for what becomes of it; the mark goes when this is dropped.
struct Joining<'a> {
    core: &'a Core,
    mark: String,
}

impl<'a> Joining<'a> {
    fn new(core: &'a Core) -> Self {
        let mark = Uuid::new_v4().simple().to_string();
        core.hub.state().books.joins.insert(mark.clone(), false);
        Self { core, mark }
    }
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        self.core.hub.state().books.joins.remove(&self.mark);
    }
}

async fn enter(
    core: &Core,
    server: &Server,
    room: &str,
    id: CallId,
    was: CallState,
    here: &Place,
) -> Result<()> {
    let joining = Joining::new(core);
    // A lock is for channels that came in only, without this (`mod_conference.c`, 2096).
    for channel in [Some(&here.own), here.other.as_ref()].into_iter().flatten() {
        let set = server
            .set_variable(channel, "conference_enforce_security", "true", OPERATION)
            .await;
        match set {
            // The party may have left at this moment.
            Err(error) if error.kind() == ErrorKind::NotFound && channel != &here.own => {}
            set => set?,
        }
    }
    let profile = &core.config.conference_profile;
    let both = if here.other.is_some() { "-both " } else { "" };
    let plan = format!(
        "conference:{room}@{profile},set:{BEHIND}={},park",
        joining.mark
    );
    let words = format!("{} {both}{plan} inline", here.own);
    server.api("uuid_transfer", &words, OPERATION).await?;
    if was == CallState::OnHold {
        core.hub.events(|state, now| state.books.holds_not(id, now));
    }
    let heard = core.hub.until(JOIN, |state| {
        let books = &state.books;
        if books.rooms.has(room, &here.own) {
            return Some(Heard::Joined);
        }
        if books.joins.get(&joining.mark) == Some(&true) {
            return Some(Heard::Refused);
        }
        let up = books.lines.get(&id).is_some_and(|line| line.is_there());
        (!up).then_some(Heard::Ended)
    });
    match heard.await {
        Some(Heard::Joined) => Ok(()),
        Some(Heard::Refused) => {
            // As they were before.
            if let Some(other) = &here.other {
                let words = format!("{} {other}", here.own);
                server.api("uuid_bridge", &words, OPERATION).await?;
            }
            Err(locked())
        }
        Some(Heard::Ended) => Err(Error::new(
            ErrorKind::Rejected,
            OPERATION,
            "the call ended instead of joining",
        )),
        // An account that reads no events of calls sees none of it.
        None => match rooms::one(server, room, OPERATION).await {
            Ok(Some(found)) if found.members.iter().any(|it| it.uuid == here.own) => Ok(()),
            _ => Err(Error::new(
                ErrorKind::OutcomeUnknown,
                OPERATION,
                "the server did not tell that the call joined",
            )),
        },
    }
}

/// What became of a channel that was sent to a conference.
enum Heard {
    Joined,
    Refused,
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_server_could_misread_is_refused() {
        let long = "a".repeat(MAX_NAME);
        for good in ["8000", "Stand-Up_2", "lists", &long] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(MAX_NAME + 1);
        for bad in [
            "", "a b", "a,b", "a@b", "a+1", "${X}", "a/b", "ü", "a\r\nb", "list", "XML_list",
            "all:", &longer,
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
