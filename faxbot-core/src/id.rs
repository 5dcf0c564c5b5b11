//! Ids that the caller chooses, so that a call or a fax can be asked for after a crash.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, ErrorKind, Result, Timestamp};

/// One call. A UUID that shows and parses as `if://call/<uuid>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Uuid);

/// One request. A UUID that shows and parses as `if://request/<uuid>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Uuid);

/// One fax job. Any text of 1 to 128 printable ASCII characters without spaces; a random UUID by
/// default.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct JobId(String);

macro_rules! uuid_id {
    ($name:ident, $prefix:literal, $what:literal) => {
        impl $name {
            const PREFIX: &'static str = $prefix;

            /// A random id (UUID version 4).
            #[expect(
                clippy::new_without_default,
                reason = "each call gives another id: a default would hide that"
            )]
            pub fn new() -> Self {
                Self(Uuid::new_v4())
            }

            /// The id with this UUID.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID alone: 36 characters, always of one length.
            pub fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", Self::PREFIX, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            /// # Errors
            /// [`ErrorKind::InvalidRequest`] when the text is no such id.
            fn from_str(text: &str) -> Result<Self> {
                text.strip_prefix(Self::PREFIX)
                    .and_then(|uuid| Uuid::try_parse(uuid).ok())
                    .map(Self)
                    .ok_or_else(|| {
                        Error::new(
                            ErrorKind::InvalidRequest,
                            "parse",
                            concat!("not a ", $what, " id: expected ", $prefix, "<uuid>"),
                        )
                    })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_id!(CallId, "if://call/", "call");
uuid_id!(RequestId, "if://request/", "request");

/// Namespace of the UUIDv5 of attempts, made once for this purpose; changing it would orphan the
/// outcomes of running jobs.
const ATTEMPTS: Uuid = Uuid::from_u128(0x2f6c_0f0e_7a55_4b53_9d1b_6a0d_fa8b_0701);

impl CallId {
    /// The call of attempt `n` (1-based) of a job: UUIDv5 of the job id and `n`, so that a new
    /// process can ask for a call that an earlier one dialled.
    pub fn for_attempt(job: &JobId, n: u32) -> Self {
        Self(Uuid::new_v5(
            &ATTEMPTS,
            format!("{}/{n}", job.as_str()).as_bytes(),
        ))
    }
}

impl JobId {
    /// A random id.
    #[expect(
        clippy::new_without_default,
        reason = "each call gives another id: a default would hide that"
    )]
    pub fn new() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for an empty or over-long text, or one with spaces, control
    /// or non-ASCII characters.
    fn from_str(text: &str) -> Result<Self> {
        if (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::new(
                ErrorKind::InvalidRequest,
                "parse",
                "a job id has 1 to 128 printable ASCII characters without spaces",
            ))
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Names a call by our id, by the server's own text, or by both.
///
/// Parses from `if://call/<uuid>` or from the server's text (`CA12345xyz`, `chan-001`).
#[derive(Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct CallRef {
    /// Our id.
    pub id: Option<CallId>,
    /// The server's own name of the call: a channel, a dialog, a SID.
    pub native: Option<String>,
    /// When the call was requested, where the caller still knows: it lets a server prove that a
    /// call never existed.
    pub requested_at: Option<Timestamp>,
}

impl CallRef {
    /// A reference by the server's own text.
    pub fn native(text: impl Into<String>) -> Self {
        Self {
            native: Some(text.into()),
            ..Self::default()
        }
    }

    /// Adds the time of the request.
    #[must_use]
    pub fn requested_at(mut self, at: Timestamp) -> Self {
        self.requested_at = Some(at);
        self
    }
}

impl From<CallId> for CallRef {
    fn from(id: CallId) -> Self {
        Self {
            id: Some(id),
            ..Self::default()
        }
    }
}

impl FromStr for CallRef {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for an empty text, one with control characters, or a broken
    /// `if://call/` id.
    fn from_str(text: &str) -> Result<Self> {
        if text.starts_with(CallId::PREFIX) {
            return text.parse::<CallId>().map(Self::from);
        }
        if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                "parse",
                "a call reference is if://call/<uuid> or the server's own name of the call",
            ));
        }
        Ok(Self::native(text))
    }
}

impl fmt::Debug for CallRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A channel name can hold the dialled number.
        f.debug_struct("CallRef")
            .field("id", &self.id)
            .field("native", &self.native.as_ref().map(|_| crate::redact::MASK))
            .field("requested_at", &self.requested_at)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_shows_and_parses_with_its_scheme() {
        let id = CallId::from_uuid(Uuid::from_u128(7));
        assert_eq!(
            id.to_string(),
            "if://call/00000000-0000-0000-0000-000000000007"
        );
        assert_eq!(id.to_string().parse::<CallId>().unwrap(), id);
        assert!(
            "00000000-0000-0000-0000-000000000007"
                .parse::<CallId>()
                .is_err()
        );
        assert!(
            "if://request/00000000-0000-0000-0000-000000000007"
                .parse::<CallId>()
                .is_err()
        );
    }

    #[test]
    fn the_call_of_an_attempt_is_the_same_in_every_process() {
        let job: JobId = "job-1".parse().unwrap();
        // A golden value: a change would orphan the outcomes of running jobs.
        assert_eq!(
            CallId::for_attempt(&job, 1),
            CallId::for_attempt(&"job-1".parse().unwrap(), 1)
        );
        assert_ne!(CallId::for_attempt(&job, 1), CallId::for_attempt(&job, 2));
        assert_eq!(
            CallId::for_attempt(&job, 1).to_string(),
            "if://call/e316fd1b-0dd4-5c6c-9bd1-dd9cb7f4a922",
        );
    }

    #[test]
    fn a_call_ref_takes_ids_and_the_servers_own_names() {
        let id = CallId::new();
        assert_eq!(
            id.to_string().parse::<CallRef>().unwrap(),
            CallRef::from(id)
        );
        assert_eq!(
            "CA12345xyz".parse::<CallRef>().unwrap(),
            CallRef::native("CA12345xyz")
        );
        assert_eq!(
            "chan-001".parse::<CallRef>().unwrap(),
            CallRef::native("chan-001")
        );
        for bad in ["", "a\r\nb", "if://call/nope"] {
            assert_eq!(
                bad.parse::<CallRef>().unwrap_err().kind(),
                ErrorKind::InvalidRequest,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_native_name_does_not_show() {
        assert!(!format!("{:?}", CallRef::native("PJSIP/4930123456-0001")).contains("4930"));
    }
}
