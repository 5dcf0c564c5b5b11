//! The whole way on real Asterisk 16 and 22: a PDF, our converter, our plugin, T.38, a received TIFF.
#![cfg(test)]
#![cfg(all(feature = "sip-fax", feature = "render"))]

mod real;

use std::{fs, path::Path, process::Command, sync::Arc, time::Duration};

use faxbot_core::{
    Timestamp,
    document::{ConvertOptions, Document, DocumentConverter as _, FaxImage, PageHeader},
    fax::{
        FailureClass, FaxCall, FaxRequest, FaxTransport, JobStatus, OutcomeStatus, T38Mode,
        TakenFax,
    },
    id::{CallId, CallRef, JobId},
    plugin::{CancelOutcome, FaxPlugin as _, Plugin as _, PluginDeps, SendOptions, StatusResult},
    sip::{AcceptAs, CallState, SipAdapter},
};
use faxbot_providers::{
    document::{PngOptions, RenderConverter, received_page_to_png},
    sip_fax::SipFaxPlugin,
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;
use real::{
    Asterisk, FAX_LIMIT, LIMIT, PACE, Received, Version, connected,
    link::CuttableLink,
    pages::{HEADER_ROWS, Rows, assert_same_pixels, received_pixels, sent_pixels, slow_pages},
    relay::CountingRelay,
    sender_and_receiver, until, within,
};
use serde_json::{Value, json};

on_both_versions!(
    a_pdf_arrives_over_t38_with_identical_pixels,
    a_pdf_with_a_header_line_arrives_with_identical_pixels_below_it,
    a_busy_line_is_dialled_again_by_policy,
    a_line_that_nobody_answers_is_dialled_again_by_policy,
    a_fax_that_is_cancelled_while_it_rings_is_cancelled,
    a_fax_with_a_confirmed_page_is_not_dialled_again_when_resuming_is_off,
    a_fax_that_is_cut_in_page_2_is_sent_on_from_there,
    a_fax_that_is_sent_on_has_a_header_line_with_the_numbers_of_its_pages,
    a_fax_that_ends_while_the_link_is_cut_succeeds_with_one_call,
    a_new_plugin_recovers_a_fax_by_the_id_of_its_job,
    a_fax_that_was_in_page_2_when_asterisk_died_is_unknown_and_dialled_once,
    a_text_that_comes_in_over_t38_is_read_by_ocr,
    a_text_whose_sender_breaks_off_in_page_2_is_read_up_to_there,
);

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/assets/sample.pdf");

/// All waits of the policy, so that a dial that must not come would come soon.
const SOON: Duration = Duration::from_secs(1);

fn soon() -> Value {
    json!({
        "max_dials": 3,
        "max_tries": 3,
        "busy_wait": "1s",
        "no_answer_waits": ["1s", "1s"],
        "congestion_wait": "1s",
        "congestion_wait_max": "1s",
        "comm_error_wait": "1s",
        "not_a_fax_wait": "1s",
        "lookup_patience": "5s",
        "server_patience": "5s",
        "jitter": 0,
    })
}

/// The plugin over an adapter of this Asterisk.
async fn plugin(asterisk: &Asterisk, options: &Value) -> SipFaxPlugin {
    plugin_over(Arc::new(asterisk.adapter().await), options).await
}

async fn plugin_over(adapter: Arc<dyn SipAdapter>, options: &Value) -> SipFaxPlugin {
    let plugin = SipFaxPlugin::new(adapter);
    let deps = PluginDeps::current()
        .unwrap()
        .with_documents(Arc::new(RenderConverter::new()));
    plugin
        .start(json!({ "options": options }), deps)
        .await
        .unwrap();
    plugin
}

async fn send(plugin: &SipFaxPlugin, to: &str, document: Document, options: SendOptions) -> JobId {
    let to = to.parse().unwrap();
    plugin.send_fax(to, document, options).await.unwrap().job_id
}

async fn wait_for(
    plugin: &SipFaxPlugin,
    job: &JobId,
    what: &str,
    done: impl Fn(&StatusResult) -> bool,
) -> StatusResult {
    until(what, FAX_LIMIT, async || {
        let status = plugin.get_status(job).await.unwrap();
        done(&status).then_some(status)
    })
    .await
}

async fn end_of(plugin: &SipFaxPlugin, job: &JobId) -> StatusResult {
    wait_for(plugin, job, "the job ends", |status| {
        status.status.is_final() || status.status == JobStatus::OutcomeUnknown
    })
    .await
}

async fn wait_for_page_2(plugin: &SipFaxPlugin, job: &JobId) {
    wait_for(plugin, job, "page 2 is on the line", |status| {
        assert!(!status.status.is_final(), "{status:?}");
        let page = status.detail.progress.and_then(|progress| progress.page);
        page == Some(2)
    })
    .await;
}

/// Sends the sample and answers its pages as they were made and as they arrived.
async fn send_the_sample(version: Version, header: &str) -> (Vec<Rows>, Vec<Rows>) {
    let (sender, receiver) = sender_and_receiver(version).await;
    let options = json!({ "station_id": "+15551230000", "header": header, "t38": "require" });
    let plugin = plugin(&sender, &options).await;
    let document = Document::path(SAMPLE);
    let job = send(
        &plugin,
        "+15551234567",
        document.clone(),
        SendOptions::new(),
    )
    .await;
    let status = end_of(&plugin, &job).await;
    assert_eq!(status.status, JobStatus::Success, "{status:?}");
    let outcome = status.detail.outcome.unwrap();
    assert_eq!(outcome.transport, Some(FaxTransport::T38));
    let converter = RenderConverter::new();
    let image = converter
        .to_fax(document, ConvertOptions::default())
        .await
        .unwrap();
    assert!(image.pages() > 1, "the sample has several pages");
    assert_eq!(status.pages, Some(image.pages()));
    assert_eq!(outcome.pages_total, Some(image.pages()));
    let received = receiver.wait_received(1).await;
    assert!(received[0].is_success(), "{}", received[0].status);
    assert_eq!(received[0].pages(), image.pages());
    plugin.stop().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    (
        sent_pixels(&image),
        received_pixels(&received[0].tiff, directory.path()),
    )
}

async fn a_pdf_arrives_over_t38_with_identical_pixels(version: Version) {
    let (sent, received) = send_the_sample(version, "").await;
    assert!(
        sent.iter()
            .all(|page| page.iter().flatten().any(|&byte| byte != 0)),
        "no page is blank"
    );
    assert_same_pixels(&sent, &received);
}

async fn a_pdf_with_a_header_line_arrives_with_identical_pixels_below_it(version: Version) {
    let (sent, mut received) = send_the_sample(version, "Example Clinic").await;
    for page in &mut received {
        let header: Rows = page.drain(..HEADER_ROWS).collect();
        assert!(
            header.iter().flatten().any(|&byte| byte != 0),
            "the header line is there"
        );
    }
    assert_same_pixels(&sent, &received);
}

/// A sender whose SIP goes through a relay that counts calls.
async fn counted_sender(version: Version) -> (Asterisk, CountingRelay, Asterisk) {
    let receiver = Asterisk::start(version, &[PACE]).await;
    let relay = CountingRelay::to(receiver.sip_port()).await;
    let trunk = format!("trunk=127.0.0.1:{}", relay.port());
    let sender = Asterisk::start(version, &[&trunk, PACE]).await;
    (sender, relay, receiver)
}

async fn a_busy_line_is_dialled_again_by_policy(version: Version) {
    let (sender, relay, _receiver) = counted_sender(version).await;
    let plugin = plugin(&sender, &soon()).await;
    let document = Document::path(SAMPLE);
    let job = send(&plugin, "+15551230602", document, SendOptions::new()).await;
    let status = end_of(&plugin, &job).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(status.pages, Some(0));
    assert_eq!(status.detail.attempts.len(), 3);
    for attempt in &status.detail.attempts {
        let outcome = attempt.outcome.as_ref().unwrap();
        assert_eq!(outcome.class(), Some(FailureClass::Busy));
        assert_eq!(attempt.call_id, CallId::for_attempt(&job, attempt.number));
    }
    relay.stays_at(3, 2 * SOON).await;
}

async fn a_line_that_nobody_answers_is_dialled_again_by_policy(version: Version) {
    let (sender, relay, _receiver) = counted_sender(version).await;
    let plugin = plugin(&sender, &soon()).await;
    let options = SendOptions::new().with_ring_timeout(Duration::from_secs(1));
    let job = send(&plugin, "+15551230603", Document::path(SAMPLE), options).await;
    let status = end_of(&plugin, &job).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(status.detail.attempts.len(), 3);
    let class = status.detail.outcome.unwrap().class();
    assert_eq!(class, Some(FailureClass::NoAnswer));
    relay.stays_at(3, 2 * SOON).await;
}

async fn a_fax_that_is_cancelled_while_it_rings_is_cancelled(version: Version) {
    let (sender, relay, _receiver) = counted_sender(version).await;
    let adapter = Arc::new(sender.adapter().await);
    let plugin = plugin_over(adapter.clone(), &soon()).await;
    let document = Document::path(SAMPLE);
    let job = send(&plugin, "+15551230603", document, SendOptions::new()).await;
    until("it rings", LIMIT, async || {
        let calls = adapter.snapshot().calls;
        let rings = calls.iter().any(|call| call.state == CallState::Ringing);
        rings.then_some(())
    })
    .await;
    assert_eq!(
        plugin.cancel_fax(&job).await.unwrap(),
        CancelOutcome::Requested
    );
    let status = end_of(&plugin, &job).await;
    assert_eq!(status.status, JobStatus::Cancelled);
    relay.stays_at(1, 2 * SOON).await;
}

async fn a_fax_with_a_confirmed_page_is_not_dialled_again_when_resuming_is_off(version: Version) {
    let (sender, relay, _receiver) = counted_sender(version).await;
    let directory = tempfile::tempdir().unwrap();
    let document = Document::path(slow_pages(directory.path()).path());
    let mut options = soon();
    options["resume"] = json!(false);
    let plugin = plugin(&sender, &options).await;
    let job = send(&plugin, "+15551234567", document, SendOptions::new()).await;
    wait_for_page_2(&plugin, &job).await;
    // Somebody else ends the call.
    sender.console("channel request hangup all").await;
    let status = end_of(&plugin, &job).await;
    assert_eq!(status.status, JobStatus::Failed, "{status:?}");
    assert_eq!(status.pages, Some(1));
    relay.stays_at(1, 3 * SOON).await;
}

/// A fax of three pages that the far end leaves in page 2.
struct CutInPage2 {
    /// The pages as they were sent.
    image: FaxImage,
    /// What arrived in each of the two calls.
    received: [Vec<Rows>; 2],
    /// When the second call was requested.
    resumed: Timestamp,
    _directory: tempfile::TempDir,
}

async fn cut_in_page_2(version: Version, header: &str) -> CutInPage2 {
    let (sender, relay, receiver) = counted_sender(version).await;
    let directory = tempfile::tempdir().unwrap();
    let image = slow_pages(directory.path());
    let mut options = soon();
    options["header"] = json!(header);
    options["station_id"] = json!("+15551230000");
    let plugin = plugin(&sender, &options).await;
    let document = Document::path(image.path());
    let job = send(&plugin, "+15551234567", document, SendOptions::new()).await;
    wait_for_page_2(&plugin, &job).await;
    receiver.console("channel request hangup all").await;
    let status = end_of(&plugin, &job).await;
    assert_eq!(status.status, JobStatus::Success, "{status:?}");
    assert_eq!(status.pages, Some(3));
    let outcome = status.detail.outcome.unwrap();
    assert_eq!(outcome.pages_total, Some(3));
    let calls: Vec<_> = status
        .detail
        .attempts
        .iter()
        .map(|attempt| (attempt.first_page, attempt.pages_confirmed()))
        .collect();
    assert_eq!(calls, [(1, Some(1)), (2, Some(2))]);
    relay.stays_at(2, 2 * SOON).await;
    let received = receiver.wait_received(2).await;
    let pages: Vec<_> = received.iter().map(Received::pages).collect();
    assert_eq!(pages, [1, 2]);
    let pixels = |call: usize| received_pixels(&received[call].tiff, directory.path());
    CutInPage2 {
        received: [pixels(0), pixels(1)],
        resumed: status.detail.attempts[1].started,
        image,
        _directory: directory,
    }
}

async fn a_fax_that_is_cut_in_page_2_is_sent_on_from_there(version: Version) {
    let fax = cut_in_page_2(version, "").await;
    assert_same_pixels(&sent_pixels(&fax.image), &fax.received.concat());
}

async fn a_fax_that_is_sent_on_has_a_header_line_with_the_numbers_of_its_pages(version: Version) {
    let fax = cut_in_page_2(version, "Example Clinic").await;
    let sent = sent_pixels(&fax.image);
    let [mut first, mut rest] = fax.received;
    let converter = RenderConverter::new();
    // The pages with a line of ours, and the numbers from `page` on.
    let with_line = async |page: u32, at: Timestamp| {
        let header = PageHeader::new(at, 3)
            .with_from("Example Clinic  +15551230000")
            .with_to("+15551234567")
            .with_first_page(page);
        let drawn = converter.copy_pages(&fax.image, 1..3, Some(header)).await;
        sent_pixels(&drawn.unwrap())
    };
    // The line was drawn before the call was requested, at times in the minute before.
    let times = [fax.resumed, fax.resumed - Duration::from_secs(20)];
    let mut same = false;
    for at in times {
        same |= with_line(2, at).await == rest;
        assert!(with_line(1, at).await != rest, "the numbers show");
    }
    assert!(same, "2/3 and 3/3 stand above the pages");
    for page in first.iter_mut().chain(&mut rest) {
        let header: Rows = page.drain(..HEADER_ROWS).collect();
        assert!(header.iter().flatten().any(|&byte| byte != 0));
    }
    // Below it each page once, and no second line.
    assert_same_pixels(&sent, &[first, rest].concat());
}

async fn a_fax_that_ends_while_the_link_is_cut_succeeds_with_one_call(version: Version) {
    let (sender, relay, receiver) = counted_sender(version).await;
    let link = CuttableLink::to(sender.ami_port()).await;
    let config = sender.config_of("faxbot", "s3cret", link.port(), &json!({}));
    let plugin = plugin_over(Arc::new(connected(config).await), &soon()).await;
    let directory = tempfile::tempdir().unwrap();
    let document = Document::path(slow_pages(directory.path()).path());
    let job = send(&plugin, "+15551234567", document, SendOptions::new()).await;
    wait_for_page_2(&plugin, &job).await;
    link.cut();
    receiver.wait_received(1).await;
    let status = plugin.get_status(&job).await.unwrap();
    assert!(!status.status.is_final(), "{status:?}");
    link.mend();
    let status = end_of(&plugin, &job).await;
    assert_eq!(status.status, JobStatus::Success, "{status:?}");
    assert_eq!(status.pages, Some(3));
    relay.stays_at(1, 2 * SOON).await;
}

async fn a_new_plugin_recovers_a_fax_by_the_id_of_its_job(version: Version) {
    let (sender, relay, receiver) = counted_sender(version).await;
    let directory = tempfile::tempdir().unwrap();
    let document = Document::path(slow_pages(directory.path()).path());
    let requested = Timestamp::now();
    let job = {
        let plugin = plugin(&sender, &soon()).await;
        let job = send(&plugin, "+15551234567", document, SendOptions::new()).await;
        wait_for_page_2(&plugin, &job).await;
        // All of it is dropped here, as when a process ends.
        job
    };
    let plugin = plugin(&sender, &soon()).await;
    let status = plugin.recover(&job, requested).await.unwrap();
    assert_eq!(status.status, JobStatus::InProgress);
    let status = until("the outcome can be recovered", FAX_LIMIT, async || {
        let status = plugin.recover(&job, requested).await.unwrap();
        (status.status != JobStatus::InProgress).then_some(status)
    })
    .await;
    assert_eq!(status.status, JobStatus::Success, "{status:?}");
    assert_eq!(status.pages, Some(3));
    assert_eq!(receiver.wait_received(1).await[0].pages(), 3);
    relay.stays_at(1, 2 * SOON).await;
}

async fn a_fax_that_was_in_page_2_when_asterisk_died_is_unknown_and_dialled_once(version: Version) {
    let (mut sender, relay, _receiver) = counted_sender(version).await;
    let directory = tempfile::tempdir().unwrap();
    let document = Document::path(slow_pages(directory.path()).path());
    let plugin = plugin(&sender, &soon()).await;
    let job = send(&plugin, "+15551234567", document, SendOptions::new()).await;
    wait_for_page_2(&plugin, &job).await;
    sender.kill().await;
    sender.start_again(&[]).await;
    let status = end_of(&plugin, &job).await;
    assert_eq!(status.status, JobStatus::OutcomeUnknown, "{status:?}");
    let outcome = status.detail.outcome.unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Unknown);
    assert_eq!(outcome.pages_confirmed, Some(1), "the pages last seen");
    assert_eq!(status.detail.attempts.len(), 1);
    // Past every wait of the policy, with two tries left and a server that works again.
    relay.stays_at(1, 8 * SOON).await;
    let status = plugin.get_status(&job).await.unwrap();
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
    let document = Document::path(SAMPLE);
    let job = send(&plugin, "+15551230602", document, SendOptions::new()).await;
    end_of(&plugin, &job).await;
    assert_eq!(relay.calls(), 4, "a new fax is dialled, three times");
}

