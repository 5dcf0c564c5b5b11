//! A Yate that does what a recorded one did: it answers questions by what is true at that moment of
//! the recording, and tells what was told, to whom watches or handles it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use faxbot_core::id::CallId;
use faxbot_sip::{
    driver::{Connect, LinkError, Transport},
    protocol::{
        session::Codec as _,
        yate::{Ask, Frame, MAX_LINE, Message, Role, YateCodec, server},
    },
};
use faxbot_testkit::replay::{Direction, Recording};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep, sleep_until},
};

const DUPLEX_BYTES: usize = 1 << 20;

const MODULES: &str = "dumbchan\tfaxchan\tysipchan\tcdrbuild\tpbx\tmoh\tconference\twavefile";

/// One line.
#[derive(Debug, Clone)]
struct Step {
    at: Duration,
    by_client: bool,
    line: String,
    frame: Frame,
}

/// The peer.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    steps: Arc<Vec<Step>>,
    /// Which `call.execute` of the recording the next one is, and whose call it is.
    next: Option<(usize, CallId)>,
    gate: Option<&'static str>,
    out: Option<UnboundedSender<Bytes>>,
    watched: BTreeSet<String>,
    installed: BTreeSet<String>,
    asked: Vec<String>,
    /// Channels that are up: status, address, peer.
    channels: BTreeMap<String, (String, String, String)>,
    over: bool,
}

fn steps(name: &str) -> Vec<Step> {
    let recording = Recording::load(name).unwrap();
    let mut ends = BTreeMap::new();
    let mut steps = Vec::new();
    for chunk in recording.chunks() {
        let by_client = chunk.dir == Direction::ToServer;
        let (codec, input) = ends.entry((chunk.conn, by_client)).or_insert_with(|| {
            let role = if by_client {
                Role::Server
            } else {
                Role::Client
            };
            (YateCodec::new(role, MAX_LINE), BytesMut::new())
        });
        input.extend_from_slice(&chunk.bytes);
        while let Some(frame) = codec.decode(input).unwrap() {
            steps.push(Step {
                at: chunk.t,
                by_client,
                line: String::from_utf8_lossy(frame.line()).into_owned(),
                frame,
            });
        }
    }
    steps
}

