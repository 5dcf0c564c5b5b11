//! Who logs in, and what the answer means.

use std::fmt;

use bytes::Bytes;

use super::{command::CommandError, frame::Frame};
use crate::protocol::guard::{self, Part, Unsendable};

/// Credentials of one account. The password shows nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    line: String,
}

impl Login {
    /// The password of the event socket (`event_socket.conf.xml`). Blanks at its ends are part of
    /// it (recording `01_auth_variants_crlf_upper_trailing`).
    ///
    /// # Errors
    /// [`CommandError::Argument`] when it is empty or has CR, LF or NUL.
    pub fn password(password: &str) -> Result<Self, CommandError> {
        check("password", password, b"")?;
        let line = format!("auth {password}\n\n");
        Ok(Self { line })
    }

    /// A user of the directory with rights of its own (`userauth`).
    ///
    /// # Errors
    /// [`CommandError::Argument`] as [`password`](Self::password), and for `@` or `:` in the user,
    /// `:` in the domain.
    pub fn user(user: &str, domain: &str, password: &str) -> Result<Self, CommandError> {
        check("user", user, b"@:")?;
        check("domain", domain, b":")?;
        check("password", password, b"")?;
        let line = format!("userauth {user}@{domain}:{password}\n\n");
        Ok(Self { line })
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.line.as_bytes())
    }
}

fn check(argument: &'static str, text: &str, forbidden: &[u8]) -> Result<(), CommandError> {
    let part = Part::Value;
    let refused = |source| CommandError::Argument { argument, source };
    if text.is_empty() {
        return Err(refused(Unsendable::Empty { part }));
    }
    guard::text(part, text.as_bytes()).map_err(refused)?;
    match text.bytes().position(|byte| forbidden.contains(&byte)) {
        None => Ok(()),
        Some(at) => Err(refused(Unsendable::Forbidden { part, at })),
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// What the login told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ready {
    /// The events that the account may have (`Allowed-Events`); `None` for the one password,
    /// which may have all.
    pub allowed_events: Option<String>,
    /// The API commands that the account may run (`Allowed-API`).
    pub allowed_api: Option<String>,
    /// Whether the account may have log lines (`Allowed-LOG`).
    pub allowed_log: Option<bool>,
    /// Whether jobs tell their results: not if the account may not have `BACKGROUND_JOB`. Then the
    /// answer to `bgapi` is its reply alone.
    pub jobs: bool,
    /// The channel of an outbound connection, from the reply to `connect`.
    pub channel: Option<Frame>,
}

impl Ready {
    pub(super) fn of(reply: &Frame) -> Self {
        let text = |name| reply.get_str(name).map(std::borrow::Cow::into_owned);
        Self {
            allowed_events: text("Allowed-Events"),
            allowed_api: text("Allowed-API"),
            allowed_log: text("Allowed-LOG").map(|it| it == "true"),
            jobs: false,
            channel: None,
        }
    }
}
