//! Sessions of one leg: `ua_session_*` of `b2b_entities` (recording `05_ua_session_client`).

use tokio::time::Instant;

use super::{
    b2b::entity,
    engine::{OpenSips, Step},
    events::Event,
    mi::{self, Outcome, Refusal, SeenMi, done},
    which::Release,
};
use crate::server::{
    proxy::{Target, Tree, reason},
    script::Ending,
};

/// One leg.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub key: String,
    pub to: String,
    display: String,
    from: String,
    /// Whether events have bodies and headers: flags `b` and `h`.
    whole: [bool; 2],
    up: bool,
}

#[derive(Debug)]
pub(super) struct SessionStep {
    key: String,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Reply(u16),
    /// It answers another request.
    Answers(String),
    HangsUp,
}

impl Session {
    fn tree(&self) -> Tree {
        entity(
            &self.key,
            "",
            "b2b_entities",
            &self.display,
            &self.from,
            &self.to,
            self.up,
        )
    }

    fn event(&self, kind: &'static str, status: u16, method: &str, release: Release) -> Event {
        let [body, headers] = self.whole;
        let words = if status == 0 {
            Tree::Null
        } else {
            reason(status).into()
        };
        let some = |yes: bool, text: String| if yes { Tree::Text(text) } else { Tree::Null };
        let lines = format!(
            "From: {} <{}>;tag=be02cc42\r\nTo: <{}>;tag=6c9c891e91\r\nCall-ID: {}\r\nCSeq: 2 {method}\r\n\
             Content-Length: 0\r\n",
            self.display, self.from, self.to, self.key
        );
        let sdp = if status == 200 && method == "INVITE" {
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio 35080 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        } else {
            ""
        };
        let members = [
            ("key", Tree::from(self.key.as_str())),
            ("event_type", kind.into()),
            ("entity_type", "UAC".into()),
            ("status", status.into()),
            ("reason", words),
            ("method", method.into()),
            ("body", some(body, sdp.to_owned())),
            ("headers", some(headers, lines)),
        ];
        let extra = (release >= Release::V3_6).then_some(("extra_params", Tree::Null));
        Event::new("E_UA_SESSION", members.into_iter().chain(extra))
    }
}

impl OpenSips {
    /// The commands `ua_session_*`.
    pub(super) fn ua_session(
        &mut self,
        name: &str,
        request: &SeenMi,
        now: Instant,
    ) -> Option<Outcome> {
        Some(match name {
            "ua_session_client_start" => self.start_session(request, now),
            "ua_session_list" => self.list_sessions(request),
            "ua_session_terminate" => self.terminate_session(request),
            "ua_session_update" => self.update_session(request, now),
            "ua_session_reply" => match self.session(request) {
                Ok(Some(_)) => done(),
                Ok(None) => Err(Refusal::new(500, "Failed to send reply")),
                Err(refusal) => Err(refusal),
            },
            _ => return None,
        })
    }

    fn session(&self, request: &SeenMi) -> Result<Option<Session>, Refusal> {
        let key = mi::text(request, "key")?;
        let found = self
            .state
            .sessions
            .iter()
            .find(|session| session.key == key);
        Ok(found.cloned())
    }

