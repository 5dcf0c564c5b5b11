//! Recordings by `uuid_record` on our own channel: they go on through hold and transfer, and end with
//! the call. `RECORD_START` and `RECORD_STOP` name the file.

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    id::CallId,
    sip::{CallState, RecordRequest},
};

use super::{TOLD, gone, refused};
use crate::adapter::freeswitch::{core::Core, request::recordable, server::Server};

const OPERATION: &str = "record";

/// Without it the recorder keeps 25 frames back, and the file lacks half a second
/// (`switch_ivr_async.c`, `switch_ivr_record_session_event`; observed on FreeSWITCH 1.10.12).
pub(crate) const PRE_BUFFER: &str = "RECORD_PRE_BUFFER_FRAMES";

/// Whether a file is a recording that we asked for.
pub(crate) fn is_recording_of(id: CallId, file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or_default();
    name.starts_with(&format!("faxbot-{}-", id.as_uuid()))
}

/// Starts or stops the recording of a call.
pub(crate) async fn record(core: &Core, server: &Server, request: RecordRequest) -> Result<()> {
    let Some(id) = core.hub.state().books.find(&request.call) else {
        return Err(gone(OPERATION));
    };
    let done = if request.run {
        start(core, server, id).await
    } else {
        stop(core, server, id).await
    };
    done.map_err(|error| error.with_call_id(id))
}

/// An order to the recorder of a call: one at a time.
struct Turn<'a> {
    core: &'a Core,
    id: CallId,
}

impl<'a> Turn<'a> {
    fn take(core: &'a Core, id: CallId) -> Result<Self> {
        let mut state = core.hub.state();
        let answered = state.books.calls.is_answered(id)
            && state.books.calls.state(id) != Some(CallState::HangingUp);
        let Some(line) = state.books.lines.get_mut(&id).filter(|it| it.is_there()) else {
            return Err(gone(OPERATION));
        };
        if line.fax.is_some() {
            return Err(refused(OPERATION, "a fax runs in the call"));
        }
        if !answered {
            return Err(refused(OPERATION, "the call is not answered"));
        }
        if std::mem::replace(&mut line.recorder_busy, true) {
            let text = "a recording of the call is being started or stopped";
            return Err(refused(OPERATION, text));
        }
        Ok(Self { core, id })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(line) = self.core.hub.state().books.lines.get_mut(&self.id) {
            line.recorder_busy = false;
        }
    }
}

/// Starts to record, and waits until the server says that it does.
async fn start(core: &Core, server: &Server, id: CallId) -> Result<()> {
    let turn = Turn::take(core, id)?;
    let (own, nth) = {
        let mut state = core.hub.state();
        let Some(line) = state.books.lines.get_mut(&id) else {
            return Err(gone(OPERATION));
        };
        if !line.recording.is_empty() || line.perhaps_recording.is_some() {
            let text = "the call is being recorded; stop that first";
            return Err(refused(OPERATION, text));
        }
        line.recordings = line.recordings.saturating_add(1);
        (line.own.clone(), line.recordings)
    };
    let Some(file) = core.recording_file(id, nth) else {
        return Err(Error::unsupported(OPERATION));
    };
    recordable(&file, OPERATION)?;
    server
        .set_variable(&own, PRE_BUFFER, "0", OPERATION)
        .await?;
    let perhaps = || {
        if let Some(line) = core.hub.state().books.lines.get_mut(&id)
            && !line.recording.contains(&file)
        {
            line.perhaps_recording = Some(file.clone());
        }
    };
    let order = format!("{own} start {file}");
    if let Err(error) = server.api("uuid_record", &order, OPERATION).await {
        if error.effect() == Effect::Unknown {
            // It can be stopped.
            perhaps();
        }
        return Err(error);
    }
    let told = core.hub.until(TOLD, |state| {
        let Some(line) = state.books.lines.get(&id) else {
            return Some(Err(gone(OPERATION)));
        };
        line.recording.contains(&file).then_some(Ok(()))
    });
    let told = told.await.unwrap_or_else(|| {
        perhaps();
        let text = "the server did not say that the recording began";
        let error = Error::new(ErrorKind::OutcomeUnknown, OPERATION, text);
        Err(error.with_effect(Effect::Unknown))
    });
    drop(turn);
    told
}

async fn stop(core: &Core, server: &Server, id: CallId) -> Result<()> {
    let turn = Turn::take(core, id)?;
    let (own, file) = {
        let state = core.hub.state();
        let Some(line) = state.books.lines.get(&id) else {
            return Err(gone(OPERATION));
        };
        let file = line.recording.last().or(line.perhaps_recording.as_ref());
        let Some(file) = file.cloned() else {
            return Err(refused(OPERATION, "the call is not being recorded"));
        };
        (line.own.clone(), file)
    };
    let order = format!("{own} stop {file}");
    let done = server.api("uuid_record", &order, OPERATION).await;
    // `Cannot stop record session!`: it was over before.
    let was_over = |error: &Error| error.kind() == ErrorKind::Rejected;
    if done.is_ok() {
        // The file is whole when the event comes.
        let stopped = core.hub.until(TOLD, |state| {
            let line = state.books.lines.get(&id);
            line.is_none_or(|line| !line.recording.contains(&file))
                .then_some(())
        });
        stopped.await;
    }
    if done.as_ref().err().is_none_or(was_over) {
        core.hub
            .events(|state, _| state.books.recorded(id, &file, false));
    }
    drop(turn);
    match done {
        Err(error) if was_over(&error) => {
            let text = "the call is not being recorded";
            Err(refused(OPERATION, text).with_source(error))
        }
        done => done.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_of_ours_is_known_by_its_name() {
        let (id, other) = (CallId::new(), CallId::new());
        let file = format!("/rec/faxbot-{}-2.wav", id.as_uuid());
        assert!(is_recording_of(id, &file));
        assert!(!is_recording_of(other, &file));
        for file in ["", "/rec/call.wav", "faxbot-.wav"] {
            assert!(!is_recording_of(id, file), "{file}");
        }
    }
}
