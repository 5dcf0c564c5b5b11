//! Calls of ours whose events come in any order: a busy server's processes tell of one call side by side.

use std::time::{Duration, Instant};

use faxbot_core::{
    Private, Timestamp,
    id::CallId,
    sip::{CallRecord, Disposition, HistoryQuery},
};
use proptest::prelude::*;

use super::{desk::Desk, event::read};
use crate::adapter::{
    calls::Now,
    dialogs::{NewOurs, Seen, Stage, Todo},
    hub::Book as _,
};

const SECOND: Duration = Duration::from_secs(1);

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Both parties talk, and hang up.
    Talks,
    /// The second party is busy.
    SecondBusy,
    /// The first party is busy.
    FirstBusy,
}

/// A call as the server sees it.
struct Truth {
    id: CallId,
    fate: Fate,
    first: String,
    second: String,
    number: usize,
}

impl Truth {
    fn new(number: usize, fate: Fate, one_phone: bool) -> Self {
        let phone = if one_phone { 0 } else { number };
        Self {
            id: CallId::from_uuid(uuid::Uuid::from_u128(number as u128 + 1)),
            fate,
            first: format!("sip:agent{phone}@h:5080"),
            second: format!("sip:customer{number}@h"),
            number,
        }
    }

    /// What its server tells, in the order in which it happens, and from when on the dialog is listed.
    fn events(&self) -> Vec<String> {
        let leg = format!(r#""callid":"leg{}""#, self.number);
        let its = |event: &str, more: &str| {
            format!(
                r#"{{"event":"{event}","callid":"call{0}","from_tag":"tag","h_entry":{0},"h_id":7,"job":"{1}"{more}}}"#,
                self.number,
                self.id.as_uuid()
            )
        };
        let of_leg = |event: &str, method: &str, more: &str| {
            format!(r#"{{"event":"{event}",{leg},"method":"{method}"{more}}}"#)
        };
        let sent = format!(r#","from":"sip:faxbot@h","to":"{}""#, self.first);
        let refer_to = format!(
            r#"{sent},"refer_to":"<{}?X-Job={}>""#,
            self.second,
            self.id.as_uuid()
        );
        let parties = format!(r#","from":"{}","to":"{}""#, self.first, self.second);
        let notify = |line: &str, state: &str| {
            format!(r#"{{"event":"notify",{leg},"code":{line},"state":"{state}"}}"#)
        };
        let mut all = vec![of_leg("leg", "INVITE", &sent)];
        if self.fate == Fate::FirstBusy {
            all.push(of_leg("leg_reply", "INVITE", r#","code":486"#));
            return all;
        }
        all.extend([
            of_leg("leg_reply", "INVITE", r#","code":200"#),
            of_leg("leg", "REFER", &refer_to),
            of_leg("leg_reply", "REFER", r#","code":202"#),
            notify("100", "active"),
            of_leg("leg", "BYE", &sent),
            of_leg("leg_reply", "BYE", r#","code":200"#),
            its("new", &parties),
            its("progress", r#","code":180"#),
        ]);
        if self.fate == Fate::SecondBusy {
            all.extend([
                its("failed", r#","code":486"#),
                its("dialog_failed", r#","code":486"#),
                notify("486", "terminated"),
            ]);
        } else {
            all.extend([
                its("start", &parties),
                notify("200", "terminated"),
                its("bye", ""),
                its("end", r#","who":"caller""#),
            ]);
        }
        all
    }

    /// The dialog as it is listed when so many of the events happened.
    fn listed(&self, happened: usize) -> Option<Seen> {
        let stage = match (self.fate, happened) {
            (Fate::FirstBusy, _) | (_, ..8) => return None,
            (_, 8) => Stage::Begun,
            (_, 9) => Stage::Early,
            (Fate::SecondBusy, 10) => Stage::Early,
            (Fate::SecondBusy, _) | (Fate::Talks, 13..) => Stage::Over,
            (Fate::Talks, _) => Stage::Up,
        };
        let at = Timestamp::from_unix_seconds(1_795_248_000).ok()?;
        let answered = (self.fate == Fate::Talks && happened >= 10).then_some(at);
        Some(Seen {
            call_id: format!("call{}", self.number),
            from_tag: "tag".to_owned(),
            to_tag: None,
            stage,
            from: Some(self.first.clone()),
            to: Some(self.second.clone()),
            handle: format!("{}:7", self.number),
            mark: Some(self.id),
            begun: Some(at),
            answered,
            ended: None,
        })
    }
}

struct Bench {
    desk: Desk,
    now: Now,
}

impl Bench {
    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.wall = self.now.wall + time;
        self.desk.timeout(self.now);
        self.work();
    }

    fn work(&mut self) {
        for todo in self.desk.take_todo() {
            match todo {
                Todo::Settle(id) => drop(self.desk.dialogs.settle(id, self.now)),
                Todo::Unreached(id) => drop(self.desk.unreached(id, self.now)),
                Todo::HangUp(_) | Todo::Look(_) | Todo::Poll => {}
            }
        }
    }

    fn list(&mut self, calls: &[Truth], happened: &[usize]) {
        let seen = calls.iter().zip(happened);
        let seen = seen.filter_map(|(call, happened)| call.listed(*happened));
        let _ = self.desk.listed(seen.collect(), true, self.now);
        self.work();
    }
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        3 => Just(Fate::Talks),
        4 => Just(Fate::SecondBusy),
        1 => Just(Fate::FirstBusy),
    ];
    prop::collection::vec(fate, 1..4)
}

/// How the events of a run come.
struct Way {
    one_phone: bool,
    /// How many tenths of the way to its successor an event is late.
    late: Vec<usize>,
    /// How often an event comes.
    times: Vec<usize>,
    /// After which events a list is asked for.
    lists: Vec<bool>,
}

/// The records of calls with these fates; the places of their events in the order in which they came.
fn run(fates: &[Fate], way: &Way) -> (Vec<(CallId, Vec<usize>)>, Vec<CallRecord>) {
    let numbered = fates.iter().enumerate();
    let calls: Vec<_> = numbered
        .map(|(number, fate)| Truth::new(number, *fate, way.one_phone))
        .collect();
    let mut bench = Bench {
        desk: Desk::new("sip:faxbot@h"),
        now: Now {
            instant: Instant::now(),
            wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
        },
    };
    bench.desk.set_events(true);
    bench.list(&calls, &vec![0; calls.len()]);
    for call in &calls {
        let new = NewOurs {
            id: call.id,
            from: None,
            to: Private::new(call.second.clone()),
            ring_timeout: 60 * SECOND,
        };
        let second = format!("<{}?X-Job={}>", call.second, call.id.as_uuid());
        let opened = bench.desk.open(new, &call.first, &second, bench.now);
        opened.unwrap();
        assert!(bench.desk.requested(call.id, bench.now));
        let _ = bench.desk.taken(call.id, bench.now);
    }
    let mut told = Vec::new();
    for call in &calls {
        for (place, event) in call.events().into_iter().enumerate() {
            let at = call.number * 17 + place;
            let late = way.late[at % way.late.len()];
            for again in 0..way.times[at % way.times.len()] {
                told.push((
                    place * 10 + late + again * 5,
                    call.number,
                    place,
                    event.clone(),
                ));
            }
        }
    }
    told.sort();
    let mut happened = vec![0; calls.len()];
    for (number, (_, call, place, event)) in told.iter().enumerate() {
        happened[*call] = happened[*call].max(place + 1);
        let _ = bench.desk.told(&read(event.as_bytes()).unwrap(), bench.now);
        bench.work();
        if way.lists[number % way.lists.len()] {
            bench.list(&calls, &happened);
        }
        bench.pass(Duration::from_millis(5));
    }
    let all: Vec<_> = calls.iter().map(|call| call.events().len()).collect();
    for _ in 0..3 {
        bench.list(&calls, &all);
        bench.pass(2 * SECOND);
    }
    for _ in 0..20 {
        bench.list(&[], &[]);
        bench.pass(5 * SECOND);
    }
    assert_eq!(bench.desk.calls().live().count(), 0);
    let query = HistoryQuery::default();
    let page = bench.desk.dialogs.history(&query, bench.now.instant);
    let order = |number| told.iter().filter(move |it| it.1 == number).map(|it| it.2);
    let orders = calls
        .iter()
        .map(|call| (call.id, order(call.number).collect()));
    (orders.collect(), page.unwrap().items)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn events_in_any_order_make_one_record_of_each_call(
        fates in fates(),
        one_phone: bool,
        late in prop::collection::vec(0usize..70, 60),
        lists in prop::collection::vec(prop::bool::weighted(0.2), 60),
    ) {
        // Of several calls to one phone nobody can say whose leg was refused.
        let one_phone = one_phone && !fates.contains(&Fate::FirstBusy);
        let way = Way { one_phone, late, times: vec![1], lists };
        let (calls, records) = run(&fates, &way);
        prop_assert_eq!(records.len(), calls.len(), "{:?}", records);
        for ((id, order), fate) in calls.iter().zip(&fates) {
            let record = records.iter().find(|it| it.id == Some(*id));
            let disposition = record.map(|it| it.disposition);
            let wanted = match fate {
                Fate::Talks => Disposition::Answered,
                Fate::SecondBusy | Fate::FirstBusy => Disposition::Busy,
            };
            prop_assert_eq!(disposition, Some(wanted), "{:?} {:?} {:?}", fate, order, record);
        }
    }

    #[test]
    fn events_that_are_lost_or_come_twice_make_no_call_of_none_and_no_answer_of_none(
        fates in fates(),
        one_phone: bool,
        late in prop::collection::vec(0usize..70, 60),
        times in prop::collection::vec(prop_oneof![1 => Just(0usize), 4 => Just(1), 1 => Just(2)], 60),
        lists in prop::collection::vec(prop::bool::weighted(0.2), 60),
    ) {
        let way = Way { one_phone, late, times, lists };
        let (calls, records) = run(&fates, &way);
        for record in &records {
            let call = calls.iter().zip(&fates).find(|((id, _), _)| record.id == Some(*id));
            prop_assert!(call.is_some(), "{:?} {:?}", calls, record);
            let answered = record.disposition == Disposition::Answered;
            let talks = call.is_some_and(|(_, fate)| *fate == Fate::Talks);
            prop_assert!(talks || !answered, "{:?} {:?}", calls, record);
        }
        prop_assert!(records.len() <= calls.len());
    }
}

/// A MESSAGE whose answer was late comes again (RFC 3261 section 17.1.2.2).
#[test]
fn a_message_that_comes_again_is_told_once() {
    let mut desk = Desk::new("sip:faxbot@h");
    let mut now = Now {
        instant: Instant::now(),
        wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
    };
    let mut came = |call_id: &str, cseq: &str, later: Duration| {
        now.instant += later;
        let event = format!(
            r#"{{"event":"message","callid":"{call_id}"{cseq},"from":"sip:a@h","body":"hello"}}"#
        );
        desk.told(&read(event.as_bytes()).unwrap(), now).len()
    };
    let (once, twice) = (r#","cseq":1"#, r#","cseq":2"#);
    assert_eq!(came("a", once, Duration::ZERO), 1);
    assert_eq!(came("a", once, SECOND), 0);
    assert_eq!(came("a", twice, SECOND), 1);
    assert_eq!(came("b", once, SECOND), 1);
    assert_eq!(came("a", once, 32 * SECOND), 1);
    // Nothing tells the messages of an older script apart.
    assert_eq!(came("c", "", SECOND), 1);
    assert_eq!(came("c", "", SECOND), 1);
}
