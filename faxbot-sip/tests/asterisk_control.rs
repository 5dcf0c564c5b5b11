//! Calls that are held and transferred, also when answers are lost.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::time::Duration;

use asterisk_support::{
    FLAVOURS, LONG, Rig, channel_id,
    control::{
        answered, attended, blind, comes_to, connected, ended, hold, join, kind, party, resume,
        sent_to, state, states,
    },
    dial, eventually, lost, reconnected,
};
use faxbot_core::{
    Effect, Error, ErrorKind,
    fax::FailureClass,
    id::{CallId, CallRef},
    sip::{Call, CallPlan, CallState, Lookup, OnAnswer, SipAdapter as _, TransferRequest},
};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, DialplanContext};
use faxbot_testkit::server::asterisk::{
    Account, CallScript, MockAsterisk, MockAsteriskBuilder, ReplyFault, SeenAction, Timings,
};

#[tokio::test(start_paused = true)]
async fn a_call_of_one_party_hears_music_and_comes_back() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = rig.adapter_with(|config| config.music = "quiet".to_owned());
        adapter.connect().await.unwrap();
        let call = answered(&adapter).await;
        let mut events = adapter.subscribe();
        for _ in 0..2 {
            hold(&adapter, &call).await.unwrap();
            assert_eq!(state(&adapter, &call).await, CallState::OnHold);
            assert_eq!(sent_to(&rig), ("hold".to_owned(), 1));
            resume(&adapter, &call).await.unwrap();
            assert_eq!(state(&adapter, &call).await, CallState::Connected);
            assert_eq!(sent_to(&rig), ("park".to_owned(), 1));
        }
        let seen = states(&mut events, &call);
        assert_eq!(seen, [CallState::OnHold, CallState::Connected].repeat(2));
        let set = rig.mock.actions_named("Setvar");
        let music = |action: &&_| {
            let action: &SeenAction = action;
            action.get("Variable") == Some("FAXBOT_MUSIC") && action.get("Value") == Some("quiet")
        };
        assert_eq!(set.iter().filter(music).count(), 2);
        tokio::time::sleep(LONG).await;
        assert_eq!(state(&adapter, &call).await, CallState::Connected);
        adapter.hangup(&call.call_ref()).await.unwrap();
        assert!(ended(&call).await.answer.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_an_extension_goes_back_to_its_step() {
    let rig = Rig::with(|builder| builder.extension("ivr", "menu", 1, "Wait", "3600")).await;
    let adapter = rig.connected().await;
    let mut request = dial("+15551230001");
    request.plan = CallPlan::Dial {
        to: "+15551230001".parse().unwrap(),
        on_answer: OnAnswer::Extension {
            extension: "menu".to_owned(),
            context: Some("ivr".to_owned()),
        },
    };
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    hold(&adapter, &call).await.unwrap();
    resume(&adapter, &call).await.unwrap();
    let redirects = rig.mock.actions_named("Redirect");
    let back = redirects.last().unwrap();
    let place = ["Context", "Exten", "Priority"].map(|name| back.get(name).unwrap());
    assert_eq!(place, ["ivr", "menu", "1"]);
}

#[tokio::test(start_paused = true)]
async fn both_parties_of_a_call_hear_music_and_talk_again() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = rig.connected().await;
        let (call, other) = connected(&rig, &adapter).await;
        for _ in 0..2 {
            hold(&adapter, &call).await.unwrap();
            assert_eq!(state(&adapter, &call).await, CallState::OnHold);
            assert_eq!(sent_to(&rig), ("hold".to_owned(), 2));
            tokio::time::sleep(LONG).await;
            assert_eq!(state(&adapter, &call).await, CallState::OnHold);
            resume(&adapter, &call).await.unwrap();
            assert_eq!(state(&adapter, &call).await, CallState::Connected);
            assert_eq!(party(&rig, call.id()).await, other);
        }
        rig.mock.far_end_hangs_up(&other, 16);
        ended(&call).await;
        rig.quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_stays_behind_when_one_of_a_held_call_hangs_up() {
    for own_leaves in [true, false] {
        for in_a_gap in [true, false] {
            let rig = Rig::new().await;
            let adapter = rig.connected().await;
            let (call, other) = connected(&rig, &adapter).await;
            hold(&adapter, &call).await.unwrap();
            if in_a_gap {
                rig.cut();
                lost(&adapter).await;
            }
            let leaves = if own_leaves {
                channel_id(call.id())
            } else {
                other
            };
            assert!(rig.mock.far_end_hangs_up(&leaves, 16));
            if in_a_gap {
                tokio::time::sleep(Duration::from_secs(1)).await;
                rig.mend();
            }
            let record = ended(&call).await;
            assert!(
                record.answer.is_some(),
                "own leaves: {own_leaves}, gap: {in_a_gap}"
            );
            rig.quiet().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_calls_that_talk_to_each_other_are_held_together() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (one, two) = (answered(&adapter).await, answered(&adapter).await);
    attended(&adapter, &one, &two).await.unwrap();
    hold(&adapter, &one).await.unwrap();
    for call in [&one, &two] {
        assert_eq!(state(&adapter, call).await, CallState::OnHold);
    }
    assert_eq!(kind(hold(&adapter, &two).await), ErrorKind::InvalidState);
    resume(&adapter, &two).await.unwrap();
    for call in [&one, &two] {
        assert_eq!(state(&adapter, call).await, CallState::Connected);
    }
    assert_eq!(party(&rig, one.id()).await, channel_id(two.id()));
    hold(&adapter, &two).await.unwrap();
    adapter.hangup(&one.call_ref()).await.unwrap();
    ended(&one).await;
    ended(&two).await;
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_held_or_resumed_is_refused_and_nothing_is_sent() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let nobody = CallRef::from(CallId::new());
    assert_eq!(kind(adapter.hold(&nobody).await), ErrorKind::NotFound);
    assert_eq!(kind(adapter.resume(&nobody).await), ErrorKind::NotFound);
    rig.mock.next_call(CallScript::rings_for_ever());
    let rings = adapter.make_call(dial("+15551230001")).await.unwrap();
    comes_to(&adapter, &rings, CallState::Ringing).await;
    assert_eq!(kind(hold(&adapter, &rings).await), ErrorKind::InvalidState);
    let call = answered(&adapter).await;
    assert_eq!(kind(resume(&adapter, &call).await), ErrorKind::InvalidState);
    let fax = adapter.send_fax(rig.fax("+15551230002", 1)).await.unwrap();
    let fax = CallRef::from(fax.id());
    eventually("the fax runs", || {
        let calls = adapter.snapshot().calls;
        calls
            .iter()
            .any(|it| it.id == fax.id && it.state == CallState::Connected)
    })
    .await;
    assert_eq!(kind(adapter.hold(&fax).await), ErrorKind::InvalidState);
    assert!(rig.mock.actions_named("Redirect").is_empty());
    hold(&adapter, &call).await.unwrap();
    assert_eq!(kind(hold(&adapter, &call).await), ErrorKind::InvalidState);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_second_party_rings_is_not_moved() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.next_call(CallScript::answer());
    rig.mock.next_call(CallScript::rings_for_ever());
    let mut request = dial("+15551230001");
    request.plan = CallPlan::Dial {
        to: "+15551230001".parse().unwrap(),
        on_answer: OnAnswer::Bridge("+15551230002".parse().unwrap()),
    };
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    let other = answered(&adapter).await;
    assert_eq!(kind(hold(&adapter, &call).await), ErrorKind::InvalidState);
    assert_eq!(kind(blind(&adapter, &call).await), ErrorKind::InvalidState);
    assert_eq!(kind(join(&adapter, &call).await), ErrorKind::InvalidState);
    let refused = attended(&adapter, &other, &call).await;
    assert_eq!(kind(refused), ErrorKind::InvalidState);
    assert!(rig.mock.actions_named("Redirect").is_empty());
    hold(&adapter, &other).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_call_is_sent_to_an_extension_that_is_missing() {
    // An operator's context that has nothing but the handler, and an account that may not look.
    let operators = Rig::with(|builder| {
        let account = Account::new("faxbot", "s3cret").read("all");
        builder
            .account(account.write("system,call,originate"))
            .extension("pbx", "s", 1, "Return", "")
    })
    .await;
    let adapter = operators.adapter_with(|config| {
        config.dialplan = DialplanContext::Named("pbx".to_owned());
    });
    adapter.connect().await.unwrap();
    stays(&adapter, &answered(&adapter).await).await;
    // A reload took ours away, and the account may not make them again.
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    rig.mock.reload_dialplan();
    let refused = ReplyFault::Refuse("Permission denied".to_owned());
    rig.mock.next_reply("DialplanExtensionAdd", refused);
    stays(&adapter, &call).await;
}

/// A call is not held, transferred or taken to a conference, and does not end by the attempt.
async fn stays(adapter: &AsteriskAdapter, call: &Call) {
    let refused = [ErrorKind::Config, ErrorKind::Unsupported];
    for result in [
        hold(adapter, call).await,
        blind(adapter, call).await,
        join(adapter, call).await,
    ] {
        let kind = kind(result);
        assert!(refused.contains(&kind), "{kind:?}");
    }
    tokio::time::sleep(LONG).await;
    assert_eq!(state(adapter, call).await, CallState::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_go_back_to_a_step_that_is_gone() {
    let rig = Rig::new().await;
    // Steps that were made at run time, by somebody who is not there to make them again.
    let maker = rig.adapter_with(|config| config.instance = "maker".to_owned());
    maker.connect().await.unwrap();
    maker.disconnect(LONG).await.unwrap();
    let adapter = rig.connected().await;
    let mut request = dial("+15551230001");
    request.plan = CallPlan::Dial {
        to: "+15551230001".parse().unwrap(),
        on_answer: OnAnswer::Extension {
            extension: "park".to_owned(),
            context: Some("faxbot-maker".to_owned()),
        },
    };
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    hold(&adapter, &call).await.unwrap();
    rig.mock.reload_dialplan();
    assert_eq!(kind(resume(&adapter, &call).await), ErrorKind::InvalidState);
    tokio::time::sleep(LONG).await;
    assert_eq!(state(&adapter, &call).await, CallState::OnHold);
    blind(&adapter, &call).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_two_orders_to_one_call_the_second_is_refused() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let (held, transferred) = tokio::join!(hold(&adapter, &call), blind(&adapter, &call));
    held.unwrap();
    assert_eq!(kind(transferred), ErrorKind::InvalidState);
    assert_eq!(state(&adapter, &call).await, CallState::OnHold);
    let (resumed, joined) = tokio::join!(resume(&adapter, &call), join(&adapter, &call));
    resumed.unwrap();
    assert_eq!(kind(joined), ErrorKind::InvalidState);
    assert_eq!(state(&adapter, &call).await, CallState::Connected);
}

/// The server answers a `Redirect` before the channels move.
#[tokio::test(start_paused = true)]
async fn a_call_is_taken_back_right_after_it_was_held() {
    for flavour in FLAVOURS {
        let mut timings = Timings::real();
        timings.redirect = Duration::from_millis(500);
        let rig = Rig::with(|builder| builder.flavour(flavour).timings(timings)).await;
        let adapter = rig.connected().await;
        let (call, other) = connected(&rig, &adapter).await;
        for _ in 0..3 {
            hold(&adapter, &call).await.unwrap();
            resume(&adapter, &call).await.unwrap();
            assert_eq!(state(&adapter, &call).await, CallState::Connected);
            assert_eq!(party(&rig, call.id()).await, other);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn parties_that_come_into_no_bridge_are_bridged_once_more() {
    for rig in [Rig::new().await, Rig::with(sees_no_calls).await] {
        let adapter = rig.connected().await;
        let (call, other) = connected(&rig, &adapter).await;
        hold(&adapter, &call).await.unwrap();
        rig.mock.undo_next_bridge();
        resume(&adapter, &call).await.unwrap();
        assert_eq!(party(&rig, call.id()).await, other);
        assert_eq!(rig.mock.actions_named("Bridge").len(), 2);
    }
}

/// Once the server took the first order, no end of the second one says that nothing was moved.
#[tokio::test(start_paused = true)]
async fn a_second_bridge_that_fails_has_an_unknown_effect() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (call, other) = connected(&rig, &adapter).await;
    hold(&adapter, &call).await.unwrap();
    rig.mock.undo_next_bridge();
    let refuses = async {
        let ordered = |mock: &MockAsterisk| mock.actions_named("Bridge").pop();
        rig.mock.wait_until(LONG, ordered).await.unwrap();
        rig.mock
            .next_reply("Bridge", ReplyFault::Refuse("no".to_owned()));
    };
    let (resumed, ()) = tokio::join!(resume(&adapter, &call), refuses);
    let error = resumed.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Rejected, Effect::Unknown)
    );
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(state(&adapter, &call).await, CallState::OnHold);
    resume(&adapter, &call).await.unwrap();
    assert_eq!(party(&rig, call.id()).await, other);
}

#[tokio::test(start_paused = true)]
async fn what_became_of_parties_that_come_into_no_bridge_is_asked_for() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (call, other) = connected(&rig, &adapter).await;
    hold(&adapter, &call).await.unwrap();
    rig.mock.undo_next_bridge();
    rig.mock.undo_next_bridge();
    let error = resume(&adapter, &call).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::OutcomeUnknown, Effect::Unknown)
    );
    let before = rig.mock.actions_named("CoreShowChannels").len();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(rig.mock.actions_named("CoreShowChannels").len() > before);
    assert_eq!(state(&adapter, &call).await, CallState::OnHold);
    resume(&adapter, &call).await.unwrap();
    assert_eq!(party(&rig, call.id()).await, other);
}

/// The first of two channels is moved before the second one is taken.
#[tokio::test(start_paused = true)]
async fn a_bridge_that_is_refused_half_way_has_an_unknown_effect() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (call, _other) = connected(&rig, &adapter).await;
    hold(&adapter, &call).await.unwrap();
    for (text, effect) in [
        ("Channel1", Effect::NoEffect),
        ("Channel2", Effect::Unknown),
    ] {
        let text = format!("Unable to add {text} to bridge: PJSIP/1");
        rig.mock.next_reply("Bridge", ReplyFault::Refuse(text));
        let error = resume(&adapter, &call).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Rejected, effect)
        );
        // Where the effect is unknown a list is asked for meanwhile.
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(state(&adapter, &call).await, CallState::OnHold);
    }
    resume(&adapter, &call).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_party_that_leaves_while_the_call_is_taken_back_ends_it() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (call, other) = connected(&rig, &adapter).await;
    hold(&adapter, &call).await.unwrap();
    rig.mock.undo_next_bridge();
    let leaves = async {
        let ordered = |mock: &MockAsterisk| mock.actions_named("Bridge").pop();
        rig.mock.wait_until(LONG, ordered).await.unwrap();
        assert!(rig.mock.far_end_hangs_up(&other, 16));
    };
    let (resumed, ()) = tokio::join!(resume(&adapter, &call), leaves);
    let error = resumed.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Rejected, Effect::Unknown)
    );
    assert!(ended(&call).await.answer.is_some());
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn parties_that_do_not_move_are_not_reported_as_held() {
    let mut timings = Timings::real();
    timings.redirect = Duration::from_secs(8);
    let rig = Rig::with(|builder| builder.timings(timings)).await;
    let adapter = rig.connected().await;
    let (call, other) = connected(&rig, &adapter).await;
    let error = hold(&adapter, &call).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    tokio::time::sleep(Duration::from_secs(30)).await;
    comes_to(&adapter, &call, CallState::OnHold).await;
    resume(&adapter, &call).await.unwrap();
    assert_eq!(party(&rig, call.id()).await, other);
}

