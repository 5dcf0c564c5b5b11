//! The mock speaks as the recordings of a real Asterisk do.
#![cfg(test)]

mod client;

use std::time::Duration;

use bytes::BytesMut;
use client::Client;
use faxbot_sip::protocol::{
    ami::{AmiCodec, Kind, MAX_MESSAGE, Message, Role},
    session::Codec,
};
use faxbot_testkit::{
    replay::Recording,
    server::asterisk::{CallScript, Flavour, MockAsterisk, ReplyFault, Timings},
};

/// A TIFF of so many pages that has only what `SendFAX` looks at.
fn tiff(pages: u32) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    for page in 1..=pages {
        bytes.extend(0u16.to_le_bytes());
        let next = if page == pages { 0 } else { 8 + 6 * page };
        bytes.extend(next.to_le_bytes());
    }
    bytes
}

/// Event name, header names, and the value for variables of the fax.
fn shape(message: &Message) -> (String, Vec<String>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut name = text(message.event().or(message.response()).unwrap_or_default());
    if name == "VarSet" {
        let variable = message.get_str("Variable").unwrap_or_default();
        name = format!("VarSet {variable}");
        if [
            "FAXSTATUS",
            "FAXERROR",
            "FAXSTATUSSTRING",
            "FAXPAGES",
            "FAXMODE",
        ]
        .contains(&&*variable)
        {
            name.push('=');
            name.push_str(&message.get_str("Value").unwrap_or_default());
        }
    }
    // `JobID` comes from the configuration of the recorded server (cdr_manager.conf).
    let headers = message
        .headers()
        .map(|(name, _)| text(name))
        .filter(|name| name != "JobID");
    (name, headers.collect())
}

fn decode(bytes: &[u8]) -> Vec<Message> {
    let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
    let mut input = BytesMut::from(bytes);
    let mut all = Vec::new();
    while let Some(message) = Codec::decode(&mut codec, &mut input).unwrap() {
        all.push(message);
    }
    all
}

