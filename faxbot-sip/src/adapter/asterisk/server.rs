//! Questions and orders to one Asterisk, with its negative answers as typed errors.

use std::{collections::HashSet, fmt, time::Duration};

use faxbot_core::{Error, ErrorKind, Result, Timestamp, id::CallId};
use tracing::Instrument as _;

use super::{
    books::line::LiveChannel,
    dialplan::EXTENSIONS,
    outcome::{OutcomeStore, Report, channel_id},
    request::action,
};
use crate::{
    driver::Handle,
    protocol::ami::{Action, AmiSession, Message, Reply},
};

/// More than any extension of ours has.
const PRIORITIES: [&str; 4] = ["1", "2", "3", "4"];

/// One Asterisk behind one connection, or behind whichever is up.
#[derive(Debug, Clone)]
pub(super) struct Server {
    handle: Handle<AmiSession>,
    timeout: Duration,
}

/// Which run of Asterisk answers: another value is another run.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Startup(String);

#[cfg(test)]
impl Startup {
    pub(super) fn new(startup: String) -> Self {
        Self(startup)
    }
}

impl fmt::Debug for Startup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How much of our context is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it: about 7 KB of answer.
    Whole,
    /// The hangup handler's extension, which is made last and goes with the others: a reload takes all
    /// or none.
    Handler,
}

/// Whether our extensions are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Present {
        /// Since when, for what we made; what an operator wrote is there all the time.
        since: Option<Timestamp>,
        /// Whether those are there that calls are sent to, beside that of the hangup handlers.
        control: bool,
    },
    Absent,
}

impl Server {
    pub(super) fn new(handle: Handle<AmiSession>, timeout: Duration) -> Self {
        Self { handle, timeout }
    }

    pub(super) fn is_up(&self) -> bool {
        self.handle.is_up()
    }

    /// Sends an action and takes a negative answer for an error.
    pub(super) async fn order(&self, action: Action, operation: &'static str) -> Result<Reply> {
        let reply = self.ask(action, operation).await?;
        if is_positive(&reply) {
            Ok(reply)
        } else {
            Err(refusal(&reply, operation))
        }
    }

    /// Sends an action and answers whatever comes back.
    pub(super) async fn ask(&self, action: Action, operation: &'static str) -> Result<Reply> {
        let span = tracing::debug_span!("ami.action", action = action.name());
        let reply = self
            .handle
            .request(action, self.timeout)
            .instrument(span)
            .await;
        reply.map_err(|error| error.into_error(operation))
    }

    pub(super) async fn ping(&self) -> Result<()> {
        self.order(action("Ping", &[], "health_check")?, "health_check")
            .await
            .map(drop)
    }

    /// `CoreStatus` tells when this run began; its local time has no zone, so it is only compared.
    pub(super) async fn startup(&self) -> Result<Startup> {
        let reply = self
            .order(action("CoreStatus", &[], "connect")?, "connect")
            .await?;
        let part = |name| reply.response.get_str(name).unwrap_or_default();
        Ok(Startup(format!(
            "{} {}",
            part("CoreStartupDate"),
            part("CoreStartupTime")
        )))
    }

    /// Whether a module is loaded; `None` for an account that may not ask.
    pub(super) async fn has_module(
        &self,
        module: &str,
        operation: &'static str,
    ) -> Result<Option<bool>> {
        let reply = self
            .ask(
                action("ModuleCheck", &[("Module", module)], operation)?,
                operation,
            )
            .await?;
        let denied = !is_positive(&reply)
            && refusal(&reply, operation).kind() == ErrorKind::PermissionDenied;
        Ok((!denied).then_some(is_positive(&reply)))
    }

    /// Makes our extensions, if that is ours to do. Replacing them is harmless to channels that are in
    /// them.
    pub(super) async fn make_extensions(
        &self,
        store: &OutcomeStore,
        now: Timestamp,
        operation: &'static str,
    ) -> Result<()> {
        let Some(context) = store.context().filter(|_| store.is_automatic()) else {
            return Ok(());
        };
        for (extension, steps) in EXTENSIONS {
            for (priority, (application, data)) in PRIORITIES.into_iter().zip(*steps) {
                self.add_step(context, extension, priority, application, data, operation)
                    .await?;
            }
        }
        // Last, because it tells since when all of it is there.
        let steps = store.steps().into_iter().chain([store.made_at(now)]);
        for (priority, (application, data)) in PRIORITIES.into_iter().zip(steps) {
            self.add_step(context, "s", priority, application, &data, operation)
                .await?;
        }
        Ok(())
    }

