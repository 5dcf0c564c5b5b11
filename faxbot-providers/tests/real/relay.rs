//! A SIP receiver that counts calls: it stands between two Asterisks and forwards.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{net::UdpSocket, task::JoinHandle};

/// Forwards datagrams between a caller and a target, and notes each INVITE that opens a call.
///
/// Answers come back through it, because the target sends them where the request came from
/// (`rport`, RFC 3581). Later requests of the call go straight to the `Contact` or through here;
/// they have a tag in `To` and are not counted (RFC 3261 section 12.2).
#[derive(Debug)]
pub(crate) struct CountingRelay {
    port: u16,
    calls: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl CountingRelay {
    /// A relay to a SIP port of this machine; whoever else sends is the caller.
    pub(crate) async fn to(target: u16) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let calls = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&calls);
        let task = tokio::spawn(async move {
            let mut caller = None;
            let mut datagram = vec![0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
                let datagram = &datagram[..length];
                let to = if from.port() == target {
                    caller
                } else {
                    caller = Some(from);
                    if let Some(call) = opened_call(datagram) {
                        seen.lock().unwrap().insert(call);
                    }
                    Some(([127, 0, 0, 1], target).into())
                };
                if let Some(to) = to {
                    // A datagram that is lost is what SIP over UDP lives with.
                    let _ = socket.send_to(datagram, to).await;
                }
            }
        });
        Self { port, calls, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many calls were opened through here; a repeated datagram is the same call.
    pub(crate) fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// Sees that for so long no further call is opened.
    pub(crate) async fn stays_at(&self, calls: usize, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            assert_eq!(self.calls(), calls, "calls at the SIP receiver");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for CountingRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The `Call-ID` of an INVITE without a tag in `To`.
fn opened_call(datagram: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(datagram);
    let mut lines = text.split("\r\n").take_while(|line| !line.is_empty());
    if !lines.next()?.starts_with("INVITE ") {
        return None;
    }
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()))
        .collect();
    // Each header has a short form (RFC 3261 section 7.3.3).
    let value = |long: &str, short: &str| {
        let found = headers
            .iter()
            .find(|(name, _)| name == long || name == short);
        found.map(|(_, value)| *value)
    };
    if value("to", "t")?.contains(";tag=") {
        return None;
    }
    value("call-id", "i").map(str::to_owned)
}
