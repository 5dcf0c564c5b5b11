//! An event stream that OpenSIPS opened to us: events come, and those with an id are answered.

use std::{fmt, time::Instant};

use bytes::Bytes;

use super::{codec::EventCodec, event::Notification};
use crate::protocol::{
    outbox::Outbox,
    session::{CloseReason, NotTaken, Output, Session, Token, Transmit},
};

/// Nothing can be asked on an event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRequest {}

/// Our end of an event stream (`event_stream` of OpenSIPS). The server opens it at the first event
/// and says nothing first; there is no login: who may connect is a matter of the listener.
///
/// An event with an id (`reliable_mode`) is answered by `OK` as it comes, since the server repeats
/// nothing in any case (`03_event_stream_reliable_not_answered`). What is JSON and no event is
/// skipped; what is no JSON object ends the connection, and the server opens another.
pub struct EventSession {
    state: State,
    out: Outbox<Self>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Ready,
    Closed,
}

impl EventSession {
    /// A session for a connection that the server opened.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Idle,
            out: Outbox::new(),
        }
    }
}

impl Default for EventSession {
    fn default() -> Self {
        Self::new()
    }
}

impl Session for EventSession {
    type Codec = EventCodec;
    type Request = NoRequest;
    type Reply = NoRequest;
    type Event = Notification;
    type Ready = ();

    fn handle_connected(&mut self, _now: Instant) {
        if self.state == State::Idle {
            self.state = State::Ready;
            self.out.tell(Output::Ready(()));
        }
    }

    fn handle_frame(&mut self, frame: Bytes, _now: Instant) {
        if self.state != State::Ready {
            return;
        }
        let Some(event) = Notification::parse(&frame) else {
            return;
        };
        if let Some(id) = event.id {
            // As OpenSIPS reads it (`03_event_stream_reliable_answered`).
            let answer = format!(r#"{{"jsonrpc":"2.0","result":"OK","id":{id}}}"#);
            self.out.write(None, answer.into());
        }
        self.out.tell(Output::Event(event));
    }

    fn handle_request(
        &mut self,
        _token: Token,
        request: NoRequest,
        _deadline: Instant,
        _now: Instant,
    ) -> Result<(), NotTaken> {
        match request {}
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn handle_close(&mut self, _now: Instant) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.out.close(CloseReason::Goodbye);
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.next_transmit()
    }

    fn poll_output(&mut self) -> Option<Output<Self>> {
        self.out.next_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    fn pending(&self) -> usize {
        0
    }
}

impl fmt::Debug for EventSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSession")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(session: &mut EventSession) -> (Vec<String>, Vec<String>) {
        let mut written = Vec::new();
        while let Some(transmit) = session.poll_transmit() {
            written.push(String::from_utf8(transmit.bytes.to_vec()).unwrap());
        }
        let mut outputs = Vec::new();
        while let Some(output) = session.poll_output() {
            outputs.push(match output {
                Output::Event(event) => event.method,
                other => format!("{other:?}"),
            });
        }
        (written, outputs)
    }

    #[test]
    fn events_with_an_id_are_answered_and_what_is_no_event_is_skipped() {
        let mut session = EventSession::new();
        let now = Instant::now();
        session.handle_frame(Bytes::from_static(br#"{"method":"early"}"#), now);
        session.handle_connected(now);
        session.handle_connected(now);
        for frame in [
            &br#"{"method":"E_A"}"#[..],
            br#"{"id":666550014,"method":"E_B"}"#,
            b"{]",
            br#"{"jsonrpc":"2.0","result":"OK","id":1}"#,
        ] {
            session.handle_frame(Bytes::from_static(frame), now);
        }
        let (written, outputs) = told(&mut session);
        assert_eq!(
            written,
            [r#"{"jsonrpc":"2.0","result":"OK","id":666550014}"#]
        );
        assert_eq!(outputs, ["Ready(())", "E_A", "E_B"]);
        assert!(session.is_ready() && session.poll_timeout().is_none());

        session.handle_close(now);
        session.handle_close(now);
        session.handle_frame(Bytes::from_static(br#"{"id":1,"method":"late"}"#), now);
        assert_eq!(
            told(&mut session),
            (vec![], vec!["Close(Goodbye)".to_owned()])
        );
    }
}
