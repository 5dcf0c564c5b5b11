//! The conformance suite of adapters, on Asterisk 16 and 22 as mocked.
#![cfg(test)]

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use faxbot_core::{
    address::Address,
    document::FaxImage,
    sip::{CallStatus, Capabilities, Capability, SipAdapter},
};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use faxbot_testkit::{
    conformance::{
        self, Failure, samples,
        sip_adapter::{
            self, BadConfig, Caller, CallerSees, Disturbance, FarEnd, Fate, Need, SeenRequest,
            SipAdapterEnv, SipAdapterSetup, StagedCaller,
        },
    },
    server::asterisk::{
        CallScript, CallerSaw, Flavour, IncomingFax, IncomingScript, MockAsterisk, ReplyFault,
        Timings,
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn main() -> ExitCode {
    let mut cases = Vec::new();
    for (name, flavour) in [("asterisk 16", Flavour::V16), ("asterisk 22", Flavour::V22)] {
        cases.extend(sip_adapter::cases(Arc::new(Env { name, flavour })));
    }
    conformance::run(cases)
}

struct Env {
    name: &'static str,
    flavour: Flavour,
}

#[async_trait]
impl SipAdapterEnv for Env {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        // The mock has every module and its account every right.
        Capability::ALL.iter().copied().collect()
    }

    fn lacks(&self, _need: &Need) -> Option<String> {
        None
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

    async fn setup(&self) -> Result<Box<dyn SipAdapterSetup>, Failure> {
        let spool = tempfile::tempdir()?;
        let timings = Timings::quick();
        let mock = MockAsterisk::builder()
            .flavour(self.flavour)
            .timings(timings)
            .cdr(true)
            .start()
            .await?;
        Ok(Box::new(Setup {
            mock: Arc::new(mock),
            spool,
            next: AtomicU32::new(0),
        }))
    }
}

/// Who calls us, and whom.
const CALLER: &str = "+493055501";
const CALLED: &str = "7001";

/// Our own leg of a call.
fn channel_of(call: &CallStatus) -> Result<String, Failure> {
    let id = call
        .id
        .ok_or_else(|| Failure::new("a call without an id"))?;
    Ok(format!("faxbot-{}", id.as_uuid()))
}

struct Calling {
    mock: Arc<MockAsterisk>,
    id: String,
}

impl StagedCaller for Calling {
    fn number(&self) -> String {
        CALLER.to_owned()
    }

    fn called(&self) -> String {
        CALLED.to_owned()
    }

    fn sees(&self) -> CallerSees {
        match self.mock.caller_saw(&self.id) {
            Some(CallerSaw::Answered) => CallerSees::Answered,
            Some(CallerSaw::Ended { cause }) => {
                let cause = u16::try_from(cause).ok();
                CallerSees::Ended(cause.filter(|&cause| cause != 0))
            }
            _ => CallerSees::Waiting,
        }
    }
}

struct Setup {
    mock: Arc<MockAsterisk>,
    spool: TempDir,
    next: AtomicU32,
}

impl Setup {
    fn make(
        &self,
        change: impl FnOnce(&mut AsteriskConfig),
    ) -> Result<Arc<dyn SipAdapter>, Failure> {
        let path = self.spool.path();
        let mut config =
            AsteriskConfig::from_url(&self.mock.url())?.with_spool(path, path.to_string_lossy());
        config.fax_poll = Duration::from_millis(20);
        config.incoming_context = Some("incoming".to_owned());
        change(&mut config);
        Ok(Arc::new(AsteriskAdapter::new(config)))
    }
}

#[async_trait]
impl SipAdapterSetup for Setup {
    async fn adapter(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        self.make(|_| {})
    }

    async fn with_wrong_password(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        self.make(|config| config.password = "wrong".into())
    }

    async fn with_short_timeouts(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        self.make(|config| {
            config.request_timeout = Duration::from_secs(1);
            config.incoming_deadline = Duration::from_secs(1);
        })
    }

    async fn target(&self, fate: Fate) -> Result<Address, Failure> {
        let number = format!("+4930{:07}", self.next.fetch_add(1, Ordering::Relaxed));
        let answer = CallScript::answer;
        let script = match fate {
            Fate::Answers => answer(),
            Fate::AnswersFor(time) => answer().hangs_up_after(time),
            Fate::Busy => CallScript::busy(),
            Fate::NoAnswer => CallScript::no_answer(),
            Fate::Congested => CallScript::congestion(),
            Fate::Rejects(status) => CallScript::rejected(status),
            Fate::SlowFax => answer().page_time(Duration::from_secs(3)),
            Fate::FaxFailsAfter(pages) => {
                CallScript::fax_fails_after(pages, "HANGUP", "The call dropped prematurely")
            }
            Fate::Refused => {
                answer().reply(ReplyFault::Refuse("Extension does not exist.".to_owned()))
            }
            Fate::ReplyLost => answer().reply(ReplyFault::DropBefore),
            Fate::CutAfterReply => answer().reply(ReplyFault::DropAfter),
            Fate::NoReply => answer().reply(ReplyFault::Silent),
            Fate::GarbledReply => answer().reply(ReplyFault::Garbage(Bytes::from_static(
                b"Response: Succ\0\xff\r\n\r\n",
            ))),
            other => return Err(Failure::new(format!("no script for {other:?}"))),
        };
        self.mock.on_dial(&number, script);
        Ok(number.parse()?)
    }

    async fn far_end(&self, call: &CallStatus, does: FarEnd) -> Result<(), Failure> {
        let channel = channel_of(call)?;
        let done = match &does {
            FarEnd::HangsUp => self.mock.far_end_hangs_up(&channel, 16),
            FarEnd::Holds => self.mock.far_end_holds(&channel, true),
            FarEnd::Resumes => self.mock.far_end_holds(&channel, false),
            FarEnd::Presses(digits) => self.mock.far_end_presses(&channel, digits),
            other => return Err(Failure::new(format!("no way to stage {other:?}"))),
        };
        if done {
            Ok(())
        } else {
            Err(Failure::new("the call has no channel"))
        }
    }

    async fn heard(&self, call: &CallStatus) -> Result<String, Failure> {
        Ok(self.mock.dtmf_sent(&channel_of(call)?))
    }

    async fn caller(&self, caller: Caller) -> Result<Box<dyn StagedCaller>, Failure> {
        let script = IncomingScript::new(CALLER, CALLED).name("Anna");
        let script = match caller {
            Caller::Waits => script,
            Caller::GivesUpAfter(time) => script.gives_up_after(time),
            Caller::SendsFax(pages) => script.sends_fax(IncomingFax::new(pages)),
            other => return Err(Failure::new(format!("no caller that {other:?}"))),
        };
        let id = self.mock.incoming(script);
        let mock = Arc::clone(&self.mock);
        Ok(Box::new(Calling { mock, id }))
    }

    async fn message_in(&self, from: &str, text: &str) -> Result<(), Failure> {
        self.mock.message_in(from, text);
        Ok(())
    }

    async fn disturb(&self, what: Disturbance) -> Result<(), Failure> {
        let mock = &self.mock;
        match what {
            Disturbance::CutLinks => mock.drop_links(),
            Disturbance::Unreachable => {
                mock.shutting_down(true);
                mock.drop_links();
            }
            Disturbance::Overloaded => mock.shutting_down(true),
            Disturbance::Reachable | Disturbance::Relieved => mock.shutting_down(false),
            Disturbance::Stopped => {
                mock.stop_now();
                // The listener closes in the mock's own task.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Disturbance::Crash => mock.kill(Duration::from_millis(300)),
            Disturbance::Garbage => mock.send_raw(
                &b"\0\xff\xfeEvent\r\n: x\r\n\r\nResponse: Error\r\nActionID: 1\r\n\r\n"[..],
            ),
            other => return Err(Failure::new(format!("no way to stage {other:?}"))),
        }
        Ok(())
    }

    fn requests(&self) -> Vec<SeenRequest> {
        let seen = self.mock.actions().into_iter();
        seen.map(|action| SeenRequest::new(action.name, action.headers))
            .collect()
    }

    fn login_request(&self) -> &'static str {
        "Login"
    }

    fn call_request(&self) -> &'static str {
        "Originate"
    }

    fn image(&self, pages: u32) -> Result<FaxImage, Failure> {
        samples::image(self.spool.path(), pages)
    }
}
