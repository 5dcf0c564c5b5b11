//! What the server is asked to send: a busy one drowns nobody.
//!
//! An event is left at the server unless one of these holds: it is of a channel that is ours, which
//! carries [`MARK`], or it is of a name that is needed whoever's it is. Events of others that ring,
//! answer and end are most of what a busy server says; they stay there. Of the bytes of all events in the
//! recordings `burst_200_calls` and `06_burst_200_calls_json` 28 in 100 are of names that are subscribed
//! to, and none is left if those calls are not ours.

use faxbot_core::Result;

use super::{
    config::FreeswitchConfig,
    event::{CUSTOM, EVENTS},
    rooms::{CHATTER, MAINTENANCE},
    server::{Server, refused},
};
use crate::{
    adapter::settings::RawEvents,
    protocol::esl::{Command, Format},
};

const CONNECT: &str = "connect";

/// The variable of each channel of ours: what it is set to is the instance.
pub(super) const MARK: &str = "faxbot_instance";

/// Events that are let through whoever's they are: those that are about no channel, that have none of
/// its variables (`switch_channel_event_set_extended_data` in `switch_channel.c`), or that bring what
/// is not ours yet, a call that comes in or a channel that is bridged with one of ours.
const ALWAYS: &[&str] = &[
    "BACKGROUND_JOB",
    "CHANNEL_BRIDGE",
    "CHANNEL_PARK",
    "CHANNEL_UNBRIDGE",
    "DTMF",
    "HEARTBEAT",
    "MESSAGE",
    "MODULE_LOAD",
    "MODULE_UNLOAD",
    "PRESENCE_IN",
    "RECORD_START",
    "RECORD_STOP",
    "SHUTDOWN",
];

/// Subscribes, with the filters. Both go with the connection.
pub(super) async fn subscribe(server: &Server, config: &FreeswitchConfig) -> Result<()> {
    let all = config.raw_events == RawEvents::All;
    if !all {
        for (header, value) in filters(&config.instance) {
            let command = Command::filter(header, &value).map_err(|it| refused(CONNECT, it))?;
            server.order(command, CONNECT).await?;
        }
    }
    let events = |name: &&&str| config.presence || **name != "PRESENCE_IN";
    let names: Vec<_> = EVENTS.iter().filter(events).copied().collect();
    let command = if all {
        Command::event(Format::Json, &["ALL"], &[])
    } else {
        Command::event(Format::Json, &names, CUSTOM)
    };
    let command = command.map_err(|error| refused(CONNECT, error))?;
    server.order(command, CONNECT).await.map(drop)
}

/// One that fits lets an event in; one with a minus keeps it out, whatever else fits
/// (`event_handler` in `mod_event_socket.c`).
fn filters(instance: &str) -> Vec<(&'static str, String)> {
    let mut all = vec![(VARIABLE, instance.to_owned())];
    all.extend(ALWAYS.iter().map(|name| ("Event-Name", (*name).to_owned())));
    all.push(("Event-Subclass", MAINTENANCE.to_owned()));
    // Who came to us and was not decided on has no mark; it may give up.
    all.push(("variable_current_application", "park".to_owned()));
    all.push(("variable_current_application", "socket".to_owned()));
    all.extend(
        CHATTER
            .iter()
            .map(|action| ("Action", format!("-{action}"))),
    );
    all
}

/// [`MARK`] as events name it.
const VARIABLE: &str = "variable_faxbot_instance";
