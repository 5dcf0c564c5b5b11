//! `dlg.*`: the module `dialog`.

use faxbot_core::Timestamp;
use tokio::time::Instant;

use crate::server::{
    kamailio::{
        engine::Kamailio,
        events::EventForm,
        rpc::{Outcome, Refusal, SeenRpc, done},
    },
    pattern::Pattern,
    proxy::{Dialog, Endable, Stage, Target, Tree},
};

/// Longest life of a dialog in seconds: `default_timeout`.
const LIFETIME: i64 = 3600;

pub(super) fn run(
    server: &mut Kamailio,
    name: &str,
    request: &SeenRpc,
    now: Instant,
) -> Option<Outcome> {
    let form = server.setup.events;
    let world = &mut server.state.world;
    let wall = world.wall(now);
    let params = request.values();
    let text = |place: usize| request.text(place);
    Some(match name {
        "list" | "list_ctx" => {
            let all = world.listed();
            Ok(Tree::List(
                all.into_iter().map(|one| whole(one, wall, form)).collect(),
            ))
        }
        "dlg_list" | "dlg_list_ctx" => {
            let found = world.listed().into_iter().find(|dialog| {
                text(0) == Some(&dialog.call_id)
                    && text(1).is_none_or(|tag| {
                        tag == dialog.from_tag || Some(tag) == dialog.to_tag.as_deref()
                    })
            });
            found.map_or_else(done, |dialog| Ok(whole(dialog, wall, form)))
        }
        "list_match" | "list_match_ctx" => matching(server, request, wall),
        "briefing" => briefing(&world.listed(), text(0).unwrap_or("ftcFT")),
        "stats_active" => Ok(active(&world.listed())),
        "end_dlg" => {
            let (Some(entry), Some(id)) = (number(&params, 0), number(&params, 1)) else {
                return Some(Err(Refusal::parameters()));
            };
            let is_meant = |dialog: &Dialog| {
                i64::from(dialog.h_entry) == entry && i64::from(dialog.h_id) == id
            };
            ended(world.end(is_meant, now))
        }
        "terminate_dlg" => {
            let (Some(call_id), Some(from), Some(to)) = (text(0), text(1), text(2)) else {
                let why = "Need a Callid ,from tag ,to tag";
                return Some(Err(Refusal::new(400, why)));
            };
            let is_meant = |dialog: &Dialog| {
                dialog.call_id == call_id
                    && dialog.from_tag == from
                    && dialog.to_tag.as_deref().unwrap_or_default() == to
            };
            ended(world.end(is_meant, now))
        }
        "bridge_dlg" => {
            // Texts, and at least two (recording `ctd_bad_parameters`).
            let (Some(from), Some(to)) = (text(0), text(1)) else {
                return Some(Err(Refusal::parameters()));
            };
            world.connect(from, to, now);
            done()
        }
        "profile_get_size" => {
            let size = profiled(&world.listed(), text(0), text(1)).len();
            Ok(Tree::Int(i64::try_from(size).unwrap_or(i64::MAX)))
        }
        "profile_list" => {
            let all = world.listed();
            let all = profiled(&all, text(0), text(1));
            Ok(Tree::List(
                all.into_iter().map(|one| whole(one, wall, form)).collect(),
            ))
        }
        "is_alive" => {
            let known = world.listed().into_iter().any(|dialog| {
                text(0) == Some(&dialog.call_id)
                    && text(1) == Some(&dialog.from_tag)
                    && text(2) == dialog.to_tag.as_deref()
            });
            if known { done() } else { Err(not_found()) }
        }
        "set_state" => Err(Refusal::new(500, "Invalid state value")),
        _ => return None,
    })
}

fn not_found() -> Refusal {
    Refusal::new(404, "Dialog not found")
}

fn ended(outcome: Endable) -> Outcome {
    match outcome {
        Endable::Unknown => Err(not_found()),
        // On a ringing dialog the answer is the same, and the phone rings on.
        Endable::Ended | Endable::RingsOn | Endable::WasOver => done(),
    }
}

/// A number, also one in a text (`rpc_scan` with `d`).
fn number(params: &[&Tree], place: usize) -> Option<i64> {
    let value = params.get(place)?;
    value.int().or_else(|| value.text()?.parse().ok())
}

fn seconds(at: Option<Timestamp>) -> Tree {
    Tree::Int(at.map_or(0, Timestamp::as_second))
}

/// A dialog as `dlg.list` has it.
fn whole(dialog: &Dialog, now: Timestamp, form: EventForm) -> Tree {
    let over = dialog.stage == Stage::Over;
    let answered = dialog.answered_at;
    let timeout = match answered {
        Some(at) if !over => at.as_second() + LIFETIME,
        _ => 0,
    };
    // Flags of `dlg_hash.h`: what they say is in the state, too.
    let flags = match (answered, dialog.stage) {
        (None, _) => 1664,
        (_, Stage::Answered) => 1665,
        (_, Stage::Over) => 1671,
        _ => 1667,
    };
    let to_tag = answered.and(dialog.to_tag.clone());
    Tree::object([
        ("h_entry", dialog.h_entry.into()),
        ("h_id", dialog.h_id.into()),
        (
            "ref",
            Tree::Int(if over || answered.is_none() { 1 } else { 2 }),
        ),
        ("call-id", dialog.call_id.as_str().into()),
        ("from_uri", dialog.from_uri.as_str().into()),
        ("to_uri", dialog.to_uri.as_str().into()),
        ("state", Tree::Int(dialog.stage as i64)),
        ("start_ts", seconds(answered)),
        ("init_ts", Tree::Int(dialog.begun_at.as_second())),
        ("end_ts", seconds(dialog.ended_at)),
        ("duration", Tree::Int(dialog.duration(now))),
        ("timeout", Tree::Int(timeout)),
        ("lifetime", Tree::Int(LIFETIME)),
        ("dflags", Tree::Int(flags)),
        ("sflags", Tree::Int(0)),
        ("iflags", Tree::Int(0)),
        (
            "caller",
            party(Some(&dialog.from_tag), &dialog.caller_contact(), "10"),
        ),
        (
            "callee",
            party(to_tag.as_deref(), &dialog.callee_contact(), "0"),
        ),
        ("profiles", profiles(dialog)),
        ("variables", variables(dialog, form)),
    ])
}

