//! Why a call ended: the SIP status, the Q.850 cause and the server's own text, and the one table
//! that turns the first two into a [`FailureClass`]. The third column of that table, the T.30
//! results and Asterisk's `FAXERROR` words, is [`T30Result`](crate::fax::T30Result).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fax::FailureClass;

/// What the network said about the end of a call. Everything is kept as it came.
///
/// `Debug` leaves the native text out: a reason phrase may hold a number.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Causes {
    /// The final SIP status, 300 to 699 (RFC 3261 section 21); 200 where the call was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// The Q.850 cause, 0 to 127 on the wire; a server's own number above that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q850: Option<u16>,
    /// The server's words (`Cause-txt`, a reason phrase), verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<String>,
}

impl Causes {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the final SIP status.
    #[must_use]
    pub fn with_sip_status(mut self, status: u16) -> Self {
        self.sip_status = Some(status);
        self
    }

    /// Sets the Q.850 cause.
    #[must_use]
    pub fn with_q850(mut self, cause: u16) -> Self {
        self.q850 = Some(cause);
        self
    }

    /// Sets the server's own text.
    #[must_use]
    pub fn with_native(mut self, text: impl Into<String>) -> Self {
        self.native = Some(text.into());
        self
    }

    /// Whether nothing at all is known.
    pub fn is_empty(&self) -> bool {
        self.sip_status.is_none() && self.q850.is_none() && self.native.is_none()
    }

    /// The class of the failure: see [`class_of`].
    pub fn class(&self) -> Option<FailureClass> {
        class_of(self)
    }
}

impl fmt::Debug for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Causes")
            .field("sip_status", &self.sip_status)
            .field("q850", &self.q850)
            .finish_non_exhaustive()
    }
}

/// SIP final responses. RFC 3261 section 21 where nothing else is named.
const SIP: &[(u16, FailureClass)] = &[
    // The account or our request is wrong. 401 and 407 count as failures only after credentials
    // were sent; before that they are the challenge, and no adapter reports them.
    (401, FailureClass::LocalConfig),   // Unauthorized
    (403, FailureClass::Rejected),      // Forbidden: number not allowed, no credit, too many calls
    (404, FailureClass::InvalidNumber), // Not Found
    (405, FailureClass::LocalConfig),   // Method Not Allowed
    (407, FailureClass::LocalConfig),   // Proxy Authentication Required
    (408, FailureClass::NoAnswer),      // Request Timeout
    (410, FailureClass::InvalidNumber), // Gone
    (413, FailureClass::Document),      // Request Entity Too Large (MESSAGE)
    (414, FailureClass::InvalidNumber), // Request-URI Too Long
    (415, FailureClass::T38),           // Unsupported Media Type
    (420, FailureClass::LocalConfig),   // Bad Extension
    (421, FailureClass::LocalConfig),   // Extension Required
    (422, FailureClass::LocalConfig),   // Session Interval Too Small, RFC 4028
    (433, FailureClass::Rejected),      // Anonymity Disallowed, RFC 5079
    (480, FailureClass::NoAnswer),      // Temporarily Unavailable
    (484, FailureClass::InvalidNumber), // Address Incomplete
    (485, FailureClass::InvalidNumber), // Ambiguous
    (486, FailureClass::Busy),          // Busy Here
    // The answer to our own CANCEL. Who cancelled because of a ring time-out says NoAnswer
    // itself; without that knowledge a cancelled fax must not ring again.
    (487, FailureClass::Cancelled),     // Request Terminated
    (488, FailureClass::T38),           // Not Acceptable Here
    (491, FailureClass::Congestion),    // Request Pending
    (494, FailureClass::LocalConfig),   // Security Agreement Required, RFC 3329
    (500, FailureClass::Congestion),    // Server Internal Error
    (502, FailureClass::Congestion),    // Bad Gateway
    (503, FailureClass::Congestion),    // Service Unavailable; a Retry-After is obeyed
    (504, FailureClass::Congestion),    // Server Time-out
    (580, FailureClass::Congestion),    // Precondition Failure, RFC 3312
    (600, FailureClass::Busy),          // Busy Everywhere
    (603, FailureClass::Rejected),      // Decline
    (604, FailureClass::InvalidNumber), // Does Not Exist Anywhere
    (606, FailureClass::T38),           // Not Acceptable
    (607, FailureClass::Rejected),      // Unwanted, RFC 8197
    (608, FailureClass::Rejected),      // Rejected (blocked as spam), RFC 8688
];

