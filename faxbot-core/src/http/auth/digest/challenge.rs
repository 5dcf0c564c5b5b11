//! What a server asks for in `WWW-Authenticate`: RFC 9110 section 11.6.1, RFC 7616 section 3.3.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, header::WWW_AUTHENTICATE};
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// A header with more challenges than this is not read to its end.
const MOST_CHALLENGES: usize = 32;
/// What one value may have in bytes: it goes into each header that we send back.
const LONGEST_VALUE: usize = 2048;

/// How a response is computed. The later, the stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    /// Its name in the header.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256]
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The hash of a text, in lower case hexadecimal digits.
    pub(super) fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

/// A challenge that can be answered.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) realm: String,
    pub(super) nonce: String,
    pub(super) opaque: Option<String>,
    pub(super) algorithm: Algorithm,
    /// Whether the server named the algorithm: one that did not may not know the word.
    pub(super) names_algorithm: bool,
    /// Whether `qop=auth` was offered; without it the response is that of RFC 2069.
    pub(super) counts: bool,
    /// Whether the server reads UTF-8 (`charset`), and with it `username*`.
    pub(super) utf8: bool,
}

/// What an answer asks for.
pub(super) enum Asked {
    /// Nothing by digest.
    Nothing,
    /// Only for what is not spoken here.
    Unknown,
    /// This, the strongest of what can be answered.
    For(Challenge),
}

/// The challenges of an answer, in one header or in several.
pub(super) fn asked(headers: &HeaderMap) -> Asked {
    let mut unknown = false;
    let mut best: Option<Challenge> = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for (scheme, values) in parse(&text) {
            if !scheme.eq_ignore_ascii_case("digest") {
                continue;
            }
            match challenge(&values) {
                // Of two alike the first stays: servers write in the order of their preference.
                Some(new) if best.as_ref().is_none_or(|b| b.algorithm < new.algorithm) => {
                    best = Some(new);
                }
                Some(_) => {}
                None => unknown = true,
            }
        }
    }
    match best {
        Some(challenge) => Asked::For(challenge),
        None if unknown => Asked::Unknown,
        None => Asked::Nothing,
    }
}

/// The nonce that the server wants from now on (RFC 7616 section 3.5).
pub(super) fn next_nonce(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(HeaderName::from_static("authentication-info"))?;
    let text = String::from_utf8_lossy(value.as_bytes());
    // A list of values without a scheme: with a word before it, it reads like a challenge.
    let challenges = parse(&format!("info {text}"));
    let (_, values) = challenges.first()?;
    get(values, "nextnonce")
        .filter(|nonce| !nonce.is_empty())
        .map(str::to_owned)
}

type Values = Vec<(String, String)>;

fn get<'a>(values: &'a Values, name: &str) -> Option<&'a str> {
    let (_, value) = values.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
    Some(value)
}

/// A challenge by digest, if it can be answered.
fn challenge(values: &Values) -> Option<Challenge> {
    let sendable = |value: &&str| value.len() <= LONGEST_VALUE && !value.contains(char::is_control);
    let algorithm = get(values, "algorithm");
    let counts = match get(values, "qop") {
        None | Some("") => false,
        Some(list) => {
            // `auth-int` alone would hash the body; no server that we talk to asks for it.
            let mut words = list.split([',', ' ', '\t']);
            words
                .any(|word| word.eq_ignore_ascii_case("auth"))
                .then_some(true)?
        }
    };
    let opaque = match get(values, "opaque") {
        Some(opaque) => Some(Some(opaque).filter(sendable)?.to_owned()),
        None => None,
    };
    Some(Challenge {
        realm: get(values, "realm").filter(sendable)?.to_owned(),
        nonce: get(values, "nonce").filter(sendable)?.to_owned(),
        opaque,
        algorithm: algorithm.map_or(Some(Algorithm::Md5), Algorithm::of)?,
        names_algorithm: algorithm.is_some(),
        counts,
        utf8: get(values, "charset").is_some_and(|c| c.eq_ignore_ascii_case("utf-8")),
    })
}

/// Schemes with their values. Whatever breaks the grammar ends the reading there.
fn parse(text: &str) -> Vec<(String, Values)> {
    let mut rest = Rest(text);
    let mut challenges: Vec<(String, Values)> = Vec::new();
    loop {
        rest.skip(|c| c.is_ascii_whitespace() || c == ',');
        let name = rest.token();
        if name.is_empty() {
            return challenges;
        }
        rest.skip(|c| c == ' ' || c == '\t');
        if let Some((_, values)) = challenges.last_mut()
            && rest.eat('=')
        {
            rest.skip(|c| c == ' ' || c == '\t');
            let value = match rest.eat('"') {
                true => match rest.quoted() {
                    Some(value) => value,
                    None => return challenges,
                },
                false => rest.token().to_owned(),
            };
            // The `=` at the end of a token68 of another scheme.
            rest.skip(|c| c == '=');
            values.push((name.to_owned(), value));
        } else if challenges.len() < MOST_CHALLENGES {
            challenges.push((name.to_owned(), Values::new()));
        } else {
            return challenges;
        }
    }
}

/// What is not read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(what);
    }

    fn eat(&mut self, what: char) -> bool {
        let rest = self.0.strip_prefix(what);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A token of RFC 9110 section 5.6.2, with the `/` that a token68 may have.
    fn token(&mut self) -> &'a str {
        let ends = |c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c));
        let (token, rest) = self.0.split_at(self.0.find(ends).unwrap_or(self.0.len()));
        self.0 = rest;
        token
    }

    /// What is before the closing quote; `None` if there is none.
    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut chars = self.0.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => value.push(chars.next()?),
                c => value.push(c),
            }
        }
        self.0 = chars.as_str();
        Some(value)
    }
}

/// Lower case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}
