//! Why a fax failed: one class for the decision, and the codes and words behind it as they came.

mod t30;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{redact, sip::Causes};

pub use t30::T30Result;

/// The kinds of failure. [`FaxRetryPolicy`](super::FaxRetryPolicy) decides by them; the tables
/// that lead to them are [`crate::sip::class_of`] (SIP status, Q.850) and [`T30Result`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureClass {
    /// The line was busy.
    Busy,
    /// It rang, and nobody answered.
    NoAnswer,
    /// The network or the trunk was full or out of order.
    Congestion,
    /// A fax answered, and the transmission broke off.
    CommError,
    /// T.38 could not be agreed on.
    #[serde(rename = "t38")]
    T38,
    /// A person, a voicemail or a modem answered.
    #[serde(rename = "not_a_fax")]
    NotAFax,
    /// The number does not exist.
    InvalidNumber,
    /// The far end or the carrier refuses this call.
    Rejected,
    /// The document cannot be sent, or not at this resolution or width.
    Document,
    /// Our account, trunk or server is set up wrongly.
    LocalConfig,
    /// The caller cancelled.
    Cancelled,
    /// It failed, and no table says why.
    #[serde(other)]
    Unknown,
}

/// Where in the call it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailurePhase {
    /// Before the far end answered, or before anything was dialled.
    BeforeAnswer,
    /// Answered, and no page had begun (T.30 phases A and B, the T.38 re-INVITE).
    Negotiation,
    /// A page had begun (T.30 phases C and D).
    Transmission,
}

/// The stored form of a failure.
///
/// `Debug` leaves [`native_text`](Self::native_text) out: a carrier's words may hold a number.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FaxFailure {
    /// What the retry decision goes by.
    pub class: FailureClass,
    /// Where in the call.
    pub phase: FailurePhase,
    /// The final SIP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// The Q.850 cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q850: Option<u16>,
    /// The engine's or vendor's code, verbatim (`T38_NEG_ERROR`, a `fax_result_code`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_code: Option<String>,
    /// The engine's or vendor's text, verbatim. Do not log it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_text: Option<String>,
    /// How long the network asked us to wait (`Retry-After`), in whole seconds when stored.
    #[serde(
        default,
        rename = "retry_after_seconds",
        skip_serializing_if = "Option::is_none",
        with = "whole_seconds"
    )]
    pub retry_after: Option<Duration>,
}

impl FaxFailure {
    /// A failure without codes.
    pub fn new(class: FailureClass, phase: FailurePhase) -> Self {
        Self {
            class,
            phase,
            sip_status: None,
            q850: None,
            native_code: None,
            native_text: None,
            retry_after: None,
        }
    }

    /// A call that ended before it was answered. Where the causes name no failure, the class is
    /// [`FailureClass::Unknown`]: the call did fail.
    pub fn from_causes(causes: &Causes) -> Self {
        let class = causes.class().unwrap_or(FailureClass::Unknown);
        let mut failure = Self::new(class, FailurePhase::BeforeAnswer).with_causes(causes);
        failure.native_text.clone_from(&causes.native);
        failure
    }

    /// What Asterisk's `FAXERROR` and `FAXSTATUSSTRING` say of a fax whose `FAXSTATUS` was not
    /// `SUCCESS`. `fax_seen` as in [`T30Result::class`].
    ///
    /// `FAXERROR` is one of the words of `res/res_fax.c`, or, after a session that ran to its end,
    /// the T.30 text (`res/res_fax_spandsp.c`). It is no sign of failure by itself: a fax that
    /// succeeded leaves `HANGUP` in it (observed on Asterisk 22.10, recording
    /// `06_fax_audio_pjsip_ok`). Words that no table has give [`FailureClass::Unknown`].
    pub fn from_fax_error(error: &str, text: &str, phase: FailurePhase, fax_seen: bool) -> Self {
        let class = class_of_fax_error(error, text, fax_seen).unwrap_or(FailureClass::Unknown);
        Self::new(class, phase).with_native(non_empty(error), non_empty(text))
    }

