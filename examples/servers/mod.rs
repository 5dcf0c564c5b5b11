//! The servers that the examples talk to: a real one named by the environment, or a mock in this
//! process.
//!
//! | server | variable | dial string by default |
//! |---|---|---|
//! | `asterisk` | `FAXBOT_AMI=ami://user:secret@host:5038` | `PJSIP/{number}` |
//! | `freeswitch` | `FAXBOT_ESL=esl://:ClueCon@host:8021` | `user/{number}` |
//! | `yate` | `FAXBOT_YATE=yate://host:5039` | `{number}`, which Yate routes |
//!
//! `FAXBOT_DIAL` is the dial string. For faxes `FAXBOT_SPOOL` is a directory that we and the server
//! share, and `FAXBOT_SPOOL_REMOTE` its name there where that is another one.
#![allow(dead_code, reason = "no example needs all of it")]

use std::{env, path::Path, sync::Arc, time::Duration};

use faxbot_core::{Error, ErrorKind, Result, sip::SipAdapter};
use faxbot_sip::adapter::{
    RawEvents,
    asterisk::{AsteriskAdapter, AsteriskConfig},
    freeswitch::{FreeswitchAdapter, FreeswitchConfig},
    yate::{YateAdapter, YateConfig},
};
use faxbot_testkit::server::{
    CallScript, MockBuilder, ReceivedFax, Server, Timings, asterisk::MockAsterisk,
    freeswitch::MockFreeSwitch, yate::MockYate,
};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    #[default]
    Asterisk,
    FreeSwitch,
    Yate,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Asterisk, Self::FreeSwitch, Self::Yate];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Asterisk => "asterisk",
            Self::FreeSwitch => "freeswitch",
            Self::Yate => "yate",
        }
    }

    /// The variable that names a real one.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Asterisk => "FAXBOT_AMI",
            Self::FreeSwitch => "FAXBOT_ESL",
            Self::Yate => "FAXBOT_YATE",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| wrong("--server is asterisk, freeswitch or yate"))
    }

    /// The server of the command line (`--server NAME`), else the one that the environment names.
    pub(crate) fn chosen(words: &[String]) -> Result<Self> {
        if let Some(at) = words.iter().position(|word| word == "--server") {
            return Self::parse(words.get(at + 1).map_or("", String::as_str));
        }
        let named = Self::ALL
            .into_iter()
            .find(|kind| env::var(kind.variable()).is_ok());
        Ok(named.unwrap_or_default())
    }
}

pub(crate) fn wrong(text: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, "arguments", text)
}

/// What an adapter is made of, whatever its server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) dial: Option<String>,
    /// As we and as the server see it.
    pub(crate) spool: Option<(String, String)>,
    /// Pass on every event of the server's own.
    pub(crate) raw_events: bool,
}

impl Settings {
    /// A real server, by the environment; `None` where it names none.
    pub(crate) fn from_environment(kind: Kind) -> Option<Self> {
        let url = env::var(kind.variable()).ok()?;
        let spool = env::var("FAXBOT_SPOOL").ok();
        let remote = env::var("FAXBOT_SPOOL_REMOTE").ok();
        Some(Self {
            url,
            dial: env::var("FAXBOT_DIAL").ok(),
            spool: spool.map(|spool| (spool.clone(), remote.unwrap_or(spool))),
            raw_events: false,
        })
    }

    pub(crate) fn adapter(&self, kind: Kind) -> Result<Arc<dyn SipAdapter>> {
        let raw_events = if self.raw_events {
            RawEvents::All
        } else {
            RawEvents::Unknown
        };
        macro_rules! configured {
            ($config:ty) => {{
                let mut config = <$config>::from_url(&self.url)?;
                if let Some(dial) = &self.dial {
                    config = config.with_dial(dial.parse()?);
                }
                if let Some((local, remote)) = &self.spool {
                    config = config.with_spool(local, remote);
                }
                config.raw_events = raw_events;
                config
            }};
        }
        Ok(match kind {
            Kind::Asterisk => Arc::new(AsteriskAdapter::new(configured!(AsteriskConfig))),
            Kind::FreeSwitch => Arc::new(FreeswitchAdapter::new(configured!(FreeswitchConfig))),
            Kind::Yate => Arc::new(YateAdapter::new(configured!(YateConfig))),
        })
    }
}

/// Where the mocks believe that their pages are.
pub(crate) const MOCK_SPOOL: &str = "/var/spool/fax";

/// A mock of one of the servers: whoever is called answers, and takes a fax.
pub(crate) enum Mock {
    Asterisk(MockAsterisk),
    FreeSwitch(MockFreeSwitch),
    Yate(MockYate),
}

impl Mock {
    pub(crate) async fn start(kind: Kind, spool: &Path) -> std::io::Result<Self> {
        Ok(match kind {
            Kind::Asterisk => Self::Asterisk(start(MockAsterisk::builder(), spool).await?),
            Kind::FreeSwitch => Self::FreeSwitch(start(MockFreeSwitch::builder(), spool).await?),
            Kind::Yate => Self::Yate(start(MockYate::builder(), spool).await?),
        })
    }

    /// How to reach it, with pages in `spool`.
    pub(crate) fn settings(&self, spool: &Path) -> Settings {
        let (url, dial) = match self {
            Self::Asterisk(mock) => (mock.url(), "PJSIP/{number}"),
            Self::FreeSwitch(mock) => (mock.url(), "sofia/gateway/trunk/{number}"),
            Self::Yate(mock) => (mock.url(), "sip/sip:{number}@trunk.example"),
        };
        Settings {
            url,
            dial: Some(dial.to_owned()),
            spool: Some((spool.to_string_lossy().into_owned(), MOCK_SPOOL.to_owned())),
            raw_events: false,
        }
    }

    pub(crate) fn received_faxes(&self) -> Vec<ReceivedFax> {
        match self {
            Self::Asterisk(mock) => mock.received_faxes(),
            Self::FreeSwitch(mock) => mock.received_faxes(),
            Self::Yate(mock) => mock.received_faxes(),
        }
    }
}

async fn start<S: Server>(
    builder: MockBuilder<S>,
    spool: &Path,
) -> std::io::Result<faxbot_testkit::server::Mock<S>> {
    let slow_enough_to_watch = Timings::quick()
        .ring(Duration::from_millis(600))
        .negotiation(Duration::from_secs(1))
        .page(Duration::from_secs(1));
    builder
        .map_path(MOCK_SPOOL, spool)
        .timings(slow_enough_to_watch)
        .on_dial("*", CallScript::answer())
        .start()
        .await
}
