//! Placing calls and faxes, and hanging them up.

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    fax::{FaxCall, FaxRequest},
    id::{CallId, CallRef},
    sip::{Call, CallRequest, HangupOutcome},
    task::blocking,
};

use super::{
    AsteriskAdapter,
    answer::OnceAnswered,
    books::{Books, legs::Plan, line::NewLine},
    core::Core,
    lookup::is_of,
    outcome::channel_id,
    request,
    server::Server,
    server_of,
};
use crate::{
    adapter::{
        fax_handle::fax_call,
        placing::{Placing, parties},
        spool::{self, Pages},
    },
    protocol::ami::{Action, AmiSession},
};

impl AsteriskAdapter {
    pub(super) async fn place_call(&self, request: CallRequest) -> Result<Call> {
        const OPERATION: &str = "make_call";
        self.core.require(&request.capabilities(), OPERATION)?;
        let control = self.core.state().books.known.abilities.control;
        let action = request::make_call(&self.core.config, &self.core.store, control, &request)?;
        let server = self.server(OPERATION)?;
        let id = request.id;
        let (from, to) = parties(&request, OPERATION)?;
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
        originate(&self.core, placing, &server, action, None, OPERATION).await?;
        Ok(Call::new(id, updates))
    }

    pub(super) async fn place_fax(&self, request: FaxRequest) -> Result<FaxCall> {
        const OPERATION: &str = "send_fax";
        self.core.require(&request.capabilities(), OPERATION)?;
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
        originate(&self.core, placing, &server, action, Some(put), OPERATION).await?;
        Ok(fax_call(&self.life, id, updates, move |life| async move {
            let server = server_of(&life, "cancel");
            hang_up(life.core(), server, &id.into()).await
        }))
    }
}

/// Sends an Originate whose call is in the books, and enters its fate there.
async fn originate(
    core: &Core,
    mut placing: Placing<'_, AmiSession, Books>,
    server: &Server,
    action: Action,
    pages: Option<Pages>,
    operation: &'static str,
) -> Result<()> {
    // Nothing was dialled if this fails, whatever became of the extension.
    if let Err(error) = core.keep_extension(server, operation).await {
        return Err(placing.failed(error.with_effect(Effect::NoEffect)));
    }
    placing.requested()?;
    let is_fax = pages.is_some();
    if let Some(pages) = pages {
        pages.keep();
    }
    match server.order(action, operation).await {
        Ok(_) => {
            placing.taken();
            Ok(())
        }
        Err(error) => {
            if is_fax && error.effect() != Effect::Unknown {
                spool::clear(core.spool.as_ref(), placing.id()).await;
            }
            Err(placing.failed(error))
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
