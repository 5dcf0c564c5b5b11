//! The recordings of a real Asterisk through the codec and through a session.
#![cfg(test)]

mod wire_support;

use std::{collections::HashMap, time::Duration};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    ami::{Action, AmiCodec, AmiConfig, Kind, MAX_MESSAGE, Message, Reply, Role},
    session::{CloseReason, Codec, NoReply, Session},
};
use faxbot_testkit::{
    fixtures,
    replay::{Direction, Recording},
};
use wire_support::ami::{Line, decode, login, of_kind};

/// HTTP, and TLS as ciphertext.
const NO_MANAGER: [&str; 2] = ["asterisk/09_http", "asterisk/10_tls"];

fn recordings() -> Vec<Recording> {
    let names = fixtures::names().unwrap();
    let ours = names.iter().filter(|name| name.starts_with("asterisk/"));
    let all: Vec<_> = ours
        .filter(|name| !NO_MANAGER.contains(&name.as_str()))
        .map(|name| Recording::load(name).unwrap())
        .collect();
    assert!(all.len() > 130, "{} recordings", all.len());
    all
}

fn joined(messages: &[Message], rest: &Bytes) -> Vec<u8> {
    let mut all: Vec<u8> = messages
        .iter()
        .flat_map(|message| message.raw().to_vec())
        .collect();
    all.extend_from_slice(rest);
    all
}

#[test]
fn every_recording_comes_back_byte_for_byte() {
    for recording in recordings() {
        for conn in recording.connections() {
            for (role, dir) in [
                (Role::Client, Direction::ToClient),
                (Role::Server, Direction::ToServer),
            ] {
                let bytes = recording.bytes(conn, dir);
                let pieces = recording
                    .chunks_of(conn, dir)
                    .map(|chunk| chunk.bytes.clone());
                let (messages, rest) = decode(role, pieces);
                assert_eq!(
                    joined(&messages, &rest),
                    bytes,
                    "{} {conn}",
                    recording.name()
                );
                if role == Role::Client {
                    assert!(rest.is_empty(), "{} {conn}: {rest:?}", recording.name());
                }
                // The headers, written as the server writes them, are the message.
                for message in messages.iter().filter(|it| it.kind() == Kind::Event) {
                    let mut again = Vec::new();
                    for (name, value) in message.headers() {
                        again.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
                    }
                    again.extend_from_slice(b"\r\n");
                    if message.headers().count() == message.line_count() {
                        assert_eq!(again, message.raw()[..], "{}", recording.name());
                    }
                }
            }
        }
    }
}

#[test]
fn the_frames_of_each_kind_are_counted() {
    // Counted by a separate program that splits the bytes at CR LF CR LF.
    for (name, banners, responses, events, others) in [
        ("01_login_plain_ok", 1, 2, 2, 0),
        ("02_command_cli", 1, 20, 0, 0),
        ("02_errors", 1, 52, 43, 0),
        ("05_pjsip_show", 1, 30, 95, 0),
        ("06_fax_t38_ok", 1, 13, 133, 0),
        ("08_shutdown_event_restart", 2, 4, 40, 0),
        ("10_line_boundary", 1, 20, 0, 0),
        ("10_newline_in_value", 1, 15, 38, 0),
        ("10_pipelined_1000", 1, 1002, 2, 0),
    ] {
        let recording = Recording::load(&format!("asterisk/{name}")).unwrap();
        let all: Vec<_> = recording
            .connections()
            .into_iter()
            .flat_map(|conn| decode(Role::Client, [recording.server_bytes(conn)]).0)
            .collect();
        let count = |kind| of_kind(&all, kind);
        assert_eq!(
            (
                count(Kind::Banner),
                count(Kind::Response),
                count(Kind::Event),
                count(Kind::Other)
            ),
            (banners, responses, events, others),
            "{name}"
        );
    }
}

