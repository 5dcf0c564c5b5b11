//! Placing calls and faxes, and hanging them up.

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    fax::{FaxCall, FaxRequest},
    id::{CallId, CallRef},
    sip::{Call, CallRequest, CallState, Direction, HangupOutcome},
    task::blocking,
};

use super::{
    FreeswitchAdapter, causes,
    core::Core,
    outcome::{Kind, channel_uuid, peer_uuid},
    request::Originator,
    server::{Server, refused},
    server_of,
    state::{Desk, FirstSign},
};
use crate::{
    adapter::{
        books::{NewLine, Plan, Report},
        fax_handle::fax_call,
        placing::{Placing, parties},
        spool::{self, Pages},
    },
    protocol::esl::{Command, EslSession},
};

/// How long the first sign of a call may take until the request counts as taken without one. It comes
/// within some 20 ms (observed on FreeSWITCH 1.10.12).
const FIRST_SIGN: Duration = Duration::from_secs(1);

impl FreeswitchAdapter {
    pub(super) async fn place_call(&self, request: CallRequest) -> Result<Call> {
        const OPERATION: &str = "make_call";
        self.core.hub.require(&request.capabilities(), OPERATION)?;
        let id = request.id;
        let store = self.core.store();
        let recording = if request.options.record {
            self.core.recording_file(id, 1)
        } else {
            None
        };
        let originator = Originator {
            config: &self.core.config,
            store: &store,
        };
        let command = originator.make_call(&request, recording.as_deref())?;
        let server = self.server(OPERATION)?;
        let (from, to) = parties(&request, OPERATION)?;
        let plan = Plan::of(&request);
        let new = NewLine {
            id,
            direction: Direction::Outbound,
            state: CallState::Created,
            from,
            to: Some(to),
            own: Some(channel_uuid(id)),
            ring_timeout: request.options.timeout,
            plan,
            kind: Kind::of(&request).word(),
            once_answered: false,
        };
        let updates = self.core.hub.change(|state, now| {
            let opened = state.books.open(new, now);
            if opened.is_ok() {
                if plan != Plan::Single {
                    state.books.joins(id, &peer_uuid(id));
                }
                if recording.is_some() {
                    state.books.will_record(id);
                }
            }
            (opened, Vec::new())
        })?;
        let placing = Placing::new(&self.core.hub, id);
        originate(&self.core, placing, &server, command, None, OPERATION).await?;
        Ok(Call::new(id, updates))
    }

    pub(super) async fn place_fax(&self, request: FaxRequest) -> Result<FaxCall> {
        const OPERATION: &str = "send_fax";
        self.core.hub.require(&request.capabilities(), OPERATION)?;
        let Some(spool) = self.core.spool.clone() else {
            return Err(Error::unsupported(OPERATION));
        };
        let id = request.id;
        let store = self.core.store();
        let originator = Originator {
            config: &self.core.config,
            store: &store,
        };
        let command = originator.send_fax(&request, &spool.file(id).remote)?;
        let server = self.server(OPERATION)?;
        let new = NewLine {
            id,
            direction: Direction::Outbound,
            state: CallState::Created,
            from: None,
            to: Some(Private::new(request.to.expose().to_owned())),
            own: Some(channel_uuid(id)),
            ring_timeout: request.ring_timeout,
            plan: Plan::Single,
            kind: Kind::of_fax(&request).word(),
            once_answered: false,
        };
        let pages = request.pages();
        let updates = self
            .core
            .hub
            .change(|state, now| (state.books.open_fax(new, pages, now), Vec::new()))?;
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
        originate(&self.core, placing, &server, command, Some(put), OPERATION).await?;
        Ok(fax_call(&self.life, id, updates, move |life| async move {
            let server = server_of(&life, "cancel");
            hang_up(life.core(), server, &id.into()).await
        }))
    }
}

