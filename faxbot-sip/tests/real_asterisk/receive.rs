//! Faxes that come in to real Asterisk 16 and 22, from another one.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use crate::real::{
    Asterisk, FAX_LIMIT, LIMIT, Version, connected,
    link::CuttableLink,
    pages::{Rows, assert_same_pixels, quick_page, received_pixels, sent_pixels, slow_pages},
    sender_and_receiver, until, within,
};
use faxbot_core::{
    ErrorKind,
    document::FaxImage,
    fax::{FaxCall, FaxPhase, FaxRequest, FaxTransport, OutcomeStatus, T38Mode, TakenFax},
    id::CallRef,
    sip::{AcceptAs, Capability, SipAdapter as _},
};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, PreflightProblem};
use serde_json::{Value, json};

crate::on_both_versions!(
    preflight_finds_a_spool_that_asterisk_may_not_write,
    a_fax_is_received_over_t38_and_taken_once,
    a_fax_is_received_over_audio,
    a_sender_that_breaks_off_in_page_2_leaves_page_1,
    a_fax_that_we_hang_up_in_page_2_leaves_page_1,
    a_fax_that_ends_while_the_link_is_cut_is_taken_with_its_outcome,
    a_new_process_takes_a_fax_that_an_earlier_one_accepted,
    the_pages_that_came_before_asterisk_died_are_taken,
    a_caller_that_is_no_fax_ends_without_a_page,
);

const INCOMING: &str = "+15551230710";

fn options() -> Value {
    json!({ "incoming_context": "incoming", "station_id": "+1 555 710" })
}

struct Rig {
    sender: AsteriskAdapter,
    receiver: AsteriskAdapter,
    // Dropped after the adapters.
    receiving: Asterisk,
    _sending: Asterisk,
}

impl Rig {
    async fn new(version: Version) -> Self {
        let (sending, receiving) = sender_and_receiver(version).await;
        let receiver = connected(receiving.config(&options())).await;
        assert!(receiver.capabilities().has(Capability::ReceiveFax));
        Self {
            sender: sending.adapter().await,
            receiver,
            receiving,
            _sending: sending,
        }
    }

    async fn send(&self, image: &FaxImage, t38: T38Mode) -> FaxCall {
        let mut request = FaxRequest::new(INCOMING.parse().unwrap(), image.clone())
            .with_station_id("+15551230000".parse().unwrap());
        request.t38 = t38;
        self.sender.send_fax(request).await.unwrap()
    }

    /// Accepts the call that comes in as a fax.
    async fn accept(&self) -> CallRef {
        let call = until("the fax is told of", LIMIT, async || {
            self.receiver.snapshot().incoming.pop()
        })
        .await;
        let call = CallRef::from(call.id);
        self.receiver.accept(&call, AcceptAs::Fax).await.unwrap();
        call
    }

    async fn wait_for_page_2(&self) {
        until("page 2 comes in", FAX_LIMIT, async || {
            let faxes = self.receiver.snapshot().faxes;
            let progress = faxes.first().map(|(_, progress)| *progress);
            assert!(progress.is_some(), "it ended before");
            let there = progress.is_some_and(|it| {
                it.phase == FaxPhase::Transmitting && it.pages_confirmed == Some(1)
            });
            there.then_some(())
        })
        .await;
    }
}

async fn take(adapter: &AsteriskAdapter, call: &CallRef) -> TakenFax {
    within("the fax is over", FAX_LIMIT, adapter.take_fax(call))
        .await
        .unwrap()
}

fn pixels(fax: &TakenFax, directory: &Path) -> Vec<Rows> {
    received_pixels(fax.file.as_deref().unwrap(), directory)
}

/// The first page came whole, and nothing of another.
fn assert_page_1_only(fax: &TakenFax, image: &FaxImage, directory: &Path) {
    assert_eq!(fax.outcome.status, OutcomeStatus::Failed, "{fax:?}");
    assert_eq!(fax.outcome.pages_confirmed, Some(1));
    assert_eq!(fax.outcome.pages_total, None);
    assert_same_pixels(&sent_pixels(image)[..1], &pixels(fax, directory));
}

async fn preflight_finds_a_spool_that_asterisk_may_not_write(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = connected(asterisk.config(&options())).await;
    let found = adapter.preflight().await.unwrap();
    assert!(found.is_ready(), "{found}");
    fs::set_permissions(asterisk.spool(), fs::Permissions::from_mode(0o2750)).unwrap();
    let found = adapter.preflight().await.unwrap();
    assert_eq!(
        found.problems,
        [PreflightProblem::SpoolNotWritableByAsterisk]
    );
    assert_eq!(left(&asterisk), 0);
    // Who sends only needs no such right.
    let found = asterisk.adapter().await.preflight().await.unwrap();
    assert!(found.is_ready(), "{found}");
}

