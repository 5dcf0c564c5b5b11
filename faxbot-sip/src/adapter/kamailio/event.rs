//! What the operator's script relays over evapi, read.
//!
//! There is no standard schema: the payloads are those of `docs/adapters/kamailio-events.cfg`, version 1
//! (`{"faxbot":1,"event":"call:new",...}`, free text as base64 in members whose names end in `64`), and
//! its forerunner without a version, which pastes values as they are. A value that is not set comes as
//! `<null>`, and a line break inside a text as it is (observed on Kamailio 5.6.3): both break the JSON,
//! and both are mended here. What still cannot be read is passed over.

use std::{borrow::Cow, fmt};

use base64::Engine as _;
use faxbot_core::{
    Private, Timestamp,
    id::CallId,
    sip::{Causes, RawEvent},
};
use serde_json::{Map, Value};

use super::wire::{DialogHandle, read_mark};

/// What an event says, whatever its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An INVITE passed.
    New {
        /// Who had it sent.
        referred_by: Option<String>,
    },
    /// A provisional answer passed, or the final good one.
    Progress(u16),
    /// The INVITE failed at one destination. The script may try another.
    Failed,
    /// The script itself refused the INVITE.
    Refused,
    /// The caller gave up.
    Cancel,
    /// A dialog was answered.
    Start,
    /// An answered dialog is over.
    End,
    /// A dialog is over without an answer. The reason may come beside it.
    DialogFailed,
    /// A BYE passed.
    Bye,
    /// Kamailio sends a request of its own with this method.
    Leg(String),
    /// The answer to one.
    LegReply(String),
    /// An agent's phone tells how its call goes.
    Notify {
        /// Whether this is its last word.
        last: bool,
    },
    /// A SIP MESSAGE for us.
    Message {
        /// What it says; `None` where it is no text.
        text: Option<String>,
    },
    /// A registration came, was renewed, or went.
    Registration(String),
    /// A destination of the dispatcher went down, or came up again.
    Destination {
        /// Whether it is up now.
        up: bool,
    },
    /// Nothing that concerns a call: a greeting, an echo.
    Idle,
    /// No name that is known.
    Unknown,
}

/// An event of the server. `Debug` shows its name and those of its members.
#[derive(Clone)]
pub(super) struct Event {
    pub(super) meaning: Meaning,
    pub(super) call_id: Option<String>,
    pub(super) from_tag: Option<String>,
    pub(super) to_tag: Option<String>,
    /// The caller's URI, or whom else it concerns.
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    /// The Request-URI, where it is told beside To.
    pub(super) ruri: Option<String>,
    /// Whom a phone is asked to call.
    pub(super) refer_to: Option<String>,
    /// Our id in it.
    pub(super) mark: Option<CallId>,
    pub(super) handle: Option<DialogHandle>,
    /// Status and text of an answer, and of a `Reason` header.
    pub(super) causes: Causes,
    /// The number of the request.
    pub(super) cseq: Option<i64>,
    /// When, by the server's clock.
    pub(super) at: Option<Timestamp>,
    members: Members,
}

impl Event {
    /// Whether it has a form of ours.
    pub(super) fn is_understood(&self) -> bool {
        self.meaning != Meaning::Unknown
    }

    /// The event as the server wrote it.
    pub(super) fn raw(&self) -> RawEvent {
        let value = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let members = self.members.0.iter();
        let fields = members.map(|(name, it)| (name.clone(), Private::new(value(it))));
        RawEvent::new(self.members.name(), fields.collect())
    }
}

/// Reads a payload; `None` for what is no event, mended or not.
pub(super) fn read(payload: &[u8]) -> Option<Event> {
    let members = parse(payload)?;
    let status = members
        .status(&["status", "code", "rs", "t_reply_code"])
        .or_else(|| members.fragment());
    let meaning = members.meaning(status);
    let mut causes = Causes::new();
    let reason = members.text(&["reason"]);
    causes.q850 = reason.as_deref().and_then(q850);
    causes.sip_status = status.filter(|status| *status >= 200);
    let fragment = members.text(&["sipfrag"]);
    let words = fragment.as_deref().and_then(words_of_fragment);
    causes.native = reason.or(words).map(Cow::into_owned);
    let owned = |names: &[&str]| members.text(names).map(Cow::into_owned);
    Some(Event {
        meaning,
        call_id: owned(&["callid"]),
        from_tag: owned(&["from_tag", "ftag"]),
        to_tag: owned(&["to_tag", "ttag"]),
        from: owned(&["from", "from_uri", "aor", "user", "uri"]),
        to: owned(&["to", "to_uri"]),
        ruri: owned(&["ruri"]),
        refer_to: owned(&["refer_to"]),
        mark: members.text(&["job"]).as_deref().and_then(read_mark),
        handle: members.handle(),
        causes,
        cseq: members.number("cseq"),
        at: members
            .number("ts")
            .and_then(|seconds| Timestamp::from_unix_seconds(seconds).ok()),
        members,
    })
}

