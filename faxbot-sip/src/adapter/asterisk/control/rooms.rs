//! The conferences of Asterisk: its events, and the questions that make good a gap.

use std::{collections::HashSet, time::Duration};

use faxbot_core::{ErrorKind, Result, sip::SipEvent};

use super::super::{
    books::Books,
    core::Core,
    dialplan::CONFERENCE,
    request::action,
    server::{Server, refusal},
};
use crate::{
    adapter::rooms::{MAX_MEMBERS, MAX_ROOMS, Names},
    protocol::ami::{Message, Reply},
};

/// The longest name of a conference that Asterisk keeps (`MAX_CONF_NAME` of `app_confbridge`).
pub(crate) const MAX_NAME: usize = 79;

/// Members are `Uniqueid`s (`AST_MAX_UNIQUEID`), and not counted by `BridgeNumChannels`, which has those
/// of the server that announce and record. Capitals make no other name (`conference_bridge_cmp_cb` of
/// `app_confbridge`).
pub(crate) const NAMES: Names = Names {
    ignores_case: true,
    longest_room: MAX_NAME,
    longest_member: 149,
};

/// How often the members of a conference are asked for anew while they change.
const TRIES: usize = 5;

const CONNECT: &str = "connect";

/// How long all of them may take: nobody fails to connect because others confer.
const REFRESH: Duration = Duration::from_secs(5);

/// A conference of the server's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedRoom {
    pub(crate) name: String,
    pub(crate) locked: bool,
}

impl Books {
    /// `ConfbridgeJoin`, `Leave`, `End` and their like (`05_confbridge`).
    pub(crate) fn conference_event(&mut self, event: &Message) -> Vec<SipEvent> {
        let text = |header: &str| event.get_str(header).unwrap_or_default();
        let name = text("Conference");
        if name.is_empty() || name.len() > MAX_NAME {
            return Vec::new();
        }
        let rooms = &mut self.conferences;
        match event.event().map(<[u8]>::to_ascii_lowercase).as_deref() {
            Some(b"confbridgejoin") => {
                let ours = self.moves.context.as_deref() == Some(&text("Context"));
                let ours = ours && text("Exten") == CONFERENCE;
                rooms.join(&name, &text("Uniqueid"), ours)
            }
            Some(b"confbridgeleave") => rooms.leave(&name, &text("Uniqueid")),
            Some(b"confbridgeend") => rooms.end(&name),
            Some(b"confbridgerecord") => rooms.records(&name, true),
            Some(b"confbridgestoprecord") => rooms.records(&name, false),
            _ => Vec::new(),
        }
    }
}

/// The conferences of the server. `None` for an account that may not ask.
pub(crate) async fn listed(
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
pub(crate) async fn members(
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
    let members = members.filter(|it| NAMES.is_member(it));
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
pub(crate) async fn refresh(core: &Core, server: &Server) -> Result<()> {
    core.state().books.conferences.is_being_listed();
    let done = ask_for_all(core, server).await;
    core.state().books.conferences.is_listed();
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
