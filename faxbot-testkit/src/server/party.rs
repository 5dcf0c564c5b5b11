//! Who calls whom.

/// A caller or callee.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Party {
    pub name: String,
    pub number: String,
}
