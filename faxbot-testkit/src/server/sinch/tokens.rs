//! The token endpoint: `POST /oauth2/token` with Basic and `grant_type=client_credentials`
//! (sinch-sdk-python `sinch/domains/authentication/endpoints/v1/oauth.py`, and both SDKs run).

use std::{collections::HashMap, time::Duration};

use faxbot_core::Timestamp;
use http::header::WWW_AUTHENTICATE;
use serde_json::json;

use super::{Refused, Ulids};
use crate::{
    fixtures::private,
    server::http::{HttpAnswer, SeenRequest},
};

/// What is known of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Standing {
    Good,
    Expired,
    Unknown,
}

/// Tokens of one client.
pub(in crate::server) struct Tokens {
    key_id: String,
    key_secret: String,
    /// What a new token lives.
    pub(in crate::server) life: Duration,
    issued: HashMap<String, Timestamp>,
}

impl Tokens {
    /// A token lives an hour (the SDKs' samples say 3599 and 3600 seconds).
    pub(in crate::server) fn new(key_id: &str, key_secret: &str) -> Self {
        Self {
            key_id: key_id.to_owned(),
            key_secret: key_secret.to_owned(),
            life: Duration::from_secs(3599),
            issued: HashMap::new(),
        }
    }

    /// Whether these are the client's key and secret.
    pub(in crate::server) fn knows(&self, basic: Option<(String, String)>) -> bool {
        basic.is_some_and(|(user, password)| {
            (user.as_str(), password.as_str()) == (self.key_id.as_str(), self.key_secret.as_str())
        })
    }

    /// Tokens issued so far.
    pub(in crate::server) fn count(&self) -> usize {
        self.issued.len()
    }

    pub(in crate::server) fn standing(&self, token: &str, now: Timestamp) -> Standing {
        match self.issued.get(token) {
            Some(until) if now < *until => Standing::Good,
            Some(_) => Standing::Expired,
            None => Standing::Unknown,
        }
    }

    /// Ends all tokens that were issued.
    pub(in crate::server) fn expire(&mut self) {
        for until in self.issued.values_mut() {
            *until = Timestamp::UNIX_EPOCH;
        }
    }

    /// Answers a request for a token.
    pub(in crate::server) fn answer(
        &mut self,
        request: &SeenRequest,
        ids: &mut Ulids,
        now: Timestamp,
    ) -> HttpAnswer {
        let error = |status, error: &str, description: &str| {
            HttpAnswer::json(
                status,
                &json!({"error": error, "error_description": description}),
            )
        };
        if request.method != "POST" {
            return HttpAnswer::new(405);
        }
        if !self.knows(request.basic()) {
            return error(401, "invalid_client", "Client authentication failed");
        }
        let form = request.form().unwrap_or_default();
        let wanted = ("grant_type".to_owned(), "client_credentials".to_owned());
        let urlencoded =
            request.media_type().as_deref() == Some("application/x-www-form-urlencoded");
        if !urlencoded || !form.contains(&wanted) {
            return error(
                400,
                "unsupported_grant_type",
                "The grant type is not supported",
            );
        }
        let token = format!("{}{}", private::TOKEN, ids.next(now));
        self.issued.insert(token.clone(), now + self.life);
        HttpAnswer::json(
            200,
            &json!({
                "access_token": token,
                "expires_in": self.life.as_secs(),
                "scope": "",
                "token_type": "bearer",
            }),
        )
    }
}

/// 401 with an empty body, as the vendor says that it may be. An expired token is said to be one: both SDKs
/// fetch another only when `www-authenticate` has the word `expired`.
pub(in crate::server) fn refused(expired: bool) -> Refused {
    let challenge = if expired {
        r#"Bearer error="invalid_token", error_description="Jwt expired""#
    } else {
        r#"Bearer error="invalid_token""#
    };
    Box::new(HttpAnswer::new(401).with_header(WWW_AUTHENTICATE, challenge))
}
