//! Decisions on incoming calls: what is asked before one is announced, and the orders that accept or
//! reject it.
//!
//! To accept is one `Redirect` into an extension that answers and goes on: whatever becomes of the
//! link after it, the call is answered as decided. Commands in the queue of `AGI(agi:async)` would be
//! looked at only ten times a second, and an `ANSWER` that a `Redirect` follows is lost (observed on
//! Asterisk 16.28 and 22.10).

use std::{collections::BTreeMap, time::Duration};

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    id::{CallId, CallRef},
    sip::{AcceptAs, CallOptions, CallRecord, Capability, Causes, RejectCause, Severity},
};

use super::{
    core::Core,
    dialplan::{
        ACCEPT, ACCEPT_LIMIT, ACCEPT_TO, DIAL, DIAL_OPTIONS, DIAL_RING, DIAL_STAY, DIAL_TO,
        FAX_FILE, FAX_OPTIONS, PARK, RECEIVE,
    },
    incoming::{News, private},
    legs::DialStatus,
    outcome::{KEY, KIND, KIND_INCOMING, KIND_RECEIVE, channel_id},
    request::{action, second_party},
    server::{Extent, Server},
};

/// The server itself ends a call that waits so long beyond its deadline: we may be gone by then.
const NET: Duration = Duration::from_secs(15);

/// A received fax takes so long at the most: some hundred pages at the slowest rate.
const FAX_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// `f` goes on in audio when the caller has no T.38, `s` sends `FAXStatus` events
/// (`res/res_fax.c`, `fax_exec_options`).
const RECEIVE_OPTIONS: &str = "fs";

/// The caller hears ringing while the other party is called: the channel itself is answered.
const BRIDGE_OPTIONS: &str = "r";

/// What a call of which only the list told is asked besides, and the names that `AGI` has for it.
const LATE: &[(&str, &str)] = &[
    ("agi_calleridname", "CALLERID(name)"),
    ("agi_dnid", "CALLERID(dnid)"),
    ("agi_rdnis", "CALLERID(rdnis)"),
];

/// Asks what an incoming call brings, makes the server keep its outcome, and tells of it.
pub(super) async fn announce(core: &Core, server: &Server, id: CallId) {
    let now = core.now();
    let (news, may) = {
        let state = core.state();
        let may = state.capabilities.has(Capability::Incoming);
        (state.books.news(id, now), may)
    };
    // An account that can do nothing about it is not asked to decide.
    let Some(news) = news.filter(|_| may) else {
        return;
    };
    let mut headers = BTreeMap::new();
    match learn(core, server, id, &news, &mut headers).await {
        Ok(()) => {}
        Err(error) => match error.kind() {
            // The caller gave up; its end is on its way, or was missed.
            ErrorKind::NotFound => return check(core, id),
            // The list of the next connection brings it again.
            ErrorKind::NotConnected | ErrorKind::Closed | ErrorKind::OutcomeUnknown => return,
            _ => core.trouble(Severity::Warning, error.with_call_id(id)),
        },
    }
    core.events(|state, _| state.books.announce(id, headers));
}

/// Everything that is asked and set before a call is told of.
async fn learn(
    core: &Core,
    server: &Server,
    id: CallId,
    news: &News,
    headers: &mut BTreeMap<String, Private>,
) -> Result<()> {
    let channel = news.uniqueid.as_str();
    prepare(core, server, id, news).await?;
    if news.late {
        for &(name, variable) in LATE {
            ask(server, channel, name, variable, headers).await?;
        }
    }
    if core.state().abilities.headers {
        for name in &core.config.incoming_headers {
            let variable = format!("PJSIP_HEADER(read,{name})");
            ask(server, channel, name, &variable, headers).await?;
        }
    }
    Ok(())
}

/// The hangup handler, and the net below a caller that nobody decides on.
async fn prepare(core: &Core, server: &Server, id: CallId, news: &News) -> Result<()> {
    const OPERATION: &str = "incoming";
    let (key, channel) = (channel_id(id), news.uniqueid.as_str());
    let prepared = match news.prepared {
        Some(prepared) => prepared,
        // An earlier process may have done it.
        None => server.variable(channel, KEY, OPERATION).await?.as_deref() == Some(key.as_str()),
    };
    let limit = news.left.saturating_add(NET).as_secs().max(1).to_string();
    let mut variables = vec![("TIMEOUT(absolute)", limit)];
    let outcomes = core.state().abilities.outcomes;
    let handler = core.store.handler().filter(|_| outcomes && !prepared);
    let pushes = handler.is_some();
    if let Some(handler) = handler {
        variables.push((KEY, key));
        variables.push((KIND, KIND_INCOMING.to_owned()));
        variables.push(("CHANNEL(hangup_handler_push)", handler));
    }
    for (variable, value) in variables {
        server
            .set_variable(channel, variable, &value, OPERATION)
            .await?;
    }
    if prepared || pushes {
        core.state().books.prepared(id);
    }
    Ok(())
}

