//! What one server can do, and the capabilities that follow.

use faxbot_core::sip::{Capabilities, Capability};

use super::config::YateConfig;

/// What one server can do, as far as it told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Abilities {
    /// `faxchan` is loaded.
    pub(super) fax: bool,
}

impl Abilities {
    /// Before the server was asked: everything.
    pub(super) fn hoped_for() -> Self {
        Self { fax: true }
    }

    /// What can be asked of an adapter with this configuration.
    pub(super) fn capabilities(&self, config: &YateConfig) -> Capabilities {
        let fax = config.spool.is_some() && self.fax;
        let optional = [(Capability::SendFax, fax)];
        let always = [
            Capability::Dial,
            Capability::OnAnswerPark,
            Capability::MaxDuration,
            Capability::Variables,
            Capability::Headers,
            Capability::Hangup,
            Capability::CallHistory,
        ];
        let there = optional
            .into_iter()
            .filter_map(|(capability, there)| there.then_some(capability));
        always.into_iter().chain(there).collect()
    }
}
