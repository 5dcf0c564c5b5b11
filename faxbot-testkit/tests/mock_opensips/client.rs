//! A client of MI that knows nothing of this SDK.

use std::time::Duration;

use faxbot_core::http::{HttpClient as _, HttpRequest, HttpResponse};
use faxbot_testkit::server::opensips::{MockOpenSips, Tree};

/// Asks in memory.
pub(crate) async fn post(mock: &MockOpenSips, body: &str) -> faxbot_core::Result<HttpResponse> {
    let url = mock.http().url().join("mi").expect("a url");
    let request = HttpRequest::post(url, body.to_owned())
        .with_header(http::header::CONTENT_TYPE, "application/json")?
        .with_timeout(Duration::from_secs(30))
        .with_unfinished_after(Duration::from_millis(500));
    mock.client().execute(request).await
}

/// A request.
pub(crate) fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params},"id":1}}"#)
}

/// The answer of a command, with its body read.
pub(crate) async fn ask(mock: &MockOpenSips, method: &str, params: &str) -> Tree {
    let response = post(mock, &request(method, params))
        .await
        .expect("an answer");
    assert_eq!(response.status.as_u16(), 200);
    Tree::parse(&response.body).expect("json")
}

/// The result of a command that is carried out.
pub(crate) async fn result(mock: &MockOpenSips, method: &str, params: &str) -> Tree {
    let answer = ask(mock, method, params).await;
    answer
        .get("result")
        .unwrap_or_else(|| panic!("{}", answer.compact()))
        .clone()
}

/// Code and message of a refusal.
pub(crate) async fn refusal(mock: &MockOpenSips, method: &str, params: &str) -> (i64, String) {
    let answer = ask(mock, method, params).await;
    let error = answer
        .get("error")
        .unwrap_or_else(|| panic!("{}", answer.compact()));
    let code = error.get("code").and_then(Tree::int).expect("a code");
    let message = error
        .get("message")
        .and_then(Tree::text)
        .expect("a message");
    (code, message.to_owned())
}
