//! What is uploaded of a document, and what is found out before.

use faxbot_core::{
    DocumentReason, Error, ErrorKind,
    document::{CoverPage, Document, FaxImage, Resolution},
    fax::{FailureClass, JobStatus},
    plugin::SendOptions,
};
use faxbot_providers::cloud::fax::{Upload, UploadFormat};

use super::{
    Bench, PDF, SECOND, Setup, pause, tiff,
    vendor::{Answer, error},
};

/// The first upload: its format, its bytes, its pages.
fn uploaded(bench: &Bench) -> (UploadFormat, Vec<u8>, Option<u32>) {
    match bench.vendor().only().1.upload {
        Upload::File {
            format,
            bytes,
            pages,
            ..
        } => (format, bytes.to_vec(), pages),
        other => panic!("{other:?}"),
    }
}

async fn sent(bench: &Bench, document: Document) -> (UploadFormat, Vec<u8>, Option<u32>) {
    let job = bench
        .send_document(document, SendOptions::new())
        .await
        .unwrap();
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Success, "{status:?}");
    uploaded(bench)
}

#[tokio::test(start_paused = true)]
async fn without_a_converter_a_pdf_and_a_tiff_are_uploaded_as_they_are() {
    let (pdf, pages) = (UploadFormat::Pdf, tiff(3));
    let mut late = vec![b' '; 1019];
    late.extend(PDF);
    late.truncate(1024);
    for (bytes, format, count) in [
        (PDF.to_vec(), pdf, None),
        (late, pdf, None),
        (pages, UploadFormat::Tiff, Some(3)),
    ] {
        for on_disk in [false, true] {
            let setup = Setup::new().option("max_bytes", 5000);
            setup.vendor.limits.lock().unwrap().bytes = 5000;
            let path = setup.file("named.txt", &bytes);
            let bench = setup.start().await;
            let document = if on_disk {
                Document::path(path)
            } else {
                Document::bytes(bytes.clone())
            };
            assert_eq!(sent(&bench, document).await, (format, bytes.clone(), count));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_converter_a_pdf_is_counted_and_uploaded_as_it_is_or_as_pages() {
    let pages = tiff(3);
    for (mode, format, bytes) in [
        ("original", UploadFormat::Pdf, PDF.to_vec()),
        ("pages", UploadFormat::Tiff, pages),
    ] {
        let bench = Setup::new()
            .converting(3)
            .option("upload", mode)
            .start()
            .await;
        assert_eq!(
            sent(&bench, Document::bytes(PDF)).await,
            (format, bytes, Some(3))
        );
        let asked = bench
            .setup
            .converter
            .as_ref()
            .unwrap()
            .asked
            .lock()
            .unwrap()
            .clone();
        assert_eq!(asked.len(), 1);
        assert_eq!(
            (asked[0].resolution, asked[0].limits.pages),
            (Resolution::Fine, 10)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_else_there_is_goes_as_fax_pages() {
    let documents = [
        Document::bytes(&b"a letter as text"[..]),
        Document::bytes(tiff(1)),
        Document::cover(CoverPage::new()),
        Document::combined([Document::bytes(PDF), Document::bytes(PDF)]),
    ];
    for document in documents {
        let bench = Setup::new().converting(2).start().await;
        assert_eq!(
            sent(&bench, document).await,
            (UploadFormat::Tiff, tiff(2), Some(2))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_callers_resolution_wins() {
    let bench = Setup::new().converting(2).start().await;
    let options = SendOptions::new().with_resolution(Resolution::Standard);
    let job = bench
        .send_document(Document::bytes(&b"text"[..]), options)
        .await
        .unwrap();
    bench.end(&job).await;
    let asked = bench
        .setup
        .converter
        .as_ref()
        .unwrap()
        .asked
        .lock()
        .unwrap()
        .clone();
    assert_eq!(asked[0].resolution, Resolution::Standard);
}

#[tokio::test(start_paused = true)]
async fn what_can_be_told_at_once_is_refused_at_once() {
    use DocumentReason::{Empty, TooLarge, UnknownFormat};
    let big = |head: &[u8]| [head, &[b'x'; 1000]].concat();
    let rows = [
        // document, with a converter, reason
        (Document::bytes(Vec::new()), false, Some(Empty)),
        (Document::bytes(Vec::new()), true, Some(Empty)),
        (Document::bytes(&b"text"[..]), false, Some(UnknownFormat)),
        (
            Document::cover(CoverPage::new()),
            false,
            Some(UnknownFormat),
        ),
        (
            Document::combined([Document::bytes(PDF)]),
            false,
            Some(UnknownFormat),
        ),
        (Document::combined([]), true, Some(Empty)),
        (Document::bytes(big(PDF)), false, Some(TooLarge)),
        (Document::bytes(big(PDF)), true, Some(TooLarge)),
        // Its pages may be smaller.
        (Document::bytes(big(b"text")), true, None),
        (Document::bytes(vec![b'x'; 100_000]), true, Some(TooLarge)),
    ];
    for (document, converts, reason) in rows {
        let setup = Setup::new().option("max_bytes", 50_000);
        let setup = if converts { setup.converting(1) } else { setup };
        let bench = setup.start().await;
        let shown = format!("{document:?} {converts}");
        let refused = bench.send_document(document, SendOptions::new()).await;
        let found = refused.as_ref().err().and_then(Error::document_reason);
        assert_eq!(found, reason, "{shown}");
        if reason.is_some() {
            pause(100).await;
            assert_eq!(bench.vendor().asked("submit"), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_found_out_later_fails_the_job_and_nothing_is_sent() {
    let damaged = |mut bytes: Vec<u8>| {
        let half = bytes.len() / 2;
        bytes.truncate(half);
        bytes
    };
    let rows = [
        (damaged(tiff(2)), "document: damaged"),
        (b"II\x2a\0\0\0\0\0".to_vec(), "document: no page in it"),
        (
            b"II\x2a\0\x08\0\0\0\xff\xff\0\0".to_vec(),
            "document: damaged",
        ),
        (
            b"a letter as text".to_vec(),
            "document: not a format that can be faxed",
        ),
        (tiff(11), "document: above the limits"),
        ([PDF, &[b'x'; 9000]].concat(), "document: above the limits"),
        (Vec::new(), "document: no page in it"),
    ];
    for (bytes, note) in rows {
        let setup = Setup::new();
        setup.vendor.limits.lock().unwrap().bytes = 8000;
        let path = setup.file("letter", &bytes);
        let bench = setup.start().await;
        let job = bench
            .send_document(Document::path(path), SendOptions::new())
            .await
            .unwrap();
        let status = bench.end(&job).await;
        assert_eq!(
            (status.status, status.error.as_deref()),
            (JobStatus::Failed, Some(note))
        );
        assert_eq!(
            status.detail.outcome.unwrap().class(),
            Some(FailureClass::Document)
        );
        assert_eq!(bench.vendor().asked("submit"), 0);
    }
    let bench = Bench::new().await;
    for path in [
        bench.setup.directory.path().join("none"),
        bench.setup.directory.path().to_owned(),
    ] {
        let job = bench
            .send_document(Document::path(path), SendOptions::new())
            .await
            .unwrap();
        let status = bench.end(&job).await;
        assert_eq!(status.status, JobStatus::Failed);
        assert!(status.error.unwrap().starts_with("document: "));
    }
    assert_eq!(bench.vendor().asked("submit"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_converter_finds_fails_the_job_and_nothing_is_sent() {
    for (reason, note) in [
        (DocumentReason::Encrypted, "document: a password is needed"),
        (DocumentReason::Damaged, "document: damaged"),
    ] {
        for mode in ["original", "pages"] {
            let setup = Setup::new().converting(1).option("upload", mode);
            let converter = setup.converter.clone().unwrap();
            *converter.image.lock().unwrap() = Err(Error::document("to_fax", reason, "test"));
            let bench = setup.start().await;
            let job = bench.send().await;
            let status = bench.end(&job).await;
            assert_eq!(status.error.as_deref(), Some(note));
            assert_eq!(bench.vendor().asked("submit"), 0);
        }
    }
    // More pages than the vendor takes, by a converter that does not look at limits.
    let bench = Setup::new().converting(11).start().await;
    let job = bench.send().await;
    assert_eq!(
        bench.end(&job).await.error.as_deref(),
        Some("document: above the limits")
    );
    assert_eq!(bench.vendor().asked("submit"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_converter_that_is_full_is_waited_for() {
    let setup = Setup::new().converting(1);
    let converter = setup.converter.clone().unwrap();
    let good = converter.image.lock().unwrap().clone();
    *converter.image.lock().unwrap() = Err(error(ErrorKind::Overloaded));
    let bench = setup.start().await;
    let job = bench.send().await;
    pause(30).await;
    assert_eq!(bench.word(&job).await, "queued");
    *converter.image.lock().unwrap() = good;
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    assert_eq!(bench.vendor().asked("submit"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_document_is_converted_once_however_often_it_is_submitted() {
    for mode in ["original", "pages"] {
        let bench = Setup::new()
            .converting(2)
            .option("upload", mode)
            .start()
            .await;
        for _ in 0..5 {
            bench
                .vendor()
                .answer(Answer::No(error(ErrorKind::ServerBusy)));
        }
        let job = bench.send().await;
        assert_eq!(bench.end(&job).await.status, JobStatus::Success);
        assert_eq!(bench.vendor().asked("submit"), 6);
        let converter = bench.setup.converter.as_ref().unwrap();
        assert_eq!(converter.asked.lock().unwrap().len(), 1, "{mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_saved_anew_between_two_tries_is_converted_again() {
    let setup = Setup::new().converting(2);
    let path = setup.file("letter.pdf", PDF);
    let bench = setup.start().await;
    let busy = error(ErrorKind::ServerBusy).with_retry_after(60 * SECOND);
    bench.vendor().answer(Answer::No(busy));
    let job = bench
        .send_document(Document::path(&path), SendOptions::new())
        .await
        .unwrap();
    pause(10).await;
    let anew = [PDF, b" of today"].concat();
    std::fs::write(&path, &anew).unwrap();
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    assert_eq!(uploaded(&bench).1, anew);
    let converter = bench.setup.converter.as_ref().unwrap();
    assert_eq!(converter.asked.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn pages_on_disk_go_with_their_job() {
    let setup = Setup::new().converting(2).option("upload", "pages");
    let converter = setup.converter.clone().unwrap();
    let temporary = setup.file("temporary.tif", &tiff(2));
    *converter.image.lock().unwrap() = FaxImage::open_temporary(&temporary);
    let bench = setup.start().await;
    let job = bench.send().await;
    bench.until(&job, "in_progress").await;
    *converter.image.lock().unwrap() = Err(error(ErrorKind::Internal));
    assert!(!temporary.exists());
}

#[tokio::test(start_paused = true)]
async fn a_url_is_given_to_a_vendor_that_fetches_and_only_without_credentials() {
    let bench = Bench::new().await;
    let good = "https://files.example.org/files/token?x=1";
    let job = bench
        .send_document(Document::url(good.parse().unwrap()), SendOptions::new())
        .await
        .unwrap();
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    let upload = bench.vendor().only().1.upload;
    assert_eq!(upload, Upload::Url(good.parse().unwrap()));
    for bad in [
        "ftp://files.example.org/a",
        "file:///etc/passwd",
        "data:text/plain,a",
        "https://user@files.example.org/a",
        "https://user:secret@files.example.org/a",
    ] {
        let document = Document::url(bad.parse().unwrap());
        let refused = bench
            .send_document(document, SendOptions::new())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidRequest, "{bad}");
        assert!(!format!("{refused:?}").contains("secret"));
    }
    bench.vendor().limits.lock().unwrap().urls = false;
    let document = Document::url(good.parse().unwrap());
    let refused = bench
        .send_document(document, SendOptions::new())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidRequest);
    assert_eq!(bench.vendor().asked("submit"), 1);
}
