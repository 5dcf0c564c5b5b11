//! The mocked FreeSWITCH: calls that come in, and what is done to calls that are up.
#![cfg(test)]

mod esl_client;

use std::time::Duration;

use esl_client::Client;
use faxbot_testkit::server::freeswitch::{CallerSaw, IncomingFax, IncomingScript, MockFreeSwitch};
use tokio::io::DuplexStream;

const A: &str = "0000000a-0000-4000-8000-000000000000";
const B: &str = "0000000b-0000-4000-8000-000000000000";

async fn up() -> (MockFreeSwitch, Client<DuplexStream>) {
    let mock = MockFreeSwitch::builder().public_parks().in_memory();
    let mock = mock.start().await.unwrap();
    let client = Client::listen(mock.connect_duplex()).await;
    (mock, client)
}

/// Two calls that talk by `uuid_bridge`.
async fn bridged() -> (MockFreeSwitch, Client<DuplexStream>) {
    let (mock, mut client) = up().await;
    for id in [A, B] {
        client.originate(id, "", "sofia/gateway/x/1 &park()").await;
        client.until("CHANNEL_PARK", id).await;
    }
    let said = client.api(&format!("uuid_bridge {A} {B}")).await;
    assert_eq!(said, format!("+OK {B}\n"));
    let event = client.until("CHANNEL_BRIDGE", A).await;
    assert_eq!(event.get("Bridge-B-Unique-ID"), B);
    assert_eq!(event.get("Other-Leg-Unique-ID"), B);
    assert_eq!(mock.bridged_with(A), [B]);
    (mock, client)
}

