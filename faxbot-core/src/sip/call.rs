//! What a call is asked to be, and the handle on one that was placed.

use std::{collections::BTreeMap, fmt, time::Duration};

use tokio::sync::watch;

use crate::{
    Error, ErrorKind, Result,
    address::{Address, PhoneNumber},
    id::{CallId, CallRef},
    redact::MASK,
    sip::{CallRecord, CallState, Capability},
};

/// Ring time-out of a call that names none.
pub const DEFAULT_RING_TIMEOUT: Duration = Duration::from_secs(60);

/// A call to place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallRequest {
    /// Chosen by the caller; random by default. The same id names the call after a crash.
    pub id: CallId,
    /// Who is called, and what happens on answer.
    pub plan: CallPlan,
    /// Everything that has a default.
    pub options: CallOptions,
}

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallPlan {
    /// One party.
    Dial {
        /// The party.
        to: Address,
        /// What happens when it answers.
        on_answer: OnAnswer,
    },
    /// Rings `from`, an endpoint of that server, and bridges it to `to` when it answers: "call
    /// from 1001 to 2000".
    Connect {
        /// Rung first.
        from: Address,
        /// Called when `from` has answered.
        to: Address,
    },
}

/// What happens to a call when the far end answers.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnAnswer {
    /// It stays up and silent until it is told what to do.
    #[default]
    Park,
    /// It goes on in an extension of the server's dialplan.
    Extension {
        /// The extension.
        extension: String,
        /// The dialplan's context; `None` is the adapter's default.
        context: Option<String>,
    },
    /// It is bridged to another party.
    Bridge(Address),
    /// It runs an application of the server.
    Application {
        /// The server's name of it (`Playback`, `Echo`).
        name: String,
        /// Its arguments, in the server's own form.
        data: String,
    },
}

impl OnAnswer {
    /// The capability that this needs.
    pub fn capability(&self) -> Capability {
        match self {
            Self::Park => Capability::OnAnswerPark,
            Self::Extension { .. } => Capability::OnAnswerExtension,
            Self::Bridge(_) => Capability::OnAnswerBridge,
            Self::Application { .. } => Capability::OnAnswerApplication,
        }
    }
}

impl fmt::Debug for OnAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Park => f.write_str("Park"),
            Self::Extension { .. } => write!(f, "Extension({MASK})"),
            Self::Bridge(to) => f.debug_tuple("Bridge").field(to).finish(),
            Self::Application { name, .. } => write!(f, "Application({name}, {MASK})"),
        }
    }
}

/// The optional half of a [`CallRequest`].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// How long it may ring; 60 s by default. At its end the call ends as not answered.
    pub timeout: Duration,
    /// The caller's number, where the server lets us choose it.
    pub caller_id: Option<PhoneNumber>,
    /// The caller's name; the adapter's kind by default.
    pub caller_id_name: Option<String>,
    /// Record the call from its answer on; `false` by default.
    pub record: bool,
    /// The call is ended this long after its answer; unlimited by default.
    pub max_duration: Option<Duration>,
    /// Variables of the server's channel, set before it dials. Any value is carried verbatim or
    /// refused with `InvalidRequest`.
    pub variables: BTreeMap<String, String>,
    /// SIP headers of the outgoing INVITE.
    pub headers: BTreeMap<String, String>,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            timeout: DEFAULT_RING_TIMEOUT,
            caller_id: None,
            caller_id_name: None,
            record: false,
            max_duration: None,
            variables: BTreeMap::new(),
            headers: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOptions")
            .field("timeout", &self.timeout)
            .field("caller_id", &self.caller_id)
            .field(
                "caller_id_name",
                &self.caller_id_name.as_ref().map(|_| MASK),
            )
            .field("record", &self.record)
            .field("max_duration", &self.max_duration)
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl CallRequest {
    /// A call to one party, which stays up and silent on answer ([`OnAnswer::Park`]).
    pub fn dial(to: Address) -> Self {
        Self::new(CallPlan::Dial {
            to,
            on_answer: OnAnswer::default(),
        })
    }

    /// A call that rings `from` and bridges it to `to` on answer.
    pub fn connect(from: Address, to: Address) -> Self {
        Self::new(CallPlan::Connect { from, to })
    }

    fn new(plan: CallPlan) -> Self {
        Self {
            id: CallId::new(),
            plan,
            options: CallOptions::default(),
        }
    }

    /// Chooses the id.
    #[must_use]
    pub fn with_id(mut self, id: CallId) -> Self {
        self.id = id;
        self
    }

    /// Chooses what happens on answer; a `Connect` plan has its own and stays as it is.
    #[must_use]
    pub fn on_answer(mut self, then: OnAnswer) -> Self {
        if let CallPlan::Dial { on_answer, .. } = &mut self.plan {
            *on_answer = then;
        }
        self
    }

    /// Sets the ring time-out.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets the caller's number.
    #[must_use]
    pub fn with_caller_id(mut self, number: PhoneNumber) -> Self {
        self.options.caller_id = Some(number);
        self
    }

    /// Sets a variable of the server's channel.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.variables.insert(name.into(), value.into());
        self
    }

    /// Sets the caller's name.
    #[must_use]
    pub fn with_caller_id_name(mut self, name: impl Into<String>) -> Self {
        self.options.caller_id_name = Some(name.into());
        self
    }

    /// Adds a SIP header of the outgoing INVITE.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.headers.insert(name.into(), value.into());
        self
    }

    /// Records the call from its answer on, or not.
    #[must_use]
    pub fn with_record(mut self, record: bool) -> Self {
        self.options.record = record;
        self
    }

    /// Ends the call this long after its answer.
    #[must_use]
    pub fn with_max_duration(mut self, duration: Duration) -> Self {
        self.options.max_duration = Some(duration);
        self
    }

    /// Every capability that this request needs.
    pub fn capabilities(&self) -> Vec<Capability> {
        let mut needs = match &self.plan {
            CallPlan::Dial { on_answer, .. } => vec![Capability::Dial, on_answer.capability()],
            CallPlan::Connect { .. } => vec![Capability::Connect],
        };
        let options = &self.options;
        let optional = [
            (options.record, Capability::RecordOnAnswer),
            (options.max_duration.is_some(), Capability::MaxDuration),
            (!options.variables.is_empty(), Capability::Variables),
            (!options.headers.is_empty(), Capability::Headers),
        ];
        needs.extend(
            optional
                .into_iter()
                .filter_map(|(asked, need)| asked.then_some(need)),
        );
        needs
    }
}

