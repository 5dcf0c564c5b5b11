//! Calls that `dlg.bridge_dlg` was asked for, until their dialog is known. Sans-IO.
//!
//! The request is answered at once, whatever happens. What follows is two calls: Kamailio calls the
//! first party's phone (the leg), asks it to call the second party (REFER) and hangs up; the phone's own
//! call is the one that the books follow. The leg is no dialog of the server; events tell of it.

use faxbot_core::{
    id::CallId,
    sip::{Causes, Disposition},
};

use super::event::{Event, Meaning};
use crate::adapter::dialogs::Report;

/// How far the leg to the first party is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// Nothing is known of it.
    Asked,
    /// Its INVITE went out.
    Called,
    /// The first party answered: it is asked to call the second.
    Answered,
    /// Its phone told that the second party answered.
    Through,
}

/// A call of ours without a dialog.
struct Bridge {
    id: CallId,
    /// Whom Kamailio calls first.
    first: String,
    /// Whom the first party's phone is to call.
    second: String,
    /// The Call-ID of the leg.
    leg: Option<String>,
    /// Who sends it, in the server's configuration.
    controller: Option<String>,
    step: Step,
    /// Another call to the same first party was asked for before the leg of one was seen: nobody can say
    /// whose leg is whose. Only a mark tells then.
    shared: bool,
}

/// What an event means for a call of ours.
#[derive(Debug)]
pub(super) enum News {
    /// The first party's phone says that the second answered.
    Through(CallId),
    /// It is over.
    Over(CallId, Report),
    /// This dialog is it.
    Dialog(CallId),
}

/// Why no dialog came in time.
#[derive(Debug)]
pub(super) enum Silence {
    /// It ended so.
    Over(Report),
    /// It may be up, where nobody sees it.
    Lost,
}

/// Those that are open, the oldest first.
#[derive(Default)]
pub(super) struct Bridges {
    open: Vec<Bridge>,
    /// Who sends the legs, as far as the configuration knows.
    controller: String,
}

impl Bridges {
    pub(super) fn new(controller: &str) -> Self {
        Self {
            open: Vec::new(),
            controller: bare(controller).to_owned(),
        }
    }

    pub(super) fn open(&mut self, id: CallId, first: &str, second: &str) {
        let first = bare(first);
        let mut shared = false;
        for other in &mut self.open {
            if other.leg.is_none() && other.first == first {
                other.shared = true;
                shared = true;
            }
        }
        self.open.push(Bridge {
            id,
            first: first.to_owned(),
            second: bare(second).to_owned(),
            leg: None,
            controller: None,
            step: Step::Asked,
            shared,
        });
    }

