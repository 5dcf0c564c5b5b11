use std::time::Duration;

use faxbot_core::message::MessageState::{Delivered, Failed, OutcomeUnknown, Queued, Sent};
use proptest::prelude::*;

use super::*;

struct Bench {
    book: Book,
    rules: Rules,
    begin: Instant,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        let begin = Instant::now();
        Self {
            book: Book::default(),
            rules: Rules {
                poll: Backoff::new(Duration::from_secs(5), Duration::from_secs(300))
                    .with_jitter(0.0),
                patience: Duration::from_secs(86_400),
                retention: Duration::from_secs(3600),
                retained: 100,
                open: 100,
            },
            begin,
            now: Now {
                instant: begin,
                wall: Timestamp::UNIX_EPOCH,
                random: 0,
            },
        }
    }

    fn at(&mut self, seconds: u64) {
        let wait = Duration::from_secs(seconds);
        self.now.instant = self.begin + wait;
        self.now.wall = Timestamp::UNIX_EPOCH + wait;
    }

    fn begin(&mut self, reference: &str) -> Key {
        self.book
            .begin(reference, MessageKind::Sms, &self.rules, self.now)
            .unwrap()
    }

    fn accepted(&mut self, key: Key, id: &str) -> String {
        self.book.accepted(key, id, &self.rules, self.now)
    }

    fn report(&mut self, id: &str, reference: Option<&str>, state: MessageState) {
        let mut report = MessageReport::new(id, Some(state), format!("{state:?}"));
        report.reference = reference.map(str::to_owned);
        self.book.report(report, Authenticity::Signed, self.now);
    }

    fn state(&mut self, name: &str) -> Option<MessageState> {
        match self.book.look(name, &self.rules, self.now) {
            Look::Unknown => None,
            Look::Known(status) => Some(status.status),
            Look::Ask(key, _) => self.book.status(key).map(|status| status.status),
        }
    }

    fn told(&mut self) -> Vec<(String, MessageState)> {
        let changes = self.book.changes().into_iter();
        changes.map(|c| (c.message_id, c.status)).collect()
    }

    fn due(&mut self) -> Due {
        self.book.due(&self.rules, self.now)
    }
}

fn told(rows: &[(&str, MessageState)]) -> Vec<(String, MessageState)> {
    rows.iter()
        .map(|(id, state)| ((*id).to_owned(), *state))
        .collect()
}

#[test]
fn a_message_is_asked_for_ever_more_rarely_and_given_up() {
    let mut bench = Bench::new();
    let key = bench.begin("r");
    assert_eq!(bench.due(), Due::Idle);
    bench.accepted(key, "v");
    let mut asked = Vec::new();
    loop {
        match bench.due() {
            Due::At(at) => {
                let seconds = (at - bench.begin).as_secs();
                bench.at(seconds);
            }
            Due::Ask(found, question) => {
                assert_eq!((found, question), (key, Question::Status("v".into())));
                asked.push((bench.now.instant - bench.begin).as_secs());
            }
            Due::Idle => break,
        }
    }
    assert_eq!(asked[..6], [5, 10, 20, 40, 80, 160]);
    assert_eq!(asked[7] - asked[6], 300);
    assert!(asked.last().is_some_and(|last| *last < 86_400));
    assert_eq!(bench.told(), told(&[("v", OutcomeUnknown)]));
    // Whoever wants to know still asks.
    assert!(matches!(
        bench.book.look("v", &bench.rules, bench.now),
        Look::Ask(..)
    ));
}

#[test]
fn a_refusal_after_a_proof_of_the_vendor_is_none() {
    let mut bench = Bench::new();
    let key = bench.begin("r");
    bench.report("v", Some("r"), Sent);
    let id = bench.book.refused(key, &bench.rules, bench.now);
    assert_eq!(id.as_deref(), Some("v"));
    assert_eq!(bench.state("v"), Some(Sent));
    let other = bench.begin("s");
    assert_eq!(bench.book.refused(other, &bench.rules, bench.now), None);
    assert_eq!(bench.state("s"), Some(Failed));
    assert_eq!(bench.told(), told(&[("v", Sent), ("s", Failed)]));
    assert_eq!(bench.book.counts(), (1, 1));
}

