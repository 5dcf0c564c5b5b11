//! What becomes of one call: ends, limits, values.

use faxbot_core::{Effect, ErrorKind};
use faxbot_sip::{
    driver::LinkError,
    outbound::{Execute, OutboundOptions},
    protocol::esl::{Command, server},
};
use tokio::time::Instant;

use super::peer::{CHANNEL, House, SECOND};

#[tokio::test(start_paused = true)]
async fn the_last_handle_of_a_call_closes_its_connection() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    let other = call.clone();
    drop(call);
    let talk = tokio::time::timeout(SECOND, peer.command()).await;
    assert!(talk.is_err(), "a clone holds it");
    assert_eq!(house.listener.status().serving, 1);
    drop(other);
    peer.goodbye().await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(house.listener.status().serving, 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_exit_is_left_in_time() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    let began = Instant::now();
    drop(call);
    peer.expect("exit").await;
    assert!(peer.command().await.is_none());
    assert!(began.elapsed() <= 3 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_application_whose_call_ends_is_told_so() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    // Its end comes behind the hang-up, or does not come, or the connection ends first.
    for (told, cut) in [(true, false), (false, false), (false, true)] {
        let (mut peer, call) = house.call(&mut calls, "async full").await;
        let (executed, ()) = tokio::join!(call.execute("playback", "x"), async {
            let id = peer.expect_execute("playback").await;
            peer.reply("+OK").await;
            peer.hangup("ORIGINATOR_CANCEL").await;
            if told {
                peer.complete(&id, "FILE PLAYED").await;
            }
            if cut {
                peer.say(&server::goodbye()).await;
            }
        });
        assert_eq!(call.hung_up().await.as_deref(), Some("ORIGINATOR_CANCEL"));
        match executed {
            Ok(executed) => assert!(told && executed.response().unwrap() == "FILE PLAYED"),
            Err(error) => {
                assert!(!told);
                assert_eq!(
                    (error.kind(), error.effect()),
                    (ErrorKind::Closed, Effect::Unknown)
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_ends_every_wait() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    let mut events = call.events();
    let running = call.begin(Execute::new("playback", "x"));
    let (running, ()) = tokio::join!(running, async {
        peer.expect_execute("playback").await;
        peer.reply("+OK").await;
    });
    let (error, asked, cause, over, ()) = tokio::join!(
        running.unwrap().completed(),
        call.getvar("x"),
        call.hung_up(),
        call.over(),
        async {
            peer.expect("getvar x").await;
            drop(peer);
        }
    );
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(asked.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(cause, None);
    assert!(matches!(over, LinkError::Ended));
    assert!(events.recv().await.is_none());
    assert!(call.events().recv().await.is_none());
    assert!(!call.is_up());
}

#[tokio::test(start_paused = true)]
async fn an_application_that_runs_on_is_waited_for_as_long_as_was_said() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    let began = Instant::now();
    let execute = Execute::new("park", "").with_limit(7 * SECOND);
    let (executed, _id) = tokio::join!(call.run(execute), async {
        let id = peer.expect_execute("park").await;
        peer.reply("+OK").await;
        id
    });
    assert_eq!(executed.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(began.elapsed().as_secs(), 7);
    assert!(call.is_up());
}

#[tokio::test(start_paused = true)]
async fn the_id_of_an_application_keeps_ends_apart() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "async").await;
    let (first, second, ()) = tokio::join!(
        call.execute("playback", "1"),
        call.execute("playback", "2"),
        async {
            let first = peer.expect_execute("playback").await;
            peer.reply("+OK").await;
            let second = peer.expect_execute("playback").await;
            peer.reply("+OK").await;
            assert_ne!(first, second);
            // An application of the dialplan, and one of another channel.
            peer.complete("5f7fce89-c320-4488-bbba-cef279214917", "no")
                .await;
            let headers = [
                ("Event-Name", "CHANNEL_EXECUTE_COMPLETE"),
                ("Unique-ID", "other"),
                ("Application-UUID", &*first),
            ];
            peer.event(&headers).await;
            peer.complete(&second, "second").await;
            peer.complete(&first, "first").await;
        }
    );
    assert_eq!(first.unwrap().response().unwrap(), "first");
    assert_eq!(second.unwrap().response().unwrap(), "second");
}

#[tokio::test(start_paused = true)]
async fn an_application_holds_a_connection_that_is_not_async() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "full").await;
    let (executed, asked, ()) = tokio::join!(
        call.execute("playback", "long"),
        async {
            tokio::task::yield_now().await;
            call.getvar("x").await
        },
        async {
            peer.expect_execute("playback").await;
            // Far longer than a keep-alive: the silence is rightful.
            tokio::time::sleep(600 * SECOND).await;
            peer.reply("+OK").await;
            peer.expect("getvar x").await;
            peer.reply("late").await;
        }
    );
    // No event came: the reply is the end all the same.
    let executed = executed.unwrap();
    assert!(executed.event().is_none() && executed.response().is_none());
    assert_eq!(asked.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(call.is_up());
}

#[tokio::test(start_paused = true)]
async fn a_value_that_getvar_would_cut_is_read_whole_or_not_at_all() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (long, cut) = ("v".repeat(2000), "v".repeat(511));
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    let (value, ()) = tokio::join!(call.getvar("big"), async {
        peer.expect("getvar big").await;
        peer.reply(&cut).await;
        peer.expect(&format!("api uuid_getvar {CHANNEL} big")).await;
        peer.say(&server::api_response(long.as_bytes())).await;
    });
    assert_eq!(value.unwrap().unwrap(), long);
    let (mut peer, call) = house.call(&mut calls, "async").await;
    let (value, ()) = tokio::join!(call.getvar("big"), async {
        peer.expect("getvar big").await;
        peer.reply(&cut).await;
    });
    assert_eq!(value.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused_before_a_byte_of_it() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    let errors = [
        call.execute("play\nback", "").await.unwrap_err(),
        call.execute("playback", "x\n\nexit").await.unwrap_err(),
        call.getvar("a b").await.unwrap_err(),
        call.hangup("A\nB").await.unwrap_err(),
        call.api("status", "\r\n").await.unwrap_err(),
        call.subscribe(&["CUSTOM"], &[]).await.unwrap_err(),
        call.subscribe(&[], &[]).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert_eq!(error.effect(), Effect::NoEffect);
    }
    drop(call);
    peer.expect("exit").await;
}

#[tokio::test(start_paused = true)]
async fn any_command_goes_through_request_by_the_rules_of_its_mode() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (_peer, call) = house.call(&mut calls, "async").await;
    for command in [
        Command::log(7),
        Command::nolog(),
        Command::noevents(),
        Command::nolinger(),
        Command::sendevent("CUSTOM").unwrap(),
        Command::nixevent(&["DTMF"], &[]).unwrap(),
    ] {
        let error = call.request(command, SECOND).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    let (reply, ()) = tokio::join!(call.request(Command::log(7), SECOND), async {
        peer.expect("log 7").await;
        peer.reply("+OK log level 7 [7]").await;
    });
    assert!(reply.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_order_that_freeswitch_refuses_is_rejected_with_its_words() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    let (error, ()) = tokio::join!(call.execute("answer", ""), async {
        peer.expect_execute("answer").await;
        peer.reply("-ERR memory error").await;
    });
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.native_text(), Some("-ERR memory error"));
}

#[tokio::test(start_paused = true)]
async fn a_job_has_its_output_though_only_own_events_come() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    let (reply, ()) = tokio::join!(call.bgapi("status", "", 60 * SECOND), async {
        let command = peer.command().await.unwrap();
        let job = command.get_str("Job-UUID").unwrap().into_owned();
        let text = format!("+OK Job-UUID: {job}");
        peer.say(&server::reply(&text, &[("Job-UUID", &job)])).await;
        let headers = [
            ("Event-Name", "BACKGROUND_JOB"),
            ("Job-UUID", &*job),
            ("Job-Owner-UUID", CHANNEL),
        ];
        let format = faxbot_sip::protocol::esl::Format::Json;
        peer.say(&server::event(format, &headers, Some(b"UP 0 years")))
            .await;
    });
    assert_eq!(reply.unwrap().text(), "UP 0 years");
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_events_that_is_slow_is_told_what_it_lost() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    let mut events = call.events();
    for _ in 0..300 {
        let headers = [("Event-Name", "DTMF"), ("Unique-ID", CHANNEL)];
        peer.event(&headers).await;
    }
    let (value, ()) = tokio::join!(call.getvar("x"), async {
        peer.expect("getvar x").await;
        peer.reply("y").await;
    });
    assert_eq!(value.unwrap().unwrap(), "y");
    assert_eq!(events.recv().await.unwrap().unwrap_err().missed, 300 - 256);
    assert!(events.recv().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_private_shows_in_debug() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (_peer, call) = house.call(&mut calls, "async full").await;
    let execute = Execute::new("playback", "/tmp/secret.wav");
    let text = format!("{call:?} {:?} {execute:?} {calls:?}", call.channel());
    for private in ["15551230000", "Example", CHANNEL, "secret", "loopback"] {
        assert!(!text.contains(private), "{text}");
    }
    assert!(text.contains("Full"));
}
