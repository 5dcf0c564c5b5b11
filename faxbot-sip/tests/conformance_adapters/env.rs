//! The environment of the suite, on any mock: scripts and disturbances are the same for all.

use std::{
    path::Path,
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
use faxbot_testkit::{
    conformance::{
        Case, Failure, samples,
        sip_adapter::{
            self, BadConfig, Caller, CallerSees, Disturbance, FarEnd, Fate, Need, SeenRequest,
            SipAdapterEnv, SipAdapterSetup, StagedCaller,
        },
    },
    server::{
        CallScript, CallerSaw, IncomingFax, IncomingScript, Mock, MockBuilder, ReplyFault, Server,
    },
};
use serde_json::Value;
use tempfile::TempDir;

/// What an adapter is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Usual,
    WrongPassword,
    /// Requests and decisions that time out within two seconds.
    ShortTimeouts,
}

/// What differs from server to server.
pub(crate) trait Dialect: Send + Sync + 'static {
    type Server: Server;

    /// The name of a request that logs in.
    const LOGIN: &'static str;
    /// The name of a request that places a call or a fax.
    const CALL: &'static str;

    fn name(&self) -> String;

    /// What a connected adapter declares.
    fn capabilities(&self) -> Capabilities {
        Capability::ALL.iter().copied().collect()
    }

    /// Why the environment cannot give this, if it cannot.
    fn lacks(&self, _need: &Need) -> Option<String> {
        None
    }

    fn good_config(&self) -> Value;

    fn bad_configs(&self) -> Vec<BadConfig>;

    /// A server with everything, in quick timings.
    fn builder(&self) -> MockBuilder<Self::Server>;

    /// An adapter for the mock, with pages in `spool`.
    fn adapter(
        &self,
        mock: &Mock<Self::Server>,
        spool: &Path,
        how: How,
    ) -> Result<Arc<dyn SipAdapter>, Failure>;

    /// The mock's name of our own channel of a call.
    fn channel(&self, mock: &Mock<Self::Server>, call: &CallStatus) -> Result<String, Failure>;

    /// The server refuses a call.
    fn refusal(&self) -> ReplyFault;

    /// What comes in place of a reply.
    fn garbled(&self) -> Bytes;

    /// Bytes that the protocol does not know.
    fn garbage(&self) -> Bytes;

    /// Lets the far end of a channel act; `false` where there is none.
    fn far_end(
        &self,
        mock: &Mock<Self::Server>,
        channel: &str,
        does: &FarEnd,
    ) -> Result<bool, Failure>;

    /// Calls us; the mock's name of the caller's channel.
    fn incoming(&self, mock: &Mock<Self::Server>, script: IncomingScript) -> String;

    fn message_in(&self, mock: &Mock<Self::Server>, from: &str, text: &str);
}

/// The cases of the suite for one server.
pub(crate) fn cases<D: Dialect>(dialect: D) -> Vec<Case> {
    sip_adapter::cases(Arc::new(Env(Arc::new(dialect))))
}

struct Env<D>(Arc<D>);

#[async_trait]
impl<D: Dialect> SipAdapterEnv for Env<D> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn lacks(&self, need: &Need) -> Option<String> {
        match need {
            Need::Passing => {
                Some("calls of a server are its own, and none pass through".to_owned())
            }
            Need::EventLink => Some("events come by the link of the requests".to_owned()),
            need => self.0.lacks(need),
        }
    }

    fn good_config(&self) -> Value {
        self.0.good_config()
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        self.0.bad_configs()
    }

    async fn setup(&self) -> Result<Box<dyn SipAdapterSetup>, Failure> {
        let spool = tempfile::tempdir()?;
        let mock = self.0.builder().start().await?;
        Ok(Box::new(Setup {
            dialect: Arc::clone(&self.0),
            mock: Arc::new(mock),
            spool,
            next: AtomicU32::new(0),
        }))
    }
}