#[test]
fn a_report_without_our_reference_waits_for_the_answers() {
    let mut bench = Bench::new();
    let (one, two) = (bench.begin("r"), bench.begin("s"));
    bench.report("w", None, Delivered);
    bench.report("others", None, Delivered);
    assert!(bench.told().is_empty());
    bench.accepted(one, "v");
    assert!(bench.told().is_empty());
    bench.accepted(two, "w");
    // The last request is answered: what is left is of others.
    assert_eq!(
        bench.told(),
        told(&[("w", Delivered), ("others", Delivered)])
    );
    assert_eq!(bench.state("v"), Some(Queued));
    assert_eq!(bench.book.counts(), (1, 2));
}

#[test]
fn reports_that_wait_are_bounded_and_none_is_lost() {
    let mut bench = Bench::new();
    bench.rules.retained = 1000;
    let key = bench.begin("r");
    for number in 0..EARLY + 3 {
        bench.report(&format!("v{number}"), None, Delivered);
    }
    assert_eq!(bench.book.early.len(), EARLY);
    assert_eq!(bench.told().len(), 3);
    // One that went for a stranger's is this message's after all.
    assert_eq!(bench.accepted(key, "v0"), "v0");
    assert_eq!(bench.state("r"), Some(Delivered));
    assert_eq!(bench.told()[0], ("v0".to_owned(), Delivered));
    assert_eq!(bench.book.records.len(), bench.book.over.len());
    assert_eq!(bench.book.records.len(), EARLY + 3);
}

#[test]
fn another_message_under_our_reference_is_none_of_ours() {
    let mut bench = Bench::new();
    let key = bench.begin("r");
    bench.accepted(key, "v");
    bench.report("x", Some("r"), Failed);
    assert_eq!(bench.state("r"), Some(Queued));
    assert_eq!(bench.state("x"), Some(Failed));
}

#[test]
fn what_was_given_up_is_known_by_our_reference_for_ever() {
    let mut bench = Bench::new();
    let key = bench.begin("r");
    bench.book.gave_up(key, &bench.rules, bench.now);
    bench.book.gave_up(key, &bench.rules, bench.now);
    bench.at(5);
    let since = Timestamp::UNIX_EPOCH - SKEW;
    let reference = "r".to_owned();
    assert_eq!(
        bench.due(),
        Due::Ask(key, Question::Find { reference, since })
    );
    assert_eq!(bench.accepted(key, "v"), "v");
    bench.at(10);
    assert_eq!(bench.due(), Due::Ask(key, Question::Status("v".into())));
    bench.report("v", None, Delivered);
    assert_eq!(
        bench.told(),
        told(&[("r", OutcomeUnknown), ("r", Delivered)])
    );
    assert_eq!(bench.due(), Due::Idle);
}

#[test]
fn what_is_over_goes_by_time_and_by_number() {
    let mut bench = Bench::new();
    bench.rules.retained = 2;
    for number in 0..4 {
        let key = bench.begin(&format!("r{number}"));
        bench.accepted(key, &format!("v{number}"));
        bench.report(&format!("v{number}"), None, Delivered);
    }
    assert_eq!(bench.state("v1"), None);
    assert_eq!(bench.state("v2"), Some(Delivered));
    bench.at(3601);
    assert_eq!(bench.state("v3"), None);
    assert!(bench.book.names.is_empty() && bench.book.records.is_empty());
    assert!(bench.book.looks.is_empty() && bench.book.over.is_empty());
}

#[test]
fn debug_shows_numbers_of_messages_and_nothing_of_them() {
    let mut bench = Bench::new();
    bench.begin("r");
    assert_eq!(format!("{:?}", bench.book), "Book { open: 1, over: 0, .. }");
}

