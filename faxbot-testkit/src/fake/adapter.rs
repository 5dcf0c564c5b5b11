//! A scripted [`SipAdapter`] in memory that can fax and send messages.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    clock::{Clock, TokioClock},
    config::ConfigErrors,
    event::{EventBus, EventStream},
    fax::{
        FailureClass, FailurePhase, FaxCall, FaxFailure, FaxOutcome, FaxPhase, FaxProgress,
        FaxRequest, FaxUpdate,
    },
    id::{CallId, CallRef},
    message::MessageResult,
    plugin::CancelOutcome,
    sip::{
        AdapterKind, Call, CallRecord, CallRequest, CallState, CallStatus, Capabilities,
        Capability, Connection, ConnectionState, Direction, Disposition, Drained, EventPath,
        HangupOutcome, Health, HealthMetrics, Lookup, SipAdapter, SipEvent, SipMessage, Snapshot,
        SupportedVersions,
    },
};
use serde_json::Value;
use tokio::sync::watch;

use super::{FaxScript, message::Messages};

/// A SIP adapter without a server. Faxes follow the scripts that were queued, in their order, and
/// arrive when there is none; `lookup` answers from its books, unless an answer was queued. Messages
/// are handed over unless there is a script for their destination.
/// Clones are one adapter. Time is tokio's, so a paused runtime moves it.
#[derive(Clone)]
pub struct FakeAdapter {
    inner: Arc<Inner>,
}

struct Inner {
    clock: TokioClock,
    events: EventBus<SipEvent>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    connected: bool,
    capabilities: Capabilities,
    scripts: VecDeque<FaxScript>,
    /// Of faxes without a script: until the answer, and for a page.
    pace: Option<(Duration, Duration)>,
    answers: VecDeque<Result<Lookup>>,
    requests: Vec<FaxRequest>,
    lookups: Vec<CallRef>,
    released: Vec<CallId>,
    faxes: HashMap<CallId, Fax>,
    most_at_once: usize,
    pub(super) messages: Messages,
}

struct Fax {
    started: Timestamp,
    updates: watch::Sender<FaxUpdate>,
    hang_up: watch::Sender<bool>,
    outcome: Option<FaxOutcome>,
}

impl FakeAdapter {
    /// A connected adapter that can fax and send messages.
    pub fn new() -> Self {
        crate::logs::to_directory();
        let state = State {
            connected: true,
            capabilities: Capabilities::none()
                .with(Capability::SendFax)
                .with(Capability::Hangup)
                .with(Capability::LookupEnded)
                .with(Capability::SendMessage),
            ..State::default()
        };
        Self {
            inner: Arc::new(Inner {
                clock: TokioClock::new(),
                events: EventBus::default(),
                state: Mutex::new(state),
            }),
        }
    }

    /// Queues what happens to the next fax without a script.
    pub fn script(&self, script: FaxScript) {
        self.lock().scripts.push_back(script);
    }

    /// How fast faxes without a script are from now on: the time until the far end answers, and that
    /// for each page. As in [`FaxScript::success`] until this is called.
    pub fn set_pace(&self, ring: Duration, page: Duration) {
        self.lock().pace = Some((ring, page));
    }

    /// Queues the answer to the next `lookup` without one.
    pub fn answer_lookup(&self, answer: Result<Lookup>) {
        self.lock().answers.push_back(answer);
    }

    /// Connected or not. Without a connection every request is refused with no effect.
    pub fn set_connected(&self, connected: bool) {
        self.lock().connected = connected;
    }

    /// Replaces what it declares.
    pub fn set_capabilities(&self, capabilities: Capabilities) {
        self.lock().capabilities = capabilities;
    }

    /// Every fax that it was asked to send, refused ones too, in their order.
    pub fn requests(&self) -> Vec<FaxRequest> {
        self.lock().requests.clone()
    }

    /// Every call that it was asked about.
    pub fn lookups(&self) -> Vec<CallRef> {
        self.lock().lookups.clone()
    }

    /// Every call that was released.
    pub fn released(&self) -> Vec<CallId> {
        self.lock().released.clone()
    }

    /// Faxes that run.
    pub fn running(&self) -> usize {
        self.lock().running()
    }

    /// The most faxes that ever ran at one time.
    pub fn most_at_once(&self) -> usize {
        self.lock().most_at_once
    }

