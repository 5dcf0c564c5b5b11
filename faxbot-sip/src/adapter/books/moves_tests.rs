use std::time::Duration;

use faxbot_core::{
    Timestamp,
    sip::{AdapterKind, Direction},
};

use super::{
    super::{NewLine, Plan, Sign, Todo},
    *,
};

struct Bench {
    books: Books,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        Self {
            books: Books::new(AdapterKind::FREESWITCH),
            now: Now {
                instant: Instant::now(),
                wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
            },
        }
    }

    fn up(&mut self, own: &str) -> CallId {
        let id = CallId::new();
        let new = NewLine {
            id,
            direction: Direction::Outbound,
            state: CallState::Created,
            from: None,
            to: None,
            own: Some(own.to_owned()),
            ring_timeout: Duration::from_secs(30),
            plan: Plan::Single,
            kind: "call",
            once_answered: false,
        };
        self.books.open(new, self.now).unwrap();
        self.books.requested(id, self.now);
        self.books.taken(id, self.now);
        self.books.own_is(id, Sign::Up, self.now);
        id
    }

    /// Two calls that talk with each other.
    fn pair(&mut self) -> (CallId, CallId) {
        let (one, two) = (self.up("one"), self.up("two"));
        self.books.joined(one, Some("two"), self.now);
        self.books.joined(two, Some("one"), self.now);
        (one, two)
    }

    fn state(&self, id: CallId) -> CallState {
        self.books.calls.state(id).unwrap()
    }

    fn hold(&mut self, id: CallId, channel: &str, holds: bool) -> Vec<SipEvent> {
        self.books.hold_changed(id, channel, holds, self.now)
    }

    fn transfer(&mut self, id: CallId) {
        let line = self.books.lines.get_mut(&id).unwrap();
        line.moves.calling = Some(Calling::of("party".to_owned()));
        self.books.joins(id, "party");
        self.books.shift(id, CallState::Transferring, self.now);
    }

    /// What a list says that was asked for some time after the last order.
    fn list(&mut self, native: &str, held: bool, calls: bool, gap: bool) -> Vec<SipEvent> {
        self.now.instant += Duration::from_secs(5);
        let standing = Standing {
            native: native.to_owned(),
            held,
            calls,
        };
        let asked_at = self.now.instant;
        self.books.moves_in(&[standing], asked_at, gap, self.now)
    }
}

fn remote(events: &[SipEvent]) -> Vec<bool> {
    let told = |event: &SipEvent| match event {
        SipEvent::MediaStateChanged { remote_hold, .. } => Some(*remote_hold),
        _ => None,
    };
    events.iter().filter_map(told).collect()
}

#[test]
fn a_hold_that_we_asked_for_is_not_the_far_ends() {
    let mut bench = Bench::new();
    let id = bench.up("own");
    bench.books.will_hold(id);
    let told = bench.hold(id, "own", true);
    assert!(remote(&told).is_empty());
    assert_eq!(bench.state(id), CallState::OnHold);
    let told = bench.hold(id, "own", false);
    assert!(remote(&told).is_empty());
    assert_eq!(bench.state(id), CallState::Connected);
}

#[test]
fn a_hold_that_nobody_asked_for_is_the_far_ends_and_told_once() {
    let mut bench = Bench::new();
    let id = bench.up("own");
    bench.books.joins(id, "other");
    assert_eq!(remote(&bench.hold(id, "own", true)), [true]);
    assert!(bench.hold(id, "own", true).is_empty());
    // The other party holds too: the call is held as long as one of them does that.
    assert!(bench.hold(id, "other", true).is_empty());
    assert!(bench.hold(id, "own", false).is_empty());
    assert_eq!(remote(&bench.hold(id, "other", false)), [false]);
    assert_eq!(bench.state(id), CallState::Connected);
}

