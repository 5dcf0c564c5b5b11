//! A mocked Kamailio in memory, and adapters on one clock that tokio moves.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::time::Duration;

use faxbot_core::{
    clock::TokioClock,
    event::EventStream,
    id::{CallId, CallRef},
    sip::{CallRecord, CallState, ConnectionState, Lookup, SipAdapter as _, SipEvent},
};
use faxbot_sip::adapter::kamailio::{KamailioAdapter, KamailioConfig};
use faxbot_testkit::server::kamailio::{EventForm, MockKamailio, MockKamailioBuilder};

/// Longer than anything here takes on the clock of the tests.
pub(crate) const LONG: Duration = Duration::from_secs(600);

pub(crate) struct Rig {
    pub(crate) mock: MockKamailio,
}

impl Rig {
    /// A server with events of the script that is shipped.
    pub(crate) async fn new() -> Self {
        Self::with(MockKamailio::builder().events(EventForm::Versioned)).await
    }

    pub(crate) async fn with(builder: MockKamailioBuilder) -> Self {
        let mock = builder.in_memory().start().await.unwrap();
        Self { mock }
    }

    /// An adapter that polls and has events.
    pub(crate) fn adapter(&self) -> KamailioAdapter {
        self.polling("")
            .with_connector(std::sync::Arc::new(self.mock.connector()))
    }

    /// An adapter that only polls; `query` has further options.
    pub(crate) fn polling(&self, query: &str) -> KamailioAdapter {
        let url = format!("kamailio+http://127.0.0.1:5070/RPC?realm=127.0.0.1:5070&{query}");
        let config = KamailioConfig::from_url(url.trim_end_matches('&')).unwrap();
        KamailioAdapter::with_clock(config, TokioClock::shared()).with_http(self.mock.client())
    }

    pub(crate) async fn connected(&self) -> KamailioAdapter {
        let adapter = self.adapter();
        adapter.connect().await.unwrap();
        adapter
    }
}

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
    let mut one: Option<CallId> = None;
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

pub(crate) async fn connection(
    events: &mut EventStream<SipEvent>,
    wanted: ConnectionState,
) -> Option<faxbot_core::sip::Gap> {
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

/// The record of an ended call.
pub(crate) async fn ended(adapter: &KamailioAdapter, call: &CallRef) -> CallRecord {
    until(|| {
        let history = adapter.snapshot();
        (!history.calls.iter().any(|status| status.id == call.id)).then_some(())
    })
    .await;
    match adapter.lookup(call).await.unwrap() {
        Lookup::Ended(record) => *record,
        other => panic!("not ended: {other:?}"),
    }
}
