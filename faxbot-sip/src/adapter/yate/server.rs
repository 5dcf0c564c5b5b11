//! Questions and orders to one Yate, with its negative answers as typed errors.

use std::time::Duration;

use faxbot_core::{Effect, Error, ErrorKind, Result};
use tracing::Instrument as _;

use super::control::is_party;
use crate::{
    adapter::books::{LiveLeg, Sign},
    driver::Handle,
    protocol::yate::{Command, CommandError, Frame, Reply, YateSession, status},
};

/// One Yate behind one connection, or behind whichever is up.
#[derive(Debug, Clone)]
pub(super) struct Server {
    handle: Handle<YateSession>,
    timeout: Duration,
}

/// The modules whose channels are always asked for.
pub(super) const CHANNELS: [&str; 3] = ["sip", "dumb", "fax"];

impl Server {
    pub(super) fn new(handle: Handle<YateSession>, timeout: Duration) -> Self {
        Self { handle, timeout }
    }

    /// Sends a message to the engine and answers it as its handlers left it, handled or not.
    pub(super) async fn ask(&self, command: Command, operation: &'static str) -> Result<Frame> {
        let span = tracing::debug_span!("yate.message", ?command);
        let reply = self
            .handle
            .request(command, self.timeout)
            .instrument(span)
            .await;
        match reply.map_err(|error| error.into_error(operation))? {
            Reply::Frame(frame) => Ok(frame),
            Reply::TooLong { .. } => Err(Error::new(
                ErrorKind::InvalidRequest,
                operation,
                "the request is longer than a line that Yate takes",
            )),
            // `Error in:`: it was given to no handler (`ExtModReceiver::processLine` in `extmodule.cpp`).
            _ => Err(Error::new(
                ErrorKind::Protocol,
                operation,
                "yate could not read the request",
            )
            .with_effect(Effect::NoEffect)),
        }
    }

    /// As [`ask`](Self::ask), and takes what nobody handled for an error.
    pub(super) async fn order(&self, command: Command, operation: &'static str) -> Result<Frame> {
        let frame = self.ask(command, operation).await?;
        match refusal(&frame, operation) {
            Some(error) => Err(error),
            None => Ok(frame),
        }
    }

    /// The names of the modules that are loaded; `None` where the engine does not say.
    pub(super) async fn modules(&self, operation: &'static str) -> Result<Option<Vec<String>>> {
        let command = message("engine.command", &[("line", "module list")], operation)?;
        let frame = self.ask(command, operation).await?;
        let Some(answer) = frame.message().filter(|answer| answer.is_processed()) else {
            return Ok(None);
        };
        // Separated by tabs; a star stands behind a module that is in use.
        let retval = answer.retval();
        let names = retval.split_whitespace();
        Ok(Some(
            names
                .map(|name| name.trim_end_matches('*').to_owned())
                .collect(),
        ))
    }

    /// The channels that are up, and who is joined with whom.
    pub(super) async fn channels(&self, operation: &'static str) -> Result<Vec<Channel>> {
        let mut channels = Vec::new();
        for module in CHANNELS {
            channels.extend(self.items(module, operation).await?);
        }
        Ok(channels)
    }

    /// The channels of one module.
    pub(super) async fn items(
        &self,
        module: &str,
        operation: &'static str,
    ) -> Result<Vec<Channel>> {
        let command = message("engine.status", &[("module", module)], operation)?;
        // The answer may say `false` and still be filled (recording `engine_timer_and_status`).
        let frame = self.ask(command, operation).await?;
        let Some(answer) = frame.message() else {
            return Ok(Vec::new());
        };
        let retval = answer.retval();
        let items = status::modules(&retval).flat_map(|module| {
            let items = module.items().filter(|item| item.id().contains('/'));
            items.map(channel).collect::<Vec<_>>()
        });
        Ok(items.collect())
    }

    /// Adds to a list who calls and whom, as `cdrbuild` knows it.
    pub(super) async fn parties(
        &self,
        list: &mut [Channel],
        operation: &'static str,
    ) -> Result<()> {
        let command = message("engine.status", &[("module", "cdrbuild")], operation)?;
        let frame = self.ask(command, operation).await?;
        let Some(answer) = frame.message() else {
            return Ok(());
        };
        let retval = answer.retval();
        for module in status::modules(&retval) {
            for channel in list.iter_mut() {
                let Some(item) = module.item(&channel.leg.native) else {
                    continue;
                };
                // `Status|Caller|Called|BillId|Duration`; a caller may write a `|`.
                let fields: Vec<&str> = item.fields().collect();
                if let [_, caller, called, _, seconds] = fields.as_slice() {
                    channel.caller = Some((*caller).to_owned()).filter(|it| !it.is_empty());
                    channel.called = Some((*called).to_owned()).filter(|it| !it.is_empty());
                    let seconds: f64 = seconds.parse().unwrap_or_default();
                    channel.age = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                }
            }
        }
        Ok(())
    }

