//! FlexiAPI: accounts, devices and the rest of what a Flexisip account manager serves.
//!
//! What is said of routes and shapes is from the sources of the account manager
//! (BelledonneCommunications/flexisip-account-manager, master of August 2026 and 2.0.7): `routes/api.php`,
//! `app/Http/Controllers/Api`, `app/Http/Middleware`.

mod account;
mod action;
mod answer;
mod carddav;
mod contact;
mod contacts_list;
mod device;
mod dictionary;
mod external;
mod forwarding;
mod key;
mod kind;
mod lenient;
mod me;
mod message;
mod page;
mod phone_country;
mod push;
mod space;
mod statistics;
mod token;
mod turn;
mod validation;
mod vcard;
mod voicemail;
mod wizard;

use std::{fmt, sync::Arc, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Result, Secret,
    clock::SharedClock,
    http::{ApiCall, ApiClient, Auth, Digest, HttpClient, HttpRequest},
    random::SharedRandom,
};
use http::{
    HeaderName, HeaderValue, Method,
    header::{ACCEPT, CONTENT_TYPE, FROM},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use self::answer::Answer;
pub use self::{
    account::{Account, AccountUpdate, DtmfProtocol, NewAccount, TokenAccount},
    action::AccountAction,
    carddav::{CarddavCredentials, CarddavServer, NewCarddavCredentials},
    contacts_list::ContactsList,
    device::Device,
    external::{ExternalAccount, ExternalProtocol, NewExternalAccount},
    forwarding::{CallForwarding, ForwardTo, ForwardingType, NewCallForwarding},
    kind::AccountType,
    page::FlexiPage,
    phone_country::PhoneCountry,
    push::{PushKind, PushProvider, PushTarget},
    space::{EmailServer, NewEmailServer, NewSpace, Space},
    statistics::{
        CallDevice, CallStatistic, DeviceReport, InviteEnd, InviteState, NewCallStatistic,
        NewMessageStatistic,
    },
    token::{CreationRequestToken, CreationToken},
    turn::TurnService,
    validation::Validation,
    vcard::Vcard,
    voicemail::{Voicemail, VoicemailType},
    wizard::{NewWizard, Wizard},
};

/// The longest answer that is read, in bytes, unless told otherwise: twenty accounts with long
/// dictionaries.
const LONGEST_ANSWER: u64 = 16 * 1024 * 1024;

/// What proves to the account manager who we are. `Debug` shows the kind alone.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum FlexiLogin {
    /// Nothing: only the public routes answer.
    #[default]
    None,
    /// `x-api-key`. The only one that admin routes take since 2.1. A key that a user made is bound to
    /// the address of that client and ends after 60 minutes without use; one of the panel stays.
    ApiKey(Secret),
    /// A JSON Web Token, signed by the key of the Space.
    Bearer(Secret),
    /// Digest by the password of an account. Every request says who asks by `From`.
    Digest {
        /// The account: `alice@sip.example.org`, with or without `sip:`.
        account: faxbot_core::Private,
        /// Its password.
        password: Secret,
    },
}

impl FlexiLogin {
    /// An API key.
    pub fn api_key(key: impl Into<Secret>) -> Self {
        Self::ApiKey(key.into())
    }

    /// A JSON Web Token.
    pub fn bearer(token: impl Into<Secret>) -> Self {
        Self::Bearer(token.into())
    }

    /// Account and password.
    pub fn digest(account: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::Digest {
            account: faxbot_core::Private::new(account.into()),
            password: password.into(),
        }
    }
}

impl fmt::Debug for FlexiLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::ApiKey(_) => "ApiKey(***)",
            Self::Bearer(_) => "Bearer(***)",
            Self::Digest { .. } => "Digest(***)",
        })
    }
}

/// Whose things are meant: those of the account that asks, or of another one, which takes an admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Owner {
    /// The account that asks.
    Me,
    /// The account with this id.
    Account(u64),
}

impl From<u64> for Owner {
    fn from(id: u64) -> Self {
        Self::Account(id)
    }
}

impl Owner {
    fn segment(self) -> String {
        match self {
            Self::Me => "me".to_owned(),
            Self::Account(id) => id.to_string(),
        }
    }
}

