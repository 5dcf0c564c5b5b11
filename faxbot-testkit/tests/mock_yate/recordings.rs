//! The client's side of each recording is played against the mock; both servers say the same.

use std::time::Duration;

use faxbot_testkit::server::yate::{CallScript, MockYate, Timings};

use crate::play::{Act, act, cdrs, play, recorded, recorded_cdrs, same, shape};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn mock() -> MockYate {
    let timings = Timings::quick();
    MockYate::builder()
        .in_memory()
        .timings(timings)
        .start()
        .await
        .unwrap()
}

async fn check(name: &str, script: CallScript, acts: Vec<Act>) {
    let mock = mock().await;
    mock.next_call(script);
    let said = play(&mock, name, acts).await;
    same(name, recorded(name), shape(&said), &[]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_and_dropped() {
    check(
        "sip_out_answered_local_drop",
        CallScript::answer().rings(ms(400)),
        vec![],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_and_the_far_end_hangs_up() {
    let script = CallScript::answer().rings(ms(400)).hangs_up_after(ms(1000));
    check("sip_out_answered_remote_bye", script, vec![]).await;
}

#[tokio::test(start_paused = true)]
async fn each_channel_has_its_cdr() {
    for (name, script) in [
        (
            "sip_out_answered_remote_bye",
            CallScript::answer().rings(ms(400)).hangs_up_after(ms(1000)),
        ),
        ("sip_out_rejected_486", CallScript::busy().rings(ms(200))),
        ("sip_out_no_answer_maxcall", CallScript::no_answer()),
    ] {
        let mock = mock().await;
        mock.next_call(script);
        let said = play(&mock, name, vec![]).await;
        same(name, recorded_cdrs(name), cdrs(&said), &[]);
    }
}

#[tokio::test(start_paused = true)]
async fn far_ends_refuse() {
    for (name, script) in [
        ("sip_out_rejected_486", CallScript::busy()),
        ("sip_out_rejected_404", CallScript::rejected(404)),
        ("sip_out_rejected_480", CallScript::rejected(480)),
        ("sip_out_rejected_503", CallScript::congestion()),
    ] {
        check(name, script.rings(ms(200)), vec![]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_nobody_answers_end_by_a_limit_or_a_drop() {
    check("sip_out_no_answer_maxcall", CallScript::no_answer(), vec![]).await;
    check("sip_out_no_answer_drop", CallScript::no_answer(), vec![]).await;
    check("sip_out_peer_silent", CallScript::unreachable(), vec![]).await;
    let answers = CallScript::answer().rings(ms(300));
    check("sip_out_call_length_timeout", answers, vec![]).await;
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_refused() {
    check("sip_out_bad_requests", CallScript::answer(), vec![]).await;
}

#[tokio::test(start_paused = true)]
async fn a_leg_is_sent_on_to_another_number() {
    let agent = || CallScript::answer().rings(ms(300));
    for (name, first, second) in [
        (
            "sip_click_to_dial_ok",
            agent(),
            CallScript::answer().rings(ms(400)).hangs_up_after(ms(1200)),
        ),
        (
            "sip_click_to_dial_agent_busy",
            CallScript::busy().rings(ms(200)),
            CallScript::answer(),
        ),
        (
            "sip_click_to_dial_customer_busy",
            agent(),
            CallScript::busy().rings(ms(300)),
        ),
        (
            "transfer_masquerade_execute",
            CallScript::answer().rings(ms(200)),
            CallScript::answer().rings(ms(200)).hangs_up_after(ms(1700)),
        ),
    ] {
        let mock = mock().await;
        mock.next_call(first);
        mock.next_call(second);
        let said = play(&mock, name, vec![]).await;
        same(name, recorded(name), shape(&said), &["transactions="]);
    }
}

#[tokio::test(start_paused = true)]
async fn two_legs_meet_in_a_conference_and_end_together() {
    let name = "conference_two_sip_legs";
    let mock = mock().await;
    mock.on_dial("*", CallScript::answer().rings(ms(200)));
    let said = play(&mock, name, vec![]).await;
    // The recorded engine had another room before.
    same(name, recorded(name), shape(&said), &["engine.status"]);
    let status = String::from_utf8_lossy(&said);
    assert!(status.contains(
        "name=conf,type=misc,format=Status|Address|Peer;routed=0,routing=0,total=2,chans=2,rooms=1;\
         conf/1=outgoing|room9|sip/1,conf/2=outgoing|room9|sip/2%M%J"
    ));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_given_sound_and_recorded() {
    let name = "call_control_hold_attach_record_conf";
    let folder = tempfile::tempdir().unwrap();
    // As long as the recorded one was played.
    std::fs::write(folder.path().join("none.slin"), vec![0; 54_000]).unwrap();
    let mock = MockYate::builder()
        .in_memory()
        .map_path("/var/spool/fax", folder.path())
        .start()
        .await
        .unwrap();
    mock.next_call(CallScript::answer().rings(ms(200)));
    let said = play(&mock, name, vec![]).await;
    // A real recorder is full when so much sound has come; here time alone counts.
    same(name, recorded(name), shape(&said), &["reason=maxlen"]);
    let full = shape(&said)
        .iter()
        .any(|line| line.contains("targetid=faxbot reason=maxlen"));
    assert!(full);
    assert!(
        !folder.path().join("leg.slin").exists(),
        "no format that is known"
    );
}

#[tokio::test(start_paused = true)]
async fn a_number_is_routed_to_a_tone() {
    let name = "originate_tone";
    let mock = MockYate::builder()
        .in_memory()
        .without_fax()
        .route("600", "tone/ring")
        .start()
        .await
        .unwrap();
    let said = play(&mock, name, vec![]).await;
    same(name, recorded(name), shape(&said), &[]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_stops_says_how_its_calls_ended() {
    let name = "engine_stop_with_calls";
    let mock = mock().await;
    mock.next_call(CallScript::answer().rings(ms(200)));
    let acts = vec![act(1.83, MockYate::stop_now)];
    let said = play(&mock, name, acts).await;
    same(name, recorded(name), shape(&said), &[]);
}

#[tokio::test(start_paused = true)]
async fn messages_go_out_and_what_the_far_end_says_is_a_code() {
    for name in [
        "message_send",
        "message_generate_disabled",
        "message_xsip_generate",
    ] {
        let mut builder = MockYate::builder().in_memory();
        if name != "message_xsip_generate" {
            builder = builder.without_generate();
        }
        let mock = builder.start().await.unwrap();
        // Nobody listens at port 5989.
        let silent = act(3.5, |mock| mock.answers_messages("uas", 408));
        let again = act(9.0, |mock| mock.answers_messages("uas", 200));
        let said = play(&mock, name, vec![silent, again]).await;
        same(name, recorded(name), shape(&said), &[]);
        let sent = mock.messages_sent();
        assert!(
            sent.iter()
                .any(|it| it.body.contains("msg.execute") || it.from == "clinic")
        );
    }
}
