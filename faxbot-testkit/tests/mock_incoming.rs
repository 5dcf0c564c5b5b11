//! Incoming calls of the mock: AGI, refusals, callers that leave, faxes that come in.
#![cfg(test)]

mod client;

use std::{io::Cursor, time::Duration};

use bytes::BytesMut;
use client::Client;
use faxbot_core::document::tiff::TiffReader;
use faxbot_sip::protocol::{
    ami::{AmiCodec, MAX_MESSAGE, Message, Role},
    session::Codec,
};
use faxbot_testkit::{
    replay::Recording,
    server::asterisk::{CallerSaw, Flavour, IncomingFax, IncomingScript, MockAsterisk, Timings},
};
use tokio::io::DuplexStream;

type Link = Client<DuplexStream>;

async fn mock() -> MockAsterisk {
    MockAsterisk::builder().in_memory().start().await.unwrap()
}

async fn client(mock: &MockAsterisk) -> Link {
    let mut client = Client::over(mock.connect_duplex());
    assert!(client.try_login().await);
    client
}

fn script() -> IncomingScript {
    IncomingScript::new("+15551230000", "2000").name("Example")
}

async fn agi(client: &mut Link, id: &str, command: &str, command_id: &str) -> Message {
    let action = format!(
        "Action: AGI\r\nActionID: x\r\nChannel: {id}\r\nCommand: {command}\r\nCommandID: {command_id}\r\n"
    );
    client.ask(&action).await
}

/// The `Result` of the next command that is done, not encoded.
async fn result(client: &mut Link) -> (String, String) {
    let event = client.until_event("AsyncAGIExec").await;
    let text = event.get_str("Result").unwrap().replace("%20", " ");
    let text = text.replace("%3D", "=").replace("%0A", "");
    let id = event.get_str("CommandID").unwrap_or_default().into_owned();
    (text, id)
}

fn text(message: &Message, header: &str) -> String {
    message.get_str(header).unwrap_or_default().into_owned()
}

/// Name of the event and of its headers, with the values that the recordings fix.
fn shape(message: &Message) -> (String, Vec<String>) {
    let mut name = String::from_utf8_lossy(message.event().unwrap_or_default()).into_owned();
    for fixed in ["Variable", "Operation", "Status", "ResultCode", "Command"] {
        if let Some(value) = message.get_str(fixed) {
            name.push_str(&format!(" {fixed}={value}"));
        }
    }
    let variable = message.get_str("Variable").unwrap_or_default();
    if variable.starts_with("FAX") || variable == "AGISTATUS" {
        name.push_str(&format!(" Value={}", text(message, "Value")));
    }
    let headers = message.headers();
    let headers = headers.map(|(name, _)| String::from_utf8_lossy(name).into_owned());
    (name, headers.collect())
}

