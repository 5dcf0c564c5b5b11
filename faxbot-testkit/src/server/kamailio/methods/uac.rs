//! `uac.reg_*`: registrations of the server itself elsewhere (recording `uac_reg`). What they
//! answer has passwords in it.

use tokio::time::Instant;

use crate::server::{
    kamailio::{
        rpc::{Outcome, Refusal, SeenRpc, done},
        state::State,
    },
    proxy::Tree,
};

/// The values of a registration, in the order of `uac.reg_add`.
const VALUES: [&str; 15] = [
    "l_uuid",
    "l_username",
    "l_domain",
    "r_username",
    "r_domain",
    "realm",
    "auth_username",
    "auth_password",
    "auth_ha1",
    "auth_proxy",
    "expires",
    "flags",
    "reg_delay",
    "contact_addr",
    "socket",
];

/// Bits of `flags` (`uac_reg.c`).
const DISABLED: i64 = 1;
const INITIALIZED: i64 = 16;

/// One registration.
#[derive(Debug)]
pub(in crate::server::kamailio) struct Registration {
    values: Vec<(&'static str, String)>,
    flags: i64,
}

impl Registration {
    fn value(&self, name: &str) -> &str {
        let mut values = self.values.iter();
        let found = values.find(|(other, _)| *other == name);
        found.map_or("", |(_, value)| value)
    }

    fn tree(&self) -> Tree {
        let text = |name: &'static str| (name, Tree::from(self.value(name)));
        let ha1 = match self.value("auth_ha1") {
            "." | "" => "none",
            ha1 => ha1,
        };
        Tree::object([
            text("l_uuid"),
            text("l_username"),
            text("l_domain"),
            text("r_username"),
            text("r_domain"),
            text("realm"),
            text("auth_username"),
            text("auth_password"),
            ("auth_ha1", ha1.into()),
            text("auth_proxy"),
            (
                "expires",
                Tree::Int(self.value("expires").parse().unwrap_or(0)),
            ),
            ("flags", Tree::Int(self.flags)),
            ("diff_expires", Tree::Int(5)),
            ("timer_expires", Tree::Int(0)),
            ("reg_init", Tree::Int(0)),
            (
                "reg_delay",
                Tree::Int(self.value("reg_delay").parse().unwrap_or(0)),
            ),
            text("contact_addr"),
            text("socket"),
        ])
    }
}

pub(super) fn run(
    state: &mut State,
    name: &str,
    request: &SeenRpc,
    _now: Instant,
) -> Option<Outcome> {
    let all = &mut state.registrations;
    let text = |place: usize| request.text(place).unwrap_or_default();
    let not_found = || Refusal::new(404, "Record not found");
    Some(match name {
        "reg_dump" => Ok(Tree::List(all.iter().map(Registration::tree).collect())),
        "reg_info" => {
            let found = all.iter().find(|one| one.value(text(0)) == text(1));
            found.map(Registration::tree).ok_or_else(not_found)
        }
        "reg_add" => {
            let values = request.values();
            if values.len() < VALUES.len() {
                return Some(Err(Refusal::new(400, "Invalid Parameters")));
            }
            if all.iter().any(|one| one.value("l_uuid") == text(0)) {
                return Some(Err(Refusal::new(409, "uuid already exists")));
            }
            let values = VALUES.iter().zip(values).map(|(name, value)| {
                let value = match value {
                    Tree::Int(number) => number.to_string(),
                    value => value.text().unwrap_or_default().to_owned(),
                };
                (*name, value)
            });
            all.push(Registration {
                values: values.collect(),
                flags: INITIALIZED,
            });
            done()
        }
        "reg_enable" | "reg_disable" => {
            let found = all.iter_mut().find(|one| one.value(text(0)) == text(1));
            let Some(one) = found else {
                return Some(Err(not_found()));
            };
            one.flags = match name {
                "reg_enable" => one.flags & !DISABLED,
                _ => one.flags | DISABLED,
            };
            done()
        }
        "reg_remove" => {
            let before = all.len();
            all.retain(|one| one.value("l_uuid") != text(0));
            if all.len() == before {
                Err(not_found())
            } else {
                done()
            }
        }
        "reg_unregister" => Err(Refusal::new(400, "Invalid Parameters")),
        "reg_refresh" => Err(not_found()),
        "reg_reload" => {
            all.clear();
            done()
        }
        "reg_active" => Ok(Tree::object([
            ("omode", Tree::Int(1)),
            ("nmode", Tree::Int(0)),
        ])),
        _ => return None,
    })
}