fn party(tag: Option<&str>, contact: &str, cseq: &str) -> Tree {
    let known = |text: &str| match tag {
        Some(_) => Tree::from(text),
        None => Tree::Null,
    };
    Tree::object([
        ("tag", known(tag.unwrap_or_default())),
        ("contact", known(contact)),
        ("cseq", known(cseq)),
        ("route_set", known("")),
        ("socket", known("udp:127.0.0.1:5070")),
    ])
}

fn caller(dialog: &Dialog) -> String {
    Target::parse(&dialog.from_uri).map_or_else(String::new, |from| from.user)
}

/// `set_dlg_profile("caller", "$fU")` and `set_dlg_profile("inbound")` of the script.
fn profiles(dialog: &Dialog) -> Tree {
    if dialog.stage == Stage::Over {
        return Tree::List(Vec::new());
    }
    Tree::List(vec![
        Tree::object([("caller", Tree::from(caller(dialog)))]),
        "inbound".into(),
    ])
}

fn variables(dialog: &Dialog, form: EventForm) -> Tree {
    if dialog.stage == Stage::Over {
        return Tree::List(Vec::new());
    }
    let name = match form {
        EventForm::Recorded => "job",
        EventForm::Versioned => "faxbot_job",
    };
    let job = dialog.mark.as_deref().map(|mark| (name, mark));
    let all = job.into_iter().chain([("tenant", "acme")]);
    Tree::List(
        all.map(|(name, value)| Tree::object([(name, Tree::from(value))]))
            .collect(),
    )
}

fn profiled<'a>(all: &[&'a Dialog], profile: Option<&str>, value: Option<&str>) -> Vec<&'a Dialog> {
    let is_in = |dialog: &&Dialog| {
        dialog.stage != Stage::Over
            && match profile {
                Some("caller") => value.is_none_or(|value| value == caller(dialog)),
                Some("inbound") => true,
                _ => false,
            }
    };
    all.iter().copied().filter(is_in).collect()
}

fn briefing(all: &[&Dialog], wanted: &str) -> Outcome {
    let one = |dialog: &&Dialog| {
        let members = wanted.chars().filter_map(|letter| {
            Some(match letter {
                'f' => ("from_uri", dialog.from_uri.as_str()),
                't' => ("to_uri", dialog.to_uri.as_str()),
                'c' => ("call-id", dialog.call_id.as_str()),
                'F' => ("from_tag", dialog.from_tag.as_str()),
                // It is the caller's here, too (recording `end_dlg_briefing_and_refer`).
                'T' => ("to_tag", dialog.from_tag.as_str()),
                _ => return None,
            })
        });
        let handle = [
            ("h_entry", Tree::from(dialog.h_entry)),
            ("h_id", Tree::from(dialog.h_id)),
        ];
        let members = members.map(|(name, value)| (name, Tree::from(value)));
        Tree::object(handle.into_iter().chain(members))
    };
    Ok(Tree::List(all.iter().map(one).collect()))
}

fn active(all: &[&Dialog]) -> Tree {
    let count = |stage: Stage| all.iter().filter(|dialog| dialog.stage == stage).count();
    let stages = [
        ("starting", count(Stage::Begun)),
        ("connecting", count(Stage::Early)),
        ("answering", count(Stage::Answered)),
        ("ongoing", count(Stage::Up)),
    ];
    let total = stages.iter().map(|(_, count)| count).sum();
    let members = stages.into_iter().chain([("all", total)]);
    Tree::object(
        members.map(|(name, count)| (name, Tree::Int(i64::try_from(count).unwrap_or(i64::MAX)))),
    )
}

/// `dlg.list_match key operator value [limit]` (documentation of the module, `dlg.list_match`).
fn matching(server: &Kamailio, request: &SeenRpc, now: Timestamp) -> Outcome {
    let (Some(key), Some(operator), Some(value)) =
        (request.text(0), request.text(1), request.text(2))
    else {
        return Err(Refusal::parameters());
    };
    let limit = number(&request.values(), 3).and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let of = |dialog: &Dialog| -> Option<String> {
        Some(match key {
            "furi" => dialog.from_uri.clone(),
            "turi" => dialog.to_uri.clone(),
            "callid" => dialog.call_id.clone(),
            _ => return None,
        })
    };
    let pattern = Pattern::new(value);
    let fits = |found: &str| match operator {
        "eq" => found == value,
        "ne" => found != value,
        "sw" => found.starts_with(value),
        "re" => pattern
            .as_ref()
            .is_some_and(|pattern| pattern.is_match(found)),
        _ => false,
    };
    let all = server.state.world.listed();
    let found = all
        .into_iter()
        .filter(|dialog| of(dialog).is_some_and(|found| fits(&found)))
        .take(limit);
    Ok(Tree::List(
        found
            .map(|one| whole(one, now, server.setup.events))
            .collect(),
    ))
}
