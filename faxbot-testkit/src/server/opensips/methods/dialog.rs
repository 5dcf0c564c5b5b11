//! `dlg_*` and `profile_*`: the module `dialog` (recordings `02_*`).

use std::time::Duration;

use tokio::time::Instant;

use crate::server::{
    opensips::{
        engine::OpenSips,
        events::{db_id_of, id_of},
        mi::{self, Outcome, Refusal, SeenMi, done},
        time::stamp,
        which::Release,
    },
    proxy::{By, Dialog, Stage, Target, Tree},
};

/// Longest life of a dialog in seconds: `default_timeout`.
const LIFETIME: Duration = Duration::from_secs(3600);

/// The profiles, and whether they have values.
const PROFILES: &[(&str, bool)] = &[
    ("all", false),
    ("fax", false),
    ("caller", true),
    ("trunk", true),
];

pub(super) fn run(
    server: &mut OpenSips,
    name: &str,
    request: &SeenMi,
    now: Instant,
) -> Option<Outcome> {
    Some(match name {
        "dlg_list" => list(server, request, false),
        "dlg_list_ctx" => list(server, request, true),
        "dlg_end_dlg" => mi::text(request, "dialog_id").and_then(|id| end(server, &id, now)),
        "dlg_push_var" => push(request),
        "dlg_set_profile" | "dlg_unset_profile" => {
            Err(Refusal::server("Failed to handle parameter"))
        }
        "dlg_db_sync" => Err(Refusal::new(400, "Cannot sync in no-db mode")),
        "dlg_restore_db" => Err(Refusal::new(400, "Cannot restore db in no-db mode!")),
        "dlg_cluster_sync" => Err(Refusal::new(400, "Dialog replication disabled")),
        "list_all_profiles" => {
            let all = PROFILES.iter().map(|(name, has_value)| {
                Tree::object([
                    ("name", Tree::from(*name)),
                    ("has value", Tree::Bool(*has_value)),
                ])
            });
            Ok(Tree::object([("Profiles", Tree::List(all.collect()))]))
        }
        "profile_get_size" | "profile_get_values" | "profile_list_dlgs" | "profile_end_dlgs" => {
            profile(server, name, request, now)
        }
        _ => return None,
    })
}

fn list(server: &OpenSips, request: &SeenMi, context: bool) -> Outcome {
    let all = server.state.world.listed();
    let one = |dialog: &&Dialog| whole(server, dialog, context);
    if let Some(call_id) = mi::maybe_text(request, "callid")? {
        let tag = mi::maybe_text(request, "from_tag")?;
        let found = all.iter().find(|dialog| {
            dialog.call_id == call_id
                && tag.as_ref().is_none_or(|tag| *tag == dialog.from_tag)
                && dialog.stage != Stage::Over
        });
        return match found {
            Some(dialog) => Ok(Tree::object([("Dialog", one(dialog))])),
            None => Err(Refusal::new(404, "No such dialog")),
        };
    }
    let index = mi::number(request, "index")?;
    let counter = mi::number(request, "counter")?;
    let count = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let (Some(index), Some(counter)) = (index, counter.filter(|counter| *counter != 0)) else {
        let all = all.iter().map(one).collect();
        return Ok(Tree::object([("Dialogs", Tree::List(all))]));
    };
    // An index before the begin is past the end.
    let skipped = usize::try_from(index).unwrap_or(usize::MAX);
    let most = usize::try_from(counter).unwrap_or(usize::MAX);
    let page = all.iter().skip(skipped).take(most).map(one);
    Ok(Tree::object([
        ("count", Tree::Int(count)),
        ("Dialogs", Tree::List(page.collect())),
    ]))
}

fn sdp(port: u16) -> Tree {
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\n"
    );
    text.into()
}

