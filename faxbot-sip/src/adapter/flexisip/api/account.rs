//! Accounts, as an admin has them.

use std::collections::BTreeMap;

use faxbot_core::{Private, Result, Secret, Timestamp};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    AccountAction, AccountType, CallForwarding, FlexiApi, FlexiPage, Owner, address, lenient,
};

/// An account. Members that this version does not know are left out; `Debug` shows nothing personal.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// Its id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: u64,
    /// The user part of its address.
    pub username: Private,
    /// The domain of its Space.
    pub domain: String,
    /// `sip:user@domain`.
    #[serde(default)]
    pub sip_uri: Option<Private>,
    /// Its mail address.
    #[serde(default)]
    pub email: Option<Private>,
    /// Its phone number.
    #[serde(default)]
    pub phone: Option<Private>,
    /// The name that others see.
    #[serde(default)]
    pub display_name: Option<Private>,
    /// Whether it can register.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub activated: bool,
    /// Whether it is an admin of its Space.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub admin: bool,
    /// Whether it is blocked: every authenticated request of it is 403.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub blocked: bool,
    /// How it sends digits, in the server's word.
    #[serde(default)]
    pub dtmf_protocol: Option<String>,
    /// Names with values of whoever runs the server.
    #[serde(default, deserialize_with = "lenient::private_texts")]
    pub dictionary: Private<BTreeMap<String, String>>,
    /// Its types.
    #[serde(default, deserialize_with = "lenient::list")]
    pub types: Vec<AccountType>,
    /// Its actions by DTMF.
    #[serde(default, deserialize_with = "lenient::list")]
    pub actions: Vec<AccountAction>,
    /// Where its calls go, where the route tells it (search and resolve, since 2.1).
    #[serde(default, deserialize_with = "lenient::list")]
    pub call_forwardings: Vec<CallForwarding>,
    /// What a phone fetches its configuration with, where the route shows it.
    #[serde(default)]
    pub provisioning_token: Option<Secret>,
    /// Until when.
    #[serde(default, deserialize_with = "lenient::time")]
    pub provisioning_token_expire_at: Option<Timestamp>,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Option<Timestamp>,
    /// When it was changed.
    #[serde(default, deserialize_with = "lenient::time")]
    pub updated_at: Option<Timestamp>,
}

/// How an account sends digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DtmfProtocol {
    /// SIP INFO.
    SipInfo,
    /// RFC 2833.
    Rfc2833,
    /// SIP MESSAGE.
    SipMessage,
}

impl DtmfProtocol {
    /// The server's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SipInfo => "sipinfo",
            Self::Rfc2833 => "rfc2833",
            Self::SipMessage => "sipmessage",
        }
    }
}

/// An account to be made by an admin.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewAccount {
    /// The user part of its address: lower case, no phone number unless the server allows that. The name
    /// of an account that was deleted stays taken.
    pub username: Private,
    /// Its password: at least three characters.
    pub password: Secret,
    /// Another domain than that of the Space; only a super admin may say so.
    pub domain: Option<String>,
    /// Whether it can register at once; no by default.
    pub activated: bool,
    /// Whether it is an admin; no by default.
    pub admin: bool,
    /// The name that others see.
    pub display_name: Option<Private>,
    /// Its mail address.
    pub email: Option<Private>,
    /// Its phone number, with `+`.
    pub phone: Option<Private>,
    /// How it sends digits.
    pub dtmf_protocol: Option<DtmfProtocol>,
    /// Names with values of yours.
    pub dictionary: Private<BTreeMap<String, String>>,
}

impl NewAccount {
    /// An account that is not activated yet.
    pub fn new(username: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self {
            username: Private::new(username.into()),
            password: password.into(),
            domain: None,
            activated: false,
            admin: false,
            display_name: None,
            email: None,
            phone: None,
            dtmf_protocol: None,
            dictionary: Private::default(),
        }
    }

