//! Faxes that come in: `rxfax` on an incoming call.

use std::time::Duration;

use faxbot_core::{
    ErrorKind, Result,
    clock::later,
    fax::{FaxOutcome, TakenFax},
    id::{CallId, CallRef},
};

use super::{
    super::{
        core::Core,
        outcome::{Kind, channel_uuid},
        server::Server,
        state::Desk,
    },
    DECIDED,
};
use crate::adapter::{
    fax_run::FaxContext,
    received::{self, OPERATION, by_pages, no_fax},
};

/// How often the server is asked whether a fax of an earlier process is over, at the most, and how
/// long the hook of its end may take.
const ASK_AGAIN: Duration = Duration::from_secs(1);

pub(crate) async fn take(core: &Core, server: Result<Server>, call: &CallRef) -> Result<TakenFax> {
    // It came to us, and was accepted as a fax.
    let receives = |books: &Desk, id| books.came_in(id) && books.is_fax(id);
    let earlier = async |id| {
        let server = server.map_err(|error| error.with_call_id(id))?;
        of_an_earlier_process(core, &server, id)
            .await
            .map_err(|error| error.with_call_id(id))
    };
    received::take(&core.hub, core.spool.as_ref(), call, receives, earlier).await
}

/// The fax of a call that an earlier process accepted, by what the server has of it.
async fn of_an_earlier_process(core: &Core, server: &Server, id: CallId) -> Result<FaxOutcome> {
    let uuid = channel_uuid(id);
    let pause = async |time: Duration| {
        core.hub
            .clock
            .sleep_until(later(core.hub.clock.now(), time))
            .await;
    };
    while server.channel(&uuid, OPERATION).await?.is_some() {
        match server.variable(&uuid, DECIDED, OPERATION).await {
            Ok(kind) if kind.as_deref() == Some(Kind::Receive.word()) => {}
            // It ended meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(_) => return Err(no_fax(id)),
            Err(error) => return Err(error),
        }
        pause(core.config.fax_poll.max(ASK_AGAIN)).await;
    }
    let store = core.store();
    let mut kept = server.outcome(&store, id, OPERATION).await;
    if matches!(kept, Ok(None)) && store.keeper().is_some() {
        // Its hook may still be running.
        pause(ASK_AGAIN).await;
        kept = server.outcome(&store, id, OPERATION).await;
    }
    match kept {
        Ok(Some(ended)) => {
            let report = ended.report();
            match &report.fax {
                Some(fax) => Ok(fax.outcome(&report.causes, FaxContext::default())),
                None => Err(no_fax(id)),
            }
        }
        Ok(None) => by_pages(core.spool.as_ref(), id).await,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            by_pages(core.spool.as_ref(), id).await
        }
        Err(error) => Err(error),
    }
}
