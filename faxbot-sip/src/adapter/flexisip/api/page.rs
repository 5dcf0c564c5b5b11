//! Lists that come in pages.

use serde::{Deserialize, de::DeserializeOwned};

use super::lenient;

/// One page of a list. The server decides how long a page is: 20 accounts, 30 calls.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
#[non_exhaustive]
pub struct FlexiPage<T> {
    /// What is on it.
    pub data: Vec<T>,
    /// Its number, from 1.
    #[serde(deserialize_with = "lenient::number")]
    pub current_page: u64,
    /// The number of the last one.
    #[serde(deserialize_with = "lenient::number")]
    pub last_page: u64,
    /// How many there are on all pages.
    #[serde(default, deserialize_with = "lenient::number")]
    pub total: u64,
}

impl<T> FlexiPage<T> {
    /// The number of the next page; `None` on the last one. A list that grows while it is read moves
    /// items to later pages: the same one may come twice.
    pub fn next(&self) -> Option<u32> {
        let next = self.current_page.checked_add(1)?;
        (next <= self.last_page).then(|| u32::try_from(next).ok())?
    }
}
