//! What begins when the far end answers: the recording, and the limit of the call's duration.

use std::time::{Duration, Instant};

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    id::CallId,
    sip::{CallOptions, Severity},
};

use super::{
    books::{Books, Todo},
    control::record,
    core::Core,
    request::action,
    server::Server,
};
use crate::adapter::{calls::Now, hub::Book as _};

/// What begins when the far end answers, as far as it has not begun.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OnceAnswered {
    pub(super) record: bool,
    pub(super) max_duration: Option<Duration>,
    /// When the answer was seen.
    pub(super) at: Option<Instant>,
}

impl OnceAnswered {
    pub(super) fn of(options: &CallOptions) -> Self {
        Self {
            record: options.record,
            max_duration: options.max_duration,
            at: None,
        }
    }

    fn is_due(&self) -> bool {
        self.record || self.max_duration.is_some()
    }
}

/// What is to be done for one call now.
#[derive(Debug)]
struct Due {
    channel: String,
    record: bool,
    /// How long it may go on, and for how long from now.
    limit: Option<(Duration, Duration)>,
}

impl Books {
    /// The call is answered, as an event says or a list shows: asks for what begins then, if something
    /// is left to begin.
    pub(super) fn is_answered(&mut self, id: CallId, now: Now) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        line.on_answer.at.get_or_insert(now.instant);
        if line.on_answer.is_due() && !self.todo.contains(&Todo::Answered(id)) {
            self.todo.push(Todo::Answered(id));
        }
    }

    fn take_answered(&mut self, id: CallId, now: Now) -> Option<Due> {
        let line = self.lines.get_mut(&id).filter(|line| !line.settling)?;
        let asked = &mut line.on_answer;
        let since = asked.at?;
        let passed = now.instant.saturating_duration_since(since);
        Some(Due {
            channel: line.uniqueid.clone(),
            record: std::mem::take(&mut asked.record),
            limit: asked
                .max_duration
                .take()
                .map(|limit| (limit, limit.saturating_sub(passed))),
        })
    }

    /// Puts back what could not be asked for; the next list of channels asks for it again.
    fn put_back(&mut self, id: CallId, record: bool, limit: Option<Duration>, now: Now) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.on_answer.record |= record;
            line.on_answer.max_duration = line.on_answer.max_duration.or(limit);
        }
        self.unsure(id, now);
    }
}

/// The far end answered: starts what was asked for from then on. What fails is told, and what the
/// server did not get is tried again.
pub(super) async fn once_answered(core: &Core, server: &Server, id: CallId) {
    let due = core.change(|state, now| (state.books.take_answered(id, now), Vec::new()));
    let Some(due) = due else { return };
    if let Some((all, left)) = due.limit {
        match limit(server, &due.channel, left).await {
            // To set it twice does no harm.
            Err(error) if is_passing(&error) => again(core, id, false, Some(all)),
            done => tell(core, id, done),
        }
    }
    if due.record {
        match record::start(core, server, id).await {
            Err(error) if is_passing(&error) && error.effect() == Effect::NoEffect => {
                again(core, id, true, None);
            }
            done => tell(core, id, done),
        }
    }
}

/// Ends the channel when its time is over, also if we are gone by then.
async fn limit(server: &Server, channel: &str, left: Duration) -> Result<()> {
    const OPERATION: &str = "make_call";
    if left.is_zero() {
        return server.hang_up(channel).await;
    }
    let seconds = match left.subsec_millis() {
        0 => left.as_secs().max(1).to_string(),
        millis => format!("{}.{millis:03}", left.as_secs()),
    };
    let headers = [("Channel", channel), ("Timeout", seconds.as_str())];
    let order = action("AbsoluteTimeout", &headers, OPERATION)?;
    server.order(order, OPERATION).await.map(drop)
}

/// Whether the link failed, and not the order; or the channel is gone: the list shows whether its call
/// is over, of which the event may still be on its way.
fn is_passing(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotConnected
            | ErrorKind::Timeout
            | ErrorKind::Overloaded
            | ErrorKind::OutcomeUnknown
            | ErrorKind::Protocol
            | ErrorKind::NotFound
    )
}

fn again(core: &Core, id: CallId, record: bool, limit: Option<Duration>) {
    core.note(|state, now| state.books.put_back(id, record, limit, now));
}

fn tell(core: &Core, id: CallId, done: Result<()>) {
    if let Err(error) = done {
        core.trouble(Severity::Warning, error.with_call_id(id));
    }
}
