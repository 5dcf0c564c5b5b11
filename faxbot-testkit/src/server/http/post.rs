//! One real POST to an address of this machine.

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::{Host, Url};

use super::vendor::Callback;

/// Longest reply, in bytes.
const MAX_REPLY: usize = 1024 * 1024;

/// Whether it is an address of this machine: a mock never calls a stranger.
pub(super) fn is_ours(url: &Url) -> bool {
    let ours = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    ours && url.scheme() == "http"
}

/// Delivers a callback to `url`; `None` when there is no whole reply.
pub(super) async fn post(url: &Url, callback: &Callback) -> Option<(StatusCode, Bytes)> {
    let host = url.host_str()?;
    let port = url.port_or_known_default()?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await.ok()?;
    let (mut sender, link) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut request = Request::post(target)
        .body(Full::new(callback.body.clone()))
        .ok()?;
    *request.headers_mut() = callback.headers.clone();
    let host = HeaderValue::from_str(&format!("{host}:{port}")).ok()?;
    request.headers_mut().insert(HOST, host);
    let exchange = async {
        let response = sender.send_request(request).await.ok()?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_REPLY)
            .collect()
            .await;
        Some((status, body.ok()?.to_bytes()))
    };
    tokio::pin!(link, exchange);
    tokio::select! {
        biased;
        reply = &mut exchange => reply,
        // The link ends behind the last byte of the reply, or without one.
        _ = &mut link => exchange.await,
    }
}