/// A client of FlexiAPI. Clones share its connections and nonces.
///
/// Every method is one route. What only reads is repeated after faults that may pass; what acts is sent
/// once, and ends in [`ErrorKind::OutcomeUnknown`] when nobody can say whether it happened. A refusal is:
///
/// | answer | kind |
/// |---|---|
/// | 401, or a redirect to the login page | [`Authentication`](ErrorKind::Authentication) |
/// | 403 | [`PermissionDenied`](ErrorKind::PermissionDenied): no rights, a blocked account, an expired or full Space |
/// | 404, 410 | [`NotFound`](ErrorKind::NotFound), also for a host name that no Space has |
/// | 422 | [`Rejected`](ErrorKind::Rejected) with a [`Validation`] |
/// | 400, 409 | [`Rejected`](ErrorKind::Rejected) |
/// | 429 | [`Overloaded`](ErrorKind::Overloaded) |
/// | 503 of the account manager itself | [`ServerBusy`](ErrorKind::ServerBusy): it did nothing |
/// | any other 5xx | [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) for what acts, else [`ServerBusy`](ErrorKind::ServerBusy) |
///
/// The server's words are in [`Error::native_text`]; they follow its language and may quote what was
/// sent. `Debug` shows neither credentials nor a path.
#[derive(Clone)]
pub struct FlexiApi {
    api: ApiClient,
    prefix: Arc<[String]>,
    from: Option<HeaderValue>,
    timeout: Duration,
    longest: u64,
}

impl FlexiApi {
    /// A client of the account manager at `server` (`https://sip.example.org`): the API is below
    /// `/api` there. The host name chooses the Space.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for an address that is neither https nor on this machine, and for
    /// an account that is no SIP address.
    pub fn new(
        http: Arc<dyn HttpClient>,
        server: Url,
        login: &FlexiLogin,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self> {
        Self::over(ApiClient::new(http, server, clock, random)?, "/api", login)
    }

    /// A client over an [`ApiClient`] that reaches the API at `path` below its base. Its authorisation is
    /// replaced.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for an account that is no SIP address.
    pub fn over(api: ApiClient, path: &str, login: &FlexiLogin) -> Result<Self> {
        let mut from = None;
        let auth = match login {
            FlexiLogin::None => Auth::None,
            FlexiLogin::ApiKey(key) => Auth::Header {
                name: HeaderName::from_static("x-api-key"),
                value: key.clone(),
            },
            FlexiLogin::Bearer(token) => Auth::Bearer(token.clone()),
            FlexiLogin::Digest { account, password } => {
                let address = address("api", account.expose())?;
                let mut value = HeaderValue::from_str(&format!("sip:{}", percent(address)))
                    .map_err(|_| invalid("api", "an account that cannot be sent"))?;
                value.set_sensitive(true);
                from = Some(value);
                let (user, _) = address.split_once('@').unwrap_or((address, ""));
                // The account manager compares `uri` with the path alone.
                Auth::Digest(Digest::new(user, password.clone()).without_query())
            }
        };
        Ok(Self {
            api: api.with_auth(auth),
            prefix: path
                .split('/')
                .filter(|segment| !segment.is_empty())
                .map(str::to_owned)
                .collect(),
            from,
            timeout: HttpRequest::DEFAULT_TIMEOUT,
            longest: LONGEST_ANSWER,
        })
    }

    /// Sets how long one answer may take; default 30 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the longest answer that is read, in bytes; default 16 MiB.
    #[must_use]
    pub fn with_max_answer_bytes(mut self, bytes: u64) -> Self {
        self.longest = bytes;
        self
    }

    /// Asks whether the account manager serves this host name. Needs no credentials.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; [`ErrorKind::Protocol`] for anything but `pong`.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn ping(&self) -> Result<()> {
        const OPERATION: &str = "ping";
        let request = self.request(OPERATION, Method::GET, &["ping"])?;
        let call = ApiCall::read(OPERATION, request).without_repeats();
        let answer = self.call(OPERATION, call, false).await?;
        match answer.text() == "pong" {
            true => Ok(()),
            false => Err(answer.broken("the answer to a ping is not `pong`")),
        }
    }

    /// A request of the kind that all of them are.
    fn request(
        &self,
        operation: &'static str,
        method: Method,
        path: &[&str],
    ) -> Result<HttpRequest> {
        let prefix = self.prefix.iter().map(String::as_str);
        let whole: Vec<&str> = prefix.chain(path.iter().copied()).collect();
        let url = self
            .api
            .url(&whole)
            .map_err(|error| error.with_operation(operation))?;
        let mut request = HttpRequest::new(method, url)
            .with_timeout(self.timeout)
            .with_max_response_bytes(self.longest);
        let json = HeaderValue::from_static("application/json");
        // Without them Laravel answers with pages and redirects.
        request.headers.insert(ACCEPT, json.clone());
        request.headers.insert(CONTENT_TYPE, json);
        if let Some(from) = &self.from {
            request.headers.insert(FROM, from.clone());
        }
        Ok(request)
    }