/// Words that a letter starts with; the rest of it fills pages.
const LETTER: &str = "\
Dear colleague, please confirm receipt of this letter by return. The amount of 1234.56 must be paid \
before 30 November 2026. Patient: Anna Example. Potassium 4.1 normal, Leucocytes 6.8 normal.";

/// A letter as pages, sent from one server to the other, which accepts it as a fax.
struct Letter {
    image: FaxImage,
    sent: FaxCall,
    call: CallRef,
    receiver: AsteriskAdapter,
    // Dropped after the adapter.
    _servers: (Asterisk, Asterisk),
    _sender: AsteriskAdapter,
}

impl Letter {
    async fn send(version: Version, pages: u32) -> Self {
        let (sending, receiving) = sender_and_receiver(version).await;
        let options = json!({ "incoming_context": "incoming" });
        let receiver = connected(receiving.config(&options)).await;
        let sender = sending.adapter().await;
        let text = vec![LETTER; pages as usize].join("\u{c}");
        let image = RenderConverter::new()
            .to_fax(Document::bytes(text), ConvertOptions::default())
            .await
            .unwrap();
        assert_eq!(image.pages(), pages);
        let mut request = FaxRequest::new("+15551230710".parse().unwrap(), image.clone());
        request.t38 = T38Mode::Require;
        let sent = sender.send_fax(request).await.unwrap();
        let id = until("the fax is told of", LIMIT, async || {
            receiver.snapshot().incoming.pop().map(|call| call.id)
        })
        .await;
        let call = CallRef::from(id);
        receiver.accept(&call, AcceptAs::Fax).await.unwrap();
        Self {
            image,
            sent,
            call,
            receiver,
            _servers: (sending, receiving),
            _sender: sender,
        }
    }

