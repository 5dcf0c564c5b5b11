//! What the script of a mocked Kamailio relays by evapi.

mod recorded;
mod versioned;

use faxbot_core::Timestamp;

use crate::server::proxy::Happening;

/// How the script writes its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EventForm {
    /// As the recordings have them: texts are pasted in, so that a line break in one, or a value
    /// that is not set, makes no JSON.
    #[default]
    Recorded,
    /// As the script that is shipped with the adapter: with a version, and texts in base64, in
    /// members that end in `64`.
    Versioned,
}

/// What is told beside the calls.
#[derive(Debug)]
pub(super) enum Told<'a> {
    /// A client of evapi came.
    Hello { number: usize, version: &'a str },
    /// A client of evapi said this.
    Echo(&'a [u8]),
    /// A MESSAGE came for the adapter.
    Message {
        call_id: &'a str,
        from: &'a str,
        to: &'a str,
        text: &'a str,
    },
    /// A phone is registered, or no longer.
    Contact {
        action: &'static str,
        number: &'a str,
        contact: &'a str,
    },
    /// A destination of `dispatcher` went or came.
    Destination { up: bool, uri: &'a str },
}

impl EventForm {
    /// What the script relays of it, in its order.
    pub(super) fn lines(self, happening: &Happening, at: Timestamp) -> Vec<String> {
        match self {
            Self::Recorded => recorded::lines(happening, at),
            Self::Versioned => versioned::lines(happening, at),
        }
    }

    /// What the script relays of it, if it does.
    pub(super) fn told(self, told: &Told<'_>) -> Option<String> {
        match (self, told) {
            (Self::Versioned, told) => versioned::told(told),
            (Self::Recorded, Told::Hello { number, .. }) => Some(recorded::hello(*number)),
            (Self::Recorded, Told::Echo(message)) => Some(recorded::echo(message)),
            (Self::Recorded, _) => None,
        }
    }
}
