use super::*;

use CallState as S;

#[test]
fn the_words_of_the_server_are_the_reason_of_an_end() {
    for (status, disposition) in [
        (486, Disposition::Busy),
        (480, Disposition::NoAnswer),
        (408, Disposition::NoAnswer),
        (404, Disposition::Failed),
        (487, Disposition::Failed),
        (503, Disposition::Congestion),
    ] {
        let mut bench = Bench::new(true);
        let one = seen("a@pbx", Stage::Begun);
        bench.begun(&one);
        bench.told(&one, Told::Rings);
        bench.told(&one, Told::Over(for_status(status)));
        let record = bench.only_record();
        assert_eq!(record.disposition, disposition, "{status}");
        assert_eq!(record.causes.sip_status, Some(status));
    }
}

#[test]
fn an_end_and_its_cause_come_in_any_order() {
    let one = seen("a@pbx", Stage::Early);
    let (cause, over) = (Told::Cause(for_status(486)), Told::OverWithoutCause);
    let list = at(one.clone(), Stage::Over);
    for name in [
        "cause, end",
        "end, cause",
        "cause, list",
        "list, cause",
        "absent, cause",
    ] {
        let mut bench = Bench::new(true);
        bench.listed(&[one.clone()]);
        for part in name.split(", ") {
            match part {
                "cause" => bench.told(&one, cause.clone()),
                "end" => bench.told(&one, over.clone()),
                "absent" => bench.listed(&[]),
                _ => bench.listed(std::slice::from_ref(&list)),
            }
            bench.pass(100 * MS);
        }
        let record = bench.only_record();
        assert_eq!(record.disposition, Disposition::Busy, "{name}");
        // Everything that comes late is absorbed.
        bench.told(&one, Told::Over(for_status(200)));
        bench.told(&one, Told::Rings);
        bench.begun(&one);
        bench.listed(std::slice::from_ref(&list));
        bench.pass(5 * SECOND);
        bench.listed(&[]);
        assert_eq!(bench.records().len(), 1, "{name}");
        assert_eq!(bench.books.calls().len(), 0);
    }
}

#[test]
fn an_end_without_a_cause_waits_a_second_for_it_where_events_are_expected() {
    for (events, ended_at_once) in [(true, false), (false, true)] {
        let mut bench = Bench::new(events);
        let one = seen("a@pbx", Stage::Early);
        bench.listed(&[one.clone()]);
        bench.told(&one, Told::OverWithoutCause);
        assert_eq!(bench.records().len() == 1, ended_at_once);
        // An older list does not wake it.
        bench.listed(&[one.clone()]);
        bench.pass(900 * MS);
        assert_eq!(bench.records().len() == 1, ended_at_once);
        bench.pass(100 * MS);
        let record = bench.only_record();
        assert_eq!(record.disposition, Disposition::Unknown);
        assert!(record.causes.is_empty());
    }
}

#[test]
fn an_answered_call_waits_for_no_cause() {
    let mut bench = Bench::new(true);
    let one = seen("a@pbx", Stage::Up);
    bench.listed(&[one.clone()]);
    bench.told(&one, Told::OverWithoutCause);
    assert_eq!(bench.only_record().disposition, Disposition::Answered);
}

#[test]
fn a_cause_that_is_no_end_ends_nothing() {
    // A first party is busy, and the script calls another.
    let mut bench = Bench::new(true);
    let one = seen("a@pbx", Stage::Begun);
    bench.begun(&one);
    bench.told(&one, Told::Cause(for_status(486)));
    bench.told(&one, Told::Answered);
    assert_eq!(bench.state(&one), Some(S::Connected));
    bench.told(&one, Told::OverWithoutCause);
    let record = bench.only_record();
    assert_eq!(record.disposition, Disposition::Answered);
    assert!(record.causes.is_empty(), "{:?}", record.causes);
}