/// A dialog as the lists have it.
fn whole(server: &OpenSips, dialog: &Dialog, context: bool) -> Tree {
    let over = dialog.stage == Stage::Over;
    let answered = dialog.answered_at;
    let begun = answered.map(|_| dialog.begun_at);
    let ends = begun.filter(|_| !over).map(|begun| begun + LIFETIME);
    let flags = match server.setup.release {
        Release::V3_2 => Tree::Int(0),
        Release::V3_4 | Release::V3_6 => "".into(),
    };
    let seconds = |at: Option<faxbot_core::Timestamp>| {
        Tree::Int(at.map_or(0, faxbot_core::Timestamp::as_second))
    };
    let socket = || Some(Tree::from("udp:127.0.0.1:25060"));
    let rang = dialog.stage >= Stage::Early;
    let callee = [
        (
            "callee_tag",
            Some(Tree::from(if rang {
                dialog.callee_tag()
            } else {
                String::new()
            })),
        ),
        (
            "callee_contact",
            Some(
                answered
                    .map_or_else(String::new, |_| dialog.callee_contact())
                    .into(),
            ),
        ),
        ("caller_cseq", Some("1".into())),
        ("callee_route_set", Some("".into())),
        ("callee_bind_addr", socket()),
        ("callee_sdp", answered.map(|_| sdp(35_080))),
    ];
    let object = |members: Vec<(&'static str, Option<Tree>)>| {
        Tree::object(
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        )
    };
    let callees = if rang {
        vec![object(callee.into())]
    } else {
        Vec::new()
    };
    object(vec![
        ("ID", Some(id_of(dialog).into())),
        ("db_id", Some(db_id_of(dialog).into())),
        ("state", Some(Tree::Int(dialog.stage as i64))),
        ("user_flags", Some(flags)),
        ("timestart", Some(seconds(begun))),
        ("datestart", begun.map(|at| stamp(at).into())),
        ("timeout", Some(seconds(ends))),
        ("dateout", ends.map(|at| stamp(at).into())),
        ("callid", Some(dialog.call_id.as_str().into())),
        ("from_uri", Some(dialog.from_uri.as_str().into())),
        ("to_uri", Some(dialog.to_uri.as_str().into())),
        ("caller_tag", Some(dialog.from_tag.as_str().into())),
        ("caller_contact", Some(dialog.caller_contact().into())),
        ("callee_cseq", Some("0".into())),
        ("caller_route_set", Some("".into())),
        ("caller_bind_addr", socket()),
        ("caller_sdp", Some(sdp(35_070))),
        ("CALLEES", Some(Tree::List(callees))),
        ("context", context.then(|| context_of(dialog))),
    ])
}

fn context_of(dialog: &Dialog) -> Tree {
    let job = dialog
        .mark
        .as_deref()
        .map(|mark| Tree::object([("job", Tree::from(mark))]));
    let record = Tree::object([("accX_core", Tree::from("\\x06\\x00INVITE"))]);
    let values = std::iter::once(record).chain(job);
    let profiles = [
        Tree::object([("caller", Tree::from(caller(dialog)))]),
        Tree::object([("all", Tree::from(""))]),
    ];
    Tree::object([
        ("values", Tree::List(values.collect())),
        ("profiles", Tree::List(profiles.into())),
    ])
}

fn caller(dialog: &Dialog) -> String {
    Target::parse(&dialog.from_uri).map_or_else(String::new, |from| from.user)
}

/// BYE to both, or CANCEL, for an id or a Call-ID.
fn end(server: &mut OpenSips, id: &str, now: Instant) -> Outcome {
    let all = server.state.world.listed().into_iter();
    let mut alive = all.filter(|dialog| dialog.stage != Stage::Over);
    let found =
        alive.find(|dialog| dialog.call_id == id || id_of(dialog) == id || db_id_of(dialog) == id);
    let call_id = found.map(|dialog| dialog.call_id.clone());
    let Some(call_id) = call_id else {
        return Err(Refusal::new(404, "Requested Dialog not found"));
    };
    // Nothing in the events tells who ended it.
    let _known = server.state.world.hangs_up(&call_id, By::Caller, now);
    done()
}

