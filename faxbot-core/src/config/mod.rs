//! Configuration: one shape for every adapter and plugin, checked by one table of fields.
//!
//! ```json
//! { "type": "asterisk", "host": "127.0.0.1", "port": 5038,
//!   "auth": { "username": "fax", "password": "..." },
//!   "realm": "n/a",
//!   "options": { "connect_timeout": "15s" } }
//! ```
//!
//! A [`FieldTable`] says which fields a thing has. It validates a value of any serde format and
//! reports every problem at once, resolves aliases, fills in defaults, and prints the table for
//! the documentation, so that the three cannot disagree. [`from_url`] turns the URL form
//! (`ami://user:secret@host:5038?connect_timeout=5s`) into the same value.
//!
//! Rules that hold for every table:
//! - a field of `auth` or `options` may also stand at the top level, and a top-level field in
//!   `options` (where the query of a URL ends up);
//! - a field that is given twice, by whatever alias and place, is an error, unless one is empty
//!   (`null`);
//! - a key that only other types use ([`IGNORED_KEYS`]) is accepted and ignored; any other unknown
//!   key is an error that names the nearest known one;
//! - durations are whole seconds (`15`) or text with a unit (`500ms`, `15s`, `2m`, `1h`, `7d`);
//! - numbers and booleans may be written as text, as environments and URLs have nothing else;
//! - texts have no control characters, so that nothing of the configuration can break a line of a
//!   protocol.

pub mod duration;
mod error;
mod field;
mod nearest;
mod table;
#[cfg(test)]
mod tests;
mod url;
mod value;

#[cfg(feature = "webhook")]
pub(crate) use self::url::decode as percent_decoded;
pub use self::{
    error::{ConfigError, ConfigErrors},
    field::{Field, Kind},
    table::{Examined, FieldTable, IGNORED_KEYS},
    url::{UrlScheme, from_url, from_url_text},
};