    /// Tells its subscribers something.
    pub fn publish(&self, event: SipEvent) {
        self.inner
            .events
            .publish(self.inner.clock.timestamp(), event);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn not_connected(&self, operation: &'static str) -> Result<()> {
        if self.lock().connected {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::NotConnected,
                operation,
                "no connection",
            ))
        }
    }

    /// Plays a fax to its end.
    async fn play(self, id: CallId, script: FaxScript, total: u32, hang_up: watch::Receiver<bool>) {
        let mut confirmed = 0;
        let mut cut = hang_up;
        let mut hung_up = sleep_unless(script.ring, &mut cut).await;
        while !hung_up && (script.endless || confirmed < script.pages) {
            self.tell(id, confirmed, total);
            hung_up = sleep_unless(script.page, &mut cut).await;
            if !hung_up && !script.endless {
                confirmed = confirmed.saturating_add(1);
            }
        }
        let outcome = if hung_up {
            let phase = if confirmed == 0 {
                FailurePhase::Negotiation
            } else {
                FailurePhase::Transmission
            };
            let failure = FaxFailure::new(FailureClass::Cancelled, phase);
            FaxOutcome::failed(failure, Some(confirmed), Some(total))
        } else {
            script.outcome(confirmed, total)
        };
        if let Some(fax) = self.lock().faxes.get_mut(&id) {
            fax.outcome = Some(outcome.clone());
            fax.updates.send_modify(|update| {
                update.progress.phase = FaxPhase::Finished;
                update.progress.pages_confirmed = outcome.pages_confirmed;
                if update.end.is_none() {
                    update.end = Some(Ok(outcome));
                }
            });
        }
    }

    fn tell(&self, id: CallId, confirmed: u32, total: u32) {
        if let Some(fax) = self.lock().faxes.get(&id) {
            fax.updates.send_modify(|update| {
                update.progress.phase = FaxPhase::Transmitting;
                update.progress.pages_confirmed = Some(confirmed);
                update.progress.page = Some(confirmed.saturating_add(1).min(total));
            });
        }
    }

    fn hang_up(&self, id: CallId) -> Option<bool> {
        let state = self.lock();
        let fax = state.faxes.get(&id)?;
        fax.hang_up.send_replace(true);
        Some(fax.outcome.is_none())
    }
}

impl State {
    fn running(&self) -> usize {
        let live = |fax: &&Fax| fax.outcome.is_none();
        self.faxes.values().filter(live).count()
    }
}

async fn sleep_unless(time: Duration, cut: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = cut.wait_for(|cut| *cut) => true,
        () = tokio::time::sleep(time) => false,
    }
}

