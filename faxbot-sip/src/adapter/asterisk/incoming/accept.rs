//! Incoming calls that are accepted.
//!
//! To accept is one `Redirect` into an extension that answers and goes on: whatever becomes of the
//! link after it, the call is answered as decided. Commands in the queue of `AGI(agi:async)` would be
//! looked at only ten times a second, and an `ANSWER` that a `Redirect` follows is lost (observed on
//! Asterisk 16.28 and 22.10).

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::{AcceptAs, CallOptions, Causes},
};

use super::super::{
    books::legs::DialStatus,
    core::Core,
    dialplan::{
        ACCEPT, ACCEPT_LIMIT, ACCEPT_TO, DIAL, DIAL_OPTIONS, DIAL_RING, DIAL_STAY, DIAL_TO,
        FAX_FILE, FAX_OPTIONS, PARK, RECEIVE,
    },
    outcome::{KIND, KIND_INCOMING, KIND_RECEIVE},
    request::second_party,
    server::{Extent, Server},
};
use crate::adapter::{
    accepted::{answered, unfollowed},
    incoming::{Decision, told},
};

/// A received fax takes so long at the most: some hundred pages at the slowest rate.
const FAX_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// `f` goes on in audio when the caller has no T.38, `s` sends `FAXStatus` events
/// (`res/res_fax.c`, `fax_exec_options`).
const RECEIVE_OPTIONS: &str = "fs";

/// The caller hears ringing while the other party is called: the channel itself is answered.
const BRIDGE_OPTIONS: &str = "r";

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

pub(crate) async fn accept(
    core: &Core,
    server: Server,
    call: &CallRef,
    accept_as: AcceptAs,
) -> Result<()> {
    const OPERATION: &str = "accept";
    let route = Route::of(core, &accept_as)?;
    let (fax, bridge) = (route.fax, route.bridge);
    let id = told(core, core.config.request_timeout, call, OPERATION).await?;
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
    answered(core, core.config.request_timeout, id).await?;
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
    let limit = CallOptions::default()
        .timeout
        .saturating_add(core.config.request_timeout);
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
