//! What far ends do that no recording has.

use std::time::Duration;

use faxbot_testkit::server::yate::{CallScript, MockYate};

use crate::lines::Client;

async fn call(client: &mut Client, number: &str, more: &str) -> String {
    client
        .send(&format!(
            "%%>message:c{number}:0:call.execute::callto=dumb/:target=1:direct=sip/sip%z{number}@h{more}"
        ))
        .await;
    client.until(&format!("%%<message:c{number}:")).await
}

#[tokio::test(start_paused = true)]
async fn numbers_decide_and_an_unknown_one_is_refused_at_once() {
    let mock = MockYate::builder()
        .in_memory()
        .on_dial("602", CallScript::busy())
        .on_dial("603", CallScript::no_such_endpoint())
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&mock);
    client
        .send("%%>watch:chan.hangup\n%%>watch:call.progress\n%%>watch:chan.startup")
        .await;
    let answer = call(&mut client, "602", "").await;
    assert!(
        answer.contains(":id=dumb/1:peerid=sip/1:targetid=sip/1"),
        "{answer}"
    );
    client
        .until("chan.hangup::id=sip/1:module=sip:cause_sip=486:")
        .await;
    let answer = call(&mut client, "603", "").await;
    assert!(answer.starts_with("%%<message:c603:false:"), "{answer}");
    assert!(!answer.contains("error="), "{answer}");
    client.until("chan.hangup::id=dumb/2").await;
    mock.next_call(CallScript::early_media(Duration::from_millis(100)));
    call(&mut client, "604", ":jobid=7:copyparams=jobid").await;
    let startup = client.until("chan.startup::id=dumb/3").await;
    assert!(startup.contains(":jobid=7"), "{startup}");
    let progress = client.until("call.progress::id=sip/2").await;
    assert!(progress.contains(":earlymedia=true"), "{progress}");
}

#[tokio::test(start_paused = true)]
async fn two_calls_are_joined_and_their_partners_hung_up() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let mut client = Client::connect(&mock);
    client
        .send("%%>watch:chan.hangup\n%%>watch:call.answered")
        .await;
    for number in ["1", "2"] {
        call(&mut client, number, "").await;
        client.until("call.answered").await;
    }
    client
        .send("%%>message:j:0:chan.connect::id=sip/1:targetid=sip/2")
        .await;
    client.until("%%<message:j:true:").await;
    client.until("chan.hangup::id=dumb/1").await;
    client.until("chan.hangup::id=dumb/2").await;
    assert_eq!(mock.bridged_with("sip/1"), ["sip/2"]);
    client
        .send("%%>message:k:0:chan.connect::id=sip/1:targetid=sip/9")
        .await;
    client.until("%%<message:k:false:").await;
    assert!(mock.far_end_hangs_up("sip/2", 16));
    client.until("chan.hangup::id=sip/1").await;
    assert!(mock.channels().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_drop_without_an_id_drops_all() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let mut client = Client::connect(&mock);
    for number in ["1", "2"] {
        call(&mut client, number, "").await;
    }
    client.send("%%>message:d:0:call.drop:").await;
    client.until("%%<message:d:false:").await;
    assert!(mock.channels().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_conference_takes_both_sides_of_a_call() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let mut client = Client::connect(&mock);
    client.send("%%>watch:call.answered").await;
    call(&mut client, "1", "").await;
    client.until("call.answered").await;
    client
        .send("%%>message:f:0:chan.masquerade::id=sip/1:message=call.conference:room=conf/r")
        .await;
    let answer = client.until("%%<message:f:").await;
    assert!(
        answer.starts_with("%%<message:f:true:call.conference:"),
        "{answer}"
    );
    assert_eq!(mock.channels().len(), 4);
    client
        .send("%%>message:m:0:chan.masquerade::id=sip/1:message=call.execute:callto=moh/default")
        .await;
    client.until("%%<message:m:true:call.execute:").await;
    assert_eq!(mock.bridged_with("sip/1"), ["moh/1"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_recorded_to_a_file_as_long_as_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let mock = MockYate::builder()
        .in_memory()
        .map_path("/rec", folder.path())
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&mock);
    client.send("%%>watch:call.answered").await;
    call(&mut client, "1", "").await;
    client.until("call.answered").await;
    let record = |id: &str, file: &str| {
        format!(
            "%%>message:{id}:0:chan.masquerade::id=sip/1:message=chan.record:call=wave/record/{file}"
        )
    };
    client.send(&record("a", "/rec/1.wav")).await;
    client.until("%%<message:a:true:").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    client.send(&record("b", "-")).await;
    client.until("%%<message:b:true:").await;
    let file = std::fs::read(folder.path().join("1.wav")).unwrap();
    assert_eq!(file.len(), 44 + 2 * 16_000);
}

#[tokio::test(start_paused = true)]
async fn a_dumb_channel_has_the_address_that_it_was_given() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let mut client = Client::connect(&mock);
    client.send("%%>watch:call.answered").await;
    client
        .send("%%>message:c:0:call.execute::callto=dumb/mark-7:target=1:direct=sip/sip%z1@h")
        .await;
    client.until("%%<message:c:true:").await;
    client.until("call.answered").await;
    client
        .send("%%>message:s:0:engine.status::module=dumb")
        .await;
    let status = client.until("%%<message:s:true:").await;
    assert!(
        status.contains(";dumb/1=answered|mark-7|sip/1%M%J"),
        "{status}"
    );
    client
        .send("%%>message:t:0:engine.status::module=dumb/1")
        .await;
    let status = client.until("%%<message:t:true:").await;
    assert!(
        status.contains("name=dumb/1,type=channel;module=dumb,peerid=sip/1,"),
        "{status}"
    );
    client.send("%%>message:l:0:chan.locate::id=sip/1").await;
    client
        .until("%%<message:l:true:chan.locate::id=sip/1:")
        .await;
    // The drivers drop everything, and the engine goes on.
    client.send("%%>message:h:0:engine.halt:").await;
    client.until("%%<message:h:false:engine.halt:").await;
    assert!(mock.channels().is_empty());
}
