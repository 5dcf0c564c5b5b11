//! What an environment gives to the suite.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    address::Address,
    document::FaxImage,
    sip::{CallStatus, Capabilities, SipAdapter},
};
use serde_json::Value;

use super::party::{Caller, FarEnd, StagedCaller};
use crate::conformance::{Failure, samples};

/// What becomes of a call. The environment gives an address that ends so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It rings for a moment and is answered; a fax is received.
    Answers,
    /// Answered, and the far end hangs up after this time.
    AnswersFor(Duration),
    /// Busy.
    Busy,
    /// It rings until the ring time-out of the request.
    NoAnswer,
    /// The network has no room.
    Congested,
    /// Refused with this SIP status.
    Rejects(u16),
    /// A fax that takes several seconds a page.
    SlowFax,
    /// A fax that breaks off when so many pages are confirmed.
    FaxFailsAfter(u32),
    /// The server itself refuses the request.
    Refused,
    /// The server takes the request, and the link drops before its reply.
    ReplyLost,
    /// The link drops right behind the reply.
    CutAfterReply,
    /// The server takes the request and never replies.
    NoReply,
    /// The server takes the request, and garbage comes in place of the reply.
    GarbledReply,
}

/// What happens to the server or the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disturbance {
    /// Every link is cut; the server takes new ones at once, and calls go on.
    CutLinks,
    /// Every link is cut and no new one succeeds until `Reachable`; calls go on.
    Unreachable,
    /// Ends `Unreachable`.
    Reachable,
    /// Nobody listens from now on.
    Stopped,
    /// The server is killed and comes back after a second or less; its calls are gone.
    Crash,
    /// The server takes no new request until `Relieved`; links and calls stay.
    Overloaded,
    /// Ends `Overloaded`.
    Relieved,
    /// Bytes that the protocol does not know, on every link.
    Garbage,
    /// The link of the events is lost, and no new one succeeds until `EventsBack`; all else stays.
    EventsLost,
    /// Ends `EventsLost`.
    EventsBack,
}

/// Something that a case cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// A call of this fate.
    Fate(Fate),
    /// This disturbance.
    Disturb(Disturbance),
    /// The requests as the server received them.
    Requests,
    /// A client with a wrong password.
    WrongPassword,
    /// A client whose requests time out within two seconds, and that rejects an incoming call
    /// within two seconds.
    ShortTimeouts,
    /// Far ends that hold, press digits and hang up.
    FarEnd,
    /// A server that tells whether a far end holds a call.
    RemoteHold,
    /// Conferences that can be locked.
    ConferenceLock,
    /// Far ends that tell which digits they heard.
    Hearing,
    /// Parties that call us.
    Caller,
    /// Messages that come in.
    MessageIn,
    /// A server that tells why a call of ours ended, when we did not hang it up. A proxy that is
    /// only polled does not.
    Causes,
    /// A server that tells why the first of two parties was not reached.
    FirstPartyCauses,
    /// A server that tells which digits a far end presses.
    DigitsIn,
    /// Calls of others, that pass through the server and are seen.
    Passing,
    /// A server that tells that the called party of a call of ours rings.
    Ringing,
    /// A server that holds calls of ours, and joins two of them. One whose calls of ours are not of
    /// the kind that it controls may do so with calls of others.
    OwnControl,
    /// A server that keeps a call of ours when the party that it is transferred to refuses.
    KeptOnRefusal,
    /// A server that writes records of calls of ours, too.
    OwnRecords,
    /// Events that come by a link of their own, which can be lost while the server is there.
    EventLink,
}

/// A request as the server received it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenRequest {
    /// The server's name of the request: an action, a method.
    pub name: String,
    /// Its fields, in their order.
    pub fields: Vec<(String, String)>,
}

impl SeenRequest {
    /// A request with its fields.
    pub fn new(name: impl Into<String>, fields: Vec<(String, String)>) -> Self {
        Self {
            name: name.into(),
            fields,
        }
    }
}

impl fmt::Debug for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.fields.iter().map(|(name, _)| name).collect();
        write!(f, "{}{names:?}", self.name)
    }
}

/// A configuration with several mistakes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BadConfig {
    /// The configuration.
    pub config: Value,
    /// The path of each mistake in it.
    pub paths: Vec<&'static str>,
}

impl BadConfig {
    /// A configuration and where it is wrong.
    pub fn new(config: Value, paths: &[&'static str]) -> Self {
        Self {
            config,
            paths: paths.to_vec(),
        }
    }
}

/// Makes servers and adapters, and says what it cannot stage.
#[async_trait]
pub trait SipAdapterEnv: Send + Sync + 'static {
    /// What the cases are called after: `asterisk 22`.
    fn name(&self) -> String;

