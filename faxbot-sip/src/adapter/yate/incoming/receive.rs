//! Faxes that come in: `fax/receive` on an incoming call.

use std::time::Duration;

use faxbot_core::{
    Result,
    fax::{FaxOutcome, TakenFax},
    id::{CallId, CallRef},
};

use super::super::{core::Core, server::Server, state::Desk};
use crate::adapter::received::{self, OPERATION, by_pages};

/// How often the server is asked whether a fax of an earlier process is over.
const ASK_AGAIN: Duration = Duration::from_secs(1);

pub(in crate::adapter::yate) async fn take(
    core: &Core,
    server: Result<Server>,
    call: &CallRef,
) -> Result<TakenFax> {
    // It came to us, and was accepted as a fax.
    let receives = |books: &Desk, id| books.came_in(id) && books.is_fax(id);
    let earlier = async |id| {
        let server = server.map_err(|error| error.with_call_id(id))?;
        of_an_earlier_process(core, &server, id).await
    };
    received::take(&core.hub, core.spool.as_ref(), call, receives, earlier).await
}

/// The fax of a call that an earlier process accepted. Yate keeps no outcome: the pages are all that is
/// left of it.
async fn of_an_earlier_process(core: &Core, server: &Server, id: CallId) -> Result<FaxOutcome> {
    let file = core.spool.as_ref().map(|spool| spool.received(id).remote);
    loop {
        let list = server.channels(OPERATION).await?;
        let runs = |address: &String| file.as_ref() == Some(address);
        if !list.iter().any(|channel| runs(&channel.address)) {
            break;
        }
        let clock = &core.hub.clock;
        clock.sleep_until(clock.now() + ASK_AGAIN).await;
    }
    by_pages(core.spool.as_ref(), id).await
}
