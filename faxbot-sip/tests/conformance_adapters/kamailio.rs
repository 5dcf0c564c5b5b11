//! Kamailio: with the events of the shipped script by evapi, and by polling alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    address::Address,
    sip::{CallStatus, Capabilities, Capability, SipAdapter},
};
use faxbot_sip::adapter::kamailio::{KamailioAdapter, KamailioConfig};
use faxbot_testkit::{
    conformance::{
        Case, Failure,
        sip_adapter::{
            self, BadConfig, Disturbance, FarEnd, Fate, Need, SeenRequest, SipAdapterEnv,
            SipAdapterSetup,
        },
    },
    server::{
        CallScript, ReplyFault, Timings,
        kamailio::{EventForm, MockKamailio, PassingCall, Phone, SeenRpc, Tree},
    },
};
use serde_json::{Value, json};

/// The phone that is rung first.
const FIRST: &str = "1001";

/// The name under which refused logins are counted.
const LOGIN: &str = "401";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = sip_adapter::cases(Arc::new(Env { events: true }));
    cases.extend(sip_adapter::cases(Arc::new(Env { events: false })));
    cases
}

struct Env {
    events: bool,
}

#[async_trait]
impl SipAdapterEnv for Env {
    fn name(&self) -> String {
        let how = if self.events { "events" } else { "polled" };
        format!("kamailio {how}")
    }

    fn capabilities(&self) -> Capabilities {
        [
            Capability::Connect,
            Capability::Hangup,
            Capability::CallHistory,
            Capability::SendMessage,
        ]
        .into_iter()
        .collect()
    }

    fn pushes(&self) -> bool {
        self.events
    }

    fn lacks(&self, need: &Need) -> Option<String> {
        let polled = "without events a proxy does not say it";
        let why = match need {
            Need::Disturb(Disturbance::CutLinks) => {
                "a request that finds its link cut takes a new one, and nothing was lost"
            }
            Need::Disturb(Disturbance::Overloaded) => {
                "Kamailio refuses no request of RPC for its load"
            }
            Need::RemoteHold => "Kamailio tells of no re-INVITE",
            Need::DigitsIn => "digits do not pass through a proxy",
            Need::Hearing => "digits do not pass through a proxy",
            Need::Causes
            | Need::FirstPartyCauses
            | Need::MessageIn
            | Need::EventLink
            | Need::Disturb(Disturbance::Garbage)
                if !self.events =>
            {
                polled
            }
            _ => return None,
        };
        Some(why.to_owned())
    }

    fn good_config(&self) -> Value {
        json!({
            "type": "kamailio",
            "host": "proxy.example",
            "port": 5060,
            "auth": { "token": "s3cret" },
            "realm": "sip.example",
            "options": { "tls": true, "events": "127.0.0.1:8448" },
        })
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        vec![
            BadConfig::new(
                json!({
                    "type": "kamailio",
                    "port": 70_000,
                    "options": { "poll": "soon", "events": "8448", "connections": 0 },
                }),
                &[
                    "port",
                    "options.poll",
                    "options.events",
                    "options.connections",
                ],
            ),
            BadConfig::new(
                json!({
                    "type": "kamailio",
                    "host": "proxy.example",
                    "options": { "dial": "tel:{number}", "job_header": "X Job", "rpc_socket": "here" },
                }),
                &["options.dial", "options.job_header", "options.rpc_socket"],
            ),
        ]
    }

    async fn setup(&self) -> Result<Box<dyn SipAdapterSetup>, Failure> {
        let ms = Duration::from_millis;
        let builder = MockKamailio::builder()
            .basic("faxbot", "s3cret")
            .events(EventForm::Versioned)
            // Longer than the time from one poll to the next: of a call that is over no poll says
            // whose it was.
            .timings(Timings::quick().ring(ms(if self.events { 10 } else { 150 })))
            .ring_timeout(ms(1500))
            .answer_timeout(ms(1000))
            .lists_ended_for(ms(1000))
            .phone(FIRST, Phone::answers().rings(ms(1)));
        let builder = if self.events {
            builder
        } else {
            builder.without_evapi()
        };
        Ok(Box::new(Setup {
            mock: builder.start().await?,
            events: self.events,
            next: AtomicU32::new(0),
        }))
    }
}

struct Setup {
    mock: MockKamailio,
    events: bool,
    next: AtomicU32,
}

impl Setup {
    fn config(&self, url: &str) -> Result<KamailioConfig, Failure> {
        let mut config = KamailioConfig::from_url(url)?;
        config.poll = match self.events {
            true => Duration::from_millis(500),
            false => Duration::from_millis(20),
        };
        Ok(config)
    }

    fn number(&self) -> String {
        format!("+4930{:07}", self.next.fetch_add(1, Ordering::Relaxed))
    }
}