async fn ask(
    server: &Server,
    channel: &str,
    name: &str,
    variable: &str,
    into: &mut BTreeMap<String, Private>,
) -> Result<()> {
    if let Some(value) = server.variable(channel, variable, "incoming").await?
        && !value.is_empty()
    {
        into.insert(name.to_owned(), private(&value));
    }
    Ok(())
}

fn check(core: &Core, id: CallId) {
    core.events(|state, now| {
        state.books.unsure(id, now);
        Vec::new()
    });
    core.wake.notify_one();
}

/// Rejects a call that nobody decided on in time (Q.850 19, SIP 480).
pub(super) async fn overdue(core: &Core, server: &Server, id: CallId) {
    if !core.state().capabilities.has(Capability::Incoming) {
        return;
    }
    let Some(channel) = core.change(|state, _| (state.books.decide_overdue(id), Vec::new())) else {
        return;
    };
    let mut decision = Decision::new(core, id);
    decision.written = true;
    match hang_up(server, &channel, RejectCause::Unavailable, "deadline").await {
        Ok(()) => {
            core.events(|state, now| state.books.rejected(id, now));
            decision.stands();
        }
        Err(error) => drop(decision.failed(error)),
    }
}

/// Rejects one call of those that are too many.
pub(super) async fn refuse(core: &Core, server: &Server) {
    let refused = core.change(|state, _| (state.books.next_refused(), Vec::new()));
    if let Some(channel) = refused {
        // One that fails shows in the next list, or gave up.
        let _ = hang_up(server, &channel, RejectCause::Busy, "incoming").await;
    }
}

/// The causes that give an unanswered caller 486, 480, 404 and 603 (observed on Asterisk 16.28 and
/// 22.10: Q.850 21 gives 403, and 16 or none 603).
async fn hang_up(
    server: &Server,
    channel: &str,
    cause: RejectCause,
    operation: &'static str,
) -> Result<()> {
    let cause = match cause {
        RejectCause::Busy => "17",
        RejectCause::Unavailable => "19",
        RejectCause::NotFound => "1",
        _ => "16",
    };
    let headers = [("Channel", channel), ("Cause", cause)];
    let order = action("Hangup", &headers, operation)?;
    server.order(order, operation).await.map(drop)
}

pub(super) async fn reject(
    core: &Core,
    server: Server,
    call: &CallRef,
    cause: RejectCause,
) -> Result<()> {
    const OPERATION: &str = "reject";
    let id = told(core, call, OPERATION).await?;
    let channel = core.change(|state, _| {
        let decided = state.books.decide(id, OPERATION);
        if decided.is_ok() {
            // Before the order: its end may overtake the answer.
            state.books.rejecting(id, cause);
        }
        (decided, Vec::new())
    })?;
    let mut decision = Decision::new(core, id);
    decision.written = true;
    match hang_up(&server, &channel, cause, OPERATION).await {
        Ok(()) => {
            core.events(|state, now| state.books.rejected(id, now));
            decision.stands();
            Ok(())
        }
        Err(error) => Err(decision.failed(error)),
    }
}

/// Waits until the call was told of: another process may have given its id away before.
async fn told(core: &Core, call: &CallRef, operation: &'static str) -> Result<CallId> {
    let told = core
        .until(core.config.request_timeout, |state| {
            state.books.told(call, operation).transpose()
        })
        .await;
    told.unwrap_or_else(|| {
        Err(Error::new(
            ErrorKind::Timeout,
            operation,
            "the server did not tell what the call brings; it waits still",
        )
        .with_effect(Effect::NoEffect))
    })
}

/// A decision that one caller took: dropped before its order was written it never was, dropped after
/// it the server is asked.
struct Decision<'a> {
    core: &'a Core,
    id: CallId,
    written: bool,
    done: bool,
}

impl<'a> Decision<'a> {
    fn new(core: &'a Core, id: CallId) -> Self {
        Self {
            core,
            id,
            written: false,
            done: false,
        }
    }

    fn stands(mut self) {
        self.done = true;
    }

    /// The order, or what comes before it, failed.
    fn failed(mut self, error: Error) -> Error {
        let error = error.with_call_id(self.id);
        self.done = true;
        if error.kind() == ErrorKind::NotFound {
            self.core.events(|state, now| {
                state.books.too_late(self.id, now);
                Vec::new()
            });
            self.core.wake.notify_one();
            return Error::new(
                ErrorKind::NotFound,
                error.operation(),
                "the caller hung up before the decision",
            )
            .with_call_id(self.id);
        }
        if error.effect() == Effect::Unknown && self.written {
            self.unsure();
            return error;
        }
        self.undo();
        // What was written before the decision changes nothing by itself.
        error.with_effect(Effect::NoEffect)
    }