    /// A T.30 result other than `OK`, as FreeSWITCH gives it by number. `fax_seen` as in
    /// [`T30Result::class`].
    pub fn from_t30(result: T30Result, phase: FailurePhase, fax_seen: bool) -> Self {
        Self::new(
            result.class(fax_seen).unwrap_or(FailureClass::Unknown),
            phase,
        )
        .with_native(
            Some(result.number().to_string()),
            Some(result.text().to_owned()),
        )
    }

    /// Adds SIP status and Q.850 cause; the class stays.
    #[must_use]
    pub fn with_causes(mut self, causes: &Causes) -> Self {
        self.sip_status = causes.sip_status;
        self.q850 = causes.q850;
        self
    }

    /// Adds the native code and text, verbatim; the class stays.
    #[must_use]
    pub fn with_native(mut self, code: Option<String>, text: Option<String>) -> Self {
        self.native_code = code;
        self.native_text = text;
        self
    }

    /// Sets how long the network asked us to wait.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The T.30 result behind it, where the native text or code is one.
    pub fn t30(&self) -> Option<T30Result> {
        let parse = |text: &Option<String>| text.as_deref().and_then(T30Result::parse);
        parse(&self.native_text).or_else(|| parse(&self.native_code))
    }

    /// Whether a fax machine was reached: this is what makes a dial a try.
    pub fn reached_a_fax(&self) -> bool {
        self.phase > FailurePhase::BeforeAnswer && self.class != FailureClass::NotAFax
    }
}

impl fmt::Debug for FaxFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaxFailure")
            .field("class", &self.class)
            .field("phase", &self.phase)
            .field("sip_status", &self.sip_status)
            .field("q850", &self.q850)
            .field(
                "native_code",
                &self.native_code.as_deref().map(redact::code),
            )
            .field("retry_after", &self.retry_after)
            .finish_non_exhaustive()
    }
}

