//! What a fax is asked to be: documents, options, configuration.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    DocumentReason, Error, ErrorKind, Timestamp,
    document::{CoverPage, Document, Resolution},
    fax::{FailureClass, JobStatus},
    plugin::{
        FaxPlugin, InboundQuery, Manifest, Plugin, PluginCapability, PluginCondition, PluginDeps,
        SendOptions,
    },
    sip::Capabilities,
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use serde_json::{Value, json};

use super::{Bench, NUMBER, pause};

#[tokio::test(start_paused = true)]
async fn a_document_that_cannot_be_faxed_fails_the_job_and_nothing_is_dialled() {
    let bench = Bench::new().await;
    let broken = Error::document("to_fax", DocumentReason::Encrypted, "a password is needed");
    bench.converter.error.lock().unwrap().push(broken);
    let status = bench.play([]).await;
    assert_eq!(status.status, JobStatus::Failed);
    let outcome = status.detail.outcome.unwrap();
    assert_eq!(outcome.class(), Some(FailureClass::Document));
    assert_eq!(
        status.error.as_deref(),
        Some("document: a password is needed")
    );
    assert_eq!(bench.dials(), 0);
    // A converter without room is asked again.
    let full = Error::new(ErrorKind::Overloaded, "to_fax", "no room");
    bench.converter.error.lock().unwrap().push(full);
    assert_eq!(bench.play([]).await.status, JobStatus::Success);
}

