//! The external module port of Yate: codec, messages, status, session.

use std::time::Instant;

use bytes::Bytes;
use faxbot_sip::protocol::{
    session::Session as _,
    yate::{
        Command, Frame, Kind, Login, MAX_LINE, Reply, Role, YateCodec, YateConfig, YateSession,
        server, status,
    },
};
use faxbot_testkit::{
    random::TestRng,
    replay::{Direction, Recording},
};

use super::{
    Side, Target, sent,
    wire_support::{RANDOM, one, yate::confirm},
};

pub(crate) struct Yate;

impl Target for Yate {
    type Session = YateSession;

    const MAX_FRAME: usize = MAX_LINE;
    const KINDS: &'static [&'static str] = &[
        "request",
        "answer",
        "watched",
        "command",
        "unread command",
        "confirmation",
        "error",
        "other",
        "module",
    ];

    fn reader(recording: &Recording, dir: Direction) -> Option<Side> {
        let name = recording.name();
        let ours = name.starts_with("yate/") || name.starts_with("bursts/yate_");
        ours.then_some(match dir {
            Direction::ToClient => Side::Client,
            Direction::ToServer => Side::Server,
        })
    }

    fn codec(side: Side, max: usize, _up: bool) -> YateCodec {
        let role = match side {
            Side::Client => Role::Client,
            Side::Server => Role::Server,
        };
        YateCodec::new(role, max)
    }

    fn read(frame: &Frame, mut seen: impl FnMut(&'static str)) {
        seen(match frame.kind() {
            Kind::Request => "request",
            Kind::Answer => "answer",
            Kind::Watched => "watched",
            Kind::Command(_) => "command",
            Kind::Reply(_) => "confirmation",
            Kind::Error => "error",
            _ => "other",
        });
        if server::is_error(frame) && matches!(frame.kind(), Kind::Command(_) | Kind::Request) {
            seen("unread command");
        }
        drop((frame.ask(), frame.confirmation(), frame.refused()));
        let Some(message) = frame.message() else {
            return;
        };
        // A byte that is no UTF-8 becomes three.
        let most = 3 * frame.raw().len();
        let texts = message
            .params()
            .map(|it| it.name().len() + it.text().map_or(0, |text| text.len()));
        assert!(texts.sum::<usize>() <= most);
        drop((message.text("id"), message.flag("answered"), message.time()));
        for module in status::modules(&message.retval()) {
            seen("module");
            let items = module.items().map(|it| it.id().len() + it.fields().count());
            assert!(items.sum::<usize>() <= 2 * most);
            let _ = (
                module.name(),
                module.value("chans"),
                module.format().count(),
            );
        }
    }

    fn read_reply(reply: &Reply) {
        let _ = reply.is_ok();
    }

    fn session() -> YateSession {
        // Few requests of the engine: each that is open is one more step at the end.
        let config = YateConfig::new().with_max_incoming(64);
        YateSession::new(Login::new(), config, RANDOM)
    }

    fn log_in(session: &mut YateSession, now: Instant) {
        for command in sent::<Self>(session) {
            let answer = confirm(&command).unwrap();
            session.handle_frame(line(answer), now);
        }
    }

    fn request(n: u64) -> Command {
        match n % 4 {
            0 => Command::watch("chan.hangup"),
            1 => Command::query("engine.version"),
            _ => Command::message("engine.status"),
        }
        .unwrap()
    }

    fn id(wire: &Frame) -> Option<String> {
        let message = wire.message()?;
        Some(String::from_utf8_lossy(message.id()).into_owned())
    }

    /// Some watched messages become the answer to one that waits, others a request.
    fn answering(frame: Frame, ids: &[String], rng: &mut TestRng) -> Vec<Frame> {
        let id = &*ids[rng.index(ids.len())];
        let text = String::from_utf8_lossy(frame.line());
        let Some(rest) = text.strip_prefix("%%<message::") else {
            return vec![frame];
        };
        let text = match rng.index(8) {
            0 => format!("%%<message:{id}:{rest}\n"),
            1 => format!("Error in: %%>message:{id}:{rest}\n"),
            2 => format!("%%>message:0x{}:{rest}\n", rng.index(100)),
            _ => return vec![frame],
        };
        vec![line(Bytes::from(text))]
    }
}

fn line(bytes: Bytes) -> Frame {
    one(YateCodec::new(Role::Client, 64 * 1024 * 1024), bytes)
}
