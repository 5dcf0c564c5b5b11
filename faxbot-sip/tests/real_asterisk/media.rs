//! Recordings, digits, hold and presence on real Asterisk 16 and 22, with phones that have sound.

use std::{fs, path::Path, time::Duration};

use crate::real::{
    Asterisk, LIMIT, Version, connected,
    party::{Party, Sound},
    party_media::loudest_share,
    until, within,
};
use faxbot_core::{
    ErrorKind,
    event::EventStream,
    id::CallId,
    sip::{Call, CallRequest, CallState, DtmfRequest, RecordRequest, SipAdapter as _, SipEvent},
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;
use serde_json::json;

crate::on_both_versions!(
    a_recorded_conversation_has_the_length_of_the_talk_and_both_voices,
    a_recording_without_a_directory_is_told_of_where_asterisk_placed_it,
    a_recording_that_ends_with_its_call_is_whole,
    a_recording_goes_on_while_the_call_is_held,
    a_recording_that_runs_or_does_not_is_not_started_or_stopped_again,
    digits_reach_the_phone_while_other_requests_are_answered,
    digits_of_a_call_that_ends_meanwhile_are_not_reported_as_sent,
    digits_of_both_phones_are_told_once,
    a_phone_that_holds_the_call_and_takes_it_back_is_told_of,
    devices_and_extensions_are_told_of,
);

async fn adapter(asterisk: &Asterisk) -> AsteriskAdapter {
    connected(asterisk.config(&json!({ "sip_dial": "PJSIP/out/{uri}" }))).await
}

async fn phone(asterisk: &Asterisk, hertz: u16) -> Party {
    let party = Party::answers().says(Sound::Tone(hertz));
    party.start(asterisk).await
}

async fn answered(adapter: &AsteriskAdapter, request: CallRequest) -> Call {
    let call = adapter.make_call(request).await.unwrap();
    within("the call is answered", LIMIT, call.answered())
        .await
        .unwrap();
    call
}

async fn to(adapter: &AsteriskAdapter, party: &Party) -> Call {
    answered(adapter, CallRequest::dial(party.uri().parse().unwrap())).await
}

async fn between(adapter: &AsteriskAdapter, from: &Party, to: &Party) -> Call {
    let uri = |party: &Party| party.uri().parse().unwrap();
    answered(adapter, CallRequest::connect(uri(from), uri(to))).await
}

/// The next recording that is told of: whether it runs, and its file.
async fn recording(events: &mut EventStream<SipEvent>) -> (bool, String) {
    next(events, |event| match event {
        SipEvent::RecordingChanged { running, file, .. } => {
            Some((*running, file.as_ref().unwrap().expose().clone()))
        }
        _ => None,
    })
    .await
}

async fn next<T>(events: &mut EventStream<SipEvent>, look: impl Fn(&SipEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look(&events.recv().await.unwrap().unwrap().event) {
                return found;
            }
        }
    };
    within("the event comes", LIMIT, found).await
}

/// The samples of a recording: one channel, 8,000 a second, 16 bits.
fn samples(path: &Path) -> Vec<i16> {
    let bytes = fs::read(path).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let half = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    assert_eq!(
        (&bytes[..4], &bytes[8..16]),
        (&b"RIFF"[..], &b"WAVEfmt "[..])
    );
    assert_eq!((half(20), half(22), number(24), half(34)), (1, 1, 8000, 16));
    assert_eq!(&bytes[36..40], b"data");
    let length = usize::try_from(number(40)).unwrap();
    assert_eq!(length, bytes.len() - 44, "the header fits the file");
    let pairs = bytes[44..].chunks_exact(2);
    pairs
        .map(|pair| i16::from_le_bytes(pair.try_into().unwrap()))
        .collect()
}

fn seconds(samples: &[i16]) -> f64 {
    f64::from(u32::try_from(samples.len()).unwrap()) / 8000.0
}

async fn exists(path: &Path) {
    until("the file is there", LIMIT, async || {
        path.exists().then_some(())
    })
    .await;
}

