//! Why a channel ended: FreeSWITCH's names of causes, their numbers in Q.850, and SIP statuses.

use faxbot_core::{
    fax::FailureClass,
    sip::{Causes, RejectCause},
};

/// One cause of FreeSWITCH.
struct Cause {
    name: &'static str,
    /// The cause of Q.850 that says the same; of the server's own ones the nearest, where there is one.
    q850: Option<u16>,
}

/// Up to 127 the server's number is that of Q.850.
const fn standard(name: &'static str, number: u16) -> Cause {
    Cause {
        name,
        q850: Some(number),
    }
}

/// Above that it is its own, and means nothing elsewhere: `number` is here to be held beside the
/// server's table.
const fn own(name: &'static str, _number: u16, q850: Option<u16>) -> Cause {
    Cause { name, q850 }
}

/// Names: `CAUSE_CHART` in `switch_channel.c`; numbers: `switch_call_cause_t` in `switch_types.h`
/// (v1.10.12). The third column of the server's own causes is ours: the server itself says 16
/// for all of them (`switch_channel_cause_q850`), also for a gateway that is down.
#[rustfmt::skip] // One row a line, so that the table can be held beside the server's.
const TABLE: &[Cause] = &[
    own("NONE", 0, None),
    standard("UNALLOCATED_NUMBER", 1),
    standard("NO_ROUTE_TRANSIT_NET", 2),
    standard("NO_ROUTE_DESTINATION", 3),
    standard("CHANNEL_UNACCEPTABLE", 6),
    standard("CALL_AWARDED_DELIVERED", 7),
    standard("NORMAL_CLEARING", 16),
    standard("USER_BUSY", 17),
    standard("NO_USER_RESPONSE", 18),
    standard("NO_ANSWER", 19),
    standard("SUBSCRIBER_ABSENT", 20),
    standard("CALL_REJECTED", 21),
    standard("NUMBER_CHANGED", 22),
    standard("REDIRECTION_TO_NEW_DESTINATION", 23),
    standard("EXCHANGE_ROUTING_ERROR", 25),
    standard("DESTINATION_OUT_OF_ORDER", 27),
    standard("INVALID_NUMBER_FORMAT", 28),
    standard("FACILITY_REJECTED", 29),
    standard("RESPONSE_TO_STATUS_ENQUIRY", 30),
    standard("NORMAL_UNSPECIFIED", 31),
    standard("NORMAL_CIRCUIT_CONGESTION", 34),
    standard("NETWORK_OUT_OF_ORDER", 38),
    standard("NORMAL_TEMPORARY_FAILURE", 41),
    standard("SWITCH_CONGESTION", 42),
    standard("ACCESS_INFO_DISCARDED", 43),
    standard("REQUESTED_CHAN_UNAVAIL", 44),
    standard("PRE_EMPTED", 45),
    standard("FACILITY_NOT_SUBSCRIBED", 50),
    standard("OUTGOING_CALL_BARRED", 52),
    standard("INCOMING_CALL_BARRED", 54),
    standard("BEARERCAPABILITY_NOTAUTH", 57),
    standard("BEARERCAPABILITY_NOTAVAIL", 58),
    standard("SERVICE_UNAVAILABLE", 63),
    standard("BEARERCAPABILITY_NOTIMPL", 65),
    standard("CHAN_NOT_IMPLEMENTED", 66),
    standard("FACILITY_NOT_IMPLEMENTED", 69),
    standard("SERVICE_NOT_IMPLEMENTED", 79),
    standard("INVALID_CALL_REFERENCE", 81),
    standard("INCOMPATIBLE_DESTINATION", 88),
    standard("INVALID_MSG_UNSPECIFIED", 95),
    standard("MANDATORY_IE_MISSING", 96),
    standard("MESSAGE_TYPE_NONEXIST", 97),
    standard("WRONG_MESSAGE", 98),
    standard("IE_NONEXIST", 99),
    standard("INVALID_IE_CONTENTS", 100),
    standard("WRONG_CALL_STATE", 101),
    standard("RECOVERY_ON_TIMER_EXPIRE", 102),
    standard("MANDATORY_IE_LENGTH_ERROR", 103),
    standard("PROTOCOL_ERROR", 111),
    standard("INTERWORKING", 127),
    own("SUCCESS", 142, None),
    own("ORIGINATOR_CANCEL", 487, Some(16)),
    own("CRASH", 700, Some(41)),
    own("SYSTEM_SHUTDOWN", 701, Some(41)),
    own("LOSE_RACE", 702, Some(26)),
    own("MANAGER_REQUEST", 703, Some(16)),
    own("BLIND_TRANSFER", 800, Some(16)),
    own("ATTENDED_TRANSFER", 801, Some(16)),
    own("ALLOTTED_TIMEOUT", 802, Some(31)),
    own("USER_CHALLENGE", 803, Some(21)),
    own("MEDIA_TIMEOUT", 804, Some(41)),
    own("PICKED_OFF", 805, Some(26)),
    own("USER_NOT_REGISTERED", 806, Some(20)),
    own("PROGRESS_TIMEOUT", 807, Some(18)),
    own("INVALID_GATEWAY", 808, Some(127)),
    own("GATEWAY_DOWN", 809, Some(38)),
    own("INVALID_URL", 810, Some(127)),
    own("INVALID_PROFILE", 811, Some(127)),
    own("NO_PICKUP", 812, Some(19)),
    own("SRTP_READ_ERROR", 813, Some(41)),
    own("BOWOUT", 814, Some(16)),
    own("BUSY_EVERYWHERE", 815, Some(17)),
    own("DECLINE", 816, Some(21)),
    own("DOES_NOT_EXIST_ANYWHERE", 817, Some(1)),
    own("NOT_ACCEPTABLE", 818, Some(88)),
    own("UNWANTED", 819, Some(21)),
    own("NO_IDENTITY", 820, Some(21)),
    own("BAD_IDENTITY_INFO", 821, Some(21)),
    own("UNSUPPORTED_CERTIFICATE", 822, Some(21)),
    own("INVALID_IDENTITY", 823, Some(21)),
    own("STALE_DATE", 824, Some(21)),
    own("REJECT_ALL", 825, Some(21)),
];

