//! The actions that answer at once, in the words and header order of Asterisk 22.10
//! (recordings `02_queries`, `02_errors`, `05_*`, `06_fax_t38_ok`, `11_fax_outcome_read_back`).

use std::sync::Arc;

use faxbot_sip::protocol::ami::server::MessageBuilder;

use super::{
    account::{ACTIONS, Account},
    channel::{Signal, text},
    cli,
    connection::{Answer, error, response, success},
    dialplan::{Step, assign},
    record::SeenAction,
    substitute,
    world::{FaxSession, State, World, date_time},
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
                let fax = known.starts_with("FAX") && !world.config.fax;
                if fax || known == "EventMask" || !(rights.is_empty() || account.write.any(rights))
                {
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
        "dbget" | "dbput" | "dbdel" | "dbdeltree" | "dbgettree" => database(world, name, action),
        "dialplanextensionadd" => extension_add(world, action),
        "dialplanextensionremove" => extension_remove(world, action),
        "showdialplan" => show_dialplan(world, action),
        "faxsessions" => fax_sessions(world, action),
        "faxsession" => fax_session(world, action),
        "faxstats" => fax_stats(world, action),
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
        _ => error(action, "Invalid/unknown command"),
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
        ("5.0.6", "16.28.0~dfsg-0+deb11u6")
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

fn database(world: &World, name: &str, action: &SeenAction) -> Answer {
    let family = given(action, "Family");
    let key = given(action, "Key");
    let value = action.get("Val").unwrap_or_default();
    let tree = name.ends_with("tree");
    let Some(family) = family.or(tree.then_some("")) else {
        return error(action, "No family specified.");
    };
    let Some(key) = key.or(tree.then_some("")) else {
        return error(action, "No key specified.");
    };
    let path = match (family, key) {
        ("", "") => String::new(),
        (family, "") => format!("/{family}"),
        (family, key) => format!("/{family}/{key}"),
    };
    let under = |entry: &str| entry == path || entry.starts_with(&format!("{path}/"));
    match name {
        "dbput" => {
            world.change(|state| state.db.insert(path.clone(), value.to_owned()));
            success(action, "Updated database successfully")
        }
        "dbdel" => match world.change(|state| state.db.remove(&path)) {
            Some(_) => success(action, "Key deleted successfully"),
            None => error(action, "Database entry not found"),
        },
        "dbdeltree" => {
            let before = world.lock().db.len();
            let after = world.change(|state| {
                state.db.retain(|entry, _| !under(entry));
                state.db.len()
            });
            if before == after {
                return error(action, "Database entry not found");
            }
            success(action, "Key tree deleted successfully")
        }
        "dbget" => {
            let Some(value) = world.lock().db.get(&path).cloned() else {
                return error(action, "Database entry not found");
            };
            let entry = MessageBuilder::event("DBGetResponse")
                .header("Family", family)
                .header("Key", key)
                .header("Val", value)
                .maybe("ActionID", action.get("ActionID"));
            list(
                action,
                ("start", "Result will follow"),
                vec![entry],
                ("DBGetComplete", &[]),
            )
        }
        _ => {
            let state = world.lock();
            let items = state
                .db
                .iter()
                .filter(|(entry, _)| under(entry))
                .map(|(entry, value)| {
                    MessageBuilder::event("DBGetTreeResponse")
                        .header("Key", entry)
                        .header("Val", value)
                        .maybe("ActionID", action.get("ActionID"))
                })
                .collect();
            list(
                action,
                ("start", "Result will follow"),
                items,
                ("DBGetTreeComplete", &[]),
            )
        }
    }
}

fn extension_add(world: &World, action: &SeenAction) -> Answer {
    let wanted = ["Context", "Extension", "Priority", "Application"];
    let values: Vec<_> = wanted
        .iter()
        .filter_map(|name| given(action, name))
        .collect();
    let [context, exten, priority, application] = values.as_slice() else {
        return error(
            action,
            "Context, Extension, Priority, and Application must be defined for \
             DialplanExtensionAdd.",
        );
    };
    let Ok(priority) = priority.parse() else {
        return error(action, "The priority specified was invalid.");
    };
    let replace = given(action, "Replace").is_some_and(|text| {
        matches!(
            text.to_ascii_lowercase().as_str(),
            "yes" | "true" | "1" | "on" | "y" | "t"
        )
    });
    let step = Step {
        application: (*application).to_owned(),
        data: action.get("ApplicationData").unwrap_or_default().to_owned(),
        run_time: true,
    };
    if world.change(|state| state.dialplan.add(context, exten, priority, step, replace)) {
        success(action, "Added requested extension")
    } else {
        error(
            action,
            "That extension and priority already exist at that context.",
        )
    }
}

fn extension_remove(world: &World, action: &SeenAction) -> Answer {
    let (Some(context), Some(exten)) = (given(action, "Context"), given(action, "Extension"))
    else {
        let why = "Context and Extension must be provided for DialplanExtensionRemove";
        return error(action, why);
    };
    let priority = given(action, "Priority").and_then(|text| text.parse().ok());
    if world.change(|state| state.dialplan.remove(context, exten, priority)) {
        success(action, "Removed the requested extension")
    } else {
        error(action, "The requested extension did not exist.")
    }
}

fn show_dialplan(world: &World, action: &SeenAction) -> Answer {
    let context = given(action, "Context");
    let exten = given(action, "Extension");
    let state = world.lock();
    let mut steps = state.dialplan.list(context);
    if let (true, Some(context)) = (steps.is_empty(), context) {
        return error(action, &format!("Did not find context {context}"));
    }
    steps.retain(|(_, at, ..)| exten.is_none_or(|exten| exten == *at));
    if let (true, Some(exten)) = (steps.is_empty(), exten) {
        let place = context
            .map(|context| format!("@{context}"))
            .unwrap_or_default();
        return error(action, &format!("Did not find extension {exten}{place}"));
    }
    let count = steps.len().to_string();
    let items = steps.into_iter().map(|(context, exten, priority, step)| {
        item("ListDialplan", action)
            .header("Context", context)
            .header("Extension", exten)
            .header("Priority", priority.to_string())
            .header("Application", &step.application)
            .header("AppData", &step.data)
            .header(
                "Registrar",
                if step.run_time {
                    "manager"
                } else {
                    "pbx_config"
                },
            )
    });
    let mut answer = list(
        action,
        ("start", "DialPlan list will follow"),
        items.collect(),
        ("ShowDialPlanComplete", &[]),
    );
    if let Some(end) = answer.messages.pop() {
        let end = end
            .header("ListExtensions", &count)
            .header("ListPriorities", &count)
            .header("ListContexts", "1");
        answer.messages.push(end);
    }
    answer
}

fn fax_sessions(world: &World, action: &SeenAction) -> Answer {
    let state = world.lock();
    let items = state.fax.iter().map(|(number, session)| {
        item("FAXSessionsEntry", action)
            .header("Channel", channel_name(&state, session))
            .header("Technology", "Spandsp")
            .header("SessionNumber", number.to_string())
            .header("SessionType", if session.t38 { "T.38" } else { "G.711" })
            .header("Operation", "send")
            .header("State", "Active")
            .header("Files", &session.file)
    });
    list(
        action,
        // With a capital here (FACTS 22).
        ("Start", "FAXSessionsEntry event list will follow"),
        items.collect(),
        ("FAXSessionsComplete", &["Total"]),
    )
}

fn channel_name<'a>(state: &'a State, session: &FaxSession) -> &'a str {
    state
        .channel(&session.channel)
        .map_or("", |channel| channel.name.as_str())
}