    /// What the adapters of [`setup`](Self::setup) declare when they are connected.
    fn capabilities(&self) -> Capabilities;

    /// Why the environment cannot give this, if it cannot. By default it can do everything.
    fn lacks(&self, need: &Need) -> Option<String> {
        let _ = need;
        None
    }

    /// Whether events come as they happen, and not by polling.
    fn pushes(&self) -> bool {
        true
    }

    /// A configuration without a mistake.
    fn good_config(&self) -> Value;

    /// Configurations with several mistakes each.
    fn bad_configs(&self) -> Vec<BadConfig>;

    /// A fresh server without calls.
    ///
    /// # Errors
    /// When it cannot be started.
    ///
    /// # Cancel safety
    /// What was started ends with the future.
    async fn setup(&self) -> Result<Box<dyn SipAdapterSetup>, Failure>;
}

/// One server for one case. Dropping it ends the server.
#[async_trait]
pub trait SipAdapterSetup: Send + Sync {
    /// A new adapter for this server, not connected. Each answer is what another process with
    /// the same configuration would have.
    ///
    /// # Errors
    /// When it cannot be made.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    async fn adapter(&self) -> Result<Arc<dyn SipAdapter>, Failure>;

    /// The same with a wrong password.
    ///
    /// # Errors
    /// When it cannot be made.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    async fn with_wrong_password(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        Err(Failure::new("no adapter with a wrong password"))
    }

    /// The same with requests that time out within two seconds, and incoming calls that are
    /// rejected when nobody decided within two seconds.
    ///
    /// # Errors
    /// When it cannot be made.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    async fn with_short_timeouts(&self) -> Result<Arc<dyn SipAdapter>, Failure> {
        Err(Failure::new("no adapter with short time-outs"))
    }

    /// A number or an extension whose next calls have this fate. Each call gives another one.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    async fn target(&self, fate: Fate) -> Result<Address, Failure>;

    /// A party that answers at once, and is the first of a call between two. Many calls at once
    /// may have the same.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    async fn first_party(&self) -> Result<Address, Failure> {
        self.target(Fate::Answers).await
    }

    /// Lets two others call each other through the server; the callee has this fate. Gives the
    /// server's name of the call.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// The call may have begun.
    async fn passing(&self, fate: Fate) -> Result<String, Failure> {
        Err(Failure::new(format!("no call of others that {fate:?}")))
    }

    /// Lets the callee of such a call hang up.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// It may have hung up.
    async fn passing_ends(&self, name: &str) -> Result<(), Failure> {
        let _ = name;
        Err(Failure::new("no calls of others"))
    }

    /// Lets the far end of a call act.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// It may have acted.
    async fn far_end(&self, call: &CallStatus, does: FarEnd) -> Result<(), Failure> {
        Err(Failure::new(format!(
            "no far end of {:?} that {does:?}",
            call.id
        )))
    }

    /// The digits that the far end of a call heard so far.
    ///
    /// # Errors
    /// When it cannot tell.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn heard(&self, call: &CallStatus) -> Result<String, Failure> {
        Err(Failure::new(format!(
            "no far end of {:?} that hears",
            call.id
        )))
    }

    /// Calls us, so that the adapter is asked for a decision.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// The call may have come.
    async fn caller(&self, caller: Caller) -> Result<Box<dyn StagedCaller>, Failure> {
        Err(Failure::new(format!("no caller that {caller:?}")))
    }

    /// Sends us a message over SIP.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// It may have been sent.
    async fn message_in(&self, from: &str, text: &str) -> Result<(), Failure> {
        let _ = (from, text);
        Err(Failure::new("no messages come in"))
    }

    /// Disturbs the server or the network.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// The disturbance may have happened.
    async fn disturb(&self, what: Disturbance) -> Result<(), Failure>;

    /// Everything that the server was asked so far, logins too, in its order.
    fn requests(&self) -> Vec<SeenRequest>;

    /// The name of a request that logs in; counts attempts.
    fn login_request(&self) -> &'static str;

    /// The name of a request that places a call or a fax.
    fn call_request(&self) -> &'static str;

    /// Pages for a fax, in a directory of this setup.
    ///
    /// # Errors
    /// When they cannot be written.
    fn image(&self, pages: u32) -> Result<FaxImage, Failure> {
        samples::image(&std::env::temp_dir(), pages)
    }
}