/// The recorded events of one channel.
fn recorded(name: &str, id: &str) -> Vec<(String, Vec<String>)> {
    let recording = Recording::load(name).unwrap();
    let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
    let mut input = BytesMut::from(&recording.server_bytes(1)[..]);
    let mut all = Vec::new();
    while let Some(message) = Codec::decode(&mut codec, &mut input).unwrap() {
        // An item of a list is no event of the channel.
        let item = message.get_str("ActionID").is_some() || message.is_event("Status");
        if message.get_str("Uniqueid").as_deref() == Some(id) && !item {
            all.push(shape(&message));
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_call_in_agi_has_the_events_of_the_recording() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    let id = mock.incoming(script());
    client.until_event("AsyncAGIStart").await;
    for (command, number) in [
        ("ANSWER", "c0"),
        ("GET VARIABLE CALLERID(num)", "c1"),
        ("SET VARIABLE FOO bar", "c2"),
    ] {
        let answer = agi(&mut client, &id, command, number).await;
        assert_eq!(text(&answer, "Message"), "Added AGI command to queue");
        assert_eq!(result(&mut client).await.1, number);
    }
    let want = recorded(
        "asterisk/11_asyncagi_incoming_accept",
        "caller-in-000000000001;2",
    );
    let from = |all: &[(String, Vec<String>)]| {
        let start = all
            .iter()
            .position(|(name, _)| name.starts_with("AsyncAGIStart"));
        let ends = all
            .iter()
            .enumerate()
            .filter(|(_, (name, _))| name.starts_with("AsyncAGIExec"));
        let end = ends.map(|(at, _)| at).nth(2).unwrap();
        all[start.unwrap()..=end].to_vec()
    };
    let said: Vec<_> = client
        .seen
        .iter()
        .filter(|m| m.get_str("Uniqueid").as_deref() == Some(&id))
        .map(shape)
        .collect();
    assert_eq!(from(&said), from(&want));
    assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Answered));

    let start = client
        .seen
        .iter()
        .find(|m| m.is_event("AsyncAGIStart"))
        .unwrap();
    let env = text(start, "Env");
    for part in [
        "agi_request%3A%20async%0A",
        "agi_callerid%3A%20%2B15551230000%0A",
        "agi_calleridname%3A%20Example%0A",
        "agi_context%3A%20incoming%0A",
        "agi_extension%3A%202000%0A",
    ] {
        assert!(env.contains(part), "{part} in {env}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_shows_as_agi() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    let id = mock.incoming(script().header("X-Job", "a b").header("X-Two", "2"));
    let new = client.until_event("Newchannel").await;
    assert_eq!(text(&new, "CallerIDNum"), "+15551230000");
    assert_eq!(text(&new, "ChannelStateDesc"), "Ring");
    client.until_event("AsyncAGIStart").await;
    client
        .ask("Action: CoreShowChannels\r\nActionID: 1\r\n")
        .await;
    let channel = client.until_event("CoreShowChannel").await;
    assert_eq!(text(&channel, "Application"), "AGI");
    assert_eq!(text(&channel, "ApplicationData"), "agi:async");
    for (variable, value) in [
        ("PJSIP_HEADER(read,X-Job)", "a b"),
        ("PJSIP_HEADER(read,x-job,1)", "a b"),
        ("PJSIP_HEADER(read,X-None)", ""),
        ("PJSIP_HEADERS(X-)", "X-Job,X-Two"),
    ] {
        let action = format!("Action: Getvar\r\nChannel: {id}\r\nVariable: {variable}\r\n");
        let answer = client.ask(&action).await;
        assert_eq!(text(&answer, "Value"), value, "{variable}");
    }
    assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Ringing));
    assert_eq!(mock.caller_saw("nobody"), None);
}

#[tokio::test(start_paused = true)]
async fn commands_run_in_order_and_each_has_its_result() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    let id = mock.incoming(script());
    client.until_event("AsyncAGIStart").await;
    let commands = [
        ("NOOP", "200 result=0"),
        ("BOGUS COMMAND", "510 Invalid or unknown command"),
        ("EXEC NoSuchApp x", "200 result=-2"),
        ("EXEC Wait 1", "200 result=0"),
        ("CHANNEL STATUS", "200 result=4"),
        ("ANSWER", "200 result=0"),
        ("CHANNEL STATUS", "200 result=6"),
        ("HANGUP", "200 result=1"),
    ];
    let many: String = commands
        .iter()
        .enumerate()
        .map(|(at, (command, _))| {
            format!("Action: AGI\r\nChannel: {id}\r\nCommand: {command}\r\nCommandID: {at}\r\n\r\n")
        })
        .collect();
    client.send(&many).await;
    for (at, (command, line)) in commands.iter().enumerate() {
        let (said, number) = result(&mut client).await;
        assert_eq!(
            (said.as_str(), number),
            (*line, at.to_string()),
            "{command}"
        );
    }
    client.until_event("AsyncAGIEnd").await;
    client.until_event("Hangup").await;
    assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Ended { cause: 16 }));
}

