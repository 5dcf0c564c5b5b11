//! Digits for the far end of a call, one a message and one after the other: of several in one message
//! only the last is heard by RFC 2833 (observed on Yate 6.4.1).
//!
//! RFC 2833 goes along with sound. Where the far end hears nothing, as in a call that waits for what is
//! done with it, the engine answers `true` and sends nothing: then the digits go by SIP INFO.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Result,
    clock::later,
    id::CallId,
    sip::{CallState, DtmfRequest},
};

use super::{
    super::{
        core::Core,
        server::{Server, message},
    },
    Partner, place, refused,
};
use crate::adapter::hub::Book as _;

const OPERATION: &str = "send_dtmf";

/// From one digit to the next at the least: with less only the last one is heard (observed on Yate
/// 6.4.1: 100 ms are too few, 200 ms are enough).
const PACE: Duration = Duration::from_millis(200);

/// So long the call must still be up behind the last digit, or its far end does not hear it (observed on
/// Yate 6.4.1: 200 ms after it are too few, 350 ms are enough).
const LAST: Duration = Duration::from_millis(200);

/// Silence behind each digit.
const GAP: Duration = Duration::from_millis(100);

/// Sends digits into a call and waits until the last one is through.
pub(in crate::adapter::yate) async fn send(
    core: &Core,
    server: &Server,
    request: DtmfRequest,
) -> Result<()> {
    let (id, turn) = {
        let state = core.hub.state();
        let found = state.books.find(&request.call);
        let line = found.and_then(|id| Some((id, state.books.lines.get(&id)?)));
        let Some((id, line)) = line else {
            return Err(gone());
        };
        if !state.books.calls().is_answered(id)
            || state.books.calls().state(id) == Some(CallState::HangingUp)
        {
            return Err(refused(OPERATION, "the call is not answered", id));
        }
        (id, Arc::clone(&line.digits))
    };
    let _turn = turn.lock().await;
    let done = send_now(core, server, id, &request).await;
    done.map_err(|error| error.with_call_id(id))
}

async fn send_now(core: &Core, server: &Server, id: CallId, request: &DtmfRequest) -> Result<()> {
    let pace = PACE.max(request.duration.saturating_add(GAP));
    // Asked after the turn came: the call may be gone, or connected to somebody else.
    let (own, partner) = place(core, server, id, OPERATION).await?;
    let held = core.hub.state().books.calls().state(id) == Some(CallState::OnHold);
    let hears = held || !matches!(&partner, Partner::Nobody(end) if end.starts_with("dumb/"));
    for digit in request.digits.chars() {
        let digit = digit.to_string();
        let mut params = vec![("targetid", own.as_str()), ("text", digit.as_str())];
        if !hears {
            params.push(("methods", "info"));
        }
        let command = message("chan.dtmf", &params, OPERATION)?;
        server.order(command, OPERATION).await?;
        let clock = &core.hub.clock;
        clock.sleep_until(later(clock.now(), pace)).await;
    }
    let clock = &core.hub.clock;
    clock.sleep_until(clock.now() + LAST).await;
    Ok(())
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, OPERATION, "no such call is up")
}
