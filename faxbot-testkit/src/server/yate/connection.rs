//! One client of the mock: its lines, and what it watches and handles.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    session::Codec as _,
    yate::{Ask, Frame, Kind, Message, Role, Verb, YateCodec, server},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{mpsc, oneshot},
};

use super::{
    dispatch::{Answer, dispatch},
    lifecycle, local,
    msg::Msg,
    world::World,
};
use crate::server::{
    base::{Closing, Io},
    link::{Link, Wake},
    script::ReplyFault,
};

/// A handler of a client.
#[derive(Debug, Clone)]
pub(super) struct Install {
    pub name: String,
    pub priority: u32,
    pub filter: Option<(String, String)>,
}

/// A request that a client has not answered.
#[derive(Debug)]
pub(super) struct Waiting {
    pub name: String,
    pub answer: oneshot::Sender<Answer>,
}

/// What is known of a client.
#[derive(Debug)]
pub struct Session {
    watched: BTreeSet<String>,
    pub(super) installs: Vec<Install>,
    pub(super) waiting: HashMap<String, Waiting>,
    pub(super) selfwatch: bool,
    pub(super) reenter: bool,
    /// In ms; 0 and less is for ever.
    pub(super) timeout: i64,
    pub(super) max_queue: usize,
    pub(super) locals: HashMap<String, String>,
}

impl Session {
    fn new(timeout: i64) -> Self {
        Self {
            watched: BTreeSet::new(),
            installs: Vec::new(),
            waiting: HashMap::new(),
            selfwatch: false,
            reenter: false,
            timeout,
            max_queue: 1000,
            locals: HashMap::new(),
        }
    }

    /// The empty name stands for all.
    pub(super) fn watches(&self, name: &str) -> bool {
        self.watched.contains(name) || self.watched.contains("")
    }
}

/// Serves one client until it goes or is sent away.
pub(super) async fn serve(world: Arc<World>, mut io: Box<dyn Io>) {
    let (done, finished) = mpsc::unbounded_channel();
    let mut connection = Connection {
        link: Link::open(&world, Session::new(world.config.timeout)),
        ready: world.config.global,
        codec: YateCodec::new(Role::Server, server::DEFAULT_BUFFER - 1),
        input: BytesMut::new(),
        done,
        world: Arc::clone(&world),
    };
    lifecycle::tick(&world);
    // A client that is gone is no fault of the mock.
    let _gone = connection.run(&mut *io, finished).await;
    connection.link.close(&world);
}

struct Connection {
    world: Arc<World>,
    link: Link,
    /// It has its role.
    ready: bool,
    codec: YateCodec,
    input: BytesMut,
    /// Where messages come back that had to wait.
    done: mpsc::UnboundedSender<Done>,
}

/// A message of the client that went through its handlers.
struct Done {
    id: String,
    msg: Msg,
    processed: bool,
    fault: Option<ReplyFault>,
}