    /// The fax as it came in. Its pixels are those of the first pages that were sent.
    async fn take(&self) -> TakenFax {
        let fax = within(
            "the fax is over",
            FAX_LIMIT,
            self.receiver.take_fax(&self.call),
        )
        .await
        .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let received = received_pixels(fax.file.as_deref().unwrap(), directory.path());
        let sent = sent_pixels(&self.image);
        assert_same_pixels(&sent[..received.len()], &received);
        assert_eq!(
            fax.outcome.pages_confirmed,
            u32::try_from(received.len()).ok()
        );
        for page in 0..fax.outcome.pages_confirmed.unwrap() {
            assert_letter_is_read(fax.file.as_deref().unwrap(), page);
        }
        fax
    }
}

/// What tesseract reads of a page as it was stored.
fn assert_letter_is_read(fax: &Path, page: u32) {
    let directory = tempfile::tempdir().unwrap();
    let picture = directory.path().join("page.png");
    let options = PngOptions::default();
    let png = received_page_to_png(fax, page, &options).unwrap();
    fs::write(&picture, png).unwrap();
    let output = Command::new("tesseract")
        .arg(&picture)
        .args(["stdout", "-l", "eng", "--dpi", "200", "--psm", "6"])
        .env("OMP_THREAD_LIMIT", "1")
        .output()
        .expect("tesseract is installed");
    let read = String::from_utf8(output.stdout).unwrap();
    let missing: Vec<_> = LETTER
        .split_whitespace()
        .filter(|word| !read.contains(word))
        .collect();
    assert!(missing.len() <= 2, "{missing:?} in {read}");
}

async fn a_text_that_comes_in_over_t38_is_read_by_ocr(version: Version) {
    let letter = Letter::send(version, 1).await;
    let fax = letter.take().await;
    assert!(fax.outcome.is_success(), "{:?}", fax.outcome);
    assert_eq!(fax.outcome.transport, Some(FaxTransport::T38));
    assert_eq!(fax.outcome.pages_confirmed, Some(1));
}

async fn a_text_whose_sender_breaks_off_in_page_2_is_read_up_to_there(version: Version) {
    let letter = Letter::send(version, 3).await;
    until("page 2 comes in", FAX_LIMIT, async || {
        let faxes = letter.receiver.snapshot().faxes;
        let (_, progress) = faxes.first().expect("it ended before");
        (progress.pages_confirmed == Some(1)).then_some(())
    })
    .await;
    letter.sent.cancel().await.unwrap();
    let fax = letter.take().await;
    assert_eq!(fax.outcome.status, OutcomeStatus::Failed);
    assert_eq!(fax.outcome.pages_confirmed, Some(1));
}
