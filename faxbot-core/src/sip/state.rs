//! The states of a call and of a connection, and the edges between them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a call is.
///
/// ```text
/// created ──► dialing ──► ringing ──► connected ◄──► on_hold
///                │                       ▲  ▲           │
///                └───────────────────────┘  │           ▼
/// incoming ─────────────────────────────►   └───── transferring ◄── connected, on_hold
///
/// any live state ──► hanging_up ──► terminated
/// any live state ───────────────► terminated
/// ```
///
/// A far end that hangs up takes any live state straight to `terminated`, which is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallState {
    /// Made by the caller, unknown to the server.
    Created,
    /// The server took the request.
    Dialing,
    /// The far end rings.
    Ringing,
    /// A call for us that waits for a decision.
    Incoming,
    /// Answered.
    Connected,
    /// Held by us.
    OnHold,
    /// On its way to somebody else.
    Transferring,
    /// We asked for its end.
    HangingUp,
    /// Over.
    Terminated,
}

impl CallState {
    /// Every state.
    pub const ALL: &'static [Self] = &[
        Self::Created,
        Self::Dialing,
        Self::Ringing,
        Self::Incoming,
        Self::Connected,
        Self::OnHold,
        Self::Transferring,
        Self::HangingUp,
        Self::Terminated,
    ];

    /// Whether the call is over.
    pub fn is_terminated(self) -> bool {
        self == Self::Terminated
    }

    /// Whether the edge from here to `next` is legal.
    pub fn can_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Terminated, _) => false,
            (_, Self::Terminated) => true,
            (from, Self::HangingUp) => from != Self::HangingUp,
            (Self::Created, Self::Dialing)
            | (Self::Dialing, Self::Ringing | Self::Connected)
            | (Self::Ringing | Self::Incoming, Self::Connected)
            | (Self::Connected, Self::OnHold | Self::Transferring)
            | (Self::OnHold, Self::Connected | Self::Transferring)
            | (Self::Transferring, Self::Connected | Self::OnHold) => true,
            _ => false,
        }
    }

    /// Advances along a legal edge.
    ///
    /// # Errors
    /// [`IllegalEdge`] when there is no such edge; the state stays as it was.
    pub fn advance(&mut self, next: Self) -> Result<(), IllegalEdge> {
        if self.can_become(next) {
            *self = next;
            Ok(())
        } else {
            Err(IllegalEdge {
                from: *self,
                to: next,
            })
        }
    }

    /// Advances by what a snapshot shows after a gap: over any number of missed edges, never
    /// backward. Answers whether the state changed.
    ///
    /// # Errors
    /// [`IllegalEdge`] when `seen` lies behind, or the call is over.
    pub fn jump(&mut self, seen: Self) -> Result<bool, IllegalEdge> {
        if *self == seen {
            return Ok(false);
        }
        if !self.reaches(seen) {
            return Err(IllegalEdge {
                from: *self,
                to: seen,
            });
        }
        *self = seen;
        Ok(true)
    }

    /// Whether `goal` can be reached over legal edges.
    fn reaches(self, goal: Self) -> bool {
        let mut seen = [false; Self::ALL.len()];
        let mut open = vec![self];
        while let Some(state) = open.pop() {
            for (&next, visited) in Self::ALL.iter().zip(seen.iter_mut()) {
                if state.can_become(next) && !*visited {
                    if next == goal {
                        return true;
                    }
                    *visited = true;
                    open.push(next);
                }
            }
        }
        false
    }
}

impl fmt::Display for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::Incoming => "incoming",
            Self::Connected => "connected",
            Self::OnHold => "on_hold",
            Self::Transferring => "transferring",
            Self::HangingUp => "hanging_up",
            Self::Terminated => "terminated",
        })
    }
}

/// A change of state that there is no edge for. Reported, never applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a call cannot go from {from} to {to}")]
#[non_exhaustive]
pub struct IllegalEdge {
    /// Where the call is.
    pub from: CallState,
    /// Where it was said to be.
    pub to: CallState,
}

/// Where a connection to a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConnectionState {
    /// Not connected and not trying.
    Disconnected,
    /// Trying, or connected and not logged in and subscribed.
    Connecting,
    /// Logged in, booted, subscribed and reconciled.
    Connected,
    /// Draining before the end.
    Disconnecting,
    /// Given up: the configuration was refused.
    Error,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::CallState as S;

    /// The edges as the contract lists them, written out a second time.
    fn contract(from: S, to: S) -> bool {
        let listed: &[(S, &[S])] = &[
            (S::Created, &[S::Dialing]),
            (S::Dialing, &[S::Ringing, S::Connected]),
            (S::Ringing, &[S::Connected]),
            (S::Incoming, &[S::Connected]),
            (S::Connected, &[S::OnHold, S::Transferring]),
            (S::OnHold, &[S::Connected, S::Transferring]),
            (S::Transferring, &[S::Connected, S::OnHold]),
            (S::HangingUp, &[S::Terminated]),
        ];
        let live = from != S::Terminated;
        let ends = live && (to == S::Terminated || (to == S::HangingUp && from != S::HangingUp));
        ends || listed
            .iter()
            .any(|(f, to_set)| *f == from && to_set.contains(&to))
    }

    #[test]
    fn the_edges_are_those_of_the_contract() {
        for &from in S::ALL {
            for &to in S::ALL {
                assert_eq!(from.can_become(to), contract(from, to), "{from} > {to}");
            }
        }
    }

    #[test]
    fn a_snapshot_jumps_forward_and_never_back() {
        let mut state = S::Dialing;
        assert_eq!(state.jump(S::OnHold), Ok(true));
        assert_eq!(state.jump(S::OnHold), Ok(false));
        assert!(state.jump(S::Ringing).is_err());
        assert_eq!(state, S::OnHold);
        assert_eq!(state.jump(S::Terminated), Ok(true));
        assert!(state.jump(S::Connected).is_err());
    }

    proptest! {
        #[test]
        fn no_order_of_events_leaves_the_legal_edges(
            steps in prop::collection::vec((0..S::ALL.len(), any::<bool>()), 0..40),
        ) {
            let mut state = S::Created;
            let mut ended = false;
            for (index, jump) in steps {
                let next = S::ALL[index];
                let before = state;
                if jump {
                    let _ = state.jump(next);
                    prop_assert!(state == before || state == next);
                } else {
                    let moved = state.advance(next);
                    prop_assert_eq!(moved.is_ok(), contract(before, next));
                    prop_assert_eq!(state, if moved.is_ok() { next } else { before });
                }
                prop_assert!(!(ended && state != S::Terminated), "terminated is final");
                prop_assert!(!(before != S::Created && state == S::Created));
                ended |= state.is_terminated();
            }
        }
    }
}
