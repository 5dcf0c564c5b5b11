//! Which events the adapter asks the server for: a busy one sends thousands that nobody needs.
//!
//! The login says which classes are wanted, which any account may; a `Filter` leaves out single
//! events, which needs the right `system`. What comes all the same does no harm.

use faxbot_core::{ErrorKind, Result};

use super::{config::AsteriskConfig, request::action, server::Server};
use crate::{adapter::settings::RawEvents, protocol::ami::Message};

const OPERATION: &str = "connect";

/// Events that the adapter takes something from.
const NEEDED: &[&str] = &[
    "AsyncAGIEnd",
    "AsyncAGIExec",
    "AsyncAGIStart",
    "BridgeEnter",
    "BridgeLeave",
    "Cdr",
    "ConfbridgeEnd",
    "ConfbridgeJoin",
    "ConfbridgeLeave",
    "ConfbridgeMute",
    "ConfbridgeRecord",
    "ConfbridgeStart",
    "ConfbridgeStopRecord",
    "ConfbridgeTalking",
    "ConfbridgeUnmute",
    "DTMFEnd",
    "DialBegin",
    "DialEnd",
    "DialState",
    "FAXStatus",
    "FullyBooted",
    "Hangup",
    "HangupHandlerRun",
    "HangupRequest",
    "Hold",
    "MixMonitorStart",
    "MixMonitorStop",
    "Newchannel",
    "Newstate",
    "OriginateResponse",
    "ReceiveFAX",
    "Reload",
    "SendFAX",
    "Shutdown",
    "SoftHangupRequest",
    "Unhold",
    "UserEvent",
    "VarSet",
];

/// Those of devices and extensions.
const PRESENCE: &[&str] = &["DeviceStateChange", "ExtensionStatus"];

/// Events that say nothing to a user of calls and faxes. With the variables below they are more than
/// half of what a busy server sends (`docs/performance.md`).
const NOISE: &[&str] = &[
    "AGIExecEnd",
    "AGIExecStart",
    "ChallengeSent",
    "DTMFBegin",
    "HangupHandlerPop",
    "HangupHandlerPush",
    "LocalBridge",
    "LocalOptimizationBegin",
    "LocalOptimizationEnd",
    "MusicOnHoldStart",
    "MusicOnHoldStop",
    "NewCallerid",
    "NewConnectedLine",
    "Newexten",
    "RTCPReceived",
    "RTCPSent",
    "SuccessfulAuth",
    // Of class `reporting`, from builds with the test framework, as Debian's.
    "TestEvent",
];

/// Variables of which the adapter reads nothing: all but those of faxes (`FAX...`,
/// `REMOTESTATIONID`) and of `Dial` (`DIALSTATUS`). A pattern cannot say "but", so it says it by the
/// first two letters. The name of a caller may hold the word, and the header `ChanVariable` of
/// servers with `channelvars` ends with it: only at the start of a line it is the variable's.
const NOISY_VARIABLES: &str =
    "!^Event: VarSet.*[[:cntrl:]]Variable: ([^DFR]|D[^I]|F[^A]|FAXBOT|R[^E])";

/// What follows the name of an event; a pattern can hold no line end.
const END: &str = "[^A-Za-z]";

/// The classes of events to log in with.
pub(super) fn mask(config: &AsteriskConfig) -> &'static str {
    match config.raw_events {
        // Not `reporting`, `security` and their like.
        RawEvents::Off => "system,call,dialplan,user,agi,dtmf,cdr",
        RawEvents::All | RawEvents::Unknown => "on",
    }
}

/// The filters that a connection asks for.
fn filters(config: &AsteriskConfig) -> Vec<String> {
    let any = |names: &[&str]| format!("^Event: ({}){END}", names.join("|"));
    let mut filters = match config.raw_events {
        RawEvents::All => return Vec::new(),
        RawEvents::Unknown => vec![format!("!{}", any(NOISE))],
        // One that includes leaves out all others.
        RawEvents::Off if config.presence => vec![any(NEEDED), any(PRESENCE)],
        RawEvents::Off => vec![any(NEEDED)],
    };
    filters.push(NOISY_VARIABLES.to_owned());
    if config.raw_events == RawEvents::Unknown && !config.presence {
        filters.push(format!("!{}", any(PRESENCE)));
    }
    filters
}

/// Asks the server to leave out what is not needed on this connection. Without the right it goes on
/// with all.
pub(super) async fn ask(server: &Server, config: &AsteriskConfig) -> Result<()> {
    for filter in filters(config) {
        let headers = [("Operation", "Add"), ("Filter", filter.as_str())];
        match server
            .order(action("Filter", &headers, OPERATION)?, OPERATION)
            .await
        {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::Rejected | ErrorKind::ServerBusy
                ) =>
            {
                tracing::debug!(%error, "asterisk: the server sends all events");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether an event has a form of ours, or says nothing to a user of calls and faxes.
pub(super) fn is_understood(event: &Message) -> bool {
    if event.is_event("UserEvent") {
        return super::message::is_ours(event);
    }
    [NEEDED, PRESENCE, NOISE]
        .iter()
        .any(|names| is_one_of(event, names))
}

/// Whether an event is of a device or an extension.
pub(super) fn is_presence(event: &Message) -> bool {
    is_one_of(event, PRESENCE)
}

fn is_one_of(event: &Message, names: &[&str]) -> bool {
    let name = event.event().unwrap_or_default();
    names
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use super::*;
    use crate::protocol::ami::MAX_LINE;

    fn config(raw_events: RawEvents, presence: bool) -> AsteriskConfig {
        let mut config = AsteriskConfig::from_url("ami://a:b@pbx.example").unwrap();
        (config.raw_events, config.presence) = (raw_events, presence);
        config
    }

    #[test]
    fn raw_events_of_all_ask_for_no_filter() {
        assert!(filters(&config(RawEvents::All, false)).is_empty());
    }

    #[test]
    fn every_filter_fits_into_a_line() {
        for raw_events in [RawEvents::Unknown, RawEvents::Off] {
            for presence in [true, false] {
                for filter in filters(&config(raw_events, presence)) {
                    assert!("Filter: ".len() + filter.len() <= MAX_LINE);
                    assert!(action("Filter", &[("Filter", &filter)], OPERATION).is_ok());
                }
            }
        }
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let all = paths.map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        });
        all.flatten().collect()
    }

    /// Reads the adapter's own source for the names of events that it looks at.
    #[test]
    fn every_event_that_the_adapter_looks_at_is_asked_for() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/adapter/asterisk");
        let mut seen = 0;
        for path in files(&folder) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with("_tests.rs") || name == "diet.rs" {
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap();
            let quoted = |mark: &str| -> Vec<String> {
                let pieces = source.split(mark).skip(1);
                pieces
                    .map(|piece| piece.split('"').next().unwrap().to_owned())
                    .collect()
            };
            let mut looked_at = quoted("is_event(\"");
            let names = quoted("b\"").into_iter();
            looked_at.extend(names.filter(|name| {
                name.len() > 2 && name.bytes().all(|byte| byte.is_ascii_lowercase())
            }));
            for event in looked_at.iter().filter(|event| *event != "confbridge") {
                let known = [NEEDED, PRESENCE]
                    .concat()
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(event))
                    // Taken, and nothing is done with it.
                    || event.starts_with("musiconhold");
                assert!(known, "{name} looks at {event}, which is not asked for");
                seen += 1;
            }
        }
        assert!(seen > 30, "{seen}");
    }
}
