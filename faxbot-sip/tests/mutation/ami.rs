//! The Asterisk manager interface.

use std::time::Instant;

use bytes::BytesMut;
use faxbot_sip::protocol::{
    ami::{
        Action, AmiCodec, AmiConfig, AmiSession, Answer, Kind, MAX_MESSAGE, Message, Role,
        server::{MessageBuilder, banner},
    },
    session::{Codec as _, Session as _},
};
use faxbot_testkit::{
    random::TestRng,
    replay::{Direction, Recording},
};

use super::{
    Side, Target, sent,
    wire_support::{RANDOM, ami::login, one},
};

pub(crate) struct Ami;

impl Target for Ami {
    type Session = AmiSession;

    const MAX_FRAME: usize = MAX_MESSAGE;
    const KINDS: &'static [&'static str] = &["banner", "response", "event", "action", "other"];

    fn reader(recording: &Recording, dir: Direction) -> Option<Side> {
        let name = recording.name();
        let ours = ["asterisk", "bursts/07_", "bursts/burst_"];
        ours.iter()
            .any(|start| name.starts_with(start))
            .then_some(match dir {
                Direction::ToClient => Side::Client,
                Direction::ToServer => Side::Server,
            })
    }

    fn codec(side: Side, max: usize, up: bool) -> AmiCodec {
        let role = match side {
            Side::Client => Role::Client,
            Side::Server => Role::Server,
        };
        let mut codec = AmiCodec::new(role, max);
        // Streams of a server start with its banner; a session that is up has seen it.
        if up {
            let mut wire = BytesMut::from(banner("11.0.0").raw().as_ref());
            assert!(codec.decode(&mut wire).unwrap().is_some());
        }
        codec
    }

    fn read(frame: &Message, mut seen: impl FnMut(&'static str)) {
        seen(match frame.kind() {
            Kind::Banner => "banner",
            Kind::Response => "response",
            Kind::Event => "event",
            Kind::Action => "action",
            _ => "other",
        });
        let lengths = frame
            .headers()
            .map(|(name, value)| name.len() + value.len());
        assert!(lengths.sum::<usize>() <= frame.raw().len());
        drop((
            frame.get("Uniqueid"),
            frame.get_str("Cause"),
            frame.action_id().map(<[u8]>::len),
        ));
    }

    fn session() -> AmiSession {
        AmiSession::new(login(), AmiConfig::new(), RANDOM)
    }

    fn log_in(session: &mut AmiSession, now: Instant) {
        session.handle_frame(banner("11.0.0"), now);
        let id = Self::id(&sent::<Self>(session)[0]).unwrap();
        for message in [
            MessageBuilder::response("Success").header("ActionID", id),
            MessageBuilder::event("FullyBooted"),
        ] {
            session.handle_frame(message.build().unwrap(), now);
        }
    }

    fn request(n: u64) -> Action {
        let answers = [
            Answer::Inferred,
            Answer::Single,
            Answer::List,
            Answer::OneEvent,
        ];
        let answer = answers[usize::try_from(n % 4).unwrap()];
        Action::new("Status").unwrap().answer(answer)
    }

    fn id(action: &Message) -> Option<String> {
        Some(String::from_utf8_lossy(action.action_id()?).into_owned())
    }

    /// Most ids become that of a request that waits.
    fn answering(frame: Message, ids: &[String], rng: &mut TestRng) -> Vec<Message> {
        if frame.action_id().is_none() || rng.index(4) == 0 {
            return vec![frame];
        }
        let id = &ids[rng.index(ids.len())];
        let mut wire = BytesMut::new();
        for (name, value) in frame.headers() {
            let value = if name.eq_ignore_ascii_case(b"ActionID") {
                id.as_bytes()
            } else {
                value
            };
            wire.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
        }
        wire.extend_from_slice(b"\r\n");
        let codec = Self::codec(Side::Client, 64 * 1024 * 1024, true);
        vec![one(codec, wire.freeze())]
    }
}