fn find(name: &str) -> Option<&'static Cause> {
    TABLE
        .iter()
        .find(|cause| cause.name.eq_ignore_ascii_case(name.trim()))
}

/// The causes of a channel: its name of the cause stays as native text. A cause that the table does
/// not have has its name only.
pub(super) fn causes(name: &str, sip_status: Option<u16>) -> Causes {
    let mut causes = Causes::new();
    if let Some(status) = sip_status {
        causes = causes.with_sip_status(status);
    }
    let cause = find(name);
    if let Some(q850) = cause.and_then(|cause| cause.q850) {
        causes = causes.with_q850(q850);
    }
    match name.trim() {
        "" | "NONE" => causes,
        name => causes.with_native(name),
    }
}

/// The final status in `sip_term_status` (`486`) or `proto_specific_hangup_cause` (`sip:486`).
pub(super) fn sip_status(text: &str) -> Option<u16> {
    let text = text.trim();
    let digits = text.strip_prefix("sip:").unwrap_or(text);
    let plain = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let status = digits.parse().ok().filter(|_| plain)?;
    (200..700).contains(&status).then_some(status)
}

/// What the class of a failure is where FreeSWITCH's name says more than the numbers can: no other
/// try helps while a gateway or a profile is not configured.
pub(super) fn class(causes: &Causes) -> Option<FailureClass> {
    let by_name = match causes.native.as_deref().unwrap_or_default() {
        "INVALID_GATEWAY" | "INVALID_PROFILE" | "INVALID_URL" | "CHAN_NOT_IMPLEMENTED" => {
            Some(FailureClass::LocalConfig)
        }
        // Nobody answered the INVITE at all, or it was refused for lack of resources; a final status
        // says which.
        "RECOVERY_ON_TIMER_EXPIRE" | "SERVICE_UNAVAILABLE" if causes.sip_status.is_none() => {
            Some(FailureClass::Congestion)
        }
        _ => None,
    };
    by_name.or_else(|| causes.class())
}

/// Whether the server itself refused a call, of whose far end this says nothing: it makes no channel
/// then (recordings `03_originate_failures_loopback_and_bad_dialstrings`,
/// `02_max_sessions_and_pause`). An uuid that is in use has `DESTINATION_OUT_OF_ORDER` too.
pub(super) fn is_of_the_server(causes: &Causes) -> bool {
    match causes.native.as_deref() {
        None => false,
        Some(
            "DESTINATION_OUT_OF_ORDER"
            | "SWITCH_CONGESTION"
            | "INVALID_GATEWAY"
            | "INVALID_PROFILE"
            | "INVALID_URL"
            | "CHAN_NOT_IMPLEMENTED",
        ) => true,
        // No cause at all, but words: `permission denied`.
        Some(words) => find(words).is_none(),
    }
}

