//! Calls and messages from outside, and the engine's questions to a client.

use std::time::Duration;

use faxbot_testkit::server::yate::{
    CallScript, CallerSaw, IncomingFax, IncomingScript, MockYate, Timings,
};

use crate::{
    lines::Client,
    play::{Act, act, alike, play, recorded, shape},
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn calls(at: f64, called: &'static str, script: fn(IncomingScript) -> IncomingScript) -> Act {
    act(at, move |mock| {
        mock.incoming(script(IncomingScript::new("alice", called)));
    })
}

async fn mock() -> MockYate {
    MockYate::builder()
        .in_memory()
        .route("600", "tone/ring")
        .route("602", "-;error=busy")
        .route("port5080", "sip/sip:uas@127.0.0.1:5080")
        .route("port5081", "sip/sip:uas@127.0.0.1:5081")
        .start()
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn calls_are_routed_by_the_client_or_not_at_all() {
    let name = "sip_in_route_installed";
    let mock = mock().await;
    mock.on_dial("uas", CallScript::unreachable());
    let acts = vec![
        calls(0.717, "777", |script| script.hangs_up_after(ms(1000))),
        calls(2.238, "777", |script| script),
        calls(3.258, "777", |script| script),
        calls(4.279, "777", |script| script),
        calls(5.300, "777", |script| script),
        calls(6.320, "781", |script| script),
        calls(9.336, "777", |script| script.hangs_up_after(ms(1200))),
        calls(14.057, "777", |script| script),
    ];
    let said = play(&mock, name, acts).await;
    alike(name, recorded(name), shape(&said), &[]);
    let saw: Vec<_> = (1..=5)
        .map(|at| mock.caller_saw(&format!("sip/{at}")).unwrap())
        .collect();
    let ended = |cause| CallerSaw::Ended { cause };
    assert_eq!(saw, [ended(16), ended(17), ended(21), ended(1), ended(34)]);
}

#[tokio::test(start_paused = true)]
async fn calls_are_routed_by_the_configuration() {
    let name = "sip_in_routed_by_regexroute";
    let mock = mock().await;
    let acts = vec![
        calls(0.417, "600", |script| script.hangs_up_after(ms(900))),
        calls(2.418, "602", |script| script),
        calls(3.118, "99999", |script| script),
    ];
    let said = play(&mock, name, acts).await;
    alike(name, recorded(name), shape(&said), &[]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_gives_up_and_another_presses_digits() {
    let name = "sip_in_cancel_and_dtmf_info";
    let mock = mock().await;
    mock.on_dial("*", CallScript::no_answer());
    let acts = vec![
        calls(0.410, "port5080", |script| script.gives_up_after(ms(800))),
        calls(2.161, "600", |script| script.hangs_up_after(ms(1500))),
        act(2.761, |mock| assert!(mock.far_end_presses("sip/3", "1"))),
        act(3.062, |mock| assert!(mock.far_end_presses("sip/3", "#"))),
    ];
    let said = play(&mock, name, acts).await;
    alike(name, recorded(name), shape(&said), &[]);
}

#[tokio::test(start_paused = true)]
async fn a_phone_holds_and_another_transfers() {
    let name = "hold_by_phone_reinvite";
    let hold = mock().await;
    hold.on_dial("*", CallScript::answer().rings(ms(200)));
    let acts = vec![
        calls(0.414, "port5080", |script| script.hangs_up_after(ms(2580))),
        act(1.415, |mock| assert!(mock.far_end_holds("sip/1", true))),
        act(2.315, |mock| assert!(mock.far_end_holds("sip/1", false))),
    ];
    let said = play(&hold, name, acts).await;
    alike(name, recorded(name), shape(&said), &[]);

    let name = "transfer_by_refer_from_phone";
    let transfer = mock().await;
    transfer.next_call(CallScript::answer().rings(ms(200)));
    transfer.next_call(CallScript::answer().rings(ms(200)).hangs_up_after(ms(2380)));
    let acts = vec![
        calls(0.417, "port5080", |script| script),
        act(1.417, |mock| {
            assert!(mock.far_end_transfers("sip/1", "port5081"))
        }),
    ];
    let said = play(&transfer, name, acts).await;
    alike(name, recorded(name), shape(&said), &[]);
}

#[tokio::test(start_paused = true)]
async fn messages_come_in_by_routing_and_execution() {
    let name = "sip_in_message";
    let mock = mock().await;
    let says = |at, body: &'static str| {
        act(at, move |mock| {
            mock.message_in("sip:alice@127.0.0.1:5091", body);
        })
    };
    let acts = vec![
        says(0.414, "Please call back: now, 100%"),
        says(1.015, "Bitte zur\u{fc}ckrufen"),
        says(2.622, "refuse me"),
        says(3.828, "silence"),
    ];
    let said = play(&mock, name, acts).await;
    alike(name, recorded(name), shape(&said), &["sip.info"]);
    let saw: Vec<_> = (1..=4).map(|number| mock.message_saw(number)).collect();
    assert_eq!(saw, [Some(405), Some(200), Some(405), Some(405)]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_sends_a_fax_to_where_the_client_routes_it() {
    let folder = tempfile::tempdir().unwrap();
    let mock = MockYate::builder()
        .in_memory()
        .timings(Timings::quick())
        .map_path("/spool", folder.path())
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&mock);
    client
        .send("%%>watch:chan.hangup\n%%>install:50:call.route")
        .await;
    let fax = IncomingFax::new(2).station("+1555");
    let id = mock.incoming(IncomingScript::new("5551", "700").sends_fax(fax));
    let asked = client.until("%%>message:").await;
    let request = asked.split(':').nth(1).unwrap().to_owned();
    client
        .send(&format!(
            "%%<message:{request}:true::fax/receive//spool/in.tif:faxident=+1666"
        ))
        .await;
    let ended = client.until("chan.hangup::id=fax/1").await;
    for part in [
        ":reason=eof",
        ":faxpages=2:",
        ":faxident_remote=+1555:",
        "direction=outgoing",
    ] {
        assert!(ended.contains(part), "{part}: {ended}");
    }
    let file = std::fs::read(folder.path().join("in.tif")).unwrap();
    assert!(file.starts_with(b"II*\0"));
    assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Ended { cause: 16 }));
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_at_dumb_until_the_client_answers_it() {
    let mock = MockYate::builder()
        .in_memory()
        .route("7", "dumb/")
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&mock);
    client.send("%%>watch:chan.connected").await;
    let id = mock.incoming(IncomingScript::new("5551", "7"));
    client.until("chan.connected::id=dumb/1").await;
    assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Ringing));
    client
        .send("%%>message:a:0:chan.masquerade::id=dumb/1:message=call.answered")
        .await;
    let answer = client.until("%%<message:a:").await;
    assert!(
        answer.starts_with("%%<message:a:true:call.answered:"),
        "{answer}"
    );
    assert_eq!(mock.caller_saw(&id), Some(CallerSaw::Answered));
    client
        .send("%%>message:b:0:chan.masquerade::id=dumb/1:message=chan.dtmf:text=12")
        .await;
    client.until("%%<message:b:").await;
    assert_eq!(mock.dtmf_sent(&id), "12");
    client
        .send("%%>message:c:0:call.drop::id=sip/1:reason=busy")
        .await;
    client.until("%%<message:c:true:").await;
    assert!(mock.channels().is_empty());
}
