//! The 62 results of a T.30 session, as spandsp numbers and words them. Asterisk hands on the text
//! (`FAXSTATUSSTRING`), FreeSWITCH number and text (`fax_result_code`, `fax_result_text`).

use super::FailureClass;
use FailureClass::{CommError, Document, LocalConfig, NoAnswer, NotAFax, Rejected};

/// One result of a T.30 session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct T30Result {
    number: u8,
    name: &'static str,
    text: &'static str,
    class: Option<FailureClass>,
}

impl T30Result {
    /// The result with spandsp's number (`t30_err_e` in `spandsp/t30.h`, equal in 0.0.6 and later;
    /// FreeSWITCH: `fax_result_code`).
    pub fn from_number(number: u8) -> Option<Self> {
        TABLE.get(usize::from(number)).copied()
    }

    /// The result with this text (`t30_completion_code_to_str`) or name (`T30_ERR_` before it or
    /// not). Case and white space around it do not count.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let name = match text.get(..PREFIX.len()) {
            Some(head) if head.eq_ignore_ascii_case(PREFIX) => text.get(PREFIX.len()..)?,
            _ => text,
        };
        TABLE
            .iter()
            .find(|row| row.text.eq_ignore_ascii_case(text) || row.name.eq_ignore_ascii_case(name))
            .copied()
    }

    /// All results, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().copied()
    }

    /// spandsp's number, 0 to 61.
    pub fn number(self) -> u8 {
        self.number
    }

    /// spandsp's name without `T30_ERR_`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// spandsp's text.
    pub fn text(self) -> &'static str {
        self.text
    }

    /// What kind of failure it is; `None` for success.
    ///
    /// `fax_seen` says whether anything showed that a fax machine was there: a DIS, a station id,
    /// an agreed rate, a page. Without it, the results that also a voice or a silent line gives
    /// (no first message, a call that drops) are [`FailureClass::NotAFax`]: such a number is
    /// dialled at most once more, because a person may have picked up.
    pub fn class(self, fax_seen: bool) -> Option<FailureClass> {
        match self.class {
            Some(NotAFax) if fax_seen && self.number != INCOMPATIBLE => Some(CommError),
            Some(CommError) if !fax_seen && self.number == CALL_DROPPED => Some(NotAFax),
            class => class,
        }
    }

    /// Whether the far end would take the same pages at standard resolution and usual width.
    pub fn wants_other_rendering(self) -> bool {
        matches!(self.number, NO_RESOLUTION | NO_SIZE)
    }
}

const PREFIX: &str = "T30_ERR_";
const INCOMPATIBLE: u8 = 8;
const NO_RESOLUTION: u8 = 11;
const NO_SIZE: u8 = 12;
const CALL_DROPPED: u8 = 49;

const fn row(number: u8, name: &'static str, text: &'static str, class: FailureClass) -> T30Result {
    T30Result {
        number,
        name,
        text,
        class: Some(class),
    }
}