#[test]
fn two_calls_that_talk_with_each_other_are_held_together() {
    let mut bench = Bench::new();
    let (one, two) = bench.pair();
    assert_eq!(bench.books.talks_with(one), Some(two));
    bench.books.will_hold(two);
    bench.hold(two, "two", true);
    assert_eq!(bench.state(one), CallState::OnHold);
    assert_eq!(bench.books.lines[&one].moves.held(), Some("two"));
    bench.hold(two, "two", false);
    for id in [one, two] {
        assert_eq!(bench.state(id), CallState::Connected);
        assert_eq!(bench.books.lines[&id].moves.held(), None);
    }
}

#[test]
fn the_party_of_a_transfer_is_told_apart_from_others() {
    let mut bench = Bench::new();
    let id = bench.up("own");
    bench.transfer(id);
    let calling = |bench: &Bench| {
        let calling = bench.books.lines[&id].moves.calling.as_ref().unwrap();
        (
            calling.answered,
            calling.ended,
            calling.causes.clone().and_then(|causes| causes.q850),
        )
    };
    bench.books.joined(id, Some("somebody"), bench.now);
    bench.books.parts(id, "somebody", Some(Causes::new()));
    assert_eq!(calling(&bench), (false, false, None));
    let busy = Causes::new().with_q850(17);
    bench.books.parts(id, "party", Some(busy));
    assert_eq!(calling(&bench), (false, true, Some(17)));
    bench.books.joined(id, Some("party"), bench.now);
    assert!(calling(&bench).0);
}

#[test]
fn a_list_tells_what_became_of_an_order_whose_answer_was_lost() {
    // Held, calls, and the state that follows.
    for (held, calls, then) in [
        (true, false, CallState::OnHold),
        (false, false, CallState::Connected),
    ] {
        let mut bench = Bench::new();
        let id = bench.up("own");
        bench.books.will_hold(id);
        bench.list("own", held, calls, false);
        assert_eq!(bench.state(id), then);
    }
    for (calls, then) in [
        (true, CallState::Transferring),
        (false, CallState::Connected),
    ] {
        let mut bench = Bench::new();
        let id = bench.up("own");
        bench.transfer(id);
        bench.list("own", false, calls, false);
        assert_eq!(bench.state(id), then);
        let asks_again = bench.books.next_timeout().unwrap() - bench.now.instant;
        assert_eq!(asks_again < Duration::from_secs(10), calls);
    }
}

#[test]
fn a_held_call_that_the_list_shows_talking_was_taken_back() {
    let mut bench = Bench::new();
    let (one, two) = bench.pair();
    bench.books.will_hold(one);
    bench.hold(one, "one", true);
    bench.list("one", false, false, true);
    for id in [one, two] {
        assert_eq!(bench.state(id), CallState::Connected);
    }
}

#[test]
fn a_list_that_is_older_than_an_order_changes_nothing_and_another_is_asked_for() {
    let mut bench = Bench::new();
    let id = bench.up("own");
    bench.books.will_hold(id);
    bench.hold(id, "own", true);
    bench.books.settled(&[id], bench.now);
    let standing = Standing {
        native: "own".to_owned(),
        held: false,
        calls: false,
    };
    let asked_at = bench.now.instant + LAG / 2;
    bench
        .books
        .moves_in(&[standing], asked_at, false, bench.now);
    assert_eq!(bench.state(id), CallState::OnHold);
    bench.now.instant += Duration::from_secs(10);
    bench.books.timeout(bench.now);
    assert_eq!(bench.books.take_todo(), [Todo::Check(id)]);
}

#[test]
fn an_order_that_runs_is_not_disturbed_by_a_list() {
    let mut bench = Bench::new();
    let id = bench.up("own");
    bench.books.will_hold(id);
    bench.books.lines.get_mut(&id).unwrap().busy = true;
    bench.list("own", false, false, true);
    assert_eq!(bench.books.lines[&id].moves.held(), Some("own"));
}

#[test]
fn the_first_list_of_a_connection_tells_what_the_far_end_did_meanwhile() {
    let mut bench = Bench::new();
    let id = bench.up("own");
    assert!(bench.list("own", true, false, false).is_empty());
    assert_eq!(remote(&bench.list("own", true, false, true)), [true]);
    assert_eq!(remote(&bench.list("own", false, false, true)), [false]);
    assert_eq!(bench.state(id), CallState::Connected);
}
