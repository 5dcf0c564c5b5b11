//! What proves to a vendor who we are.

mod oauth2;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

pub use self::oauth2::OAuth2;
pub(super) use self::oauth2::Token;
use super::HttpClient;
use crate::{Error, ErrorKind, Result, Secret, clock::SharedClock, redact::MASK};

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
}

impl Auth {
    /// User and password.
    pub fn basic(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::Basic {
            user: user.into(),
            password: password.into(),
        }
    }

    /// Sets the header, in the place of what was there. Answers with the token that was used, if it
    /// can be renewed.
    pub(super) async fn authorise(
        &self,
        headers: &mut HeaderMap,
        http: &Arc<dyn HttpClient>,
        clock: &SharedClock,
    ) -> Result<Option<Token>> {
        let (name, value) = match self {
            Self::None => return Ok(None),
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
                headers.insert(AUTHORIZATION, token.header());
                return Ok(Some(token));
            }
        };
        headers.insert(name, value);
        Ok(None)
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
