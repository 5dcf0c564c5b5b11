//! The handle on a fax that runs.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{Error, ErrorKind, Result, fax::FaxOutcome, id::CallId, plugin::CancelOutcome};

/// Where a fax is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaxPhase {
    /// The call is being set up.
    #[default]
    Dialing,
    /// It rings.
    Ringing,
    /// Answered; the machines agree on rate and resolution (T.30 phase B).
    Negotiating,
    /// Pages are sent (T.30 phases C and D).
    Transmitting,
    /// Over.
    Finished,
}

/// How far a fax is: the latest of what the server told.
///
/// A [`FaxCall`] has the pages of its own call. What a fax plugin tells has those of the whole
/// document, also when a call sends the last of them only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FaxProgress {
    /// Where it is.
    pub phase: FaxPhase,
    /// The page that is being sent, 1-based; unknown on some servers.
    pub page: Option<u32>,
    /// Pages that the far end confirmed; unknown on some servers.
    pub pages_confirmed: Option<u32>,
    /// Pages that are sent: of the call, or of the document.
    pub pages_total: u32,
    /// The agreed rate in bit/s.
    pub bit_rate: Option<u32>,
}

impl FaxProgress {
    /// A fax of `pages_total` pages that is being dialled.
    pub fn new(pages_total: u32) -> Self {
        Self {
            pages_total,
            ..Self::default()
        }
    }

    /// The progress of a document of which `pages` were confirmed in calls before this one.
    #[must_use]
    pub fn with_earlier_pages(mut self, pages: u32) -> Self {
        if pages == 0 {
            return self;
        }
        let whole = |count: u32| count.saturating_add(pages);
        self.page = self.page.map(whole);
        self.pages_confirmed = Some(whole(self.pages_confirmed.unwrap_or(0)));
        self.pages_total = whole(self.pages_total);
        self
    }
}

/// What an adapter tells the handles of one fax.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FaxUpdate {
    /// How far it is.
    pub progress: FaxProgress,
    /// Set when it is over, or can no longer be followed.
    pub end: Option<Result<FaxOutcome>>,
}

impl FaxUpdate {
    /// A fax that is not over.
    pub fn new(progress: FaxProgress) -> Self {
        Self {
            progress,
            end: None,
        }
    }
}

/// The future of a cancellation.
pub type CancelFuture = Pin<Box<dyn Future<Output = Result<CancelOutcome>> + Send>>;

type Cancel = Arc<dyn Fn() -> CancelFuture + Send + Sync>;

/// A fax that the server took. Clones follow the same fax; dropping them changes nothing.
#[derive(Clone)]
pub struct FaxCall {
    id: CallId,
    updates: watch::Receiver<FaxUpdate>,
    cancel: Cancel,
}

impl FaxCall {
    /// For adapters: a handle that follows `updates` and cancels by `cancel`.
    pub fn new(
        id: CallId,
        updates: watch::Receiver<FaxUpdate>,
        cancel: impl Fn() -> CancelFuture + Send + Sync + 'static,
    ) -> Self {
        Self {
            id,
            updates,
            cancel: Arc::new(cancel),
        }
    }

    /// The call that the fax runs in.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// How far it is now.
    pub fn progress(&self) -> FaxProgress {
        self.updates.borrow().progress
    }

    /// Resolves when the progress differs from what this handle saw last, or the fax is over.
    /// Answers the new progress. Several changes between two calls are one.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when the adapter is gone and the fax can no longer be followed.
    ///
    /// # Cancel safety
    /// Dropping the future loses no change: the next call sees it.
    pub async fn changed(&mut self) -> Result<FaxProgress> {
        if self.updates.borrow().end.is_none() {
            self.updates.changed().await.map_err(|_| gone(self.id))?;
        }
        Ok(self.updates.borrow_and_update().progress)
    }

    /// Resolves when the fax is over. The outcome has its own success, failure or "unknown".
    ///
    /// # Errors
    /// `OutcomeUnknown` or `Closed` when the fax can no longer be followed: ask with `lookup`.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing; call again.
    pub async fn result(&self) -> Result<FaxOutcome> {
        let mut updates = self.updates.clone();
        let update = updates
            .wait_for(|update| update.end.is_some())
            .await
            .map_err(|_| gone(self.id))?
            .clone();
        update.end.unwrap_or_else(|| Err(gone(self.id)))
    }

    /// Hangs up. What was confirmed before stays confirmed; [`result`](Self::result) has it.
    ///
    /// # Errors
    /// As `SipAdapter::hangup`, but a fax that is over is [`CancelOutcome::TooLate`].
    ///
    /// # Cancel safety
    /// A request that was written is not undone by dropping the future.
    pub async fn cancel(&self) -> Result<CancelOutcome> {
        if self.updates.borrow().end.is_some() {
            return Ok(CancelOutcome::TooLate);
        }
        (self.cancel)().await
    }
}

fn gone(id: CallId) -> Error {
    Error::new(
        ErrorKind::Closed,
        "fax",
        "the adapter stopped following this fax; ask with lookup",
    )
    .with_call_id(id)
}

impl fmt::Debug for FaxCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaxCall")
            .field("id", &self.id)
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}