/// Q.850 causes, by the names of ITU-T Q.850 table 1 (Asterisk: `include/asterisk/causes.h`).
const Q850: &[(u16, FailureClass)] = &[
    (1, FailureClass::InvalidNumber),  // unallocated number
    (2, FailureClass::InvalidNumber),  // no route to transit network
    (3, FailureClass::InvalidNumber),  // no route to destination
    (5, FailureClass::InvalidNumber),  // misdialled trunk prefix
    (17, FailureClass::Busy),          // user busy
    (18, FailureClass::NoAnswer),      // no user responding
    (19, FailureClass::NoAnswer),      // no answer from user
    (20, FailureClass::NoAnswer),      // subscriber absent
    (21, FailureClass::Rejected),      // call rejected
    (22, FailureClass::InvalidNumber), // number changed
    (26, FailureClass::Cancelled),     // non-selected user clearing
    (27, FailureClass::Congestion),    // destination out of order
    (28, FailureClass::InvalidNumber), // invalid number format
    (29, FailureClass::Rejected),      // facility rejected
    (34, FailureClass::Congestion),    // no circuit available
    (38, FailureClass::Congestion),    // network out of order
    (41, FailureClass::Congestion),    // temporary failure
    (42, FailureClass::Congestion),    // switching equipment congestion
    (43, FailureClass::Congestion),    // access information discarded
    (44, FailureClass::Congestion),    // requested circuit not available
    (47, FailureClass::Congestion),    // resource unavailable, unspecified
    (50, FailureClass::Rejected),      // requested facility not subscribed
    (52, FailureClass::Rejected),      // outgoing calls barred
    (54, FailureClass::Rejected),      // incoming calls barred
    (55, FailureClass::Rejected),      // incoming calls barred within CUG
    (57, FailureClass::Rejected),      // bearer capability not authorized
    (58, FailureClass::T38),           // bearer capability not presently available
    (65, FailureClass::T38),           // bearer capability not implemented
    (79, FailureClass::T38),           // service or option not implemented
    (87, FailureClass::Rejected),      // user not member of CUG
    (88, FailureClass::T38),           // incompatible destination
];

fn find(table: &[(u16, FailureClass)], code: u16) -> Option<FailureClass> {
    table
        .iter()
        .find(|(row, _)| *row == code)
        .map(|(_, class)| *class)
}

/// The class of a SIP final response; `None` for 1xx and 2xx, and for what is no SIP status.
///
/// A status that the table does not have is taken by its hundreds, as RFC 3261 section 8.1.3.2
/// asks: 5xx as 500 (congestion), 6xx as a refusal by the user (section 21.6); an unknown 3xx or
/// 4xx is [`FailureClass::Unknown`], which is never dialled again.
pub fn class_of_sip(status: u16) -> Option<FailureClass> {
    if !(300..700).contains(&status) {
        return None;
    }
    Some(find(SIP, status).unwrap_or(match status / 100 {
        5 => FailureClass::Congestion,
        6 => FailureClass::Rejected,
        _ => FailureClass::Unknown,
    }))
}

/// The class of a Q.850 cause.
///
/// `None` where the cause alone is no failure: 16 (normal clearing), 31 (normal, unspecified), and
/// 0, which Asterisk writes for most hang-ups in either direction (observed on Asterisk 22.10,
/// recording `05_hangup_variants`), and for numbers above 127, which Q.850 cannot carry (Asterisk
/// takes `Cause: 999` and ignores it). A cause outside of the table is [`FailureClass::Unknown`].
pub fn class_of_q850(cause: u16) -> Option<FailureClass> {
    match cause {
        0 | 16 | 31 | 128.. => None,
        _ => Some(find(Q850, cause).unwrap_or(FailureClass::Unknown)),
    }
}

/// The Q.850 cause that Asterisk makes of a SIP status
/// (`ast_sip_hangup_sip2cause`, `res/res_pjsip.c`).
fn asterisk_fold(status: u16) -> Option<u16> {
    let cause = match status {
        401 | 403 | 407 | 603 => 21,
        404 | 485 | 604 => 1,
        408 => 18,
        409 => 41,
        410 => 22,
        420 => 3,
        480 | 483 => 19,
        484 => 28,
        486 | 600 => 17,
        488 | 606 => 58,
        500 => 38,
        501 => 29,
        502 => 27,
        503 => 34,
        504 => 102,
        400..500 | 505 | 601..700 => 127,
        506..600 => 34,
        _ => return None,
    };
    Some(cause)
}

