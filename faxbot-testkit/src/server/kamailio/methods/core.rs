//! `core.*`, `system.*`, `stats.*` and what else says how the server is.

use faxbot_core::Timestamp;
use tokio::time::Instant;

use crate::server::{
    kamailio::{
        engine::Kamailio,
        rpc::{Outcome, Refusal, SeenRpc},
    },
    proxy::{Stage, Tree},
};

pub(super) fn run(
    server: &Kamailio,
    module: &str,
    name: &str,
    request: &SeenRpc,
    now: Instant,
) -> Option<Outcome> {
    Some(Ok(match (module, name) {
        ("core", "version") => {
            // The blank at the end is the server's.
            Tree::from(format!("kamailio {} (x86_64/linux) ", server.setup.version))
        }
        ("core", "uptime") => {
            let state = &server.state;
            let wall = state.world.wall(now);
            let since = state.up_since();
            Tree::object([
                ("now", Tree::from(ctime(wall))),
                ("up_since", Tree::from(ctime(since))),
                ("uptime", Tree::Int(wall.as_second() - since.as_second())),
            ])
        }
        ("core", "info") => Tree::object([
            (
                "version",
                Tree::from(format!("kamailio {}", server.setup.version)),
            ),
            ("id", "unknown ".into()),
            ("compiler", "gcc 12.2.0".into()),
            ("compiled", "".into()),
            (
                "flags",
                "USE_TCP, USE_TLS, DISABLE_NAGLE, DNS_IP_HACK".into(),
            ),
        ]),
        ("core", "psx") => Tree::List(processes().map(|process| process.tree()).collect()),
        ("core", "ps") => Tree::List(
            processes()
                .flat_map(|process| [Tree::Int(process.pid), Tree::from(process.what)])
                .collect(),
        ),
        ("core", "shmmem") => Tree::object([
            ("total", Tree::Int(67_108_864)),
            ("free", Tree::Int(64_273_552)),
            ("used", Tree::Int(2_590_488)),
            ("real_used", Tree::Int(2_835_312)),
            ("max_used", Tree::Int(2_835_312)),
            ("fragments", Tree::Int(1)),
        ]),
        ("core" | "jsonrpc", "echo") => Tree::List(request.values().into_iter().cloned().collect()),
        ("system", "listMethods") => Tree::list(server.methods()),
        ("system", "methodHelp") => match request.text(0) {
            None => return Some(Err(Refusal::new(400, "Method Name Expected"))),
            Some(_) => Tree::from("no help"),
        },
        ("system", "methodSignature") => {
            return Some(Err(Refusal::new(500, "Not Implemented Yet")));
        }
        ("stats", "get_statistics") => {
            let wanted: Vec<&str> = texts(request);
            let all = statistics(server).into_iter();
            Tree::List(
                all.filter(|stat| stat.is_in(&wanted))
                    .map(|stat| {
                        Tree::from(format!("{}:{} = {}", stat.group, stat.name, stat.value))
                    })
                    .collect(),
            )
        }
        ("stats", "fetch" | "fetchn") => {
            let wanted: Vec<&str> = texts(request);
            let all = statistics(server).into_iter();
            Tree::object(all.filter(|stat| stat.is_in(&wanted)).map(|stat| {
                let value = match name {
                    "fetchn" => Tree::Int(stat.value),
                    _ => Tree::from(stat.value.to_string()),
                };
                (format!("{}.{}", stat.group, stat.name), value)
            }))
        }
        ("tm", "hash_stats") => {
            let why = "Hash statistics not supported (tryrecompiling with -DTM_HASH_STATS)";
            return Some(Err(Refusal::new(500, why)));
        }
        ("tm", "stats") => {
            let zero = |name| (name, Tree::Int(0));
            Tree::object(
                [
                    "current",
                    "waiting",
                    "total",
                    "total_local",
                    "rpl_received",
                    "rpl_generated",
                    "rpl_sent",
                    "6xx",
                    "5xx",
                    "4xx",
                    "3xx",
                    "2xx",
                    "created",
                    "freed",
                    "delayed_free",
                ]
                .map(zero),
            )
        }
        _ => return None,
    }))
}

