//! Flexisip: an adapter without calls.

use std::sync::Arc;

use async_trait::async_trait;
use faxbot_core::{
    address::Address,
    clock::TokioClock,
    sip::{Capabilities, Capability, SipAdapter},
};
use faxbot_sip::adapter::flexisip::{FlexisipAdapter, FlexisipConfig};
use faxbot_testkit::{
    conformance::{
        Case, Failure,
        sip_adapter::{
            BadConfig, Disturbance, Fate, Need, SeenRequest, SipAdapterEnv, SipAdapterSetup, cases,
        },
    },
    server::{flexisip::MockFlexisip, http::MockHttp},
};
use serde_json::{Value, json};

pub(crate) fn all() -> Vec<Case> {
    cases(Arc::new(Flexisip))
}

struct Flexisip;

struct Setup(MockHttp<MockFlexisip>);

#[async_trait]
impl SipAdapterEnv for Flexisip {
    fn name(&self) -> String {
        "flexisip".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().with(Capability::SendMessage)
    }

    fn lacks(&self, need: &Need) -> Option<String> {
        let why = match need {
            Need::Requests
            | Need::WrongPassword
            | Need::Fate(Fate::Answers)
            | Need::Disturb(
                Disturbance::Stopped | Disturbance::Unreachable | Disturbance::Reachable,
            ) => return None,
            Need::MessageIn => "the account manager tells of no message that comes in",
            _ => "the account manager carries no calls",
        };
        Some(why.to_owned())
    }

    fn pushes(&self) -> bool {
        false
    }

    fn good_config(&self) -> Value {
        json!({
            "type": "flexisip",
            "host": "sip.example.org",
            "auth": { "username": "alice@example.org", "password": "secret" },
            "options": { "poll": "10s" },
        })
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        vec![
            BadConfig::new(
                json!({
                    "type": "flexisip",
                    "port": 70_000,
                    "options": { "connect_timeout": "soon", "poll": "1ms", "tls": "perhaps" },
                }),
                &[
                    "port",
                    "options.connect_timeout",
                    "options.poll",
                    "options.tls",
                ],
            ),
            BadConfig::new(
                json!({
                    "type": "flexisip",
                    "auth": { "api_key": "a", "username": "b c" },
                    "options": { "path": "api" },
                }),
                &[
                    "auth.api_key",
                    "auth.password",
                    "auth.username",
                    "options.path",
                ],
            ),
        ]
    }

    async fn setup(&self) -> Result<Box<dyn SipAdapterSetup>, Failure> {
        Ok(Box::new(Setup(
            MockFlexisip::new().with_daemon().in_memory(),
        )))
    }
}

impl Setup {
    fn with_key(&self, key: &str) -> Result<Arc<dyn SipAdapter>, Failure> {
        let url = self.0.url();
        let config = FlexisipConfig::from_value(&json!({
            "type": "flexisip",
            "host": url.host_str(),
            "port": url.port(),
            "realm": MockFlexisip::DOMAIN,
            "auth": { "api_key": key },
            "options": { "tls": false, "poll": "100ms" },
        }))?;
        let (http, clock) = (self.0.client(), TokioClock::shared());
        Ok(Arc::new(FlexisipAdapter::with_http(config, http, clock)))
    }
}

#[async_trait]
impl SipAdapterSetup for Setup {
    async fn adapter(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        self.with_key(MockFlexisip::ADMIN_KEY)
    }

    async fn with_wrong_password(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        self.with_key("wrong")
    }

    async fn target(&self, fate: Fate) -> Result<Address, Failure> {
        match fate {
            Fate::Answers => Ok("bob".parse()?),
            other => Err(Failure::new(format!("no call that {other:?}"))),
        }
    }

    async fn disturb(&self, what: Disturbance) -> Result<(), Failure> {
        match what {
            Disturbance::Stopped | Disturbance::Unreachable => self.0.unreachable(true),
            Disturbance::Reachable => self.0.unreachable(false),
            other => return Err(Failure::new(format!("cannot be staged: {other:?}"))),
        }
        Ok(())
    }

    fn requests(&self) -> Vec<SeenRequest> {
        let name = |method: &str, path: &str| format!("{method} {path}");
        let all = self.0.requests().into_iter();
        all.map(|it| SeenRequest::new(name(it.method.as_str(), &it.path), Vec::new()))
            .collect()
    }

    fn login_request(&self) -> &'static str {
        "GET /api/accounts/me"
    }

    fn call_request(&self) -> &'static str {
        "POST /api/messages"
    }
}