/// The class of a call's end; `None` where nothing in it is a failure.
///
/// A Q.850 cause wins over the SIP status, because a `Reason` header (RFC 3326) comes from nearer
/// to the far end. It does not win where it is only Asterisk's fold of that very status
/// (`ast_sip_hangup_sip2cause`: 483 looks like no answer, 401 like a refusal), nor where the table does not
/// know it.
pub fn class_of(causes: &Causes) -> Option<FailureClass> {
    let sip = causes.sip_status.and_then(class_of_sip);
    let q850 = causes.q850.and_then(class_of_q850);
    let folded = causes.q850.is_some() && causes.sip_status.and_then(asterisk_fold) == causes.q850;
    match (sip, q850) {
        (Some(sip), Some(FailureClass::Unknown)) => Some(sip),
        (Some(sip), Some(_)) if folded => Some(sip),
        (sip, q850) => q850.or(sip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureClass::{
        Busy, Cancelled, Congestion, Document, InvalidNumber, LocalConfig, NoAnswer, Rejected, T38,
        Unknown,
    };

    #[test]
    fn every_sip_status_of_the_table_has_its_class() {
        let rows: &[(FailureClass, &[u16])] = &[
            (Busy, &[486, 600]),
            (NoAnswer, &[408, 480]),
            (Congestion, &[500, 502, 503, 504, 580, 491]),
            (T38, &[488, 606, 415]),
            (InvalidNumber, &[404, 410, 414, 484, 485, 604]),
            (Rejected, &[403, 433, 603, 607, 608]),
            (LocalConfig, &[401, 407, 405, 420, 421, 422, 494]),
            (Document, &[413]),
            (Cancelled, &[487]),
        ];
        for (class, codes) in rows {
            for code in *codes {
                assert_eq!(class_of_sip(*code), Some(*class), "SIP {code}");
            }
        }
        assert_eq!(
            rows.iter().map(|(_, codes)| codes.len()).sum::<usize>(),
            SIP.len()
        );
    }

    #[test]
    fn every_q850_cause_of_the_table_has_its_class() {
        let rows: &[(FailureClass, &[u16])] = &[
            (Busy, &[17]),
            (NoAnswer, &[18, 19, 20]),
            (Congestion, &[34, 38, 41, 42, 43, 44, 47, 27]),
            (T38, &[58, 65, 79, 88]),
            (InvalidNumber, &[1, 2, 3, 5, 22, 28]),
            (Rejected, &[21, 29, 50, 52, 54, 55, 57, 87]),
            (Cancelled, &[26]),
        ];
        for (class, causes) in rows {
            for cause in *causes {
                assert_eq!(class_of_q850(*cause), Some(*class), "Q.850 {cause}");
            }
        }
        assert_eq!(
            rows.iter().map(|(_, causes)| causes.len()).sum::<usize>(),
            Q850.len()
        );
    }

    #[test]
    fn the_tables_name_no_code_twice() {
        for table in [SIP, Q850] {
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }

    #[test]
    fn an_answer_and_a_normal_clearing_are_no_failure() {
        for status in [0, 100, 180, 183, 200, 202, 299, 700, 999] {
            assert_eq!(class_of_sip(status), None, "SIP {status}");
        }
        for cause in [0, 16, 31, 128, 999] {
            assert_eq!(class_of_q850(cause), None, "Q.850 {cause}");
        }
        assert_eq!(class_of(&Causes::new()), None);
        assert_eq!(
            class_of(&Causes::new().with_sip_status(200).with_q850(16)),
            None
        );
    }

    #[test]
    fn an_unlisted_status_is_taken_by_its_hundreds() {
        for (status, class) in [
            (302, Unknown),
            (400, Unknown),
            (499, Unknown),
            (513, Congestion),
            (699, Rejected),
        ] {
            assert_eq!(class_of_sip(status), Some(class), "SIP {status}");
        }
        assert_eq!(class_of_q850(127), Some(Unknown));
    }

    #[test]
    fn a_reason_header_wins_over_the_status() {
        let causes = |status, cause| Causes::new().with_sip_status(status).with_q850(cause);
        for (status, cause, class) in [
            (503, 1, InvalidNumber),
            (480, 17, Busy),
            (500, 21, Rejected),
            // Nothing is said by the cause, or nothing that is known.
            (486, 16, Busy),
            (486, 0, Busy),
            (486, 127, Busy),
            (404, 999, InvalidNumber),
        ] {
            assert_eq!(
                class_of(&causes(status, cause)),
                Some(class),
                "{status} with {cause}"
            );
        }
        assert_eq!(class_of(&Causes::new().with_q850(17)), Some(Busy));
        assert_eq!(class_of(&Causes::new().with_sip_status(486)), Some(Busy));
    }

    #[test]
    fn a_cause_that_asterisk_folded_from_the_status_adds_nothing() {
        for (status, cause, class) in [
            (401, 21, LocalConfig),
            (407, 21, LocalConfig),
            (403, 21, Rejected),
            (483, 19, Unknown),
            (504, 102, Congestion),
            (415, 127, T38),
            (501, 29, Congestion),
            (580, 34, Congestion),
        ] {
            assert_eq!(asterisk_fold(status), Some(cause));
            let causes = Causes::new().with_sip_status(status).with_q850(cause);
            assert_eq!(class_of(&causes), Some(class), "{status} with {cause}");
        }
    }

    #[test]
    fn debug_hides_the_native_text() {
        let causes = Causes::new()
            .with_q850(1)
            .with_native("no such number +15550100");
        assert!(!format!("{causes:?}").contains("0100"));
    }
}
