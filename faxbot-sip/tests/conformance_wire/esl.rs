//! The event socket of FreeSWITCH.

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::esl::{
    Command, EslCodec, EslSession, Format, Frame, MAX_FRAME, Reply, Role, server as wire,
};
use faxbot_testkit::{
    conformance::{
        Case,
        codec::CodecEnv,
        session::{SessionEnv, SessionServer},
    },
    replay::Direction,
};

use super::{
    MAX, Server, all, quiet,
    wire_support::{
        RANDOM,
        esl::{login, recordings, role_of},
    },
};

pub(crate) fn cases() -> Vec<Case> {
    all(
        [Esl(Role::Client), Esl(Role::Server)],
        [false, true].map(|jobs| EslEnd { jobs }),
    )
}

struct Esl(Role);

impl CodecEnv for Esl {
    type Codec = EslCodec;

    fn name(&self) -> String {
        match self.0 {
            Role::Client => "esl codec, client".to_owned(),
            _ => "esl codec, server".to_owned(),
        }
    }

    fn codec(&self) -> EslCodec {
        EslCodec::new(self.0, MAX)
    }

    fn samples(&self) -> Vec<(String, Bytes)> {
        let mut samples = Vec::new();
        for recording in recordings() {
            // Its command and reply of 200 KB are read in `esl_codec.rs`.
            if recording.name().ends_with("02_large_reply_and_limits") {
                continue;
            }
            for conn in recording.connections() {
                for dir in [Direction::ToClient, Direction::ToServer] {
                    let bytes = recording.bytes(conn, dir);
                    let fits = !bytes.is_empty() && bytes.len() < 60_000;
                    if fits && role_of(&recording, dir) == self.0 {
                        samples.push((format!("{} {conn}", recording.name()), bytes));
                    }
                }
            }
        }
        assert!(samples.len() > 40, "{}", samples.len());
        samples
    }

    fn describe(&self, frame: &Frame) -> Vec<u8> {
        let mut all = format!("{:?} ", frame.kind()).into_bytes();
        all.extend_from_slice(frame.raw());
        all.extend_from_slice(frame.head());
        for (name, value) in frame.headers() {
            all.extend_from_slice(name);
            all.push(b'=');
            all.extend_from_slice(value);
        }
        all
    }

    fn most_buffered(&self) -> usize {
        MAX
    }

    fn endless(&self) -> Vec<(Bytes, Bytes)> {
        let large = "Content-Type: api/response\nContent-Length: 70000\n\n";
        [
            ("", "x"),
            ("", "Header: value\n"),
            (large, "y"),
            ("\n\n", "z\r"),
        ]
        .map(|(first, again)| (Bytes::from(first), Bytes::from(again)))
        .into()
    }
}

struct EslEnd {
    jobs: bool,
}

impl SessionEnv for EslEnd {
    type Session = EslSession;

    fn name(&self) -> String {
        format!("esl session, {}", if self.jobs { "bgapi" } else { "api" })
    }

    fn session(&self) -> EslSession {
        EslSession::new(login(), quiet(), RANDOM)
    }

    fn codec(&self) -> EslCodec {
        EslCodec::new(Role::Client, MAX_FRAME)
    }

    fn server(&self) -> Box<dyn SessionServer> {
        server(true)
    }

    fn refusing_server(&self) -> Option<Box<dyn SessionServer>> {
        Some(server(false))
    }

    fn request(&self, n: u64) -> Command {
        let build = if self.jobs {
            Command::bgapi
        } else {
            Command::api
        };
        build("eval", &n.to_string()).unwrap()
    }

    fn number(&self, reply: &Reply) -> Option<u64> {
        reply.text().parse().ok()
    }

    fn answers_in_order(&self) -> bool {
        true
    }

    fn garbage(&self) -> Vec<Bytes> {
        vec![
            Bytes::from_static(b"\0\xff\xfe\n\n\n"),
            Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\n\n"),
            Bytes::from_static(b"Content-Type: command/reply\nContent-Length: -1\n\n: \n\n"),
            Bytes::from_static(b"Content-Length: 9\nContent-Type: text/event-json\n\n{\"Event-N"),
            Bytes::from_static(b"Content-Type: api/response\nContent-Length: x\n\n"),
            Bytes::from(b"z".repeat(2 * 1024 * 1024)),
        ]
    }
}

fn server(takes_login: bool) -> Box<dyn SessionServer> {
    Box::new(Server {
        codec: EslCodec::new(Role::Server, MAX_FRAME),
        buffer: BytesMut::new(),
        opened: vec![wire::auth_request()],
        takes_login,
        answer,
    })
}

fn answer(command: &Frame, takes_login: bool) -> Vec<Bytes> {
    let line = String::from_utf8(command.command().unwrap().to_vec()).unwrap();
    let one = |bytes| vec![bytes];
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["auth", _] if takes_login => one(wire::reply("+OK accepted", &[])),
        ["auth", _] => vec![wire::reply("-ERR invalid", &[]), wire::goodbye()],
        ["exit"] => vec![wire::reply("+OK bye", &[]), wire::goodbye()],
        ["api", "eval", number] => one(wire::api_response(number.as_bytes())),
        ["api", ..] => one(wire::api_response(b"1")),
        ["bgapi", "eval", number] => {
            let job = command.get_str("Job-UUID").unwrap();
            let taken = format!("+OK Job-UUID: {job}");
            let headers = [("Event-Name", "BACKGROUND_JOB"), ("Job-UUID", &*job)];
            let reply = wire::reply(&taken, &[("Job-UUID", &job)]);
            let event = wire::event(Format::Json, &headers, Some(number.as_bytes()));
            one([reply, event].concat().into())
        }
        _ => one(wire::reply("+OK", &[])),
    }
}
