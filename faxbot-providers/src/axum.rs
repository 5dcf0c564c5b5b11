//! Serves a [`WebhookRouter`] with axum.
//!
//! ```no_run
//! use std::{net::SocketAddr, sync::Arc};
//!
//! use faxbot_core::{Secret, webhook::WebhookRouter};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let router = WebhookRouter::builder("https://fax.example.org".parse()?)
//!     .with_secret(Secret::new(std::env::var("FAXBOT_WEBHOOK_SECRET")?))
//!     .build()?;
//! let router = Arc::new(router);
//! // Here the plugins are given the router, started and attached.
//!
//! let app = faxbot_providers::axum::router(router);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! // With the peer's address in each request; `app` alone leaves it out.
//! axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
//! # Ok(())
//! # }
//! ```

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
};

use ::axum::{
    Router,
    body::{Body, HttpBody},
    extract::{ConnectInfo, Request},
    response::Response,
    routing::any,
};
use bytes::{Bytes, BytesMut};
use faxbot_core::webhook::{Admission, Admitted, WebhookReply, WebhookRequest, WebhookRouter};
use http::{HeaderValue, StatusCode, header::CONNECTION};

/// The routes of a router: `/webhooks/...` and `/files/...`, the same under the public URL's own
/// path, and nothing else, so that they can be merged with an application's.
///
/// Method, path and query, headers and body are handed on as they came. A plugin is found before the
/// body is read, and a body that is too long (413) or too slow (503) is not read further. A body that
/// comes slowly keeps nobody else out. axum itself bounds neither the time of a request's head nor the
/// number of connections: a proxy in front does.
///
/// axum drops the future of a request whose client hangs up. What a plugin does in tasks of its own,
/// as those of this crate do, goes on.
pub fn router(router: Arc<WebhookRouter>) -> Router {
    let prefix = router.path_prefix().to_owned();
    let serve = move |request: Request| serve(Arc::clone(&router), request);
    // The public URL's own path is text, also where it looks like the syntax of older routes.
    let mut app = Router::new().without_v07_checks();
    for kind in ["webhooks", "files"] {
        app = app.route(&format!("/{kind}/{{*rest}}"), any(serve.clone()));
        if !prefix.is_empty() {
            app = app.route(&format!("{prefix}/{kind}/{{*rest}}"), any(serve.clone()));
        }
    }
    app
}

async fn serve(router: Arc<WebhookRouter>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut admitted = match router.admit(&parts.method, path) {
        Admission::Admitted(admitted) => admitted,
        Admission::Answered(reply) => return respond(reply),
        _ => return respond(WebhookReply::status(StatusCode::INTERNAL_SERVER_ERROR)),
    };
    let reading = read(body, &mut admitted);
    let body = match tokio::time::timeout(router.timeout(), reading).await {
        Ok(Ok(body)) => body,
        Ok(Err(refusal)) => return refuse(*refusal),
        Err(_) => return refuse(WebhookRouter::too_slow()),
    };
    let mut request = WebhookRequest::new(parts.method, path)
        .with_headers(parts.headers)
        .with_body(body);
    if let Some(ConnectInfo(remote)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        request = request.with_remote(*remote);
    }
    respond(admitted.handle(request).await)
}

/// Reads a body. Memory is taken as it comes, not as it is announced.
async fn read(mut body: Body, admitted: &mut Admitted<'_>) -> Result<Bytes, Box<WebhookReply>> {
    admitted.check_length(body.size_hint().lower())?;
    let mut whole = BytesMut::new();
    loop {
        let data = poll_fn(|context| {
            let frame = ready!(Pin::new(&mut body).poll_frame(context));
            // Trailers are no part of the body.
            Poll::Ready(frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default())))
        })
        .await;
        match data {
            None => return Ok(whole.freeze()),
            Some(Err(_)) => return Err(Box::new(WebhookReply::status(StatusCode::BAD_REQUEST))),
            Some(Ok(data)) => {
                admitted.make_room(data.len())?;
                whole.extend_from_slice(&data);
            }
        }
    }
}

fn respond(reply: WebhookReply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

/// An answer to a body that was not read to its end, after which the connection is of no use.
fn refuse(reply: WebhookReply) -> Response {
    let mut response = respond(reply);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}
