//! Dialogs: the rows of `dlg.list` (`internal_rpc_print_dlg` in `dialog.c`).

use std::time::Duration;

use faxbot_core::{Private, Timestamp, id::CallId};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::lenient::{Number, Several, Text};
use crate::adapter::dialogs::{Seen, Stage};

/// How Kamailio names a dialog for `dlg.end_dlg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DialogHandle {
    /// `h_entry`.
    pub entry: u32,
    /// `h_id`.
    pub id: u32,
}

impl DialogHandle {
    /// The two numbers of a dialog.
    pub fn new(entry: u32, id: u32) -> Self {
        Self { entry, id }
    }

    /// One text for both.
    pub(in super::super) fn to_text(self) -> String {
        format!("{}:{}", self.entry, self.id)
    }

    pub(in super::super) fn parse(text: &str) -> Option<Self> {
        let (entry, id) = text.split_once(':')?;
        Some(Self::new(entry.parse().ok()?, id.parse().ok()?))
    }
}

/// Where a dialog is (`DLG_STATE_*` in `dlg_hash.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DialogState {
    /// 1: the INVITE passed.
    Unconfirmed,
    /// 2: a provisional answer came.
    Early,
    /// 3: answered, the ACK has not passed.
    ConfirmedNoAck,
    /// 4: answered.
    Confirmed,
    /// 5: over, listed for some seconds more.
    Deleted,
    /// A number that is not known.
    Other(u32),
}

impl DialogState {
    fn of(number: Number) -> Self {
        match number.unsigned() {
            Some(1) => Self::Unconfirmed,
            Some(2) => Self::Early,
            Some(3) => Self::ConfirmedNoAck,
            Some(4) => Self::Confirmed,
            Some(5) => Self::Deleted,
            other => Self::Other(other.unwrap_or_default()),
        }
    }

    /// What the books make of it; `None` where nothing can be said.
    fn stage(self) -> Option<Stage> {
        match self {
            Self::Unconfirmed => Some(Stage::Begun),
            Self::Early => Some(Stage::Early),
            Self::ConfirmedNoAck => Some(Stage::Answered),
            Self::Confirmed => Some(Stage::Up),
            Self::Deleted => Some(Stage::Over),
            Self::Other(_) => None,
        }
    }
}

/// One side of a dialog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialogParty {
    /// Its tag; the callee has none before it answers.
    pub tag: Option<Private>,
    /// Where it wants its requests.
    pub contact: Option<Private>,
    /// The way there.
    pub route_set: Option<Private>,
    /// Kamailio's socket towards it.
    pub socket: Option<String>,
}

/// A dialog of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dialog {
    /// What ends it.
    pub handle: Option<DialogHandle>,
    /// Its Call-ID.
    pub call_id: Private,
    /// The caller.
    pub from: Option<Private>,
    /// The called.
    pub to: Option<Private>,
    /// Where it is.
    pub state: DialogState,
    /// When its INVITE passed.
    pub begun: Option<Timestamp>,
    /// When it was answered.
    pub answered: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// After how long from its answer Kamailio ends it.
    pub lifetime: Option<Duration>,
    /// The side that sent the INVITE.
    pub caller: DialogParty,
    /// The other side.
    pub callee: DialogParty,
    /// Its profiles, with their values.
    pub profiles: Vec<(String, Option<Private>)>,
    /// Its variables (`$dlg_var`).
    pub variables: Vec<(String, Private)>,
}

impl Dialog {
    /// Our id in one of these variables.
    pub(in super::super) fn mark(&self, names: &[&str]) -> Option<CallId> {
        let mut variables = self.variables.iter();
        variables.find_map(|(name, value)| {
            let is_mark = names.contains(&name.as_str());
            is_mark.then(|| read_mark(value.expose())).flatten()
        })
    }
}

/// A row as it stands in the answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    h_entry: Number,
    h_id: Number,
    #[serde(rename = "call-id")]
    call_id: Text,
    from_uri: Text,
    to_uri: Text,
    state: Number,
    init_ts: Number,
    start_ts: Number,
    end_ts: Number,
    lifetime: Number,
    caller: Party,
    callee: Party,
    profiles: Several<Pair>,
    variables: Several<Pair>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Party {
    tag: Text,
    contact: Text,
    route_set: Text,
    socket: Text,
}

impl From<Party> for DialogParty {
    fn from(party: Party) -> Self {
        Self {
            tag: party.tag.private(),
            contact: party.contact.private(),
            route_set: party.route_set.private(),
            socket: party.socket.0,
        }
    }
}

