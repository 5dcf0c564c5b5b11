//! The conformance suites of codec and session, on each protocol.
#![cfg(test)]

mod ami;
mod esl;
mod jsonrpc;
#[path = "../wire_support/mod.rs"]
mod wire_support;
mod yate;

use std::{process::ExitCode, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{config::SessionConfig, session::Codec};
use faxbot_testkit::conformance::{self, Case, codec, session, session::SessionServer};

fn main() -> ExitCode {
    let mut cases = ami::cases();
    cases.extend(esl::cases());
    cases.extend(jsonrpc::cases());
    cases.extend(yate::cases());
    conformance::run(cases)
}

/// The limit that the codecs of this program have: small, so that endless frames end soon.
const MAX: usize = 64 * 1024;

fn all(
    codecs: impl IntoIterator<Item = impl codec::CodecEnv>,
    sessions: impl IntoIterator<Item = impl session::SessionEnv>,
) -> Vec<Case> {
    let codecs = codecs
        .into_iter()
        .flat_map(|env| codec::cases(Arc::new(env)));
    let sessions = sessions
        .into_iter()
        .flat_map(|env| session::cases(Arc::new(env)));
    codecs.chain(sessions).collect()
}

/// No keep-alive within the time of a request: the cases count what is written.
fn quiet<P: Default>() -> SessionConfig<P> {
    SessionConfig::new().with_ping(Duration::from_secs(60), Duration::from_secs(10))
}

/// A server by its first words and its answer to each frame.
struct Server<C: Codec> {
    codec: C,
    buffer: BytesMut,
    opened: Vec<Bytes>,
    takes_login: bool,
    answer: fn(&C::Frame, takes_login: bool) -> Vec<Bytes>,
}

impl<C: Codec> SessionServer for Server<C> {
    fn opened(&mut self) -> Vec<Bytes> {
        self.opened.clone()
    }

    fn receive(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        self.buffer.extend_from_slice(bytes);
        let mut said = Vec::new();
        while let Some(frame) = self.codec.decode(&mut self.buffer).unwrap() {
            said.extend((self.answer)(&frame, self.takes_login));
        }
        said
    }
}
