//! What the server tells of calls (recordings `03_events_*` of OpenSIPS).

use tokio::time::Instant;

use super::engine::OpenSips;
use crate::server::proxy::{Dialog, Happening, Stage, Tree, reason};

/// Hexadecimal with the digits in reverse, as the server writes numbers of dialogs.
fn reversed(number: u32) -> String {
    format!("{number:x}").chars().rev().collect()
}

/// The name of a dialog.
pub(super) fn id_of(dialog: &Dialog) -> String {
    format!("{}.{}", reversed(dialog.h_entry), reversed(dialog.h_id))
}

/// Its other name.
pub(super) fn db_id_of(dialog: &Dialog) -> String {
    let number = (u64::from(dialog.h_entry) << 32) + u64::from(dialog.h_id);
    number.to_string()
}

/// Something that is told to whoever subscribed.
pub(super) struct Event {
    name: &'static str,
    params: Tree,
}

impl Event {
    pub(super) fn new(
        name: &'static str,
        params: impl IntoIterator<Item = (&'static str, Tree)>,
    ) -> Self {
        Self {
            name,
            params: Tree::object(params),
        }
    }

    pub(super) fn tell(self, server: &mut OpenSips, at: Instant) {
        server.tell(self.name, Some(self.params), at);
    }
}

/// What is told of it, in its order. A dialog that the server forgot tells nothing.
pub(super) fn of(server: &mut OpenSips, happening: &Happening, at: Instant) -> Vec<Event> {
    match happening {
        Happening::Began(dialog) => {
            server
                .state
                .stages
                .insert(dialog.call_id.clone(), Stage::Begun);
            Vec::new()
        }
        Happening::Progress { dialog, .. }
        | Happening::Confirmed(dialog)
        | Happening::Acknowledged(dialog) => moved(server, dialog).into_iter().collect(),
        Happening::Refused {
            dialog,
            status,
            timed_out,
        } => {
            // Refused by the server's own script: nothing rang.
            let own =
                *status == 404 && server.state.stages.get(&dialog.call_id) == Some(&Stage::Begun);
            let reached =
                !(*timed_out && server.state.stages.get(&dialog.call_id) == Some(&Stage::Begun));
            let Some(moved) = refused(server, dialog, reached && !own) else {
                return Vec::new();
            };
            let missed = server
                .setup
                .accounting
                .then(|| missed(server, dialog, *status, reached && !own, at));
            let mut all: Vec<Event> = missed.into_iter().collect();
            // What the script refuses itself is accounted for afterwards.
            all.insert(if own { 0 } else { all.len() }, moved);
            all
        }
        Happening::Ended { dialog, .. } => {
            let moved = moved(server, dialog);
            let told = moved.is_some() && server.setup.accounting;
            let record = told.then(|| record(dialog));
            moved.into_iter().chain(record).collect()
        }
        // Nothing is told of the rest.
        _ => Vec::new(),
    }
}

fn moved(server: &mut OpenSips, dialog: &Dialog) -> Option<Event> {
    refused(server, dialog, true)
}

fn refused(server: &mut OpenSips, dialog: &Dialog, has_tag: bool) -> Option<Event> {
    let known = server.state.stages.get_mut(&dialog.call_id)?;
    if !dialog.listed || *known == dialog.stage {
        return None;
    }
    let old = *known as i64;
    *known = dialog.stage;
    let over = dialog.stage == Stage::Over;
    if over {
        server.state.stages.remove(&dialog.call_id);
    }
    Some(Event::new(
        "E_DLG_STATE_CHANGED",
        [
            ("id", id_of(dialog).into()),
            ("db_id", db_id_of(dialog).into()),
            ("callid", dialog.call_id.as_str().into()),
            ("from_tag", dialog.from_tag.as_str().into()),
            ("to_tag", has_tag.then(|| dialog.callee_tag()).into()),
            ("old_state", Tree::Int(old)),
            ("new_state", Tree::Int(dialog.stage as i64)),
        ],
    ))
}

fn missed(server: &OpenSips, dialog: &Dialog, status: u16, has_tag: bool, at: Instant) -> Event {
    let now = server.second(at);
    let created = dialog.begun_at.as_second();
    Event::new(
        "E_ACC_MISSED_EVENT",
        [
            ("method", "INVITE".into()),
            ("from_tag", dialog.from_tag.as_str().into()),
            ("to_tag", has_tag.then(|| dialog.callee_tag()).into()),
            ("callid", dialog.call_id.as_str().into()),
            ("sip_code", status.to_string().into()),
            ("sip_reason", reason(status).into()),
            ("time", Tree::Int(now)),
            ("setuptime", Tree::Int(now - created)),
            ("created", Tree::Int(created)),
        ],
    )
}

fn record(dialog: &Dialog) -> Event {
    let begun = dialog.begun_at;
    let answered = dialog.answered_at.unwrap_or(begun);
    let ended = dialog.ended_at.unwrap_or(answered);
    let lasted = ended.as_millisecond() - answered.as_millisecond();
    let rounded_up = lasted.saturating_add(999) / 1000;
    Event::new(
        "E_ACC_CDR",
        [
            ("method", "INVITE".into()),
            ("from_tag", dialog.from_tag.as_str().into()),
            ("to_tag", dialog.callee_tag().into()),
            ("callid", dialog.call_id.as_str().into()),
            ("sip_code", "200".into()),
            ("sip_reason", "OK".into()),
            ("time", Tree::Int(answered.as_second())),
            ("duration", Tree::Int(rounded_up)),
            ("ms_duration", Tree::Int(lasted)),
            (
                "setuptime",
                Tree::Int(answered.as_second() - begun.as_second()),
            ),
            ("created", Tree::Int(begun.as_second())),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_dialogs_are_hexadecimal_in_reverse() {
        // Recording `02_dlg_one_live_dialog`: "ID":"408.55befd3","db_id":"8813337897813".
        assert_eq!(reversed(0x804), "408");
        assert_eq!(reversed(0x3d_feb55), "55befd3");
        assert_eq!((0x804_u64 << 32) + 0x3d_feb55, 8_813_337_897_813);
    }
}
