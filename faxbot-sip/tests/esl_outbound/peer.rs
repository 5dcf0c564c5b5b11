//! FreeSWITCH's end of an outbound connection, and a listener that takes pipes.

use std::{io, net::IpAddr, time::Duration};

use async_trait::async_trait;
use bytes::BytesMut;
use faxbot_core::{clock::TokioClock, random::SeededRandom};
use faxbot_sip::{
    driver::{Accept, Io, Transport},
    outbound::{EslListener, OutboundCall, OutboundCalls, OutboundOptions},
    protocol::{
        esl::{EslCodec, Format, Frame, MAX_FRAME, Role, encoding, server},
        session::Codec,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    sync::mpsc,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The channel of a call that a test makes up.
pub(crate) const CHANNEL: &str = "a1247397-f142-4d0f-aa46-da6ee4c2583c";

#[derive(Debug)]
struct Door(mpsc::UnboundedReceiver<(Transport, Option<IpAddr>)>);

#[async_trait]
impl Accept for Door {
    async fn accept(&mut self) -> io::Result<(Transport, Option<IpAddr>)> {
        match self.0.recv().await {
            Some(arrival) => Ok(arrival),
            None => std::future::pending().await,
        }
    }
}

/// A listener and the door to it.
pub(crate) struct House {
    pub(crate) listener: EslListener,
    door: mpsc::UnboundedSender<(Transport, Option<IpAddr>)>,
}

impl House {
    pub(crate) fn new(options: OutboundOptions) -> (Self, OutboundCalls) {
        let (door, arrivals) = mpsc::unbounded_channel();
        let (listener, calls) = EslListener::start(
            options,
            Box::new(Door(arrivals)),
            TokioClock::shared(),
            SeededRandom::shared(1),
        )
        .unwrap();
        (Self { listener, door }, calls)
    }

    /// FreeSWITCH connects.
    pub(crate) fn knock(&self) -> FreeSwitch {
        self.knock_from(None)
    }

    pub(crate) fn knock_from(&self, address: Option<&str>) -> FreeSwitch {
        let (near, far) = duplex(64 * 1024);
        let address = address.map(|address| address.parse().unwrap());
        let _ = self.door.send((Transport::new(near), address));
        FreeSwitch::new(far)
    }

    /// A call by `socket` with these words behind the address.
    pub(crate) async fn call(
        &self,
        calls: &mut OutboundCalls,
        words: &str,
    ) -> (FreeSwitch, OutboundCall) {
        let mut peer = self.knock();
        peer.connect(words).await;
        (peer, calls.recv().await.unwrap())
    }
}

/// What FreeSWITCH reads and says on one connection.
pub(crate) struct FreeSwitch {
    io: Box<dyn Io>,
    codec: EslCodec,
    buffer: BytesMut,
}

impl FreeSwitch {
    pub(crate) fn new(io: impl Io) -> Self {
        Self {
            io: Box::new(io),
            codec: EslCodec::new(Role::Server, MAX_FRAME),
            buffer: BytesMut::new(),
        }
    }

    /// The next command; `None` at the end.
    pub(crate) async fn command(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.codec.decode(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            match self.io.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// The line of the next command.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let command = self.command().await?;
        Some(line_of(&command))
    }

    /// The next command has to be that line.
    pub(crate) async fn expect(&mut self, line: &str) {
        assert_eq!(self.line().await.as_deref(), Some(line));
    }

    /// The next command has to be an execute of that application; its id.
    pub(crate) async fn expect_execute(&mut self, application: &str) -> String {
        let command = self.command().await.unwrap();
        let get = |name| command.get_str(name).map(|text| text.into_owned());
        assert_eq!(get("execute-app-name").as_deref(), Some(application));
        get("Event-UUID").unwrap()
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        // We may be gone already.
        let _ = self.io.write_all(bytes).await;
    }

    pub(crate) async fn reply(&mut self, text: &str) {
        self.say(&server::reply(text, &[])).await;
    }

    pub(crate) async fn event(&mut self, headers: &[(&str, &str)]) {
        self.say(&server::event(Format::Json, headers, None)).await;
    }

    /// The channel is hung up.
    pub(crate) async fn hangup(&mut self, cause: &str) {
        let headers = [
            ("Event-Name", "CHANNEL_HANGUP"),
            ("Unique-ID", CHANNEL),
            ("Hangup-Cause", cause),
        ];
        self.event(&headers).await;
    }

    /// The application with that id has ended.
    pub(crate) async fn complete(&mut self, id: &str, response: &str) {
        let headers = [
            ("Event-Name", "CHANNEL_EXECUTE_COMPLETE"),
            ("Unique-ID", CHANNEL),
            ("Application-Response", response),
            ("Application-UUID", id),
        ];
        self.event(&headers).await;
    }

    /// The set-up of a call, as FreeSWITCH answers it.
    pub(crate) async fn connect(&mut self, words: &str) {
        self.expect("connect").await;
        self.say(&channel(words)).await;
        self.expect("event json BACKGROUND_JOB").await;
        if words.contains("full") {
            self.reply("+OK event listener enabled json").await;
        } else {
            self.reply("-ERR command not found").await;
        }
        self.expect("myevents json").await;
        self.reply("+OK Events Enabled").await;
    }

    /// Answers `exit` and closes.
    pub(crate) async fn goodbye(mut self) {
        self.expect("exit").await;
        self.reply("+OK bye").await;
        self.say(&server::goodbye()).await;
    }
}

pub(crate) fn line_of(command: &Frame) -> String {
    String::from_utf8(command.command().unwrap().to_vec()).unwrap()
}

/// The reply to `connect`, in the form of `07_outbound_async_full_linger`.
pub(crate) fn channel(words: &str) -> Vec<u8> {
    let has = |word: &str| words.split(' ').any(|it| it == word);
    let mode = if has("async") { "async" } else { "static" };
    let control = if has("full") {
        "full"
    } else {
        "single-channel"
    };
    let headers = [
        ("Event-Name", "CHANNEL_DATA"),
        ("Channel-Name", "loopback/900-b"),
        ("Unique-ID", CHANNEL),
        ("Call-Direction", "inbound"),
        ("Answer-State", "ringing"),
        ("Caller-Caller-ID-Name", "Example Clinic"),
        ("Caller-Caller-ID-Number", "+15551230000"),
        ("Caller-Destination-Number", "900"),
        ("Content-Type", "command/reply"),
        ("Reply-Text", "+OK\n"),
        ("Socket-Mode", mode),
        ("Control", control),
    ];
    let mut out = Vec::new();
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        if name == "Content-Type" {
            out.extend_from_slice(value.as_bytes());
        } else {
            encoding::encode(value.as_bytes(), &mut out);
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}
