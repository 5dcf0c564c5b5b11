//! One field of a configuration: its names, the values it takes, and its documentation.

use std::time::Duration;

use serde_json::Value;

use super::{
    duration,
    value::{boolean, integer, is_host, list, map, number, text, time},
};

/// What a field's value is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Kind {
    /// Text without control characters.
    Text,
    /// A credential: text without control characters; never printed.
    Secret,
    /// `true` or `false`; as text also `yes` and `no`.
    Bool,
    /// A port: 1 to 65535.
    Port,
    /// A whole number in a range, both ends included.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A number with a fraction in a range, both ends included.
    Number {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// Whole seconds, or text with a unit ([`duration`](super::duration)), in a range, both ends
    /// included.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// One word of a list, in any letter case.
    Enum(&'static [&'static str]),
    /// A host name or an IP address, without a port.
    Host,
    /// A path of a file or directory, without control characters.
    Path,
    /// An absolute URL.
    Url,
    /// A list of texts; a text with commas is taken apart.
    List,
    /// Names with a text each.
    Map,
    /// A value of the owner's own form, kept as it is.
    Checked {
        /// What a right value is, for error texts and documentation.
        expected: &'static str,
        /// Whether a value is right.
        accepts: fn(&Value) -> bool,
    },
    /// Anything, checked by its owner.
    Any,
}

impl Kind {
    /// A duration from a millisecond to a year.
    pub const DURATION: Self = Self::Duration {
        min: Duration::from_millis(1),
        max: Duration::from_secs(366 * 24 * 60 * 60),
    };

    /// A duration from zero to a year.
    pub const DURATION_OR_ZERO: Self = Self::Duration {
        min: Duration::ZERO,
        max: Duration::from_secs(366 * 24 * 60 * 60),
    };

    /// What a right value is, for error texts and documentation.
    pub fn expected(&self) -> String {
        match self {
            Self::Text => "text without control characters".into(),
            Self::Secret => "a secret as text without control characters".into(),
            Self::Bool => "true or false".into(),
            Self::Port => "a number from 1 to 65535".into(),
            Self::Integer { min, max: u64::MAX } => format!("a whole number from {min}"),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Number { min, max } => format!("a number from {min} to {max}"),
            Self::Duration { min, max } => format!(
                "{}, from {} to {}",
                duration::EXPECTED,
                duration::format(*min),
                duration::format(*max)
            ),
            Self::Enum(words) => format!("one of {}", words.join(", ")),
            Self::Host => "a host name or an IP address without a port".into(),
            Self::Path => "a path".into(),
            Self::Url => "an absolute URL".into(),
            Self::List => "a list of texts".into(),
            Self::Map => "an object whose values are texts".into(),
            Self::Checked { expected, .. } => (*expected).into(),
            Self::Any => "a value".into(),
        }
    }

    /// The short word of the documentation's table.
    fn word(&self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Secret => "secret".into(),
            Self::Bool => "true or false".into(),
            Self::Port => "port".into(),
            Self::Integer { .. } | Self::Number { .. } | Self::Checked { .. } => self.expected(),
            Self::Duration { .. } => "duration".into(),
            Self::Enum(words) => words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", "),
            Self::Host => "host".into(),
            Self::Path => "path".into(),
            Self::Url => "URL".into(),
            Self::List => "list".into(),
            Self::Map => "map".into(),
            Self::Any => "value".into(),
        }
    }

    /// The value in its canonical form, or what is wrong with it. Never repeats the value.
    pub(super) fn canonical(&self, value: &Value) -> Result<Value, String> {
        match self {
            Self::Text | Self::Secret | Self::Path => text(value).map(Value::from),
            Self::Bool => boolean(value).map(Value::from),
            Self::Port => integer(value, 1, u64::from(u16::MAX)).map(Value::from),
            Self::Integer { min, max } => integer(value, *min, *max).map(Value::from),
            Self::Number { min, max } => number(value, *min, *max).map(Value::Number),
            Self::Duration { min, max } => time(value, *min, *max).map(Value::from),
            Self::Enum(words) => {
                let given = text(value)?;
                words
                    .iter()
                    .find(|word| word.eq_ignore_ascii_case(given))
                    .map(|word| Value::from(*word))
                    .ok_or_else(|| "not a known word".into())
            }
            Self::Host => {
                let given = text(value)?;
                if is_host(given) {
                    Ok(Value::from(given))
                } else {
                    Err("not a host name or an address".into())
                }
            }
            Self::Url => {
                let given = text(value)?;
                url::Url::parse(given)
                    .map(|_| Value::from(given))
                    .map_err(|error| error.to_string())
            }
            Self::List => list(value),
            Self::Map => map(value),
            Self::Checked { accepts, .. } if !accepts(value) => Err("not accepted".into()),
            Self::Checked { .. } | Self::Any => Ok(value.clone()),
        }
    }
}

