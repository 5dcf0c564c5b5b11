//! The manifest of a plugin: who it is and what it can do.

use std::{
    borrow::Cow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{Error, ErrorKind, Result};

/// The name of a plugin in paths, stores and logs: `[a-z0-9][a-z0-9._-]{0,63}`, without `..`.
///
/// It becomes a path segment (`/webhooks/{plugin_id}`, a folder), so it can never hold a
/// separator or climb out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PluginId(Cow<'static, str>);

impl PluginId {
    /// The fax plugin over any SIP adapter, of `faxbot-providers`.
    pub const SIP_FAX: Self = Self(Cow::Borrowed("sip-fax"));
    /// The messaging plugin over any SIP adapter, of `faxbot-providers`.
    pub const SIP_MESSAGE: Self = Self(Cow::Borrowed("sip-message"));

    /// An id that is known when the program is compiled: a provider's own.
    ///
    /// ```
    /// # use faxbot_core::plugin::PluginId;
    /// const ID: PluginId = PluginId::from_static("acme-fax");
    /// assert_eq!(ID.as_str(), "acme-fax");
    /// ```
    ///
    /// # Panics
    /// For a text that is no plugin id. In a constant that is an error of the compiler.
    pub const fn from_static(text: &'static str) -> Self {
        assert!(is_plugin_id(text), "not a plugin id");
        Self(Cow::Borrowed(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_plugin_id(text: &str) -> bool {
    let mut rest = text.as_bytes();
    let (mut first, mut dot) = (true, false);
    while let Some((byte, tail)) = rest.split_first() {
        let allowed = match *byte {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'-' | b'_' => !first,
            b'.' => !first && !dot,
            _ => false,
        };
        if !allowed {
            return false;
        }
        (first, dot, rest) = (false, *byte == b'.', tail);
    }
    !first && text.len() <= 64
}

impl FromStr for PluginId {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for anything else than the form above.
    fn from_str(text: &str) -> Result<Self> {
        if is_plugin_id(text) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(Error::new(
                ErrorKind::InvalidRequest,
                "parse",
                "a plugin id has 1 to 64 characters of a-z 0-9 . _ -, starts with a letter or digit, and has no two dots in a row",
            ))
        }
    }
}

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PluginId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// One thing that a plugin can do: the name of a trait method. Strangers can add theirs.
///
/// Older words are read as what they are now: `send` (in a manifest of category `messaging`:
/// `send_message`), `status`, `cancel`, `receive`, `webhook`, `initialize`, `shutdown`.
///
/// `receive_webhook`, which manifests of messaging plugins say, and `handle_webhook` are two words for
/// one capability: each is written as it was given, and they are equal.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct PluginCapability(Cow<'static, str>);

impl PluginCapability {
    /// [`FaxPlugin::send_fax`](super::FaxPlugin::send_fax).
    pub const SEND_FAX: Self = Self(Cow::Borrowed("send_fax"));
    /// [`FaxPlugin::get_status`](super::FaxPlugin::get_status).
    pub const GET_STATUS: Self = Self(Cow::Borrowed("get_status"));
    /// [`FaxPlugin::cancel_fax`](super::FaxPlugin::cancel_fax).
    pub const CANCEL_FAX: Self = Self(Cow::Borrowed("cancel_fax"));
    /// [`FaxPlugin::list_inbound`](super::FaxPlugin::list_inbound).
    pub const LIST_INBOUND: Self = Self(Cow::Borrowed("list_inbound"));
    /// [`FaxPlugin::get_inbound`](super::FaxPlugin::get_inbound).
    pub const GET_INBOUND: Self = Self(Cow::Borrowed("get_inbound"));
    /// [`MessagingPlugin::send_message`](super::MessagingPlugin::send_message).
    pub const SEND_MESSAGE: Self = Self(Cow::Borrowed("send_message"));
    /// [`MessagingPlugin::get_message_status`](super::MessagingPlugin::get_message_status).
    pub const GET_MESSAGE_STATUS: Self = Self(Cow::Borrowed("get_message_status"));
    /// [`MessagingPlugin::list_conversations`](super::MessagingPlugin::list_conversations).
    pub const LIST_CONVERSATIONS: Self = Self(Cow::Borrowed("list_conversations"));
    /// [`MessagingPlugin::send_reply`](super::MessagingPlugin::send_reply).
    pub const SEND_REPLY: Self = Self(Cow::Borrowed("send_reply"));
    /// [`WebhookHandler::handle_webhook`](crate::webhook::WebhookHandler::handle_webhook).
    pub const HANDLE_WEBHOOK: Self = Self(Cow::Borrowed("handle_webhook"));
    /// The same in the word of messaging plugins; equal to [`HANDLE_WEBHOOK`](Self::HANDLE_WEBHOOK).
    pub const RECEIVE_WEBHOOK: Self = Self(Cow::Borrowed("receive_webhook"));
    /// [`Plugin::start`](super::Plugin::start); every plugin has it, named or not.
    pub const START: Self = Self(Cow::Borrowed("start"));
    /// [`Plugin::stop`](super::Plugin::stop); every plugin has it, named or not.
    pub const STOP: Self = Self(Cow::Borrowed("stop"));
    /// [`Plugin::health_check`](super::Plugin::health_check); every plugin has it, named or not.
    pub const HEALTH_CHECK: Self = Self(Cow::Borrowed("health_check"));

    /// The capability that a word means, older words included.
    pub fn new(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "send" => Self::SEND_FAX,
            "status" => Self::GET_STATUS,
            "cancel" => Self::CANCEL_FAX,
            "receive" => Self::LIST_INBOUND,
            "webhook" => Self::HANDLE_WEBHOOK,
            "initialize" => Self::START,
            "shutdown" => Self::STOP,
            word => Self(Cow::Owned(word.to_owned())),
        }
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The word that stands for all words of the same capability.
    fn meaning(&self) -> &str {
        match self.as_str() {
            "receive_webhook" => "handle_webhook",
            word => word,
        }
    }
}

impl PartialEq for PluginCapability {
    fn eq(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }
}

impl Eq for PluginCapability {}

impl Hash for PluginCapability {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.meaning().hash(state);
    }
}

impl PartialOrd for PluginCapability {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PluginCapability {
    fn cmp(&self, other: &Self) -> Ordering {
        self.meaning().cmp(other.meaning())
    }
}

impl fmt::Display for PluginCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PluginCapability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::new(&word))
    }
}

/// Who a plugin is and what it can do. `id`, `name`, `categories` and `capabilities` are
/// required; everything else has a default, and keys that are not known here are kept.
///
/// ```
/// let manifest: faxbot_core::plugin::Manifest = serde_json::from_str(
///     r#"{"id":"faxbot-sip-flowroute","name":"Flowroute SIP Fax",
///         "categories":["outbound"],"capabilities":["send_fax","get_status"]}"#,
/// )?;
/// assert!(manifest.can(&faxbot_core::plugin::PluginCapability::SEND_FAX));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Read")]
#[non_exhaustive]
pub struct Manifest {
    /// The plugin's name in paths and stores.
    pub id: PluginId,
    /// The name for people.
    pub name: String,
    /// What it is for: `outbound`, `inbound`, `messaging`, ...
    pub categories: Vec<String>,
    /// What it can do.
    pub capabilities: Vec<PluginCapability>,
    /// Its version; `0.0.0`.
    pub version: String,
    /// What it does, in a sentence; empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Who wrote it; empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// A JSON schema of its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<Value>,
    /// Keys that are not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[derive(Deserialize)]
struct Read {
    id: PluginId,
    name: String,
    categories: Vec<String>,
    capabilities: Vec<String>,
    #[serde(default = "no_version")]
    version: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    author: String,
    #[serde(default)]
    config_schema: Option<Value>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

fn no_version() -> String {
    "0.0.0".to_owned()
}

impl From<Read> for Manifest {
    fn from(read: Read) -> Self {
        let messaging = read
            .categories
            .iter()
            .any(|c| c.eq_ignore_ascii_case("messaging"));
        let mut capabilities: Vec<PluginCapability> = Vec::with_capacity(read.capabilities.len());
        for word in &read.capabilities {
            let capability = if messaging && word.trim().eq_ignore_ascii_case("send") {
                PluginCapability::SEND_MESSAGE
            } else {
                PluginCapability::new(word)
            };
            // An old and a new word for one thing are one capability.
            if !capabilities.contains(&capability) {
                capabilities.push(capability);
            }
        }
        Self {
            id: read.id,
            name: read.name,
            categories: read.categories,
            capabilities,
            version: read.version,
            description: read.description,
            author: read.author,
            config_schema: read.config_schema,
            other: read.other,
        }
    }
}

impl Manifest {
    /// A manifest with the required parts.
    pub fn new(
        id: PluginId,
        name: impl Into<String>,
        categories: &[&str],
        capabilities: &[PluginCapability],
    ) -> Self {
        Self {
            id,
            name: name.into(),
            categories: categories
                .iter()
                .map(|&category| category.to_owned())
                .collect(),
            capabilities: capabilities.to_vec(),
            version: no_version(),
            description: String::new(),
            author: String::new(),
            config_schema: None,
            other: Map::new(),
        }
    }

    /// Sets the version.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Sets the description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Whether it names this capability.
    pub fn can(&self, capability: &PluginCapability) -> bool {
        self.capabilities.contains(capability)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_manifest_of_the_contract_is_complete() {
        let text = r#"{"id":"faxbot-sip-flowroute","name":"Flowroute SIP Fax","categories":["outbound"],"capabilities":["send_fax","get_status"]}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.id.as_str(), "faxbot-sip-flowroute");
        assert_eq!(
            manifest.capabilities,
            [PluginCapability::SEND_FAX, PluginCapability::GET_STATUS]
        );
    }

    #[test]
    fn each_required_key_is_required() {
        let whole = json!({"id": "a", "name": "A", "categories": [], "capabilities": []});
        assert!(serde_json::from_value::<Manifest>(whole.clone()).is_ok());
        for key in ["id", "name", "categories", "capabilities"] {
            let mut part = whole.clone();
            part.as_object_mut().unwrap().remove(key);
            let error = serde_json::from_value::<Manifest>(part)
                .unwrap_err()
                .to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn older_words_are_aliases() {
        let read = |categories: &[&str], words: &[&str]| {
            let value =
                json!({"id": "a", "name": "A", "categories": categories, "capabilities": words});
            let manifest: Manifest = serde_json::from_value(value).unwrap();
            manifest
                .capabilities
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            read(
                &["outbound"],
                &[
                    "send",
                    "status",
                    "cancel",
                    "receive",
                    "webhook",
                    "initialize"
                ]
            ),
            [
                "send_fax",
                "get_status",
                "cancel_fax",
                "list_inbound",
                "handle_webhook",
                "start"
            ]
        );
        assert_eq!(
            read(&["Messaging"], &["send", "shutdown"]),
            ["send_message", "stop"]
        );
        assert_eq!(
            read(&["outbound"], &["send", "send_fax", "Send_Fax"]),
            ["send_fax"]
        );
        assert_eq!(read(&["outbound"], &["fax.forward"]), ["fax.forward"]);
    }

    #[test]
    fn both_words_for_webhooks_are_one_capability_and_each_is_written_as_given() {
        for word in ["receive_webhook", "handle_webhook"] {
            let value = json!({"id": "a", "name": "A", "categories": ["messaging"],
                "capabilities": [word, "webhook"]});
            let manifest: Manifest = serde_json::from_value(value).unwrap();
            assert!(manifest.can(&PluginCapability::HANDLE_WEBHOOK));
            assert!(manifest.can(&PluginCapability::RECEIVE_WEBHOOK));
            let written = serde_json::to_value(&manifest).unwrap();
            assert_eq!(written["capabilities"], json!([word]));
        }
        let both = std::collections::HashSet::from([
            PluginCapability::HANDLE_WEBHOOK,
            PluginCapability::RECEIVE_WEBHOOK,
        ]);
        assert_eq!(both.len(), 1);
    }

    #[test]
    fn unknown_keys_are_kept() {
        let value = json!({"id": "a", "name": "A", "categories": [], "capabilities": [],
            "version": "1.2.3", "homepage": {"x": 1}});
        let manifest: Manifest = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&manifest).unwrap(), value);
    }

    #[test]
    fn a_plugin_id_is_never_a_path() {
        let long = "a".repeat(65);
        for bad in [
            "", ".", "..", "../etc", "a/../b", "a/b", "a\\b", "/a", ".a", "-a", "_a", "a..b", "A",
            "a b", "a\0", "a\n", "é", "a%2f", &long,
        ] {
            assert!(bad.parse::<PluginId>().is_err(), "{bad:?}");
        }
        for good in ["a", "0", "faxbot-sip-flowroute", "a.b_c-1", &long[1..]] {
            assert_eq!(good.parse::<PluginId>().unwrap().as_str(), good);
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_stays_one_segment_of_a_path(text in "[a-z0-9A-Z./\\\\_%-]{0,70}") {
            if let Ok(id) = text.parse::<PluginId>() {
                let path = std::path::Path::new("/root").join(id.as_str());
                prop_assert_eq!(path.parent(), Some(std::path::Path::new("/root")));
                prop_assert!(!id.as_str().contains(".."));
            }
        }
    }
}