    fn undo(&self) {
        self.core.events(|state, now| {
            state.books.undecide(self.id, now);
            Vec::new()
        });
        self.core.wake.notify_one();
    }

    fn unsure(&self) {
        self.core.events(|state, now| {
            state.books.decision_unsure(self.id, now);
            Vec::new()
        });
        self.core.wake.notify_one();
    }
}

impl Drop for Decision<'_> {
    fn drop(&mut self) {
        match (self.done, self.written) {
            (true, _) => {}
            (false, true) => self.unsure(),
            (false, false) => self.undo(),
        }
    }
}

/// What a call is accepted as: where the channel goes on, and the variables that it needs there.
struct Route {
    to: String,
    variables: Vec<(&'static str, String)>,
    /// An extension of the operator's, to be there.
    exists: Option<String>,
    limit: Duration,
    fax: bool,
    bridge: bool,
}

impl Route {
    fn of(core: &Core, accept_as: &AcceptAs) -> Result<Self> {
        const OPERATION: &str = "accept";
        let Some(context) = core.store.context() else {
            return Err(Error::unsupported(OPERATION));
        };
        let ours = |extension: &str| Self {
            to: format!("{context},{extension},1"),
            variables: Vec::new(),
            exists: None,
            limit: Duration::ZERO,
            fax: false,
            bridge: false,
        };
        Ok(match accept_as {
            AcceptAs::Park => ours(PARK),
            AcceptAs::Extension { extension, context } => {
                let context = context.as_ref().unwrap_or(&core.config.context);
                if !is_place(extension) || !is_place(context) {
                    return Err(Error::new(
                        ErrorKind::InvalidRequest,
                        OPERATION,
                        "an extension and its context have 1 to 79 letters, digits and + * # . _ -",
                    ));
                }
                let to = format!("{context},{extension},1");
                Self {
                    exists: Some(format!("VALID_EXTEN({to})")),
                    to,
                    ..ours(PARK)
                }
            }
            AcceptAs::Bridge(to) => {
                let ring = CallOptions::default().timeout.as_secs().max(1).to_string();
                let variables = vec![
                    (DIAL_TO, second_party(&core.config, to, OPERATION)?),
                    (DIAL_RING, ring),
                    (DIAL_OPTIONS, BRIDGE_OPTIONS.to_owned()),
                    (DIAL_STAY, "1".to_owned()),
                ];
                Self {
                    variables,
                    bridge: true,
                    ..ours(DIAL)
                }
            }
            AcceptAs::Fax => Self {
                limit: FAX_LIMIT,
                fax: true,
                ..ours(RECEIVE)
            },
            _ => return Err(Error::unsupported(OPERATION)),
        })
    }

    /// All variables that are set before the `Redirect`.
    fn variables(mut self, core: &Core, id: CallId) -> Vec<(&'static str, String)> {
        self.variables
            .push((ACCEPT_LIMIT, self.limit.as_secs().to_string()));
        // An earlier decision may have said otherwise, and not have arrived.
        let kind = if self.fax {
            KIND_RECEIVE
        } else {
            KIND_INCOMING
        };
        self.variables.push((KIND, kind.to_owned()));
        if let Some(spool) = core.spool.as_ref().filter(|_| self.fax) {
            self.variables.extend([
                (FAX_FILE, spool.received(id).remote),
                (FAX_OPTIONS, RECEIVE_OPTIONS.to_owned()),
            ]);
            if let Some(station) = &core.config.station_id {
                let station = station.expose().to_owned();
                self.variables.push(("FAXOPT(localstationid)", station));
            }
        }
        self.variables.push((ACCEPT_TO, self.to));
        self.variables
    }
}

/// A name of the dialplan that nothing in it takes for more than that.
fn is_place(text: &str) -> bool {
    (1..=79).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+*#._-".contains(&b))
}

pub(super) async fn accept(
    core: &Core,
    server: Server,
    call: &CallRef,
    accept_as: AcceptAs,
) -> Result<()> {
    const OPERATION: &str = "accept";
    let route = Route::of(core, &accept_as)?;
    let (fax, bridge) = (route.fax, route.bridge);
    let id = told(core, call, OPERATION).await?;
    let channel = core.change(|state, _| {
        let decided = state.books.decide(id, OPERATION);
        if decided.is_ok() && fax {
            state.books.becomes_fax(id);
        }
        (decided, Vec::new())
    })?;
    let mut decision = Decision::new(core, id);
    if let Err(error) = before(core, &server, &channel, route, id).await {
        return Err(decision.failed(error));
    }
    decision.written = true;
    let ordered = server
        .send_to(&core.store, &channel, None, ACCEPT, OPERATION)
        .await;
    match ordered {
        Ok(()) => {
            core.events(|state, now| state.books.accepted(id, now));
            decision.stands();
        }
        Err(error) => return Err(decision.failed(error)),
    }
    answered(core, id).await?;
    if bridge {
        bridged(core, &server, id, &channel).await?;
    }
    Ok(())
}

/// Everything that must be there when the channel is sent on. A missing extension would end the call.
async fn before(
    core: &Core,
    server: &Server,
    channel: &str,
    route: Route,
    id: CallId,
) -> Result<()> {
    const OPERATION: &str = "accept";
    if !core.secure(server, Extent::Whole, OPERATION).await?? {
        return Err(Error::new(
            ErrorKind::Config,
            OPERATION,
            "the context of options.dialplan_context lacks extensions; see the adapter's documentation",
        ));
    }
    if let Some(question) = &route.exists {
        let there = server.variable(channel, question, OPERATION).await?;
        // Without func_dialplan there is no answer.
        if there.as_deref() == Some("0") {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                OPERATION,
                "the dialplan has no such extension; the call waits still",
            ));
        }
    }
    for (variable, value) in route.variables(core, id) {
        server
            .set_variable(channel, variable, &value, OPERATION)
            .await?;
    }
    Ok(())
}