/// What the recorded server said about our channel, with the answers to us.
fn recorded(name: &str, far_device: &str) -> Vec<(String, Vec<String>)> {
    let recording = Recording::load(name).unwrap();
    decode(&recording.server_bytes(1))
        .iter()
        .filter(|message| message.kind() != Kind::Banner)
        .filter(|message| {
            let of_far = |header: &str| {
                message
                    .get_str(header)
                    .is_some_and(|value| value.starts_with(far_device))
            };
            !of_far("Channel") && !of_far("Device")
        })
        .map(shape)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_fax_over_t38_has_the_events_of_the_recording_in_their_order() {
    let spool = tempfile::tempdir().unwrap();
    std::fs::write(spool.path().join("one_g4.tif"), tiff(1)).unwrap();
    let path = "/opt/asterisk/var/spool/asterisk/fax/out";
    let mut timings = Timings::real();
    timings.ring = Duration::ZERO;
    let mock = MockAsterisk::builder()
        .in_memory()
        .status_events()
        .timings(timings)
        .map_path(path, spool.path())
        .on_dial("700", CallScript::answer().station("FAXBOT-RX"))
        .start()
        .await
        .unwrap();
    let mut client = Client::over(mock.connect_duplex());
    let recording = Recording::load("asterisk/06_fax_t38_app_ok").unwrap();
    let asked = String::from_utf8(recording.client_bytes(1).to_vec()).unwrap();
    let (login, rest) = asked.split_once("\r\n\r\n").unwrap();
    let (originate, logoff) = rest.split_once("\r\n\r\n").unwrap();
    client.send(&format!("{login}\r\n\r\n")).await;
    client.until_event("SuccessfulAuth").await;
    client.send(&format!("{originate}\r\n\r\n")).await;
    client.until_event("Hangup").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.send(logoff).await;
    client.until_end().await;

    let said: Vec<_> = client.seen.iter().map(shape).collect();
    let expected = recorded("asterisk/06_fax_t38_app_ok", "PJSIP/faxin");
    for (at, (said, expected)) in said.iter().zip(&expected).enumerate() {
        assert_eq!(said, expected, "message {at}");
    }
    assert_eq!(said.len(), expected.len());
    let fax = &mock.received_faxes()[0];
    assert_eq!(
        (fax.pages, fax.complete, &fax.tiff[..]),
        (1, true, &tiff(1)[..])
    );
    assert_eq!(fax.dialled, "700");
    assert_eq!(fax.channel_id, "fax-app");
}

#[tokio::test(start_paused = true)]
async fn rejections_have_the_events_of_the_recordings() {
    for (recording, script) in [
        ("asterisk/06_fax_404", CallScript::rejected(404)),
        ("asterisk/06_fax_busy", CallScript::busy()),
        ("asterisk/06_fax_unreachable", CallScript::unreachable()),
        ("asterisk/06_fax_no_answer", CallScript::no_answer()),
    ] {
        let mut timings = Timings::instant();
        timings.ring = Duration::from_secs(1);
        let mock = MockAsterisk::builder()
            .in_memory()
            .timings(timings)
            .on_dial("*", script)
            .start()
            .await
            .unwrap();
        let mut client = Client::over(mock.connect_duplex());
        let asked = Recording::load(recording).unwrap().client_bytes(1);
        let asked = String::from_utf8(asked.to_vec()).unwrap();
        let logoff = asked.find("Action: Logoff").unwrap();
        client.send(&asked[..logoff]).await;
        client.until_event("Hangup").await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        client.send(&asked[logoff..]).await;
        client.until_end().await;
        // Side by side threads make the order of a few events vary in the recordings; the order
        // of the two that matter is checked apart.
        let sorted = |mut all: Vec<(String, Vec<String>)>| {
            all.retain(|(name, _)| name != "DeviceStateChange");
            let order: Vec<_> = all
                .iter()
                .map(|(name, _)| name.clone())
                .filter(|name| name == "Hangup" || name == "OriginateResponse")
                .collect();
            all.sort();
            (order, all)
        };
        let said = sorted(client.seen.iter().map(shape).collect());
        assert_eq!(
            said,
            sorted(recorded(recording, "PJSIP/faxin")),
            "{recording}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_local_channel_has_two_legs_and_its_own_reasons() {
    for (script, reason, two) in [
        (CallScript::busy(), "5", "17"),
        (CallScript::congestion(), "8", "34"),
        (CallScript::no_answer(), "3", "19"),
        (CallScript::rejected(404), "0", "1"),
    ] {
        let mock = MockAsterisk::builder()
            .in_memory()
            .on_dial("6*", script)
            .start()
            .await
            .unwrap();
        let mut client = Client::login(mock.connect_duplex()).await;
        client
            .originate("Local/602@default", "Application: Wait\r\nData: 3\r\n")
            .await;
        let response = client.until_event("OriginateResponse").await;
        assert_eq!(response.get_str("Reason").unwrap(), reason);
        assert_eq!(response.get_str("Channel").unwrap(), "Local/602@default");
        let hangup = loop {
            let hangup = client.until_event("Hangup").await;
            if hangup.get_str("Channel").unwrap().ends_with(";2") {
                break hangup;
            }
        };
        assert_eq!(hangup.get_str("Cause").unwrap(), two);
        assert!(hangup.get("TechCause").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn asterisk_16_has_no_tech_cause_and_its_own_normal_cause() {
    let mock = MockAsterisk::builder()
        .in_memory()
        .flavour(Flavour::V16)
        .on_dial("*", CallScript::busy())
        .start()
        .await
        .unwrap();
    let mut client = Client::login(mock.connect_duplex()).await;
    client
        .originate("PJSIP/700@trunk", "Application: Wait\r\nData: 1\r\n")
        .await;
    let hangup = client.until_event("Hangup").await;
    assert_eq!(hangup.get_str("Cause").unwrap(), "17");
    assert!(
        client
            .seen
            .iter()
            .all(|message| message.get("TechCause").is_none())
    );
    // A normal end has cause 16 there, 0 on 22.
    mock.on_dial(
        "*",
        CallScript::answer().hangs_up_after(Duration::from_secs(1)),
    );
    client
        .originate("PJSIP/700@trunk", "Application: Echo\r\n")
        .await;
    let hangup = client.until_event("Hangup").await;
    assert_eq!(hangup.get_str("Cause").unwrap(), "16");
}

#[tokio::test(start_paused = true)]
async fn the_hangup_handler_leaves_the_outcome_in_astdb_even_without_a_link() {
    let spool = tempfile::tempdir().unwrap();
    std::fs::write(spool.path().join("a.tif"), tiff(2)).unwrap();
    let mock = MockAsterisk::builder()
        .in_memory()
        .map_path("/spool", spool.path())
        .start()
        .await
        .unwrap();
    let mut client = Client::login(mock.connect_duplex()).await;
    client.add_outcome_extension().await;
    let fax = "ChannelId: faxbot-1\r\nApplication: SendFAX\r\nData: /spool/a.tif,dzf\r\n\
               Variable: CHANNEL(hangup_handler_push)=\"faxbot-outcome,s,1\"\r\n";
    client.originate("PJSIP/700@trunk", fax).await;
    client.until_event("OriginateResponse").await;
    mock.drop_links();
    let outcome = mock
        .wait_until(Duration::from_secs(60), |mock| {
            mock.db_get("faxbot", "faxbot-1")
        })
        .await;
    assert_eq!(outcome.unwrap(), "SUCCESS|HANGUP|2|14400|RECEIVER|OK");

    // Never answered: the handler ran, SendFAX did not.
    mock.next_call(CallScript::busy());
    let mut client = Client::login(mock.connect_duplex()).await;
    client
        .originate("PJSIP/700@trunk", &fax.replace("faxbot-1", "faxbot-2"))
        .await;
    client.until_event("Hangup").await;
    assert_eq!(mock.db_get("faxbot", "faxbot-2").unwrap(), "|||||");

    // A reload removes the extension: nothing is written.
    mock.reload_dialplan();
    client
        .originate("PJSIP/700@trunk", &fax.replace("faxbot-1", "faxbot-3"))
        .await;
    client.until_event("Hangup").await;
    assert_eq!(mock.db_get("faxbot", "faxbot-3"), None);
}

#[tokio::test(start_paused = true)]
async fn a_preflight_extension_sees_the_files_as_the_server_does() {
    let spool = tempfile::tempdir().unwrap();
    std::fs::write(spool.path().join("one.tif"), tiff(1)).unwrap();
    let mock = MockAsterisk::builder()
        .in_memory()
        .map_path("/var/spool/fax", spool.path())
        .start()
        .await
        .unwrap();
    let mut client = Client::login(mock.connect_duplex()).await;
    client
        .ask(
            "Action: DialplanExtensionAdd\r\nContext: faxbot-preflight\r\nExtension: s\r\n\
             Priority: 1\r\nApplication: Set\r\nApplicationData: DB(faxbot/stat)=\
             ${STAT(e,/var/spool/fax/one.tif)}|${STAT(s,/var/spool/fax/one.tif)}|\
             ${STAT(e,/var/spool/fax/none.tif)}|${FILE(/var/spool/fax/one.tif,0,2)}\r\n\
             Replace: yes\r\n",
        )
        .await;
    client
        .originate(
            "Local/s@faxbot-preflight/n",
            "ChannelId: faxbot-9\r\nApplication: Wait\r\nData: 0\r\n",
        )
        .await;
    let response = client.until_event("OriginateResponse").await;
    assert_eq!(response.get_str("Reason").unwrap(), "0");
    assert_eq!(mock.db_get("faxbot", "stat").unwrap(), "1|14|0|II");
    let seen = client
        .ask("Action: Getvar\r\nVariable: STAT(e,/var/spool/fax/one.tif)\r\n")
        .await;
    assert_eq!(seen.get_str("Value").unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_fails_after_a_page_says_so_and_shows_its_progress() {
    let spool = tempfile::tempdir().unwrap();
    std::fs::write(spool.path().join("a.tif"), tiff(3)).unwrap();
    let script = CallScript::fax_fails_after(1, "Far end said no", "Received DCN");
    let mock = MockAsterisk::builder()
        .in_memory()
        .timings(Timings::real())
        .map_path("/spool", spool.path())
        .on_dial("700", script)
        .start()
        .await
        .unwrap();
    let mut client = Client::login(mock.connect_duplex()).await;
    let fax = "Application: SendFAX\r\nData: /spool/a.tif,dz\r\n";
    client.originate("PJSIP/700@trunk", fax).await;
    client.until_event("OriginateResponse").await;
    tokio::time::sleep(Duration::from_secs(4 + 16 + 2)).await;
    client.ask("Action: FAXSessions\r\n").await;
    let entry = client.until_event("FAXSessionsEntry").await;
    let number = entry.get_str("SessionNumber").unwrap().into_owned();
    client
        .ask(&format!(
            "Action: FAXSession\r\nSessionNumber: {number}\r\n"
        ))
        .await;
    let session = client.until_event("FAXSession").await;
    assert_eq!(session.get_str("PageNumber").unwrap(), "2");
    assert_eq!(session.get_str("PagesTransmitted").unwrap(), "1");
    let end = client.until_event("SendFAX").await;
    assert_eq!(end.get_str("PagesTransferred").unwrap(), "1");
    let last = |name: &str| {
        let mut values = client.seen.iter().filter(|message| {
            message.is_event("VarSet") && message.get("Variable") == Some(name.as_bytes())
        });
        values
            .next_back()
            .unwrap()
            .get_str("Value")
            .unwrap()
            .into_owned()
    };
    assert_eq!(
        (&*last("FAXSTATUS"), &*last("FAXERROR")),
        ("FAILED", "Far end said no")
    );
    let fax = &mock.received_faxes()[0];
    assert_eq!((fax.pages, fax.complete), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_missing_file_and_garbage_and_a_party_without_t38_fail_as_observed() {
    let spool = tempfile::tempdir().unwrap();
    std::fs::write(spool.path().join("bad.tif"), b"%PDF-1.4").unwrap();
    std::fs::write(spool.path().join("good.tif"), tiff(1)).unwrap();
    for (file, options, script, error) in [
        ("none.tif", "dz", CallScript::answer(), "FILE_ERROR"),
        (
            "bad.tif",
            "dz",
            CallScript::answer(),
            "TIFF/F file cannot be opened",
        ),
        ("good.tif", "dz", CallScript::refuses_t38(), "T38_NEG_ERROR"),
        ("good.tif", "dzf", CallScript::refuses_t38(), "HANGUP"),
    ] {
        let mock = MockAsterisk::builder()
            .in_memory()
            .map_path("/spool", spool.path())
            .on_dial("*", script)
            .start()
            .await
            .unwrap();
        let mut client = Client::login(mock.connect_duplex()).await;
        client.add_outcome_extension().await;
        let fax = format!(
            "ChannelId: faxbot-1\r\nApplication: SendFAX\r\nData: /spool/{file},{options}\r\n\
             Variable: CHANNEL(hangup_handler_push)=\"faxbot-outcome,s,1\"\r\n"
        );
        client.originate("PJSIP/1@trunk", &fax).await;
        client.until_event("Hangup").await;
        let outcome = mock.db_get("faxbot", "faxbot-1").unwrap();
        assert_eq!(outcome.split('|').nth(1), Some(error), "{outcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn replies_fail_as_told() {
    let mock = MockAsterisk::builder().in_memory().start().await.unwrap();
    let ping = "Action: Ping\r\nActionID: p\r\n\r\n";

    let mut client = Client::login(mock.connect_duplex()).await;
    mock.next_reply("Ping", ReplyFault::Slow(Duration::from_secs(9)));
    let start = tokio::time::Instant::now();
    client.ask("Action: Ping\r\n").await;
    assert_eq!(start.elapsed().as_secs(), 9);

    mock.next_call(CallScript::answer().reply(ReplyFault::DropBefore));
    client
        .send("Action: Originate\r\nChannel: PJSIP/1@t\r\nApplication: Echo\r\nAsync: true\r\n\r\n")
        .await;
    client.until_end().await;
    assert!(
        !client
            .seen
            .iter()
            .any(|m| m.get("Message") == Some(b"Originate successfully queued"))
    );
    assert_eq!(mock.channels().len(), 1, "the call goes on");

    let mut client = Client::login(mock.connect_duplex()).await;
    mock.next_call(CallScript::answer().reply(ReplyFault::DropAfter));
    client
        .send("Action: Originate\r\nChannel: PJSIP/1@t\r\nApplication: Echo\r\nAsync: true\r\n\r\n")
        .await;
    client.until_end().await;
    assert!(
        client
            .seen
            .iter()
            .any(|m| m.get("Message") == Some(b"Originate successfully queued"))
    );

    let mut client = Client::login(mock.connect_duplex()).await;
    mock.next_reply("Ping", ReplyFault::Silent);
    client.send(ping).await;
    let silent = tokio::time::timeout(Duration::from_secs(60), client.until_response()).await;
    assert!(silent.is_err());

    mock.next_reply(
        "Ping",
        ReplyFault::Garbage(b"\xff\0junk\r\n\r\n".as_slice().into()),
    );
    client.send(ping).await;
    assert_eq!(client.read().await.unwrap().kind(), Kind::Other);

    mock.shutting_down(true);
    let refused = client.ask("Action: Ping\r\n").await;
    assert_eq!(
        refused.get_str("Message").unwrap(),
        "Asterisk is shutting down"
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_astdb_and_loses_channels_and_the_run_time_dialplan() {
    let mock = MockAsterisk::builder()
        .in_memory()
        .boot_time(Duration::from_secs(2))
        .start()
        .await
        .unwrap();
    let mut client = Client::login(mock.connect_duplex()).await;
    client.add_outcome_extension().await;
    mock.db_put("faxbot", "x", "1");
    client
        .originate("PJSIP/1@trunk", "Application: Echo\r\n")
        .await;
    client.until_event("OriginateResponse").await;
    mock.restart(Duration::from_secs(5));
    let shutdown = client.until_event("Shutdown").await;
    assert_eq!(shutdown.get_str("Restart").unwrap(), "True");
    client.until_end().await;
    assert!(mock.channels().is_empty());
    assert!(!mock.has_extension("faxbot-outcome", "s"));
    Client::over(mock.connect_duplex()).until_end().await;

    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut client = Client::over(mock.connect_duplex());
    client
        .send("Action: Login\r\nUsername: faxbot\r\nSecret: s3cret\r\n\r\n")
        .await;
    assert_eq!(
        client.until_response().await.response(),
        Some(&b"Success"[..])
    );
    assert!(
        !client
            .seen
            .iter()
            .any(|message| message.is_event("FullyBooted"))
    );
    let booted = client.until_event("FullyBooted").await;
    assert_eq!(booted.headers().nth(2).unwrap().0, b"Status");
    assert_eq!(mock.db_get("faxbot", "x").unwrap(), "1");
}

#[tokio::test]
async fn a_restart_on_a_real_port_refuses_and_then_takes_clients_again() {
    let mock = MockAsterisk::builder().start().await.unwrap();
    let tcp = || tokio::net::TcpStream::connect(mock.address());
    let mut client = Client::login(tcp().await.unwrap()).await;
    mock.kill(Duration::from_millis(300));
    client.until_end().await;
    assert!(
        !client
            .seen
            .iter()
            .any(|message| message.is_event("Shutdown"))
    );
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        assert!(tokio::time::Instant::now() < deadline);
        if let Ok(stream) = tcp().await {
            let mut client = Client::over(stream);
            if client.try_login().await {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
