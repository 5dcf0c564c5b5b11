//! Received faxes on request, and documents that are deleted at the vendor.

use faxbot_core::{
    DocumentReason, ErrorKind, Timestamp,
    document::Document,
    fax::JobStatus,
    id::JobId,
    plugin::{FaxPlugin, InboundFax, InboundQuery, SendOptions},
    webhook::{InboundFile, InboundStore},
};

use super::{Bench, PDF, SECOND, pause, vendor::Answer};

fn receive(bench: &Bench, sid: &str, content_type: &str, bytes: &[u8]) {
    let fax = InboundFax::new(sid, "wrong", Timestamp::UNIX_EPOCH);
    let file = InboundFile::new(content_type, bytes.to_vec());
    bench
        .vendor()
        .with(|books| books.received.insert(sid.to_owned(), (fax, file)));
}

#[tokio::test(start_paused = true)]
async fn the_list_is_the_vendors_under_our_name() {
    let bench = Bench::new().await;
    receive(&bench, "7", "application/pdf", PDF);
    let page = bench
        .plugin
        .list_inbound(InboundQuery::new())
        .await
        .unwrap();
    let listed: Vec<_> = page
        .items
        .iter()
        .map(|fax| (&*fax.id, &*fax.backend))
        .collect();
    assert_eq!(listed, [("7", "scripted")]);
}

#[tokio::test(start_paused = true)]
async fn pages_come_from_the_store_and_else_from_the_vendor() {
    let bench = Bench::new().await;
    receive(&bench, "7", "application/pdf", PDF);
    assert_eq!(
        bench.plugin.get_inbound("7").await.unwrap(),
        Document::bytes(PDF)
    );
    assert_eq!(bench.vendor().asked("inbound"), 1);
    let fax = InboundFax::new("8", "scripted", Timestamp::UNIX_EPOCH);
    let file = InboundFile::new("application/pdf", &b"%PDF-stored"[..]);
    bench.setup.inbound.put_fax(&fax, &file).await.unwrap();
    let document = bench.plugin.get_inbound("8").await.unwrap();
    assert_eq!(document, Document::bytes(&b"%PDF-stored"[..]));
    assert_eq!(bench.vendor().asked("inbound"), 1);
    let missing = bench.plugin.get_inbound("9").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn pages_that_are_none_are_an_error_and_never_a_document() {
    let bench = Bench::new().await;
    for (content_type, bytes) in [
        ("application/pdf", &b""[..]),
        ("application/pdf", b"<html>try again later</html>"),
        ("application/pdf", b"II\x2a\0"),
        ("image/tiff", PDF),
        ("image/tiff", b"{}"),
        ("application/octet-stream", b""),
    ] {
        receive(&bench, "7", content_type, bytes);
        let error = bench.plugin.get_inbound("7").await.unwrap_err();
        assert_eq!(
            error.document_reason(),
            Some(DocumentReason::Damaged),
            "{content_type}"
        );
    }
    for (content_type, bytes) in [
        ("Application/PDF; a=b", PDF),
        ("application/octet-stream", PDF),
        ("image/tiff", b"MM\0\x2a"),
        ("image/png", b"\x89PNG"),
    ] {
        receive(&bench, "7", content_type, bytes);
        assert!(
            bench.plugin.get_inbound("7").await.is_ok(),
            "{content_type}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_is_deleted_at_the_vendor_when_its_job_is_over() {
    let mut bench = Bench::new().await;
    bench.vendor().answer(Answer::Late(5 * SECOND));
    let job = bench.send().await;
    for _ in 0..2 {
        let open = bench.plugin.delete_file(&job).await.unwrap_err();
        assert_eq!(
            (open.kind(), open.job_id()),
            (ErrorKind::InvalidState, Some(&job))
        );
        pause(10).await;
    }
    bench.end(&job).await;
    bench.plugin.delete_file(&job).await.unwrap();
    assert_eq!(bench.vendor().asked("delete_file"), 1);
    // Of a job that the vendor never had.
    let text = Document::path(bench.setup.directory.path().join("none"));
    let failed = bench.send_document(text, SendOptions::new()).await.unwrap();
    assert_eq!(bench.end(&failed).await.status, JobStatus::Failed);
    let none = bench.plugin.delete_file(&failed).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
    // Of an earlier process.
    bench.crash().await;
    bench.plugin.delete_file(&job).await.unwrap();
    assert_eq!(bench.vendor().asked("delete_file"), 2);
    let none = bench.plugin.delete_file(&JobId::new()).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}
