//! Tokens by client credentials: RFC 6749 section 4.4.

use std::{
    fmt,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use url::Url;

use super::{
    super::{
        HttpClient, HttpRequest, HttpResponse, api::refusal, exchange::exchange, form_urlencoded,
        origin,
    },
    basic, bearer, wrong,
};
use crate::{
    Effect, Error, ErrorKind, Result, Secret,
    clock::{SharedClock, later},
};

/// Until when before its end a token is used.
const MARGIN: Duration = Duration::from_secs(60);
/// Life of a token whose answer does not say (RFC 6749 section 5.1 only recommends that it does).
const ASSUMED_LIFE: Duration = Duration::from_secs(300);
/// No token is believed to live longer.
const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Answers of token hosts have a few hundred bytes, a JWT some thousand.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Tokens by OAuth 2 client credentials (RFC 6749 section 4.4): fetched when first needed, and
/// again 60 s before one ends, or after three quarters of a short life. Calls at the same time
/// share one fetch, and so do clones.
///
/// The client logs in by HTTP Basic. `Debug` shows the host of the tokens.
#[derive(Clone)]
pub struct OAuth2 {
    token_url: Url,
    client_id: String,
    secret: Secret,
    scope: Option<String>,
    shared: Arc<Shared>,
}

/// A token that was fetched.
#[derive(Clone)]
pub(in crate::http) struct Token {
    header: HeaderValue,
    /// Which fetch it came from.
    number: u64,
    refresh_at: Instant,
    ends_at: Instant,
}

impl Token {
    pub(in crate::http) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

struct Shared {
    /// One fetch at a time. Dropping the call that fetches hands the turn to the next.
    turn: Semaphore,
    latest: Mutex<Latest>,
}

#[derive(Default)]
struct Latest {
    token: Option<Token>,
    /// Fetches that came to an end, good or bad.
    fetches: u64,
    /// How the last one failed.
    failure: Option<Error>,
}

impl Latest {
    fn fresh(&self, now: Instant) -> Option<Token> {
        self.token.clone().filter(|token| now < token.refresh_at)
    }
}

impl OAuth2 {
    /// Tokens from `token_url`, which must be https, or http to this machine.
    pub fn client_credentials(
        token_url: Url,
        client_id: impl Into<String>,
        secret: Secret,
    ) -> Self {
        Self {
            token_url,
            client_id: client_id.into(),
            secret,
            scope: None,
            shared: Shared::new(),
        }
    }

    /// Asks for a scope, which is a list with spaces. Clones made before keep theirs.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self.shared = Shared::new();
        self
    }

    /// The token of the moment, fetched if there is none.
    pub(super) async fn token(
        &self,
        http: &Arc<dyn HttpClient>,
        clock: &SharedClock,
    ) -> Result<Token> {
        let seen = {
            let latest = self.shared.latest();
            if let Some(token) = latest.fresh(clock.now()) {
                return Ok(token);
            }
            latest.fetches
        };
        // Never closed; without a place the fetch would only be one too many.
        let _turn = self.shared.turn.acquire().await;
        {
            let latest = self.shared.latest();
            if let Some(token) = latest.fresh(clock.now()) {
                return Ok(token);
            }
            // A fetch ended while we waited: its result is ours, a token without life or a failure
            // included. Otherwise a hundred waiting calls would ask a dead host one by one.
            if latest.fetches != seen {
                match (&latest.failure, &latest.token) {
                    (Some(failure), _) => return Err(failure.clone()),
                    (None, Some(token)) => return Ok(token.clone()),
                    (None, None) => {}
                }
            }
        }
        let asked = clock.now();
        let result = self.fetch(http, clock).await;
        let mut latest = self.shared.latest();
        latest.fetches += 1;
        match result {
            Ok(answer) => {
                let life = answer.life();
                let token = Token {
                    header: answer.header()?,
                    number: latest.fetches,
                    refresh_at: later(asked, life.saturating_sub(MARGIN).max(life / 4 * 3)),
                    ends_at: later(asked, life),
                };
                latest.failure = None;
                latest.token = Some(token.clone());
                Ok(token)
            }
            Err(failure) => {
                // The old one may have some seconds left.
                let now = clock.now();
                latest.token = latest.token.take().filter(|token| now < token.ends_at);
                latest.failure = match latest.token {
                    Some(_) => None,
                    None => Some(failure.clone()),
                };
                latest.token.clone().ok_or(failure)
            }
        }
    }

    /// The vendor refused this token: the next call fetches another, unless that has happened.
    pub(in crate::http) fn forget(&self, refused: &Token) {
        let mut latest = self.shared.latest();
        if latest
            .token
            .as_ref()
            .is_some_and(|token| token.number == refused.number)
        {
            latest.token = None;
        }
    }

    /// One request for a token. No error of it has an effect.
    async fn fetch(&self, http: &Arc<dyn HttpClient>, clock: &SharedClock) -> Result<Answer> {
        if !origin::is_private(&self.token_url) || origin::has_credentials(&self.token_url) {
            return Err(wrong(
                "the address for tokens is neither https nor on this machine",
            ));
        }
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let mut request = HttpRequest::post(self.token_url.clone(), form_urlencoded(&form))
            .with_max_response_bytes(LONGEST_ANSWER);
        let login = basic(&encode(&self.client_id), &encode(self.secret.expose()))?;
        request.headers.insert(AUTHORIZATION, login);
        request.headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        request
            .headers
            .insert(ACCEPT, HeaderValue::from_static("application/json"));
        let response = exchange(&**http, clock, request)
            .await
            .map_err(|error| error.with_effect(Effect::NoEffect))?;
        tracing::debug!(status = response.status.as_u16(), "asked for a token");
        read(&response).map_err(|error| error.with_effect(Effect::NoEffect))
    }
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            turn: Semaphore::new(1),
            latest: Mutex::default(),
        })
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2")
            .field("origin", &self.token_url.origin().ascii_serialization())
            .finish_non_exhaustive()
    }
}

