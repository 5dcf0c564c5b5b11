#![cfg(test)]
//! The router behind axum, through real sockets.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result, Secret,
    plugin::PluginId,
    webhook::{
        DeadLetterStore, InboundFile, MemoryDeadLetters, WebhookHandler, WebhookPath,
        WebhookRegistry, WebhookReply, WebhookRequest, WebhookRouter, WebhookRouterBuilder,
    },
};
use http::{HeaderValue, Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

const MAX_BODY: usize = 1000;

/// Keeps what it is given, and does what the body says.
#[derive(Default)]
struct Handler {
    requests: Mutex<Vec<WebhookRequest>>,
    entered: Notify,
    leave: Notify,
}

#[async_trait]
impl WebhookHandler for Handler {
    fn takes_method(&self, method: &Method) -> bool {
        [Method::POST, Method::GET].contains(method)
    }

    async fn handle_webhook(&self, request: WebhookRequest) -> Result<WebhookReply> {
        let body = request.body.clone();
        self.requests.lock().unwrap().push(request);
        match &body[..] {
            b"wait" => {
                self.entered.notify_one();
                self.leave.notified().await;
                Ok(WebhookReply::received())
            }
            b"panic" => panic!("asked for"),
            b"fail" => Err(Error::new(ErrorKind::Io, "test", "the disk is full")),
            _ => Ok(WebhookReply::status(StatusCode::ACCEPTED)
                .with_body(HeaderValue::from_static("text/x-test"), "taken")),
        }
    }
}

struct Server {
    address: SocketAddr,
    router: Arc<WebhookRouter>,
    handler: Arc<Handler>,
    letters: Arc<MemoryDeadLetters>,
}

fn plugin() -> PluginId {
    "acme".parse().unwrap()
}

async fn serve(build: impl FnOnce(WebhookRouterBuilder) -> WebhookRouterBuilder) -> Server {
    faxbot_testkit::logs::to_directory();
    let letters = Arc::new(MemoryDeadLetters::new());
    let builder = WebhookRouter::builder("https://fax.example.org/base".parse().unwrap())
        .with_secret(Secret::new("0123456789abcdef"))
        .with_max_body_bytes(MAX_BODY)
        .with_dead_letters(letters.clone());
    let router = Arc::new(build(builder).build().unwrap());
    let handler = Arc::new(Handler::default());
    router.attach(&plugin(), handler.clone());
    router
        .register_webhook(&plugin(), WebhookPath::Plain)
        .unwrap();
    // An application has routes of its own.
    let app = axum::Router::new()
        .route("/own", axum::routing::get(|| async { "own" }))
        .merge(faxbot_providers::axum::router(router.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Server {
        address,
        router,
        handler,
        letters,
    }
}

/// Sends these bytes, and reads until the server closes.
async fn exchange(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    read(&mut stream).await
}

async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A server that closes before it has read everything may reset the connection.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap().to_lowercase()
}

fn head(method: &str, path: &str, headers: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: attacker.example\r\nconnection: close\r\n{headers}\r\n"
    )
}

fn post(path: &str, body: &str) -> Vec<u8> {
    let length = format!("content-length: {}\r\n", body.len());
    (head("POST", path, &length) + body).into_bytes()
}

fn status(answer: &str) -> u16 {
    answer.get(9..12).unwrap_or("0").parse().unwrap_or(0)
}

#[tokio::test]
async fn a_request_reaches_its_plugin_as_it_came() {
    let server = serve(|builder| builder).await;
    let headers = "X-Signature: one\r\nx-signature: two\r\nx-forwarded-host: evil.example\r\ncontent-length: 5\r\n";
    let path = "/base/webhooks/acme?b=2&a=%2F%zz";
    let request = [head("POST", path, headers).as_bytes(), b"\0\xff\r\n\n"].concat();
    let answer = exchange(&server, &request).await;
    assert_eq!(status(&answer), 202, "{answer}");
    assert!(answer.contains("content-type: text/x-test") && answer.ends_with("\r\n\r\ntaken"));
    let request = server.handler.requests.lock().unwrap().remove(0);
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", path)
    );
    assert_eq!(request.body, &b"\0\xff\r\n\n"[..]);
    let signatures: Vec<_> = request.headers.get_all("x-signature").iter().collect();
    assert_eq!(signatures, ["one", "two"]);
    assert!(request.remote.unwrap().ip().is_loopback());
    // A body in chunks is put together, and a proxy may strip the public URL's path.
    let chunked = head("POST", "/webhooks/acme", "transfer-encoding: chunked\r\n")
        + "3\r\nabc\r\n2\r\nde\r\n0\r\nx-trailer: 1\r\n\r\n";
    assert_eq!(status(&exchange(&server, chunked.as_bytes()).await), 202);
    let get = head("GET", "/webhooks/acme?sid=1", "");
    assert_eq!(status(&exchange(&server, get.as_bytes()).await), 202);
    let requests = server.handler.requests.lock().unwrap();
    assert_eq!(requests[0].body, "abcde");
    assert_eq!(
        (&requests[1].method, requests[1].path.as_str()),
        (&Method::GET, "/webhooks/acme?sid=1")
    );
    assert!(requests[1].body.is_empty());
}

