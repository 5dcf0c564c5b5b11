//! The names of the fax codings.

use serde::{Deserialize, Serialize};

/// How a fax page is coded, by the names that fax machines agree on it with (ITU-T T.30).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaxCoding {
    /// ITU-T T.6 (MMR, Group 4): every row by the one above it, the smallest. The default.
    #[default]
    T6,
    /// ITU-T T.4 one-dimensional (MH, Group 3 1-D): every row by itself.
    Mh,
    /// ITU-T T.4 two-dimensional (MR, Group 3 2-D): some rows by themselves, the others by the one
    /// above.
    Mr,
}

impl FaxCoding {
    /// How rows with end-of-line codes are kept apart, or `None` for T.6, which has none.
    pub const fn t4(self) -> Option<T4Coding> {
        match self {
            Self::T6 => None,
            Self::Mh => Some(T4Coding::Mh),
            Self::Mr => Some(T4Coding::Mr),
        }
    }
}

/// How the rows of ITU-T T.4 (Group 3) are coded and kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum T4Coding {
    /// One-dimensional rows (MH), each from a byte border on, without end-of-line codes: TIFF
    /// `Compression` 2.
    MhAligned,
    /// One-dimensional rows (MH) between end-of-line codes: TIFF `Compression` 3, bit 0 of
    /// `T4Options` is 0.
    Mh,
    /// A bit after each end-of-line code tells whether the row is one- or two-dimensional (MR):
    /// TIFF `Compression` 3, bit 0 of `T4Options` is 1.
    Mr,
}