async fn a_fax_is_received_over_t38_and_taken_once(version: Version) {
    let rig = Rig::new(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = slow_pages(directory.path());
    let sent = rig.send(&image, T38Mode::Require).await;
    let call = rig.accept().await;
    rig.wait_for_page_2().await;
    let fax = take(&rig.receiver, &call).await;
    let outcome = &fax.outcome;
    assert!(outcome.is_success(), "{outcome:?}");
    assert_eq!(outcome.pages_confirmed, Some(3));
    assert_eq!(outcome.pages_total, None);
    assert_eq!(outcome.transport, Some(FaxTransport::T38));
    assert_eq!(outcome.ecm, Some(true));
    assert_eq!(outcome.bit_rate, Some(14_400));
    assert_eq!(outcome.resolution, Some(image.resolution()));
    assert_eq!(outcome.bad_lines, Some(0));
    assert_eq!(
        outcome.remote_station_id.as_ref().unwrap().expose(),
        "+15551230000"
    );
    assert_eq!(
        outcome.local_station_id.as_ref().unwrap().expose(),
        "+1 555 710"
    );
    assert_same_pixels(&sent_pixels(&image), &pixels(&fax, directory.path()));
    let again = rig.receiver.take_fax(&call).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    let sent = within("the sender ends", FAX_LIMIT, sent.result())
        .await
        .unwrap();
    assert!(sent.is_success(), "{sent:?}");
    let heard = sent.remote_station_id.unwrap();
    assert_eq!(heard.expose(), "+1 555 710");
    // Ours to delete: the only file that is left.
    fs::remove_file(fax.file.unwrap()).unwrap();
    assert_eq!(left(&rig.receiving), 0);
}

/// Files in the spool, without the directory of faxes that the dialplan receives.
fn left(asterisk: &Asterisk) -> usize {
    let entries = fs::read_dir(asterisk.spool()).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "tif"))
        .count()
}

async fn a_fax_is_received_over_audio(version: Version) {
    let rig = Rig::new(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = quick_page(directory.path());
    let _sent = rig.send(&image, T38Mode::Disable).await;
    let call = rig.accept().await;
    let fax = take(&rig.receiver, &call).await;
    assert!(fax.outcome.is_success(), "{:?}", fax.outcome);
    assert_eq!(fax.outcome.transport, Some(FaxTransport::Audio));
    assert_same_pixels(&sent_pixels(&image), &pixels(&fax, directory.path()));
}

async fn a_sender_that_breaks_off_in_page_2_leaves_page_1(version: Version) {
    let rig = Rig::new(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = slow_pages(directory.path());
    let sent = rig.send(&image, T38Mode::Require).await;
    let call = rig.accept().await;
    rig.wait_for_page_2().await;
    sent.cancel().await.unwrap();
    let fax = take(&rig.receiver, &call).await;
    assert_page_1_only(&fax, &image, directory.path());
}

async fn a_fax_that_we_hang_up_in_page_2_leaves_page_1(version: Version) {
    let rig = Rig::new(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = slow_pages(directory.path());
    let _sent = rig.send(&image, T38Mode::Require).await;
    let call = rig.accept().await;
    rig.wait_for_page_2().await;
    rig.receiver.hangup(&call).await.unwrap();
    let fax = take(&rig.receiver, &call).await;
    assert_page_1_only(&fax, &image, directory.path());
}

async fn a_fax_that_ends_while_the_link_is_cut_is_taken_with_its_outcome(version: Version) {
    let mut rig = Rig::new(version).await;
    let link = CuttableLink::to(rig.receiving.ami_port()).await;
    let config = rig
        .receiving
        .config_of("faxbot", "s3cret", link.port(), &options());
    rig.receiver.disconnect(LIMIT).await.unwrap();
    rig.receiver = connected(config).await;
    let directory = tempfile::tempdir().unwrap();
    let image = quick_page(directory.path());
    let sent = rig.send(&image, T38Mode::Require).await;
    let call = rig.accept().await;
    link.cut();
    within("the sender ends", FAX_LIMIT, sent.result())
        .await
        .unwrap();
    link.mend();
    let fax = take(&rig.receiver, &call).await;
    assert!(fax.outcome.is_success(), "{:?}", fax.outcome);
    assert_same_pixels(&sent_pixels(&image), &pixels(&fax, directory.path()));
}

async fn a_new_process_takes_a_fax_that_an_earlier_one_accepted(version: Version) {
    let mut rig = Rig::new(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = slow_pages(directory.path());
    let _sent = rig.send(&image, T38Mode::Require).await;
    let call = rig.accept().await;
    rig.wait_for_page_2().await;
    rig.receiver.disconnect(LIMIT).await.unwrap();
    rig.receiver = connected(rig.receiving.config(&options())).await;
    let fax = take(&rig.receiver, &call).await;
    assert!(fax.outcome.is_success(), "{:?}", fax.outcome);
    assert_eq!(fax.outcome.pages_confirmed, Some(3));
    assert_same_pixels(&sent_pixels(&image), &pixels(&fax, directory.path()));
    let again = rig.receiver.take_fax(&call).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
}

async fn the_pages_that_came_before_asterisk_died_are_taken(version: Version) {
    let mut rig = Rig::new(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = slow_pages(directory.path());
    let _sent = rig.send(&image, T38Mode::Require).await;
    let call = rig.accept().await;
    rig.wait_for_page_2().await;
    rig.receiving.kill().await;
    rig.receiving.start_again(&[]).await;
    let fax = take(&rig.receiver, &call).await;
    assert_eq!(fax.outcome.status, OutcomeStatus::Unknown);
    assert_eq!(fax.outcome.pages_confirmed, Some(1));
    let pages = pixels(&fax, directory.path());
    assert_same_pixels(&sent_pixels(&image)[..1], &pages[..1]);
}

async fn a_caller_that_is_no_fax_ends_without_a_page(version: Version) {
    let rig = Rig::new(version).await;
    let call = faxbot_core::sip::CallRequest::dial(INCOMING.parse().unwrap());
    let silent = rig.sender.make_call(call).await.unwrap();
    let call = rig.accept().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    rig.sender.hangup(&silent.call_ref()).await.unwrap();
    let fax = take(&rig.receiver, &call).await;
    assert_eq!(fax.outcome.status, OutcomeStatus::Failed);
    assert_eq!(fax.outcome.pages_confirmed, Some(0));
    assert_eq!(fax.file, None);
}
