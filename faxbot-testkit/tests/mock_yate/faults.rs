//! What goes wrong: answers, links, restarts.

use std::time::Duration;

use faxbot_testkit::server::yate::{CallScript, CallerSaw, IncomingScript, MockYate, ReplyFault};

use crate::lines::Client;

const STATUS: &str = "%%>message:s:0:engine.status::module=engine";

#[tokio::test(start_paused = true)]
async fn answers_fail_as_told() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    mock.expect("engine.status").times(4);
    let mut client = Client::connect(&mock);
    mock.next_reply("engine.status", ReplyFault::Refuse("no".to_owned()));
    client.send(STATUS).await;
    let answer = client.line().await.unwrap();
    assert!(
        answer.starts_with("%%<message:s:false:engine.status:"),
        "{answer}"
    );
    assert!(answer.ends_with(":error=failure:reason=no"), "{answer}");
    mock.next_reply("engine.status", ReplyFault::Garbage("\u{1}?\n".into()));
    client.send(STATUS).await;
    assert_eq!(client.line().await.unwrap(), "\u{1}?");
    mock.next_reply("engine.status", ReplyFault::Silent);
    mock.next_reply("watch", ReplyFault::Refuse(String::new()));
    client.send(STATUS).await;
    client.send("%%>watch:x").await;
    assert_eq!(client.line().await.unwrap(), "%%<watch:x:false");
    mock.next_reply("engine.status", ReplyFault::DropBefore);
    client.send(STATUS).await;
    assert_eq!(client.line().await, None);
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_whose_answer_was_lost() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    mock.next_call(CallScript::answer().reply(ReplyFault::DropBefore));
    let mut client = Client::connect(&mock);
    client
        .send("%%>message:c:0:call.execute::callto=dumb/:target=1:direct=sip/sip%z1@h")
        .await;
    assert_eq!(client.line().await, None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut client = Client::connect(&mock);
    client
        .send("%%>message:s:0:engine.status::module=sip")
        .await;
    let status = client.line().await.unwrap();
    assert!(
        status.contains("chans=1,transactions=1;sip/1=answered|h%z5060|dumb/1%M%J"),
        "{status}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_another_run_without_calls() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let run = |mut client: Client| async move {
        client.send("%%>setlocal:engine.runid:").await;
        (client.until("runid").await, client)
    };
    let (before, mut client) = run(Client::connect(&mock)).await;
    client
        .send("%%>watch:chan.hangup\n%%>watch:engine.halt")
        .await;
    client
        .send("%%>message:c:0:call.execute::callto=dumb/:target=1:direct=sip/sip%z1@h")
        .await;
    client.until("%%<message:c:true").await;
    mock.kill(Duration::from_millis(300));
    // A killed engine says nothing.
    assert_eq!(client.line().await, None);
    assert_eq!(Client::connect(&mock).line().await, None);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(mock.channels().is_empty());
    let (after, mut client) = run(Client::connect(&mock)).await;
    assert_ne!(before, after);
    client
        .send("%%>message:c:0:call.execute::callto=dumb/:target=1:direct=sip/sip%z1@h")
        .await;
    assert!(
        client
            .until("%%<message:c:true")
            .await
            .contains(":id=dumb/1:")
    );
    client
        .send("%%>watch:engine.halt\n%%>watch:chan.hangup")
        .await;
    client.until("%%<watch:chan.hangup").await;
    mock.restart(Duration::from_secs(1));
    client.until("engine.halt").await;
    client.until("chan.hangup::id=sip/1").await;
    while client.line().await.is_some() {}
}

#[cfg(unix)]
#[tokio::test]
async fn a_client_comes_by_a_unix_socket() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("yate");
    let mock = MockYate::builder().start().await.unwrap();
    assert!(mock.url().starts_with("yate://127.0.0.1:"));
    mock.listen_unix(&path).unwrap();
    let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
    client.write_all(b"%%>quit\n").await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "%%<quit\n");
}

#[tokio::test(start_paused = true)]
async fn the_transcript_names_nobody() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let mut client = Client::connect(&mock);
    client.send("%%>watch:call.route").await;
    client
        .send("%%>message:c:0:call.execute::callto=dumb/:target=15550199:caller=5550123")
        .await;
    client.until("%%<message:c:true").await;
    let transcript = mock.transcript();
    assert!(
        transcript.contains("call.execute") && !transcript.contains("5550"),
        "{transcript}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_changes_nothing() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let mut client = Client::connect(&mock);
    client
        .send("%%>setlocal:timeout:1000\n%%>install:50:call.route")
        .await;
    client.until("%%<install").await;
    let id = mock.incoming(IncomingScript::new("1", "7"));
    let asked = client.until("%%>message:").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let not_found = Some(CallerSaw::Ended { cause: 1 });
    assert_eq!(mock.caller_saw(&id), not_found);
    let request = asked.split(':').nth(1).unwrap();
    client
        .send(&format!("%%<message:{request}:true::tone/ring\n%%>watch:x"))
        .await;
    assert_eq!(client.line().await.unwrap(), "%%<watch:x:true");
    assert_eq!(mock.caller_saw(&id), not_found);
    let answers = mock.actions_named("answer");
    assert_eq!(answers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_engine_asks_on_when_a_client_goes() {
    let mock = MockYate::builder()
        .in_memory()
        .route("7", "tone/ring")
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&mock);
    client.send("%%>install:50:call.route").await;
    client.until("%%<install").await;
    let id = mock.incoming(IncomingScript::new("1", "7"));
    client.until("%%>message:").await;
    drop(client);
    let answered = mock.wait_until(Duration::from_secs(1), |mock| {
        (mock.caller_saw(&id) == Some(CallerSaw::Answered)).then_some(())
    });
    assert!(answered.await.is_some());
}