    /// Hangs a channel up; `NotFound` when there is none. Never without the id of one channel: without
    /// one, or with the name of a driver or of its type, that would end every call of the server
    /// (`Driver::received` in `engine/Channel.cpp`).
    pub(super) async fn hang_up(&self, channel: &str, reason: &str) -> Result<()> {
        const OPERATION: &str = "hangup";
        if !is_one_channel(channel) {
            let message = "name the call by its id, or by one channel such as sip/7";
            return Err(Error::new(ErrorKind::InvalidRequest, OPERATION, message));
        }
        let command = message(
            "call.drop",
            &[("id", channel), ("reason", reason)],
            OPERATION,
        )?;
        let frame = self.ask(command, OPERATION).await?;
        let done = frame.message().is_some_and(|answer| answer.is_processed());
        if done {
            return Ok(());
        }
        let message = "yate knows no such channel";
        Err(Error::new(ErrorKind::NotFound, OPERATION, message))
    }
}

/// Whether a name is that of one channel: `sip/7`, and not `sip` or `varchans`, which are all of them.
fn is_one_channel(name: &str) -> bool {
    let parts = name.split_once('/');
    parts.is_some_and(|(module, number)| !module.is_empty() && !number.is_empty())
}

/// A channel in the status of its module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) leg: LiveLeg,
    /// Where it calls, or what it reads: of a channel that we began, what we wrote there.
    pub(super) address: String,
    /// Who calls and whom, where that was asked for.
    pub(super) caller: Option<String>,
    pub(super) called: Option<String>,
    /// How long it is up, likewise.
    pub(super) age: Duration,
}

/// `Status|Address|Peer` of a channel. The address is what stands between: it may hold a `|`.
fn channel(item: status::Item<'_>) -> Channel {
    let sign = match item.field(0) {
        Some("answered" | "connected") => Sign::Up,
        Some("ringing" | "progressing") => Sign::Ringing,
        _ => Sign::Dialing,
    };
    let fields: Vec<&str> = item.fields().collect();
    let peer = fields
        .last()
        .filter(|peer| fields.len() > 2 && !peer.is_empty());
    let address = fields.get(1..fields.len().saturating_sub(1));
    Channel {
        leg: LiveLeg {
            native: item.id().to_owned(),
            sign,
            joined: peer.map(|&peer| peer.to_owned()),
        },
        address: address.unwrap_or_default().join("|"),
        caller: None,
        called: None,
        age: Duration::ZERO,
    }
}

/// The channels as the books want them: joined are those who talk, not one with our own end.
pub(super) fn live_legs(channels: &[Channel]) -> Vec<LiveLeg> {
    let leg = |channel: &Channel| {
        let mut leg = channel.leg.clone();
        leg.joined = leg.joined.filter(|peer| is_party(peer));
        leg
    };
    channels.iter().map(leg).collect()
}

/// A message to the engine, checked.
pub(super) fn message(
    name: &str,
    params: &[(&str, &str)],
    operation: &'static str,
) -> Result<Command> {
    let mut command = Command::message(name);
    for (name, value) in params {
        command = command.and_then(|command| command.param(name, value));
    }
    command.map_err(|error| refused(operation, error))
}

/// What cannot be put on the wire was in the request.
pub(super) fn refused(operation: &'static str, error: CommandError) -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        operation,
        "a value has a character that a line to Yate cannot carry",
    )
    .with_source(error)
}

/// A message that no handler took, with what it says of the reason, which is often nothing.
pub(super) fn refusal(frame: &Frame, operation: &'static str) -> Option<Error> {
    let answer = frame.message()?;
    if answer.is_processed() {
        return None;
    }
    let native = answer.text("error").map(std::borrow::Cow::into_owned);
    let text = answer.text("reason").map(std::borrow::Cow::into_owned);
    let message = "yate refused the request, or no module of it handles it";
    Some(Error::new(ErrorKind::Rejected, operation, message).with_native(native, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_one_channel_is_hung_up() {
        for (name, one) in [
            ("sip/7", true),
            ("fax/1", true),
            ("h323/12", true),
            ("", false),
            ("sip", false),
            ("varchans", false),
            ("sip/", false),
            ("/7", false),
        ] {
            assert_eq!(is_one_channel(name), one, "{name}");
        }
    }
}
