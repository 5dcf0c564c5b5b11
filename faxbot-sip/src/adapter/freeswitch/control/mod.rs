//! Orders to calls that are up: hold, transfer, recording, digits. Those that move a call go one at a
//! time on each.

pub(super) mod dtmf;
pub(super) mod hold;
pub(super) mod record;
pub(super) mod transfer;

use std::time::Duration;

use faxbot_core::{Error, ErrorKind, Result, id::CallId};
use serde::Deserialize;

use super::{
    core::Core,
    server::{Channel, Server, live_legs},
    state::Desk,
};
use crate::{
    adapter::{books::Standing, claim},
    protocol::esl::EslSession,
};

/// Calls that an order moves.
pub(super) type Claim<'a> = claim::Claim<'a, EslSession, Desk>;

/// How long the event of what was carried out may take: events are sent every 20 ms, and behind those
/// that wait (recording `02_api_blocks_events_and_later_commands`).
const TOLD: Duration = Duration::from_secs(2);

/// How long the two parties of a call may take from the answer into their bridge.
const ENTER: Duration = Duration::from_millis(600);

/// The application that calls a second party, and stays while the two talk.
const BRIDGE: &str = "bridge";

/// The call state of a channel that is held, by us or by its far end.
const HELD: &str = "HELD";

/// What the server tells of one channel, at this moment: its list of channels is written behind, and
/// lacks one that was answered just now (observed on FreeSWITCH 1.10.12).
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    #[serde(rename = "Unique-ID")]
    pub(super) uuid: String,
    #[serde(rename = "Answer-State", default)]
    answer: String,
    #[serde(rename = "Channel-Call-State", default)]
    callstate: String,
    #[serde(rename = "variable_current_application", default)]
    application: String,
    /// The channel that it is joined with.
    #[serde(rename = "variable_bridge_uuid", default)]
    pub(super) joined: Option<String>,
}

impl Shown {
    async fn ask(server: &Server, uuid: &str, operation: &'static str) -> Result<Self> {
        let dump = server
            .api("uuid_dump", &format!("{uuid} json"), operation)
            .await?;
        serde_json::from_str(&dump).map_err(|source| {
            let text = "the dump of a channel is not the JSON that FreeSWITCH writes";
            Error::new(ErrorKind::Protocol, operation, text).with_source(source)
        })
    }

    fn is_held(&self) -> bool {
        self.callstate == HELD
    }

    fn is_answered(&self) -> bool {
        self.answer == "answered"
    }
}

/// The call's own channel, once a second party that it calls answered.
///
/// # Errors
/// `NotFound` when it is gone; `InvalidState` while the second party rings.
pub(super) async fn own_channel(
    core: &Core,
    server: &Server,
    id: CallId,
    operation: &'static str,
) -> Result<Shown> {
    let own = core.hub.state().books.own_channel(id);
    let own = own.ok_or_else(|| gone(operation))?;
    let shown = Shown::ask(server, &own, operation).await?;
    if shown.application != BRIDGE || shown.joined.is_some() {
        return Ok(shown);
    }
    let joined = core.hub.until(ENTER, |state| {
        state.books.lines.get(&id)?.joined.as_ref().map(drop)
    });
    joined.await;
    let shown = Shown::ask(server, &own, operation).await?;
    if shown.joined.is_none() {
        return Err(refused(
            operation,
            "the second party of the call still rings",
        ));
    }
    Ok(shown)
}

/// Where the server's list shows channels, for the books.
pub(super) fn standings(list: &[Channel]) -> Vec<Standing> {
    let legs = live_legs(list);
    let standing = |(channel, joined): (&Channel, bool)| Standing {
        native: channel.uuid.clone(),
        held: channel.callstate == HELD,
        calls: channel.application == BRIDGE && !joined,
    };
    list.iter()
        .zip(legs.iter().map(|leg| leg.joined.is_some()))
        .map(standing)
        .collect()
}

fn gone(operation: &'static str) -> Error {
    Error::new(ErrorKind::NotFound, operation, "no such call is up")
}

fn refused(operation: &'static str, text: &str) -> Error {
    Error::new(ErrorKind::InvalidState, operation, text)
}

#[cfg(test)]
mod event_tests;
