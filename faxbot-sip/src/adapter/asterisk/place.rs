//! Placing calls and faxes, and hanging them up.

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    address::Address,
    fax::{FaxCall, FaxRequest},
    id::{CallId, CallRef},
    plugin::CancelOutcome,
    sip::{Call, CallPlan, CallRequest, Capability, HangupOutcome},
    task::blocking,
};

use super::{
    AsteriskAdapter, answer::OnceAnswered, core::Core, legs::Plan, line::NewLine, lookup::is_of,
    outcome::channel_id, request, server::Server, server_of,
};
use crate::adapter::{
    hub::Book as _,
    spool::{self, Pages},
};
use crate::protocol::ami::{Action, Reply};

impl AsteriskAdapter {
    pub(super) async fn place_call(&self, request: CallRequest) -> Result<Call> {
        const OPERATION: &str = "make_call";
        self.core.require(&request.capabilities(), OPERATION)?;
        let control = self.core.state().books.known.abilities.control;
        let action = request::make_call(&self.core.config, &self.core.store, control, &request)?;
        let server = self.server(OPERATION)?;
        let id = request.id;
        let caller = request.options.caller_id.as_ref();
        let name = |address: &Address| Private::new(address.expose().into_owned());
        let caller = caller.map(|number| Private::new(number.expose().to_owned()));
        let (from, to) = match &request.plan {
            CallPlan::Dial { to, .. } => (caller, name(to)),
            CallPlan::Connect { from, to } => (Some(name(from)), name(to)),
            _ => return Err(Error::unsupported(OPERATION)),
        };
        let new = NewLine {
            id,
            to,
            from,
            ring_timeout: request.options.timeout,
            plan: Plan::of(&request),
            on_answer: OnceAnswered::of(&request.options),
        };
        let updates = self
            .core
            .change(|state, now| (state.books.open(new, now), Vec::new()))?;
        self.core.state().books.placed(id, &request.plan);
        let placing = Placing::new(&self.core, id);
        originate(placing, &server, action, None, OPERATION).await?;
        Ok(Call::new(id, updates))
    }

    pub(super) async fn place_fax(&self, request: FaxRequest) -> Result<FaxCall> {
        const OPERATION: &str = "send_fax";
        self.core.require(&[Capability::SendFax], OPERATION)?;
        let Some(spool) = self.core.spool.clone() else {
            return Err(Error::unsupported(OPERATION));
        };
        let id = request.id;
        let remote = spool.file(id).remote;
        let action = request::send_fax(&self.core.config, &self.core.store, &request, &remote)?;
        let server = self.server(OPERATION)?;
        let new = NewLine {
            id,
            to: Private::new(request.to.expose().to_owned()),
            from: None,
            ring_timeout: request.ring_timeout,
            plan: Plan::default(),
            on_answer: OnceAnswered::default(),
        };
        let pages = request.image.pages();
        let updates = self
            .core
            .change(|state, now| (state.books.open_fax(new, pages, now), Vec::new()))?;
        let placing = Placing::new(&self.core, id);
        let image = request.image.clone();
        // If this future is dropped meanwhile, so is what it answers, and the file with it.
        let put = blocking(OPERATION, move || spool.put(id, image.path()))
            .await
            .and_then(|put| put);
        let put = match put {
            Ok(put) => put,
            Err(error) => return Err(placing.give_up(error)),
        };
        originate(placing, &server, action, Some(put), OPERATION).await?;
        // Not the adapter itself: a handle that is kept must not keep the connection.
        let life = self.life.downgrade();
        Ok(FaxCall::new(id, updates, move || {
            let life = life.clone();
            Box::pin(async move {
                let Some(life) = life.upgrade() else {
                    return Err(
                        Error::new(ErrorKind::Closed, "cancel", "the adapter is gone")
                            .with_call_id(id)
                            .with_effect(Effect::NoEffect),
                    );
                };
                let server = server_of(&life, "cancel");
                match hang_up(life.core(), server, &id.into()).await? {
                    HangupOutcome::Ended => Ok(CancelOutcome::TooLate),
                    _ => Ok(CancelOutcome::Requested),
                }
            })
        }))
    }
}

/// A call that is in the books and not decided. If it is dropped so, the caller left: before the
/// request was written the call never was, after it the server is asked.
struct Placing<'a> {
    core: &'a Core,
    id: CallId,
    written: bool,
    decided: bool,
}

impl<'a> Placing<'a> {
    fn new(core: &'a Core, id: CallId) -> Self {
        Self {
            core,
            id,
            written: false,
            decided: false,
        }
    }

