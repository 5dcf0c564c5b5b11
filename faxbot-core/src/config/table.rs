//! The table of all fields of one thing, and what it does with a value.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{ConfigError, ConfigErrors, Field, nearest::nearest, value::wrong_type};

/// Keys that some type uses and that every other type accepts and ignores, so that one file can
/// describe servers of all types alike.
pub const IGNORED_KEYS: &[&str] = &[
    "realm",
    "username",
    "user",
    "password",
    "secret",
    "apikey",
    "api_key",
    "token",
    "domain",
    "role",
    "account_sid",
    "auth_token",
    "api_secret",
    "application_id",
    "private_key",
];

/// The places of the shape; a field is in one of them.
const SECTIONS: [&str; 3] = ["", "auth", "options"];

/// All fields of one adapter or plugin.
#[derive(Debug, Clone, Copy)]
pub struct FieldTable {
    types: &'static [&'static str],
    fields: &'static [Field],
}

/// What [`FieldTable::examine`] found.
///
/// The value holds secrets as plain text: deserialise it, and do not print it. That is why this
/// type's `Debug` shows the problems only.
#[non_exhaustive]
pub struct Examined {
    /// The value in the canonical shape: canonical names and places, defaults filled in,
    /// durations as text, ignored keys left out. Fields with a problem are absent.
    pub value: Value,
    /// Every problem.
    pub problems: Vec<ConfigError>,
}

