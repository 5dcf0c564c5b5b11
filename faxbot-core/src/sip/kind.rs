//! Which server an adapter speaks to.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// The kind of server behind an adapter: a name, so that strangers can add theirs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AdapterKind(Cow<'static, str>);

macro_rules! kinds {
    ($($name:ident = $text:literal),+ $(,)?) => {
        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: Self = Self(Cow::Borrowed($text));
        )+
    };
}

impl AdapterKind {
    kinds! {
        ASTERISK = "asterisk",
        FREESWITCH = "freeswitch",
        FUSIONPBX = "fusionpbx",
        KAMAILIO = "kamailio",
        OPENSIPS = "opensips",
        YATE = "yate",
        FLEXISIP = "flexisip",
        PJSUA = "pjsua",
        SIPP = "sipp",
        TWILIO = "twilio",
        VONAGE = "vonage",
    }

    /// A kind of a stranger's.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What versions an adapter is made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SupportedVersions {
    /// The oldest server that works.
    pub minimum: String,
    /// The servers that the tests ran against.
    pub tested: Vec<String>,
    /// The protocol and its version.
    pub protocol: String,
}

impl SupportedVersions {
    /// Minimum version, tested versions and protocol.
    pub fn new(minimum: impl Into<String>, tested: &[&str], protocol: impl Into<String>) -> Self {
        Self {
            minimum: minimum.into(),
            tested: tested.iter().map(|&version| version.to_owned()).collect(),
            protocol: protocol.into(),
        }
    }
}