#[tokio::test(start_paused = true)]
async fn a_hold_whose_answer_was_lost_is_found_out() {
    for flavour in FLAVOURS {
        for fault in [ReplyFault::DropBefore, ReplyFault::Silent] {
            let rig = Rig::of(flavour).await;
            let adapter = rig.connected().await;
            let (call, other) = connected(&rig, &adapter).await;
            rig.mock.next_reply("Redirect", fault.clone());
            let error = hold(&adapter, &call).await.unwrap_err();
            assert_eq!(error.effect(), Effect::Unknown, "{fault:?}");
            assert_eq!(error.call_id(), Some(call.id()));
            comes_to(&adapter, &call, CallState::OnHold).await;
            rig.mock.next_reply("Bridge", fault.clone());
            reconnected(&adapter).await;
            let error = resume(&adapter, &call).await.unwrap_err();
            assert_eq!(error.effect(), Effect::Unknown, "{fault:?}");
            comes_to(&adapter, &call, CallState::Connected).await;
            assert_eq!(party(&rig, call.id()).await, other);
            reconnected(&adapter).await;
            hold(&adapter, &call).await.unwrap();
            resume(&adapter, &call).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_the_server_refuses_changes_nothing() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (call, _other) = connected(&rig, &adapter).await;
    rig.mock
        .next_reply("Redirect", ReplyFault::Refuse("no".to_owned()));
    assert_eq!(kind(hold(&adapter, &call).await), ErrorKind::Rejected);
    assert_eq!(state(&adapter, &call).await, CallState::Connected);
    rig.cut();
    lost(&adapter).await;
    let error = hold(&adapter, &call).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::NotConnected, Effect::NoEffect)
    );
    rig.mend();
    reconnected(&adapter).await;
    hold(&adapter, &call).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_held_call_is_held_after_a_gap() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (call, other) = connected(&rig, &adapter).await;
    hold(&adapter, &call).await.unwrap();
    rig.cut();
    lost(&adapter).await;
    rig.mend();
    reconnected(&adapter).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(state(&adapter, &call).await, CallState::OnHold);
    resume(&adapter, &call).await.unwrap();
    assert_eq!(party(&rig, call.id()).await, other);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_does_not_leave_an_order_half_done() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (call, _other) = connected(&rig, &adapter).await;
    rig.mock
        .next_reply("Setvar", ReplyFault::Slow(Duration::from_secs(2)));
    let patience = Duration::from_secs(1);
    let given_up = tokio::time::timeout(patience, hold(&adapter, &call)).await;
    assert!(given_up.is_err());
    comes_to(&adapter, &call, CallState::OnHold).await;
    resume(&adapter, &call).await.unwrap();
}