/// The members of an event.
#[derive(Clone)]
struct Members(Map<String, Value>);

impl Members {
    fn name(&self) -> &str {
        let name = self.0.get("event").and_then(Value::as_str);
        name.unwrap_or_default()
    }

    /// The first of these members that is there: as base64, or as it is.
    fn text(&self, names: &[&str]) -> Option<Cow<'_, str>> {
        let of = |name: &&str| {
            if let Some(Value::String(coded)) = self.0.get(&format!("{name}64")) {
                let bytes = base64::prelude::BASE64_STANDARD.decode(coded).ok()?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                return (!text.is_empty()).then_some(Cow::Owned(text));
            }
            match self.0.get(*name)? {
                Value::String(text) if !text.is_empty() && text != "<null>" => {
                    Some(Cow::Borrowed(text.as_str()))
                }
                Value::Number(number) => Some(Cow::Owned(number.to_string())),
                _ => None,
            }
        };
        names.iter().find_map(of)
    }

    fn number(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A SIP status in the first of these members that has one. `$T_reply_code` is 0 where there is
    /// none.
    fn status(&self, names: &[&str]) -> Option<u16> {
        let of = |name: &&str| u16::try_from(self.number(name)?).ok();
        let mut found = names.iter().filter_map(of);
        found.find(|status| (100..700).contains(status))
    }

    /// The status in a `message/sipfrag` body.
    fn fragment(&self) -> Option<u16> {
        let text = self.text(&["sipfrag"])?;
        let status = text.strip_prefix("SIP/2.0 ")?.split_whitespace().next()?;
        status.parse().ok().filter(|it| (100..700).contains(it))
    }

    fn handle(&self) -> Option<DialogHandle> {
        let number = |name| u32::try_from(self.number(name)?).ok();
        Some(DialogHandle::new(number("h_entry")?, number("h_id")?))
    }

    fn meaning(&self, status: Option<u16>) -> Meaning {
        let owned = |names: &[&str]| self.text(names).map(Cow::into_owned);
        match self.name() {
            "call:new" | "new" => Meaning::New {
                referred_by: owned(&["referred_by"]),
            },
            "call:progress" | "progress" => match status {
                Some(status) => Meaning::Progress(status),
                None => Meaning::Idle,
            },
            "call:failed" | "failed" => Meaning::Failed,
            "refused" => Meaning::Refused,
            "call:cancel" | "cancel" => Meaning::Cancel,
            "call:bye" | "bye" => Meaning::Bye,
            "dialog:start" | "start" => Meaning::Start,
            "dialog:end" | "end" => Meaning::End,
            "dialog:failed" | "dialog_failed" => Meaning::DialogFailed,
            "local:request" | "leg" => Meaning::Leg(owned(&["method"]).unwrap_or_default()),
            "local:reply" | "leg_reply" => {
                Meaning::LegReply(owned(&["method"]).unwrap_or_default())
            }
            "bridge:notify" | "notify" => Meaning::Notify {
                last: self
                    .text(&["state"])
                    .is_some_and(|state| state.trim_start().starts_with("terminated"))
                    || status.is_some_and(|status| status >= 200),
            },
            "sip:message" | "message" => Meaning::Message {
                text: self.message(),
            },
            "usrloc" | "usrloc:contact" => {
                Meaning::Registration(owned(&["action"]).unwrap_or_default())
            }
            "dispatcher:dst-down" | "dst_down" => Meaning::Destination { up: false },
            "dispatcher:dst-up" | "dst_up" => Meaning::Destination { up: true },
            "hello" | "echo" | "pong" => Meaning::Idle,
            _ => Meaning::Unknown,
        }
    }

    /// The body of a message, if it is text.
    fn message(&self) -> Option<String> {
        let kind = self.text(&["type"]).unwrap_or_default();
        let kind = kind.trim_start().to_ascii_lowercase();
        let is_text = kind.is_empty() || kind.starts_with("text/");
        let body = self.text(&["body"]).map(Cow::into_owned);
        is_text.then(|| body.unwrap_or_default())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("name", &self.members.name())
            .field("members", &self.members.0.len())
            .finish_non_exhaustive()
    }
}

