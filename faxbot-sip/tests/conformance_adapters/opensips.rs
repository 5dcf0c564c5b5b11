//! OpenSIPS: with events by datagrams, with events over TCP, and by polling alone.

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
use faxbot_sip::adapter::opensips::{OpenSipsAdapter, OpenSipsConfig};
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
        opensips::{MockOpenSips, PassingCall, Phone, SeenMi},
    },
};
use serde_json::{Value, json};

/// The phone that is rung first.
const FIRST: &str = "1001";

pub(crate) fn cases() -> Vec<Case> {
    let all = [Events::Datagrams, Events::Stream, Events::None].into_iter();
    all.flat_map(|events| sip_adapter::cases(Arc::new(Env { events })))
        .collect()
}

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Events {
    Datagrams,
    Stream,
    None,
}

impl Events {
    /// What the adapter is told of them.
    fn option(self) -> &'static str {
        match self {
            Self::Datagrams => "?events=udp:127.0.0.1:0",
            Self::Stream => "?events=tcp:127.0.0.1:0",
            Self::None => "",
        }
    }
}

struct Env {
    events: Events,
}

#[async_trait]
impl SipAdapterEnv for Env {
    fn name(&self) -> String {
        let how = match self.events {
            Events::Datagrams => "datagrams",
            Events::Stream => "stream",
            Events::None => "polled",
        };
        format!("opensips {how}")
    }

    fn capabilities(&self) -> Capabilities {
        let always = [
            Capability::Connect,
            Capability::Hangup,
            Capability::CallHistory,
            Capability::SendMessage,
        ];
        // What came of them is told by events alone.
        let told = [
            Capability::Hold,
            Capability::TransferBlind,
            Capability::TransferAttended,
            Capability::Cdr,
        ];
        let told = told.into_iter().filter(|_| self.pushes());
        always.into_iter().chain(told).collect()
    }

    fn pushes(&self) -> bool {
        self.events != Events::None
    }

    fn lacks(&self, need: &Need) -> Option<String> {
        let why = match need {
            Need::WrongPassword => "the management interface has no password",
            Need::Disturb(Disturbance::CutLinks) => {
                "a request that finds its link cut takes a new one, and nothing was lost"
            }
            Need::Disturb(Disturbance::Overloaded) => {
                "OpenSIPS refuses no request of MI for its load"
            }
            Need::Disturb(Disturbance::Garbage) if !self.pushes() => "no link of events is there",
            Need::RemoteHold => "OpenSIPS tells of no re-INVITE but its own",
            Need::DigitsIn | Need::Hearing => "digits do not pass through a proxy",
            Need::MessageIn => "OpenSIPS tells of no message that passes",
            Need::Causes | Need::FirstPartyCauses => {
                "why a call of b2b_logic ended is shown nowhere"
            }
            Need::Ringing => "of a call of b2b_logic no list tells that it rings",
            Need::OwnControl => "callops holds and joins dialogs, and a call of b2b_logic is none",
            Need::KeptOnRefusal => {
                "b2b_bridge lets go of the second party before it calls the third"
            }
            Need::OwnRecords => "a call of b2b_logic is not accounted for",
            Need::EventLink => "an event that is lost leaves no trace",
            _ => return None,
        };
        Some(why.to_owned())
    }

    fn good_config(&self) -> Value {
        json!({
            "type": "opensips",
            "host": "proxy.example",
            "port": 8888,
            "realm": "sip.example",
            "options": { "tls": true, "events": "udp:192.0.2.10:8090", "mi_datagram": "udp:192.0.2.1:8889" },
        })
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        vec![
            BadConfig::new(
                json!({
                    "type": "opensips",
                    "port": 70_000,
                    "options": { "poll": "soon", "events": "8090", "connections": 0 },
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
                    "type": "opensips",
                    "host": "proxy.example",
                    "options": { "dial": "nobody", "sender": "nobody", "mi_datagram": "here" },
                }),
                &["options.dial", "options.sender", "options.mi_datagram"],
            ),
        ]
    }

    async fn setup(&self) -> Result<Box<dyn SipAdapterSetup>, Failure> {
        let ms = Duration::from_millis;
        let mock = MockOpenSips::builder()
            .body_limit(65_536)
            // Longer than the time from one poll to the next.
            .timings(Timings::quick().ring(ms(if self.pushes() { 10 } else { 150 })))
            .ring_timeout(ms(1500))
            .answer_timeout(ms(1000))
            .lists_ended_for(ms(1000))
            .phone(FIRST, Phone::answers().rings(ms(1)))
            .start()
            .await?;
        Ok(Box::new(Setup {
            mock,
            events: self.events,
            next: AtomicU32::new(0),
        }))
    }
}

struct Setup {
    mock: MockOpenSips,
    events: Events,
    next: AtomicU32,
}

impl Setup {
    fn config(&self) -> Result<OpenSipsConfig, Failure> {
        let url = format!("{}{}", self.mock.url(), self.events.option());
        let mut config = OpenSipsConfig::from_url(&url)?;
        config.poll = Duration::from_millis(20);
        config.transfer_timeout = Duration::from_secs(2);
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
        Ok(Arc::new(OpenSipsAdapter::new(self.config()?)))
    }

    async fn with_short_timeouts(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        let mut config = self.config()?;
        config.request_timeout = Duration::from_secs(1);
        Ok(Arc::new(OpenSipsAdapter::new(config)))
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
        let to = format!("sip:{}@127.0.0.1:25060", self.number());
        let call = PassingCall::new("sip:alice@127.0.0.1:25070", &to);
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
        // A call of ours is a tuple with our id; another one is a dialog.
        let scenario = call.id.map(|id| id.as_uuid().to_string());
        let scenario = scenario.unwrap_or_default();
        if self.mock.second_party_hangs_up(&scenario) {
            return Ok(());
        }
        let name = call
            .channels
            .first()
            .ok_or_else(|| Failure::new("no dialog"))?;
        self.passing_ends(name.expose()).await
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
                mock.send_raw(&b"\0\xff{\"jsonrpc\":\"2.0\",}}]{\"method\":7}\xfe"[..])
            }
            other => return Err(Failure::new(format!("no way to stage {other:?}"))),
        }
        Ok(())
    }

    fn requests(&self) -> Vec<SeenRequest> {
        self.mock.requests().iter().map(as_sent).collect()
    }

    /// Asked once by each attempt to connect.
    fn login_request(&self) -> &'static str {
        "version"
    }

    fn call_request(&self) -> &'static str {
        "b2b_trigger_scenario"
    }
}

/// A request as the SIP message that the server makes of it has it: what is behind a line break in a
/// parameter is a header there.
fn as_sent(request: &SeenMi) -> SeenRequest {
    let mut fields = Vec::new();
    for (name, value) in request.texts() {
        let mut lines = value.split(['\r', '\n']);
        fields.push((name, lines.next().unwrap_or_default().to_owned()));
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    SeenRequest::new(request.method.clone(), fields)
}
