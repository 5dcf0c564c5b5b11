//! `${...}` as the dialplan evaluates it, as far as the SDK writes it.

use faxbot_core::clock::Clock;

use super::{
    channel::{Channel, text},
    expression::evaluate,
    incoming,
    world::{State, World},
};

/// Deepest nesting of `${..}`.
const MAX_DEPTH: usize = 16;

/// Replaces every `${NAME}` and `${FUNCTION(arguments)}`, innermost first. What is unknown is
/// empty, as in Asterisk.
pub(super) fn substitute(world: &World, state: &State, id: &str, input: &str) -> String {
    expand(world, state, id, input, 0)
}

fn expand(world: &World, state: &State, id: &str, input: &str, depth: usize) -> String {
    let mut out = String::new();
    let mut rest = input;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(inner) = after.strip_prefix('[')
            && depth < MAX_DEPTH
            && let Some((inner, tail)) = close(inner, b'[', b']')
        {
            out.push_str(&evaluate(&expand(world, state, id, inner, depth + 1)));
            rest = tail;
            continue;
        }
        let Some(after) = after.strip_prefix('{') else {
            out.push('$');
            rest = after;
            continue;
        };
        let Some((inner, tail)) = close(after, b'{', b'}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        if depth < MAX_DEPTH {
            let name = expand(world, state, id, inner, depth + 1);
            out.push_str(&value(world, state, id, &name));
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Splits at the brace that closes the one before `text`.
fn close(text: &str, opens: u8, closes: u8) -> Option<(&str, &str)> {
    let mut open = 1_u32;
    for (at, byte) in text.bytes().enumerate() {
        if byte == opens {
            open += 1;
        } else if byte == closes {
            open -= 1;
        }
        if open == 0 {
            let (inner, tail) = text.split_at_checked(at)?;
            return Some((inner, tail.get(1..)?));
        }
    }
    None
}

/// The value of a variable, of a variable with `:offset:length`, or of a function.
pub(super) fn value(world: &World, state: &State, id: &str, name: &str) -> String {
    let channel = state.channel(id);
    if let Some((function, arguments)) = name.split_once('(') {
        // What stands behind the closing bracket is `:offset:length`.
        if let Some((arguments, cut)) = arguments.rsplit_once(')') {
            return slice(&call(world, state, channel, function, arguments), cut);
        }
    }
    let (name, cut) = name.split_at(name.find(':').unwrap_or(name.len()));
    let whole = match (name, channel) {
        ("EPOCH", _) => world.clock.timestamp().as_second().to_string(),
        ("ENTITYID", _) => world.entity.clone(),
        ("UNIQUEID", Some(channel)) => channel.id.clone(),
        ("CHANNEL", Some(channel)) => channel.name.clone(),
        ("EXTEN", Some(channel)) => channel.exten.clone(),
        ("CONTEXT", Some(channel)) => channel.context.clone(),
        ("PRIORITY", Some(channel)) => channel.priority.to_string(),
        ("HANGUPCAUSE", Some(channel)) => channel.cause.to_string(),
        _ => channel
            .and_then(|channel| channel.vars.get(name))
            .or_else(|| state.globals.get(name))
            .cloned()
            .unwrap_or_default(),
    };
    slice(&whole, cut)
}

/// `:offset:length`; a negative offset counts from the end, a negative length leaves off.
fn slice(whole: &str, cut: &str) -> String {
    let Some(cut) = cut.strip_prefix(':') else {
        return whole.to_owned();
    };
    let (offset, length) = cut.split_once(':').unwrap_or((cut, ""));
    let chars: Vec<char> = whole.chars().collect();
    let len = i64::try_from(chars.len()).unwrap_or(i64::MAX);
    let offset = offset.parse::<i64>().unwrap_or(0);
    let from = if offset < 0 {
        (len + offset).max(0)
    } else {
        offset.min(len)
    };
    let to = match length.parse::<i64>() {
        Ok(length) if length < 0 => (len + length).max(from),
        Ok(length) => from.saturating_add(length).min(len),
        Err(_) => len,
    };
    let index = |at: i64| usize::try_from(at).unwrap_or(0);
    chars
        .get(index(from)..index(to))
        .unwrap_or_default()
        .iter()
        .collect()
}

fn call(
    world: &World,
    state: &State,
    channel: Option<&Channel>,
    function: &str,
    arguments: &str,
) -> String {
    let paths = &world.config.paths;
    match (function, channel) {
        ("CHANNEL", Some(channel)) => match arguments {
            "uniqueid" => channel.id.clone(),
            "linkedid" => channel.linked.clone(),
            "name" => channel.name.clone(),
            "state" => if channel.state == 6 { "Up" } else { "Down" }.to_owned(),
            "accountcode" => channel.account.clone(),
            "language" => "en".to_owned(),
            _ => String::new(),
        },
        ("CALLERID", Some(channel)) => {
            let party = channel.caller.clone().unwrap_or_default();
            match arguments {
                "num" => party.number,
                "name" => party.name,
                "all" => format!("\"{}\" <{}>", party.name, party.number),
                _ => String::new(),
            }
        }
        ("PJSIP_HEADER", Some(channel)) => incoming::sip_header(state, &channel.id, arguments),
        ("PJSIP_HEADERS", Some(channel)) => incoming::sip_headers(state, &channel.id, arguments),
        ("FAXOPT", Some(channel)) => channel
            .fax_options
            .get(arguments)
            .cloned()
            .unwrap_or_default(),
        ("CDR", Some(channel)) => {
            let now = world.clock.timestamp();
            match arguments {
                "billsec" => channel
                    .answered
                    .map_or(0, |at| now.duration_since(at).as_secs())
                    .to_string(),
                "duration" => now.duration_since(channel.created).as_secs().to_string(),
                "src" => text(channel.caller.as_ref().map(|party| &party.number)),
                "disposition" => if channel.answered.is_some() {
                    "ANSWERED"
                } else {
                    "NO ANSWER"
                }
                .to_owned(),
                _ => String::new(),
            }
        }
        ("DB", _) => state
            .db
            .get(&format!("/{arguments}"))
            .cloned()
            .unwrap_or_default(),
        ("DB_EXISTS", _) => u8::from(state.db.contains_key(&format!("/{arguments}"))).to_string(),
        // In contexts that the mock was not told of every extension is there.
        ("VALID_EXTEN", _) => {
            let mut parts = arguments.splitn(3, ',');
            let mut part = || parts.next().unwrap_or_default();
            let (context, exten) = (part(), part());
            let priority = part().parse().unwrap_or(1);
            let plan = &state.dialplan;
            let there = plan.step(context, exten, priority).is_some();
            u8::from(there || !plan.knows(context)).to_string()
        }
        ("GLOBAL", _) => state.globals.get(arguments).cloned().unwrap_or_default(),
        ("LEN", _) => arguments.chars().count().to_string(),
        ("STAT", _) => {
            let Some((flag, path)) = arguments.split_once(',') else {
                return String::new();
            };
            let size = paths.size(path);
            match flag {
                "e" => u8::from(size.is_some()).to_string(),
                "f" => u8::from(size.is_some() && !paths.is_dir(path)).to_string(),
                "d" => u8::from(paths.is_dir(path)).to_string(),
                "s" => size.map(|size| size.to_string()).unwrap_or_default(),
                _ => String::new(),
            }
        }
        ("FILE", _) => {
            let mut parts = arguments.split(',');
            let path = parts.next().unwrap_or_default();
            let number = |part: Option<&str>| part.and_then(|text| text.trim().parse().ok());
            let offset: usize = number(parts.next()).unwrap_or(0);
            let length: usize = number(parts.next()).unwrap_or(usize::MAX);
            let bytes = paths.read(path).unwrap_or_default();
            let part: Vec<u8> = bytes.into_iter().skip(offset).take(length).collect();
            String::from_utf8_lossy(&part).into_owned()
        }
        _ => String::new(),
    }
}
