//! What begins when the far end answers: the second party, the recording, the limit of the call's
//! duration.

use std::sync::Arc;

use faxbot_core::{
    Error, ErrorKind, Result,
    id::CallId,
    sip::{Causes, Severity},
};

use super::{
    super::{
        core::Core,
        server::{Server, message},
    },
    desk::{Due, Then},
    orders,
    party::{self, Party},
    record,
};
use crate::adapter::hub::is_passing;

const OPERATION: &str = "make_call";

/// Starts what a call was asked to do once it is answered. What the link does not let begin is tried
/// again when the call is seen again.
pub(in crate::adapter::yate) async fn once_answered(core: Arc<Core>, server: Server, id: CallId) {
    let due = core.hub.state().books.take_due(id);
    if due.record
        && let Err(error) = record::start(&core, &server, id).await
    {
        if is_passing(&error) {
            let due = Due {
                record: true,
                ..Due::default()
            };
            core.hub.note(|state, _| state.books.put_back(id, due));
        }
        trouble(&core, id, error);
    }
    if let Some(limit) = due.limit {
        let own = core.hub.state().books.own_channel(id);
        if let Some(own) = own
            && let Err(error) = orders::limit(&server, &own, limit, OPERATION).await
        {
            let due = Due {
                limit: Some(limit),
                ..Due::default()
            };
            core.hub.note(|state, _| state.books.put_back(id, due));
            trouble(&core, id, error);
        }
    }
    if let Some(then) = due.then {
        go_on(&core, &server, id, then).await;
    }
}

async fn go_on(core: &Core, server: &Server, id: CallId, then: Then) {
    let done = match &then {
        Then::Party(party) => party::bring(core, server, id, Party::clone(party), OPERATION).await,
        Then::Extension(extension, context) => {
            extend(core, server, id, extension, context.as_deref()).await
        }
    };
    let Err(error) = done else { return };
    if error.kind() == ErrorKind::NotConnected {
        // Nothing was said.
        let due = Due {
            then: Some(then),
            ..Due::default()
        };
        core.hub.note(|state, _| state.books.put_back(id, due));
        return;
    }
    tracing::debug!(%error, "yate: a call could not go on where it was to; it is hung up");
    core.hub.note(|state, now| {
        let line = state.books.lines.get(&id);
        if line.is_some_and(|line| !line.second.answered && line.second.causes.is_none()) {
            // It has to end with some cause: its own channel was answered.
            state.books.second_says(id, Causes::new().with_q850(41));
        }
        state.books.hang_up_when_there(id, now);
    });
}

/// Sends a call where Yate routes a number.
async fn extend(
    core: &Core,
    server: &Server,
    id: CallId,
    extension: &str,
    context: Option<&str>,
) -> Result<()> {
    let Some(own) = core.hub.state().books.own_channel(id) else {
        let text = "the call's channel is gone";
        return Err(Error::new(ErrorKind::NotFound, OPERATION, text));
    };
    let mut params = vec![("id", own.as_str()), ("called", extension)];
    params.extend(context.map(|context| ("context", context)));
    let frame = server
        .order(message("call.route", &params, OPERATION)?, OPERATION)
        .await?;
    let target = frame.message().map(|answer| answer.retval().into_owned());
    let target = target.filter(|target| !matches!(target.as_str(), "" | "-" | "error"));
    let Some(target) = target else {
        let text = "yate has no route for the extension";
        return Err(Error::new(ErrorKind::Rejected, OPERATION, text));
    };
    orders::send_to(server, &own, &target, &[("called", extension)], OPERATION).await
}

fn trouble(core: &Core, id: CallId, error: Error) {
    core.hub.trouble(Severity::Warning, error.with_call_id(id));
}
