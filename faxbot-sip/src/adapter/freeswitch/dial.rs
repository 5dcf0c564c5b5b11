//! Dial strings: where a call goes.

use faxbot_core::{
    Error, ErrorKind, Result,
    address::{Address, FaxTarget},
};

use super::config::FreeswitchConfig;
use crate::protocol::esl::{Leg, VariableError};

/// The dial string of one destination.
///
/// One, always: our uuid names the first of several, and the others would be refused as duplicates
/// (recording `09_hook_other_ways`).
pub(super) fn dial_string(
    config: &FreeswitchConfig,
    to: &Address,
    operation: &'static str,
) -> Result<String> {
    let extension_dial = config.extension_dial.as_ref();
    match to {
        Address::PhoneNumber(_) => config.dial.fill(to, &config.number_format),
        Address::Extension(_) => extension_dial
            .unwrap_or(&config.dial)
            .fill(to, &config.number_format),
        Address::SipUri(uri) => match &config.sip_dial {
            Some((before, after)) => Ok(format!("{before}{}{after}", uri.expose())),
            None => Err(invalid(
                operation,
                "set options.sip_dial (sofia/external/{uri}) to dial SIP URIs",
            )),
        },
        // Who writes several means several.
        Address::Native(native) if native.expose().contains([',', '|']) => Err(invalid(
            operation,
            "a native address is one destination, without commas and |",
        )),
        Address::Native(native) => Ok(native.expose().clone()),
        _ => Err(Error::unsupported(operation)),
    }
}

/// The destination as a leg of a line.
pub(super) fn leg(config: &FreeswitchConfig, to: &Address, operation: &'static str) -> Result<Leg> {
    let dial = dial_string(config, to, operation)?;
    Leg::new(&dial).map_err(|error| refused(operation, error))
}

/// The leg of a second party: as an argument of `bridge` it ends at the first `)`.
pub(super) fn second_party(
    config: &FreeswitchConfig,
    to: &Address,
    operation: &'static str,
) -> Result<Leg> {
    if dial_string(config, to, operation)?.contains(')') {
        return Err(invalid(
            operation,
            "the dial string of a second party cannot hold a closing parenthesis",
        ));
    }
    leg(config, to, operation)
}

/// The address of a fax.
pub(super) fn fax_address(target: &FaxTarget) -> Address {
    target.clone().into()
}

/// Whether headers of SIP reach the far end from a channel of this dial string: `user/` is an
/// endpoint of the directory, which is SIP unless the operator made it otherwise.
pub(super) fn is_sip(dial: &str) -> bool {
    ["sofia/", "user/"].iter().any(|kind| {
        dial.get(..kind.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(kind))
    })
}

/// What an escape cannot get through.
pub(super) fn refused(operation: &'static str, error: VariableError) -> Error {
    Error::new(ErrorKind::InvalidRequest, operation, error.to_string()).with_source(error)
}

pub(super) fn invalid(operation: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, operation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_destination_is_dialled_and_nothing_else() {
        let config = FreeswitchConfig::from_url(
            "esl://:x@h?dial=sofia/gateway/trunk/{number}&extension_dial=user/{number}&number_format=digits",
        )
        .unwrap();
        for (to, dial) in [
            ("+493012345678", "sofia/gateway/trunk/493012345678"),
            ("1001", "user/1001"),
            ("sip:fax@host:5080", "sofia/external/sip:fax@host:5080"),
            ("native:loopback/605/default", "loopback/605/default"),
            (
                "native:sofia/in/1@[2001:db8::1]",
                "sofia/in/1@[2001:db8::1]",
            ),
        ] {
            let to = to.parse().unwrap();
            assert_eq!(dial_string(&config, &to, "make_call").unwrap(), dial);
        }
        for to in [
            "sofia/a/1,sofia/a/2",
            "sofia/a/1|sofia/a/2",
            "sofia/a/1:_:sofia/a/2",
            "[origination_uuid=x]sofia/a/1",
            "nowhere",
            "{origination_uuid=x}sofia/a/1",
            "<x=y>sofia/a/1",
            "^^:sofia/a/1",
            "&park()",
            "sofia/a/${x}",
            "sofia/a/1\nexit",
            "",
        ] {
            let error = leg(&config, &Address::native(to), "make_call").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{to:?}");
        }
        let to = Address::native("sofia/a/1)");
        assert!(leg(&config, &to, "make_call").is_ok());
        assert!(second_party(&config, &to, "make_call").is_err());
    }

    #[test]
    fn headers_reach_sip_channels() {
        for (dial, sip) in [
            ("sofia/gateway/x/1", true),
            ("Sofia/internal/1@h", true),
            ("user/1001@d", true),
            ("loopback/1", false),
            ("é", false),
        ] {
            assert_eq!(is_sip(dial), sip, "{dial}");
        }
    }
}