    async fn call(&self, operation: &'static str, call: ApiCall, acts: bool) -> Result<Answer> {
        // Boxed, so that the future of each method stays small.
        let response = Box::pin(self.api.call(call))
            .await
            .map_err(|error| answer::failed(operation, error))?;
        Answer::of(operation, response, acts)
    }

    /// Reads one thing.
    async fn read<T: DeserializeOwned>(&self, operation: &'static str, path: &[&str]) -> Result<T> {
        self.look(operation, path).await?.json()
    }

    async fn look(&self, operation: &'static str, path: &[&str]) -> Result<Answer> {
        let request = self.request(operation, Method::GET, path)?;
        self.call(operation, ApiCall::read(operation, request), false)
            .await
    }

    /// Reads one page of a list.
    async fn read_page<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &[&str],
        page: u32,
    ) -> Result<FlexiPage<T>> {
        let mut request = self.request(operation, Method::GET, path)?;
        if page > 1 {
            request.url.set_query(Some(&format!("page={page}")));
        }
        self.call(operation, ApiCall::read(operation, request), false)
            .await?
            .json()
    }

    /// Changes something.
    async fn act(
        &self,
        operation: &'static str,
        method: Method,
        path: &[&str],
        body: Option<Value>,
    ) -> Result<Answer> {
        let mut request = self.request(operation, method, path)?;
        if let Some(body) = body {
            request = request.with_body(body.to_string());
        }
        self.call(operation, ApiCall::act(operation, request), true)
            .await
    }

    async fn post(&self, operation: &'static str, path: &[&str], body: Value) -> Result<Answer> {
        self.act(operation, Method::POST, path, Some(body)).await
    }

    async fn put(&self, operation: &'static str, path: &[&str], body: Value) -> Result<Answer> {
        self.act(operation, Method::PUT, path, Some(body)).await
    }

    async fn delete(&self, operation: &'static str, path: &[&str]) -> Result<Answer> {
        self.act(operation, Method::DELETE, path, None).await
    }
}

impl fmt::Debug for FlexiApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlexiApi")
            .field("api", &self.api)
            .finish_non_exhaustive()
    }
}

fn invalid(operation: &'static str, message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidRequest, operation, message)
}

/// `user@domain` of a SIP address, with or without its scheme: the routes want it without.
fn address<'a>(operation: &'static str, text: &'a str) -> Result<&'a str> {
    let bare = ["sip:", "sips:"]
        .into_iter()
        .find_map(|scheme| {
            let start = text.get(..scheme.len())?;
            start
                .eq_ignore_ascii_case(scheme)
                .then(|| text.get(scheme.len()..))?
        })
        .unwrap_or(text);
    let whole = |(user, domain): (&str, &str)| {
        !user.is_empty() && !domain.is_empty() && !domain.contains('@')
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || "<>\"".contains(c);
    match bare.split_once('@').is_some_and(whole) && !bare.contains(odd) {
        true => Ok(bare),
        false => Err(invalid(
            operation,
            "not a SIP address of the form user@domain",
        )),
    }
}

/// The address for the `From` header, which the account manager reads up to a `;` and decodes.
fn percent(address: &str) -> String {
    use std::fmt::Write as _;

    let mut out = String::with_capacity(address.len());
    for byte in address.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@:[]".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_with_or_without_its_scheme() {
        let rows = [
            ("alice@example.org", Some("alice@example.org")),
            ("sip:alice@example.org", Some("alice@example.org")),
            ("SIPS:+4930@example.org", Some("+4930@example.org")),
            ("alice", None),
            ("@example.org", None),
            ("alice@", None),
            ("a@b@c", None),
            ("a b@c", None),
            ("a@b\r\nX-Other: c", None),
            ("<sip:a@b>", None),
            ("é", None),
        ];
        for (text, expected) in rows {
            assert_eq!(address("me", text).ok(), expected, "{text:?}");
        }
        assert_eq!(percent("a;b+c@d"), "a%3Bb%2Bc@d");
    }
}
