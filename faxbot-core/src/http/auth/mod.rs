//! What proves to a vendor who we are.

mod digest;
mod oauth2;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, header::AUTHORIZATION};

pub use self::{digest::Digest, oauth2::OAuth2};
pub(super) use self::{
    digest::{Nonce, Verdict},
    oauth2::Token,
};
use super::{HttpClient, HttpRequest};
use crate::{Error, ErrorKind, Result, Secret, clock::SharedClock, random::Random, redact::MASK};

/// What proves to a vendor who we are. `Debug` shows the scheme alone.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// User and password (RFC 7617).
    Basic {
        /// The user; no colon in it.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token (RFC 6750).
    Bearer(Secret),
    /// A header of the vendor's own.
    Header {
        /// The name of the header.
        name: HeaderName,
        /// Its value.
        value: Secret,
    },
    /// Tokens that are fetched (RFC 6749).
    OAuth2(OAuth2),
    /// User and password by challenge and response (RFC 7616).
    Digest(Digest),
}

/// What one request was sent with, where the answer may ask for another.
pub(super) enum Proof {
    /// Nothing, or what stays as it is.
    Fixed,
    /// A token.
    Token(Token),
    /// The response to a challenge; none before the first.
    Digest(Option<Nonce>),
}

impl Auth {
    /// User and password.
    pub fn basic(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::Basic {
            user: user.into(),
            password: password.into(),
        }
    }

    /// User and password by challenge and response (RFC 7616).
    pub fn digest(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::Digest(Digest::new(user, password))
    }

    /// Sets the header, in the place of what was there. `given` is the nonce of a challenge that
    /// this request answers.
    pub(super) async fn authorise(
        &self,
        request: &mut HttpRequest,
        given: Option<Nonce>,
        http: &Arc<dyn HttpClient>,
        clock: &SharedClock,
        random: &dyn Random,
    ) -> Result<Proof> {
        let (name, value) = match self {
            Self::None => return Ok(Proof::Fixed),
            Self::Basic { user, password } => {
                if user.contains(':') {
                    return Err(wrong("a user with a colon cannot log in"));
                }
                (AUTHORIZATION, basic(user, password.expose())?)
            }
            Self::Bearer(token) => (AUTHORIZATION, bearer(token.expose())?),
            Self::Header { name, value } => (name.clone(), sensitive(value.expose())?),
            Self::OAuth2(auth) => {
                let token = auth.token(http, clock).await?;
                request.headers.insert(AUTHORIZATION, token.header());
                return Ok(Proof::Token(token));
            }
            Self::Digest(digest) => {
                let Some((value, nonce)) = digest.header(request, given, random)? else {
                    return Ok(Proof::Digest(None));
                };
                request.headers.insert(AUTHORIZATION, value);
                return Ok(Proof::Digest(Some(nonce)));
            }
        };
        request.headers.insert(name, value);
        Ok(Proof::Fixed)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Basic { .. } => write!(f, "Basic({MASK})"),
            Self::Bearer(_) => write!(f, "Bearer({MASK})"),
            Self::Header { name, .. } => write!(f, "Header({name}: {MASK})"),
            Self::OAuth2(auth) => auth.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

fn basic(user: &str, password: &str) -> Result<HeaderValue> {
    sensitive(&format!(
        "Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    ))
}

fn bearer(token: &str) -> Result<HeaderValue> {
    sensitive(&format!("Bearer {token}"))
}

/// A header value that clients do not show.
fn sensitive(text: &str) -> Result<HeaderValue> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| wrong("credentials that cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn wrong(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidRequest, "authorise", message)
}