    /// The call has its dialog, or is over.
    pub(super) fn close(&mut self, id: CallId) {
        self.open.retain(|bridge| bridge.id != id);
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    pub(super) fn keep(&mut self, wanted: impl Fn(CallId) -> bool) {
        self.open.retain(|bridge| wanted(bridge.id));
    }

    /// Reads what an event means for the calls here.
    pub(super) fn told(&mut self, event: &Event) -> Option<News> {
        match &event.meaning {
            Meaning::Leg(method) if method == "INVITE" => self.called(event),
            Meaning::Leg(method) if method == "REFER" => {
                self.leg(event)?.rise(Step::Answered);
                None
            }
            Meaning::LegReply(method) => self.replied(method, event),
            // The leg goes through the server's own script: then it is a dialog, too.
            Meaning::Failed => {
                let bridge = self.leg(event)?;
                let early = bridge.step < Step::Answered;
                early.then(|| bridge.refused(event, FIRST)).flatten()
            }
            Meaning::Notify { last } => self.notified(*last, event),
            Meaning::New { referred_by } => self.began(referred_by.as_deref(), event),
            _ => None,
        }
    }

    /// Why nothing came of it by the end of its ring time. `events` is whether they were on all the
    /// time.
    pub(super) fn silence(&self, id: CallId, events: bool) -> Silence {
        let step = self.open.iter().find(|bridge| bridge.id == id);
        let step = step.map_or(Step::Asked, |bridge| bridge.step);
        let (disposition, words) = match step {
            Step::Through | Step::Answered => return Silence::Lost,
            Step::Called if events => (
                Disposition::NoAnswer,
                "the first party did not answer, is busy, or was not reached",
            ),
            Step::Called | Step::Asked => (
                Disposition::Unknown,
                "the first party was not reached, or its phone did not call through this server",
            ),
        };
        let mut report = Report::new(Causes::new().with_native(words));
        report.disposition = Some(disposition);
        Silence::Over(report)
    }

    fn leg(&mut self, event: &Event) -> Option<&mut Bridge> {
        let call_id = event.call_id.as_deref()?;
        let mut all = self.open.iter_mut();
        all.find(|bridge| bridge.leg.as_deref() == Some(call_id))
    }

    /// The INVITE of a leg goes out.
    fn called(&mut self, event: &Event) -> Option<News> {
        if self.leg(event).is_some() {
            return None;
        }
        let to = event.to.as_deref().or(event.ruri.as_deref()).map(bare)?;
        let mut waiting = self.open.iter_mut().filter(|bridge| bridge.leg.is_none());
        let bridge = waiting.find(|bridge| bridge.first == to)?;
        bridge.leg.clone_from(&event.call_id);
        bridge.controller = event.from.as_deref().map(|from| bare(from).to_owned());
        bridge.rise(Step::Called);
        None
    }

    fn replied(&mut self, method: &str, event: &Event) -> Option<News> {
        let bridge = self.leg(event)?;
        let status = event.causes.sip_status?;
        match (method, status) {
            ("INVITE" | "REFER", 200..300) => {
                bridge.rise(Step::Answered);
                None
            }
            // A challenge is answered by the server or not at all; nothing else follows.
            ("INVITE", 300..) => bridge.refused(event, FIRST),
            ("REFER", 300..) => bridge.refused(event, REFER),
            _ => None,
        }
    }

    fn notified(&mut self, last: bool, event: &Event) -> Option<News> {
        let bridge = self.leg(event)?;
        bridge.rise(Step::Answered);
        match event.causes.sip_status? {
            200..300 if !bridge.shared => {
                bridge.rise(Step::Through);
                Some(News::Through(bridge.id))
            }
            300.. if last => bridge.refused(event, ""),
            _ => None,
        }
    }

    /// A call began that has no mark: it is one of ours if the phone says that our leg referred it.
    fn began(&mut self, referred_by: Option<&str>, event: &Event) -> Option<News> {
        if let Some(mark) = event.mark {
            let ours = self.open.iter().any(|bridge| bridge.id == mark);
            return ours.then_some(News::Dialog(mark));
        }
        let (by, to) = (bare(referred_by?), event.to.as_deref().map(bare)?);
        let refers = |bridge: &&Bridge| {
            // Without events of legs the configuration says who sends them.
            let controller = bridge.controller.as_deref();
            controller.unwrap_or(&self.controller) == by && bridge.second == to
        };
        let mut found: Vec<_> = self.open.iter().filter(refers).collect();
        if found.len() > 1 {
            let from = event.from.as_deref().map(bare)?;
            found.retain(|bridge| bridge.first == from);
        }
        // Of several nobody can say which: only a mark could.
        let [bridge] = found[..] else {
            return None;
        };
        Some(News::Dialog(bridge.id))
    }
}

const FIRST: &str = "the first party did not take the call";
const REFER: &str = "the phone of the first party refused to call the second";

impl Bridge {
    fn rise(&mut self, step: Step) {
        self.step = self.step.max(step);
    }

    fn refused(&self, event: &Event, words: &str) -> Option<News> {
        if self.shared {
            return None;
        }
        let mut causes = event.causes.clone();
        if !words.is_empty() {
            causes.native = Some(match &causes.native {
                Some(native) => format!("{words}: {native}"),
                None => words.to_owned(),
            });
        }
        let mut report = Report::new(causes);
        if words == REFER {
            // Its status is not that of a call.
            report.disposition = Some(Disposition::Failed);
        } else if words == FIRST && report.causes.sip_status == Some(487) {
            // The server gave up: nobody else cancels it.
            report.disposition = Some(Disposition::NoAnswer);
        }
        Some(News::Over(self.id, report))
    }
}

/// A URI without angle brackets, parameters behind them, and headers.
fn bare(uri: &str) -> &str {
    let inside = uri.split_once('<').map_or(uri, |(_, rest)| rest);
    let inside = inside.split_once('>').map_or(inside, |(uri, _)| uri);
    let uri = inside.split_once('?').map_or(inside, |(uri, _)| uri);
    uri.trim()
}

#[cfg(test)]
mod tests {
    use super::{super::event::read, *};