/// Who calls us, and whom.
const CALLER: &str = "+493055501";
const CALLED: &str = "7001";

struct Calling<S: Server> {
    mock: Arc<Mock<S>>,
    id: String,
}

impl<S: Server> StagedCaller for Calling<S> {
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

struct Setup<D: Dialect> {
    dialect: Arc<D>,
    mock: Arc<Mock<D::Server>>,
    spool: TempDir,
    next: AtomicU32,
}

impl<D: Dialect> Setup<D> {
    fn make(&self, how: How) -> Result<Arc<dyn SipAdapter>, Failure> {
        self.dialect.adapter(&self.mock, self.spool.path(), how)
    }
}

#[async_trait]
impl<D: Dialect> SipAdapterSetup for Setup<D> {
    async fn adapter(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        self.make(How::Usual)
    }

    async fn with_wrong_password(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        self.make(How::WrongPassword)
    }

    async fn with_short_timeouts(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        self.make(How::ShortTimeouts)
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
            Fate::Refused => answer().reply(self.dialect.refusal()),
            Fate::ReplyLost => answer().reply(ReplyFault::DropBefore),
            Fate::CutAfterReply => answer().reply(ReplyFault::DropAfter),
            Fate::NoReply => answer().reply(ReplyFault::Silent),
            Fate::GarbledReply => answer().reply(ReplyFault::Garbage(self.dialect.garbled())),
            other => return Err(Failure::new(format!("no script for {other:?}"))),
        };
        self.mock.on_dial(&number, script);
        Ok(number.parse()?)
    }

    async fn far_end(&self, call: &CallStatus, does: FarEnd) -> Result<(), Failure> {
        let channel = self.dialect.channel(&self.mock, call)?;
        if self.dialect.far_end(&self.mock, &channel, &does)? {
            Ok(())
        } else {
            Err(Failure::new("the call has no channel"))
        }
    }

    async fn heard(&self, call: &CallStatus) -> Result<String, Failure> {
        Ok(self
            .mock
            .dtmf_sent(&self.dialect.channel(&self.mock, call)?))
    }

    async fn caller(&self, caller: Caller) -> Result<Box<dyn StagedCaller>, Failure> {
        let script = IncomingScript::new(CALLER, CALLED).name("Anna");
        let script = match caller {
            Caller::Waits => script,
            Caller::GivesUpAfter(time) => script.gives_up_after(time),
            Caller::SendsFax(pages) => script.sends_fax(IncomingFax::new(pages)),
            other => return Err(Failure::new(format!("no caller that {other:?}"))),
        };
        let id = self.dialect.incoming(&self.mock, script);
        let mock = Arc::clone(&self.mock);
        Ok(Box::new(Calling { mock, id }))
    }

    async fn message_in(&self, from: &str, text: &str) -> Result<(), Failure> {
        self.dialect.message_in(&self.mock, from, text);
        Ok(())
    }

    async fn disturb(&self, what: Disturbance) -> Result<(), Failure> {
        let mock = &self.mock;
        match what {
            Disturbance::CutLinks => mock.drop_links(),
            Disturbance::Unreachable => {
                mock.unreachable(true);
                mock.drop_links();
            }
            Disturbance::Reachable => mock.unreachable(false),
            Disturbance::Overloaded => mock.shutting_down(true),
            Disturbance::Relieved => mock.shutting_down(false),
            Disturbance::Stopped => {
                mock.stop_now();
                // The listener closes in the mock's own task.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Disturbance::Crash => mock.kill(Duration::from_millis(300)),
            Disturbance::Garbage => mock.send_raw(self.dialect.garbage()),
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
        D::LOGIN
    }

    fn call_request(&self) -> &'static str {
        D::CALL
    }

    fn image(&self, pages: u32) -> Result<FaxImage, Failure> {
        samples::image(self.spool.path(), pages)
    }
}
