//! Tokens by which accounts are made and recovered.

use faxbot_core::{Result, Secret, Timestamp};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{FlexiApi, PushTarget, lenient};

/// A token that lets somebody make an account, or change the phone number and mail address of one.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct CreationToken {
    /// The token.
    pub token: Secret,
    /// Until when it can be used, where the server tells.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expire_at: Option<Timestamp>,
}

/// A request for a creation token: somebody solves a riddle on a page first.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct CreationRequestToken {
    /// The token of the request.
    pub token: Secret,
    /// The page with the riddle; it holds the token.
    #[serde(default)]
    pub validation_url: Option<Secret>,
}

impl FlexiApi {
    /// Begins a request for a creation token: send somebody to its page, then ask
    /// [`creation_token_by_request`](Self::creation_token_by_request). Needs no credentials.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone; nobody knows its token.
    pub async fn create_creation_request_token(&self) -> Result<CreationRequestToken> {
        let path = ["account_creation_request_tokens"];
        let operation = "create_creation_request_token";
        let answer = self.act(operation, Method::POST, &path, None).await?;
        answer.json()
    }

    /// Takes the creation token of a request whose page was solved. Needs no credentials.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` or `Rejected` for a page that was not solved yet.
    ///
    /// # Cancel safety
    /// A request that was written is not undone: the token of the request may be used up.
    pub async fn creation_token_by_request(&self, request: &Secret) -> Result<CreationToken> {
        let path = [
            "account_creation_tokens",
            "using-account-creation-request-token",
        ];
        let body = json!({ "account_creation_request_token": request.expose() });
        let answer = self.post("creation_token_by_request", &path, body).await?;
        answer.json()
    }

    /// Has a creation token pushed to a device. Needs no credentials.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `Overloaded` when the last one was asked for too recently, `ServerBusy` when
    /// it was not sent.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn push_creation_token(&self, target: &PushTarget) -> Result<()> {
        let path = ["account_creation_tokens", "send-by-push"];
        self.push("push_creation_token", &path, target.body()).await
    }

    /// Has a recovery token pushed to a device. Needs no credentials.
    ///
    /// # Errors
    /// As [`push_creation_token`](Self::push_creation_token).
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn push_recovery_token(&self, target: &PushTarget) -> Result<()> {
        let path = ["account_recovery_tokens", "send-by-push"];
        self.push("push_recovery_token", &path, target.body()).await
    }

    /// Makes a creation token. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone; nobody knows its token.
    pub async fn create_creation_token(&self) -> Result<CreationToken> {
        let path = ["account_creation_tokens"];
        let answer = self.act("create_creation_token", Method::POST, &path, None);
        answer.await?.json()
    }

    /// Uses a creation token up for the account that asks, which may then ask for another phone number or
    /// mail address.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` for one that is not valid.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn consume_creation_token(&self, token: &Secret) -> Result<()> {
        let path = ["account_creation_tokens", "consume"];
        let body = json!({ "account_creation_token": token.expose() });
        let answer = self.post("consume_creation_token", &path, body).await?;
        answer.done();
        Ok(())
    }
}
