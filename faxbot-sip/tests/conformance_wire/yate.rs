//! The external module port of Yate.

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::yate::{
    Command, Frame, Kind, Login, MAX_LINE, Reply, Role, YateCodec, YateSession, server as wire,
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
        yate::{confirm, recordings, role_of},
    },
};

pub(crate) fn cases() -> Vec<Case> {
    all(
        [Yate(Role::Client), Yate(Role::Server)],
        [false, true].map(|commands| YateEnd { commands }),
    )
}

struct Yate(Role);

impl CodecEnv for Yate {
    type Codec = YateCodec;

    fn name(&self) -> String {
        match self.0 {
            Role::Client => "yate codec, client".to_owned(),
            _ => "yate codec, server".to_owned(),
        }
    }

    fn codec(&self) -> YateCodec {
        YateCodec::new(self.0, MAX)
    }

    fn samples(&self) -> Vec<(String, Bytes)> {
        let mut samples = Vec::new();
        for recording in recordings() {
            for conn in recording.connections() {
                for dir in [Direction::ToClient, Direction::ToServer] {
                    let bytes = recording.bytes(conn, dir);
                    if !bytes.is_empty() && role_of(dir) == self.0 {
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
        all.extend_from_slice(frame.line());
        if let Some(message) = frame.message() {
            all.extend_from_slice(message.name().as_bytes());
            for param in message.params() {
                all.extend_from_slice(param.name().as_bytes());
                all.push(b'=');
                all.extend_from_slice(&param.value().unwrap_or_default());
            }
        }
        all
    }

    fn most_buffered(&self) -> usize {
        MAX
    }

    fn endless(&self) -> Vec<(Bytes, Bytes)> {
        [
            ("", "x"),
            ("%%<message::true:m::", "k=v%z:"),
            ("\n\n", "\r"),
        ]
        .map(|(first, again)| (Bytes::from(first), Bytes::from(again)))
        .into()
    }
}

struct YateEnd {
    /// Asks with `setlocal` in place of a message.
    commands: bool,
}

impl SessionEnv for YateEnd {
    type Session = YateSession;

    fn name(&self) -> String {
        let what = if self.commands { "command" } else { "message" };
        format!("yate session, {what}")
    }

    fn session(&self) -> YateSession {
        YateSession::new(Login::global(), quiet().with_heartbeat(None), RANDOM)
    }

    fn codec(&self) -> YateCodec {
        YateCodec::new(Role::Client, MAX_LINE)
    }

    fn server(&self) -> Box<dyn SessionServer> {
        Box::new(Server {
            codec: YateCodec::new(Role::Server, MAX_LINE),
            buffer: BytesMut::new(),
            opened: Vec::new(),
            takes_login: true,
            answer,
        })
    }

    fn refusing_server(&self) -> Option<Box<dyn SessionServer>> {
        None
    }

    fn request(&self, n: u64) -> Command {
        if self.commands {
            return Command::query(&n.to_string()).unwrap();
        }
        let message = Command::message("engine.status").unwrap();
        message.param("n", n.to_string()).unwrap()
    }

    fn number(&self, reply: &Reply) -> Option<u64> {
        let frame = reply.frame()?;
        match frame.message() {
            Some(message) => message.text("n")?.parse().ok(),
            None => frame.confirmation()?.name.parse().ok(),
        }
    }

    fn answers_in_order(&self) -> bool {
        self.commands
    }

    fn garbage(&self) -> Vec<Bytes> {
        vec![
            Bytes::from_static(b"\0\xff\xfe\n\n\n"),
            Bytes::from_static(b"Asterisk Call Manager/11.0.0\r\n"),
            Bytes::from_static(b"%%<message\n%%<message:\n%%<message:x\n%%>message:\n"),
            Bytes::from_static(b"%%<setlocal:::\n%%<install\n%%<quit:\nError in: \n%%%%\n"),
            Bytes::from(b"z".repeat(5 * 1024 * 1024)),
        ]
    }
}

fn answer(frame: &Frame, _takes_login: bool) -> Vec<Bytes> {
    if frame.kind() != Kind::Request {
        return confirm(frame).into_iter().collect();
    }
    let message = frame.message().unwrap();
    let id = String::from_utf8(message.id().to_vec()).unwrap();
    let n = message.text("n").unwrap();
    vec![wire::answer(&id, false, "engine.status", "", &[("n", &n)])]
}
