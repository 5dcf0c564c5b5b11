//! Digits, hold and presence as events, digits that are sent, and which events are asked for.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use asterisk_support::{FLAVOURS, LONG, Rig, channel_id, dial, drain, eventually, reconnected};
use async_trait::async_trait;
use faxbot_core::{
    Effect, ErrorKind,
    clock::TokioClock,
    event::EventStream,
    id::CallId,
    sip::{Call, CallRequest, Capability, DtmfRequest, SipAdapter as _, SipEvent},
};
use faxbot_sip::{
    adapter::asterisk::{AsteriskAdapter, AsteriskConfig, RawEvents},
    driver::{Connect, LinkError, Transport},
};
use faxbot_testkit::{
    fixtures::private,
    server::asterisk::{Account, CallScript, Flavour, MockAsterisk, ReplyFault, Timings},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn answered(adapter: &AsteriskAdapter) -> Call {
    let call = adapter.make_call(dial("+15551230001")).await.unwrap();
    call.answered().await.unwrap();
    call
}

/// A call of two parties, and the channel of the second.
async fn bridged(rig: &Rig, adapter: &AsteriskAdapter) -> (Call, String) {
    let request = CallRequest::connect(
        "+15551230001".parse().unwrap(),
        "+15551230002".parse().unwrap(),
    );
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    let own = channel_id(call.id());
    let two = |mock: &MockAsterisk| {
        let with = mock.bridged_with(&own);
        with.into_iter().find(|channel| *channel != own)
    };
    let partner = rig.mock.wait_until(LONG, two).await.unwrap();
    (call, partner)
}

fn digits(events: &mut EventStream<SipEvent>) -> String {
    let digit = |event| match event {
        SipEvent::DtmfReceived {
            digit, duration, ..
        } => {
            assert_eq!(duration, Some(Duration::from_millis(200)));
            Some(digit)
        }
        _ => None,
    };
    drain(events).into_iter().filter_map(digit).collect()
}

fn holds(events: &mut EventStream<SipEvent>) -> Vec<bool> {
    let hold = |event| match event {
        SipEvent::MediaStateChanged { remote_hold, .. } => Some(remote_hold),
        _ => None,
    };
    drain(events).into_iter().filter_map(hold).collect()
}

fn raw(events: &mut EventStream<SipEvent>) -> Vec<String> {
    let name = |event| match event {
        SipEvent::Raw(raw) => Some(raw.name),
        _ => None,
    };
    drain(events).into_iter().filter_map(name).collect()
}

/// A way to the mock that keeps what comes from it.
#[derive(Debug)]
struct Tap {
    mock: Arc<MockAsterisk>,
    seen: Seen,
}

type Seen = Arc<Mutex<Vec<u8>>>;

#[async_trait]
impl Connect for Tap {
    async fn connect(&self) -> Result<Transport, LinkError> {
        let (seen, mut far) = (Arc::clone(&self.seen), self.mock.connect_duplex());
        let (near, mut ours) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            let (mut bytes, mut orders) = ([0; 4096], [0; 4096]);
            loop {
                tokio::select! {
                    read = far.read(&mut bytes) => {
                        let read = &bytes[..read.unwrap_or(0)];
                        seen.lock().unwrap().extend_from_slice(read);
                        if read.is_empty() || ours.write_all(read).await.is_err() {
                            return;
                        }
                    }
                    read = ours.read(&mut orders) => {
                        let read = &orders[..read.unwrap_or(0)];
                        if read.is_empty() || far.write_all(read).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(Transport::new(near))
    }
}

/// An adapter, and what its connection brings.
async fn tapped(
    flavour: Flavour,
    change: impl FnOnce(&mut AsteriskConfig),
) -> (Arc<MockAsterisk>, AsteriskAdapter, Seen) {
    let builder = MockAsterisk::builder()
        .flavour(flavour)
        .timings(Timings::real())
        .in_memory();
    let mock = Arc::new(builder.start().await.unwrap());
    let seen = Seen::default();
    let mut config = AsteriskConfig::from_url("ami://faxbot:s3cret@pbx.example").unwrap();
    change(&mut config);
    let adapter =
        AsteriskAdapter::with_clock(config, TokioClock::shared()).with_connector(Arc::new(Tap {
            mock: Arc::clone(&mock),
            seen: Arc::clone(&seen),
        }));
    adapter.connect().await.unwrap();
    (mock, adapter, seen)
}

/// Whether the manager sent such an event.
fn received(seen: &Seen, event: &str) -> bool {
    let seen = seen.lock().unwrap();
    String::from_utf8_lossy(&seen).contains(&format!("Event: {event}\r\n"))
}

#[tokio::test(start_paused = true)]
async fn digits_reach_the_far_end_and_the_call_waits_for_the_last_one() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = rig.connected().await;
        let call = answered(&adapter).await;
        let digits = format!("{}#*A", private::DIGITS);
        let began = tokio::time::Instant::now();
        adapter
            .send_dtmf(DtmfRequest::new(call.id(), &digits))
            .await
            .unwrap();
        // 100 ms of tone and 100 ms of silence each.
        assert!(began.elapsed() >= Duration::from_secs(2));
        assert_eq!(rig.mock.dtmf_sent(&channel_id(call.id())), digits);
    }
}

#[tokio::test(start_paused = true)]
async fn other_requests_are_answered_while_digits_are_sent() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let sending = adapter.send_dtmf(DtmfRequest::new(call.id(), "0123456789"));
    let meanwhile = async {
        let began = tokio::time::Instant::now();
        for _ in 0..5 {
            adapter.health_check().await.unwrap();
        }
        let other = adapter.make_call(dial("+15551230002")).await.unwrap();
        adapter.hangup(&other.call_ref()).await.unwrap();
        other.ended().await.unwrap();
        began.elapsed()
    };
    tokio::pin!(sending);
    let took = tokio::select! {
        biased;
        sent = &mut sending => panic!("digits were sent first: {sent:?}"),
        took = meanwhile => took,
    };
    // The ten digits take 2 s.
    assert!(took < Duration::from_millis(500), "{took:?}");
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn digits_of_two_requests_do_not_mix() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let send = |digits: &str| adapter.send_dtmf(DtmfRequest::new(call.id(), digits));
    let (first, second) = tokio::join!(send("1111"), send("2222"));
    first.unwrap();
    second.unwrap();
    // Of a request that nobody waits for any longer the digits go on.
    let dropped = tokio::time::timeout(Duration::from_millis(300), send("3333")).await;
    assert!(dropped.is_err());
    send("4444").await.unwrap();
    let sent = rig.mock.dtmf_sent(&channel_id(call.id()));
    assert_eq!(sent, "1111222233334444");
}

#[tokio::test(start_paused = true)]
async fn digits_whose_future_was_dropped_go_on_also_when_one_that_waits_is_dropped() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let send = |digits: &str| adapter.send_dtmf(DtmfRequest::new(call.id(), digits));
    for digits in ["333333", "555555"] {
        let dropped = tokio::time::timeout(Duration::from_millis(300), send(digits)).await;
        assert!(dropped.is_err());
    }
    send("4444").await.unwrap();
    assert_eq!(rig.mock.dtmf_sent(&channel_id(call.id())), "3333334444");
}