/// The words of Asterisk's `res/res_fax.c` (`FAXERROR`).
fn class_of_fax_error(error: &str, text: &str, fax_seen: bool) -> Option<FailureClass> {
    let broke_off = || {
        if fax_seen {
            FailureClass::CommError
        } else {
            FailureClass::NotAFax
        }
    };
    let class = match error.trim().to_ascii_uppercase().as_str() {
        "INIT_ERROR" | "INVALID_ARGUMENTS" | "MEMORY_ERROR" => FailureClass::LocalConfig,
        "FILE_ERROR" => FailureClass::Document,
        "T38_NEG_ERROR" => FailureClass::T38,
        // "fax session timed-out", "remote channel hungup"
        "TIMEOUT" | "HANGUP" => match T30Result::parse(text).filter(|t30| t30.number() != 0) {
            Some(t30) => return t30.class(fax_seen),
            None => broke_off(),
        },
        // "T.38 switch failed", "error polling data", "Failed to feed the smoother"
        "UNKNOWN" if text.trim().eq_ignore_ascii_case("T.38 switch failed") => FailureClass::T38,
        "UNKNOWN" => FailureClass::CommError,
        // "Error before FAX transmission started."
        "CHANNEL PROBLEMS" => broke_off(),
        _ => {
            return T30Result::parse(error)
                .or_else(|| T30Result::parse(text))
                .and_then(|t30| t30.class(fax_seen));
        }
    };
    Some(class)
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

mod whole_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|value| value.as_secs()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureClass::{
        Busy, CommError, Congestion, Document, InvalidNumber, LocalConfig, NotAFax, T38, Unknown,
    };

    #[test]
    fn fax_error_is_read_as_word_or_as_t30_text() {
        let rows: &[(&str, &str, FailureClass, FailureClass)] = &[
            // FAXERROR, FAXSTATUSSTRING, class without and with a fax seen
            ("INIT_ERROR", "", LocalConfig, LocalConfig),
            ("INVALID_ARGUMENTS", "", LocalConfig, LocalConfig),
            ("MEMORY_ERROR", "", LocalConfig, LocalConfig),
            ("FILE_ERROR", "error reading file", Document, Document),
            ("T38_NEG_ERROR", "error negotiating T.38", T38, T38),
            ("UNKNOWN", "T.38 switch failed", T38, T38),
            ("UNKNOWN", "error polling data", CommError, CommError),
            (
                "UNKNOWN",
                "Failed to feed the smoother",
                CommError,
                CommError,
            ),
            ("TIMEOUT", "fax session timed-out", NotAFax, CommError),
            ("HANGUP", "remote channel hungup", NotAFax, CommError),
            ("HANGUP", "TIFF/F file cannot be opened", Document, Document),
            ("HANGUP", "OK", NotAFax, CommError),
            (
                "Channel Problems",
                "Error before FAX transmission started.",
                NotAFax,
                CommError,
            ),
            (
                "Disconnected after permitted retries",
                "Disconnected after permitted retries",
                CommError,
                CommError,
            ),
            (
                "The call dropped prematurely",
                "The call dropped prematurely",
                NotAFax,
                CommError,
            ),
            ("TIFF/F file cannot be opened", "", Document, Document),
            (
                "",
                "Unexpected DCN while waiting for DCS or DIS",
                CommError,
                CommError,
            ),
            ("NO_ERROR", "", Unknown, Unknown),
            ("", "", Unknown, Unknown),
            ("something new", "of a later version", Unknown, Unknown),
        ];
        for (error, text, unseen, seen) in rows {
            for (fax_seen, class) in [(false, unseen), (true, seen)] {
                let failure =
                    FaxFailure::from_fax_error(error, text, FailurePhase::Negotiation, fax_seen);
                assert_eq!(
                    failure.class, *class,
                    "{error} / {text}, fax seen: {fax_seen}"
                );
                assert_eq!(failure.native_code.as_deref().unwrap_or(""), *error);
                assert_eq!(failure.native_text.as_deref().unwrap_or(""), *text);
            }
        }
    }

    #[test]
    fn a_call_that_was_not_answered_is_judged_by_its_causes() {
        for (causes, class) in [
            (Causes::new().with_q850(17).with_sip_status(486), Busy),
            (Causes::new().with_q850(1), InvalidNumber),
            (Causes::new().with_q850(34), Congestion),
            (Causes::new().with_q850(0), Unknown),
            (Causes::new(), Unknown),
        ] {
            let failure = FaxFailure::from_causes(&causes);
            assert_eq!(failure.class, class);
            assert_eq!(failure.phase, FailurePhase::BeforeAnswer);
            assert_eq!(
                (failure.sip_status, failure.q850),
                (causes.sip_status, causes.q850)
            );
            assert!(!failure.reached_a_fax());
        }
    }

    #[test]
    fn the_t30_result_is_found_again_in_the_stored_form() {
        let result = T30Result::from_number(11).unwrap();
        let failure = FaxFailure::from_t30(result, FailurePhase::Negotiation, true);
        assert_eq!(failure.native_code.as_deref(), Some("11"));
        assert_eq!(failure.t30(), Some(result));
        assert!(result.wants_other_rendering());
    }

    #[test]
    fn debug_hides_the_native_text_and_a_class_of_a_later_version_is_unknown() {
        let failure = FaxFailure::new(Busy, FailurePhase::BeforeAnswer)
            .with_native(Some("486".into()), Some("+15550100 is busy".into()));
        assert!(!format!("{failure:?}").contains("0100"));
        let failure = failure.with_native(Some("busy: +15550104477".into()), None);
        assert!(!format!("{failure:?}").contains("4477"), "{failure:?}");
        assert_eq!(
            serde_json::from_str::<FailureClass>(r#""on_the_moon""#).unwrap(),
            Unknown
        );
    }
}
