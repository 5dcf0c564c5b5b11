//! Why a fax failed, by the numbers of Phaxio, which Sinch Fax kept: no vendor owns the table alone.
//!
//! A number means something only together with its type: 133 is a PDF that could not be read as a
//! `documentConversionError`, and a number that may not be called as a `faxError`.
//!
//! Sources: Phaxio's page "Error Messages" (conversion and line errors), and sinch-sdk-node at affb35e,
//! `packages/fax/src/models/v3/errors/` (conversion, call and fax errors). No list of the fatal and
//! general errors is published: they are found in the other tables where their number is there.

use std::fmt;

use FailureClass::{
    Busy, Cancelled, CommError, Congestion, Document, InvalidNumber, LocalConfig, NoAnswer,
    NotAFax, Rejected, Unknown,
};
use faxbot_core::fax::{FailureClass, FailurePhase, FaxFailure};

/// Why a fax failed, by the numbers of Phaxio, which its successor Sinch Fax kept. `Debug` shows the number
/// alone: type and text are the vendor's.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct PhaxioError {
    /// The type: `lineError`, `CALL_ERROR`.
    pub kind: Option<String>,
    /// The number.
    pub id: Option<u32>,
    /// The text. It may hold personal data.
    pub text: Option<String>,
}

/// The types of error, in the words of both vendors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// The document; no call was placed.
    Conversion,
    /// The call.
    Line,
    /// The fax on the call.
    Fax,
    /// Fatal, general, and words that are not known.
    Other,
}

impl Family {
    fn of(kind: &str) -> Self {
        let letters = |byte: &u8| byte.is_ascii_alphabetic();
        let word: Vec<u8> = kind
            .bytes()
            .filter(letters)
            .map(|byte| byte.to_ascii_lowercase())
            .collect();
        match word.as_slice() {
            b"documentconversionerror" => Self::Conversion,
            // Sinch documents CALL_ERROR for what Phaxio calls lineError, and LINE_ERROR as well.
            b"lineerror" | b"callerror" => Self::Line,
            b"faxerror" => Self::Fax,
            _ => Self::Other,
        }
    }
}

impl PhaxioError {
    /// An error, as the vendor told it.
    pub fn new(kind: Option<String>, id: Option<u32>, text: Option<String>) -> Self {
        Self { kind, id, text }
    }

    /// Whether the vendor told of an error at all.
    pub fn is_some(&self) -> bool {
        self.kind.is_some() || self.id.is_some()
    }

    /// Whether it is that a fax could not be cancelled because it was over: then it says nothing of how
    /// that ended.
    pub fn says_it_is_complete(&self) -> bool {
        let family = self.kind.as_deref().map_or(Family::Other, Family::of);
        self.id == Some(79) && matches!(family, Family::Fax | Family::Other)
    }

    /// The failure. `first_call` is whether this is certainly the error of the only call that was
    /// placed: only then does a busy line prove that no page went out, for the error is that of the
    /// last call, and one before it may have sent pages.
    pub fn failure(self, first_call: bool) -> FaxFailure {
        let family = self.kind.as_deref().map_or(Family::Other, Family::of);
        let class = self.id.map_or(Unknown, |id| class(family, id));
        let class = match (class, family) {
            (Unknown, Family::Conversion) if self.id.is_none_or(|id| !STORING.contains(&id)) => {
                Document
            }
            (class, _) => class,
        };
        let unsent = match (family, self.id) {
            (Family::Conversion, _) => true,
            (Family::Line, Some(id)) => first_call && NOT_PLACED.contains(&id),
            _ => false,
        };
        let phase = if unsent {
            FailurePhase::BeforeAnswer
        } else {
            FailurePhase::Transmission
        };
        let code = match (self.kind, self.id) {
            (Some(kind), Some(id)) => Some(format!("{kind} {id}")),
            (kind, id) => kind.or_else(|| id.map(|id| id.to_string())),
        };
        FaxFailure::new(class, phase).with_native(code, self.text.filter(|text| !text.is_empty()))
    }
}