#[tokio::test]
async fn whatever_is_not_served_is_refused() {
    let server = serve(|builder| builder).await;
    let rows = [
        ("GET", "/own", 200),
        ("GET", "/other", 404),
        ("POST", "/webhooks", 404),
        ("POST", "/webhooks/", 404),
        ("POST", "/webhooks/other", 404),
        ("POST", "/webhooks/acme/secret", 404),
        ("POST", "/webhooks/acme/", 404),
        ("POST", "/webhooks/../webhooks/acme", 404),
        ("POST", "/webhooks/%61cme", 404),
        ("POST", "/base/base/webhooks/acme", 404),
        ("PUT", "/webhooks/acme", 405),
        ("DELETE", "/webhooks/acme", 405),
        ("HEAD", "/webhooks/acme", 405),
        ("GET", "/files/unknown", 404),
        ("GET", "/base/files/unknown", 404),
    ];
    for (method, path, expected) in rows {
        let answer = exchange(
            &server,
            head(method, path, "content-length: 0\r\n").as_bytes(),
        )
        .await;
        assert_eq!(status(&answer), expected, "{method} {path}");
    }
    assert!(server.handler.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_of_a_stranger_is_not_read() {
    let server = serve(|builder| builder).await;
    // Announced, and never sent: the answer comes all the same.
    for (path, expected) in [("/webhooks/other", 404), ("/webhooks/acme", 413)] {
        let request = head("POST", path, "content-length: 1001\r\n");
        let answer = exchange(&server, request.as_bytes()).await;
        assert_eq!(status(&answer), expected, "{path}");
    }
    assert!(server.handler.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    let server = serve(|builder| builder).await;
    let longest = "x".repeat(MAX_BODY);
    assert_eq!(
        status(&exchange(&server, &post("/webhooks/acme", &longest)).await),
        202
    );
    // In chunks nothing is announced, and the end may never come.
    let mut endless = head("POST", "/webhooks/acme", "transfer-encoding: chunked\r\n");
    for _ in 0..11 {
        endless += &format!("64\r\n{}\r\n", "x".repeat(100));
    }
    let answer = exchange(&server, endless.as_bytes()).await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert_eq!(server.handler.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_with_the_time() {
    let server = serve(|builder| builder.with_timeout(Duration::from_millis(200))).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = head("POST", "/webhooks/acme", "content-length: 500\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    // A byte now and then does not stretch it.
    let (mut reading, mut writing) = stream.into_split();
    let drip = tokio::spawn(async move {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = reading.read_to_end(&mut answer).await;
    drip.abort();
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("retry-after: 10\r\n"), "{answer}");
    assert!(server.handler.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_request_that_is_cut_is_not_handled_and_frees_its_place() {
    let server = serve(|builder| builder.with_max_in_flight(1)).await;
    for cut in ["", "x", "xxxx"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = head("POST", "/webhooks/acme", "content-length: 5\r\n") + cut;
        stream.write_all(request.as_bytes()).await.unwrap();
        drop(stream);
    }
    // Each of them may still hold the place for a moment.
    loop {
        let answer = exchange(&server, &post("/webhooks/acme", "whole")).await;
        if status(&answer) == 202 {
            break;
        }
        assert_eq!(status(&answer), 503, "{answer}");
        tokio::task::yield_now().await;
    }
    let requests = server.handler.requests.lock().unwrap();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body, "whole");
}

#[tokio::test]
async fn a_client_that_hangs_up_takes_its_request_with_it() {
    let server = serve(|builder| builder.with_max_in_flight(1)).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = post("/webhooks/acme", "wait");
    stream.write_all(&request).await.unwrap();
    server.handler.entered.notified().await;
    let answer = exchange(&server, &post("/webhooks/acme", "next")).await;
    assert_eq!(status(&answer), 503, "{answer}");
    drop(stream);
    // Nobody tells the handler to leave: its future is dropped, and its place is free.
    while status(&exchange(&server, &post("/webhooks/acme", "next")).await) != 202 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn slow_bodies_of_strangers_keep_nobody_out() {
    let server = serve(|builder| builder.with_max_in_flight(2)).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = head("POST", "/webhooks/acme", "content-length: 500\r\n") + "x";
        stream.write_all(request.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // Their heads have been read by now.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = exchange(&server, &post("/webhooks/acme", "whole")).await;
    assert_eq!(status(&answer), 202, "{answer}");
}

#[tokio::test]
async fn any_path_of_a_public_url_can_be_served() {
    for prefix in ["", "/:a", "/*b/c", "/{d}", "/webhooks", "/files", "/ö"] {
        let url = format!("https://fax.example.org{prefix}");
        let router = WebhookRouter::builder(url.parse().unwrap());
        let router = Arc::new(router.build().unwrap());
        let handler = Arc::new(Handler::default());
        router.attach(&plugin(), handler.clone());
        let url = router.register_webhook(&plugin(), WebhookPath::Plain);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            router: router.clone(),
            handler,
            letters: Arc::default(),
        };
        let app = faxbot_providers::axum::router(router);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let answer = exchange(&server, &post(url.unwrap().path(), "whole")).await;
        assert_eq!(status(&answer), 202, "{prefix}: {answer}");
    }
}

#[tokio::test]
async fn too_many_at_a_time_are_asked_to_come_again() {
    let server = Arc::new(serve(|builder| builder.with_max_in_flight(1)).await);
    let first = tokio::spawn({
        let server = server.clone();
        async move { exchange(&server, &post("/webhooks/acme", "wait")).await }
    });
    server.handler.entered.notified().await;
    let second = exchange(&server, &post("/webhooks/acme", "second")).await;
    assert_eq!(status(&second), 503);
    assert!(second.contains("retry-after: "), "{second}");
    server.handler.leave.notify_one();
    assert_eq!(status(&first.await.unwrap()), 200);
    let third = exchange(&server, &post("/webhooks/acme", "third")).await;
    assert_eq!(status(&third), 202);
}

#[tokio::test]
async fn a_handler_that_panics_or_fails_leaves_a_dead_letter_and_the_others_alone() {
    let server = serve(|builder| builder).await;
    for body in ["panic", "fail"] {
        let answer = exchange(&server, &post("/webhooks/acme", body)).await;
        assert_eq!(status(&answer), 500, "{answer}");
        assert!(!answer.contains("disk") && !answer.contains("asked"));
    }
    let letters = server.letters.list(9).await.unwrap();
    let bodies: Vec<_> = letters.iter().map(|letter| &letter.body[..]).collect();
    assert_eq!(bodies, [&b"fail"[..], b"panic"]);
    let answer = exchange(&server, &post("/webhooks/acme", "next")).await;
    assert_eq!(status(&answer), 202);
}

#[tokio::test]
async fn a_shared_file_is_served_until_it_is_revoked() {
    let server = serve(|builder| builder).await;
    let file = InboundFile::new("application/pdf", "%PDF-1.4");
    let ttl = Duration::from_secs(60);
    let url = server.router.links().share(&plugin(), file, ttl).unwrap();
    assert_eq!(url.host_str(), Some("fax.example.org"));
    for path in [url.path(), url.path().strip_prefix("/base").unwrap()] {
        let answer = exchange(&server, head("GET", path, "").as_bytes()).await;
        assert_eq!(status(&answer), 200);
        assert!(
            answer.contains("content-type: application/pdf\r\n"),
            "{answer}"
        );
        assert!(answer.contains("content-length: 8\r\n"), "{answer}");
        assert!(
            answer.contains("cache-control: private, no-store\r\n"),
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\n%pdf-1.4"), "{answer}");
        let answer = exchange(&server, head("HEAD", path, "").as_bytes()).await;
        assert_eq!(status(&answer), 200);
        assert!(
            answer.contains("content-length: 8\r\n") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
        let answer = exchange(&server, &post(path, "")).await;
        assert_eq!(status(&answer), 405);
        assert!(answer.contains("allow: get, head\r\n"), "{answer}");
    }
    assert!(server.router.links().revoke(&plugin(), &url));
    let answer = exchange(&server, head("GET", url.path(), "").as_bytes()).await;
    assert_eq!(status(&answer), 404);
}
