//! A mocked Asterisk over links in memory, a spool, and adapters on one clock that tokio moves.
#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod control;

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    address::FaxTarget,
    clock::{SharedClock, TokioClock},
    document::FaxImage,
    event::EventStream,
    fax::FaxRequest,
    id::CallId,
    sip::{CallRequest, ConnectionState, SipAdapter as _, SipEvent},
};
use faxbot_sip::{
    adapter::asterisk::{AsteriskAdapter, AsteriskConfig},
    driver::{Connect, LinkError, Transport},
};
use faxbot_testkit::{
    conformance::samples,
    server::asterisk::{Flavour, MockAsterisk, MockAsteriskBuilder, SeenAction, Timings},
};
use tempfile::TempDir;

pub(crate) const FLAVOURS: [Flavour; 2] = [Flavour::V16, Flavour::V22];

/// Longer than anything here takes on the clock of the tests.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// The AstDB family of the default instance.
pub(crate) const FAMILY: &str = "faxbot-faxbot";

/// The context of its hangup handlers.
pub(crate) const CONTEXT: &str = "faxbot-faxbot";

/// Opens links until it is shut, to whichever server it leads.
#[derive(Debug)]
pub(crate) struct Gate {
    to: Mutex<Option<Arc<dyn Connect>>>,
}

impl Gate {
    pub(crate) fn shut(&self) {
        *self.to.lock().unwrap() = None;
    }

    pub(crate) fn lead_to(&self, mock: &MockAsterisk) {
        *self.to.lock().unwrap() = Some(Arc::new(mock.connector()));
    }
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
    pub(crate) mock: MockAsterisk,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: SharedClock,
    pub(crate) spool: TempDir,
    pages: TempDir,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    /// Asterisk as it is: a page takes 16 s, the answer 2 s.
    pub(crate) async fn of(flavour: Flavour) -> Self {
        Self::with(|builder| builder.flavour(flavour)).await
    }

    pub(crate) async fn with(
        change: impl FnOnce(MockAsteriskBuilder) -> MockAsteriskBuilder,
    ) -> Self {
        let spool = tempfile::tempdir().unwrap();
        let builder = MockAsterisk::builder()
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

    pub(crate) fn adapter(&self) -> AsteriskAdapter {
        self.adapter_with(|_| {})
    }

    pub(crate) fn adapter_with(&self, change: impl FnOnce(&mut AsteriskConfig)) -> AsteriskAdapter {
        let mut config = AsteriskConfig::from_url("ami://faxbot:s3cret@pbx.example")
            .unwrap()
            .with_dial("PJSIP/{number}@trunk".parse().unwrap())
            .with_spool(self.spool.path(), "/srv/fax");
        change(&mut config);
        AsteriskAdapter::with_clock(config, Arc::clone(&self.clock))
            .with_connector(Arc::clone(&self.gate) as Arc<dyn Connect>)
    }

    pub(crate) async fn connected(&self) -> AsteriskAdapter {
        let adapter = self.adapter();
        adapter.connect().await.unwrap();
        adapter
    }

    pub(crate) fn image(&self, pages: u32) -> FaxImage {
        samples::image(self.pages.path(), pages).unwrap()
    }

    pub(crate) fn fax(&self, to: &str, pages: u32) -> FaxRequest {
        let to = FaxTarget::try_from(to.parse::<faxbot_core::address::Address>().unwrap()).unwrap();
        FaxRequest::new(to, self.image(pages))
    }

    /// The names of what is in the spool.
    pub(crate) fn spooled(&self) -> Vec<String> {
        let entries = fs::read_dir(self.spool.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    pub(crate) fn spool_file(&self, id: CallId) -> PathBuf {
        let name = format!("faxbot-faxbot-{}.tif", id.as_uuid());
        self.spool.path().join(name)
    }

    pub(crate) fn originates(&self) -> Vec<SeenAction> {
        self.mock.actions_named("Originate")
    }

    /// Waits until the far end has confirmed so many pages of a fax that runs.
    pub(crate) async fn page_confirmed(&self, pages: u32) {
        let there = self
            .mock
            .wait_until(LONG, |mock| {
                mock.fax_pages()
                    .iter()
                    .any(|(_, confirmed)| *confirmed >= pages)
                    .then_some(())
            })
            .await;
        assert!(there.is_some(), "page {pages} was never confirmed");
    }

    /// Cuts the links and lets none come about.
    pub(crate) fn cut(&self) {
        self.gate.shut();
        self.mock.drop_links();
    }

    pub(crate) fn mend(&self) {
        self.gate.lead_to(&self.mock);
    }

    /// Waits until no call is up at the server.
    pub(crate) async fn quiet(&self) {
        let quiet = |mock: &MockAsterisk| mock.channels().is_empty().then_some(());
        assert!(self.mock.wait_until(LONG, quiet).await.is_some());
    }
}

pub(crate) fn dial(to: &str) -> CallRequest {
    CallRequest::dial(to.parse().unwrap())
}

pub(crate) fn channel_id(id: CallId) -> String {
    format!("faxbot-{}", id.as_uuid())
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

pub(crate) async fn reconnected(adapter: &AsteriskAdapter) {
    eventually("connected again", || {
        adapter.connection().state == ConnectionState::Connected
    })
    .await;
}

pub(crate) async fn lost(adapter: &AsteriskAdapter) {
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
