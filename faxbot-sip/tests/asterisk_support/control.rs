//! Orders to calls of the mock, and what became of them.
#![allow(dead_code, reason = "each test program uses its own part")]

use faxbot_core::{
    ErrorKind, Result,
    event::EventStream,
    id::CallId,
    sip::{
        Call, CallRecord, CallRequest, CallState, ConferenceAction, ConferenceRequest, SipAdapter,
        SipEvent, TransferRequest,
    },
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;

use super::{LONG, Rig, channel_id, dial, drain, eventually};

pub(crate) const ROOM: &str = "standup";

pub(crate) async fn answered(adapter: &AsteriskAdapter) -> Call {
    let call = adapter.make_call(dial("+15551230001")).await.unwrap();
    call.answered().await.unwrap();
    call
}

/// A call of two parties; the second one's channel too.
pub(crate) async fn connected(rig: &Rig, adapter: &AsteriskAdapter) -> (Call, String) {
    let (from, to) = ("+15551230001", "+15551230002");
    let request = CallRequest::connect(from.parse().unwrap(), to.parse().unwrap());
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    let other = party(rig, call.id()).await;
    (call, other)
}

/// Whom a call's own channel is bridged with.
pub(crate) async fn party(rig: &Rig, id: CallId) -> String {
    let own = channel_id(id);
    let others = rig
        .mock
        .wait_until(LONG, |mock| mock.bridged_with(&own).pop())
        .await;
    others.expect("nobody in the bridge")
}

pub(crate) async fn state(adapter: &AsteriskAdapter, call: &Call) -> CallState {
    adapter.get_status(&call.call_ref()).await.unwrap().state
}

pub(crate) async fn comes_to(adapter: &AsteriskAdapter, call: &Call, wanted: CallState) {
    let there = |call: &Call| {
        let calls = adapter.snapshot().calls;
        let status = calls
            .into_iter()
            .find(|status| status.id == Some(call.id()));
        status.is_some_and(|status| status.state == wanted)
    };
    eventually(&format!("the call is {wanted}"), || there(call)).await;
}

pub(crate) async fn ended(call: &Call) -> CallRecord {
    tokio::time::timeout(LONG, call.ended())
        .await
        .unwrap()
        .unwrap()
}

pub(crate) async fn hold(adapter: &AsteriskAdapter, call: &Call) -> Result<()> {
    adapter.hold(&call.call_ref()).await
}

pub(crate) async fn resume(adapter: &AsteriskAdapter, call: &Call) -> Result<()> {
    adapter.resume(&call.call_ref()).await
}

pub(crate) async fn blind(adapter: &AsteriskAdapter, call: &Call) -> Result<()> {
    let to = "+15551230003".parse().unwrap();
    adapter
        .transfer(TransferRequest::blind(call.id(), to))
        .await
}

pub(crate) async fn attended(adapter: &AsteriskAdapter, one: &Call, two: &Call) -> Result<()> {
    let request = TransferRequest::attended(one.id(), two.id());
    adapter.transfer(request).await
}

pub(crate) async fn confer(adapter: &AsteriskAdapter, action: ConferenceAction) -> Result<()> {
    adapter
        .conference(ConferenceRequest::new(ROOM, action))
        .await
}

pub(crate) async fn join(adapter: &AsteriskAdapter, call: &Call) -> Result<()> {
    confer(adapter, ConferenceAction::Join(call.call_ref())).await
}

pub(crate) fn kind(result: Result<()>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Where the last `Redirect` sent channels.
pub(crate) fn sent_to(rig: &Rig) -> (String, usize) {
    let redirects = rig.mock.actions_named("Redirect");
    let last = redirects.last().unwrap();
    let channels = 1 + last.all("ExtraChannel").count();
    (last.get("Exten").unwrap().to_owned(), channels)
}

pub(crate) fn states(events: &mut EventStream<SipEvent>, call: &Call) -> Vec<CallState> {
    let state = |event: SipEvent| match event {
        SipEvent::CallStateChanged(change) if change.id == Some(call.id()) => Some(change.to),
        _ => None,
    };
    drain(events).into_iter().filter_map(state).collect()
}

pub(crate) fn members(adapter: &AsteriskAdapter) -> usize {
    let conferences = adapter.snapshot().conferences;
    let room = conferences.iter().find(|(name, _)| name.expose() == ROOM);
    room.map_or(0, |(_, members)| *members)
}

pub(crate) fn told_members(events: Vec<SipEvent>) -> Vec<usize> {
    let count = |event| match event {
        SipEvent::ConferenceChanged { members, .. } => Some(members),
        _ => None,
    };
    events.into_iter().filter_map(count).collect()
}
