//! How the provider answered lately.

use std::sync::{Mutex, MutexGuard, PoisonError};

use faxbot_core::{Error, ErrorKind, Result, Timestamp, plugin::PluginCondition};

/// Faults in a row from which on the provider counts as down.
const DOWN: u32 = 5;

/// What the last requests came to. The provider is not asked for its health: that costs.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Seen>);

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// When a request was last answered.
    pub(super) answered: Option<Timestamp>,
    /// Requests without an answer since then.
    pub(super) faults: u32,
    /// The last request was refused for our credentials.
    pub(super) refused: bool,
}

impl Health {
    /// Notes what came of a request.
    pub(super) fn note<T>(&self, result: &Result<T>, now: Timestamp) {
        let mut seen = self.lock();
        match result.as_ref().err().map(Error::kind) {
            Some(ErrorKind::Authentication) => seen.refused = true,
            // A failure of this side says nothing about the provider.
            Some(ErrorKind::Document | ErrorKind::Config | ErrorKind::InvalidState) => {}
            Some(
                ErrorKind::NotConnected
                | ErrorKind::Closed
                | ErrorKind::Timeout
                | ErrorKind::Overloaded
                | ErrorKind::ServerBusy
                | ErrorKind::Protocol
                | ErrorKind::Io
                | ErrorKind::OutcomeUnknown
                | ErrorKind::Internal,
            ) => seen.faults = seen.faults.saturating_add(1),
            // What it refuses it has understood.
            _ => {
                *seen = Seen {
                    answered: Some(now),
                    ..Seen::default()
                }
            }
        }
    }

    pub(super) fn seen(&self) -> Seen {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// In one word, and what is wrong.
    pub(super) fn condition(self) -> (PluginCondition, Option<&'static str>) {
        match self {
            Self { refused: true, .. } => (
                PluginCondition::Critical,
                Some("the provider refuses the credentials"),
            ),
            Self {
                faults: 0,
                answered: None,
                ..
            } => (PluginCondition::Unknown, None),
            Self { faults: 0, .. } => (PluginCondition::Healthy, None),
            Self { faults, .. } if faults < DOWN => (
                PluginCondition::Degraded,
                Some("the provider did not answer the last requests"),
            ),
            _ => (
                PluginCondition::Critical,
                Some("the provider does not answer"),
            ),
        }
    }
}
