use faxbot_core::id::CallRef;

use super::*;
use crate::adapter::dialogs::Report;

#[tokio::test(start_paused = true)]
async fn polls_never_overlap_and_a_slow_one_delays_the_next() {
    let life = Fake::new().polls(&[Step::Slow(7 * SECOND)]).life();
    life.open().await.unwrap();
    tokio::time::sleep(12 * SECOND).await;
    let polls = life.core().times("poll");
    assert_eq!(polls, [2 * SECOND, 11 * SECOND]);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_asked_for_comes_soon_and_many_make_no_storm() {
    let life = Fake::new().life();
    let fake = Arc::clone(life.core());
    fake.timing.lock().unwrap().poll = 60 * SECOND;
    life.open().await.unwrap();
    tokio::time::sleep(SECOND).await;
    life.poll_soon();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(fake.count("poll"), 1);
    for _ in 0..1000 {
        life.poll_soon();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(fake.count("poll") <= 12, "{}", fake.count("poll"));
}

#[tokio::test(start_paused = true)]
async fn the_books_ask_for_polls() {
    let life = Fake::new().life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    tokio::time::sleep(SECOND).await;
    fake.hub.events(|state, now| {
        // Of a call that is not known: its beginning was missed.
        let told = crate::adapter::dialogs::Told::Rings;
        state.books.told("unknown@pbx", Some("tag"), told, now)
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(fake.count("poll"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_asks_the_server_waits_while_it_is_lost_and_what_does_not_is_done() {
    let gone = Step::Fails(ErrorKind::NotConnected);
    let set_ups = [Step::Good, Step::Slow(10 * SECOND)];
    let life = Fake::new().set_ups(&set_ups).polls(&[gone]).life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    let (asks, settles) = (fake.call(), fake.call());
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(fake.state(), ConnectionState::Connecting);
    fake.hub.note(|state, now| {
        state.books.set_events(true);
        state.books.unsure(asks, now);
        state.books.over(settles, now);
    });
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!((fake.count("look"), fake.count("settle")), (0, 1));
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(fake.state(), ConnectionState::Connected);
    assert_eq!((fake.count("look"), fake.count("settle")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn work_that_hangs_stops_neither_polls_nor_notes() {
    let fake = Fake::new();
    *fake.work.lock().unwrap() = Step::Hangs;
    let life = fake.life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    let calls: Vec<_> = (0..8).map(|_| fake.call()).collect();
    let settles = fake.call();
    fake.hub.note(|state, now| {
        state.books.set_events(true);
        for id in calls {
            state.books.unsure(id, now);
        }
    });
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(fake.count("look"), 4, "as many as are done at once");
    fake.hub.note(|state, now| {
        state.books.over(settles, now);
    });
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(fake.count("settle"), 1);
    assert!(fake.count("poll") >= 4);
    life.close(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_piece_of_work_makes_place_for_the_next() {
    let fake = Fake::new();
    *fake.work.lock().unwrap() = Step::Slow(SECOND);
    let life = fake.life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    let calls: Vec<_> = (0..8).map(|_| fake.call()).collect();
    fake.hub.note(|state, now| {
        for id in calls {
            state.books.unsure(id, now);
        }
    });
    tokio::time::sleep(4 * SECOND).await;
    assert_eq!(fake.count("look"), 8);
}

#[tokio::test(start_paused = true)]
async fn work_that_waits_while_the_server_is_lost_does_not_grow_and_is_done_once() {
    let gone = Step::Fails(ErrorKind::NotConnected);
    let mut set_ups = vec![Step::Good];
    set_ups.extend(vec![Step::Fails(ErrorKind::NotConnected); 1000]);
    let life = Fake::new().set_ups(&set_ups).polls(&[gone]).life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    let calls: Vec<_> = (0..10).map(|_| fake.call()).collect();
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(fake.state(), ConnectionState::Connecting);
    fake.hub.note(|state, now| {
        for id in &calls {
            assert!(state.books.requested(*id, now));
            state.books.unsure(*id, now);
        }
    });
    // The ring time is over soon, and that is said again every 5 s.
    tokio::time::sleep(600 * SECOND).await;
    assert_eq!(fake.state(), ConnectionState::Connecting);
    // A look and a last look each.
    assert_eq!(fake.hub.state().work.len(), 20);
    // Some of them are over meanwhile.
    fake.hub.events(|state, now| {
        let over = calls.iter().take(4);
        over.flat_map(|id| state.books.end(*id, Report::default(), now))
            .collect()
    });
    fake.set_ups.lock().unwrap().clear();
    while fake.state() != ConnectionState::Connected {
        tokio::time::sleep(SECOND).await;
    }
    tokio::time::sleep(SECOND).await;
    assert_eq!(fake.count("look"), 6);
    // Where in the 5 s the server is back is left to chance: they may have been over once more.
    let done = fake.count("other");
    assert!(matches!(done, 6 | 12), "{done}");
    // What is still wanted is said again, and done again.
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(fake.count("other"), done + 6);
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_that_is_owed_waits_once_however_often_its_call_is_seen() {
    let fake = Fake::new();
    *fake.work.lock().unwrap() = Step::Hangs;
    let life = fake.life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    let one = seen("a@pbx");
    let id = fake.hub.change(|state, now| {
        let out = state.books.listed(std::slice::from_ref(&one), true, now);
        let id = state.books.find(&CallRef::native("a@pbx")).unwrap();
        (id, out)
    });
    fake.hub.note(|state, _| state.books.hang_up_when_there(id));
    for _ in 0..100 {
        tokio::time::sleep(SECOND).await;
        fake.hub
            .events(|state, now| state.books.listed(std::slice::from_ref(&one), true, now));
    }
    // All places are taken by what hangs.
    assert_eq!(fake.count("other"), 4);
    assert!(fake.hub.state().work.len() <= 1);
}
