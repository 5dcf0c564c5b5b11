//! The Asterisk manager interface.

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::ami::{
    Action, AmiCodec, AmiSession, Kind, Login, MAX_MESSAGE, Message, Reply, Role,
    server::{MessageBuilder, banner},
};
use faxbot_testkit::{
    conformance::{
        Case,
        codec::CodecEnv,
        session::{SessionEnv, SessionServer},
    },
    fixtures,
    replay::Recording,
};

use super::{MAX, Server, all, quiet, wire_support::RANDOM};

pub(crate) fn cases() -> Vec<Case> {
    all(
        [Ami(Role::Client), Ami(Role::Server)],
        [false, true].map(|md5| AmiEnd { md5 }),
    )
}

struct Ami(Role);

impl CodecEnv for Ami {
    type Codec = AmiCodec;

    fn name(&self) -> String {
        match self.0 {
            Role::Client => "ami codec, client".to_owned(),
            _ => "ami codec, server".to_owned(),
        }
    }

    fn codec(&self) -> AmiCodec {
        AmiCodec::new(self.0, MAX)
    }

    fn samples(&self) -> Vec<(String, Bytes)> {
        let mut samples = Vec::new();
        let names = fixtures::names().unwrap();
        for name in names.iter().filter(|name| name.starts_with("asterisk")) {
            let recording = Recording::load(name).unwrap();
            for conn in recording.connections() {
                let bytes = match self.0 {
                    Role::Client => recording.server_bytes(conn),
                    _ => recording.client_bytes(conn),
                };
                // `10_long_values_out` and its like are read in `ami_codec.rs`, `09_http` is HTTP,
                // `10_tls` ciphertext.
                let whole = bytes.len() < 200_000
                    && (self.0 == Role::Server || bytes.starts_with(b"Asterisk Call"));
                if whole
                    && !bytes.is_empty()
                    && !name.ends_with("09_http")
                    && !name.ends_with("10_tls")
                {
                    samples.push((format!("{name} {conn}"), bytes));
                }
            }
        }
        assert!(samples.len() > 80, "{}", samples.len());
        samples
    }

    fn describe(&self, frame: &Message) -> Vec<u8> {
        let mut all = format!("{:?} ", frame.kind()).into_bytes();
        all.extend_from_slice(frame.raw());
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
        let first = match self.0 {
            Role::Client => banner("11.0.0").raw().clone(),
            _ => Bytes::new(),
        };
        let line = if self.0 == Role::Client { "y\n" } else { "y\r" };
        vec![
            (first.clone(), Bytes::from_static(b"x")),
            (first.clone(), Bytes::from_static(b"Header: value\r\n")),
            (first, Bytes::from_static(line.as_bytes())),
        ]
    }
}

struct AmiEnd {
    md5: bool,
}

impl SessionEnv for AmiEnd {
    type Session = AmiSession;

    fn name(&self) -> String {
        format!(
            "ami session, {} login",
            if self.md5 { "md5" } else { "plain" }
        )
    }

    fn session(&self) -> AmiSession {
        let login = Login::new("faxbot", "s3cret").unwrap().md5(self.md5);
        AmiSession::new(login, quiet(), RANDOM)
    }

    fn codec(&self) -> AmiCodec {
        AmiCodec::new(Role::Client, MAX_MESSAGE)
    }

    fn server(&self) -> Box<dyn SessionServer> {
        server(true)
    }

    fn refusing_server(&self) -> Option<Box<dyn SessionServer>> {
        Some(server(false))
    }

    fn request(&self, n: u64) -> Action {
        Action::new("Getvar")
            .unwrap()
            .header("Variable", &n.to_string())
            .unwrap()
    }

    fn number(&self, reply: &Reply) -> Option<u64> {
        reply.response.get_str("Value")?.parse().ok()
    }

    fn garbage(&self) -> Vec<Bytes> {
        vec![
            Bytes::from_static(b"\0\xff\xfe\r\n\r\n\r\n"),
            Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            Bytes::from_static(b"Response\r\nActionID\r\n\r\n: \r\n\r\n"),
            Bytes::from_static(
                b"Event: FullyBooted\r\n\r\nResponse: Success\r\nActionID: x\r\n\r\n",
            ),
            Bytes::from(b"z".repeat(MAX_MESSAGE + 1)),
        ]
    }
}

fn server(takes_login: bool) -> Box<dyn SessionServer> {
    Box::new(Server {
        codec: AmiCodec::new(Role::Server, MAX_MESSAGE),
        buffer: BytesMut::new(),
        opened: vec![banner("11.0.0").raw().clone()],
        takes_login,
        answer,
    })
}

fn answer(action: &Message, takes_login: bool) -> Vec<Bytes> {
    assert_eq!(action.kind(), Kind::Action);
    let name = String::from_utf8_lossy(action.action().unwrap()).into_owned();
    let reply = |word: &str| MessageBuilder::response(word).maybe("ActionID", action.action_id());
    let reply = match name.as_str() {
        "Challenge" => reply("Success").header("Challenge", "123456789"),
        "Login" if !takes_login => reply("Error").header("Message", "Authentication failed"),
        "Login" => {
            let accepted = reply("Success")
                .header("Message", "Authentication accepted")
                .build()
                .unwrap();
            let booted = MessageBuilder::event("FullyBooted").build().unwrap();
            return vec![accepted.raw().clone(), booted.raw().clone()];
        }
        "Logoff" => reply("Goodbye"),
        "Getvar" => reply("Success").maybe("Value", action.get("Variable")),
        _ => reply("Success"),
    };
    vec![reply.build().unwrap().raw().clone()]
}
