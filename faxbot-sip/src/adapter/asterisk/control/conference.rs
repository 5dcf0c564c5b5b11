//! Orders to conferences: `ConfBridge`.

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    id::CallRef,
    sip::{CallState, ConferenceAction, ConferenceRequest},
};
use uuid::Uuid;

use super::super::{
    core::Core,
    dialplan::{CONFERENCE, ROOM},
    request::action,
    server::{Server, refusal},
};
use super::{
    Claim, Place, place,
    rooms::{self, MAX_NAME},
    see_extension,
};

const OPERATION: &str = "conference";

/// How long a channel may take to join: some milliseconds, and the announcements that a conference of
/// others may play before.
const JOIN: Duration = Duration::from_secs(10);

pub(crate) async fn conference(
    core: &Core,
    server: &Server,
    request: ConferenceRequest,
) -> Result<()> {
    let room = request.conference.as_str();
    let order = async |name: &str, more: &[(&str, &str)]| order(server, name, room, more).await;
    match &request.action {
        ConferenceAction::Join(call) => join(core, server, room, call).await,
        ConferenceAction::Mute(call, muted) => {
            let name = if *muted {
                "ConfbridgeMute"
            } else {
                "ConfbridgeUnmute"
            };
            order(name, &[("Channel", &member(core, call)?)]).await
        }
        ConferenceAction::Kick(call) => {
            order("ConfbridgeKick", &[("Channel", &member(core, call)?)]).await
        }
        ConferenceAction::Lock(true) => order("ConfbridgeLock", &[]).await,
        ConferenceAction::Lock(false) => order("ConfbridgeUnlock", &[]).await,
        ConferenceAction::Record(true) => {
            let file = recording(core);
            core.state().books.conferences.will_record(room, &file);
            let done = order("ConfbridgeStartRecord", &[("RecordFile", &file)]).await;
            let refused = |error: &Error| error.effect() == Effect::NoEffect;
            if done.as_ref().is_err_and(refused) {
                core.state().books.conferences.not_recorded(room, &file);
            }
            done
        }
        ConferenceAction::Record(false) => order("ConfbridgeStopRecord", &[]).await,
        ConferenceAction::End => order("ConfbridgeKick", &[("Channel", "all")]).await,
        _ => Err(Error::unsupported(OPERATION)),
    }
}

/// A name of our own: that of the conference may be a name of a person.
fn recording(core: &Core) -> String {
    let instance = &core.config.instance;
    let file = format!("faxbot-{instance}-conference-{}.wav", Uuid::new_v4());
    match &core.config.recordings {
        Some(directory) => format!("{directory}/{file}"),
        // Below Asterisk's own `monitor` directory.
        None => file,
    }
}

/// Members are known by the names of their channels only (observed on Asterisk 16.28 and 22.10).
fn member(core: &Core, call: &CallRef) -> Result<String> {
    let state = core.state();
    let line = state
        .books
        .find(call)
        .and_then(|id| state.books.lines.get(&id));
    let native = call.native.as_deref();
    // A channel of the call, if one is named: the party that it is bridged with joined too.
    let named = native.filter(|name| name.contains('/')).map(str::to_owned);
    // Words without a slash are no channels: `all` is everybody.
    named
        .or_else(|| line.and_then(|line| line.channel.clone()))
        .ok_or_else(|| Error::new(ErrorKind::NotFound, OPERATION, "no such call in the books"))
}

/// An order to a conference, with its refusals by their words (`apps/app_confbridge.c`).
async fn order(server: &Server, name: &str, room: &str, more: &[(&str, &str)]) -> Result<()> {
    let mut headers = vec![("Conference", room)];
    headers.extend_from_slice(more);
    let reply = server
        .ask(action(name, &headers, OPERATION)?, OPERATION)
        .await?;
    if reply.is_success() {
        return Ok(());
    }
    let text = reply.message().unwrap_or_default().into_owned();
    let lower = text.to_ascii_lowercase();
    let known = [
        (
            "no active conferences",
            ErrorKind::NotFound,
            "no such conference",
        ),
        (
            "no conference by that name",
            ErrorKind::NotFound,
            "no such conference",
        ),
        (
            "no channel by that name",
            ErrorKind::NotFound,
            "the call is not in the conference",
        ),
        (
            "already being recorded",
            ErrorKind::InvalidState,
            "the conference is being recorded already",
        ),
        (
            "internal error while stopping",
            ErrorKind::InvalidState,
            "the conference is not being recorded",
        ),
    ];
    match known
        .into_iter()
        .find(|(words, _, _)| lower.contains(words))
    {
        Some((_, kind, message)) => {
            Err(Error::new(kind, OPERATION, message).with_native(None, Some(text)))
        }
        None => Err(refusal(&reply, OPERATION)),
    }
}

