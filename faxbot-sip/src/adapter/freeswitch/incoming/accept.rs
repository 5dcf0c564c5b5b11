//! Incoming calls that are accepted.
//!
//! To accept is one `uuid_transfer` into an inline dialplan that answers and goes on: whatever becomes
//! of the link after it, the call is answered as decided (recording `09_inbound_park_receive_fax`). It
//! takes the call out of the application `socket` as well as out of `park`.

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Result,
    address::Address,
    id::{CallId, CallRef},
    sip::{AcceptAs, CallOptions, Causes},
};

use super::{
    super::{
        config::IncomingPath,
        core::Core,
        dial::invalid,
        outcome::{Kind, peer_uuid},
        request::{Originator, RINGBACK, check_word, fax_file, hang_up_after, whole_seconds},
        server::Server,
    },
    DECIDED,
};
use crate::adapter::{
    accepted::{answered, unfollowed},
    incoming::{Decision, told},
};

/// A received fax takes so long at the most: some hundred pages at the slowest rate.
const FAX_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// What a call does until the connection of its `socket` is closed, which ends a `park`.
const UNTIL_CLOSED: &str = "sleep:1000";

const OPERATION: &str = "accept";

/// What a call is accepted as: the applications that run one after the other, and the variables that
/// they need.
struct Route {
    applications: Vec<String>,
    variables: Vec<(&'static str, String)>,
    kind: Kind,
    bridge: bool,
}

impl Route {
    fn of(core: &Core, id: CallId, uuid: &str, accept_as: &AcceptAs) -> Result<Self> {
        let store = core.store();
        let originator = Originator {
            config: &core.config,
            store: &store,
        };
        let call = |then: Vec<String>| Self {
            applications: then,
            variables: originator.accept(uuid),
            kind: Kind::Incoming,
            bridge: false,
        };
        let mut route = match accept_as {
            AcceptAs::Park => {
                let mut then = vec!["park".to_owned()];
                if matches!(core.config.incoming, IncomingPath::Socket { .. }) {
                    then.insert(0, UNTIL_CLOSED.to_owned());
                }
                call(then)
            }
            AcceptAs::Extension { extension, context } => {
                let context = context.as_ref().unwrap_or(&core.config.context);
                check_word(extension, OPERATION)?;
                check_word(context, OPERATION)?;
                let dialplan = &core.config.dialplan;
                call(vec![format!("transfer:{extension} {dialplan} {context}")])
            }
            AcceptAs::Bridge(to) => Self {
                bridge: true,
                ..call(bridge(&originator, id, to)?)
            },
            AcceptAs::Fax => {
                let Some(spool) = &core.spool else {
                    return Err(Error::unsupported(OPERATION));
                };
                let file = spool.received(id).remote;
                let file = fax_file(&file, OPERATION)?;
                Self {
                    applications: vec![
                        format!("sched_hangup:{}", limit(FAX_LIMIT)),
                        format!("rxfax:{file}"),
                        "hangup".to_owned(),
                    ],
                    variables: originator.receive_fax(uuid)?,
                    kind: Kind::Receive,
                    bridge: false,
                }
            }
            _ => return Err(Error::unsupported(OPERATION)),
        };
        route.applications.insert(0, "answer".to_owned());
        route
            .variables
            .push((DECIDED, route.kind.word().to_owned()));
        Ok(route)
    }