/// Numbers and names: spandsp, `src/spandsp/t30.h`; texts: `src/t30_logging.c`,
/// `t30_completion_code_to_str` (read at commit 0c7bceb). A row's place is its number.
#[rustfmt::skip] // One row a line, so that the table can be held beside spandsp's.
const TABLE: [T30Result; 62] = [
    T30Result { number: 0, name: "OK", text: "OK", class: None },
    row(1, "CEDTONE", "The CED tone exceeded 5s", CommError),
    row(2, "T0_EXPIRED", "Timed out waiting for initial communication", NoAnswer),
    row(3, "T1_EXPIRED", "Timed out waiting for the first message", NotAFax),
    row(4, "T3_EXPIRED", "Timed out waiting for procedural interrupt", CommError),
    row(5, "HDLC_CARRIER", "The HDLC carrier did not stop in a timely manner", CommError),
    row(6, "CANNOT_TRAIN", "Failed to train with any of the compatible modems", CommError),
    row(7, "OPER_INT_FAIL", "Operator intervention failed", CommError),
    row(8, "INCOMPATIBLE", "Far end is not compatible", NotAFax),
    row(9, "RX_INCAPABLE", "Far end is not able to receive", Rejected),
    row(10, "TX_INCAPABLE", "Far end is not able to transmit", Rejected),
    row(11, "NORESSUPPORT", "Far end cannot receive at the resolution of the image", Document),
    row(12, "NOSIZESUPPORT", "Far end cannot receive at the size of image", Document),
    row(13, "UNEXPECTED", "Unexpected message received", CommError),
    row(14, "TX_BADDCS", "Received bad response to DCS or training", CommError),
    row(15, "TX_BADPG", "Received a DCN from remote after sending a page", CommError),
    row(16, "TX_ECMPHD", "Invalid ECM response received from receiver", CommError),
    row(17, "TX_GOTDCN", "Received a DCN while waiting for a DIS", CommError),
    row(18, "TX_INVALRSP", "Invalid response after sending a page", CommError),
    row(19, "TX_NODIS", "Received other than DIS while waiting for DIS", NotAFax),
    row(20, "TX_PHBDEAD", "Received no response to DCS or TCF", CommError),
    row(21, "TX_PHDDEAD", "No response after sending a page", CommError),
    row(22, "TX_T5EXP", "Timed out waiting for receiver ready (ECM mode)", CommError),
    row(23, "RX_ECMPHD", "Invalid ECM response received from transmitter", CommError),
    row(24, "RX_GOTDCS", "DCS received while waiting for DTC", CommError),
    row(25, "RX_INVALCMD", "Unexpected command after page received", CommError),
    row(26, "RX_NOCARRIER", "Carrier lost during fax receive", CommError),
    row(27, "RX_NOEOL", "Timed out while waiting for EOL (end Of line)", CommError),
    row(28, "RX_NOFAX", "Timed out while waiting for first line", CommError),
    row(29, "RX_T2EXPDCN", "Timer T2 expired while waiting for DCN", CommError),
    row(30, "RX_T2EXPD", "Timer T2 expired while waiting for phase D", CommError),
    row(31, "RX_T2EXPFAX", "Timer T2 expired while waiting for fax page", CommError),
    row(32, "RX_T2EXPMPS", "Timer T2 expired while waiting for next fax page", CommError),
    row(33, "RX_T2EXPRR", "Timer T2 expired while waiting for RR command", CommError),
    row(34, "RX_T2EXP", "Timer T2 expired while waiting for NSS, DCS or MCF", CommError),
    row(35, "RX_DCNWHY", "Unexpected DCN while waiting for DCS or DIS", CommError),
    row(36, "RX_DCNDATA", "Unexpected DCN while waiting for image data", CommError),
    row(37, "RX_DCNFAX", "Unexpected DCN while waiting for EOM, EOP or MPS", CommError),
    row(38, "RX_DCNPHD", "Unexpected DCN after EOM or MPS sequence", CommError),
    row(39, "RX_DCNRRD", "Unexpected DCN after RR/RNR sequence", CommError),
    row(40, "RX_DCNNORTN", "Unexpected DCN after requested retransmission", CommError),
    row(41, "FILEERROR", "TIFF/F file cannot be opened", Document),
    row(42, "NOPAGE", "TIFF/F page not found", Document),
    row(43, "BADTIFF", "TIFF/F format is not compatible", Document),
    row(44, "BADPAGE", "TIFF/F page number tag missing", Document),
    row(45, "BADTAG", "Incorrect values for TIFF/F tags", Document),
    row(46, "BADTIFFHDR", "Bad TIFF/F header - incorrect values in fields", Document),
    row(47, "NOMEM", "Cannot allocate memory for more pages", LocalConfig),
    row(48, "RETRYDCN", "Disconnected after permitted retries", CommError),
    row(49, "CALLDROPPED", "The call dropped prematurely", CommError),
    row(50, "NOPOLL", "Poll not accepted", Rejected),
    row(51, "IDENT_UNACCEPTABLE", "Ident not accepted", Rejected),
    row(52, "SUB_UNACCEPTABLE", "Sub-address not accepted", Rejected),
    row(53, "SEP_UNACCEPTABLE", "Selective polling address not accepted", Rejected),
    row(54, "PSA_UNACCEPTABLE", "Polled sub-address not accepted", Rejected),
    row(55, "SID_UNACCEPTABLE", "Sender identification not accepted", Rejected),
    row(56, "PWD_UNACCEPTABLE", "Password not accepted", Rejected),
    row(57, "TSA_UNACCEPTABLE", "Transmitting subscriber internet address not accepted", Rejected),
    row(58, "IRA_UNACCEPTABLE", "Internet routing address not accepted", Rejected),
    row(59, "CIA_UNACCEPTABLE", "Calling subscriber internet address not accepted", Rejected),
    row(60, "ISP_UNACCEPTABLE", "Internet selective polling address not accepted", Rejected),
    row(61, "CSA_UNACCEPTABLE", "Called subscriber internet address not accepted", Rejected),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_is_found_by_number_name_and_text() {
        for (n, row) in TABLE.iter().enumerate() {
            assert_eq!(usize::from(row.number), n);
            assert_eq!(T30Result::from_number(row.number), Some(*row));
            assert_eq!(T30Result::parse(row.text), Some(*row));
            assert_eq!(T30Result::parse(row.name), Some(*row));
            assert_eq!(
                T30Result::parse(&format!("t30_err_{}", row.name)),
                Some(*row)
            );
            assert_eq!(
                T30Result::parse(&format!(" {} ", row.text.to_uppercase())),
                Some(*row)
            );
        }
        assert_eq!(T30Result::from_number(62), None);
        for text in ["", "T30_ERR_", "???", "é", "HANGUP"] {
            assert_eq!(T30Result::parse(text), None, "{text}");
        }
    }

    #[test]
    fn results_fall_into_their_classes() {
        let rows: &[(&str, Option<FailureClass>, Option<FailureClass>)] = &[
            // name, without and with a fax seen
            ("OK", None, None),
            ("T0_EXPIRED", Some(NoAnswer), Some(NoAnswer)),
            ("T1_EXPIRED", Some(NotAFax), Some(CommError)),
            ("TX_NODIS", Some(NotAFax), Some(CommError)),
            ("INCOMPATIBLE", Some(NotAFax), Some(NotAFax)),
            ("CALLDROPPED", Some(NotAFax), Some(CommError)),
            ("CANNOT_TRAIN", Some(CommError), Some(CommError)),
            ("TX_PHBDEAD", Some(CommError), Some(CommError)),
            ("TX_PHDDEAD", Some(CommError), Some(CommError)),
            ("TX_BADPG", Some(CommError), Some(CommError)),
            ("TX_ECMPHD", Some(CommError), Some(CommError)),
            ("TX_INVALRSP", Some(CommError), Some(CommError)),
            ("TX_T5EXP", Some(CommError), Some(CommError)),
            ("RETRYDCN", Some(CommError), Some(CommError)),
            ("RX_DCNWHY", Some(CommError), Some(CommError)),
            ("IDENT_UNACCEPTABLE", Some(Rejected), Some(Rejected)),
            ("PWD_UNACCEPTABLE", Some(Rejected), Some(Rejected)),
            ("RX_INCAPABLE", Some(Rejected), Some(Rejected)),
            ("FILEERROR", Some(Document), Some(Document)),
            ("BADTIFFHDR", Some(Document), Some(Document)),
            ("NORESSUPPORT", Some(Document), Some(Document)),
            ("NOSIZESUPPORT", Some(Document), Some(Document)),
            ("NOMEM", Some(LocalConfig), Some(LocalConfig)),
        ];
        for (name, unseen, seen) in rows {
            let result = T30Result::parse(name).unwrap();
            assert_eq!(result.class(false), *unseen, "{name}, no fax seen");
            assert_eq!(result.class(true), *seen, "{name}, fax seen");
        }
    }

    #[test]
    fn only_success_has_no_class() {
        let none: Vec<u8> = T30Result::all()
            .filter(|r| r.class(true).is_none())
            .map(T30Result::number)
            .collect();
        assert_eq!(none, [0]);
    }
}
