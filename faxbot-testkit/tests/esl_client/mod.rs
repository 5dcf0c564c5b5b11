//! A small client of the event socket on the codec, for the tests of the mock.
#![cfg(test)]
// Each test file uses its own part of it.
#![allow(dead_code, reason = "shared by several test programs")]

use std::{collections::VecDeque, time::Duration};

use bytes::BytesMut;
use faxbot_sip::protocol::{
    esl::{EslCodec, Frame, Kind, MAX_FRAME, Role},
    session::Codec,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// An event with its headers decoded.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The name, with the subclass behind it.
    pub(crate) fn name(&self) -> String {
        match self.get("Event-Subclass") {
            "" => self.get("Event-Name").to_owned(),
            subclass => format!("{} {subclass}", self.get("Event-Name")),
        }
    }

    pub(crate) fn is(&self, name: &str, id: &str) -> bool {
        self.name() == name && (id.is_empty() || self.get("Unique-ID") == id)
    }
}

pub(crate) struct Client<IO> {
    io: IO,
    codec: EslCodec,
    input: BytesMut,
    waiting: VecDeque<Heard>,
    /// All events, in their order.
    pub(crate) heard: Vec<Heard>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
    pub(crate) fn over(io: IO) -> Self {
        Self {
            io,
            codec: EslCodec::new(Role::Client, MAX_FRAME),
            input: BytesMut::new(),
            waiting: VecDeque::new(),
            heard: Vec::new(),
        }
    }

    pub(crate) async fn login(io: IO) -> Self {
        let mut client = Self::over(io);
        let first = client.frame().await.expect("a greeting");
        assert_eq!(first.kind(), Kind::AuthRequest);
        assert_eq!(client.ask("auth ClueCon").await, "+OK accepted");
        client
    }

    /// Logged in, and hears everything.
    pub(crate) async fn listen(io: IO) -> Self {
        let mut client = Self::login(io).await;
        client.ask("event json ALL").await;
        client
    }

    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Codec::decode(&mut self.codec, &mut self.input).unwrap() {
                return Some(frame);
            }
            if self.io.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
    }

    fn take(&mut self, frame: &Frame) {
        let event = frame.event().unwrap().expect("an event");
        let heard = Heard {
            headers: event
                .headers()
                .map(|(name, value)| (name.into_owned(), value.text().into_owned()))
                .collect(),
            body: String::from_utf8_lossy(event.body().unwrap_or_default()).into_owned(),
        };
        self.heard.push(heard.clone());
        self.waiting.push_back(heard);
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{command}\n\n")).await;
        self.answer().await
    }

    pub(crate) async fn answer(&mut self) -> String {
        let look = async {
            loop {
                let frame = self.frame().await.expect("an answer");
                match frame.kind() {
                    Kind::Reply | Kind::ApiResponse => return frame.text().into_owned(),
                    Kind::Event(_) => self.take(&frame),
                    other => panic!("{other:?} before an answer"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(600), look)
            .await
            .expect("an answer in time")
    }

    pub(crate) async fn api(&mut self, command: &str) -> String {
        self.ask(&format!("api {command}")).await
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some(heard) = self.waiting.pop_front() {
                return Some(heard);
            }
            let frame = self.frame().await?;
            if matches!(frame.kind(), Kind::Event(_)) {
                self.take(&frame);
            }
        }
    }

    /// Waits for an event of that name, of that channel if one is named.
    pub(crate) async fn until(&mut self, name: &str, id: &str) -> Heard {
        let look = async {
            loop {
                let heard = self.next().await;
                let heard = heard.unwrap_or_else(|| panic!("the server left before {name}"));
                if heard.is(name, id) {
                    return heard;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(600), look)
            .await
            .unwrap_or_else(|_| panic!("no {name}"))
    }

    pub(crate) async fn until_end(&mut self) {
        while self.frame().await.is_some() {}
    }

    /// `bgapi originate` of our own uuid, with more variables, and the result of the job.
    pub(crate) async fn originate(&mut self, id: &str, vars: &str, rest: &str) -> String {
        let line = format!("bgapi originate {{origination_uuid={id}{vars}}}{rest}");
        let reply = self.ask(&format!("{line}\nJob-UUID: job-{id}")).await;
        assert_eq!(reply, format!("+OK Job-UUID: job-{id}"));
        loop {
            let job = self.until("BACKGROUND_JOB", "").await;
            if job.get("Job-UUID") == format!("job-{id}") {
                return job.body;
            }
        }
    }

    /// Names of the events of a channel so far, states and codecs left out.
    pub(crate) fn names(&self, id: &str) -> Vec<String> {
        let own = self.heard.iter().filter(|heard| {
            heard.get("Unique-ID") == id || heard.get("Event-Name") == "BACKGROUND_JOB"
        });
        own.map(Heard::name)
            .filter(|name| !matches!(name.as_str(), "CHANNEL_STATE" | "CODEC"))
            .collect()
    }
}
