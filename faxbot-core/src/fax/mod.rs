//! Faxes: the request, how far it is, how it ended, and whether it is dialled again.

mod call;
mod failure;
mod job;
mod outcome;
mod request;
mod retry;
mod taken;

pub use call::{CancelFuture, FaxCall, FaxPhase, FaxProgress, FaxUpdate};
pub use failure::{FailureClass, FailurePhase, FaxFailure, T30Result};
pub use job::{Advance, Attempt, Job, JobStatus};
pub use outcome::{FaxOutcome, FaxTransport, OutcomeStatus};
pub use request::{FaxRequest, HEADER_MAX, HeaderText, STATION_ID_MAX, StationId, T38Mode};
pub use retry::{Alternative, AttemptHistory, FaxRetryPolicy, RetryDecision, decide};
pub use taken::TakenFax;
