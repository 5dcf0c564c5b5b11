//! The base of mocks that speak HTTP: the wire, its faults, the callbacks.
#![cfg(test)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use faxbot_core::{
    Effect, ErrorKind,
    http::{HttpClient as _, HttpRequest},
    webhook::{WebhookReply, WebhookRequest},
};
use faxbot_testkit::{
    random::Seed,
    server::http::{
        Callback, CallbackFault, Fault, FaultKind, HttpAnswer, MockHttp, MockVendor, RandomFaults,
        RetryRule, SeenRequest, Then,
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

/// Counts what it takes, and tells of each a while later.
#[derive(Default)]
struct Counter {
    count: u32,
    tell: Option<url::Url>,
    telling: Vec<(Instant, u32)>,
}

impl MockVendor for Counter {
    fn handle(&mut self, request: &SeenRequest, now: Instant) -> HttpAnswer {
        match (request.method.as_str(), request.segments().as_slice()) {
            ("POST", [one]) if one == "count" => {
                self.count += 1;
                if self.tell.is_some() {
                    self.telling
                        .push((now + Duration::from_millis(20), self.count));
                }
                HttpAnswer::json(200, &json!({ "count": self.count }))
            }
            ("GET", [one]) if one == "unfinished" => HttpAnswer::new(200)
                .with_body("text/plain", "so far")
                .then(Then::Unfinished),
            ("GET", [one]) if one == "never" => HttpAnswer::new(200).then(Then::Never),
            _ => HttpAnswer::new(404),
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Callback> {
        let Some(url) = self.tell.clone() else {
            return Vec::new();
        };
        let (ripe, rest) = self.telling.iter().partition(|(at, _)| *at <= now);
        self.telling = rest;
        let ripe: Vec<(Instant, u32)> = ripe;
        let tell = |(_, count): &(Instant, u32)| {
            Callback::new(
                format!("counted {count}"),
                url.clone(),
                "text/plain",
                count.to_string(),
            )
        };
        ripe.iter().map(tell).collect()
    }

    fn due(&self) -> Option<Instant> {
        self.telling.iter().map(|(at, _)| *at).min()
    }

    fn retry_rule(&self) -> RetryRule {
        RetryRule::new([Duration::from_secs(300), Duration::from_secs(600)])
    }
}

/// Sends bytes and reads what comes until the link ends, or for half a second.
async fn raw(mock: &MockHttp<Counter>, request: &str) -> (String, bool) {
    let mut stream = TcpStream::connect(mock.address().unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let ended = timeout(Duration::from_millis(500), async {
        let mut piece = vec![0; 64 * 1024];
        // More than this is without end.
        while answer.len() < 32 * 1024 * 1024 {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return true,
                Ok(read) => answer.extend_from_slice(&piece[..read]),
            }
        }
        false
    });
    let ended = ended.await.unwrap_or(false);
    (String::from_utf8_lossy(&answer).into_owned(), ended)
}

const COUNT: &str = "POST /count?a=1&a=%2B2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";

#[tokio::test]
async fn a_request_is_recorded_whole_and_answered() {
    let mock = MockHttp::start(Counter::default()).await;
    let (answer, ended) = raw(&mock, COUNT).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(r#"{"count":1}"#));
    assert!(answer.contains("content-type: application/json\r\n") && ended);
    let seen = mock.requests().pop().unwrap();
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("POST", "/count")
    );
    assert_eq!(seen.query_all("a").collect::<Vec<_>>(), ["1", "+2"]);
    assert_eq!(seen.body, "hi");
    assert_eq!(seen.header("host"), Some("x"));
    assert!(!format!("{seen:?} {mock:?}").contains("hi"));
}

#[tokio::test]
async fn each_fault_shows_on_the_wire_and_has_the_effect_that_it_says() {
    let elsewhere: url::Url = "http://127.0.0.1:1/x".parse().unwrap();
    // The fault, how the answer starts, how it ends, whether the link ends.
    let cases = [
        (FaultKind::too_many(7), "HTTP/1.1 429 ", "\r\n\r\n", true),
        (FaultKind::status(503), "HTTP/1.1 503 ", "\r\n\r\n", true),
        (
            FaultKind::StatusAfterEffect { code: 500 },
            "HTTP/1.1 500 ",
            "\r\n\r\n",
            true,
        ),
        (FaultKind::HangAfterEffect, "", "", false),
        (FaultKind::HangBeforeEffect, "", "", false),
        (FaultKind::CutAfterEffect, "", "", true),
        (FaultKind::CutBeforeEffect, "", "", true),
        (FaultKind::CutInUpload, "", "", true),
        (
            FaultKind::TruncatedBody,
            "HTTP/1.1 200 ",
            "\r\n\r\n{\"cou",
            true,
        ),
        (
            FaultKind::UnfinishedBody,
            "HTTP/1.1 200 ",
            "{\"count\":1}\r\n",
            false,
        ),
        (FaultKind::Garbage, "HTTP/1.1 200 ", "</html>", true),
        (FaultKind::NotHttp, "\u{15}", "\r\n\r\n", true),
        (
            FaultKind::Slow(Duration::from_millis(30)),
            "HTTP/1.1 200 ",
            "{\"count\":1}",
            true,
        ),
        (
            FaultKind::Late(Duration::from_millis(30)),
            "HTTP/1.1 200 ",
            "{\"count\":1}",
            true,
        ),
        (FaultKind::TooLong, "HTTP/1.1 200 ", "  ", false),
        (
            FaultKind::Redirect(elsewhere),
            "HTTP/1.1 307 ",
            "\r\n\r\n",
            true,
        ),
    ];
    for (kind, start, end, ends) in cases {
        let mock = MockHttp::start(Counter::default()).await;
        mock.fault(Fault::new(kind.clone()).on("POST", "/count"));
        let (answer, ended) = raw(&mock, COUNT).await;
        let tail = answer.get(answer.len().saturating_sub(60)..).unwrap_or("?");
        assert!(answer.starts_with(start), "{kind:?}: {tail}");
        assert!(answer.ends_with(end), "{kind:?}: {tail}");
        assert_eq!(
            (ended, answer.is_empty()),
            (ends, start.is_empty()),
            "{kind:?}"
        );
        assert_eq!(
            mock.vendor(|counter| counter.count) == 1,
            kind.has_effect(),
            "{kind:?}"
        );
        let seen = mock.requests();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].fault, Some(kind.clone()));
        // The next request is met by nothing.
        assert!(
            raw(&mock, COUNT).await.0.starts_with("HTTP/1.1 200"),
            "{kind:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_in_memory_meets_the_same_faults_as_errors_of_the_contract() {
    let cases = [
        (FaultKind::HangAfterEffect, ErrorKind::Timeout),
        (FaultKind::HangBeforeEffect, ErrorKind::Timeout),
        (FaultKind::Slow(Duration::from_secs(60)), ErrorKind::Timeout),
        (FaultKind::Late(Duration::from_secs(60)), ErrorKind::Timeout),
        (FaultKind::UnfinishedBody, ErrorKind::Timeout),
        (FaultKind::CutAfterEffect, ErrorKind::Io),
        (FaultKind::CutBeforeEffect, ErrorKind::Io),
        (FaultKind::CutInUpload, ErrorKind::Io),
        (FaultKind::TruncatedBody, ErrorKind::Io),
        (FaultKind::NotHttp, ErrorKind::Protocol),
        (FaultKind::TooLong, ErrorKind::Protocol),
    ];
    let mock = MockHttp::in_memory(Counter::default());
    let request = HttpRequest::post(mock.url().join("count").unwrap(), "hi");
    for (kind, expected) in cases {
        mock.fault(Fault::new(kind.clone()));
        let error = mock.client().execute(request.clone()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (expected, Effect::Unknown),
            "{kind:?}"
        );
    }
    mock.unreachable(true);
    let error = mock.client().execute(request.clone()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::NotConnected, Effect::NoEffect)
    );
    mock.unreachable(false);
    let answer = mock.client().execute(request.clone()).await.unwrap();
    assert_eq!(answer.status, 200);
    let short = request.with_max_response_bytes(3);
    assert_eq!(
        mock.client().execute(short).await.unwrap_err().kind(),
        ErrorKind::Protocol
    );
}

#[tokio::test]
async fn a_vendor_may_answer_never_or_without_an_end() {
    let mock = MockHttp::start(Counter::default()).await;
    let (answer, ended) = raw(&mock, "GET /unfinished HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.contains("transfer-encoding: chunked") && answer.ends_with("6\r\nso far\r\n"));
    assert!(!ended);
    let (answer, ended) = raw(&mock, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.is_empty() && !ended);
}

#[tokio::test]
async fn a_server_that_is_away_refuses_and_comes_back_with_what_it_knew() {
    let mock = MockHttp::start(Counter::default()).await;
    raw(&mock, COUNT).await;
    let mut open = TcpStream::connect(mock.address().unwrap()).await.unwrap();
    mock.unreachable(true);
    // Open links end, then nobody listens.
    assert_eq!(open.read(&mut [0; 1]).await.unwrap_or(0), 0);
    while TcpStream::connect(mock.address().unwrap()).await.is_ok() {}
    mock.unreachable(false);
    while TcpStream::connect(mock.address().unwrap()).await.is_err() {}
    assert!(raw(&mock, COUNT).await.0.ends_with(r#"{"count":2}"#));
}

#[tokio::test]
async fn parts_of_a_form_are_read_by_a_parser_that_is_not_ours() {
    let mock = MockHttp::start(Counter::default()).await;
    let body = "--B\r\nContent-Disposition: form-data; name=\"to\"\r\n\r\n+1555\r\n\
        --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\
        Content-Type: application/pdf\r\n\r\n%PDF\r\n--B--\r\n";
    for (kind, body) in [
        ("multipart/form-data; boundary=B", body),
        ("multipart/form-data; boundary=B", &body[..60]),
        (
            "application/x-www-form-urlencoded",
            "to=%2B1555&tag%5Ba%5D=b+c",
        ),
    ] {
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {length}");
        raw(&mock, &format!("{head}\r\nConnection: close\r\n\r\n{body}")).await;
    }
    let seen = mock.requests();
    let parts = seen[0].parts.clone().unwrap().unwrap();
    let kinds: Vec<_> = parts
        .iter()
        .map(|part| part.content_type.as_deref())
        .collect();
    assert_eq!(kinds, [None, Some("application/pdf")]);
    assert_eq!(
        (parts[1].file_name.as_deref(), parts[1].text()),
        (Some("a.pdf"), Some("%PDF"))
    );
    assert_eq!(
        seen[0].form().unwrap(),
        [("to".to_owned(), "+1555".to_owned())]
    );
    assert!(seen[1].parts.as_ref().unwrap().is_err() && seen[1].form().is_none());
    assert_eq!(
        seen[2].form().unwrap()[1],
        ("tag[a]".to_owned(), "b c".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_requests_fails_by_chance() {
    let mock = MockHttp::in_memory(Counter::default());
    mock.faults(RandomFaults::new(Seed(1), 0.2).on("POST", "/count"));
    let client = mock.client();
    for _ in 0..200 {
        let url = mock.url().join("count").unwrap();
        let _faulty = client.execute(HttpRequest::post(url, "")).await;
    }
    let hit = mock
        .requests()
        .iter()
        .filter(|it| it.fault.is_some())
        .count();
    assert!((20..60).contains(&hit), "{hit}");
    let acted = |it: &SeenRequest| it.fault.as_ref().is_none_or(FaultKind::has_effect);
    let acted = mock.requests().into_iter().filter(acted).count();
    assert_eq!(mock.vendor(|counter| counter.count) as usize, acted);
}

fn telling() -> Counter {
    Counter {
        tell: Some("https://fax.example.org/hooks/a?b=1".parse().unwrap()),
        ..Counter::default()
    }
}

/// What came to a handler that answers with these statuses, the last of them for ever.
async fn callbacks(count: u32, statuses: &[u16], faults: &[CallbackFault]) -> Vec<String> {
    let mock = MockHttp::in_memory(telling());
    let came = Arc::new(Mutex::new(Vec::new()));
    let (book, statuses) = (Arc::clone(&came), statuses.to_vec());
    mock.webhooks().to(move |request: WebhookRequest| {
        assert_eq!(request.path, "/hooks/a?b=1");
        let mut came = book.lock().unwrap();
        came.push(String::from_utf8(request.body.to_vec()).unwrap());
        let at = (came.len() - 1).min(statuses.len() - 1);
        let mut reply = WebhookReply::received();
        reply.status = statuses[at].try_into().unwrap();
        async move { reply }
    });
    for fault in faults {
        mock.webhooks().next(*fault);
    }
    for _ in 0..count {
        let url = mock.url().join("count").unwrap();
        let answer = mock.client().execute(HttpRequest::post(url, "")).await;
        assert!(answer.is_ok());
        tokio::time::sleep(Duration::from_millis(21)).await;
    }
    mock.finish().await;
    let came = came.lock().unwrap();
    came.clone()
}

#[tokio::test(start_paused = true)]
async fn callbacks_are_repeated_lost_doubled_held_and_tampered_with() {
    use CallbackFault::{Late, Lost, ReplyLost, Tampered, Twice};
    // How many are made, the replies, what goes wrong, what comes.
    type Case = (
        u32,
        &'static [u16],
        &'static [CallbackFault],
        &'static [&'static str],
    );
    let cases: &[Case] = &[
        (2, &[200], &[], &["1", "2"]),
        (1, &[503, 401, 204], &[], &["1", "1", "1"]),
        (1, &[500], &[], &["1", "1", "1"]),
        (3, &[200], &[Lost, Twice], &["2", "2", "3"]),
        (2, &[200], &[Late], &["2", "1"]),
        (1, &[200], &[Late], &["1"]),
        (1, &[401, 200], &[Tampered], &["0", "1"]),
        (1, &[200], &[ReplyLost], &["1", "1"]),
    ];
    for (count, statuses, faults, expected) in cases {
        assert_eq!(
            &callbacks(*count, statuses, faults).await,
            expected,
            "{faults:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn at_its_real_pace_a_vendor_waits_for_minutes() {
    let mock = MockHttp::in_memory(telling());
    mock.webhooks().shorten(1);
    mock.webhooks()
        .to(|_| async { WebhookReply::unauthorized() });
    let url = mock.url().join("count").unwrap();
    let started = Instant::now();
    mock.client()
        .execute(HttpRequest::post(url, ""))
        .await
        .unwrap();
    let third = mock.wait_until(Duration::from_secs(3600), |mock| {
        mock.webhooks().deliveries().into_iter().nth(2)
    });
    let third = third.await.unwrap();
    assert_eq!(
        (third.number, third.attempt, third.status.unwrap().as_u16()),
        (1, 3, 401)
    );
    assert_eq!(started.elapsed().as_secs(), 900);
    assert!(mock.webhooks().settled(Duration::from_secs(1)).await);
}

#[tokio::test]
async fn callbacks_go_over_a_real_link_and_never_to_a_stranger() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n1") {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).await.unwrap();
            seen.extend_from_slice(&piece[..read]);
        }
        let reply = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(reply).await.unwrap();
        String::from_utf8(seen).unwrap()
    });
    let mock = MockHttp::start(telling()).await;
    raw(&mock, COUNT).await;
    let first = mock.wait_until(Duration::from_secs(5), |mock| {
        mock.webhooks().deliveries().pop()
    });
    // A public name is not contacted, once and for all.
    assert_eq!(first.await.unwrap().status, None);
    mock.webhooks().to_host(&own.parse().unwrap());
    assert!(mock.webhooks().replay(1) && !mock.webhooks().replay(2));
    let seen = server.await.unwrap();
    assert!(seen.starts_with("POST /hooks/a?b=1 HTTP/1.1\r\n"), "{seen}");
    let last = mock.wait_until(Duration::from_secs(5), |mock| {
        mock.webhooks()
            .deliveries()
            .into_iter()
            .find(|it| it.status.is_some())
    });
    let last = last.await.unwrap();
    assert_eq!(
        (last.status.unwrap().as_u16(), &last.reply[..]),
        (202, &b"ok"[..])
    );
    assert_eq!(mock.webhooks().deliveries().len(), 2);
    mock.finish().await;
}
