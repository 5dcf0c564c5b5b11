//! Asterisk 16 and 22.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use faxbot_core::sip::{CallStatus, Capabilities, Capability, SipAdapter};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use faxbot_testkit::{
    conformance::{
        Case, Failure,
        sip_adapter::{BadConfig, FarEnd},
    },
    server::{
        IncomingScript, Mock, MockBuilder, ReplyFault, Timings,
        asterisk::{Flavour, MockAsterisk, World},
    },
};
use serde_json::{Value, json};

use super::env::{self, Dialect, How};

pub(crate) fn cases() -> Vec<Case> {
    let flavours = [("asterisk 16", Flavour::V16), ("asterisk 22", Flavour::V22)];
    let cases = flavours.map(|(name, flavour)| env::cases(Asterisk { name, flavour }));
    cases.into_iter().flatten().collect()
}

struct Asterisk {
    name: &'static str,
    flavour: Flavour,
}

impl Dialect for Asterisk {
    type Server = World;

    const LOGIN: &'static str = "Login";
    const CALL: &'static str = "Originate";

    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        let all: Capabilities = Capability::ALL.iter().copied().collect();
        // SendFAX sends a file from its first page.
        all.without(Capability::FaxFirstPage)
    }

    fn good_config(&self) -> Value {
        json!({
            "type": "asterisk",
            "host": "pbx.example",
            "port": 5038,
            "auth": { "username": "faxbot", "password": "s3cret" },
            "options": { "dial": "PJSIP/{number}@trunk", "spool": "/var/spool/faxbot" },
        })
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        vec![
            BadConfig::new(
                json!({
                    "type": "asterisk",
                    "port": 70_000,
                    "auth": { "username": 7 },
                    "options": { "dial": "PJSIP/nobody", "connect_timeout": "soon", "tls": "yes please" },
                }),
                &[
                    "port",
                    "auth.username",
                    "auth.password",
                    "options.connect_timeout",
                    "options.tls",
                ],
            ),
            BadConfig::new(
                json!({
                    "type": "asterisk",
                    "auth": { "user": "faxbot", "secret": "s3cret" },
                    "options": { "dial": "PJSIP/nobody", "instance": "a b", "spool_remote": "/spool" },
                }),
                &["options.dial", "options.instance", "options.spool"],
            ),
        ]
    }

    fn builder(&self) -> MockBuilder<World> {
        MockAsterisk::builder()
            .flavour(self.flavour)
            .timings(Timings::quick())
            .cdr(true)
    }

    fn adapter(
        &self,
        mock: &MockAsterisk,
        spool: &Path,
        how: How,
    ) -> Result<Arc<dyn SipAdapter>, Failure> {
        let mut config =
            AsteriskConfig::from_url(&mock.url())?.with_spool(spool, spool.to_string_lossy());
        config.fax_poll = Duration::from_millis(20);
        config.incoming_context = Some("incoming".to_owned());
        match how {
            How::Usual => {}
            How::WrongPassword => config.password = "wrong".into(),
            How::ShortTimeouts => {
                config.request_timeout = Duration::from_secs(3);
                config.incoming_deadline = Duration::from_secs(1);
            }
        }
        Ok(Arc::new(AsteriskAdapter::new(config)))
    }

    fn channel(&self, _mock: &Mock<World>, call: &CallStatus) -> Result<String, Failure> {
        let id = call
            .id
            .ok_or_else(|| Failure::new("a call without an id"))?;
        Ok(format!("faxbot-{}", id.as_uuid()))
    }

    fn refusal(&self) -> ReplyFault {
        ReplyFault::Refuse("Extension does not exist.".to_owned())
    }

    fn garbled(&self) -> Bytes {
        Bytes::from_static(b"Response: Succ\0\xff\r\n\r\n")
    }

    fn garbage(&self) -> Bytes {
        Bytes::from_static(b"\0\xff\xfeEvent\r\n: x\r\n\r\nResponse: Error\r\nActionID: 1\r\n\r\n")
    }

    fn far_end(&self, mock: &MockAsterisk, channel: &str, does: &FarEnd) -> Result<bool, Failure> {
        Ok(match does {
            FarEnd::HangsUp => mock.far_end_hangs_up(channel, 16),
            FarEnd::Holds => mock.far_end_holds(channel, true),
            FarEnd::Resumes => mock.far_end_holds(channel, false),
            FarEnd::Presses(digits) => mock.far_end_presses(channel, digits),
            other => return Err(Failure::new(format!("no way to stage {other:?}"))),
        })
    }

    fn incoming(&self, mock: &MockAsterisk, script: IncomingScript) -> String {
        mock.incoming(script)
    }

    fn message_in(&self, mock: &MockAsterisk, from: &str, text: &str) {
        mock.message_in(from, text);
    }
}