    /// The names of the actions that exist and that the account may use, in lower case.
    pub(super) async fn actions(&self, operation: &'static str) -> Result<HashSet<String>> {
        let reply = self
            .order(action("ListCommands", &[], operation)?, operation)
            .await?;
        let name = |(name, _): (&[u8], &[u8])| String::from_utf8_lossy(name).to_ascii_lowercase();
        Ok(reply.response.headers().map(name).collect())
    }

    /// Sets a variable of a channel, or writes a function of it.
    pub(super) async fn set_variable(
        &self,
        channel: &str,
        variable: &str,
        value: &str,
        operation: &'static str,
    ) -> Result<()> {
        let headers = [
            ("Channel", channel),
            ("Variable", variable),
            ("Value", value),
        ];
        self.order(action("Setvar", &headers, operation)?, operation)
            .await
            .map(drop)
    }

    /// The value of a channel's variable, or of a function of it; `None` where the server has none.
    pub(super) async fn variable(
        &self,
        channel: &str,
        variable: &str,
        operation: &'static str,
    ) -> Result<Option<String>> {
        let headers = [("Channel", channel), ("Variable", variable)];
        let reply = self
            .ask(action("Getvar", &headers, operation)?, operation)
            .await?;
        if is_positive(&reply) {
            let value = reply.response.get_str("Value");
            return Ok(value.map(std::borrow::Cow::into_owned));
        }
        let error = refusal(&reply, operation);
        // `No such variable`, and the like for a function whose module is not loaded.
        if error.kind() == ErrorKind::Rejected {
            Ok(None)
        } else {
            Err(error)
        }
    }

    /// Sends channels to an extension of our context.
    pub(super) async fn send_to(
        &self,
        store: &OutcomeStore,
        channel: &str,
        other: Option<&str>,
        extension: &str,
        operation: &'static str,
    ) -> Result<()> {
        let Some(context) = store.context() else {
            return Err(Error::unsupported(operation));
        };
        let mut headers = vec![
            ("Channel", channel),
            ("Context", context),
            ("Exten", extension),
            ("Priority", "1"),
        ];
        if let Some(other) = other {
            headers.extend([
                ("ExtraChannel", other),
                ("ExtraContext", context),
                ("ExtraExten", extension),
                ("ExtraPriority", "1"),
            ]);
        }
        self.order(action("Redirect", &headers, operation)?, operation)
            .await
            .map(drop)
    }

    /// Whether the account may add extensions: adds the first step of ours again as it is.
    pub(super) async fn may_add(
        &self,
        store: &OutcomeStore,
        operation: &'static str,
    ) -> Result<()> {
        let ([(application, data), _], Some(context)) = (store.steps(), store.context()) else {
            return Ok(());
        };
        self.add_step(context, "s", "1", application, &data, operation)
            .await
    }

    pub(super) async fn add_step(
        &self,
        context: &str,
        extension: &str,
        priority: &str,
        application: &str,
        data: &str,
        operation: &'static str,
    ) -> Result<()> {
        let headers = [
            ("Context", context),
            ("Extension", extension),
            ("Priority", priority),
            ("Application", application),
            ("ApplicationData", data),
            ("Replace", "yes"),
        ];
        self.order(
            action("DialplanExtensionAdd", &headers, operation)?,
            operation,
        )
        .await
        .map(drop)
    }

