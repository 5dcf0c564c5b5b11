use super::*;

/// What the books take, in elements and bytes that are reserved.
fn taken(books: &Dialogs) -> [usize; 7] {
    let strings = books.lines.values().map(|line| {
        let seen = line.seen.as_ref().unwrap();
        let parts = [&seen.call_id, &seen.from_tag, &seen.handle];
        let parts: usize = parts.map(String::capacity).iter().sum();
        parts + line.handles.capacity()
    });
    [
        strings.sum(),
        books.lines.capacity(),
        books.by_call_id.capacity(),
        books.by_call_id.values().map(Vec::capacity).sum(),
        books.alarms.len(),
        books.todo.capacity(),
        books.calls().len(),
    ]
}

#[test]
fn a_thousand_dialogs_that_are_polled_take_no_more_from_poll_to_poll() {
    let mut bench = Bench::new(true);
    let list: Vec<_> = (0..1000)
        .map(|n| seen(&format!("{n}@pbx"), Stage::Up))
        .collect();
    bench.listed(&list);
    let _ = bench.steps();
    let before = taken(&bench.books);
    for _ in 0..100 {
        bench.pass(2 * SECOND);
        bench.listed(&list);
        assert!(bench.events.is_empty());
    }
    assert_eq!(taken(&bench.books), before);
    assert_eq!(bench.books.past.len(), (0, 0));
    bench.listed(&[]);
    assert_eq!(bench.books.calls().len(), 0);
    assert!(bench.books.by_call_id.is_empty());
}

#[test]
fn what_is_remembered_of_ended_dialogs_is_bounded_by_number_and_by_time() {
    let mut bench = Bench::new(false);
    for n in 0..10_500 {
        bench.listed(&[seen(&format!("{n}@pbx"), Stage::Over)]);
    }
    let _ = bench.steps();
    let (gone, order) = bench.books.past.len();
    assert!(gone <= 10_000 && order <= 10_000, "{gone} {order}");
    // One that stays listed is remembered on.
    let stays = seen("10499@pbx", Stage::Over);
    for _ in 0..30 {
        bench.pass(10 * SECOND);
        bench.listed(std::slice::from_ref(&stays));
    }
    assert!(bench.steps().is_empty());
    assert_eq!(bench.books.past.len(), (1, 1));
    bench.pass(120 * SECOND);
    bench.listed(&[]);
    assert_eq!(bench.books.past.len(), (0, 0));
    assert_eq!(bench.books.calls().ended().count(), 10_000);
}

#[test]
fn events_of_strangers_are_bounded() {
    let mut bench = Bench::new(true);
    for n in 0..20_000 {
        let told = Told::Over(for_status(486));
        bench
            .books
            .told(&format!("{n}@pbx"), Some("tag"), told, bench.now);
    }
    let (gone, order) = bench.books.past.len();
    assert!(gone <= 10_000 && order <= 10_000);
    // All of them together ask for one poll.
    assert_eq!(bench.books.take_todo(), [Todo::Poll]);
}

#[test]
fn alarms_of_calls_that_are_over_go_with_their_time() {
    let mut bench = Bench::new(true);
    for _ in 0..100 {
        let id = CallId::new();
        bench.open(id, "sip:2000@pbx");
        bench.books.end(id, Report::default(), bench.now);
    }
    assert_eq!(bench.books.alarms.len(), 100);
    bench.pass(65 * SECOND);
    assert!(bench.books.alarms.is_empty());
    assert_eq!(bench.books.next_timeout(), None);
}
