//! What is known of the end of a call: by the event of it, or by what the server kept.

use std::fmt;

use faxbot_core::{
    Timestamp,
    fax::FaxOutcome,
    sip::{Causes, Disposition},
};

use crate::adapter::fax_run::FaxContext;

/// How a fax ended, as the server told: an adapter reads its own words.
pub(crate) trait FaxEnd: fmt::Debug + Send + Sync {
    /// The outcome, with what our own books know of the call.
    fn outcome(&self, causes: &Causes, context: FaxContext) -> FaxOutcome;
}

/// The end of a call, as the server told.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Whether it was answered; for a call of two parties, by the second one.
    pub(crate) answered: bool,
    /// When, where that is told.
    pub(crate) answered_at: Option<Timestamp>,
    /// Why it ended.
    pub(crate) causes: Causes,
    /// When, where that is told.
    pub(crate) ended: Option<Timestamp>,
    /// The word for the end of a call that was not answered, where the causes do not have it.
    pub(crate) disposition: Option<Disposition>,
    /// How its fax ended, if it was one.
    pub(crate) fax: Option<Box<dyn FaxEnd>>,
}
