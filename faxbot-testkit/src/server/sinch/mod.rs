//! What the two products of Sinch have in common: tokens, ids, times, and the fields of a JSON body.

mod fields;
mod id;
mod time;
mod tokens;

use super::http::HttpAnswer;

pub(super) use fields::{Fault, Fields, Problem};
pub(super) use id::Ulids;
pub(super) use time::{Wall, moment, with_millis, with_seconds};
pub(super) use tokens::{Standing, Tokens, refused};

/// The answer to what is refused.
pub(super) type Refused = Box<HttpAnswer>;

/// A number as a query has it: a raw `+`, as the vendor's own clients write it, was read as a blank.
pub(super) fn number(text: &str) -> String {
    text.strip_prefix(' ')
        .map_or_else(|| text.to_owned(), |digits| format!("+{digits}"))
}
