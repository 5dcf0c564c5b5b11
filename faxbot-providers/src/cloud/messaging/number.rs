//! One form of a number for all places where it is compared.

/// Digits that are a number of the public network, with country code.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// `+` and digits for a number of the public network, with or without its `+`; anything else (a
/// short code, a name) as it is. Vendors write one number in both forms.
pub(super) fn normal(text: &str) -> String {
    let text = text.trim();
    let digits = text.strip_prefix('+').unwrap_or(text);
    let number = DIGITS.contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if number {
        format!("+{digits}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn a_number_has_one_form_and_anything_else_stays() {
        for (text, form) in [
            ("+15551230001", "+15551230001"),
            ("15551230001", "+15551230001"),
            (" 15551230001 ", "+15551230001"),
            ("12345", "12345"),
            ("MyBank", "MyBank"),
            ("015551230001", "015551230001"),
            ("1234567890123456", "1234567890123456"),
            ("", ""),
        ] {
            assert_eq!(normal(text), form);
        }
    }
}