    /// The arguments of `uuid_transfer`: an inline dialplan with a separator of its own, in quotes for
    /// the blanks (observed on FreeSWITCH 1.10.12).
    fn transfer(&self, uuid: &str) -> Result<String> {
        let forbidden = |c: char| c.is_control() || matches!(c, '^' | '\'' | '\\');
        if self.applications.iter().any(|it| it.contains(forbidden)) {
            return Err(invalid(
                OPERATION,
                "the address of the other party and the path of the pages cannot hold ^, quotes or backslashes here",
            ));
        }
        Ok(format!(
            "{uuid} 'm:^:{}' inline",
            self.applications.join("^")
        ))
    }
}

/// `+14400 ALLOTTED_TIMEOUT`.
fn limit(time: Duration) -> String {
    let all = hang_up_after(time);
    all.strip_prefix("sched_hangup ").unwrap_or(&all).to_owned()
}

/// The caller hears ringing while the other party is called, and stays, parked, if that does not
/// answer.
fn bridge(originator: &Originator<'_>, id: CallId, to: &Address) -> Result<Vec<String>> {
    let destination = originator.second_party(id, to, OPERATION)?;
    let ring = whole_seconds(CallOptions::default().timeout);
    Ok(vec![
        "set:hangup_after_bridge=true".to_owned(),
        "set:continue_on_fail=true".to_owned(),
        format!("set:call_timeout={ring}"),
        format!("set:transfer_ringback={RINGBACK}"),
        format!("bridge:{destination}"),
        "park".to_owned(),
    ])
}

pub(crate) async fn accept(
    core: &Core,
    server: Server,
    call: &CallRef,
    accept_as: AcceptAs,
) -> Result<()> {
    let hub = &core.hub;
    let id = told(hub, core.config.request_timeout, call, OPERATION).await?;
    let uuid = super::super::outcome::channel_uuid(id);
    let route = Route::of(core, id, &uuid, &accept_as)?;
    let order = route.transfer(&uuid)?;
    hub.change(|state, _| {
        let decided = state.books.decide(id, OPERATION);
        if decided.is_ok() {
            if route.kind == Kind::Receive {
                state.books.becomes_fax(id, route.kind.word());
            }
            if route.bridge {
                state.books.joins(id, &peer_uuid(id));
            }
        }
        (decided, Vec::new())
    })?;
    let mut decision = Decision::new(hub, id);
    if let Err(error) = before(&server, &uuid, &route).await {
        return Err(decision.failed(error));
    }
    decision.written = true;
    match server.api("uuid_transfer", &order, OPERATION).await {
        Ok(_) => {
            hub.events(|state, now| state.books.accepted(id, now));
            decision.stands();
        }
        Err(error) => return Err(decision.failed(error)),
    }
    answered(hub, core.config.request_timeout, id).await?;
    if route.bridge {
        bridged(core, id).await?;
    }
    Ok(())
}

/// Everything that must be there when the channel is sent on. `uuid_setvar_multi` would drop what the
/// server is to expand later (observed on FreeSWITCH 1.10.12).
async fn before(server: &Server, uuid: &str, route: &Route) -> Result<()> {
    for (name, value) in &route.variables {
        server.set_variable(uuid, name, value, OPERATION).await?;
    }
    Ok(())
}

/// How the wait for the other party ended.
enum Ended {
    Answered,
    /// It was not reached.
    Failed(Causes),
    /// The caller's call ended.
    Call,
    /// It left the books without an end.
    Unseen,
}

/// Waits for the other party.
async fn bridged(core: &Core, id: CallId) -> Result<()> {
    let limit = CallOptions::default()
        .timeout
        .saturating_add(core.config.request_timeout);
    let ended = core
        .hub
        .until(limit, |state| {
            let Some(line) = state.books.lines.get(&id) else {
                let ended = state.books.record(&id.into()).is_some();
                return Some(if ended { Ended::Call } else { Ended::Unseen });
            };
            let second = &line.second;
            if second.answered {
                return Some(Ended::Answered);
            }
            let causes = || second.causes.clone().unwrap_or_default();
            second.over.then(|| Ended::Failed(causes()))
        })
        .await;
    let error = |kind, message: &str| Error::new(kind, OPERATION, message).with_call_id(id);
    match ended {
        Some(Ended::Answered) => Ok(()),
        Some(Ended::Failed(causes)) => {
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
        None => Err(error(
            ErrorKind::OutcomeUnknown,
            "the server did not tell whether the other party answered",
        )),
    }
}