/// Sends an `originate` whose call is in the books, and enters its fate there. The answer says only
/// that the job was taken; what becomes of the call is told by events.
async fn originate(
    core: &Core,
    mut placing: Placing<'_, EslSession, Desk>,
    server: &Server,
    command: Command,
    pages: Option<Pages>,
    operation: &'static str,
) -> Result<()> {
    let id = placing.id();
    let command = match command.detached(&channel_uuid(id)) {
        Ok(command) => command,
        Err(error) => return Err(placing.give_up(refused(operation, error))),
    };
    placing.requested()?;
    let is_fax = pages.is_some();
    if let Some(pages) = pages {
        pages.keep();
    }
    let taken = match server.order(command, operation).await {
        Ok(_) => first_sign(core, server, id, operation).await,
        Err(error) => Err(error),
    };
    match taken {
        Ok(()) => {
            placing.taken();
            // A refusal that came at this moment.
            core.hub.note(|state, now| {
                if let Some(FirstSign::Refused(causes)) = state.books.first_sign(id) {
                    let report = Report {
                        causes,
                        ..Report::default()
                    };
                    state.books.refused(id, report, now);
                }
            });
            Ok(())
        }
        Err(error) => {
            // The pages of an id that is in use are those of the call that uses it.
            let is_ours = error.kind() != ErrorKind::InvalidState;
            if is_fax && is_ours && error.effect() != Effect::Unknown {
                spool::clear(core.spool.as_ref(), id).await;
            }
            Err(placing.failed(error))
        }
    }
}

/// Waits for the first sign of a call whose job the server took: the job is only then begun, and what
/// the server itself refuses makes no channel. Such a refusal is provably without effect.
async fn first_sign(
    core: &Core,
    server: &Server,
    id: CallId,
    operation: &'static str,
) -> Result<()> {
    let limit = FIRST_SIGN.min(core.config.request_timeout);
    let sign = core.hub.until(limit, |state| state.books.first_sign(id));
    let causes = match sign.await {
        Some(FirstSign::Refused(causes)) => causes,
        Some(FirstSign::Taken) | None => return Ok(()),
    };
    let (kind, message) = if !causes::is_throttled(&causes) {
        (
            ErrorKind::Rejected,
            "freeswitch refused the call; see the gateway or profile of its dial string",
        )
    } else if is_unused(core, server, id, operation).await {
        (
            ErrorKind::ServerBusy,
            "freeswitch takes no calls now: more than its sessions-per-second or max-sessions, or it is paused; try again later",
        )
    } else {
        // The uuid is or was in use: by a request before, perhaps of another process.
        (
            ErrorKind::InvalidState,
            "freeswitch refused the call; a call of this id may be up there, ask with lookup",
        )
    };
    let native = causes.native.clone();
    let error = Error::new(kind, operation, message).with_native(None, native);
    Err(error.with_effect(Effect::NoEffect))
}

/// Whether the server shows that no call ever had this id, as far as it can. `uuid_exists` turns false
/// as soon as a hang-up begins, so the list and what the hook of the hang-up left are asked too.
async fn is_unused(core: &Core, server: &Server, id: CallId, operation: &'static str) -> bool {
    let uuid = channel_uuid(id);
    matches!(server.exists(&uuid, operation).await, Ok(false))
        && matches!(server.channel(&uuid, operation).await, Ok(None))
        && matches!(server.outcome(&core.store(), id, operation).await, Ok(None))
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
    match known {
        (Some(id), _) => hang_up_ours(core, server, id).await,
        (None, true) => Ok(HangupOutcome::Ended),
        (None, false) => {
            let uuid = match (call.id, &call.native) {
                (Some(id), _) => channel_uuid(id),
                (None, Some(native)) if !native.is_empty() && !native.contains(' ') => {
                    native.clone()
                }
                (None, _) => {
                    return Err(Error::new(
                        ErrorKind::InvalidRequest,
                        "hangup",
                        "name the call by its id or by one channel",
                    ));
                }
            };
            let done = server?.hang_up(&uuid, None).await;
            done.map_err(|error| match call.id {
                Some(id) => error.with_call_id(id),
                None => error,
            })?;
            Ok(HangupOutcome::Requested)
        }
    }
}

async fn hang_up_ours(core: &Core, server: Result<Server>, id: CallId) -> Result<HangupOutcome> {
    let server = server.map_err(|error| error.with_call_id(id))?;
    // Before the order: the end that follows is ours even if its event overtakes the answer.
    let own = {
        let mut state = core.hub.state();
        state.books.hung_up_by_us(id, true);
        state.books.own_channel(id)
    };
    let uuid = own.unwrap_or_else(|| channel_uuid(id));
    match server.hang_up(&uuid, None).await {
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