#[test]
fn every_kind_of_frame_is_in_the_recordings() {
    let (mut kinds, mut total) = (HashMap::<_, usize>::new(), 0);
    for recording in recordings() {
        for conn in recording.connections() {
            for message in decode(Role::Client, [recording.server_bytes(conn)]).0 {
                *kinds.entry(message.kind()).or_default() += 1;
                total += 1;
            }
            for message in decode(Role::Server, [recording.client_bytes(conn)]).0 {
                *kinds.entry(message.kind()).or_default() += 1;
            }
        }
    }
    for kind in [
        Kind::Banner,
        Kind::Response,
        Kind::Event,
        Kind::Other,
        Kind::Action,
    ] {
        assert!(kinds.get(&kind).is_some_and(|count| *count > 0), "{kind:?}");
    }
    assert!(total > 9_000, "{total} messages of the server");
}

/// A recorded conversation, asked again by a session that uses ids of its own.
struct Again {
    line: Line,
    /// The recorded id to ours.
    ids: HashMap<Vec<u8>, String>,
    asked: HashMap<u64, String>,
    frames: usize,
    unanswerable: usize,
}

impl Again {
    fn run(name: &str) -> Self {
        let recording = Recording::load(&format!("asterisk/{name}")).unwrap();
        let mut again = Self {
            line: Line::new(login(), AmiConfig::new().with_wait_fully_booted(false)),
            ids: HashMap::new(),
            asked: HashMap::new(),
            frames: 0,
            unanswerable: 0,
        };
        let mut server = AmiCodec::new(Role::Server, MAX_MESSAGE);
        let mut client = AmiCodec::new(Role::Client, MAX_MESSAGE);
        let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
        let mut waiting = Vec::new();
        for chunk in recording.chunks().iter().filter(|chunk| chunk.conn == 1) {
            match chunk.dir {
                Direction::ToServer => {
                    to_server.extend_from_slice(&chunk.bytes);
                    while let Some(action) = server.decode(&mut to_server).unwrap() {
                        waiting.push(action);
                    }
                }
                Direction::ToClient => {
                    to_client.extend_from_slice(&chunk.bytes);
                    while let Some(frame) = client.decode(&mut to_client).unwrap() {
                        if frame.kind() != Kind::Banner {
                            waiting.drain(..).for_each(|action| again.ask(&action));
                        }
                        again.hear(&frame);
                    }
                }
            }
        }
        again
    }

    fn ask(&mut self, action: &Message) {
        let name = String::from_utf8(action.action().unwrap().to_vec()).unwrap();
        match name.as_str() {
            "Login" => {}
            "Logoff" => {
                self.line.session.handle_close(self.line.now);
                self.line.drain();
            }
            _ => {
                let token = u64::try_from(self.asked.len()).unwrap();
                let mut request = Action::new(&name).unwrap();
                for (key, value) in action.headers() {
                    let key = std::str::from_utf8(key).unwrap();
                    if !["action", "actionid"].contains(&key.to_ascii_lowercase().as_str()) {
                        request = request.header_bytes(key, value).unwrap();
                    }
                }
                self.line.request(token, request, Duration::from_secs(3600));
                let id =
                    String::from_utf8(self.line.sent[0].action_id().unwrap().to_vec()).unwrap();
                self.asked.insert(token, id);
            }
        }
        let ours = self.line.action().1;
        if let Some(id) = action.action_id() {
            self.ids.insert(id.to_vec(), ours);
        }
    }

    fn hear(&mut self, frame: &Message) {
        self.frames += 1;
        let ours = frame
            .action_id()
            .and_then(|id| Some((id.to_vec(), self.ids.get(id)?)));
        self.unanswerable += usize::from(match frame.kind() {
            Kind::Response => ours.is_none(),
            Kind::Other => true,
            _ => false,
        });
        let mut wire = frame.raw().to_vec();
        if let Some((id, ours)) = ours {
            let old = [b"ActionID: ", &id[..], b"\r\n"].concat();
            let at = wire
                .windows(old.len())
                .position(|window| window == old)
                .unwrap();
            wire.splice(
                at..at + old.len(),
                format!("ActionID: {ours}\r\n").into_bytes(),
            );
        }
        self.line.bytes(&wire);
    }

