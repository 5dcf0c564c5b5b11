//! Faxes that come in: received, told of, and handed over once.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::{fs, path::Path, time::Duration};

use asterisk_support::{FLAVOURS, LONG, Rig, drain, eventually};
use faxbot_core::{
    ErrorKind,
    document::tiff::TiffReader,
    fax::{FaxPhase, FaxTransport, OutcomeStatus, TakenFax},
    id::CallId,
    sip::{AcceptAs, Capability, Direction, Lookup, RejectCause, SipAdapter as _, SipEvent},
};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use faxbot_testkit::server::asterisk::{IncomingFax, IncomingScript, ReplyFault};

fn taking(config: &mut AsteriskConfig) {
    config.incoming_context = Some("incoming".to_owned());
    config.station_id = Some("+1 555 710".parse().unwrap());
}

async fn connected(rig: &Rig) -> AsteriskAdapter {
    let adapter = rig.adapter_with(taking);
    adapter.connect().await.unwrap();
    adapter
}

fn sender(fax: IncomingFax) -> IncomingScript {
    IncomingScript::new("+15551230001", "+15551230710").sends_fax(fax)
}

async fn come(rig: &Rig, adapter: &AsteriskAdapter, script: IncomingScript) -> CallId {
    rig.mock.incoming(script);
    eventually("the call is told of", || {
        !adapter.snapshot().incoming.is_empty()
    })
    .await;
    adapter.snapshot().incoming[0].id
}

/// A fax that is being received.
async fn receiving(rig: &Rig, adapter: &AsteriskAdapter, fax: IncomingFax) -> CallId {
    let id = come(rig, adapter, sender(fax)).await;
    adapter.accept(&id.into(), AcceptAs::Fax).await.unwrap();
    id
}

async fn take(adapter: &AsteriskAdapter, id: CallId) -> TakenFax {
    let call = id.into();
    tokio::time::timeout(LONG, adapter.take_fax(&call))
        .await
        .expect("the fax never ended")
        .unwrap()
}

fn pages(file: &Path) -> usize {
    let mut reader = TiffReader::open(fs::File::open(file).unwrap()).unwrap();
    reader.pages().filter(|page| page.is_ok()).count()
}

fn received_file(rig: &Rig, id: CallId) -> std::path::PathBuf {
    let name = format!("faxbot-faxbot-in-{}.tif", id.as_uuid());
    rig.spool.path().join(name)
}