    fn id(number: u128) -> CallId {
        CallId::from_uuid(uuid::Uuid::from_u128(number))
    }

    /// Two calls, to two parties.
    fn two() -> Bridges {
        let mut bridges = Bridges::default();
        bridges.open(id(1), "sip:a@h:5080", "<sip:one@h?X-Job=1>");
        bridges.open(id(2), "<sip:b@h:5080>", "<sip:two@h?X-Job=2>");
        bridges
    }

    fn told(bridges: &mut Bridges, payload: &str) -> Option<News> {
        bridges.told(&read(payload.as_bytes()).expect(payload))
    }

    fn leg(bridges: &mut Bridges, method: &str, call_id: &str) {
        let payload = format!(
            r#"{{"event":"local:request","method":"{method}","callid":"{call_id}","from":"sip:ctd@h","to":"sip:{call_id}@h:5080"}}"#
        );
        assert!(told(bridges, &payload).is_none());
    }

    fn notify(bridges: &mut Bridges, call_id: &str, state: &str, line: &str) -> Option<News> {
        let payload = format!(
            r#"{{"event":"bridge:notify","callid":"{call_id}","state":"{state}","sipfrag":"SIP/2.0 {line}"}}"#
        );
        told(bridges, &payload)
    }

    #[test]
    fn what_a_phone_tells_of_its_transfer_counts_for_its_call() {
        let mut bridges = two();
        leg(&mut bridges, "INVITE", "a");
        leg(&mut bridges, "INVITE", "a");
        leg(&mut bridges, "INVITE", "b");
        let over = notify(&mut bridges, "b", "terminated", "486 Busy Here");
        let Some(News::Over(call, report)) = over else {
            panic!("not over: {over:?}");
        };
        assert_eq!(call, id(2));
        assert_eq!(report.causes.sip_status, Some(486));
        assert_eq!(report.causes.native.as_deref(), Some("Busy Here"));
        let through = notify(&mut bridges, "a", "terminated", "200 OK");
        assert!(matches!(through, Some(News::Through(call)) if call == id(1)));
        assert!(notify(&mut bridges, "c", "terminated", "200 OK").is_none());
    }

