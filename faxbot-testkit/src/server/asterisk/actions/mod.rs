//! The actions that answer at once, in the words and header order of Asterisk 22.10
//! (recordings `02_queries`, `02_errors`, `05_*`, `06_fax_t38_ok`, `11_fax_outcome_read_back`).

mod fax;
mod store;

use std::sync::Arc;

use faxbot_sip::protocol::ami::server::MessageBuilder;

use super::{
    account::{ACTIONS, Account},
    channel::{Signal, text},
    cli,
    connection::{Answer, error, response, success, unknown},
    dialplan::assign,
    record::SeenAction,
    substitute,
    world::{World, date_time},
};

/// Runs an action that is known and allowed; `name` is in lower case.
pub(super) fn run(
    world: &Arc<World>,
    name: &str,
    action: &SeenAction,
    account: &Account,
) -> Answer {
    match name {
        "ping" => {
            let micros = world.now().as_microsecond();
            let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
            let stamp = format!("{seconds}.{rest:06}");
            let reply = response(action, "Success").header("Ping", "Pong");
            Answer::one(reply.header("Timestamp", stamp))
        }
        "listcommands" => {
            let mut reply = response(action, "Success");
            for (known, rights, synopsis) in ACTIONS {
                if known.starts_with("FAX") && !world.config.fax {
                    continue;
                }
                if !(rights.is_empty() || account.write.any(rights)) {
                    continue;
                }
                let rights = if rights.is_empty() {
                    "<none>".into()
                } else {
                    rights.join(",") + ",all"
                };
                reply = reply.header(known, format!("{synopsis}  (Priv: {rights})"));
            }
            Answer::one(reply)
        }
        "hangup" => hangup(world, action),
        "redirect" => redirect(world, action),
        "absolutetimeout" => success(action, "Timeout Set"),
        "playdtmf" => success(action, "DTMF successfully queued"),
        "mixmonitor" | "stopmixmonitor" | "messagesend" => success(action, "Success"),
        "getvar" => getvar(world, action),
        "setvar" => setvar(world, action),
        "status" => status(world, action),
        "coreshowchannels" => show_channels(world, action),
        "corestatus" => core_status(world, action),
        "coresettings" => core_settings(world, action),
        "modulecheck" => module_check(world, action),
        "reload" => {
            let module = action.get("Module").unwrap_or_default();
            if module.is_empty() || module.starts_with("pbx_config") || module == "dialplan" {
                world.change(|state| state.dialplan.reload());
            }
            success(action, "Module Reloaded")
        }
        "command" => cli::command(world, action),
        "dbget" | "dbput" | "dbdel" | "dbdeltree" | "dbgettree" => {
            store::database(world, name, action)
        }
        "dialplanextensionadd" => store::extension_add(world, action),
        "dialplanextensionremove" => store::extension_remove(world, action),
        "showdialplan" => store::show_dialplan(world, action),
        "faxsessions" => fax::fax_sessions(world, action),
        "faxsession" => fax::fax_session(world, action),
        "faxstats" => fax::fax_stats(world, action),
        "userevent" => {
            let mut event = MessageBuilder::event("UserEvent").header("Privilege", "user,all");
            for (key, value) in &action.headers {
                if !key.eq_ignore_ascii_case("Action") {
                    event = event.header(key, value);
                }
            }
            world.change(|state| state.emit("user", event));
            success(action, "Event Sent")
        }
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

fn hangup(world: &World, action: &SeenAction) -> Answer {
    let Some(name) = given(action, "Channel") else {
        return error(action, "No channel specified");
    };
    let cause = given(action, "Cause").and_then(|text| text.parse().ok());
    // A cause that does not exist is ignored (FACTS 42).
    let cause = cause.filter(|cause| *cause < 128).unwrap_or(0);
    let state = world.lock();
    match state.find(name) {
        Some(channel) => {
            channel.signal.send_replace(Signal::Hangup { cause });
            success(action, "Channel Hungup")
        }
        None => error(action, "No such channel"),
    }
}

fn redirect(world: &World, action: &SeenAction) -> Answer {
    let Some(name) = given(action, "Channel") else {
        return error(action, "Channel not specified");
    };
    let Some(context) = given(action, "Context") else {
        return error(action, "Context not specified");
    };
    let Some(exten) = given(action, "Exten") else {
        return error(action, "Exten not specified");
    };
    let Some(priority) = given(action, "Priority") else {
        return error(action, "Priority not specified");
    };
    let state = world.lock();
    let Some(channel) = state.find(name) else {
        return error(action, &format!("Channel does not exist: {name}"));
    };
    channel.signal.send_replace(Signal::Redirect {
        context: context.to_owned(),
        exten: exten.to_owned(),
        priority: priority.parse().unwrap_or(1),
    });
    success(action, "Redirect successful")
}

fn getvar(world: &World, action: &SeenAction) -> Answer {
    let Some(variable) = given(action, "Variable") else {
        return error(action, "No variable specified");
    };
    let state = world.lock();
    let id = match given(action, "Channel") {
        Some(name) => match state.find(name) {
            Some(channel) => channel.id.clone(),
            None => return error(action, "No such channel"),
        },
        None => String::new(),
    };
    // Getvar itself may not look at files (FACTS 67).
    let value = if variable.starts_with("STAT(") || variable.starts_with("FILE(") {
        String::new()
    } else {
        substitute::value(world, &state, &id, variable)
    };
    Answer::one(
        response(action, "Success")
            .header("Variable", variable)
            .header("Value", value),
    )
}

fn setvar(world: &World, action: &SeenAction) -> Answer {
    let Some(variable) = given(action, "Variable") else {
        return error(action, "No variable specified");
    };
    let value = action.get("Value").unwrap_or_default();
    let Some(name) = given(action, "Channel") else {
        world.change(|state| state.globals.insert(variable.to_owned(), value.to_owned()));
        return success(action, "Variable Set");
    };
    let id = world.lock().find(name).map(|channel| channel.id.clone());
    let Some(id) = id else {
        return error(action, "No such channel");
    };
    if variable.starts_with("SHELL(") {
        return error(action, "Variable not set");
    }
    assign(world, &id, variable, value);
    success(action, "Variable Set")
}

fn show_channels(world: &World, action: &SeenAction) -> Answer {
    let now = world.now();
    let state = world.lock();
    let items = state.channels.iter().map(|channel| {
        let seconds = now.duration_since(channel.created).as_secs();
        let time = format!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        channel
            .snapshot(item("CoreShowChannel", action), "")
            .header("Application", &channel.application)
            .header("ApplicationData", &channel.data)
            .header("Duration", time)
            .header("BridgeId", "")
    });
    let items = items.collect();
    list(
        action,
        ("start", "Channels will follow"),
        items,
        ("CoreShowChannelsComplete", &[]),
    )
}

fn status(world: &World, action: &SeenAction) -> Answer {
    let now = world.now();
    let state = world.lock();
    let one = given(action, "Channel");
    if one.is_some_and(|name| state.find(name).is_none()) {
        return error(action, "No such channel");
    }
    let items = state
        .channels
        .iter()
        .filter(|channel| one.is_none_or(|one| channel.name == one || channel.id == one))
        .map(|channel| {
            let event = MessageBuilder::event("Status").header("Privilege", "Call");
            let kind = channel.name.split('/').next().unwrap_or_default();
            let party = channel.connected.as_ref();
            channel
                .snapshot(event, "")
                .header("Type", kind)
                .header("DNID", "")
                .header(
                    "EffectiveConnectedLineNum",
                    text(party.map(|party| &party.number)),
                )
                .header(
                    "EffectiveConnectedLineName",
                    text(party.map(|party| &party.name)),
                )
                .header("TimeToHangup", "0")
                .header("BridgeID", "")
                .header("Application", &channel.application)
                .header("Data", &channel.data)
                .header("Nativeformats", "(ulaw)")
                .header("Readformat", "ulaw")
                .header("Readtrans", "")
                .header("Writeformat", "ulaw")
                .header("Writetrans", "")
                .header("Callgroup", "0")
                .header("Pickupgroup", "0")
                .header(
                    "Seconds",
                    now.duration_since(channel.created).as_secs().to_string(),
                )
                .maybe("ActionID", action.get("ActionID"))
        })
        .collect();
    list(
        action,
        ("start", "Channel status will follow"),
        items,
        ("StatusComplete", &["Items"]),
    )
}

fn core_status(world: &World, action: &SeenAction) -> Answer {
    let state = world.lock();
    let started = date_time(state.started);
    let (date, time) = started.split_once(' ').unwrap_or((&started, ""));
    let time = time.split('.').next().unwrap_or(time);
    let reply = response(action, "Success")
        .header("CoreStartupDate", date)
        .header("CoreStartupTime", time)
        .header("CoreReloadDate", date)
        .header("CoreReloadTime", time)
        .header("CoreCurrentCalls", state.channels.len().to_string())
        .header("CoreProcessedCalls", state.processed.to_string());
    Answer::one(reply)
}

fn core_settings(world: &World, action: &SeenAction) -> Answer {
    let (ami, version) = if world.v16() {
        ("5.0.4", "16.28.0~dfsg-0+deb11u4")
    } else {
        ("11.0.0", "22.10.1")
    };
    let reply = response(action, "Success")
        .header("AMIversion", ami)
        .header("AsteriskVersion", version)
        .header("SystemName", "")
        .header("CoreMaxCalls", "0")
        .header("CoreMaxLoadAvg", "0.000000")
        .header("CoreRunUser", "")
        .header("CoreRunGroup", "")
        .header("CoreMaxFilehandles", "0")
        .header("CoreRealTimeEnabled", "No")
        .header("CoreCDRenabled", "Yes")
        .header("CoreHTTPenabled", "Yes");
    let reply = if world.v16() {
        reply
    } else {
        reply.header("SoundsSearchCustomDir", "No")
    };
    Answer::one(reply)
}

fn module_check(world: &World, action: &SeenAction) -> Answer {
    let module = action.get("Module").unwrap_or_default();
    let module = module.strip_suffix(".so").unwrap_or(module);
    let fax = ["res_fax", "res_fax_spandsp"].contains(&module) && world.config.fax;
    if fax
        || [
            "chan_pjsip",
            "pbx_config",
            "func_env",
            "func_db",
            "app_stack",
        ]
        .contains(&module)
    {
        return Answer::one(response(action, "Success").header("Version", ""));
    }
    error(action, "Module not loaded")
}