impl Connection {
    async fn run(
        &mut self,
        io: &mut dyn Io,
        mut finished: mpsc::UnboundedReceiver<Done>,
    ) -> io::Result<()> {
        loop {
            while let Some(frame) = self
                .codec
                .decode(&mut self.input)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                if !self.take(io, &frame).await? {
                    return io.shutdown().await;
                }
            }
            tokio::select! {
                biased;
                wake = self.link.next() => match wake {
                    Wake::Event(event) => self.link.write(io, &event).await?,
                    Wake::Closing(Closing::Drained) => return self.link.drain(io).await,
                    Wake::Closing(_) => return Ok(()),
                },
                Some(done) = finished.recv() => {
                    if !self.finish(io, done).await? {
                        return io.shutdown().await;
                    }
                }
                read = io.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Carries out one line. False ends the connection.
    async fn take(&mut self, io: &mut dyn Io, frame: &Frame) -> io::Result<bool> {
        let mut fault = None;
        if let Some(ask @ Ask::Connect { .. }) = frame.ask() {
            fault = self.seen("connect", headers(&ask));
        }
        if !self.ready {
            // Anything else than a role is the end, without a word (`processLine`).
            self.ready = matches!(
                frame.ask(),
                Some(Ask::Connect { role, .. }) if role == "global" || role == "channel"
            );
            if !self.ready || matches!(fault, Some(ReplyFault::Refuse(_))) {
                return Ok(false);
            }
            // There is no answer, but something may go wrong.
            return self.link.answer(&self.world, io, b"", fault).await;
        }
        if server::is_error(frame) || std::str::from_utf8(frame.line()).is_err() {
            let line = server::error(frame);
            return self.reply(io, &line, fault).await;
        }
        match frame.kind() {
            Kind::Request => match frame.message() {
                Some(message) => self.request(io, &message).await,
                None => Ok(true),
            },
            Kind::Answer => {
                if let Some(message) = frame.message() {
                    self.answered(&message);
                }
                Ok(true)
            }
            Kind::Command(verb) => match frame.ask() {
                Some(ask) => self.command(io, verb, &ask).await,
                None => Ok(true),
            },
            _ => Ok(true),
        }
    }

    async fn reply(
        &mut self,
        io: &mut dyn Io,
        line: &Bytes,
        fault: Option<ReplyFault>,
    ) -> io::Result<bool> {
        // What was said before goes out before.
        while let Some(event) = self.link.queued() {
            self.link.write(io, &event).await?;
        }
        let number = self.link.number;
        self.world.lock().record.server(line.clone(), Some(number));
        self.world.flush();
        self.link.answer(&self.world, io, line, fault).await
    }

    /// A message of the client.
    async fn request(&mut self, io: &mut dyn Io, message: &Message<'_>) -> io::Result<bool> {
        let id = String::from_utf8_lossy(&unescaped(message.id())).into_owned();
        let mut msg = read(message);
        msg.owner = Some(self.link.number);
        let fault = self.seen(&msg.name, msg.params().to_vec());
        if let Some(ReplyFault::Refuse(text)) = &fault {
            let msg = msg.with("error", "failure").with("reason", text.clone());
            let processed = false;
            return self
                .finish(
                    io,
                    Done {
                        id,
                        msg,
                        processed,
                        fault,
                    },
                )
                .await;
        }
        let world = Arc::clone(&self.world);
        let mut job: Pin<Box<dyn Future<Output = Done> + Send>> = Box::pin(async move {
            let processed = dispatch(&world, &mut msg).await;
            let fault = fault.or(msg.fault.take());
            Done {
                id,
                msg,
                processed,
                fault,
            }
        });
        let now = std::future::poll_fn(|cx| Poll::Ready(job.as_mut().poll(cx))).await;
        match now {
            Poll::Ready(done) => self.finish(io, done).await,
            Poll::Pending => {
                // Other messages of the client go on meanwhile.
                let done = self.done.clone();
                self.world.spawn(async move {
                    // The client is gone: nobody waits.
                    let _gone = done.send(job.await);
                });
                Ok(true)
            }
        }
    }

    async fn finish(&mut self, io: &mut dyn Io, done: Done) -> io::Result<bool> {
        let Done {
            id,
            msg,
            processed,
            fault,
        } = done;
        let line = server::answer(&id, processed, &msg.name, &msg.retval, &msg.pairs());
        self.reply(io, &line, fault).await
    }

    /// Notes what the client asks for. The answer is what goes wrong with it.
    fn seen(&self, name: &str, headers: Vec<(String, String)>) -> Option<ReplyFault> {
        let now = self.world.now();
        self.world.change(|state| {
            let note = format!("connection {}: {name}", self.link.number);
            state.record.note(&note);
            let name = name.to_owned();
            let action = state.record.client(self.link.number, name, headers, now);
            state.take_fault(&action.name)
        })
    }

    /// The client answers a request. What nobody waits for is dropped.
    fn answered(&self, message: &Message<'_>) {
        let id = String::from_utf8_lossy(message.id()).into_owned();
        let waiting = self.world.change(|state| {
            let client = state.clients.get_mut(&self.link.number)?;
            client.own.waiting.remove(&id)
        });
        let name = waiting.as_ref().map(|it| it.name.clone());
        let mut headers = vec![
            ("message".to_owned(), name.unwrap_or_default()),
            ("processed".to_owned(), message.is_processed().to_string()),
            ("retval".to_owned(), message.retval().into_owned()),
        ];
        let params = message.params();
        let params = params.map(|it| {
            let value = it.text().map(std::borrow::Cow::into_owned);
            (it.name().into_owned(), value)
        });
        let params: Vec<_> = params.collect();
        let values = params.iter().cloned();
        headers.extend(values.map(|(name, value)| (name, value.unwrap_or_default())));
        self.seen("answer", headers);
        let Some(waiting) = waiting else { return };
        // An answer that ends behind the word of success leaves the message as it is.
        let whole =
            !message.name().is_empty() || !message.retval().is_empty() || !params.is_empty();
        let _gone = waiting.answer.send(Answer {
            processed: message.is_processed(),
            name: Some(message.name().into_owned()).filter(|name| !name.is_empty()),
            retval: whole.then(|| message.retval().into_owned()),
            params,
        });
    }

    async fn command(&mut self, io: &mut dyn Io, verb: Verb, ask: &Ask<'_>) -> io::Result<bool> {
        let fault = self.seen(verb.word(), headers(ask));
        if matches!(ask, Ask::Quit) {
            self.reply(io, &server::quit(), fault).await?;
            return Ok(false);
        }
        let refused = matches!(fault, Some(ReplyFault::Refuse(_)));
        if let Ask::Setlocal { name, value } = ask {
            let (line, limit) = local::set(&self.world, self.link.number, name, value, refused);
            if let Some(limit) = limit {
                self.codec.set_max_line(limit - 1);
            }
            return self.reply(io, &line, fault).await;
        }
        let line = self.world.change(|state| {
            let client = state.clients.get_mut(&self.link.number)?;
            listen(&mut client.own, ask, refused)
        });
        match line {
            Some(line) => self.reply(io, &line, fault).await,
            None => Ok(true),
        }
    }
}

/// Watching and handling.
fn listen(own: &mut Session, ask: &Ask<'_>, refused: bool) -> Option<Bytes> {
    Some(match ask {
        Ask::Watch(name) => {
            let ok = !refused && own.watched.insert(name.clone().into_owned());
            server::watching(name, ok)
        }
        Ask::Unwatch(name) => server::unwatched(name, !refused && own.watched.remove(&**name)),
        Ask::Install {
            priority,
            name,
            filter,
        } => {
            let known = own.installs.iter().any(|it| it.name == **name);
            let ok = !refused && !known && !name.is_empty();
            if ok {
                let filter = filter.clone();
                own.installs.push(Install {
                    name: name.clone().into_owned(),
                    priority: *priority,
                    filter: filter.map(|(key, value)| (key.into_owned(), value.into_owned())),
                });
            }
            server::installed(*priority, name, ok)
        }
        Ask::Uninstall(name) => {
            let found = own.installs.iter().position(|it| it.name == **name);
            match found.filter(|_| !refused) {
                Some(at) => server::uninstalled(own.installs.remove(at).priority, name, true),
                None => server::uninstalled(0, name, false),
            }
        }
        // Lines for the log have no answer.
        _ => return None,
    })
}

/// What a test sees of a command.
fn headers(ask: &Ask<'_>) -> Vec<(String, String)> {
    let pairs: Vec<(&str, String)> = match ask {
        Ask::Install {
            priority,
            name,
            filter,
        } => {
            let mut all = vec![
                ("priority", priority.to_string()),
                ("name", name.to_string()),
            ];
            if let Some((key, value)) = filter {
                all.push(("filter", key.to_string()));
                all.push(("value", value.to_string()));
            }
            all
        }
        Ask::Uninstall(name) | Ask::Watch(name) | Ask::Unwatch(name) => {
            vec![("name", name.to_string())]
        }
        Ask::Setlocal { name, value } => {
            vec![("name", name.to_string()), ("value", value.to_string())]
        }
        Ask::Connect { role, .. } => vec![("role", role.to_string())],
        Ask::Output(text) => vec![("text", text.to_string())],
        Ask::Debug { level, text } => {
            vec![("level", level.to_string()), ("text", text.to_string())]
        }
        _ => Vec::new(),
    };
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn unescaped(raw: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    faxbot_sip::protocol::yate::encoding::unescape(raw)
}

/// A message as the engine keeps it.
fn read(message: &Message<'_>) -> Msg {
    let mut msg = Msg::new(&message.name());
    msg.retval = message.retval().into_owned();
    for param in message.params() {
        // A name without a value takes away what is not there.
        if let Some(value) = param.text() {
            msg = msg.with(&param.name(), value.into_owned());
        }
    }
    msg
}
