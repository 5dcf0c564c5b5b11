//! How many parts an SMS takes: the alphabets of 3GPP TS 23.038, and the lengths that they leave.
//!
//! A short message has 140 bytes (3GPP TS 23.040 §9.2.3.16). Characters of the GSM 7-bit default
//! alphabet take 7 bits, those of its extension table twice that, and one character outside of both
//! makes the whole message UCS-2, with two bytes a character and four for what lies beyond the basic
//! plane. A longer text is sent in parts, of which each gives 6 bytes to the header that joins them
//! (§9.2.3.24.1).

use serde::{Deserialize, Serialize};

/// The GSM 7-bit default alphabet, in the order of its codes without the escape (3GPP TS 23.038 §6.2.1).
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                     ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// The extension table: an escape and a second septet (3GPP TS 23.038 §6.2.1.1).
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// How the characters of a message are written on the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SmsEncoding {
    /// Septets of the GSM 7-bit default alphabet and its extension table.
    Gsm7,
    /// 16-bit units. What the standard calls UCS-2 is UTF-16 on every telephone.
    Ucs2,
}

impl SmsEncoding {
    /// The encoding that a text needs: [`Gsm7`](Self::Gsm7) where each character is in that alphabet.
    pub fn of(text: &str) -> Self {
        if text.chars().all(|c| septets(c).is_some()) {
            Self::Gsm7
        } else {
            Self::Ucs2
        }
    }

    /// Units that fit into a message of one part: 160 septets, 70 units of 16 bits.
    pub fn single(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// Units that fit into each of several parts: 153 septets, 67 units of 16 bits.
    pub fn part(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }

    /// Units of one character: what must not be parted.
    fn units(self, c: char) -> usize {
        match self {
            Self::Gsm7 => septets(c).unwrap_or(1),
            Self::Ucs2 => c.len_utf16(),
        }
    }
}

/// What a text takes as SMS.
///
/// ```
/// use faxbot_providers::cloud::messaging::{Segments, SmsEncoding};
///
/// let text = Segments::of("Your results are in: call 555 0123");
/// assert_eq!((text.encoding, text.units, text.parts), (SmsEncoding::Gsm7, 34, 1));
/// // One character outside of the alphabet halves what fits.
/// assert_eq!(Segments::of(&"a".repeat(160)).parts, 1);
/// assert_eq!(Segments::of(&format!("{}ł", "a".repeat(159))).parts, 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Segments {
    /// How it is written.
    pub encoding: SmsEncoding,
    /// Septets, or 16-bit units.
    pub units: usize,
    /// Parts, at least 1.
    pub parts: u32,
}

impl Segments {
    /// Counts a text.
    pub fn of(text: &str) -> Self {
        let encoding = SmsEncoding::of(text);
        let units = text.chars().map(|c| encoding.units(c)).sum();
        let parts = if units <= encoding.single() {
            1
        } else {
            let mut cuts = 0_u32;
            cut(text, encoding, |_| cuts = cuts.saturating_add(1));
            cuts.saturating_add(1)
        };
        Self {
            encoding,
            units,
            parts,
        }
    }

    /// The text of each part, in order. No character is parted: neither the escape of the extension
    /// table from what it escapes, nor a surrogate from its other half.
    pub fn split(text: &str) -> Vec<&str> {
        let whole = Self::of(text);
        if whole.parts == 1 {
            return vec![text];
        }
        let (mut parts, mut start) = (Vec::new(), 0);
        cut(text, whole.encoding, |at| {
            parts.extend(text.get(start..at));
            start = at;
        });
        parts.extend(text.get(start..));
        parts
    }
}

/// Tells the byte at which each part but the first begins.
fn cut(text: &str, encoding: SmsEncoding, mut begins: impl FnMut(usize)) {
    let mut filled = 0;
    for (at, c) in text.char_indices() {
        let units = encoding.units(c);
        if filled + units > encoding.part() {
            begins(at);
            filled = 0;
        }
        filled += units;
    }
}

