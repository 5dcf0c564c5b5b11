//! Recordings by `MixMonitor` on our own channel: they go on through hold and transfer, and end with
//! the call.
//!
//! The server's word is all that there is: it answers `Success` and sends `MixMonitorStart` also for a
//! file that it cannot open, and only its log tells (observed on Asterisk 16.28 and 22.10). Nothing is
//! written while no party sends audio.

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    id::CallId,
    sip::{CallState, RecordRequest, SipEvent},
};

use super::super::{
    books::Books,
    core::{Core, State},
    request::action,
    server::Server,
};
use crate::protocol::ami::{Message, Reply};

const OPERATION: &str = "record";

/// The channel variable that gets the id of the monitor: only with it does the answer tell the id, and
/// without the id a stop ends whichever recording is the newest.
const MONITOR: &str = "FAXBOT_MONITOR";

/// The recordings of a call: the one that runs, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    begun: u32,
    ours: Option<Recording>,
    /// Recordings that others began on the channel.
    others: u32,
    /// Stops that were answered, and whose event is still to come.
    stops_due: u32,
}

#[derive(Debug)]
struct Recording {
    /// As the server names it, as far as it is known.
    file: String,
    /// The server's id of it.
    monitor: Option<String>,
    /// `MixMonitorStart` came.
    started: bool,
    /// A `RecordingChanged` told that it runs.
    told: bool,
    /// The full path is being asked for; the event waits for it.
    naming: bool,
    stopping: bool,
}

impl Recordings {
    /// The file that is told of when all is known; once.
    fn begins(&mut self) -> Option<String> {
        let ours = self.ours.as_mut()?;
        if !ours.started || ours.naming || std::mem::replace(&mut ours.told, true) {
            return None;
        }
        Some(ours.file.clone())
    }

    fn stop_event(&mut self, id: CallId) -> Option<SipEvent> {
        if self.stops_due > 0 {
            self.stops_due -= 1;
            return None;
        }
        match &self.ours {
            // Another client's stop without an id ends the newest; with none but ours it is ours.
            Some(ours) if ours.stopping || (ours.started && self.others == 0) => self.ended(id),
            _ => {
                self.others = self.others.saturating_sub(1);
                None
            }
        }
    }

    /// The call, or its recording, is over. Answers what is told of it.
    pub(crate) fn ended(&mut self, id: CallId) -> Option<SipEvent> {
        let ours = self.ours.take()?;
        ours.told.then(|| changed(id, false, ours.file))
    }
}

fn changed(id: CallId, running: bool, file: String) -> SipEvent {
    SipEvent::RecordingChanged {
        id: Some(id),
        running,
        file: Some(Private::new(file)),
    }
}

impl Books {
    /// The server started or stopped to record our channel (`05_mixmonitor`). The events have neither
    /// file nor id.
    pub(crate) fn recording_event(&mut self, id: CallId, event: &Message) -> Vec<SipEvent> {
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        let recordings = &mut line.recordings;
        if event.is_event("MixMonitorStop") {
            return recordings.stop_event(id).into_iter().collect();
        }
        match &mut recordings.ours {
            Some(ours) if !ours.started => ours.started = true,
            _ => recordings.others = recordings.others.saturating_add(1),
        }
        self.recording_begins(id)
    }

    fn recording_begins(&mut self, id: CallId) -> Vec<SipEvent> {
        let line = self.lines.get_mut(&id);
        let Some(file) = line.and_then(|line| line.recordings.begins()) else {
            return Vec::new();
        };
        self.calls.recorded(id, &file);
        vec![changed(id, true, file)]
    }
}

/// Starts or stops the recording of a call.
pub(crate) async fn record(core: &Core, server: Server, request: RecordRequest) -> Result<()> {
    let Some(id) = core.state().books.find(&request.call) else {
        return Err(gone());
    };
    let done = if request.run {
        start(core, &server, id).await
    } else {
        stop(core, &server, id).await
    };
    done.map_err(|error| error.with_call_id(id))
}

/// Starts to record an answered call, and waits until the server says that it does.
pub(crate) async fn start(core: &Core, server: &Server, id: CallId) -> Result<()> {
    let configured = core.config.recordings.as_deref();
    let (channel, file) = {
        let mut state = core.state();
        let answered = state.books.calls.is_answered(id)
            && state.books.calls.state(id) != Some(CallState::HangingUp);
        let Some(line) = state.books.lines.get_mut(&id) else {
            return Err(gone());
        };
        if !answered {
            return Err(refused("the call is not answered"));
        }
        let recordings = &mut line.recordings;
        if recordings.ours.is_some() {
            return Err(refused("the call is being recorded; stop that first"));
        }
        recordings.begun = recordings.begun.saturating_add(1);
        let name = format!("faxbot-{}-{}.wav", id.as_uuid(), recordings.begun);
        let file = match configured {
            Some(directory) => format!("{directory}/{name}"),
            None => name,
        };
        recordings.ours = Some(Recording {
            file: file.clone(),
            monitor: None,
            started: false,
            told: false,
            naming: configured.is_none(),
            stopping: false,
        });
        (line.uniqueid.clone(), file)
    };
    // If this future is dropped, what the server says then is told all the same.
    let naming = Naming { core, id };
    let options = format!("i({MONITOR})");
    let headers = [
        ("Channel", channel.as_str()),
        ("File", file.as_str()),
        ("Options", options.as_str()),
    ];
    let ordered = match action("MixMonitor", &headers, OPERATION) {
        Ok(action) => server.order(action, OPERATION).await,
        Err(error) => Err(error),
    };
    match ordered {
        Ok(reply) => keep_monitor(core, id, &reply),
        Err(error) => {
            // One whose fate is not known may run: it can be stopped.
            if error.effect() != Effect::Unknown
                && let Some(line) = core.state().books.lines.get_mut(&id)
            {
                line.recordings.ours = None;
            }
            return Err(error);
        }
    }
    if configured.is_none()
        && let Some(path) = full_path(server, &channel, &file).await
        && let Some(ours) = ours(&mut core.state(), id)
    {
        ours.file = path;
    }
    drop(naming);
    let limit = core.config.request_timeout;
    let told = core.until(limit, |state| match state.books.lines.get_mut(&id) {
        None => Some(Err(gone())),
        // Started, and perhaps stopped again.
        Some(line) => match &line.recordings.ours {
            Some(ours) if !ours.told => None,
            _ => Some(Ok(())),
        },
    });
    told.await.unwrap_or_else(|| {
        let message = "the server did not say that the recording began";
        Err(Error::new(ErrorKind::OutcomeUnknown, OPERATION, message).with_effect(Effect::Unknown))
    })
}