#[tokio::test(start_paused = true)]
async fn a_converted_document_above_the_limits_is_not_dialled() {
    let bench = Bench::with(json!({"options": {"max_pages": 2}})).await;
    let status = bench.play([]).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(status.error.as_deref(), Some("document: above the limits"));
    assert_eq!(bench.dials(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_converter_a_fax_tiff_on_disk_can_be_sent() {
    let bench = Bench::new().await;
    let plugin = SipFaxPlugin::new(Arc::new(bench.adapter.clone()));
    let deps = PluginDeps::current().unwrap();
    plugin.start(Value::Null, deps).await.unwrap();
    let send =
        |document: Document| plugin.send_fax(NUMBER.parse().unwrap(), document, SendOptions::new());
    for document in [
        Document::bytes(&b"%PDF"[..]),
        Document::combined([Document::path(bench.path())]),
    ] {
        let error = send(document).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    let good = send(Document::path(bench.path())).await.unwrap();
    let bad = send(Document::path("/nowhere/at/all.tif")).await.unwrap();
    pause(600).await;
    let status = plugin.get_status(&good.job_id).await.unwrap();
    assert_eq!(status.status, JobStatus::Success);
    let status = plugin.get_status(&bad.job_id).await.unwrap();
    assert_eq!(
        status.error.as_deref(),
        Some("document: cannot be read or written")
    );
}

#[tokio::test(start_paused = true)]
async fn several_documents_and_a_cover_page_are_one_fax() {
    let bench = Bench::new().await;
    let pdf = || Document::bytes(&b"%PDF"[..]);
    let cover = || Document::cover(CoverPage::new());
    for document in [
        cover(),
        Document::combined([cover(), pdf(), pdf()]),
        Document::combined([Document::path("a.pdf"), pdf()]),
    ] {
        let to = NUMBER.parse().unwrap();
        let sent = bench.plugin.send_fax(to, document, SendOptions::new());
        let job = sent.await.unwrap().job_id;
        assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_arguments_are_told_at_once() {
    let bench = Bench::with(json!({"options": {"max_bytes": 10}})).await;
    let send = |document: Document, options: SendOptions| {
        bench
            .plugin
            .send_fax(NUMBER.parse().unwrap(), document, options)
    };
    let pdf = || Document::bytes(&b"%PDF"[..]);
    let past = Timestamp::UNIX_EPOCH;
    let rows = [
        (
            pdf(),
            SendOptions::new().with_max_rate(300),
            ErrorKind::InvalidRequest,
        ),
        (
            pdf(),
            SendOptions::new().with_deadline(past),
            ErrorKind::InvalidRequest,
        ),
        (
            pdf(),
            SendOptions::new().with_ring_timeout(Duration::ZERO),
            ErrorKind::InvalidRequest,
        ),
        (
            pdf(),
            SendOptions::new().with_timeout(Duration::ZERO),
            ErrorKind::InvalidRequest,
        ),
        (
            Document::bytes(&b""[..]),
            SendOptions::new(),
            ErrorKind::Document,
        ),
        (
            Document::bytes(&b"12345678901"[..]),
            SendOptions::new(),
            ErrorKind::Document,
        ),
        (
            Document::combined([]),
            SendOptions::new(),
            ErrorKind::Document,
        ),
        (
            Document::combined([pdf(), Document::bytes(&b""[..])]),
            SendOptions::new(),
            ErrorKind::Document,
        ),
        // More than 10 bytes together.
        (
            Document::combined([pdf(), pdf(), pdf()]),
            SendOptions::new(),
            ErrorKind::Document,
        ),
    ];
    for (document, options, kind) in rows {
        let job = options.job_id.clone();
        let error = send(document, options).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let error = bench.plugin.get_status(&job).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    bench.adapter.set_capabilities(Capabilities::none());
    let error = send(pdf(), SendOptions::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let health = bench.plugin.health_check().await.unwrap();
    assert_eq!(health.status, PluginCondition::Critical);
}

#[tokio::test(start_paused = true)]
async fn options_of_the_fax_reach_the_server_and_those_of_the_configuration_fill_in() {
    let config = json!({"options": {"station_id": "+1 555", "header": "Clinic", "ecm": false,
        "t38": "disable", "resolution": "standard"}});
    let bench = Bench::with(config).await;
    let options = SendOptions::new()
        .with_ecm(true)
        .with_max_rate(9600)
        .with_station_id("+1 666".parse().unwrap())
        .with_timeout(Duration::from_secs(900));
    let job = bench.send(options).await.unwrap();
    bench.end(&job).await;
    let request = bench.adapter.requests().remove(0);
    assert_eq!(request.station_id.unwrap().expose(), "+1 666");
    assert_eq!(request.header.unwrap().expose(), "Clinic");
    assert_eq!((request.ecm, request.max_rate), (true, Some(9600)));
    assert_eq!(request.t38, faxbot_core::fax::T38Mode::Disable);
    assert_eq!(request.timeout, Some(Duration::from_secs(900)));
    assert_eq!(request.to.expose(), NUMBER);
    assert_eq!(
        *bench.converter.asked.lock().unwrap(),
        [Resolution::Standard]
    );
}

#[tokio::test(start_paused = true)]
async fn the_manifest_names_what_it_can_and_nothing_else() {
    let bench = Bench::new().await;
    let manifest = bench.plugin.manifest();
    let json = serde_json::to_string(manifest).unwrap();
    assert_eq!(&serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
    assert_eq!(manifest.id.as_str(), "sip-fax");
    assert!(
        manifest
            .id
            .as_str()
            .parse::<faxbot_core::plugin::PluginId>()
            .is_ok()
    );
    assert!(manifest.can(&PluginCapability::CANCEL_FAX));
    assert!(!manifest.can(&PluginCapability::LIST_INBOUND));
    let inbound = bench.plugin.list_inbound(InboundQuery::new()).await;
    assert_eq!(inbound.unwrap_err().kind(), ErrorKind::Unsupported);
    let inbound = bench.plugin.get_inbound("1").await;
    assert_eq!(inbound.unwrap_err().kind(), ErrorKind::Unsupported);
    let errors = bench
        .plugin
        .validate_config(&json!({"options": {"ecm": "maybe", "t39": 1}}))
        .unwrap_err();
    assert_eq!(errors.len(), 2);
}
