//! The fields that every cloud provider shares, and the one table that a provider makes of them and
//! its own.
//!
//! ```
//! use faxbot_core::config::{Field, FieldTable, Kind};
//! use faxbot_providers::cloud::{cloud_fields, fields};
//!
//! const FIELDS: FieldTable = cloud_fields!(fax, ["acme-fax", "acme_fax"], [
//!     Field::new("auth.api_key", Kind::Secret, "the key of the account").required(),
//!     fields::base_url("https://api.acme.example/v1/"),
//! ]);
//! assert!(FIELDS.faults().is_empty());
//! assert!(FIELDS.markdown().contains("options.poll_max"));
//! ```

use faxbot_core::config::{Field, Kind};
use serde_json::Value;
use url::{Host, Url};

/// Makes the [`FieldTable`](faxbot_core::config::FieldTable) of a provider:
/// `cloud_fields!(fax, [types, the canonical one first], [the provider's own fields])`. The fields of
/// the engine (`fax` or `messaging`) come after the provider's own.
#[doc(hidden)]
#[macro_export]
macro_rules! __cloud_fields {
    ($engine:ident, [$($type:literal),+ $(,)?], [$($field:expr),* $(,)?]) => {{
        const OWN: &[$crate::cloud::fields::ConfigField] = &[$($field),*];
        const SHARED: &[$crate::cloud::fields::ConfigField] = $crate::cloud::$engine::FIELDS;
        const ALL: [$crate::cloud::fields::ConfigField; OWN.len() + SHARED.len()] =
            $crate::cloud::fields::joined(OWN, SHARED);
        $crate::cloud::fields::ConfigTable::new(&[$($type),+], &ALL)
    }};
}
#[doc(inline)]
pub use __cloud_fields as cloud_fields;

#[doc(hidden)]
pub use faxbot_core::config::{Field as ConfigField, FieldTable as ConfigTable};

/// `own` and then `shared`, which have `N` fields together.
#[doc(hidden)]
#[expect(
    clippy::indexing_slicing,
    reason = "runs when a table is compiled: a fault is an error of the compiler"
)]
pub const fn joined<const N: usize>(own: &[Field], shared: &[Field]) -> [Field; N] {
    let mut all = [Field::new("", Kind::Any, ""); N];
    let mut at = 0;
    while at < N {
        all[at] = if at < own.len() {
            own[at]
        } else {
            shared[at - own.len()]
        };
        at += 1;
    }
    all
}

/// The address of the vendor's interface, with the vendor's own as default. It may be changed to a
/// region's, or to a mock of this machine.
///
/// What [`parse_base_url`] refuses is a problem of the configuration.
pub const fn base_url(default: &'static str) -> Field {
    Field::new(
        "options.base_url",
        Kind::Checked {
            expected: "an https URL without user and password, or an http one of this machine",
            accepts: is_base_url,
        },
        "address of the vendor's interface; http only to this machine",
    )
    .default(default)
}

/// Where the vendor reaches our webhooks: see [`parse_webhook_url`].
pub const WEBHOOK_URL: Field = Field::new(
    "options.webhook_url",
    Kind::Checked {
        expected: "an http or https URL without a fragment",
        accepts: is_webhook_url,
    },
    "public URL of our webhooks as the vendor is given it; without one everything is polled",
)
.default_note("the host's, where it serves webhooks");

/// The address of a vendor's interface: https, or http to this machine (`localhost`, `127.0.0.0/8`,
/// `::1`), where our credentials cannot be read on the way; no user, no password, no query, no
/// fragment. A path without a slash at its end gets one, so that it is kept when paths are joined to
/// it.
pub fn parse_base_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let local = match url.host()? {
        Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let scheme = url.scheme() == "https" || url.scheme() == "http" && local;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !scheme || !bare {
        return None;
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}

/// A URL of our webhooks: http or https, without a fragment. It may hold a user and a password, for
/// vendors that prove themselves by nothing else.
pub fn parse_webhook_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let web = matches!(url.scheme(), "http" | "https") && url.has_host();
    (web && url.fragment().is_none()).then_some(url)
}

fn is_base_url(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| parse_base_url(text).is_some())
}

fn is_webhook_url(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| parse_webhook_url(text).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_over_tls_or_stay_on_this_machine() {
        for (text, url) in [
            (
                "https://api.example.org/v1",
                Some("https://api.example.org/v1/"),
            ),
            ("https://api.example.org", Some("https://api.example.org/")),
            ("https://10.0.0.1:8443/a/", Some("https://10.0.0.1:8443/a/")),
            (
                "http://127.0.0.1:8080/v1",
                Some("http://127.0.0.1:8080/v1/"),
            ),
            ("http://127.9.9.9", Some("http://127.9.9.9/")),
            ("http://[::1]:9/", Some("http://[::1]:9/")),
            ("http://LOCALHOST/", Some("http://localhost/")),
            ("http://api.example.org/v1", None),
            ("http://10.0.0.1/", None),
            ("http://localhost.example.org/", None),
            ("http://127.0.0.1.example.org/", None),
            ("http://127.0.0.1@example.org/", None),
            ("https://user@api.example.org/", None),
            ("https://user:secret@api.example.org/", None),
            ("https://api.example.org/?key=1", None),
            ("https://api.example.org/#a", None),
            ("ftp://api.example.org/", None),
            ("file:///etc/passwd", None),
            ("api.example.org", None),
            ("", None),
        ] {
            let parsed = parse_base_url(text);
            assert_eq!(parsed.as_ref().map(Url::as_str), url, "{text}");
            assert_eq!(is_base_url(&Value::from(text)), url.is_some(), "{text}");
        }
    }

    #[test]
    fn a_webhook_url_is_one_that_a_vendor_can_call() {
        for (text, right) in [
            ("https://fax.example.org/webhooks/phaxio", true),
            ("http://fax.example.org:8080/hooks?a=b", true),
            ("https://vendor:secret@fax.example.org/hooks", true),
            ("https://fax.example.org/hooks#a", false),
            ("mailto:fax@example.org", false),
            ("https://", false),
            ("/webhooks/phaxio", false),
        ] {
            assert_eq!(parse_webhook_url(text).is_some(), right, "{text}");
        }
    }
}
