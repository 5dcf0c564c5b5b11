//! What an adapter can do, one capability for each variant that a request can have.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

/// One thing that can be asked of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Capability {
    /// `make_call` with `CallPlan::Dial`.
    Dial,
    /// `make_call` with `CallPlan::Connect`.
    Connect,
    /// `OnAnswer::Park`.
    OnAnswerPark,
    /// `OnAnswer::Extension`.
    OnAnswerExtension,
    /// `OnAnswer::Bridge`.
    OnAnswerBridge,
    /// `OnAnswer::Application`.
    OnAnswerApplication,
    /// `CallOptions::record`.
    RecordOnAnswer,
    /// `CallOptions::max_duration`.
    MaxDuration,
    /// `CallOptions::variables`.
    Variables,
    /// `CallOptions::headers`.
    Headers,
    /// `hangup`.
    Hangup,
    /// `lookup` of calls that ended while nobody listened.
    LookupEnded,
    /// `accept` and `reject` of incoming calls.
    Incoming,
    /// `transfer` with `TransferPlan::Blind`.
    TransferBlind,
    /// `transfer` with `TransferPlan::Attended`.
    TransferAttended,
    /// `hold` and `resume`.
    Hold,
    /// `conference`.
    Conference,
    /// `record`.
    Record,
    /// `send_dtmf`.
    SendDtmf,
    /// `get_call_history`.
    CallHistory,
    /// `get_cdr`.
    Cdr,
    /// `send_message`.
    SendMessage,
    /// `send_fax`.
    SendFax,
    /// `FaxRequest::first_page` behind the first one.
    FaxFirstPage,
    /// `accept` as a fax.
    ReceiveFax,
}

impl Capability {
    /// Every capability of this version.
    pub const ALL: &'static [Self] = &[
        Self::Dial,
        Self::Connect,
        Self::OnAnswerPark,
        Self::OnAnswerExtension,
        Self::OnAnswerBridge,
        Self::OnAnswerApplication,
        Self::RecordOnAnswer,
        Self::MaxDuration,
        Self::Variables,
        Self::Headers,
        Self::Hangup,
        Self::LookupEnded,
        Self::Incoming,
        Self::TransferBlind,
        Self::TransferAttended,
        Self::Hold,
        Self::Conference,
        Self::Record,
        Self::SendDtmf,
        Self::CallHistory,
        Self::Cdr,
        Self::SendMessage,
        Self::SendFax,
        Self::FaxFirstPage,
        Self::ReceiveFax,
    ];
}

/// A set of capabilities: the one public answer to "can I call this?".
///
/// A declared one never answers `Unsupported`; an undeclared one always does, before a byte is
/// sent. The set may change after connect; `SipEvent::CapabilitiesChanged` says so.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// The empty set.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether it holds `capability`.
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }

    /// The set with `capability`.
    #[must_use]
    pub fn with(mut self, capability: Capability) -> Self {
        self.0.insert(capability);
        self
    }

    /// The set without `capability`.
    #[must_use]
    pub fn without(mut self, capability: Capability) -> Self {
        self.0.remove(&capability);
        self
    }

    /// What is in it, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = Capability> + '_ {
        self.0.iter().copied()
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().collect())
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter()).finish()
    }
}