impl fmt::Debug for PhaxioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhaxioError")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Line errors of a call that nobody answered. Both vendors say that with a line error "the call could
/// not be placed"; the list holds others too: calls that dropped (11), that were hung up (19), that no
/// fax machine answered (30, 87), and faults of the network at any time (43, 88, 100, 110).
const NOT_PLACED: [u32; 11] = [15, 16, 17, 32, 34, 49, 50, 52, 73, 112, 115];

/// Conversion errors that say nothing about the document: it could not be stored.
const STORING: [u32; 2] = [57, 69];

fn class(family: Family, id: u32) -> FailureClass {
    let find = |table: &[(u32, FailureClass)]| {
        table
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, class)| *class)
    };
    match family {
        Family::Conversion => find(CONVERSION),
        Family::Line => find(LINE),
        Family::Fax => find(FAX),
        // 133 alone says nothing; no other number is in two tables.
        Family::Other if id == 133 => None,
        Family::Other => find(LINE)
            .or_else(|| find(FAX))
            .or_else(|| find(CONVERSION)),
    }
    .unwrap_or(Unknown)
}

#[rustfmt::skip] // One row a line, so that the table can be held beside the vendors'.
const CONVERSION: &[(u32, FailureClass)] = &[
    (4, Document),            // There was a problem in converting and merging files
    (54, Document),           // Could not access the url you provided
    (55, Document),           // The string_data URL you provided is invalid
    (57, Unknown),            // There was a problem storing the file you provided
    (69, Unknown),            // There was a problem storing the file you provided
    (122, Document),          // User simulated Document Conversion Error
    (128, Document),          // Could not determine mimetype for file
    (129, Document),          // Mimetype not supported
    (130, Document),          // Mimetype not supported: application/xml
    (133, Document),          // Failed to normalize PDF document
];

#[rustfmt::skip]
const LINE: &[(u32, FailureClass)] = &[
    (11, CommError),          // The call dropped prematurely
    (15, Congestion),         // Congestion
    (16, NoAnswer),           // Ring Timeout
    (17, Busy),               // Busy
    (19, Rejected),           // Immediate Hangup
    (30, NotAFax),            // No answer from a fax machine
    (32, NotAFax),            // Incompatible destination
    (34, InvalidNumber),      // Phone number not operational
    (43, Congestion),         // Problem establishing connection
    (49, InvalidNumber),      // The destination phone number Is Not active
    (50, Rejected),           // Call rejected
    (52, InvalidNumber),      // No route to the destination
    (73, InvalidNumber),      // The number was changed
    (87, NotAFax),            // No answer from the fax machine
    (88, Congestion),         // Network error
    (89, CommError),          // The call dropped prematurely (in a sample of Sinch only)
    (100, Congestion),        // Error of the remote carrier
    (110, Congestion),        // Network error
    (112, NoAnswer),          // No answer
    (115, InvalidNumber),     // The number was changed
    (121, Congestion),        // User requested simulated lineError
];

