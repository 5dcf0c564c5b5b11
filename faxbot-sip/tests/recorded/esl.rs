//! What a FreeSWITCH and its client said, frame by frame, and which call each `originate` made.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use faxbot_core::id::CallId;
use faxbot_sip::protocol::{
    esl::{EslCodec, Event, Format, Frame, Kind, MAX_FRAME, Role, server},
    session::Codec as _,
};
use faxbot_testkit::replay::{Direction, Recording};
use uuid::Uuid;

/// One thing that was said.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) at: Duration,
    pub(crate) conn: u32,
    pub(crate) said: Said,
}

#[derive(Debug, Clone)]
pub(crate) enum Said {
    /// A command of the client, without its headers.
    Asked(String),
    /// The answer to a command, by the command's index.
    Answer(usize, Frame),
    /// An event, or anything else that no command asked for.
    Told(Frame),
}

/// A recorded `originate`.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its index in the steps.
    pub(crate) step: usize,
    pub(crate) conn: u32,
    pub(crate) line: String,
    /// What its channel was called, or would have been.
    pub(crate) id: CallId,
    pub(crate) uuid: String,
    /// What its job was called; an `api` has none.
    pub(crate) job: Option<String>,
}

/// One recording.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) requests: Vec<Request>,
}

impl Scene {
    pub(crate) fn load(name: &str) -> Self {
        let full = if name.contains('/') {
            name.to_owned()
        } else {
            format!("freeswitch/{name}")
        };
        let recording = Recording::load(&full).unwrap();
        // There FreeSWITCH is the one that connects.
        let by_server = full.starts_with("freeswitch/07_outbound");
        let mut steps = Vec::new();
        let mut ends = BTreeMap::new();
        // The commands that are not answered yet, by connection.
        let mut open: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for chunk in recording.chunks() {
            let asks = (chunk.dir == Direction::ToServer) != by_server;
            let (codec, input) = ends.entry((chunk.conn, asks)).or_insert_with(|| {
                let role = if asks { Role::Server } else { Role::Client };
                (EslCodec::new(role, MAX_FRAME), BytesMut::new())
            });
            input.extend_from_slice(&chunk.bytes);
            while let Some(frame) = codec.decode(input).unwrap() {
                let waiting = open.entry(chunk.conn).or_default();
                let said = if asks {
                    let command = frame.command().unwrap_or_default();
                    waiting.push(steps.len());
                    Said::Asked(String::from_utf8_lossy(command).into_owned())
                } else if matches!(frame.kind(), Kind::Reply | Kind::ApiResponse)
                    && !waiting.is_empty()
                {
                    Said::Answer(waiting.remove(0), frame)
                } else {
                    Said::Told(frame)
                };
                steps.push(Step {
                    at: chunk.t,
                    conn: chunk.conn,
                    said,
                });
            }
        }
        let mut scene = Self {
            name: name.to_owned(),
            steps,
            requests: Vec::new(),
        };
        scene.requests = scene.originates();
        scene
    }