#[tokio::test(start_paused = true)]
async fn a_command_for_a_channel_that_is_not_in_agi_is_refused() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    let answer = agi(&mut client, "PJSIP/none-1", "ANSWER", "1").await;
    assert_eq!(
        text(&answer, "Message"),
        "Channel PJSIP/none-1 does not exist."
    );
    let answer = client.ask("Action: AGI\r\nChannel: x\r\n").await;
    assert_eq!(
        text(&answer, "Message"),
        "Both, Channel and Command are *required*"
    );
    client
        .originate(
            "PJSIP/1@trunk",
            "ChannelId: own\r\nApplication: Wait\r\nData: 9\r\n",
        )
        .await;
    client.until_event("OriginateResponse").await;
    let answer = agi(&mut client, "own", "ANSWER", "1").await;
    let message = text(&answer, "Message");
    assert!(
        message.starts_with("Failed to add AGI command to channel PJSIP/trunk-"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_is_rejected_with_the_cause_of_the_hangup() {
    for cause in [17, 21, 34] {
        let mock = mock().await;
        let mut client = client(&mock).await;
        let id = mock.incoming(script());
        client.until_event("AsyncAGIStart").await;
        let action = format!("Action: Hangup\r\nChannel: {id}\r\nCause: {cause}\r\n");
        client.ask(&action).await;
        client.until_event("AsyncAGIEnd").await;
        let end = client.until_event("Hangup").await;
        assert_eq!(text(&end, "Cause"), cause.to_string());
        assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Ended { cause }));
        let answer = agi(&mut client, &id, "ANSWER", "1").await;
        let want = format!("Channel {id} does not exist.");
        assert_eq!(text(&answer, "Message"), want);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_gives_up_while_nobody_decides() {
    for (flavour, tech) in [(Flavour::V22, Some("487")), (Flavour::V16, None)] {
        let mock = MockAsterisk::builder()
            .in_memory()
            .flavour(flavour)
            .start()
            .await
            .unwrap();
        let mut client = client(&mock).await;
        let id = mock.incoming(script().gives_up_after(Duration::from_secs(5)));
        client.until_event("AsyncAGIStart").await;
        client.until_event("AsyncAGIEnd").await;
        let end = client.until_event("Hangup").await;
        assert_eq!(text(&end, "Cause"), "127");
        assert_eq!(end.get_str("TechCause").as_deref(), tech);
        assert!(!client.seen.iter().any(|m| m.is_event("HangupRequest")));
        assert!(matches!(
            mock.caller_saw(&id),
            Some(CallerSaw::Ended { .. })
        ));
        assert!(mock.channels().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_hangs_up_after_the_answer() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    let id = mock.incoming(script().hangs_up_after(Duration::from_secs(5)));
    client.until_event("AsyncAGIStart").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    agi(&mut client, &id, "ANSWER", "1").await;
    let answered = tokio::time::Instant::now();
    client.until_event("AsyncAGIEnd").await;
    let took = answered.elapsed();
    assert!(
        took > Duration::from_secs(4) && took < Duration::from_secs(6),
        "{took:?}"
    );
    client.until_event("Hangup").await;
    assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Ended { cause: 16 }));
}

#[tokio::test(start_paused = true)]
async fn a_redirect_takes_a_call_out_of_agi() {
    let mock = MockAsterisk::builder()
        .in_memory()
        .extension("desk", "s", 1, "Answer", "")
        .extension("desk", "s", 2, "Wait", "3")
        .start()
        .await
        .unwrap();
    let mut client = client(&mock).await;
    let id = mock.incoming(script());
    client.until_event("AsyncAGIStart").await;
    let action = format!(
        "Action: Redirect\r\nChannel: {id}\r\nContext: desk\r\nExten: s\r\nPriority: 1\r\n"
    );
    client.ask(&action).await;
    client.until_event("AsyncAGIEnd").await;
    let step = client.until_event("Newexten").await;
    assert_eq!(text(&step, "Application"), "Answer");
    assert_eq!(text(&step, "Context"), "desk");
    client.until_event("Newstate").await;
    assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Answered));
    client.until_event("Hangup").await;
    assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Ended { cause: 16 }));
}

#[tokio::test(start_paused = true)]
async fn a_handler_and_a_time_limit_can_be_set_on_a_waiting_call() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    client.add_outcome_extension().await;
    let id = mock.incoming(script());
    client.until_event("AsyncAGIStart").await;
    for (variable, value) in [
        ("CHANNEL(hangup_handler_push)", "faxbot-outcome,s,1"),
        ("TIMEOUT(absolute)", "3"),
    ] {
        let action = format!(
            "Action: Setvar\r\nChannel: {id}\r\nVariable: {variable}\r\nValue: {value}\r\n"
        );
        assert_eq!(text(&client.ask(&action).await, "Message"), "Variable Set");
    }
    client.until_event("AsyncAGIEnd").await;
    client.until_event("HangupHandlerRun").await;
    client.until_event("Hangup").await;
    assert_eq!(mock.db_get("faxbot", &id).as_deref(), Some("|||||"));
}