    #[test]
    fn of_calls_to_one_phone_at_one_time_only_the_mark_tells_which_is_which() {
        let mut bridges = Bridges::default();
        bridges.open(id(1), "sip:a@h:5080", "sip:one@h");
        leg(&mut bridges, "INVITE", "a");
        // The leg of the first is known by now.
        bridges.open(id(2), "sip:b@h:5080", "sip:two@h");
        bridges.open(id(3), "sip:b@h:5080", "sip:three@h");
        leg(&mut bridges, "INVITE", "b");
        assert!(notify(&mut bridges, "b", "terminated", "486 Busy").is_none());
        assert!(notify(&mut bridges, "b", "terminated", "200 OK").is_none());
        let refused = r#"{"event":"leg_reply","callid":"b","method":"INVITE","code":486}"#;
        assert!(told(&mut bridges, refused).is_none());
        let mark = id(3).as_uuid();
        let new = format!(r#"{{"event":"call:new","callid":"n","job":"{mark}"}}"#);
        assert!(matches!(told(&mut bridges, &new), Some(News::Dialog(call)) if call == id(3)));
        assert!(notify(&mut bridges, "a", "terminated", "486 Busy").is_some());
    }

    #[test]
    fn the_dialog_of_a_call_is_known_by_its_mark_else_by_who_referred_it() {
        let mut bridges = two();
        let new = |job: &str, to: &str, by: &str| {
            format!(
                r#"{{"event":"call:new","callid":"n","from":"sip:agent@h:5080","to":"{to}","job":"{job}","referred_by":"{by}"}}"#
            )
        };
        let mark = id(2).as_uuid().to_string();
        let marked = told(&mut bridges, &new(&mark, "sip:other@h", ""));
        assert!(matches!(marked, Some(News::Dialog(call)) if call == id(2)));
        let foreign = id(9).as_uuid().to_string();
        assert!(told(&mut bridges, &new(&foreign, "sip:one@h", "sip:ctd@h")).is_none());
        // Nothing is known of the leg yet, and this is not whom the configuration names.
        assert!(told(&mut bridges, &new("<null>", "sip:one@h", "sip:ctd@h")).is_none());
        leg(&mut bridges, "INVITE", "a");
        leg(&mut bridges, "INVITE", "b");
        for (to, by, wanted) in [
            ("sip:one@h", "sip:ctd@h", Some(id(1))),
            ("sip:two@h", "<sip:ctd@h>", Some(id(2))),
            ("sip:two@h", "sip:somebody@h", None),
            ("sip:three@h", "sip:ctd@h", None),
        ] {
            let news = told(&mut bridges, &new("<null>", to, by));
            let found = news.and_then(|news| match news {
                News::Dialog(call) => Some(call),
                _ => None,
            });
            assert_eq!(found, wanted, "{to} by {by}");
        }
    }

    #[test]
    fn a_first_party_that_refuses_ends_the_call() {
        for (payload, disposition, words) in [
            (
                r#"{"event":"leg_reply","callid":"a","method":"INVITE","code":486,"reason":"Busy Here"}"#,
                None,
                "the first party did not take the call: Busy Here",
            ),
            (
                r#"{"event":"leg_reply","callid":"a","method":"REFER","code":603}"#,
                Some(Disposition::Failed),
                REFER,
            ),
            (
                r#"{"event":"call:failed","callid":"a","status":"480"}"#,
                None,
                FIRST,
            ),
        ] {
            let mut bridges = two();
            leg(&mut bridges, "INVITE", "a");
            let news = told(&mut bridges, payload);
            let Some(News::Over(call, report)) = news else {
                panic!("not over: {payload}");
            };
            assert_eq!(call, id(1));
            assert_eq!(report.disposition, disposition);
            assert_eq!(report.causes.native.as_deref(), Some(words));
        }
    }

    #[test]
    fn progress_of_a_leg_ends_nothing() {
        let mut bridges = two();
        leg(&mut bridges, "INVITE", "a");
        for payload in [
            r#"{"event":"leg_reply","callid":"a","method":"INVITE","code":180}"#,
            r#"{"event":"leg_reply","callid":"a","method":"INVITE","code":200}"#,
            r#"{"event":"leg_reply","callid":"a","method":"REFER","code":202}"#,
            r#"{"event":"leg_reply","callid":"a","method":"BYE","code":481}"#,
            r#"{"event":"leg_reply","callid":"x","method":"INVITE","code":486}"#,
            r#"{"event":"call:failed","callid":"a","status":"480"}"#,
        ] {
            assert!(told(&mut bridges, payload).is_none(), "{payload}");
        }
        assert!(notify(&mut bridges, "a", "active;expires=60", "100 Trying").is_none());
    }

    #[test]
    fn what_silence_means_depends_on_what_was_seen() {
        let silence = |bridges: &Bridges, events: bool| match bridges.silence(id(1), events) {
            Silence::Over(report) => report.disposition,
            Silence::Lost => None,
        };
        let mut bridges = two();
        assert_eq!(silence(&bridges, true), Some(Disposition::Unknown));
        leg(&mut bridges, "INVITE", "a");
        assert_eq!(silence(&bridges, true), Some(Disposition::NoAnswer));
        assert_eq!(silence(&bridges, false), Some(Disposition::Unknown));
        leg(&mut bridges, "REFER", "a");
        assert_eq!(silence(&bridges, true), None);
        notify(&mut bridges, "a", "terminated", "200 OK");
        assert_eq!(silence(&bridges, true), None);
        bridges.close(id(1));
        assert_eq!(silence(&bridges, true), Some(Disposition::Unknown));
    }

    #[test]
    fn a_uri_is_compared_without_what_stands_around_it() {
        for text in [
            "sip:a@h;transport=tcp",
            "<sip:a@h;transport=tcp>;tag=5",
            "\"A\" <sip:a@h;transport=tcp?X-Job=1>",
            " sip:a@h;transport=tcp?X-Job=1",
        ] {
            assert_eq!(bare(text), "sip:a@h;transport=tcp", "{text}");
        }
    }
}
