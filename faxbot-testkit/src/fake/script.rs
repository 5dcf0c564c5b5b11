//! What happens to one fax of a [`FakeAdapter`](super::FakeAdapter).

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind,
    fax::{FailureClass, FailurePhase, FaxFailure, FaxOutcome},
};

/// What happens to one fax: how the request is answered, how long it takes, how it ends.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FaxScript {
    /// Whether the server takes the request, whatever it answers.
    pub taken: bool,
    /// Time until the request is answered.
    pub reply_after: Duration,
    /// The answer, when it is an error.
    pub reply: Option<Error>,
    /// Time from the request to the answer of the far end.
    pub ring: Duration,
    /// Time for each page.
    pub page: Duration,
    /// Pages that are confirmed before the end.
    pub pages: u32,
    /// How it fails after those pages; absent for success.
    pub failure: Option<FaxFailure>,
    /// The end is not known to anybody.
    pub unknown: bool,
    /// It goes on until it is hung up.
    pub endless: bool,
    /// The handle ends in this error after so long; the fax goes on.
    pub lost: Option<(Duration, Error)>,
}

impl FaxScript {
    /// A fax of `pages` pages that arrives: 5 s until the answer, 20 s a page.
    pub fn success(pages: u32) -> Self {
        Self {
            taken: true,
            reply_after: Duration::ZERO,
            reply: None,
            ring: Duration::from_secs(5),
            page: Duration::from_secs(20),
            pages,
            failure: None,
            unknown: false,
            endless: false,
            lost: None,
        }
    }

    /// A call that ends before it is answered.
    pub fn not_answered(class: FailureClass) -> Self {
        Self {
            failure: Some(FaxFailure::new(class, FailurePhase::BeforeAnswer)),
            ..Self::success(0)
        }
    }

    /// The line is busy.
    pub fn busy() -> Self {
        Self::not_answered(FailureClass::Busy)
    }

    /// A fax that fails after `pages` confirmed pages.
    pub fn fails_after(pages: u32, class: FailureClass) -> Self {
        let phase = if pages == 0 {
            FailurePhase::Negotiation
        } else {
            FailurePhase::Transmission
        };
        Self {
            failure: Some(FaxFailure::new(class, phase)),
            ..Self::success(pages)
        }
    }

    /// A fax of which the server itself says that nobody knows.
    pub fn unknown(pages: u32) -> Self {
        Self {
            unknown: true,
            ..Self::success(pages)
        }
    }

    /// A fax that stays in its first page until it is hung up.
    pub fn endless() -> Self {
        Self {
            endless: true,
            ..Self::success(0)
        }
    }

    /// The request is refused with `error`, and nothing happens.
    pub fn refused(error: Error) -> Self {
        Self {
            taken: false,
            reply: Some(error),
            ..Self::success(0)
        }
    }

    /// There is no connection.
    pub fn not_connected() -> Self {
        Self::refused(Error::new(
            ErrorKind::NotConnected,
            "send_fax",
            "no connection",
        ))
    }

    /// The server takes the request, and its answer is lost.
    #[must_use]
    pub fn with_lost_reply(mut self) -> Self {
        let error = Error::new(ErrorKind::OutcomeUnknown, "send_fax", "no answer");
        self.reply = Some(error.with_effect(Effect::Unknown));
        self
    }

    /// The request is lost on the way, and nobody can tell that from a lost answer.
    pub fn lost_request() -> Self {
        Self {
            taken: false,
            ..Self::success(0).with_lost_reply()
        }
    }

    /// The handle ends in `Closed` after `after`; the fax goes on.
    #[must_use]
    pub fn with_lost_handle(mut self, after: Duration) -> Self {
        let error = Error::new(ErrorKind::Closed, "fax", "the connection is gone");
        self.lost = Some((after, error));
        self
    }

    /// The request is answered after `after`.
    #[must_use]
    pub fn with_reply_after(mut self, after: Duration) -> Self {
        self.reply_after = after;
        self
    }

    /// The outcome for a document of `total` pages, of which `confirmed` are through.
    pub(super) fn outcome(&self, confirmed: u32, total: u32) -> FaxOutcome {
        match &self.failure {
            _ if self.unknown => FaxOutcome::unknown(Some(confirmed), Some(total)),
            Some(failure) => FaxOutcome::failed(failure.clone(), Some(confirmed), Some(total)),
            None => FaxOutcome::succeeded(Some(confirmed), Some(total)),
        }
    }
}
