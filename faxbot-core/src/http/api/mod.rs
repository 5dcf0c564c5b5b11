//! One client for the API of a vendor: authorisation, rate limit, and repetition only where it is
//! certainly harmless.

mod call;
mod connections;
mod rate;
mod refusal;
mod retry_after;
#[cfg(test)]
mod tests;

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use http::StatusCode;
use url::Url;

pub use self::{call::ApiCall, rate::Rate, refusal::refusal};
use self::{connections::Connections, rate::Limiter, retry_after::retry_after};
use super::{
    Auth, HttpClient, HttpRequest, HttpResponse,
    auth::{Nonce, Proof, Verdict},
    exchange::exchange,
    origin,
};
use crate::{
    Error, ErrorKind, Result,
    clock::{SharedClock, later},
    random::{self, SharedRandom},
    retry::Backoff,
};

/// Calls the API of one vendor over any [`HttpClient`].
///
/// It adds what proves who we are, keeps to the vendor's rate, and repeats a call only if that is
/// certainly harmless: what only reads ([`ApiCall::read`]) after a fault that may pass, and what
/// has an effect ([`ApiCall::act`]) only if the vendor certainly did not take it. It sends nothing
/// to another origin than its base, so that no address from an answer or a webhook gets our
/// credentials.
///
/// Clones share the rate limit, the connections, and the token of OAuth2.
#[derive(Clone)]
pub struct ApiClient {
    http: Arc<dyn HttpClient>,
    base: Url,
    clock: SharedClock,
    random: SharedRandom,
    auth: Auth,
    backoff: Backoff,
    patience: Duration,
    limiter: Arc<Limiter>,
    connections: Arc<Connections>,
    /// Whether credentials may go to the base.
    trusted: bool,
}

/// The time that one call may still spend waiting.
struct Patience(Duration);

impl Patience {
    fn spend(&mut self, time: Duration) {
        self.0 = self.0.saturating_sub(time);
    }
}

impl ApiClient {
    /// The longest time that one call waits, in all, unless told otherwise.
    pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(60);
    /// Repetitions of one call at most, unless told otherwise.
    pub const DEFAULT_REPEATS: u32 = 3;

