//! Where phones are registered: `usrloc` (recordings `07_usrloc_registrations`,
//! `03_events_usrloc`).

use std::time::Duration;

use tokio::time::Instant;

use super::{
    engine::{OpenSips, Step},
    events::Event,
    mi::{self, Outcome, Refusal, SeenMi, done},
};
use crate::server::proxy::Tree;

/// The table of registrations.
const TABLE: &str = "location";

/// A registered contact.
#[derive(Debug, Clone)]
pub(super) struct Contact {
    aor: String,
    uri: String,
    until: Instant,
    agent: String,
    /// Added by MI, and not by a REGISTER.
    by_mi: bool,
    number: u64,
    cseq: i64,
}

/// The part of an address of record that counts without `use_domain`.
fn user(aor: &str) -> &str {
    aor.split('@').next().unwrap_or_default()
}

impl OpenSips {
    /// The commands `ul_*`.
    pub(super) fn location(
        &mut self,
        name: &str,
        request: &SeenMi,
        now: Instant,
    ) -> Option<Outcome> {
        self.drop_contacts(now);
        Some(match name {
            "ul_dump" => self.dump(request, now),
            "ul_show_contact" => self.show(request, now),
            "ul_add" => self.add(request, now),
            "ul_rm" => self.remove(request, false, now),
            "ul_rm_contact" => self.remove(request, true, now),
            "ul_flush" => done(),
            "ul_sync" => Err(Refusal::new(200, "Contacts already synced")),
            "ul_cluster_sync" => Err(Refusal::new(400, "Clustering not enabled")),
            _ => return None,
        })
    }

    fn dump(&self, request: &SeenMi, now: Instant) -> Outcome {
        let brief = match request.get("brief") {
            None => false,
            Some(_) => {
                let _any = mi::filled(request, "brief")?;
                true
            }
        };
        let all = self.aors().into_iter().map(|aor| {
            if brief {
                Tree::object([("AOR", Tree::from(aor))])
            } else {
                self.aor(&aor, now)
            }
        });
        let domain = Tree::object([
            ("name", Tree::from(TABLE)),
            ("hash_size", Tree::Int(512)),
            ("AORs", Tree::List(all.collect())),
        ]);
        Ok(Tree::object([("Domains", Tree::List(vec![domain]))]))
    }

    fn aors(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for contact in &self.state.contacts {
            if !all.contains(&contact.aor) {
                all.push(contact.aor.clone());
            }
        }
        all
    }

    fn aor(&self, aor: &str, now: Instant) -> Tree {
        let own = self
            .state
            .contacts
            .iter()
            .filter(|contact| contact.aor == aor);
        let contacts = own.map(|contact| contact.tree(now));
        Tree::object([
            ("AOR", Tree::from(aor)),
            ("Contacts", Tree::List(contacts.collect())),
        ])
    }

    fn table(request: &SeenMi) -> Result<(), Refusal> {
        if mi::text(request, "table_name")? != TABLE {
            return Err(Refusal::new(404, "Table not found"));
        }
        Ok(())
    }

    fn show(&self, request: &SeenMi, now: Instant) -> Outcome {
        Self::table(request)?;
        let aor = mi::text(request, "aor")?;
        let aor = user(&aor);
        if !self.state.contacts.iter().any(|contact| contact.aor == aor) {
            return Err(Refusal::new(404, "AOR not found"));
        }
        Ok(self.aor(aor, now))
    }

    fn add(&mut self, request: &SeenMi, now: Instant) -> Outcome {
        Self::table(request)?;
        let aor = mi::filled(request, "aor")?;
        let uri = mi::filled(request, "contact")?;
        let _flags = mi::filled(request, "cflags")?;
        let expires = mi::number(request, "expires")?.unwrap_or_default();
        let expires = Duration::from_secs(u64::try_from(expires).unwrap_or_default());
        self.register(&aor, &uri, expires, "OpenSIPS MI Server", true, now);
        done()
    }

    fn remove(&mut self, request: &SeenMi, one: bool, now: Instant) -> Outcome {
        Self::table(request)?;
        let aor = mi::text(request, "aor")?;
        let uri = if one {
            Some(mi::text(request, "contact")?)
        } else {
            None
        };
        let gone = self.unregister(&aor, uri.as_deref(), now);
        if one && !gone {
            return Err(Refusal::new(404, "AOR not found"));
        }
        // An address that nobody has is removed without a word.
        done()
    }

