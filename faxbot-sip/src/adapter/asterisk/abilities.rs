//! What one server and one account can do, and the capabilities that follow.

use std::collections::HashSet;

use faxbot_core::sip::{Capabilities, Capability};

use super::config::AsteriskConfig;

/// What one server and one account can do, as far as they told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Hangup handlers write their outcomes.
    pub(super) outcomes: bool,
    /// The extensions that calls are sent to are there.
    pub(super) control: bool,
    /// `res_fax` is loaded.
    pub(super) fax: bool,
    /// There is music for a held call: `res_musiconhold` is loaded. Without it the step that plays it
    /// ends the call.
    pub(super) music: bool,
    /// SIP headers can be added: `res_pjsip_header_funcs` is loaded.
    pub(super) headers: bool,
    /// `Cdr` events are sent.
    pub(super) cdr: bool,
    /// The actions that exist and that the account may use, in lower case; `None` before it was
    /// asked.
    pub(super) actions: Option<HashSet<String>>,
}

impl Abilities {
    /// Before the server was asked: everything.
    pub(super) fn hoped_for(extensions: bool) -> Self {
        Self {
            outcomes: extensions,
            control: extensions,
            fax: true,
            music: true,
            headers: true,
            cdr: false,
            actions: None,
        }
    }

    /// The extensions are gone for good.
    pub(super) fn without_extensions(mut self) -> Self {
        (self.outcomes, self.control) = (false, false);
        self
    }

    /// Whether the account may use all of these actions (named in lower case).
    pub(super) fn may(&self, actions: &[&str]) -> bool {
        let Some(known) = &self.actions else {
            return true;
        };
        actions.iter().all(|action| known.contains(*action))
    }

    /// What can be asked of an adapter with this configuration.
    pub(super) fn capabilities(&self, config: &AsteriskConfig) -> Capabilities {
        let moves = self.control && self.may(&["redirect", "setvar"]);
        // Whoever accepts sends the channel to an extension of ours; the queue of `AGI` is not used.
        let incoming =
            moves && config.incoming_context.is_some() && self.may(&["hangup", "getvar"]);
        let fax = config.spool.is_some() && self.fax;
        let optional = [
            (Capability::LookupEnded, self.outcomes),
            (Capability::MaxDuration, self.may(&["absolutetimeout"])),
            (Capability::RecordOnAnswer, self.may(&["mixmonitor"])),
            (
                Capability::Record,
                self.may(&["mixmonitor", "stopmixmonitor"]),
            ),
            (Capability::Headers, self.headers),
            (Capability::Incoming, incoming),
            (Capability::ReceiveFax, incoming && fax),
            (
                Capability::TransferBlind,
                moves && self.may(&["coreshowchannels"]),
            ),
            (
                Capability::TransferAttended,
                self.may(&["bridge", "coreshowchannels"]),
            ),
            (
                Capability::Hold,
                moves && self.music && self.may(&["bridge", "coreshowchannels"]),
            ),
            (
                Capability::Conference,
                moves
                    && self.may(&[
                        "confbridgekick",
                        "confbridgemute",
                        "confbridgeunmute",
                        "confbridgelock",
                        "confbridgeunlock",
                        "confbridgestartrecord",
                        "confbridgestoprecord",
                        "coreshowchannels",
                    ]),
            ),
            (Capability::SendDtmf, self.control),
            (Capability::SendMessage, self.may(&["messagesend"])),
            (Capability::Cdr, self.cdr),
            (Capability::SendFax, fax),
        ];
        let always = [
            Capability::Dial,
            Capability::Connect,
            Capability::OnAnswerPark,
            Capability::OnAnswerExtension,
            Capability::OnAnswerBridge,
            Capability::OnAnswerApplication,
            Capability::Variables,
            Capability::Hangup,
            Capability::CallHistory,
        ];
        let there = optional
            .into_iter()
            .filter_map(|(capability, there)| there.then_some(capability));
        always.into_iter().chain(there).collect()
    }
}