/// The full path of the recording is not asked for any longer.
struct Naming<'a> {
    core: &'a Core,
    id: CallId,
}

impl Drop for Naming<'_> {
    fn drop(&mut self) {
        self.core.events(|state, _| {
            if let Some(ours) = ours(state, self.id) {
                ours.naming = false;
            }
            state.books.recording_begins(self.id)
        });
    }
}

fn ours(state: &mut State, id: CallId) -> Option<&mut Recording> {
    state.books.lines.get_mut(&id)?.recordings.ours.as_mut()
}

fn keep_monitor(core: &Core, id: CallId, reply: &Reply) {
    if let Some(ours) = ours(&mut core.state(), id) {
        let monitor = reply.response.get_str("MixMonitorID");
        ours.monitor = monitor.map(std::borrow::Cow::into_owned);
    }
}

/// Where a file without a directory went: below Asterisk's own `monitor`, which nothing else tells.
async fn full_path(server: &Server, channel: &str, file: &str) -> Option<String> {
    let headers = [("Channel", channel), ("Variable", "MIXMONITOR_FILENAME")];
    let question = action("Getvar", &headers, OPERATION).ok()?;
    let reply = server.order(question, OPERATION).await.ok()?;
    let path = reply.response.get_str("Value")?.into_owned();
    // The dialplan may have begun another one meanwhile.
    (path.starts_with('/') && path.ends_with(file)).then_some(path)
}

async fn stop(core: &Core, server: &Server, id: CallId) -> Result<()> {
    let (channel, monitor) = {
        let mut state = core.state();
        let Some(line) = state.books.lines.get_mut(&id) else {
            return Err(gone());
        };
        let Some(ours) = &mut line.recordings.ours else {
            return Err(refused("the call is not being recorded"));
        };
        if std::mem::replace(&mut ours.stopping, true) {
            return Err(refused("the recording is being stopped"));
        }
        (line.uniqueid.clone(), ours.monitor.clone())
    };
    let stopping = Stopping { core, id };
    let mut headers = vec![("Channel", channel.as_str())];
    headers.extend(monitor.as_deref().map(|monitor| ("MixMonitorID", monitor)));
    let order = action("StopMixMonitor", &headers, OPERATION)?;
    let done = server.order(order, OPERATION).await;
    // `Could not stop monitoring channel`: it was over before.
    let was_over = |error: &Error| error.kind() == ErrorKind::Rejected;
    if done.as_ref().err().is_none_or(was_over) {
        core.events(|state, _| {
            let Some(line) = state.books.lines.get_mut(&id) else {
                return Vec::new();
            };
            // The event may have come before the answer was taken.
            if done.is_ok() && line.recordings.ours.is_some() {
                line.recordings.stops_due = line.recordings.stops_due.saturating_add(1);
            }
            line.recordings.ended(id).into_iter().collect()
        });
    }
    drop(stopping);
    match done {
        Err(error) if was_over(&error) => {
            Err(refused("the call is not being recorded").with_source(error))
        }
        done => done.map(drop),
    }
}

/// A stop that is being asked for. When that is over, the recording stopped or can be stopped again.
struct Stopping<'a> {
    core: &'a Core,
    id: CallId,
}

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        if let Some(ours) = ours(&mut self.core.state(), self.id) {
            ours.stopping = false;
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, OPERATION, "no such call is up")
}

fn refused(message: &str) -> Error {
    Error::new(ErrorKind::InvalidState, OPERATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Recordings {
        let ours = Recording {
            file: "/rec/a.wav".to_owned(),
            monitor: None,
            started: true,
            told: true,
            naming: false,
            stopping: false,
        };
        Recordings {
            ours: Some(ours),
            ..Recordings::default()
        }
    }

    #[test]
    fn a_stop_of_others_ends_ours_only_where_there_is_no_other() {
        let id = CallId::new();
        assert!(running().stop_event(id).is_some());
        let mut recordings = running();
        recordings.others = 1;
        assert!(recordings.stop_event(id).is_none());
        assert!(recordings.stop_event(id).is_some());
        assert!(recordings.stop_event(id).is_none());
    }

    #[test]
    fn the_late_event_of_a_stop_that_was_answered_ends_no_new_recording() {
        let mut recordings = running();
        recordings.stops_due = 1;
        assert!(recordings.stop_event(CallId::new()).is_none());
        assert!(recordings.ours.is_some());
    }

    #[test]
    fn a_recording_that_was_never_told_of_ends_without_a_word() {
        let mut recordings = running();
        if let Some(ours) = &mut recordings.ours {
            ours.told = false;
        }
        assert!(recordings.ended(CallId::new()).is_none());
    }
}
