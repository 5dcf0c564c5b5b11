//! Faxes that come in: `ReceiveFAX` on an incoming call.

use std::time::Duration;

use faxbot_core::{
    ErrorKind, Result,
    clock::later,
    fax::{FaxOutcome, TakenFax},
    id::{CallId, CallRef},
};

use super::super::{
    books::Books,
    core::Core,
    lookup::is_of,
    outcome::{KIND, KIND_RECEIVE},
    server::Server,
};
use crate::adapter::{
    fax_run::FaxContext,
    received::{self, OPERATION, by_pages, no_fax},
};

/// How often the server is asked whether a fax of an earlier process is over, at the most.
const ASK_AGAIN: Duration = Duration::from_secs(1);

pub(crate) async fn take(core: &Core, server: Result<Server>, call: &CallRef) -> Result<TakenFax> {
    // It came to us, and was accepted as a fax.
    let receives = |books: &Books, id| {
        let line = books.lines.get(&id);
        line.is_some_and(|line| line.incoming.is_some() && line.fax.is_some())
    };
    let earlier = async |id| {
        let server = server.map_err(|error| error.with_call_id(id))?;
        of_an_earlier_process(core, &server, id).await
    };
    received::take(core, core.spool.as_ref(), call, receives, earlier).await
}

/// The fax of a call that an earlier process accepted, by what the server has of it.
async fn of_an_earlier_process(core: &Core, server: &Server, id: CallId) -> Result<FaxOutcome> {
    loop {
        let list = server.channels(OPERATION).await?;
        let Some(channel) = list.into_iter().find(|it| is_of(&it.uniqueid, id)) else {
            break;
        };
        match server.variable(&channel.uniqueid, KIND, OPERATION).await {
            Ok(kind) if kind.as_deref() == Some(KIND_RECEIVE) => {}
            // It ended meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(_) => return Err(no_fax(id)),
            Err(error) => return Err(error.with_call_id(id)),
        }
        let wait = core.config.fax_poll.max(ASK_AGAIN);
        core.clock.sleep_until(later(core.clock.now(), wait)).await;
    }
    match server.outcome(&core.store, id).await {
        Ok(Some(report)) if report.incoming && report.is_fax => {
            return Ok(report.fax.outcome(&report.causes(), FaxContext::default()));
        }
        Ok(Some(_)) => return Err(no_fax(id)),
        Ok(None) => {}
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        Err(error) => return Err(error.with_call_id(id)),
    }
    by_pages(core.spool.as_ref(), id).await
}
