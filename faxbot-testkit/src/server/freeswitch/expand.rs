//! `${...}` in arguments and hooks (`switch_channel_expand_variables_check` in
//! `switch_channel.c`; recording `09_hook_quoting`).

use super::{channel::Channel, world::State};

/// Expands the variables of a channel. What is not set is nothing, `\${` is a plain `${`.
pub(super) fn expand(state: &State, id: &str, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if let Some(plain) = before.strip_suffix('\\') {
            out.push_str(plain);
            out.push_str("${");
            rest = from.get(2..).unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let Some(end) = from.find('}') else {
            out.push_str(from);
            return out;
        };
        let name = from.get(2..end).unwrap_or_default();
        out.push_str(&value(state, id, name).unwrap_or_default());
        rest = from.get(end + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// A variable, a field of the caller profile, or a global variable.
pub(super) fn value(state: &State, id: &str, name: &str) -> Option<String> {
    let channel = state.channels.get(id);
    let own = channel.and_then(|channel| channel.vars.get(name).map(str::to_owned));
    own.or_else(|| channel.and_then(|channel| field(channel, name)))
        .or_else(|| state.globals.get(name).cloned())
        .filter(|value| !value.is_empty())
}

fn field(channel: &Channel, name: &str) -> Option<String> {
    let profile = &channel.profile;
    let text = match name {
        "uuid" => &channel.id,
        "channel_name" => &channel.name,
        "caller_id_name" => &profile.name,
        "caller_id_number" => &profile.number,
        "callee_id_name" => &profile.callee_name,
        "callee_id_number" => &profile.callee_number,
        "destination_number" => &profile.destination,
        "network_addr" => &profile.address,
        "ani" => &profile.ani,
        "rdnis" => &profile.rdnis,
        "context" => &profile.context,
        "dialplan" => &profile.dialplan,
        "username" => &profile.username,
        "source" => &profile.source,
        "state" => return Some(channel.state.word().to_owned()),
        _ => return None,
    };
    Some(text.clone())
}
