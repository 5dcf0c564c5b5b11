//! `dlg_list` in its three reply shapes, and a dialog in it.

use std::fmt;

use faxbot_core::{Private, Timestamp};
use serde::Deserialize;

use super::lenient;
use crate::adapter::dialogs::Stage;

/// What `dlg_list` answers: without parameters `{"Dialogs":[...]}`, with `index` and `counter`
/// `{"count":N,"Dialogs":[...]}`, with `callid` `{"Dialog":{...}}` (recordings `02_dlg_one_live_dialog`,
/// `02_dlg_list_200_paging`).
#[derive(Deserialize)]
pub(in super::super) struct DialogList {
    #[serde(default, deserialize_with = "maybe_number")]
    pub(in super::super) count: Option<i64>,
    #[serde(default, rename = "Dialogs")]
    pub(in super::super) dialogs: Vec<RawDialog>,
    #[serde(default, rename = "Dialog")]
    pub(in super::super) dialog: Option<RawDialog>,
}

impl DialogList {
    /// All dialogs of the answer, whatever its shape.
    pub(in super::super) fn into_dialogs(mut self) -> Vec<RawDialog> {
        self.dialogs.extend(self.dialog.take());
        self.dialogs
    }
}

fn maybe_number<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    lenient::number(deserializer).map(Some)
}

/// A dialog of the list, without the texts that nobody asks for (SDP, route sets).
#[derive(Deserialize)]
pub(in super::super) struct RawDialog {
    #[serde(default, rename = "ID", deserialize_with = "lenient::text")]
    pub(in super::super) id: String,
    #[serde(default, deserialize_with = "lenient::number")]
    pub(in super::super) state: i64,
    #[serde(default, deserialize_with = "lenient::number")]
    timestart: i64,
    #[serde(default, deserialize_with = "lenient::number")]
    timeout: i64,
    #[serde(default, deserialize_with = "lenient::text")]
    pub(in super::super) callid: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub(in super::super) from_uri: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub(in super::super) to_uri: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub(in super::super) caller_tag: String,
    #[serde(default, rename = "CALLEES")]
    callees: Vec<RawCallee>,
}

#[derive(Deserialize)]
struct RawCallee {
    #[serde(default, deserialize_with = "lenient::text")]
    callee_tag: String,
}

impl RawDialog {
    /// The tag of the callee, of several the last that answered a request.
    pub(in super::super) fn to_tag(&self) -> Option<&str> {
        let mut tags = self.callees.iter().map(|callee| callee.callee_tag.as_str());
        tags.rfind(|tag| !tag.is_empty())
    }

    /// When it was answered: `timestart` is 0 before that.
    pub(in super::super) fn answered(&self) -> Option<Timestamp> {
        seconds(self.timestart)
    }

    /// Where it stands; `None` for a number that no release had.
    pub(in super::super) fn stage(&self) -> Option<Stage> {
        stage(self.state)
    }
}

/// The states of `dlg_hash.h`: 1 unconfirmed, 2 early, 3 answered without ACK, 4 confirmed, 5 ended,
/// which is listed for some seconds more.
pub(in super::super) fn stage(state: i64) -> Option<Stage> {
    match state {
        1 => Some(Stage::Begun),
        2 => Some(Stage::Early),
        3 => Some(Stage::Answered),
        4 => Some(Stage::Up),
        5 => Some(Stage::Over),
        _ => None,
    }
}

fn seconds(unix: i64) -> Option<Timestamp> {
    if unix <= 0 {
        return None;
    }
    Timestamp::from_unix_seconds(unix).ok()
}

/// Where a dialog of the server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialogState {
    /// 1: nothing came back yet.
    Unconfirmed,
    /// 2: it rings.
    Early,
    /// 3: answered, and the ACK is not there yet.
    Answered,
    /// 4: both talk.
    Confirmed,
    /// 5: over. It stays in the list for some seconds.
    Ended,
    /// A number of a later release.
    Other(i64),
}

