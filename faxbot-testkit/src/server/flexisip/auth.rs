//! Who asks: key, bearer and digest, as the middlewares check them.

use std::{collections::BTreeMap, fmt::Write as _};

use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::{
    answer::{Refused, abort, invalid, login, text},
    check,
    vendor::MockFlexisip,
};
use crate::server::http::{HttpAnswer, SeenRequest};

/// What a challenge of ours is remembered by.
pub(super) struct Opaque {
    pub(super) account: u64,
    nonce: String,
    count: u64,
}

/// Who asks, and what a good answer brings along.
pub(super) struct Who {
    pub(super) account: u64,
    challenges: HeaderMap,
}

impl Who {
    pub(super) fn adorn(&self, mut answer: HttpAnswer) -> HttpAnswer {
        for value in self.challenges.get_all(WWW_AUTHENTICATE) {
            answer.headers.append(WWW_AUTHENTICATE, value.clone());
        }
        answer
    }

    fn plain(account: u64) -> Self {
        Self {
            account,
            challenges: HeaderMap::new(),
        }
    }
}

impl MockFlexisip {
    /// An account, by whatever it shows.
    pub(super) fn user(&mut self, request: &SeenRequest) -> Result<Who, Refused> {
        let key = request.header("x-api-key").map(str::to_owned);
        let who = match request.bearer() {
            Some(bearer) if !self.bearers.is_empty() => self.by_bearer(bearer)?,
            _ => match key {
                Some(key) => self.by_key(&key)?,
                None => self.by_digest(request)?,
            },
        };
        if self.account(who.account).is_some_and(|it| it.blocked) {
            return Err(abort(request, 403, "Account blocked"));
        }
        Ok(who)
    }

    /// An admin of the Space: by key alone since 2.1.
    pub(super) fn admin(&mut self, request: &SeenRequest) -> Result<Who, Refused> {
        let who = match request.header("x-api-key") {
            Some(key) => {
                let key = key.to_owned();
                self.by_key(&key)?
            }
            None if self.of_2_0 => self.user(request)?,
            None => return Err(login()),
        };
        let domain = self.space(request).map(|space| space.domain.clone());
        let allowed = self.account(who.account).is_some_and(|account| {
            account.admin
                && (self.is_super(&account.domain) || Some(&account.domain) == domain.as_ref())
        });
        match allowed {
            true => Ok(who),
            false => Err(abort(request, 403, "Unauthorized area")),
        }
    }

    /// An admin of a super Space.
    pub(super) fn super_admin(&mut self, request: &SeenRequest) -> Result<Who, Refused> {
        let who = self.admin(request)?;
        let account = self.account(who.account);
        match account.is_some_and(|account| self.is_super(&account.domain)) {
            true => Ok(who),
            false => Err(abort(request, 403, "Unauthorized area")),
        }
    }

    fn by_key(&self, key: &str) -> Result<Who, Refused> {
        match self.keys.get(key) {
            Some(account) => Ok(Who::plain(*account)),
            None => Err(Box::new(text(401, "Invalid API Key"))),
        }
    }

    fn by_bearer(&self, bearer: &str) -> Result<Who, Refused> {
        let challenge = r#"Bearer realm="mock", error="invalid_token", error_description="Invalid JWT token signature""#;
        let account = self.bearers.get(bearer);
        let refused = || Box::new(HttpAnswer::new(401).with_header(WWW_AUTHENTICATE, challenge));
        account
            .map(|account| Who::plain(*account))
            .ok_or_else(refused)
    }