/// Whether the server takes no calls at the moment: too many a second (`sessions-per-second`, by
/// default 30), too many at all (`max-sessions`), or it is paused. Observed on FreeSWITCH 1.10.12.
pub(super) fn is_throttled(causes: &Causes) -> bool {
    matches!(
        causes.native.as_deref(),
        Some("DESTINATION_OUT_OF_ORDER" | "SWITCH_CONGESTION")
    )
}

/// The cause to hang up an incoming call with that was not answered: 486, 480, 404, 603 on a SIP
/// channel (recording `09_inbound_park_decide`).
pub(super) fn of_reject(cause: RejectCause) -> &'static str {
    match cause {
        RejectCause::Busy => "USER_BUSY",
        RejectCause::NotFound => "UNALLOCATED_NUMBER",
        RejectCause::Declined => "CALL_REJECTED",
        // 480, as for every cause that SIP has no status for.
        _ => "NO_ANSWER",
    }
}

#[cfg(test)]
mod tests {
    use FailureClass::{
        Busy, Cancelled, Congestion, InvalidNumber, LocalConfig, NoAnswer, Rejected, T38,
    };

    use super::*;

    #[test]
    fn the_table_names_nothing_twice_and_has_numbers_of_q850_only() {
        for cause in TABLE {
            let same = TABLE.iter().filter(|other| other.name == cause.name);
            assert_eq!(same.count(), 1, "{}", cause.name);
            assert!(cause.q850.is_none_or(|q850| q850 <= 127), "{}", cause.name);
        }
        assert_eq!(causes("NO_SUCH_CAUSE", None).q850, None);
    }

    #[test]
    fn what_real_servers_said_has_its_class() {
        // Cause and status: 09_hook_more_variables, 09_hook_recommended_line,
        // 03_originate_failures_loopback_and_bad_dialstrings and observed on FreeSWITCH 1.10.12.
        for (name, sip, expected) in [
            ("USER_BUSY", "486", Some(Busy)),
            ("USER_BUSY", "600", Some(Busy)),
            ("CALL_REJECTED", "603", Some(Rejected)),
            ("UNALLOCATED_NUMBER", "404", Some(InvalidNumber)),
            ("NO_USER_RESPONSE", "480", Some(NoAnswer)),
            ("INCOMPATIBLE_DESTINATION", "488", Some(T38)),
            ("NORMAL_TEMPORARY_FAILURE", "500", Some(Congestion)),
            ("NORMAL_TEMPORARY_FAILURE", "503", Some(Congestion)),
            ("INVALID_NUMBER_FORMAT", "484", Some(InvalidNumber)),
            ("RECOVERY_ON_TIMER_EXPIRE", "408", Some(NoAnswer)),
            ("RECOVERY_ON_TIMER_EXPIRE", "", Some(Congestion)),
            ("NO_ANSWER", "", Some(NoAnswer)),
            ("NORMAL_CIRCUIT_CONGESTION", "", Some(Congestion)),
            ("SUBSCRIBER_ABSENT", "", Some(NoAnswer)),
            ("INVALID_PROFILE", "", Some(LocalConfig)),
            ("INVALID_GATEWAY", "", Some(LocalConfig)),
            ("CHAN_NOT_IMPLEMENTED", "", Some(LocalConfig)),
            ("DESTINATION_OUT_OF_ORDER", "", Some(Congestion)),
            ("GATEWAY_DOWN", "", Some(Congestion)),
            ("LOSE_RACE", "", Some(Cancelled)),
            ("SYSTEM_SHUTDOWN", "", Some(Congestion)),
            ("NORMAL_CLEARING", "200", None),
            ("ORIGINATOR_CANCEL", "", None),
            ("ALLOTTED_TIMEOUT", "", None),
            ("", "", None),
        ] {
            let causes = causes(name, sip_status(sip));
            assert_eq!(class(&causes), expected, "{name} {sip}");
            assert_eq!(causes.native.as_deref().unwrap_or_default(), name);
        }
    }

    #[test]
    fn a_status_is_read_in_both_spellings_and_nothing_else_is_one() {
        for (text, status) in [
            ("486", Some(486)),
            ("sip:486", Some(486)),
            ("200", Some(200)),
            ("", None),
            ("0", None),
            ("sip:", None),
            ("100", None),
            ("48", None),
            ("+86", None),
            ("4860", None),
            ("q850:17", None),
        ] {
            assert_eq!(sip_status(text), status, "{text:?}");
        }
    }

    #[test]
    fn every_rejection_has_a_cause_of_the_server() {
        for cause in [
            RejectCause::Busy,
            RejectCause::Unavailable,
            RejectCause::NotFound,
            RejectCause::Declined,
        ] {
            assert!(find(of_reject(cause)).is_some());
        }
    }
}
