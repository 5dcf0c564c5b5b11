//! The socket of a mock.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, ext::ReasonPhrase, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
};

use super::{
    answer::{HttpAnswer, Then},
    body::{Cut, MockBody},
    fault::FaultKind,
    request::SeenRequest,
    vendor::MockVendor,
    world::World,
};
use crate::server::door::Door;

/// Longest body of a request, in bytes.
const MAX_BODY: usize = 256 * 1024 * 1024;

/// Serves until the task ends. While the mock is unreachable nobody listens.
pub(super) async fn listen<V: MockVendor>(world: &Arc<World<V>>, mut door: Door) -> Infallible {
    let mut up = world.up.subscribe();
    loop {
        let mut links = JoinSet::new();
        loop {
            tokio::select! {
                (stream, _) = door.accept() => {
                    links.spawn(serve(Arc::clone(world), stream));
                }
                Some(_) = links.join_next() => {}
                () = until(&mut up, false) => break,
            }
        }
        door.shut();
        drop(links);
        until(&mut up, true).await;
        while door.reopen().is_err() {
            // Somebody else may hold the port for a moment.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn until(up: &mut watch::Receiver<bool>, wanted: bool) {
    if up.wait_for(|up| *up == wanted).await.is_err() {
        std::future::pending().await
    }
}

async fn serve<V: MockVendor>(world: Arc<World<V>>, stream: TcpStream) {
    // Small answers go out at once.
    let _late = stream.set_nodelay(true);
    let raw = Raw::default();
    let link = Link {
        stream,
        raw: raw.clone(),
    };
    let service = service_fn(move |request| exchange(Arc::clone(&world), raw.clone(), request));
    // A link that ends in an error is what was asked for.
    let _cut = http1::Builder::new()
        .serve_connection(TokioIo::new(link), service)
        .await;
}

async fn exchange<V: MockVendor>(
    world: Arc<World<V>>,
    raw: Raw,
    request: Request<Incoming>,
) -> Result<Response<MockBody>, Cut> {
    let fault = world.take_fault(request.method(), request.uri().path());
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |it| it.as_str());
    let body = if fault == Some(FaultKind::CutInUpload) {
        Bytes::new()
    } else {
        match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            // The client went, or sent too much: nothing was received.
            Err(_) => return Err(Cut),
        }
    };
    let seen = SeenRequest::read(head.method, target, head.headers, body).await;
    let answer = world.answer(seen, fault).await;
    tokio::time::sleep(answer.after).await;
    respond(answer, &raw).await
}

async fn respond(answer: HttpAnswer, raw: &Raw) -> Result<Response<MockBody>, Cut> {
    let body = match answer.then {
        Then::Whole => MockBody::whole(answer.body),
        Then::Never => std::future::pending().await,
        Then::Cut => return Err(Cut),
        Then::Unfinished => MockBody::unfinished(answer.body),
        Then::Truncated => MockBody::truncated(&answer.body),
        Then::Endless => MockBody::endless(),
        Then::Raw(bytes) => {
            raw.set(bytes);
            MockBody::whole(Bytes::new())
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = HeaderMap::clone(&answer.headers);
    if let Some(reason) = answer.reason
        && let Ok(reason) = ReasonPhrase::try_from(reason)
    {
        response.extensions_mut().insert(reason);
    }
    Ok(response)
}

/// Bytes that replace what is written next.
#[derive(Debug, Clone, Default)]
struct Raw(Arc<Mutex<Option<Bytes>>>);

impl Raw {
    fn set(&self, bytes: Bytes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
    }
}

/// A stream of which a part can be replaced.
struct Link {
    stream: TcpStream,
    raw: Raw,
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut raw = this.raw.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(instead) = raw.as_mut() else {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        };
        while instead.has_remaining() {
            let written = ready!(Pin::new(&mut this.stream).poll_write(context, instead))?;
            instead.advance(written);
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
