//! JSON-RPC over HTTP and everything that can become of one request.
#![cfg(test)]
#![cfg(feature = "rpc")]

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use faxbot_core::{
    Effect, ErrorKind,
    clock::TokioClock,
    http::{ApiClient, Auth, HttpClient},
    random::SeededRandom,
};
use faxbot_sip::{
    driver::{Rpc, RpcFailure},
    protocol::jsonrpc::{
        Params, Request, RpcError,
        server::{self, Asked},
    },
};
use faxbot_testkit::server::http::{
    Fault, FaultKind, HttpAnswer, MockHttp, MockVendor, SeenRequest, Then,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

const SECOND: Duration = Duration::from_secs(1);

type Answers = fn(&Asked) -> HttpAnswer;

/// A server with one way to answer, which counts what it executed.
struct Server {
    answers: Answers,
    executed: Vec<String>,
}

impl Server {
    fn new(answers: Answers) -> Self {
        Self {
            answers,
            executed: Vec::new(),
        }
    }
}

impl MockVendor for Server {
    fn handle(&mut self, request: &SeenRequest, _now: Instant) -> HttpAnswer {
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/mi")
        );
        assert_eq!(request.headers["content-type"], "application/json");
        let asked = Asked::parse(&request.body).expect("only requests are sent");
        self.executed.push(asked.method.clone());
        (self.answers)(&asked)
    }
}

fn json(status: u16, body: impl Into<bytes::Bytes>) -> HttpAnswer {
    HttpAnswer::new(status).with_body("application/json", body)
}

fn result(asked: &Asked) -> bytes::Bytes {
    server::result(asked.id.as_ref(), &json!("OK"))
}

fn ok(asked: &Asked) -> HttpAnswer {
    json(200, result(asked))
}

fn refusal(asked: &Asked, code: i64, message: &str) -> bytes::Bytes {
    server::error(asked.id.as_ref(), &RpcError::new(code, message))
}

fn api(http: Arc<dyn HttpClient>, url: Url) -> ApiClient {
    let (clock, random) = (TokioClock::shared(), SeededRandom::shared(7));
    ApiClient::new(http, url, clock, random).unwrap()
}

fn rpc(mock: &MockHttp<Server>) -> Rpc {
    let url = mock.url().join("mi").unwrap();
    Rpc::http(api(mock.client(), mock.url()), url).with_max_answer_bytes(64 * 1024)
}

fn request() -> Request {
    Request::new("dlg_end_dlg", Params::named([("dialog_id", "408.55befd3")])).unwrap()
}

type End = Result<String, (ErrorKind, Effect)>;

fn end(result: Result<String, RpcFailure>) -> End {
    result.map_err(|failure| {
        let told = (failure.kind(), failure.effect());
        let error = failure.into_error();
        assert_eq!(
            (error.kind(), error.effect(), error.operation()),
            (told.0, told.1, "hangup")
        );
        told
    })
}

async fn read(rpc: &Rpc) -> End {
    end(rpc.read("hangup", request(), 5 * SECOND).await)
}

async fn act(rpc: &Rpc) -> End {
    end(rpc.act("hangup", request(), 5 * SECOND).await)
}

