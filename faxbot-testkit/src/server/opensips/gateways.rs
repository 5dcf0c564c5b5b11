//! Gateways: `dispatcher`, `load_balancer` and `uac_registrant` (recording
//! `07_dispatcher_load_balancer_registrant`).

use tokio::time::Instant;

use super::{
    engine::OpenSips,
    events::Event,
    mi::{self, Outcome, Refusal, SeenMi, done},
    which::Release,
};
use crate::server::proxy::Tree;

#[derive(Debug)]
struct Destination {
    set: i64,
    uri: &'static str,
    state: &'static str,
    attr: Option<&'static str>,
    weight: i64,
    description: Option<&'static str>,
}

#[derive(Debug)]
struct Balanced {
    id: i64,
    uri: &'static str,
    enabled: bool,
    resources: Vec<(&'static str, i64)>,
}

#[derive(Debug)]
struct Trunk {
    aor: &'static str,
    registrar: &'static str,
    binding: &'static str,
    enabled: bool,
}

/// What is behind the server.
#[derive(Debug)]
pub(super) struct Gateways {
    destinations: Vec<Destination>,
    balanced: Vec<Balanced>,
    trunks: Vec<Trunk>,
}

impl Default for Gateways {
    fn default() -> Self {
        let destination = |set, uri, state, attr, weight, description| Destination {
            set,
            uri,
            state,
            attr,
            weight,
            description,
        };
        let (active, down) = ("Active", "Inactive");
        Self {
            destinations: vec![
                destination(
                    2,
                    "sip:127.0.0.1:25999",
                    down,
                    None,
                    1,
                    Some("inactive at start"),
                ),
                destination(
                    1,
                    "sip:127.0.0.1:25080",
                    active,
                    Some("first"),
                    50,
                    Some("uas one"),
                ),
                destination(1, "sip:127.0.0.1:25084", active, None, 50, None),
            ],
            balanced: vec![
                Balanced {
                    id: 1,
                    uri: "sip:127.0.0.1:25080",
                    enabled: true,
                    resources: vec![("calls", 10), ("fax", 2)],
                },
                Balanced {
                    id: 2,
                    uri: "sip:127.0.0.1:25084",
                    enabled: true,
                    resources: vec![("calls", 5)],
                },
            ],
            trunks: vec![
                Trunk {
                    aor: "sip:trunk@127.0.0.1",
                    registrar: "sip:127.0.0.1:25085",
                    binding: "sip:trunk@127.0.0.1:25060",
                    enabled: true,
                },
                Trunk {
                    aor: "sip:dead@127.0.0.1",
                    registrar: "sip:127.0.0.1:25998",
                    binding: "sip:dead@127.0.0.1:25060",
                    enabled: true,
                },
            ],
        }
    }
}

impl OpenSips {
    /// The commands `ds_*`, `lb_*` and `reg_*`.
    pub(super) fn gateways(
        &mut self,
        name: &str,
        request: &SeenMi,
        now: Instant,
    ) -> Option<Outcome> {
        Some(match name {
            "ds_list" => self.ds_list(request),
            "ds_set_state" => self.ds_set_state(request, now),
            "ds_reload" | "lb_reload" | "reg_reload" => done(),
            "lb_list" => Ok(self.lb_list()),
            "lb_status" => self.lb_status(request, now),
            "lb_resize" => self.lb_resize(request),
            "reg_list" => self.reg_list(request, now),
            "reg_enable" | "reg_disable" | "reg_force_register" => {
                self.trunk(request).map_or_else(Err, |trunk| {
                    trunk.enabled =
                        name != "reg_disable" && (name == "reg_enable" || trunk.enabled);
                    done()
                })
            }
            _ => return None,
        })
    }

    fn ds_list(&self, request: &SeenMi) -> Outcome {
        if mi::maybe_text(request, "partition")?.is_some_and(|name| name != "default") {
            return Err(Refusal::new(500, "ERROR Unknown partition"));
        }
        let full = request.get("full").is_some();
        let all = &self.state.gateways.destinations;
        let sets = [2, 1].map(|set| {
            let own = all
                .iter()
                .filter(|one| one.set == set)
                .map(|one| one.tree(full));
            Tree::object([
                ("id", Tree::Int(set)),
                ("Destinations", Tree::List(own.collect())),
            ])
        });
        let partition = Tree::object([
            ("name", Tree::from("default")),
            ("SETS", Tree::List(sets.into())),
        ]);
        Ok(Tree::object([("PARTITIONS", Tree::List(vec![partition]))]))
    }

    fn ds_set_state(&mut self, request: &SeenMi, now: Instant) -> Outcome {
        let state = mi::text(request, "state")?;
        let group = mi::text(request, "group")?;
        let address = mi::text(request, "address")?;
        let (state, told) = match state.chars().next() {
            Some('a') => ("Active", "active"),
            Some('i') => ("Inactive", "inactive"),
            Some('p') => ("Probing", "probing"),
            _ => return Err(Refusal::new(500, "Bad state value")),
        };
        let group = group
            .rsplit(':')
            .next()
            .and_then(|group| group.parse().ok());
        let mut all = self.state.gateways.destinations.iter_mut();
        let found = all.find(|one| Some(one.set) == group && one.uri == address);
        let Some(found) = found else {
            return Err(Refusal::new(404, "destination not found"));
        };
        if found.state != state {
            found.state = state;
            let reason =
                (self.setup.release >= Release::V3_4).then_some(("reason", "MI command".into()));
            let members = [
                ("group", Tree::Int(group.unwrap_or_default())),
                ("address", address.into()),
                ("status", told.into()),
            ];
            let event = Event::new("E_DISPATCHER_STATUS", members.into_iter().chain(reason));
            event.tell(self, now);
        }
        done()
    }