fn check_name(room: &str) -> Result<()> {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=MAX_NAME).contains(&room.len()) && room.chars().all(known) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidRequest,
        OPERATION,
        "the name of a conference has 1 to 79 letters, digits, - and _",
    ))
}

/// Sends our channel, and the one that it is bridged or held with, to the conference.
async fn join(core: &Core, server: &Server, room: &str, call: &CallRef) -> Result<()> {
    check_name(room)?;
    let mut claim = Claim::new(core, OPERATION);
    let (id, was) = claim.take(call)?;
    let done = async {
        let here = place(core, server, &mut claim, id).await?;
        if core.state().books.conferences.has(room, &here.own) {
            return Ok(());
        }
        // A channel that is not let in is hung up, so this is asked before.
        let listed = rooms::listed(server, OPERATION).await?.unwrap_or_default();
        if listed
            .iter()
            .any(|it| it.locked && rooms::NAMES.same(&it.name, room))
        {
            let text = "the conference is locked";
            return Err(Error::new(ErrorKind::Rejected, OPERATION, text));
        }
        for channel in here.channels() {
            server.set_variable(channel, ROOM, room, OPERATION).await?;
        }
        see_extension(core, server, &here.own, CONFERENCE, OPERATION).await?;
        let other = here.other.as_deref();
        let sent = server.send_to(&core.store, &here.own, other, CONFERENCE, OPERATION);
        if let Err(error) = sent.await {
            if error.effect() == Effect::Unknown {
                core.state().books.perhaps_held(id);
                claim.unsure();
            }
            return Err(error);
        }
        if was == CallState::OnHold {
            core.events(|state, now| {
                let out = state.books.resumed(id, now);
                // In a conference each is on its own.
                for channel in here.channels() {
                    if let Some(id) = state.books.own_call(channel) {
                        state.books.parts(id);
                    }
                }
                out
            });
        }
        joined(core, server, room, &here).await
    };
    let done = done.await.map_err(|error: Error| error.with_call_id(id));
    if done
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::OutcomeUnknown)
    {
        claim.unsure();
    }
    done
}

/// Waits until the channel is in the conference.
async fn joined(core: &Core, server: &Server, room: &str, here: &Place) -> Result<()> {
    let heard = core.until(JOIN, |state| {
        let books = &state.books;
        if books.conferences.has(room, &here.own) {
            return Some(true);
        }
        let line = books
            .own_call(&here.own)
            .and_then(|id| books.lines.get(&id));
        line.is_none_or(|line| line.hangup.is_some())
            .then_some(false)
    });
    match heard.await {
        Some(true) => return Ok(()),
        Some(false) => {
            return Err(Error::new(
                ErrorKind::Rejected,
                OPERATION,
                "the call ended instead of joining; the conference may be locked or full",
            ));
        }
        None => {}
    }
    // An account that reads no events of calls sees none of it.
    match rooms::members(server, room, OPERATION).await {
        Ok(Some(members)) if members.contains(&here.own) => Ok(()),
        _ => Err(Error::new(
            ErrorKind::OutcomeUnknown,
            OPERATION,
            "the server did not tell that the call joined",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_step_of_the_dialplan_could_misread_is_refused() {
        let long = "a".repeat(MAX_NAME);
        for good in ["8000", "Stand-Up_2", &long] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(MAX_NAME + 1);
        for bad in ["", "a b", "a,b", "${X}", "a/b", "ü", "a\r\nb", &longer] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
