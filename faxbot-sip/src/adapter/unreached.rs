//! The error of an order that called a party in vain.

use faxbot_core::{Error, ErrorKind, fax::FailureClass, sip::Causes};

/// The error of a party that was called and did not answer. The server's word for it is its code, and
/// the causes are its text.
pub(crate) fn not_answered(operation: &'static str, word: &str, causes: &Causes) -> Error {
    let message = match causes.class() {
        Some(FailureClass::Busy) => "the other party is busy",
        Some(FailureClass::NoAnswer) => "the other party did not answer",
        Some(FailureClass::InvalidNumber) => "the other party does not exist",
        Some(FailureClass::Rejected) => "the other party rejected the call",
        _ => "the other party could not be reached",
    };
    let sip = causes.sip_status.map(|status| format!("SIP {status}"));
    let q850 = causes.q850.map(|cause| format!("Q.850 {cause}"));
    let known: Vec<_> = sip.into_iter().chain(q850).collect();
    let text = (!known.is_empty()).then(|| known.join(", "));
    let code = (!word.is_empty()).then(|| word.to_owned());
    Error::new(ErrorKind::Rejected, operation, message).with_native(code, text)
}

#[cfg(test)]
mod tests {
    use faxbot_core::Effect;

    use super::*;

    #[test]
    fn a_party_that_does_not_answer_has_its_word_and_its_causes() {
        let busy = Causes::new().with_q850(17).with_sip_status(486);
        let error = not_answered("transfer", "BUSY", &busy);
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert_eq!(error.effect(), Effect::NoEffect);
        assert_eq!(error.message(), "the other party is busy");
        assert_eq!(error.native_code(), Some("BUSY"));
        assert_eq!(error.native_text(), Some("SIP 486, Q.850 17"));
        let nothing = not_answered("transfer", "", &Causes::new());
        assert_eq!(nothing.native_text(), None);
        assert_eq!(nothing.native_code(), None);
    }
}
