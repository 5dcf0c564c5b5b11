//! Incoming calls that are accepted.
//!
//! | as | what is said |
//! |---|---|
//! | parked | `call.answered` by the channel that the call waits at |
//! | an extension | `call.route` of the number, then as parked, then `call.execute` of what was routed |
//! | bridged | as parked, a second call to the other party, `chan.connect` when it answers |
//! | a fax | `call.execute` of `fax/receive`, which answers |

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Result,
    address::Address,
    id::{CallId, CallRef},
    sip::{AcceptAs, CallOptions},
};

use super::super::{
    control::party::{self, Party},
    core::Core,
    request,
    server::{Server, message, refusal, refused},
};
use crate::{
    adapter::{
        accepted::answered,
        books::Sign,
        incoming::{Decision, told},
    },
    protocol::yate::{Command, Frame},
};

const OPERATION: &str = "accept";

/// A received fax takes so long at the most: some hundred pages at the slowest rate.
const FAX_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Parameters of a routed message that are not those of the call to its target.
const NOT_ROUTED: &[&str] = &["handlers", "caller", "called", "context", "callto"];

/// What a call is accepted as.
enum Way {
    Park,
    /// The number, and the context of `regexroute`.
    Extension(String, Option<String>),
    Bridge(Party),
    /// Where the pages go, as Yate sees it.
    Fax(String),
}

impl Way {
    fn of(core: &Core, id: CallId, accept_as: AcceptAs) -> Result<Self> {
        Ok(match accept_as {
            AcceptAs::Park => Self::Park,
            AcceptAs::Extension { extension, context } => {
                if extension.is_empty() {
                    let message = "an extension is a number that yate routes";
                    return Err(Error::new(ErrorKind::InvalidRequest, OPERATION, message));
                }
                Self::Extension(extension, context)
            }
            AcceptAs::Bridge(to) => Self::Bridge(second_party(core, id, &to)?),
            AcceptAs::Fax => match &core.spool {
                Some(spool) => Self::Fax(spool.received(id).remote),
                None => return Err(Error::unsupported(OPERATION)),
            },
            _ => return Err(Error::unsupported(OPERATION)),
        })
    }
}

/// The other party; a caller whose party does not answer stays, parked.
fn second_party(core: &Core, id: CallId, to: &Address) -> Result<Party> {
    let to = request::target(&core.config, to, OPERATION)?;
    let ring = CallOptions::default().timeout;
    Party::new(id, &to, ring, None, OPERATION)
}

/// Accepts a call; see [`SipAdapter::accept`](faxbot_core::sip::SipAdapter::accept).
pub(in crate::adapter::yate) async fn accept(
    core: &Core,
    server: Server,
    call: &CallRef,
    accept_as: AcceptAs,
) -> Result<()> {
    let needs = accept_as.capability();
    core.hub.require(&[needs], OPERATION)?;
    let id = told(&core.hub, core.config.request_timeout, call, OPERATION).await?;
    let way = Way::of(core, id, accept_as).map_err(|error| error.with_call_id(id))?;
    let channel = core.hub.change(|state, now| {
        let decided = state.books.decide(id, OPERATION);
        if let (Ok(_), Way::Fax(file)) = (&decided, &way) {
            state.books.becomes_fax(id, "fax");
            state.books.paths.insert(file.clone(), id);
            state.books.limits.receives(id, now.instant + FAX_LIMIT);
        }
        (decided, Vec::new())
    })?;
    // The worker looks at the limits of a fax.
    core.hub.wake();
    let mut decision = Decision::new(&core.hub, id);
    let prepared = match prepare(core, &server, &way).await {
        Ok(prepared) => prepared,
        Err(error) => return Err(decision.failed(error)),
    };
    decision.written = true;
    let ordered = match &way {
        Way::Fax(file) => receive(core, &server, id, &channel, file).await,
        _ => answer(core, &server, id).await,
    };
    match ordered {
        Ok(()) => decision.stands(),
        Err(error) => return Err(decision.failed(error)),
    }
    answered(&core.hub, core.config.request_timeout, id).await?;
    let then = match way {
        Way::Park | Way::Fax(_) => Ok(()),
        Way::Extension(..) => go_on(&server, &channel, prepared).await,
        Way::Bridge(party) => party::bring(core, &server, id, party, OPERATION).await,
    };
    then.map_err(|error| error.with_call_id(id))
}

