//! Forms as `application/x-www-form-urlencoded`.

/// A form in the encoding `application/x-www-form-urlencoded` (WHATWG URL section 5.2), in the
/// order given.
pub fn form_urlencoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}
