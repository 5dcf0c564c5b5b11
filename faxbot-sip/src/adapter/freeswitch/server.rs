//! Questions and orders to one FreeSWITCH, with its negative answers as typed errors.
//!
//! Every command here ends at once: an `api` holds its connection until it ends, answers of others and
//! events among them (recording `02_api_blocks_events_and_later_commands`). What takes time goes by
//! `bgapi`, whose result is an event.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use faxbot_core::{Error, ErrorKind, Result, Timestamp, id::CallId};
use serde::Deserialize;
use tracing::Instrument as _;

use super::outcome::{Ended, OutcomeStore, channel_uuid, parse_pages};
use crate::{
    adapter::books::{LiveLeg, Sign},
    driver::Handle,
    protocol::esl::{Command, CommandError, EslSession, Reply},
};

/// One FreeSWITCH behind one connection, or behind whichever is up.
#[derive(Debug, Clone)]
pub(super) struct Server {
    handle: Handle<EslSession>,
    timeout: Duration,
}

/// A channel in `show channels as json`. Fields that are not here are not needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Channel {
    pub(super) uuid: String,
    pub(super) direction: String,
    pub(super) created_epoch: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) cid_name: String,
    pub(super) cid_num: String,
    pub(super) dest: String,
    pub(super) application: String,
    pub(super) context: String,
    pub(super) callstate: String,
    pub(super) call_uuid: String,
}

#[derive(Deserialize)]
struct Channels {
    // Absent when there are none, where no count is asked for.
    #[serde(default)]
    rows: Vec<Channel>,
}

impl Channel {
    /// How far it is. `EARLY` is sound before the answer.
    pub(super) fn sign(&self) -> Sign {
        match self.callstate.as_str() {
            "ACTIVE" | "HELD" | "RING_WAIT" | "UNHELD" => Sign::Up,
            "RINGING" | "EARLY" => Sign::Ringing,
            _ => Sign::Dialing,
        }
    }

    /// Since when it exists, by the server's clock.
    pub(super) fn created(&self) -> Option<Timestamp> {
        let seconds = self.created_epoch.parse().ok()?;
        Timestamp::from_unix_seconds(seconds).ok()
    }
}

/// The channels as the books want them: who is joined with whom shows in `call_uuid`, which is that of
/// the first leg. Each is looked at once: a busy server has thousands.
pub(super) fn live_legs(channels: &[Channel]) -> Vec<LiveLeg> {
    let up = |channel: &&Channel| channel.sign() == Sign::Up;
    // Where each channel is, and where the first one that another channel called.
    let (mut at, mut called_by) = (HashMap::new(), HashMap::new());
    for (place, channel) in channels.iter().enumerate().filter(|(_, it)| up(it)) {
        at.entry(channel.uuid.as_str()).or_insert(place);
        if channel.call_uuid != channel.uuid {
            called_by.entry(channel.call_uuid.as_str()).or_insert(place);
        }
    }
    let partner = |channel: &Channel| {
        let caller = at.get(channel.call_uuid.as_str());
        let caller = caller.filter(|_| channel.call_uuid != channel.uuid);
        let called = called_by.get(channel.uuid.as_str());
        let first = [caller, called].into_iter().flatten().min()?;
        channels.get(*first).map(|other| other.uuid.clone())
    };
    let leg = |channel: &Channel| LiveLeg {
        native: channel.uuid.clone(),
        sign: channel.sign(),
        joined: Some(channel).filter(up).and_then(partner),
    };
    channels.iter().map(leg).collect()
}

impl Server {
    pub(super) fn new(handle: Handle<EslSession>, timeout: Duration) -> Self {
        Self { handle, timeout }
    }

    pub(super) fn is_up(&self) -> bool {
        self.handle.is_up()
    }

    /// Sends a command and answers whatever comes back.
    pub(super) async fn ask(&self, command: Command, operation: &'static str) -> Result<Reply> {
        let span = tracing::debug_span!("esl.command", ?command);
        let reply = self
            .handle
            .request(command, self.timeout)
            .instrument(span)
            .await;
        reply.map_err(|error| error.into_error(operation))
    }

    /// Sends a command and takes a negative answer for an error. Answers its text.
    pub(super) async fn order(&self, command: Command, operation: &'static str) -> Result<String> {
        let reply = self.ask(command, operation).await?;
        let text = reply.text().trim_end().to_owned();
        match refusal(&text, operation) {
            Some(error) => Err(error),
            None => Ok(text),
        }
    }

    /// Runs an API command that ends at once, and takes a negative answer for an error.
    pub(super) async fn api(
        &self,
        command: &str,
        arguments: &str,
        operation: &'static str,
    ) -> Result<String> {
        self.order(api(command, arguments, operation)?, operation)
            .await
    }

