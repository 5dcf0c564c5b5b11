//! Yate.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use faxbot_core::sip::{CallStatus, Capabilities, Capability, SipAdapter};
use faxbot_sip::adapter::yate::{YateAdapter, YateConfig};
use faxbot_testkit::{
    conformance::{
        Case, Failure,
        sip_adapter::{BadConfig, Disturbance, FarEnd, Need},
    },
    server::{
        IncomingScript, Mock, MockBuilder, ReplyFault, Timings,
        yate::{MockYate, World},
    },
};
use serde_json::{Value, json};

use super::env::{self, Dialect, How};

pub(crate) fn cases() -> Vec<Case> {
    env::cases(Yate)
}

struct Yate;

impl Dialect for Yate {
    type Server = World;

    const LOGIN: &'static str = "connect";
    const CALL: &'static str = "call.execute";

    fn name(&self) -> String {
        "yate".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        [
            Capability::Dial,
            Capability::Connect,
            Capability::OnAnswerBridge,
            Capability::OnAnswerExtension,
            Capability::RecordOnAnswer,
            Capability::TransferBlind,
            Capability::TransferAttended,
            Capability::Hold,
            Capability::Conference,
            Capability::Record,
            Capability::SendDtmf,
            Capability::OnAnswerPark,
            Capability::MaxDuration,
            Capability::Variables,
            Capability::Headers,
            Capability::Hangup,
            Capability::CallHistory,
            Capability::SendFax,
            Capability::Incoming,
            Capability::ReceiveFax,
            Capability::SendMessage,
            Capability::Cdr,
        ]
        .into_iter()
        .collect()
    }

    fn lacks(&self, need: &Need) -> Option<String> {
        match need {
            Need::WrongPassword => Some("the external module port has no password".to_owned()),
            Need::Disturb(Disturbance::Overloaded) => {
                Some("Yate refuses no request of a module for its load".to_owned())
            }
            Need::RemoteHold => {
                let why = "Yate tells of a re-INVITE, and not whether it holds";
                Some(why.to_owned())
            }
            Need::ConferenceLock => Some("Yate cannot lock a conference".to_owned()),
            _ => None,
        }
    }

    fn good_config(&self) -> Value {
        json!({
            "type": "yate",
            "host": "pbx.example",
            "port": 5039,
            "options": { "dial": "sip/sip:{number}@trunk.example", "spool": "/var/spool/faxbot" },
        })
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        vec![
            BadConfig::new(
                json!({
                    "type": "yate",
                    "port": 70_000,
                    "options": { "connect_timeout": "soon", "connect_role": "yes please" },
                }),
                &["port", "options.connect_timeout", "options.connect_role"],
            ),
            BadConfig::new(
                json!({
                    "type": "yate",
                    "options": { "dial": "sip/nobody", "instance": "a b", "spool_remote": "/spool" },
                }),
                &["options.dial", "options.instance", "options.spool"],
            ),
        ]
    }

    fn builder(&self) -> MockBuilder<World> {
        MockYate::builder().timings(Timings::quick())
    }

    fn adapter(
        &self,
        mock: &MockYate,
        spool: &Path,
        how: How,
    ) -> Result<Arc<dyn SipAdapter>, Failure> {
        let mut config = YateConfig::from_url(&format!(
            "{}?dial=sip/sip:{{number}}@trunk.example",
            mock.url()
        ))?
        .with_spool(spool, spool.to_string_lossy());
        config.incoming = true;
        config.recordings = Some(spool.to_string_lossy().into_owned());
        config.cdr = true;
        if how == How::ShortTimeouts {
            config.request_timeout = Duration::from_secs(3);
            config.incoming_deadline = Duration::from_secs(1);
        }
        Ok(Arc::new(YateAdapter::new(config)))
    }

    fn channel(&self, _mock: &Mock<World>, call: &CallStatus) -> Result<String, Failure> {
        let own = call
            .channels
            .iter()
            .find(|channel| !channel.expose().starts_with("dumb/"))
            .ok_or_else(|| Failure::new("a call without a channel"))?;
        Ok(own.expose().clone())
    }

    fn refusal(&self) -> ReplyFault {
        ReplyFault::Refuse("noroute".to_owned())
    }

    fn garbled(&self) -> Bytes {
        Bytes::from_static(b"%%<message:\0\xff\n")
    }

    fn garbage(&self) -> Bytes {
        Bytes::from_static(b"\0\xff\xfe%%<\n%%<message::maybe:x\n%%>message:%q:z\n")
    }

    fn far_end(&self, mock: &MockYate, channel: &str, does: &FarEnd) -> Result<bool, Failure> {
        Ok(match does {
            FarEnd::HangsUp => mock.far_end_hangs_up(channel, 16),
            FarEnd::Holds => mock.far_end_holds(channel, true),
            FarEnd::Resumes => mock.far_end_holds(channel, false),
            FarEnd::Presses(digits) => mock.far_end_presses(channel, digits),
            other => return Err(Failure::new(format!("no way to stage {other:?}"))),
        })
    }

    fn incoming(&self, mock: &MockYate, script: IncomingScript) -> String {
        mock.incoming(script)
    }

    fn message_in(&self, mock: &MockYate, from: &str, text: &str) {
        mock.message_in(from, text);
    }
}
