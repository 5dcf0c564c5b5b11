//! What no vendor's HTTP interface carries, refused in the same words by each provider.

use faxbot_core::{
    Error, ErrorKind, Result,
    address::{FaxTarget, PhoneNumber},
    plugin::SendOptions,
};

/// The number that a fax goes to; vendors call the public network only.
///
/// # Errors
/// `InvalidRequest` for extensions and SIP URIs.
pub fn phone_number(to: &FaxTarget) -> Result<&PhoneNumber> {
    match to {
        FaxTarget::PhoneNumber(number) => Ok(number),
        _ => Err(refused(
            "to: the provider calls phone numbers only: + and 7 to 15 digits",
        )),
    }
}

/// Refuses what the vendor's own fax machines decide.
///
/// # Errors
/// `InvalidRequest` with the first option that is set.
pub fn refuse_options_of_a_call(options: &SendOptions) -> Result<()> {
    let set = [
        ("station_id", options.station_id.is_some()),
        ("ecm", options.ecm.is_some()),
        ("max_rate", options.max_rate.is_some()),
        ("t38", options.t38.is_some()),
        ("ring_timeout", options.ring_timeout.is_some()),
        ("timeout", options.timeout.is_some()),
    ];
    match set.iter().find(|(_, set)| *set) {
        Some((name, _)) => Err(refused(format!(
            "{name}: the provider decides that itself: leave it out"
        ))),
        None => Ok(()),
    }
}

/// An option that cannot be carried.
pub fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, "send_fax", message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faxbot_core::fax::{FaxRetryPolicy, T38Mode};

    use super::*;

    #[test]
    fn only_a_phone_number_is_called() {
        let number = |text: &str| phone_number(&text.parse().unwrap()).is_ok();
        assert!(number("+15558675309"));
        assert!(!number("1001") && !number("sip:fax@example.org"));
    }

    #[test]
    fn what_the_machines_of_the_vendor_decide_is_refused_by_name() {
        let minute = Duration::from_secs(60);
        for (name, options) in [
            (
                "station_id",
                SendOptions::new().with_station_id("1".parse().unwrap()),
            ),
            ("ecm", SendOptions::new().with_ecm(true)),
            ("max_rate", SendOptions::new().with_max_rate(9600)),
            ("t38", SendOptions::new().with_t38(T38Mode::Prefer)),
            ("ring_timeout", SendOptions::new().with_ring_timeout(minute)),
            ("timeout", SendOptions::new().with_timeout(minute)),
        ] {
            let error = refuse_options_of_a_call(&options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert!(error.message().starts_with(name), "{error}");
        }
        let carried = SendOptions::new().with_retry(FaxRetryPolicy::default());
        assert!(refuse_options_of_a_call(&carried).is_ok());
    }
}
