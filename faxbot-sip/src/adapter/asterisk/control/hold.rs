//! Holding a call with music and taking it back.

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    clock::later,
    id::{CallId, CallRef},
    sip::CallState,
};

use super::super::{
    books::line::LiveChannel,
    core::{Core, State},
    dialplan::{HOLD, MUSIC},
    request::action,
    server::{Server, refusal},
};
use super::{Claim, place, see_extension, send_back};

/// How long channels may take to where the server said that they go: a millisecond or two (observed on
/// Asterisk 16.28 and 22.10).
const MOVE: Duration = Duration::from_secs(3);
/// So long events are waited for before the list of channels is asked for.
const TOLD: Duration = Duration::from_millis(200);
/// When the list is asked for first; twice as long is waited each time.
const LOOK_FIRST: Duration = Duration::from_millis(5);

/// How often the bridge is ordered: an order that comes from elsewhere at the same time may take one
/// party out of it again.
const BRIDGE_TRIES: usize = 2;

/// Sends our channel, and the one that it is bridged with, to the music.
pub(crate) async fn hold(core: &Core, server: &Server, call: &CallRef) -> Result<()> {
    const OPERATION: &str = "hold";
    let mut claim = Claim::new(core, OPERATION);
    let (id, state) = claim.take(call)?;
    if state == CallState::OnHold {
        return Err(refused(OPERATION, "the call is held already", id));
    }
    let done = async {
        let place = place(core, server, &mut claim, id).await?;
        for channel in place.channels() {
            // Variables of the Originate are on our own channel only.
            let class = &core.config.music;
            server
                .set_variable(channel, MUSIC, class, OPERATION)
                .await?;
        }
        see_extension(core, server, &place.own, HOLD, OPERATION).await?;
        core.state().books.will_hold(id, &place);
        let channels = (place.own.as_str(), place.other.as_deref());
        match send_to_music(core, server, channels, OPERATION).await {
            Ok(()) => core.events(|state, now| state.books.held(id, &place, now)),
            Err(error) if error.effect() == Effect::Unknown => {
                claim.unsure();
                return Err(error);
            }
            Err(error) => {
                core.state().books.not_held(id);
                return Err(error);
            }
        }
        Ok(())
    };
    done.await.map_err(|error: Error| error.with_call_id(id))
}

/// Bridges the channels of a held call again; one that was alone goes back to where it was.
pub(crate) async fn resume(core: &Core, server: &Server, call: &CallRef) -> Result<()> {
    const OPERATION: &str = "resume";
    let mut claim = Claim::new(core, OPERATION);
    let (id, state) = claim.take(call)?;
    if state != CallState::OnHold {
        return Err(refused(OPERATION, "the call is not held", id));
    }
    let done = async {
        let place = place(core, server, &mut claim, id).await?;
        let done = match &place.other {
            Some(other) => bridge(core, server, &place.own, other, OPERATION).await,
            None => {
                core.keep_extension(server, OPERATION).await?;
                send_back(server, &place.own, &place.back, OPERATION).await
            }
        };
        match done {
            Ok(()) => {
                core.events(|state, now| state.books.resumed(id, now));
                Ok(())
            }
            Err(error) => {
                if error.effect() == Effect::Unknown {
                    core.state().books.perhaps_held(id);
                    claim.unsure();
                }
                Err(error)
            }
        }
    };
    done.await.map_err(|error: Error| error.with_call_id(id))
}

/// Sends channels to the music and sees that they get there. The server answers before they leave their
/// bridge, and `Bridge` meanwhile is refused, or undone again (observed on Asterisk 16.28 and 22.10).
pub(super) async fn send_to_music(
    core: &Core,
    server: &Server,
    (own, other): (&str, Option<&str>),
    operation: &'static str,
) -> Result<()> {
    server
        .send_to(&core.store, own, other, HOLD, operation)
        .await?;
    let arrived = |list: &[LiveChannel]| {
        let state = core.state();
        let there = |channel: &LiveChannel| {
            // The extension shows while a channel is in its bridge still, and before it runs anything.
            let runs = channel.application.as_str();
            state.books.moves.is_at(channel, HOLD)
                && channel.bridge.is_empty()
                && !["", "Dial", "AppDial"].contains(&runs)
        };
        let find = |channel: &str| list.iter().find(|it| it.uniqueid == channel);
        match (find(own), other.and_then(find)) {
            (None, _) => Some(false),
            // The end of the other one ends the call by itself.
            (Some(own), other) => (there(own) && other.is_none_or(there)).then_some(true),
        }
    };
    // The order was carried out.
    let seen = listed(core, server, arrived, operation).await;
    match seen.map_err(unknown)? {
        Some(true) => Ok(()),
        Some(false) => {
            let text = "the call ended";
            Err(unknown(Error::new(ErrorKind::Rejected, operation, text)))
        }
        None => Err(Error::new(
            ErrorKind::OutcomeUnknown,
            operation,
            "the server took the order, and the parties did not go where it sends them; ask for the state \
             of the call",
        )),
    }
}

