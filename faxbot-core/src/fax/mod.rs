//! Faxes: the request, how far it is, how it ended, and whether it is dialled again.

mod call;
mod failure;
mod job;
mod outcome;
mod received;
mod request;
mod retry;

pub use call::{CancelFuture, FaxCall, FaxPhase, FaxProgress, FaxUpdate};
pub use failure::{FailureClass, FailurePhase, FaxFailure, T30Result};
pub use job::{Advance, Attempt, Job, JobStatus};
pub use outcome::{FaxOutcome, FaxTransport, OutcomeStatus};
pub use received::ReceivedFax;
pub use request::{FaxRequest, HEADER_MAX, HeaderText, STATION_ID_MAX, StationId, T38Mode};
pub use retry::{Alternative, AttemptHistory, FaxRetryPolicy, RetryDecision, decide};