    /// Lets it register at once.
    #[must_use]
    pub fn activated(mut self) -> Self {
        self.activated = true;
        self
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("username".into(), json!(self.username));
        body.insert("password".into(), json!(self.password.expose()));
        body.insert("activated".into(), json!(self.activated));
        body.insert("admin".into(), json!(self.admin));
        let dtmf = self.dtmf_protocol.map(DtmfProtocol::as_str);
        for (name, value) in [
            ("domain", self.domain.as_deref()),
            ("display_name", text(&self.display_name)),
            ("email", text(&self.email)),
            ("phone", text(&self.phone)),
            ("dtmf_protocol", dtmf),
        ] {
            if let Some(value) = value {
                body.insert(name.into(), value.into());
            }
        }
        if !self.dictionary.expose().is_empty() {
            body.insert("dictionary".into(), json!(self.dictionary));
        }
        Value::Object(body)
    }
}

fn text(value: &Option<Private>) -> Option<&str> {
    value.as_ref().map(|value| value.expose().as_str())
}

/// What an account is to be from now on. The server resets what is left out: begin with
/// [`AccountUpdate::of`] the account, and change that.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AccountUpdate {
    /// The user part of its address.
    pub username: Private,
    /// Another domain; only a super admin may say so.
    pub domain: Option<String>,
    /// A new password; the old one stays without it.
    pub password: Option<Secret>,
    /// The name that others see; without it none.
    pub display_name: Option<Private>,
    /// Its mail address; without it none.
    pub email: Option<Private>,
    /// Its phone number; without it none.
    pub phone: Option<Private>,
    /// How it sends digits, in the server's word; without it not.
    pub dtmf_protocol: Option<String>,
    /// Whether it can register.
    pub activated: bool,
    /// Whether it is an admin.
    pub admin: bool,
    /// Whether it is blocked.
    pub blocked: bool,
    /// All names with values, in the place of those that it has; without it those stay.
    pub dictionary: Option<Private<BTreeMap<String, String>>>,
}

impl AccountUpdate {
    /// What the account is now.
    pub fn of(account: &Account) -> Self {
        Self {
            username: account.username.clone(),
            domain: None,
            password: None,
            display_name: account.display_name.clone(),
            email: account.email.clone(),
            phone: account.phone.clone(),
            dtmf_protocol: account.dtmf_protocol.clone(),
            activated: account.activated,
            admin: account.admin,
            blocked: account.blocked,
            dictionary: None,
        }
    }

    fn body(&self) -> Value {
        let mut body = json!({
            "username": self.username,
            "display_name": self.display_name,
            "email": self.email,
            "phone": self.phone,
            "dtmf_protocol": self.dtmf_protocol,
            "activated": self.activated,
            "admin": self.admin,
            "blocked": self.blocked,
        });
        if let Value::Object(map) = &mut body {
            if let Some(domain) = &self.domain {
                map.insert("domain".into(), json!(domain));
            }
            if let Some(password) = &self.password {
                map.insert("password".into(), json!(password.expose()));
            }
            if let Some(dictionary) = &self.dictionary {
                map.insert("dictionary".into(), json!(dictionary));
            }
        }
        body
    }
}

/// An account that somebody makes for themselves, with a creation token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenAccount {
    /// The user part of its address.
    pub username: Private,
    /// Its password.
    pub password: Secret,
    /// The token; it is used up.
    pub token: Secret,
    /// How it sends digits.
    pub dtmf_protocol: Option<DtmfProtocol>,
}

impl TokenAccount {
    /// An account with what it needs.
    pub fn new(
        username: impl Into<String>,
        password: impl Into<Secret>,
        token: impl Into<Secret>,
    ) -> Self {
        Self {
            username: Private::new(username.into()),
            password: password.into(),
            token: token.into(),
            dtmf_protocol: None,
        }
    }
}