/// Bridges two channels that are answered, and sees that they are. The server answers before they are
/// in the bridge.
pub(crate) async fn bridge(
    core: &Core,
    server: &Server,
    one: &str,
    two: &str,
    operation: &'static str,
) -> Result<()> {
    let headers = [("Channel1", one), ("Channel2", two)];
    for tries in 0..BRIDGE_TRIES {
        let moved = |error: Error, half: bool| {
            if half || tries > 0 {
                unknown(error)
            } else {
                error
            }
        };
        let reply = server.ask(action("Bridge", &headers, operation)?, operation);
        let reply = reply.await.map_err(|error| moved(error, false))?;
        if !reply.is_success() {
            // The first one is moved before the second one is taken (`action_bridge` in
            // `main/features.c`).
            let half = reply.message().unwrap_or_default().contains("add Channel2");
            return Err(moved(refusal(&reply, operation), half));
        }
        let told = core.until(TOLD, |state| are_together(state, one, two).then_some(()));
        if told.await.is_some() {
            return Ok(());
        }
        // An account that reads no events of calls sees none of it.
        let bridged = |list: &[LiveChannel]| {
            let bridge = |channel: &str| {
                let found = list.iter().find(|it| it.uniqueid == channel)?;
                Some(&found.bridge)
            };
            match (bridge(one), bridge(two)) {
                (Some(one), Some(two)) => (one == two && !one.is_empty()).then_some(true),
                _ => Some(false),
            }
        };
        let found = listed(core, server, bridged, operation).await;
        match found.map_err(unknown)? {
            Some(true) => return Ok(()),
            Some(false) => {
                let text = "one of the parties is gone";
                let error = Error::new(ErrorKind::Rejected, operation, text);
                return Err(unknown(error));
            }
            None => {}
        }
    }
    // Each of them may have been moved.
    Err(Error::new(
        ErrorKind::OutcomeUnknown,
        operation,
        "the server took the order, and the two parties are up and not in one bridge; ask for the state \
         of the call",
    ))
}

/// Whether events showed the two channels in one bridge.
fn are_together(state: &State, one: &str, two: &str) -> bool {
    let books = &state.books;
    let line = |channel: &str| books.lines.get(&books.own_call(channel)?);
    match (line(one), line(two)) {
        (Some(one), Some(two)) => one.bridge.is_some() && one.bridge == two.bridge,
        (Some(line), None) => line.bridged_with() == Some(two),
        (None, Some(line)) => line.bridged_with() == Some(one),
        (None, None) => false,
    }
}

/// Asks for the list of channels until `look` finds what it wants in it, or [`MOVE`] is over.
async fn listed<T>(
    core: &Core,
    server: &Server,
    look: impl Fn(&[LiveChannel]) -> Option<T>,
    operation: &'static str,
) -> Result<Option<T>> {
    let over = later(core.clock.now(), MOVE);
    let mut pause = LOOK_FIRST;
    loop {
        let next = later(core.clock.now(), pause).min(over);
        core.clock.sleep_until(next).await;
        let found = look(&server.channels(operation).await?);
        if found.is_some() || next == over {
            return Ok(found);
        }
        pause *= 2;
    }
}

/// The order was carried out; how it ended could not be asked.
fn unknown(error: Error) -> Error {
    error.with_effect(Effect::Unknown)
}

fn refused(operation: &'static str, text: &str, id: CallId) -> Error {
    Error::new(ErrorKind::InvalidState, operation, text).with_call_id(id)
}