#[tokio::test(start_paused = true)]
async fn a_parked_caller_is_decided_on_as_recorded() {
    let (mock, mut client) = up().await;
    for (command, reply, cause, saw) in [
        ("uuid_kill {} USER_BUSY", "+OK\n", "USER_BUSY", 17),
        ("uuid_kill {} 17", "+OK\n", "USER_BUSY", 17),
        ("uuid_kill {} NO_SUCH_CAUSE", "+OK\n", "NORMAL_CLEARING", 16),
        ("uuid_kill {} CALL_REJECTED", "+OK\n", "CALL_REJECTED", 21),
        (
            "uuid_redirect {} sip:x@h",
            "+OK:\n",
            "NORMAL_UNSPECIFIED",
            31,
        ),
        (
            "uuid_transfer {} answer,sleep:500,hangup inline",
            "+OK\n",
            "NORMAL_CLEARING",
            16,
        ),
        ("sched_hangup +2 {} NO_ANSWER", "+OK\n", "NO_ANSWER", 19),
    ] {
        let script = IncomingScript::new("+15550002222", "800").name("Ann Example");
        let id = mock.incoming(script);
        let park = client.until("CHANNEL_PARK", &id).await;
        assert_eq!(park.get("Caller-Caller-ID-Number"), "+15550002222");
        assert_eq!(park.get("Caller-Caller-ID-Name"), "Ann Example");
        assert_eq!(park.get("Caller-Destination-Number"), "800");
        assert_eq!(park.get("Call-Direction"), "inbound");
        assert_eq!(park.get("Channel-Call-State"), "RINGING");
        assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Ringing));
        assert_eq!(client.api(&command.replace("{}", &id)).await, reply);
        let end = client.until("CHANNEL_HANGUP_COMPLETE", &id).await;
        assert_eq!(end.get("Hangup-Cause"), cause, "{command}");
        client.until("CHANNEL_DESTROY", &id).await;
        assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Ended { cause: saw }));
    }
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_gives_up_or_is_answered_and_goes() {
    let (mock, mut client) = up().await;
    let script = IncomingScript::new("1", "800").gives_up_after(Duration::from_secs(2));
    let id = mock.incoming(script.clone());
    let end = client.until("CHANNEL_HANGUP_COMPLETE", &id).await;
    assert_eq!(end.get("Hangup-Cause"), "ORIGINATOR_CANCEL");
    assert_eq!(end.get("variable_sip_term_status"), "487");
    assert_eq!(client.api(&format!("uuid_answer {id}")).await, "-ERROR\n");
    let id = mock.incoming(script.hangs_up_after(Duration::from_secs(1)));
    client.until("CHANNEL_PARK", &id).await;
    assert_eq!(client.api(&format!("uuid_ring_ready {id}")).await, "+OK\n");
    assert_eq!(client.api(&format!("uuid_answer {id}")).await, "+OK\n");
    client.until("CHANNEL_ANSWER", &id).await;
    assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Answered));
    let end = client.until("CHANNEL_HANGUP_COMPLETE", &id).await;
    assert_eq!(end.get("variable_sip_hangup_disposition"), "recv_bye");
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_caller_is_received_as_a_fax() {
    let dir = tempfile::tempdir().unwrap();
    let mock = MockFreeSwitch::builder()
        .public_parks()
        .map_path("/spool", dir.path())
        .in_memory()
        .start()
        .await
        .unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    let id = mock.incoming(IncomingScript::new("1", "800").sends_fax(IncomingFax::new(3)));
    client.until("CHANNEL_PARK", &id).await;
    client
        .api(&format!("uuid_setvar {id} fax_enable_t38 true"))
        .await;
    let hook = "hash insert/faxbot/in/${fax_success}|${fax_result_code}|${fax_document_transferred_pages}|${fax_t38_status}|${fax_remote_station_id}|${sip_term_status}";
    client
        .api(&format!("uuid_setvar {id} api_hangup_hook {hook}"))
        .await;
    let said = client
        .api(&format!(
            "uuid_transfer {id} answer,rxfax:/spool/in.tif,hangup inline"
        ))
        .await;
    assert_eq!(said, "+OK\n");
    for page in ["1", "2", "3"] {
        let told = client.until("CUSTOM spandsp::rxfaxpageresult", &id).await;
        assert_eq!(told.get("fax-document-transferred-pages"), page);
    }
    let result = client.until("CUSTOM spandsp::rxfaxresult", &id).await;
    assert_eq!(result.get("fax-success"), "1");
    client.until("CHANNEL_HANGUP_COMPLETE", &id).await;
    assert_eq!(
        mock.hash_get("faxbot", "in").unwrap(),
        "1|0|3|negotiated|SENDER|"
    );
    let stored = std::fs::read(dir.path().join("in.tif")).unwrap();
    assert!(stored.starts_with(b"II*\0"));
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_bridge_ends_for_both_unless_a_variable_says_otherwise() {
    let (mock, mut client) = bridged().await;
    client
        .api(&format!("uuid_setvar {A} park_after_bridge true"))
        .await;
    assert!(mock.far_end_hangs_up(B, 16));
    client.until("CHANNEL_UNBRIDGE", A).await;
    client.until("CHANNEL_PARK", A).await;
    assert_eq!(mock.channels(), [A]);
    mock.finish().await;

    let (mock, mut client) = bridged().await;
    client.api(&format!("uuid_kill {A}")).await;
    let end = client.until("CHANNEL_HANGUP_COMPLETE", B).await;
    assert_eq!(end.get("Hangup-Cause"), "NORMAL_CLEARING");
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn either_leg_of_a_bridge_is_sent_elsewhere() {
    let (mock, mut client) = bridged().await;
    let said = client
        .api(&format!(
            "uuid_transfer {A} -bleg bridge:sofia/gateway/x/2 inline"
        ))
        .await;
    assert_eq!(said, "+OK\n");
    client.until("CHANNEL_HANGUP_COMPLETE", A).await;
    let event = client.until("CHANNEL_BRIDGE", B).await;
    let third = event.get("Other-Leg-Unique-ID").to_owned();
    assert_ne!(third, A);
    assert_eq!(mock.bridged_with(B), [third.as_str()]);
    mock.finish().await;

    let (mock, mut client) = bridged().await;
    let said = client
        .api(&format!("uuid_transfer {A} -both conference:room inline"))
        .await;
    assert_eq!(said, "+OK\n");
    for id in [A, B] {
        let met = mock.wait_until(Duration::from_secs(1), |mock| {
            (mock.application(id)?.0 == "conference").then_some(())
        });
        assert!(met.await.is_some());
    }
    let count = client.api("conference room list count").await;
    assert_eq!(count, "2");
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn hold_digits_and_recordings_tell_of_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let mock = MockFreeSwitch::builder()
        .map_path("/rec", dir.path())
        .in_memory()
        .start()
        .await
        .unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    client.originate(A, "", "sofia/gateway/x/1 &park()").await;
    assert!(mock.far_end_holds(A, true));
    client.until("CHANNEL_HOLD", A).await;
    assert!(mock.far_end_holds(A, false));
    client.until("CHANNEL_UNHOLD", A).await;
    assert!(mock.far_end_presses(A, "1#"));
    for digit in ["1", "#"] {
        assert_eq!(client.until("DTMF", A).await.get("DTMF-Digit"), digit);
    }
    client.api(&format!("uuid_send_dtmf {A} 12w#@200")).await;
    assert_eq!(mock.dtmf_sent(A), "12#");
    assert_eq!(
        client
            .api(&format!("uuid_record {A} start /rec/a.wav"))
            .await,
        "+OK Success\n"
    );
    client.until("RECORD_START", A).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        client
            .api(&format!("uuid_record {A} stop /rec/a.wav"))
            .await,
        "+OK Success\n"
    );
    let stop = client.until("RECORD_STOP", A).await;
    assert_eq!(stop.get("variable_record_seconds"), "2");
    assert_eq!(
        std::fs::metadata(dir.path().join("a.wav")).unwrap().len(),
        32_044
    );
    let again = client.api(&format!("uuid_record {A} stop all")).await;
    assert_eq!(again, "-ERR Cannot stop record session!\n");
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn the_socket_application_hands_a_call_to_whoever_listens() {
    let mock = MockFreeSwitch::builder()
        .extension("public", "800", "socket:127.0.0.1:8084 async full")
        .in_memory()
        .start()
        .await
        .unwrap();
    let (links, mut taken) = tokio::sync::mpsc::unbounded_channel();
    mock.on_socket(move |link| links.send(link).is_ok());
    let id = mock.incoming(IncomingScript::new("+15550002222", "800"));
    let mut client = Client::over(taken.recv().await.unwrap());
    client.send("connect\n\n").await;
    let channel = client.frame().await.unwrap();
    assert!(channel.is_channel());
    assert_eq!(channel.get("Unique-ID"), Some(id.as_bytes()));
    assert_eq!(channel.get("Control"), Some(&b"full"[..]));
    assert_eq!(client.ask("myevents json").await, "+OK Events Enabled");
    assert_eq!(client.ask("linger 3").await, "+OK will linger 3 seconds");
    assert_eq!(client.ask("getvar caller_id_number").await, "+15550002222");
    assert_eq!(client.ask("getvar nosuch").await, "-ERR command not found");
    let answer = "sendmsg\ncall-command: execute\nexecute-app-name: answer";
    assert_eq!(client.ask(answer).await, "+OK");
    client.until("CHANNEL_ANSWER", &id).await;
    let hangup = "sendmsg\ncall-command: hangup\nhangup-cause: USER_BUSY";
    assert_eq!(client.ask(hangup).await, "+OK");
    client.until("CHANNEL_HANGUP_COMPLETE", &id).await;
    loop {
        let Some(frame) = client.frame().await else {
            panic!("the end without its notice");
        };
        if frame.is_linger() {
            break;
        }
    }
    client.until_end().await;
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_single_channel_connection_may_do_little_and_its_end_is_the_calls() {
    let mock = MockFreeSwitch::builder()
        .extension("public", "800", "socket:127.0.0.1:8084")
        .in_memory()
        .start()
        .await
        .unwrap();
    let (links, mut taken) = tokio::sync::mpsc::unbounded_channel();
    mock.on_socket(move |link| links.send(link).is_ok());
    let id = mock.incoming(IncomingScript::new("1", "800"));
    let mut client = Client::over(taken.recv().await.unwrap());
    client.send("connect\n\n").await;
    client.frame().await.unwrap();
    for command in [
        "api status",
        "bgapi status",
        "event plain ALL",
        "linger",
        "log 7",
    ] {
        assert_eq!(
            client.ask(command).await,
            "-ERR command not found",
            "{command}"
        );
    }
    // Without `async` the answer comes when the application is over.
    let before = tokio::time::Instant::now();
    let sleep = "sendmsg\ncall-command: execute\nexecute-app-name: sleep\nexecute-app-arg: 700";
    assert_eq!(client.ask(sleep).await, "+OK");
    assert!(before.elapsed() >= Duration::from_millis(700));
    drop(client);
    let gone = mock.wait_until(Duration::from_secs(5), |mock| {
        matches!(mock.caller_saw(&id), Some(CallerSaw::Ended { .. })).then_some(())
    });
    assert!(gone.await.is_some());
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn messages_go_and_come() {
    let (mock, mut client) = up().await;
    let said = client.api("chat sip|clinic@h|internal/uas@h|hello").await;
    assert_eq!(said, "Sent");
    mock.no_endpoint("gone");
    let said = client.api("chat sip|clinic@h|internal/gone@h|hello").await;
    assert_eq!(said, "Error! Message Not Sent");
    let event = "sendevent SEND_MESSAGE\nprofile: internal\nuser: uas\nhost: h\ncontent-type: text/plain\ncontent-length: 2\n\nhi";
    client.send(event).await;
    assert!(client.answer().await.starts_with("+OK "));
    let sent = mock.messages_sent();
    let seen: Vec<_> = sent.iter().map(|m| (&*m.destination, &*m.body)).collect();
    assert_eq!(
        seen,
        [
            ("sip|internal/uas@h", "hello"),
            ("sip|internal/uas@h", "hi")
        ]
    );
    mock.message_in("patient@127.0.0.1", "yes");
    client.until("MESSAGE", "").await;
    loop {
        let told = client.until("MESSAGE", "").await;
        if told.get("from") == "patient@127.0.0.1" {
            assert_eq!(told.body, "yes");
            break;
        }
    }
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_private_is_in_the_transcript() {
    let (mock, mut client) = up().await;
    let id = mock.incoming(IncomingScript::new("+15550002222", "800").name("Ann Example"));
    client.until("CHANNEL_PARK", &id).await;
    let vars = ",origination_caller_id_name='Dr Private',note='secret text'";
    client
        .originate(
            A,
            vars,
            "sofia/gateway/x/+15559990000 &txfax(/spool/jane.tif)",
        )
        .await;
    client.api(&format!("uuid_send_dtmf {id} 4711")).await;
    mock.far_end_presses(&id, "0815");
    mock.message_in("patient@127.0.0.1", "my diagnosis");
    client
        .api("chat sip|clinic@h|internal/uas@h|my answer")
        .await;
    client.until("MESSAGE", "").await;
    let text = mock.transcript();
    for private in [
        "15550002222",
        "Ann",
        "Dr Private",
        "secret text",
        "15559990000",
        "jane",
        "4711",
        "0815",
        "patient",
        "diagnosis",
        "my answer",
        "ClueCon",
    ] {
        assert!(!text.contains(private), "{private}\n{text}");
    }
    assert!(text.contains("Event-Name: CHANNEL_PARK"));
    mock.finish().await;
}

#[tokio::test]
async fn the_socket_application_dials_an_address_and_a_call_without_an_application_ends() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let mock = MockFreeSwitch::builder().in_memory().start().await.unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    let socket = format!("sofia/gateway/x/1 &socket({address} async full)");
    client.originate(A, "", &socket).await;
    let (stream, _) = listener.accept().await.unwrap();
    let mut application = Client::over(stream);
    application.send("connect\n\n").await;
    let channel = application.frame().await.unwrap();
    assert_eq!(channel.get("Unique-ID"), Some(A.as_bytes()));
    assert_eq!(application.ask("exit").await, "+OK bye");
    application.until_end().await;
    // The dialplan has nothing left.
    let end = client.until("CHANNEL_HANGUP_COMPLETE", A).await;
    assert_eq!(end.get("Hangup-Cause"), "NORMAL_CLEARING");
    drop(listener);
    client.originate(B, "", &socket).await;
    let end = client.until("CHANNEL_HANGUP_COMPLETE", B).await;
    assert_eq!(end.get("Hangup-Cause"), "NORMAL_CLEARING");
    mock.finish().await;
}
