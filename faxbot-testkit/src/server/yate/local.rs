//! `setlocal`: what a connection sets for itself, and what it may read of the engine (recording
//! `handshake`, `extmodule.cpp`).

use std::sync::Arc;

use bytes::Bytes;
use faxbot_sip::protocol::yate::server;

use super::world::{NODE, World};

/// Sets or reads a parameter. The answer, and the new size of the line buffer.
pub(super) fn set(
    world: &Arc<World>,
    number: u32,
    name: &str,
    value: &str,
    refused: bool,
) -> (Bytes, Option<usize>) {
    if refused {
        return (server::local(name, value, false), None);
    }
    world.change(|state| {
        let run_id = state.run_id.to_string();
        let Some(client) = state.clients.get_mut(&number) else {
            return (server::local(name, value, false), None);
        };
        let own = &mut client.own;
        let read_only = |found: Option<&str>| {
            let ok = value.is_empty() && found.is_some();
            (server::local(name, found.unwrap_or_default(), ok), None)
        };
        let truth = |old: bool| match value {
            "true" | "yes" | "on" | "enable" | "t" => true,
            "false" | "no" | "off" | "disable" | "f" => false,
            _ => old,
        };
        let said = |now: String| (server::local(name, &now, true), None);
        match name {
            "timeout" => {
                own.timeout = value.parse().unwrap_or(own.timeout);
                said(own.timeout.to_string())
            }
            "maxqueue" => {
                own.max_queue = value.parse().unwrap_or(own.max_queue).min(10_000);
                said(own.max_queue.to_string())
            }
            "selfwatch" => {
                own.selfwatch = truth(own.selfwatch);
                said(own.selfwatch.to_string())
            }
            "reenter" => {
                own.reenter = truth(own.reenter);
                said(own.reenter.to_string())
            }
            "bufsize" => {
                let old = own.locals.get("bufsize").and_then(|text| text.parse().ok());
                let old = old.unwrap_or(server::DEFAULT_BUFFER);
                let wanted = value.parse().unwrap_or(old);
                let size = wanted.clamp(server::MIN_BUFFER, server::MAX_BUFFER);
                own.locals.insert("bufsize".to_owned(), size.to_string());
                (server::local(name, &size.to_string(), true), Some(size))
            }
            "trackparam" | "reason" => {
                let kept = own.locals.entry(name.to_owned()).or_default();
                if !value.is_empty() || name == "reason" {
                    value.clone_into(kept);
                }
                let now = kept.clone();
                said(now)
            }
            "timebomb" | "setdata" | "settime" => {
                let default = name == "setdata";
                let old = own.locals.get(name).map_or(default, |text| text == "true");
                own.locals.insert(name.to_owned(), truth(old).to_string());
                said(truth(old).to_string())
            }
            // A connection that the engine did not start as a script is not restarted.
            "restart" => said("false".to_owned()),
            "engine.version" => read_only(Some("6.4.1")),
            "engine.release" => read_only(Some("devel1")),
            "engine.nodename" => read_only(Some(NODE)),
            "engine.runid" | "runid" => read_only(Some(&run_id)),
            _ => (server::local(name, value, false), None),
        }
    })
}