impl Stage {
    pub(crate) fn new(name: &str) -> Self {
        let inner = Inner {
            steps: Arc::new(steps(name)),
            next: None,
            gate: None,
            out: None,
            watched: BTreeSet::new(),
            installed: BTreeSet::new(),
            asked: Vec::new(),
            channels: BTreeMap::new(),
            over: false,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connect> {
        Arc::new(self.clone())
    }

    /// The next `call.execute` is this one of the recording.
    pub(crate) fn plays(&self, nth: usize, id: CallId, gate: Option<&'static str>) {
        let mut inner = self.inner();
        let executes =
            |step: &&(usize, &Step)| step.1.by_client && step.1.line.contains(":call.execute:");
        let steps = Arc::clone(&inner.steps);
        let numbered: Vec<_> = steps.iter().enumerate().collect();
        let at = numbered.iter().filter(executes).nth(nth).unwrap().0;
        inner.next = Some((at, id));
        inner.gate = gate;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.inner().over
    }

    /// How many calls were recorded.
    pub(crate) fn calls(&self) -> usize {
        let executes = |step: &&Step| step.by_client && step.line.contains(":call.execute:");
        self.inner().steps.iter().filter(executes).count()
    }

    /// Plays all that was told, from the beginning.
    pub(crate) async fn plays_all(&self) {
        let steps = Arc::clone(&self.inner().steps);
        for (index, step) in steps.iter().enumerate().filter(|(_, step)| !step.by_client) {
            if !step.line.starts_with("Error in") {
                self.inner().tell(&step.frame, &step.line);
            }
            if index % 64 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    }

    async fn play(self, at: usize, id: CallId, ours: String, path: Option<String>) {
        let steps = Arc::clone(&self.inner().steps);
        let asked = steps[at].frame.message().unwrap();
        let (recorded, target) = (
            String::from_utf8_lossy(asked.id()).into_owned(),
            asked.text("callto").unwrap_or_default().into_owned(),
        );
        let old = target.strip_prefix("fax/send/").map(str::to_owned);
        let mut start = Instant::now();
        for step in &steps[at + 1..] {
            sleep_until(start + step.at.saturating_sub(steps[at].at)).await;
            if step.by_client {
                let gate = self.inner().gate;
                let Some(gate) = gate.filter(|gate| step.line.contains(gate)) else {
                    continue;
                };
                let waits = Instant::now();
                while !self.inner().asked.iter().any(|it| it.contains(gate)) {
                    sleep(Duration::from_millis(5)).await;
                }
                start += waits.elapsed();
                continue;
            }
            let mut line = step.line.clone();
            if let (Some(old), Some(new)) = (&old, &path) {
                line = line.replace(&format!("={old}"), &format!("={new}"));
            }
            if line.contains(":id=dumb/") {
                // Its address is what was behind `dumb/`: nothing in the recording.
                let address = format!(":module=dumb:address=faxbot-{}:", id.as_uuid());
                line = line.replace(":module=dumb:", &address);
            }
            let answer = format!("%%<message:{recorded}:");
            match line.strip_prefix(&answer) {
                Some(rest) => {
                    let bytes = format!("%%<message:{ours}:{rest}\n");
                    self.inner().say(bytes.into());
                }
                None => self.inner().tell(&step.frame, &line),
            }
        }
        let mut inner = self.inner();
        inner.over = true;
    }

    async fn serve(self, link: DuplexStream, mut out: UnboundedReceiver<Bytes>) {
        let (mut reader, mut writer) = tokio::io::split(link);
        let mut codec = YateCodec::new(Role::Server, MAX_LINE);
        let mut input = BytesMut::new();
        loop {
            while let Some(frame) = codec.decode(&mut input).unwrap() {
                self.line(&frame);
            }
            tokio::select! {
                biased;
                bytes = out.recv() => {
                    let Some(bytes) = bytes else { return };
                    if writer.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                read = reader.read_buf(&mut input) => if read.unwrap_or(0) == 0 {
                    return;
                },
            }
        }
    }

    fn line(&self, frame: &Frame) {
        let mut inner = self.inner();
        inner
            .asked
            .push(String::from_utf8_lossy(frame.line()).into_owned());
        match frame.ask() {
            Some(Ask::Watch(name)) => {
                inner.watched.insert(name.to_string());
                inner.say(server::watching(&name, true));
            }
            Some(Ask::Install { priority, name, .. }) => {
                inner.installed.insert(name.to_string());
                inner.say(server::installed(priority, &name, true));
            }
            Some(Ask::Setlocal { name, value }) => {
                let value = if name == "engine.runid" {
                    "1795245994"
                } else {
                    &value
                };
                inner.say(server::local(&name, value, true));
            }
            Some(_) => {}
            None => {
                let Some(message) = frame.message() else {
                    return;
                };
                if frame.line().starts_with(b"%%<") {
                    return;
                }
                if message.is("call.execute")
                    && let Some((at, id)) = inner.next.take()
                {
                    let ours = String::from_utf8_lossy(message.id()).into_owned();
                    let callto = message.text("callto").unwrap_or_default();
                    let path = callto.strip_prefix("fax/send/").map(str::to_owned);
                    tokio::spawn(self.clone().play(at, id, ours, path));
                    return;
                }
                let answer = inner.answer(&message);
                inner.say(answer);
            }
        }
    }
}

impl Inner {
    fn say(&mut self, bytes: Bytes) {
        if let Some(out) = &self.out {
            // A link that is gone hears nothing.
            let _ = out.send(bytes);
        }
    }

    /// What is watched or handled is told.
    fn tell(&mut self, frame: &Frame, line: &str) {
        let Some(message) = frame.message() else {
            return;
        };
        let name = message.name().into_owned();
        let request = line.starts_with("%%>message:");
        if !request && !message.id().is_empty() {
            // An answer to somebody else.
            return;
        }
        if !request {
            self.happens(&message);
        }
        let set = if request {
            &self.installed
        } else {
            &self.watched
        };
        if set.contains(&name) {
            self.say(format!("{line}\n").into());
        }
    }

    fn happens(&mut self, message: &Message<'_>) {
        let text = |name: &str| message.text(name).unwrap_or_default().into_owned();
        let id = text("id");
        if id.is_empty() {
            return;
        }
        if message.is("chan.hangup") {
            self.channels.remove(&id);
        } else if message.name().starts_with("chan.") || message.name().starts_with("call.") {
            let known = self.channels.contains_key(&id);
            if known || message.is("chan.startup") {
                let row = (text("status"), text("address"), text("peerid"));
                self.channels.insert(id, row);
            }
        }
    }

    fn answer(&mut self, message: &Message<'_>) -> Bytes {
        let id = String::from_utf8_lossy(message.id()).into_owned();
        let name = message.name();
        let text = |name: &str| message.text(name).unwrap_or_default().into_owned();
        let (processed, retval) = if message.is("engine.command") && text("line") == "module list" {
            (true, MODULES.to_owned())
        } else if message.is("engine.status") {
            (true, self.status(&text("module")))
        } else if message.is("call.drop") {
            (self.channels.contains_key(&text("id")), String::new())
        } else {
            (false, String::new())
        };
        server::answer(&id, processed, &name, &retval, &[])
    }

    fn status(&self, module: &str) -> String {
        let start = format!("{module}/");
        let of = |(id, _): &(&String, &(String, String, String))| id.starts_with(&start);
        let items: Vec<_> = self
            .channels
            .iter()
            .filter(of)
            .map(|(id, (status, address, peer))| format!("{id}={status}|{address}|{peer}"))
            .collect();
        let (chans, items) = (items.len(), items.join(","));
        format!("name={module},type=varchans,format=Status|Address|Peer;chans={chans};{items}\r\n")
    }
}

#[async_trait]
impl Connect for Stage {
    async fn connect(&self) -> Result<Transport, LinkError> {
        let mut inner = self.inner();
        if inner.over {
            let refused = io::ErrorKind::ConnectionRefused.into();
            return Err(LinkError::Connect(Arc::new(refused)));
        }
        let (near, far) = tokio::io::duplex(DUPLEX_BYTES);
        let (out, rest) = unbounded_channel();
        inner.out = Some(out);
        tokio::spawn(self.clone().serve(far, rest));
        Ok(Transport::new(near))
    }
}
