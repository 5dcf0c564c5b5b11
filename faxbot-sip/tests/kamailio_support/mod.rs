//! A mocked Kamailio in memory, and adapters on one clock that tokio moves.
#![allow(dead_code, reason = "each test program uses its own part")]

use faxbot_core::{clock::TokioClock, sip::SipAdapter as _};
use faxbot_sip::adapter::kamailio::{KamailioAdapter, KamailioConfig};
use faxbot_testkit::server::kamailio::{EventForm, MockKamailio, MockKamailioBuilder};

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