    /// Whether our extensions are there now. Ours are compared by their content; an operator's have to
    /// be there.
    pub(super) async fn extensions(
        &self,
        store: &OutcomeStore,
        extent: Extent,
        operation: &'static str,
    ) -> Result<Presence> {
        let Some(context) = store.context() else {
            return Ok(Presence::Absent);
        };
        let mut headers = vec![("Context", context)];
        if extent == Extent::Handler {
            headers.push(("Extension", "s"));
        }
        let reply = self
            .ask(action("ShowDialPlan", &headers, operation)?, operation)
            .await?;
        if is_positive(&reply) {
            return Ok(presence(&reply, store, extent));
        }
        // `Did not find context ...` and `Did not find extension ...`; another error says nothing.
        match reply.message() {
            Some(text) if text.to_ascii_lowercase().contains("did not find") => {
                Ok(Presence::Absent)
            }
            _ => Err(refusal(&reply, operation)),
        }
    }

    /// What the hangup handler of a call left.
    pub(super) async fn outcome(&self, store: &OutcomeStore, id: CallId) -> Result<Option<Report>> {
        let value = self
            .database(store.family(), &channel_id(id), "lookup")
            .await?;
        Ok(value.as_deref().and_then(Report::parse))
    }

    /// A value of AstDB.
    pub(super) async fn database(
        &self,
        family: &str,
        key: &str,
        operation: &'static str,
    ) -> Result<Option<String>> {
        let reply = self
            .ask(
                action("DBGet", &[("Family", family), ("Key", key)], operation)?,
                operation,
            )
            .await?;
        if is_positive(&reply) {
            let value = reply.events.iter().find_map(|event| event.get_str("Val"));
            return Ok(value.map(std::borrow::Cow::into_owned));
        }
        if is_no_entry(&reply) {
            Ok(None)
        } else {
            Err(refusal(&reply, operation))
        }
    }

    /// Deletes a value of AstDB; one that is gone is no error.
    pub(super) async fn forget(
        &self,
        family: &str,
        key: &str,
        operation: &'static str,
    ) -> Result<()> {
        let reply = self
            .ask(
                action("DBDel", &[("Family", family), ("Key", key)], operation)?,
                operation,
            )
            .await?;
        // `Database entry could not be deleted` stands for a key that is not there and for a database
        // that cannot be written (observed on Asterisk 16.28 and 22.10).
        if is_positive(&reply) || self.database(family, key, operation).await?.is_none() {
            Ok(())
        } else {
            Err(refusal(&reply, operation))
        }
    }

    /// All keys of a family with their values.
    pub(super) async fn family(&self, family: &str) -> Result<Vec<(String, String)>> {
        let reply = self
            .ask(
                action("DBGetTree", &[("Family", family)], "connect")?,
                "connect",
            )
            .await?;
        if !is_positive(&reply) {
            return if is_no_entry(&reply) {
                Ok(Vec::new())
            } else {
                Err(refusal(&reply, "connect"))
            };
        }
        let entry = |event: &Message| {
            // `Key: /family/key`.
            let key = event.get_str("Key")?.rsplit('/').next()?.to_owned();
            Some((key, event.get_str("Val")?.into_owned()))
        };
        Ok(reply.events.iter().filter_map(entry).collect())
    }

    /// The channels that are up.
    pub(super) async fn channels(&self, operation: &'static str) -> Result<Vec<LiveChannel>> {
        let reply = self
            .order(action("CoreShowChannels", &[], operation)?, operation)
            .await?;
        let channel = |event: &Message| {
            Some(LiveChannel {
                name: event.get_str("Channel")?.into_owned(),
                uniqueid: event.get_str("Uniqueid")?.into_owned(),
                state: text(event, "ChannelStateDesc"),
                linkedid: text(event, "Linkedid"),
                context: text(event, "Context"),
                exten: text(event, "Exten"),
                priority: text(event, "Priority"),
                application: text(event, "Application"),
                data: text(event, "ApplicationData"),
                caller: text(event, "CallerIDNum"),
                bridge: text(event, "BridgeId"),
                age: age(&text(event, "Duration")),
            })
        };
        Ok(reply.events.iter().filter_map(channel).collect())
    }

    /// Hangs a channel up, by its name or its Uniqueid.
    pub(super) async fn hang_up(&self, channel: &str) -> Result<()> {
        self.order(
            action("Hangup", &[("Channel", channel)], "hangup")?,
            "hangup",
        )
        .await
        .map(drop)
    }

