//! FusionPBX: a tenant of the FreeSWITCH that is mocked. What differs from FreeSWITCH is here.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use faxbot_core::sip::{AdapterKind, CallStatus, SipAdapter};
use faxbot_sip::adapter::{
    freeswitch::IncomingPath,
    fusionpbx::{FusionpbxAdapter, FusionpbxConfig},
};
use faxbot_testkit::{
    conformance::{
        Case, Failure, ensure,
        sip_adapter::{BadConfig, FarEnd, Need},
    },
    server::{
        IncomingScript, Mock, MockBuilder, ReplyFault,
        freeswitch::{MockFreeSwitch, World},
    },
};
use serde_json::{Value, json};

use super::{
    env::{self, Dialect, How},
    freeswitch::Freeswitch,
};

pub(crate) fn cases() -> Vec<Case> {
    env::cases(Fusionpbx)
}

struct Fusionpbx;

impl Dialect for Fusionpbx {
    type Server = World;

    const LOGIN: &'static str = Freeswitch::LOGIN;
    const CALL: &'static str = Freeswitch::CALL;

    fn name(&self) -> String {
        "fusionpbx".to_owned()
    }

    fn lacks(&self, need: &Need) -> Option<String> {
        Freeswitch.lacks(need)
    }

    fn good_config(&self) -> Value {
        json!({
            "type": "fusionpbx",
            "auth": { "username": "admin", "password": "ClueCon", "domain": "tenant.example" },
            "options": {
                "domain_uuid": "5a1c2d3e-0001-4000-8000-000000000001",
                "gateway": "5a1c2d3e-0002-4000-8000-000000000001",
                "spool": "/var/spool/faxbot",
            },
        })
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        vec![BadConfig::new(
            json!({
                "type": "fusionpbx",
                "port": 70_000,
                "options": { "domain_uuid": "7", "gateway": "trunk", "dial": "sofia/a/{number}" },
            }),
            &[
                "port",
                "auth.password",
                "auth.domain",
                "options.domain_uuid",
                "options.gateway",
            ],
        )]
    }

    fn builder(&self) -> MockBuilder<World> {
        Freeswitch.builder()
    }

    fn adapter(
        &self,
        mock: &MockFreeSwitch,
        spool: &Path,
        how: How,
    ) -> Result<Arc<dyn SipAdapter>, Failure> {
        let url = format!(
            "{}?domain=tenant.example&domain_uuid=5a1c2d3e-0001-4000-8000-000000000001",
            mock.url()
        );
        let mut config = FusionpbxConfig::from_url(&url)?;
        let server = config.freeswitch.with_spool(spool, spool.to_string_lossy());
        config.freeswitch = server;
        config.freeswitch.incoming = IncomingPath::Park;
        match how {
            How::Usual => {}
            How::WrongPassword => config.freeswitch.password = "wrong".into(),
            How::ShortTimeouts => {
                config.freeswitch.request_timeout = Duration::from_secs(3);
                config.freeswitch.incoming_deadline = Duration::from_secs(1);
            }
        }
        let adapter = FusionpbxAdapter::new(config);
        ensure!(
            adapter.kind() == AdapterKind::FUSIONPBX,
            "{} is its kind",
            adapter.kind()
        );
        Ok(Arc::new(adapter))
    }

    fn channel(&self, mock: &Mock<World>, call: &CallStatus) -> Result<String, Failure> {
        Freeswitch.channel(mock, call)
    }

    fn refusal(&self) -> ReplyFault {
        Freeswitch.refusal()
    }

    fn garbled(&self) -> Bytes {
        Freeswitch.garbled()
    }

    fn garbage(&self) -> Bytes {
        Freeswitch.garbage()
    }

    fn far_end(
        &self,
        mock: &MockFreeSwitch,
        channel: &str,
        does: &FarEnd,
    ) -> Result<bool, Failure> {
        Freeswitch.far_end(mock, channel, does)
    }

    fn incoming(&self, mock: &MockFreeSwitch, script: IncomingScript) -> String {
        Freeswitch.incoming(mock, script)
    }

    fn message_in(&self, mock: &MockFreeSwitch, from: &str, text: &str) {
        Freeswitch.message_in(mock, from, text);
    }
}