impl Default for FakeAdapter {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for FakeAdapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("FakeAdapter")
            .field("connected", &state.connected)
            .field("requests", &state.requests.len())
            .field("running", &state.running())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SipAdapter for FakeAdapter {
    fn kind(&self) -> AdapterKind {
        AdapterKind::new("fake")
    }

    fn supported_versions(&self) -> SupportedVersions {
        SupportedVersions::new("1", &["1"], "none")
    }

    fn capabilities(&self) -> Capabilities {
        self.lock().capabilities.clone()
    }

    fn validate_config(&self, _: &Value) -> Result<(), ConfigErrors> {
        Ok(())
    }

    async fn connect(&self) -> Result<()> {
        self.set_connected(true);
        Ok(())
    }

    async fn disconnect(&self, _: Duration) -> Result<Drained> {
        self.set_connected(false);
        Ok(Drained::new(true, self.running()))
    }

    fn connection(&self) -> Connection {
        let state = if self.lock().connected {
            ConnectionState::Connected
        } else {
            ConnectionState::Disconnected
        };
        Connection::new(state, EventPath::Push)
    }

    async fn make_call(&self, _: CallRequest) -> Result<Call> {
        Err(Error::unsupported("make_call"))
    }

    async fn hangup(&self, call: &CallRef) -> Result<HangupOutcome> {
        self.not_connected("hangup")?;
        match call.id.and_then(|id| self.hang_up(id)) {
            Some(true) => Ok(HangupOutcome::Requested),
            _ => Err(Error::new(ErrorKind::NotFound, "hangup", "no such call")),
        }
    }

    async fn get_status(&self, call: &CallRef) -> Result<CallStatus> {
        match self.lookup(call).await? {
            Lookup::Live(status) => Ok(status),
            _ => Err(Error::new(
                ErrorKind::NotFound,
                "get_status",
                "no such call",
            )),
        }
    }

    async fn lookup(&self, call: &CallRef) -> Result<Lookup> {
        let mut state = self.lock();
        state.lookups.push(call.clone());
        if let Some(answer) = state.answers.pop_front() {
            return answer;
        }
        if !state.connected {
            return Err(Error::new(
                ErrorKind::NotConnected,
                "lookup",
                "no connection",
            ));
        }
        let Some((id, fax)) = call.id.and_then(|id| Some((id, state.faxes.get(&id)?))) else {
            return Ok(Lookup::NeverExisted);
        };
        if fax.outcome.is_none() {
            let status = CallStatus::new(
                Some(id),
                CallState::Connected,
                Direction::Outbound,
                fax.started,
            );
            return Ok(Lookup::Live(status));
        }
        let mut record = CallRecord::new(Some(id), self.kind(), Direction::Outbound, fax.started);
        record.close(self.inner.clock.timestamp());
        record.disposition = Disposition::Answered;
        record.fax.clone_from(&fax.outcome);
        Ok(Lookup::Ended(Box::new(record)))
    }

    async fn release(&self, call: &CallRef) -> Result<()> {
        self.not_connected("release")?;
        self.lock().released.extend(call.id);
        Ok(())
    }

    async fn health_check(&self) -> Result<Health> {
        let uptime = self.lock().connected.then_some(Duration::from_secs(1));
        Ok(Health::new(
            self.kind(),
            uptime,
            HealthMetrics::default(),
            self.inner.clock.timestamp(),
        ))
    }

    fn subscribe(&self) -> EventStream<SipEvent> {
        self.inner.events.subscribe()
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.inner.events.seq(), self.connection().state)
    }

    async fn send_message(&self, message: SipMessage) -> Result<MessageResult> {
        self.send(message).await
    }

    async fn send_fax(&self, request: FaxRequest) -> Result<FaxCall> {
        let has = self.capabilities();
        if !request.capabilities().iter().all(|&need| has.has(need)) {
            return Err(Error::unsupported("send_fax"));
        }
        request.check()?;
        let (id, total) = (request.id, request.pages());
        let script = {
            let mut state = self.lock();
            state.requests.push(request);
            if !state.connected {
                None
            } else if state.faxes.get(&id).is_some_and(|f| f.outcome.is_none()) {
                return Err(Error::new(
                    ErrorKind::InvalidState,
                    "send_fax",
                    "a fax with this id runs",
                ));
            } else {
                let script = state.scripts.pop_front();
                let pace = state.pace;
                Some(script.unwrap_or_else(|| {
                    let mut script = FaxScript::success(total);
                    if let Some((ring, page)) = pace {
                        (script.ring, script.page) = (ring, page);
                    }
                    script
                }))
            }
        };
        let Some(script) = script else {
            return Err(Error::new(
                ErrorKind::NotConnected,
                "send_fax",
                "no connection",
            ));
        };
        let (updates, receiver) = watch::channel(FaxUpdate::new(FaxProgress::new(total)));
        if script.taken {
            let (hang_up, hung_up) = watch::channel(false);
            let fax = Fax {
                started: self.inner.clock.timestamp(),
                updates: updates.clone(),
                hang_up,
                outcome: None,
            };
            let mut state = self.lock();
            state.faxes.insert(id, fax);
            state.most_at_once = state.most_at_once.max(state.running());
            tokio::spawn(self.clone().play(id, script.clone(), total, hung_up));
        }
        tokio::time::sleep(script.reply_after).await;
        if let Some(error) = script.reply {
            return Err(error.with_call_id(id));
        }
        if let Some((after, error)) = script.lost {
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                updates.send_modify(|update| {
                    update.end.get_or_insert(Err(error));
                });
            });
        }
        let adapter = self.clone();
        Ok(FaxCall::new(id, receiver, move || {
            let live = adapter.hang_up(id);
            Box::pin(async move {
                Ok(match live {
                    Some(true) => CancelOutcome::Requested,
                    _ => CancelOutcome::TooLate,
                })
            })
        }))
    }
}
