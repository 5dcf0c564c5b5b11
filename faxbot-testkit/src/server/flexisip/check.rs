//! Bodies, read as the rules of the controllers do.

use serde_json::{Map, Value};

use super::answer::{Refused, abort, invalid, wants_json};
use crate::server::http::SeenRequest;

/// The object of a body; an empty body is an empty object.
pub(super) fn object(request: &SeenRequest) -> Result<Map<String, Value>, Refused> {
    if request.body.is_empty() {
        return Ok(Map::new());
    }
    match request.json() {
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Ok(Map::new()),
        None if wants_json(request) => Err(abort(request, 400, "Invalid JSON: Syntax error")),
        None => Ok(Map::new()),
    }
}

/// A text that has to be there.
pub(super) fn text<'a>(map: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    map.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// Refuses a body without these texts.
pub(super) fn required(
    request: &SeenRequest,
    map: &Map<String, Value>,
    fields: &[&str],
) -> Result<(), Refused> {
    let missing: Vec<_> = fields
        .iter()
        .filter(|field| match map.get(**field) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(_) => false,
        })
        .map(|field| (*field, "The field is required."))
        .collect();
    match missing.as_slice() {
        [] => Ok(()),
        missing => Err(invalid(request, missing)),
    }
}

/// Refuses a text that is none of these words.
pub(super) fn word(
    request: &SeenRequest,
    map: &Map<String, Value>,
    field: &str,
    words: &[&str],
) -> Result<(), Refused> {
    match map.get(field) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) if words.contains(&text.as_str()) => Ok(()),
        Some(_) => Err(invalid(
            request,
            &[(field, "The selected value is invalid.")],
        )),
    }
}

/// `user@domain`, with or without its scheme.
pub(super) fn sip(text: &str) -> Option<(&str, &str)> {
    let text = text
        .strip_prefix("sips:")
        .or_else(|| text.strip_prefix("sip:"));
    let (user, domain) = text?.split_once('@')?;
    (!user.is_empty() && !domain.is_empty()).then_some((user, domain))
}
