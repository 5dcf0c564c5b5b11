//! Frames of the event socket for tests.
#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod line;

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    esl::{EslCodec, Frame, MAX_FRAME, Role},
    session::Codec,
};
use faxbot_testkit::{
    fixtures,
    replay::{Direction, Recording},
};

/// All recordings of FreeSWITCH.
pub(crate) fn recordings() -> Vec<Recording> {
    let names = fixtures::names().unwrap();
    let all: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("freeswitch/"))
        .map(|name| Recording::load(name).unwrap())
        .collect();
    assert!(all.len() > 70, "{} recordings", all.len());
    all
}

/// Who reads that direction: in `07_outbound_*` FreeSWITCH is the one that connects.
pub(crate) fn role_of(recording: &Recording, dir: Direction) -> Role {
    let outbound = recording.name().contains("/07_outbound_");
    match (dir, outbound) {
        (Direction::ToClient, false) | (Direction::ToServer, true) => Role::Client,
        _ => Role::Server,
    }
}

/// All frames of `pieces`, and what is left.
pub(crate) fn decode(role: Role, pieces: impl IntoIterator<Item = Bytes>) -> (Vec<Frame>, Bytes) {
    let mut codec = EslCodec::new(role, MAX_FRAME);
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(&piece);
        while let Some(frame) = codec.decode(&mut buffer).expect("no limit is broken") {
            frames.push(frame);
        }
    }
    (frames, buffer.freeze())
}

/// One frame from the text of a server.
pub(crate) fn frame(text: &str) -> Frame {
    let (mut frames, rest) = decode(Role::Client, [Bytes::copy_from_slice(text.as_bytes())]);
    assert_eq!((frames.len(), rest.len()), (1, 0), "{text:?}");
    frames.remove(0)
}
