//! Messages, the history of calls, the server's own records, and which events come, on real Asterisk
//! 16 and 22.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::real::{
    Asterisk, LIMIT, Version, connected, party::Party, party_caller::send_message, until, within,
};
use faxbot_core::{
    ErrorKind,
    event::EventStream,
    message::{MessageContent, MessageKind, MessageState},
    sip::{
        CallRecord, CallRequest, Capability, Disposition, HistoryQuery, SipAdapter as _, SipEvent,
        SipMessage,
    },
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

crate::on_both_versions!(
    a_message_reaches_a_phone_with_its_line_breaks,
    a_message_to_an_endpoint_that_is_not_there_is_rejected,
    a_message_of_a_phone_is_told_with_its_sender,
    the_history_is_paged_and_the_servers_own_records_go_with_it,
    what_nobody_needs_is_not_sent_by_the_server,
    no_name_of_a_caller_hides_a_variable_that_is_needed,
);

fn text(to: &str, text: &str) -> SipMessage {
    let content = MessageContent::text(MessageKind::Sip, text);
    SipMessage::new(to.parse().unwrap(), content)
}

async fn next<T>(events: &mut EventStream<SipEvent>, look: impl Fn(&SipEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look(&events.recv().await.unwrap().unwrap().event) {
                return found;
            }
        }
    };
    within("the event comes", LIMIT, found).await
}

async fn a_message_reaches_a_phone_with_its_line_breaks(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let party = Party::answers().start(&asterisk).await;
    let adapter = connected(asterisk.config(&json!({ "sip_message_to": "pjsip:out/{uri}" }))).await;
    let mut events = adapter.subscribe();
    let body = "one line\r\nand, \"another\": grün";
    let mut message = text(&party.uri(), body);
    message.from = Some("sip:desk@pbx.example".parse().unwrap());
    let sent = adapter.send_message(message).await.unwrap();
    let arrived = party.wait_message().await;
    // The phone's log of what it read has line feeds alone.
    assert_eq!(arrived.body, body.replace('\r', ""));
    let from = arrived.header("From").unwrap();
    assert!(from.contains("sip:desk@pbx.example"), "{from}");
    let status = next(&mut events, |event| match event {
        SipEvent::MessageStatusChanged(status) => Some(status.clone()),
        _ => None,
    });
    let status = status.await;
    assert_eq!(status.message_id, sent.message_id);
    assert_eq!(status.status, MessageState::HandedOver);
    // The longest that one line of the manager can carry.
    let long = "x".repeat(756);
    adapter
        .send_message(text(&party.uri(), &long))
        .await
        .unwrap();
    until("the long one arrives", LIMIT, async || {
        let messages = party.messages();
        messages.iter().any(|it| it.body == long).then_some(())
    })
    .await;
}

async fn a_message_to_an_endpoint_that_is_not_there_is_rejected(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    let refused = adapter.send_message(text("4711", "hello")).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Rejected);
}

async fn a_message_of_a_phone_is_told_with_its_sender(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    let mut events = adapter.subscribe();
    // 1,023 bytes are the longest text that Asterisk hands to its dialplan.
    let (long, too_long) = ("y".repeat(1000), "z".repeat(1024));
    // A bracket that stays open takes in all arguments of an application that are behind it.
    for (name, body, told) in [
        ("Bob", "eins, zwei: (grün", "eins, zwei: (grün"),
        ("Bob, the (other", "yes", "yes"),
        ("Bob", &long, &long),
        ("Bob", &too_long, ""),
    ] {
        let sender = format!("\"{name}\" <sip:bob@127.0.0.1>");
        let status = send_message(&asterisk, &sender, "desk", body).await;
        assert_eq!(status, 202);
        let (from, content) = next(&mut events, |event| match event {
            SipEvent::MessageReceived { from, content } => {
                Some((from.expose().clone(), content.clone()))
            }
            _ => None,
        })
        .await;
        assert!(
            from.contains("sip:bob@127.0.0.1") && from.contains(name),
            "{from}"
        );
        assert_eq!(
            (content.kind, content.text.as_str()),
            (MessageKind::Sip, told)
        );
    }
}

/// Calls, and waits for the end.
async fn ended(adapter: &AsteriskAdapter, to: &str, talks: Duration) -> CallRecord {
    let request = CallRequest::dial(to.parse().unwrap());
    let call = adapter.make_call(request).await.unwrap();
    if within("the call is answered or not", LIMIT, call.answered())
        .await
        .is_ok()
    {
        tokio::time::sleep(talks).await;
        adapter.hangup(&call.call_ref()).await.unwrap();
    }
    within("the call ends", LIMIT, call.ended()).await.unwrap()
}

