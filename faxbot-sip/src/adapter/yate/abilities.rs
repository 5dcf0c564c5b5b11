//! What one server can do, and the capabilities that follow.

use faxbot_core::sip::{Capabilities, Capability};

use super::{config::YateConfig, message::Means};

/// What one server can do, as far as it told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Abilities {
    /// `faxchan` is loaded.
    pub(super) fax: bool,
    /// `ysipchan` is loaded: messages can be sent, and digits.
    pub(super) messages: bool,
    /// How they are.
    pub(super) means: Means,
    /// `cdrbuild` is loaded.
    pub(super) cdr: bool,
    /// `pbx` is loaded: messages go in the name of a channel, and channels are connected.
    pub(super) control: bool,
    /// What a held call hears is there.
    pub(super) music: bool,
    /// `conference` is loaded.
    pub(super) rooms: bool,
    /// `wavefile` is loaded.
    pub(super) files: bool,
}

impl Abilities {
    /// Before the server was asked: everything.
    pub(super) fn hoped_for() -> Self {
        Self {
            fax: true,
            messages: true,
            means: Means::Execute,
            cdr: true,
            control: true,
            music: true,
            rooms: true,
            files: true,
        }
    }

    /// What can be asked of an adapter with this configuration.
    pub(super) fn capabilities(&self, config: &YateConfig) -> Capabilities {
        let fax = config.spool.is_some() && self.fax;
        let records = config.recordings.is_some() && self.files && self.control;
        let optional = [
            (Capability::Connect, self.control),
            (Capability::OnAnswerBridge, self.control),
            (Capability::OnAnswerExtension, self.control),
            (Capability::TransferBlind, self.control),
            (Capability::TransferAttended, self.control),
            // A pair passes a conference on its way to the music.
            (Capability::Hold, self.control && self.music && self.rooms),
            (Capability::Conference, self.control && self.rooms),
            (Capability::Record, records),
            (Capability::RecordOnAnswer, records),
            (Capability::SendDtmf, self.messages),
            (Capability::SendFax, fax),
            (Capability::Incoming, config.incoming),
            (Capability::ReceiveFax, fax && config.incoming),
            (Capability::SendMessage, self.messages),
            (Capability::Cdr, config.cdr && self.cdr),
        ];
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
