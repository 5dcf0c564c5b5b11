//! A client of JSON-RPC and of evapi that knows nothing of this SDK.

use std::time::Duration;

use faxbot_core::http::{HttpClient as _, HttpRequest, HttpResponse};
use faxbot_testkit::server::kamailio::{MockKamailio, Tree};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Asks in memory, and gives the answer with its body read.
pub(crate) async fn ask(mock: &MockKamailio, body: &str) -> faxbot_core::Result<(u16, Tree)> {
    let response = post(mock, body).await?;
    let tree = Tree::parse(&response.body).expect("json");
    Ok((response.status.as_u16(), tree))
}

/// Asks in memory.
pub(crate) async fn post(mock: &MockKamailio, body: &str) -> faxbot_core::Result<HttpResponse> {
    let url = mock.http().url().join("RPC").expect("a url");
    let request = HttpRequest::post(url, body.to_owned()).with_timeout(Duration::from_secs(30));
    mock.client().execute(request).await
}

/// The result of a method that is carried out.
pub(crate) async fn result(mock: &MockKamailio, method: &str, params: &str) -> Tree {
    let body = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params},"id":1}}"#);
    let (status, answer) = ask(mock, &body).await.expect("an answer");
    assert_eq!(status, 200, "{}", answer.compact());
    answer.get("result").expect("a result").clone()
}

/// The next netstring.
pub(crate) async fn event(link: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut length = 0;
    loop {
        let byte = link.read_u8().await.ok()?;
        match byte {
            b':' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut payload = vec![0; length + 1];
    link.read_exact(&mut payload).await.ok()?;
    assert_eq!(payload.pop(), Some(b','));
    Some(String::from_utf8(payload).expect("utf-8"))
}

/// The name of an event.
pub(crate) fn name(event: &str) -> &str {
    let (_, rest) = event.split_once("\"event\":\"").expect("a name");
    rest.split_once('"').expect("its end").0
}
