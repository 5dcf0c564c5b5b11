//! What tests of every proxy's adapter wait for, on the clock that tokio moves.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::time::Duration;

use faxbot_core::{
    event::EventStream,
    id::CallRef,
    sip::{CallRecord, CallState, ConnectionState, Gap, Lookup, SipAdapter, SipEvent},
};

/// Longer than anything here takes on the clock of the tests.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// The next event of which `look` makes something.
pub(crate) async fn next<T>(
    events: &mut EventStream<SipEvent>,
    mut look: impl FnMut(&SipEvent) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let event = events.recv().await.expect("no more events");
            let event = event.expect("the stream fell behind");
            if let Some(found) = look(&event.event) {
                return found;
            }
        }
    };
    tokio::time::timeout(LONG, found)
        .await
        .expect("no such event")
}

/// The states of the next call up to its end, and its record.
pub(crate) async fn a_call(
    events: &mut EventStream<SipEvent>,
) -> (Vec<CallState>, Option<CallRecord>) {
    let mut states = Vec::new();
    let mut one = None;
    loop {
        let change = next(events, |event| match event {
            SipEvent::CallStateChanged(change) => Some(change.clone()),
            _ => None,
        })
        .await;
        if *one.get_or_insert(change.id.unwrap()) != change.id.unwrap() {
            continue;
        }
        states.push(change.to);
        if change.to == CallState::Terminated {
            return (states, change.record.map(|record| *record));
        }
    }
}

/// Waits for a state of the connection.
pub(crate) async fn connection(
    events: &mut EventStream<SipEvent>,
    wanted: ConnectionState,
) -> Option<Gap> {
    next(events, |event| match event {
        SipEvent::ConnectionStateChanged(change) if change.state == wanted => Some(change.gap),
        _ => None,
    })
    .await
}

/// Waits until the adapter has what `look` wants.
pub(crate) async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, found)
        .await
        .expect("it never came")
}

/// Waits until the call is in a state.
pub(crate) async fn in_state(adapter: &impl SipAdapter, call: &CallRef, wanted: CallState) {
    let found = async {
        loop {
            if let Ok(status) = adapter.get_status(call).await
                && status.state == wanted
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, found)
        .await
        .expect("it never came there");
}

/// The record of a call once it has ended.
pub(crate) async fn ended(adapter: &impl SipAdapter, call: &CallRef) -> CallRecord {
    in_state(adapter, call, CallState::Terminated).await;
    match adapter.lookup(call).await.unwrap() {
        Lookup::Ended(record) => *record,
        other => panic!("not ended: {other:?}"),
    }
}