impl FlexiApi {
    /// One page of the accounts of the Space, from page 1: 20 each. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn accounts(&self, page: u32) -> Result<FlexiPage<Account>> {
        self.read_page("accounts", &["accounts"], page).await
    }

    /// An account by its id. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn account(&self, id: u64) -> Result<Account> {
        self.read("account", &["accounts", &id.to_string()]).await
    }

    /// An account by its SIP address. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `InvalidRequest` for what is no SIP address.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn search_by_sip(&self, sip: &str) -> Result<Account> {
        let operation = "search_by_sip";
        let sip = address(operation, sip)?;
        self.read(operation, &["accounts", sip, "search"]).await
    }

    /// An account by its mail address. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn search_by_email(&self, email: &str) -> Result<Account> {
        let path = ["accounts", email, "search-by-email"];
        self.read("search_by_email", &path).await
    }

    /// What a SIP address of the Space stands for; since 2.1 an account. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `Protocol` for something else than an account.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn resolve(&self, sip: &str) -> Result<Account> {
        #[derive(Deserialize)]
        struct Resolved {
            #[serde(rename = "type")]
            kind: String,
            payload: Value,
        }
        let operation = "resolve";
        let sip = address(operation, sip)?;
        let answer = self.look(operation, &["resolve", sip]).await?;
        let resolved: Resolved = answer.json()?;
        let account = (resolved.kind == "account").then_some(resolved.payload);
        account
            .and_then(|payload| serde_json::from_value(payload).ok())
            .ok_or_else(|| answer.broken("the address stands for something that is not known here"))
    }

    /// Makes an account. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `PermissionDenied` also when the Space is full.
    ///
    /// # Cancel safety
    /// A request that was written is not undone: [`search_by_sip`](Self::search_by_sip) tells.
    pub async fn create_account(&self, account: &NewAccount) -> Result<Account> {
        let operation = "create_account";
        let answer = self.post(operation, &["accounts"], account.body()).await?;
        answer.json()
    }

    /// Makes an account by a creation token. Needs no credentials.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn create_account_with_token(&self, account: &TokenAccount) -> Result<Account> {
        let mut body = json!({
            "username": account.username,
            "password": account.password.expose(),
            "account_creation_token": account.token.expose(),
        });
        if let (Value::Object(map), Some(dtmf)) = (&mut body, account.dtmf_protocol) {
            map.insert("dtmf_protocol".into(), json!(dtmf.as_str()));
        }
        let path = ["accounts", "with-account-creation-token"];
        let answer = self.post("create_account_with_token", &path, body).await?;
        answer.json()
    }

    /// Changes an account: all of it, what is left out is reset. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn update_account(&self, id: u64, update: &AccountUpdate) -> Result<Account> {
        let path = ["accounts", &id.to_string()];
        let answer = self.put("update_account", &path, update.body()).await?;
        answer.json()
    }

    /// Deletes an account; its name stays taken. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_account(&self, id: u64) -> Result<()> {
        let path = ["accounts", &id.to_string()];
        self.delete("delete_account", &path).await?.deleted()
    }

    /// Lets an account register. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn activate_account(&self, id: u64) -> Result<Account> {
        self.turn("activate_account", id, "activate").await
    }

    /// Lets an account register no longer. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn deactivate_account(&self, id: u64) -> Result<Account> {
        self.turn("deactivate_account", id, "deactivate").await
    }

    /// Blocks an account. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn block_account(&self, id: u64) -> Result<Account> {
        self.turn("block_account", id, "block").await
    }

    /// Ends the block of an account. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn unblock_account(&self, id: u64) -> Result<Account> {
        self.turn("unblock_account", id, "unblock").await
    }

    async fn turn(&self, operation: &'static str, id: u64, word: &str) -> Result<Account> {
        let path = ["accounts", &id.to_string(), word];
        let answer = self.act(operation, Method::POST, &path, None).await?;
        answer.json()
    }

    /// Makes a fresh provisioning token of an account, and answers the account with it. The one before is
    /// replaced: it is a GET at the server, and acts.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn provision(&self, owner: impl Into<Owner> + Send) -> Result<Account> {
        let path = ["accounts", &owner.into().segment(), "provision"];
        let answer = self.act("provision", Method::GET, &path, None).await?;
        answer.json()
    }

    /// Sends the mail by which an account is set up on a phone. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `PermissionDenied` also for an account without a mail address.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn send_provisioning_email(&self, id: u64) -> Result<()> {
        let path = ["accounts", &id.to_string(), "send_provisioning_email"];
        let answer = self.act("send_provisioning_email", Method::POST, &path, None);
        answer.await?.done();
        Ok(())
    }

    /// Sends the mail by which a password is set anew. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `PermissionDenied` also for an account without a mail address.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn send_reset_password_email(&self, id: u64) -> Result<()> {
        let path = ["accounts", &id.to_string(), "send_reset_password_email"];
        let answer = self.act("send_reset_password_email", Method::POST, &path, None);
        answer.await?.done();
        Ok(())
    }
}
