//! A fax that came in, as it is handed over.

use std::{fmt, path::PathBuf};

use crate::{fax::FaxOutcome, id::CallId, redact::MASK};

/// A fax that came in, handed over by [`SipAdapter::take_fax`](crate::sip::SipAdapter::take_fax).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenFax {
    /// The call that it came in.
    pub id: CallId,
    /// How it ended. Confirmed pages are those that we confirmed to the sender.
    pub outcome: FaxOutcome,
    /// The pages as a TIFF; `None` when not one came. Also a fax that broke off has its pages here.
    /// The file is the caller's: move it, or delete it when it is stored.
    pub file: Option<PathBuf>,
}

impl TakenFax {
    /// A fax of one call.
    pub fn new(id: CallId, outcome: FaxOutcome, file: Option<PathBuf>) -> Self {
        Self { id, outcome, file }
    }
}

impl fmt::Debug for TakenFax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakenFax")
            .field("id", &self.id)
            .field("outcome", &self.outcome)
            .field("file", &self.file.as_ref().map(|_| MASK))
            .finish()
    }
}
