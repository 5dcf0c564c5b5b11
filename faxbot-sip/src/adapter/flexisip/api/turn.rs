//! Credentials of the TURN server.

use faxbot_core::{Private, Result, Secret};
use serde::Deserialize;

use super::{FlexiApi, lenient};

/// What a client logs in at the TURN server with.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct TurnService {
    /// The user.
    pub username: Private,
    /// The password.
    pub password: Secret,
    /// How long both hold, in seconds.
    #[serde(default, deserialize_with = "lenient::number")]
    pub ttl: u64,
    /// Where it is.
    #[serde(default, deserialize_with = "lenient::list")]
    pub uris: Vec<String>,
}

impl FlexiApi {
    /// Credentials of the TURN server for the account that asks.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` where the server has none.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn turn_service(&self) -> Result<TurnService> {
        let path = ["accounts", "me", "services", "turn"];
        self.read("turn_service", &path).await
    }
}
