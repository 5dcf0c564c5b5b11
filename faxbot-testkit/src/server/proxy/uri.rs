//! SIP addresses, as far as a proxy's mock reads them.

/// An address that somebody calls: `sip:user@host`, or `<sip:user@host?Header=value>`.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::server) struct Target {
    /// Without brackets, parameters and headers.
    pub uri: String,
    /// With its parameters.
    pub full: String,
    pub user: String,
    /// With its port.
    pub host: String,
    /// What the URI puts into the INVITE, decoded.
    pub headers: Vec<(String, String)>,
}

impl Target {
    /// Reads one; `None` for what no SIP address is.
    pub(in crate::server) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let inner = match text.split_once('<') {
            Some((_, rest)) => rest.split_once('>')?.0,
            None => text,
        };
        let (scheme, rest) = inner.split_once(':')?;
        if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
            return None;
        }
        let (address, headers) = rest.split_once('?').unwrap_or((rest, ""));
        let full = format!("{scheme}:{address}");
        let (address, _) = address.split_once(';').unwrap_or((address, ""));
        let (user, host) = address.rsplit_once('@').unwrap_or(("", address));
        if host.is_empty() || host.contains(char::is_whitespace) {
            return None;
        }
        let headers = url::form_urlencoded::parse(headers.replace('+', "%2B").as_bytes())
            .into_owned()
            .collect();
        Some(Self {
            uri: format!("{scheme}:{address}"),
            full,
            user: user.to_owned(),
            host: host.to_owned(),
            headers,
        })
    }

    /// The first of these headers.
    pub(in crate::server) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_its_user_host_and_headers() {
        let target =
            Target::parse("<sip:2001@127.0.0.1:5070;transport=udp?X-Job=a%20b&B=1+2>").unwrap();
        assert_eq!(target.uri, "sip:2001@127.0.0.1:5070");
        assert_eq!(target.full, "sip:2001@127.0.0.1:5070;transport=udp");
        assert_eq!(
            (target.user.as_str(), target.host.as_str()),
            ("2001", "127.0.0.1:5070")
        );
        assert_eq!(target.header("x-job"), Some("a b"));
        assert_eq!(target.header("B"), Some("1+2"));
        for none in ["not a uri", "", "sip:", "<sip:x@y", "tel:+1", "sip:a@b c"] {
            assert!(Target::parse(none).is_none(), "{none}");
        }
    }
}
