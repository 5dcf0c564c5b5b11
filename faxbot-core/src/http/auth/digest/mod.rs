//! Digest authentication: RFC 7616, and what RFC 2617 and RFC 2069 left behind.

mod challenge;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use http::{HeaderValue, StatusCode};
use url::Url;

use self::challenge::{Asked, Challenge, asked, hex, next_nonce};
use super::super::{HttpRequest, HttpResponse};
use crate::{Effect, Error, ErrorKind, Result, Secret, random::Random, redact::MASK};

/// Nonces that are kept for later calls: more calls than this at once, each with a nonce of its
/// own, is more than the connections to one server.
const MOST_IDLE: usize = 64;
/// Nonces whose count is remembered, so that a server that gives one nonce twice sees the count go
/// on.
const MOST_COUNTS: usize = 256;

/// Digest authentication (RFC 7616) with `qop=auth`, by MD5 or SHA-256. Of several challenges the
/// strongest is answered.
///
/// The first call is sent without credentials, which the server answers with a challenge; later
/// calls bring the response along. Each call has a nonce for itself as long as it runs, so that
/// the count of a nonce grows on the wire however many calls run at once: servers that check the
/// count refuse one that comes late as replayed. A nonce that the server no longer takes costs one
/// more request.
///
/// Clones share the nonces and their counts. What the server sends as `rspauth` is not checked:
/// TLS tells who answers. Sessions (`-sess`) and `auth-int` are not spoken; a server that offers
/// nothing else gets no credentials, and the call ends in [`ErrorKind::Authentication`]. `Debug`
/// shows the scheme alone.
#[derive(Clone)]
pub struct Digest {
    user: String,
    password: Secret,
    without_query: bool,
    nonces: Arc<Mutex<Nonces>>,
}

/// The nonce that one request was sent with.
pub(in crate::http) struct Nonce {
    challenge: Arc<Challenge>,
    count: Arc<AtomicU32>,
    /// Whether the challenge came in the course of the same call.
    own: bool,
}

/// What the answer means for the call.
pub(in crate::http) enum Verdict {
    /// It is the answer.
    Answered,
    /// Send again, with this.
    Again(Nonce),
}

#[derive(Default)]
struct Nonces {
    /// Those that no call uses, the last used last: old ones are the first to be refused.
    idle: VecDeque<Nonce>,
    counts: VecDeque<(String, Arc<AtomicU32>)>,
}

impl Nonces {
    /// A nonce for this challenge, counted on where it was seen before.
    fn nonce(&mut self, challenge: Challenge, own: bool) -> Nonce {
        let known = self.counts.iter().find(|(n, _)| *n == challenge.nonce);
        let count = match known {
            Some((_, count)) => Arc::clone(count),
            None => {
                let count = Arc::new(AtomicU32::new(0));
                if self.counts.len() >= MOST_COUNTS {
                    self.counts.pop_front();
                }
                self.counts
                    .push_back((challenge.nonce.clone(), Arc::clone(&count)));
                count
            }
        };
        Nonce {
            challenge: Arc::new(challenge),
            count,
            own,
        }
    }

    fn put(&mut self, nonce: Nonce) {
        let same = |idle: &Nonce| idle.challenge.nonce == nonce.challenge.nonce;
        if self.idle.iter().any(same) {
            return;
        }
        if self.idle.len() >= MOST_IDLE {
            self.idle.pop_front();
        }
        self.idle.push_back(Nonce {
            own: false,
            ..nonce
        });
    }
}

