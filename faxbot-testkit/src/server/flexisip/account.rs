//! Accounts and what belongs to one.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value, json};

/// An account of the mock. `Debug` shows its id and domain.
#[derive(Clone)]
#[non_exhaustive]
pub struct MockAccount {
    /// Its id.
    pub id: u64,
    /// The user part of its address.
    pub username: String,
    /// The domain of its Space.
    pub domain: String,
    /// Its password.
    pub password: String,
    /// Whether it can register.
    pub activated: bool,
    /// Whether it is an admin.
    pub admin: bool,
    /// Whether it is blocked.
    pub blocked: bool,
    /// `display_name`, `email`, `phone` and `dtmf_protocol`, where they are set.
    pub texts: BTreeMap<&'static str, String>,
    /// Its dictionary.
    pub dictionary: BTreeMap<String, String>,
    /// Its devices.
    pub devices: Vec<MockDevice>,
    /// What its devices were told, in their order.
    pub pushes: usize,
    pub(super) provisioning: String,
    pub(super) contacts: Vec<u64>,
    pub(super) types: Vec<u64>,
    pub(super) lists: Vec<u64>,
    pub(super) actions: Vec<(u64, String, String)>,
    pub(super) external: Option<Map<String, Value>>,
    pub(super) forwardings: Vec<Value>,
    pub(super) voicemails: Vec<Map<String, Value>>,
    pub(super) vcards: BTreeMap<String, String>,
    pub(super) may_change: bool,
    pub(super) wanted: Map<String, Value>,
}

/// A device that registered. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MockDevice {
    /// Its id.
    pub uuid: String,
    /// What it calls itself.
    pub user_agent: String,
}

impl MockDevice {
    /// A device.
    pub fn new(uuid: &str, user_agent: &str) -> Self {
        Self {
            uuid: uuid.to_owned(),
            user_agent: user_agent.to_owned(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "uuid": self.uuid,
            "user_agent": self.user_agent,
            "update_time": 1_795_248_000,
            "app": "Linphone",
            "version": "6.0",
            "device_name": "phone",
        })
    }
}

impl MockAccount {
    pub(super) fn new(id: u64, username: &str, domain: &str, password: &str) -> Self {
        Self {
            id,
            username: username.to_owned(),
            domain: domain.to_owned(),
            password: password.to_owned(),
            activated: true,
            admin: false,
            blocked: false,
            texts: BTreeMap::new(),
            dictionary: BTreeMap::new(),
            devices: Vec::new(),
            pushes: 0,
            provisioning: format!("prov{id:06}"),
            contacts: Vec::new(),
            types: Vec::new(),
            lists: Vec::new(),
            actions: Vec::new(),
            external: None,
            forwardings: Vec::new(),
            voicemails: Vec::new(),
            vcards: BTreeMap::new(),
            may_change: false,
            wanted: Map::new(),
        }
    }

    /// `user@domain`.
    pub fn address(&self) -> String {
        format!("{}@{}", self.username, self.domain)
    }

    /// As the routes tell it; the provisioning token where `shows_token`.
    pub(super) fn json(&self, shows_token: bool) -> Value {
        let text = |name: &str| self.texts.get(name);
        let types: Vec<_> = self
            .types
            .iter()
            .map(|id| json!({ "id": id, "key": format!("type{id}") }))
            .collect();
        json!({
            "id": self.id,
            "username": self.username,
            "domain": self.domain,
            "sip_uri": format!("sip:{}", self.address()),
            "email": text("email"),
            "phone": text("phone"),
            "display_name": text("display_name"),
            "dtmf_protocol": text("dtmf_protocol"),
            "activated": self.activated,
            "admin": self.admin,
            "blocked": self.blocked,
            "dictionary": self.dictionary,
            "types": types,
            "actions": self.actions.iter().map(action).collect::<Vec<_>>(),
            "call_forwardings": self.forwardings,
            "provisioning_token": shows_token.then_some(&self.provisioning),
            "provisioning_token_expire_at": null,
            "created_at": "2026-11-21T08:00:00.000000Z",
            "updated_at": "2026-11-21T08:00:00.000000Z",
            "not_in_this_version": { "anything": [1, 2] },
        })
    }

    /// An object by the uuid.
    pub(super) fn devices_json(&self) -> Value {
        let all = self.devices.iter();
        Value::Object(all.map(|it| (it.uuid.clone(), it.json())).collect())
    }
}

pub(super) fn action((id, key, code): &(u64, String, String)) -> Value {
    json!({ "id": id, "key": key, "code": code })
}

impl fmt::Debug for MockAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockAccount")
            .field("id", &self.id)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MockDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockDevice").finish_non_exhaustive()
    }
}