// Transfers.

#[tokio::test(start_paused = true)]
async fn a_blind_transfer_ends_with_the_answer_of_the_new_party() {
    for flavour in FLAVOURS {
        for held in [false, true] {
            let rig = Rig::of(flavour).await;
            let adapter = rig.connected().await;
            let (call, other) = connected(&rig, &adapter).await;
            if held {
                hold(&adapter, &call).await.unwrap();
            }
            let mut events = adapter.subscribe();
            blind(&adapter, &call).await.unwrap();
            let seen = states(&mut events, &call);
            assert_eq!(seen, [CallState::Transferring, CallState::Connected]);
            let new = party(&rig, call.id()).await;
            assert_ne!(new, other);
            let gone = |mock: &MockAsterisk| (!mock.channels().contains(&other)).then_some(());
            assert!(
                rig.mock.wait_until(LONG, gone).await.is_some(),
                "held: {held}"
            );
            tokio::time::sleep(LONG).await;
            assert_eq!(state(&adapter, &call).await, CallState::Connected);
            rig.mock.far_end_hangs_up(&new, 16);
            assert!(ended(&call).await.answer.is_some());
            rig.quiet().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_blind_transfer_that_fails_says_why_and_the_call_stays() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = rig.connected().await;
        let call = answered(&adapter).await;
        for (script, word, cause) in [
            (CallScript::busy(), "BUSY", "Q.850 17"),
            (CallScript::rings_for_ever(), "NOANSWER", "Q.850 19"),
            (CallScript::rejected(404), "", "Q.850 1"),
            (CallScript::no_such_endpoint(), "CHANUNAVAIL", "Q.850 3"),
        ] {
            rig.mock.next_call(script);
            let error = blind(&adapter, &call).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Rejected, "{word}");
            let code = error.native_code().unwrap();
            assert!(word.is_empty() || code == word, "{code}");
            let text = error.native_text().unwrap();
            assert!(text.ends_with(cause), "{word}: {text}");
            assert_eq!(state(&adapter, &call).await, CallState::Connected);
        }
        blind(&adapter, &call).await.unwrap();
        adapter.hangup(&call.call_ref()).await.unwrap();
        ended(&call).await;
        rig.quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_failed_is_not_why_the_call_ended() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut request = dial("+15551230001");
    request.plan = CallPlan::Dial {
        to: "+15551230001".parse().unwrap(),
        on_answer: OnAnswer::Bridge("+15551230002".parse().unwrap()),
    };
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    party(&rig, call.id()).await;
    rig.mock.next_call(CallScript::busy());
    assert_eq!(kind(blind(&adapter, &call).await), ErrorKind::Rejected);
    adapter.disconnect(LONG).await.unwrap();
    rig.mock.far_end_hangs_up(&channel_id(call.id()), 16);
    rig.quiet().await;
    // Another process has nothing but what the handler left.
    let next = rig.connected().await;
    let found = next.lookup(&call.id().into()).await.unwrap();
    let Lookup::Ended(record) = found else {
        panic!("{found:?}");
    };
    assert_ne!(record.causes.class(), Some(FailureClass::Busy));
}

#[tokio::test(start_paused = true)]
async fn a_held_call_that_is_not_transferred_is_held_again() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (call, other) = connected(&rig, &adapter).await;
    hold(&adapter, &call).await.unwrap();
    rig.mock.next_call(CallScript::busy());
    assert_eq!(kind(blind(&adapter, &call).await), ErrorKind::Rejected);
    assert_eq!(state(&adapter, &call).await, CallState::OnHold);
    resume(&adapter, &call).await.unwrap();
    assert_eq!(party(&rig, call.id()).await, other);
}

