//! `ul.*`: where phones are registered (recording `usrloc`).

use std::time::Duration;

use tokio::time::Instant;

use crate::server::{
    kamailio::{
        rpc::{Outcome, Refusal, SeenRpc, done},
        state::State,
    },
    proxy::Tree,
};

/// The table of registrations.
const TABLE: &str = "location";

/// What the server writes where nothing was given.
const UNSET: &str = "[not set]";

/// A registered phone.
#[derive(Debug, Clone)]
pub(in crate::server::kamailio) struct Contact {
    pub aor: String,
    pub address: String,
    pub until: Instant,
    pub modified: i64,
    pub call_id: String,
    pub agent: String,
    /// Added by RPC, and not by a REGISTER.
    pub by_rpc: bool,
    pub number: u64,
}

pub(super) fn run(
    state: &mut State,
    name: &str,
    request: &SeenRpc,
    now: Instant,
) -> Option<Outcome> {
    let text = |place: usize| request.text(place);
    match name {
        "dump" => return Some(Ok(dump(state, text(0) == Some("brief"), now))),
        "flush" => return Some(done()),
        "lookup" | "add" | "rm" | "rm_contact" => {}
        _ => return None,
    }
    let (Some(table), Some(aor)) = (text(0), text(1)) else {
        return Some(Err(Refusal::new(400, "Invalid Parameters")));
    };
    if table != TABLE {
        return Some(Err(Refusal::new(500, "Domain table not found")));
    }
    // Without a scheme; a domain is left out (`use_domain` is off).
    let aor = aor.split('@').next().unwrap_or_default();
    let known = state.contacts.iter().any(|contact| contact.aor == aor);
    Some(match name {
        "lookup" if known => {
            let contacts = contacts(state, aor, now);
            Ok(Tree::object([
                ("AoR", Tree::from(aor)),
                ("Contacts", contacts),
            ]))
        }
        "add" => {
            let params = request.values();
            let expires = params.get(3).copied().and_then(Tree::int);
            let expires = expires.and_then(|seconds| u64::try_from(seconds).ok());
            let address = text(2).unwrap_or_default().to_owned();
            let expires = Duration::from_secs(expires.unwrap_or(3600));
            state.register(aor, &address, expires, true, now);
            done()
        }
        "rm" if known => {
            state.contacts.retain(|contact| contact.aor != aor);
            done()
        }
        "rm_contact" if known => {
            let address = text(2).unwrap_or_default();
            state
                .contacts
                .retain(|contact| contact.aor != aor || contact.address != address);
            done()
        }
        // What is not there is removed without a word.
        "rm" | "rm_contact" => done(),
        _ => Err(Refusal::new(500, "AOR not found in location table")),
    })
}

fn aors(state: &State) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for contact in &state.contacts {
        if !all.contains(&contact.aor) {
            all.push(contact.aor.clone());
        }
    }
    all
}

fn dump(state: &State, brief: bool, now: Instant) -> Tree {
    let aors = aors(state);
    let count = i64::try_from(aors.len()).unwrap_or_default();
    let entries = aors.iter().zip(1_834_153_949..).map(|(aor, hash)| {
        if brief {
            return Tree::object([("AoR", Tree::from(aor.as_str()))]);
        }
        let info = Tree::object([
            ("AoR", Tree::from(aor.as_str())),
            ("HashID", Tree::Int(hash)),
            ("Contacts", contacts(state, aor, now)),
        ]);
        Tree::object([("Info", info)])
    });
    let entries: Vec<Tree> = entries.collect();
    let stats = Tree::object([
        ("Records", Tree::Int(count)),
        ("Max-Slots", Tree::Int(count.min(1))),
    ]);
    let domain = Tree::object([
        ("Domain", Tree::from(TABLE)),
        ("Size", Tree::Int(1024)),
        ("AoRs", Tree::List(entries)),
        ("Stats", stats),
    ]);
    let domain = Tree::object([("Domain", domain)]);
    Tree::object([("Domains", Tree::List(vec![domain]))])
}

fn contacts(state: &State, aor: &str, now: Instant) -> Tree {
    let own = state.contacts.iter().filter(|contact| contact.aor == aor);
    let all = own.map(|contact| Tree::object([("Contact", one(contact, now))]));
    Tree::List(all.collect())
}

fn one(contact: &Contact, now: Instant) -> Tree {
    let left = contact.until.saturating_duration_since(now).as_secs();
    let (q, cseq, socket, methods, modified) = if contact.by_rpc {
        (1, 1, UNSET, 0, 0)
    } else {
        (
            -1,
            56428,
            "udp:127.0.0.1:5070",
            4_294_967_295,
            contact.modified,
        )
    };
    Tree::object([
        ("Address", Tree::from(contact.address.as_str())),
        (
            "Expires",
            Tree::Int(i64::try_from(left).unwrap_or(i64::MAX)),
        ),
        ("Q", Tree::Int(q)),
        ("Call-ID", Tree::from(contact.call_id.as_str())),
        ("CSeq", Tree::Int(cseq)),
        ("User-Agent", Tree::from(contact.agent.as_str())),
        ("Received", UNSET.into()),
        ("Path", UNSET.into()),
        ("State", "CS_NEW".into()),
        ("Flags", Tree::Int(0)),
        ("CFlags", Tree::Int(0)),
        ("Socket", socket.into()),
        ("Methods", Tree::Int(methods)),
        (
            "Ruid",
            Tree::from(format!("uloc-6b0145ad-27d7-{}", contact.number)),
        ),
        ("Instance", UNSET.into()),
        ("Reg-Id", Tree::Int(0)),
        ("Server-Id", Tree::Int(0)),
        ("Tcpconn-Id", Tree::Int(-1)),
        ("Keepalive", Tree::Int(0)),
        ("Last-Keepalive", Tree::Int(contact.modified)),
        ("KA-Roundtrip", Tree::Int(0)),
        ("Last-Modified", Tree::Int(modified)),
    ])
}
