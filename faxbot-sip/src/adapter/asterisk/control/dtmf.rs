//! Digits in both directions.
//!
//! `PlayDTMF` takes one digit and silences the whole connection while it lasts (observed on Asterisk
//! 16.28 and 22.10, recording `05_dtmf`). So the digits are sent by `SendDTMF` in a dialplan of ours,
//! on a channel of its own that names the call's. That channel is never answered: its
//! `OriginateResponse` is a failure in any case, and comes when the last digit is through.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    clock::later,
    id::{CallId, RequestId},
    sip::{CallState, DtmfRequest, SipEvent},
};

use super::super::{
    core::{Core, State},
    dialplan::{DTMF, DTMF_CHANNEL, DTMF_DIGITS, DTMF_GAP, DTMF_LENGTH},
    request::refused,
    server::Server,
};
use crate::{
    adapter::digits,
    protocol::ami::{Action, ActionError, Message},
};

const OPERATION: &str = "send_dtmf";

/// Asterisk makes shorter digits as long as that (`AST_DEFAULT_EMULATE_DTMF_DURATION` in
/// `main/channel.c`).
const SHORTEST_SENT: Duration = Duration::from_millis(100);

/// Silence behind each digit.
const GAP: Duration = Duration::from_millis(100);

/// How long the end of a call may take to be told, whose digits were cut short.
const ENDING: Duration = Duration::from_secs(5);

/// What sends digits now, by the `Uniqueid` of its channel.
pub(crate) type Senders = HashSet<String>;

/// A digit came in (`05_dtmf`). Those that we send have no event, and one that goes on to the other
/// party of the call has `Direction: Sent` there: each digit is told once.
pub(crate) fn received(id: CallId, event: &Message) -> Vec<SipEvent> {
    if event.get_str("Direction").as_deref() != Some("Received") {
        return Vec::new();
    }
    let duration = event
        .get_str("DurationMs")
        .and_then(|duration| duration.parse().ok())
        .map(Duration::from_millis);
    digits::received(id, event.get_str("Digit").as_deref(), duration)
}

/// Sends digits into a call and waits until the last one is through.
pub(crate) async fn send(core: &Core, server: Server, request: DtmfRequest) -> Result<()> {
    digits::check(&request)?;
    let (id, turn) = {
        let state = core.state();
        let found = state.books.find(&request.call);
        let line = found.and_then(|id| Some((id, state.books.lines.get(&id)?)));
        let line = line.filter(|(_, line)| line.ending.is_none());
        let Some((id, line)) = line else {
            return Err(gone());
        };
        if !state.books.calls.is_answered(id)
            || state.books.calls.state(id) == Some(CallState::HangingUp)
        {
            let message = "the call is not answered";
            return Err(Error::new(ErrorKind::InvalidState, OPERATION, message).with_call_id(id));
        }
        (id, Arc::clone(&line.dtmf))
    };
    let mut turn = turn.lock().await;
    // It stays known while we wait: this future may be dropped, too.
    if let Some(until) = *turn {
        core.clock.sleep_until(until).await;
    }
    let done = send_now(core, &server, id, &request, &mut turn).await;
    // Not reached by a future that was dropped: its digits go on. Those of an order whose answer was
    // lost may.
    if done
        .as_ref()
        .err()
        .is_none_or(|error| error.effect() != Effect::Unknown)
    {
        *turn = None;
    }
    done.map_err(|error| error.with_call_id(id))
}

async fn send_now(
    core: &Core,
    server: &Server,
    id: CallId,
    request: &DtmfRequest,
    busy: &mut Option<Instant>,
) -> Result<()> {
    // A dialplan reload takes the extension away.
    core.keep_extension(server, OPERATION).await?;
    let count = u32::try_from(request.digits.len()).unwrap_or(u32::MAX);
    let takes = request
        .duration
        .max(SHORTEST_SENT)
        .saturating_add(GAP)
        .saturating_mul(count);
    let sender = Sender::new(core);
    // Looked up after the turn came: the call may be gone.
    let channel = {
        let state = core.state();
        let ends = ending(core, &state, id).is_some();
        state.books.own_channel(id).filter(|_| !ends)
    };
    let Some(channel) = channel else {
        return Err(gone());
    };
    let order = originate(core, &sender, &channel, request, takes)?;
    let began = core.clock.now();
    *busy = Some(later(began, takes));
    server.order(order, OPERATION).await?;
    let limit = takes.saturating_add(core.config.request_timeout);
    // The end of the sender says nothing of a channel that was not there or went in between. A tenth
    // is for a server whose clock runs faster than ours.
    let early = |at: Instant| at.saturating_duration_since(began) + takes / 10 < takes;
    let over = core.until(limit, |state| {
        if ending(core, state, id).is_some_and(early) {
            return Some(Err(gone()));
        }
        (!state.books.senders.contains(&sender.channel)).then_some(Ok(()))
    });
    let Some(over) = over.await else {
        let message = "the server did not say that the digits were sent";
        return Err(
            Error::new(ErrorKind::OutcomeUnknown, OPERATION, message).with_effect(Effect::Unknown)
        );
    };
    over?;
    if !early(core.clock.now()) {
        return Ok(());
    }
    let ended = core.until(ENDING, |state| ending(core, state, id));
    match ended.await {
        Some(_) => Err(gone()),
        None => Err(Error::new(
            ErrorKind::Rejected,
            OPERATION,
            "the server did not send the digits; is app_senddtmf loaded?",
        )),
    }
}

/// When the call began to end.
fn ending(core: &Core, state: &State, id: CallId) -> Option<Instant> {
    match state.books.lines.get(&id) {
        Some(line) => line.ending,
        None => Some(core.clock.now()),
    }
}

fn originate(
    core: &Core,
    sender: &Sender<'_>,
    channel: &str,
    request: &DtmfRequest,
    takes: Duration,
) -> Result<Action> {
    let Some(context) = core.store.context() else {
        return Err(Error::unsupported(OPERATION));
    };
    let millis = |time: Duration| time.as_millis().to_string();
    let build = || -> std::result::Result<Action, ActionError> {
        Action::new("Originate")?
            .header("Channel", &format!("Local/{DTMF}@{context}/n"))?
            .header("Async", "true")?
            .header("ChannelId", &sender.channel)?
            .header("OtherChannelId", &sender.other)?
            .header(
                "Timeout",
                &millis(takes.saturating_add(core.config.request_timeout)),
            )?
            // Never run: nobody answers.
            .header("Application", "Wait")?
            .header("Data", "1")?
            .variable(&format!("__{DTMF_DIGITS}"), &request.digits)?
            .variable(&format!("__{DTMF_GAP}"), &millis(GAP))?
            .variable(&format!("__{DTMF_LENGTH}"), &millis(request.duration))?
            .variable(&format!("__{DTMF_CHANNEL}"), channel)
    };
    build().map_err(|error| refused(OPERATION, error))
}

/// A channel that sends digits, as long as somebody waits for it. Its names have the length of all
/// others of ours: the server compares as many characters as a new one has.
struct Sender<'a> {
    core: &'a Core,
    channel: String,
    other: String,
}

impl<'a> Sender<'a> {
    fn new(core: &'a Core) -> Self {
        let id = RequestId::new().as_uuid();
        let channel = format!("fxdtmf-{id}");
        core.state().books.senders.insert(channel.clone());
        Self {
            core,
            channel,
            other: format!("fxtone-{id}"),
        }
    }
}

impl Drop for Sender<'_> {
    fn drop(&mut self) {
        self.core.state().books.senders.remove(&self.channel);
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, OPERATION, "no such call is up")
}
