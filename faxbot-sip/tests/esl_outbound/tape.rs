//! A recording as FreeSWITCH's end: it answers each command of ours with what was recorded behind
//! the same one.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    esl::{EslCodec, Format, Frame, Kind, MAX_FRAME, Role, server},
    session::Codec,
};
use faxbot_testkit::replay::{Direction, Recording};

use super::peer::{FreeSwitch, line_of};

/// A command of the recorded application, and what FreeSWITCH said before the next one.
struct Step {
    command: Frame,
    said: Vec<Frame>,
}

pub(crate) struct Tape {
    steps: VecDeque<Step>,
    full: bool,
    /// Ids of applications: those of the recording and ours.
    ids: HashMap<String, String>,
}

impl Tape {
    pub(crate) fn load(name: &str) -> Self {
        let recording = Recording::load(&format!("freeswitch/{name}")).unwrap();
        let mut to_us = (EslCodec::new(Role::Client, MAX_FRAME), BytesMut::new());
        let mut to_server = (EslCodec::new(Role::Server, MAX_FRAME), BytesMut::new());
        let mut steps: VecDeque<Step> = VecDeque::new();
        let mut full = false;
        for chunk in recording.chunks() {
            // FreeSWITCH is the one that connects: it is the client of the transport.
            let from_us = chunk.dir == Direction::ToClient;
            let (codec, buffer) = if from_us { &mut to_server } else { &mut to_us };
            buffer.extend_from_slice(&chunk.bytes);
            while let Some(frame) = codec.decode(buffer).unwrap() {
                full |= frame.get("Control") == Some(b"full");
                if from_us {
                    let said = Vec::new();
                    steps.push_back(Step {
                        command: frame,
                        said,
                    });
                } else {
                    steps.back_mut().unwrap().said.push(frame);
                }
            }
        }
        Self {
            steps,
            full,
            ids: HashMap::new(),
        }
    }

    /// Plays until we close, or until it has said its last word.
    pub(crate) async fn play(mut self, mut peer: FreeSwitch) {
        let first = peer.line().await;
        assert_eq!(first.as_deref(), Some("connect"), "we speak first");
        let channel = self.find("connect").unwrap();
        peer.say(channel.said[0].raw()).await;
        while let Some(command) = peer.command().await {
            let key = key(&command);
            // Not in the recordings: the subscription of the session's own.
            if key == "event json BACKGROUND_JOB" {
                let answer = if self.full {
                    "+OK event listener enabled json"
                } else {
                    "-ERR command not found"
                };
                peer.reply(answer).await;
                continue;
            }
            let Some(step) = self.find(&key) else {
                panic!("{key} was not recorded")
            };
            self.map_ids(&command, &step);
            for frame in &step.said {
                peer.say(&self.ours(frame)).await;
            }
            if self.steps.is_empty() {
                return;
            }
        }
    }

    /// The next recorded command like that one; those before it are left out.
    fn find(&mut self, wanted: &str) -> Option<Step> {
        while let Some(step) = self.steps.pop_front() {
            if key(&step.command) == wanted {
                return Some(step);
            }
        }
        None
    }

    fn map_ids(&mut self, command: &Frame, step: &Step) {
        let Some(ours) = command.get_str("Event-UUID") else {
            return;
        };
        let application = command.get_str("execute-app-name").unwrap();
        let recorded = step.command.get_str("Event-UUID").map(|id| id.into_owned());
        let id = recorded.or_else(|| {
            step.said.iter().find_map(|frame| {
                let event = frame.event().ok()??;
                let same = event.text("Application")? == application;
                same.then(|| event.text("Application-UUID").unwrap().into_owned())
            })
        });
        if let Some(id) = id {
            self.ids.insert(id, ours.into_owned());
        }
    }

    /// The frame with our id in place of the recorded one.
    fn ours(&self, frame: &Frame) -> Bytes {
        let Kind::Event(format) = frame.kind() else {
            return frame.raw().clone();
        };
        let event = frame.event().unwrap().unwrap();
        let Some(id) = event
            .text("Application-UUID")
            .and_then(|id| self.ids.get(&*id))
        else {
            return frame.raw().clone();
        };
        let pairs: Vec<_> = event
            .headers()
            .map(|(name, value)| {
                let text = if name == "Application-UUID" {
                    id.clone()
                } else {
                    value.text().into_owned()
                };
                (name.into_owned(), text)
            })
            .collect();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, text)| (&**name, &**text))
            .collect();
        server::event(format, &pairs, event.body())
    }
}

/// What makes two commands the same: the line, and the application.
fn key(command: &Frame) -> String {
    let line = line_of(command);
    match line.split(' ').next() {
        Some("myevents") => "myevents".to_owned(),
        Some("event") if !line.ends_with("BACKGROUND_JOB") => {
            line.replace(Format::Plain.word(), Format::Json.word())
        }
        Some("sendmsg") => {
            let get = |name| command.get_str(name).unwrap_or_default();
            format!("{} {}", get("call-command"), get("execute-app-name"))
        }
        _ => line,
    }
}
