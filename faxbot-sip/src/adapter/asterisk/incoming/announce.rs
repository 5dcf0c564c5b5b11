//! What is asked and set before an incoming call is told of.

use std::{collections::BTreeMap, time::Duration};

use faxbot_core::{
    ErrorKind, Private, Result,
    id::CallId,
    sip::{Capability, Severity},
};

use super::super::{
    core::Core,
    outcome::{KEY, KIND, KIND_INCOMING, channel_id},
    server::Server,
};
use super::News;
use crate::adapter::{hub::Book as _, incoming::private};

/// The server itself ends a call that waits so long beyond its deadline: we may be gone by then.
const NET: Duration = Duration::from_secs(15);

/// What a call of which only the list told is asked besides, and the names that `AGI` has for it.
const LATE: &[(&str, &str)] = &[
    ("agi_calleridname", "CALLERID(name)"),
    ("agi_dnid", "CALLERID(dnid)"),
    ("agi_rdnis", "CALLERID(rdnis)"),
];

/// Asks what an incoming call brings, makes the server keep its outcome, and tells of it.
pub(crate) async fn announce(core: &Core, server: &Server, id: CallId) {
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
    if core.state().books.known.abilities.headers {
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
    let outcomes = core.state().books.known.abilities.outcomes;
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
    core.note(|state, now| state.books.unsure(id, now));
}
