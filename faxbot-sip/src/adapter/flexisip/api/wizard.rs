//! Links that open the Linphone application, set it up, and have it do something. Since 2.1.

use faxbot_core::{Private, Result, Secret};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{FlexiApi, address};

/// A link.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Wizard {
    /// Its token.
    pub token: Secret,
    /// Where it leads; it holds the token.
    #[serde(default)]
    pub url: Option<Secret>,
}

/// A link to be made.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NewWizard {
    /// The account that the application is set up for.
    pub account: Option<u64>,
    /// `call`, `show`, `bye`, `accept` or `decline`.
    pub action: Option<String>,
    /// Who is called, with `call`.
    pub sip: Option<Private>,
    /// Call by `sips:`.
    pub use_sips: Option<bool>,
}

impl NewWizard {
    /// A link that sets the application up for an account.
    pub fn provision(account: u64) -> Self {
        Self {
            account: Some(account),
            ..Self::default()
        }
    }

    /// A link that calls somebody.
    pub fn call(sip: impl Into<String>) -> Self {
        Self {
            action: Some("call".to_owned()),
            sip: Some(Private::new(sip.into())),
            ..Self::default()
        }
    }
}

impl FlexiApi {
    /// Makes a link. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `InvalidRequest` for what is no SIP address.
    ///
    /// # Cancel safety
    /// A request that was written is not undone; nobody knows its token.
    pub async fn create_wizard(&self, wizard: &NewWizard) -> Result<Wizard> {
        let operation = "create_wizard";
        let mut body = Map::new();
        if let Some(account) = wizard.account {
            body.insert("provisioning_account_id".into(), account.into());
        }
        if let Some(action) = &wizard.action {
            body.insert("linphone_action".into(), action.as_str().into());
        }
        if let Some(sip) = &wizard.sip {
            let sip = format!("sip:{}", address(operation, sip.expose())?);
            body.insert("sip".into(), sip.into());
        }
        if let Some(sips) = wizard.use_sips {
            body.insert("linphone_use_sips".into(), sips.into());
        }
        let answer = self.post(operation, &["wizard"], Value::Object(body));
        answer.await?.json()
    }
}
