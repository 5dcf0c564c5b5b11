//! `show channels` and `show calls` (recordings `04_call_control`,
//! `09_uuid_live_ended_unknown_duplicate`).

use crate::server::freeswitch::{
    channel::Channel,
    event::stamp,
    world::{HOST, World},
};

const USAGE: &str = "-USAGE: codec|endpoint|application|api|dialplan|file|timer|calls [count]|channels [count|like <match string>]|calls|detailed_calls|bridged_calls|detailed_bridged_calls|aliases|complete|chat|management|modules|nat_map|say|interfaces|interface_types|tasks|limits|status\n";

type Row = Vec<(&'static str, String)>;

pub(super) fn run(world: &World, args: &str) -> String {
    let mut words: Vec<&str> = args.split(' ').filter(|word| !word.is_empty()).collect();
    let form = match words.as_slice() {
        [.., "as", form] => Some((*form).to_owned()),
        _ => None,
    };
    if form.is_some() {
        words.truncate(words.len().saturating_sub(2));
    }
    let form = form.as_deref();
    match words.as_slice() {
        ["channels" | "calls", "count"] => {
            let count = world.lock().channels.len();
            if form == Some("json") {
                return format!("{{\"row_count\":{count},\"rows\":[]}}");
            }
            format!("\n{count} total.\n")
        }
        ["channels"] => table(&rows(world, |_| true), form),
        ["channels", "like", like] => table(&rows(world, |row| matches_like(row, like)), form),
        ["channels", "like", like, "count"] => {
            table(&rows(world, |row| matches_like(row, like)), form)
        }
        ["calls" | "detailed_calls"] => table(&rows(world, |_| true), form),
        ["bridged_calls" | "detailed_bridged_calls"] => {
            let bridged = world.lock();
            let ids: Vec<String> = bridged
                .channels
                .iter()
                .filter(|channel| channel.peer.is_some())
                .map(|channel| channel.id.clone())
                .collect();
            drop(bridged);
            table(
                &rows(world, |row| {
                    row.first().is_some_and(|(_, id)| ids.contains(id))
                }),
                form,
            )
        }
        ["registrations" | "tasks" | "limits" | "aliases" | "modules" | "interfaces"] => {
            table(&[], form)
        }
        _ => USAGE.to_owned(),
    }
}

/// `like` looks into uuid, name, caller and presence.
fn matches_like(row: &Row, like: &str) -> bool {
    let like = like.trim_matches('%');
    let looked = [
        "uuid",
        "name",
        "cid_name",
        "cid_num",
        "presence_data",
        "presence_id",
    ];
    row.iter()
        .any(|(name, value)| looked.contains(name) && value.contains(like))
}

fn rows(world: &World, wanted: impl Fn(&Row) -> bool) -> Vec<Row> {
    let state = world.lock();
    let rows = state.channels.iter().map(row);
    rows.filter(wanted).collect()
}

fn row(channel: &Channel) -> Row {
    let profile = &channel.profile;
    let created = channel.times.created;
    let text = |value: &str| value.to_owned();
    let codec = |value: &str| {
        if channel.media {
            value.to_owned()
        } else {
            String::new()
        }
    };
    let var = |name: &str| channel.vars.get(name).unwrap_or_default().to_owned();
    let direction = if channel.inbound {
        "inbound"
    } else {
        "outbound"
    };
    vec![
        ("uuid", channel.id.clone()),
        ("direction", text(direction)),
        ("created", created.map(stamp).unwrap_or_default()),
        (
            "created_epoch",
            created.map_or(0, |at| at.as_second()).to_string(),
        ),
        ("name", channel.name.clone()),
        ("state", text(channel.state.word())),
        ("cid_name", profile.name.clone()),
        ("cid_num", profile.number.clone()),
        (
            "ip_addr",
            if channel.inbound {
                profile.address.clone()
            } else {
                String::new()
            },
        ),
        ("dest", profile.destination.clone()),
        ("application", channel.application.clone()),
        ("application_data", channel.data.clone()),
        ("dialplan", profile.dialplan.clone()),
        ("context", profile.context.clone()),
        ("read_codec", codec("PCMU")),
        ("read_rate", codec("8000")),
        ("read_bit_rate", codec("64000")),
        ("write_codec", codec("PCMU")),
        ("write_rate", codec("8000")),
        ("write_bit_rate", codec("64000")),
        ("secure", String::new()),
        ("hostname", text(HOST)),
        ("presence_id", var("presence_id")),
        ("presence_data", var("presence_data")),
        ("accountcode", var("accountcode")),
        ("callstate", text(channel.callstate)),
        ("callee_name", profile.callee_name.clone()),
        ("callee_num", profile.callee_number.clone()),
        (
            "callee_direction",
            // It is turned round when it is answered.
            channel
                .vars
                .get("channel_cid_flipped")
                .map_or("", |_| "RECV")
                .to_owned(),
        ),
        ("call_uuid", var("call_uuid")),
        ("sent_callee_name", String::new()),
        ("sent_callee_num", String::new()),
        ("initial_cid_name", profile.orig_name.clone()),
        ("initial_cid_num", profile.orig_number.clone()),
        (
            "initial_ip_addr",
            if channel.inbound {
                profile.address.clone()
            } else {
                String::new()
            },
        ),
        ("initial_dest", channel.dialled.clone()),
        ("initial_dialplan", profile.dialplan.clone()),
        ("initial_context", profile.context.clone()),
    ]
}

fn table(rows: &[Row], form: Option<&str>) -> String {
    let count = rows.len();
    match form {
        Some("json") if rows.is_empty() => "{\"row_count\": 0}\n".to_owned(),
        Some("json") => {
            let quoted = |text: &str| serde_json::Value::from(text).to_string();
            let rows: Vec<String> = rows
                .iter()
                .map(|row| {
                    let cells: Vec<String> = row
                        .iter()
                        .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
                        .collect();
                    format!("{{{}}}", cells.join(","))
                })
                .collect();
            format!("{{\"row_count\":{count},\"rows\":[{}]}}", rows.join(","))
        }
        Some("xml") if rows.is_empty() => "<result row_count=\"0\"/>\n".to_owned(),
        _ => {
            let mut out = String::new();
            if let Some(first) = rows.first() {
                let names: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
                out.push_str(&names.join(","));
                out.push('\n');
            }
            for row in rows {
                let values: Vec<&str> = row.iter().map(|(_, value)| value.as_str()).collect();
                out.push_str(&values.join(","));
                out.push('\n');
            }
            out.push_str(&format!("\n{count} total.\n"));
            out
        }
    }
}
