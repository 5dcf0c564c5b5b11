//! Who logs in, and what the answer means.

use std::fmt;

use md5::{Digest, Md5};

use super::{
    action::{Action, ActionError},
    message::Message,
    server::CLASSES,
};
use crate::protocol::{
    guard::{Part, Unsendable},
    session::CloseReason,
};

/// The words of an event mask that stand for all classes or none.
const MASK_WORDS: [&str; 4] = ["on", "off", "all", "none"];

/// Credentials and event mask of one account. The secret shows nowhere.
#[derive(Clone)]
pub struct Login {
    username: String,
    secret: String,
    md5: bool,
    events: String,
}

impl Login {
    /// An account that logs in by MD5 challenge and wants all events.
    ///
    /// # Errors
    /// [`ActionError`] when a value cannot go on the wire.
    pub fn new(username: &str, secret: &str) -> Result<Self, ActionError> {
        // The same guard as every action: a secret may not smuggle a header either.
        Action::known("Login")
            .header("Username", username)?
            .header("Secret", secret)?;
        Ok(Self {
            username: username.to_owned(),
            secret: secret.to_owned(),
            md5: true,
            events: "on".to_owned(),
        })
    }

    /// Whether the secret stays off the wire (default) or is sent in the clear.
    #[must_use]
    pub fn md5(mut self, md5: bool) -> Self {
        self.md5 = md5;
        self
    }

    /// Sets the event mask: `on`, `off`, or classes with commas between. Default `on`.
    ///
    /// The server never complains of an unknown class; it turns events off and says `Success`
    /// (observed on Asterisk 22.10, recording `02_eventmask`). So only known ones pass here.
    ///
    /// # Errors
    /// [`ActionError::Value`] for an unknown class; its position is that of the class.
    pub fn events(mut self, mask: &str) -> Result<Self, ActionError> {
        let mut at = 0;
        for class in mask.split(',') {
            if !(MASK_WORDS.contains(&class) || CLASSES.contains(&class)) {
                let source = Unsendable::Forbidden {
                    part: Part::Value,
                    at,
                };
                return Err(ActionError::Value {
                    header: "Events".to_owned(),
                    source,
                });
            }
            at += class.len() + 1;
        }
        self.events = mask.to_owned();
        Ok(self)
    }

    /// Whether the secret stays off the wire.
    #[must_use]
    pub fn is_md5(&self) -> bool {
        self.md5
    }

    pub(super) fn challenge(&self) -> Action {
        Action::known("Challenge").checked_header("AuthType", "MD5")
    }

    /// `challenge` is the server's, or `None` for a plain login.
    pub(super) fn action(&self, challenge: Option<&[u8]>) -> Action {
        let action = Action::known("Login");
        match challenge {
            Some(challenge) => action
                .checked_header("AuthType", "MD5")
                .checked_header("Username", &self.username)
                .checked_header("Key", &key(challenge, &self.secret)),
            None => action
                .checked_header("Username", &self.username)
                .checked_header("Secret", &self.secret),
        }
        .checked_header("Events", &self.events)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .field("secret", &"..")
            .field("md5", &self.md5)
            .field("events", &self.events)
            .finish()
    }
}

/// `hex(md5(challenge + secret))`, lower case (observed on Asterisk 22.10, recording
/// `01_login_md5_challenge`).
#[must_use]
pub fn key(challenge: &[u8], secret: &str) -> String {
    let digest = Md5::new()
        .chain_update(challenge)
        .chain_update(secret)
        .finalize();
    digest
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            for nibble in [byte >> 4, byte & 15] {
                hex.extend(char::from_digit(u32::from(nibble), 16));
            }
            hex
        })
}

/// What an answer other than `Success` says about the next try.
///
/// `Authentication failed` is all that a wrong secret, an unknown user and a refused address get;
/// `Asterisk is shutting down` and `Login Already In Use` pass by themselves (observed on Asterisk
/// 22.10, recordings `01_login_bad_secret`, `fullybooted`, `01_login_twice_and_single`). A text
/// that is not known here is taken as passing: stopping for good is the worse mistake.
pub(super) fn refusal(response: &Message) -> CloseReason {
    if response
        .response()
        .is_some_and(|word| word.eq_ignore_ascii_case(b"Goodbye"))
    {
        return CloseReason::Goodbye;
    }
    let text = response.get("Message").unwrap_or_default().trim_ascii();
    let final_texts: [&[u8]; 3] = [
        b"Authentication failed",
        b"Permission denied",
        b"Must specify AuthType",
    ];
    if final_texts
        .iter()
        .any(|known| known.eq_ignore_ascii_case(text))
    {
        return CloseReason::Refused;
    }
    CloseReason::Busy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_with_a_line_break_is_refused_and_never_shown() {
        let refused = Login::new("faxbot", "s3c\r\nret").unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("s3c"));
        let login = Login::new("faxbot", "s3cret").unwrap();
        assert!(!format!("{login:?} {:?}", login.action(None)).contains("s3cret"));
    }

    #[test]
    fn an_event_class_that_would_turn_events_off_is_refused() {
        let login = || Login::new("faxbot", "x").unwrap();
        for good in ["on", "off", "system,call,user", "all"] {
            assert!(login().events(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Call",
            "call, user",
            "-1",
            "calls",
            "call\r\nAction: Ping",
        ] {
            assert!(login().events(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_md5_login_does_not_send_the_secret() {
        let login = Login::new("faxbot", "s3cret").unwrap();
        let bytes = login.action(Some(b"123456789")).to_bytes();
        assert!(memchr::memmem::find(&bytes, b"s3cret").is_none());
        assert!(memchr::memmem::find(&bytes, b"AuthType: MD5\r\n").is_some());
    }
}
