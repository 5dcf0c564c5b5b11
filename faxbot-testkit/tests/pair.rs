//! A session and a scripted server on a fake clock.
#![cfg(test)]

use std::time::Duration;

use faxbot_core::clock::Clock;
use faxbot_sip::protocol::{
    ami::{Action, AmiCodec, AmiConfig, AmiSession, Login, MAX_MESSAGE, Role},
    session::{CloseReason, NoReply, Output, Token},
};
use faxbot_testkit::{
    pair::{FakeClock, Pair, ScriptedEnd, SessionEnd},
    random::Seed,
};

const WELCOME: &str = "Response: Success\r\nMessage: Authentication accepted\r\n\r\n\
                       Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n";

fn session() -> SessionEnd<AmiSession> {
    let login = Login::new("faxbot", "s3cret").unwrap().md5(false);
    let session = AmiSession::new(login, AmiConfig::new(), [7; 16]);
    SessionEnd::new(session, AmiCodec::new(Role::Client, MAX_MESSAGE))
}

/// The session checks the `ActionID`: the script learns it from what came.
fn logged_in(latency: Duration) -> Pair<SessionEnd<AmiSession>, ScriptedEnd> {
    let server = ScriptedEnd::new()
        .say("Asterisk Call Manager/11.0.0\r\n")
        .expect("\r\n\r\n");
    let mut pair = Pair::new(session(), server)
        .latency(latency)
        .split(Seed(3), 9);
    pair.drive_until(50, |pair| pair.b.left() == 0);
    let asked = String::from_utf8(pair.b.received().to_vec()).unwrap();
    let id = asked
        .split("ActionID: ")
        .nth(1)
        .unwrap()
        .split("\r\n")
        .next()
        .unwrap();
    let welcome = WELCOME.replacen("\r\n", &format!("\r\nActionID: {id}\r\n"), 1);
    pair.b = ScriptedEnd::new().say(welcome);
    let now = pair.now();
    faxbot_testkit::pair::End::connected(&mut pair.b, now);
    let ready = pair.drive_until(50, |pair| faxbot_ready(&pair.a));
    assert!(ready, "{pair:?}");
    pair
}

fn faxbot_ready(end: &SessionEnd<AmiSession>) -> bool {
    use faxbot_sip::protocol::session::Session as _;
    end.session.is_ready()
}

#[test]
fn a_login_over_a_slow_link_takes_its_round_trips_and_no_more() {
    let pair = logged_in(Duration::from_millis(200));
    let took = pair.clock().elapsed();
    assert_eq!(
        took,
        Duration::from_millis(200 * 3),
        "banner, login, welcome"
    );
}

#[test]
fn a_request_whose_answer_is_lost_ends_at_its_deadline() {
    let mut pair = logged_in(Duration::from_millis(10));
    pair.a.take_outputs();
    let now = pair.now();
    let deadline = now + Duration::from_secs(3);
    let ping = Action::new("Ping").unwrap();
    pair.a.request(Token(1), ping, deadline, now).unwrap();
    pair.exchange();
    pair.lose_in_flight();
    let mut ended = None;
    for _ in 0..50 {
        pair.step();
        for output in pair.a.take_outputs() {
            if let Output::Reply { token, result } = output {
                assert_eq!(token, Token(1));
                assert!(ended.is_none());
                ended = Some((result.err(), pair.now()));
            }
        }
    }
    let (why, at) = ended.unwrap();
    assert_eq!(why, Some(NoReply::Deadline));
    assert_eq!(at, deadline);
}

#[test]
fn a_silent_server_is_given_up_and_then_nothing_is_left_to_wait_for() {
    let mut pair = logged_in(Duration::ZERO);
    assert!(pair.drive_bounded(1000));
    let closed = pair
        .a
        .take_outputs()
        .into_iter()
        .find_map(|output| match output {
            Output::Close(reason) => Some(reason),
            _ => None,
        });
    assert_eq!(closed, Some(CloseReason::Silent));
}

#[test]
fn the_fake_clock_wakes_those_whose_time_has_come_and_moves_the_wall_time() {
    let clock = FakeClock::new();
    let wall = clock.timestamp();
    let start = clock.now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let sleep = tokio::spawn(clock.sleep_until(start + Duration::from_secs(5)));
        tokio::task::yield_now().await;
        assert_eq!(clock.next_deadline(), Some(start + Duration::from_secs(5)));
        clock.advance(Duration::from_secs(4));
        tokio::task::yield_now().await;
        assert!(!sleep.is_finished());
        clock.advance(Duration::from_secs(1));
        sleep.await.unwrap();
    });
    assert_eq!(
        clock.timestamp().duration_since(wall),
        Duration::from_secs(5)
    );
    clock.advance_to(start);
    assert_eq!(
        clock.elapsed(),
        Duration::from_secs(5),
        "time never goes back"
    );
}

#[test]
fn a_script_waits_expects_and_closes() {
    let a = ScriptedEnd::new()
        .say("hello ")
        .wait(Duration::from_secs(2))
        .say("world")
        .expect("bye");
    let b = ScriptedEnd::new().expect("hello world").say("bye").close();
    let mut pair = Pair::new(a, b).latency(Duration::from_millis(500));
    assert!(pair.drive_bounded(20));
    assert_eq!((pair.a.left(), pair.b.left()), (0, 0));
    assert_eq!(pair.clock().elapsed(), Duration::from_millis(3000));
}
