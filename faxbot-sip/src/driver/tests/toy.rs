//! A line protocol with a login, answers by token, events and a good-bye.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use crate::protocol::session::{
    CloseReason, Codec, NoReply, NotTaken, Output, Session, Token, Transmit,
};

/// Longest line in bytes.
const LINE: usize = 256;

#[derive(Debug, thiserror::Error)]
#[error("line too long")]
pub(super) struct TooLong;

#[derive(Debug)]
pub(super) struct ToyCodec;

impl Codec for ToyCodec {
    type Frame = String;
    type Error = TooLong;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<String>, TooLong> {
        match input.iter().position(|byte| *byte == b'\n') {
            Some(at) if at <= LINE => {
                let line = input.split_to(at + 1);
                Ok(Some(String::from_utf8_lossy(&line[..at]).into_owned()))
            }
            None if input.len() <= LINE => Ok(None),
            _ => Err(TooLong),
        }
    }
}

pub(super) struct Toy {
    ready: bool,
    closing: bool,
    /// Whether the good-bye has no answer.
    curt: bool,
    /// Whether the server may wait for our answers.
    asked: bool,
    login_by: Option<Instant>,
    open: BTreeMap<Token, Instant>,
    transmits: VecDeque<Transmit>,
    outputs: VecDeque<Output<Self>>,
}

impl Toy {
    /// Requests that may be open.
    pub(super) const OPEN: usize = 300;
    /// Limit of the login.
    pub(super) const LOGIN: Duration = Duration::from_secs(5);

    pub(super) fn new() -> Self {
        Self {
            ready: false,
            closing: false,
            curt: false,
            asked: false,
            login_by: None,
            open: BTreeMap::new(),
            transmits: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// A toy that says good-bye and awaits no answer.
    pub(super) fn curt() -> Self {
        Self {
            curt: true,
            ..Self::new()
        }
    }

    fn send(&mut self, token: Option<Token>, line: &str) {
        let bytes = Bytes::from(format!("{line}\n"));
        self.transmits.push_back(Transmit { token, bytes });
    }
}

impl Session for Toy {
    type Codec = ToyCodec;
    type Request = String;
    type Reply = String;
    type Event = String;
    type Ready = ();

    fn handle_connected(&mut self, now: Instant) {
        self.login_by = Some(now + Self::LOGIN);
    }

    fn handle_frame(&mut self, frame: String, _now: Instant) {
        let (word, rest) = frame.split_once(' ').unwrap_or((&frame, ""));
        let output = match word {
            "asks" => {
                self.asked = true;
                return;
            }
            "hello" => return self.send(None, "login secret"),
            "welcome" => {
                self.ready = true;
                self.login_by = None;
                Output::Ready(())
            }
            "denied" => Output::Close(CloseReason::Refused),
            "busy" => Output::Close(CloseReason::Busy),
            "bye" => Output::Close(CloseReason::Goodbye),
            "ok" | "garbled" => {
                let (token, text) = rest.split_once(' ').unwrap_or((rest, ""));
                let token = Token(token.parse().unwrap());
                if self.open.remove(&token).is_none() {
                    return;
                }
                let result = if word == "ok" {
                    Ok(text.to_owned())
                } else {
                    Err(NoReply::Garbled)
                };
                Output::Reply { token, result }
            }
            "event" => Output::Event(rest.to_owned()),
            _ => Output::Close(CloseReason::Violation("unknown word")),
        };
        self.outputs.push_back(output);
    }

    fn handle_request(
        &mut self,
        token: Token,
        request: String,
        deadline: Instant,
        _now: Instant,
    ) -> Result<(), NotTaken> {
        if !self.ready || self.closing {
            return Err(NotTaken::NotReady);
        }
        if self.open.len() >= Self::OPEN {
            return Err(NotTaken::Full);
        }
        self.open.insert(token, deadline);
        self.send(Some(token), &format!("req {} {request}", token.0));
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.login_by.is_some_and(|by| by <= now) {
            self.login_by = None;
            self.outputs.push_back(Output::Close(CloseReason::Silent));
        }
        let late: Vec<_> = self
            .open
            .iter()
            .filter(|(_, by)| **by <= now)
            .map(|(token, _)| *token)
            .collect();
        for token in late {
            self.open.remove(&token);
            self.outputs.push_back(Output::Reply {
                token,
                result: Err(NoReply::Deadline),
            });
        }
    }

    fn handle_close(&mut self, _now: Instant) {
        self.closing = true;
        if self.ready {
            self.send(None, "bye");
        }
        if !self.ready || self.curt {
            self.outputs.push_back(Output::Close(CloseReason::Goodbye));
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    fn poll_output(&mut self) -> Option<Output<Self>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.open.values().copied().chain(self.login_by).min()
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn pending(&self) -> usize {
        self.open.len()
    }

    fn is_asked(&self) -> bool {
        self.asked
    }
}
