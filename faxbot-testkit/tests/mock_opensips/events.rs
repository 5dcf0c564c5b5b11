//! Events, as datagrams and over TCP.

use std::time::Duration;

use faxbot_testkit::server::opensips::{CallScript, MockOpenSips, PassingCall, Stage, Tree};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, UdpSocket},
};

use crate::client::{refusal, result};

const SOCKET: &str = "udp:127.0.0.1:28090";

fn passing() -> PassingCall {
    PassingCall::new("sip:alice@127.0.0.1:25070", "sip:2000@127.0.0.1:25060")
}

/// What happened to one call: the event, and of it the new state or the status.
async fn told(mock: &MockOpenSips, what: impl FnOnce(&MockOpenSips)) -> Vec<String> {
    let mut events = mock.events_at(SOCKET);
    for event in [
        "E_DLG_STATE_CHANGED",
        "E_ACC_CDR",
        "E_ACC_MISSED_EVENT",
        "E_CALL_HOLD",
        "E_CALL_TRANSFER",
    ] {
        let params = format!(r#"["{event}","{SOCKET}",600]"#);
        assert_eq!(result(mock, "event_subscribe", &params).await, "OK".into());
    }
    what(mock);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        let event = Tree::parse(&event).unwrap();
        let name = event.get("method").and_then(Tree::text).unwrap();
        let params = event.get("params").unwrap();
        let text = |name: &str| {
            params
                .get(name)
                .map(|value| value.compact().replace('"', ""))
        };
        told.push(match name {
            "E_DLG_STATE_CHANGED" => {
                format!(
                    "{}>{}",
                    text("old_state").unwrap(),
                    text("new_state").unwrap()
                )
            }
            "E_ACC_MISSED_EVENT" => format!("missed {}", text("sip_code").unwrap()),
            "E_ACC_CDR" => format!("cdr {}", text("duration").unwrap()),
            "E_CALL_HOLD" => ["leg", "action", "state"]
                .map(|name| text(name).unwrap())
                .join(" "),
            _ => ["state", "status"]
                .map(|name| text(name).unwrap())
                .join(" "),
        });
    }
    told
}

#[tokio::test(start_paused = true)]
async fn calls_are_told_in_the_recorded_order() {
    for (name, call, wanted) in [
        (
            "hung up",
            passing().hung_up_after(Duration::from_millis(1500)),
            &["1>2", "2>3", "3>4", "4>5", "cdr 2"][..],
        ),
        (
            "busy",
            passing().taken(CallScript::busy()),
            &["1>2", "missed 486", "2>5"],
        ),
        (
            "nobody",
            passing().taken(CallScript::no_such_endpoint()),
            &["1>5", "missed 404"],
        ),
        (
            "silent",
            passing().taken(CallScript::unreachable()),
            &["missed 408", "1>5"],
        ),
        (
            "cancelled",
            passing()
                .taken(CallScript::rings_for_ever())
                .cancelled_after(Duration::from_secs(1)),
            &["1>2", "missed 487", "2>5"],
        ),
        (
            "unanswered",
            passing().taken(CallScript::no_answer()),
            &["1>2", "missed 408", "2>5"],
        ),
    ] {
        let mock = MockOpenSips::builder().in_memory().start().await.unwrap();
        let told = told(&mock, |mock| {
            let _id = mock.call(call);
        })
        .await;
        assert_eq!(told, wanted, "{name}");
    }
    let mock = MockOpenSips::builder()
        .in_memory()
        .without_accounting()
        .start()
        .await
        .unwrap();
    let told = told(&mock, |mock| {
        let _id = mock.call(passing().taken(CallScript::busy()));
    })
    .await;
    assert_eq!(told, ["1>2", "2>5"]);
}

async fn talking(mock: &MockOpenSips) -> String {
    let id = mock.call(passing());
    let up = |mock: &MockOpenSips| mock.dialog(&id).filter(|it| it.stage == Stage::Up);
    assert!(mock.wait_until(Duration::from_secs(10), up).await.is_some());
    id
}

