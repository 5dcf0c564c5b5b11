//! An external module port.

use bytes::Bytes;
use faxbot_sip::protocol::{
    session::{NoReply, Session as _},
    yate::{
        Ask, Command, Event, Frame, Kind, Login, MAX_LINE, Role, YateCodec, YateConfig,
        YateSession, server,
    },
};
use faxbot_testkit::{
    fixtures,
    replay::{Direction, Recording},
};

use super::{RANDOM, SECOND};

pub(crate) type Line = super::Line<YateSession>;

/// What a session asks first, in this order.
pub(crate) const FIRST: [&str; 6] = [
    "%%>setlocal:bufsize:65536",
    "%%>setlocal:timeout:",
    "%%>setlocal:engine.version:",
    "%%>setlocal:engine.runid:",
    "%%>setlocal:engine.nodename:",
    "%%>watch:engine.timer",
];

/// All recordings of Yate but the bursts.
pub(crate) fn recordings() -> Vec<Recording> {
    let names = fixtures::names().unwrap();
    let all: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("yate/"))
        .map(|name| Recording::load(name).unwrap())
        .collect();
    assert!(all.len() > 40, "{} recordings", all.len());
    all
}

/// The recordings with 100 and 200 calls at once. The published package has none.
pub(crate) fn bursts() -> Vec<Recording> {
    let names = fixtures::all_names().unwrap();
    let ours = names.iter().filter(|it| it.starts_with("bursts/yate_"));
    ours.map(|name| Recording::load(name).unwrap()).collect()
}

pub(crate) fn role_of(dir: Direction) -> Role {
    match dir {
        Direction::ToClient => Role::Client,
        Direction::ToServer => Role::Server,
    }
}

pub(crate) fn codec(role: Role) -> YateCodec {
    YateCodec::new(role, MAX_LINE)
}

/// All lines of `pieces`, and what is left.
pub(crate) fn decode(role: Role, pieces: impl IntoIterator<Item = Bytes>) -> (Vec<Frame>, Bytes) {
    super::decode(codec(role), pieces)
}

/// One line of the engine.
pub(crate) fn frame(line: &str) -> Frame {
    super::one(codec(Role::Client), Bytes::from(format!("{line}\n")))
}

/// The engine's answer to a command of a module, as if nothing was ever done before.
pub(crate) fn confirm(command: &Frame) -> Option<Bytes> {
    let told = |name: &str| match name {
        "timeout" => "10000",
        "engine.version" => "6.4.1",
        "engine.runid" => "1795230663",
        "engine.nodename" => "pbx",
        _ => "",
    };
    Some(match command.ask()? {
        Ask::Setlocal { name, value } if value.is_empty() => {
            server::local(&name, told(&name), true)
        }
        Ask::Setlocal { name, value } => server::local(&name, &value, true),
        Ask::Watch(name) => server::watching(&name, true),
        Ask::Unwatch(name) => server::unwatched(&name, true),
        Ask::Install { priority, name, .. } => server::installed(priority, &name, true),
        Ask::Uninstall(name) => server::uninstalled(100, &name, true),
        Ask::Quit => server::quit(),
        _ => return None,
    })
}

impl Line {
    pub(crate) fn new(login: Login, config: YateConfig) -> Self {
        let session = YateSession::new(login, config, RANDOM);
        Self::open(session, codec(Role::Client), codec(Role::Server))
    }

    /// Logged in, everything so far taken.
    pub(crate) fn up() -> Self {
        Self::up_with(Login::new(), YateConfig::new())
    }

    pub(crate) fn up_with(login: Login, config: YateConfig) -> Self {
        let mut line = Self::new(login, config);
        line.confirm_all();
        assert!(line.session.is_ready(), "{:?}", line.closed);
        line.ready.clear();
        line
    }

    /// The engine answers every command that it saw.
    pub(crate) fn confirm_all(&mut self) {
        for command in std::mem::take(&mut self.sent) {
            if let Some(answer) = confirm(&command) {
                self.bytes(&answer);
            }
        }
    }

    /// The next line that the engine saw.
    pub(crate) fn line(&mut self) -> String {
        String::from_utf8(self.sent.remove(0).line().to_vec()).unwrap()
    }

    /// Asks with a message of that name and gives the id under which it was sent.
    pub(crate) fn ask(&mut self, token: u64, name: &str) -> String {
        self.request(token, Command::message(name).unwrap(), 10 * SECOND);
        let sent = self.sent.remove(0);
        assert_eq!(sent.kind(), Kind::Request);
        String::from_utf8(sent.message().unwrap().id().to_vec()).unwrap()
    }

    /// The oldest answer: its token and the line of the engine.
    pub(crate) fn answer(&mut self) -> (u64, Result<String, NoReply>) {
        let (token, result) = self.reply();
        let line = result.map(|reply| {
            let frame = reply.frame().expect("a line of the engine");
            String::from_utf8(frame.line().to_vec()).unwrap()
        });
        (token, line)
    }

    /// The engine asks with a `call.route` of that id.
    pub(crate) fn route(&mut self, id: &str) {
        self.bytes(&server::request(
            id,
            7,
            "call.route",
            "",
            &[("called", "777")],
        ));
    }

    /// The next request of the engine that the owner was told of.
    pub(crate) fn asked(&mut self) -> faxbot_sip::protocol::yate::Incoming {
        match self.events.remove(0) {
            Event::Asked(incoming) => incoming,
            other => panic!("{other:?}"),
        }
    }
}
