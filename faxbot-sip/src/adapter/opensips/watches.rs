//! What is waited for after an order: what events tell of holds and transfers. Sans-IO.

use std::collections::HashMap;

use super::event::{LegState, TransferState};

/// A hold or its end that is waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct HoldWatch {
    pub(super) hold: bool,
    legs: HashMap<String, LegState>,
}

impl HoldWatch {
    pub(super) fn new(hold: bool) -> Self {
        Self {
            hold,
            ..Self::default()
        }
    }

    /// A leg said something.
    pub(super) fn told(&mut self, leg: String, state: LegState) {
        self.legs.insert(leg, state);
    }

    /// Both legs are decided: whether they did it.
    pub(super) fn decided(&self) -> Option<bool> {
        let done = |state: LegState| matches!(state, LegState::Done | LegState::Failed);
        let decided = self.legs.values().filter(|state| done(**state)).count();
        (decided >= 2).then(|| self.legs.values().all(|state| *state == LegState::Done))
    }

    /// As far as it is known when no more is waited for: one leg alone may have had nothing to change,
    /// and then nothing of it began. A leg that was asked and never answered leaves it open.
    pub(super) fn so_far(&self) -> Option<bool> {
        let any = |wanted| self.legs.values().any(|state| *state == wanted);
        let all_done = self.legs.values().all(|state| *state == LegState::Done);
        match (any(LegState::Failed), all_done && !self.legs.is_empty()) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        }
    }
}

/// A transfer that is waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct TransferWatch {
    /// The call to the new party came.
    pub(super) begun: bool,
    pub(super) end: Option<TransferEnd>,
    /// Nobody waits for it any more, and its outcome was not known then.
    pub(super) left: bool,
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferEnd {
    Done,
    Failed(Option<u16>),
}

impl TransferWatch {
    /// Something was told of it.
    pub(super) fn told(&mut self, state: TransferState, status: Option<u16>) {
        let end = match (state, status) {
            (TransferState::Begun, _) => {
                self.begun = true;
                None
            }
            (TransferState::Done, _) => Some(TransferEnd::Done),
            (TransferState::Failed, status) => Some(TransferEnd::Failed(status)),
            (TransferState::Notified, Some(200..=299)) => Some(TransferEnd::Done),
            (TransferState::Notified, Some(status @ 300..)) => {
                Some(TransferEnd::Failed(Some(status)))
            }
            _ => None,
        };
        self.end = self.end.or(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_known_when_no_leg_is_open() {
        use LegState::{Begun, Done, Failed, Other};
        for (legs, decided, so_far) in [
            (&[][..], None, None),
            (&[Done, Done], Some(true), Some(true)),
            (&[Done, Failed], Some(false), Some(false)),
            // The other had nothing to change.
            (&[Done], None, Some(true)),
            (&[Done, Begun], None, None),
            (&[Done, Other], None, None),
            (&[Begun, Begun], None, None),
            (&[Failed, Begun], None, Some(false)),
        ] {
            let mut watch = HoldWatch::new(true);
            for (number, state) in legs.iter().enumerate() {
                watch.told(number.to_string(), *state);
            }
            assert_eq!(watch.decided(), decided, "{legs:?}");
            assert_eq!(watch.so_far(), so_far, "{legs:?}");
        }
    }
}