    fn lb_list(&self) -> Tree {
        let all = self.state.gateways.balanced.iter().map(|one| {
            let resources = one.resources.iter().map(|(name, most)| {
                Tree::object([
                    ("name", Tree::from(*name)),
                    ("max", Tree::Int(*most)),
                    ("load", Tree::Int(0)),
                ])
            });
            Tree::object([
                ("uri", Tree::from(one.uri)),
                ("id", Tree::Int(one.id)),
                ("group", Tree::Int(1)),
                ("enabled", yes(one.enabled)),
                ("auto-reenable", "on".into()),
                ("Resources", Tree::List(resources.collect())),
            ])
        });
        Tree::object([("Destinations", Tree::List(all.collect()))])
    }

    fn balanced(&mut self, request: &SeenMi) -> Result<&mut Balanced, Refusal> {
        let id = mi::number(request, "destination_id")?;
        let mut all = self.state.gateways.balanced.iter_mut();
        let found = all.find(|one| Some(one.id) == id);
        found.ok_or_else(|| Refusal::new(404, "Destination ID not found"))
    }

    fn lb_status(&mut self, request: &SeenMi, now: Instant) -> Outcome {
        let wanted = mi::number(request, "new_status")?;
        let one = self.balanced(request)?;
        let Some(wanted) = wanted else {
            return Ok(Tree::object([("enable", yes(one.enabled))]));
        };
        one.enabled = wanted != 0;
        let status = if one.enabled { "enabled" } else { "disabled" };
        let members = [
            ("group", Tree::Int(1)),
            ("uri", one.uri.into()),
            ("status", status.into()),
        ];
        Event::new("E_LOAD_BALANCER_STATUS", members).tell(self, now);
        done()
    }

    fn lb_resize(&mut self, request: &SeenMi) -> Outcome {
        let name = mi::text(request, "res_name")?;
        let most = mi::number(request, "new_capacity")?.unwrap_or_default();
        let one = self.balanced(request)?;
        let found = one.resources.iter_mut().find(|(other, _)| *other == name);
        let Some((_, found)) = found else {
            return Err(Refusal::new(404, "Destination has no such resource"));
        };
        *found = most;
        done()
    }

    fn trunk(&mut self, request: &SeenMi) -> Result<&mut Trunk, Refusal> {
        let aor = mi::text(request, "aor")?;
        let registrar = mi::text(request, "registrar")?;
        let mut all = self.state.gateways.trunks.iter_mut();
        let found = all.find(|one| one.aor == aor && one.registrar == registrar);
        found.ok_or_else(|| Refusal::new(404, "No such registrant"))
    }

    fn reg_list(&mut self, request: &SeenMi, now: Instant) -> Outcome {
        let sent = super::time::date(self.state.world.wall(now));
        let socket = self.setup.release >= Release::V3_6;
        if request.get("aor").is_some() {
            let one = self.trunk(request)?.tree(&sent, socket);
            return Ok(Tree::object([("Registrant", one)]));
        }
        let all = self.state.gateways.trunks.iter();
        let all = all.map(|one| one.tree(&sent, socket));
        Ok(Tree::object([("Records", Tree::List(all.collect()))]))
    }
}

fn yes(yes: bool) -> Tree {
    if yes { "yes" } else { "no" }.into()
}

impl Destination {
    fn tree(&self, full: bool) -> Tree {
        let host = self.uri.trim_start_matches("sip:");
        let members = [
            ("URI", Some(Tree::from(self.uri))),
            ("state", Some(self.state.into())),
            ("first_hit_counter", Some(Tree::Int(0))),
            ("attr", self.attr.map(Tree::from)),
            ("weight", full.then_some(Tree::Int(self.weight))),
            ("priority", full.then_some(Tree::Int(0))),
            (
                "description",
                self.description.filter(|_| full).map(Tree::from),
            ),
            ("resolved_addresses", Some(Tree::list([host]))),
        ];
        Tree::object(
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        )
    }
}

impl Trunk {
    fn tree(&self, sent: &str, socket: bool) -> Tree {
        let dead = self.aor.contains("dead");
        let state = match (self.enabled, dead) {
            (false, _) => "NOT_REGISTERED_STATE",
            (true, true) => "REGISTER_TIMEOUT_STATE",
            (true, false) => "REGISTERED_STATE",
        };
        let members = [
            ("AOR", Some(Tree::from(self.aor))),
            ("expires", Some(Tree::Int(60))),
            ("state", Some(state.into())),
            ("enabled", Some(yes(self.enabled))),
            ("last_register_sent", Some(sent.into())),
            ("registration_t_out", Some(sent.into())),
            ("registrar", Some(self.registrar.into())),
            ("binding", Some(self.binding.into())),
            ("socket", socket.then(|| "udp:127.0.0.1:25060".into())),
            ("dst_IP", (!dead).then(|| "IPv4".into())),
            ("ip", (!dead).then(|| "127.0.0.1".into())),
        ];
        Tree::object(
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        )
    }
}
