//! Faxes through the adapter: what is asked for, the pages in the spool, progress and cancelling.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use asterisk_support::{FLAVOURS, LONG, Rig, channel_id, eventually};
use faxbot_core::{
    Effect, ErrorKind,
    document::Resolution,
    fax::{FailureClass, FaxCall, FaxOutcome, FaxPhase, OutcomeStatus, T38Mode},
    id::CallId,
    plugin::CancelOutcome,
    sip::SipAdapter,
};
use faxbot_sip::adapter::asterisk::DialplanContext;
use faxbot_testkit::server::asterisk::{CallScript, ReplyFault};

async fn result(fax: &FaxCall) -> FaxOutcome {
    tokio::time::timeout(LONG, fax.result())
        .await
        .expect("a fax never ended")
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_transport_is_an_option_of_sendfax() {
    for (mode, options) in [
        (T38Mode::Prefer, "zfs"),
        (T38Mode::Require, "zs"),
        (T38Mode::Disable, "Fs"),
    ] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        let mut fax = rig.fax("+15551230700", 1);
        fax.t38 = mode;
        let id = fax.id;
        adapter.send_fax(fax).await.unwrap();
        let seen = rig.originates().pop().unwrap();
        assert_eq!(seen.get("Application"), Some("SendFAX"));
        let data = format!("/srv/fax/faxbot-faxbot-{}.tif,{options}", id.as_uuid());
        assert_eq!(seen.get("Data"), Some(data.as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_fax_asks_for_arrives_as_faxopt_values() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut fax = rig
        .fax("+15551230700", 1)
        .with_station_id("+1 555 123".parse().unwrap())
        .with_header("Clinic, \"North\" (A)".parse().unwrap());
    (fax.ecm, fax.max_rate) = (false, Some(9600));
    let fax = adapter.send_fax(fax).await.unwrap();
    assert!(result(&fax).await.is_success());
    let received = rig.mock.received_faxes().pop().unwrap();
    let options: BTreeMap<_, _> = received.options.into_iter().collect();
    for (name, value) in [
        ("localstationid", "+1 555 123"),
        ("headerinfo", "Clinic, \"North\" (A)"),
        ("ecm", "no"),
        ("maxrate", "9600"),
    ] {
        assert_eq!(options.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn another_resolution_than_that_of_the_pages_is_refused_before_a_byte_is_sent() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut fax = rig.fax("+15551230700", 1);
    let pages = fax.image.resolution();
    fax.resolution = Resolution::ALL.into_iter().find(|other| *other != pages);
    let error = adapter.send_fax(fax).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(rig.originates().is_empty());
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test(start_paused = true)]
async fn the_pages_are_in_the_spool_as_long_as_the_fax_and_no_longer() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let request = rig.fax("+15551230700", 2);
    let path = rig.spool_file(request.id);
    let document = fs::read(request.image.path()).unwrap();
    let fax = adapter.send_fax(request).await.unwrap();
    rig.page_confirmed(1).await;
    #[cfg(unix)]
    assert_eq!(mode(&path), 0o640);
    assert_eq!(fs::read(&path).unwrap(), document);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(!name.contains([',', '&']));
    assert!(result(&fax).await.is_success());
    assert!(!path.exists(), "who hears the outcome finds the pages gone");
    assert_eq!(rig.mock.received_faxes()[0].tiff, document);
}

#[tokio::test(start_paused = true)]
async fn the_pages_of_a_fax_that_never_was_are_gone_too() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    for (fault, kind) in [
        ("Permission denied", ErrorKind::PermissionDenied),
        ("Asterisk is shutting down", ErrorKind::ServerBusy),
        ("Extension does not exist.", ErrorKind::Rejected),
    ] {
        rig.mock
            .next_reply("Originate", ReplyFault::Refuse(fault.into()));
        let request = rig.fax("+15551230700", 1);
        let error = adapter.send_fax(request.clone()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, Effect::NoEffect));
        assert_eq!(error.call_id(), Some(request.id));
        assert!(rig.spooled().is_empty());
        assert!(adapter.snapshot().faxes.is_empty());
    }
    // Its id is free again.
    let request = rig.fax("+15551230700", 1);
    rig.mock
        .next_reply("Originate", ReplyFault::Refuse("no".into()));
    adapter.send_fax(request.clone()).await.unwrap_err();
    adapter.send_fax(request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_cannot_be_written_is_a_fault_of_the_configuration() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let request = rig.fax("+15551230700", 1);
    fs::remove_dir(rig.spool.path()).unwrap();
    let error = adapter.send_fax(request).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Config, Effect::NoEffect)
    );
    assert!(rig.originates().is_empty());
    fs::create_dir(rig.spool.path()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn leftovers_are_swept_at_connect_except_those_of_faxes_that_live() {
    let rig = Rig::new().await;
    let crashed = rig.connected().await;
    let live = rig.fax("+15551230700", 3);
    let live_id = live.id;
    crashed.send_fax(live).await.unwrap();
    rig.page_confirmed(1).await;
    drop(crashed);
    let leftover = rig.spool_file(CallId::new());
    let strange = rig.spool.path().join("letter.tif");
    for path in [&leftover, &strange] {
        fs::write(path, b"II*\0").unwrap();
    }
    let _next = rig.connected().await;
    assert!(!leftover.exists());
    assert!(strange.exists() && rig.spool_file(live_id).exists());
    rig.quiet().await;
    assert!(rig.mock.received_faxes()[0].complete);
}

#[tokio::test(start_paused = true)]
async fn a_second_process_neither_repeats_a_live_fax_nor_takes_its_pages() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let crashed = rig.connected().await;
        let request = rig.fax("+15551230700", 3);
        crashed.send_fax(request.clone()).await.unwrap();
        rig.page_confirmed(1).await;
        drop(crashed);
        let next = rig.connected().await;
        let error = next.send_fax(request.clone()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::InvalidState, Effect::NoEffect)
        );
        assert!(rig.spool_file(request.id).exists());
        assert_eq!(rig.originates().len(), 1);
        rig.quiet().await;
        assert!(rig.mock.received_faxes()[0].complete);
    }
}

