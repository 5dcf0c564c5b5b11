//! The account that asks, by itself.

use faxbot_core::{Result, Secret, http::ApiCall};
use http::Method;
use serde_json::{Value, json};

use super::{Account, FlexiApi};

impl FlexiApi {
    /// The account that asks.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn me(&self) -> Result<Account> {
        self.read("me", &["accounts", "me"]).await
    }

    /// Whether the server takes our credentials.
    pub(in crate::adapter::flexisip) async fn check_login(
        &self,
        operation: &'static str,
    ) -> Result<()> {
        let request = self.request(operation, Method::GET, &["accounts", "me"])?;
        let call = ApiCall::read(operation, request).without_repeats();
        let _: Account = self.call(operation, call, false).await?.json()?;
        Ok(())
    }

    /// Deletes the account that asks; its name stays taken.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_me(&self) -> Result<()> {
        self.delete("delete_me", &["accounts", "me"])
            .await?
            .deleted()
    }

    /// Sets the password. The old one is needed unless the account has none.
    ///
    /// # Errors
    /// As [`FlexiApi`] says: a wrong old password is `Rejected` with a [`Validation`](super::Validation)
    /// of `old_password`.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn change_password(&self, old: Option<&Secret>, new: &Secret) -> Result<Account> {
        let mut body = json!({ "password": new.expose() });
        if let (Value::Object(map), Some(old)) = (&mut body, old) {
            map.insert("old_password".into(), json!(old.expose()));
        }
        let path = ["accounts", "me", "password"];
        self.post("change_password", &path, body).await?.json()
    }

    /// Has a code sent to a new phone number, for [`confirm_phone`](Self::confirm_phone).
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `PermissionDenied` also without a creation token that was consumed.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn request_phone(&self, phone: &str) -> Result<()> {
        let path = ["accounts", "me", "phone", "request"];
        let answer = self.post("request_phone", &path, json!({ "phone": phone }));
        answer.await?.done();
        Ok(())
    }

    /// Sets the phone number by the code that came there.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` also for a code that ended.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn confirm_phone(&self, code: &Secret) -> Result<Account> {
        let path = ["accounts", "me", "phone"];
        let answer = self.post("confirm_phone", &path, json!({ "code": code.expose() }));
        answer.await?.json()
    }

    /// Has a code sent to a new mail address, for [`confirm_email`](Self::confirm_email).
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `PermissionDenied` also without a creation token that was consumed.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn request_email(&self, email: &str) -> Result<()> {
        let path = ["accounts", "me", "email", "request"];
        let answer = self.post("request_email", &path, json!({ "email": email }));
        answer.await?.done();
        Ok(())
    }

    /// Sets the mail address by the code that came there.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` also for a code that ended.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn confirm_email(&self, code: &Secret) -> Result<Account> {
        let path = ["accounts", "me", "email"];
        let answer = self.post("confirm_email", &path, json!({ "code": code.expose() }));
        answer.await?.json()
    }
}