fn push(request: &SeenMi) -> Outcome {
    let _name = mi::text(request, "dlg_val_name")?;
    let _value = mi::text(request, "dlg_val_value")?;
    // It is OK when there is no such dialog, too.
    let _ids = mi::texts(request, "DID")?;
    done()
}

/// The dialogs in a profile. `None`: there is no such profile.
fn profiled<'a>(
    server: &'a OpenSips,
    profile: &str,
    value: Option<&str>,
) -> Option<Vec<&'a Dialog>> {
    PROFILES.iter().find(|(name, _)| *name == profile)?;
    let is_in = |dialog: &&Dialog| {
        dialog.stage != Stage::Over
            && match profile {
                "caller" => value.is_none_or(|value| value == caller(dialog)),
                "all" => true,
                _ => false,
            }
    };
    Some(
        server
            .state
            .world
            .listed()
            .into_iter()
            .filter(is_in)
            .collect(),
    )
}

fn profile(server: &mut OpenSips, name: &str, request: &SeenMi, now: Instant) -> Outcome {
    let profile = mi::text(request, "profile")?;
    let value = mi::maybe_text(request, "value")?;
    let Some(found) = profiled(server, &profile, value.as_deref()) else {
        return Err(Refusal::new(404, "Profile not found"));
    };
    let count = |count: usize| Tree::Int(i64::try_from(count).unwrap_or(i64::MAX));
    match name {
        "profile_get_size" => {
            let size = Tree::object([
                ("name", Tree::from(profile)),
                ("value", value.into()),
                ("count", count(found.len())),
                ("shared", "no".into()),
                ("replicated", "no".into()),
            ]);
            Ok(Tree::object([("Profile", size)]))
        }
        "profile_get_values" => {
            let mut values: Vec<(Option<String>, usize)> = Vec::new();
            for dialog in found {
                let value = (profile == "caller").then(|| caller(dialog));
                match values.iter_mut().find(|(other, _)| *other == value) {
                    Some((_, count)) => *count += 1,
                    None => values.push((value, 1)),
                }
            }
            let all = values.into_iter().map(|(value, times)| {
                Tree::object([("value", Tree::from(value)), ("count", count(times))])
            });
            Ok(Tree::List(all.collect()))
        }
        "profile_list_dlgs" => {
            let all = found.into_iter().map(|dialog| whole(server, dialog, false));
            Ok(Tree::object([("Dialogs", Tree::List(all.collect()))]))
        }
        _ => {
            let ids: Vec<String> = found
                .into_iter()
                .map(|dialog| dialog.call_id.clone())
                .collect();
            for id in ids {
                let _ended = end(server, &id, now);
            }
            done()
        }
    }
}

/// `dlg_send_sequential`: answered when the party has answered.
pub(super) fn sequential(server: &OpenSips, request: &SeenMi) -> (Outcome, Duration) {
    let found = mi::text(request, "callid").map(|call_id| {
        let mut all = server.state.world.listed().into_iter();
        all.any(|dialog| dialog.call_id == call_id && dialog.stage != Stage::Over)
    });
    let mode = request.text("mode");
    let mode = mode.as_deref().unwrap_or("challenge");
    match found {
        Err(refusal) => (Err(refusal), Duration::ZERO),
        Ok(false) => (Err(Refusal::new(404, "Dialog Not Found")), Duration::ZERO),
        Ok(true)
            if !matches!(
                mode,
                "caller"
                    | "callee"
                    | "both"
                    | "challenge"
                    | "challenge-caller"
                    | "challenge-callee"
            ) =>
        {
            (Err(Refusal::new(400, "Invalid mode")), Duration::ZERO)
        }
        Ok(true) => {
            let answer = Tree::object([("Code", Tree::Int(200)), ("Reason", "OK".into())]);
            (Ok(answer), server.setup.timings.setup)
        }
    }
}
