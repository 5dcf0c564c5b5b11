//! What the server says about itself.

use faxbot_sip::protocol::ami::server::MessageBuilder;

use super::super::{
    SeenAction,
    account::{ACTIONS, Account},
    connection::{Answer, error, response, success},
    world::{World, date_time},
};

pub(super) fn ping(world: &World, action: &SeenAction) -> Answer {
    let micros = world.now().as_microsecond();
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let stamp = format!("{seconds}.{rest:06}");
    let reply = response(action, "Success").header("Ping", "Pong");
    Answer::one(reply.header("Timestamp", stamp))
}

pub(super) fn list_commands(world: &World, action: &SeenAction, account: &Account) -> Answer {
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

pub(super) fn reload(world: &World, action: &SeenAction) -> Answer {
    let module = action.get("Module").unwrap_or_default();
    if module.is_empty() || module.starts_with("pbx_config") || module == "dialplan" {
        world.change(|state| state.dialplan.reload());
    }
    success(action, "Module Reloaded")
}

pub(super) fn user_event(world: &World, action: &SeenAction) -> Answer {
    let mut event = MessageBuilder::event("UserEvent").header("Privilege", "user,all");
    for (key, value) in &action.headers {
        if !key.eq_ignore_ascii_case("Action") {
            event = event.header(key, value);
        }
    }
    world.change(|state| state.emit("user", event));
    success(action, "Event Sent")
}

pub(super) fn core_status(world: &World, action: &SeenAction) -> Answer {
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

pub(super) fn core_settings(world: &World, action: &SeenAction) -> Answer {
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

pub(super) fn module_check(world: &World, action: &SeenAction) -> Answer {
    let module = action.get("Module").unwrap_or_default();
    let module = module.strip_suffix(".so").unwrap_or(module);
    if module == "cdr_manager" && world.config.cdr {
        return Answer::one(response(action, "Success").header("Version", ""));
    }
    let fax = ["res_fax", "res_fax_spandsp"].contains(&module) && world.config.fax;
    if fax
        || [
            "chan_pjsip",
            "pbx_config",
            "res_pjsip_header_funcs",
            "func_env",
            "func_db",
            "app_stack",
            "res_musiconhold",
        ]
        .contains(&module)
    {
        return Answer::one(response(action, "Success").header("Version", ""));
    }
    error(action, "Module not loaded")
}
