//! What an adapter tells, followed.

use faxbot_core::{
    event::EventStream,
    id::CallId,
    sip::{
        CallRecord, CallState, CallStateChanged, CallStatus, ConnectionChanged, ConnectionState,
        EventPath, HistoryQuery, SipAdapter, SipEvent,
    },
};

use crate::real::{LIMIT, until, within};

/// The next event that is looked for.
pub(crate) async fn next<T>(
    events: &mut EventStream<SipEvent>,
    what: &str,
    look: impl Fn(&SipEvent) -> Option<T>,
) -> T {
    let found = async {
        loop {
            if let Some(found) = look(&events.recv().await.unwrap().unwrap().event) {
                return found;
            }
        }
    };
    within(what, LIMIT, found).await
}

/// The next change of the connection to a state.
pub(crate) async fn next_connection(
    events: &mut EventStream<SipEvent>,
    state: ConnectionState,
) -> ConnectionChanged {
    next(events, "the connection changes", |event| match event {
        SipEvent::ConnectionStateChanged(changed) if changed.state == state => {
            Some(changed.clone())
        }
        _ => None,
    })
    .await
}

/// The changes of one call up to its end.
pub(crate) async fn changes_of(
    events: &mut EventStream<SipEvent>,
    id: CallId,
) -> Vec<CallStateChanged> {
    let mut changes = Vec::new();
    loop {
        let change = next(events, "the call changes", |event| match event {
            SipEvent::CallStateChanged(change) if change.id == Some(id) => Some(change.clone()),
            _ => None,
        })
        .await;
        let over = change.to == CallState::Terminated;
        changes.push(change);
        if over {
            return changes;
        }
    }
}

/// The states that a call went through.
pub(crate) fn states(changes: &[CallStateChanged]) -> Vec<CallState> {
    changes.iter().map(|change| change.to).collect()
}

/// Waits until the adapter has one call, in this state.
pub(crate) async fn wait_one(adapter: &impl SipAdapter, state: CallState) -> CallStatus {
    let what = format!("the adapter has one call that is {state:?}");
    until(&what, LIMIT, async || {
        let mut calls = adapter.snapshot().calls;
        let call = calls.pop()?;
        (calls.is_empty() && call.state == state).then_some(call)
    })
    .await
}

/// Waits until the adapter has so many calls in a state.
pub(crate) async fn wait_many(adapter: &impl SipAdapter, count: usize, state: CallState) {
    let what = format!("the adapter has {count} calls that are {state:?}");
    until(&what, LIMIT, async || {
        let calls = adapter.snapshot().calls;
        let there = calls.iter().filter(|call| call.state == state).count();
        (calls.len() == count && there == count).then_some(())
    })
    .await;
}

/// Waits until the adapter has no call.
pub(crate) async fn wait_none(adapter: &impl SipAdapter) {
    until("the adapter has no call", LIMIT, async || {
        adapter.snapshot().calls.is_empty().then_some(())
    })
    .await;
}

/// Waits until events come, or no longer do.
pub(crate) async fn wait_events(adapter: &impl SipAdapter, pushed: bool) {
    until("events come or not", LIMIT, async || {
        let path = adapter.connection().events;
        ((path == EventPath::Push) == pushed).then_some(())
    })
    .await;
}

/// Everything that ended, the last one first.
pub(crate) async fn history(adapter: &impl SipAdapter) -> Vec<CallRecord> {
    let mut query = HistoryQuery::default();
    query.limit = 500;
    adapter.get_call_history(query).await.unwrap().items
}

/// The one record that the adapter has.
pub(crate) async fn only_record(adapter: &impl SipAdapter) -> CallRecord {
    let mut records = history(adapter).await;
    assert_eq!(records.len(), 1, "{records:?}");
    records.remove(0)
}
