//! The event socket of FreeSWITCH: codec, events in their formats, session.

use std::{borrow::Cow, time::Instant};

use faxbot_sip::protocol::{
    esl::{
        Command, EslCodec, EslConfig, EslSession, Format, Frame, Kind, MAX_FRAME, Reply, Role,
        server,
    },
    session::Session as _,
};
use faxbot_testkit::{
    random::TestRng,
    replay::{Direction, Recording},
};

use super::{
    Side, Target,
    wire_support::{
        RANDOM,
        esl::{login, role_of},
        one,
    },
};

pub(crate) struct Esl;

impl Target for Esl {
    type Session = EslSession;

    const MAX_FRAME: usize = MAX_FRAME;
    const KINDS: &'static [&'static str] = &[
        "greeting",
        "answer",
        "plain event",
        "json event",
        "xml event",
        "broken event",
        "log line",
        "end",
        "command",
    ];

    fn reader(recording: &Recording, dir: Direction) -> Option<Side> {
        let name = recording.name();
        let ours = name.starts_with("freeswitch/") || name.starts_with("bursts/freeswitch_");
        ours.then_some(match role_of(recording, dir) {
            Role::Client => Side::Client,
            _ => Side::Server,
        })
    }

    fn codec(side: Side, max: usize, _up: bool) -> EslCodec {
        let role = match side {
            Side::Client => Role::Client,
            Side::Server => Role::Server,
        };
        EslCodec::new(role, max)
    }

    fn read(frame: &Frame, mut seen: impl FnMut(&'static str)) {
        seen(match frame.kind() {
            Kind::AuthRequest => "greeting",
            Kind::Reply | Kind::ApiResponse => "answer",
            Kind::Event(Format::Plain) => "plain event",
            Kind::Event(Format::Json) => "json event",
            Kind::Event(Format::Xml) => "xml event",
            Kind::Log => "log line",
            Kind::Disconnect | Kind::Rejection => "end",
            Kind::Command => "command",
            _ => "other",
        });
        let lengths = frame
            .headers()
            .map(|(name, value)| name.len() + value.len());
        assert!(lengths.sum::<usize>() <= frame.raw().len());
        drop((
            frame.text(),
            frame.is_linger(),
            frame.command().map(<[u8]>::len),
        ));
        // A byte that is no UTF-8 becomes three.
        let most = 3 * frame.raw().len();
        match frame.event() {
            Ok(Some(event)) => {
                let texts = event.headers().map(|(_, value)| value.text().len());
                assert!(texts.sum::<usize>() <= most);
                assert!(event.body().is_none_or(|body| body.len() <= most));
                drop((event.name(), event.subclass(), event.list("Arr")));
            }
            Ok(None) => {}
            Err(_) => seen("broken event"),
        }
    }

    fn read_reply(reply: &Reply) {
        drop((reply.is_ok(), reply.is_error(), reply.error()));
    }

    fn session() -> EslSession {
        EslSession::new(login(), EslConfig::new(), RANDOM)
    }

    fn log_in(session: &mut EslSession, now: Instant) {
        for bytes in [
            server::auth_request(),
            server::reply("+OK accepted", &[]),
            server::reply("+OK event listener enabled json", &[]),
        ] {
            let codec = Self::codec(Side::Client, MAX_FRAME, false);
            session.handle_frame(one(codec, bytes), now);
        }
    }

    fn request(n: u64) -> Command {
        let build = if n.is_multiple_of(2) {
            Command::api
        } else {
            Command::bgapi
        };
        build("status", "").unwrap()
    }

    fn id(command: &Frame) -> Option<String> {
        command.get_str("Job-UUID").map(Cow::into_owned)
    }

    /// Before some events the result of a job that waits.
    fn answering(frame: Frame, ids: &[String], rng: &mut TestRng) -> Vec<Frame> {
        let event = matches!(frame.kind(), Kind::Event(_));
        if !event || rng.index(4) > 0 {
            return vec![frame];
        }
        let job = &*ids[rng.index(ids.len())];
        let headers = [("Event-Name", "BACKGROUND_JOB"), ("Job-UUID", job)];
        let format = [Format::Plain, Format::Json, Format::Xml][rng.index(3)];
        let bytes = server::event(format, &headers, Some(b"+OK"));
        let codec = Self::codec(Side::Client, MAX_FRAME, false);
        vec![one(codec, bytes), frame]
    }
}
