//! Events as they are made, before anybody's format.

use bytes::Bytes;
use faxbot_core::Timestamp;
use faxbot_sip::protocol::esl::{Format, encoding, server};

/// An event: headers in their order, values as they are, and a body.
#[derive(Debug, Clone, Default)]
pub(super) struct Event {
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
}

impl Event {
    pub(super) fn push(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    #[must_use]
    pub(super) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The first value of that name; the case does not count.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn encode(&self, format: Format) -> Bytes {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        server::event(format, &headers, self.body.as_deref().map(str::as_bytes))
    }

    /// The form without a frame: `uuid_dump`, and the reply to `connect`.
    pub(super) fn bare(&self, format: Format) -> Vec<u8> {
        let frame = self.encode(format);
        let head = frame.windows(2).position(|two| two == b"\n\n");
        let body = head.and_then(|at| frame.get(at + 2..));
        body.unwrap_or_default().to_vec()
    }
}

/// A value as plain events have it.
pub(super) fn encoded(value: &str) -> String {
    let mut out = Vec::new();
    encoding::encode(value.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// `2026-11-21 03:27:16`.
pub(super) fn stamp(at: Timestamp) -> String {
    let text = at.to_seconds().to_string();
    text.trim_end_matches('Z').replace('T', " ")
}

/// `Sat, 21 Nov 2026 03:27:16 GMT`.
pub(super) fn gmt(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let day = at.as_second().div_euclid(86_400).rem_euclid(7);
    let day = usize::try_from(day).ok().and_then(|day| DAYS.get(day));
    let text = stamp(at);
    let (date, time) = text.split_once(' ').unwrap_or_default();
    let mut parts = date.split('-');
    let year = parts.next().unwrap_or_default();
    let month: usize = parts.next().and_then(|m| m.parse().ok()).unwrap_or(1);
    let month = MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"Jan");
    let number = parts.next().unwrap_or_default();
    format!(
        "{}, {number} {month} {year} {time} GMT",
        day.unwrap_or(&"Thu")
    )
}

/// File, function and line that an event says it comes from (all recordings).
pub(super) fn origin(name: &str, subclass: &str) -> (&'static str, &'static str, &'static str) {
    match (name, subclass) {
        ("CHANNEL_STATE", _) => (
            "switch_channel.c",
            "switch_channel_perform_set_running_state",
            "2408",
        ),
        ("CHANNEL_CALLSTATE", _) => (
            "switch_channel.c",
            "switch_channel_perform_set_callstate",
            "301",
        ),
        ("CHANNEL_CREATE", _) => (
            "switch_core_state_machine.c",
            "switch_core_session_run",
            "626",
        ),
        ("CHANNEL_ORIGINATE", _) => (
            "switch_core_state_machine.c",
            "switch_core_session_run",
            "632",
        ),
        ("CHANNEL_OUTGOING", _) => (
            "switch_core_session.c",
            "switch_core_session_outgoing_channel",
            "768",
        ),
        ("CHANNEL_UUID", _) => (
            "switch_core_session.c",
            "switch_core_session_set_uuid",
            "2051",
        ),
        ("CHANNEL_PROGRESS", _) => (
            "switch_channel.c",
            "switch_channel_perform_mark_ring_ready_value",
            "3505",
        ),
        ("CHANNEL_PROGRESS_MEDIA", _) => (
            "switch_channel.c",
            "switch_channel_perform_mark_pre_answered",
            "3560",
        ),
        ("CHANNEL_ANSWER", _) => (
            "switch_channel.c",
            "switch_channel_perform_mark_answered",
            "3846",
        ),
        ("CHANNEL_BRIDGE", _) => (
            "switch_ivr_bridge.c",
            "switch_ivr_multi_threaded_bridge",
            "1689",
        ),
        ("CHANNEL_UNBRIDGE", _) => (
            "switch_ivr_bridge.c",
            "switch_ivr_multi_threaded_bridge",
            "1879",
        ),
        ("CHANNEL_HANGUP", _) => ("switch_channel.c", "switch_channel_perform_hangup", "3445"),
        ("CHANNEL_HANGUP_COMPLETE", _) => (
            "switch_core_state_machine.c",
            "switch_core_session_reporting_state",
            "943",
        ),
        ("CHANNEL_DESTROY", _) => (
            "switch_core_session.c",
            "switch_core_session_perform_destroy",
            "1584",
        ),
        ("CHANNEL_EXECUTE", _) => ("switch_core_session.c", "switch_core_session_exec", "2944"),
        ("CHANNEL_EXECUTE_COMPLETE", _) => {
            ("switch_core_session.c", "switch_core_session_exec", "2967")
        }
        ("CHANNEL_PARK", _) => ("switch_ivr.c", "switch_ivr_park", "1002"),
        ("CHANNEL_UNPARK", _) => ("switch_ivr.c", "switch_ivr_park", "1213"),
        ("CHANNEL_HOLD" | "CHANNEL_UNHOLD", _) => {
            ("switch_channel.c", "switch_channel_mark_hold", "875")
        }
        ("CALL_UPDATE", _) => ("switch_channel.c", "switch_channel_flip_cid", "3277"),
        ("DTMF", _) => ("switch_channel.c", "switch_channel_dequeue_dtmf", "677"),
        ("RECORD_START", _) => ("switch_ivr_async.c", "record_callback", "1481"),
        ("RECORD_STOP", _) => ("switch_ivr_async.c", "send_record_stop_event", "1240"),
        ("API", _) => ("switch_loadable_module.c", "switch_api_execute", "2954"),
        ("BACKGROUND_JOB", _) => ("mod_event_socket.c", "api_exec", "1572"),
        ("HEARTBEAT", _) => ("switch_core.c", "send_heartbeat", "95"),
        ("SHUTDOWN", _) => ("switch_core.c", "switch_core_destroy", "3023"),
        ("MODULE_UNLOAD", _) => (
            "switch_loadable_module.c",
            "switch_loadable_module_unprocess",
            "1297",
        ),
        ("MODULE_LOAD", _) => (
            "switch_loadable_module.c",
            "switch_loadable_module_process",
            "1240",
        ),
        ("CHANNEL_DATA", _) => ("mod_commands.c", "uuid_dump_function", "6468"),
        ("MESSAGE", _) => (
            "sofia_presence.c",
            "sofia_presence_handle_sip_i_message",
            "4889",
        ),
        ("PRESENCE_IN", _) => ("switch_channel.c", "switch_channel_perform_presence", "805"),
        (_, s) if s.ends_with("negociateresult") => ("mod_spandsp_fax.c", "phase_b_handler", "386"),
        (_, s) if s.ends_with("pageresult") => ("mod_spandsp_fax.c", "phase_d_handler", "521"),
        (_, s) if s.starts_with("spandsp::") => ("mod_spandsp_fax.c", "phase_e_handler", "676"),
        (_, s) if s.starts_with("conference::") => ("mod_conference.c", "conference_new", "3848"),
        _ => ("mod_event_socket.c", "parse_command", "2275"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_its_day_of_the_week() {
        let at = Timestamp::from_unix_seconds(1_795_231_636).unwrap();
        assert_eq!(gmt(at), "Sat, 21 Nov 2026 03:27:16 GMT");
    }
}
