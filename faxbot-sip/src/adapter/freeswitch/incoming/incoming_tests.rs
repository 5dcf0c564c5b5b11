use std::time::Instant;

use faxbot_core::sip::{AdapterKind, RejectCause};

use super::*;
use crate::adapter::freeswitch::abilities::Abilities;

fn config(options: &str) -> FreeswitchConfig {
    let url = format!("esl://:x@h?dial=user/{{number}}&{options}");
    FreeswitchConfig::from_url(&url).unwrap()
}

/// Books of a server whose calls come in so.
fn desk(options: &str) -> Desk {
    let config = config(options);
    let mut desk = Desk::new(AdapterKind::FREESWITCH, Abilities::hoped_for(&config));
    desk.open_gate(&config);
    desk
}

fn now() -> Now {
    Now {
        instant: Instant::now(),
        wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
    }
}

fn later(now: Now, seconds: u64) -> Now {
    let by = Duration::from_secs(seconds);
    Now {
        instant: now.instant + by,
        wall: now.wall + by,
    }
}

fn ringing(uuid: &str) -> Channel {
    Channel {
        uuid: uuid.to_owned(),
        direction: "inbound".to_owned(),
        created_epoch: "1795247990".to_owned(),
        cid_num: "4930555".to_owned(),
        dest: "7001".to_owned(),
        context: "public".to_owned(),
        application: "park".to_owned(),
        callstate: "RINGING".to_owned(),
        ..Channel::default()
    }
}

/// A call of the list that was told of.
fn told(desk: &mut Desk, channel: &Channel, now: Now) -> CallId {
    let id = call_of(&channel.uuid).unwrap();
    desk.waiting_in(std::slice::from_ref(channel), now);
    let events = (**desk).announce(id, BTreeMap::new());
    assert_eq!(events.len(), 1);
    id
}

const UUID: &str = "6b1d4c57-93d2-4e0a-a1c6-7e520f3b9a44";

#[test]
fn headers_of_any_case_are_told_by_the_names_that_are_configured() {
    let wanted = ["x-foo".to_owned(), "P-Asserted-Identity".to_owned()];
    let mut told = Told::new(&wanted);
    for (name, value) in [
        ("variable_sip_h_X-Foo", "a, 'b'"),
        ("variable_sip_P-Asserted-Identity", "<sip:1@h>"),
        ("variable_sip_h_X-Other", "no"),
        ("X-Foo", "no"),
        ("variable_sip_h_x-foo2", "no"),
        ("Caller-Caller-ID-Name", "Anna"),
        ("Caller-RDNIS", "unknown"),
        ("Caller-Network-Addr", ""),
    ] {
        told.take(name, value);
    }
    let told: Vec<_> = told
        .told
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose().as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("Caller-Caller-ID-Name", "Anna"),
            ("P-Asserted-Identity", "<sip:1@h>"),
            ("x-foo", "a, 'b'"),
        ]
    );
}

#[test]
fn an_empty_header_and_one_that_is_too_long_harm_nobody() {
    let wanted = ["x".to_owned()];
    let mut told = Told::new(&wanted);
    told.take("variable_sip_h_X", "");
    assert!(told.told.is_empty());
    told.take("variable_sip_h_X", &"\u{e4}".repeat(100_000));
    assert!(told.told["x"].expose().len() <= 1_024);
}

#[test]
fn what_waits_in_the_list_is_a_call_and_what_does_not_is_none() {
    type Change = fn(&mut Channel);
    let change: [(&str, Change); 6] = [
        ("outbound", |it| it.direction = "outbound".to_owned()),
        ("answered", |it| it.callstate = "ACTIVE".to_owned()),
        ("elsewhere", |it| it.application = "playback".to_owned()),
        ("socket", |it| it.application = "socket".to_owned()),
        ("another context", |it| it.context = "other".to_owned()),
        ("no uuid", |it| it.uuid = "1".to_owned()),
    ];
    let mut books = desk("incoming=park&incoming_context=public");
    books.waiting_in(&[ringing(UUID)], now());
    assert_eq!(books.len(), 1);
    for (what, change) in change {
        let mut books = desk("incoming=park&incoming_context=public");
        let mut channel = ringing(UUID);
        change(&mut channel);
        books.waiting_in(&[channel], now());
        assert_eq!(books.len(), 0, "{what}");
    }
    for options in [
        "incoming=off",
        "incoming=socket&incoming_listen=127.0.0.1:1",
    ] {
        let mut books = desk(options);
        books.waiting_in(&[ringing(UUID)], now());
        assert_eq!(books.len(), 0, "{options}");
    }
}

#[test]
fn a_lost_order_is_made_up_for_when_two_lists_show_that_the_call_waits() {
    let (mut books, at) = (desk("incoming=park"), now());
    let channel = ringing(UUID);
    let id = told(&mut books, &channel, at);
    books.decide(id, "reject").unwrap();
    books.rejecting(id, RejectCause::Busy);
    (*books).decision_unsure(id, at);
    let at = later(at, 6);
    books.waiting_in(std::slice::from_ref(&channel), at);
    assert!(books.decide(id, "accept").is_err());
    books.waiting_in(std::slice::from_ref(&channel), later(at, 6));
    assert_eq!(books.announce(id, BTreeMap::new()).len(), 1);
    assert!(books.decide(id, "accept").is_ok());
}

#[test]
fn a_call_that_left_while_nobody_looked_is_decided_on() {
    let (mut books, at) = (desk("incoming=park"), now());
    let mut channel = ringing(UUID);
    let id = told(&mut books, &channel, at);
    channel.callstate = "ACTIVE".to_owned();
    // A list right behind its arrival may be older than that.
    books.waiting_in(std::slice::from_ref(&channel), at);
    assert_eq!(books.waiting().len(), 1);
    books.waiting_in(std::slice::from_ref(&channel), later(at, 6));
    assert!(books.waiting().is_empty());
    assert!(books.decide(id, "accept").is_err());
}

#[test]
fn a_call_is_told_of_once_however_often_the_list_shows_it() {
    let (mut books, at) = (desk("incoming=park"), now());
    let channel = ringing(UUID);
    let id = told(&mut books, &channel, at);
    for seconds in [0, 6, 60] {
        books.waiting_in(std::slice::from_ref(&channel), later(at, seconds));
        assert!(books.announce(id, BTreeMap::new()).is_empty());
    }
    assert_eq!(
        books.waiting()[0].caller.as_ref().unwrap().expose(),
        "4930555"
    );
    assert_eq!(at.wall.duration_since(books.waiting()[0].at).as_secs(), 10);
}