impl Digest {
    /// Logs in as `user`.
    pub fn new(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
            without_query: false,
            nonces: Arc::default(),
        }
    }

    /// Leaves the query out of the `uri` value. RFC 7616 section 3.4 wants it there; some servers
    /// compare the value with the path alone (the Flexisip account manager, in
    /// `app/Http/Middleware/AuthenticateDigest.php`).
    #[must_use]
    pub fn without_query(mut self) -> Self {
        self.without_query = true;
        self
    }

    /// The header of one request, and the nonce that it uses up; none before the first challenge.
    pub(super) fn header(
        &self,
        request: &HttpRequest,
        given: Option<Nonce>,
        random: &dyn Random,
    ) -> Result<Option<(HeaderValue, Nonce)>> {
        if self.user.is_empty() || self.user.contains(|c: char| c == ':' || c.is_control()) {
            return Err(super::wrong(
                "a user that is empty or has a colon or a control character cannot log in",
            ));
        }
        let Some(nonce) = given.or_else(|| self.nonces().idle.pop_back()) else {
            return Ok(None);
        };
        let mut cnonce = [0; 16];
        random.fill(&mut cnonce);
        let count = nonce.count.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let text = self.text(&nonce.challenge, request, count, &hex(&cnonce));
        let mut value = HeaderValue::from_bytes(text.as_bytes())
            .map_err(|_| super::wrong("credentials that cannot be sent"))?;
        value.set_sensitive(true);
        Ok(Some((value, nonce)))
    }

    fn text(&self, asked: &Challenge, request: &HttpRequest, count: u32, cnonce: &str) -> String {
        let uri = uri(&request.url, self.without_query);
        let hash = |text: String| asked.algorithm.hash(&text);
        let who = hash(format!(
            "{}:{}:{}",
            self.user,
            asked.realm,
            self.password.expose()
        ));
        let what = hash(format!("{}:{uri}", request.method));
        let nonce = &asked.nonce;
        let response = match asked.counts {
            true => hash(format!("{who}:{nonce}:{count:08x}:{cnonce}:auth:{what}")),
            false => hash(format!("{who}:{nonce}:{what}")),
        };
        let mut out = String::from("Digest ");
        // RFC 7616 section 3.4.4: only a server that says that it reads UTF-8 knows `username*`.
        if asked.utf8 && !self.user.is_ascii() {
            out.push_str("username*=UTF-8''");
            percent_encode(&self.user, &mut out);
        } else {
            out.push_str("username=");
            quote(&self.user, &mut out);
        }
        for (name, value) in [("realm", &*asked.realm), ("nonce", nonce), ("uri", &uri)] {
            // Writing to a string cannot fail.
            let _ = write!(out, ", {name}=");
            quote(value, &mut out);
        }
        if asked.names_algorithm {
            let _ = write!(out, ", algorithm={}", asked.algorithm.name());
        }
        let _ = write!(out, ", response=\"{response}\"");
        if let Some(opaque) = &asked.opaque {
            out.push_str(", opaque=");
            quote(opaque, &mut out);
        }
        if asked.counts {
            let _ = write!(out, ", qop=auth, nc={count:08x}, cnonce=\"{cnonce}\"");
        }
        out
    }

    /// Reads the answer to a request that was sent with `used`, or without credentials.
    pub(in crate::http) fn settle(
        &self,
        used: Option<Nonce>,
        response: &HttpResponse,
    ) -> Result<Verdict> {
        let headers = &response.headers;
        if response.status == StatusCode::UNAUTHORIZED {
            // A second challenge for a nonce that is a moment old: the password is wrong.
            if used.is_some_and(|nonce| nonce.own) {
                return Ok(Verdict::Answered);
            }
            return match asked(headers) {
                Asked::For(challenge) => Ok(Verdict::Again(self.nonces().nonce(challenge, true))),
                Asked::Nothing => Ok(Verdict::Answered),
                Asked::Unknown => {
                    let message = "the server asks for a kind of digest that is not spoken here";
                    Err(Error::new(ErrorKind::Authentication, "authorise", message)
                        .with_effect(Effect::NoEffect))
                }
            };
        }
        let Some(used) = used else {
            return Ok(Verdict::Answered);
        };
        let mut nonces = self.nonces();
        let nonce = match (next_nonce(headers), asked(headers)) {
            (Some(nonce), _) => {
                let challenge = Challenge {
                    nonce,
                    ..Challenge::clone(&used.challenge)
                };
                nonces.nonce(challenge, false)
            }
            // The Flexisip account manager sends the same challenge along with every good answer.
            (None, Asked::For(challenge)) if challenge != *used.challenge => {
                nonces.nonce(challenge, false)
            }
            _ => used,
        };
        nonces.put(nonce);
        Ok(Verdict::Answered)
    }

    fn nonces(&self) -> MutexGuard<'_, Nonces> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({MASK})")
    }
}

fn uri(url: &Url, without_query: bool) -> String {
    match url.query().filter(|_| !without_query) {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// A quoted string of RFC 9110 section 5.6.4. The text has no control character.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// The `attr-char` of RFC 5987 section 3.2.1 as they are, the rest as percent and digits.
fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
