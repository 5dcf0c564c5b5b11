//! What one server and one account can do, and the capabilities that follow.

use faxbot_core::sip::{Capabilities, Capability};

use super::{
    config::{FreeswitchConfig, IncomingPath},
    outcome::{Keeper, keepers},
};

/// What one server and one account can do, as far as they told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Where the hooks of our calls leave their outcomes; `None` where nothing is kept.
    pub(super) keeper: Option<Keeper>,
    /// `mod_spandsp` is loaded.
    pub(super) fax: bool,
    /// `mod_conference` is loaded.
    pub(super) conference: bool,
    /// `mod_sofia` is loaded: messages can be sent over SIP.
    pub(super) sofia: bool,
    /// The directory of recordings: the configured one, or the server's own.
    pub(super) recordings: Option<String>,
    /// The domain of the server's users, where it told one.
    pub(super) domain: Option<String>,
}

impl Abilities {
    /// Before the server was asked: everything.
    pub(super) fn hoped_for(config: &FreeswitchConfig) -> Self {
        Self {
            keeper: keepers(config.outcomes).first().copied(),
            fax: true,
            conference: true,
            sofia: true,
            recordings: config.recordings.clone().or_else(|| Some(String::new())),
            domain: None,
        }
    }

    /// What can be asked of an adapter with this configuration.
    pub(super) fn capabilities(&self, config: &FreeswitchConfig) -> Capabilities {
        let fax = config.spool.is_some() && self.fax;
        let incoming = config.incoming != IncomingPath::Off;
        let optional = [
            (Capability::Incoming, incoming),
            (Capability::ReceiveFax, incoming && fax),
            (Capability::LookupEnded, self.keeper.is_some()),
            (Capability::SendFax, fax),
            (Capability::FaxFirstPage, fax),
            (Capability::Conference, self.conference),
            (Capability::SendMessage, self.sofia),
            (Capability::Record, self.recordings.is_some()),
            (Capability::RecordOnAnswer, self.recordings.is_some()),
        ];
        let always = [
            Capability::Dial,
            Capability::Connect,
            Capability::OnAnswerPark,
            Capability::OnAnswerExtension,
            Capability::OnAnswerBridge,
            Capability::OnAnswerApplication,
            Capability::MaxDuration,
            Capability::Variables,
            Capability::Headers,
            Capability::Hangup,
            Capability::Hold,
            Capability::TransferBlind,
            Capability::TransferAttended,
            Capability::SendDtmf,
            Capability::CallHistory,
            Capability::Cdr,
        ];
        let there = optional
            .into_iter()
            .filter_map(|(capability, there)| there.then_some(capability));
        always.into_iter().chain(there).collect()
    }
}