    fn originates(&self) -> Vec<Request> {
        let mut all = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let Said::Asked(line) = &step.said else {
                continue;
            };
            let Some((_, line)) = line.split_once("api originate ") else {
                continue;
            };
            let uuid = named(line).or_else(|| self.first_channel(index));
            let uuid = uuid.unwrap_or_else(Uuid::new_v4);
            let job = self
                .answer(index)
                .and_then(|frame| frame.get_str("Job-UUID"));
            all.push(Request {
                step: index,
                conn: step.conn,
                line: line.to_owned(),
                id: CallId::from_uuid(uuid),
                uuid: uuid.to_string(),
                job: job.map(std::borrow::Cow::into_owned),
            });
        }
        all
    }

    /// The server's answer to a command.
    pub(crate) fn answer(&self, command: usize) -> Option<&Frame> {
        self.steps.iter().find_map(|step| match &step.said {
            Said::Answer(to, frame) if *to == command => Some(frame),
            _ => None,
        })
    }

    /// The channel that is called next after a command, if it is before the next `originate`.
    fn first_channel(&self, command: usize) -> Option<Uuid> {
        for step in &self.steps[command + 1..] {
            match &step.said {
                Said::Asked(line) if line.contains("api originate") => return None,
                Said::Told(frame) => {
                    let Some(event) = frame.event().unwrap() else {
                        continue;
                    };
                    if event.name().as_deref() == Some("CHANNEL_CREATE")
                        && event.text("Call-Direction").as_deref() == Some("outbound")
                    {
                        return event.text("Unique-ID")?.parse().ok();
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// What the hook of a recorded call left, by the names of the variables: what was read last.
    /// `None` where nothing was kept.
    pub(crate) fn kept(&self, request: &Request) -> Option<BTreeMap<String, String>> {
        let mark = format!("/{}/", request.uuid);
        let (before, hook) = request
            .line
            .split_once("api_hangup_hook=")?
            .1
            .split_once(&mark)?;
        let names = hook.split_once('\'').map_or(hook, |(names, _)| names);
        let names: Vec<_> = names
            .split('|')
            .map(|name| name.trim_start_matches("${").trim_end_matches('}'))
            .collect();
        let store = before.trim_start_matches('\'').split(' ').next()?;
        let value = self.selected(&format!("api {store} select/faxbot/{}", request.uuid))?;
        let values = value.splitn(names.len(), '|').map(str::to_owned);
        Some(names.into_iter().map(str::to_owned).zip(values).collect())
    }

    /// The pages of a recorded fax that its hook left, as read last.
    pub(crate) fn kept_pages(&self, request: &Request) -> Option<String> {
        self.selected(&format!("api db select/faxbot-pages/{}", request.uuid))
    }

    /// The last answer to a question that says something.
    fn selected(&self, command: &str) -> Option<String> {
        let mut told = None;
        for (index, step) in self.steps.iter().enumerate() {
            if matches!(&step.said, Said::Asked(line) if line == command)
                && let Some(answer) = self.answer(index)
                && !answer.text().starts_with("-ERR")
            {
                told = Some(answer.text().into_owned());
            }
        }
        told
    }

    /// The channels that an event of this name is about.
    pub(crate) fn seen(&self, name: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        for step in &self.steps {
            let Said::Told(frame) = &step.said else {
                continue;
            };
            if let Some(event) = frame.event().unwrap()
                && event.name().as_deref() == Some(name)
            {
                seen.extend(event.text("Unique-ID").map(std::borrow::Cow::into_owned));
            }
        }
        seen
    }

    /// Which `originate` this is, by the last digits of its uuid.
    pub(crate) fn request(&self, digits: &str) -> usize {
        let found = self
            .requests
            .iter()
            .position(|it| it.uuid.ends_with(digits));
        found.unwrap_or_else(|| panic!("{}: no originate of {digits}", self.name))
    }
}

fn named(line: &str) -> Option<Uuid> {
    let (_, rest) = line.split_once("origination_uuid=")?;
    rest.get(..36)?.parse().ok()
}

/// An event with other ids in it; everything else is as it was.
pub(crate) fn renamed(frame: &Frame, names: &[(String, String)]) -> Frame {
    let mut body = frame.body().to_vec();
    for (from, to) in names {
        body = replaced(&body, from.as_bytes(), to.as_bytes());
    }
    if body == frame.body() {
        return frame.clone();
    }
    let length = format!("Content-Length: {}", frame.body().len());
    let head = String::from_utf8(frame.head().to_vec()).unwrap();
    assert!(head.contains(&length), "{head}");
    let head = head.replace(&length, &format!("Content-Length: {}", body.len()));
    let mut bytes = BytesMut::from(format!("{}\n\n", head.trim_end()).as_bytes());
    bytes.extend_from_slice(&body);
    decode(bytes)
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with(from) {
            out.extend_from_slice(to);
            at += from.len();
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    out
}

fn decode(mut bytes: BytesMut) -> Frame {
    let mut codec = EslCodec::new(Role::Client, MAX_FRAME);
    let frame = codec.decode(&mut bytes).unwrap().unwrap();
    assert!(bytes.is_empty());
    frame
}

/// The event that a job ends with, where the recording has an `api` instead.
pub(crate) fn job_ended(job: &str, body: &[u8]) -> Frame {
    let headers = [
        ("Event-Name", "BACKGROUND_JOB"),
        ("Job-UUID", job),
        ("Job-Command", "originate"),
    ];
    let bytes: Bytes = server::event(Format::Json, &headers, Some(body));
    decode(BytesMut::from(&bytes[..]))
}

/// The variables of a channel in an event, without `variable_`.
pub(crate) fn variables(event: &Event<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    event.each_text(|name, value| {
        if let Some(name) = name.strip_prefix("variable_") {
            all.entry(name.to_owned())
                .or_insert_with(|| value.to_owned());
        }
    });
    all
}