    /// Nothing is lost, nothing comes twice, each answer is with its own request.
    fn check(&self, name: &str) {
        let mut seen = self.unanswerable + self.line.events.len();
        // The banner and the answer to the login.
        seen += 2;
        seen += usize::from(self.line.closed == Some(CloseReason::Goodbye));
        for (token, result) in &self.line.replies {
            let id = self.asked[&token.0].as_bytes();
            let Reply {
                response,
                events,
                complete,
                ..
            } = result.as_ref().unwrap();
            for message in [response].into_iter().chain(events).chain(complete) {
                assert_eq!(message.action_id(), Some(id), "{name}");
                seen += 1;
            }
        }
        assert_eq!(seen, self.frames, "{name}");
        let answered = self.line.replies.len();
        assert_eq!(
            answered + self.line.session.pending(),
            self.asked.len(),
            "{name}"
        );
        let ends = |message: &&Message| message.get("EventList").is_some();
        assert_eq!(self.line.events.iter().filter(ends).count(), 0, "{name}");
    }
}

#[test]
fn recorded_conversations_give_each_request_its_own_answer() {
    let mut lists = 0;
    for name in [
        "02_command_cli",
        "02_list_commands",
        "02_queries",
        "03_originate_async_ok",
        "03_originate_bridged_dial",
        "03_originate_busy",
        "03_originate_sync",
        "03_originate_variable_forms",
        "04_pjsip_rejected_404",
        "04_pjsip_rejected_486",
        "05_confbridge",
        "05_hangup_variants",
        "05_park",
        "05_pjsip_show",
        "05_registry_events",
        "06_fax_t38_ok",
        "08_shutdown_event_gracefully",
        "10_newline_in_value",
        "10_pipelined_1000",
        "11_fax_outcome_read_back",
        "11_variable_commas",
        "fax_t38_ok",
        "hangups",
        "message_send",
        "queries",
    ] {
        let again = Again::run(name);
        again.check(name);
        assert_eq!(again.line.session.pending(), 0, "{name}");
        lists += again
            .line
            .replies
            .iter()
            .filter(|(_, r)| r.as_ref().unwrap().complete.is_some())
            .count();
    }
    assert!(lists > 30, "{lists} lists");
}

#[test]
fn a_thousand_pipelined_pings_are_all_answered() {
    let again = Again::run("10_pipelined_1000");
    assert_eq!(again.line.replies.len(), 1000);
    assert!(
        again
            .line
            .replies
            .iter()
            .all(|(_, reply)| reply.as_ref().unwrap().is_success())
    );
}

#[test]
fn the_progress_of_a_fax_is_one_event() {
    let again = Again::run("06_fax_t38_ok");
    let pages: Vec<_> = again
        .line
        .replies
        .iter()
        .filter_map(|(_, reply)| {
            let reply = reply.as_ref().unwrap();
            let [event] = reply.events.as_slice() else {
                return None;
            };
            (event.is_event("FAXSession") && reply.complete.is_none())
                .then(|| event.get_str("PageNumber").unwrap().into_owned())
        })
        .collect();
    assert!(pages.len() >= 4, "{pages:?}");
}

#[test]
fn a_restart_command_has_no_answer_and_the_request_stays_open_until_its_deadline() {
    let mut again = Again::run("shutdown_notice");
    assert_eq!(
        again.line.session.pending(),
        0,
        "the restart was asked after the last message"
    );
    let command = Action::new("Command")
        .and_then(|action| action.header("Command", "core restart now"))
        .unwrap();
    again.line.request(9, command, Duration::from_secs(5));
    again.line.pass(Duration::from_secs(5));
    assert_eq!(again.line.reply().1.unwrap_err(), NoReply::Deadline);
}
