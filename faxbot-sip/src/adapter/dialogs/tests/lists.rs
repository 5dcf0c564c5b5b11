use super::*;

use CallState as S;

#[test]
fn a_list_enters_calls_of_others_and_takes_them_forward() {
    let mut bench = Bench::new(false);
    let one = seen("a@pbx", Stage::Begun);
    for (stage, steps) in [
        (Stage::Begun, vec![(S::Created, S::Dialing)]),
        (Stage::Early, vec![(S::Dialing, S::Ringing)]),
        (Stage::Early, vec![]),
        (Stage::Up, vec![(S::Ringing, S::Connected)]),
        (Stage::Answered, vec![]),
        // An older list.
        (Stage::Early, vec![]),
        (Stage::Over, vec![(S::Connected, S::Terminated)]),
    ] {
        bench.listed(&[at(one.clone(), stage)]);
        assert_eq!(bench.steps(), steps, "{stage:?}");
    }
    assert_eq!(bench.only_record().disposition, Disposition::Answered);
}

#[test]
fn missed_edges_are_jumped_over_and_said_so() {
    for (stage, to, jumped) in [
        (Stage::Begun, S::Dialing, false),
        (Stage::Early, S::Ringing, true),
        (Stage::Answered, S::Connected, true),
        (Stage::Up, S::Connected, true),
    ] {
        let mut bench = Bench::new(false);
        bench.listed(&[seen("a@pbx", stage)]);
        assert_eq!(bench.events.len(), 1);
        assert_eq!((bench.events[0].to, bench.events[0].jumped), (to, jumped));
    }
}