#[derive(Debug, Clone)]
enum Move {
    Begin,
    Accept(usize),
    Refuse(usize),
    GiveUp(usize),
    Report(usize, bool, MessageState),
    Look(usize),
    Wait(u64),
    Stop,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let states = prop::sample::select(vec![Queued, Sent, Delivered, Failed, OutcomeUnknown]);
    let one = prop_oneof![
        Just(Move::Begin),
        (0..6_usize).prop_map(Move::Accept),
        (0..6_usize).prop_map(Move::Refuse),
        (0..6_usize).prop_map(Move::GiveUp),
        (0..8_usize, any::<bool>(), states).prop_map(|(n, named, s)| Move::Report(n, named, s)),
        (0..8_usize).prop_map(Move::Look),
        (1..4000_u64).prop_map(Move::Wait),
        Just(Move::Stop),
    ];
    prop::collection::vec(one, 0..60)
}

proptest! {
    #[test]
    fn no_order_of_anything_moves_a_message_back_or_leaves_a_trace(moves in moves()) {
        let mut bench = Bench::new();
        let mut keys = Vec::new();
        let mut seconds = 0;
        let mut last: HashMap<String, MessageState> = HashMap::new();
        for step in moves {
            match step {
                Move::Begin => keys.push(bench.begin(&format!("r{}", keys.len()))),
                Move::Accept(n) => {
                    if let Some(key) = keys.get(n).copied() {
                        bench.accepted(key, &format!("v{n}"));
                    }
                }
                Move::Refuse(n) => {
                    if let Some(key) = keys.get(n).copied() {
                        bench.book.refused(key, &bench.rules, bench.now);
                    }
                }
                Move::GiveUp(n) => {
                    if let Some(key) = keys.get(n).copied() {
                        bench.book.gave_up(key, &bench.rules, bench.now);
                    }
                }
                Move::Report(n, named, state) => {
                    let reference = format!("r{n}");
                    bench.report(&format!("v{n}"), named.then_some(reference.as_str()), state);
                }
                Move::Look(n) => {
                    bench.state(&format!("v{n}"));
                }
                Move::Wait(more) => {
                    seconds += more;
                    bench.at(seconds);
                    while matches!(bench.due(), Due::Ask(..)) {}
                }
                Move::Stop => bench.book.stopped(&bench.rules, bench.now),
            }
            for (id, state) in bench.told() {
                // Messages that were forgotten may come back as those of others.
                let known = last.insert(id.clone(), state);
                if let Some(before) = known.filter(|_| seconds < 3600) {
                    prop_assert_eq!(before.advance(state), state, "{} went back", id);
                }
            }
            let book = &bench.book;
            let sending = book.records.values().filter(|r| r.stage == Stage::Sending).count();
            prop_assert_eq!(book.sending, sending);
            let over = book.records.values().filter(|r| r.stage == Stage::Over).count();
            prop_assert_eq!(book.over.len(), over);
            prop_assert!(book.names.values().all(|key| book.records.contains_key(key)));
            for (at, key) in &book.looks {
                prop_assert_eq!(book.records.get(key).and_then(|r| r.next), Some(*at));
            }
            let open = book.records.values().filter(|r| r.stage == Stage::Open).count();
            prop_assert_eq!(book.looks.len(), open);
        }
    }
}

#[test]
fn the_vendors_words_are_those_of_the_state() {
    let mut bench = Bench::new();
    let key = bench.begin("r");
    bench.accepted(key, "m");
    for (state, word, shown) in [
        (Some(Sent), "Dispatched/401", "Dispatched/401"),
        (None, "Strange", "Strange"),
        (Some(Failed), "Aborted/402", "Aborted/402"),
        (Some(Sent), "Dispatched/401", "Aborted/402"),
        (Some(Queued), "Queued/400", "Aborted/402"),
        (None, "Strange", "Aborted/402"),
    ] {
        let mut report = MessageReport::new("m", state, word);
        report.raw = serde_json::json!(word);
        bench.book.report(report, Authenticity::Signed, bench.now);
        let status = bench.book.status(key).unwrap();
        assert_eq!(status.raw, Some(serde_json::json!(shown)), "{word}");
    }
}
