//! A FreeSWITCH that does what a recorded one did: it answers questions by what is true at that
//! moment of the recording, and tells what was told, to whom asked for it.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use faxbot_sip::{
    driver::{Connect, LinkError, Transport},
    protocol::{
        esl::{EslCodec, Event, Frame, Kind, MAX_FRAME, Role, server},
        session::Codec as _,
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep, sleep_until},
};

use super::esl::{Request, Said, Scene, job_ended, renamed, variables};

/// Room of a link: more than any event.
const DUPLEX_BYTES: usize = 1 << 20;

/// What marks channels of ours, see `filter` of the adapter.
const MARK: &str = "variable_faxbot_instance";

const ABSENT: &str = "-ERR no reply\n";

/// The peer.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    scene: Arc<Scene>,
    request: Option<Request>,
    /// Commands that go on only when the adapter has said the like.
    gates: Vec<&'static str>,
    /// Lets links come about.
    listens: bool,
    links: Vec<Link>,
    asked: Vec<String>,
    /// Channels that are up, by their uuid, with the row that `show channels` has.
    channels: BTreeMap<String, serde_json::Value>,
    /// Channels that carry the mark.
    ours: Vec<String>,
    /// What hooks stored.
    stored: BTreeMap<String, String>,
    hooks: Vec<String>,
    page_hooks: Vec<String>,
    /// Answers of the test, by how the question begins.
    answers: Vec<(String, String)>,
    core_uuid: String,
    over: bool,
}

#[derive(Debug)]
struct Link {
    out: UnboundedSender<Bytes>,
    events: Vec<String>,
    subclasses: Vec<String>,
    filters: Vec<(String, String)>,
}