#[tokio::test(start_paused = true)]
async fn a_party_that_hangs_up_in_a_transfer_ends_the_call_and_the_transfer() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    rig.mock.next_call(CallScript::rings_for_ever());
    let leaves = async {
        comes_to(&adapter, &call, CallState::Transferring).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        rig.mock.far_end_hangs_up(&channel_id(call.id()), 16);
    };
    let (transferred, ()) = tokio::join!(blind(&adapter, &call), leaves);
    let error: Error = transferred.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.message().contains("ended"), "{error}");
    ended(&call).await;
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_transfer_goes_on_while_the_link_is_down() {
    for (script, kept) in [(CallScript::answer(), false), (CallScript::busy(), true)] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        let call = answered(&adapter).await;
        rig.mock.next_call(script.rings(Duration::from_secs(20)));
        let cut = async {
            comes_to(&adapter, &call, CallState::Transferring).await;
            rig.cut();
            tokio::time::sleep(Duration::from_secs(30)).await;
            rig.mend();
        };
        let (transferred, ()) = tokio::join!(blind(&adapter, &call), cut);
        match transferred {
            Ok(()) => assert!(!kept),
            Err(error) => assert!(kept && error.kind() == ErrorKind::Rejected, "{error:?}"),
        }
        assert_eq!(state(&adapter, &call).await, CallState::Connected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_transfer_without_an_outcome_is_unknown_and_found_out_later() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let cut = async {
        comes_to(&adapter, &call, CallState::Transferring).await;
        rig.cut();
    };
    let (transferred, ()) = tokio::join!(blind(&adapter, &call), cut);
    assert_eq!(kind(transferred), ErrorKind::OutcomeUnknown);
    rig.mend();
    comes_to(&adapter, &call, CallState::Connected).await;
    party(&rig, call.id()).await;
}

#[tokio::test(start_paused = true)]
async fn an_attended_transfer_joins_two_calls_and_the_others_leave() {
    for flavour in FLAVOURS {
        for held in [false, true] {
            let rig = Rig::of(flavour).await;
            let adapter = rig.connected().await;
            let (one, _) = connected(&rig, &adapter).await;
            let (two, _) = connected(&rig, &adapter).await;
            if held {
                hold(&adapter, &one).await.unwrap();
            }
            attended(&adapter, &one, &two).await.unwrap();
            for (call, other) in [(&one, &two), (&two, &one)] {
                assert_eq!(state(&adapter, call).await, CallState::Connected);
                assert_eq!(party(&rig, call.id()).await, channel_id(other.id()));
            }
            let two_left = |mock: &MockAsterisk| (mock.channels().len() == 2).then_some(());
            assert!(
                rig.mock.wait_until(LONG, two_left).await.is_some(),
                "held: {held}"
            );
            attended(&adapter, &two, &one).await.unwrap();
            adapter.hangup(&one.call_ref()).await.unwrap();
            ended(&one).await;
            ended(&two).await;
            rig.quiet().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_attended_transfer_of_two_calls_that_are_held_with_each_other_joins_them() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (one, two) = (answered(&adapter).await, answered(&adapter).await);
    attended(&adapter, &one, &two).await.unwrap();
    hold(&adapter, &one).await.unwrap();
    attended(&adapter, &one, &two).await.unwrap();
    tokio::time::sleep(LONG).await;
    for (call, other) in [(&one, &two), (&two, &one)] {
        assert_eq!(state(&adapter, call).await, CallState::Connected);
        assert_eq!(party(&rig, call.id()).await, channel_id(other.id()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_attended_transfer_needs_two_answered_calls() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let one = answered(&adapter).await;
    let itself = attended(&adapter, &one, &one).await;
    assert_eq!(kind(itself), ErrorKind::InvalidRequest);
    rig.mock.next_call(CallScript::rings_for_ever());
    let rings = adapter.make_call(dial("+15551230002")).await.unwrap();
    comes_to(&adapter, &rings, CallState::Ringing).await;
    for (from, to) in [(&one, &rings), (&rings, &one)] {
        let refused = attended(&adapter, from, to).await;
        assert_eq!(kind(refused), ErrorKind::InvalidState);
    }
    let nobody = TransferRequest::attended(one.id(), CallId::new());
    assert_eq!(kind(adapter.transfer(nobody).await), ErrorKind::NotFound);
    assert!(rig.mock.actions_named("Bridge").is_empty());
    hold(&adapter, &one).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_attended_transfer_that_the_server_refuses_leaves_both_as_they_were() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (one, two) = (answered(&adapter).await, answered(&adapter).await);
    hold(&adapter, &two).await.unwrap();
    rig.mock
        .next_reply("Bridge", ReplyFault::Refuse("no".to_owned()));
    assert_eq!(
        kind(attended(&adapter, &one, &two).await),
        ErrorKind::Rejected
    );
    assert_eq!(state(&adapter, &one).await, CallState::Connected);
    assert_eq!(state(&adapter, &two).await, CallState::OnHold);
    resume(&adapter, &two).await.unwrap();
}

// Accounts that see little.

fn sees_no_calls(builder: MockAsteriskBuilder) -> MockAsteriskBuilder {
    let rights = "system,call,originate,reporting,agi,message,command";
    let account = Account::new("faxbot", "s3cret");
    builder.account(account.read("system").write(rights))
}

#[tokio::test(start_paused = true)]
async fn an_account_that_reads_no_events_of_calls_has_known_outcomes_too() {
    let rig = Rig::with(sees_no_calls).await;
    let adapter = rig.connected().await;
    let (one, two) = (answered(&adapter).await, answered(&adapter).await);
    hold(&adapter, &one).await.unwrap();
    blind(&adapter, &one).await.unwrap();
    rig.mock.next_call(CallScript::busy());
    assert_eq!(kind(blind(&adapter, &two).await), ErrorKind::Rejected);
    attended(&adapter, &one, &two).await.unwrap();
    // The list of channels tells of their bridge.
    tokio::time::sleep(LONG).await;
    hold(&adapter, &two).await.unwrap();
    attended(&adapter, &one, &two).await.unwrap();
    party(&rig, one.id()).await;
    hold(&adapter, &two).await.unwrap();
    resume(&adapter, &one).await.unwrap();
    join(&adapter, &one).await.unwrap();
    let call = answered(&adapter).await;
    rig.mock.next_call(CallScript::rings_for_ever());
    let leaves = async {
        comes_to(&adapter, &call, CallState::Transferring).await;
        rig.mock.far_end_hangs_up(&channel_id(call.id()), 16);
    };
    let patience = Duration::from_secs(20);
    let (transferred, ()) = tokio::join!(
        tokio::time::timeout(patience, blind(&adapter, &call)),
        leaves
    );
    assert_eq!(kind(transferred.unwrap()), ErrorKind::Rejected);
    ended(&call).await;
}
