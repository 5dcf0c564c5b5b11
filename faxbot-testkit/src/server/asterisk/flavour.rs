//! Which release the mock speaks like.

/// Which release the mock speaks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Flavour {
    /// Asterisk 22.10.
    #[default]
    V22,
    /// Asterisk 16.28: no `TechCause`, an own `Uniqueid` is refused only when it is live.
    V16,
}
