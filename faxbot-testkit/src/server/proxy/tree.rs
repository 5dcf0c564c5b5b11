//! JSON whose members keep their order, as proxies write and read it.

use std::{fmt, fmt::Write as _};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// A JSON value. `Debug` shows its form and no text.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Tree {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Self>),
    /// An object. A name may come twice.
    Object(Vec<(String, Self)>),
}

impl Tree {
    /// An object of these members.
    pub fn object<N: Into<String>>(members: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Object(
            members
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    /// An array of these values.
    pub fn list<V: Into<Self>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }

    /// Reads JSON; `None` for what is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The first member of this name, of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                let mut members = members.iter();
                let (_, value) = members.find(|(other, _)| other == name)?;
                Some(value)
            }
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The values of an array, or of the members of an object, in their order.
    pub fn values(&self) -> Vec<&Self> {
        match self {
            Self::List(values) => values.iter().collect(),
            Self::Object(members) => members.iter().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        }
    }

    /// On one line, without blanks.
    pub fn compact(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, None);
        text
    }

    /// Indented by tabs, as the JSON library of Kamailio prints it (`srjson.c`).
    pub fn tabbed(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, Some(0));
        text
    }

    fn write(&self, out: &mut String, depth: Option<usize>) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(number) => {
                let _infallible = write!(out, "{number}");
            }
            Self::Float(number) => {
                let _infallible = write!(out, "{number}");
            }
            Self::Text(text) => quote(text, out),
            Self::List(values) => {
                out.push('[');
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        out.push_str(if depth.is_some() { ", " } else { "," });
                    }
                    value.write(out, depth.map(|depth| depth + 1));
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                if depth.is_some() {
                    out.push('\n');
                }
                let inner = depth.map(|depth| depth + 1);
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push_str(if depth.is_some() { ",\n" } else { "," });
                    }
                    indent(inner, out);
                    quote(name, out);
                    out.push_str(if depth.is_some() { ":\t" } else { ":" });
                    value.write(out, inner);
                }
                if depth.is_some() && !members.is_empty() {
                    out.push('\n');
                }
                indent(depth, out);
                out.push('}');
            }
        }
    }
}

fn indent(depth: Option<usize>, out: &mut String) {
    out.extend(std::iter::repeat_n('\t', depth.unwrap_or_default()));
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => {
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Tree {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Tree {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Tree {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<u16> for Tree {
    fn from(number: u16) -> Self {
        Self::Int(number.into())
    }
}

impl From<Option<String>> for Tree {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(_) => f.write_str("bool"),
            Self::Int(_) | Self::Float(_) => f.write_str("number"),
            Self::Text(_) => f.write_str("text"),
            Self::List(values) => f.debug_list().entries(values).finish(),
            Self::Object(members) => f
                .debug_map()
                .entries(members.iter().map(|(name, value)| (name, value)))
                .finish(),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Int(number))
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "beyond the whole numbers of this type"
    )]
    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(i64::try_from(number).map_or(Tree::Float(number as f64), Tree::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element()? {
            list.push(value);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(member) = members.next_entry()? {
            list.push(member);
        }
        Ok(Tree::Object(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_printed_with_tabs_as_kamailio_does() {
        let tree = Tree::object([
            ("jsonrpc", "2.0".into()),
            (
                "result",
                Tree::list([
                    Tree::object([
                        ("h_entry", 238_i64.into()),
                        ("profiles", Tree::List(vec![])),
                    ]),
                    "x\r\n".into(),
                ]),
            ),
            ("none", Tree::Object(Vec::new())),
        ]);
        assert_eq!(
            tree.tabbed(),
            "{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t[{\n\t\t\t\"h_entry\":\t238,\n\
             \t\t\t\"profiles\":\t[]\n\t\t}, \"x\\r\\n\"],\n\t\"none\":\t{\n\t}\n}"
        );
        assert_eq!(
            tree.compact(),
            r#"{"jsonrpc":"2.0","result":[{"h_entry":238,"profiles":[]},"x\r\n"],"none":{}}"#
        );
        assert_eq!(Tree::parse(tree.tabbed().as_bytes()), Some(tree));
    }

    #[test]
    fn members_keep_their_order_and_come_twice() {
        let tree = Tree::parse(br#"{"b": 1, "a": [null, true, 1.5], "b": "x"}"#).unwrap();
        assert_eq!(tree.compact(), r#"{"b":1,"a":[null,true,1.5],"b":"x"}"#);
        assert_eq!(tree.get("b"), Some(&Tree::Int(1)));
        assert_eq!(Tree::parse(b"{not json"), None);
    }
}
