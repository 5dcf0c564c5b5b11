//! The server's side of HTTP Digest (RFC 7616), for vendors that ask for it.

use std::{collections::HashMap, time::Duration};

use md5::Md5;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{answer::HttpAnswer, request::SeenRequest};

/// How a digest is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DigestAlgorithm {
    /// MD5, which all servers have.
    Md5,
    /// SHA-256.
    Sha256,
}

impl DigestAlgorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hex(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asks for one user by HTTP Digest with `qop="auth"`. Each challenge has a new nonce; a count that
/// does not grow, or a nonce that is too old, is refused.
pub struct DigestGuard {
    realm: String,
    user: String,
    password: String,
    algorithms: Vec<DigestAlgorithm>,
    lives: Duration,
    /// The end of each nonce, and the highest count of it so far.
    nonces: HashMap<String, (Instant, u64)>,
    serial: u64,
}

impl std::fmt::Debug for DigestGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DigestGuard")
            .field("algorithms", &self.algorithms)
            .field("nonces", &self.nonces.len())
            .finish_non_exhaustive()
    }
}

impl DigestGuard {
    /// Asks for this user by MD5; a nonce is good for 300 s.
    pub fn new(realm: &str, user: &str, password: &str) -> Self {
        Self {
            realm: realm.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            algorithms: vec![DigestAlgorithm::Md5],
            lives: Duration::from_secs(300),
            nonces: HashMap::new(),
            serial: 0,
        }
    }

    /// Asks by these algorithms, each in a challenge of its own.
    #[must_use]
    pub fn with(mut self, algorithms: impl Into<Vec<DigestAlgorithm>>) -> Self {
        self.algorithms = algorithms.into();
        self
    }

    /// How long a nonce is good for.
    #[must_use]
    pub const fn nonce_lives(mut self, time: Duration) -> Self {
        self.lives = time;
        self
    }

    /// The challenge, for who may not ask: 401 without a body.
    pub fn refuses(&mut self, request: &SeenRequest, now: Instant) -> Option<HttpAnswer> {
        let stale = match self.check(request, now) {
            Ok(()) => return None,
            Err(stale) => stale,
        };
        let mut answer = HttpAnswer::new(401);
        for algorithm in self.algorithms.clone() {
            self.serial += 1;
            let nonce = algorithm.hex(&format!("{}:{}", self.realm, self.serial));
            self.nonces.insert(nonce.clone(), (now + self.lives, 0));
            let stale = if stale { ", stale=true" } else { "" };
            let challenge = format!(
                "Digest realm=\"{}\", nonce=\"{nonce}\", qop=\"auth\", algorithm={}{stale}",
                self.realm,
                algorithm.name(),
            );
            if let Ok(value) = challenge.parse() {
                answer.headers.append(http::header::WWW_AUTHENTICATE, value);
            }
        }
        Some(answer)
    }

    /// The error says whether only the nonce is too old.
    fn check(&mut self, request: &SeenRequest, now: Instant) -> Result<(), bool> {
        let header = request.header("authorization").ok_or(false)?;
        let rest = header
            .get(..7)
            .filter(|it| it.eq_ignore_ascii_case("digest "));
        let given = fields(header.get(7..).filter(|_| rest.is_some()).ok_or(false)?);
        let get = |name: &str| given.get(name).map_or("", String::as_str);
        let algorithm = *self
            .algorithms
            .iter()
            .find(|it| {
                let named = get("algorithm");
                named.eq_ignore_ascii_case(it.name())
                    || named.is_empty() && **it == DigestAlgorithm::Md5
            })
            .ok_or(false)?;
        let target = request_target(request);
        if get("username") != self.user || get("realm") != self.realm || get("uri") != target {
            return Err(false);
        }
        let secret = algorithm.hex(&format!("{}:{}:{}", self.user, self.realm, self.password));
        let asked = algorithm.hex(&format!("{}:{target}", request.method));
        let (nonce, count, client, qop) = (get("nonce"), get("nc"), get("cnonce"), get("qop"));
        let right = algorithm.hex(&format!("{secret}:{nonce}:{count}:{client}:{qop}:{asked}"));
        if qop != "auth" || client.is_empty() || get("response") != right {
            return Err(false);
        }
        let count = u64::from_str_radix(count, 16).map_err(|_| false)?;
        let (until, highest) = self.nonces.get_mut(nonce).ok_or(true)?;
        if *until <= now || count <= *highest {
            return Err(true);
        }
        *highest = count;
        Ok(())
    }
}

/// Path and query as they came; the query is decoded in a request, and none of it is needed here.
fn request_target(request: &SeenRequest) -> String {
    if request.query.is_empty() {
        return request.path.clone();
    }
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&request.query)
        .finish();
    format!("{}?{query}", request.path)
}

/// `name="value", name=value`.
fn fields(text: &str) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let value;
        match after.strip_prefix('"') {
            None => {
                let end = after.find(',').unwrap_or(after.len());
                value = after.get(..end).unwrap_or_default().trim().to_owned();
                rest = after.get(end..).unwrap_or_default();
            }
            Some(quoted) => {
                let (text, after) = quoted_text(quoted);
                value = text;
                rest = after;
            }
        }
        fields.insert(name, value);
    }
    fields
}

fn quoted_text(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method};

    use super::*;

    async fn request(authorization: Option<&str>) -> SeenRequest {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert("authorization", value.parse().unwrap());
        }
        SeenRequest::read(Method::POST, "/RPC", headers, Bytes::new()).await
    }

    fn answer(guard: &DigestGuard, nonce: &str, count: u32, password: &str) -> String {
        let hash = |text: &str| DigestAlgorithm::Md5.hex(text);
        let secret = hash(&format!("{}:{}:{password}", guard.user, guard.realm));
        let asked = hash("POST:/RPC");
        let response = hash(&format!("{secret}:{nonce}:{count:08x}:abc:auth:{asked}"));
        format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{nonce}\", uri=\"/RPC\", qop=auth, \
             nc={count:08x}, cnonce=\"abc\", response=\"{response}\", algorithm=MD5",
            guard.user, guard.realm
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_answer_is_taken_once_and_while_its_nonce_lives() {
        let mut guard = DigestGuard::new("a \"realm\"".replace('"', "").as_str(), "u", "p");
        let now = Instant::now();
        let challenge = guard.refuses(&request(None).await, now).unwrap();
        assert_eq!(challenge.status, 401);
        let header = challenge.headers["www-authenticate"].to_str().unwrap();
        let nonce = fields(header.strip_prefix("Digest ").unwrap())["nonce"].clone();
        let first = request(Some(&answer(&guard, &nonce, 1, "p"))).await;
        assert!(guard.refuses(&first, now).is_none());
        // The same count again, a wrong password, an old nonce.
        let again = guard.refuses(&first, now).unwrap();
        assert!(
            again.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .contains("stale=true")
        );
        let wrong = request(Some(&answer(&guard, &nonce, 2, "x"))).await;
        let wrong = guard.refuses(&wrong, now).unwrap();
        assert!(
            !wrong.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .contains("stale")
        );
        let next = request(Some(&answer(&guard, &nonce, 2, "p"))).await;
        assert!(
            guard
                .refuses(&next, now + Duration::from_secs(299))
                .is_none()
        );
        let late = request(Some(&answer(&guard, &nonce, 3, "p"))).await;
        assert!(
            guard
                .refuses(&late, now + Duration::from_secs(300))
                .is_some()
        );
    }
}
