//! Who may do what at the mock, what it refuses, and how it counts.
#![cfg(test)]

mod client;

use std::time::Duration;

use client::Client;
use faxbot_sip::protocol::ami::key;
use faxbot_testkit::server::asterisk::{Account, CallScript, MockAsterisk, Timings};

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_is_refused_after_a_second_and_the_link_closed() {
    let mock = MockAsterisk::builder().in_memory().start().await.unwrap();
    let mut client = Client::over(mock.connect_duplex());
    let start = tokio::time::Instant::now();
    let refused = client
        .ask("Action: Login\r\nUsername: faxbot\r\nSecret: wrong\r\n")
        .await;
    assert_eq!(refused.get_str("Message").unwrap(), "Authentication failed");
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    client.until_end().await;
    assert!(!mock.transcript().contains("wrong"));
}

#[tokio::test(start_paused = true)]
async fn an_md5_login_needs_its_challenge() {
    let timings = Timings::quick().login_failure(Duration::ZERO);
    let mock = MockAsterisk::builder()
        .in_memory()
        .timings(timings)
        .start()
        .await
        .unwrap();
    let mut client = Client::over(mock.connect_duplex());
    let first = client.ask("Action: Challenge\r\nAuthType: MD5\r\n").await;
    let again = client.ask("Action: Challenge\r\nAuthType: MD5\r\n").await;
    let challenge = first.get("Challenge").unwrap().to_vec();
    assert_eq!(again.get("Challenge").unwrap(), challenge);
    let key = key(&challenge, "s3cret");
    let login = format!("Action: Login\r\nAuthType: MD5\r\nUsername: faxbot\r\nKey: {key}\r\n");
    assert_eq!(client.ask(&login).await.response(), Some(&b"Success"[..]));

    let mut client = Client::over(mock.connect_duplex());
    let refused = client.ask(&login).await;
    assert_eq!(refused.get_str("Message").unwrap(), "Authentication failed");
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed_without_a_word() {
    let mock = MockAsterisk::builder().in_memory().start().await.unwrap();
    let mut client = Client::over(mock.connect_duplex());
    let start = tokio::time::Instant::now();
    client.until_end().await;
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    assert!(client.seen.is_empty());
}

#[tokio::test(start_paused = true)]
async fn rights_and_unknown_actions_are_refused_in_asterisks_words() {
    let account = Account::new("faxbot", "s3cret")
        .read("call,reporting")
        .write("reporting");
    let mock = MockAsterisk::builder()
        .in_memory()
        .account(account)
        .start()
        .await
        .unwrap();
    let mut client = Client::over(mock.connect_duplex());
    let early = client.ask("Action: Ping\r\n").await;
    assert_eq!(early.get_str("Message").unwrap(), "Permission denied");
    assert!(client.try_login().await);
    for (action, text) in [
        (
            "Originate\r\nChannel: Local/1@x\r\nApplication: Echo",
            "Permission denied",
        ),
        ("Command\r\nCommand: core show version", "Permission denied"),
        ("Hangup\r\nChannel: x", "Permission denied"),
        (
            "Bogus",
            "Invalid/unknown command: Bogus. Use Action: ListCommands to show available commands.",
        ),
        ("", "Missing action in request"),
    ] {
        let answer = client.ask(&format!("Action: {action}\r\n")).await;
        assert_eq!(answer.get_str("Message").unwrap(), text, "{action}");
    }
    assert_eq!(
        client.ask("Action: CoreStatus\r\n").await.response(),
        Some(&b"Success"[..])
    );
    let list = client.ask("Action: ListCommands\r\n").await;
    assert!(list.get("CoreStatus").is_some());
    assert!(list.get("Originate").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_event_reaches_only_those_who_asked_for_its_class() {
    let mock = MockAsterisk::builder().in_memory().start().await.unwrap();
    let mut all = Client::login(mock.connect_duplex()).await;
    let mut calls = Client::login(mock.connect_duplex()).await;
    let mut wrong = Client::login(mock.connect_duplex()).await;
    let on = calls.ask("Action: Events\r\nEventMask: call\r\n").await;
    assert_eq!(on.get_str("Events").unwrap(), "On");
    let off = wrong.ask("Action: Events\r\nEventMask: Call\r\n").await;
    assert_eq!(off.get_str("Events").unwrap(), "Off");
    let before = wrong.seen.len();
    all.originate(
        "PJSIP/1@t",
        "Application: Wait\r\nData: 1\r\nVariable: A=1\r\n",
    )
    .await;
    all.until_event("Hangup").await;
    calls.until_event("Hangup").await;
    assert!(all.seen.iter().any(|message| message.is_event("VarSet")));
    assert!(!calls.seen.iter().any(|message| message.is_event("VarSet")));
    wrong.ask("Action: Ping\r\n").await;
    assert_eq!(wrong.seen.len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_refused_while_it_or_a_longer_one_is_live() {
    let mock = MockAsterisk::builder().in_memory().start().await.unwrap();
    let mut client = Client::login(mock.connect_duplex()).await;
    let call = |id: &str| format!("Application: Echo\r\nChannelId: {id}\r\n");
    client
        .originate("PJSIP/1@t", &call("faxbot-abc-long"))
        .await;
    client.until_event("OriginateResponse").await;
    for id in ["faxbot-abc-long", "faxbot-abc"] {
        client.originate("PJSIP/1@t", &call(id)).await;
        let refused = client.until_event("OriginateResponse").await;
        assert_eq!(refused.get_str("Response").unwrap(), "Failure");
        assert_eq!(refused.get_str("Uniqueid").unwrap(), id);
    }
    assert_eq!(mock.channels(), ["faxbot-abc-long"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_hung_up_redirected_and_shown() {
    let mock = MockAsterisk::builder()
        .in_memory()
        .extension("other", "5", 1, "Set", "DB(seen/at)=${CONTEXT}")
        .extension("other", "5", 2, "Wait", "60")
        .start()
        .await
        .unwrap();
    let mut client = Client::login(mock.connect_duplex()).await;
    client
        .originate("PJSIP/1@t", "Application: Echo\r\nChannelId: c1\r\n")
        .await;
    let channel = client.until_event("OriginateResponse").await;
    let name = channel.get_str("Channel").unwrap().into_owned();
    client.ask("Action: CoreShowChannels\r\n").await;
    let shown = client.until_event("CoreShowChannel").await;
    assert_eq!(shown.get_str("Uniqueid").unwrap(), "c1");
    let moved = format!("Action: Redirect\r\nChannel: {name}\r\nContext: other\r\nExten: 5\r\n");
    client.ask(&format!("{moved}Priority: 1\r\n")).await;
    let seen = mock
        .wait_until(Duration::from_secs(5), |mock| mock.db_get("seen", "at"))
        .await;
    assert_eq!(seen.unwrap(), "other");
    client
        .ask("Action: Hangup\r\nChannel: c1\r\nCause: 17\r\n")
        .await;
    let hangup = client.until_event("Hangup").await;
    assert_eq!(hangup.get_str("Cause").unwrap(), "17");
    let unknown = client.ask("Action: Hangup\r\nChannel: c1\r\n").await;
    assert_eq!(unknown.get_str("Message").unwrap(), "No such channel");
}

#[tokio::test(start_paused = true)]
async fn the_far_end_hangs_up_when_told_and_a_synchronous_originate_waits() {
    let script = CallScript::answer().hangs_up_after(Duration::from_secs(3));
    let mock = MockAsterisk::builder()
        .in_memory()
        .on_dial("7*", script)
        .start()
        .await
        .unwrap();
    let mut client = Client::login(mock.connect_duplex()).await;
    let start = tokio::time::Instant::now();
    let before = client.seen.len();
    let answer = client
        .ask("Action: Originate\r\nChannel: PJSIP/7@t\r\nApplication: Echo\r\n")
        .await;
    assert_eq!(answer.response(), Some(&b"Success"[..]));
    let first_call_event = client.seen[before..]
        .iter()
        .position(|m| m.is_event("Newchannel"));
    assert_eq!(first_call_event, None, "nothing is sent before the answer");
    client.until_event("Hangup").await;
    assert_eq!(start.elapsed().as_secs(), 3);
    mock.on_dial("7", CallScript::busy());
    let answer = client
        .ask("Action: Originate\r\nChannel: PJSIP/7@t\r\nApplication: Echo\r\n")
        .await;
    assert_eq!(answer.get_str("Message").unwrap(), "Originate failed");
}

#[tokio::test(start_paused = true)]
async fn two_hundred_calls_at_once_each_get_their_own_end() {
    let mock = MockAsterisk::builder()
        .in_memory()
        .on_dial("1*", CallScript::answer())
        .on_dial("2*", CallScript::busy())
        .start()
        .await
        .unwrap();
    let mut client = Client::login(mock.connect_duplex()).await;
    for n in 0..200 {
        let to = if n % 2 == 0 { 1 } else { 2 };
        let call = format!("Application: Wait\r\nData: 1\r\nChannelId: id-{n:04}\r\n");
        client.originate(&format!("PJSIP/{to}{n}@t"), &call).await;
    }
    let hangups = |client: &Client<_>| client.seen.iter().filter(|m| m.is_event("Hangup")).count();
    while hangups(&client) < 200 {
        client.read().await.unwrap();
    }
    let responses: Vec<_> = client
        .seen
        .iter()
        .filter(|message| message.is_event("OriginateResponse"))
        .collect();
    assert_eq!(responses.len(), 200);
    for response in responses {
        let id = response.get_str("Uniqueid").unwrap().into_owned();
        let n: usize = id.strip_prefix("id-").unwrap().parse().unwrap();
        let good = response.get_str("Response").unwrap() == "Success";
        assert_eq!(good, n.is_multiple_of(2), "{id}");
    }
    assert!(mock.channels().is_empty());
}

#[tokio::test(start_paused = true)]
async fn expectations_that_are_met_pass_and_others_show_the_masked_transcript() {
    let mock = MockAsterisk::builder().in_memory().start().await.unwrap();
    mock.expect("Originate")
        .with_header("ChannelId", "c1")
        .times(1);
    mock.expect("Ping").never();
    let mut client = Client::login(mock.connect_duplex()).await;
    let unmet = mock.verify().unwrap_err().to_string();
    assert!(
        unmet.contains("expected exactly 1 of Originate with that ChannelId, saw 0"),
        "{unmet}"
    );
    let call = "Application: Echo\r\nChannelId: c1\r\nCallerID: Jo <+15551234567>\r\n";
    client.originate("PJSIP/+15557654321@trunk", call).await;
    client.until_event("OriginateResponse").await;
    mock.verify().unwrap();
    let shown = mock.transcript();
    assert!(shown.contains("Action: Originate"));
    for hidden in ["s3cret", "5551234567", "5557654321", "trunk"] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn finish_and_drop_fail_on_an_unmet_expectation_and_never_panic_twice() {
    let task = tokio::spawn(async {
        let mock = MockAsterisk::builder().in_memory().start().await.unwrap();
        mock.expect("Originate");
        mock.finish().await;
    });
    assert!(task.await.unwrap_err().is_panic());
    let task = tokio::spawn(async {
        let mock = MockAsterisk::builder().in_memory().start().await.unwrap();
        mock.expect("Originate");
    });
    assert!(task.await.unwrap_err().is_panic());
    // A panic with the mock in scope: its drop must not panic again, which would abort.
    let task = tokio::spawn(async {
        let mock = MockAsterisk::builder().in_memory().start().await.unwrap();
        mock.expect("Originate");
        assert_eq!(mock.connections(), 1, "on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
}
