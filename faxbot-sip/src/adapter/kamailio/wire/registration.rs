//! Registrations: the answers of `ul.dump` and `ul.lookup` (`rpc_dump_contact` in `ul_rpc.c`).

use std::time::Duration;

use faxbot_core::Private;
use serde::Deserialize;

use super::lenient::{Number, Several, Text};

/// What is registered for one address of record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registration {
    /// The table: `location`.
    pub table: String,
    /// The address of record, as the table names it (without `sip:`).
    pub aor: Private,
    /// Its contacts.
    pub contacts: Vec<RegistrationContact>,
}

/// A phone that registered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrationContact {
    /// Where it is called.
    pub address: Private,
    /// How long the registration still holds; `None` for a permanent one, and one that is over.
    pub expires: Option<Duration>,
    /// What it calls itself.
    pub user_agent: Option<String>,
    /// Where its REGISTER came from, where that was kept.
    pub received: Option<Private>,
    /// The way to it.
    pub path: Option<Private>,
    /// Kamailio's socket towards it.
    pub socket: Option<String>,
    /// Its instance id.
    pub instance: Option<Private>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Contact {
    #[serde(rename = "Address")]
    address: Text,
    #[serde(rename = "Expires")]
    expires: Number,
    #[serde(rename = "User-Agent")]
    user_agent: Text,
    #[serde(rename = "Received")]
    received: Text,
    #[serde(rename = "Path")]
    path: Text,
    #[serde(rename = "Socket")]
    socket: Text,
    #[serde(rename = "Instance")]
    instance: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContactMember {
    #[serde(rename = "Contact")]
    contact: Contact,
}

/// The answer of `ul.lookup`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct OneAor {
    #[serde(rename = "AoR")]
    aor: Text,
    #[serde(rename = "Contacts")]
    contacts: Several<ContactMember>,
}

/// The answer of `ul.dump`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Aors {
    #[serde(rename = "Domains")]
    domains: Several<DomainMember>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DomainMember {
    #[serde(rename = "Domain")]
    domain: Domain,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Domain {
    #[serde(rename = "Domain")]
    name: Text,
    #[serde(rename = "AoRs")]
    aors: Several<AorMember>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AorMember {
    #[serde(rename = "Info")]
    info: OneAor,
}

impl OneAor {
    pub(in super::super) fn into_registration(self, table: &str) -> Option<Registration> {
        let contacts = self.contacts.0.into_iter();
        Some(Registration {
            table: table.to_owned(),
            aor: self.aor.private()?,
            contacts: contacts
                .filter_map(|member| member.contact.into_contact())
                .collect(),
        })
    }
}

impl Aors {
    pub(in super::super) fn into_registrations(self) -> Vec<Registration> {
        let domains = self.domains.0.into_iter().map(|member| member.domain);
        domains
            .flat_map(|domain| {
                let name = domain.name.0.unwrap_or_default();
                let aors = domain.aors.0.into_iter();
                aors.filter_map(move |aor| aor.info.into_registration(&name))
            })
            .collect()
    }
}

impl Contact {
    fn into_contact(self) -> Option<RegistrationContact> {
        Some(RegistrationContact {
            address: self.address.private()?,
            expires: self.expires.seconds(),
            user_agent: self.user_agent.0,
            received: self.received.private(),
            path: self.path.private(),
            socket: self.socket.0,
            instance: self.instance.private(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `usrloc`.
    const CONTACTS: &str = r#"[{"Contact":{"Address":"sip:alice@127.0.0.1:5091","Expires":59,"Q":-1,"Call-ID":"reg-5091@127.0.0.1","CSeq":56428,"User-Agent":"faxbot-rig","Received":"[not set]","Path":"[not set]","State":"CS_NEW","Flags":0,"CFlags":0,"Socket":"udp:127.0.0.1:5070","Methods":4294967295,"Ruid":"uloc-6b0145ad-27d7-1","Instance":"[not set]","Reg-Id":0,"Server-Id":0,"Tcpconn-Id":-1,"Keepalive":0,"Last-Keepalive":1795245642,"KA-Roundtrip":0,"Last-Modified":1795245642}}]"#;

    #[test]
    fn registrations_are_read_from_a_dump_and_from_a_look_up() {
        let json = format!(
            r#"{{"Domains":[{{"Domain":{{"Domain":"location","Size":1024,"AoRs":[{{"Info":{{"AoR":"alice","HashID":1834153949,"Contacts":{CONTACTS}}}}}],"Stats":{{"Records":1,"Max-Slots":1}}}}}}]}}"#
        );
        let dump: Aors = serde_json::from_str(&json).unwrap();
        let json = format!(r#"{{"AoR":"alice","Contacts":{CONTACTS}}}"#);
        let one: OneAor = serde_json::from_str(&json).unwrap();
        let one = one.into_registration("location").unwrap();
        assert_eq!(dump.into_registrations(), std::slice::from_ref(&one));
        let contact = &one.contacts[0];
        assert_eq!(contact.address.expose(), "sip:alice@127.0.0.1:5091");
        assert_eq!(contact.expires, Some(Duration::from_secs(59)));
        assert_eq!((&contact.received, &contact.path), (&None, &None));
        assert_eq!(contact.user_agent.as_deref(), Some("faxbot-rig"));
    }

    #[test]
    fn nobody_registered_is_an_empty_list() {
        let json = r#"{"Domains":[{"Domain":{"Domain":"location","Size":1024,"AoRs":[],"Stats":{"Records":0,"Max-Slots":0}}}]}"#;
        let dump: Aors = serde_json::from_str(json).unwrap();
        assert!(dump.into_registrations().is_empty());
    }

    #[test]
    fn a_contact_that_never_expires_has_no_end() {
        let json =
            r#"{"AoR":"a","Contacts":[{"Contact":{"Address":"sip:a@h","Expires":"permanent"}}]}"#;
        let one: OneAor = serde_json::from_str(json).unwrap();
        let one = one.into_registration("location").unwrap();
        assert_eq!(one.contacts[0].expires, None);
    }
}
