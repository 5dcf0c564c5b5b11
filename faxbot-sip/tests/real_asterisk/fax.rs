//! Faxes through real Asterisk 16 and 22, and what is known of them when a link or a process dies.

use std::{
    fs,
    io::Write as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::real::{
    Asterisk, FAX_LIMIT, LIMIT, PACE, Version, connected,
    link::CuttableLink,
    pages::{assert_same_pixels, quick_page, received_pixels, sent_pixels, slow_pages},
    sender_and_receiver, until, within,
};
use faxbot_core::{
    Timestamp,
    document::FaxImage,
    fax::{
        FailureClass, FaxCall, FaxOutcome, FaxPhase, FaxRequest, FaxTransport, OutcomeStatus,
        T38Mode,
    },
    id::{CallId, CallRef},
    plugin::CancelOutcome,
    sip::{CallRecord, ConnectionState, Disposition, Lookup, SipAdapter as _},
};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use serde_json::{Value, json};

crate::on_both_versions!(
    a_fax_arrives_over_t38_and_leaves_nothing_behind,
    a_fax_arrives_over_audio_when_t38_is_disabled,
    ten_faxes_at_once_do_not_mix,
    a_fax_to_a_busy_or_silent_line_fails_before_a_page,
    a_fax_that_is_cancelled_in_page_2_keeps_the_confirmed_page,
    a_dialplan_reload_in_mid_fax_loses_no_outcome,
    a_fax_that_goes_on_while_the_link_is_cut_in_page_2_is_followed_to_its_end,
    a_fax_that_ends_while_the_link_is_cut_has_its_true_outcome,
    a_fax_that_was_running_when_asterisk_died_is_outcome_unknown,
    a_new_process_finds_the_outcome_of_a_fax_whose_sender_was_killed,
    a_fax_of_a_weak_account_that_ends_while_the_link_is_cut_is_outcome_unknown,
);

const FAX_NUMBER: &str = "+15551234567";

fn fax(to: &str, image: &FaxImage) -> FaxRequest {
    FaxRequest::new(to.parse().unwrap(), image.clone())
}

async fn wait_for_page_2(fax: &FaxCall) {
    let mut fax = fax.clone();
    within("page 2 is on the line", FAX_LIMIT, async {
        while fax.progress().page != Some(2) {
            assert_ne!(fax.progress().phase, FaxPhase::Finished, "it ended before");
            fax.changed().await.unwrap();
        }
    })
    .await;
    assert_eq!(fax.progress().pages_confirmed, Some(1));
}

async fn result(fax: &FaxCall) -> FaxOutcome {
    within("the fax ends", FAX_LIMIT, fax.result())
        .await
        .unwrap()
}

fn assert_all_pages(outcome: &FaxOutcome, pages: u32) {
    assert!(outcome.is_success(), "{outcome:?}");
    assert_eq!(outcome.pages_confirmed, Some(pages));
    assert_eq!(outcome.transport, Some(FaxTransport::T38));
}

async fn ended(adapter: &AsteriskAdapter, call: &CallRef) -> CallRecord {
    until(
        "the outcome can be looked up",
        FAX_LIMIT,
        async || match adapter.lookup(call).await.unwrap() {
            Lookup::Ended(record) => Some(*record),
            Lookup::Live(_) => None,
            other => panic!("{other:?}"),
        },
    )
    .await
}

async fn wait_for_connection(adapter: &AsteriskAdapter, state: ConnectionState) {
    until("the connection has its state", LIMIT, async || {
        (adapter.connection().state == state).then_some(())
    })
    .await;
}

/// The channels end, whatever the adapter knows of it.
async fn wait_for_silence(asterisk: &Asterisk) {
    until("all channels are gone", FAX_LIMIT, async || {
        let channels = asterisk.console("core show channels count").await;
        channels.contains("0 active channels").then_some(())
    })
    .await;
}

fn over_link(asterisk: &Asterisk, link: &CuttableLink) -> AsteriskConfig {
    asterisk.config_of("faxbot", "s3cret", link.port(), &json!({}))
}

async fn a_fax_arrives_over_t38_and_leaves_nothing_behind(version: Version) {
    let (sender, receiver) = sender_and_receiver(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = quick_page(directory.path());
    let adapter = sender.adapter().await;
    let mut request = fax(FAX_NUMBER, &image).with_station_id("+15551230000".parse().unwrap());
    request.t38 = T38Mode::Require;
    let id = CallRef::from(request.id);
    let call = adapter.send_fax(request).await.unwrap();
    assert_eq!(fs::read_dir(sender.spool()).unwrap().count(), 1);
    let outcome = result(&call).await;
    assert_all_pages(&outcome, 1);
    assert_eq!(outcome.ecm, Some(true));
    let station = outcome.remote_station_id.unwrap();
    assert_eq!(station.expose(), "RECEIVER");
    let received = receiver.wait_received(1).await;
    assert_eq!((received[0].is_success(), received[0].pages()), (true, 1));
    assert!(received[0].status.contains("|+15551230000|"));
    assert_same_pixels(
        &sent_pixels(&image),
        &received_pixels(&received[0].tiff, directory.path()),
    );
    assert_eq!(call.progress().phase, FaxPhase::Finished);
    until("the spool is empty", LIMIT, async || {
        (fs::read_dir(sender.spool()).unwrap().count() == 0).then_some(())
    })
    .await;
    // Kept at the server until it is released.
    let kept = sender.console("database show faxbot-faxbot").await;
    assert!(kept.contains("SUCCESS"), "{kept}");
    adapter.release(&id).await.unwrap();
    let kept = sender.console("database show faxbot-faxbot").await;
    assert!(!kept.contains("SUCCESS"), "{kept}");
    adapter.release(&id).await.unwrap();
}

async fn a_fax_arrives_over_audio_when_t38_is_disabled(version: Version) {
    let sender = Asterisk::start(version, &[PACE]).await;
    let directory = tempfile::tempdir().unwrap();
    let image = quick_page(directory.path());
    // An endpoint without T.38: the receiver cannot switch over by itself.
    let config = sender.config(&json!({ "dial": "PJSIP/{number}@audioloop" }));
    let adapter = connected(config).await;
    let mut request = fax("700", &image);
    request.t38 = T38Mode::Disable;
    let outcome = result(&adapter.send_fax(request).await.unwrap()).await;
    assert!(outcome.is_success(), "{outcome:?}");
    assert_eq!(outcome.transport, Some(FaxTransport::Audio));
    assert!(sender.wait_received(1).await[0].is_success());
}

async fn ten_faxes_at_once_do_not_mix(version: Version) {
    let (sender, receiver) = sender_and_receiver(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = quick_page(directory.path());
    let adapter = sender.adapter().await;
    let mut calls = Vec::new();
    for number in 0..10 {
        let to = if number % 5 == 0 {
            "+15551230602"
        } else {
            FAX_NUMBER
        };
        calls.push(adapter.send_fax(fax(to, &image)).await.unwrap());
    }
    for (number, call) in calls.iter().enumerate() {
        let outcome = result(call).await;
        if number % 5 == 0 {
            assert_eq!(outcome.class(), Some(FailureClass::Busy));
        } else {
            assert_all_pages(&outcome, 1);
        }
    }
    assert_eq!(receiver.wait_received(8).await.len(), 8);
}

async fn a_fax_to_a_busy_or_silent_line_fails_before_a_page(version: Version) {
    let (sender, _receiver) = sender_and_receiver(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = quick_page(directory.path());
    let adapter = sender.adapter().await;
    for (to, class) in [
        ("+15551230602", FailureClass::Busy),
        ("+15551230603", FailureClass::NoAnswer),
        ("+15551230604", FailureClass::Congestion),
        ("+15551230605", FailureClass::InvalidNumber),
        ("+15551230609", FailureClass::Rejected),
    ] {
        let mut request = fax(to, &image);
        request.ring_timeout = Duration::from_secs(1);
        let outcome = result(&adapter.send_fax(request).await.unwrap()).await;
        assert_eq!(outcome.status, OutcomeStatus::Failed, "{to}");
        assert_eq!(outcome.class(), Some(class), "{to}");
        assert!(outcome.certainly_nothing_delivered(), "{to}");
    }
    until("the spool is empty", LIMIT, async || {
        (fs::read_dir(sender.spool()).unwrap().count() == 0).then_some(())
    })
    .await;
}

async fn a_fax_that_is_cancelled_in_page_2_keeps_the_confirmed_page(version: Version) {
    let (sender, _receiver) = sender_and_receiver(version).await;
    let directory = tempfile::tempdir().unwrap();
    let adapter = sender.adapter().await;
    let image = slow_pages(directory.path());
    let call = adapter.send_fax(fax(FAX_NUMBER, &image)).await.unwrap();
    wait_for_page_2(&call).await;
    assert_eq!(call.cancel().await.unwrap(), CancelOutcome::Requested);
    let outcome = result(&call).await;
    assert_eq!(outcome.status, OutcomeStatus::Failed);
    assert_eq!(outcome.class(), Some(FailureClass::Cancelled));
    assert_eq!(outcome.pages_confirmed, Some(1));
    assert!(!outcome.certainly_nothing_delivered());
    assert_eq!(call.cancel().await.unwrap(), CancelOutcome::TooLate);
}

async fn a_dialplan_reload_in_mid_fax_loses_no_outcome(version: Version) {
    let (sender, _receiver) = sender_and_receiver(version).await;
    let directory = tempfile::tempdir().unwrap();
    let adapter = sender.adapter().await;
    let image = slow_pages(directory.path());
    let call = adapter.send_fax(fax(FAX_NUMBER, &image)).await.unwrap();
    wait_for_page_2(&call).await;
    // It takes extensions of the run time away, and no event tells.
    sender.console("dialplan reload").await;
    until("the extension is there again", LIMIT, async || {
        let shown = sender.console("dialplan show s@faxbot-faxbot").await;
        shown.contains("HANGUPCAUSE").then_some(())
    })
    .await;
    assert_all_pages(&result(&call).await, 3);
    // And from the server, as a new process reads it.
    let id = CallRef::from(call.id());
    let record = ended(&sender.adapter().await, &id).await;
    assert_all_pages(record.fax.as_ref().unwrap(), 3);
}

async fn a_fax_that_goes_on_while_the_link_is_cut_in_page_2_is_followed_to_its_end(
    version: Version,
) {
    let (sender, receiver) = sender_and_receiver(version).await;
    let directory = tempfile::tempdir().unwrap();
    let link = CuttableLink::to(sender.ami_port()).await;
    let adapter = connected(over_link(&sender, &link)).await;
    let image = slow_pages(directory.path());
    let call = adapter.send_fax(fax(FAX_NUMBER, &image)).await.unwrap();
    wait_for_page_2(&call).await;
    link.cut();
    wait_for_connection(&adapter, ConnectionState::Connecting).await;
    link.mend();
    wait_for_connection(&adapter, ConnectionState::Connected).await;
    assert_eq!(adapter.snapshot().faxes.len(), 1, "it runs still");
    assert_all_pages(&result(&call).await, 3);
    assert_eq!(receiver.wait_received(1).await.len(), 1);
}

async fn a_fax_that_ends_while_the_link_is_cut_has_its_true_outcome(version: Version) {
    let (sender, receiver) = sender_and_receiver(version).await;
    let directory = tempfile::tempdir().unwrap();
    let link = CuttableLink::to(sender.ami_port()).await;
    let adapter = connected(over_link(&sender, &link)).await;
    let image = slow_pages(directory.path());
    let succeeds = adapter.send_fax(fax(FAX_NUMBER, &image)).await.unwrap();
    let fails = adapter.send_fax(fax(FAX_NUMBER, &image)).await.unwrap();
    tokio::join!(wait_for_page_2(&succeeds), wait_for_page_2(&fails));
    link.cut();
    wait_for_connection(&adapter, ConnectionState::Connecting).await;
    // One is hung up by somebody else meanwhile.
    let other = sender.adapter().await;
    other.hangup(&fails.id().into()).await.unwrap();
    receiver.wait_received(2).await;
    wait_for_silence(&sender).await;
    assert_eq!(adapter.snapshot().faxes.len(), 2, "nothing is made up");
    link.mend();
    assert_all_pages(&result(&succeeds).await, 3);
    let outcome = result(&fails).await;
    assert_eq!(outcome.status, OutcomeStatus::Failed, "{outcome:?}");
    assert_eq!(outcome.class(), Some(FailureClass::CommError));
    assert_eq!(outcome.pages_confirmed, Some(1));
}

async fn a_fax_that_was_running_when_asterisk_died_is_outcome_unknown(version: Version) {
    let (mut sender, _receiver) = sender_and_receiver(version).await;
    let directory = tempfile::tempdir().unwrap();
    let adapter = sender.adapter().await;
    let image = slow_pages(directory.path());
    let call = adapter.send_fax(fax(FAX_NUMBER, &image)).await.unwrap();
    wait_for_page_2(&call).await;
    sender.kill().await;
    sender.start_again(&[]).await;
    let outcome = result(&call).await;
    assert_eq!(outcome.status, OutcomeStatus::Unknown, "{outcome:?}");
    assert_eq!(outcome.pages_confirmed, Some(1), "the pages last seen");
    assert_eq!(outcome.pages_total, Some(3));
    // A new process that asks is told that nobody knows, never that it did not exist.
    let other = sender.adapter().await;
    let requested = Timestamp::now() - Duration::from_secs(3600);
    let id = CallRef::from(call.id()).requested_at(requested);
    let answer = other.lookup(&id).await.unwrap();
    assert!(matches!(answer, Lookup::Unknown(_)), "{answer:?}");
    wait_for_connection(&adapter, ConnectionState::Connected).await;
    until("the spool is empty", LIMIT, async || {
        (fs::read_dir(sender.spool()).unwrap().count() == 0).then_some(())
    })
    .await;
}

async fn a_fax_of_a_weak_account_that_ends_while_the_link_is_cut_is_outcome_unknown(
    version: Version,
) {
    let (sender, receiver) = sender_and_receiver(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = slow_pages(directory.path());
    let link = CuttableLink::to(sender.ami_port()).await;
    let config = sender.config_of("weak", "w3ak", link.port(), &json!({}));
    let adapter = connected(config).await;
    let call = adapter.send_fax(fax(FAX_NUMBER, &image)).await.unwrap();
    wait_for_page_2(&call).await;
    link.cut();
    receiver.wait_received(1).await;
    wait_for_silence(&sender).await;
    link.mend();
    let outcome = result(&call).await;
    assert_eq!(outcome.status, OutcomeStatus::Unknown, "{outcome:?}");
    assert_eq!(outcome.pages_confirmed, Some(1));
}

/// Says to the child which fax it sends.
const CHILD: &str = "FAXBOT_TEST_CHILD";

/// What the child says when page 2 is on the line.
const IN_PAGE_2: &str = "the fax is in page 2";

/// A process of this same test program that sends a fax.
struct Sender(Child);

impl Sender {
    fn start(asterisk: &Asterisk, id: CallId, image: &FaxImage, said: &std::path::Path) -> Self {
        let order = json!({
            "port": asterisk.ami_port(),
            "spool": asterisk.spool(),
            "spool_remote": asterisk.spool_remote(),
            "id": id,
            "image": image.path(),
            "say": said,
        });
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fax::the_child_of_the_test_with_two_processes"])
            .env(CHILD, order.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(&mut self) {
        // SIGKILL on Unix.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does nothing unless the test below starts it.
#[tokio::test]
async fn the_child_of_the_test_with_two_processes() {
    let Ok(order) = std::env::var(CHILD) else {
        return;
    };
    let order: Value = serde_json::from_str(&order).unwrap();
    let config = AsteriskConfig::from_value(&json!({
        "type": "asterisk",
        "port": order["port"],
        "auth": { "username": "faxbot", "password": "s3cret" },
        "options": {
            "dial": "PJSIP/{number}@trunk",
            "spool": order["spool"],
            "spool_remote": order["spool_remote"],
            "fax_poll": "100ms",
        },
    }));
    let adapter = connected(config.unwrap()).await;
    let id = serde_json::from_value(order["id"].clone()).unwrap();
    let image = FaxImage::open(order["image"].as_str().unwrap()).unwrap();
    let call = adapter
        .send_fax(fax(FAX_NUMBER, &image).with_id(id))
        .await
        .unwrap();
    wait_for_page_2(&call).await;
    let mut say = fs::File::create(order["say"].as_str().unwrap()).unwrap();
    say.write_all(IN_PAGE_2.as_bytes()).unwrap();
    // It is killed here.
    result(&call).await;
}

async fn a_new_process_finds_the_outcome_of_a_fax_whose_sender_was_killed(version: Version) {
    let (sender, receiver) = sender_and_receiver(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = slow_pages(directory.path());
    let id = CallId::new();
    let requested = Timestamp::now();
    let said = directory.path().join("said");
    let mut process = Sender::start(&sender, id, &image, &said);
    until("the other process is in page 2", FAX_LIMIT, async || {
        let text = fs::read_to_string(&said).unwrap_or_default();
        (text == IN_PAGE_2).then_some(())
    })
    .await;
    process.kill();
    // All that is left of it: the id.
    let id = CallRef::from(id).requested_at(requested);
    let adapter = sender.adapter().await;
    let answer = adapter.lookup(&id).await.unwrap();
    assert!(matches!(answer, Lookup::Live(_)), "{answer:?}");
    assert_eq!(
        fs::read_dir(sender.spool()).unwrap().count(),
        1,
        "the pages of a fax that runs are not swept"
    );
    let record = ended(&adapter, &id).await;
    assert_eq!(record.disposition, Disposition::Answered);
    assert_all_pages(record.fax.as_ref().unwrap(), 3);
    assert_eq!(receiver.wait_received(1).await[0].pages(), 3);
    // The answer stays until it is released, for another new process too.
    let other = sender.adapter().await;
    ended(&other, &id).await;
    assert_eq!(
        fs::read_dir(sender.spool()).unwrap().count(),
        0,
        "leftovers are swept"
    );
    adapter.release(&id).await.unwrap();
    let answer = adapter.lookup(&id).await.unwrap();
    assert!(!matches!(answer, Lookup::Ended(_)), "{answer:?}");
    let kept = sender.console("database show faxbot-faxbot").await;
    assert!(kept.contains("0 results found"), "{kept}");
}