/// Septets of a character; `None` where GSM 7-bit has none for it.
fn septets(c: char) -> Option<usize> {
    if BASIC.contains(c) {
        Some(1)
    } else if EXTENSION.contains(c) {
        Some(2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use SmsEncoding::{Gsm7, Ucs2};

    #[test]
    fn the_default_alphabet_has_each_code_but_the_escape_once() {
        let mut all: Vec<char> = BASIC.chars().chain(EXTENSION.chars()).collect();
        assert_eq!((BASIC.chars().count(), all.len()), (127, 137));
        // Codes behind the escape (0x1B) are one place further.
        let code = |c| {
            BASIC
                .chars()
                .position(|b| b == c)
                .map(|p| p + usize::from(p >= 0x1B))
        };
        for (c, expected) in [
            ('@', 0x00),
            ('\n', 0x0A),
            ('\r', 0x0D),
            ('Ξ', 0x1A),
            ('Æ', 0x1C),
            (' ', 0x20),
            ('¤', 0x24),
            ('A', 0x41),
            ('¿', 0x60),
            ('a', 0x61),
            ('à', 0x7F),
        ] {
            assert_eq!(code(c), Some(expected), "{c}");
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 137);
    }

    #[test]
    fn texts_take_as_many_parts_as_their_alphabet_says() {
        let rows = [
            (String::new(), Gsm7, 0, 1),
            ("a".repeat(160), Gsm7, 160, 1),
            ("a".repeat(161), Gsm7, 161, 2),
            ("a".repeat(306), Gsm7, 306, 2),
            ("a".repeat(307), Gsm7, 307, 3),
            ("€".repeat(80), Gsm7, 160, 1),
            ("€".repeat(81), Gsm7, 162, 2),
            // 153 is odd: the last septet of a part stays empty.
            ("€".repeat(152), Gsm7, 304, 2),
            ("€".repeat(153), Gsm7, 306, 3),
            ("ł".repeat(70), Ucs2, 70, 1),
            ("ł".repeat(71), Ucs2, 71, 2),
            ("ł".repeat(134), Ucs2, 134, 2),
            ("ł".repeat(135), Ucs2, 135, 3),
            ("📠".repeat(35), Ucs2, 70, 1),
            // 67 is odd, too.
            ("📠".repeat(66), Ucs2, 132, 2),
            ("📠".repeat(67), Ucs2, 134, 3),
            // Not in the alphabet, though they look so.
            ("ç`".to_owned(), Ucs2, 2, 1),
            ("\t".to_owned(), Ucs2, 1, 1),
        ];
        for (text, encoding, units, parts) in rows {
            let segments = Segments::of(&text);
            assert_eq!(
                (segments.encoding, segments.units, segments.parts),
                (encoding, units, parts),
                "{} of {:?}",
                text.chars().count(),
                text.chars().next()
            );
        }
    }

    proptest! {
        #[test]
        fn parts_are_the_text_and_none_is_too_long(
            text in "[a€\\[ł📠\u{c}]{0,400}",
        ) {
            let segments = Segments::of(&text);
            let parts = Segments::split(&text);
            prop_assert_eq!(parts.concat(), text.as_str());
            prop_assert_eq!(parts.len(), usize::try_from(segments.parts).unwrap());
            let fits = match parts.len() {
                1 => segments.encoding.single(),
                _ => segments.encoding.part(),
            };
            for part in &parts {
                let units: usize = part.chars().map(|c| segments.encoding.units(c)).sum();
                prop_assert!(units <= fits);
            }
            // Each part but the last is as full as it can be.
            for pair in parts.windows(2) {
                let units: usize = pair[0].chars().map(|c| segments.encoding.units(c)).sum();
                let next = pair[1].chars().next().unwrap();
                prop_assert!(units + segments.encoding.units(next) > fits);
            }
        }
    }
}