    /// The call never was.
    fn give_up(mut self, error: Error) -> Error {
        self.decided = true;
        let error = error.with_call_id(self.id);
        self.core
            .events(|state, _| state.books.lose(self.id, error.clone()));
        error
    }

    /// Nobody knows: the books ask the server.
    fn unsure(&self) {
        self.core
            .note(|state, now| state.books.unsure(self.id, now));
    }
}

impl Drop for Placing<'_> {
    fn drop(&mut self) {
        if self.decided {
            return;
        }
        if self.written {
            self.unsure();
        } else {
            let error = cancelled("the request was given up before it was sent", self.id);
            self.core
                .events(|state, _| state.books.lose(self.id, error));
        }
    }
}

fn cancelled(message: &str, id: CallId) -> Error {
    Error::new(ErrorKind::Cancelled, "make_call", message)
        .with_call_id(id)
        .with_effect(Effect::NoEffect)
}

/// Sends an Originate whose call is in the books, and enters its fate there.
async fn originate(
    mut placing: Placing<'_>,
    server: &Server,
    action: Action,
    pages: Option<Pages>,
    operation: &'static str,
) -> Result<Reply> {
    let (core, id) = (placing.core, placing.id);
    // Nothing was dialled if this fails, whatever became of the extension.
    if let Err(error) = core.keep_extension(server, operation).await {
        let error = error.with_effect(Effect::NoEffect);
        core.health().failed(&error);
        return Err(placing.give_up(error));
    }
    if !core.change(|state, now| (state.books.requested(id, now), Vec::new())) {
        return Err(placing.give_up(cancelled("the call was hung up before it was sent", id)));
    }
    placing.written = true;
    let is_fax = pages.is_some();
    if let Some(pages) = pages {
        pages.keep();
    }
    match server.order(action, operation).await {
        Ok(reply) => {
            placing.decided = true;
            core.events(|state, now| state.books.taken(id, now));
            core.health().succeeded();
            Ok(reply)
        }
        Err(error) => {
            core.health().failed(&error);
            if error.effect() == Effect::Unknown {
                placing.decided = true;
                placing.unsure();
                return Err(error.with_call_id(id));
            }
            if is_fax {
                spool::clear(core.spool.as_ref(), id).await;
            }
            Err(placing.give_up(error))
        }
    }
}

/// Hangs up a call of ours, or one channel.
pub(super) async fn hang_up(
    core: &Core,
    server: Result<Server>,
    call: &CallRef,
) -> Result<HangupOutcome> {
    let known = {
        let state = core.state();
        (state.books.find(call), state.books.record(call).is_some())
    };
    match known {
        (Some(id), _) => hang_up_ours(core, server, id).await,
        (None, true) => Ok(HangupOutcome::Ended),
        (None, false) => {
            let channel = match (call.id, &call.native) {
                (Some(id), _) => channel_id(id),
                // Between slashes it is a regular expression and hangs up whatever fits.
                (None, Some(native)) if !native.starts_with('/') => native.clone(),
                (None, _) => {
                    return Err(Error::new(
                        ErrorKind::InvalidRequest,
                        "hangup",
                        "name the call by its id or by one channel",
                    ));
                }
            };
            let server = server?;
            match (server.hang_up(&channel).await, call.id) {
                (Err(error), Some(id)) if error.kind() == ErrorKind::NotFound => {
                    // One that came in has a name of the server's; only a list leads from our id to it.
                    let list = server.channels("hangup").await?;
                    let came_in = list.iter().find(|it| is_of(&it.uniqueid, id));
                    let Some(channel) = came_in else {
                        return Err(error.with_call_id(id));
                    };
                    server.hang_up(&channel.uniqueid).await?;
                }
                (done, _) => done?,
            }
            Ok(HangupOutcome::Requested)
        }
    }
}

async fn hang_up_ours(core: &Core, server: Result<Server>, id: CallId) -> Result<HangupOutcome> {
    let server = server.map_err(|error| error.with_call_id(id))?;
    // Before the order: the end that follows is ours even if its event overtakes the answer.
    core.state().books.hung_up_by_us(id, true);
    let channel = core.state().books.own_channel(id);
    match server
        .hang_up(&channel.unwrap_or_else(|| channel_id(id)))
        .await
    {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // No channel yet, or no longer: then its end is on its way, or was missed.
            core.note(|state, now| state.books.hang_up_when_there(id, now));
        }
        Err(error) => {
            if error.effect() == Effect::NoEffect {
                core.state().books.hung_up_by_us(id, false);
            }
            return Err(error.with_call_id(id));
        }
    }
    core.events(|state, now| state.books.hanging_up(id, now));
    Ok(HangupOutcome::Requested)
}