#[tokio::test(start_paused = true)]
async fn digits_whose_order_nobody_answered_are_waited_for() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let mut long = DtmfRequest::new(call.id(), "333333");
    long.duration = Duration::from_secs(4);
    rig.mock
        .next_reply("Originate", ReplyFault::Slow(Duration::from_secs(11)));
    let lost = adapter.send_dtmf(long).await.unwrap_err();
    assert_eq!(lost.effect(), Effect::Unknown);
    adapter
        .send_dtmf(DtmfRequest::new(call.id(), "4444"))
        .await
        .unwrap();
    assert_eq!(rig.mock.dtmf_sent(&channel_id(call.id())), "3333334444");
}

#[tokio::test(start_paused = true)]
async fn digits_into_a_call_that_is_not_up_are_refused() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let kind = async |request| adapter.send_dtmf(request).await.unwrap_err().kind();
    for bad in ["", "12x", "1 2", "w", "a", &"1".repeat(101)] {
        let request = DtmfRequest::new(call.id(), bad);
        assert_eq!(kind(request).await, ErrorKind::InvalidRequest, "{bad}");
    }
    for duration in [Duration::ZERO, Duration::from_secs(11)] {
        let mut request = DtmfRequest::new(call.id(), "1");
        request.duration = duration;
        assert_eq!(kind(request).await, ErrorKind::InvalidRequest);
    }
    let unknown = DtmfRequest::new(CallId::new(), "1");
    assert_eq!(kind(unknown).await, ErrorKind::NotFound);
    let ringing = adapter.make_call(dial("603")).await.unwrap();
    let request = DtmfRequest::new(ringing.id(), "1");
    assert_eq!(kind(request).await, ErrorKind::InvalidState);
    assert_eq!(rig.mock.dtmf_sent(&channel_id(call.id())), "");
}

