//! One process of sipp: started, watched by its log of messages, and ended.

use std::{
    fs,
    net::UdpSocket,
    path::Path,
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{LIMIT, until};

/// A datagram of SIP as sipp saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SipMessage {
    /// From Asterisk; otherwise the party sent it.
    pub(crate) received: bool,
    /// Seconds of the day, with microseconds.
    pub(crate) time: String,
    /// `INVITE sip:... SIP/2.0` or `SIP/2.0 200 OK`.
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl SipMessage {
    /// The value of a header by its long name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter();
        let found = found.find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The method of a request; `None` for a response.
    pub(crate) fn method(&self) -> Option<&str> {
        let first = self.start.split(' ').next()?;
        (first != "SIP/2.0").then_some(first)
    }

    /// The status of a response; `None` for a request.
    pub(crate) fn status(&self) -> Option<u16> {
        self.start
            .strip_prefix("SIP/2.0 ")?
            .split(' ')
            .next()?
            .parse()
            .ok()
    }

    pub(crate) fn call_id(&self) -> &str {
        self.header("Call-ID").unwrap_or_default()
    }

    /// The request that a response answers, or its own method.
    pub(crate) fn cseq_method(&self) -> &str {
        self.header("CSeq")
            .and_then(|value| value.split(' ').nth(1))
            .unwrap_or_default()
    }

    /// A request that opens a call: an INVITE without a tag in `To` (RFC 3261 section 12.2).
    pub(crate) fn opens_call(&self) -> bool {
        self.method() == Some("INVITE") && !self.header("To").is_some_and(|to| to.contains("tag="))
    }

    /// Where the sender of a session description wants its audio.
    pub(crate) fn media(&self) -> Option<(String, u16)> {
        let host = self
            .body
            .lines()
            .find_map(|line| line.strip_prefix("c=IN IP4 "))?;
        let port = self
            .body
            .lines()
            .find_map(|line| line.strip_prefix("m=audio "))?;
        let port = port.split(' ').next()?.parse().ok()?;
        Some((host.trim().to_owned(), port))
    }

    /// `sendrecv`, `sendonly`, `recvonly` or `inactive`.
    pub(crate) fn direction(&self) -> Option<&str> {
        let words = ["sendrecv", "sendonly", "recvonly", "inactive"];
        self.body
            .lines()
            .filter_map(|line| line.strip_prefix("a="))
            .find(|word| words.contains(word))
    }
}

/// A running sipp. Dropping it kills the process; its files go too, unless the test failed.
#[derive(Debug)]
pub(crate) struct Sipp {
    port: u16,
    directory: Option<TempDir>,
    child: Mutex<Child>,
    told: AtomicU32,
}

impl Sipp {
    /// Starts one on a port of 127.0.0.1, a free one for 0, that talks with a SIP port of this
    /// machine.
    pub(crate) async fn start(scenario: &str, port: u16, server: u16, more: &[&str]) -> Self {
        // A port that was free may be taken a moment later.
        for _ in 0..5 {
            let asked = if port == 0 { free_port() } else { port };
            if let Some(sipp) = Self::try_start(scenario, asked, server, more).await {
                return sipp;
            }
        }
        panic!("sipp does not start: apt install sip-tester");
    }

    async fn try_start(scenario: &str, port: u16, server: u16, more: &[&str]) -> Option<Self> {
        let directory = tempfile::Builder::new()
            .prefix("faxbot-party-")
            .tempdir()
            .unwrap();
        let file = |name: &str| directory.path().join(name);
        fs::write(file("scenario.xml"), scenario).unwrap();
        let server = format!("127.0.0.1:{server}");
        let child = Command::new("sipp")
            .args([&server, "-rsa", &server, "-i", "127.0.0.1", "-bind_local"])
            .args(["-p", &port.to_string(), "-nostdin", "-trace_msg"])
            .args(["-trace_err", "-sf"])
            .arg(file("scenario.xml"))
            .arg("-message_file")
            .arg(file("messages"))
            .arg("-error_file")
            .arg(file("errors"))
            // Its own media is never used; it wants ports for it all the same.
            .args(["-mi", "127.0.0.1", "-mp", &free_port().to_string()])
            .args(["-ci", "127.0.0.1", "-cp", &free_port().to_string()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(file("stderr")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .expect("sipp runs: apt install sip-tester");
        let sipp = Self {
            port,
            directory: Some(directory),
            child: Mutex::new(child),
            told: AtomicU32::new(0),
        };
        let up = until("sipp is up or gone", LIMIT, async || {
            if sipp.ended() {
                // A caller may be done before it is looked at.
                return Some(!sipp.messages().is_empty());
            }
            // A port that cannot be bound any more is sipp's.
            (UdpSocket::bind(("127.0.0.1", port)).is_err()).then_some(true)
        })
        .await;
        if !up {
            eprintln!("sipp on port {port}: {}", sipp.complaints());
        }
        up.then_some(sipp)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether the process is over.
    pub(crate) fn ended(&self) -> bool {
        !matches!(self.child.lock().unwrap().try_wait(), Ok(None))
    }

    /// All messages so far, in their order, without those that told a call something.
    pub(crate) fn messages(&self) -> Vec<SipMessage> {
        let text = self.read("messages");
        let mut messages = parse(&text);
        messages.retain(|message| message.method() != Some("PUBLISH"));
        messages
    }

    /// Tells a call something.
    pub(crate) fn tell(&self, call_id: &str, headers: &str) {
        // sipp goes on from the CSeq of what came last, so these have to rise, far above Asterisk's.
        let cseq = 1_000_000 + 10 * self.told.fetch_add(1, Ordering::Relaxed);
        let text = format!(
            "PUBLISH sip:party@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{cseq}\r\n\
             From: <sip:test@127.0.0.1>;tag=test\r\nTo: <sip:party@127.0.0.1>\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} PUBLISH\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        socket
            .send_to(text.as_bytes(), ("127.0.0.1", self.port))
            .unwrap();
    }

    /// What sipp did not like.
    pub(crate) fn complaints(&self) -> String {
        let mut text = self.read("errors");
        text += &self.read("stderr");
        text
    }

    fn read(&self, name: &str) -> String {
        let path = self.directory.as_ref().map(|it| it.path().join(name));
        let bytes = path.and_then(|path| fs::read(path).ok());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.lock().unwrap().start_kill();
        if std::thread::panicking()
            && let Some(directory) = self.directory.take()
        {
            let messages = self.read_from(directory.path());
            let path = directory.keep();
            eprintln!(
                "the party on port {}, all in {}:",
                self.port,
                path.display()
            );
            let old = messages.len().saturating_sub(PRINTED);
            for message in &messages[old..] {
                let side = if message.received { "got" } else { "sent" };
                eprintln!(
                    "  {} {side} {} ({})",
                    message.time,
                    message.start,
                    message.header("CSeq").unwrap_or_default()
                );
            }
        }
    }
}

impl Sipp {
    fn read_from(&self, directory: &Path) -> Vec<SipMessage> {
        let bytes = fs::read(directory.join("messages")).unwrap_or_default();
        parse(&String::from_utf8_lossy(&bytes))
    }
}

/// A UDP port that nobody has.
pub(crate) fn free_port() -> u16 {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    socket.local_addr().unwrap().port()
}

/// How many messages of a failed test are printed.
const PRINTED: usize = 60;

/// How often sipp's log is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

fn parse(text: &str) -> Vec<SipMessage> {
    // Each message stands behind a line of 47 dashes, a date and a time.
    text.split("-----------------------------------------------")
        .filter_map(|part| {
            let part = part.trim_start().replace("\r\n", "\n");
            let (time, rest) = part.split_once('\n')?;
            let (way, message) = rest.split_once(":\n\n")?;
            let message = message.trim_start();
            let (head, body) = message.split_once("\n\n").unwrap_or((message, ""));
            let (start, headers) = head.split_once('\n').unwrap_or((head, ""));
            Some(SipMessage {
                received: way.contains(" received "),
                time: time.split(' ').nth(1)?.to_owned(),
                start: start.to_owned(),
                headers: headers
                    .lines()
                    .filter_map(|line| line.split_once(':'))
                    .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                    .collect(),
                body: body.trim_end_matches('\n').to_owned(),
            })
        })
        .collect()
}