/// What an adapter tells of one call to its handles.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallUpdate {
    /// The latest state.
    pub state: CallState,
    /// Set once the far end answered.
    pub answered: bool,
    /// Set when the call is over, or can no longer be followed.
    pub end: Option<Result<CallRecord>>,
}

impl CallUpdate {
    /// A call in `state`, not answered.
    pub fn new(state: CallState) -> Self {
        Self {
            state,
            answered: false,
            end: None,
        }
    }
}

/// A call that the server took. Dropping it hangs up nothing.
#[derive(Clone)]
pub struct Call {
    id: CallId,
    updates: watch::Receiver<CallUpdate>,
}

impl Call {
    /// For adapters: a handle that follows `updates`.
    pub fn new(id: CallId, updates: watch::Receiver<CallUpdate>) -> Self {
        Self { id, updates }
    }

    /// Our id.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// A reference for `hangup`, `get_status` and `lookup`.
    pub fn call_ref(&self) -> CallRef {
        CallRef::from(self.id)
    }

    /// The latest state.
    pub fn state(&self) -> CallState {
        self.updates.borrow().state
    }

    /// Resolves when the far end answers.
    ///
    /// # Errors
    /// `Rejected` (with the server's cause) when the call ended without an answer;
    /// `OutcomeUnknown` or `Closed` when it can no longer be followed.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing; call again.
    pub async fn answered(&self) -> Result<()> {
        let mut updates = self.updates.clone();
        let update = updates
            .wait_for(|update| update.answered || update.end.is_some())
            .await
            .map_err(|_| self.gone())?
            .clone();
        if update.answered {
            return Ok(());
        }
        match update.end {
            Some(Err(error)) => Err(error),
            Some(Ok(record)) => Err(Error::new(
                ErrorKind::Rejected,
                "answered",
                "the call ended without an answer",
            )
            .with_call_id(self.id)
            .with_native(
                record
                    .causes
                    .sip_status
                    .or(record.causes.q850)
                    .map(|code| code.to_string()),
                record.causes.native.clone(),
            )),
            None => Err(self.gone()),
        }
    }

    /// Resolves with the record when the call is over, however it ended.
    ///
    /// # Errors
    /// `OutcomeUnknown` or `Closed` when it can no longer be followed: ask with `lookup`.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing; call again.
    pub async fn ended(&self) -> Result<CallRecord> {
        let mut updates = self.updates.clone();
        let update = updates
            .wait_for(|update| update.end.is_some())
            .await
            .map_err(|_| self.gone())?
            .clone();
        update.end.unwrap_or_else(|| Err(self.gone()))
    }

    fn gone(&self) -> Error {
        Error::new(
            ErrorKind::Closed,
            "call",
            "the adapter stopped following this call; ask with lookup",
        )
        .with_call_id(self.id)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("id", &self.id)
            .field("state", &self.state())
            .finish()
    }
}