#[test]
fn a_call_of_others_has_the_same_id_in_every_process_and_another_on_every_server() {
    let id = |kind: AdapterKind, call_id: &str, tag: &str| {
        let mut one = seen(call_id, Stage::Up);
        one.from_tag = tag.to_owned();
        let mut bench = Bench::new(false);
        bench.books = Dialogs::new(kind);
        bench.listed(&[one]);
        bench.events[0].id.unwrap()
    };
    let first = id(AdapterKind::KAMAILIO, "a@pbx", "t");
    assert_eq!(first, id(AdapterKind::KAMAILIO, "a@pbx", "t"));
    assert_eq!(
        first.to_string(),
        "if://call/d067fcf8-1c51-5ea2-864c-9844389b9d06",
        "a golden value: a change gives calls that are up another id"
    );
    for other in [
        id(AdapterKind::OPENSIPS, "a@pbx", "t"),
        id(AdapterKind::KAMAILIO, "b@pbx", "t"),
        id(AdapterKind::KAMAILIO, "a@pbx", "u"),
        // The parts do not run together.
        id(AdapterKind::KAMAILIO, "a@pbxt", ""),
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn what_a_whole_list_no_longer_has_is_over_for_an_unknown_reason() {
    let mut bench = Bench::new(false);
    bench.listed(&[seen("a@pbx", Stage::Early), seen("b@pbx", Stage::Up)]);
    let _ = bench.steps();
    // A look at one call shows nothing of the others.
    let events = bench
        .books
        .listed(&[seen("b@pbx", Stage::Up)], false, bench.now);
    assert!(events.is_empty());
    bench.listed(&[seen("b@pbx", Stage::Up)]);
    assert_eq!(bench.steps(), [(S::Ringing, S::Terminated)]);
    let record = bench.only_record();
    assert_eq!(record.disposition, Disposition::Unknown);
    assert!(record.causes.is_empty());
    assert_eq!(record.channels[0].expose(), "a@pbx");
    assert_eq!(record.from.unwrap().expose(), "sip:1001@pbx");
}

#[test]
fn ended_dialogs_that_stay_listed_are_not_new_calls() {
    for handles in [true, false] {
        let mut bench = Bench::new(false);
        let mut one = seen("a@pbx", Stage::Up);
        if !handles {
            one.handle.clear();
        }
        bench.listed(&[one.clone()]);
        for _ in 0..5 {
            bench.listed(&[at(one.clone(), Stage::Over)]);
            bench.pass(SECOND);
        }
        bench.listed(&[]);
        assert_eq!(bench.records().len(), 1);
        assert_eq!(bench.books.calls().len(), 0);
    }
}

#[test]
fn a_call_that_fails_between_two_polls_is_seen_once_and_was_never_answered() {
    let mut bench = Bench::new(false);
    let one = seen("a@pbx", Stage::Over);
    for _ in 0..3 {
        bench.listed(&[one.clone()]);
        bench.pass(2 * SECOND);
    }
    assert_eq!(
        bench.steps(),
        [(S::Created, S::Dialing), (S::Dialing, S::Terminated)]
    );
    let record = bench.only_record();
    assert_eq!(record.disposition, Disposition::Unknown);
    assert_eq!(record.answer, None);
}

#[test]
fn one_that_was_answered_between_two_polls_has_the_servers_times() {
    let mut bench = Bench::new(true);
    let mut one = seen("a@pbx", Stage::Over);
    one.begun = Some(bench.now.wall - 9 * SECOND);
    one.answered = Some(bench.now.wall - 4 * SECOND);
    bench.listed(&[one]);
    let record = bench.only_record();
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.duration_seconds, Some(9));
    assert_eq!(record.billable_seconds, Some(4));
}

#[test]
fn times_of_a_server_whose_clock_is_off_stay_in_order() {
    let hour = 3600 * SECOND;
    for (begun, answered) in [
        (Some(hour), Some(2 * hour)),
        (None, Some(hour)),
        (Some(hour), None),
    ] {
        for ahead in [true, false] {
            let mut bench = Bench::new(false);
            let shift = |by: Duration| {
                if ahead {
                    bench.now.wall + by
                } else {
                    bench.now.wall - by
                }
            };
            let mut one = seen("a@pbx", Stage::Up);
            (one.begun, one.answered) = (begun.map(shift), answered.map(shift));
            bench.listed(&[one]);
            bench.pass(SECOND);
            bench.listed(&[]);
            let record = bench.only_record();
            let (answer, end) = (record.answer.unwrap(), record.end.unwrap());
            assert!(record.start <= answer && answer <= end, "{record:?}");
        }
    }
}

#[test]
fn a_list_that_is_older_than_an_event_takes_nothing_back() {
    let mut bench = Bench::new(true);
    let (old, new) = (seen("a@pbx", Stage::Early), seen("b@pbx", Stage::Begun));
    bench.listed(&[old.clone()]);
    // Asked for here; the answer comes after these.
    bench.begun(&new);
    bench.told(&old, Told::Answered);
    bench.listed(&[old.clone()]);
    assert_eq!(bench.state(&old), Some(S::Connected));
    assert_eq!(bench.state(&new), Some(S::Dialing));
    // And once more, for an end.
    bench.told(&old, Told::Over(for_status(200)));
    bench.listed(&[at(old.clone(), Stage::Up), new.clone()]);
    assert_eq!(bench.state(&old), None);
    assert_eq!(bench.state(&new), Some(S::Dialing));
    // The next list is newer than all of them.
    bench.listed(&[]);
    bench.pass(2 * SECOND);
    assert_eq!(bench.records().len(), 2);
}

#[test]
fn a_look_at_one_call_is_safe_beside_a_poll_that_is_older() {
    let mut bench = Bench::new(false);
    let new = seen("a@pbx", Stage::Up);
    bench.listed(&[]);
    bench
        .books
        .listed(std::slice::from_ref(&new), false, bench.now);
    bench.listed(&[]);
    assert_eq!(bench.state(&new), Some(S::Connected));
    bench.listed(&[]);
    assert_eq!(bench.state(&new), None);
}

#[test]
fn a_call_id_that_is_used_again_makes_another_call() {
    // By the handle, at once.
    let mut bench = Bench::new(false);
    let first = seen("a@pbx", Stage::Up);
    let mut second = first.clone();
    second.handle = "another".to_owned();
    bench.listed(&[first.clone()]);
    bench.listed(&[at(first.clone(), Stage::Over)]);
    bench.listed(&[at(first.clone(), Stage::Over), second.clone()]);
    assert_eq!(bench.state(&second), Some(S::Connected));
    bench.listed(&[at(first, Stage::Over), at(second.clone(), Stage::Over)]);
    bench.listed(&[at(second, Stage::Over)]);
    let records = bench.records();
    assert_eq!(records.len(), 2);
    assert_ne!(records[0].id, records[1].id);
    // Without one, when it cannot be an old list any more.
    let mut bench = Bench::new(false);
    let mut one = seen("a@pbx", Stage::Up);
    one.handle.clear();
    bench.listed(&[one.clone()]);
    bench.listed(&[]);
    bench.listed(&[one.clone()]);
    assert_eq!(bench.books.calls().len(), 0);
    bench.pass(11 * SECOND);
    bench.listed(&[one]);
    assert_eq!(bench.books.calls().len(), 1);
}

#[test]
fn two_dialogs_with_one_call_id_are_two_calls() {
    let mut bench = Bench::new(false);
    let first = seen("a@pbx", Stage::Up);
    let mut second = seen("a@pbx", Stage::Early);
    second.from_tag = "another".to_owned();
    second.handle = "another".to_owned();
    bench.listed(&[first.clone(), second.clone()]);
    assert_eq!(bench.books.calls().len(), 2);
    // Without a tag nobody knows which.
    let told = Told::Over(for_status(486));
    assert!(
        bench
            .books
            .told("a@pbx", None, told.clone(), bench.now)
            .is_empty()
    );
    bench.told(&second, told);
    assert_eq!(bench.only_record().disposition, Disposition::Busy);
    assert_eq!(bench.state(&first), Some(S::Connected));
    bench.listed(&[]);
    assert_eq!(bench.books.calls().len(), 0);
}

#[test]
fn a_request_that_passes_the_server_twice_is_one_call_until_both_dialogs_are_over() {
    let mut bench = Bench::new(false);
    let outer = seen("a@pbx", Stage::Up);
    let mut inner = at(outer.clone(), Stage::Early);
    inner.handle = "inner".to_owned();
    for order in [[&outer, &inner], [&inner, &outer]] {
        bench.listed(&order.map(Clone::clone));
        assert_eq!(bench.books.calls().len(), 1);
        assert_eq!(bench.state(&outer), Some(S::Connected));
    }
    let over = at(inner.clone(), Stage::Over);
    for order in [[&outer, &over], [&over, &outer]] {
        bench.listed(&order.map(Clone::clone));
        assert_eq!(bench.state(&outer), Some(S::Connected));
    }
    let both = [over.clone(), at(outer.clone(), Stage::Over)];
    for _ in 0..3 {
        bench.listed(&both);
    }
    bench.listed(&[over]);
    assert_eq!(bench.records().len(), 1);
}

#[test]
fn a_forked_call_is_one_and_keeps_the_tag_of_who_answered() {
    let mut bench = Bench::new(true);
    let mut one = seen("a@pbx", Stage::Early);
    one.to_tag = Some("first".to_owned());
    bench.begun(&at(one.clone(), Stage::Begun));
    bench.told(&one, Told::Rings);
    bench.told(&one, Told::Rings);
    bench.listed(&[one.clone()]);
    one.to_tag = Some("second".to_owned());
    bench.listed(&[at(one.clone(), Stage::Up)]);
    // The called one hangs up: the tag of the event is its own.
    let told = Told::Over(for_status(200));
    let events = bench.books.told("a@pbx", Some("second"), told, bench.now);
    bench.keep(events);
    assert_eq!(bench.only_record().disposition, Disposition::Answered);
}

#[test]
fn a_restart_loses_calls_and_ends_none() {
    let mut bench = Bench::new(true);
    bench.listed(&[seen("a@pbx", Stage::Up), seen("b@pbx", Stage::Early)]);
    let (ours, under_way) = (CallId::new(), CallId::new());
    bench.open(ours, "sip:2000@pbx");
    let new = NewOurs {
        id: under_way,
        from: None,
        to: Private::new("sip:3000@pbx".to_owned()),
        ring_timeout: SECOND,
    };
    let mut updates = bench.books.open_ours(new, bench.now).unwrap();
    let _ = bench.steps();
    let events = bench.books.restarted(None);
    bench.keep(events);
    assert_eq!(bench.events.len(), 3);
    assert!(bench.events.iter().all(|it| it.to == S::Terminated));
    assert!(bench.events.iter().all(|it| it.record.is_none()));
    assert!(bench.records().is_empty());
    assert_eq!(
        bench.books.status(&ours.into()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    // One whose request is on its way to the server is not lost by that.
    assert!(updates.borrow_and_update().end.is_none());
    assert_eq!(bench.books.calls().len(), 1);
    // The server shows the same dialog again where it stores them.
    bench.listed(&[seen("a@pbx", Stage::Up)]);
    assert_eq!(bench.books.calls().len(), 2);
}

#[test]
fn who_waits_for_a_call_that_is_lost_hears_that_nobody_knows() {
    let mut bench = Bench::new(true);
    let id = CallId::new();
    let new = NewOurs {
        id,
        from: None,
        to: Private::new("sip:2000@pbx".to_owned()),
        ring_timeout: SECOND,
    };
    let updates = bench.books.open_ours(new, bench.now).unwrap();
    bench.books.requested(id, bench.now);
    bench.books.taken(id, bench.now);
    bench.books.restarted(None);
    let end = updates.borrow().end.clone();
    let Some(Err(error)) = end else {
        panic!("{end:?}");
    };
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(error.call_id(), Some(id));
}

#[test]
fn a_list_names_the_parties_that_an_event_did_not() {
    let mut bench = Bench::new(true);
    let mut told = seen("a@pbx", Stage::Up);
    (told.from, told.to) = (None, None);
    bench.begun(&told);
    bench.listed(&[seen("a@pbx", Stage::Up)]);
    bench.told(&told, Told::OverWithoutCause);
    let record = bench.only_record();
    let parties = [record.from, record.to].map(|party| party.map(Private::into_inner));
    let parties = parties.each_ref().map(Option::as_deref);
    assert_eq!(parties, [Some("sip:1001@pbx"), Some("sip:2000@pbx")]);
}

#[test]
fn a_restart_loses_no_call_that_was_asked_for_after_it() {
    let mut bench = Bench::new(false);
    let with_dialog = seen("a@pbx", Stage::Up);
    bench.listed(&[with_dialog.clone()]);
    let (before, after) = (CallId::new(), CallId::new());
    bench.open(before, "sip:2000@pbx");
    bench.pass(60 * SECOND);
    // Nobody noticed it. Its age comes in whole seconds: the server may seem to be younger than it is.
    let up_since = bench.now.wall + SECOND;
    bench.open(after, "sip:3000@pbx");
    bench.pass(20 * SECOND);
    let events = bench.books.restarted(Some(up_since));
    bench.keep(events);
    assert_eq!(bench.books.calls().state(before), None);
    assert_eq!(bench.state(&with_dialog), None);
    assert_eq!(bench.books.calls().state(after), Some(S::Dialing));
    // It goes on as ever.
    let mut one = seen("b@pbx", Stage::Up);
    one.mark = Some(after);
    bench.listed(&[one]);
    assert_eq!(bench.books.calls().state(after), Some(S::Connected));
    // Once it has a dialog, a list tells what became of it.
    assert!(!bench.books.is_newer(after, Some(up_since)));
    // Of a server that does not tell its age nothing can be said.
    let last = CallId::new();
    bench.open(last, "sip:4000@pbx");
    bench.books.restarted(None);
    assert_eq!(bench.books.calls().state(last), None);
}