    fn start_session(&mut self, request: &SeenMi, now: Instant) -> Outcome {
        let ruri = mi::text(request, "ruri")?;
        let to = mi::text(request, "to")?;
        let from = mi::text(request, "from")?;
        let flags = mi::maybe_text(request, "flags")?.unwrap_or_default();
        // `display,uri`, or an URI alone.
        let (display, from) = from.split_once(',').unwrap_or(("", &from));
        let (Some(_), Some(_)) = (Target::parse(&ruri), Target::parse(from)) else {
            return Err(Refusal::new(500, "Failed to start session"));
        };
        let key = self.b2b_key(now);
        let script = self.state.world.script(&ruri);
        let timings = &self.setup.timings;
        let rings = now + timings.setup;
        let ends = rings + script.ring.unwrap_or(timings.ring);
        let end = match script.ending {
            Ending::Answer => Some((ends, 200)),
            Ending::Busy => Some((ends, 486)),
            Ending::Congestion => Some((ends, 503)),
            Ending::Rejected(status) => Some((ends, status)),
            Ending::NoEndpoint => Some((rings, 404)),
            Ending::NoAnswer => Some((rings + self.setup.ring_timeout, 408)),
            Ending::Unreachable => Some((now + self.setup.answer_timeout, 408)),
            Ending::RingsForEver => None,
        };
        self.state.sessions.push(Session {
            key: key.clone(),
            to,
            display: display.to_owned(),
            from: from.to_owned(),
            whole: [flags.contains('b'), flags.contains('h')],
            up: false,
        });
        if !matches!(script.ending, Ending::NoEndpoint | Ending::Unreachable) {
            self.session_plan(&key, rings, What::Reply(180));
        }
        if let Some((at, status)) = end {
            self.session_plan(&key, at, What::Reply(status));
            if let Some(time) = script.hangup_after.filter(|_| status == 200) {
                self.session_plan(&key, at + time, What::HangsUp);
            }
        }
        Ok(key.into())
    }

    fn session_plan(&mut self, key: &str, at: Instant, what: What) {
        let key = key.to_owned();
        self.plan(at, Step::Session(SessionStep { key, what }));
    }

    fn list_sessions(&self, request: &SeenMi) -> Outcome {
        let Some(key) = mi::maybe_text(request, "key")? else {
            let all = self.state.sessions.iter().map(Session::tree);
            return Ok(Tree::List(all.collect()));
        };
        if !key.starts_with("B2B.") {
            return Err(Refusal::new(400, "Bad format for b2b key"));
        }
        match self.session(request)? {
            Some(session) => Ok(session.tree()),
            None => Err(Refusal::new(404, "Session not found")),
        }
    }

    fn terminate_session(&mut self, request: &SeenMi) -> Outcome {
        let key = mi::text(request, "key")?;
        let before = self.state.sessions.len();
        // Nothing tells of an end that was asked for.
        self.state.sessions.retain(|session| session.key != key);
        if self.state.sessions.len() == before {
            return Err(Refusal::new(500, "Failed to terminate session"));
        }
        done()
    }

    fn update_session(&mut self, request: &SeenMi, now: Instant) -> Outcome {
        let method = mi::text(request, "method")?;
        let Some(session) = self.session(request)?.filter(|session| session.up) else {
            return Err(Refusal::new(500, "Failed to send sequential request"));
        };
        let at = now + self.setup.timings.setup;
        self.session_plan(&session.key, at, What::Answers(method));
        done()
    }

    pub(super) fn session_step(&mut self, step: &SessionStep, at: Instant) {
        let release = self.setup.release;
        let is_meant = |session: &Session| session.key == step.key;
        let Some(place) = self.state.sessions.iter().position(is_meant) else {
            return;
        };
        let mut session = self.state.sessions.remove(place);
        match &step.what {
            What::Reply(status @ ..200) => {
                session
                    .event("EARLY", *status, "INVITE", release)
                    .tell(self, at);
            }
            What::Reply(200) => {
                session.up = true;
                session
                    .event("ANSWERED", 200, "INVITE", release)
                    .tell(self, at);
            }
            What::Reply(status) => {
                session
                    .event("REJECTED", *status, "INVITE", release)
                    .tell(self, at);
                return;
            }
            What::Answers(method) => {
                session
                    .event("ANSWERED", 200, method, release)
                    .tell(self, at);
            }
            What::HangsUp => {
                session
                    .event("TERMINATED", 0, "BYE", release)
                    .tell(self, at);
                return;
            }
        }
        self.state.sessions.insert(place, session);
    }

    /// The far end of a session hangs up. False when there is no such session.
    pub(super) fn session_hangs_up(&mut self, key: &str, at: Instant) -> bool {
        let known = self.state.sessions.iter().any(|session| session.key == key);
        let step = SessionStep {
            key: key.to_owned(),
            what: What::HangsUp,
        };
        self.session_step(&step, at);
        known
    }
}