fn fax_session(world: &World, action: &SeenAction) -> Answer {
    let number = given(action, "SessionNumber").and_then(|text| text.parse::<u32>().ok());
    let state = world.lock();
    let Some((number, session)) = number.and_then(|n| state.fax.get_key_value(&n)) else {
        return error(action, "Session not found");
    };
    let event = item("FAXSession", action)
        .header("SessionNumber", number.to_string())
        .header("Operation", "send")
        .header("State", "Active")
        .header(
            "ErrorCorrectionMode",
            if session.ecm { "Yes" } else { "No" },
        )
        .header("DataRate", session.rate.to_string())
        .header("ImageResolution", session.resolution)
        .header("PageNumber", session.page.to_string())
        .header("FileName", &session.file)
        .header("PagesTransmitted", session.transmitted.to_string())
        .header("PagesReceived", "0")
        .header("TotalBadLines", "0");
    let mut answer = success(action, "FAXSession event will follow");
    answer.messages.push(event);
    answer
}

fn fax_stats(world: &World, action: &SeenAction) -> Answer {
    let state = world.lock();
    let counters = &state.fax_counters;
    let event = item("FAXStats", action)
        .header("CurrentSessions", state.fax.len().to_string())
        .header("ReservedSessions", "0")
        .header("TransmitAttempts", counters.attempts.to_string())
        .header("ReceiveAttempts", "0")
        .header("CompletedFAXes", counters.completed.to_string())
        .header("FailedFAXes", counters.failed.to_string());
    let mut answer = success(action, "FAXStats event will follow");
    answer.messages.push(event);
    answer
}
