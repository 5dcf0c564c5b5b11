//! How a text is cut: 160 characters of GSM 03.38 in one part or 153 in each of several, 70 or 67 UTF-16
//! units otherwise (3GPP TS 23.038 §6.2.1, TS 23.040 §9.2.3.24.1).

/// The basic table and, behind it, what the extension table has: two characters on the air.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡\
                     ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// Whether a text needs Unicode, and its parts.
pub(super) fn parts(text: &str) -> (bool, u32) {
    let gsm = |character| match character {
        _ if BASIC.contains(character) => Some(1),
        _ if EXTENSION.contains(character) => Some(2),
        _ => None,
    };
    let widths: Option<Vec<usize>> = text.chars().map(gsm).collect();
    match widths {
        Some(widths) => (false, cut(&widths, 160, 153)),
        None => {
            let widths: Vec<usize> = text.chars().map(char::len_utf16).collect();
            (true, cut(&widths, 70, 67))
        }
    }
}

/// A character is never cut in two.
fn cut(widths: &[usize], alone: usize, each: usize) -> u32 {
    if widths.iter().sum::<usize>() <= alone {
        return 1;
    }
    let (mut parts, mut used) = (1, 0);
    for width in widths {
        if used + width > each {
            parts += 1;
            used = 0;
        }
        used += width;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_as_on_the_air() {
        for (text, unicode, wanted) in [
            (String::new(), false, 1),
            ("a".repeat(160), false, 1),
            ("a".repeat(161), false, 2),
            ("a".repeat(307), false, 3),
            ("€".repeat(80), false, 1),
            ("€".repeat(81), false, 2),
            ("€".repeat(153), false, 3),
            ("я".repeat(70), true, 1),
            ("я".repeat(71), true, 2),
            ("📠".repeat(35), true, 1),
            ("📠".repeat(36), true, 2),
        ] {
            assert_eq!(parts(&text), (unicode, wanted), "{} characters", text.len());
        }
    }
}
