//! Addresses that are not asked, and logs that show nothing.

use std::{
    io,
    sync::{Arc, Mutex},
};

use faxbot_core::{
    Effect, ErrorKind,
    http::{HttpClient, HttpRequest, ReqwestClient},
};
use http::header;

use crate::server::{OK, alone, answers, client, shown};

#[tokio::test]
async fn addresses_that_are_not_public_are_not_contacted() {
    let (address, seen) = answers(OK).await;
    let client = ReqwestClient::builder().public_only(true).build().unwrap();
    let port = address.port();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[::1]:{port}/"),
        // Behind a name.
        format!("http://localhost:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let error = client.execute(HttpRequest::get(url.parse().unwrap())).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{url}");
        assert_eq!(error.effect(), Effect::NoEffect);
    }
    assert_eq!(seen.connections(), 0);
}

#[tokio::test]
async fn other_addresses_than_http_are_refused() {
    for url in [
        "ftp://localhost/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "http://user:hunter2@localhost/",
        "http://user@localhost/",
    ] {
        let request = HttpRequest::get(url.parse().unwrap());
        let error = client().execute(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{url}");
        assert!(!shown(&error).contains("hunter2"));
    }
}

/// What was logged at any level, by `tracing` and by `log`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}\n", record.target(), record.args());
        self.0.lock().unwrap().extend(line.bytes());
    }

    fn flush(&self) {}
}

#[tokio::test]
async fn no_log_at_any_level_holds_a_path_a_header_or_a_body() {
    // The loggers are of the whole process, and other tests log too.
    const NAME: &str = "privacy::no_log_at_any_level_holds_a_path_a_header_or_a_body";
    if std::env::var("FAXBOT_TEST_ALONE").is_err() {
        assert!(alone(NAME, |_| ()).await);
        return;
    }
    let seen = Log::default();
    let writer = seen.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    log::set_boxed_logger(Box::new(seen.clone())).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let client = client();
    for answer in [
        b"HTTP/1.1 200 OK\r\nX-Secret: hunter2\r\nContent-Length: 7\r\n\r\nhunter2".as_slice(),
        b"HTTP/1.1 200 OK\r\nX-Secret: hunter2\r\nContent-Length: 9\r\n\r\nhunter2",
        b"hunter2 hunter2 hunter2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nhunter2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n",
        b"HTTP/1.1 302 hunter2\r\nLocation: /hunter2\r\nContent-Length: 0\r\n\r\n",
    ] {
        let (address, _) = answers(answer).await;
        let url = format!("http://{address}/hunter2?hunter2=hunter2");
        let request = HttpRequest::post(url.parse().unwrap(), "hunter2")
            .with_header(header::AUTHORIZATION, "hunter2")
            .unwrap();
        if let Err(error) = client.execute(request).await {
            assert!(!shown(&error).contains("hunter2"), "{}", shown(&error));
        }
    }
    tokio::task::yield_now().await;
    let text = String::from_utf8(seen.0.lock().unwrap().clone()).unwrap();
    for library in ["hyper_util", "reqwest"] {
        assert!(text.contains(library), "no log of {library}: {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}