    /// As [`api`](Self::api), for a question whose answer may be that there is nothing.
    pub(super) async fn look_up(
        &self,
        command: &str,
        arguments: &str,
        operation: &'static str,
    ) -> Result<Option<String>> {
        let reply = self
            .ask(api(command, arguments, operation)?, operation)
            .await?;
        let text = reply.text();
        let text = text.strip_suffix('\n').unwrap_or(&text);
        if matches!(text, "-ERR no reply" | "_undef_" | "") {
            return Ok(None);
        }
        match refusal(text, operation) {
            Some(error) => Err(error),
            None => Ok(Some(text.to_owned())),
        }
    }

    /// Which run of FreeSWITCH answers: another value is another run.
    pub(super) async fn core_uuid(&self) -> Result<Option<String>> {
        self.look_up("global_getvar", "core_uuid", "connect").await
    }

    /// Since when this run is up, by our clock.
    pub(super) async fn up_for(&self, operation: &'static str) -> Result<Option<Duration>> {
        let answer = self.look_up("uptime", "ms", operation).await?;
        let millis = answer.and_then(|text| text.trim().parse().ok());
        Ok(millis.map(Duration::from_millis))
    }

    /// The server's own directory of recordings, if an account may ask and a path of ours fits in it.
    pub(super) async fn recordings_dir(&self, operation: &'static str) -> Result<Option<String>> {
        let told = self
            .look_up("global_getvar", "recordings_dir", operation)
            .await;
        match told {
            Ok(told) => Ok(told.filter(|path| path.starts_with('/'))),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The domain of the server's users, if it has one that an account may ask for.
    pub(super) async fn domain(&self, operation: &'static str) -> Result<Option<String>> {
        let known = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        match self.look_up("global_getvar", "domain", operation).await {
            Ok(told) => Ok(told.filter(|domain| domain.chars().all(known))),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a module is loaded; `None` for an account that may not ask.
    pub(super) async fn has_module(
        &self,
        module: &str,
        operation: &'static str,
    ) -> Result<Option<bool>> {
        match self.api("module_exists", module, operation).await {
            Ok(text) => Ok(Some(text == "true")),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the server sees a file or a directory.
    pub(super) async fn sees(&self, path: &str, operation: &'static str) -> Result<bool> {
        let answer = self.api("file_exists", path, operation).await?;
        Ok(answer == "true")
    }

    /// The channels that are up.
    pub(super) async fn channels(&self, operation: &'static str) -> Result<Vec<Channel>> {
        self.show("channels as json", operation).await
    }

    /// The channel of this name, if it is up. Its row stays until the hook of its end has run
    /// (recording `09_hook_race_at_kill`).
    pub(super) async fn channel(
        &self,
        uuid: &str,
        operation: &'static str,
    ) -> Result<Option<Channel>> {
        // It is looked for in each column; an argument of ours has no blank.
        let found = self
            .show(&format!("channels like {uuid} as json"), operation)
            .await?;
        Ok(found.into_iter().find(|channel| channel.uuid == uuid))
    }

    async fn show(&self, what: &str, operation: &'static str) -> Result<Vec<Channel>> {
        let text = self.api("show", what, operation).await?;
        let channels: Channels = serde_json::from_str(&text).map_err(|source| {
            let message = "the list of channels is not the JSON that FreeSWITCH writes";
            Error::new(ErrorKind::Protocol, operation, message).with_source(source)
        })?;
        Ok(channels.rows)
    }

    /// Whether the channel is up. False as soon as its hang-up begins.
    pub(super) async fn exists(&self, uuid: &str, operation: &'static str) -> Result<bool> {
        let answer = self.api("uuid_exists", uuid, operation).await?;
        Ok(answer == "true")
    }

    /// The headers and variables of a channel, as an event of it would have them.
    pub(super) async fn dump(
        &self,
        uuid: &str,
        operation: &'static str,
    ) -> Result<BTreeMap<String, serde_json::Value>> {
        let text = self
            .api("uuid_dump", &format!("{uuid} json"), operation)
            .await?;
        serde_json::from_str(&text).map_err(|source| {
            let message = "the dump of a channel is not the JSON that FreeSWITCH writes";
            Error::new(ErrorKind::Protocol, operation, message).with_source(source)
        })
    }

    /// A variable of a channel; `None` where it has none.
    pub(super) async fn variable(
        &self,
        uuid: &str,
        name: &str,
        operation: &'static str,
    ) -> Result<Option<String>> {
        self.look_up("uuid_getvar", &format!("{uuid} {name}"), operation)
            .await
    }

    /// Sets a variable of a channel. The value is what is behind the name: blanks and quotes stay.
    pub(super) async fn set_variable(
        &self,
        uuid: &str,
        name: &str,
        value: &str,
        operation: &'static str,
    ) -> Result<()> {
        self.api("uuid_setvar", &format!("{uuid} {name} {value}"), operation)
            .await
            .map(drop)
    }

    /// What the hook of a call's end left.
    pub(super) async fn outcome(
        &self,
        store: &OutcomeStore,
        id: CallId,
        operation: &'static str,
    ) -> Result<Option<Ended>> {
        let Some((command, arguments)) = store.select(&channel_uuid(id)) else {
            return Ok(None);
        };
        let value = self.look_up(command, &arguments, operation).await?;
        Ok(value.as_deref().and_then(Ended::parse))
    }

    /// How many pages of a fax were confirmed, as far as is kept: also of one that left no outcome.
    pub(super) async fn pages(
        &self,
        store: &OutcomeStore,
        id: CallId,
        operation: &'static str,
    ) -> Result<Option<u32>> {
        let Some((command, arguments)) = store.select_pages(&channel_uuid(id)) else {
            return Ok(None);
        };
        let value = self.look_up(command, &arguments, operation).await?;
        Ok(value.as_deref().and_then(parse_pages))
    }

    /// Forgets what is kept of a call; what is not there is no error.
    pub(super) async fn forget(
        &self,
        store: &OutcomeStore,
        id: CallId,
        operation: &'static str,
    ) -> Result<()> {
        let uuid = channel_uuid(id);
        for words in [store.delete(&uuid), store.delete_pages(&uuid)] {
            let Some((command, arguments)) = words else {
                continue;
            };
            let reply = self
                .ask(api(command, &arguments, operation)?, operation)
                .await?;
            let text = reply.text();
            let absent = text.trim_end() == "-ERR Not found";
            if !absent && let Some(error) = refusal(&text, operation) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Hangs a channel up; `NotFound` when there is none.
    pub(super) async fn hang_up(&self, uuid: &str, cause: Option<&str>) -> Result<()> {
        let arguments = match cause {
            Some(cause) => format!("{uuid} {cause}"),
            None => uuid.to_owned(),
        };
        self.api("uuid_kill", &arguments, "hangup").await.map(drop)
    }
}

/// An API command, checked.
pub(super) fn api(command: &str, arguments: &str, operation: &'static str) -> Result<Command> {
    Command::api(command, arguments).map_err(|error| refused(operation, error))
}

/// What cannot be put on the wire was in the request.
pub(super) fn refused(operation: &'static str, error: CommandError) -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        operation,
        "a value has a character that the event socket cannot carry",
    )
    .with_source(error)
}

/// The server's refusal by its words (`mod_commands.c`, `mod_event_socket.c`; recordings
/// `02_api_commands`, `04_call_control`, `01_userauth`); `None` for what is no refusal.
pub(super) fn refusal(text: &str, operation: &'static str) -> Option<Error> {
    let negative = [
        "-ERR",
        "-USAGE",
        "-ERROR",
        "USAGE:",
        "INVALID COMMAND",
        "!err!",
    ];
    if !negative.iter().any(|word| text.starts_with(word)) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let has = |words: &str| lower.contains(words);
    let (kind, message) = if has("permission denied") {
        (
            ErrorKind::PermissionDenied,
            "the account may not do this; see esl-allowed-api in the directory",
        )
    } else if [
        "no such channel",
        "cannot locate session",
        "invalid uuid",
        "no such session",
    ]
    .into_iter()
    .any(has)
    {
        (ErrorKind::NotFound, "freeswitch knows no such channel")
    } else if has("command not found") {
        (
            ErrorKind::ServerBusy,
            "freeswitch does not know the command; its module is not loaded, or not loaded at this moment",
        )
    } else {
        (ErrorKind::Rejected, "freeswitch refused the request")
    };
    let native = text.lines().next().unwrap_or_default().to_owned();
    Some(Error::new(kind, operation, message).with_native(None, Some(native)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(uuid: &str, call: &str, state: &str) -> Channel {
        Channel {
            uuid: uuid.to_owned(),
            call_uuid: call.to_owned(),
            callstate: state.to_owned(),
            ..Channel::default()
        }
    }

    #[test]
    fn who_is_joined_with_whom_shows_in_the_uuid_of_the_call() {
        let list = [
            channel("a", "a", "ACTIVE"),
            channel("b", "a", "ACTIVE"),
            channel("c", "a", "HELD"),
            channel("alone", "alone", "ACTIVE"),
            channel("first", "first", "ACTIVE"),
            channel("rings", "first", "RINGING"),
            channel("left", "gone", "ACTIVE"),
            channel("none", "", "ACTIVE"),
        ];
        let joined: Vec<_> = live_legs(&list).into_iter().map(|it| it.joined).collect();
        let [a, b] = ["a", "b"].map(|uuid| Some(uuid.to_owned()));
        assert_eq!(joined, [b, a.clone(), a, None, None, None, None, None]);
    }

    #[test]
    fn a_list_of_a_hundred_thousand_channels_is_read_at_once() {
        let uuid = |n: usize| format!("u{n}");
        let rows = (0..100_000).map(|n| channel(&uuid(n), &uuid(n - n % 2), "ACTIVE"));
        let list: Vec<_> = rows.collect();
        let legs = live_legs(&list);
        // Each with each would be hours in this build.
        assert!(legs.iter().all(|leg| leg.joined.is_some()));
    }
}