    /// A phone is registered, or is so again.
    pub(super) fn register(
        &mut self,
        aor: &str,
        uri: &str,
        expires: Duration,
        agent: &str,
        by_mi: bool,
        now: Instant,
    ) {
        let aor = user(aor);
        let number = self.state.serial();
        let is_meant = |contact: &&mut Contact| contact.aor == aor && contact.uri == uri;
        if let Some(known) = self.state.contacts.iter_mut().find(is_meant) {
            known.until = now + expires;
            known.cseq += 1;
            let known = known.clone();
            self.told("E_UL_CONTACT_UPDATE", &known, now);
        } else {
            let new_aor = !self.state.contacts.iter().any(|contact| contact.aor == aor);
            let contact = Contact {
                aor: aor.to_owned(),
                uri: uri.to_owned(),
                until: now + expires,
                agent: agent.to_owned(),
                by_mi,
                number,
                cseq: 1,
            };
            self.state.contacts.insert(0, contact.clone());
            if new_aor {
                self.told_aor("E_UL_AOR_INSERT", aor, now);
            }
            self.told("E_UL_CONTACT_INSERT", &contact, now);
        }
        self.plan(now + expires, Step::Contacts);
    }

    /// Contacts are gone. False when there was none.
    pub(super) fn unregister(&mut self, aor: &str, uri: Option<&str>, now: Instant) -> bool {
        let aor = user(aor);
        let is_meant =
            |contact: &Contact| contact.aor == aor && uri.is_none_or(|uri| contact.uri == uri);
        self.drop_those(is_meant, now)
    }

    /// Drops contacts that were not renewed.
    pub(super) fn drop_contacts(&mut self, now: Instant) {
        self.drop_those(|contact| contact.until <= now, now);
    }

    fn drop_those(&mut self, is_meant: impl Fn(&Contact) -> bool, now: Instant) -> bool {
        let (gone, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.state.contacts)
            .into_iter()
            .partition(is_meant);
        self.state.contacts = left;
        for contact in &gone {
            self.told("E_UL_CONTACT_DELETE", contact, now);
            if !self
                .state
                .contacts
                .iter()
                .any(|other| other.aor == contact.aor)
            {
                self.told_aor("E_UL_AOR_DELETE", &contact.aor, now);
            }
        }
        !gone.is_empty()
    }

    fn told_aor(&mut self, name: &'static str, aor: &str, now: Instant) {
        Event::new(name, [("domain", TABLE.into()), ("aor", aor.into())]).tell(self, now);
    }

    fn told(&mut self, name: &'static str, contact: &Contact, now: Instant) {
        let expires = self.second(contact.until);
        let event = Event::new(
            name,
            [
                ("domain", TABLE.into()),
                ("aor", contact.aor.as_str().into()),
                ("uri", contact.uri.as_str().into()),
                ("received", Tree::Null),
                ("path", Tree::Null),
                ("qval", Tree::Int(if contact.by_mi { 1000 } else { -1 })),
                ("user_agent", contact.agent.as_str().into()),
                ("socket", contact.socket().unwrap_or_default().into()),
                ("bflags", Tree::Int(0)),
                ("expires", Tree::Int(expires)),
                ("callid", contact.call_id().into()),
                ("cseq", Tree::Int(contact.cseq)),
                ("attr", "".into()),
                ("latency", Tree::Int(0)),
                ("shtag", "".into()),
            ],
        );
        event.tell(self, now);
    }
}

impl Contact {
    fn socket(&self) -> Option<&'static str> {
        (!self.by_mi).then_some("udp:127.0.0.1:25060")
    }

    fn call_id(&self) -> String {
        if self.by_mi {
            "dfjrewr12386fd6-343@opensips.mi".to_owned()
        } else {
            format!("reg-{}@rig", self.number)
        }
    }

    fn tree(&self, now: Instant) -> Tree {
        let left = self.until.saturating_duration_since(now).as_secs();
        let id = self.number.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 1;
        let members = [
            ("Contact", Some(Tree::from(self.uri.as_str()))),
            ("ContactID", Some(id.to_string().into())),
            (
                "Expires",
                Some(Tree::Int(i64::try_from(left).unwrap_or(i64::MAX))),
            ),
            ("Q", Some(if self.by_mi { "1" } else { "" }.into())),
            ("Callid", Some(self.call_id().into())),
            ("Cseq", Some(Tree::Int(self.cseq))),
            ("User-agent", Some(self.agent.as_str().into())),
            ("State", Some("CS_NEW".into())),
            ("Flags", Some(Tree::Int(0))),
            ("Cflags", Some("".into())),
            ("Socket", self.socket().map(Tree::from)),
            (
                "Methods",
                Some(Tree::Int(if self.by_mi {
                    2_147_483_647
                } else {
                    4_294_967_295
                })),
            ),
        ];
        Tree::object(
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        )
    }
}