/// One field, written as a constant:
///
/// ```
/// use faxbot_core::config::{Field, Kind};
/// const USERNAME: Field = Field::new("auth.username", Kind::Text, "the manager account")
///     .aliases(&["user"])
///     .server_name("the section name in manager.conf")
///     .required();
/// assert_eq!(USERNAME.name(), "username");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub(super) path: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) may_be_empty: bool,
    pub(super) default: Option<&'static str>,
    pub(super) default_note: Option<&'static str>,
    pub(super) doc: &'static str,
    pub(super) server_name: Option<&'static str>,
}

impl Field {
    /// An optional field without a default. `path` is its canonical place: `port`,
    /// `auth.username`, `options.connect_timeout`; `doc` says what it is, with its unit.
    pub const fn new(path: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            path,
            aliases: &[],
            kind,
            required: false,
            may_be_empty: false,
            default: None,
            default_note: None,
            doc,
            server_name: None,
        }
    }

    /// Other names in the same place.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// The field must be there.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Its text may be empty; by default that is an error.
    #[must_use]
    pub const fn may_be_empty(mut self) -> Self {
        self.may_be_empty = true;
        self
    }

    /// The value when the field is absent, as text of the field's kind. It is filled in, so that
    /// the documentation's default is the real one.
    #[must_use]
    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }

    /// A default that its owner works out ("the value of `host`"), for the documentation.
    #[must_use]
    pub const fn default_note(mut self, note: &'static str) -> Self {
        self.default_note = Some(note);
        self
    }

    /// What the server calls it.
    #[must_use]
    pub const fn server_name(mut self, name: &'static str) -> Self {
        self.server_name = Some(name);
        self
    }

    /// The canonical place, such as `auth.username`.
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// The last part of the place: `username`.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The part before the name: `auth`, `options`, or empty for the top level.
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(section, _)| section)
    }

    /// A field whose value is text that `T` parses, such as a dial template or a number format.
    pub const fn parsed<T: std::str::FromStr>(
        path: &'static str,
        expected: &'static str,
        doc: &'static str,
    ) -> Self {
        let accepts: fn(&Value) -> bool = parses::<T>;
        Self::new(path, Kind::Checked { expected, accepts }, doc)
    }

    /// As [`parsed`](Self::parsed), for a value that `T` deserialises.
    pub const fn deserialised<T: serde::de::DeserializeOwned>(
        path: &'static str,
        expected: &'static str,
        doc: &'static str,
    ) -> Self {
        let accepts: fn(&Value) -> bool = deserialises::<T>;
        Self::new(path, Kind::Checked { expected, accepts }, doc)
    }

    /// What its value is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name()).chain(self.aliases.iter().copied())
    }

    pub(super) fn expected(&self) -> String {
        self.kind.expected()
    }

    /// The value in its canonical form, or what is wrong with it.
    pub(super) fn canonical(&self, value: &Value) -> Result<Value, String> {
        let value = self.kind.canonical(value)?;
        if value.as_str() == Some("") && !self.may_be_empty {
            return Err("empty".into());
        }
        Ok(value)
    }

    pub(super) fn default_value(&self) -> Option<Value> {
        let text = Value::from(self.default?);
        self.canonical(&text).ok()
    }

    /// The field's row of the documentation's table.
    pub(super) fn markdown(&self) -> String {
        let aliases = self
            .aliases
            .iter()
            .map(|alias| format!(" (`{alias}`)"))
            .collect::<String>();
        let default = match (self.default, self.default_note) {
            _ if self.required => "required".into(),
            (Some(""), _) => "empty".into(),
            (Some(text), _) => format!("`{text}`"),
            (None, Some(note)) => note.into(),
            (None, None) => "none".to_owned(),
        };
        let cells = [
            format!("`{}`{aliases}", self.path),
            self.kind.word(),
            default,
            self.server_name.unwrap_or_default().into(),
            self.doc.into(),
        ];
        format!(
            "| {} |",
            cells.map(|cell| cell.replace('|', "\\|")).join(" | ")
        )
    }
}

fn parses<T: std::str::FromStr>(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<T>().is_ok())
}

fn deserialises<T: serde::de::DeserializeOwned>(value: &Value) -> bool {
    T::deserialize(value).is_ok()
}
