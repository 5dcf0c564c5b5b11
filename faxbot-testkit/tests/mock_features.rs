//! Recording, digits, messages, presence and event filters of the mock.
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
    server::asterisk::{CallerSaw, Flavour, IncomingScript, MockAsterisk},
};
use tokio::{io::DuplexStream, time::Instant};

type Link = Client<DuplexStream>;

async fn mock() -> MockAsterisk {
    MockAsterisk::builder().in_memory().start().await.unwrap()
}

async fn client(mock: &MockAsterisk) -> Link {
    let mut client = Client::over(mock.connect_duplex());
    assert!(client.try_login().await);
    client
}

fn text(message: &Message, header: &str) -> String {
    message.get_str(header).unwrap_or_default().into_owned()
}

/// A call that is up, with the `Uniqueid` `own`.
async fn call(client: &mut Link) {
    client
        .originate(
            "PJSIP/1@trunk",
            "ChannelId: own\r\nApplication: Wait\r\nData: 3600\r\n",
        )
        .await;
    client.until_event("OriginateResponse").await;
}

/// The answer and its text.
async fn ask(client: &mut Link, headers: &str) -> (String, String) {
    let answer = client.ask(&headers.replace('|', "\r\n")).await;
    (text(&answer, "Response"), text(&answer, "Message"))
}

/// The lines of an answer or event that the recording of another channel fixes.
fn lines(message: &Message) -> Vec<String> {
    let varies = ["Channel", "Uniqueid", "Linkedid", "ActionID"];
    let snapshot = message.get("ChannelStateDesc").is_some();
    message
        .headers()
        .map(|(name, value)| {
            let name = String::from_utf8_lossy(name).into_owned();
            let own = ["CallerID", "Connected", "Context", "Exten", "Priority"];
            let differs = varies.contains(&name.as_str())
                || (snapshot && own.iter().any(|start| name.starts_with(start)));
            if differs {
                return name;
            }
            format!("{name}: {}", String::from_utf8_lossy(value))
        })
        .collect()
}

