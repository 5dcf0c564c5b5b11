//! How far a callback is known to come from the vendor.

use serde::{Deserialize, Serialize};

/// What proves that something came from the vendor, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Authenticity {
    /// The vendor's signature over the raw bytes.
    Signed,
    /// The object was fetched from the vendor's own host with our credentials: by polling, or
    /// because the callback that named it proved too little.
    Fetched,
    /// A user name and a password that only the vendor was given.
    BasicAuth,
    /// A secret in the path of the URL that only the vendor was given.
    SecretUrl,
    /// Nothing: anybody could have sent it.
    None,
}

impl Authenticity {
    /// Whether the content may be believed as it is. Credentials that travel with each request
    /// prove who knew the URL, not what the vendor says: what comes with them is fetched first.
    pub fn is_proof(self) -> bool {
        matches!(self, Self::Signed | Self::Fetched)
    }
}
