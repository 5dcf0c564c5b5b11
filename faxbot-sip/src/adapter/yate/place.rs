//! Placing calls and faxes, and hanging them up.

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    clock::later,
    fax::{FaxCall, FaxRequest, T38Mode},
    id::{CallId, CallRef},
    sip::{Call, CallRequest, CallState, Direction, HangupOutcome, Lookup},
    task::blocking,
};

use super::{
    YateAdapter,
    core::{Core, HANGUP},
    request,
    server::{Server, refusal},
    server_of,
    state::Desk,
};
use crate::{
    adapter::{
        books::{NewLine, Plan},
        fax_handle::fax_call,
        placing::{Placing, parties},
        spool::{self, Pages},
    },
    protocol::yate::{Command, YateSession},
};

impl YateAdapter {
    pub(super) async fn place_call(&self, request: CallRequest) -> Result<Call> {
        const OPERATION: &str = "make_call";
        self.core.hub.require(&request.capabilities(), OPERATION)?;
        let id = request.id;
        let command = request::make_call(&self.core.config, &request)?;
        let then = request::once_answered(&self.core.config, &request)?;
        let server = self.server(OPERATION)?;
        let (from, to) = parties(&request, OPERATION)?;
        let new = NewLine {
            id,
            direction: Direction::Outbound,
            state: CallState::Created,
            from,
            to: Some(to),
            own: None,
            ring_timeout: request.options.timeout,
            plan: Plan::of(&request),
            kind: "call",
            once_answered: then.is_due(),
        };
        let updates = self.core.hub.change(|state, now| {
            let opened = state.books.open(new, now);
            if opened.is_ok() && then.is_due() {
                state.books.orders.opens(id, then);
            }
            (opened, Vec::new())
        })?;
        let placing = Placing::new(&self.core.hub, id);
        execute(&self.core, placing, &server, command, None, OPERATION).await?;
        Ok(Call::new(id, updates))
    }

    pub(super) async fn place_fax(&self, request: FaxRequest) -> Result<FaxCall> {
        const OPERATION: &str = "send_fax";
        self.core.hub.require(&request.capabilities(), OPERATION)?;
        let Some(spool) = self.core.spool.clone() else {
            return Err(Error::unsupported(OPERATION));
        };
        let id = request.id;
        let remote = spool.file(id).remote;
        let command = request::send_fax(&self.core.config, &request, &remote)?;
        let server = self.server(OPERATION)?;
        let new = NewLine {
            id,
            direction: Direction::Outbound,
            state: CallState::Created,
            from: None,
            to: Some(Private::new(request.to.expose().to_owned())),
            own: None,
            ring_timeout: request.ring_timeout,
            plan: Plan::Single,
            kind: "fax",
            once_answered: false,
        };
        let pages = request.image.pages();
        let updates = self.core.hub.change(|state, now| {
            let opened = state.books.open_fax(new, pages, now);
            if opened.is_ok() {
                let at = now.instant;
                let (ring, total) = (request.ring_timeout, request.total_timeout());
                let digital = request.t38 == T38Mode::Require;
                state
                    .books
                    .limits
                    .sends(id, later(at, ring), later(at, total), digital);
                state.books.paths.insert(remote, id);
            }
            (opened, Vec::new())
        })?;
        // It looks at the limits of the fax.
        self.core.hub.wake();
        let placing = Placing::new(&self.core.hub, id);
        let image = request.image.clone();
        // If this future is dropped meanwhile, so is what it answers, and the file with it.
        let put = blocking(OPERATION, move || spool.put(id, image.path()))
            .await
            .and_then(|put| put);
        let put = match put {
            Ok(put) => put,
            Err(error) => return Err(placing.give_up(error)),
        };
        execute(&self.core, placing, &server, command, Some(put), OPERATION).await?;
        Ok(fax_call(&self.life, id, updates, move |life| async move {
            let server = server_of(&life, "cancel");
            hang_up(life.core(), server, &id.into()).await
        }))
    }
}

/// A request whose answer names the channels of its call.
pub(super) struct Answer<'a>(&'a Core);

impl<'a> Answer<'a> {
    pub(super) fn awaited(core: &'a Core) -> Self {
        core.hub.state().books.places();
        Self(core)
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.0.hub.state().books.placed();
    }
}

