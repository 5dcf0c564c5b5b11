//! Hangup causes: their names and Q.850 numbers, and those of SIP statuses (`CAUSE_CHART` in `switch_channel.c`,
//! `sofia_glue_sip_cause_to_freeswitch` in `mod_sofia`; recordings `03_originate_failures*`,
//! `09_inbound_park_decide`).

/// A cause as the wire has it.
pub(super) type Cause = &'static str;

pub(super) const NORMAL: Cause = "NORMAL_CLEARING";

/// Name and number; those above 127 are FreeSWITCH's own.
const CAUSES: [(Cause, u32); 44] = [
    ("NONE", 0),
    ("UNALLOCATED_NUMBER", 1),
    ("NO_ROUTE_TRANSIT_NET", 2),
    ("NO_ROUTE_DESTINATION", 3),
    ("CHANNEL_UNACCEPTABLE", 6),
    (NORMAL, 16),
    ("USER_BUSY", 17),
    ("NO_USER_RESPONSE", 18),
    ("NO_ANSWER", 19),
    ("SUBSCRIBER_ABSENT", 20),
    ("CALL_REJECTED", 21),
    ("NUMBER_CHANGED", 22),
    ("REDIRECTION_TO_NEW_DESTINATION", 23),
    ("EXCHANGE_ROUTING_ERROR", 25),
    ("DESTINATION_OUT_OF_ORDER", 27),
    ("INVALID_NUMBER_FORMAT", 28),
    ("FACILITY_REJECTED", 29),
    ("NORMAL_UNSPECIFIED", 31),
    ("NORMAL_CIRCUIT_CONGESTION", 34),
    ("NETWORK_OUT_OF_ORDER", 38),
    ("NORMAL_TEMPORARY_FAILURE", 41),
    ("SWITCH_CONGESTION", 42),
    ("REQUESTED_CHAN_UNAVAIL", 44),
    ("FACILITY_NOT_SUBSCRIBED", 50),
    ("OUTGOING_CALL_BARRED", 52),
    ("INCOMING_CALL_BARRED", 54),
    ("BEARERCAPABILITY_NOTAUTH", 57),
    ("BEARERCAPABILITY_NOTAVAIL", 58),
    ("CHAN_NOT_IMPLEMENTED", 66),
    ("FACILITY_NOT_IMPLEMENTED", 69),
    ("INCOMPATIBLE_DESTINATION", 88),
    ("RECOVERY_ON_TIMER_EXPIRE", 102),
    ("INTERWORKING", 127),
    ("CRASH", 500),
    ("SYSTEM_SHUTDOWN", 501),
    ("LOSE_RACE", 502),
    ("MANAGER_REQUEST", 503),
    ("BLIND_TRANSFER", 600),
    ("ATTENDED_TRANSFER", 601),
    ("ORIGINATOR_CANCEL", 487),
    ("USER_NOT_REGISTERED", 606),
    ("PROGRESS_TIMEOUT", 607),
    ("INVALID_GATEWAY", 608),
    ("INVALID_PROFILE", 609),
];

/// What a command's cause is taken for: a name in any case, or a Q.850 number; what is neither is
/// a normal end (recording `09_inbound_park_decide`).
pub(super) fn named(text: &str) -> Cause {
    let text = text.trim();
    if let Ok(number) = text.parse::<u32>() {
        return of_number(number);
    }
    CAUSES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map_or(NORMAL, |(name, _)| name)
}

/// The cause of a Q.850 number; 0 and what there is not are a normal end.
pub(super) fn of_number(number: u32) -> Cause {
    CAUSES
        .iter()
        .find(|(_, known)| *known == number && number != 0)
        .map_or(NORMAL, |(name, _)| name)
}

/// `variable_hangup_cause_q850`: what is no Q.850 cause shows as a normal end.
pub(super) fn q850(cause: &str) -> u32 {
    let number = number(cause);
    if number > 127 { 16 } else { number }
}

fn number(cause: &str) -> u32 {
    CAUSES
        .iter()
        .find(|(name, _)| *name == cause)
        .map_or(16, |(_, number)| *number)
}

/// The cause of a SIP status that a called party answered with.
pub(super) const fn of_status(status: u16) -> Cause {
    match status {
        200 => NORMAL,
        401 | 402 | 403 | 407 | 603 | 608 => "CALL_REJECTED",
        404 | 485 | 604 => "UNALLOCATED_NUMBER",
        405 => "SERVICE_UNAVAILABLE",
        406 | 415 | 488 | 606 => "INCOMPATIBLE_DESTINATION",
        408 | 504 => "RECOVERY_ON_TIMER_EXPIRE",
        410 => "NUMBER_CHANGED",
        413 | 414 | 416 | 420 | 421 | 423 | 505 | 513 => "INTERWORKING",
        480 => "NO_USER_RESPONSE",
        400 | 481 | 500 | 503 => "NORMAL_TEMPORARY_FAILURE",
        484 => "INVALID_NUMBER_FORMAT",
        486 | 600 => "USER_BUSY",
        487 => "ORIGINATOR_CANCEL",
        482 | 483 => "EXCHANGE_ROUTING_ERROR",
        501 => "SERVICE_NOT_IMPLEMENTED",
        502 => "NETWORK_OUT_OF_ORDER",
        _ => "NORMAL_UNSPECIFIED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_a_name_or_a_number_and_anything_else_a_normal_end() {
        for (text, cause) in [
            ("USER_BUSY", "USER_BUSY"),
            ("user_busy", "USER_BUSY"),
            ("17", "USER_BUSY"),
            ("NO_SUCH_CAUSE", NORMAL),
            ("0", NORMAL),
            ("", NORMAL),
        ] {
            assert_eq!(named(text), cause, "{text}");
        }
    }

    #[test]
    fn a_refusal_has_the_cause_that_the_recordings_show() {
        for (status, cause) in [
            (486, "USER_BUSY"),
            (600, "USER_BUSY"),
            (603, "CALL_REJECTED"),
            (404, "UNALLOCATED_NUMBER"),
            (480, "NO_USER_RESPONSE"),
            (488, "INCOMPATIBLE_DESTINATION"),
            (500, "NORMAL_TEMPORARY_FAILURE"),
            (503, "NORMAL_TEMPORARY_FAILURE"),
            (484, "INVALID_NUMBER_FORMAT"),
            (408, "RECOVERY_ON_TIMER_EXPIRE"),
        ] {
            assert_eq!(of_status(status), cause, "{status}");
        }
        assert_eq!(q850("ORIGINATOR_CANCEL"), 16);
    }
}
