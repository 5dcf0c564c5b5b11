//! What became of a call: our books, the server's channels, what the hook of its end left.

use std::time::Duration;

use faxbot_core::{
    ErrorKind, Result, Timestamp,
    fax::FaxOutcome,
    id::CallRef,
    sip::{CallRecord, CallState, CallStatus, Direction, Disposition, Lookup, UnknownReason},
};

use super::{
    core::Core,
    outcome::{Ended, Kind, channel_uuid},
    server::{Channel, Server, live_legs},
};
use crate::adapter::{
    books::Sign, calls::disposition, fax_run::FaxContext, hub::Book as _, lookup,
};

/// How long the hook of an end may take after the channel is gone.
const HOOK: Duration = Duration::from_secs(1);

const OPERATION: &str = "lookup";

/// Everything that can be known.
pub(super) async fn lookup(core: &Core, server: Result<Server>, call: &CallRef) -> Result<Lookup> {
    if let Some(known) = lookup::in_books(core.hub.state().books.calls(), call) {
        return Ok(known);
    }
    let server = server?;
    let uuid = match (call.id, &call.native) {
        (Some(id), _) => channel_uuid(id),
        (None, Some(native)) => native.clone(),
        (None, None) => return Ok(Lookup::Unknown(UnknownReason::NotOurs)),
    };
    let list = server.channels(OPERATION).await?;
    if let Some(channel) = list.iter().find(|channel| channel.uuid == uuid) {
        return live(core, &server, call, channel, &list).await;
    }
    let Some(id) = call.id else {
        return Ok(Lookup::Unknown(UnknownReason::NotOurs));
    };
    let store = core.store();
    if store.keeper().is_none() {
        return Ok(Lookup::Unknown(UnknownReason::NotKept));
    }
    let mut kept = server.outcome(&store, id, OPERATION).await;
    if matches!(kept, Ok(None)) {
        // Its hook may still be running.
        core.hub
            .clock
            .sleep_until(core.hub.clock.now() + HOOK)
            .await;
        kept = server.outcome(&store, id, OPERATION).await;
        // The list is written behind: it may lack what is up.
        if matches!(kept, Ok(None)) {
            match server.exists(&uuid, OPERATION).await {
                Ok(true) => return Ok(Lookup::Unknown(UnknownReason::TooRecent)),
                Ok(false) => {}
                // Who may not ask has the list only.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error),
            }
        }
    }
    match kept {
        Ok(Some(ended)) => Ok(Lookup::Ended(Box::new(record(core, call, ended)))),
        Ok(None) => match server.pages(&store, id, OPERATION).await? {
            Some(pages) => Ok(Lookup::Ended(Box::new(cut_off(core, call, pages)))),
            None => absent(core, &server, call).await,
        },
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Ok(Lookup::Unknown(UnknownReason::NotKept))
        }
        Err(error) => Err(error),
    }
}

async fn live(
    core: &Core,
    server: &Server,
    call: &CallRef,
    channel: &Channel,
    list: &[Channel],
) -> Result<Lookup> {
    let came_in = channel.direction == "inbound";
    let mut state = match channel.sign() {
        Sign::Up => CallState::Connected,
        _ if came_in => CallState::Incoming,
        Sign::Ringing => CallState::Ringing,
        Sign::Dialing => CallState::Dialing,
    };
    let joined = live_legs(list)
        .into_iter()
        .find(|leg| leg.native == channel.uuid)
        .and_then(|leg| leg.joined);
    if state == CallState::Connected && joined.is_none() {
        // Only the first party of a connected call may have picked up; what the call is shows in its
        // hook.
        let hook = server
            .variable(&channel.uuid, "api_hangup_hook", OPERATION)
            .await?;
        let kind = hook.as_deref().and_then(Kind::of_hook);
        if kind == Some(Kind::Connect) {
            state = CallState::Ringing;
        }
    }
    let direction = if came_in {
        Direction::Inbound
    } else {
        Direction::Outbound
    };
    let started = call
        .requested_at
        .or_else(|| channel.created())
        .unwrap_or_else(|| core.hub.clock.timestamp());
    let mut status = CallStatus::new(call.id, state, direction, started);
    status.channels.push(channel.uuid.clone().into());
    status.channels.extend(joined.map(Into::into));
    Ok(Lookup::Live(status))
}

/// No channel and no outcome. That proves that the call never was only if nothing could have taken
/// the outcome away: FreeSWITCH is up since before the request, and some time has passed.
async fn absent(core: &Core, server: &Server, call: &CallRef) -> Result<Lookup> {
    let now = core.hub.clock.timestamp();
    let requested = match lookup::requested(call, now) {
        Ok(requested) => requested,
        Err(why) => return Ok(Lookup::Unknown(why)),
    };
    // What it is up for is subtracted from our clock, which is that of the request.
    let up_since = server.up_for(OPERATION).await?.map(|up_for| now - up_for);
    let other_since = core.hub.state().books.other_since;
    // A crash takes the hooks of live calls with it, so an absent outcome of the run before says
    // nothing (recording `09_outcome_after_restart`).
    if !lookup::same_run(requested, up_since, other_since) {
        return Ok(Lookup::Unknown(UnknownReason::ServerRestarted));
    }
    Ok(Lookup::NeverExisted)
}

/// A record of what a hook left.
fn record(core: &Core, call: &CallRef, ended: Ended) -> CallRecord {
    let incoming = ended.kind.is_incoming();
    let started = ended.started;
    let report = ended.report();
    let end = report.ended.unwrap_or_else(|| core.hub.clock.timestamp());
    let start = call.requested_at.or(started).unwrap_or(end).min(end);
    let direction = if incoming {
        Direction::Inbound
    } else {
        Direction::Outbound
    };
    let mut record = CallRecord::new(call.id, core.kind.clone(), direction, start);
    record.answer = answered_at(report.answered, report.answered_at, start, end);
    record.close(end);
    record.disposition = if report.answered {
        Disposition::Answered
    } else if incoming {
        Disposition::NoAnswer
    } else {
        report
            .disposition
            .unwrap_or_else(|| disposition(&report.causes))
    };
    record.fax = report
        .fax
        .as_ref()
        .map(|fax| fax.outcome(&report.causes, FaxContext::default()));
    record.causes = report.causes;
    record
}

/// A record of a fax that the server took down with it: of its end only the pages are known.
fn cut_off(core: &Core, call: &CallRef, pages: u32) -> CallRecord {
    let now = core.hub.clock.timestamp();
    let start = call.requested_at.unwrap_or(now).min(now);
    let mut record = CallRecord::new(call.id, core.kind.clone(), Direction::Outbound, start);
    record.close(now);
    record.disposition = Disposition::Unknown;
    record.fax = Some(FaxOutcome::unknown(Some(pages), None));
    record
}

/// The answer lies in the call, whatever the two clocks say.
fn answered_at(
    answered: bool,
    at: Option<Timestamp>,
    start: Timestamp,
    end: Timestamp,
) -> Option<Timestamp> {
    answered.then(|| at.unwrap_or(end).clamp(start, end))
}