/// A name, or an object with one member.
#[derive(Debug, Default)]
struct Pair(Option<(String, Text)>);

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairVisitor)
    }
}

struct PairVisitor;

impl<'de> Visitor<'de> for PairVisitor {
    type Value = Pair;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name, or a name with its value")
    }

    fn visit_str<E>(self, name: &str) -> Result<Pair, E> {
        Ok(Pair(Some((name.to_owned(), Text::default()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pair, A::Error> {
        let first = map.next_entry()?;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Pair(first))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Pair, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Pair(None))
    }

    fn visit_unit<E>(self) -> Result<Pair, E> {
        Ok(Pair(None))
    }

    fn visit_u64<E>(self, _value: u64) -> Result<Pair, E> {
        Ok(Pair(None))
    }

    fn visit_i64<E>(self, _value: i64) -> Result<Pair, E> {
        Ok(Pair(None))
    }
}

impl Row {
    fn handle(&self) -> Option<DialogHandle> {
        let (entry, id) = (self.h_entry.unsigned()?, self.h_id.unsigned()?);
        Some(DialogHandle { entry, id })
    }

    fn into_dialog(self) -> Option<Dialog> {
        Some(Dialog {
            handle: self.handle(),
            call_id: self.call_id.private()?,
            from: self.from_uri.private(),
            to: self.to_uri.private(),
            state: DialogState::of(self.state),
            begun: self.init_ts.time(),
            answered: self.start_ts.time(),
            ended: self.end_ts.time(),
            lifetime: self.lifetime.seconds(),
            caller: self.caller.into(),
            callee: self.callee.into(),
            profiles: pairs(self.profiles)
                .map(|(name, value)| (name, value.private()))
                .collect(),
            variables: pairs(self.variables)
                .map(|(name, value)| (name, Private::new(value.0.unwrap_or_default())))
                .collect(),
        })
    }

    /// The dialog as the books see it.
    fn into_seen(self, marks: &[&str]) -> Option<Seen> {
        let stage = DialogState::of(self.state).stage()?;
        let handle = self.handle().map(DialogHandle::to_text);
        let variables = self.variables.0.iter().filter_map(|pair| pair.0.as_ref());
        let mark = variables
            .filter(|(name, _)| marks.contains(&name.as_str()))
            .find_map(|(_, value)| read_mark(value.0.as_deref()?));
        Some(Seen {
            call_id: self.call_id.0?,
            from_tag: self.caller.tag.0.unwrap_or_default(),
            to_tag: self.callee.tag.0,
            stage,
            from: self.from_uri.0,
            to: self.to_uri.0,
            handle: handle.unwrap_or_default(),
            mark,
            begun: self.init_ts.time(),
            answered: self.start_ts.time(),
            ended: self.end_ts.time(),
        })
    }
}

fn pairs(pairs: Several<Pair>) -> impl Iterator<Item = (String, Text)> {
    pairs.0.into_iter().filter_map(|pair| pair.0)
}

/// Our id in a mark: the bare UUID.
pub(in super::super) fn read_mark(text: &str) -> Option<CallId> {
    uuid::Uuid::parse_str(text.trim())
        .ok()
        .map(CallId::from_uuid)
}

/// The answer of `dlg.list`, `dlg.list_match` and `dlg.dlg_list`: an array, one object, or an empty one.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct Rows(Several<Row>);

impl Rows {
    /// All dialogs that can be read.
    pub(in super::super) fn into_dialogs(self) -> Vec<Dialog> {
        self.0.0.into_iter().filter_map(Row::into_dialog).collect()
    }

    /// The dialogs as the books see them, and whether that is all of them. A variable of one of the
    /// names in `marks` holds our id.
    pub(in super::super) fn into_seen(self, marks: &[&str]) -> (Vec<Seen>, bool) {
        let rows = self.0.0;
        // The empty object of `dlg.dlg_list`: there is none.
        let is_none = |row: &Row| row.call_id.0.is_none() && row.handle().is_none();
        let there = rows.iter().filter(|row| !is_none(row)).count();
        let seen = rows.into_iter().filter_map(|row| row.into_seen(marks));
        let seen: Vec<_> = seen.collect();
        let whole = seen.len() == there;
        (seen, whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `end_dlg_briefing_and_refer`.
    const UP: &str = r#"{"h_entry":582,"h_id":1161,"ref":2,"call-id":"c409073935-5091@127.0.0.1","from_uri":"sip:alice@127.0.0.1:5091","to_uri":"sip:port5080@127.0.0.1:5070","state":4,"start_ts":1795246075,"init_ts":1795246075,"end_ts":0,"duration":1,"timeout":1795249675,"lifetime":3600,"dflags":1667,"sflags":0,"iflags":0,"caller":{"tag":"c70049090","contact":"sip:alice@127.0.0.1:5091","cseq":"10","route_set":"","socket":"udp:127.0.0.1:5070"},"callee":{"tag":"u39235606","contact":"sip:bob@127.0.0.1:5080","cseq":"0","route_set":"","socket":"udp:127.0.0.1:5070"},"profiles":[{"caller":"alice"}, "inbound"],"variables":[{"job":"00000000-0000-0000-0000-000000000007"}, {"tenant":"acme"}]}"#;
    /// Of `end_rpc_end_dlg_while_ringing`, shortened.
    const RINGS: &str = r#"{"h_entry":539,"h_id":949,"call-id":"c981571370-5091@127.0.0.1","state":2,"start_ts":0,"init_ts":1795246064,"caller":{"tag":"c91607811"},"callee":{"tag":null,"contact":null}}"#;

    fn rows(json: &str) -> Rows {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_dialog_is_read_with_all_it_tells() {
        let dialogs = rows(UP).into_dialogs();
        let [dialog] = &dialogs[..] else {
            panic!("one dialog");
        };
        assert_eq!(dialog.handle, Some(DialogHandle::new(582, 1161)));
        assert_eq!(dialog.state, DialogState::Confirmed);
        assert_eq!(dialog.call_id.expose(), "c409073935-5091@127.0.0.1");
        assert_eq!(dialog.lifetime, Some(Duration::from_secs(3600)));
        assert_eq!(dialog.answered.unwrap().as_second(), 1_795_246_075);
        assert_eq!(dialog.ended, None);
        assert_eq!(dialog.caller.tag.as_ref().unwrap().expose(), "c70049090");
        assert_eq!(dialog.callee.route_set, None);
        let profile = |name: &str, value: Option<&str>| {
            (
                name.to_owned(),
                value.map(|value| Private::new(value.to_owned())),
            )
        };
        let wanted = [profile("caller", Some("alice")), profile("inbound", None)];
        assert_eq!(dialog.profiles, wanted);
        assert_eq!(dialog.variables.len(), 2);
        let shown = format!("{dialog:?}");
        assert!(
            !shown.contains("alice") && !shown.contains("c409"),
            "{shown}"
        );
    }

    #[test]
    fn the_books_see_a_dialog_with_its_mark_and_its_handle() {
        let (seen, whole) = rows(&format!("[{UP}, {RINGS}]")).into_seen(&["job"]);
        assert!(whole);
        assert_eq!(
            seen[0].mark,
            Some(CallId::from_uuid(uuid::Uuid::from_u128(7)))
        );
        assert_eq!(
            DialogHandle::parse(&seen[0].handle),
            Some(DialogHandle::new(582, 1161))
        );
        assert!(matches!(seen[0].stage, Stage::Up));
        assert!(matches!(seen[1].stage, Stage::Early));
        assert_eq!(seen[1].answered, None);
        assert_eq!((seen[1].to_tag.as_deref(), seen[1].mark), (None, None));
    }

    #[test]
    fn one_that_is_over_has_its_own_time_for_that() {
        let over = r#"{"h_entry":1,"h_id":2,"call-id":"c","state":5,"init_ts":1795246060,"start_ts":1795246064,"end_ts":1795246070}"#;
        let (seen, whole) = rows(&format!("[{UP}, {over}]")).into_seen(&[]);
        assert!(whole);
        assert_eq!(seen[0].ended, None);
        assert_eq!(seen[1].stage, Stage::Over);
        assert_eq!(seen[1].ended.unwrap().as_second(), 1_795_246_070);
    }

    #[test]
    fn no_dialog_has_several_forms() {
        for json in ["[]", "{}", "null", "\"\"", "[{}]"] {
            let (seen, whole) = rows(json).into_seen(&["job"]);
            assert!(seen.is_empty() && whole, "{json}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_makes_the_list_less_than_whole() {
        for broken in [
            r#"{"h_entry":1,"h_id":2,"state":4}"#,
            r#"{"call-id":"x","state":17}"#,
            r#"{"call-id":"x"}"#,
        ] {
            let (seen, whole) = rows(&format!("[{RINGS}, {broken}]")).into_seen(&[]);
            assert_eq!((seen.len(), whole), (1, false), "{broken}");
        }
    }
}
