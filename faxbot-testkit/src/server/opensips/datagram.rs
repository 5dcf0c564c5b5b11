//! `mi_datagram`: MI by datagrams, where nobody waits for another (recordings `09_*`).

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{net::UdpSocket, sync::watch, task::JoinSet, time::Instant};

use super::{
    engine::{Answered, OpenSips},
    mi::Channel,
};
use crate::server::{http::MockHttp, script::ReplyFault};

/// Longest reply, in bytes. A longer one is replaced by a text.
const MOST: usize = 65_457;

/// What comes of a datagram.
fn reply(http: &MockHttp<OpenSips>, body: &[u8]) -> Option<(Bytes, Duration)> {
    // An empty one is not answered.
    if body.is_empty() {
        return None;
    }
    let now = Instant::now();
    let text = |text: &'static str| (Bytes::from_static(text.as_bytes()), Duration::ZERO);
    match http.vendor(|server| server.rpc(body, Channel::Datagram, now)) {
        Answered::Broken => Some(text("400 Parse_error")),
        Answered::Nothing | Answered::Never => None,
        Answered::As { body, after, fault } => {
            let body = match (body.filter(|body| body.len() <= MOST), fault) {
                (_, Some(ReplyFault::DropBefore | ReplyFault::Silent)) => return None,
                (_, Some(ReplyFault::Garbage(bytes))) => bytes,
                (Some(body), _) => Bytes::from(body),
                (None, _) => text("500 Internal error").0,
            };
            Some((body, after))
        }
    }
}

async fn up(told: &mut watch::Receiver<bool>, wanted: bool) {
    if told.wait_for(|up| *up == wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Serves UDP at an address for ever. While the server is down nobody is there.
pub(super) async fn udp(
    http: Arc<MockHttp<OpenSips>>,
    socket: UdpSocket,
    address: SocketAddr,
    mut told: watch::Receiver<bool>,
) {
    let mut socket = Some(socket);
    loop {
        if let Some(socket) = socket.take() {
            tokio::select! {
                () = serve_udp(&http, socket) => {}
                () = up(&mut told, false) => {}
            }
        }
        up(&mut told, true).await;
        socket = UdpSocket::bind(address).await.ok();
        if socket.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn serve_udp(http: &Arc<MockHttp<OpenSips>>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut later = JoinSet::new();
    let mut buffer = vec![0; 65_536];
    loop {
        tokio::select! {
            Some(_) = later.join_next() => {}
            received = socket.recv_from(&mut buffer) => {
                // An error is that of an earlier datagram, to somebody who is gone.
                let Ok((length, from)) = received else { continue };
                let body = buffer.get(..length).unwrap_or_default();
                let Some((body, after)) = reply(http, body) else { continue };
                let socket = Arc::clone(&socket);
                let answer = async move {
                    tokio::time::sleep(after).await;
                    let _gone = socket.send_to(&body, from).await;
                };
                if after.is_zero() {
                    answer.await;
                } else {
                    later.spawn(answer);
                }
            }
        }
    }
}

/// Serves a unix socket for ever.
#[cfg(unix)]
pub(super) async fn unix(
    http: Arc<MockHttp<OpenSips>>,
    path: PathBuf,
    mut told: watch::Receiver<bool>,
) {
    loop {
        up(&mut told, true).await;
        // One that is left over is in the way.
        let _none = std::fs::remove_file(&path);
        if let Ok(socket) = tokio::net::UnixDatagram::bind(&path) {
            tokio::select! {
                () = serve_unix(&http, socket) => {}
                () = up(&mut told, false) => {}
            }
        } else {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let _gone = std::fs::remove_file(&path);
    }
}

#[cfg(unix)]
async fn serve_unix(http: &Arc<MockHttp<OpenSips>>, socket: tokio::net::UnixDatagram) {
    let socket = Arc::new(socket);
    let mut later = JoinSet::new();
    let mut buffer = vec![0; 65_536];
    loop {
        tokio::select! {
            Some(_) = later.join_next() => {}
            received = socket.recv_from(&mut buffer) => {
                let Ok((length, from)) = received else { continue };
                let body = buffer.get(..length).unwrap_or_default();
                let Some((body, after)) = reply(http, body) else { continue };
                // Who has no path gets no answer.
                let Some(path) = from.as_pathname().map(std::path::Path::to_owned) else { continue };
                let socket = Arc::clone(&socket);
                let answer = async move {
                    tokio::time::sleep(after).await;
                    let _gone = socket.send_to(&body, path).await;
                };
                if after.is_zero() {
                    answer.await;
                } else {
                    later.spawn(answer);
                }
            }
        }
    }
}
