//! What the fax engine of cloud providers logs, and what its types show. Alone in its program: a
//! subscriber counts for all threads of one.
#![cfg(test)]

#[path = "cloud_fax/vendor.rs"]
#[allow(
    dead_code,
    reason = "the vendor of the other tests, of which this one needs a part"
)]
mod vendor;

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Private, Result, Timestamp,
    document::Document,
    http::{HttpClient, HttpRequest, HttpResponse},
    plugin::{FaxPlugin, InboundFax, Plugin, PluginDeps, SendOptions},
    webhook::{InboundFile, WebhookHandler, WebhookRequest},
};
use faxbot_providers::cloud::fax::{CloudFaxPlugin, FaxSettings};
use http::Method;
use serde_json::json;
use vendor::{Answer, Scripted, Vendor};

const NUMBER: &str = "+15550104477";
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct NoHttp;

#[async_trait]
impl HttpClient for NoHttp {
    async fn execute(&self, _: HttpRequest) -> Result<HttpResponse> {
        Err(Error::new(ErrorKind::NotConnected, "execute", "no network"))
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn hook(plugin: &CloudFaxPlugin<Scripted<true>>, proof: &str, body: &str) -> String {
    let mut request = WebhookRequest::new(Method::POST, "/webhooks/scripted/hush");
    let headers = &mut request.headers;
    headers.insert("x-proof", proof.parse().unwrap());
    let request = request.with_body(body.to_owned());
    let shown = format!("{request:?}");
    let reply = plugin.handle_webhook(request).await.unwrap();
    format!("{shown} {reply:?}")
}

#[tokio::test(start_paused = true)]
async fn no_log_and_no_debug_form_shows_a_number_a_name_a_file_or_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("Erika-secret.pdf");
    std::fs::write(&path, b"%PDF-1.7 Erika").unwrap();
    let vendor = Vendor::new();
    let fax = |id: &str| {
        let mut fax = InboundFax::new(id, "", Timestamp::UNIX_EPOCH);
        fax.from = Some(Private::new(NUMBER.to_owned()));
        let file = InboundFile::new("application/pdf", &b"%PDF-1.7 Erika"[..]);
        (fax, file)
    };
    vendor.with(|books| books.received.insert("7".to_owned(), fax("7")));
    let plugin = CloudFaxPlugin::<Scripted<true>>::new();
    let deps = PluginDeps::current().unwrap().with_http(Arc::new(NoHttp));
    let mut events = deps.events.subscribe();
    let url = "https://vendor:hush@fax.example.org/webhooks/scripted/hush";
    let config = json!({"account": vendor.account, "options": {"webhook_url": url}});
    let settings = FaxSettings::from_value(
        &<Scripted<true> as faxbot_providers::cloud::FaxProvider>::FIELDS,
        &config,
    );
    let mut shown = format!("{:?}", settings.unwrap());
    plugin.start(config, deps).await.unwrap();
    let native = Some(format!("not to {NUMBER}"));
    let rejected = Error::new(ErrorKind::Rejected, "submit", "refused").with_native(None, native);
    for answer in [
        Answer::Yes,
        Answer::Lost(SECOND),
        Answer::Dropped,
        Answer::No(rejected),
        Answer::No(Error::new(ErrorKind::ServerBusy, "submit", "busy")),
    ] {
        vendor.answer(answer);
        let (to, document) = (NUMBER.parse().unwrap(), Document::path(&path));
        let sent = plugin
            .send_fax(to, document, SendOptions::new())
            .await
            .unwrap();
        tokio::time::sleep(5 * SECOND).await;
        let body = json!([{"sid": "1000", "label": sent.job_id.as_str(), "word": "sending"}]);
        shown += &hook(&plugin, "signed", &body.to_string()).await;
        tokio::time::sleep(1500 * SECOND).await;
        let _ = plugin.cancel_fax(&sent.job_id).await;
        let status = plugin.get_status(&sent.job_id).await.unwrap();
        shown += &format!("{status:?} {:?}", status.error);
    }
    let document = Document::path(directory.path().join("Erika-none.pdf"));
    let sent = plugin
        .send_fax(NUMBER.parse().unwrap(), document, SendOptions::new())
        .await;
    tokio::time::sleep(5 * SECOND).await;
    shown += &format!(
        "{:?}",
        plugin.get_status(&sent.unwrap().job_id).await.unwrap()
    );
    for (proof, body) in [
        ("secret", r#"[{"sid": "7"}]"#),
        ("secret", r#"[{"sid": "8"}]"#),
        ("", "Erika"),
        ("signed", r#"{"patient": "Erika""#),
    ] {
        shown += &hook(&plugin, proof, body).await;
    }
    while let Some(event) = events.try_recv() {
        shown += &format!("{event:?}");
    }
    shown += &format!("{plugin:?} {:?}", plugin.health_check().await.unwrap());
    plugin.stop().await.unwrap();
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        logged.contains("a fax was received") && logged.contains("a fax ended"),
        "{logged}"
    );
    for text in [&logged, &shown] {
        for secret in [
            &NUMBER[1..],
            &NUMBER[5..],
            "Erika",
            "secret",
            "hush",
            "+1555",
        ] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