/// Records so long; the server writes its file a few milliseconds after the stop.
async fn record(adapter: &AsteriskAdapter, id: CallId, time: Duration) {
    adapter.record(RecordRequest::start(id)).await.unwrap();
    tokio::time::sleep(time).await;
    adapter.record(RecordRequest::stop(id)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
}

async fn a_recorded_conversation_has_the_length_of_the_talk_and_both_voices(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let options = json!({
        "sip_dial": "PJSIP/out/{uri}",
        "recordings": asterisk.monitor_remote(),
    });
    let adapter = connected(asterisk.config(&options)).await;
    let (one, other) = (phone(&asterisk, 440).await, phone(&asterisk, 1000).await);
    let call = between(&adapter, &one, &other).await;
    one.media().wait_hears(1000).await;
    other.media().wait_hears(440).await;
    let mut events = adapter.subscribe();
    record(&adapter, call.id(), Duration::from_secs(3)).await;
    let name = format!("faxbot-{}-1.wav", call.id().as_uuid());
    let file = format!("{}/{name}", asterisk.monitor_remote());
    assert_eq!(recording(&mut events).await, (true, file.clone()));
    assert_eq!(recording(&mut events).await, (false, file.clone()));
    let recorded = samples(&asterisk.monitor().join(name));
    let seconds = seconds(&recorded);
    assert!((2.6..3.4).contains(&seconds), "{seconds} s of 3 s");
    for hertz in [440, 1000] {
        // Two tones have half of the power each.
        let share = loudest_share(&recorded, hertz);
        assert!(share > 0.3, "{hertz} Hz: {share}");
    }
    adapter.hangup(&call.call_ref()).await.unwrap();
    let record = within("the call ends", LIMIT, call.ended()).await.unwrap();
    assert_eq!(record.recording.unwrap().expose(), &file);
}

async fn a_recording_without_a_directory_is_told_of_where_asterisk_placed_it(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let party = phone(&asterisk, 440).await;
    let call = to(&adapter, &party).await;
    let mut events = adapter.subscribe();
    adapter
        .record(RecordRequest::start(call.id()))
        .await
        .unwrap();
    let (running, file) = recording(&mut events).await;
    let name = format!("faxbot-{}-1.wav", call.id().as_uuid());
    assert!(running);
    assert_eq!(file, format!("{}/{name}", asterisk.monitor_remote()));
    exists(&asterisk.monitor().join(name)).await;
}

async fn a_recording_that_ends_with_its_call_is_whole(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let party = phone(&asterisk, 440).await;
    let call = to(&adapter, &party).await;
    // The first half second after an answer is not always recorded.
    tokio::time::sleep(Duration::from_secs(1)).await;
    adapter
        .record(RecordRequest::start(call.id()))
        .await
        .unwrap();
    let mut events = adapter.subscribe();
    tokio::time::sleep(Duration::from_secs(2)).await;
    party.hang_up();
    let record = within("the call ends", LIMIT, call.ended()).await.unwrap();
    // Its end is told first, then that of the call.
    let over = next(&mut events, |event| match event {
        SipEvent::RecordingChanged { running: false, .. } => Some(true),
        SipEvent::CallStateChanged(change) if change.to == CallState::Terminated => Some(false),
        _ => None,
    });
    assert!(over.await);
    assert!(record.recording.is_some());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let name = format!("faxbot-{}-1.wav", call.id().as_uuid());
    let recorded = samples(&asterisk.monitor().join(name));
    let seconds = seconds(&recorded);
    assert!((1.6..2.4).contains(&seconds), "{seconds} s of 2 s");
    assert!(loudest_share(&recorded, 440) > 0.8);
}

async fn a_recording_goes_on_while_the_call_is_held(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let (one, other) = (phone(&asterisk, 440).await, phone(&asterisk, 1000).await);
    let call = between(&adapter, &one, &other).await;
    one.media().wait_hears(1000).await;
    let mut events = adapter.subscribe();
    adapter
        .record(RecordRequest::start(call.id()))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    adapter.hold(&call.call_ref()).await.unwrap();
    // The tone of the music.
    one.media().wait_hears(500).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    adapter.resume(&call.call_ref()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    adapter
        .record(RecordRequest::stop(call.id()))
        .await
        .unwrap();
    let (running, file) = recording(&mut events).await;
    assert!(running);
    assert_eq!(recording(&mut events).await, (false, file));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let name = format!("faxbot-{}-1.wav", call.id().as_uuid());
    let recorded = samples(&asterisk.monitor().join(name));
    assert!(seconds(&recorded) > 2.6, "{}", seconds(&recorded));
    // The music (500 Hz) is in it on Asterisk 16 and not on 22.
    for hertz in [440, 1000] {
        let share = loudest_share(&recorded, hertz);
        assert!(share > 0.3, "{hertz} Hz: {share}");
    }
}

async fn a_recording_that_runs_or_does_not_is_not_started_or_stopped_again(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let party = phone(&asterisk, 440).await;
    let call = to(&adapter, &party).await;
    let (start, stop) = (
        RecordRequest::start(call.id()),
        RecordRequest::stop(call.id()),
    );
    let kind =
        async |request: &RecordRequest| adapter.record(request.clone()).await.unwrap_err().kind();
    assert_eq!(kind(&stop).await, ErrorKind::InvalidState);
    adapter.record(start.clone()).await.unwrap();
    assert_eq!(kind(&start).await, ErrorKind::InvalidState);
    adapter.record(stop.clone()).await.unwrap();
    assert_eq!(kind(&stop).await, ErrorKind::InvalidState);
    adapter.record(start).await.unwrap();
    let name = format!("faxbot-{}-2.wav", call.id().as_uuid());
    exists(&asterisk.monitor().join(name)).await;
}

async fn digits_reach_the_phone_while_other_requests_are_answered(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let party = phone(&asterisk, 440).await;
    let call = to(&adapter, &party).await;
    let began = tokio::time::Instant::now();
    let sending = adapter.send_dtmf(DtmfRequest::new(call.id(), "0123456789*#ABCD"));
    tokio::pin!(sending);
    let meanwhile = async {
        for _ in 0..10 {
            adapter.health_check().await.unwrap();
        }
    };
    tokio::select! {
        biased;
        sent = &mut sending => panic!("digits were sent first: {sent:?}"),
        () = meanwhile => {}
    }
    let asked = began.elapsed();
    assert!(asked < Duration::from_secs(1), "{asked:?}");
    sending.await.unwrap();
    // 16 digits of 100 ms and as much silence behind each.
    let took = began.elapsed();
    assert!((3.0..5.0).contains(&took.as_secs_f64()), "{took:?}");
    party.media().wait_digits("0123456789*#ABCD").await;
    // Two requests at once do not mix.
    party.media().forget();
    let send = |digits: &str| adapter.send_dtmf(DtmfRequest::new(call.id(), digits));
    let (one, other) = tokio::join!(send("111"), send("222"));
    one.unwrap();
    other.unwrap();
    until("all six digits came", LIMIT, async || {
        party.media().digits().ends_with("111222").then_some(())
    })
    .await;
}

async fn digits_of_a_call_that_ends_meanwhile_are_not_reported_as_sent(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let party = phone(&asterisk, 440).await;
    let call = to(&adapter, &party).await;
    let ending = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        party.hang_up();
    };
    let sending = adapter.send_dtmf(DtmfRequest::new(call.id(), "0123456789"));
    let (sent, ()) = tokio::join!(sending, ending);
    assert_eq!(sent.unwrap_err().kind(), ErrorKind::NotFound);
    let later = adapter.send_dtmf(DtmfRequest::new(call.id(), "1")).await;
    assert_eq!(later.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn digits_of_both_phones_are_told_once(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let (one, other) = (phone(&asterisk, 440).await, phone(&asterisk, 1000).await);
    let call = between(&adapter, &one, &other).await;
    one.media().wait_hears(1000).await;
    let mut events = adapter.subscribe();
    one.media().send_digits("12#").await;
    other.media().wait_digits("12#").await;
    other.media().send_digits("*9").await;
    one.media().wait_digits("*9").await;
    let mut seen = String::new();
    while seen.len() < 5 {
        let digit = next(&mut events, |event| match event {
            SipEvent::DtmfReceived {
                id,
                digit,
                duration,
            } => {
                assert_eq!(*id, Some(call.id()));
                assert!(duration.is_some_and(|it| it >= Duration::from_millis(80)));
                Some(*digit)
            }
            _ => None,
        });
        seen.push(digit.await);
    }
    assert_eq!(seen, "12#*9");
    tokio::time::sleep(Duration::from_millis(500)).await;
    while let Some(Ok(event)) = events.try_recv() {
        assert!(!matches!(event.event, SipEvent::DtmfReceived { .. }));
    }
}

async fn a_phone_that_holds_the_call_and_takes_it_back_is_told_of(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let (one, other) = (phone(&asterisk, 440).await, phone(&asterisk, 1000).await);
    let call = between(&adapter, &one, &other).await;
    one.media().wait_hears(1000).await;
    let mut events = adapter.subscribe();
    let held = |event: &SipEvent| match event {
        SipEvent::MediaStateChanged { id, remote_hold } => {
            assert_eq!(*id, Some(call.id()));
            Some(*remote_hold)
        }
        _ => None,
    };
    one.hold().await;
    assert!(next(&mut events, held).await);
    one.resume().await;
    assert!(!next(&mut events, held).await);
    other.hold_inactive().await;
    assert!(next(&mut events, held).await);
    other.resume().await;
    assert!(!next(&mut events, held).await);
    one.media().wait_hears(1000).await;
}

async fn devices_and_extensions_are_told_of(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = adapter(&asterisk).await;
    let quiet = connected(asterisk.config(&json!({ "presence": false }))).await;
    let (mut events, mut nothing) = (adapter.subscribe(), quiet.subscribe());
    asterisk.console("devstate change Custom:desk INUSE").await;
    let mut missing = vec![("Custom:desk", "INUSE"), ("901@default", "InUse")];
    while !missing.is_empty() {
        let (watched, state) = next(&mut events, |event| match event {
            SipEvent::PresenceChanged { watched, state } => {
                Some((watched.expose().clone(), state.clone()))
            }
            _ => None,
        })
        .await;
        missing.retain(|it| *it != (watched.as_str(), state.as_str()));
    }
    quiet.health_check().await.unwrap();
    while let Some(Ok(event)) = nothing.try_recv() {
        assert!(!matches!(event.event, SipEvent::PresenceChanged { .. }));
    }
}