impl Stage {
    /// A server that nothing happens at until something is asked.
    pub(crate) fn new(scene: Scene) -> Self {
        let inner = Inner {
            scene: Arc::new(scene),
            request: None,
            gates: Vec::new(),
            listens: true,
            links: Vec::new(),
            asked: Vec::new(),
            channels: BTreeMap::new(),
            ours: Vec::new(),
            stored: BTreeMap::new(),
            hooks: Vec::new(),
            page_hooks: Vec::new(),
            answers: Vec::new(),
            core_uuid: "c0de0000-0000-4000-8000-000000000001".to_owned(),
            over: false,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// The next `originate` is this one of the recording.
    pub(crate) fn plays(&self, request: usize, gates: &[&'static str]) -> Request {
        let mut inner = self.inner();
        let request = inner.scene.requests[request].clone();
        inner.request = Some(request.clone());
        inner.gates = gates.to_vec();
        inner.over = false;
        request
    }

    pub(crate) fn scene(&self) -> Arc<Scene> {
        Arc::clone(&self.inner().scene)
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connect> {
        Arc::new(self.clone())
    }

    /// Cuts the links and lets none come about.
    pub(crate) fn cut(&self) {
        let mut inner = self.inner();
        inner.listens = false;
        inner.links.clear();
    }

    pub(crate) fn mend(&self) {
        self.inner().listens = true;
    }

    /// The channel is gone and left nothing, but for the pages that were confirmed.
    pub(crate) fn gone(&self, uuid: &str, pages: Option<String>) {
        let mut inner = self.inner();
        inner.channels.remove(uuid);
        let Some(pages) = pages else { return };
        let pages = BTreeMap::from([("fax_document_transferred_pages".to_owned(), pages)]);
        for hook in inner.page_hooks.clone() {
            inner.run_hook(&hook, uuid, &pages);
        }
    }

    /// Another run: it knows no call. What `mod_db` has is still there.
    pub(crate) fn restarts(&self) {
        let mut inner = self.inner();
        inner.links.clear();
        inner.channels.clear();
        inner.core_uuid = "c0de0000-0000-4000-8000-000000000002".to_owned();
    }

    /// Whether the recording is played to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.inner().over
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.inner().asked.clone()
    }

    /// Answers whatever begins so, from now on.
    pub(crate) fn answers(&self, command: &str, answer: &str) {
        let pair = (command.to_owned(), answer.to_owned());
        self.inner().answers.insert(0, pair);
    }

    /// The channel of the call is up, though no event says so.
    pub(crate) fn up(&self, uuid: &str, callstate: &str) {
        let row = json!({"uuid": uuid, "direction": "outbound", "callstate": callstate});
        self.inner().channels.insert(uuid.to_owned(), row);
    }

    /// The channel ended with these variables: its hook leaves what it leaves.
    pub(crate) fn down(&self, uuid: &str, variables: &BTreeMap<String, String>) {
        let mut inner = self.inner();
        inner.channels.remove(uuid);
        inner.run_hooks(uuid, variables);
    }

    /// What is told to everybody who asked for it, at once.
    pub(crate) fn tells(&self, frame: &Frame) {
        self.inner().tell(frame);
    }

    /// Plays all that was told, from the beginning, with no regard to any request but for the names
    /// of jobs. Calls of the recording are ours.
    pub(crate) async fn plays_all(&self) {
        let scene = Arc::clone(&self.inner().scene);
        let named = |request: &Request| Some((request.job.clone()?, request.uuid.clone()));
        let names: BTreeMap<_, _> = scene.requests.iter().filter_map(named).collect();
        let ours = scene.requests.iter().map(|it| it.uuid.clone());
        self.inner().ours.extend(ours);
        for (index, step) in scene.steps.iter().enumerate() {
            if let Said::Told(frame) = &step.said
                && frame.kind() != Kind::AuthRequest
            {
                let event = frame.event().unwrap();
                let job = event.and_then(|event| Some(event.text("Job-UUID")?.into_owned()));
                let uuid = job.as_ref().and_then(|job| names.get(job));
                let names = job
                    .clone()
                    .zip(uuid.cloned())
                    .filter(|(from, to)| from != to);
                self.inner().tell(&renamed(frame, names.as_slice()));
            }
            if index % 64 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    }

    async fn play(self, request: Request, job: String) {
        let scene = Arc::clone(&self.inner().scene);
        let mut names = Vec::new();
        if let Some(recorded) = request.job.clone().filter(|recorded| *recorded != job) {
            names.push((recorded, job.clone()));
        }
        let mut start = Instant::now();
        let began = scene.steps[request.step].at;
        for step in &scene.steps[request.step + 1..] {
            if step.conn != request.conn {
                continue;
            }
            sleep_until(start + step.at.saturating_sub(began)).await;
            match &step.said {
                Said::Asked(line) => {
                    let gate = self.inner().gate(line, &request.uuid);
                    let Some(gate) = gate else { continue };
                    let waits = Instant::now();
                    while !self.inner().asked.iter().any(|it| it.contains(gate)) {
                        sleep(Duration::from_millis(5)).await;
                    }
                    start += waits.elapsed();
                }
                Said::Answer(to, frame) => {
                    // An `originate` that was waited for: its answer is the end of the job.
                    if *to == request.step && request.job.is_none() {
                        let ended = job_ended(&job, frame.body());
                        self.inner().tell(&ended);
                    }
                }
                Said::Told(frame) => self.inner().tell(&renamed(frame, &names)),
            }
        }
        self.inner().over = true;
    }

    async fn serve(
        self,
        link: tokio::io::DuplexStream,
        mut out: UnboundedReceiver<Bytes>,
        n: usize,
    ) {
        let (mut reader, mut writer) = tokio::io::split(link);
        let mut codec = EslCodec::new(Role::Server, MAX_FRAME);
        let mut input = BytesMut::new();
        loop {
            while let Some(frame) = codec.decode(&mut input).unwrap() {
                self.command(&frame, n);
            }
            tokio::select! {
                // What was asked first is answered first.
                biased;
                bytes = out.recv() => match bytes {
                    Some(bytes) => {
                        if writer.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                    None => return,
                },
                read = reader.read_buf(&mut input) => {
                    if read.unwrap_or(0) == 0 {
                        return;
                    }
                }
            }
        }
    }

    fn command(&self, frame: &Frame, link: usize) {
        let command = String::from_utf8_lossy(frame.command().unwrap()).into_owned();
        let job = frame.get_str("Job-UUID").map(std::borrow::Cow::into_owned);
        let mut inner = self.inner();
        inner.asked.push(command.clone());
        let (verb, rest) = command.split_once(' ').unwrap_or((&command, ""));
        let answer = match verb {
            "api" => server::api_response(inner.api(rest).as_bytes()),
            "bgapi" => {
                let job = job.unwrap_or_else(|| "another".to_owned());
                let text = format!("+OK Job-UUID: {job}");
                let answer = server::reply(&text, &[("Job-UUID", &job)]);
                inner.say(link, answer);
                if let Some(line) = rest.strip_prefix("originate ") {
                    inner.hooked(line);
                    if let Some(request) = inner.request.take() {
                        inner.ours.push(request.uuid.clone());
                        tokio::spawn(self.clone().play(request, job));
                    }
                } else {
                    let body = inner.api(rest);
                    let ended = job_ended(&job, body.as_bytes());
                    inner.tell(&ended);
                }
                return;
            }
            "event" => {
                if let Some(link) = inner.links.get_mut(link) {
                    let mut words = rest.split(' ').skip(1);
                    let names = words.by_ref().take_while(|word| *word != "CUSTOM");
                    link.events.extend(names.map(str::to_owned));
                    link.subclasses.extend(words.map(str::to_owned));
                }
                server::reply("+OK event listener enabled json", &[])
            }
            "filter" => {
                if let Some(link) = inner.links.get_mut(link) {
                    let (name, value) = rest.split_once(' ').unwrap();
                    link.filters.push((name.to_owned(), value.to_owned()));
                }
                server::reply("+OK filter added.", &[])
            }
            "auth" => server::reply("+OK accepted", &[]),
            _ => server::reply("+OK", &[]),
        };
        inner.say(link, answer);
    }
}

impl Inner {
    fn say(&mut self, link: usize, bytes: Bytes) {
        if let Some(link) = self.links.get(link) {
            // A link that is gone hears nothing.
            let _ = link.out.send(bytes);
        }
    }

    fn gate(&self, line: &str, uuid: &str) -> Option<&'static str> {
        let gates = self.gates.iter().copied();
        let mut gates = gates.filter(|gate| line.contains(gate) && line.contains(uuid));
        gates.next()
    }

    /// The hooks of an `originate` of the adapter.
    fn hooked(&mut self, line: &str) {
        self.hooks.extend(value(line, "api_hangup_hook="));
        self.page_hooks
            .extend(value(line, "execute_on_fax_phase_d="));
    }

    fn run_hooks(&mut self, uuid: &str, variables: &BTreeMap<String, String>) {
        for hook in self.hooks.clone() {
            self.run_hook(&hook, uuid, variables);
        }
    }

    fn run_hook(&mut self, hook: &str, uuid: &str, variables: &BTreeMap<String, String>) {
        let Some((_, insert)) = hook.split_once(" insert/").filter(|_| hook.contains(uuid)) else {
            return;
        };
        let mut parts = insert.splitn(3, '/');
        let (realm, key) = (parts.next().unwrap(), parts.next().unwrap());
        let mut rest = parts.next().unwrap();
        let mut out = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').unwrap();
            out.push_str(before);
            out.push_str(variables.get(name).map_or("", String::as_str));
            rest = after;
        }
        out.push_str(rest);
        // `db select` cuts.
        let cut = out.floor_char_boundary(255);
        out.truncate(cut);
        self.stored.insert(format!("{realm}/{key}"), out);
    }

    fn tell(&mut self, frame: &Frame) {
        let event = frame.event().unwrap();
        if let Some(event) = &event {
            self.happens(event);
        }
        for link in &self.links {
            let passes = event.as_ref().is_none_or(|it| link.wants(it, &self.ours));
            if passes {
                let _ = link.out.send(frame.raw().clone());
            }
        }
    }

    /// What is true from now on.
    fn happens(&mut self, event: &Event<'_>) {
        let text = |name: &str| event.text(name).unwrap_or_default().into_owned();
        let (name, uuid) = (text("Event-Name"), text("Unique-ID"));
        if uuid.is_empty() {
            return;
        }
        match name.as_str() {
            "CHANNEL_UUID" => {
                self.channels.remove(&text("Old-Unique-ID"));
            }
            "CHANNEL_HANGUP_COMPLETE" => {
                self.channels.remove(&uuid);
                self.run_hooks(&uuid, &variables(event));
                return;
            }
            "CHANNEL_DESTROY" => return,
            "CUSTOM" if text("Event-Subclass").ends_with("txfaxpageresult") => {
                for hook in self.page_hooks.clone() {
                    self.run_hook(&hook, &uuid, &variables(event));
                }
            }
            _ => {}
        }
        if name.starts_with("CHANNEL_") && name != "CHANNEL_HANGUP" {
            let row = json!({
                "uuid": uuid,
                "direction": text("Call-Direction"),
                "name": text("Channel-Name"),
                "callstate": text("Channel-Call-State"),
                "call_uuid": text("Channel-Call-UUID"),
            });
            if text("Channel-Call-State") != "HANGUP" {
                self.channels.insert(uuid, row);
            }
        }
    }

    fn api(&mut self, command: &str) -> String {
        let known = self
            .answers
            .iter()
            .find(|(start, _)| command.starts_with(start));
        if let Some((_, answer)) = known {
            return answer.clone();
        }
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let absent = || ABSENT.to_owned();
        match verb {
            "global_getvar" => match rest {
                "core_uuid" => self.core_uuid.clone(),
                "recordings_dir" => "/srv/fs/recordings".to_owned(),
                "domain" => "fs.example".to_owned(),
                _ => absent(),
            },
            "module_exists" => "true".to_owned(),
            "uptime" => "86400000".to_owned(),
            "show" => {
                let like = rest.strip_prefix("channels like ");
                let like = like.and_then(|rest| rest.split(' ').next()).unwrap_or("");
                let rows: Vec<_> = self
                    .channels
                    .iter()
                    .filter(|(uuid, _)| uuid.contains(like))
                    .map(|(_, row)| row.clone())
                    .collect();
                if rows.is_empty() {
                    "{\"row_count\": 0}\n".to_owned()
                } else {
                    json!({"row_count": rows.len(), "rows": rows}).to_string()
                }
            }
            "uuid_exists" => self.channels.contains_key(rest).to_string(),
            "db" | "hash" => {
                let (what, key) = rest.split_once('/').unwrap();
                match what {
                    "select" => self.stored.get(key).cloned().unwrap_or_else(absent),
                    "delete" => {
                        self.stored.remove(key);
                        "+OK\n".to_owned()
                    }
                    _ => absent(),
                }
            }
            "conference" => "[]".to_owned(),
            "uuid_getvar" | "uuid_dump" => "_undef_".to_owned(),
            _ if verb.starts_with("uuid_") => {
                let uuid = rest.split(' ').find(|word| word.len() == 36);
                let there = uuid.is_some_and(|uuid| self.channels.contains_key(uuid));
                if there {
                    "+OK\n"
                } else {
                    "-ERR No such channel!\n"
                }
                .to_owned()
            }
            _ => "+OK\n".to_owned(),
        }
    }
}

impl Link {
    /// Whether `mod_event_socket` would send this (`event_handler`): it has to be subscribed to, and
    /// to fit a filter where there are any.
    fn wants(&self, event: &Event<'_>, ours: &[String]) -> bool {
        let name = event.name().unwrap_or_default();
        let subclass = event.subclass().unwrap_or_default();
        let asked = if name == "CUSTOM" {
            self.subclasses.iter().any(|it| *it == *subclass)
        } else {
            self.events.iter().any(|it| *it == *name)
        };
        let asked = asked || self.events.iter().any(|it| it == "ALL");
        if !asked || self.filters.is_empty() {
            return asked;
        }
        let uuid = event.text("Unique-ID").unwrap_or_default();
        let mut fits = false;
        for (header, value) in &self.filters {
            let (value, lets_in) = match value.strip_prefix('-') {
                Some(value) => (value, false),
                None => (value.as_str(), true),
            };
            let is = if header == MARK {
                // The mark is a variable: events without variables have none.
                // The other half of a loopback has the variables of the first.
                let variables = variables(event);
                let origin = variables.get("origination_uuid").map_or("", String::as_str);
                let ours = |name: &str| ours.iter().any(|it| it == name);
                !variables.is_empty() && (ours(&uuid) || ours(origin))
            } else {
                event
                    .text(header)
                    .is_some_and(|is| is.eq_ignore_ascii_case(value))
            };
            if is && !lets_in {
                return false;
            }
            fits |= is;
        }
        fits
    }
}

/// The value of a variable in a line of the adapter, without its escapes.
fn value(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(name)?;
    let mut out = String::new();
    let mut chars = rest.chars().peekable();
    let mut depth = 0;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                while chars.peek() == Some(&'\\') {
                    chars.next();
                }
                match chars.next()? {
                    's' => out.push(' '),
                    other => out.push(other),
                }
            }
            ',' | '}' if depth == 0 => break,
            '{' => {
                depth += 1;
                out.push(c);
            }
            '}' => {
                depth -= 1;
                out.push(c);
            }
            c => out.push(c),
        }
    }
    Some(out)
}

#[async_trait]
impl Connect for Stage {
    async fn connect(&self) -> Result<Transport, LinkError> {
        let mut inner = self.inner();
        if !inner.listens {
            let refused = io::ErrorKind::ConnectionRefused.into();
            return Err(LinkError::Connect(Arc::new(refused)));
        }
        let (near, far) = tokio::io::duplex(DUPLEX_BYTES);
        let (out, rest) = unbounded_channel();
        out.send(server::auth_request()).unwrap();
        inner.links.push(Link {
            out,
            events: Vec::new(),
            subclasses: Vec::new(),
            filters: Vec::new(),
        });
        let n = inner.links.len() - 1;
        tokio::spawn(self.clone().serve(far, rest, n));
        Ok(Transport::new(near))
    }
}
