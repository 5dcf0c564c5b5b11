//! Calls that `dlg.bridge_dlg` was asked for, until their dialog is known. Sans-IO.
//!
//! The request is answered at once, whatever happens. What follows is two calls: Kamailio calls the
//! first party's phone (the leg), asks it to call the second party (REFER) and hangs up; the phone's own
//! call is the one that the books follow. The leg is no dialog of the server; events tell of it.

use std::collections::VecDeque;

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
    /// The INVITE of the leg was taken back, or the server has none any more.
    cancelled: bool,
    /// The INVITE of the leg had its final answer when it was to be taken back.
    answered: bool,
    /// Events were lost since it was asked for: what was not told may have happened.
    blind: bool,
    /// Why its INVITE failed, told before it is known that nothing else is tried.
    cause: Option<Causes>,
    /// Another call goes to the same first party at the same time, of ours or of somebody else: nobody
    /// can say whose leg is whose. Only a mark tells then.
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

/// What it means that no dialog came in time.
#[derive(Debug)]
pub(super) enum Silence {
    /// It ended so.
    Over(Report),
    /// It may be up, where nobody sees it: why.
    Lost(&'static str),
}

/// Those that are open, the oldest first.
#[derive(Default)]
pub(super) struct Bridges {
    open: Vec<Bridge>,
    /// Who sends the legs, as far as the configuration knows.
    controller: String,
    /// What was told of legs that nobody has yet, the oldest first: the server's processes tell of one leg
    /// in any order.
    early: VecDeque<Event>,
}

/// Events that wait for their leg at most.
const MAX_EARLY: usize = 256;

impl Bridges {
    pub(super) fn new(controller: &str) -> Self {
        Self {
            controller: bare(controller).to_owned(),
            ..Self::default()
        }
    }

