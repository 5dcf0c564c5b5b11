//! Faxes that come in: `ReceiveFAX` on an incoming call, and the pages handed over once.

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Result,
    fax::{FaxOutcome, TakenFax},
    id::{CallId, CallRef},
    sip::{CallRecord, Direction},
    task::blocking,
};

use super::{
    core::{Core, State},
    lookup::is_of,
    outcome::{KIND, KIND_RECEIVE},
    server::Server,
};
use crate::adapter::{
    fax_run::FaxContext,
    spool::{Spool, Taken},
};

const OPERATION: &str = "take_fax";

/// Longer than any call: a call of the books ends there, whatever becomes of the link.
const NO_END: Duration = Duration::from_secs(7 * 24 * 3600);

/// How often the server is asked whether a fax of an earlier process is over, at the most.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What our books know of a fax.
enum Known {
    Over(Box<FaxOutcome>),
    /// The call is none that was accepted as a fax.
    NoFax,
    /// The books do not have the call.
    Nothing,
}

pub(super) async fn take(core: &Core, server: Result<Server>, call: &CallRef) -> Result<TakenFax> {
    let Some(spool) = core.spool.clone() else {
        return Err(Error::unsupported(OPERATION));
    };
    let Some(id) = id_of(core, call) else {
        return Err(Error::new(
            ErrorKind::NotFound,
            OPERATION,
            "no such call in the books; name it by its id",
        ));
    };
    let known = core
        .until(NO_END, |state| known(state, id))
        .await
        .unwrap_or(Known::Nothing);
    let outcome = match known {
        Known::Over(outcome) => *outcome,
        Known::NoFax => return Err(no_fax(id)),
        Known::Nothing => {
            let server = server.map_err(|error| error.with_call_id(id))?;
            of_an_earlier_process(core, &server, &spool, id).await?
        }
    };
    // If this future is dropped meanwhile, so is what it answers, and the file goes back.
    let file = blocking(OPERATION, move || spool.take(id)).await?;
    let file = file.map_err(|source| {
        Error::new(
            ErrorKind::Config,
            OPERATION,
            "the received pages cannot be taken; check that we may write to the spool directory",
        )
        .with_call_id(id)
        .with_source(source)
    })?;
    if file.is_none() && outcome.pages_confirmed.is_some_and(|pages| pages > 0) {
        return Err(Error::new(
            ErrorKind::NotFound,
            OPERATION,
            "the pages of this fax were taken already",
        )
        .with_call_id(id));
    }
    // From here on nothing waits: whoever asked has it.
    Ok(TakenFax::new(id, outcome, file.map(Taken::keep)))
}

fn id_of(core: &Core, call: &CallRef) -> Option<CallId> {
    call.id.or_else(|| {
        let state = core.state();
        let ended = || state.books.record(call).and_then(|record| record.id);
        state.books.find(call).or_else(ended)
    })
}

/// `None` while the fax runs.
fn known(state: &mut State, id: CallId) -> Option<Known> {
    if state.books.calls.state(id).is_some() {
        // It came to us, and was accepted as a fax.
        let line = state.books.lines.get(&id);
        let receives = line.is_some_and(|line| line.incoming.is_some() && line.fax.is_some());
        return (!receives).then_some(Known::NoFax);
    }
    Some(match state.books.record(&id.into()) {
        Some(CallRecord {
            direction: Direction::Inbound,
            fax: Some(outcome),
            ..
        }) => Known::Over(Box::new(outcome)),
        Some(_) => Known::NoFax,
        None => Known::Nothing,
    })
}

/// The fax of a call that an earlier process accepted, by what the server has of it.
async fn of_an_earlier_process(
    core: &Core,
    server: &Server,
    spool: &Spool,
    id: CallId,
) -> Result<FaxOutcome> {
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
        core.clock.sleep_until(core.clock.now() + wait).await;
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
    // Asterisk died, or keeps no outcomes: the pages that came are there all the same.
    let spool = spool.clone();
    if blocking(OPERATION, move || spool.has_received(id)).await? {
        Ok(FaxOutcome::unknown(None, None))
    } else {
        Err(no_fax(id))
    }
}

fn no_fax(id: CallId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        OPERATION,
        "no call with this id was accepted as a fax, or its pages were taken",
    )
    .with_call_id(id)
}