fn script(fate: Fate) -> Result<CallScript, Failure> {
    let answer = CallScript::answer;
    Ok(match fate {
        Fate::Answers => answer(),
        Fate::AnswersFor(time) => answer().hangs_up_after(time),
        Fate::Busy => CallScript::busy(),
        Fate::NoAnswer => CallScript::no_answer(),
        Fate::Congested => CallScript::congestion(),
        Fate::Rejects(status) => CallScript::rejected(status),
        Fate::Refused => answer().reply(ReplyFault::Refuse("Internal error".to_owned())),
        Fate::ReplyLost => answer().reply(ReplyFault::DropBefore),
        Fate::CutAfterReply => answer().reply(ReplyFault::DropAfter),
        Fate::NoReply => answer().reply(ReplyFault::Silent),
        Fate::GarbledReply => {
            answer().reply(ReplyFault::Garbage((&b"{\"jsonrpc\": \xff"[..]).into()))
        }
        other => return Err(Failure::new(format!("no script for {other:?}"))),
    })
}

/// What a phone does when it is rung as the first of two parties.
fn phone(fate: Fate) -> Phone {
    match fate {
        Fate::Busy => Phone::busy(),
        Fate::NoAnswer => Phone::no_answer(),
        Fate::Congested => Phone::rejects(503),
        Fate::Rejects(status) => Phone::rejects(status),
        _ => Phone::answers(),
    }
}

#[async_trait]
impl SipAdapterSetup for Setup {
    async fn adapter(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        let config = self.config(&self.mock.url())?;
        Ok(Arc::new(KamailioAdapter::new(config)))
    }

    async fn with_wrong_password(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        let config = self.config(&self.mock.url().replace("s3cret", "wrong"))?;
        Ok(Arc::new(KamailioAdapter::new(config)))
    }

    async fn with_short_timeouts(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        let mut config = self.config(&self.mock.url())?;
        config.request_timeout = Duration::from_secs(1);
        Ok(Arc::new(KamailioAdapter::new(config)))
    }

    async fn target(&self, fate: Fate) -> Result<Address, Failure> {
        let number = self.number();
        self.mock.on_dial(&number, script(fate)?);
        self.mock.phone(&number, phone(fate));
        Ok(number.parse()?)
    }

    async fn first_party(&self) -> Result<Address, Failure> {
        Ok(FIRST.parse()?)
    }

    async fn passing(&self, fate: Fate) -> Result<String, Failure> {
        let to = format!("sip:{}@127.0.0.1:5070", self.number());
        let call = PassingCall::new("sip:alice@127.0.0.1:5091", &to);
        Ok(self.mock.call(call.taken(script(fate)?)))
    }

    async fn passing_ends(&self, name: &str) -> Result<(), Failure> {
        let ended = self.mock.callee_hangs_up(name);
        ended
            .then_some(())
            .ok_or_else(|| Failure::new("there is no such call"))
    }

    async fn far_end(&self, call: &CallStatus, does: FarEnd) -> Result<(), Failure> {
        if does != FarEnd::HangsUp {
            return Err(Failure::new(format!("no way to stage {does:?}")));
        }
        let name = call
            .channels
            .first()
            .ok_or_else(|| Failure::new("no dialog"))?;
        self.passing_ends(name.expose()).await
    }

    async fn message_in(&self, from: &str, text: &str) -> Result<(), Failure> {
        self.mock.message_in(from, text);
        Ok(())
    }

    async fn disturb(&self, what: Disturbance) -> Result<(), Failure> {
        let mock = &self.mock;
        match what {
            Disturbance::Unreachable => mock.unreachable(true),
            Disturbance::Reachable => mock.unreachable(false),
            Disturbance::Stopped => {
                mock.stop_now();
                // The listeners close in tasks of the mock.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Disturbance::Crash => mock.restart(Duration::from_millis(300)),
            Disturbance::Garbage => {
                mock.send_raw(&b"19:{\"event\":\"call:new\",,5:\xff\xfe\0{},\x00"[..]);
            }
            Disturbance::EventsLost => mock.evapi_unreachable(true),
            Disturbance::EventsBack => mock.evapi_unreachable(false),
            other => return Err(Failure::new(format!("no way to stage {other:?}"))),
        }
        Ok(())
    }

    fn requests(&self) -> Vec<SeenRequest> {
        let refused = (0..self.mock.refused()).map(|_| SeenRequest::new(LOGIN, Vec::new()));
        let seen = self.mock.requests();
        seen.iter().map(as_sent).chain(refused).collect()
    }

    fn login_request(&self) -> &'static str {
        LOGIN
    }

    fn call_request(&self) -> &'static str {
        "dlg.bridge_dlg"
    }
}

/// A request as the SIP message that the server makes of it has it: what is behind a line break in a
/// parameter is a header there (recording `ctd_header_injection_in_to`).
fn as_sent(request: &SeenRpc) -> SeenRequest {
    let mut fields = Vec::new();
    for (place, value) in request.values().into_iter().enumerate() {
        let mut lines = value.text().unwrap_or_default().split(['\r', '\n']);
        let first = lines.next().unwrap_or_default();
        fields.push((place.to_string(), first.to_owned()));
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    if let Tree::Object(members) = &request.params {
        fields.extend(
            members
                .iter()
                .map(|(name, _)| (name.clone(), String::new())),
        );
    }
    SeenRequest::new(request.method.clone(), fields)
}
