use super::*;

use CallState as S;

#[test]
fn a_dialog_with_our_mark_is_our_call() {
    for by_event in [true, false] {
        let mut bench = Bench::new(by_event);
        let id = CallId::new();
        bench.open(id, "sip:2000@pbx");
        let mut one = seen("a@pbx", Stage::Begun);
        one.mark = Some(id);
        if by_event {
            bench.begun(&one);
        } else {
            bench.listed(&[one.clone()]);
        }
        assert_eq!(bench.books.handle(id).as_deref(), Some("handle of a@pbx"));
        bench.listed(&[at(one.clone(), Stage::Early)]);
        bench.listed(&[at(one.clone(), Stage::Up)]);
        assert_eq!(
            bench.steps(),
            [
                (S::Created, S::Dialing),
                (S::Dialing, S::Ringing),
                (S::Ringing, S::Connected)
            ]
        );
        assert!(bench.books.is_ours(id));
        assert_eq!(bench.books.ours(), [id]);
        assert_eq!(bench.books.find(&CallRef::native("a@pbx")), Some(id));
        let by_handle = CallRef::native("handle of a@pbx");
        assert_eq!(bench.books.find(&by_handle), Some(id));
        bench.listed(&[]);
        assert_eq!(bench.only_record().id, Some(id));
    }
}

#[test]
fn a_call_may_ring_without_a_limit_of_time() {
    let mut bench = Bench::new(false);
    let new = NewOurs {
        id: CallId::new(),
        from: None,
        to: Private::new("sip:2000@pbx".to_owned()),
        ring_timeout: Duration::MAX,
    };
    let id = new.id;
    let _updates = bench.books.open_ours(new, bench.now).unwrap();
    assert!(bench.books.requested(id, bench.now));
    let alarm = bench.books.next_timeout();
    assert!(alarm.is_some_and(|at| at > bench.now.instant + 86_400 * SECOND));
}

#[test]
fn a_dialog_with_the_mark_of_an_earlier_process_keeps_its_id() {
    let mut bench = Bench::new(false);
    let id = CallId::new();
    let mut one = seen("a@pbx", Stage::Up);
    one.mark = Some(id);
    bench.listed(&[one.clone()]);
    assert!(matches!(
        bench.books.lookup(&id.into()),
        Some(Lookup::Live(_))
    ));
    assert!(!bench.books.is_ours(id), "it is not hung up with ours");
    // Another dialog with it is another call.
    let mut two = seen("b@pbx", Stage::Up);
    two.mark = Some(id);
    bench.listed(&[one, two]);
    assert_eq!(bench.books.calls().len(), 2);
}

#[test]
fn a_call_whose_dialog_does_not_come_is_told_of_after_its_ring_time_and_again() {
    let mut bench = Bench::new(true);
    let (silent, reached, followed) = (CallId::new(), CallId::new(), CallId::new());
    for id in [silent, reached, followed] {
        bench.open(id, "sip:2000@pbx");
    }
    let mut one = seen("a@pbx", Stage::Begun);
    one.mark = Some(reached);
    bench.begun(&one);
    bench.books.reached(followed, Stage::Begun, bench.now);
    let mut unreached = Vec::new();
    for _ in 0..72 {
        bench.now.instant += SECOND;
        bench.books.timeout(bench.now);
        unreached.extend(bench.books.take_todo());
    }
    // After 65 s and 70 s.
    assert_eq!(unreached, [Todo::Unreached(silent); 2]);
    let report = Report {
        causes: Causes::new().with_native("agent not reached"),
        disposition: Some(Disposition::NoAnswer),
        ..Report::default()
    };
    bench.books.end(silent, report, bench.now);
    let record = bench.only_record();
    assert_eq!(record.disposition, Disposition::NoAnswer);
    bench.now.instant += 60 * SECOND;
    bench.books.timeout(bench.now);
    assert!(bench.books.take_todo().is_empty());
}

#[test]
fn a_call_that_is_no_dialog_is_followed_by_its_id() {
    let mut bench = Bench::new(true);
    let id = CallId::new();
    bench.open(id, "sip:2000@pbx");
    let _ = bench.steps();
    for stage in [Stage::Begun, Stage::Up, Stage::Begun] {
        let events = bench.books.reached(id, stage, bench.now);
        bench.keep(events);
        // Lists of dialogs do not have it.
        bench.listed(&[]);
    }
    assert_eq!(bench.steps(), [(S::Dialing, S::Connected)]);
    let events = bench.books.over(id, bench.now);
    bench.keep(events);
    assert_eq!(bench.only_record().disposition, Disposition::Answered);
}

/// A call of ours that was over before a dialog of it was known, and that dialog.
fn ended_unseen() -> (Bench, Seen) {
    let mut bench = Bench::new(true);
    let id = CallId::new();
    bench.open(id, "sip:2000@pbx");
    let events = bench.books.end(id, for_status(486), bench.now);
    bench.keep(events);
    let mut one = seen("a@pbx", Stage::Begun);
    one.mark = Some(id);
    (bench, one)
}