    /// A client of the API below `base`, without authorisation and rate limit. It repeats a call
    /// three times at most ([`Backoff::http`]) and waits 60 s at most in all.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if the base is not http or https, holds a user, password,
    /// query or fragment, or is http to a host that is not this machine.
    pub fn new(
        http: Arc<dyn HttpClient>,
        base: Url,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self> {
        let client = Self::over_plain_http(http, base, clock, random)?;
        if client.trusted {
            Ok(client)
        } else {
            let message = "the api is at a plain http address of another machine";
            Err(Error::new(ErrorKind::InvalidRequest, "api", message))
        }
    }

    /// As [`new`](Self::new), and http to another machine is allowed: for servers that have no TLS,
    /// in a network that nobody reads along in. Credentials are not sent there unless
    /// [`with_plain_credentials`](Self::with_plain_credentials) allows it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if the base is not http or https, or holds a user, password,
    /// query or fragment.
    pub fn over_plain_http(
        http: Arc<dyn HttpClient>,
        base: Url,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self> {
        origin::check_base(&base)?;
        Ok(Self {
            trusted: origin::is_private(&base),
            connections: Arc::new(Connections::unlimited()),
            limiter: Arc::new(Limiter::new(None, Arc::clone(&clock))),
            http,
            base,
            clock,
            random,
            auth: Auth::None,
            backoff: Backoff::http().with_attempts(Self::DEFAULT_REPEATS),
            patience: Self::DEFAULT_PATIENCE,
        })
    }

    /// Sets what proves who we are.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Sets how many calls are sent a second; default no limit. Clones made before keep theirs.
    #[must_use]
    pub fn with_rate(mut self, rate: Rate) -> Self {
        self.limiter = Arc::new(Limiter::new(Some(rate), Arc::clone(&self.clock)));
        self
    }

    /// Sends credentials over plain http to another machine, where everybody between reads them.
    #[must_use]
    pub fn with_plain_credentials(mut self) -> Self {
        self.trusted = true;
        self
    }

    /// Sets how many requests are under way at once, each on a connection of its own, and how long
    /// a call waits for its turn among them; default no limit. Clones made before keep theirs.
    ///
    /// A call that acts and whose future is dropped after its request was begun keeps its place
    /// until the time of the request is over: its connection is closed, and the server may be at it
    /// all the same. One that reads gives it back at once.
    #[must_use]
    pub fn with_connections(mut self, most: NonZeroUsize, wait: Duration) -> Self {
        self.connections = Arc::new(Connections::new(most, wait));
        self
    }

    /// Sets the waits before repetitions and their number.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets how long one call waits at most in all, for its turn, between repetitions and for what
    /// the vendor asks by `Retry-After`; default 60 s. A wait that would be longer is not begun.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The address of a resource: the base with these segments behind its path, each
    /// percent-encoded, so that no text makes a second segment, a query or another host.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a segment that is empty, `.` or `..`.
    pub fn url(&self, segments: &[&str]) -> Result<Url> {
        origin::join(&self.base, segments)
    }

    /// Sends a call and answers with what the vendor said, whatever its status: [`refusal`] turns
    /// a status that means no into an error.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for an address of another origin, [`ErrorKind::Config`] for
    /// credentials that would go over plain http to another machine; nothing was sent.
    /// [`ErrorKind::Overloaded`] if the turn of the call does not come within the patience, or no
    /// connection is free in time; nothing was sent. [`ErrorKind::Authentication`] if the token was
    /// refused, or the server asks for a digest that is not spoken; the call did nothing.
    /// [`ErrorKind::Protocol`] for a redirect. Those of the [`HttpClient`], with
    /// [`Effect::NoEffect`](crate::Effect::NoEffect) for what only reads; for what has an effect
    /// [`ErrorKind::OutcomeUnknown`] stands for each that came after the request was written.
    ///
    /// # Cancel safety
    /// A request that was written is not undone: dropping the future says nothing about whether
    /// the vendor took it. Its place among the connections is taken until the time of the request
    /// is over, see [`with_connections`](Self::with_connections).
    pub async fn call(&self, call: ApiCall) -> Result<HttpResponse> {
        let operation = call.operation;
        if call.request.url.origin() != self.base.origin()
            || origin::has_credentials(&call.request.url)
        {
            let message = "the address is not one of the configured api";
            return Err(Error::new(ErrorKind::InvalidRequest, operation, message));
        }
        if !self.trusted && !matches!(self.auth, Auth::None) {
            let message = "credentials would go over plain http to another machine";
            return Err(Error::new(ErrorKind::Config, operation, message));
        }
        let mut patience = Patience(self.patience);
        let mut repeats = 0;
        let mut renewed = false;
        // The nonce of a challenge that the next attempt answers.
        let mut nonce = None;
        loop {
            let mut proof = Proof::Fixed;
            let result = self
                .attempt(&call, &mut patience, nonce.take(), &mut proof)
                .await;
            let asked = match &result {
                Ok(response) => {
                    let after = retry_after(response, self.clock.timestamp());
                    if response.status == StatusCode::TOO_MANY_REQUESTS {
                        self.limiter.hold(after);
                    }
                    match (&self.auth, proof) {
                        (Auth::OAuth2(auth), Proof::Token(token))
                            if response.status == StatusCode::UNAUTHORIZED =>
                        {
                            // No other call uses it again.
                            auth.forget(&token);
                            if call.repeats && !renewed {
                                tracing::debug!(operation, "asking for another token");
                                renewed = true;
                                continue;
                            }
                        }
                        (Auth::Digest(auth), Proof::Digest(used)) => {
                            let verdict = auth
                                .settle(used, response)
                                .map_err(|error| error.with_operation(operation))?;
                            if let Verdict::Again(given) = verdict
                                && !renewed
                            {
                                tracing::debug!(operation, "answering a challenge");
                                renewed = true;
                                nonce = Some(given);
                                continue;
                            }
                        }
                        _ => {}
                    }
                    if !call.may_repeat(response.status) {
                        return result;
                    }
                    after
                }
                Err(error) if error.is_retryable() && call.repeats => error.retry_after(),
                Err(_) => return result,
            };
            let Some(wait) = self
                .backoff
                .delay(repeats, random::unit(&*self.random))
                .map(|wait| wait.max(asked.unwrap_or_default()))
                .filter(|wait| *wait <= patience.0)
            else {
                return result;
            };
            repeats += 1;
            tracing::debug!(operation, repeats, ?wait, "repeating a call");
            self.clock.sleep_until(later(self.clock.now(), wait)).await;
            patience.spend(wait);
        }
    }

    /// One attempt: its turn, its authorisation, one request.
    async fn attempt(
        &self,
        call: &ApiCall,
        patience: &mut Patience,
        given: Option<Nonce>,
        proof: &mut Proof,
    ) -> Result<HttpResponse> {
        let operation = call.operation;
        let begun = self.clock.now();
        let turn = self.limiter.turn(patience.0).await;
        patience.spend(self.clock.now().saturating_duration_since(begun));
        if let Err(wait) = turn {
            let message = "the rate limit of the api leaves no turn in time";
            let error = Error::new(ErrorKind::Overloaded, operation, message);
            // Whoever waited for as long as it may must not wait here again.
            *patience = Patience(Duration::ZERO);
            return Err(error.with_retry_after(wait));
        }
        let begun = self.clock.now();
        let Some(mut place) = self.connections.place(&self.clock, patience.0).await else {
            *patience = Patience(Duration::ZERO);
            let message = "no connection to the api is free in time";
            return Err(Error::new(ErrorKind::Overloaded, operation, message));
        };
        patience.spend(self.clock.now().saturating_duration_since(begun));
        let mut request: HttpRequest = call.request.clone();
        *proof = self
            .auth
            .authorise(&mut request, given, &self.http, &self.clock, &*self.random)
            .await
            .map_err(|error| error.with_operation(operation))?;
        let begun = self.clock.now();
        if call.acts {
            place.acts_until(later(begun, request.timeout));
        }
        let result = exchange(&*self.http, &self.clock, request).await;
        place.ended();
        let elapsed = self.clock.now().saturating_duration_since(begun);
        match result {
            Ok(response) if response.status.is_redirection() => {
                tracing::debug!(
                    operation,
                    status = response.status.as_u16(),
                    ?elapsed,
                    "redirected"
                );
                let message = "the api answered with a redirect, which is not followed";
                let error = Error::new(ErrorKind::Protocol, operation, message)
                    .with_native(Some(response.status.as_str().to_owned()), None);
                Err(call.transport(error))
            }
            Ok(response) => {
                tracing::debug!(
                    operation,
                    status = response.status.as_u16(),
                    ?elapsed,
                    "answered"
                );
                Ok(response)
            }
            Err(error) => {
                tracing::debug!(operation, kind = ?error.kind(), ?elapsed, "no answer");
                Err(call.transport(error))
            }
        }
    }
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path of the base may hold an account or a secret.
        f.debug_struct("ApiClient")
            .field("origin", &self.base.origin().ascii_serialization())
            .field("auth", &self.auth)
            .field("backoff", &self.backoff)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