#[tokio::test(start_paused = true)]
async fn a_call_can_be_put_through_to_another_party() {
    let mock = mock().await;
    let mut client = client(&mock).await;
    let id = mock.incoming(script());
    client.until_event("AsyncAGIStart").await;
    agi(&mut client, &id, "EXEC Dial PJSIP/alice,30", "1").await;
    client.until_event("BridgeEnter").await;
    client.until_event("BridgeEnter").await;
    assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Answered));
    let leg = mock
        .channels()
        .into_iter()
        .find(|other| *other != id)
        .unwrap();
    // Digits of the caller show again on the leg that they go to.
    mock.far_end_presses(&id, "5");
    for (channel, direction) in [(&id, "Received"), (&leg, "Sent")] {
        let digit = client.until_event("DTMFEnd").await;
        let said = (text(&digit, "Uniqueid"), text(&digit, "Direction"));
        assert_eq!(said, (channel.clone(), direction.to_owned()));
    }
    assert!(mock.far_end_hangs_up(&leg, 16));
    // The caller stays, and so does AGI.
    assert_eq!(result(&mut client).await.0, "200 result=-1");
    agi(&mut client, &id, "HANGUP", "2").await;
    assert_eq!(result(&mut client).await.0, "200 result=1");
    client.until_event("Hangup").await;
}

fn fax_mock(spool: &std::path::Path) -> faxbot_testkit::server::asterisk::MockAsteriskBuilder {
    MockAsterisk::builder()
        .in_memory()
        .status_events()
        .timings(Timings::real())
        .map_path("/spool", spool)
}

async fn receive(client: &mut Link, id: &str) {
    let answer = agi(client, id, "ANSWER", "1").await;
    assert_eq!(text(&answer, "Message"), "Added AGI command to queue");
    assert_eq!(result(client).await.0, "200 result=0");
    agi(
        client,
        id,
        "SET VARIABLE FAXOPT(localstationid) FAXBOT-RX",
        "2",
    )
    .await;
    assert_eq!(result(client).await.0, "200 result=1");
    agi(client, id, "EXEC ReceiveFAX /spool/in.tif,df", "3").await;
}