fn texts(request: &SeenRpc) -> Vec<&str> {
    request
        .values()
        .into_iter()
        .filter_map(Tree::text)
        .collect()
}

struct Process {
    index: i64,
    pid: i64,
    what: &'static str,
}

impl Process {
    fn tree(&self) -> Tree {
        Tree::object([
            ("IDX", Tree::Int(self.index)),
            ("PID", Tree::Int(self.pid)),
            ("DSC", Tree::from(self.what)),
        ])
    }
}

fn processes() -> impl Iterator<Item = Process> {
    [
        "main process - attendant",
        "udp receiver child=0 sock=127.0.0.1:5060",
        "slow timer",
        "timer",
        "secondary timer",
        "Dialog Clean Timer",
        "EvAPI Dispatcher",
        "EvAPI Worker",
        "tcp receiver (generic) child=0",
        "tcp main process",
    ]
    .into_iter()
    .zip(0..)
    .map(|(what, index)| Process {
        index,
        pid: 28_064 + index,
        what,
    })
}

struct Statistic {
    group: &'static str,
    name: &'static str,
    value: i64,
}

impl Statistic {
    /// `all`, a group with its colon, a name alone or with its group.
    fn is_in(&self, wanted: &[&str]) -> bool {
        wanted.iter().any(|wanted| match wanted.split_once(':') {
            Some((group, "")) => group == self.group,
            Some((group, name)) => group == self.group && name == self.name,
            None => *wanted == "all" || *wanted == self.name,
        })
    }
}

fn statistics(server: &Kamailio) -> Vec<Statistic> {
    let world = &server.state.world;
    let listed = world.listed();
    let count = |first: Stage, last: Stage| {
        let within = |stage: Stage| stage >= first && stage <= last;
        whole(listed.iter().filter(|dialog| within(dialog.stage)).count())
    };
    let requests = whole(server.requests.len());
    let stat = |group, name, value| Statistic { group, name, value };
    vec![
        stat("core", "rcv_requests", requests),
        stat("core", "rcv_replies", 0),
        stat(
            "dialog",
            "active_dialogs",
            count(Stage::Answered, Stage::Up),
        ),
        stat("dialog", "early_dialogs", count(Stage::Early, Stage::Early)),
        stat("dialog", "expired_dialogs", 0),
        stat(
            "dialog",
            "failed_dialogs",
            i64::try_from(world.failed).unwrap_or(i64::MAX),
        ),
        stat(
            "dialog",
            "processed_dialogs",
            i64::try_from(world.begun).unwrap_or(i64::MAX),
        ),
        stat("registrar", "accepted_regs", 0),
        stat("shmem", "free_size", 64_273_552),
        stat("shmem", "total_size", 67_108_864),
        stat("shmem", "used_size", 2_590_488),
        stat("sl", "sent_replies", requests),
        stat("tmx", "active_transactions", 0),
        stat("tmx", "inuse_transactions", 0),
    ]
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// `Sat Nov 21 03:13:35 2026`, as `ctime(3)` writes it.
fn ctime(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // The first day of the epoch was a Thursday.
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    // `2026-11-21T03:13:35Z`
    let text = at.to_seconds().to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().unwrap_or(1);
    let day = part(8, 10).parse::<u32>().unwrap_or_default();
    let days = usize::try_from(at.as_second().div_euclid(86_400).rem_euclid(7)).unwrap_or_default();
    let name = |names: &[&'static str], at: usize| names.get(at).copied().unwrap_or_default();
    format!(
        "{} {} {day:2} {} {}",
        name(&DAYS, days),
        name(&MONTHS, month.saturating_sub(1)),
        part(11, 19),
        part(0, 4),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_server_does() {
        let at = Timestamp::from_unix_seconds(1_795_230_815).unwrap();
        assert_eq!(ctime(at), "Sat Nov 21 03:13:35 2026");
    }
}
