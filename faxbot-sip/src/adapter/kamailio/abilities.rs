//! What the server can do: the methods that its modules bring.

use faxbot_core::sip::{Capabilities, Capability};

use super::wire::{Methods, method};

/// What a connected server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    /// `dlg.end_dlg`.
    pub(super) ends: bool,
    /// `dlg.bridge_dlg`.
    pub(super) bridges: bool,
    /// `tm.cancel`.
    pub(super) cancels: bool,
    /// `tm.t_uac_wait`.
    pub(super) sends: bool,
    /// `stats.get_statistics`.
    pub(super) counts: bool,
    /// `dispatcher.list` and its fellows.
    pub(super) dispatches: bool,
    /// `ul.dump` and `ul.lookup`.
    pub(super) registers: bool,
}

impl Abilities {
    /// What is assumed of a server that was not asked yet.
    pub(super) fn hoped_for() -> Self {
        Self {
            ends: true,
            bridges: true,
            cancels: true,
            sends: true,
            counts: true,
            dispatches: true,
            registers: true,
        }
    }

    pub(super) fn of(methods: &Methods) -> Self {
        let has = |names: &[&str]| names.iter().all(|name| methods.has(name));
        Self {
            ends: has(&[method::END]),
            bridges: has(&[method::BRIDGE]),
            cancels: has(&[method::CANCEL]),
            sends: has(&[method::SEND_AND_WAIT]),
            counts: has(&[method::STATISTICS]),
            dispatches: has(&[
                method::DESTINATIONS,
                method::SET_STATE,
                method::RELOAD_DESTINATIONS,
            ]),
            registers: has(&[method::REGISTRATIONS, method::REGISTRATION]),
        }
    }

    /// No version has a method that transfers a call: `dlg_refer()` exists in the script alone.
    pub(super) fn capabilities(self) -> Capabilities {
        let optional = [
            (self.ends, Capability::Hangup),
            (self.bridges, Capability::Connect),
            (self.sends, Capability::SendMessage),
        ];
        optional
            .into_iter()
            .filter_map(|(there, capability)| there.then_some(capability))
            .chain([Capability::CallHistory])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_can_do_what_its_modules_bring() {
        let methods = Methods::from_iter(["core.version", "dlg.list", "dlg.end_dlg"]);
        let abilities = Abilities::of(&methods);
        let can: Vec<_> = abilities.capabilities().iter().collect();
        assert_eq!(can, [Capability::Hangup, Capability::CallHistory]);
        assert!(!abilities.registers && !abilities.dispatches);
        let all = Abilities::hoped_for().capabilities();
        assert!(all.has(Capability::Connect) && all.has(Capability::SendMessage));
        assert!(!all.has(Capability::Dial) && !all.has(Capability::TransferBlind));
    }
}