#[test]
fn what_a_party_that_did_not_answer_told_is_no_cause_of_the_end_of_an_answered_call() {
    let one = seen("a@pbx", Stage::Begun);
    let mut up = at(one.clone(), Stage::Up);
    let mut over = at(one.clone(), Stage::Over);
    let answered = Bench::new(true).now.wall;
    (up.answered, over.answered) = (Some(answered), Some(answered));
    let cause = || Told::Cause(for_status(486));
    for name in [
        "cause, answer, end",
        "answer, cause, end",
        "cause, list, end",
        "list, cause, end",
        "cause, list, over",
        "cause, over",
        "cause, list, absent, absent",
        "cause, answer, hold, cause, end",
    ] {
        let mut bench = Bench::new(true);
        bench.begun(&one);
        for part in name.split(", ") {
            match part {
                "cause" => bench.told(&one, cause()),
                "answer" => bench.told(&one, Told::Answered),
                "hold" => bench.told(&one, Told::Held),
                "list" => bench.listed(std::slice::from_ref(&up)),
                "over" => bench.listed(std::slice::from_ref(&over)),
                "absent" => bench.listed(&[]),
                _ => bench.told(&one, Told::OverWithoutCause),
            }
            bench.pass(100 * MS);
        }
        let record = bench.only_record();
        assert_eq!(record.disposition, Disposition::Answered, "{name}");
        assert!(record.causes.is_empty(), "{name}: {:?}", record.causes);
    }
}

#[test]
fn the_cause_that_comes_with_the_end_of_an_answered_call_stays() {
    let one = seen("a@pbx", Stage::Up);
    let told = || Told::Over(Report::new(Causes::new().with_q850(16)));
    let mut over = at(one.clone(), Stage::Over);
    over.answered = Some(Bench::new(true).now.wall);
    // After its beginning, and before all that is known of it.
    for known in [true, false] {
        let mut bench = Bench::new(true);
        if known {
            bench.listed(&[one.clone()]);
            bench.told(&one, told());
        } else {
            bench.told(&one, told());
            bench.listed(&[over.clone()]);
        }
        let record = bench.only_record();
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.causes.q850, Some(16));
    }
}

#[test]
fn a_request_that_comes_again_with_credentials_is_the_same_call() {
    for status in [401, 407] {
        let mut bench = Bench::new(true);
        let first = seen("a@pbx", Stage::Begun);
        let mut second = first.clone();
        second.handle = "second".to_owned();
        bench.begun(&first);
        bench.told(&first, Told::Over(for_status(status)));
        bench.pass(10 * MS);
        bench.begun(&second);
        bench.listed(&[at(first.clone(), Stage::Over), second.clone()]);
        bench.told(&second, Told::Answered);
        bench.pass(5 * SECOND);
        assert_eq!(bench.state(&second), Some(S::Connected));
        for _ in 0..2 {
            bench.listed(&[at(first.clone(), Stage::Over)]);
        }
        assert_eq!(bench.only_record().disposition, Disposition::Answered);
        // Without a second one the challenge was the end.
        let mut bench = Bench::new(true);
        bench.begun(&first);
        bench.told(&first, Told::Over(for_status(status)));
        bench.pass(SECOND);
        assert_eq!(bench.only_record().causes.sip_status, Some(status));
    }
}

#[test]
fn a_second_request_is_found_by_polls_alone_too() {
    let mut bench = Bench::new(false);
    let first = seen("a@pbx", Stage::Begun);
    let mut second = at(first.clone(), Stage::Up);
    second.handle = "second".to_owned();
    bench.listed(&[first.clone()]);
    bench.listed(&[at(first, Stage::Over), second.clone()]);
    assert_eq!(bench.state(&second), Some(S::Connected));
    assert_eq!(bench.books.calls().len(), 1);
    assert!(bench.records().is_empty());
}

#[test]
fn an_end_that_is_told_before_the_beginning_is_one_call_with_its_cause() {
    for by_list in [true, false] {
        for tag in [Some("from-tag"), None] {
            let mut bench = Bench::new(true);
            let one = seen("a@pbx", Stage::Over);
            let told = Told::Over(for_status(486));
            let events = bench.books.told("a@pbx", tag, told, bench.now);
            assert!(events.is_empty());
            assert_eq!(bench.books.take_todo(), [Todo::Poll]);
            if by_list {
                bench.listed(std::slice::from_ref(&one));
            } else {
                bench.begun(&at(one.clone(), Stage::Begun));
            }
            bench.listed(&[one]);
            assert_eq!(bench.only_record().disposition, Disposition::Busy);
        }
    }
}

