//! Times: tokio's for deadlines, wall time for what is told.

use faxbot_core::{Timestamp, clock::Clock as _, clock::TokioClock};
use tokio::time::Instant;

/// Wall time that follows tokio's clock.
#[derive(Debug)]
pub(in crate::server) struct Wall {
    started: Instant,
    wall: Timestamp,
}

impl Wall {
    pub(in crate::server) fn new() -> Self {
        Self {
            started: Instant::now(),
            wall: TokioClock::new().timestamp(),
        }
    }

    pub(in crate::server) fn at(&self, now: Instant) -> Timestamp {
        self.wall + now.saturating_duration_since(self.started)
    }

    pub(in crate::server) fn instant(&self, at: Timestamp) -> Instant {
        self.started + at.duration_since(self.wall)
    }
}

/// A moment as the vendor's clients write it: with an offset, without one (then it is UTC), or a date
/// alone.
pub(in crate::server) fn moment(text: &str) -> Option<Timestamp> {
    let candidates = [
        text.to_owned(),
        format!("{text}Z"),
        format!("{text}T00:00:00Z"),
    ];
    candidates.iter().find_map(|text| text.parse().ok())
}

/// As the fax product writes it: whole seconds.
pub(in crate::server) fn with_seconds(at: Timestamp) -> String {
    at.to_seconds().to_string()
}

/// As the SMS product writes it: three digits behind the point.
pub(in crate::server) fn with_millis(at: Timestamp) -> String {
    let seconds = with_seconds(at);
    let millis = at.as_millisecond().rem_euclid(1000);
    format!("{}.{millis:03}Z", seconds.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_utc_unless_it_says_otherwise() {
        for (text, wanted) in [
            ("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05Z")),
            ("2026-01-02T03:04:05.678", Some("2026-01-02T03:04:05.678Z")),
            ("2026-01-02T03:04:05+01:00", Some("2026-01-02T02:04:05Z")),
            ("2026-01-02", Some("2026-01-02T00:00:00Z")),
            ("yesterday", None),
        ] {
            let found = moment(text).map(|at| at.to_string());
            assert_eq!(found.as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn times_are_written_as_each_product_does() {
        let at = "2026-01-02T03:04:05.070999Z".parse().unwrap();
        assert_eq!(with_seconds(at), "2026-01-02T03:04:05Z");
        assert_eq!(with_millis(at), "2026-01-02T03:04:05.070Z");
    }
}
