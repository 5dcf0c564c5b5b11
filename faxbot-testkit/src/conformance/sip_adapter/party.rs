//! What an environment stages at the far ends: parties that act, and callers.

use std::time::Duration;

/// What the far end of a call does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FarEnd {
    /// It hangs up.
    HangsUp,
    /// It holds the call.
    Holds,
    /// It takes it back.
    Resumes,
    /// It presses these digits, one after the other.
    Presses(String),
}

/// A party that calls us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Caller {
    /// It waits as long as it must.
    Waits,
    /// It hangs up after this time if nobody answered.
    GivesUpAfter(Duration),
    /// It sends a fax of so many pages when it is answered.
    SendsFax(u32),
}

/// How a call looks to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerSees {
    /// Nobody answered yet.
    Waiting,
    /// Somebody answered.
    Answered,
    /// It is over, with this Q.850 cause where one was given.
    Ended(Option<u16>),
}

/// A caller of the environment's.
pub trait StagedCaller: Send + Sync {
    /// The number that it calls from.
    fn number(&self) -> String;

    /// What it called.
    fn called(&self) -> String;

    /// How the call looks to it now.
    fn sees(&self) -> CallerSees;
}