#[tokio::test(start_paused = true)]
async fn failed_twice_and_then_success_is_a_success() {
    for flavour in FLAVOURS {
        // By the handler's report, and by the events alone.
        for outcome in [DialplanContext::Auto, DialplanContext::Off] {
            let rig = Rig::of(flavour).await;
            let adapter = rig.adapter_with(|config| config.dialplan = outcome);
            adapter.connect().await.unwrap();
            let fax = adapter.send_fax(rig.fax("+15551230700", 3)).await.unwrap();
            let outcome = result(&fax).await;
            assert_eq!(outcome.status, OutcomeStatus::Success);
            assert_eq!(outcome.pages_confirmed, Some(3));
            assert_eq!(outcome.bit_rate, Some(14_400));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fax_can_be_cancelled_in_every_phase() {
    let slow = || CallScript::answer().rings(Duration::from_secs(20));
    let table = [
        (FaxPhase::Dialing, CallScript::unreachable()),
        (FaxPhase::Ringing, slow()),
        (FaxPhase::Negotiating, CallScript::answer()),
        (FaxPhase::Transmitting, CallScript::answer()),
    ];
    for (phase, script) in table {
        let rig = Rig::new().await;
        rig.mock.on_dial("*", script);
        let adapter = rig.connected().await;
        let fax = adapter.send_fax(rig.fax("+15551230700", 3)).await.unwrap();
        eventually("the phase", || fax.progress().phase == phase).await;
        assert_eq!(fax.cancel().await.unwrap(), CancelOutcome::Requested);
        let outcome = result(&fax).await;
        assert_eq!(outcome.class(), Some(FailureClass::Cancelled), "{phase:?}");
        assert_eq!(fax.cancel().await.unwrap(), CancelOutcome::TooLate);
        assert!(rig.spooled().is_empty());
        assert_eq!(rig.mock.channels(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_whose_answer_is_lost_is_still_a_cancellation() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let fax = adapter.send_fax(rig.fax("+15551230700", 3)).await.unwrap();
    rig.page_confirmed(1).await;
    rig.mock.next_reply("Hangup", ReplyFault::DropBefore);
    assert_eq!(fax.cancel().await.unwrap_err().effect(), Effect::Unknown);
    let outcome = result(&fax).await;
    // Not a failure of the line, which a policy would dial again.
    assert_eq!(outcome.class(), Some(FailureClass::Cancelled));
    assert_eq!(outcome.pages_confirmed, Some(1));
}

#[tokio::test(start_paused = true)]
async fn fifty_faxes_at_once_do_not_mix() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut faxes = Vec::new();
    for index in 0..50_u32 {
        let to = format!("+155512300{index:02}");
        let pages = 1 + index % 3;
        let confirmed = index % 2 == 0;
        if !confirmed {
            let script = CallScript::fax_fails_after(pages - 1, "RX_T4_ERROR", "no carrier");
            rig.mock.on_dial(&to, script);
        }
        let fax = adapter.send_fax(rig.fax(&to, pages)).await.unwrap();
        faxes.push((to, pages, confirmed, fax));
    }
    for (to, pages, confirmed, fax) in &faxes {
        let outcome = result(fax).await;
        assert_eq!(outcome.is_success(), *confirmed, "{to}");
        let sent = if *confirmed { *pages } else { pages - 1 };
        assert_eq!(outcome.pages_confirmed, Some(sent), "{to}");
        assert_eq!(fax.progress().pages_total, *pages);
    }
    assert_eq!(rig.originates().len(), 50);
    for received in rig.mock.received_faxes() {
        let (to, ..) = faxes
            .iter()
            .find(|(.., fax)| channel_id(fax.id()) == received.channel_id)
            .unwrap();
        assert_eq!(received.dialled, *to);
    }
    assert!(rig.spooled().is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_faxes_show_progress_while_others_end() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut long = Vec::new();
    for index in 0..30 {
        let to = format!("+155512300{index:02}");
        long.push(adapter.send_fax(rig.fax(&to, 3)).await.unwrap());
    }
    // Each answer about progress takes long; the end of a fax must not wait for all of them.
    rig.page_confirmed(1).await;
    for _ in 0..30 {
        rig.mock
            .next_reply("FAXSession", ReplyFault::Slow(Duration::from_secs(2)));
    }
    let busy = CallScript::busy();
    rig.mock.on_dial("+15551230999", busy);
    let asked = rig.clock.now();
    let fax = adapter.send_fax(rig.fax("+15551230999", 1)).await.unwrap();
    assert_eq!(result(&fax).await.class(), Some(FailureClass::Busy));
    let took = rig.clock.now() - asked;
    assert!(took < Duration::from_secs(15), "{took:?}");
    for fax in &long {
        assert!(result(fax).await.is_success());
    }
}
