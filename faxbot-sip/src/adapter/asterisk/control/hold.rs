//! Holding a call with music and taking it back.

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::CallState,
};

use super::super::{
    core::Core,
    dialplan::{HOLD, MUSIC},
    request::action,
    server::Server,
};
use super::{Claim, place, see_extension, send_back};

/// How long channels may take into the bridge that the server said they are in: a millisecond
/// (observed on Asterisk 16.28 and 22.10).
const ENTER: Duration = Duration::from_secs(3);

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
        let other = place.other.as_deref();
        let sent = server.send_to(&core.store, &place.own, other, HOLD, OPERATION);
        match sent.await {
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
    server
        .order(action("Bridge", &headers, operation)?, operation)
        .await?;
    let entered = core.until(ENTER, |state| {
        let bridge = |channel: &str| {
            let id = state.books.own_call(channel)?;
            state.books.lines.get(&id)?.bridge.clone()
        };
        let ours =
            [one, two].map(|channel| (state.books.own_call(channel).is_some(), bridge(channel)));
        match ours {
            [(true, one), (true, two)] => (one.is_some() && one == two).then_some(()),
            [(true, one), _] => one.map(drop),
            [_, two] => two.1.map(drop),
        }
    });
    if entered.await.is_some() {
        return Ok(());
    }
    // An account that reads no events of calls sees none of it.
    let list = server.channels(operation).await.map_err(unknown)?;
    let bridge = |channel: &str| {
        let found = list.iter().find(|it| it.uniqueid == channel)?;
        (!found.bridge.is_empty()).then_some(&found.bridge)
    };
    match (bridge(one), bridge(two)) {
        (Some(one), Some(two)) if one == two => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Rejected,
            operation,
            "one of the parties is gone",
        )),
    }
}

/// The order was carried out; how it ended could not be asked.
fn unknown(error: Error) -> Error {
    error.with_effect(Effect::Unknown)
}

fn refused(operation: &'static str, text: &str, id: CallId) -> Error {
    Error::new(ErrorKind::InvalidState, operation, text).with_call_id(id)
}
