//! The event server of the module `evapi`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{mpsc, watch},
};

use crate::server::base::{Closing, Io};

/// Clients that are taken at once: `max_clients`.
const MAX_CLIENTS: usize = 8;

/// Longest message of a client, in bytes: `NETSTRING_LEN_MAX` is larger, and no test needs it.
const MAX_MESSAGE: usize = 64 * 1024;

struct Client {
    queue: mpsc::UnboundedSender<Bytes>,
    closing: watch::Sender<Closing>,
}

#[derive(Default)]
struct Inner {
    clients: BTreeMap<usize, Client>,
    down: bool,
    /// What went out so far.
    sent: Vec<String>,
}

/// The clients of evapi. Every relay goes to all of them.
#[derive(Clone, Default)]
pub(super) struct Evapi(Arc<Mutex<Inner>>);

impl std::fmt::Debug for Evapi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evapi")
            .field("clients", &self.lock().clients.len())
            .finish_non_exhaustive()
    }
}

/// A netstring: `<length>:<payload>,`.
pub(super) fn netstring(payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.len() + 12);
    bytes.extend_from_slice(payload.len().to_string().as_bytes());
    bytes.extend_from_slice(b":");
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(b",");
    bytes.freeze()
}

impl Evapi {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `evapi_relay`: to everybody who is there. Nothing is kept for others.
    pub(super) fn relay(&self, payload: &str) {
        let mut inner = self.lock();
        if inner.down {
            return;
        }
        inner.sent.push(payload.to_owned());
        drop(inner);
        self.raw(&netstring(payload.as_bytes()));
    }

    /// These bytes, as they are.
    pub(super) fn raw(&self, bytes: &Bytes) {
        for client in self.lock().clients.values() {
            let _gone = client.queue.send(bytes.clone());
        }
    }

    /// What was relayed so far.
    pub(super) fn sent(&self) -> Vec<String> {
        self.lock().sent.clone()
    }

    pub(super) fn clients(&self) -> usize {
        self.lock().clients.len()
    }

    pub(super) fn is_down(&self) -> bool {
        self.lock().down
    }

    /// All links end. Nobody is taken until `down` is false.
    pub(super) fn close(&self, closing: Closing, down: bool) {
        let mut inner = self.lock();
        inner.down = down;
        for client in inner.clients.values() {
            client.closing.send_replace(closing);
        }
        inner.clients.clear();
    }

    /// Nobody is taken, or again.
    pub(super) fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// Serves one client. `said` is told of each message of it.
    pub(super) async fn serve(self, mut io: Box<dyn Io>, said: impl Fn(Said) + Send + Sync) {
        let Some((number, mut queue, mut closing)) = self.enter() else {
            // The ninth client is closed at once (recording `evapi_big_and_max_clients`).
            return;
        };
        said(Said::Came(number));
        let mut buffer = BytesMut::new();
        loop {
            tokio::select! {
                biased;
                _ = closing.changed() => {
                    if *closing.borrow() == Closing::Drained {
                        while let Ok(bytes) = queue.try_recv() {
                            if io.write_all(&bytes).await.is_err() {
                                break;
                            }
                        }
                    }
                    break;
                }
                Some(bytes) = queue.recv() => {
                    if io.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
                read = io.read_buf(&mut buffer) => {
                    if !matches!(read, Ok(1..)) {
                        break;
                    }
                    while let Some(message) = next_message(&mut buffer) {
                        if !message.is_empty() {
                            said(Said::Message(message));
                        }
                    }
                }
            }
        }
        self.lock().clients.remove(&number);
        let _gone = io.shutdown().await;
    }

    #[allow(clippy::type_complexity, reason = "the three ends of one client")]
    fn enter(
        &self,
    ) -> Option<(
        usize,
        mpsc::UnboundedReceiver<Bytes>,
        watch::Receiver<Closing>,
    )> {
        let mut inner = self.lock();
        if inner.down {
            return None;
        }
        let free = |number: &usize| !inner.clients.contains_key(number);
        let number = (0..MAX_CLIENTS).find(free)?;
        // Not bounded: a mock that dropped events would test another server.
        let (queue, events) = mpsc::unbounded_channel();
        let closing = watch::Sender::new(Closing::No);
        let told = closing.subscribe();
        inner.clients.insert(number, Client { queue, closing });
        Some((number, events, told))
    }
}

/// What a client of evapi did.
#[derive(Debug)]
pub(super) enum Said {
    /// It came, and has this number.
    Came(usize),
    Message(Bytes),
}

/// The next netstring. One that is wrong is dropped with what was read, and nothing tells so
/// (recording `evapi_edges`).
fn next_message(buffer: &mut BytesMut) -> Option<Bytes> {
    let colon = match buffer.iter().position(|&byte| byte == b':') {
        Some(colon) => colon,
        None if buffer.len() > 10 => {
            buffer.clear();
            return None;
        }
        None => return None,
    };
    let length = buffer
        .get(..colon)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse::<usize>().ok())
        .filter(|length| *length <= MAX_MESSAGE);
    let Some(length) = length else {
        buffer.clear();
        return None;
    };
    let end = colon + 1 + length;
    if *buffer.get(end)? != b',' {
        buffer.clear();
        return None;
    }
    let mut whole = buffer.split_to(end + 1);
    let payload = whole.split_off(colon + 1);
    Some(payload.freeze().slice(..length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_wherever_they_are_cut_and_wrong_ones_are_dropped() {
        let mut buffer = BytesMut::from("2:hi,0:,3:abc,5:he".as_bytes());
        assert_eq!(next_message(&mut buffer).unwrap(), "hi");
        assert_eq!(next_message(&mut buffer).unwrap(), "");
        assert_eq!(next_message(&mut buffer).unwrap(), "abc");
        assert_eq!(next_message(&mut buffer), None);
        buffer.extend_from_slice(b"llo,");
        assert_eq!(next_message(&mut buffer).unwrap(), "hello");
        buffer.extend_from_slice(b"5:hellox");
        assert_eq!(next_message(&mut buffer), None);
        assert!(buffer.is_empty());
        assert_eq!(netstring(b"hi"), "2:hi,");
    }
}
