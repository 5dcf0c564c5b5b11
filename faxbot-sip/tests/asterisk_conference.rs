//! Calls in conferences, and what is done to these.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::time::Duration;

use asterisk_support::{
    FLAVOURS, Rig, channel_id,
    control::{
        answered, confer, connected, ended, hold, join, kind, members, resume, sent_to, state,
        told_members,
    },
    drain, eventually, lost, reconnected,
};
use faxbot_core::{
    ErrorKind,
    id::{CallId, CallRef},
    sip::{CallState, ConferenceAction, ConferenceRequest, SipAdapter as _, SipEvent},
};
use faxbot_testkit::server::asterisk::ReplyFault;

#[tokio::test(start_paused = true)]
async fn a_conference_has_both_parties_of_a_call() {
    for flavour in FLAVOURS {
        for held in [false, true] {
            let rig = Rig::of(flavour).await;
            let adapter = rig.connected().await;
            let single = answered(&adapter).await;
            let (call, other) = connected(&rig, &adapter).await;
            if held {
                hold(&adapter, &call).await.unwrap();
            }
            let mut events = adapter.subscribe();
            join(&adapter, &single).await.unwrap();
            join(&adapter, &call).await.unwrap();
            eventually("three members", || members(&adapter) == 3).await;
            assert_eq!(told_members(drain(&mut events)), [1, 2, 3]);
            assert_eq!(state(&adapter, &call).await, CallState::Connected);
            join(&adapter, &call).await.unwrap();
            rig.mock.far_end_hangs_up(&other, 16);
            eventually("one is gone", || members(&adapter) == 2).await;
            confer(&adapter, ConferenceAction::End).await.unwrap();
            ended(&single).await;
            ended(&call).await;
            eventually("nobody is left", || members(&adapter) == 0).await;
            assert_eq!(told_members(drain(&mut events)), [2, 1, 0]);
            rig.quiet().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_held_leaves_and_comes_back() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (one, two) = (answered(&adapter).await, answered(&adapter).await);
    join(&adapter, &one).await.unwrap();
    join(&adapter, &two).await.unwrap();
    hold(&adapter, &one).await.unwrap();
    assert_eq!(sent_to(&rig), ("hold".to_owned(), 1));
    eventually("one left", || members(&adapter) == 1).await;
    resume(&adapter, &one).await.unwrap();
    eventually("it is back", || members(&adapter) == 2).await;
}

#[tokio::test(start_paused = true)]
async fn members_are_muted_and_kicked_by_their_call() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = rig.connected().await;
        let (one, two) = (answered(&adapter).await, answered(&adapter).await);
        let stranger = answered(&adapter).await.call_ref();
        for call in [&one, &two] {
            join(&adapter, call).await.unwrap();
        }
        for muted in [true, false] {
            let mute = |call| ConferenceAction::Mute(call, muted);
            confer(&adapter, mute(one.call_ref())).await.unwrap();
            let refused = confer(&adapter, mute(stranger.clone())).await;
            assert_eq!(kind(refused), ErrorKind::NotFound);
        }
        confer(&adapter, ConferenceAction::Kick(two.call_ref()))
            .await
            .unwrap();
        ended(&two).await;
        eventually("one is left", || members(&adapter) == 1).await;
        // A word that means everybody is no member.
        for word in ["all", "participants", "x"] {
            let kick = ConferenceAction::Kick(CallRef::native(word));
            assert_eq!(kind(confer(&adapter, kick).await), ErrorKind::NotFound);
        }
        assert_eq!(members(&adapter), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_locked_conference_refuses_a_call_and_the_call_stays_up() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = rig.connected().await;
        let (one, late) = (answered(&adapter).await, answered(&adapter).await);
        join(&adapter, &one).await.unwrap();
        confer(&adapter, ConferenceAction::Lock(true))
            .await
            .unwrap();
        assert_eq!(kind(join(&adapter, &late).await), ErrorKind::Rejected);
        // A name is the same in capitals.
        let join_too = ConferenceAction::Join(late.call_ref());
        let refused = adapter.conference(ConferenceRequest::new("StandUp", join_too));
        assert_eq!(kind(refused.await), ErrorKind::Rejected);
        assert_eq!(state(&adapter, &late).await, CallState::Connected);
        confer(&adapter, ConferenceAction::Lock(false))
            .await
            .unwrap();
        join(&adapter, &late).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_recording_of_a_conference_is_told_with_its_file() {
    let rig = Rig::new().await;
    let adapter = rig.adapter_with(|config| config.recordings = Some("/srv/calls".to_owned()));
    adapter.connect().await.unwrap();
    let call = answered(&adapter).await;
    let run = |run| confer(&adapter, ConferenceAction::Record(run));
    assert_eq!(kind(run(true).await), ErrorKind::NotFound);
    join(&adapter, &call).await.unwrap();
    let mut events = adapter.subscribe();
    run(true).await.unwrap();
    assert_eq!(kind(run(true).await), ErrorKind::InvalidState);
    run(false).await.unwrap();
    assert_eq!(kind(run(false).await), ErrorKind::InvalidState);
    let asked = rig.mock.actions_named("ConfbridgeStartRecord");
    let asked = asked[1].get("RecordFile").unwrap();
    assert!(
        asked.starts_with("/srv/calls/faxbot-faxbot-conference-"),
        "{asked}"
    );
    let recording = |event| match event {
        SipEvent::RecordingChanged { id, running, file } => {
            Some((id, running, file.map(|file| file.expose().clone())))
        }
        _ => None,
    };
    let told: Vec<_> = drain(&mut events)
        .into_iter()
        .filter_map(recording)
        .collect();
    let file = Some(asked.to_owned());
    assert_eq!(told, [(None, true, file.clone()), (None, false, file)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_found() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    for action in [
        ConferenceAction::Lock(true),
        ConferenceAction::Lock(false),
        ConferenceAction::Record(true),
        ConferenceAction::Record(false),
        ConferenceAction::End,
        ConferenceAction::Mute(call.call_ref(), true),
        ConferenceAction::Kick(call.call_ref()),
        ConferenceAction::Join(CallId::new().into()),
    ] {
        let what = format!("{action:?}");
        assert_eq!(
            kind(confer(&adapter, action).await),
            ErrorKind::NotFound,
            "{what}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_slow_to_list_conferences_is_connected_to() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    for number in 0..4 {
        let call = answered(&adapter).await;
        let join = ConferenceAction::Join(call.call_ref());
        let request = ConferenceRequest::new(format!("room-{number}"), join);
        adapter.conference(request).await.unwrap();
    }
    for _ in 0..4 {
        let slow = ReplyFault::Slow(Duration::from_secs(4));
        rig.mock.next_reply("ConfbridgeList", slow);
    }
    let other = rig.adapter_with(|config| config.instance = "other".to_owned());
    other.connect().await.unwrap();
    let known = other.snapshot().conferences.len();
    assert!((1..4).contains(&known), "{known}");
    let refused = ReplyFault::Refuse("no".to_owned());
    rig.mock.next_reply("ConfbridgeListRooms", refused);
    let third = rig.adapter_with(|config| config.instance = "third".to_owned());
    third.connect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn changes_of_conferences_in_a_gap_are_told_after_it() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (one, two) = (answered(&adapter).await, answered(&adapter).await);
    let other = rig.adapter_with(|config| config.instance = "other".to_owned());
    other.connect().await.unwrap();
    assert!(other.snapshot().conferences.is_empty());
    for call in [&one, &two] {
        join(&adapter, call).await.unwrap();
    }
    eventually("conferences of others are known", || members(&other) == 2).await;
    let mut events = other.subscribe();
    rig.cut();
    lost(&adapter).await;
    rig.mock.far_end_hangs_up(&channel_id(two.id()), 16);
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.mend();
    for adapter in [&adapter, &other] {
        reconnected(adapter).await;
        assert_eq!(members(adapter), 1);
    }
    assert_eq!(told_members(drain(&mut events)), [1]);
    rig.cut();
    lost(&adapter).await;
    rig.mock.far_end_hangs_up(&channel_id(one.id()), 16);
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.mend();
    reconnected(&other).await;
    assert_eq!(told_members(drain(&mut events)), [0]);
    reconnected(&adapter).await;
    let three = answered(&adapter).await;
    join(&adapter, &three).await.unwrap();
    adapter.disconnect(Duration::ZERO).await.unwrap();
    // Nothing is known any longer.
    assert_eq!(members(&adapter), 0);
}
