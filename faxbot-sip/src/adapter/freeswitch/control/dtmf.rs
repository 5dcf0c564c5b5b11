//! Digits into a call, by `uuid_send_dtmf`: the server queues them and answers at once.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Effect, Result,
    clock::later,
    sip::{CallState, DtmfRequest},
};

use super::{gone, refused};
use crate::adapter::{
    digits,
    freeswitch::{core::Core, server::Server},
};

const OPERATION: &str = "send_dtmf";

/// FreeSWITCH makes shorter digits as long as that (`SWITCH_MIN_DTMF_DURATION` in `switch_types.h`:
/// 400 samples).
const SHORTEST_SENT: Duration = Duration::from_millis(50);

/// Silence behind each digit (observed on FreeSWITCH 1.10.12).
const GAP: Duration = Duration::from_millis(100);

/// Sends digits into a call and waits until the last one is through: whoever hangs up then cuts none
/// short. The connection is free meanwhile.
pub(crate) async fn send(core: &Core, server: &Server, request: DtmfRequest) -> Result<()> {
    digits::check(&request)?;
    let (id, turn) = {
        let state = core.hub.state();
        let found = state.books.find(&request.call);
        let line = found.and_then(|id| Some((id, state.books.lines.get(&id)?)));
        let Some((id, line)) = line else {
            return Err(gone(OPERATION));
        };
        let up = state.books.calls.is_answered(id)
            && state.books.calls.state(id) != Some(CallState::HangingUp);
        if !up {
            return Err(refused(OPERATION, "the call is not answered").with_call_id(id));
        }
        (id, Arc::clone(&line.digits))
    };
    let mut turn = turn.lock().await;
    // It stays known while we wait: this future may be dropped, too.
    if let Some(until) = *turn {
        core.hub.clock.sleep_until(until).await;
    }
    // Looked up after the turn came: the call may be gone.
    let Some(own) = core.hub.state().books.own_channel(id) else {
        return Err(gone(OPERATION).with_call_id(id));
    };
    let count = u32::try_from(request.digits.len()).unwrap_or(u32::MAX);
    let takes = request
        .duration
        .max(SHORTEST_SENT)
        .saturating_add(GAP)
        .saturating_mul(count);
    *turn = Some(later(core.hub.clock.now(), takes));
    let millis = request.duration.as_millis();
    let order = format!("{own} {}@{millis}", request.digits);
    if let Err(error) = server.api("uuid_send_dtmf", &order, OPERATION).await {
        // Those of an order whose answer was lost may be sent.
        if error.effect() != Effect::Unknown {
            *turn = None;
        }
        return Err(error.with_call_id(id));
    }
    let ended = core.hub.until(takes, |state| {
        let line = state.books.lines.get(&id);
        line.is_none_or(|line| !line.is_there()).then_some(())
    });
    let ended = ended.await;
    *turn = None;
    match ended {
        None => Ok(()),
        // What was queued may be sent in part.
        Some(()) => Err(gone(OPERATION)
            .with_effect(Effect::Unknown)
            .with_call_id(id)),
    }
}