#[test]
fn our_own_hang_up_of_a_ringing_call_is_a_cancelled_one() {
    let mut bench = Bench::new(true);
    let one = seen("a@pbx", Stage::Early);
    bench.listed(&[one.clone()]);
    let id = bench.books.find(&CallRef::native("a@pbx")).unwrap();
    bench.books.hung_up_by_us(id, true);
    let events = bench.books.hanging_up(id, bench.now);
    bench.keep(events);
    // What still shows it does not take it back.
    bench.listed(&[one.clone()]);
    bench.told(&one, Told::Rings);
    assert_eq!(bench.state(&one), Some(S::HangingUp));
    bench.told(&one, Told::Over(for_status(487)));
    let record = bench.only_record();
    assert_eq!(record.disposition, Disposition::Cancelled);
    assert_eq!(record.causes.sip_status, Some(487));
}

#[test]
fn hold_and_transfer_go_there_and_back() {
    let mut bench = Bench::new(true);
    let one = seen("a@pbx", Stage::Up);
    bench.listed(&[one.clone()]);
    let _ = bench.steps();
    for (told, step) in [
        (Told::Held, Some((S::Connected, S::OnHold))),
        (Told::Held, None),
        (Told::Resumed, Some((S::OnHold, S::Connected))),
        (Told::Resumed, None),
        (Told::NotTransferred, None),
        (Told::Transferring, Some((S::Connected, S::Transferring))),
        (Told::NotTransferred, Some((S::Transferring, S::Connected))),
        (Told::Held, Some((S::Connected, S::OnHold))),
        (Told::Transferring, Some((S::OnHold, S::Transferring))),
    ] {
        bench.told(&one, told);
        // A list knows neither.
        bench.listed(&[one.clone()]);
        assert_eq!(bench.steps(), step.into_iter().collect::<Vec<_>>());
    }
    bench.told(&one, Told::Over(Report::default()));
    bench.told(&one, Told::Held);
    assert_eq!(bench.only_record().disposition, Disposition::Answered);
}

#[test]
fn the_servers_own_record_may_come_after_the_end() {
    for before in [true, false] {
        let mut bench = Bench::new(true);
        let one = seen("a@pbx", Stage::Up);
        bench.listed(&[one.clone()]);
        let cdr = Cdr {
            duration_seconds: 12,
            billable_seconds: 11,
            disposition: Disposition::Answered,
        };
        if before {
            bench.books.measured("a@pbx", "from-tag", cdr);
        }
        bench.told(&one, Told::OverWithoutCause);
        if !before {
            bench.books.measured("a@pbx", "from-tag", cdr);
        }
        bench.books.measured("stranger@pbx", "from-tag", cdr);
        let record = bench.only_record();
        assert_eq!(record.billable_seconds, Some(11));
        let cdr = bench.books.cdr(&record.id.unwrap().into()).unwrap();
        assert_eq!(cdr.duration_seconds, Some(12));
    }
}

#[test]
fn an_absent_trace_at_a_proxy_proves_nothing() {
    let now = Timestamp::from_unix_seconds(1_795_248_000).unwrap();
    let long_up = Some(now - 86_400 * SECOND);
    for (age, up_since, why) in [
        (None, long_up, UnknownReason::RequestTimeUnknown),
        (Some(1), long_up, UnknownReason::TooRecent),
        (Some(60), long_up, UnknownReason::NotKept),
        (
            Some(60),
            Some(now - 30 * SECOND),
            UnknownReason::ServerRestarted,
        ),
        (Some(60), None, UnknownReason::ServerRestarted),
    ] {
        let mut call = CallRef::from(CallId::new());
        call.requested_at = age.map(|age| now - Duration::from_secs(age));
        assert_eq!(absent(&call, up_since, now), why, "{age:?}");
    }
}
