//! Where calls and messages go: URIs that cannot become anything else in what they are put into.

use faxbot_core::{Error, ErrorKind, Result, address::Address};

use super::config::OpenSipsConfig;

/// The URI of a party.
///
/// # Errors
/// `InvalidRequest` for a native address that is no URI.
pub(super) fn uri(
    config: &OpenSipsConfig,
    address: &Address,
    operation: &'static str,
) -> Result<String> {
    match address {
        Address::SipUri(uri) => Ok(uri.expose().to_owned()),
        Address::PhoneNumber(_) | Address::Extension(_) => config
            .dial
            .fill(address, &config.number_format)
            .map_err(|error| error.with_operation(operation)),
        Address::Native(native) => {
            if is_uri(native.expose()) {
                return Ok(native.expose().clone());
            }
            let message =
                "a native address of opensips is a uri without spaces, quotes and brackets";
            Err(invalid(operation, message))
        }
        _ => Err(invalid(operation, "an address of a kind that is not known")),
    }
}

/// Whether a text is a URI by its form, without what ends one in a header.
pub(super) fn is_uri(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte);
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme && text.len() <= 255 && text.len() > scheme.len() + 1 && text.bytes().all(allowed)
}

/// A party of `b2b_trigger_scenario`: `id,uri[,name]`.
///
/// # Errors
/// `InvalidRequest` for what a comma or a quote would take apart.
pub(super) fn entity(
    name: &str,
    uri: &str,
    display: Option<&str>,
    operation: &'static str,
) -> Result<String> {
    if uri.contains(',') {
        let message = "a uri with a comma cannot be called by b2b_trigger_scenario";
        return Err(invalid(operation, message));
    }
    let Some(display) = display else {
        return Ok(format!("{name},{uri}"));
    };
    let refused = |letter: char| letter.is_control() || ",\"\\<>".contains(letter);
    if display.is_empty() || display.len() > 64 || display.contains(refused) {
        let message =
            "a caller's name has 1 to 64 bytes, without commas, quotes, backslashes and brackets";
        return Err(invalid(operation, message));
    }
    Ok(format!("{name},{uri},{display}"))
}

pub(super) fn invalid(operation: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, operation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> OpenSipsConfig {
        OpenSipsConfig::from_url("opensips+http://pbx/mi?dial=sip:{number}@trunk.example").unwrap()
    }

    #[test]
    fn every_kind_of_address_has_its_uri() {
        for (address, wanted) in [
            ("1001", "sip:1001@trunk.example"),
            ("+493012345678", "sip:+493012345678@trunk.example"),
            ("sip:bob@127.0.0.1:5080", "sip:bob@127.0.0.1:5080"),
            ("native:tel:+4930", "tel:+4930"),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(uri(&config(), &address, "make_call").unwrap(), wanted);
        }
    }

    #[test]
    fn what_would_leave_its_place_is_no_uri() {
        for text in [
            "sip:a@b>\r\nX: y",
            "sip:a b@c",
            "nothing",
            "sip:",
            ":a",
            "sip:a\"b@c",
            "<sip:a@b>",
            "sip:\u{fc}@b",
        ] {
            let address = Address::native(text);
            let error = uri(&config(), &address, "make_call").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{text}");
        }
        assert!(!is_uri(&format!("sip:{}@b", "a".repeat(255))));
    }

    #[test]
    fn a_party_is_one_argument() {
        let entity = |uri: &str, name: Option<&str>| entity("to", uri, name, "make_call");
        assert_eq!(entity("sip:a@b", None).unwrap(), "to,sip:a@b");
        assert_eq!(
            entity("sip:a@b", Some("Front desk")).unwrap(),
            "to,sip:a@b,Front desk"
        );
        assert!(entity("sip:a,b@c", None).is_err());
        for name in ["", "a,b", "a\"b", "a\r\nb", "<a>"] {
            assert!(entity("sip:a@b", Some(name)).is_err(), "{name}");
        }
    }
}
