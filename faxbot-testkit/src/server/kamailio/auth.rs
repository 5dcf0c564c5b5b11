//! Who may ask: what the script of `xhttp` checks before it runs a request.

use std::time::Duration;

use tokio::time::Instant;

use crate::server::http::{DigestAlgorithm, DigestGuard, HttpAnswer, SeenRequest};

/// What a client has to show.
#[derive(Clone, Default)]
pub(super) enum Auth {
    #[default]
    Nothing,
    Basic(String, String),
    Bearer(String),
    Digest {
        user: String,
        password: String,
        algorithm: DigestAlgorithm,
        nonce_lives: Duration,
    },
}

impl Auth {
    /// User and password, where they are asked for.
    pub(super) fn login(&self) -> Option<(String, String)> {
        match self {
            Self::Basic(user, password) | Self::Digest { user, password, .. } => {
                Some((user.clone(), password.clone()))
            }
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
            Self::Digest { .. } => "digest",
        })
    }
}

#[derive(Debug)]
pub(super) struct Access {
    auth: Auth,
    digest: Option<DigestGuard>,
}

impl Access {
    pub(super) fn new(auth: Auth) -> Self {
        let digest = match &auth {
            Auth::Digest {
                user,
                password,
                algorithm,
                nonce_lives,
            } => {
                let guard = DigestGuard::new("kamailio", user, password);
                Some(guard.with([*algorithm]).nonce_lives(*nonce_lives))
            }
            _ => None,
        };
        Self { auth, digest }
    }

    /// The refusal, for who may not ask.
    pub(super) fn refuses(&mut self, request: &SeenRequest, now: Instant) -> Option<HttpAnswer> {
        let refused = match (&self.auth, &mut self.digest) {
            (Auth::Basic(user, password), _) => {
                let right = (user.clone(), password.clone());
                let right = request.basic() == Some(right);
                (!right).then(|| challenge("Basic realm=\"kamailio\""))
            }
            (Auth::Bearer(token), _) => {
                let right = request.bearer() == Some(token);
                (!right).then(|| challenge("Bearer realm=\"kamailio\""))
            }
            (_, Some(digest)) => digest.refuses(request, now),
            _ => None,
        };
        // Recordings `auth_basic_missing`, `auth_bearer_missing`.
        refused.map(|refused| refused.with_body("text/plain", "unauthorized\n"))
    }
}

fn challenge(challenge: &str) -> HttpAnswer {
    HttpAnswer::new(401).with_header("www-authenticate", challenge)
}
