//! Servers that fail on purpose, and what the tests share.

use std::{
    error,
    future::Future,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    http::{HttpRequest, HttpResponse, ReqwestClient},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(crate) const MOMENT: Duration = Duration::from_millis(100);

/// What a server saw.
#[derive(Default)]
pub(crate) struct Seen {
    connections: AtomicUsize,
    pub(crate) requests: Mutex<Vec<String>>,
}

impl Seen {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn posts(&self) -> usize {
        let requests = self.requests();
        requests.iter().filter(|r| r.starts_with("POST ")).count()
    }

    /// Reads one request with its body; false at the end of the stream.
    pub(crate) async fn request(&self, stream: &mut (impl AsyncRead + Unpin)) -> bool {
        let mut bytes = Vec::new();
        let head = loop {
            let Ok(byte) = stream.read_u8().await else {
                return false;
            };
            bytes.push(byte);
            if bytes.ends_with(b"\r\n\r\n") {
                break String::from_utf8_lossy(&bytes).to_lowercase();
            }
        };
        let length = head
            .lines()
            .find_map(|l| l.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        if stream.read_exact(&mut body).await.is_err() {
            return false;
        }
        bytes.extend(body);
        let request = String::from_utf8(bytes).unwrap();
        self.requests.lock().unwrap().push(request);
        true
    }
}

/// Serves each connection by `serve`, which gets its number from 0.
pub(crate) async fn server<F>(
    serve: impl Fn(usize, TcpStream, Arc<Seen>) -> F + Send + 'static,
) -> (SocketAddr, Arc<Seen>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let told = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = told.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(number, stream, Arc::clone(&told)));
        }
    });
    (address, seen)
}

/// Answers each request with these bytes and closes.
pub(crate) async fn answers(answer: &'static [u8]) -> (SocketAddr, Arc<Seen>) {
    server(move |_, mut stream, seen| async move {
        if seen.request(&mut stream).await {
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

pub(crate) fn get(address: SocketAddr) -> HttpRequest {
    HttpRequest::get(format!("http://{address}/faxes").parse().unwrap())
        .with_timeout(Duration::from_secs(5))
}

pub(crate) fn post(address: SocketAddr) -> HttpRequest {
    let url = format!("http://{address}/faxes").parse().unwrap();
    HttpRequest::post(url, "pages").with_timeout(Duration::from_secs(5))
}

pub(crate) fn client() -> ReqwestClient {
    ReqwestClient::new().unwrap()
}

pub(crate) fn kind(result: Result<HttpResponse>) -> (ErrorKind, Effect) {
    let error = result.unwrap_err();
    assert!(!shown(&error).contains("faxes"), "{error:?}");
    (error.kind(), error.effect())
}

/// All that an error and its sources show.
pub(crate) fn shown(error: &Error) -> String {
    let mut out = format!("{error} {error:?}");
    let mut source = error::Error::source(error);
    while let Some(error) = source {
        out += &format!(" {error} {error:?}");
        source = error.source();
    }
    out
}

pub(crate) const NOT_CONNECTED: (ErrorKind, Effect) = (ErrorKind::NotConnected, Effect::NoEffect);

pub(crate) const CUT: (ErrorKind, Effect) = (ErrorKind::Io, Effect::Unknown);

pub(crate) const LATE: (ErrorKind, Effect) = (ErrorKind::Timeout, Effect::Unknown);

pub(crate) const NOT_HTTP: (ErrorKind, Effect) = (ErrorKind::Protocol, Effect::Unknown);

/// Runs one test of this file in a process of its own; whether it passed.
pub(crate) async fn alone(name: &'static str, environment: impl FnOnce(&mut Command)) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name]).env("FAXBOT_TEST_ALONE", "1");
    environment(&mut child);
    let output = tokio::task::spawn_blocking(move || child.output().unwrap());
    let output = output.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let passed = output.status.success() && text.contains("1 passed");
    if !passed {
        println!("{text}");
    }
    passed
}

/// Lets a connection that is free get back among those that are kept.
pub(crate) async fn settle() {
    tokio::time::sleep(MOMENT / 4).await;
}
