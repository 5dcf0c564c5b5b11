//! The actions that answer at once, in the words and header order of Asterisk 22.10
//! (recordings `02_queries`, `02_errors`, `05_*`, `06_fax_t38_ok`, `11_fax_outcome_read_back`).

mod agi;
mod bridge;
mod channels;
mod confbridge;
mod core;
mod dtmf;
mod fax;
mod filter;
mod message;
mod presence;
mod record;
mod redirect;
mod store;

use std::sync::Arc;

use faxbot_sip::protocol::ami::server::MessageBuilder;

use super::{
    SeenAction,
    account::Account,
    cli,
    connection::{Answer, error, response, unknown},
    world::World,
};

/// Runs an action that is known and allowed; `name` is in lower case.
pub(super) fn run(
    world: &Arc<World>,
    name: &str,
    action: &SeenAction,
    account: &Account,
) -> Answer {
    match name {
        // The server itself.
        "ping" => core::ping(world, action),
        "listcommands" => core::list_commands(world, action, account),
        "corestatus" => core::core_status(world, action),
        "coresettings" => core::core_settings(world, action),
        "modulecheck" => core::module_check(world, action),
        "reload" => core::reload(world, action),
        "userevent" => core::user_event(world, action),
        "command" => cli::command(world, action),
        // Channels, bridges, conferences.
        "hangup" => channels::hangup(world, action),
        "getvar" => channels::getvar(world, action),
        "setvar" => channels::setvar(world, action),
        "status" => channels::status(world, action),
        "coreshowchannels" => channels::show_channels(world, action),
        "redirect" => redirect::redirect(world, action),
        "absolutetimeout" => redirect::absolute_timeout(world, action),
        "bridge" => bridge::bridge(world, action),
        "bridgelist" => bridge::bridge_list(world, action),
        "bridgeinfo" => bridge::bridge_info(world, action),
        _ if name.starts_with("confbridge") => confbridge::run(world, name, action),
        // Incoming calls, recording, digits, messages, presence.
        "agi" => agi::agi(world, action),
        "playdtmf" => dtmf::play(world, action),
        "mixmonitor" => record::start(world, action),
        "stopmixmonitor" => record::stop(world, action),
        "mixmonitormute" => record::mute(world, action),
        "messagesend" => message::message_send(world, action),
        "filter" => filter::filter(world, action),
        "devicestatelist" => presence::device_state_list(world, action),
        "extensionstatelist" => presence::extension_state_list(world, action),
        "extensionstate" => presence::extension_state(world, action),
        // What is stored.
        "dbget" | "dbput" | "dbdel" | "dbdeltree" | "dbgettree" => {
            store::database(world, name, action)
        }
        "dialplanextensionadd" => store::extension_add(world, action),
        "dialplanextensionremove" => store::extension_remove(world, action),
        "showdialplan" => store::show_dialplan(world, action),
        // Fax.
        "faxsessions" => fax::fax_sessions(world, action),
        "faxsession" => fax::fax_session(world, action),
        "faxstats" => fax::fax_stats(world, action),
        "challenge" => error(action, "Must specify AuthType"),
        _ => unknown(action),
    }
}

/// A list: response, items, the end with its counts.
fn list(
    action: &SeenAction,
    (start_word, text): (&str, &str),
    items: Vec<MessageBuilder>,
    (complete, counts): (&str, &[&str]),
) -> Answer {
    let id = action.get("ActionID");
    let count = items.len().to_string();
    let mut messages = vec![
        response(action, "Success")
            .header("EventList", start_word)
            .header("Message", text),
    ];
    messages.extend(items);
    let mut end = MessageBuilder::event(complete)
        .maybe("ActionID", id)
        .header("EventList", "Complete")
        .header("ListItems", &count);
    for name in counts {
        end = end.header(name, &count);
    }
    messages.push(end);
    Answer {
        messages,
        fault: None,
        close: false,
    }
}

fn item(name: &str, action: &SeenAction) -> MessageBuilder {
    MessageBuilder::event(name).maybe("ActionID", action.get("ActionID"))
}

fn given<'a>(action: &'a SeenAction, name: &str) -> Option<&'a str> {
    action.get(name).filter(|value| !value.is_empty())
}