/// Sends a `call.execute` whose call is in the books, and enters its fate there.
async fn execute(
    core: &Core,
    mut placing: Placing<'_, YateSession, Desk>,
    server: &Server,
    command: Command,
    pages: Option<Pages>,
    operation: &'static str,
) -> Result<()> {
    let id = placing.id();
    placing.requested()?;
    let is_fax = pages.is_some();
    if let Some(pages) = pages {
        pages.keep();
    }
    let answer = Answer::awaited(core);
    let frame = match server.ask(command, operation).await {
        Ok(frame) => frame,
        Err(error) => return Err(failed(core, placing, is_fax, error).await),
    };
    if let Some(error) = refusal(&frame, operation) {
        // Nothing was dialled: the engine answers when the far leg has been made, or could not be.
        let error = error.with_effect(Effect::NoEffect);
        return Err(failed(core, placing, is_fax, error).await);
    }
    core.hub.events(|state, now| {
        let Some(message) = frame.message() else {
            return Vec::new();
        };
        let channel = |name: &str| message.text(name).unwrap_or_default().into_owned();
        let (near, far) = (channel("id"), channel("peerid"));
        let mut out = Vec::new();
        if !is_fax && !far.is_empty() {
            out.extend(state.books.is_ours(id, &far, now));
            out.extend(state.books.is_other(id, &near, now));
        }
        out
    });
    drop(answer);
    placing.taken();
    Ok(())
}

async fn failed(
    core: &Core,
    placing: Placing<'_, YateSession, Desk>,
    is_fax: bool,
    error: Error,
) -> Error {
    if is_fax && error.effect() != Effect::Unknown {
        spool::clear(core.spool.as_ref(), placing.id()).await;
    }
    placing.failed(error)
}

/// Hangs up a call of ours, or one channel.
pub(super) async fn hang_up(
    core: &Core,
    server: Result<Server>,
    call: &CallRef,
) -> Result<HangupOutcome> {
    let known = {
        let state = core.hub.state();
        (state.books.find(call), state.books.record(call).is_some())
    };
    match (known, &call.native) {
        ((Some(id), _), _) => hang_up_ours(core, server, id).await,
        ((None, true), _) => Ok(HangupOutcome::Ended),
        ((None, false), Some(native)) if call.id.is_none() => {
            server?.hang_up(native, HANGUP).await?;
            Ok(HangupOutcome::Requested)
        }
        ((None, false), _) => {
            // Channels have names of the server's: one of another process is found by its address.
            let server = server?;
            let found = super::lookup::lookup(core, Ok(server.clone()), call).await?;
            let channel = match &found {
                Lookup::Live(status) => status.channels.first(),
                _ => None,
            };
            let Some(channel) = channel else {
                let error = Error::new(ErrorKind::NotFound, "hangup", "no such call");
                return Err(match call.id {
                    Some(id) => error.with_call_id(id),
                    None => error,
                });
            };
            server.hang_up(channel.expose(), HANGUP).await?;
            Ok(HangupOutcome::Requested)
        }
    }
}

async fn hang_up_ours(core: &Core, server: Result<Server>, id: CallId) -> Result<HangupOutcome> {
    let server = server.map_err(|error| error.with_call_id(id))?;
    // Before the order: the end that follows is ours even if its message overtakes the answer.
    let own = {
        let mut state = core.hub.state();
        state.books.hung_up_by_us(id, true);
        state.books.own_channel(id)
    };
    let done = match own {
        Some(channel) => server.hang_up(&channel, HANGUP).await,
        None => Err(Error::new(ErrorKind::NotFound, "hangup", "no channel yet")),
    };
    match done {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // No channel yet, or no longer: then its end is on its way, or was missed.
            core.hub
                .note(|state, now| state.books.hang_up_when_there(id, now));
        }
        Err(error) => {
            if error.effect() == Effect::NoEffect {
                core.hub.state().books.hung_up_by_us(id, false);
            }
            return Err(error.with_call_id(id));
        }
    }
    core.hub
        .events(|state, now| state.books.hanging_up(id, now));
    Ok(HangupOutcome::Requested)
}
