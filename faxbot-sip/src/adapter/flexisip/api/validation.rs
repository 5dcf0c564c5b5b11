//! What the account manager found wrong with a request.

use std::{collections::BTreeMap, error::Error as StdError, fmt};

use faxbot_core::{Error, redact};
use serde_json::Value;

/// What was wrong with each field of a request. It is the source of the error of a 422.
///
/// The texts follow the server's language and may quote what was sent: never compare them, never log
/// them. `Debug` and `Display` show the names of the fields.
///
/// ```
/// # use faxbot_core::Error;
/// use faxbot_sip::adapter::flexisip::Validation;
///
/// /// Whether an account was not made because of its name.
/// fn is_name_refused(error: &Error) -> bool {
///     Validation::of(error).is_some_and(|it| it.has("username"))
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Validation {
    fields: BTreeMap<String, Vec<String>>,
}

impl Validation {
    /// That of an error, if it has one.
    pub fn of(error: &Error) -> Option<&Self> {
        error.source()?.downcast_ref()
    }

    /// The names of the fields, with dots for those inside of others.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// Whether a field is wrong.
    pub fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// What is wrong with a field, in the server's words.
    pub fn texts(&self, field: &str) -> &[String] {
        self.fields
            .get(field)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Reads `errors` of a body: fields with a list of texts each, with one text (an older answer of the
    /// password route), or texts without a field.
    pub(super) fn read(body: &Value) -> Option<Self> {
        let texts = |value: &Value| match value {
            Value::Array(all) => all
                .iter()
                .filter_map(|text| text.as_str().map(str::to_owned))
                .collect(),
            Value::String(text) => vec![text.clone()],
            _ => Vec::new(),
        };
        let fields: BTreeMap<_, _> = match body.get("errors")? {
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), texts(v))).collect(),
            Value::Array(all) => {
                let numbered = all.iter().enumerate();
                numbered.map(|(n, v)| (n.to_string(), texts(v))).collect()
            }
            _ => return None,
        };
        Some(Self { fields })
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused fields:")?;
        for (number, field) in self.fields().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma} {}", redact::code(field))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.fields().map(redact::code))
            .finish()
    }
}

impl StdError for Validation {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_form_of_errors_is_read() {
        let rows = [
            (
                json!({"errors": {"a": ["x", "y"]}}),
                Some(("a", vec!["x", "y"])),
            ),
            (
                json!({"errors": {"old_password": "x"}}),
                Some(("old_password", vec!["x"])),
            ),
            (
                json!({"errors": {"invite_terminated.state": ["x"]}}),
                Some(("invite_terminated.state", vec!["x"])),
            ),
            (json!({"errors": [["x"]]}), Some(("0", vec!["x"]))),
            (json!({"errors": {"0": ["x"]}}), Some(("0", vec!["x"]))),
            (json!({"errors": {"a": 7}}), Some(("a", vec![]))),
            (json!({"errors": null}), None),
            (json!({"message": "x"}), None),
            (json!([]), None),
        ];
        for (body, expected) in rows {
            let read = Validation::read(&body);
            let got = expected.as_ref().map(|(field, _)| {
                let read = read.as_ref().unwrap();
                assert!(read.has(field));
                read.texts(field).to_vec()
            });
            let expected = expected.map(|(_, texts)| texts);
            assert_eq!(got.is_some(), read.is_some(), "{body}");
            assert_eq!(
                got.unwrap_or_default(),
                expected.unwrap_or_default(),
                "{body}"
            );
        }
    }

    #[test]
    fn only_names_are_shown() {
        let body = json!({"errors": {"email": ["alice@example.org is taken"], "a@b": ["c"]}});
        let read = Validation::read(&body).unwrap();
        let shown = format!("{read} {read:?}");
        assert!(shown.contains("email") && !shown.contains("alice") && !shown.contains("a@b"));
    }
}
