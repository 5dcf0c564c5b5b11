//! How a fax ends at a vendor, whatever the vendor calls it.

/// How one fax ends. A vendor tells each in its own words and codes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FaxEnd {
    /// All pages arrive.
    #[default]
    Success,
    /// The line is busy, each time.
    Busy,
    /// Nobody answers, each time.
    NoAnswer,
    /// The network has no line.
    Congestion,
    /// There is no such number.
    InvalidNumber,
    /// The vendor does not dial this number.
    Rejected,
    /// Somebody answers who is no fax.
    NotAFax,
    /// So many pages arrive, each time, and then the far end is silent.
    FailsAfter(u32),
    /// The document cannot be converted.
    BadDocument,
    /// The account has no money when it is dialled.
    NoFunds,
    /// It stays in progress.
    Endless,
    /// It stays in a state that no document has.
    Word(String),
    /// It fails with this type and code of the vendor.
    Native(String, u32),
}
