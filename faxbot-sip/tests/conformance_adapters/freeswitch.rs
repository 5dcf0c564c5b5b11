//! FreeSWITCH.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use faxbot_core::sip::{CallStatus, SipAdapter};
use faxbot_sip::adapter::freeswitch::{FreeswitchAdapter, FreeswitchConfig};
use faxbot_testkit::{
    conformance::{
        Case, Failure,
        sip_adapter::{BadConfig, FarEnd, Fate, Need},
    },
    server::{
        IncomingScript, Mock, MockBuilder, ReplyFault, Timings,
        freeswitch::{MockFreeSwitch, World},
    },
};
use serde_json::{Value, json};

use super::env::{self, Dialect, How};

pub(crate) fn cases() -> Vec<Case> {
    env::cases(Freeswitch)
}

pub(crate) struct Freeswitch;

impl Dialect for Freeswitch {
    type Server = World;

    const LOGIN: &'static str = "auth";
    const CALL: &'static str = "originate";

    fn name(&self) -> String {
        "freeswitch".to_owned()
    }

    fn lacks(&self, need: &Need) -> Option<String> {
        let why = "replies come in the order of the commands: one cannot be missing alone";
        matches!(need, Need::Fate(Fate::NoReply)).then(|| why.to_owned())
    }

    fn good_config(&self) -> Value {
        json!({
            "type": "freeswitch",
            "host": "pbx.example",
            "port": 8021,
            "auth": { "password": "ClueCon" },
            "options": { "dial": "sofia/gateway/trunk/{number}", "spool": "/var/spool/faxbot" },
        })
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        vec![
            BadConfig::new(
                json!({
                    "type": "freeswitch",
                    "port": 70_000,
                    "options": { "dial": "sofia/nobody", "connect_timeout": "soon", "tls": "yes please" },
                }),
                &[
                    "port",
                    "auth.password",
                    "options.connect_timeout",
                    "options.tls",
                ],
            ),
            BadConfig::new(
                json!({
                    "type": "freeswitch",
                    "auth": { "password": "ClueCon" },
                    "options": { "dial": "sofia/nobody", "instance": "a b", "spool_remote": "/spool" },
                }),
                &["options.dial", "options.instance", "options.spool"],
            ),
        ]
    }

    fn builder(&self) -> MockBuilder<World> {
        MockFreeSwitch::builder().timings(Timings::quick())
    }

    fn adapter(
        &self,
        mock: &MockFreeSwitch,
        spool: &Path,
        how: How,
    ) -> Result<Arc<dyn SipAdapter>, Failure> {
        let mut config =
            FreeswitchConfig::from_url(&mock.url())?.with_spool(spool, spool.to_string_lossy());
        config.incoming = faxbot_sip::adapter::freeswitch::IncomingPath::Park;
        match how {
            How::Usual => {}
            How::WrongPassword => config.password = "wrong".into(),
            How::ShortTimeouts => {
                config.request_timeout = Duration::from_secs(3);
                config.incoming_deadline = Duration::from_secs(1);
            }
        }
        Ok(Arc::new(FreeswitchAdapter::new(config)))
    }

    fn channel(&self, _mock: &Mock<World>, call: &CallStatus) -> Result<String, Failure> {
        let own = call
            .channels
            .first()
            .ok_or_else(|| Failure::new("a call without a channel"))?;
        Ok(own.expose().clone())
    }

    fn refusal(&self) -> ReplyFault {
        ReplyFault::Refuse("CHAN_NOT_IMPLEMENTED".to_owned())
    }

    fn garbled(&self) -> Bytes {
        Bytes::from_static(b"Content-Type: command/reply\nReply-T\0\xff\n\n")
    }

    fn garbage(&self) -> Bytes {
        Bytes::from_static(
            b"\0\xff\xfeContent-Type\n\n: x\nContent-Type: text/event-json\nContent-Length: 3\n\n{\"a",
        )
    }

    fn far_end(
        &self,
        mock: &MockFreeSwitch,
        channel: &str,
        does: &FarEnd,
    ) -> Result<bool, Failure> {
        Ok(match does {
            FarEnd::HangsUp => mock.far_end_hangs_up(channel, 16),
            FarEnd::Holds => mock.far_end_holds(channel, true),
            FarEnd::Resumes => mock.far_end_holds(channel, false),
            FarEnd::Presses(digits) => mock.far_end_presses(channel, digits),
            other => return Err(Failure::new(format!("no way to stage {other:?}"))),
        })
    }

    fn incoming(&self, mock: &MockFreeSwitch, script: IncomingScript) -> String {
        mock.incoming(script)
    }

    fn message_in(&self, mock: &MockFreeSwitch, from: &str, text: &str) {
        mock.message_in(from, text);
    }
}
