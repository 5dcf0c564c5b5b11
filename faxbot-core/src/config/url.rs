//! The URL form of a configuration: `ami://user:secret@host:5038?connect_timeout=5s`.

use serde_json::{Map, Value};
use url::Url;

use super::{ConfigError, ConfigErrors};

/// What one scheme of a URL means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UrlScheme {
    /// The scheme: `amis`.
    pub scheme: &'static str,
    /// The `type` it stands for: `asterisk`.
    pub kind: &'static str,
    /// Options it sets: `[("tls", "true")]`.
    pub options: &'static [(&'static str, &'static str)],
}

impl UrlScheme {
    /// A scheme that stands for `kind` and sets no options.
    pub const fn new(scheme: &'static str, kind: &'static str) -> Self {
        Self {
            scheme,
            kind,
            options: &[],
        }
    }

    /// The same with options that it sets.
    #[must_use]
    pub const fn with_options(mut self, options: &'static [(&'static str, &'static str)]) -> Self {
        self.options = options;
        self
    }
}

/// Turns a URL into a value for [`FieldTable::load`](super::FieldTable::load).
///
/// User and password become `auth.username` and `auth.password`, host and port are themselves, a
/// path is `options.path`, and each part of the query an option, but for those that begin with `auth.`:
/// `?auth.scheme=digest` is a field of that section. All are percent-decoded; a plus sign stays one, so
/// that `?caller_id=+49301234567` works.
///
/// # Errors
/// An unknown scheme, a fragment (a `#` in a password has to be written `%23`), an option given
/// twice, broken percent-encoding.
pub fn from_url(url: &Url, schemes: &[UrlScheme]) -> Result<Value, ConfigErrors> {
    let mut problems = Vec::new();
    let mut top = Map::new();
    let mut auth = Map::new();
    let mut options = Map::new();

    match schemes.iter().find(|known| known.scheme == url.scheme()) {
        Some(known) => {
            top.insert("type".into(), known.kind.into());
            for (name, value) in known.options {
                options.insert((*name).into(), (*value).into());
            }
        }
        None => {
            let known: Vec<_> = schemes.iter().map(|known| known.scheme).collect();
            let expected = format!("one of {}", known.join(", "));
            problems.push(ConfigError::new("url", "unknown scheme", expected));
        }
    }
    if url.fragment().is_some() {
        problems.push(ConfigError::new(
            "url",
            "has a fragment",
            "a # written as %23",
        ));
    }

    let mut decoded = |place: &str, text: &str| {
        let value = decode(text);
        if value.is_none() {
            problems.push(broken_encoding(place));
        }
        value
    };
    if !url.username().is_empty()
        && let Some(name) = decoded("auth.username", url.username())
    {
        auth.insert("username".into(), name.into());
    }
    if let Some(password) = url.password()
        && let Some(password) = decoded("auth.password", password)
    {
        auth.insert("password".into(), password.into());
    }
    if let Some(host) = url.host_str().filter(|host| !host.is_empty())
        && let Some(host) = decoded("host", host.trim_matches(['[', ']']))
    {
        top.insert("host".into(), host.into());
    }
    if let Some(port) = url.port() {
        top.insert("port".into(), port.into());
    }
    if !matches!(url.path(), "" | "/")
        && let Some(path) = decoded("options.path", url.path())
    {
        options.insert("path".into(), path.into());
    }
    for pair in url
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            problems.push(broken_encoding("options"));
            continue;
        };
        let (section, entries, name) = match name.strip_prefix("auth.") {
            Some(name) => ("auth", &mut auth, name.to_owned()),
            None => ("options", &mut options, name),
        };
        if entries.contains_key(&name) {
            let place = format!("{section}.{}", name.escape_debug());
            problems.push(ConfigError::new(place, "given twice", "it once"));
        }
        entries.insert(name, value.into());
    }

    ConfigErrors::check(problems)?;
    top.insert("auth".into(), auth.into());
    top.insert("options".into(), options.into());
    Ok(top.into())
}

/// As [`from_url`], from text, whose errors do not repeat it.
///
/// # Errors
/// As [`from_url`], and text that is not a URL.
pub fn from_url_text(text: &str, schemes: &[UrlScheme]) -> Result<Value, ConfigErrors> {
    let url = Url::parse(text.trim()).map_err(|error| {
        ConfigError::new(
            "url",
            error.to_string(),
            "a URL such as scheme://user:secret@host:port",
        )
    })?;
    from_url(&url, schemes)
}

fn broken_encoding(place: &str) -> ConfigError {
    ConfigError::new(
        place,
        "broken percent-encoding",
        "% followed by two hex digits, as UTF-8",
    )
}

/// Percent-decodes (RFC 3986 §2.1).
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let value = digit()?.checked_mul(16)?.checked_add(digit()?)?;
            out.push(u8::try_from(value).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}