    fn by_digest(&mut self, request: &SeenRequest) -> Result<Who, Refused> {
        let Some(from) = request.header("from") else {
            let message = "From header is required or invalid token";
            return Err(Box::new(text(401, message)));
        };
        let from = decoded(from.split(';').next().unwrap_or_default());
        let Some((user, domain)) = check::sip(&from) else {
            return Err(Box::new(text(401, "Invalid SIP address")));
        };
        let found = self
            .accounts
            .iter()
            .find(|it| it.username == user && it.domain == domain);
        let Some(account) = found.map(|it| it.id) else {
            return Err(abort(
                request,
                404,
                "No query results for model [App\\Account].",
            ));
        };
        let Some(given) = request.header("authorization").and_then(values) else {
            return Err(self.challenge(account, "Unauthenticated request"));
        };
        let value = |name: &str| given.get(name).map(String::as_str).unwrap_or_default();
        let count = u64::from_str_radix(value("nc"), 16).unwrap_or_default();
        let opaque = value("opaque").to_owned();
        let known = self.opaques.get_mut(&opaque);
        let Some(known) = known.filter(|known| known.account == account) else {
            return Err(self.challenge(account, "Invalid opaque"));
        };
        if known.count >= count {
            self.opaques.remove(&opaque);
            self.replays += 1;
            return Err(self.challenge(account, "Nonce replayed"));
        }
        known.count += 1;
        let nonce = known.nonce.clone();
        // The rules of the middleware, in its order.
        for (name, right) in [
            ("uri", request.path.as_str()),
            ("qop", "auth"),
            ("realm", domain),
            ("username", user),
        ] {
            if value(name) != right {
                return Err(invalid(
                    request,
                    &[(name, "The selected value is invalid.")],
                ));
            }
        }
        if value("cnonce").is_empty() {
            return Err(invalid(request, &[("cnonce", "The field is required.")]));
        }
        let algorithm = match value("algorithm") {
            "" => "MD5",
            other => other,
        };
        if !["MD5", "SHA-256"].contains(&algorithm) {
            return Err(invalid(request, &[("algorithm", "The value is invalid.")]));
        }
        if !self.algorithms.contains(&algorithm) {
            return Err(self.challenge(account, "Wrong algorithm"));
        }
        let password = self.account(account).map(|it| it.password.clone());
        let who = hash(
            algorithm,
            &format!("{user}:{domain}:{}", password.unwrap_or_default()),
        );
        let what = hash(algorithm, &format!("{}:{}", request.method, value("uri")));
        let (nc, cnonce) = (value("nc"), value("cnonce"));
        let right = hash(
            algorithm,
            &format!("{who}:{nonce}:{nc}:{cnonce}:auth:{what}"),
        );
        if value("response") != right || value("nonce") != nonce {
            return Err(self.challenge(account, "Unauthorized"));
        }
        self.digests += 1;
        Ok(Who {
            account,
            challenges: self.challenges(&opaque, &nonce, domain),
        })
    }

    fn challenge(&mut self, account: u64, message: &str) -> Refused {
        let (opaque, nonce) = (self.fresh("opaque"), self.fresh("nonce"));
        let domain = self.account(account).map(|it| it.domain.clone());
        let known = Opaque {
            account,
            nonce: nonce.clone(),
            count: 0,
        };
        self.opaques.insert(opaque.clone(), known);
        let who = Who {
            account,
            challenges: self.challenges(&opaque, &nonce, &domain.unwrap_or_default()),
        };
        Box::new(who.adorn(text(401, message)))
    }

    /// One header for each algorithm of the account.
    fn challenges(&self, opaque: &str, nonce: &str, realm: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for algorithm in &self.algorithms {
            let value = format!(
                r#"Digest realm="{realm}",qop="auth",algorithm={algorithm},nonce="{nonce}",opaque="{opaque}""#
            );
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(WWW_AUTHENTICATE, value);
            }
        }
        headers
    }
}

/// The names and values of an `Authorization: Digest`.
fn values(header: &str) -> Option<BTreeMap<String, String>> {
    let rest = header.strip_prefix("Digest ")?;
    let pairs = rest
        .split(',')
        .filter_map(|pair| pair.trim().split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
    Some(pairs.collect())
}

fn decoded(text: &str) -> String {
    let pair = format!("_={}", text.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
    pairs
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn hash(algorithm: &str, text: &str) -> String {
    let bytes = match algorithm {
        "MD5" => Md5::digest(text).to_vec(),
        _ => Sha256::digest(text).to_vec(),
    };
    let mut out = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}
