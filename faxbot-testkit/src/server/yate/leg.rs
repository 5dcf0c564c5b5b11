//! What becomes of an outgoing SIP leg, as its script says.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{hangup, sip, world::World};
use crate::server::script::{CallScript, Ending};

/// How long a far end is tried that does not answer at all (recording `sip_in_route_installed`).
const SILENCE: Duration = Duration::from_millis(7_500);

/// Runs a leg until it is answered or over.
pub(super) async fn run(world: Arc<World>, id: String, script: CallScript) {
    let timings = &world.config.timings;
    sleep(timings.setup).await;
    if script.ending == Ending::Unreachable {
        sleep(SILENCE).await;
        hangup::rejected(&world, &id, 408);
        return;
    }
    world.act(|state| {
        if script.progress {
            state.progress(&id);
        } else {
            state.ringing(&id);
        }
        if script.ending == Ending::RingsForEver {
            state.no_limit(&id);
        }
    });
    let status = match script.ending {
        Ending::Answer => None,
        Ending::Busy => Some(486),
        Ending::Congestion => Some(503),
        Ending::Rejected(status) => Some(status),
        // Until `maxcall` says otherwise.
        _ => return,
    };
    sleep(script.ring.unwrap_or(timings.ring)).await;
    if let Some(status) = status {
        hangup::rejected(&world, &id, status);
        return;
    }
    world.answered_call(&id);
    if let Some(time) = script.hangup_after {
        sleep(time).await;
        hangup::by_far_end(&world, &id, (200, sip::phrase(200)));
    }
}