    /// Fax sessions by the name of their channel.
    pub(super) async fn fax_sessions(&self) -> Result<Vec<(String, String)>> {
        let reply = self
            .order(action("FAXSessions", &[], "fax")?, "fax")
            .await?;
        let session = |event: &Message| {
            Some((
                event.get_str("Channel")?.into_owned(),
                event.get_str("SessionNumber")?.into_owned(),
            ))
        };
        Ok(reply.events.iter().filter_map(session).collect())
    }

    /// How far a fax session is; `None` when it is over.
    pub(super) async fn fax_session(&self, number: &str) -> Result<Option<Message>> {
        let reply = self
            .ask(
                action("FAXSession", &[("SessionNumber", number)], "fax")?,
                "fax",
            )
            .await?;
        Ok(reply.events.into_iter().next())
    }
}

fn text(event: &Message, header: &str) -> String {
    event.get_str(header).unwrap_or_default().into_owned()
}

/// `Duration` of a listed channel: `HH:MM:SS`, hours without an end.
fn age(text: &str) -> Duration {
    let parts = text.split(':').map(|part| part.parse::<u64>().unwrap_or(0));
    let seconds = parts.fold(0_u64, |sum, part| {
        sum.saturating_mul(60).saturating_add(part)
    });
    Duration::from_secs(seconds)
}

/// What `ShowDialPlan` says of our context.
fn presence(reply: &Reply, store: &OutcomeStore, extent: Extent) -> Presence {
    let all = |header| -> Vec<_> {
        let events = reply.events.iter();
        events.filter_map(|event| event.get_str(header)).collect()
    };
    if !store.is_automatic() {
        let extensions = all("Extension");
        let has = |name: &str| extensions.iter().any(|it| it == name);
        return if has("s") {
            Presence::Present {
                since: None,
                control: extent == Extent::Handler || EXTENSIONS.iter().all(|(name, _)| has(name)),
            }
        } else {
            Presence::Absent
        };
    }
    let steps = all("AppData");
    let has = |data: &str| steps.iter().any(|it| it == data);
    let control = extent == Extent::Handler
        || EXTENSIONS
            .iter()
            .flat_map(|(_, steps)| steps.iter())
            .all(|(_, data)| has(data));
    let whole = control && store.steps().iter().all(|(_, data)| has(data));
    // Without the time that they were made at they prove nothing: they are made again.
    match steps.iter().find_map(|data| store.read_made_at(data)) {
        Some(since) if whole => Presence::Present {
            since: Some(since),
            control,
        },
        _ => Presence::Absent,
    }
}

fn is_positive(reply: &Reply) -> bool {
    reply.is_success()
}

/// `Database entry not found`, and for a tree on Asterisk 22 the same words.
fn is_no_entry(reply: &Reply) -> bool {
    reply
        .message()
        .is_some_and(|text| text.to_ascii_lowercase().contains("not found"))
}

/// The server's refusal by its words (`asterisk/main/manager.c` and the modules' own; recordings
/// `02_errors` and `01_permission_denied`).
pub(super) fn refusal(reply: &Reply, operation: &'static str) -> Error {
    let text = reply
        .message()
        .map(std::borrow::Cow::into_owned)
        .unwrap_or_default();
    let lower = text.to_ascii_lowercase();
    let has = |words: &str| lower.contains(words);
    let (kind, message) = if has("permission denied") {
        (
            ErrorKind::PermissionDenied,
            "the manager account may not do this; see the privileges in the adapter's documentation",
        )
    } else if has("shutting down") {
        (ErrorKind::ServerBusy, "asterisk is shutting down")
    } else if ["no such channel", "no channel", "channel does not exist"]
        .into_iter()
        .any(has)
        || has("channel1 does not exist")
        || has("channel2 does not exist")
    {
        (ErrorKind::NotFound, "asterisk knows no such channel")
    } else if has("invalid/unknown command") {
        (
            ErrorKind::ServerBusy,
            "asterisk does not know the action; its module is not loaded, or not loaded at this moment",
        )
    } else {
        (ErrorKind::Rejected, "asterisk refused the request")
    };
    Error::new(kind, operation, message).with_native(None, Some(text))
}