/// What a recorded server said that has to do with one of these.
fn recorded(name: &str, connection: u32, wanted: impl Fn(&Message) -> bool) -> Vec<Vec<String>> {
    let recording = Recording::load(name).unwrap();
    let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
    let mut input = BytesMut::from(&recording.server_bytes(connection)[..]);
    let mut all = Vec::new();
    while let Some(message) = Codec::decode(&mut codec, &mut input).unwrap() {
        if message.kind() != Kind::Banner && wanted(&message) {
            all.push(lines(&message));
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_recording_answers_and_tells_as_recorded() {
    let spool = tempfile::tempdir().unwrap();
    let mock = MockAsterisk::builder()
        .in_memory()
        .map_path("/opt/asterisk/var/spool/asterisk/monitor", spool.path())
        .start()
        .await
        .unwrap();
    let mut client = client(&mock).await;
    call(&mut client).await;
    let from = client.seen.len();
    let file = "/opt/asterisk/var/spool/asterisk/monitor/rec1.wav";
    for (number, action) in [
        (
            3,
            format!("MixMonitor|Channel: own|File: {file}|options: b"),
        ),
        (
            4,
            "MixMonitorMute|Channel: own|Direction: both|State: 1".into(),
        ),
        (
            5,
            "MixMonitorMute|Channel: own|Direction: both|State: 0".into(),
        ),
        (6, "StopMixMonitor|Channel: own".into()),
        (7, "StopMixMonitor|Channel: own".into()),
        (8, "MixMonitor|Channel: own".into()),
        (9, "MixMonitor|Channel: nope|File: x.wav".into()),
    ] {
        if number == 6 {
            tokio::time::sleep(Duration::from_millis(2500)).await;
        }
        let action = format!("Action: {}|ActionID: a{number}|", action);
        ask(&mut client, &action).await;
    }
    // The events of the last action.
    ask(&mut client, "Action: Ping|ActionID: end|").await;
    let wanted = |m: &Message| {
        let id = text(m, "ActionID");
        let number: Option<u32> = id.strip_prefix('a').and_then(|n| n.parse().ok());
        number.is_some_and(|n| (3..=9).contains(&n)) && m.kind() == Kind::Response
            || String::from_utf8_lossy(m.event().unwrap_or_default()).starts_with("MixMonitor")
            || text(m, "Variable") == "MIXMONITOR_FILENAME"
    };
    let said: Vec<_> = client.seen[from..]
        .iter()
        .filter(|m| wanted(m))
        .map(lines)
        .collect();
    assert_eq!(said, recorded("asterisk/05_mixmonitor", 1, wanted));

    let wav = std::fs::read(spool.path().join("rec1.wav")).unwrap();
    assert_eq!(&wav[..4], b"RIFF");
    let seconds = (wav.len() - 44) as f64 / 16000.0;
    assert!((2.4..2.7).contains(&seconds), "{seconds}");
    let size = u32::from_le_bytes(wav[40..44].try_into().unwrap());
    assert_eq!(usize::try_from(size).unwrap(), wav.len() - 44);
}

#[tokio::test(start_paused = true)]
async fn a_recording_ends_with_its_channel_and_no_event_tells_of_it() {
    let spool = tempfile::tempdir().unwrap();
    let mock = MockAsterisk::builder()
        .in_memory()
        .map_path("/var/spool/asterisk/monitor", spool.path())
        .start()
        .await
        .unwrap();
    let mut client = client(&mock).await;
    call(&mut client).await;
    let answer = client
        .ask("Action: MixMonitor\r\nChannel: own\r\nFile: deep/a.wav\r\nOptions: i(REC)\r\n")
        .await;
    let id = text(&answer, "MixMonitorID");
    assert!(id.starts_with("0x"), "{id}");
    let two = "Action: MixMonitor\r\nChannel: own\r\nFile: b.wav\r\n";
    assert_eq!(text(&client.ask(two).await, "MixMonitorID"), "");
    let value = client
        .ask("Action: Getvar\r\nChannel: own\r\nVariable: REC\r\n")
        .await;
    assert_eq!(text(&value, "Value"), id);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        std::fs::metadata(spool.path().join("b.wav")).unwrap().len(),
        44
    );
    // Without an id the newest one stops.
    ask(&mut client, "Action: StopMixMonitor|Channel: own|").await;
    client.until_event("MixMonitorStop").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ask(&mut client, "Action: Hangup|Channel: own|").await;
    client.until_event("Hangup").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let seconds = |name: &str| {
        let length = std::fs::metadata(spool.path().join(name)).unwrap().len();
        (length - 44) / 16000
    };
    assert_eq!((seconds("deep/a.wav"), seconds("b.wav")), (5, 3));
    let stops = client.seen.iter().filter(|m| m.is_event("MixMonitorStop"));
    assert_eq!(stops.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_digit_blocks_the_session_that_plays_it() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    let mut other = self::client(&mock).await;
    call(&mut client).await;
    let start = Instant::now();
    client
        .send("Action: PlayDTMF\r\nChannel: own\r\nDigit: 5\r\nDuration: 1000\r\n\r\n")
        .await;
    other.ask("Action: Ping\r\n").await;
    assert!(start.elapsed() < Duration::from_millis(500));
    client.until_response().await;
    assert!(start.elapsed() >= Duration::from_secs(1));
    let play = |rest: &str| format!("Action: PlayDTMF|{rest}|");
    for (rest, message) in [
        ("Channel: own|Digit: 9", "DTMF successfully queued"),
        ("Channel: own|Digit: x9", "DTMF successfully queued"),
        ("Channel: own", "No digit specified"),
        ("Channel: nope|Digit: 5", "Channel not found"),
    ] {
        assert_eq!(ask(&mut client, &play(rest)).await.1, message, "{rest}");
    }
    assert_eq!(mock.dtmf_sent("own"), "59");
    assert!(!client.seen.iter().any(|m| m.is_event("DTMFBegin")));
}

#[tokio::test(start_paused = true)]
async fn digits_are_sent_to_another_channel_by_a_local_one() {
    let mock = MockAsterisk::builder()
        .in_memory()
        .extension(
            "fx",
            "dtmf",
            1,
            "SendDTMF",
            "${DIGITS},${GAP},${LENGTH},${TO}",
        )
        .extension("fx", "dtmf", 2, "UserEvent", "Sent")
        .start()
        .await
        .unwrap();
    let mut client = client(&mock).await;
    call(&mut client).await;
    let start = Instant::now();
    client
        .originate(
            "Local/dtmf@fx/n",
            "ChannelId: sender\r\nVariable: __DIGITS=12w#a\r\nVariable: __GAP=100\r\n\
             Variable: __LENGTH=150\r\nVariable: __TO=own\r\nApplication: Wait\r\nData: 60\r\n",
        )
        .await;
    client.until_event("UserEvent").await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(1500), "{took:?}");
    assert_eq!(mock.dtmf_sent("own"), "12#A");
}

#[tokio::test(start_paused = true)]
async fn digits_of_the_far_end_are_told_as_recorded() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    call(&mut client).await;
    assert!(mock.far_end_presses("own", "12#"));
    assert!(!mock.far_end_presses("nope", "1"));
    for _ in 0..3 {
        client.until_event("DTMFEnd").await;
    }
    let wanted = |m: &Message| m.is_event("DTMFBegin") || m.is_event("DTMFEnd");
    let said: Vec<_> = client
        .seen
        .iter()
        .filter(|m| wanted(m))
        .map(lines)
        .collect();
    let of_peer = |m: &Message| wanted(m) && text(m, "Uniqueid") == "1795234491.198";
    let mut want = recorded("asterisk/05_dtmf", 1, of_peer);
    // The digit 3 came by INFO.
    want.retain(|lines| !lines.contains(&"Digit: 3".to_owned()));
    assert_eq!(said, want);
}

#[tokio::test(start_paused = true)]
async fn messages_are_taken_and_refused_as_recorded() {
    for flavour in [Flavour::V22, Flavour::V16] {
        let mock = MockAsterisk::builder()
            .in_memory()
            .flavour(flavour)
            .start()
            .await
            .unwrap();
        mock.no_endpoint("noendpoint");
        let mut client = client(&mock).await;
        let sent = "Message successfully sent";
        for (headers, message) in [
            (
                "To: pjsip:peer|From: sip:faxbot@127.0.0.1|Body: hello",
                sent,
            ),
            (
                "Destination: pjsip:peer|To: sip:peer@127.0.0.1|Base64Body: bGluZTEKbGluZTI=|Variable: X-Test=1",
                sent,
            ),
            (
                "Destination: pjsip:peer/sip:x@127.0.0.1:15070|Body: uri2",
                sent,
            ),
            (
                "To: pjsip:sip:x@127.0.0.1:15070|Body: uri",
                "Message failed to send.",
            ),
            ("To: pjsip:bob@peer|Body: x", "Message failed to send."),
            ("To: pjsip:noendpoint|Body: x", "Message failed to send."),
            ("To: xmpp:x@y|Body: x", "Message technology not found."),
            ("To: peer|Body: x", "Message technology not found."),
            ("Body: x", "No 'To' address specified."),
        ] {
            let action = format!("Action: MessageSend|{headers}|");
            assert_eq!(ask(&mut client, &action).await.1, message, "{headers}");
        }
        let all = mock.messages_sent();
        assert_eq!(all.len(), 3);
        assert_eq!(
            (all[0].body.as_str(), all[0].from.as_str()),
            ("hello", "sip:faxbot@127.0.0.1")
        );
        assert_eq!(all[1].body, "line1\nline2");
        assert_eq!(all[1].to.as_deref(), Some("sip:peer@127.0.0.1"));
        assert_eq!(all[1].headers, [("X-Test".to_owned(), "1".to_owned())]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_in_as_an_event_of_the_snippet() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    mock.message_in("sip:alice@127.0.0.1", "reply");
    mock.message_in("Bob <sip:bob@127.0.0.1>", &"x".repeat(1024));
    let one = client.until_event("UserEvent").await;
    assert_eq!(text(&one, "UserEvent"), "FaxbotMessage");
    assert_eq!(text(&one, "Channel"), "Message/ast_msg_queue");
    // The base64 of `<sip:alice@127.0.0.1>` and of `Bob <sip:bob@127.0.0.1>`.
    assert_eq!(text(&one, "From64"), "PHNpcDphbGljZUAxMjcuMC4wLjE+");
    assert_eq!(text(&one, "Body64"), "cmVwbHk=");
    let two = client.until_event("UserEvent").await;
    assert_eq!(text(&two, "From64"), "Qm9iIDxzaXA6Ym9iQDEyNy4wLjAuMT4=");
    assert_eq!(text(&two, "Body64"), "");
    // One channel for all, and it stays.
    assert_eq!(mock.channels().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn devices_and_extensions_tell_their_state() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    mock.device_state("PJSIP/peer", "INUSE");
    mock.extension_state("default", "900", "PJSIP/peer", 1);
    let device = client.until_event("DeviceStateChange").await;
    assert_eq!(text(&device, "State"), "INUSE");
    let extension = client.until_event("ExtensionStatus").await;
    let wanted = |m: &Message| {
        m.is_event("ExtensionStatus")
            && text(m, "StatusText") == "InUse"
            && m.get("ActionID").is_none()
    };
    assert_eq!(
        lines(&extension),
        recorded("asterisk/05_pjsip_show", 1, wanted)[0]
    );
    for (exten, status) in [("900", "1"), ("999", "-1")] {
        let action = format!("Action: ExtensionState\r\nExten: {exten}\r\nContext: default\r\n");
        assert_eq!(text(&client.ask(&action).await, "Status"), status);
    }
    ask(&mut client, "Action: DeviceStateList|").await;
    let end = client.until_event("DeviceStateListComplete").await;
    assert_eq!(text(&end, "ListItems"), "1");
    ask(&mut client, "Action: ExtensionStateList|").await;
    let end = client.until_event("ExtensionStateListComplete").await;
    assert_eq!(text(&end, "ListItems"), "1");
}

#[tokio::test(start_paused = true)]
async fn filters_let_through_what_the_recording_shows() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    client.until_event("SuccessfulAuth").await;
    let mut other = self::client(&mock).await;
    let recording = Recording::load("asterisk/02_event_filters").unwrap();
    let asked = String::from_utf8(recording.client_bytes(2).to_vec()).unwrap();
    let (_login, rest) = asked.split_once("\r\n\r\n").unwrap();
    let (rest, _logoff) = rest.rsplit_once("Action: Logoff").unwrap();
    let from = client.seen.len();
    client.send(rest).await;
    client.until_event("Newchannel").await;
    client.until_event("Newchannel").await;
    let names = |m: &Message| {
        let event = String::from_utf8_lossy(m.event().unwrap_or_default()).into_owned();
        (event, text(m, "Message"), text(m, "UserEvent"))
    };
    // What was there before the first filter.
    let first = client.seen[from..]
        .iter()
        .position(|m| text(m, "ActionID") == "a2")
        .unwrap();
    let said: Vec<_> = client.seen[from + first..].iter().map(names).collect();
    let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
    let mut input = BytesMut::from(&recording.server_bytes(2)[..]);
    let mut want = Vec::new();
    while let Some(message) = Codec::decode(&mut codec, &mut input).unwrap() {
        want.push(names(&message));
    }
    let start = want
        .iter()
        .position(|(_, message, _)| message == "Success")
        .unwrap();
    want.truncate(want.len() - 1);
    assert_eq!(said, want[start..]);
    // Filters are those of the session that asked.
    other.until_event("OriginateResponse").await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_filter_is_refused_in_the_words_of_its_version() {
    let format = "Filter was formatted incorrectly.  Check the syntax of the filter given.";
    for (flavour, empty) in [(Flavour::V22, format), (Flavour::V16, "Success")] {
        let mock = MockAsterisk::builder()
            .in_memory()
            .flavour(flavour)
            .start()
            .await
            .unwrap();
        let mut client = client(&mock).await;
        for (headers, message) in [
            (
                "Operation: Add|Filter: (",
                "Filter did not compile.  Check the syntax of the filter given.",
            ),
            ("Operation: Nope|Filter: x", "Unknown operation"),
            ("Operation: Add|Filter: ", empty),
        ] {
            let action = format!("Action: Filter|{headers}|");
            assert_eq!(ask(&mut client, &action).await.1, message, "{headers}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mask_keeps_the_classes_that_were_asked_for() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    client.until_event("SuccessfulAuth").await;
    let from = client.seen.len();
    ask(
        &mut client,
        "Action: Events|EventMask: agi,dtmf,user,cdr,message|",
    )
    .await;
    call_without_events(&mut client).await;
    mock.far_end_presses("own", "1");
    ask(&mut client, "Action: UserEvent|UserEvent: X|").await;
    ask(&mut client, "Action: Hangup|Channel: own|").await;
    client.until_event("Cdr").await;
    let names = client.seen[from..].iter().filter_map(Message::event);
    let names: Vec<_> = names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    assert_eq!(names, ["DTMFBegin", "DTMFEnd", "UserEvent", "Cdr"]);
}

async fn call_without_events(client: &mut Link) {
    client
        .originate(
            "PJSIP/1@trunk",
            "ChannelId: own\r\nApplication: Wait\r\nData: 3600\r\n",
        )
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn records_of_calls_come_only_where_the_server_sends_them() {
    for (sends, check) in [(true, "Success"), (false, "Error")] {
        let mock = MockAsterisk::builder()
            .in_memory()
            .cdr(sends)
            .start()
            .await
            .unwrap();
        let mut client = client(&mock).await;
        let answer = ask(&mut client, "Action: ModuleCheck|Module: cdr_manager|").await;
        assert_eq!(answer.0, check);
        call(&mut client).await;
        ask(&mut client, "Action: Hangup|Channel: own|").await;
        client.until_event("Hangup").await;
        assert_eq!(client.seen.iter().any(|m| m.is_event("Cdr")), sends);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_by_the_operator_ends_every_call_before_its_goodbye() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    client.add_outcome_extension().await;
    for number in 0..3 {
        let handler = "Variable: CHANNEL(hangup_handler_push)=\"faxbot-outcome,s,1\"\r\n";
        let headers =
            format!("ChannelId: own{number}\r\n{handler}Application: Wait\r\nData: 3600\r\n");
        client.originate("PJSIP/1@trunk", &headers).await;
        client.until_event("OriginateResponse").await;
    }
    let waiting = mock.incoming(IncomingScript::new("1", "2"));
    client.until_event("AsyncAGIStart").await;
    mock.restart_now(Duration::from_secs(5));
    client.until_event("Shutdown").await;
    client.until_end().await;
    let requests = client
        .seen
        .iter()
        .filter(|m| m.is_event("SoftHangupRequest"));
    assert_eq!(requests.filter(|m| text(m, "Cause") == "4").count(), 4);
    let ends = client.seen.iter().filter(|m| m.is_event("Hangup"));
    assert_eq!(ends.filter(|m| text(m, "Cause") == "0").count(), 4);
    for number in 0..3 {
        assert!(mock.db_get("faxbot", &format!("own{number}")).is_some());
    }
    assert_eq!(
        mock.caller_saw(&waiting),
        Some(CallerSaw::Ended { cause: 0 })
    );
    let again = async |mock: &MockAsterisk| Client::over(mock.connect_duplex()).try_login().await;
    assert!(!again(&mock).await);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(again(&mock).await);
}