async fn the_history_is_paged_and_the_servers_own_records_go_with_it(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    assert!(adapter.capabilities().has(Capability::Cdr));
    let talked = ended(&adapter, "600", Duration::from_secs(2)).await;
    let busy = ended(&adapter, "602", Duration::ZERO).await;
    let last = ended(&adapter, "602", Duration::ZERO).await;
    let mut query = HistoryQuery::default();
    query.limit = 2;
    let first = adapter.get_call_history(query.clone()).await.unwrap();
    let ids = |items: &[CallRecord]| items.iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(ids(&first.items), [last.id, busy.id]);
    query.cursor = first.next_cursor;
    let second = adapter.get_call_history(query).await.unwrap();
    assert_eq!(ids(&second.items), [talked.id]);
    assert!(second.next_cursor.is_none());
    // It comes before the end of the call.
    let cdr = adapter.get_cdr(&talked.id.unwrap().into()).await.unwrap();
    assert_eq!(cdr.disposition, Disposition::Answered);
    assert!((1..=3).contains(&cdr.billable_seconds.unwrap()), "{cdr:?}");
    assert_eq!((cdr.start, cdr.end), (talked.start, talked.end));
    // `cdr.conf` has no `unanswered = yes`.
    let unanswered = adapter.get_cdr(&busy.id.unwrap().into()).await;
    assert_eq!(unanswered.unwrap_err().kind(), ErrorKind::NotFound);
}

/// Forwards one connection, and keeps what the server writes.
async fn tap(to: u16) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        let (mut from_near, mut to_near) = near.into_split();
        let (mut from_far, mut to_far) = far.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_near, &mut to_far).await });
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = from_far.read(&mut bytes).await {
            keep.lock().unwrap().extend_from_slice(&bytes[..read]);
            if to_near.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    });
    (port, seen)
}

async fn what_nobody_needs_is_not_sent_by_the_server(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let mut bytes = Vec::new();
    for raw_events in ["all", "unknown", "off"] {
        let (port, seen) = tap(asterisk.ami_port()).await;
        let options = json!({ "raw_events": raw_events, "presence": false });
        let adapter = connected(asterisk.config_of("faxbot", "s3cret", port, &options)).await;
        seen.lock().unwrap().clear();
        let record = ended(&adapter, "600", Duration::from_millis(300)).await;
        assert_eq!(record.disposition, Disposition::Answered);
        // The events of all calls of the instance are through.
        adapter.health_check().await.unwrap();
        let text = String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
        let has = |event: &str| text.contains(&format!("Event: {event}\r\n"));
        let all = raw_events == "all";
        for noise in ["Newexten", "HangupHandlerPush", "DeviceStateChange"] {
            assert_eq!(has(noise), all, "{noise} {raw_events}");
        }
        assert_eq!(text.contains("Variable: FAXBOT_ID"), all, "{raw_events}");
        for needed in ["Newchannel", "Newstate", "OriginateResponse", "Hangup"] {
            assert!(has(needed), "{needed} {raw_events}");
        }
        // Of the answers to the adapter there are as many each time.
        let events = text.split("\r\n\r\n");
        let events = events.filter(|it| it.starts_with("Event: ") && !it.contains("ActionID: "));
        bytes.push(events.map(str::len).sum::<usize>());
        adapter.disconnect(LIMIT).await.unwrap();
    }
    println!("bytes of events with raw_events all, unknown, off: {bytes:?}");
    assert!(bytes[1] < bytes[0] * 2 / 3, "{bytes:?}");
    assert!(bytes[2] <= bytes[1], "{bytes:?}");
}

async fn no_name_of_a_caller_hides_a_variable_that_is_needed(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let (port, seen) = tap(asterisk.ami_port()).await;
    let adapter = connected(asterisk.config_of("faxbot", "s3cret", port, &json!({}))).await;
    let number = || "600".parse().unwrap();
    let mut request = CallRequest::connect(number(), number());
    request.options.caller_id_name = Some("Anna Variable: Xaver".to_owned());
    let call = adapter.make_call(request).await.unwrap();
    within("the call is answered", LIMIT, call.answered())
        .await
        .unwrap();
    adapter.hangup(&call.call_ref()).await.unwrap();
    within("the call ends", LIMIT, call.ended()).await.unwrap();
    let text = String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
    let variables = text.split("\r\n\r\n");
    let mut variables = variables.filter(|it| it.starts_with("Event: VarSet\r\n"));
    let needed = |it: &str| it.contains("Xaver") && it.contains("\r\nVariable: DIALSTATUS\r\n");
    assert!(variables.any(needed));
    assert!(!text.contains("\r\nVariable: FAXBOT_ID\r\n"));
}
