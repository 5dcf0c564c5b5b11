//! Local time for people who read a fax.

use std::time::SystemTime;

use faxbot_core::{ErrorKind, Result, Timestamp};
use jiff::{Zoned, tz::TimeZone};

/// The time zone of what is drawn: that of the system unless another was set.
#[derive(Debug, Clone, Default)]
pub(super) struct Zone(Option<TimeZone>);

impl Zone {
    /// A zone by its IANA name.
    pub(super) fn named(name: &str) -> Result<Self> {
        TimeZone::get(name)
            .map(|zone| Self(Some(zone)))
            .map_err(|source| {
                let message = "no such time zone: give an IANA name such as Europe/Berlin";
                faxbot_core::Error::new(ErrorKind::Config, "with_time_zone", message)
                    .with_source(source)
            })
    }

    /// Date, time and the short name of the zone, such as `2026-11-21 09:00 CET`.
    pub(super) fn date_and_time(&self, at: Timestamp) -> String {
        self.local(at).strftime("%Y-%m-%d %H:%M %Z").to_string()
    }

    /// The date, such as `2026-11-21`.
    pub(super) fn date(&self, at: Timestamp) -> String {
        self.local(at).strftime("%Y-%m-%d").to_string()
    }

    fn local(&self, at: Timestamp) -> Zoned {
        // Asked each time, as the system's zone can change while a server runs; UTC says so itself.
        let zone = self
            .0
            .clone()
            .unwrap_or_else(|| TimeZone::try_system().unwrap_or(TimeZone::UTC));
        jiff::Timestamp::try_from(SystemTime::from(at))
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_shows_and_moves_the_date() {
        let at: Timestamp = "2026-06-30T22:30:59Z".parse().unwrap();
        for (zone, shown, date) in [
            ("UTC", "2026-06-30 22:30 UTC", "2026-06-30"),
            ("Europe/Berlin", "2026-07-01 00:30 CEST", "2026-07-01"),
            ("America/New_York", "2026-06-30 18:30 EDT", "2026-06-30"),
            ("Asia/Kathmandu", "2026-07-01 04:15 +0545", "2026-07-01"),
        ] {
            let zone = Zone::named(zone).unwrap();
            assert_eq!(zone.date_and_time(at), shown);
            assert_eq!(zone.date(at), date);
        }
    }

    #[test]
    fn a_zone_that_is_not_there_is_a_fault_of_the_configuration() {
        for name in ["Europe/Nowhere", "", "../../etc/passwd"] {
            assert_eq!(Zone::named(name).unwrap_err().kind(), ErrorKind::Config);
        }
    }
}