/// The members of a payload that names an event.
fn parse(payload: &[u8]) -> Option<Members> {
    let text = String::from_utf8_lossy(payload);
    let parsed = serde_json::from_str::<Value>(&text);
    let value = parsed
        .or_else(|_| serde_json::from_str(&mended(&text)))
        .ok()?;
    match value {
        Value::Object(members) if members.get("event").is_some_and(Value::is_string) => {
            Some(Members(members))
        }
        _ => None,
    }
}

/// The text with what breaks the JSON of scripts: control characters become blanks, a value that is not
/// set becomes `null`.
fn mended(text: &str) -> String {
    let text = text.replace(|c: char| c.is_control(), " ");
    text.replace(":<null>", ":null")
}

/// The cause of a `Reason` header (RFC 3326): `Q.850;cause=16;text="..."`.
fn q850(reason: &str) -> Option<u16> {
    let mut values = reason.split(',').map(str::trim);
    let value = values.find(|value| {
        let protocol = value.split(';').next().unwrap_or_default();
        protocol.trim().eq_ignore_ascii_case("Q.850")
    })?;
    let mut params = value.split(';').filter_map(|param| param.split_once('='));
    let cause = params.find(|(name, _)| name.trim().eq_ignore_ascii_case("cause"))?;
    cause.1.trim().parse().ok().filter(|cause| *cause < 128)
}

