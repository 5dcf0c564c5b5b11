//! Who a message comes from and goes to, in one form, so that both directions meet in one
//! conversation.

use faxbot_core::address::{Address, SipUri};

/// The one form of an address that we send to.
pub(super) fn of_address(address: &Address, local_domains: &[String]) -> String {
    match address {
        Address::SipUri(uri) => of_uri(uri, local_domains),
        other => other.expose().into_owned(),
    }
}

/// The one form of a sender as the server gives it: a URI, `Name <uri>`, `tel:` and a number, or a
/// bare name. What is none of these stays as it is, and cannot be answered.
pub(super) fn of_sender(text: &str, local_domains: &[String]) -> String {
    let uri = inside(text).trim();
    if let Ok(Address::SipUri(uri)) = uri.parse() {
        return of_uri(&uri, local_domains);
    }
    let number = uri
        .get(..4)
        .filter(|scheme| scheme.eq_ignore_ascii_case("tel:"))
        .and_then(|_| uri.get(4..));
    // A number of RFC 3966 may hold separators for the eye and parameters.
    let number = number.map(|number| {
        let number = number.split(';').next().unwrap_or_default();
        number.replace(['-', '.', '(', ')'], "")
    });
    match number {
        Some(number) if number.parse::<Address>().is_ok() => number,
        _ => uri.to_owned(),
    }
}

/// The URI of `Name <uri>;parameters`, or all of it. The name may be quoted and hold brackets.
fn inside(text: &str) -> &str {
    let Some(end) = text.rfind('>') else {
        return text;
    };
    let before = text.get(..end).unwrap_or_default();
    match before.rfind('<') {
        Some(start) => before.get(start.saturating_add(1)..).unwrap_or_default(),
        None => text,
    }
}

/// Without parameters, and with the host in lower case (RFC 3261, section 19.1.4). A user at a host of
/// the server's own is an extension or a number, as the server writes those that it knows.
fn of_uri(uri: &SipUri, local_domains: &[String]) -> String {
    let host = uri.host().trim_end_matches('.').to_ascii_lowercase();
    let user = uri.user().unwrap_or_default();
    // A user may have parameters of its own: `+4930123;phone-context=...`.
    let user = user.split(';').next().unwrap_or_default();
    if local_domains.contains(&host) && user.parse::<Address>().is_ok() {
        return user.to_owned();
    }
    let scheme = if uri.is_secure() { "sips" } else { "sip" };
    let at = if user.is_empty() { "" } else { "@" };
    match uri.port() {
        Some(port) => format!("{scheme}:{user}{at}{host}:{port}"),
        None => format!("{scheme}:{user}{at}{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_one_form_whatever_stands_around_it() {
        let rows = [
            ("sip:bob@127.0.0.1", "sip:bob@127.0.0.1"),
            (
                "SIP:bob@Host.Example.;transport=tcp",
                "sip:bob@host.example",
            ),
            ("<sip:bob@h:5070>;tag=1", "sip:bob@h:5070"),
            ("\"Bob <the> Builder\" <sips:bob@h>", "sips:bob@h"),
            ("Bob <sip:bob@[2001:DB8::1]>", "sip:bob@[2001:db8::1]"),
            ("sip:h", "sip:h"),
            ("<tel:+49-30-1234567;ext=1>", "+49301234567"),
            ("TEL:1001", "1001"),
            ("1001", "1001"),
            ("<sip:1001@pbx.example>", "1001"),
            ("<sip:+4930123456@PBX.example;user=phone>", "+4930123456"),
            ("<sip:a%20b@pbx.example>", "sip:a%20b@pbx.example"),
            // What cannot be read stays.
            ("nobody at all", "nobody at all"),
            (">nothing<", ">nothing<"),
            ("tel:", "tel:"),
            ("täl:1", "täl:1"),
            ("", ""),
        ];
        let local = ["pbx.example".to_owned()];
        for (text, expected) in rows {
            assert_eq!(of_sender(text, &local), expected, "{text:?}");
        }
    }

    #[test]
    fn an_address_that_we_send_to_has_the_form_of_its_sender() {
        let local = ["pbx.example".to_owned()];
        for (to, from) in [
            ("sip:bob@HOST", "Bob <sip:bob@host;x=1>"),
            ("1001", "sip:1001@pbx.example"),
            ("sip:1001@pbx.example", "1001"),
            ("+4930123456", "tel:+4930123456"),
        ] {
            let to = of_address(&to.parse().unwrap(), &local);
            assert_eq!(to, of_sender(from, &local));
        }
        let native = Address::native("pjsip:desk");
        assert_eq!(of_address(&native, &local), "native:pjsip:desk");
    }
}