/// A dialog as `dlg_list` shows it. `Debug` shows no address.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dialog {
    /// The server's own name of it. It is not stable over a restart; the Call-ID is what commands take.
    pub id: String,
    /// Where it stands.
    pub state: DialogState,
    /// The Call-ID.
    pub call_id: Private,
    /// The URI of `From`.
    pub from: Private,
    /// The URI of `To`.
    pub to: Private,
    /// The tag of the caller.
    pub from_tag: String,
    /// The tag of the callee, once there is one.
    pub to_tag: Option<String>,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When the server ends it (the module's `default_timeout`).
    pub expires_at: Option<Timestamp>,
}

impl From<RawDialog> for Dialog {
    fn from(raw: RawDialog) -> Self {
        Self {
            state: match raw.state {
                1 => DialogState::Unconfirmed,
                2 => DialogState::Early,
                3 => DialogState::Answered,
                4 => DialogState::Confirmed,
                5 => DialogState::Ended,
                other => DialogState::Other(other),
            },
            to_tag: raw.to_tag().map(str::to_owned),
            answered_at: raw.answered(),
            expires_at: seconds(raw.timeout),
            id: raw.id,
            call_id: raw.callid.into(),
            from: raw.from_uri.into(),
            to: raw.to_uri.into(),
            from_tag: raw.caller_tag,
        }
    }
}

impl fmt::Debug for Dialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialog")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("answered_at", &self.answered_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recording `02_dlg_one_live_dialog`, without the SDP.
    const LIVE: &str = r#"{"ID":"408.55befd3","db_id":"8813337897813","state":4,"user_flags":"",
        "timestart":1795245059,"datestart":"2026-11-21 07:10:59","timeout":1795248658,
        "callid":"first-call@rig","from_uri":"sip:alice@127.0.0.1","to_uri":"sip:2000@127.0.0.1:25060",
        "caller_tag":"d12ce6afef","caller_contact":"sip:alice@127.0.0.1:25070","callee_cseq":"0",
        "CALLEES":[{"callee_tag":"910451a57d","callee_contact":"sip:2000@127.0.0.1:25080"}]}"#;

    fn list(text: &str) -> DialogList {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_three_shapes_of_the_list_are_one() {
        for (text, count) in [
            (format!(r#"{{"Dialogs":[{LIVE}]}}"#), None),
            (format!(r#"{{"count":7,"Dialogs":[{LIVE}]}}"#), Some(7)),
            (format!(r#"{{"Dialog":{LIVE}}}"#), None),
        ] {
            let list = list(&text);
            assert_eq!(list.count, count);
            let dialogs = list.into_dialogs();
            assert_eq!(dialogs.len(), 1);
            let dialog = &dialogs[0];
            assert_eq!(dialog.callid, "first-call@rig");
            assert_eq!(dialog.to_tag(), Some("910451a57d"));
            assert_eq!(dialog.stage(), Some(Stage::Up));
            assert_eq!(dialog.answered().unwrap().as_second(), 1_795_245_059);
        }
        assert!(list(r#"{"Dialogs":[]}"#).into_dialogs().is_empty());
        assert!(
            list(r#"{"count":0,"Dialogs":[]}"#)
                .into_dialogs()
                .is_empty()
        );
    }

    #[test]
    fn a_dialog_that_rings_has_no_time_of_an_answer() {
        // Recording `02_dlg_end_dlg`.
        let text = r#"{"Dialog":{"ID":"109.89065c16","state":2,"timestart":0,"timeout":0,
            "callid":"ringing@rig","caller_tag":"5288da5a31","CALLEES":[{"callee_tag":"9428fe5717"}]}}"#;
        let dialogs = list(text).into_dialogs();
        assert_eq!(dialogs[0].answered(), None);
        assert_eq!(dialogs[0].stage(), Some(Stage::Early));
    }

    #[test]
    fn debug_shows_no_address() {
        let dialog = list(&format!(r#"{{"Dialog":{LIVE}}}"#))
            .into_dialogs()
            .remove(0);
        let text = format!("{:?}", Dialog::from(dialog));
        assert!(!text.contains("alice") && !text.contains("rig"), "{text}");
    }
}
