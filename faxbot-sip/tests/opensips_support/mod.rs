//! A mocked OpenSIPS in memory, and adapters on one clock that tokio moves.
#![allow(dead_code, reason = "each test program uses its own part")]

use faxbot_core::{clock::TokioClock, sip::SipAdapter as _};
use faxbot_sip::adapter::opensips::{OpenSipsAdapter, OpenSipsConfig};
use faxbot_testkit::server::opensips::{MockOpenSips, MockOpenSipsBuilder};

/// What the server is told to send events to.
pub(crate) const SOCKET: &str = "udp:127.0.0.1:28090";

pub(crate) struct Rig {
    pub(crate) mock: MockOpenSips,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(MockOpenSips::builder()).await
    }

    pub(crate) async fn with(builder: MockOpenSipsBuilder) -> Self {
        let mock = builder
            .body_limit(65_536)
            .in_memory()
            .start()
            .await
            .unwrap();
        Self { mock }
    }

    /// An adapter that has events; `query` has further options.
    pub(crate) fn adapter(&self, query: &str) -> OpenSipsAdapter {
        let adapter = self.polling(&format!("events=given:{SOCKET}&{query}"));
        let mut events = self.mock.events_at(SOCKET);
        let taker = adapter.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                taker.event(&event);
            }
        });
        adapter
    }

    /// An adapter that only polls.
    pub(crate) fn polling(&self, query: &str) -> OpenSipsAdapter {
        let url = format!("opensips+http://127.0.0.1:8888/mi?realm=127.0.0.1:5060&{query}");
        let config = OpenSipsConfig::from_url(url.trim_end_matches('&')).unwrap();
        OpenSipsAdapter::with_clock(config, TokioClock::shared()).with_http(self.mock.client())
    }

    pub(crate) async fn connected(&self) -> OpenSipsAdapter {
        let adapter = self.adapter("");
        adapter.connect().await.unwrap();
        adapter
    }
}
