//! The driver against a toy line protocol on a pipe, with a paused clock.

mod close;
mod link;
mod listener;
mod outcome;
mod pressure;
mod socket;
mod toy;

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use faxbot_core::{clock::TokioClock, random::SeededRandom, task::TaskSet};
use tokio::{
    io::{
        AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufStream, DuplexStream,
        ReadBuf, ReadHalf, WriteHalf, duplex, split,
    },
    sync::mpsc,
};

use super::{
    Connect, Handle, Link, LinkError, LinkEvent, LinkEvents, LinkOptions, RequestError, Transport,
};
use toy::{Toy, ToyCodec};

/// The login of the toy on the wire.
const LOGIN: &str = "login secret\n";

/// What the connector does next.
enum Plan {
    /// A pipe of this capacity.
    Pipe(usize),
    /// A pipe that takes this many bytes and then breaks.
    Cut { after: usize, buffering: bool },
    /// A pipe behind a buffer that only a flush empties.
    Buffered,
    /// Nobody there.
    Refused,
    /// No answer at all.
    Hang,
}

/// Connects by its list of plans, then by plain pipes; hands the far ends to the test.
struct Pipes {
    plans: Mutex<VecDeque<Plan>>,
    peers: mpsc::UnboundedSender<Peer>,
}

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipes")
    }
}

#[async_trait::async_trait]
impl Connect for Pipes {
    async fn connect(&self) -> Result<Transport, LinkError> {
        let plan = self
            .plans
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Plan::Pipe(4096));
        let (capacity, cut) = match plan {
            Plan::Pipe(capacity) => (capacity, None),
            Plan::Cut { after, buffering } => (4096, Some((after, buffering))),
            Plan::Buffered => {
                let (near, far) = duplex(4096);
                let _ = self.peers.send(Peer::new(far));
                return Ok(Transport::buffering(BufStream::new(near)));
            }
            Plan::Refused => {
                let error = std::io::ErrorKind::ConnectionRefused.into();
                return Err(LinkError::Connect(Arc::new(error)));
            }
            Plan::Hang => std::future::pending().await,
        };
        let (near, far) = duplex(capacity);
        let _ = self.peers.send(Peer::new(far));
        Ok(match cut {
            None => Transport::new(near),
            Some((left, true)) => Transport::buffering(Cut { io: near, left }),
            Some((left, false)) => Transport::new(Cut { io: near, left }),
        })
    }
}

/// Takes `left` bytes, then fails to write. Reading goes on.
struct Cut {
    io: DuplexStream,
    left: usize,
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, out)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let some = bytes.len().min(self.left);
        if some == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
        }
        let written = Pin::new(&mut self.io).poll_write(cx, &bytes[..some]);
        if let Poll::Ready(Ok(count)) = written {
            self.left -= count;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The server's end.
struct Peer {
    reader: BufReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
}

impl Peer {
    fn new(io: DuplexStream) -> Self {
        let (reader, writer) = split(io);
        Self {
            reader: BufReader::new(reader),
            writer,
        }
    }

    /// The next line without its end; `None` at the end of the stream.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    async fn say(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).await.unwrap();
    }

    async fn login(&mut self) {
        self.say("hello\n").await;
        assert_eq!(self.line().await.as_deref(), Some(LOGIN.trim_end()));
        self.say("welcome\n").await;
    }

    /// Answers everything until the end of the stream.
    async fn serve(mut self) {
        while let Some(line) = self.line().await {
            let answer = match line.strip_prefix("req ") {
                Some(rest) => format!("ok {rest}\n"),
                None => format!("{line}\n"),
            };
            if self.writer.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// A link, its far ends and what its pump heard.
struct Rig {
    link: Link<Toy>,
    peers: mpsc::UnboundedReceiver<Peer>,
    tasks: TaskSet,
}

fn start(plans: impl IntoIterator<Item = Plan>, options: LinkOptions) -> (Rig, LinkEvents<Toy>) {
    start_toy(plans, options, Toy::new)
}

fn start_toy(
    plans: impl IntoIterator<Item = Plan>,
    options: LinkOptions,
    toy: fn() -> Toy,
) -> (Rig, LinkEvents<Toy>) {
    let (sender, peers) = mpsc::unbounded_channel();
    let pipes = Pipes {
        plans: Mutex::new(plans.into_iter().collect()),
        peers: sender,
    };
    let tasks = TaskSet::current("connect").unwrap();
    let (link, events) = Link::start(
        options,
        Box::new(pipes),
        move |_: [u8; 32]| (toy(), ToyCodec),
        TokioClock::shared(),
        SeededRandom::shared(1),
        &tasks,
    );
    (Rig { link, peers, tasks }, events)
}

/// With a pump that sets up at once and writes down what it hears.
fn started(plans: impl IntoIterator<Item = Plan>, options: LinkOptions) -> (Rig, Notes) {
    let (rig, mut events) = start(plans, options);
    let (sender, notes) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let note = match event {
                LinkEvent::Up {
                    generation, setup, ..
                } => {
                    setup.ready();
                    format!("up {generation}")
                }
                LinkEvent::Event { event, .. } => format!("event {event}"),
                LinkEvent::Down {
                    generation, reason, ..
                } => format!("down {generation}: {reason}"),
                LinkEvent::AttemptFailed {
                    attempts,
                    reason,
                    critical,
                    ..
                } => {
                    format!(
                        "attempt {attempts}: {reason}{}",
                        if critical { "!" } else { "" }
                    )
                }
                LinkEvent::GaveUp { reason } => format!("gave up: {reason}"),
            };
            let _ = sender.send(note);
        }
    });
    (rig, Notes(notes))
}

struct Notes(mpsc::UnboundedReceiver<String>);

impl Notes {
    /// The next note; `None` when the stream of events has ended.
    async fn next(&mut self) -> Option<String> {
        self.0.recv().await
    }

    async fn expect(&mut self, notes: &[&str]) {
        for note in notes {
            assert_eq!(self.next().await.as_deref(), Some(*note));
        }
    }
}

/// A link that is up, its peer and its notes.
async fn up(plan: Plan) -> (Rig, Peer, Notes) {
    up_with(plan, LinkOptions::new("toy")).await
}

async fn up_with(plan: Plan, options: LinkOptions) -> (Rig, Peer, Notes) {
    let (mut rig, mut notes) = started([plan], options);
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    rig.link.connected().await.unwrap();
    notes.expect(&["up 1"]).await;
    (rig, peer, notes)
}

const SECOND: Duration = Duration::from_secs(1);

type Answer = tokio::task::JoinHandle<Result<String, RequestError>>;

/// Asks in a task of its own.
fn ask(handle: &Handle<Toy>, text: &str, timeout: Duration) -> Answer {
    let (handle, text) = (handle.clone(), text.to_owned());
    tokio::spawn(async move { handle.request(text, timeout).await })
}