/// The answer of a token host (RFC 6749 section 5.1).
#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    #[serde(default)]
    token_type: Option<String>,
    /// Seconds; some hosts write it as text.
    #[serde(default)]
    expires_in: Value,
}

impl Answer {
    fn life(&self) -> Duration {
        let seconds = match &self.expires_in {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        seconds
            .and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok())
            .map_or(ASSUMED_LIFE, |life| life.min(LONGEST_LIFE))
    }

    fn header(&self) -> Result<HeaderValue> {
        bearer(self.access_token.expose())
    }
}

fn read(response: &HttpResponse) -> Result<Answer> {
    const OPERATION: &str = "authorise";
    let protocol = |message: &'static str| Error::new(ErrorKind::Protocol, OPERATION, message);
    match response.status {
        StatusCode::OK => {}
        // RFC 6749 section 5.2: what is wrong with the client or the grant answers 400 or 401.
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let message = "the token host refused our credentials";
            let error = Error::new(ErrorKind::Authentication, OPERATION, message);
            return Err(error.with_native(Some(code(response)), None));
        }
        _ => {
            return Err(refusal(OPERATION, response, false).with_operation(OPERATION));
        }
    }
    // The parser's own error shows the text around the fault.
    let answer: Answer = serde_json::from_slice(&response.body)
        .map_err(|_| protocol("the token host's answer has no token"))?;
    if answer
        .token_type
        .as_deref()
        .is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"))
    {
        return Err(protocol("the token is not a bearer token"));
    }
    if answer.access_token.is_empty() || answer.header().is_err() {
        return Err(protocol("the token cannot be sent"));
    }
    Ok(answer)
}

/// The code of RFC 6749 section 5.2, or the status.
pub(super) fn code(response: &HttpResponse) -> String {
    let is_code = |text: &str| {
        (1..=40).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    serde_json::from_slice::<Value>(&response.body)
        .ok()
        .as_ref()
        .and_then(|body| body.get("error")?.as_str())
        .filter(|text| is_code(text))
        .unwrap_or(response.status.as_str())
        .to_owned()
}

/// Encodes as a form does, as RFC 6749 section 2.3.1 asks, but only what would otherwise be read as
/// something else: hosts that do not decode then still read ids and secrets of letters, digits,
/// `-`, `.`, `_`, `~`, `/` and `=` as they are.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | b'+' | b':' | 0..=b' ' | 0x7F.. => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}