/// Waits for the answer that was ordered.
async fn answered(core: &Core, id: CallId) -> Result<()> {
    const OPERATION: &str = "accept";
    let outcome = core
        .until(core.config.request_timeout, |state| {
            if state.books.calls.is_answered(id) {
                return Some(Ok(()));
            }
            let over = state.books.calls.state(id).is_none();
            over.then(|| match state.books.record(&id.into()) {
                Some(record) if record.answer.is_some() => Ok(()),
                Some(record) => Err(gone(id, &record)),
                None => Err(unfollowed(id)),
            })
        })
        .await;
    outcome.unwrap_or_else(|| {
        Err(Error::new(
            ErrorKind::OutcomeUnknown,
            OPERATION,
            "the server took the order and did not tell of the answer; ask with get_status",
        )
        .with_call_id(id))
    })
}

/// The error of a call that left the books without an end.
fn unfollowed(id: CallId) -> Error {
    Error::new(
        ErrorKind::OutcomeUnknown,
        "accept",
        "the call could no longer be followed; ask with lookup",
    )
    .with_call_id(id)
}

/// How the wait for the other party ended.
enum Ended {
    Dial(DialStatus, Causes),
    /// The caller's call ended.
    Call,
    /// It left the books without an end.
    Unseen,
}

/// Waits for the other party. A caller whose party does not answer stays, parked.
async fn bridged(core: &Core, server: &Server, id: CallId, channel: &str) -> Result<()> {
    const OPERATION: &str = "accept";
    let limit = CallOptions::default().timeout + core.config.request_timeout;
    let ended = core
        .until(limit, |state| {
            let Some(line) = state.books.lines.get(&id) else {
                let ended = state.books.record(&id.into()).is_some();
                return Some(if ended { Ended::Call } else { Ended::Unseen });
            };
            let status = match line.second.dial {
                _ if line.second.answered => Some(DialStatus::Answer),
                status => status,
            };
            status.map(|status| Ended::Dial(status, line.second_causes(None)))
        })
        .await;
    let error = |kind, message: &str| Error::new(kind, OPERATION, message).with_call_id(id);
    match ended {
        Some(Ended::Dial(DialStatus::Answer, _)) => Ok(()),
        Some(Ended::Dial(_, causes)) => {
            let code = causes.q850.map(|cause| cause.to_string());
            let why = error(
                ErrorKind::Rejected,
                "the other party did not answer; the caller is parked",
            );
            Err(why.with_native(code, causes.native.clone()))
        }
        Some(Ended::Call) => Err(error(
            ErrorKind::Rejected,
            "the caller hung up before the other party answered",
        )),
        Some(Ended::Unseen) => Err(unfollowed(id)),
        None => {
            // No event told; the channel itself knows.
            match server
                .variable(channel, "DIALSTATUS", OPERATION)
                .await?
                .as_deref()
            {
                Some("ANSWER") => Ok(()),
                _ => Err(error(
                    ErrorKind::OutcomeUnknown,
                    "the server did not tell whether the other party answered",
                )),
            }
        }
    }
}

fn gone(id: CallId, record: &CallRecord) -> Error {
    let error = Error::new(
        ErrorKind::Rejected,
        "accept",
        "the caller hung up before the call was answered",
    );
    error
        .with_native(record.causes.q850.map(|cause| cause.to_string()), None)
        .with_call_id(id)
}
