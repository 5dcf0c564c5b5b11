//! What is asked and set before an incoming call is told of.

use std::collections::BTreeMap;

use faxbot_core::{
    ErrorKind, Private, Result,
    id::CallId,
    sip::{Capability, Severity},
};

use super::super::{
    core::Core,
    outcome::{Kind, channel_uuid},
    server::Server,
};
use super::Told;
use crate::adapter::{books::News, hub::Book as _};

const OPERATION: &str = "incoming";

/// Asks what an incoming call brings, makes the server keep its outcome, and tells of it.
pub(crate) async fn announce(core: &Core, server: &Server, id: CallId) {
    let (news, may) = {
        let state = core.hub.state();
        let may = state.capabilities.has(Capability::Incoming);
        (state.books.news(id), may)
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
            ErrorKind::NotFound => return core.hub.note(|state, now| state.books.unsure(id, now)),
            // The list of the next connection brings it again.
            ErrorKind::NotConnected | ErrorKind::Closed | ErrorKind::OutcomeUnknown => return,
            _ => core.hub.trouble(Severity::Warning, error.with_call_id(id)),
        },
    }
    core.hub
        .events(|state, _| state.books.announce(id, headers));
}

/// Everything that is asked and set before a call is told of. The caller hears ringing from then on:
/// `park` itself says nothing to it (recording `09_inbound_park_decide`).
async fn learn(
    core: &Core,
    server: &Server,
    id: CallId,
    news: &News,
    headers: &mut BTreeMap<String, Private>,
) -> Result<()> {
    let uuid = news.native.as_str();
    if let Some(hook) = core.store().hook(Kind::Incoming, &channel_uuid(id)) {
        server
            .set_variable(uuid, "api_hangup_hook", &hook, OPERATION)
            .await?;
    }
    if news.late {
        // Only its list entry is known, or what it brought when it came for the first time.
        let channel = server.dump(uuid, OPERATION).await?;
        let mut told = Told::new(&core.config.incoming_headers);
        for (name, value) in &channel {
            told.take(name, value.as_str().unwrap_or_default());
        }
        *headers = told.told;
    }
    server
        .api("uuid_ring_ready", uuid, OPERATION)
        .await
        .map(drop)
}