/// What must be known before the call is answered: where an extension leads.
async fn prepare(core: &Core, server: &Server, way: &Way) -> Result<Option<Frame>> {
    let Way::Extension(number, context) = way else {
        return Ok(None);
    };
    let mut params = vec![
        ("caller", core.config.instance.as_str()),
        ("called", number),
    ];
    if let Some(context) = context {
        params.push(("context", context));
    }
    let route = message("call.route", &params, OPERATION)?;
    let routed = server.ask(route, OPERATION).await?;
    let leads = routed.message().is_some_and(|answer| {
        answer.is_processed() && !matches!(&*answer.retval(), "" | "-" | "error")
    });
    if leads {
        return Ok(Some(routed));
    }
    let message = "yate has no route for this extension; the call waits still";
    Err(Error::new(ErrorKind::InvalidRequest, OPERATION, message))
}

/// A message in the name of a channel. `NotFound` when there is no such channel: the message keeps its
/// name then.
async fn masquerade(server: &Server, command: Command) -> Result<Frame> {
    let frame = server.ask(command, OPERATION).await?;
    let unknown = frame
        .message()
        .is_none_or(|answer| answer.is("chan.masquerade") || answer.name().is_empty());
    if unknown {
        let message = "yate knows no such channel";
        return Err(Error::new(ErrorKind::NotFound, OPERATION, message));
    }
    match refusal(&frame, OPERATION) {
        Some(error) => Err(error),
        None => Ok(frame),
    }
}

/// The channel that the call waits at answers.
async fn answer(core: &Core, server: &Server, id: CallId) -> Result<()> {
    let Some(seat) = core.hub.state().books.seat(id) else {
        let message = "the call waits no longer";
        return Err(Error::new(ErrorKind::NotFound, OPERATION, message));
    };
    let params = [("id", seat.as_str()), ("message", "call.answered")];
    masquerade(server, message("chan.masquerade", &params, OPERATION)?).await?;
    // Our own message is not shown to us.
    core.hub.events(|state, now| {
        let mut out = state.books.accepted(id, now);
        out.extend(state.books.own_is(id, Sign::Up, now));
        out
    });
    Ok(())
}

/// The call goes to a fax channel, which answers and is the call from then on: its hang-up has the
/// result.
async fn receive(
    core: &Core,
    server: &Server,
    id: CallId,
    channel: &str,
    file: &str,
) -> Result<()> {
    // Two slashes: the path is absolute.
    let callto = format!("fax/receive/{file}");
    let mut params = vec![
        ("id", channel),
        ("message", "call.execute"),
        ("callto", callto.as_str()),
        // The route of a caller that is a fax of this server would make both ends the caller.
        ("faxcaller", "no"),
    ];
    if let Some(station) = &core.config.station_id {
        params.push(("faxident", station.expose()));
    }
    let frame = masquerade(server, message("chan.masquerade", &params, OPERATION)?).await?;
    core.hub.events(|state, now| {
        let fax = frame.message().and_then(|answer| answer.text("peerid"));
        let mut out = state.books.accepted(id, now);
        if let Some(fax) = fax.filter(|fax| fax.starts_with("fax/")) {
            out.extend(state.books.becomes(id, &fax, now));
        }
        out.extend(state.books.own_is(id, Sign::Up, now));
        out
    });
    Ok(())
}

/// The answered call goes where its extension leads.
async fn go_on(server: &Server, channel: &str, routed: Option<Frame>) -> Result<()> {
    let Some(routed) = routed.as_ref().and_then(|routed| routed.message()) else {
        return Ok(());
    };
    let target = routed.retval();
    let params = [
        ("id", channel),
        ("message", "call.execute"),
        ("callto", &*target),
    ];
    let mut command = message("chan.masquerade", &params, OPERATION)?;
    // A route may say more of the call than its target (`;maxcall=` in `regexroute.conf`).
    for param in routed.params() {
        let name = param.name();
        if let Some(value) = param.text()
            && !NOT_ROUTED.contains(&&*name)
        {
            command = command
                .param(&name, &*value)
                .map_err(|error| refused(OPERATION, error))?;
        }
    }
    match masquerade(server, command).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Rejected => {
            let message = "yate could not connect the extension; the caller is parked";
            Err(Error::new(ErrorKind::Rejected, OPERATION, message).with_source(error))
        }
        Err(error) => Err(error),
    }
}
