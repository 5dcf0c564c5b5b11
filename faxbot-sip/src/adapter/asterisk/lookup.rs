//! What became of a call: our books, the server's channels, what its handler left.

use faxbot_core::{
    ErrorKind, Result, Timestamp,
    id::{CallId, CallRef},
    sip::{
        AdapterKind, CallRecord, CallState, CallStatus, Direction, Disposition, Lookup,
        UnknownReason,
    },
};

use crate::adapter::{
    calls::disposition,
    fax_run::FaxContext,
    lookup::{in_books, requested, same_run},
};

use super::{
    books::{legs::MAX_PARTNERS, line::LiveChannel},
    core::Core,
    incoming::call_id,
    outcome::{KIND, KIND_CONNECT, Leg, Report},
    request::action,
    server::{Extent, Presence, Server},
};

/// Everything that can be known.
pub(super) async fn lookup(core: &Core, server: Result<Server>, call: &CallRef) -> Result<Lookup> {
    if let Some(known) = in_books(&core.state().books.calls, call) {
        return Ok(known);
    }
    let server = server?;
    let Some(id) = call.id else {
        return by_channel(core, &server, call).await;
    };
    // The list before the outcome: a call that ends in between has left its outcome by then.
    let list = server.channels("lookup").await?;
    if let Some(channel) = list.iter().find(|channel| is_of(&channel.uniqueid, id)) {
        let mut status = live(core, Some(id), channel, call.requested_at);
        let parties = list.iter().filter(|it| {
            it.linkedid == channel.uniqueid && Leg::of(&it.uniqueid).is_none() && *it != channel
        });
        let names = parties.map(|party| party.name.clone().into());
        status.channels.extend(names.take(MAX_PARTNERS));
        if waits_for_second(&server, channel).await? {
            status.state = CallState::Ringing;
        }
        return Ok(Lookup::Live(status));
    }
    if core.store.is_off() {
        return Ok(Lookup::Unknown(UnknownReason::NotKept));
    }
    // Also when outcomes are not kept now: a process with more rights may have had them kept.
    match server.outcome(&core.store, id).await {
        Ok(Some(report)) => {
            let record = record(core, id, &report, call.requested_at);
            Ok(Lookup::Ended(Box::new(record)))
        }
        Ok(None) if core.state().books.known.abilities.outcomes => {
            absent(core, &server, call).await
        }
        Ok(None) => Ok(Lookup::Unknown(UnknownReason::NotKept)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Ok(Lookup::Unknown(UnknownReason::NotKept))
        }
        Err(error) => Err(error),
    }
}

/// Whether a channel is the own one of a call: one that we placed, or one that came in.
pub(super) fn is_of(uniqueid: &str, id: CallId) -> bool {
    match Leg::of(uniqueid) {
        Some(leg) => leg == Leg::Own(id),
        None => call_id(uniqueid) == id,
    }
}

/// Whether only the first party of a connected call picked up. Its channel is up then, and so is one
/// that was answered and calls its second party; the kind tells them apart.
async fn waits_for_second(server: &Server, channel: &LiveChannel) -> Result<bool> {
    let calls = channel.application.eq_ignore_ascii_case("Dial");
    if channel.state != "Up" || !channel.bridge.is_empty() || !calls {
        return Ok(false);
    }
    let headers = [("Channel", channel.uniqueid.as_str()), ("Variable", KIND)];
    let reply = server
        .ask(action("Getvar", &headers, "lookup")?, "lookup")
        .await?;
    Ok(reply.response.get_str("Value").as_deref() == Some(KIND_CONNECT))
}

/// No channel and no outcome. That proves that the call never was only if nothing could have taken
/// the outcome away: Asterisk is up since before the request, the extension is there, and some time
/// has passed.
async fn absent(core: &Core, server: &Server, call: &CallRef) -> Result<Lookup> {
    let requested = match requested(call, core.clock.timestamp()) {
        Ok(requested) => requested,
        Err(reason) => return Ok(Lookup::Unknown(reason)),
    };
    let since = match server
        .extensions(&core.store, Extent::Handler, "lookup")
        .await
    {
        Ok(Presence::Present { since, .. }) => since,
        // A reload took it away; calls that ended since left nothing.
        Ok(Presence::Absent) => return Ok(Lookup::Unknown(UnknownReason::NotKept)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Ok(Lookup::Unknown(UnknownReason::NotKept));
        }
        Err(error) => return Err(error),
    };
    let (up_since, other_since) = {
        let known = &core.state().books.known;
        (known.up_since, known.other_since)
    };
    if !same_run(requested, up_since, other_since) {
        return Ok(Lookup::Unknown(UnknownReason::ServerRestarted));
    }
    if since.is_some_and(|since| since >= requested) {
        // It was not there all the time.
        return Ok(Lookup::Unknown(UnknownReason::NotKept));
    }
    Ok(Lookup::NeverExisted)
}

async fn by_channel(core: &Core, server: &Server, call: &CallRef) -> Result<Lookup> {
    let list = server.channels("lookup").await?;
    let wanted = call.native.as_deref().unwrap_or_default();
    let found = list
        .iter()
        .find(|channel| channel.name == wanted || channel.uniqueid == wanted);
    Ok(match found {
        Some(channel) => Lookup::Live(live(core, None, channel, call.requested_at)),
        None => Lookup::Unknown(UnknownReason::NotOurs),
    })
}

fn live(
    core: &Core,
    id: Option<CallId>,
    channel: &LiveChannel,
    requested: Option<Timestamp>,
) -> CallStatus {
    let came_in = id.is_some_and(|id| call_id(&channel.uniqueid) == id);
    let direction = if came_in {
        Direction::Inbound
    } else {
        Direction::Outbound
    };
    let state = match channel.state.as_str() {
        "Up" => CallState::Connected,
        _ if came_in => CallState::Incoming,
        "Ringing" | "Ring" => CallState::Ringing,
        _ => CallState::Dialing,
    };
    let started = requested.unwrap_or_else(|| core.clock.timestamp());
    let mut status = CallStatus::new(id, state, direction, started);
    status.channels.push(channel.name.clone().into());
    status
}

/// A record of what a handler left: the end is known, the beginning only if the caller told.
fn record(core: &Core, id: CallId, report: &Report, requested: Option<Timestamp>) -> CallRecord {
    let end = report.ended.unwrap_or_else(|| core.clock.timestamp());
    let mut record = CallRecord::new(
        Some(id),
        AdapterKind::ASTERISK,
        if report.incoming {
            Direction::Inbound
        } else {
            Direction::Outbound
        },
        requested.unwrap_or(end),
    );
    record.end = Some(end);
    record.duration_seconds = requested.map(|start| end.duration_since(start).as_secs());
    record.causes = report.causes();
    record.disposition = if report.answered {
        Disposition::Answered
    } else if report.incoming {
        // What rejects give the caller; 19 and the others are the deadline, or the caller's own.
        match report.cause {
            Some(1 | 16 | 17) => Disposition::Cancelled,
            _ => Disposition::NoAnswer,
        }
    } else {
        disposition(&record.causes)
    };
    record.fax = report
        .is_fax
        .then(|| report.fax.outcome(&record.causes, FaxContext::default()));
    record
}