/// How a call that reads and one that acts end, and how long they take at most.
type Row = (&'static str, Answers, Option<FaultKind>, End, End, Duration);

fn refused(kind: ErrorKind) -> (End, End) {
    (Err((kind, Effect::NoEffect)), Err((kind, Effect::NoEffect)))
}

fn lost(read: ErrorKind) -> (End, End) {
    (
        Err((read, Effect::NoEffect)),
        Err((ErrorKind::OutcomeUnknown, Effect::Unknown)),
    )
}

fn rows() -> Vec<Row> {
    use ErrorKind as E;
    let fine = || (Ok("OK".to_owned()), Ok("OK".to_owned()));
    let now = Duration::ZERO;
    let soon = Rpc::UNFINISHED_AFTER;
    let late = 5 * SECOND;
    let answers: Vec<(&'static str, Answers, (End, End), Duration)> = vec![
        ("result", ok, fine(), now),
        (
            "pretty",
            |it| {
                let value: Value = serde_json::from_slice(&result(it)).unwrap();
                json(200, serde_json::to_string_pretty(&value).unwrap())
            },
            fine(),
            now,
        ),
        (
            "error with 200",
            |it| json(200, refusal(it, 404, "Dialog not found")),
            refused(E::NotFound),
            now,
        ),
        (
            "error with its status",
            |it| json(404, refusal(it, 404, "Dialog not found")),
            refused(E::NotFound),
            now,
        ),
        (
            "unknown method",
            |it| json(500, refusal(it, 500, "Method Not Found")),
            refused(E::Unsupported),
            now,
        ),
        (
            "an answer that the server lost",
            |it| json(200, refusal(it, -32000, "Server error")),
            lost(E::Rejected),
            now,
        ),
        (
            "a part of an error",
            |it| json(400, refusal(it, 404, "no").slice(..20)).then(Then::Unfinished),
            refused(E::Protocol),
            soon,
        ),
        (
            "unreadable request",
            |_| {
                json(
                    200,
                    r#"{"error":{"code":-32700,"message":"Parse error"},"id":null}"#,
                )
            },
            refused(E::InvalidRequest),
            now,
        ),
        (
            "401",
            |_| HttpAnswer::new(401),
            refused(E::Authentication),
            now,
        ),
        (
            "403",
            |_| HttpAnswer::new(403),
            refused(E::PermissionDenied),
            now,
        ),
        (
            "404 of the path",
            |_| HttpAnswer::new(404),
            refused(E::Protocol),
            now,
        ),
        (
            "400 of the path",
            |_| json(400, "<html>Unable to parse URL!</html>"),
            refused(E::InvalidRequest),
            now,
        ),
        ("500", |_| HttpAnswer::new(500), lost(E::ServerBusy), now),
        ("503", |_| HttpAnswer::new(503), lost(E::ServerBusy), now),
        (
            "400 without its end",
            |_| HttpAnswer::new(400).then(Then::Unfinished),
            refused(E::InvalidRequest),
            soon,
        ),
        (
            "500 without its end",
            |_| HttpAnswer::new(500).then(Then::Unfinished),
            lost(E::ServerBusy),
            soon,
        ),
        (
            "an error without its end",
            |it| json(500, refusal(it, 404, "no")).then(Then::Unfinished),
            refused(E::NotFound),
            soon,
        ),
        (
            "200 without its end",
            |it| ok(it).then(Then::Unfinished),
            lost(E::Timeout),
            late,
        ),
        (
            "never",
            |it| ok(it).then(Then::Never),
            lost(E::Timeout),
            late,
        ),
        (
            "too slow",
            |it| ok(it).after(6 * SECOND),
            lost(E::Timeout),
            late,
        ),
        ("in time", |it| ok(it).after(4 * SECOND), fine(), 4 * SECOND),
        ("cut", |it| ok(it).then(Then::Cut), lost(E::Io), now),
        ("half", |it| ok(it).then(Then::Truncated), lost(E::Io), now),
        (
            "too long",
            |it| ok(it).then(Then::Endless),
            lost(E::Protocol),
            now,
        ),
        (
            "one byte too long",
            |it| {
                let long = json!("x".repeat(64 * 1024));
                json(200, server::result(it.id.as_ref(), &long))
            },
            lost(E::Protocol),
            now,
        ),
        (
            "not http",
            |_| HttpAnswer::new(200).then(Then::Raw("SSH-2.0\r\n".into())),
            lost(E::Protocol),
            now,
        ),
        (
            "elsewhere",
            |_| HttpAnswer::new(307).with_header("location", "http://127.0.0.1:1/"),
            lost(E::Protocol),
            now,
        ),
        ("no body", |_| HttpAnswer::new(200), lost(E::Protocol), now),
        (
            "a page",
            |_| json(200, "<html></html>"),
            lost(E::Protocol),
            now,
        ),
        (
            "truncated json",
            |it| json(200, result(it).slice(..20)),
            lost(E::Protocol),
            now,
        ),
        (
            "another id",
            |_| json(200, r#"{"result":"OK","id":2147483647}"#),
            lost(E::Protocol),
            now,
        ),
        (
            "no id",
            |_| json(200, r#"{"jsonrpc":"2.0","result":{}}"#),
            lost(E::Protocol),
            now,
        ),
        (
            "a batch",
            |it| json(200, [&b"["[..], &result(it), b"]"].concat()),
            lost(E::Protocol),
            now,
        ),
        (
            "twice",
            |it| json(200, [result(it), result(it)].concat()),
            lost(E::Protocol),
            now,
        ),
        (
            "nothing",
            |it| json(200, json!({"id": it.id}).to_string()),
            lost(E::Protocol),
            now,
        ),
        (
            "both",
            |it| {
                json(
                    200,
                    json!({"id": it.id, "result": 1, "error": {"code": 1}}).to_string(),
                )
            },
            lost(E::Protocol),
            now,
        ),
        (
            "another shape",
            |it| json(200, server::result(it.id.as_ref(), &json!([1]))),
            lost(E::Protocol),
            now,
        ),
    ];
    let faults = [
        (
            "refused by a gateway",
            FaultKind::status(502),
            lost(E::ServerBusy),
            now,
        ),
        ("cut before", FaultKind::CutBeforeEffect, lost(E::Io), now),
        (
            "cut in the request",
            FaultKind::CutInUpload,
            lost(E::Io),
            now,
        ),
        (
            "silent before",
            FaultKind::HangBeforeEffect,
            lost(E::Timeout),
            late,
        ),
    ];
    let mut rows: Vec<Row> = answers
        .into_iter()
        .map(|(name, answers, (read, act), within)| (name, answers, None, read, act, within))
        .collect();
    for (name, fault, (read, act), within) in faults {
        rows.push((name, ok, Some(fault), read, act, within));
    }
    rows
}

#[tokio::test(start_paused = true)]
async fn each_end_of_a_request_has_its_error_and_effect_and_nothing_is_sent_twice() {
    for (name, answers, fault, reads, acts, within) in rows() {
        for (acting, want) in [(false, reads), (true, acts)] {
            let mock = MockHttp::in_memory(Server::new(answers));
            if let Some(fault) = &fault {
                mock.fault(Fault::new(fault.clone()));
            }
            let rpc = rpc(&mock);
            let begun = Instant::now();
            let end = if acting {
                act(&rpc).await
            } else {
                read(&rpc).await
            };
            assert_eq!(end, want, "{name}, acting: {acting}");
            assert_eq!(begun.elapsed(), within, "{name}, acting: {acting}");
            assert_eq!(mock.requests().len(), 1, "{name}, acting: {acting}");
            // The next call is as good as the first.
            if fault.is_some() {
                assert_eq!(act(&rpc).await, Ok("OK".to_owned()), "{name}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_answer_without_a_body_leaves_an_act_unknown() {
    // To what is no notification of ours.
    let mock = MockHttp::in_memory(Server::new(|_| HttpAnswer::new(202).then(Then::Unfinished)));
    let rpc = rpc(&mock);
    assert_eq!(
        read(&rpc).await,
        Err((ErrorKind::Protocol, Effect::NoEffect))
    );
    assert_eq!(act(&rpc).await, Err((ErrorKind::Protocol, Effect::Unknown)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_got_nothing_and_is_asked_again_when_it_returns() {
    let mock = MockHttp::in_memory(Server::new(ok));
    let rpc = rpc(&mock);
    mock.unreachable(true);
    for _ in 0..2 {
        assert_eq!(
            act(&rpc).await,
            Err((ErrorKind::NotConnected, Effect::NoEffect))
        );
    }
    mock.unreachable(false);
    assert_eq!(act(&rpc).await, Ok("OK".to_owned()));
    assert_eq!(mock.vendor(|server| server.executed.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_under_a_call_leaves_it_unknown() {
    let mock = MockHttp::in_memory(Server::new(|it| ok(it).after(SECOND)));
    let rpc = rpc(&mock);
    let (acting, reading) = (rpc.clone(), rpc.clone());
    let acting = tokio::spawn(async move { act(&acting).await });
    let reading = tokio::spawn(async move { read(&reading).await });
    tokio::time::sleep(SECOND / 2).await;
    mock.unreachable(true);
    assert_eq!(
        acting.await.unwrap(),
        Err((ErrorKind::OutcomeUnknown, Effect::Unknown))
    );
    assert_eq!(
        reading.await.unwrap(),
        Err((ErrorKind::Io, Effect::NoEffect))
    );
}

#[tokio::test(start_paused = true)]
async fn the_place_of_a_dropped_call_is_taken_until_its_deadline_where_it_acts() {
    let mock = MockHttp::in_memory(Server::new(|it| ok(it).after(SECOND)));
    let one = NonZeroUsize::new(1).unwrap();
    let url = mock.url().join("mi").unwrap();
    let api = api(mock.client(), mock.url()).with_connections(one, 10 * SECOND);
    let rpc = Rpc::http(api, url);
    for (acts, after) in [(false, SECOND), (true, 5 * SECOND + SECOND / 2)] {
        let begun = Instant::now();
        let dropped = async {
            if acts {
                act(&rpc).await
            } else {
                read(&rpc).await
            }
        };
        assert!(
            tokio::time::timeout(SECOND / 2, dropped).await.is_err(),
            "acts: {acts}"
        );
        let before = mock.requests().len();
        // Who leaves while it waits for a place was not sent.
        if acts {
            let waits = tokio::time::timeout(SECOND, act(&rpc)).await;
            assert!(waits.is_err());
        }
        assert_eq!(act(&rpc).await, Ok("OK".to_owned()), "acts: {acts}");
        assert_eq!(begun.elapsed(), after + SECOND / 2, "acts: {acts}");
        assert_eq!(mock.requests().len(), before + 1, "acts: {acts}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_server_refused_keeps_status_and_words() {
    let mock = MockHttp::in_memory(Server::new(|it| {
        let refused = RpcError::new(500, "Invalid parameters").with_data("Bad type");
        json(500, server::error(it.id.as_ref(), &refused))
    }));
    let rpc = rpc(&mock);
    let failure = rpc
        .act::<Value>("hangup", request(), SECOND)
        .await
        .unwrap_err();
    let refused = failure.refused().unwrap();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (500, "Invalid parameters")
    );
    assert_eq!(failure.http_status(), Some(500));
    let error = failure.into_error();
    assert_eq!(error.native_code(), Some("500"));
    assert_eq!(error.native_text(), Some("Invalid parameters: Bad type"));
}

#[tokio::test(start_paused = true)]
async fn ids_rise_and_each_answer_is_decoded_into_its_own() {
    let mock = MockHttp::in_memory(Server::new(|it| {
        let late = it.at(0).and_then(Value::as_u64).unwrap();
        json(200, server::result(it.id.as_ref(), &json!({"n": late})))
            .after(Duration::from_millis(100 - late))
    }));
    let rpc = rpc(&mock);
    let calls = (0..100_u64).map(|n| {
        let rpc = rpc.clone();
        tokio::spawn(async move {
            let request = Request::new("echo", Params::list([n])).unwrap();
            let answer: Value = rpc.read("lookup", request, SECOND).await.unwrap();
            assert_eq!(answer, json!({"n": n}));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    let mut ids: Vec<_> = mock
        .requests()
        .iter()
        .map(|seen| {
            Asked::parse(&seen.body)
                .unwrap()
                .id
                .unwrap()
                .as_u64()
                .unwrap()
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_would_stall_the_server_is_not_sent() {
    let mock = MockHttp::in_memory(Server::new(ok));
    let rpc = rpc(&mock);
    let long = |bytes: usize| Request::new("x", Params::list(["x".repeat(bytes)])).unwrap();
    let failure = rpc
        .act::<Value>("hangup", long(15_000), SECOND)
        .await
        .unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::InvalidRequest);
    assert_eq!(
        (failure.effect(), mock.requests().len()),
        (Effect::NoEffect, 0)
    );
    let raised = rpc.with_max_request_bytes(20_000);
    assert!(
        raised
            .act::<Value>("hangup", long(15_000), SECOND)
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn credentials_go_with_each_call_and_show_nowhere() {
    let mock = MockHttp::in_memory(Server::new(ok));
    let url = mock.url().join("mi").unwrap();
    let api = api(mock.client(), mock.url()).with_auth(Auth::basic("user", "hunter2"));
    let rpc = Rpc::http(api, url);
    assert_eq!(act(&rpc).await, Ok("OK".to_owned()));
    assert!(mock.requests()[0].headers.contains_key("authorization"));
    assert!(!format!("{rpc:?}").contains("hunter2"));
}

/// The same over real sockets.
#[cfg(any(feature = "kamailio", feature = "opensips", feature = "flexisip"))]
mod sockets {
    use faxbot_core::http::ReqwestClient;

    use super::*;

    async fn real(answers: Answers) -> (MockHttp<Server>, Rpc) {
        let mock = MockHttp::start(Server::new(answers)).await;
        let http = Arc::new(ReqwestClient::new().unwrap());
        let url = mock.url().join("mi").unwrap();
        let rpc = Rpc::http(api(http, mock.url()), url).with_max_answer_bytes(64 * 1024);
        (mock, rpc)
    }

    async fn within(rpc: &Rpc, limit: Duration) -> End {
        end(rpc.act("hangup", request(), limit).await)
    }

    #[tokio::test]
    async fn each_end_over_a_socket_is_that_in_memory() {
        for (name, answers, fault, reads, acts, within) in rows() {
            // Those that wait for seconds stand in the other test.
            if within > Rpc::UNFINISHED_AFTER {
                continue;
            }
            for (acting, want) in [(false, reads), (true, acts)] {
                let (mock, rpc) = real(answers).await;
                if let Some(fault) = &fault {
                    mock.fault(Fault::new(fault.clone()));
                }
                let end = if acting {
                    act(&rpc).await
                } else {
                    read(&rpc).await
                };
                assert_eq!(end, want, "{name}, acting: {acting}");
                assert_eq!(mock.requests().len(), 1, "{name}, acting: {acting}");
            }
        }
    }

    #[tokio::test]
    async fn an_answer_after_its_time_is_not_that_of_the_next_request() {
        let (mock, rpc) = real(|it| {
            let first = it.id == Some(json!(1));
            let answer = json(
                200,
                server::result(it.id.as_ref(), &json!(it.id.clone().unwrap().to_string())),
            );
            answer.after(if first { 2 * SECOND } else { Duration::ZERO })
        })
        .await;
        let late = within(&rpc, SECOND).await;
        assert_eq!(late, Err((ErrorKind::OutcomeUnknown, Effect::Unknown)));
        for id in 2..20 {
            assert_eq!(within(&rpc, 5 * SECOND).await, Ok(id.to_string()));
            tokio::time::sleep(SECOND / 10).await;
        }
        assert_eq!(mock.requests().len(), 19);
    }

    #[tokio::test]
    async fn a_server_that_stops_is_not_there_and_then_is_again() {
        let (mock, rpc) = real(ok).await;
        assert_eq!(act(&rpc).await, Ok("OK".to_owned()));
        mock.unreachable(true);
        let end = loop {
            // The kept connection may still be told of its end.
            let end = act(&rpc).await;
            if end.is_err() {
                break end;
            }
        };
        assert!(end.is_err());
        tokio::time::sleep(SECOND / 10).await;
        assert_eq!(
            act(&rpc).await,
            Err((ErrorKind::NotConnected, Effect::NoEffect))
        );
        mock.unreachable(false);
        let mut ends = Vec::new();
        for _ in 0..100 {
            ends.push(act(&rpc).await);
            if ends.last() == Some(&Ok("OK".to_owned())) {
                break;
            }
            tokio::time::sleep(SECOND / 50).await;
        }
        assert_eq!(ends.last(), Some(&Ok("OK".to_owned())), "{ends:?}");
    }
}