/// The first party's phone tells of the end before the dialog is known: its news come after that.
#[test]
fn a_dialog_that_is_told_of_after_the_end_of_our_call_is_no_other_call() {
    for by_event in [true, false] {
        let (mut bench, mut one) = ended_unseen();
        if by_event {
            bench.begun(&one);
            bench.told(&one, Told::Cause(for_status(486)));
            bench.told(&one, Told::Over(for_status(486)));
        }
        bench.listed(std::slice::from_ref(&one));
        // The mark of one that is over is not listed.
        one.mark = None;
        for _ in 0..3 {
            bench.listed(&[at(one.clone(), Stage::Over)]);
            bench.pass(5 * SECOND);
        }
        bench.listed(&[]);
        assert_eq!(bench.only_record().disposition, Disposition::Busy);
        assert_eq!(bench.books.past.unseen(), [1, 1, 1]);
        bench.pass(120 * SECOND);
        bench.listed(&[]);
        assert_eq!(bench.books.past.unseen(), [0, 0, 0]);
    }
}

/// A list shows a dialog before the server's script has marked it. By an event or by another list the call
/// is known to be ours.
#[test]
fn a_dialog_whose_mark_comes_later_is_our_call_and_no_other() {
    for by_event in [true, false] {
        for stage in [Stage::Begun, Stage::Early, Stage::Up] {
            let mut bench = Bench::new(true);
            let id = CallId::new();
            bench.open(id, "sip:2000@pbx");
            let mut one = seen("a@pbx", stage);
            bench.listed(std::slice::from_ref(&one));
            one.mark = Some(id);
            if by_event {
                bench.begun(&at(one.clone(), Stage::Begun));
            } else {
                bench.listed(std::slice::from_ref(&one));
            }
            assert_eq!(bench.books.find(&CallRef::native("a@pbx")), Some(id));
            assert_eq!(bench.books.calls().len(), 1);
            let wanted = match stage {
                Stage::Begun => S::Dialing,
                Stage::Early => S::Ringing,
                _ => S::Connected,
            };
            assert_eq!(bench.books.calls().state(id), Some(wanted));
            one.mark = None;
            one.answered = (stage == Stage::Up).then_some(bench.now.wall);
            bench.listed(&[at(one, Stage::Over)]);
            bench.pass(2 * SECOND);
            assert_eq!(bench.only_record().id, Some(id));
        }
    }
}

/// Where the request is challenged, its end says nothing of the one that comes with credentials.
#[test]
fn a_challenge_whose_request_was_missed_ends_no_other() {
    let mut bench = Bench::new(true);
    let mut one = seen("a@pbx", Stage::Begun);
    bench.told(&one, Told::Over(for_status(407)));
    one.handle = "another".to_owned();
    bench.begun(&one);
    bench.told(&one, Told::Answered);
    bench.pass(2 * SECOND);
    assert_eq!(bench.state(&one), Some(S::Connected));
}

/// The phone calls again: that is up, and must be seen.
#[test]
fn a_dialog_that_lives_after_the_end_of_our_call_is_another_call() {
    let at_once = [Stage::Answered, Stage::Up].map(|stage| (stage, Duration::ZERO));
    for (stage, waits) in at_once.into_iter().chain([(Stage::Early, 11 * SECOND)]) {
        let (mut bench, one) = ended_unseen();
        let id = one.mark;
        bench.begun(&one);
        bench.pass(waits);
        bench.listed(&[at(one.clone(), stage)]);
        assert_eq!(bench.books.calls().len(), 1, "{stage:?}");
        assert_ne!(bench.books.find(&CallRef::native("a@pbx")), id);
    }
}

#[test]
fn a_call_that_is_hung_up_before_its_dialog_is_there_is_hung_up_when_it_comes() {
    let mut bench = Bench::new(true);
    let id = CallId::new();
    bench.open(id, "sip:2000@pbx");
    bench.books.hang_up_when_there(id);
    assert!(bench.books.take_todo().is_empty());
    let mut one = seen("a@pbx", Stage::Begun);
    one.mark = Some(id);
    bench.books.listed(&[one.clone()], true, bench.now);
    assert_eq!(bench.books.take_todo(), [Todo::HangUp(id)]);
    // It failed: with the next list again.
    bench.books.listed(&[one.clone()], true, bench.now);
    assert_eq!(bench.books.take_todo(), [Todo::HangUp(id)]);
    bench.books.hung_up(id);
    bench.books.listed(&[one], true, bench.now);
    assert!(bench.books.take_todo().is_empty());
}

#[test]
fn a_call_that_is_hung_up_before_its_request_is_written_is_not_sent() {
    let mut bench = Bench::new(true);
    let id = CallId::new();
    let new = NewOurs {
        id,
        from: None,
        to: Private::new("sip:2000@pbx".to_owned()),
        ring_timeout: SECOND,
    };
    bench.books.open_ours(new, bench.now).unwrap();
    bench.books.hang_up_when_there(id);
    assert!(!bench.books.requested(id, bench.now));
}

#[test]
fn a_request_whose_answer_is_lost_is_asked_about() {
    let mut bench = Bench::new(true);
    let id = CallId::new();
    bench.open(id, "sip:2000@pbx");
    bench.books.unsure(id, bench.now);
    bench.now.instant += SECOND;
    assert!(bench.books.next_timeout().unwrap() <= bench.now.instant);
    bench.books.timeout(bench.now);
    assert_eq!(bench.books.take_todo(), [Todo::Look(id)]);
    bench.books.timeout(bench.now);
    assert!(bench.books.take_todo().is_empty());
}