    /// `blind` if no events come.
    pub(super) fn open(&mut self, id: CallId, first: &str, second: &str, blind: bool) {
        let first = bare(first);
        // While no events come, legs of others to the same party are not seen either.
        let mut shared = blind;
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
            cancelled: false,
            answered: false,
            blind,
            cause: None,
            shared,
        });
    }

    /// The call has its dialog, or is over.
    pub(super) fn close(&mut self, id: CallId) {
        self.open.retain(|bridge| bridge.id != id);
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.early.clear();
    }

    pub(super) fn keep(&mut self, wanted: impl Fn(CallId) -> bool) {
        self.open.retain(|bridge| wanted(bridge.id));
        if self.open.is_empty() {
            self.early.clear();
        }
    }

    /// Reads what an event means for the calls here.
    pub(super) fn told(&mut self, event: &Event) -> Option<News> {
        let news = self.read(event);
        match &event.meaning {
            // Whose leg it is may be known only now.
            Meaning::Leg(_) if self.has_leg(event) => {
                let is_its = |it: &Event| it.call_id == event.call_id;
                let (its, others): (VecDeque<_>, _) = self.early.drain(..).partition(is_its);
                self.early = others;
                news.or_else(|| its.iter().find_map(|early| self.read(early)))
            }
            Meaning::LegReply(_) | Meaning::Notify { .. }
                if !self.open.is_empty() && !self.has_leg(event) =>
            {
                if self.early.len() >= MAX_EARLY {
                    self.early.pop_front();
                }
                self.early.push_back(event.clone());
                news
            }
            _ => news,
        }
    }

    fn read(&mut self, event: &Event) -> Option<News> {
        match &event.meaning {
            Meaning::Leg(method) if method == "INVITE" => self.called(event),
            Meaning::Leg(method) if method == "REFER" => {
                self.referred(event);
                None
            }
            Meaning::LegReply(method) => self.replied(method, event),
            // The leg goes through the server's own script: then it is a dialog, too.
            Meaning::Failed => {
                self.early_leg(event)?.cause = Some(event.causes.clone());
                None
            }
            Meaning::Refused => {
                let bridge = self.early_leg(event)?;
                bridge.refused(event.causes.clone(), FIRST)
            }
            Meaning::DialogFailed => {
                let bridge = self.early_leg(event)?;
                let told = bridge.cause.take();
                let told = told.filter(|_| event.causes.sip_status.is_none());
                let causes = told.unwrap_or_else(|| event.causes.clone());
                bridge.refused(causes, FIRST)
            }
            Meaning::Notify { last } => self.notified(*last, event),
            Meaning::New { referred_by } => self.began(referred_by.as_deref(), event),
            _ => None,
        }
    }

    /// No events come any longer.
    pub(super) fn blind(&mut self) {
        for bridge in &mut self.open {
            bridge.blind = true;
            bridge.shared |= bridge.leg.is_none();
        }
    }

    /// The Call-ID of a leg that rings and can be taken back.
    pub(super) fn ringing_leg(&self, id: CallId) -> Option<String> {
        let bridge = self.open.iter().find(|bridge| bridge.id == id)?;
        let rings = bridge.step == Step::Called && !bridge.shared && !bridge.cancelled;
        bridge.leg.clone().filter(|_| rings)
    }

    /// The leg's INVITE had its final answer. Answers whether that was known, and nothing tells which.
    pub(super) fn had_answer(&mut self, id: CallId) -> bool {
        let mut all = self.open.iter_mut();
        all.find(|bridge| bridge.id == id)
            .is_none_or(|bridge| std::mem::replace(&mut bridge.answered, true))
    }

    /// The leg's INVITE was taken back, or is over.
    pub(super) fn cancelled(&mut self, id: CallId) {
        let mut all = self.open.iter_mut();
        if let Some(bridge) = all.find(|bridge| bridge.id == id) {
            bridge.cancelled = true;
        }
    }

    /// What is known of a call that has no dialog by the end of its ring time. Unless its leg was taken
    /// back, the server may still ring the first party, or its phone may call past the server.
    pub(super) fn silence(&self, id: CallId) -> Silence {
        let bridge = self.open.iter().find(|bridge| bridge.id == id);
        Silence::Lost(match bridge.map_or(Step::Asked, |bridge| bridge.step) {
            Step::Through | Step::Answered => {
                "the first party answered, and no call of its phone was seen at this server"
            }
            Step::Called if bridge.is_some_and(|it| it.cancelled && !it.blind) => {
                let words = "the first party did not answer, is busy, or was not reached";
                let mut report = Report::new(Causes::new().with_native(words));
                report.disposition = Some(Disposition::NoAnswer);
                return Silence::Over(report);
            }
            Step::Called => "the first party was called, and nothing tells what became of it",
            Step::Asked => "nothing tells whether the first party was called",
        })
    }

    /// Whether calls of ours have no dialog yet.
    pub(super) fn is_any(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether an event is of a leg of a call here.
    pub(super) fn has_leg(&self, event: &Event) -> bool {
        let mut legs = self.open.iter().filter_map(|it| it.leg.as_deref());
        legs.any(|leg| Some(leg) == event.call_id.as_deref())
    }

    fn leg(&mut self, event: &Event) -> Option<&mut Bridge> {
        let call_id = event.call_id.as_deref()?;
        let mut all = self.open.iter_mut();
        all.find(|bridge| bridge.leg.as_deref() == Some(call_id))
    }

    /// A leg whose party did not answer yet.
    fn early_leg(&mut self, event: &Event) -> Option<&mut Bridge> {
        self.leg(event)
            .filter(|bridge| bridge.step < Step::Answered)
    }

    /// A phone is asked to call the second party. Whose leg it is shows in the address, which carries
    /// the mark.
    fn referred(&mut self, event: &Event) {
        let named = event.refer_to.as_deref().and_then(|refer_to| {
            let is_it = |it: &Bridge| refer_to.contains(&it.id.as_uuid().to_string());
            self.open.iter().position(is_it)
        });
        if let Some(at) = named {
            for (index, bridge) in self.open.iter_mut().enumerate() {
                if index == at {
                    bridge.leg.clone_from(&event.call_id);
                    bridge.shared = false;
                } else if bridge.leg == event.call_id {
                    bridge.give_back();
                }
            }
        } else if event.refer_to.is_some() {
            // Each order of ours has its mark: it is somebody else's.
            if let Some(bridge) = self.leg(event) {
                bridge.give_back();
            }
            return;
        }
        if let Some(bridge) = self.leg(event) {
            bridge.rise(Step::Answered);
        }
    }

    /// The INVITE of a leg goes out.
    fn called(&mut self, event: &Event) -> Option<News> {
        if self.leg(event).is_some() {
            return None;
        }
        let to = event.to.as_deref().or(event.ruri.as_deref()).map(bare)?;
        let mut its = self.open.iter_mut().filter(|bridge| bridge.first == to);
        let Some(bridge) = its.find(|bridge| bridge.leg.is_none()) else {
            // Somebody else has the same party called.
            // What its REFER named stays its own.
            let unnamed = |it: &&mut Bridge| it.first == to && it.step < Step::Answered;
            for bridge in self.open.iter_mut().filter(unnamed) {
                bridge.shared = true;
            }
            return None;
        };
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
            ("INVITE", 300..) => bridge.refused(event.causes.clone(), FIRST),
            ("REFER", 300..) => bridge.refused(event.causes.clone(), REFER),
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
            300.. if last => bridge.refused(event.causes.clone(), ""),
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
            // A phone calls when its leg was answered.
            if bridge.leg.is_some() && !bridge.blind && bridge.step < Step::Answered {
                return false;
            }
            // Without events of legs the configuration says who sends them.
            let controller = bridge.controller.as_deref();
            controller.unwrap_or(&self.controller) == by && bridge.second == to
        };
        let mut found: Vec<_> = self.open.iter().filter(refers).collect();
        if found.len() > 1 {
            // The phone's own name need not be that of the party.
            let from = user(event.from.as_deref()?);
            found.retain(|bridge| user(&bridge.first) == from);
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
    /// The leg that was taken for its own is another's.
    fn give_back(&mut self) {
        self.leg = None;
        self.cause = None;
        self.step = Step::Asked;
    }

    fn rise(&mut self, step: Step) {
        self.step = self.step.max(step);
    }

    fn refused(&self, causes: Causes, words: &str) -> Option<News> {
        if self.shared {
            return None;
        }
        let mut causes = causes;
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

/// The user part of a URI: an address and what is registered for it have the same.
fn user(uri: &str) -> &str {
    let uri = bare(uri);
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split_once('@').map_or(rest, |(user, _)| user)
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
        bridges.open(id(1), "sip:a@h:5080", "<sip:one@h?X-Job=1>", false);
        bridges.open(id(2), "<sip:b@h:5080>", "<sip:two@h?X-Job=2>", false);
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
        bridges.open(id(1), "sip:a@h:5080", "sip:one@h", false);
        leg(&mut bridges, "INVITE", "a");
        // The leg of the first is known by now.
        bridges.open(id(2), "sip:b@h:5080", "sip:two@h", false);
        bridges.open(id(3), "sip:b@h:5080", "sip:three@h", false);
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
        // Nor did one of the parties answer.
        assert!(told(&mut bridges, &new("<null>", "sip:one@h", "sip:ctd@h")).is_none());
        for call_id in ["a", "b"] {
            let answered = format!(
                r#"{{"event":"leg_reply","callid":"{call_id}","method":"INVITE","code":200}}"#
            );
            assert!(told(&mut bridges, &answered).is_none());
        }
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
                r#"{"event":"dialog:failed","callid":"a","rs":"480"}"#,
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
    fn only_a_leg_that_was_taken_back_says_that_nobody_answered() {
        let silence = |bridges: &Bridges| match bridges.silence(id(1)) {
            Silence::Over(report) => report.disposition,
            Silence::Lost(_) => None,
        };
        let mut bridges = two();
        assert_eq!(
            (silence(&bridges), bridges.ringing_leg(id(1))),
            (None, None)
        );
        leg(&mut bridges, "INVITE", "a");
        assert_eq!(silence(&bridges), None);
        assert_eq!(bridges.ringing_leg(id(1)).as_deref(), Some("a"));
        bridges.cancelled(id(1));
        assert_eq!(silence(&bridges), Some(Disposition::NoAnswer));
        assert_eq!(bridges.ringing_leg(id(1)), None);
        // It answered all the same.
        leg(&mut bridges, "REFER", "a");
        assert_eq!(silence(&bridges), None);
        // Whoever missed events does not know.
        let mut bridges = two();
        leg(&mut bridges, "INVITE", "a");
        bridges.blind();
        bridges.cancelled(id(1));
        assert_eq!(silence(&bridges), None);
        // An answer that is not told is asked for once more.
        assert!(!bridges.had_answer(id(1)));
        assert!(bridges.had_answer(id(1)));
    }

    #[test]
    fn the_address_in_a_refer_tells_whose_leg_it_is() {
        let mut bridges = Bridges::default();
        bridges.open(id(1), "sip:a@h:5080", "sip:one@h", false);
        leg(&mut bridges, "INVITE", "stranger");
        leg(&mut bridges, "INVITE", "a");
        let busy = r#"{"event":"leg_reply","callid":"stranger","method":"INVITE","code":486}"#;
        assert!(told(&mut bridges, busy).is_none());
        let foreign = r#"{"event":"leg","method":"REFER","callid":"stranger","from":"sip:ctd@h","to":"sip:a@h:5080","refer_to":"sip:other@h"}"#;
        assert!(told(&mut bridges, foreign).is_none());
        assert!(notify(&mut bridges, "stranger", "terminated", "200 OK").is_none());
        let refer = format!(
            r#"{{"event":"leg","method":"REFER","callid":"a","from":"sip:ctd@h","to":"sip:a@h:5080","refer_to":"<sip:one@h?X-Job={}>"}}"#,
            id(1).as_uuid()
        );
        assert!(told(&mut bridges, &refer).is_none());
        let through = notify(&mut bridges, "a", "terminated", "200 OK");
        assert!(matches!(through, Some(News::Through(call)) if call == id(1)));
    }

    #[test]
    fn a_leg_that_fails_at_one_destination_is_not_over() {
        let mut bridges = two();
        leg(&mut bridges, "INVITE", "a");
        let failed = r#"{"event":"call:failed","callid":"a","status":"408","reason":"Timeout"}"#;
        assert!(told(&mut bridges, failed).is_none());
        let over = r#"{"event":"dialog:failed","callid":"a","rs":"<null>"}"#;
        let Some(News::Over(_, report)) = told(&mut bridges, over) else {
            panic!("not over");
        };
        assert_eq!(report.causes.sip_status, Some(408));
        leg(&mut bridges, "INVITE", "b");
        let refused = r#"{"event":"refused","callid":"b","code":404}"#;
        assert!(matches!(told(&mut bridges, refused), Some(News::Over(call, _)) if call == id(2)));
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