impl std::fmt::Debug for Examined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Examined")
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl FieldTable {
    /// A table. `types` are the values of `type` that mean this thing, the canonical one first.
    pub const fn new(types: &'static [&'static str], fields: &'static [Field]) -> Self {
        Self { types, fields }
    }

    /// The fields, in the order of the documentation.
    pub const fn fields(&self) -> &'static [Field] {
        self.fields
    }

    /// Whether `type: name` means this table.
    pub fn is_type(&self, name: &str) -> bool {
        self.types
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Checks a value and reports every problem at once.
    ///
    /// # Errors
    /// All problems, each with its path and what would be right.
    pub fn validate(&self, value: &Value) -> Result<(), ConfigErrors> {
        ConfigErrors::check(self.examine(value).problems)
    }

    /// Checks a value and deserialises its canonical form into `T`.
    ///
    /// # Errors
    /// All problems, each with its path and what would be right.
    pub fn load<T: DeserializeOwned>(&self, value: &Value) -> Result<T, ConfigErrors> {
        self.load_with(value, |_| Vec::new())
    }

    /// As [`load`](Self::load), with rules that concern several fields: `rules` gets the canonical
    /// value (fields with a problem are absent) and adds its own problems to the list.
    ///
    /// # Errors
    /// All problems, those of the table first.
    pub fn load_with<T: DeserializeOwned>(
        &self,
        value: &Value,
        rules: impl FnOnce(&Value) -> Vec<ConfigError>,
    ) -> Result<T, ConfigErrors> {
        let mut examined = self.examine(value);
        examined.problems.extend(rules(&examined.value));
        ConfigErrors::check(examined.problems)?;
        // serde's own text would repeat the value, which may be a secret.
        serde_json::from_value(examined.value).map_err(|_| {
            ConfigError::new(
                "",
                "accepted by the table of fields and not by the type behind it",
                "a table that fits its type",
            )
            .into()
        })
    }

    /// Checks a value and answers its canonical form together with every problem.
    pub fn examine(&self, value: &Value) -> Examined {
        let mut problems = Vec::new();
        let Some(top) = value.as_object() else {
            problems.push(ConfigError::new("", wrong_type(value), "an object"));
            return Examined {
                value: Value::Object(Map::new()),
                problems,
            };
        };
        self.check_type(top, &mut problems);
        let mut out = Map::new();
        if let Some(canonical) = self.types.first() {
            out.insert("type".into(), Value::from(*canonical));
        }
        let given = self.collect(top, &mut problems);
        for field in self.fields {
            if let Some(value) = Self::take(field, &given, &mut problems) {
                put(&mut out, field, value);
            }
        }
        Examined {
            value: Value::Object(out),
            problems,
        }
    }

    fn check_type(&self, top: &Map<String, Value>, problems: &mut Vec<ConfigError>) {
        let given = match top.get("type") {
            None | Some(Value::Null) => return,
            Some(given) => given,
        };
        if !given.as_str().is_some_and(|name| self.is_type(name)) {
            problems.push(ConfigError::new(
                "type",
                "another type",
                self.types.join(" or "),
            ));
        }
    }

    /// Every entry that is not null, as (place as written, field, value). Unknown keys become
    /// problems here.
    fn collect<'v>(
        &self,
        top: &'v Map<String, Value>,
        problems: &mut Vec<ConfigError>,
    ) -> Vec<(String, &'static Field, &'v Value)> {
        let mut given = Vec::new();
        for section in SECTIONS {
            let entries = match (section, top.get(section)) {
                ("", _) => top,
                (_, None | Some(Value::Null)) => continue,
                (_, Some(Value::Object(entries))) => entries,
                (_, Some(other)) => {
                    problems.push(ConfigError::new(section, wrong_type(other), "an object"));
                    continue;
                }
            };
            for (key, value) in entries {
                if section.is_empty() && (key == "type" || SECTIONS.contains(&key.as_str())) {
                    continue;
                }
                let place = match section {
                    "" => key.clone(),
                    section => format!("{section}.{key}"),
                };
                match self.find(section, key) {
                    Some(field) if !value.is_null() => given.push((place, field, value)),
                    Some(_) => {}
                    None if IGNORED_KEYS.contains(&key.as_str()) => {}
                    None => problems.push(ConfigError::new(
                        printable(&place),
                        "unknown key",
                        self.suggestion(key),
                    )),
                }
            }
        }
        given
    }

    /// The field that `key` means in `section`.
    fn find(&self, section: &str, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| {
            let home = field.section();
            let place_is_right =
                home == section || section.is_empty() || (home.is_empty() && section == "options");
            place_is_right && field.is_called(key)
        })
    }

    fn suggestion(&self, key: &str) -> String {
        let names = self.fields.iter().flat_map(Field::names);
        let field = nearest(key, names)
            .and_then(|name| self.fields.iter().find(|field| field.is_called(name)));
        match field {
            Some(field) => format!("a known one, the nearest is `{}`", field.path()),
            None => "no key at all".into(),
        }
    }

    /// The canonical value of one field: given, or its default.
    fn take(
        field: &'static Field,
        given: &[(String, &'static Field, &Value)],
        problems: &mut Vec<ConfigError>,
    ) -> Option<Value> {
        let mut entries = given
            .iter()
            .filter(|(_, owner, _)| owner.path() == field.path());
        let Some((place, _, value)) = entries.next() else {
            if field.required {
                problems.push(ConfigError::new(field.path(), "missing", field.expected()));
            }
            return field.default_value();
        };
        if let Some((second, ..)) = entries.next() {
            problems.push(ConfigError::new(
                second,
                format!("given already as `{place}`"),
                "one of the two",
            ));
        }
        match field.canonical(value) {
            Ok(value) => Some(value),
            Err(problem) => {
                problems.push(ConfigError::new(place, problem, field.expected()));
                None
            }
        }
    }

    /// The documentation's table, in Markdown.
    pub fn markdown(&self) -> String {
        let head = "| option (aliases) | value | default | the server's name | meaning |\n|---|---|---|---|---|\n";
        let mut out = String::from(head);
        for field in self.fields {
            out.push_str(&field.markdown());
            out.push('\n');
        }
        out
    }

    /// What is wrong with the table itself: a name used twice, a section that does not exist, a
    /// default that its own field refuses. For a test of each table.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut seen: Vec<&str> = vec!["type", "auth", "options"];
        for field in self.fields {
            for name in field.names() {
                if seen.contains(&name) {
                    faults.push(format!("{}: the name {name} is used twice", field.path()));
                }
                seen.push(name);
            }
            if !SECTIONS.contains(&field.section()) || field.path().matches('.').count() > 1 {
                faults.push(format!("{}: no such section", field.path()));
            }
            if field.default.is_some() && field.default_value().is_none() {
                faults.push(format!("{}: refuses its own default", field.path()));
            }
            if field.doc.is_empty() {
                faults.push(format!("{}: has no documentation", field.path()));
            }
        }
        faults
    }
}

fn put(out: &mut Map<String, Value>, field: &Field, value: Value) {
    let section = field.section();
    if section.is_empty() {
        out.insert(field.name().into(), value);
        return;
    }
    let entry = out
        .entry(section)
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(entries) = entry.as_object_mut() {
        entries.insert(field.name().into(), value);
    }
}

/// A key as the user wrote it, made safe for one line.
fn printable(place: &str) -> String {
    place
        .chars()
        .flat_map(|c| c.escape_debug().take(8))
        .take(80)
        .collect()
}
