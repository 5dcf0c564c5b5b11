//! Recordings by `chan.record` on our own channel: they go on through hold, transfer and conferences,
//! and end with the call (observed on Yate 6.4.1).
//!
//! What is recorded is what the far end of our channel says, not what it hears. The engine answers
//! `true` also for a file that it cannot open, and nothing tells that later: whoever relies on a
//! recording looks for the file.

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    id::CallId,
    sip::{CallState, RecordRequest},
};

use super::{
    super::{core::Core, server::Server},
    orders, refused,
};

const OPERATION: &str = "record";

/// Takes the place of a file, and no recording is made.
const NOTHING: &str = "-";

/// Starts or stops the recording of a call.
pub(in crate::adapter::yate) async fn record(
    core: &Core,
    server: &Server,
    request: RecordRequest,
) -> Result<()> {
    let Some(id) = core.hub.state().books.find(&request.call) else {
        return Err(gone());
    };
    let done = if request.run {
        start(core, server, id).await
    } else {
        stop(core, server, id).await
    };
    done.map_err(|error| error.with_call_id(id))
}

/// Starts to record an answered call.
pub(super) async fn start(core: &Core, server: &Server, id: CallId) -> Result<()> {
    let Some(directory) = &core.config.recordings else {
        return Err(Error::unsupported(OPERATION));
    };
    let (channel, file) = {
        let mut state = core.hub.state();
        let books = &mut state.books;
        let answered =
            books.calls.is_answered(id) && books.calls.state(id) != Some(CallState::HangingUp);
        let Some(line) = books.lines.get_mut(&id).filter(|line| line.is_there()) else {
            return Err(gone());
        };
        if !answered {
            return Err(refused(OPERATION, "the call is not answered", id));
        }
        line.recordings = line.recordings.saturating_add(1);
        // By its name the engine writes a header and mu-law; a `.wav` would be bare samples.
        let name = format!("faxbot-{}-{}.au", id.as_uuid(), line.recordings);
        let (channel, file) = (line.own.clone(), format!("{directory}/{name}"));
        let ordered = books.orders.of(id);
        if ordered.file.is_some() {
            let text = "the call is being recorded; stop that first";
            return Err(refused(OPERATION, text, id));
        }
        ordered.file = Some(file.clone());
        (channel, file)
    };
    match orders::record(server, &channel, &file, OPERATION).await {
        Ok(()) => {
            core.hub
                .events(|state, _| state.books.recorded(id, &file, true));
            Ok(())
        }
        Err(error) => {
            // One whose fate is not known may run: it can be stopped.
            if error.effect() != Effect::Unknown {
                core.hub.state().books.orders.of(id).file = None;
            }
            Err(error)
        }
    }
}

async fn stop(core: &Core, server: &Server, id: CallId) -> Result<()> {
    let (channel, file) = {
        let mut state = core.hub.state();
        let books = &mut state.books;
        let Some(line) = books.lines.get(&id).filter(|line| line.is_there()) else {
            return Err(gone());
        };
        let channel = line.own.clone();
        match books.orders.of(id).file.clone() {
            Some(file) => (channel, file),
            None => return Err(refused(OPERATION, "the call is not being recorded", id)),
        }
    };
    orders::record(server, &channel, NOTHING, OPERATION).await?;
    core.hub.events(|state, _| {
        state.books.orders.of(id).file = None;
        state.books.recorded(id, &file, false)
    });
    Ok(())
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, OPERATION, "no such call is up")
}
