//! Times as the server writes them. The mock's server is in UTC.

use faxbot_core::Timestamp;

/// The parts of `2026-11-21T07:08:38Z`.
fn parts(at: Timestamp) -> (String, String) {
    let text = at.to_seconds().to_string();
    let text = text.trim_end_matches('Z');
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    (date.to_owned(), time.to_owned())
}

/// `2026-11-21 07:10:59`.
pub(super) fn stamp(at: Timestamp) -> String {
    let (date, time) = parts(at);
    format!("{date} {time}")
}

/// `Sat Nov 21 07:08:38 2026`, as `ctime` does.
pub(super) fn date(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (date, time) = parts(at);
    let mut numbers = date.split('-');
    let year = numbers.next().unwrap_or_default();
    let mut number = || numbers.next().and_then(|text| text.parse::<usize>().ok());
    let month = number().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    let day_of_month = number().unwrap_or_default();
    // The first of January 1970 was a Thursday.
    let day = at.as_second().div_euclid(86_400).rem_euclid(7);
    let day = usize::try_from(day).ok().and_then(|day| DAYS.get(day));
    let (day, month) = (day.unwrap_or(&""), month.unwrap_or(&""));
    format!("{day} {month} {day_of_month:>2} {time} {year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_server_does() {
        // Recordings `01_version_uptime_ps_which`, `02_dlg_one_live_dialog`.
        let at = |seconds| Timestamp::from_unix_seconds(seconds).unwrap();
        assert_eq!(date(at(1_795_244_918)), "Sat Nov 21 07:08:38 2026");
        assert_eq!(date(at(0)), "Thu Jan  1 00:00:00 1970");
        assert_eq!(stamp(at(1_795_245_059)), "2026-11-21 07:10:59");
    }
}
