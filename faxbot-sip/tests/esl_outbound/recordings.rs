//! Calls against recorded servers.

use faxbot_core::ErrorKind;
use faxbot_sip::{
    driver::LinkError,
    outbound::{Control, Execute, OutboundCall, OutboundOptions, SocketMode},
    protocol::session::CloseReason,
};
use tokio::task::JoinHandle;

use super::{
    peer::{House, SECOND},
    tape::Tape,
};

/// The call of a recording, and the task that plays its server.
async fn played(name: &str) -> (OutboundCall, JoinHandle<()>, House) {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let peer = house.knock();
    let playing = tokio::spawn(Tape::load(name).play(peer));
    (calls.recv().await.unwrap(), playing, house)
}

fn said_good_bye(reason: &LinkError) -> bool {
    matches!(reason, LinkError::Session(CloseReason::Goodbye))
}

#[tokio::test(start_paused = true)]
async fn a_full_call_is_answered_played_to_asked_and_hung_up() {
    let (call, playing, _house) = played("07_outbound_async_full_linger").await;
    let channel = call.channel();
    assert_eq!(channel.mode(), SocketMode::Async);
    assert_eq!(channel.control(), Control::Full);
    assert_eq!(channel.uuid(), "a1247397-f142-4d0f-aa46-da6ee4c2583c");
    assert_eq!(channel.caller_name().unwrap(), "Example Clinic");
    assert_eq!(channel.caller_number().unwrap(), "+15551230000");
    assert_eq!(channel.destination().unwrap(), "900");
    assert_eq!(channel.context().unwrap(), "default");
    assert_eq!(channel.variable("job_ref").unwrap(), "appt-7");
    assert!(channel.is_inbound() && !channel.is_answered());

    call.linger(Some(SECOND * 5 / 2)).await.unwrap();
    let name = call.getvar("caller_id_name").await.unwrap();
    assert_eq!(name.as_deref(), Some("Example Clinic"));
    assert_eq!(call.getvar("nosuch").await.unwrap(), None);
    let answered = call.execute("answer", "").await.unwrap();
    assert_eq!(answered.response(), None);
    assert_eq!(answered.variable("endpoint_disposition").unwrap(), "ANSWER");
    let played = call.execute("playback", "tone_stream://%(500,0,440)");
    assert_eq!(played.await.unwrap().response().unwrap(), "FILE PLAYED");
    let set = Execute::new("set", "foo=bar baz").with_lock(true);
    call.run(set).await.unwrap();
    assert_eq!(call.getvar("foo").await.unwrap().unwrap(), "bar baz");
    assert!(
        call.api("status", "")
            .await
            .unwrap()
            .text()
            .starts_with("UP")
    );
    call.subscribe(&["DTMF"], &[]).await.unwrap();
    assert!(call.is_up());
    let mut events = call.events();
    call.hangup("NORMAL_CLEARING").await.unwrap();
    assert_eq!(call.hung_up().await.as_deref(), Some("NORMAL_CLEARING"));
    assert!(said_good_bye(&call.over().await));
    playing.await.unwrap();
    let mut names = Vec::new();
    while let Some(event) = events.recv().await {
        let frame = event.unwrap().event;
        let event = frame.event().unwrap();
        names.push(event.map_or_else(String::new, |event| event.name().unwrap().into_owned()));
    }
    assert_eq!(names[0], "CHANNEL_HANGUP");
    assert!(names.iter().any(|name| name == "CHANNEL_HANGUP_COMPLETE"));
    let late = call.getvar("foo").await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_leaves_a_connection_that_lingers() {
    let (call, playing, _house) = played("07_outbound_async_full_linger_remote_hangup").await;
    call.linger(None).await.unwrap();
    call.execute("answer", "").await.unwrap();
    assert_eq!(call.hung_up().await.as_deref(), Some("NORMAL_CLEARING"));
    assert!(!call.is_up());
    let cause = call.getvar("hangup_cause").await.unwrap();
    assert_eq!(cause.as_deref(), Some("NORMAL_CLEARING"));
    // FreeSWITCH says +OK, and nothing of its end.
    let error = call.execute("playback", "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(call.close(2 * SECOND).await.drained);
    playing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_linger_the_connection_ends_with_the_call() {
    let (call, playing, _house) = played("07_outbound_async_json_no_linger_remote_hangup").await;
    call.execute("answer", "").await.unwrap();
    assert_eq!(call.hung_up().await.as_deref(), Some("NORMAL_CLEARING"));
    assert!(said_good_bye(&call.over().await));
    playing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_full_the_commands_of_others_are_unsupported_and_never_sent() {
    let (call, playing, _house) = played("07_outbound_async_single_channel").await;
    assert_eq!(call.channel().control(), Control::SingleChannel);
    let custom = call.subscribe(&[], &["conference::maintenance"]).await;
    let errors = [
        call.api("status", "").await.unwrap_err(),
        call.bgapi("status", "", SECOND).await.unwrap_err(),
        call.subscribe(&["ALL"], &[]).await.unwrap_err(),
        custom.unwrap_err(),
        call.linger(None).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.effect(), faxbot_core::Effect::NoEffect);
    }
    // The tape would say that one of them was sent out of place.
    assert_eq!(call.getvar("direction").await.unwrap().unwrap(), "inbound");
    call.execute("answer", "").await.unwrap();
    let played = call.execute("playback", "x").await.unwrap();
    assert_eq!(played.response().unwrap(), "FILE PLAYED");
    assert!(call.close(2 * SECOND).await.drained);
    playing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_async_an_application_is_waited_for() {
    let (call, playing, _house) = played("07_outbound_sync_single").await;
    assert_eq!(call.channel().mode(), SocketMode::Sync);
    let error = call.begin(Execute::new("playback", "x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let error = call.api("status", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    call.execute("answer", "").await.unwrap();
    let played = call.execute("playback", "x").await.unwrap();
    assert_eq!(played.response().unwrap(), "FILE PLAYED");
    assert_eq!(call.getvar("foo").await.unwrap(), None);
    call.hangup("NORMAL_CLEARING").await.unwrap();
    assert_eq!(call.hung_up().await.as_deref(), Some("NORMAL_CLEARING"));
    assert!(said_good_bye(&call.over().await));
    playing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn applications_that_are_queued_end_in_their_order() {
    let (call, playing, _house) = played("07_outbound_execute_queue_event_lock").await;
    call.execute("answer", "").await.unwrap();
    let locked = |argument: &str| Execute::new("playback", argument).with_lock(true);
    let (first, second, third) = tokio::join!(
        call.begin(locked("1")),
        call.begin(locked("2")),
        call.begin(locked("3")),
    );
    for execution in [third, first, second] {
        let executed = execution.unwrap().completed().await.unwrap();
        assert_eq!(executed.response().unwrap(), "FILE PLAYED");
    }
    // A long one, which the next interrupts.
    let long = call.begin(Execute::new("playback", "long")).await.unwrap();
    call.execute("break", "").await.unwrap();
    long.completed().await.unwrap();
    call.resume().await.unwrap();
    assert!(call.close(2 * SECOND).await.drained);
    playing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sip_leg_is_a_call_like_any_other() {
    let (call, playing, _house) = played("07_outbound_sip_leg").await;
    assert!(call.channel().name().unwrap().starts_with("sofia/"));
    call.execute("answer", "").await.unwrap();
    let played = call.execute("playback", "x").await.unwrap();
    assert_eq!(played.response().unwrap(), "FILE PLAYED");
    call.hangup("NORMAL_CLEARING").await.unwrap();
    assert_eq!(call.hung_up().await.as_deref(), Some("NORMAL_CLEARING"));
    assert!(said_good_bye(&call.over().await));
    playing.await.unwrap();
}
