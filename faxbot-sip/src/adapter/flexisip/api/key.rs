//! API keys, and tokens that stand for a login elsewhere.

use faxbot_core::{Result, Secret};
use http::Method;
use serde::Deserialize;

use super::FlexiApi;

impl FlexiApi {
    /// Makes an API key of the account that asks, in the place of the one before: a GET that acts. It is
    /// bound to our address and ends after 60 minutes without use.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `Protocol` for an answer that is no key.
    ///
    /// # Cancel safety
    /// A request that was written is not undone: the key before may be gone.
    pub async fn create_api_key(&self) -> Result<Secret> {
        let path = ["accounts", "me", "api_key"];
        let answer = self.act("create_api_key", Method::GET, &path, None).await?;
        let key = answer.text();
        let plain =
            (8..=128).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric());
        match plain {
            true => Ok(Secret::new(key)),
            false => Err(answer.broken("the answer is not an api key")),
        }
    }

    /// Makes a token that somebody else can attach their account to: shown as a QR code, for instance. It
    /// lives five minutes. Needs no credentials.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone; nobody knows its token.
    pub async fn create_auth_token(&self) -> Result<Secret> {
        #[derive(Deserialize)]
        struct Token {
            token: Secret,
        }
        let path = ["accounts", "auth_token"];
        let answer = self.act("create_auth_token", Method::POST, &path, None);
        let token: Token = answer.await?.json()?;
        Ok(token.token)
    }

    /// Attaches the account that asks to a token of
    /// [`create_auth_token`](Self::create_auth_token): a GET that acts.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` for one that is not valid, or is attached already.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn attach_auth_token(&self, token: &Secret) -> Result<()> {
        let path = ["accounts", "auth_token", token.expose(), "attach"];
        let answer = self.act("attach_auth_token", Method::GET, &path, None);
        answer.await?.done();
        Ok(())
    }

    /// Takes the API key of the account that was attached to a token, once. Needs no credentials.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` while nobody attached an account, and after the first time.
    ///
    /// # Cancel safety
    /// A request that was written is not undone: the token may be used up.
    pub async fn api_key_by_auth_token(&self, token: &Secret) -> Result<Secret> {
        #[derive(Deserialize)]
        struct Key {
            api_key: Secret,
        }
        let path = ["accounts", "me", "api_key", token.expose()];
        let answer = self.act("api_key_by_auth_token", Method::GET, &path, None);
        let key: Key = answer.await?.json()?;
        Ok(key.api_key)
    }
}