#[tokio::test(start_paused = true)]
async fn a_fax_is_received_told_of_and_handed_over_once() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = connected(&rig).await;
        let mut events = adapter.subscribe();
        let id = receiving(&rig, &adapter, IncomingFax::new(3).station("SENDER 1")).await;
        assert_eq!(adapter.snapshot().faxes[0].0, id);
        let fax = take(&adapter, id).await;
        assert_eq!(fax.id, id);
        let outcome = &fax.outcome;
        assert!(outcome.is_success(), "{outcome:?}");
        assert_eq!(
            (outcome.pages_confirmed, outcome.pages_total),
            (Some(3), None)
        );
        assert_eq!(outcome.transport, Some(FaxTransport::T38));
        assert_eq!(outcome.bit_rate, Some(14400));
        assert_eq!(outcome.ecm, Some(true));
        assert!(outcome.resolution.is_some());
        let text = |id: &Option<faxbot_core::Private>| id.as_ref().unwrap().expose().clone();
        assert_eq!(text(&outcome.remote_station_id), "SENDER 1");
        assert_eq!(text(&outcome.local_station_id), "+1 555 710");
        let file = fax.file.unwrap();
        assert_eq!(pages(&file), 3);
        assert!(!received_file(&rig, id).exists());

        let again = adapter.take_fax(&id.into()).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::NotFound);
        let told = drain(&mut events);
        let progress: Vec<_> = told
            .iter()
            .filter_map(|event| match event {
                SipEvent::FaxProgress { progress, .. } => Some(*progress),
                _ => None,
            })
            .collect();
        assert!(progress.iter().any(|it| it.phase == FaxPhase::Negotiating));
        let last = progress.last().unwrap();
        assert_eq!(last.phase, FaxPhase::Transmitting);
        assert!(last.pages_confirmed >= Some(2), "{progress:?}");
        let finished = |event: &SipEvent| matches!(event, SipEvent::FaxFinished { id: it, outcome } if *it == id && outcome.is_success());
        assert_eq!(told.iter().filter(|event| finished(event)).count(), 1);
        match adapter.lookup(&id.into()).await.unwrap() {
            Lookup::Ended(record) => {
                assert_eq!(record.direction, Direction::Inbound);
                assert!(record.fax.unwrap().is_success());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fax_without_t38_comes_over_audio() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let id = receiving(&rig, &adapter, IncomingFax::new(1).over_audio()).await;
    let fax = take(&adapter, id).await;
    assert!(fax.outcome.is_success(), "{:?}", fax.outcome);
    assert_eq!(fax.outcome.transport, Some(FaxTransport::Audio));
}

#[tokio::test(start_paused = true)]
async fn damaged_rows_are_counted_as_far_as_they_were_seen() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let id = receiving(&rig, &adapter, IncomingFax::new(2).bad_lines(7)).await;
    let lines = take(&adapter, id).await.outcome.bad_lines;
    assert!(matches!(lines, Some(7..=14)), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_breaks_off_leaves_the_pages_that_came() {
    for (whole, file) in [(2, Some(2)), (0, None)] {
        let rig = Rig::new().await;
        let adapter = connected(&rig).await;
        let text = "Unexpected DCN while waiting for DCS or DIS";
        let fax = IncomingFax::new(4).fails_after(whole, text);
        let id = receiving(&rig, &adapter, fax).await;
        let fax = take(&adapter, id).await;
        assert_eq!(fax.outcome.status, OutcomeStatus::Failed);
        assert_eq!(fax.outcome.pages_confirmed, Some(whole));
        assert_eq!(fax.outcome.pages_total, None);
        assert_eq!(fax.file.as_deref().map(pages), file);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_we_hang_up_keeps_its_pages() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let id = receiving(&rig, &adapter, IncomingFax::new(4)).await;
    rig.page_confirmed(1).await;
    adapter.hangup(&id.into()).await.unwrap();
    let fax = take(&adapter, id).await;
    assert_eq!(fax.outcome.status, OutcomeStatus::Failed);
    assert_eq!(fax.outcome.pages_confirmed, Some(1));
    assert_eq!(fax.file.as_deref().map(pages), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_new_process_takes_a_fax_by_its_id_whether_it_runs_or_is_over() {
    for waits in [false, true] {
        let rig = Rig::new().await;
        let first = connected(&rig).await;
        let id = receiving(&rig, &first, IncomingFax::new(2)).await;
        rig.page_confirmed(1).await;
        first.disconnect(Duration::from_secs(1)).await.unwrap();
        drop(first);
        if waits {
            rig.quiet().await;
        }
        let second = connected(&rig).await;
        let fax = take(&second, id).await;
        assert!(fax.outcome.is_success(), "{:?}", fax.outcome);
        assert_eq!(fax.outcome.pages_confirmed, Some(2));
        assert_eq!(pages(&fax.file.unwrap()), 2);
        let again = second.take_fax(&id.into()).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn pages_that_nobody_took_are_never_swept() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let id = receiving(&rig, &adapter, IncomingFax::new(1)).await;
    rig.quiet().await;
    adapter.disconnect(Duration::from_secs(1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30 * 24 * 3600)).await;
    let adapter = connected(&rig).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(received_file(&rig, id).exists());
    // What the server kept of it is gone by now; the pages are handed over all the same.
    let fax = take(&adapter, id).await;
    assert_eq!(fax.outcome.status, OutcomeStatus::Unknown);
    assert_eq!(pages(&fax.file.unwrap()), 1);
}

#[tokio::test(start_paused = true)]
async fn the_pages_that_came_before_asterisk_died_are_handed_over() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let id = receiving(&rig, &adapter, IncomingFax::new(4)).await;
    rig.page_confirmed(1).await;
    rig.mock.kill(Duration::from_secs(1));
    let fax = take(&adapter, id).await;
    assert_eq!(fax.outcome.status, OutcomeStatus::Unknown);
    assert!(pages(&fax.file.unwrap()) >= 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_accepted_as_a_fax_has_none() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let id = come(&rig, &adapter, sender(IncomingFax::new(1))).await;
    for id in [id, CallId::new()] {
        let error = adapter.take_fax(&id.into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
    let error = adapter.take_fax(&id.into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    adapter.hangup(&id.into()).await.unwrap();
    rig.quiet().await;
    let error = adapter.take_fax(&id.into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_was_not_accepted_after_all_is_none_for_another_process() {
    for park in [true, false] {
        let rig = Rig::new().await;
        let adapter = connected(&rig).await;
        let id = come(&rig, &adapter, sender(IncomingFax::new(1))).await;
        rig.mock
            .next_reply("Redirect", ReplyFault::Refuse("Something else.".into()));
        adapter.accept(&id.into(), AcceptAs::Fax).await.unwrap_err();
        if park {
            adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
            adapter.hangup(&id.into()).await.unwrap();
        } else {
            adapter.reject(&id.into(), RejectCause::Busy).await.unwrap();
        }
        rig.quiet().await;
        let other = connected(&rig).await;
        match other.lookup(&id.into()).await.unwrap() {
            Lookup::Ended(record) => assert!(record.fax.is_none(), "{park}"),
            other => panic!("{other:?}"),
        }
        let error = other.take_fax(&id.into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_received_without_a_spool_or_without_a_fax_module() {
    let rig = Rig::new().await;
    let adapter = rig.adapter_with(|config| {
        taking(config);
        config.spool = None;
    });
    adapter.connect().await.unwrap();
    assert!(adapter.capabilities().has(Capability::Incoming));
    assert!(!adapter.capabilities().has(Capability::ReceiveFax));
    let id = come(&rig, &adapter, sender(IncomingFax::new(1))).await;
    let error = adapter.accept(&id.into(), AcceptAs::Fax).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(adapter.snapshot().incoming.len(), 1);

    let rig = Rig::with(|builder| builder.without_fax()).await;
    let adapter = connected(&rig).await;
    assert!(!adapter.capabilities().has(Capability::ReceiveFax));
}
