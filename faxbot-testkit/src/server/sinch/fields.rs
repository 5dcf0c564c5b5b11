//! The fields of a JSON object, read strictly: what is unknown, missing or of another type is a problem.

use serde_json::{Map, Value};

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Fault {
    /// It has to be there.
    Missing,
    /// It is of another type, or there is no such field.
    Type,
    /// Its value is not allowed.
    Value,
}

/// A field with a fault.
#[derive(PartialEq, Eq)]
pub(in crate::server) struct Problem {
    pub(in crate::server) field: String,
    pub(in crate::server) fault: Fault,
    pub(in crate::server) text: String,
}

impl Problem {
    pub(in crate::server) fn new(field: &str, fault: Fault, text: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            fault,
            text: text.into(),
        }
    }
}

/// Reads fields and gathers problems.
pub(in crate::server) struct Fields<'a> {
    map: &'a Map<String, Value>,
    problems: Vec<Problem>,
}

impl<'a> Fields<'a> {
    /// An object that may have these fields.
    pub(in crate::server) fn new(map: &'a Map<String, Value>, known: &[&str]) -> Self {
        let unknown = map.keys().filter(|name| !known.contains(&name.as_str()));
        let problems = unknown
            .map(|name| Problem::new(name, Fault::Type, format!("no field is called '{name}'")))
            .collect();
        Self { map, problems }
    }

    pub(in crate::server) fn problem(&mut self, name: &str, fault: Fault, text: impl Into<String>) {
        self.problems.push(Problem::new(name, fault, text));
    }

    /// Null is as good as absent.
    pub(in crate::server) fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let found = read(self.value(name)?);
        if found.is_none() {
            self.problem(name, Fault::Type, format!("'{name}' is not {what}"));
        }
        found
    }

    pub(in crate::server) fn text(&mut self, name: &str) -> Option<&'a str> {
        self.typed(name, "a string", Value::as_str)
    }

    /// A text of at most so many characters.
    pub(in crate::server) fn short(&mut self, name: &str, most: usize) -> Option<&'a str> {
        let text = self.text(name)?;
        if text.chars().count() > most {
            let what = format!("'{name}' has more than {most} characters");
            self.problem(name, Fault::Value, what);
        }
        Some(text)
    }

    pub(in crate::server) fn word(&mut self, name: &str, allowed: &[&str]) -> Option<&'a str> {
        let text = self.text(name)?;
        if !allowed.contains(&text) {
            let what = format!("'{name}' is none of {}", allowed.join(", "));
            self.problem(name, Fault::Value, what);
        }
        Some(text)
    }

    pub(in crate::server) fn flag(&mut self, name: &str) -> Option<bool> {
        self.typed(name, "a boolean", Value::as_bool)
    }

    /// A whole number in a range.
    pub(in crate::server) fn number(&mut self, name: &str, least: i64, most: i64) -> Option<i64> {
        let number = self.typed(name, "an integer", Value::as_i64)?;
        if !(least..=most).contains(&number) {
            let what = format!("'{name}' is not from {least} to {most}");
            self.problem(name, Fault::Value, what);
        }
        Some(number)
    }

    pub(in crate::server) fn list(&mut self, name: &str) -> Option<&'a Vec<Value>> {
        self.typed(name, "an array", Value::as_array)
    }

    pub(in crate::server) fn object(&mut self, name: &str) -> Option<&'a Map<String, Value>> {
        self.typed(name, "an object", Value::as_object)
    }

    /// The strings of an array.
    pub(in crate::server) fn texts(&mut self, name: &str) -> Option<Vec<&'a str>> {
        self.typed(name, "an array of strings", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        })
    }

    /// One string, or an array of them.
    pub(in crate::server) fn one_or_many(&mut self, name: &str) -> Option<Vec<&'a str>> {
        self.typed(
            name,
            "a string or an array of strings",
            |value| match value {
                Value::String(text) => Some(vec![text.as_str()]),
                _ => value.as_array()?.iter().map(Value::as_str).collect(),
            },
        )
    }

    /// Every value of an object is a string.
    pub(in crate::server) fn strings(&mut self, name: &str) -> Option<&'a Map<String, Value>> {
        self.typed(name, "an object of strings", |value| {
            let map = value.as_object()?;
            map.values().all(Value::is_string).then_some(map)
        })
    }

    /// An address that callbacks and documents are asked for at.
    pub(in crate::server) fn url(&mut self, name: &str) -> Option<url::Url> {
        let text = self.text(name)?;
        let url = url::Url::parse(text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            self.problem(name, Fault::Value, format!("'{name}' is not a valid URL"));
        }
        url
    }

    /// What is wrong.
    pub(in crate::server) fn problems(self) -> Vec<Problem> {
        self.problems
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_unknown_of_another_type_or_out_of_range_is_a_problem() {
        let Value::Object(map) = json!({
            "to": "+1", "many": ["a", 1], "flag": "true", "count": 9, "word": "Fine", "url": "ftp://h/",
            "labels": {"a": 1}, "none": null, "odd": 1,
        }) else {
            unreachable!()
        };
        let known = [
            "to", "many", "flag", "count", "word", "url", "labels", "none",
        ];
        let mut fields = Fields::new(&map, &known);
        assert_eq!(fields.one_or_many("to"), Some(vec!["+1"]));
        assert_eq!(fields.one_or_many("many"), None);
        assert_eq!(fields.flag("flag"), None);
        assert_eq!(fields.number("count", 0, 5), Some(9));
        assert_eq!(fields.word("word", &["FINE"]), Some("Fine"));
        assert_eq!(fields.url("url"), None);
        assert_eq!(fields.strings("labels"), None);
        assert_eq!(fields.text("none"), None);
        let problems = fields.problems();
        let found: Vec<_> = problems
            .iter()
            .map(|problem| (problem.field.as_str(), problem.fault))
            .collect();
        assert_eq!(
            found,
            [
                ("odd", Fault::Type),
                ("many", Fault::Type),
                ("flag", Fault::Type),
                ("count", Fault::Value),
                ("word", Fault::Value),
                ("url", Fault::Value),
                ("labels", Fault::Type),
            ]
        );
    }
}