/// The words behind the status of a `message/sipfrag` body.
fn words_of_fragment(fragment: &str) -> Option<Cow<'_, str>> {
    let line = fragment.lines().next()?.strip_prefix("SIP/2.0 ")?;
    let (_, words) = line.trim().split_once(' ')?;
    Some(Cow::Borrowed(words))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(payload: &str) -> Event {
        read(payload.as_bytes()).expect(payload)
    }

    #[test]
    fn the_events_of_the_recordings_are_read() {
        // Of `ctd_bridge_ok_with_job_header`, with the id of a call as the mark.
        let new = event(
            r#"{"event":"call:new","callid":"c395921138-5080@127.0.0.1","from":"sip:agent@127.0.0.1:5080","to":"sip:port5081@127.0.0.1:5070","job":"00000000-0000-0000-0000-000000000007","referred_by":"sip:ctd@127.0.0.1","h_entry":149,"h_id":1776,"ts":1795245543}"#,
        );
        let referred_by = Some("sip:ctd@127.0.0.1".to_owned());
        assert_eq!(new.meaning, Meaning::New { referred_by });
        assert_eq!(new.call_id.as_deref(), Some("c395921138-5080@127.0.0.1"));
        assert_eq!(new.from.as_deref(), Some("sip:agent@127.0.0.1:5080"));
        assert_eq!(new.mark, Some(CallId::from_uuid(uuid::Uuid::from_u128(7))));
        assert_eq!(new.handle, Some(DialogHandle::new(149, 1776)));
        assert_eq!(new.at.unwrap().as_second(), 1_795_245_543);
        let rows = [
            (
                r#"{"event":"call:progress","callid":"c","status":180,"reason":"Ringing","ts":1}"#,
                Meaning::Progress(180),
                None,
            ),
            (
                r#"{"event":"call:failed","callid":"c","status":"486","reason":"Busy Here","ts":1}"#,
                Meaning::Failed,
                Some(486),
            ),
            (
                r#"{"event":"dialog:failed","callid":"c","rs":"486","t_reply_code":"0","method":"INVITE","job":"<null>","ts":1}"#,
                Meaning::DialogFailed,
                Some(486),
            ),
            (
                r#"{"event":"dialog:failed","callid":"c","rs":"<null>","t_reply_code":"0","ts":1}"#,
                Meaning::DialogFailed,
                None,
            ),
            (
                r#"{"event":"dialog:end","callid":"c","lifetime":1,"method":"BYE","by":"sip:a@h","ts":1}"#,
                Meaning::End,
                None,
            ),
            (
                r#"{"event":"local:request","method":"REFER","callid":"c"}"#,
                Meaning::Leg("REFER".into()),
                None,
            ),
            (
                r#"{"event":"bridge:notify","callid":"c","state":"terminated;reason=noresource","sipfrag":"SIP/2.0 486 Busy Here"}"#,
                Meaning::Notify { last: true },
                Some(486),
            ),
            (
                r#"{"event":"hello","addr":"127.0.0.1","conidx":0}"#,
                Meaning::Idle,
                None,
            ),
        ];
        for (payload, meaning, status) in rows {
            let event = event(payload);
            assert_eq!(event.meaning, meaning, "{payload}");
            assert_eq!(event.causes.sip_status, status, "{payload}");
            assert_eq!(event.mark, None);
        }
    }

    #[test]
    fn json_that_the_script_broke_is_mended() {
        let notify = event(
            "{\"event\":\"bridge:notify\",\"callid\":\"c\",\"state\":\"active;expires=60\",\"sipfrag\":\"SIP/2.0 100 Trying\r\n\",\"ts\":1}",
        );
        assert_eq!(notify.meaning, Meaning::Notify { last: false });
        assert_eq!(notify.causes.native.as_deref(), Some("Trying"));
        let end = event(r#"{"event":"dialog:end","callid":"c","lifetime":<null>,"ts":1}"#);
        assert_eq!(end.meaning, Meaning::End);
        for lost in [
            "",
            "hello",
            "[]",
            "{}",
            "{\"event\":7}",
            "{\"event\":\"x\"",
            "\u{0}",
        ] {
            assert!(read(lost.as_bytes()).is_none(), "{lost}");
        }
        assert!(read(b"\xff\xfe").is_none());
    }

    #[test]
    fn text_in_base64_is_read_whatever_a_phone_put_into_it() {
        let code = |text: &str| base64::prelude::BASE64_STANDARD.encode(text);
        let failed = event(&format!(
            r#"{{"faxbot":1,"event":"failed","callid64":"{}","from_tag64":"{}","code":486,"reason64":"{}","replied":true}}"#,
            code("a\"b\\\r\n@h"),
            code("t1"),
            code("Busy \"Here\"\u{7}"),
        ));
        assert_eq!(failed.meaning, Meaning::Failed);
        assert_eq!(failed.call_id.as_deref(), Some("a\"b\\\r\n@h"));
        assert_eq!(failed.from_tag.as_deref(), Some("t1"));
        assert_eq!(failed.causes.sip_status, Some(486));
        assert_eq!(failed.causes.native.as_deref(), Some("Busy \"Here\"\u{7}"));
        let message = event(&format!(
            r#"{{"faxbot":1,"event":"message","callid64":"{}","from_uri64":"{}","type64":"{}","body64":"{}"}}"#,
            code("c"),
            code("sip:bob@h"),
            code("text/plain;charset=UTF-8"),
            code("h\u{e4}llo\r\n"),
        ));
        let text = Some("h\u{e4}llo\r\n".to_owned());
        assert_eq!(message.meaning, Meaning::Message { text });
        assert_eq!(message.from.as_deref(), Some("sip:bob@h"));
        let broken = event(r#"{"faxbot":1,"event":"end","callid64":"%%%","reason64":""}"#);
        assert_eq!((broken.call_id, broken.causes.native), (None, None));
    }

    #[test]
    fn a_message_that_is_no_text_says_nothing() {
        let message = event(
            r#"{"event":"message","callid":"c","type":"application/im-iscomposing+xml","body":"<x/>"}"#,
        );
        assert_eq!(message.meaning, Meaning::Message { text: None });
    }

    #[test]
    fn the_cause_of_a_reason_header_is_read() {
        for (reason, cause) in [
            ("Q.850;cause=16;text=\"Normal\"", Some(16)),
            ("SIP;cause=200;text=\"x\", q.850 ; cause = 17", Some(17)),
            ("SIP;cause=487", None),
            ("Q.850", None),
            ("Q.850;cause=x", None),
            ("Q.850;cause=999", None),
            ("", None),
        ] {
            assert_eq!(q850(reason), cause, "{reason}");
        }
    }

    #[test]
    fn an_event_without_a_form_of_ours_is_handed_on_as_it_is() {
        let event = event(r#"{"event":"mine","to":"sip:a@h","n":5}"#);
        assert!(!event.is_understood());
        let raw = event.raw();
        assert_eq!((raw.name.as_str(), raw.get("n")), ("mine", Some("5")));
        assert!(!format!("{event:?}{raw:?}").contains("sip:a@h"));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_breaks_the_reading(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&payload);
        }
    }
}