#[tokio::test(start_paused = true)]
async fn holding_is_told_for_each_leg_and_changes_what_the_server_believes() {
    let mock = MockOpenSips::builder().in_memory().start().await.unwrap();
    let id = talking(&mock).await;
    let params = format!(r#"["{id}"]"#);
    let first = told(&mock, |_| {}).await;
    assert!(first.is_empty());
    assert_eq!(result(&mock, "call_hold", &params).await, "OK".into());
    let again = (480, "Both dialog legs are on hold".to_owned());
    assert_eq!(refusal(&mock, "call_hold", &params).await, again);
    mock.parties_refuse_hold(true);
    assert_eq!(result(&mock, "call_unhold", &params).await, "OK".into());
    let none = (480, "No dialog legs on hold".to_owned());
    assert_eq!(refusal(&mock, "call_unhold", &params).await, none);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let states: Vec<String> = mock
        .sent_events()
        .into_iter()
        .filter_map(|(_, event)| {
            Some(
                event
                    .split_once("\"state\":\"")?
                    .1
                    .trim_end_matches("\"}}")
                    .to_owned(),
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            "start", "start", "start", "start", "ok", "ok", "fail", "fail"
        ]
    );
    let missing = (404, "Dialog not found".to_owned());
    assert_eq!(refusal(&mock, "call_hold", r#"["nope"]"#).await, missing);
}

#[tokio::test(start_paused = true)]
async fn a_transfer_is_told_and_blocks_the_next_one() {
    for (destination, refuses, wanted, over) in [
        (
            "sip:3000@127.0.0.1:25060",
            false,
            &["start ", "1>2", "2>3", "ok 200 OK", "3>4", "notify 200 OK"][..],
            true,
        ),
        (
            "sip:xbusy@127.0.0.1:25060",
            false,
            &[
                "start ",
                "1>2",
                "missed 486",
                "2>5",
                "fail 486 Busy Here",
                "notify 486 Busy Here",
            ],
            false,
        ),
        ("sip:3000@127.0.0.1:25060", true, &[], false),
    ] {
        let mock = MockOpenSips::builder()
            .in_memory()
            .on_dial("xbusy", CallScript::busy())
            .start()
            .await
            .unwrap();
        let id = talking(&mock).await;
        mock.parties_refuse_transfer(refuses);
        let params = format!(r#"["{id}","callee","{destination}"]"#);
        assert!(told(&mock, |_| {}).await.is_empty());
        let mut events = mock.events_at(SOCKET);
        assert_eq!(
            result(&mock, "call_transfer", &params).await,
            "Accepted".into()
        );
        let pending = (491, "Request Pending".to_owned());
        assert_eq!(refusal(&mock, "call_transfer", &params).await, pending);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let mut count = 0;
        while events.try_recv().is_ok() {
            count += 1;
        }
        // The old call ends with 4>5 and its record.
        assert_eq!(
            count,
            wanted.len() + if over { 2 } else { 0 },
            "{destination}"
        );
        assert_eq!(
            mock.dialog(&id).unwrap().stage == Stage::Over,
            over,
            "{destination}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn subscriptions_end_are_renewed_and_are_forgotten() {
    let mock = MockOpenSips::builder().in_memory().start().await.unwrap();
    let mut events = mock.events_at(SOCKET);
    let subscribe = |expire: u32| format!(r#"["E_MY_EVENT","{SOCKET}",{expire}]"#);
    let nobody = (480, "Temporarily Unavailable".to_owned());
    let raise = r#"["E_MY_EVENT",["a"]]"#;
    assert_eq!(refusal(&mock, "raise_event", raise).await, nobody);
    assert_eq!(
        result(&mock, "event_subscribe", &subscribe(4)).await,
        "OK".into()
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        result(&mock, "event_subscribe", &subscribe(4)).await,
        "OK".into()
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(result(&mock, "raise_event", raise).await, "OK".into());
    assert_eq!(
        events.recv().await.unwrap(),
        &br#"{"jsonrpc":"2.0","method":"E_MY_EVENT","params":["a"]}"#[..]
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(refusal(&mock, "raise_event", raise).await, nobody);
    assert_eq!(
        result(&mock, "event_subscribe", &subscribe(600)).await,
        "OK".into()
    );
    mock.restart(Duration::from_millis(100));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(mock.subscriptions().is_empty());
}

#[tokio::test]
async fn events_go_out_as_datagrams_and_over_tcp_without_separators() {
    let mock = MockOpenSips::builder().start().await.unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sockets = [
        format!("udp:{}", udp.local_addr().unwrap()),
        format!("tcp:{}", tcp.local_addr().unwrap()),
    ];
    for socket in &sockets {
        let params = format!(r#"["E_MY_EVENT","{socket}"]"#);
        assert_eq!(result(&mock, "event_subscribe", &params).await, "OK".into());
    }
    mock.raise("E_MY_EVENT", None);
    mock.raise("E_MY_EVENT", Some(Tree::object([("n", Tree::Int(1))])));
    let mut datagram = [0; 1000];
    let first = br#"{"jsonrpc":"2.0","method":"E_MY_EVENT"}"#;
    let second = br#"{"jsonrpc":"2.0","method":"E_MY_EVENT","params":{"n":1}}"#;
    for wanted in [&first[..], second] {
        let length = udp.recv(&mut datagram).await.unwrap();
        assert_eq!(&datagram[..length], wanted);
    }
    let mut both = vec![0; first.len() + second.len()];
    let (mut link, _) = tcp.accept().await.unwrap();
    link.read_exact(&mut both).await.unwrap();
    assert_eq!(both, [&first[..], second].concat());
    // The link ends, and the next event opens another.
    drop(link);
    let none = |mock: &MockOpenSips| (mock.event_links() == 0).then_some(());
    let closed = async {
        while none(&mock).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed)
        .await
        .unwrap();
    mock.raise("E_MY_EVENT", None);
    let (mut link, _) = tcp.accept().await.unwrap();
    let mut one = vec![0; first.len()];
    link.read_exact(&mut one).await.unwrap();
    assert_eq!(one, first);
}

#[tokio::test(start_paused = true)]
async fn registrations_are_told_and_expire() {
    let mock = MockOpenSips::builder().in_memory().start().await.unwrap();
    let mut events = mock.events_at(SOCKET);
    for event in [
        "E_UL_AOR_INSERT",
        "E_UL_AOR_DELETE",
        "E_UL_CONTACT_INSERT",
        "E_UL_CONTACT_UPDATE",
    ] {
        let params = format!(r#"["{event}","{SOCKET}"]"#);
        assert_eq!(result(&mock, "event_subscribe", &params).await, "OK".into());
    }
    mock.registers(
        "bob@pbx",
        "sip:bob@127.0.0.1:25071",
        Duration::from_secs(60),
    );
    mock.registers("bob@pbx", "sip:bob@127.0.0.1:25071", Duration::from_secs(2));
    let shown = result(&mock, "ul_show_contact", r#"["location","bob@other"]"#).await;
    assert_eq!(shown.get("AOR").and_then(Tree::text), Some("bob"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        told.push(
            Tree::parse(&event)
                .unwrap()
                .get("method")
                .unwrap()
                .compact(),
        );
    }
    assert_eq!(
        told,
        [
            "\"E_UL_AOR_INSERT\"",
            "\"E_UL_CONTACT_INSERT\"",
            "\"E_UL_CONTACT_UPDATE\"",
            "\"E_UL_AOR_DELETE\""
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_of_one_leg_is_told() {
    let mock = MockOpenSips::builder()
        .in_memory()
        .on_dial("busy", CallScript::busy())
        .start()
        .await
        .unwrap();
    let mut events = mock.events_at(SOCKET);
    let params = format!(r#"["E_UA_SESSION","{SOCKET}"]"#);
    assert_eq!(result(&mock, "event_subscribe", &params).await, "OK".into());
    for (user, wanted) in [
        ("2000", &["EARLY", "ANSWERED", "TERMINATED"][..]),
        ("busy", &["EARLY", "REJECTED"]),
    ] {
        let params = format!(
            r#"["sip:{user}@127.0.0.1:25080","sip:x@127.0.0.1","Clinic,sip:clinic@127.0.0.1"]"#
        );
        let key = result(&mock, "ua_session_client_start", &params).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        mock.session_hangs_up(key.text().unwrap());
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            let event = Tree::parse(&event).unwrap();
            let kind = event
                .get("params")
                .and_then(|params| params.get("event_type"));
            told.push(kind.and_then(Tree::text).unwrap().to_owned());
        }
        assert_eq!(told, wanted, "{user}");
    }
}
