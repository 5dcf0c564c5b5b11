//! Forms as `application/x-www-form-urlencoded`.

/// A form in the encoding `application/x-www-form-urlencoded` (WHATWG URL section 5.2), in the
/// order given.
pub fn form_urlencoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_makes_another_field() {
        let pairs = [("to", "+49 30&from=1"), ("text", "é=%\r\n"), ("a b", "")];
        assert_eq!(
            form_urlencoded(&pairs),
            "to=%2B49+30%26from%3D1&text=%C3%A9%3D%25%0D%0A&a+b="
        );
    }
}
