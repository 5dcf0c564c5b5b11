//! Calls that are held, transferred and in conferences, on real Asterisk 16 and 22, with phones.

use std::{fs, time::Duration};

use crate::real::{
    Asterisk, LIMIT, Version, connected,
    link::CuttableLink,
    party::{Party, Sound},
    party_caller::Caller,
    party_media::loudest_share,
    until, within,
};
use faxbot_core::{
    Error, ErrorKind, Result,
    id::CallRef,
    sip::{
        AcceptAs, Call, CallRequest, CallState, ConferenceAction, ConferenceRequest,
        ConnectionState, SipAdapter as _, SipEvent, TransferRequest,
    },
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;
use serde_json::{Value, json};

crate::on_both_versions!(
    a_call_of_one_phone_hears_music_while_it_is_held,
    both_phones_of_a_held_call_hear_music_and_then_each_other_again,
    a_call_is_taken_back_right_after_it_was_held,
    a_held_call_stays_up_where_there_is_no_music,
    nobody_stays_behind_when_one_phone_of_a_held_call_hangs_up,
    a_held_call_is_held_after_a_cut_of_the_link,
    a_blind_transfer_to_a_phone_that_answers,
    a_blind_transfer_that_is_refused_leaves_the_call_up_and_says_why,
    a_blind_transfer_that_nobody_answers_ends_with_the_ring_time,
    a_held_call_that_is_not_transferred_is_held_again,
    a_phone_that_hangs_up_in_a_transfer_ends_the_transfer,
    an_incoming_call_is_held_and_transferred,
    an_attended_transfer_joins_two_phones_and_the_others_leave,
    three_phones_confer,
    a_locked_conference_refuses_a_call_and_the_call_stays_up,
    a_recorded_conference_leaves_the_file_that_was_told,
    a_conference_of_others_is_seen_also_after_a_gap,
);

fn options() -> Value {
    json!({ "sip_dial": "PJSIP/out/{uri}", "incoming_context": "incoming" })
}

async fn adapter(asterisk: &Asterisk) -> AsteriskAdapter {
    connected(asterisk.config(&options())).await
}

async fn says(asterisk: &Asterisk, hertz: u16) -> Party {
    let party = Party::answers().says(Sound::Tone(hertz));
    party.start(asterisk).await
}

/// A call to one phone, that is answered.
async fn parked(adapter: &AsteriskAdapter, party: &Party) -> Call {
    let request = CallRequest::dial(party.uri().parse().unwrap());
    let request = request.with_timeout(Duration::from_secs(3));
    answered(adapter, request).await
}

/// A call between two phones.
async fn talking(adapter: &AsteriskAdapter, from: &Party, to: &Party) -> Call {
    let (from, to) = (from.uri().parse().unwrap(), to.uri().parse().unwrap());
    answered(adapter, CallRequest::connect(from, to)).await
}

async fn answered(adapter: &AsteriskAdapter, request: CallRequest) -> Call {
    let call = adapter.make_call(request).await.unwrap();
    within("the call is answered", LIMIT, call.answered())
        .await
        .unwrap();
    call
}

async fn state(adapter: &AsteriskAdapter, call: &CallRef) -> CallState {
    adapter.get_status(call).await.unwrap().state
}

async fn ended(call: &Call) {
    within("the call ends", LIMIT, call.ended()).await.unwrap();
}

async fn blind(adapter: &AsteriskAdapter, call: &CallRef, to: &str) -> Result<()> {
    let request = TransferRequest::blind(call.clone(), to.parse().unwrap());
    within("the transfer ends", LIMIT, adapter.transfer(request)).await
}

async fn confer(adapter: &AsteriskAdapter, room: &str, action: ConferenceAction) -> Result<()> {
    let request = ConferenceRequest::new(room, action);
    within("the conference obeys", LIMIT, adapter.conference(request)).await
}

async fn join(adapter: &AsteriskAdapter, call: &Call) {
    let join = ConferenceAction::Join(call.call_ref());
    confer(adapter, "standup", join).await.unwrap();
}

fn members(adapter: &AsteriskAdapter, room: &str) -> usize {
    let conferences = adapter.snapshot().conferences;
    let found = conferences.iter().find(|(name, _)| name.expose() == room);
    found.map_or(0, |(_, members)| *members)
}

async fn wait_members(adapter: &AsteriskAdapter, room: &str, wanted: usize) {
    until("the conference has its members", LIMIT, async || {
        (members(adapter, room) == wanted).then_some(())
    })
    .await;
}

async fn wait_connected(adapter: &AsteriskAdapter) {
    until("the link is up", LIMIT, async || {
        (adapter.connection().state == ConnectionState::Connected).then_some(())
    })
    .await;
}

/// Waits until Asterisk has no channel.
async fn quiet(asterisk: &Asterisk) {
    until("no channel is left", LIMIT, async || {
        let channels = asterisk.console("core show channels count").await;
        channels.contains("0 active channels").then_some(())
    })
    .await;
}

async fn a_call_of_one_phone_hears_music_while_it_is_held(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let party = says(&asterisk, 800).await;
    let call = parked(&adapter, &party).await.call_ref();
    for _ in 0..2 {
        adapter.hold(&call).await.unwrap();
        assert_eq!(state(&adapter, &call).await, CallState::OnHold);
        party.media().wait_hears(500).await;
        adapter.resume(&call).await.unwrap();
        assert_eq!(state(&adapter, &call).await, CallState::Connected);
        party.media().wait_silence().await;
    }
    adapter.hangup(&call).await.unwrap();
    party.wait_over().await;
    quiet(&asterisk).await;
}

async fn both_phones_of_a_held_call_hear_music_and_then_each_other_again(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let (low, high) = (says(&asterisk, 300).await, says(&asterisk, 1100).await);
    let call = talking(&adapter, &low, &high).await;
    for _ in 0..2 {
        low.media().wait_hears(1100).await;
        high.media().wait_hears(300).await;
        adapter.hold(&call.call_ref()).await.unwrap();
        low.media().wait_hears(500).await;
        high.media().wait_hears(500).await;
        assert_eq!(state(&adapter, &call.call_ref()).await, CallState::OnHold);
        low.media().forget();
        high.media().forget();
        adapter.resume(&call.call_ref()).await.unwrap();
        assert_eq!(
            state(&adapter, &call.call_ref()).await,
            CallState::Connected
        );
    }
    low.media().wait_hears(1100).await;
    high.media().wait_hears(300).await;
    high.hang_up();
    ended(&call).await;
    low.wait_over().await;
    quiet(&asterisk).await;
}

/// `Redirect` is answered before the phones leave their bridge.
async fn a_call_is_taken_back_right_after_it_was_held(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let (low, high) = (says(&asterisk, 300).await, says(&asterisk, 1100).await);
    let call = talking(&adapter, &low, &high).await;
    for _ in 0..20 {
        adapter.hold(&call.call_ref()).await.unwrap();
        adapter.resume(&call.call_ref()).await.unwrap();
    }
    low.media().forget();
    high.media().forget();
    low.media().wait_hears(1100).await;
    high.media().wait_hears(300).await;
    high.hang_up();
    ended(&call).await;
    low.wait_over().await;
    // The count of `quiet` may be one more than there are: in one of forty such runs Asterisk 22.10 still
    // counts a channel that it does not list, one of those that it makes to move others.
    until("no channel is listed", LIMIT, async || {
        let channels = asterisk.console("core show channels concise").await;
        channels.trim().is_empty().then_some(())
    })
    .await;
}

async fn a_held_call_stays_up_where_there_is_no_music(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let music = asterisk.spool().join("../../moh/tone.ulaw");
    fs::remove_file(music).unwrap();
    asterisk.console("moh reload").await;
    let adapter = adapter(&asterisk).await;
    let (low, high) = (says(&asterisk, 300).await, says(&asterisk, 1100).await);
    let call = talking(&adapter, &low, &high).await.call_ref();
    low.media().wait_hears(1100).await;
    adapter.hold(&call).await.unwrap();
    low.media().wait_silence().await;
    assert_eq!(state(&adapter, &call).await, CallState::OnHold);
    adapter.resume(&call).await.unwrap();
    low.media().wait_hears(1100).await;
}

async fn nobody_stays_behind_when_one_phone_of_a_held_call_hangs_up(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let (low, high) = (says(&asterisk, 300).await, says(&asterisk, 1100).await);
    for (leaves, stays) in [(&low, &high), (&high, &low)] {
        let call = talking(&adapter, &low, &high).await;
        leaves.wait_answered().await;
        adapter.hold(&call.call_ref()).await.unwrap();
        stays.media().wait_hears(500).await;
        leaves.hang_up();
        ended(&call).await;
        stays.wait_over().await;
        quiet(&asterisk).await;
    }
}

async fn a_held_call_is_held_after_a_cut_of_the_link(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let link = CuttableLink::to(asterisk.ami_port()).await;
    let config = asterisk.config_of("faxbot", "s3cret", link.port(), &options());
    let adapter = connected(config).await;
    let (low, high) = (says(&asterisk, 300).await, says(&asterisk, 1100).await);
    let call = talking(&adapter, &low, &high).await;
    adapter.hold(&call.call_ref()).await.unwrap();
    link.cut();
    until("the link is down", LIMIT, async || {
        (adapter.connection().state != ConnectionState::Connected).then_some(())
    })
    .await;
    low.media().wait_hears(500).await;
    link.mend();
    wait_connected(&adapter).await;
    assert_eq!(state(&adapter, &call.call_ref()).await, CallState::OnHold);
    adapter.resume(&call.call_ref()).await.unwrap();
    low.media().wait_hears(1100).await;
    // Who leaves while nobody looks ends the call for the other one, too.
    adapter.hold(&call.call_ref()).await.unwrap();
    link.cut();
    low.hang_up();
    low.wait_over().await;
    link.mend();
    ended(&call).await;
    high.wait_over().await;
    quiet(&asterisk).await;
}

async fn a_blind_transfer_to_a_phone_that_answers(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let (low, high) = (says(&asterisk, 300).await, says(&asterisk, 1100).await);
    for held in [false, true] {
        let call = talking(&adapter, &low, &high).await;
        if held {
            adapter.hold(&call.call_ref()).await.unwrap();
        }
        let new = Party::answers().rings_for(Duration::from_millis(500));
        let new = new.says(Sound::Tone(800)).start(&asterisk).await;
        blind(&adapter, &call.call_ref(), &new.uri()).await.unwrap();
        assert!(new.invite_status() == Some(200), "it was not answered");
        assert_eq!(
            state(&adapter, &call.call_ref()).await,
            CallState::Connected
        );
        high.wait_over().await;
        low.media().wait_hears(800).await;
        new.media().wait_hears(300).await;
        new.hang_up();
        ended(&call).await;
        low.wait_over().await;
        quiet(&asterisk).await;
    }
}

async fn a_blind_transfer_that_is_refused_leaves_the_call_up_and_says_why(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let (low, high) = (says(&asterisk, 300).await, says(&asterisk, 1100).await);
    let call = talking(&adapter, &low, &high).await.call_ref();
    for (status, word, cause) in [
        (486, "BUSY", "Q.850 17"),
        (480, "", "Q.850 19"),
        (404, "", "Q.850 1"),
        (603, "", "Q.850 21"),
        (503, "", "Q.850 34"),
    ] {
        let new = Party::refuses(status).start(&asterisk).await;
        let error = blind(&adapter, &call, &new.uri()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{status}");
        assert!(
            word.is_empty() || error.native_code() == Some(word),
            "{status}"
        );
        let sip = version.tells_sip_status();
        let wanted = if sip {
            format!("SIP {status}, {cause}")
        } else {
            cause.to_owned()
        };
        assert_eq!(error.native_text(), Some(wanted.as_str()), "{status}");
        assert_eq!(
            state(&adapter, &call).await,
            CallState::Connected,
            "{status}"
        );
    }
    for nowhere in ["native:PJSIP/600@nowhere", "native:Nothing/600"] {
        let error = blind(&adapter, &call, nowhere).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{nowhere}");
    }
    // The other one left when the first transfer began; the first one is still there for a last.
    high.wait_over().await;
    let new = says(&asterisk, 800).await;
    blind(&adapter, &call, &new.uri()).await.unwrap();
    low.media().wait_hears(800).await;
}

async fn a_blind_transfer_that_nobody_answers_ends_with_the_ring_time(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let party = says(&asterisk, 300).await;
    let call = parked(&adapter, &party).await.call_ref();
    let new = Party::rings().start(&asterisk).await;
    let error = blind(&adapter, &call, &new.uri()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.native_code(), Some("NOANSWER"));
    new.wait_over().await;
    assert!(new.cancel().is_some());
    assert_eq!(state(&adapter, &call).await, CallState::Connected);
}

async fn a_held_call_that_is_not_transferred_is_held_again(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let (low, high) = (says(&asterisk, 300).await, says(&asterisk, 1100).await);
    let call = talking(&adapter, &low, &high).await.call_ref();
    adapter.hold(&call).await.unwrap();
    let new = Party::refuses(486).start(&asterisk).await;
    let error = blind(&adapter, &call, &new.uri()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(state(&adapter, &call).await, CallState::OnHold);
    low.media().wait_hears(500).await;
    adapter.resume(&call).await.unwrap();
    low.media().wait_hears(1100).await;
    high.media().wait_hears(300).await;
}

async fn a_phone_that_hangs_up_in_a_transfer_ends_the_transfer(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let party = says(&asterisk, 300).await;
    let call = parked(&adapter, &party).await;
    let new = Party::rings().start(&asterisk).await;
    let to = new.uri();
    let leaves = async {
        new.wait_ringing().await;
        party.hang_up();
    };
    let id = call.call_ref();
    let (transferred, ()) = tokio::join!(blind(&adapter, &id, &to), leaves);
    let error: Error = transferred.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
    ended(&call).await;
    new.wait_over().await;
    quiet(&asterisk).await;
}

async fn an_incoming_call_is_held_and_transferred(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let caller = Caller::call(&asterisk, "7001")
        .says(Sound::Tone(300))
        .start()
        .await;
    let call = until("the call is told of", LIMIT, async || {
        adapter.snapshot().incoming.pop()
    })
    .await;
    let call = CallRef::from(call.id);
    let first = says(&asterisk, 1100).await;
    let to = first.uri().parse().unwrap();
    within("accept", LIMIT, adapter.accept(&call, AcceptAs::Bridge(to)))
        .await
        .unwrap();
    caller.media().wait_hears(1100).await;
    adapter.hold(&call).await.unwrap();
    caller.media().wait_hears(500).await;
    first.media().wait_hears(500).await;
    adapter.resume(&call).await.unwrap();
    first.media().wait_hears(300).await;
    let new = says(&asterisk, 800).await;
    blind(&adapter, &call, &new.uri()).await.unwrap();
    first.wait_over().await;
    caller.media().wait_hears(800).await;
    caller.hang_up();
    new.wait_over().await;
    quiet(&asterisk).await;
}

async fn an_attended_transfer_joins_two_phones_and_the_others_leave(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    for held in [false, true] {
        let (low, leaves) = (says(&asterisk, 300).await, says(&asterisk, 1100).await);
        let high = says(&asterisk, 800).await;
        let one = talking(&adapter, &low, &leaves).await;
        let two = parked(&adapter, &high).await;
        if held {
            adapter.hold(&one.call_ref()).await.unwrap();
            adapter.hold(&two.call_ref()).await.unwrap();
        }
        let request = TransferRequest::attended(one.id(), two.id());
        within("the transfer", LIMIT, adapter.transfer(request))
            .await
            .unwrap();
        for call in [&one, &two] {
            let at = state(&adapter, &call.call_ref()).await;
            assert_eq!(at, CallState::Connected);
        }
        low.media().wait_hears(800).await;
        high.media().wait_hears(300).await;
        leaves.wait_over().await;
        // Both are held by either, and taken back by the other.
        adapter.hold(&one.call_ref()).await.unwrap();
        low.media().wait_hears(500).await;
        high.media().wait_hears(500).await;
        adapter.resume(&two.call_ref()).await.unwrap();
        low.media().wait_hears(800).await;
        low.hang_up();
        ended(&one).await;
        ended(&two).await;
        high.wait_over().await;
        quiet(&asterisk).await;
    }
}

async fn three_phones_confer(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let speaker = says(&asterisk, 800).await;
    let listeners = [
        Party::answers().start(&asterisk).await,
        Party::answers().start(&asterisk).await,
    ];
    let speaks = parked(&adapter, &speaker).await;
    // Both parties of a call come along.
    let listen = talking(&adapter, &listeners[0], &listeners[1]).await;
    join(&adapter, &speaks).await;
    join(&adapter, &listen).await;
    wait_members(&adapter, "standup", 3).await;
    let mute = |muted| ConferenceAction::Mute(speaks.call_ref(), muted);
    for _ in 0..2 {
        for listener in &listeners {
            listener.media().wait_hears(800).await;
        }
        confer(&adapter, "standup", mute(true)).await.unwrap();
        for listener in &listeners {
            until("nothing is heard", LIMIT, async || {
                (!listener.media().hears(800)).then_some(())
            })
            .await;
        }
        confer(&adapter, "standup", mute(false)).await.unwrap();
    }
    let stranger = says(&asterisk, 300).await;
    let stranger = parked(&adapter, &stranger).await;
    for action in [
        ConferenceAction::Mute(stranger.call_ref(), true),
        ConferenceAction::Kick(stranger.call_ref()),
    ] {
        let error = confer(&adapter, "standup", action).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    confer(
        &adapter,
        "standup",
        ConferenceAction::Kick(speaks.call_ref()),
    )
    .await
    .unwrap();
    ended(&speaks).await;
    speaker.wait_over().await;
    wait_members(&adapter, "standup", 2).await;
    confer(&adapter, "standup", ConferenceAction::End)
        .await
        .unwrap();
    ended(&listen).await;
    for listener in &listeners {
        listener.wait_over().await;
    }
    wait_members(&adapter, "standup", 0).await;
    let error = confer(&adapter, "standup", ConferenceAction::End)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

async fn a_locked_conference_refuses_a_call_and_the_call_stays_up(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let (one, two) = (says(&asterisk, 300).await, says(&asterisk, 800).await);
    let first = parked(&adapter, &one).await;
    let late = parked(&adapter, &two).await;
    join(&adapter, &first).await;
    confer(&adapter, "standup", ConferenceAction::Lock(true))
        .await
        .unwrap();
    let again = ConferenceAction::Join(late.call_ref());
    let error = confer(&adapter, "standup", again).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(
        state(&adapter, &late.call_ref()).await,
        CallState::Connected
    );
    confer(&adapter, "standup", ConferenceAction::Lock(false))
        .await
        .unwrap();
    join(&adapter, &late).await;
    one.media().wait_hears(800).await;
    // A member that is held hears music, and comes back.
    adapter.hold(&first.call_ref()).await.unwrap();
    one.media().wait_hears(500).await;
    wait_members(&adapter, "standup", 1).await;
    adapter.resume(&first.call_ref()).await.unwrap();
    one.media().wait_hears(800).await;
    wait_members(&adapter, "standup", 2).await;
}

async fn a_recorded_conference_leaves_the_file_that_was_told(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let party = says(&asterisk, 800).await;
    let call = parked(&adapter, &party).await;
    join(&adapter, &call).await;
    let mut events = adapter.subscribe();
    let run = |run| confer(&adapter, "standup", ConferenceAction::Record(run));
    run(true).await.unwrap();
    assert_eq!(run(true).await.unwrap_err().kind(), ErrorKind::InvalidState);
    tokio::time::sleep(Duration::from_secs(2)).await;
    run(false).await.unwrap();
    assert_eq!(
        run(false).await.unwrap_err().kind(),
        ErrorKind::InvalidState
    );
    let mut told = Vec::new();
    until("the recording is told of", LIMIT, async || {
        while let Some(item) = events.try_recv() {
            if let SipEvent::RecordingChanged { running, file, .. } = item.unwrap().event {
                told.push((running, file.unwrap().expose().clone()));
            }
        }
        (told.len() >= 2).then_some(())
    })
    .await;
    let [(true, begun), (false, over)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(begun, over);
    let file = asterisk.monitor().join(begun);
    let bytes = until("the file is closed", LIMIT, async || {
        let bytes = fs::read(&file).unwrap();
        (bytes.len() > 44).then_some(bytes)
    })
    .await;
    // 16 bit samples behind a header of 44 bytes.
    let pairs = bytes[44..].chunks_exact(2);
    let samples: Vec<_> = pairs.map(|it| i16::from_le_bytes([it[0], it[1]])).collect();
    let seconds = samples.len() as f64 / 8000.0;
    assert!((1.5..3.0).contains(&seconds), "{seconds} s");
    // Anywhere: a disk that is busy leaves gaps in it.
    assert!(loudest_share(&samples, 800) > 0.8);
}

async fn a_conference_of_others_is_seen_also_after_a_gap(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let link = CuttableLink::to(asterisk.ami_port()).await;
    let config = asterisk.config_of("faxbot", "s3cret", link.port(), &options());
    let adapter = connected(config).await;
    let (one, two) = (says(&asterisk, 300).await, says(&asterisk, 800).await);
    for party in [&one, &two] {
        let to = party.uri();
        asterisk
            .console(&format!(
                "channel originate PJSIP/out/{to} extension 630@default"
            ))
            .await;
    }
    wait_members(&adapter, "630", 2).await;
    link.cut();
    two.wait_answered().await;
    two.hang_up();
    two.wait_over().await;
    link.mend();
    wait_members(&adapter, "630", 1).await;
    wait_connected(&adapter).await;
    let mut events = adapter.subscribe();
    let record = |run| confer(&adapter, "630", ConferenceAction::Record(run));
    record(true).await.unwrap();
    record(false).await.unwrap();
    until("the recording is told of", LIMIT, async || {
        let event = events.try_recv()?.unwrap().event;
        match event {
            // Asterisk puts a time into the name of this one.
            SipEvent::RecordingChanged { file, .. } => {
                assert!(file.is_none());
                Some(())
            }
            _ => None,
        }
    })
    .await;
    confer(&adapter, "630", ConferenceAction::End)
        .await
        .unwrap();
    one.wait_over().await;
    wait_members(&adapter, "630", 0).await;
}
