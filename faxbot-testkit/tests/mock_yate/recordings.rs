//! The client's side of each recording is played against the mock; both servers say the same.

use std::time::Duration;

use faxbot_testkit::server::yate::{CallScript, MockYate, Timings};

use crate::play::{Act, act, play, recorded, same, shape};

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
