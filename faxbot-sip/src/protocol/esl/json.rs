//! Events as JSON: one object, keys may repeat.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::event::{EventError, Form, MAX_HEADERS, Pair, Value};

/// The key of the body.
const BODY: &str = "_body";

/// What the parser says of too many headers; told apart by its text alone.
const TOO_MANY: &str = "too many headers";

type Parsed<'a> = (Vec<Pair<'a>>, Option<Cow<'a, [u8]>>);

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, EventError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => object(text),
        // The server passes on what came from SIP, which may be Latin-1.
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            let (pairs, body) = object(&text)?;
            let pairs = pairs
                .into_iter()
                .map(|(name, Value(form))| (Cow::Owned(name.into_owned()), Value(owned(form))));
            Ok((pairs.collect(), body.map(|it| Cow::Owned(it.into_owned()))))
        }
    }
}

fn object(text: &str) -> Result<Parsed<'_>, EventError> {
    let Pairs(mut pairs) = serde_json::from_str(text).map_err(|error| {
        if error.to_string().starts_with(TOO_MANY) {
            EventError::TooManyHeaders
        } else {
            EventError::Json
        }
    })?;
    let at = pairs.iter().position(|(name, _)| name == BODY);
    let body = at.map(|at| match pairs.remove(at).1.0 {
        Form::Text(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        other => Cow::Owned(Value(other).text().into_owned().into_bytes()),
    });
    Ok((pairs, body))
}

fn owned(form: Form<'_>) -> Form<'static> {
    match form {
        Form::Encoded(bytes) => Form::Encoded(Cow::Owned(bytes.into_owned())),
        Form::EncodedText(text) => Form::Encoded(Cow::Owned(text.as_bytes().to_vec())),
        Form::Text(text) => Form::Text(Cow::Owned(text.into_owned())),
        Form::List(items) => {
            let items = items.into_iter().map(|item| Cow::Owned(item.into_owned()));
            Form::List(items.collect())
        }
    }
}

struct Pairs<'a>(Vec<Pair<'a>>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::with_capacity(128);
        while let Some(Text(name)) = map.next_key()? {
            if pairs.len() >= MAX_HEADERS {
                return Err(A::Error::custom(TOO_MANY));
            }
            if let Item(Some(form)) = map.next_value()? {
                pairs.push((name, Value(form)));
            }
        }
        Ok(Pairs(pairs))
    }
}

struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// A value; `None` for an object inside, which the server never sends.
struct Item<'a>(Option<Form<'a>>);

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Item(Some(Form::Text(Cow::Borrowed(text)))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Item(Some(Form::Text(Cow::Owned(text.to_owned())))))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Item(Some(Form::Text(Cow::Borrowed(if value {
            "true"
        } else {
            "false"
        })))))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Item(Some(Form::Text(Cow::Owned(value.to_string())))))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Item(Some(Form::Text(Cow::Owned(value.to_string())))))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Item(Some(Form::Text(Cow::Owned(value.to_string())))))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Item(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Text(item)) = seq.next_element()? {
            if items.len() >= MAX_HEADERS {
                return Err(A::Error::custom(TOO_MANY));
            }
            items.push(item);
        }
        Ok(Item(Some(Form::List(items))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Item(None))
    }
}
