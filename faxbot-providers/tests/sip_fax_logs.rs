//! What the fax plugin logs, and what its types show. Alone in its program: a subscriber counts
//! for all threads of one.
#![cfg(test)]

use std::{
    io::{Cursor, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use faxbot_core::{
    Error, ErrorKind,
    document::{Document, Resolution, ccitt::T6Encoder, tiff::TiffWriter},
    plugin::{FaxPlugin, Plugin, PluginDeps, SendOptions},
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_testkit::fake::{FakeAdapter, FaxScript};
use serde_json::json;

const NUMBER: &str = "+15550104477";

fn tiff() -> Vec<u8> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
    let mut encoder = T6Encoder::new(1728).unwrap();
    encoder.encode_row(&[0; 216]).unwrap();
    writer
        .add_page(1, Resolution::Fine, &encoder.finish())
        .unwrap();
    writer.finish().unwrap().into_inner()
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

#[tokio::test(start_paused = true)]
async fn no_log_and_no_debug_form_shows_a_number_a_name_or_a_file() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret-name.tif");
    std::fs::write(&path, tiff()).unwrap();
    let adapter = FakeAdapter::new();
    let plugin = SipFaxPlugin::new(Arc::new(adapter.clone()));
    let deps = PluginDeps::current().unwrap();
    let mut events = deps.events.subscribe();
    let config = json!({"options": {"header": "Dr Quux"}});
    plugin.start(config, deps).await.unwrap();
    let words = |code: &str| {
        Error::new(ErrorKind::Rejected, "send_fax", "refused")
            .with_native(Some(code.to_owned()), Some(format!("not to {NUMBER}")))
    };
    let mut shown = String::new();
    for script in [
        FaxScript::busy(),
        FaxScript::success(1).with_lost_reply(),
        FaxScript::refused(words("603")),
        FaxScript::endless(),
    ] {
        adapter.script(script);
        let options = SendOptions::new().with_station_id("QUUX 1".parse().unwrap());
        shown += &format!("{options:?}");
        let document = Document::path(&path);
        let sent = plugin
            .send_fax(NUMBER.parse().unwrap(), document, options)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(500)).await;
        let _ = plugin.cancel_fax(&sent.job_id).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let status = plugin.get_status(&sent.job_id).await.unwrap();
        assert!(status.status.is_final());
        shown += &format!("{status:?} {:?}", status.error);
    }
    while let Some(event) = events.try_recv() {
        shown += &format!("{event:?}");
    }
    shown += &format!("{:?} {:?}", plugin, adapter);
    plugin.stop().await.unwrap();
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("a fax call ended"), "{logged}");
    for text in [&logged, &shown] {
        for secret in [&NUMBER[1..], &NUMBER[5..], "secret-name", "uux", "QUUX"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
