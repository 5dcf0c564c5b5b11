//! The conformance suites of codec and session, on AMI.
#![cfg(test)]

use std::{process::ExitCode, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    ami::{
        Action, AmiCodec, AmiConfig, AmiSession, Kind, Login, MAX_MESSAGE, Message, Reply, Role,
        server::{MessageBuilder, banner},
    },
    session::Codec as _,
};
use faxbot_testkit::{
    conformance::{
        self,
        codec::{self, CodecEnv},
        session::{self, SessionEnv, SessionServer},
    },
    fixtures,
    replay::Recording,
};

fn main() -> ExitCode {
    let mut cases = codec::cases(Arc::new(Ami(Role::Client)));
    cases.extend(codec::cases(Arc::new(Ami(Role::Server))));
    for md5 in [false, true] {
        cases.extend(session::cases(Arc::new(AmiEnd { md5 })));
    }
    conformance::run(cases)
}

/// The limit that the codecs of this program have: small, so that endless frames end soon.
const MAX: usize = 64 * 1024;

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
        // No keep-alive within the time of a request: the cases count what is written.
        let config = AmiConfig::new().with_ping(Duration::from_secs(60), Duration::from_secs(10));
        AmiSession::new(login, config, *b"0123456789abcdef")
    }

    fn codec(&self) -> AmiCodec {
        AmiCodec::new(Role::Client, MAX_MESSAGE)
    }

    fn server(&self) -> Box<dyn SessionServer> {
        Box::new(Server::new(true))
    }

    fn refusing_server(&self) -> Option<Box<dyn SessionServer>> {
        Some(Box::new(Server::new(false)))
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

struct Server {
    takes_login: bool,
    codec: AmiCodec,
    buffer: BytesMut,
}

impl Server {
    fn new(takes_login: bool) -> Self {
        Self {
            takes_login,
            codec: AmiCodec::new(Role::Server, MAX_MESSAGE),
            buffer: BytesMut::new(),
        }
    }

    fn answer(&self, action: &Message) -> Vec<Bytes> {
        assert_eq!(action.kind(), Kind::Action);
        let name = String::from_utf8_lossy(action.action().unwrap()).into_owned();
        let reply =
            |word: &str| MessageBuilder::response(word).maybe("ActionID", action.action_id());
        let reply = match name.as_str() {
            "Challenge" => reply("Success").header("Challenge", "123456789"),
            "Login" if !self.takes_login => {
                reply("Error").header("Message", "Authentication failed")
            }
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
}

impl SessionServer for Server {
    fn opened(&mut self) -> Vec<Bytes> {
        vec![banner("11.0.0").raw().clone()]
    }

    fn receive(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        self.buffer.extend_from_slice(bytes);
        let mut said = Vec::new();
        while let Some(action) = self.codec.decode(&mut self.buffer).unwrap() {
            said.extend(self.answer(&action));
        }
        said
    }
}