#[tokio::test(start_paused = true)]
async fn a_fax_comes_in_with_the_events_of_the_recording() {
    let spool = tempfile::tempdir().unwrap();
    let mock = fax_mock(spool.path()).start().await.unwrap();
    let mut client = client(&mock).await;
    let fax = IncomingFax::new(3).station("FAXBOT-TX").bad_lines(2);
    let id = mock.incoming(script().sends_fax(fax));
    client.until_event("AsyncAGIStart").await;
    receive(&mut client, &id).await;
    tokio::time::sleep(Duration::from_secs(38)).await;
    client.ask("Action: FAXSessions\r\nActionID: 1\r\n").await;
    let entry = client.until_event("FAXSessionsEntry").await;
    assert_eq!(text(&entry, "Operation"), "receive");
    let number = text(&entry, "SessionNumber");
    let action = format!("Action: FAXSession\r\nActionID: 2\r\nSessionNumber: {number}\r\n");
    client.ask(&action).await;
    let session = client.until_event("FAXSession").await;
    for (header, value) in [
        ("Operation", "receive"),
        ("PageNumber", "3"),
        ("PagesReceived", "2"),
        ("PagesTransmitted", "0"),
        ("TotalBadLines", "4"),
        ("ImageResolution", "8031x7700"),
    ] {
        assert_eq!(text(&session, header), value, "{header}");
    }
    let done = client.until_event("ReceiveFAX").await;
    assert_eq!(text(&done, "PagesTransferred"), "3");
    assert_eq!(text(&done, "RemoteStationID"), "FAXBOT-TX");
    assert_eq!(result(&mut client).await.0, "200 result=0");
    client.until_event("AsyncAGIEnd").await;

    let fax_only = |all: Vec<(String, Vec<String>)>| {
        let is_fax = |name: &str| {
            name.contains("FAX") || name.contains("STATIONID") || name.starts_with("FAXStatus")
        };
        let all = all.into_iter().filter(|(name, _)| is_fax(name));
        let all =
            all.filter(|(name, _)| !name.starts_with("Newexten") && !name.starts_with("AGIExec"));
        all.collect::<Vec<_>>()
    };
    let said = client
        .seen
        .iter()
        .filter(|m| m.get_str("Uniqueid").as_deref() == Some(&id));
    let said = fax_only(said.map(shape).collect());
    let want = fax_only(recorded("asterisk/06_fax_t38_ok", "1795231975.13"));
    assert_eq!(said, want);

    let tiff = std::fs::read(spool.path().join("in.tif")).unwrap();
    let reader = TiffReader::open(Cursor::new(tiff)).unwrap();
    assert_eq!(reader.page_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_fax_fails_in_the_middle_and_the_pages_so_far_are_there() {
    let spool = tempfile::tempdir().unwrap();
    let mock = fax_mock(spool.path()).start().await.unwrap();
    let mut client = client(&mock).await;
    let why = "Unexpected DCN while waiting for DCS or DIS";
    let id = mock.incoming(script().sends_fax(IncomingFax::new(3).fails_after(1, why)));
    client.until_event("AsyncAGIStart").await;
    receive(&mut client, &id).await;
    let done = client.until_event("ReceiveFAX").await;
    assert_eq!(text(&done, "PagesTransferred"), "1");
    let last = |name: &str| {
        let of = |m: &&Message| text(m, "Variable") == name;
        client
            .seen
            .iter()
            .rfind(of)
            .map(|m| text(m, "Value"))
            .unwrap()
    };
    assert_eq!(last("FAXSTATUS"), "FAILED");
    assert_eq!(last("FAXERROR"), why);
    let tiff = std::fs::read(spool.path().join("in.tif")).unwrap();
    let reader = TiffReader::open(Cursor::new(tiff)).unwrap();
    assert_eq!(reader.page_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_hangs_up_in_the_middle_of_its_fax() {
    let spool = tempfile::tempdir().unwrap();
    let mock = fax_mock(spool.path()).start().await.unwrap();
    let mut client = client(&mock).await;
    let fax = script().sends_fax(IncomingFax::new(3));
    let id = mock.incoming(fax.hangs_up_after(Duration::from_secs(25)));
    client.until_event("AsyncAGIStart").await;
    receive(&mut client, &id).await;
    let done = client.until_event("ReceiveFAX").await;
    assert_eq!(text(&done, "PagesTransferred"), "1");
    assert_eq!(result(&mut client).await.0, "200 result=-1");
    client.until_event("AsyncAGIEnd").await;
    client.until_event("Hangup").await;
    let errors = client
        .seen
        .iter()
        .filter(|m| text(m, "Variable") == "FAXERROR");
    let errors: Vec<_> = errors.map(|m| text(m, "Value")).collect();
    assert!(errors.ends_with(&["HANGUP".into(), "The call dropped prematurely".into()]));
    assert!(spool.path().join("in.tif").exists());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_no_fax_leaves_no_file_and_no_event_of_a_fax() {
    let spool = tempfile::tempdir().unwrap();
    let mock = fax_mock(spool.path()).start().await.unwrap();
    let mut client = client(&mock).await;
    let id = mock.incoming(script().hangs_up_after(Duration::from_secs(25)));
    client.until_event("AsyncAGIStart").await;
    receive(&mut client, &id).await;
    client.until_event("HangupRequest").await;
    assert_eq!(result(&mut client).await.0, "200 result=-1");
    client.until_event("Hangup").await;
    let of_error = |m: &&Message| text(m, "Variable") == "FAXERROR";
    let last = client.seen.iter().rfind(of_error);
    assert_eq!(text(last.unwrap(), "Value"), "T38_NEG_ERROR");
    assert!(!client.seen.iter().any(|m| m.is_event("ReceiveFAX")));
    assert!(!spool.path().join("in.tif").exists());
}

#[tokio::test(start_paused = true)]
async fn a_fax_is_received_by_the_dialplan_that_a_call_is_sent_to() {
    let spool = tempfile::tempdir().unwrap();
    let mock = fax_mock(spool.path())
        .extension("fx", "receive", 1, "Answer", "")
        .extension("fx", "receive", 2, "ReceiveFAX", "${FILE},f")
        .extension("fx", "receive", 3, "Hangup", "")
        .start()
        .await
        .unwrap();
    let mut client = client(&mock).await;
    client.add_outcome_extension().await;
    let id = mock.incoming(script().sends_fax(IncomingFax::new(2).over_audio()));
    client.until_event("AsyncAGIStart").await;
    for (variable, value) in [
        ("CHANNEL(hangup_handler_push)", "faxbot-outcome,s,1"),
        ("FILE", "/spool/two.tif"),
    ] {
        let action = format!(
            "Action: Setvar\r\nChannel: {id}\r\nVariable: {variable}\r\nValue: {value}\r\n"
        );
        client.ask(&action).await;
    }
    let to = "Context: fx\r\nExten: receive\r\nPriority: 1\r\n";
    client
        .ask(&format!("Action: Redirect\r\nChannel: {id}\r\n{to}"))
        .await;
    client.until_event("AsyncAGIEnd").await;
    client.until_event("ReceiveFAX").await;
    client.until_event("Hangup").await;
    let outcome = mock.db_get("faxbot", &id).unwrap();
    assert_eq!(outcome, "SUCCESS||2|14400|SENDER|OK");
    let mode = |m: &&Message| text(m, "Variable") == "FAXMODE";
    let mode = client.seen.iter().rfind(mode).unwrap();
    assert_eq!(text(mode, "Value"), "audio");
    assert!(spool.path().join("two.tif").exists());
}

#[tokio::test(start_paused = true)]
async fn a_normal_end_has_the_cause_of_its_version() {
    for (flavour, cause) in [(Flavour::V22, "0"), (Flavour::V16, "16")] {
        let mock = MockAsterisk::builder()
            .in_memory()
            .flavour(flavour)
            .start()
            .await
            .unwrap();
        let mut client = client(&mock).await;
        let id = mock.incoming(script().hangs_up_after(Duration::from_secs(5)));
        client.until_event("AsyncAGIStart").await;
        agi(&mut client, &id, "ANSWER", "1").await;
        let end = client.until_event("Hangup").await;
        assert_eq!(text(&end, "Cause"), cause);
        assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Ended { cause: 16 }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_at_once_are_each_decided() {
    const CALLS: usize = 1000;
    let mock = mock().await;
    let mut client = client(&mock).await;
    client.until_event("SuccessfulAuth").await;
    client
        .ask("Action: Events\r\nEventMask: agi,call\r\n")
        .await;
    for filter in ["!^Event: (VarSet|Newexten|RTCPSent)", "!Event: AGIExec"] {
        let action = format!("Action: Filter\r\nOperation: Add\r\nFilter: {filter}\r\n");
        client.ask(&action).await;
    }
    let ids: Vec<String> = (0..CALLS).map(|_| mock.incoming(script())).collect();
    for _ in &ids {
        client.until_event("AsyncAGIStart").await;
    }
    for (number, id) in ids.iter().enumerate() {
        if number % 2 == 0 {
            agi(&mut client, id, "ANSWER", "1").await;
        } else {
            let action = format!("Action: Hangup\r\nChannel: {id}\r\nCause: 17\r\n");
            client.ask(&action).await;
        }
    }
    let decided = |mock: &MockAsterisk| {
        let open = ids
            .iter()
            .any(|id| mock.caller_saw(id) == Some(CallerSaw::Ringing));
        (!open).then_some(())
    };
    let all = mock.wait_until(Duration::from_secs(60), decided).await;
    assert!(all.is_some());
    for (number, id) in ids.iter().enumerate() {
        let want = match number % 2 {
            0 => CallerSaw::Answered,
            _ => CallerSaw::Ended { cause: 17 },
        };
        assert_eq!(mock.caller_saw(id), Some(want));
    }
    assert!(!client.seen.iter().any(|m| m.is_event("AGIExecStart")));
}
