//! The times of records, where the clock of the server is another one than ours.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A time of the server's clock, which is so much behind ours or ahead of it.
#[derive(Debug, Clone, Copy)]
enum Clock {
    Same,
    Behind(Duration),
    Ahead(Duration),
}

impl Clock {
    fn shows(self, ours: Timestamp) -> Option<Timestamp> {
        Some(match self {
            Self::Same => ours,
            Self::Behind(by) => ours - by,
            Self::Ahead(by) => ours + by,
        })
    }
}

const CLOCKS: [Clock; 5] = [
    Clock::Same,
    Clock::Behind(Duration::from_secs(3)),
    Clock::Ahead(Duration::from_secs(3)),
    Clock::Behind(HOUR),
    Clock::Ahead(HOUR),
];

#[test]
fn one_that_is_over_in_the_first_list_has_the_lengths_that_the_server_measured() {
    for clock in CLOCKS {
        for events in [true, false] {
            let mut bench = Bench::new(events);
            let now = bench.now.wall;
            let mut one = seen("a@pbx", Stage::Over);
            one.begun = clock.shows(now - 14 * SECOND);
            one.answered = clock.shows(now - 12 * SECOND);
            one.ended = clock.shows(now - 4 * SECOND);
            bench.listed(&[one]);
            let record = bench.only_record();
            assert_eq!(record.billable_seconds, Some(8), "{clock:?}");
            if let Clock::Same = clock {
                assert_eq!(record.end, Some(now - 4 * SECOND));
                assert_eq!(record.duration_seconds, Some(10));
            }
        }
    }
}

#[test]
fn one_that_ended_between_two_polls_ended_when_the_server_says() {
    for clock in CLOCKS {
        let mut bench = Bench::new(false);
        let start = bench.now.wall;
        let mut one = seen("a@pbx", Stage::Begun);
        one.begun = clock.shows(start);
        bench.listed(&[one.clone()]);
        bench.pass(10 * SECOND);
        bench.listed(&[one.clone()]);
        bench.pass(10 * SECOND);
        one.answered = clock.shows(start + 15 * SECOND);
        bench.listed(&[at(one.clone(), Stage::Up)]);
        bench.pass(30 * SECOND);
        one.ended = clock.shows(start + 31 * SECOND);
        bench.listed(&[at(one, Stage::Over)]);
        let record = bench.only_record();
        assert_eq!(record.billable_seconds, Some(16), "{clock:?}");
        // When it was seen first, or long before that by another clock, it was not answered.
        let answer = record.answer.unwrap();
        assert!(answer <= start + 20 * SECOND, "{clock:?}");
        assert!(answer >= start + 10 * SECOND, "{clock:?}");
    }
}

#[test]
fn one_whose_end_an_event_tells_is_as_long_as_we_saw_it_whatever_the_servers_clock_shows() {
    for clock in [Clock::Same, Clock::Behind(HOUR), Clock::Ahead(HOUR)] {
        let mut bench = Bench::new(true);
        let start = bench.now.wall;
        let mut one = seen("a@pbx", Stage::Early);
        one.begun = clock.shows(start);
        bench.listed(&[one.clone()]);
        bench.pass(2 * SECOND);
        one.answered = clock.shows(start + SECOND);
        bench.listed(&[at(one.clone(), Stage::Up)]);
        bench.pass(60 * SECOND);
        bench.told(&one, Told::Over(Report::default()));
        let billed = bench.only_record().billable_seconds.unwrap();
        assert!((60..=62).contains(&billed), "{billed} {clock:?}");
    }
}

#[test]
fn the_wait_for_a_cause_is_no_part_of_a_call() {
    for listed in [false, true] {
        let mut bench = Bench::new(true);
        let start = bench.now.wall;
        let mut one = seen("a@pbx", Stage::Early);
        one.begun = Some(start);
        bench.listed(&[one.clone()]);
        bench.pass(Duration::from_secs(3));
        bench.told(&one, Told::OverWithoutCause);
        if listed {
            // A list tells it more exactly.
            one.ended = Some(start + 2 * SECOND);
            bench.listed(&[at(one, Stage::Over)]);
        }
        bench.pass(SECOND);
        let length = if listed { 2 } else { 3 };
        assert_eq!(bench.only_record().duration_seconds, Some(length));
    }
}

#[test]
fn a_list_may_tell_that_a_call_whose_cause_is_awaited_was_answered() {
    let mut bench = Bench::new(true);
    let mut one = seen("a@pbx", Stage::Early);
    bench.listed(&[one.clone()]);
    bench.pass(Duration::from_secs(3));
    // The event of the answer was lost.
    bench.told(&one, Told::OverWithoutCause);
    one.answered = Some(bench.now.wall - 2 * SECOND);
    one.ended = Some(bench.now.wall);
    bench.listed(&[at(one, Stage::Over)]);
    let record = bench.only_record();
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.billable_seconds, Some(2));
}

#[test]
fn one_of_ours_that_nobody_answered_ends_after_it_began_by_our_clock() {
    for (clock, length) in [
        (Clock::Same, 20),
        (Clock::Behind(HOUR), 24),
        (Clock::Ahead(HOUR), 24),
    ] {
        let mut bench = Bench::new(false);
        let (id, start) = (CallId::new(), bench.now.wall);
        bench.open(id, "sip:2000@pbx");
        let mut one = seen("a@pbx", Stage::Over);
        one.mark = Some(id);
        one.begun = clock.shows(start + 5 * SECOND);
        one.ended = clock.shows(start + 20 * SECOND);
        bench.pass(24 * SECOND);
        bench.listed(&[one]);
        let record = bench.only_record();
        assert_eq!(record.duration_seconds, Some(length), "{clock:?}");
    }
}
