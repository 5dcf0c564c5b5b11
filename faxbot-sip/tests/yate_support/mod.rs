//! A mocked Yate over links in memory, a spool, and adapters on one clock that tokio moves.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    clock::{SharedClock, TokioClock},
    event::EventStream,
    fax::FaxRequest,
    sip::{ConnectionState, IncomingCall, SipAdapter as _, SipEvent},
};
use faxbot_sip::{
    adapter::yate::{YateAdapter, YateConfig},
    driver::{Connect, LinkError, Transport},
};
use faxbot_testkit::{
    conformance::samples,
    server::{
        CallerSaw, Timings,
        yate::{MockYate, MockYateBuilder},
    },
};
use tempfile::TempDir;

/// Longer than anything here takes on the clock of the tests.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Opens links until it is shut.
#[derive(Debug)]
pub(crate) struct Gate {
    to: Mutex<Option<Arc<dyn Connect>>>,
}

#[async_trait]
impl Connect for Gate {
    async fn connect(&self) -> Result<Transport, LinkError> {
        let to = self.to.lock().unwrap().clone();
        match to {
            Some(to) => to.connect().await,
            None => Err(LinkError::Connect(Arc::new(
                io::ErrorKind::ConnectionRefused.into(),
            ))),
        }
    }
}

pub(crate) struct Rig {
    pub(crate) mock: MockYate,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: SharedClock,
    pub(crate) spool: TempDir,
    pages: TempDir,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(change: impl FnOnce(MockYateBuilder) -> MockYateBuilder) -> Self {
        let spool = tempfile::tempdir().unwrap();
        let builder = MockYate::builder()
            .timings(Timings::real())
            .map_path("/srv/fax", spool.path())
            .in_memory();
        let mock = change(builder).start().await.unwrap();
        let gate = Gate {
            to: Mutex::new(Some(Arc::new(mock.connector()))),
        };
        Self {
            mock,
            gate: Arc::new(gate),
            clock: TokioClock::shared(),
            spool,
            pages: tempfile::tempdir().unwrap(),
        }
    }

    /// An adapter that calls and messages come to.
    pub(crate) fn adapter(&self) -> YateAdapter {
        self.adapter_with(|_| {})
    }

    pub(crate) fn adapter_with(&self, change: impl FnOnce(&mut YateConfig)) -> YateAdapter {
        let mut config =
            YateConfig::from_url("yate://pbx.example?dial=sip/sip:{number}@trunk.example")
                .unwrap()
                .with_spool(self.spool.path(), "/srv/fax");
        config.incoming = true;
        change(&mut config);
        YateAdapter::with_clock(config, Arc::clone(&self.clock))
            .with_connector(Arc::clone(&self.gate) as Arc<dyn Connect>)
    }

    pub(crate) async fn connected(&self) -> YateAdapter {
        let adapter = self.adapter();
        adapter.connect().await.unwrap();
        adapter
    }

    pub(crate) fn fax(&self, to: &str, pages: u32) -> FaxRequest {
        let image = samples::image(self.pages.path(), pages).unwrap();
        FaxRequest::new(to.parse().unwrap(), image)
    }

    /// Cuts the links and lets none come about.
    pub(crate) fn cut(&self) {
        *self.gate.to.lock().unwrap() = None;
        self.mock.drop_links();
    }

    pub(crate) fn mend(&self) {
        *self.gate.to.lock().unwrap() = Some(Arc::new(self.mock.connector()));
    }

    /// Waits until the caller of a channel saw that.
    pub(crate) async fn saw(&self, channel: &str, wanted: CallerSaw) {
        let seen = |mock: &MockYate| (mock.caller_saw(channel) == Some(wanted)).then_some(());
        let found = self.mock.wait_until(LONG, seen).await;
        let saw = self.mock.caller_saw(channel);
        assert!(found.is_some(), "{saw:?} and not {wanted:?}");
    }
}

pub(crate) async fn next_call(events: &mut EventStream<SipEvent>) -> IncomingCall {
    let told = async {
        loop {
            if let SipEvent::IncomingCall(call) = events.recv().await.unwrap().unwrap().event {
                return call;
            }
        }
    };
    tokio::time::timeout(LONG, told)
        .await
        .expect("no call was told of")
}

/// Waits on the clock of the tests, which moves by itself when all wait.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}

pub(crate) async fn reconnected(adapter: &YateAdapter) {
    eventually("connected again", || {
        adapter.connection().state == ConnectionState::Connected
    })
    .await;
}

pub(crate) async fn lost(adapter: &YateAdapter) {
    eventually("connection lost", || {
        adapter.connection().state != ConnectionState::Connected
    })
    .await;
}

/// What came so far.
pub(crate) fn drain(stream: &mut EventStream<SipEvent>) -> Vec<SipEvent> {
    std::iter::from_fn(|| stream.try_recv())
        .map(|item| item.unwrap().event)
        .collect()
}
