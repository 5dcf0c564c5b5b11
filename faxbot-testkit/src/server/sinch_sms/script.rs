//! How messages end, and how long that takes.

use std::time::Duration;

/// How one message ends. The codes are those of delivery reports (sinch-sdk-java
/// `DeliveryReceiptStatusCode`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SmsEnd {
    /// It arrives, code 0.
    #[default]
    Delivered,
    /// It did not arrive, with this code, such as 404 or one of an operator.
    Failed(u32),
    /// The operator's centre does not take it, with this code, such as 402, 408, 412 or 413. It is never
    /// dispatched.
    Rejected(u32),
    /// Sinch gives up before it is dispatched, with this code, such as 403, 405 or 411.
    Aborted(u32),
    /// It was not delivered in time.
    Expired,
    /// The operator deleted it.
    Deleted,
    /// The operator does not say what came of it.
    Unknown,
    /// It stays dispatched.
    Endless,
    /// It ends in a word and a code that no document has.
    Word(String, u32),
}

impl SmsEnd {
    /// The last word and code; `None` for none.
    pub(super) fn last(&self) -> Option<(&str, u32)> {
        Some(match self {
            Self::Delivered => ("Delivered", 0),
            Self::Failed(code) => ("Failed", *code),
            Self::Rejected(code) => ("Rejected", *code),
            Self::Aborted(code) => ("Aborted", *code),
            Self::Expired => ("Expired", 406),
            Self::Deleted => ("Deleted", 404),
            Self::Unknown => ("Unknown", 404),
            Self::Endless => return None,
            Self::Word(word, code) => (word, *code),
        })
    }

    /// Whether it gets as far as `Dispatched`.
    pub(super) fn is_dispatched(&self) -> bool {
        !matches!(self, Self::Rejected(_) | Self::Aborted(_))
    }
}

/// How long a message is in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SmsPace {
    /// Queued.
    pub queued: Duration,
    /// Dispatched.
    pub dispatched: Duration,
}

impl SmsPace {
    /// So long in each state.
    pub const fn new(queued: Duration, dispatched: Duration) -> Self {
        Self { queued, dispatched }
    }

    /// Short enough for tests on real sockets, long enough to see states. The default.
    pub const fn quick() -> Self {
        Self::new(Duration::from_millis(20), Duration::from_millis(40))
    }
}

impl Default for SmsPace {
    fn default() -> Self {
        Self::quick()
    }
}