#[tokio::test(start_paused = true)]
async fn digits_of_a_call_that_ends_meanwhile_are_not_reported_as_sent() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let sending = adapter.send_dtmf(DtmfRequest::new(call.id(), "0123456789"));
    let ending = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        rig.mock.far_end_hangs_up(&channel_id(call.id()), 16);
    };
    let (sent, ()) = tokio::join!(sending, ending);
    assert_eq!(sent.unwrap_err().kind(), ErrorKind::NotFound);
}

/// The server says that a call ends before its hangup handlers run, and nothing more until they are
/// through: seconds, where the disk is busy.
#[tokio::test(start_paused = true)]
async fn digits_of_a_call_that_ends_on_a_slow_disk_are_not_reported_as_sent() {
    for by_us in [false, true] {
        let mut timings = Timings::real();
        timings.disk = Duration::from_secs(20);
        let rig = Rig::with(|builder| builder.timings(timings)).await;
        let adapter = rig.connected().await;
        let call = answered(&adapter).await;
        let began = tokio::time::Instant::now();
        let sending = adapter.send_dtmf(DtmfRequest::new(call.id(), "0123456789"));
        let ending = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if by_us {
                adapter.hangup(&call.call_ref()).await.unwrap();
            } else {
                rig.mock.far_end_hangs_up(&channel_id(call.id()), 16);
            }
        };
        let (sent, ()) = tokio::join!(sending, ending);
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(began.elapsed() < Duration::from_secs(1));
        // The handler still runs.
        let later = adapter.send_dtmf(DtmfRequest::new(call.id(), "1")).await;
        assert_eq!(later.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_without_our_extensions_does_not_declare_to_send_digits() {
    let weak = Account::new("weak", "w3ak").write("call,originate,reporting");
    let rig = Rig::with(|builder| builder.account(weak)).await;
    let adapter = rig.adapter_with(|config| {
        config.username = "weak".into();
        config.password = "w3ak".into();
    });
    adapter.connect().await.unwrap();
    assert!(!adapter.capabilities().has(Capability::SendDtmf));
}

#[tokio::test(start_paused = true)]
async fn each_digit_of_the_far_ends_is_told_once() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (call, partner) = bridged(&rig, &adapter).await;
    let mut events = adapter.subscribe();
    let mut seen = String::new();
    rig.mock.far_end_presses(&channel_id(call.id()), "12#");
    rig.mock.far_end_presses(&partner, "A*");
    eventually("the digits came", || {
        seen.push_str(&digits(&mut events));
        seen.len() >= 5
    })
    .await;
    assert_eq!(seen, "12#A*");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_party_holds_is_told_only_when_that_changes() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (call, partner) = bridged(&rig, &adapter).await;
    let own = channel_id(call.id());
    let mut events = adapter.subscribe();
    let mut seen = Vec::new();
    for (channel, hold) in [
        (&own, true),
        (&own, true),
        (&partner, true),
        (&own, false),
        (&partner, false),
        (&partner, false),
        (&partner, true),
        (&partner, false),
    ] {
        rig.mock.far_end_holds(channel, hold);
    }
    eventually("all was told", || {
        seen.extend(holds(&mut events));
        seen.len() >= 4
    })
    .await;
    assert_eq!(seen, [true, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn devices_and_extensions_are_told_of_unless_that_is_off() {
    for presence in [true, false] {
        let change = |config: &mut AsteriskConfig| config.presence = presence;
        let (mock, adapter, sent) = tapped(Flavour::V22, change).await;
        let mut events = adapter.subscribe();
        mock.device_state("PJSIP/alice", "INUSE");
        mock.extension_state("default", "900", "PJSIP/alice", 1);
        // What is behind them in the stream was taken after them.
        answered(&adapter).await;
        let presence_of = |event| match event {
            SipEvent::PresenceChanged { watched, state } => Some((watched.expose().clone(), state)),
            _ => None,
        };
        let seen: Vec<_> = drain(&mut events)
            .into_iter()
            .filter_map(presence_of)
            .filter(|(watched, _)| watched.contains("alice") || watched.contains("900"))
            .collect();
        let expected = [
            ("PJSIP/alice".to_owned(), "INUSE".to_owned()),
            ("900@default".to_owned(), "InUse".to_owned()),
        ];
        assert_eq!(seen, if presence { &expected[..] } else { &[] });
        assert_eq!(received(&sent, "DeviceStateChange"), presence);
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_needs_is_not_sent_and_what_is_needed_is() {
    for flavour in FLAVOURS {
        for raw_events in [RawEvents::All, RawEvents::Unknown, RawEvents::Off] {
            let change = |config: &mut AsteriskConfig| config.raw_events = raw_events;
            let (mock, adapter, sent) = tapped(flavour, change).await;
            let call = answered(&adapter).await;
            adapter.hangup(&call.call_ref()).await.unwrap();
            call.ended().await.unwrap();
            let all = raw_events == RawEvents::All;
            for noise in ["NewConnectedLine", "HangupHandlerPush", "Newexten"] {
                assert_eq!(received(&sent, noise), all, "{noise} {raw_events:?}");
            }
            for needed in ["Newchannel", "OriginateResponse", "Hangup"] {
                assert!(received(&sent, needed), "{needed} {raw_events:?}");
            }
            let text = String::from_utf8_lossy(&sent.lock().unwrap()).into_owned();
            assert_eq!(text.contains("Variable: FAXBOT_ID"), all, "{raw_events:?}");
            assert_eq!(mock.actions_named("Filter").is_empty(), all);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_name_of_a_caller_hides_a_variable_that_is_needed() {
    let (mock, adapter, sent) = tapped(Flavour::V22, |_| ()).await;
    mock.next_call(CallScript::answer());
    let number = || "+15551230001".parse().unwrap();
    let mut request = CallRequest::connect(number(), number());
    request.options.caller_id_name = Some(format!("{} Variable: X", private::CALLER_NAME));
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    adapter.hangup(&call.call_ref()).await.unwrap();
    call.ended().await.unwrap();
    assert!(received(&sent, "VarSet"));
    let text = String::from_utf8_lossy(&sent.lock().unwrap()).into_owned();
    assert!(text.contains("Variable: DIALSTATUS"));
}

#[tokio::test(start_paused = true)]
async fn filters_are_asked_for_on_every_connection() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let filters = || rig.mock.actions_named("Filter").len();
    let first = filters();
    assert!(first > 0);
    rig.cut();
    asterisk_support::lost(&adapter).await;
    rig.mend();
    reconnected(&adapter).await;
    assert_eq!(filters(), 2 * first);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_may_set_no_filter_works_with_all_events() {
    let weak = Account::new("weak", "w3ak").write("call,originate,reporting");
    let rig = Rig::with(|builder| builder.account(weak)).await;
    let adapter = rig.adapter_with(|config| {
        config.username = "weak".into();
        config.password = "w3ak".into();
        config.presence = false;
    });
    adapter.connect().await.unwrap();
    let mut events = adapter.subscribe();
    rig.mock.device_state("PJSIP/alice", "INUSE");
    answered(&adapter).await;
    let told = drain(&mut events);
    let presence = |event: &SipEvent| matches!(event, SipEvent::PresenceChanged { .. });
    assert!(!told.iter().any(presence));
}

#[tokio::test(start_paused = true)]
async fn the_raw_flow_has_what_the_configuration_says() {
    let event = "Event: QueueCallerJoin\r\nPrivilege: agent,all\r\nQueue: sales\r\n\r\n";
    for (raw_events, unknown, known) in [
        (RawEvents::All, true, true),
        (RawEvents::Unknown, true, false),
        (RawEvents::Off, false, false),
    ] {
        let rig = Rig::new().await;
        let adapter = rig.adapter_with(|config| config.raw_events = raw_events);
        adapter.connect().await.unwrap();
        let mut events = adapter.subscribe();
        rig.mock.send_raw(event);
        answered(&adapter).await;
        let seen = raw(&mut events);
        let has = |name: &str| seen.iter().any(|it| it == name);
        assert_eq!(has("QueueCallerJoin"), unknown, "{raw_events:?}");
        assert_eq!(has("Newchannel"), known, "{raw_events:?}");
    }
}