#[rustfmt::skip]
const FAX: &[(u32, FailureClass)] = &[
    (6, CommError),           // There was an error communicating with the far side
    (7, Document),            // Far end cannot receive at the size of image
    (8, CommError),           // No response after sending a page
    (10, CommError),          // Disconnected after permitted retries
    (12, CommError),          // Received no response to DCS or TCF
    (13, NotAFax),            // Timed out waiting for the first message
    (14, NoAnswer),           // Timed out waiting for initial communication
    (18, CommError),          // Unexpected message received
    (20, CommError),          // The HDLC carrier did not stop in a timely manner
    (21, CommError),          // Received a DCN from remote after sending a page
    (22, CommError),          // Received bad response to DCS or training
    (25, Document),           // Far end cannot receive at the resolution of the image
    (26, CommError),          // The remote fax machine failed to respond
    (28, CommError),          // Failed to train with any of the compatible modems
    (29, CommError),          // Invalid response after sending a page
    (31, CommError),          // Fax machine incompatibility
    (38, CommError),          // The remote fax machine hung up before receiving fax
    (40, CommError),          // Telephony error
    (41, CommError),          // Unexpected DCN while waiting for DCS or DIS
    (44, CommError),          // Telephony Error
    (46, LocalConfig),        // Insufficient funds to send fax and not able to auto recharge
    (48, NoAnswer),           // No answer (The Receiving Machine May Be Out Of Paper)
    (53, CommError),          // Unexpected DCN after EOM or MPS sequence
    (60, CommError),          // Transmission error after page break
    (63, CommError),          // Fax protocol error
    (68, NotAFax),            // Far end is not compatible
    (75, Cancelled),          // Manually canceled by user
    (76, Unknown),            // Canceled automatically because timeout exceeded
    (77, CommError),          // Timed out waiting for receiver ready (ECM mode)
    (79, Unknown),            // Can't cancel the fax, it's already complete!
    (80, CommError),          // Received a DCN while waiting for a DIS
    (82, CommError),          // There was an error communicating with the far side
    (84, CommError),          // Unexpected command after page received
    (113, Document),          // The file for this fax has been deleted or is not accessible
    (117, CommError),         // No pages received
    (119, CommError),         // User requested simulated faxError
    (131, CommError),         // Incomplete transmission
    (132, NotAFax),           // No fax tone detected
    (133, Rejected),          // Phone number is not permitted
];

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: &str, id: impl Into<Option<u32>>, first_call: bool) -> FaxFailure {
        let error = PhaxioError {
            kind: (!kind.is_empty()).then(|| kind.to_owned()),
            id: id.into(),
            text: Some("words of the vendor".into()),
        };
        error.failure(first_call)
    }

    #[test]
    fn a_number_means_what_its_type_says_in_the_words_of_both_vendors() {
        for (kind, id, class) in [
            ("lineError", 17, Busy),
            ("CALL_ERROR", 17, Busy),
            ("LINE_ERROR", 89, CommError),
            ("faxError", 46, LocalConfig),
            ("FAX_ERROR", 75, Cancelled),
            ("fatalError", 75, Cancelled),
            ("generalError", 46, LocalConfig),
            ("documentConversionError", 133, Document),
            ("DOCUMENT_CONVERSION_ERROR", 133, Document),
            ("FAX_ERROR", 133, Rejected),
            ("GENERAL_ERROR", 133, Unknown),
            ("", 17, Busy),
            ("lineError", 999, Unknown),
            ("documentConversionError", 999, Document),
            ("documentConversionError", 57, Unknown),
            ("somethingNew", 999, Unknown),
        ] {
            assert_eq!(failure(kind, id, true).class, class, "{kind} {id}");
        }
    }

    #[test]
    fn only_what_certainly_came_before_a_page_says_so() {
        for (kind, id, first_call, before) in [
            ("lineError", Some(17), true, true),
            ("lineError", Some(17), false, false),
            ("lineError", Some(11), true, false),
            ("lineError", Some(19), true, false),
            ("lineError", Some(30), true, false),
            ("lineError", None, true, false),
            ("CALL_ERROR", Some(49), true, true),
            ("faxError", Some(132), true, false),
            ("faxError", Some(17), true, false),
            ("generalError", Some(17), true, false),
            ("documentConversionError", Some(54), false, true),
            ("documentConversionError", None, false, true),
        ] {
            let phase = failure(kind, id, first_call).phase;
            assert_eq!(phase < FailurePhase::Transmission, before, "{kind} {id:?}");
        }
    }

    #[test]
    fn type_and_number_are_kept_and_the_text_does_not_show() {
        let kept = failure("lineError", 17, true);
        assert_eq!(kept.native_code.as_deref(), Some("lineError 17"));
        assert_eq!(kept.native_text.as_deref(), Some("words of the vendor"));
        assert!(!format!("{kept:?}").contains("words"));
        assert_eq!(failure("", 17, true).native_code.as_deref(), Some("17"));
        let unnumbered = failure("fatalError", None, true);
        assert_eq!(unnumbered.native_code.as_deref(), Some("fatalError"));
        assert!(!PhaxioError::default().is_some());
    }

    #[test]
    fn no_number_but_133_is_in_two_tables() {
        let mut seen = std::collections::BTreeSet::new();
        for (id, _) in CONVERSION.iter().chain(LINE).chain(FAX) {
            assert!(seen.insert(*id) || *id == 133, "{id}");
        }
    }
}
