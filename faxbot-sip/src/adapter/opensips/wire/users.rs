//! Who is registered (`ul_dump`, `ul_show_contact`), what came of a request that the server sent
//! (`t_uac_dlg`), and sessions of one leg (`ua_session_*`).

use std::fmt;

use faxbot_core::Private;
use serde::Deserialize;

use super::lenient;

/// What `ul_dump` answers.
#[derive(Deserialize)]
pub(in super::super) struct LocationDump {
    #[serde(default, rename = "Domains")]
    domains: Vec<RawDomain>,
}

#[derive(Deserialize)]
struct RawDomain {
    #[serde(default, deserialize_with = "lenient::text")]
    name: String,
    #[serde(default, rename = "AORs")]
    aors: Vec<RawAor>,
}

#[derive(Deserialize)]
struct RawAor {
    #[serde(default, rename = "AOR", deserialize_with = "lenient::text")]
    aor: String,
    #[serde(default, rename = "Contacts")]
    contacts: Vec<Contact>,
}

/// What `ul_show_contact` answers.
#[derive(Deserialize)]
pub(in super::super) struct ContactList {
    #[serde(default, rename = "Contacts")]
    pub(in super::super) contacts: Vec<Contact>,
}

/// An address of record and where it can be reached.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Registration {
    /// The table of `usrloc`, `location` as a rule.
    pub table: String,
    /// The address of record: a user, or `user@domain` with `use_domain`.
    pub aor: Private,
    /// Where it can be reached.
    pub contacts: Vec<Contact>,
}

/// A registered contact.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Contact {
    /// Its URI.
    #[serde(default, rename = "Contact")]
    pub uri: Private,
    /// Seconds that the registration lasts; 0 or less: over.
    #[serde(default, rename = "Expires", deserialize_with = "lenient::number")]
    pub expires: i64,
    /// What the device calls itself.
    #[serde(default, rename = "User-agent", deserialize_with = "lenient::text")]
    pub user_agent: String,
    /// The socket of the server that it came by, as `udp:IP:PORT`.
    #[serde(default, rename = "Socket", deserialize_with = "lenient::text")]
    pub socket: String,
}

impl LocationDump {
    pub(in super::super) fn into_all(self) -> Vec<Registration> {
        let mut all = Vec::new();
        for domain in self.domains {
            let of_domain = domain.aors.into_iter().map(|aor| Registration {
                table: domain.name.clone(),
                aor: aor.aor.into(),
                contacts: aor.contacts,
            });
            all.extend(of_domain);
        }
        all
    }
}

/// What `t_uac_dlg` answers. A refusal is an answer too, without `RURI` (recording `04_t_uac_dlg`).
#[derive(Deserialize)]
pub(in super::super) struct SentAnswer {
    #[serde(default, rename = "Status", deserialize_with = "lenient::text")]
    status: String,
}

impl SentAnswer {
    /// The status of the final response, and its words.
    pub(in super::super) fn status(&self) -> Option<(u16, &str)> {
        let (code, words) = self.status.split_once(' ').unwrap_or((&self.status, ""));
        let code = code.parse().ok().filter(|code| (100..700).contains(code))?;
        Some((code, words))
    }
}

/// What `ua_session_list` answers: an array, or one object where a key was given.
#[derive(Deserialize)]
#[serde(untagged)]
pub(in super::super) enum SessionList {
    All(Vec<Session>),
    One(Box<Session>),
}

impl SessionList {
    pub(in super::super) fn into_all(self) -> Vec<Session> {
        match self {
            Self::All(all) => all,
            Self::One(one) => vec![*one],
        }
    }
}

/// A session of one leg (`ua_session_client_start`), as `ua_session_list` shows it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Session {
    /// Its Call-ID, which is also its key for `ua_session_update` and `ua_session_terminate`.
    #[serde(default, rename = "callid", deserialize_with = "lenient::text")]
    pub key: String,
    /// The server's number for where it stands.
    #[serde(default, deserialize_with = "lenient::number")]
    pub state: i64,
    /// The URI of `From`.
    #[serde(default, rename = "from_uri")]
    pub from: Private,
    /// The URI of `To`.
    #[serde(default, rename = "to_uri")]
    pub to: Private,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("key", &self.key)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recording `07_usrloc_registrations`.
    const CONTACT: &str = r#"{"Contact":"sip:bob@127.0.0.1:25071","ContactID":"932456229098233152","Expires":3600,
        "Q":"","Callid":"6e08459597@rig","Cseq":1,"User-agent":"rig-phone/1.0","State":"CS_NEW","Flags":0,
        "Cflags":"","Socket":"udp:127.0.0.1:25060","Methods":4294967295}"#;

    #[test]
    fn registrations_have_their_contacts() {
        let text = format!(
            r#"{{"Domains":[{{"name":"location","hash_size":512,"AORs":[{{"AOR":"bob","Contacts":[{CONTACT}]}}]}}]}}"#
        );
        let all = serde_json::from_str::<LocationDump>(&text)
            .unwrap()
            .into_all();
        assert_eq!(all[0].table, "location");
        assert_eq!(all[0].contacts[0].expires, 3600);
        assert_eq!(all[0].contacts[0].uri.expose(), "sip:bob@127.0.0.1:25071");
        assert!(!format!("{all:?}").contains("bob"));
    }

    #[test]
    fn contacts_of_one_address_come_under_its_name() {
        let text = format!(r#"{{"AOR":"bob","Contacts":[{CONTACT}]}}"#);
        let list: ContactList = serde_json::from_str(&text).unwrap();
        assert_eq!(list.contacts.len(), 1);
    }

    #[test]
    fn a_refusal_is_an_answer() {
        for (text, wanted) in [
            (
                r#"{"Status":"200 OK","RURI":"sip:x","Next-hop":"sip:x","Message":"Via: x"}"#,
                Some((200, "OK")),
            ),
            (
                r#"{"Status":"404 Not Found","Message":"Via: x"}"#,
                Some((404, "Not Found")),
            ),
            (
                r#"{"Status":"408 Request Timeout"}"#,
                Some((408, "Request Timeout")),
            ),
            (r#"{"Status":"486"}"#, Some((486, ""))),
            (r#"{"Status":"OK"}"#, None),
            (r#"{}"#, None),
        ] {
            let answer: SentAnswer = serde_json::from_str(text).unwrap();
            assert_eq!(answer.status(), wanted, "{text}");
        }
    }

    #[test]
    fn one_session_comes_without_a_list() {
        let session = r#"{"dlg":7823663,"logic_key":"","state":5,"callid":"B2B.248.1","from_uri":"sip:clinic@127.0.0.1",
            "to_uri":"sip:2000@127.0.0.1","LEGS":[]}"#;
        for text in [format!("[{session}]"), session.to_owned()] {
            let all = serde_json::from_str::<SessionList>(&text)
                .unwrap()
                .into_all();
            assert_eq!(all[0].key, "B2B.248.1");
            assert!(!format!("{all:?}").contains("clinic"));
        }
        assert!(
            serde_json::from_str::<SessionList>("[]")
                .unwrap()
                .into_all()
                .is_empty()
        );
    }
}
