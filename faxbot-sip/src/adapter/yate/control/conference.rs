//! Conferences: calls join them, and orders for them.
//!
//! Yate cannot lock a conference. It has neither a list of those that may join nor a way to change how
//! many may.

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    id::CallRef,
    sip::{CallState, ConferenceAction, ConferenceRequest},
};
use uuid::Uuid;

use super::{
    super::{
        core::{Core, HANGUP},
        server::{Server, message},
    },
    Partner, orders, place,
    rooms::{HOLD, MAX_NAME, MEMBER},
};
use crate::adapter::claim::Claim;

const OPERATION: &str = "conference";

/// How long the message may take that a channel is in the conference that the server said it is in.
const JOIN: Duration = Duration::from_secs(2);

pub(in crate::adapter::yate) async fn conference(
    core: &Core,
    server: &Server,
    request: ConferenceRequest,
) -> Result<()> {
    let room = request.conference.as_str();
    check_name(room)?;
    match &request.action {
        ConferenceAction::Join(call) => join(core, server, room, call).await,
        ConferenceAction::Mute(call, muted) => {
            let member = member(core, room, call)?;
            orders::mute(server, &member, *muted, OPERATION).await
        }
        ConferenceAction::Kick(call) => {
            let member = member(core, room, call)?;
            server.hang_up(&member, HANGUP).await
        }
        ConferenceAction::Lock(_) => {
            members(server, room).await?;
            Err(Error::unsupported(OPERATION))
        }
        ConferenceAction::Record(true) => record(core, server, room).await,
        ConferenceAction::Record(false) => {
            members(server, room).await?;
            set_recording(server, room, "-").await
        }
        ConferenceAction::End => {
            for member in members(server, room).await? {
                match server.hang_up(&member, HANGUP).await {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
            Ok(())
        }
        _ => Err(Error::unsupported(OPERATION)),
    }
}

fn check_name(room: &str) -> Result<()> {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let fits = (1..=MAX_NAME).contains(&room.len()) && room.chars().all(known);
    if fits && !room.starts_with(HOLD) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidRequest,
        OPERATION,
        "the name of a conference has 1 to 79 letters, digits, - and _",
    ))
}

/// The channels that are in a conference, of ours and of others.
async fn members(server: &Server, room: &str) -> Result<Vec<String>> {
    let list = server.items("conf", OPERATION).await?;
    let list = list.into_iter().filter(|seat| seat.address == room);
    let members = list.filter_map(|seat| seat.leg.joined);
    let members: Vec<_> = members.filter(|it| !it.starts_with("wave/")).collect();
    if members.is_empty() {
        let text = "no such conference";
        return Err(Error::new(ErrorKind::NotFound, OPERATION, text));
    }
    Ok(members)
}

/// The channel of a call that is in a conference.
fn member(core: &Core, room: &str, call: &CallRef) -> Result<String> {
    let state = core.hub.state();
    let books = &state.books;
    let own = books.find(call).and_then(|id| books.own_channel(id));
    // A channel of the call, if one is named: the party that it talked with joined too.
    let native = call.native.as_ref().map(ToString::to_string);
    let member = native.or(own);
    let member = member.filter(|member| books.orders.rooms.has(room, member));
    member.ok_or_else(|| {
        let text = "the call is not in the conference";
        Error::new(ErrorKind::NotFound, OPERATION, text)
    })
}

async fn record(core: &Core, server: &Server, room: &str) -> Result<()> {
    let Some(directory) = &core.config.recordings else {
        return Err(Error::new(
            ErrorKind::Config,
            OPERATION,
            "set options.recordings to record conferences",
        ));
    };
    members(server, room).await?;
    // A name of our own: that of the conference may be a name of a person.
    let instance = &core.config.instance;
    let file = format!(
        "{directory}/faxbot-{instance}-conference-{}.au",
        Uuid::new_v4()
    );
    core.hub.state().books.orders.rooms.will_record(room, &file);
    let done = set_recording(server, room, &format!("wave/record/{file}")).await;
    if done
        .as_ref()
        .is_err_and(|error| error.effect() == Effect::NoEffect)
    {
        core.hub
            .state()
            .books
            .orders
            .rooms
            .not_recorded(room, &file);
    }
    done
}

async fn set_recording(server: &Server, room: &str, target: &str) -> Result<()> {
    let room = format!("conf/{room}");
    let params = [("room", room.as_str()), ("record", target)];
    let command = message("call.conference", &params, OPERATION)?;
    server.order(command, OPERATION).await.map(drop)
}

/// Connects our channel, and the one that it is connected or held with, to the conference.
async fn join(core: &Core, server: &Server, room: &str, call: &CallRef) -> Result<()> {
    let mut claim = Claim::new(&core.hub, OPERATION);
    let (id, was) = claim.take(call)?;
    let done = async {
        let (own, partner) = place(core, server, id, OPERATION).await?;
        let held = core.hub.state().books.orders.held(id).cloned();
        let held = held.and_then(|held| held.other);
        let target = format!("conf/{room}");
        match partner {
            Partner::Party(_) => {
                orders::both_to_room(server, &own, room, &MEMBER, OPERATION).await?;
            }
            Partner::Room(_) if core.hub.state().books.orders.rooms.has(room, &own) => {}
            _ => orders::send_to(server, &own, &target, &MEMBER, OPERATION).await?,
        }
        if let Some(other) = &held {
            orders::send_to(server, other, &target, &MEMBER, OPERATION).await?;
        }
        core.hub.events(|state, now| {
            let books = &mut state.books;
            let with = held.as_deref().and_then(|other| books.own_call(other));
            let mut out = Vec::new();
            for id in std::iter::once(id).chain(with) {
                books.orders.of(id).held = None;
                out.extend(books.joined(id, None, now));
                if was == CallState::OnHold {
                    out.extend(books.shift(id, CallState::Connected, now));
                }
            }
            out
        });
        let has = core.hub.until(JOIN, |state| {
            state.books.orders.rooms.has(room, &own).then_some(())
        });
        match has.await {
            Some(()) => Ok(()),
            None => super::rooms::refresh(core, server, OPERATION).await,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_target_could_misread_is_refused() {
        let long = "a".repeat(MAX_NAME);
        for good in ["8000", "Stand-Up_2", &long] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(MAX_NAME + 1);
        let held = format!("{HOLD}1");
        for bad in ["", "a b", "a/b", "ü", "a\r\nb", &longer, &held] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
