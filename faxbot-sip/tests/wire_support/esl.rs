//! An event socket.

use bytes::Bytes;
use faxbot_sip::protocol::{
    esl::{
        Command, EslCodec, EslConfig, EslSession, Format, Frame, Login, MAX_FRAME, Role, server,
    },
    session::{NoReply, Session as _},
};
use faxbot_testkit::{
    fixtures,
    replay::{Direction, Recording},
};

use super::{RANDOM, SECOND};

pub(crate) type Line = super::Line<EslSession>;

/// All recordings of FreeSWITCH but the bursts.
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

/// The recordings with 200 calls at once, cut in the middle of a frame. The published package has
/// none.
pub(crate) fn bursts() -> Vec<Recording> {
    let names = fixtures::all_names().unwrap();
    let ours = names
        .iter()
        .filter(|it| it.starts_with("bursts/freeswitch"));
    ours.map(|name| Recording::load(name).unwrap()).collect()
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
    super::decode(codec(role), pieces)
}

/// One frame from the text of a server.
pub(crate) fn frame(text: &str) -> Frame {
    super::one(codec(Role::Client), Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) fn login() -> Login {
    Login::password("ClueCon").unwrap()
}

fn codec(role: Role) -> EslCodec {
    EslCodec::new(role, MAX_FRAME)
}

impl Line {
    pub(crate) fn new(session: EslSession) -> Self {
        Self::open(session, codec(Role::Client), codec(Role::Server))
    }

    pub(crate) fn inbound(config: EslConfig) -> Self {
        Self::new(EslSession::new(login(), config, RANDOM))
    }

    /// Logged in and subscribed, everything so far taken.
    pub(crate) fn up() -> Self {
        Self::up_with(EslConfig::new())
    }

    pub(crate) fn up_with(config: EslConfig) -> Self {
        let mut line = Self::inbound(config);
        line.bytes(&server::auth_request());
        assert_eq!(line.command(), "auth ClueCon");
        line.reply_ok("accepted");
        assert_eq!(line.command(), "event json BACKGROUND_JOB");
        line.reply_ok("event listener enabled json");
        assert!(line.session.is_ready());
        line.ready.clear();
        line
    }

    /// The next command that the server saw.
    pub(crate) fn command(&mut self) -> String {
        let command = self.sent.remove(0);
        String::from_utf8(command.command().unwrap().to_vec()).unwrap()
    }

    /// The `Job-UUID` of the next command.
    pub(crate) fn job(&mut self) -> String {
        let command = self.sent.remove(0);
        command.get_str("Job-UUID").unwrap().into_owned()
    }

    pub(crate) fn reply_ok(&mut self, text: &str) {
        self.bytes(&server::reply(&format!("+OK {text}"), &[]));
    }

    /// The reply to a `bgapi`.
    pub(crate) fn accept(&mut self, job: &str) {
        let text = format!("+OK Job-UUID: {job}");
        self.bytes(&server::reply(&text, &[("Job-UUID", job)]));
    }

    /// The result of a job.
    pub(crate) fn finish(&mut self, format: Format, job: &str, body: &str) {
        let headers = [("Event-Name", "BACKGROUND_JOB"), ("Job-UUID", job)];
        self.bytes(&server::event(format, &headers, Some(body.as_bytes())));
    }

    /// Asks with `api` and takes the command.
    pub(crate) fn api(&mut self, token: u64) {
        let command = Command::api("eval", &token.to_string()).unwrap();
        self.request(token, command, 10 * SECOND);
        assert_eq!(self.command(), format!("api eval {token}"));
    }

    /// Asks with `bgapi`; the `Job-UUID`.
    pub(crate) fn bgapi(&mut self, token: u64) -> String {
        let command = Command::bgapi("eval", &token.to_string()).unwrap();
        self.request(token, command, 10 * SECOND);
        self.job()
    }

    /// The oldest answer: its token and its text.
    pub(crate) fn answer(&mut self) -> (u64, Result<String, NoReply>) {
        let (token, result) = self.reply();
        (token, result.map(|reply| reply.text().into_owned()))
    }
}
