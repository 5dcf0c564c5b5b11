//! Who may ask: what the script of `xhttp` checks before it runs a request.

use tokio::time::Instant;

use crate::server::http::{HttpAnswer, SeenRequest};

/// What a client has to show.
#[derive(Clone, Default)]
pub(super) enum Auth {
    #[default]
    Nothing,
    Basic(String, String),
    Bearer(String),
}

impl Auth {
    /// User and password, where they are asked for.
    pub(super) fn login(&self) -> Option<(String, String)> {
        match self {
            Self::Basic(user, password) => Some((user.clone(), password.clone())),
            Self::Nothing | Self::Bearer(_) => None,
        }
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Basic(..) => "basic",
            Self::Bearer(_) => "bearer",
        })
    }
}

#[derive(Debug)]
pub(super) struct Access {
    auth: Auth,
}

impl Access {
    pub(super) const fn new(auth: Auth) -> Self {
        Self { auth }
    }

    /// The refusal, for who may not ask.
    pub(super) fn refuses(&mut self, request: &SeenRequest, _now: Instant) -> Option<HttpAnswer> {
        let challenge = match &self.auth {
            Auth::Nothing => return None,
            Auth::Basic(user, password) => {
                let right = (user.clone(), password.clone());
                if request.basic().as_ref() == Some(&right) {
                    return None;
                }
                "Basic realm=\"kamailio\""
            }
            Auth::Bearer(token) => {
                if request.bearer() == Some(token) {
                    return None;
                }
                "Bearer realm=\"kamailio\""
            }
        };
        // Recordings `auth_basic_missing`, `auth_bearer_missing`.
        let refused = HttpAnswer::new(401).with_header("www-authenticate", challenge);
        Some(refused.with_body("text/plain", "unauthorized\n"))
    }
}
