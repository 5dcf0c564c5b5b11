//! The methods of RPC, by the module that brings them.

mod core;
mod dialog;
pub(super) mod dispatcher;
pub(super) mod htable;
mod tm;
pub(super) mod uac;
pub(super) mod usrloc;

use std::time::Duration;

use tokio::time::Instant;

use super::{
    engine::Kamailio,
    rpc::{Outcome, Refusal, SeenRpc},
};
use crate::server::proxy::Tree;

/// What a server with the modules of the recordings lists (recording `basics`).
pub(super) const ALL: &[&str] = &[
    "cfg.add_group_inst",
    "cfg.commit",
    "cfg.del",
    "cfg.del_delayed",
    "cfg.del_group_inst",
    "cfg.diff",
    "cfg.get",
    "cfg.help",
    "cfg.list",
    "cfg.reset",
    "cfg.rollback",
    "cfg.set",
    "cfg.set_delayed",
    "cfg.set_delayed_int",
    "cfg.set_delayed_string",
    "cfg.set_now_int",
    "cfg.set_now_string",
    "cfg.seti",
    "cfg.sets",
    "core.aliases_list",
    "core.arg",
    "core.echo",
    "core.flags",
    "core.info",
    "core.kill",
    "core.modules",
    "core.ppdefines",
    "core.ppdefines_full",
    "core.printi",
    "core.prints",
    "core.ps",
    "core.psa",
    "core.psx",
    "core.pwd",
    "core.runinfo",
    "core.shmmem",
    "core.sockets_list",
    "core.tcp_info",
    "core.tcp_list",
    "core.tcp_options",
    "core.udp4_raw_info",
    "core.uptime",
    "core.version",
    "corex.debug",
    "corex.list_aliases",
    "corex.list_sockets",
    "corex.pkg_summary",
    "corex.shm_status",
    "corex.shm_summary",
    "dispatcher.add",
    "dispatcher.hash",
    "dispatcher.list",
    "dispatcher.ping_active",
    "dispatcher.reload",
    "dispatcher.remove",
    "dispatcher.set_duid_state",
    "dispatcher.set_state",
    "dlg.bridge_dlg",
    "dlg.briefing",
    "dlg.dlg_list",
    "dlg.dlg_list_ctx",
    "dlg.dump_file",
    "dlg.end_dlg",
    "dlg.is_alive",
    "dlg.list",
    "dlg.list_ctx",
    "dlg.list_match",
    "dlg.list_match_ctx",
    "dlg.profile_get_size",
    "dlg.profile_list",
    "dlg.set_state",
    "dlg.stats_active",
    "dlg.terminate_dlg",
    "dns.add_a",
    "dns.add_aaaa",
    "dns.add_srv",
    "dns.debug",
    "dns.debug_all",
    "dns.delete_a",
    "dns.delete_aaaa",
    "dns.delete_all",
    "dns.delete_all_force",
    "dns.delete_cname",
    "dns.delete_ebl",
    "dns.delete_naptr",
    "dns.delete_ptr",
    "dns.delete_srv",
    "dns.delete_txt",
    "dns.lookup",
    "dns.mem_info",
    "dns.view",
    "dst_blocklist.add",
    "dst_blocklist.debug",
    "dst_blocklist.delete_all",
    "dst_blocklist.mem_info",
    "dst_blocklist.view",
    "htable.delete",
    "htable.dump",
    "htable.flush",
    "htable.get",
    "htable.listTables",
    "htable.reload",
    "htable.setex",
    "htable.seti",
    "htable.sets",
    "htable.setxi",
    "htable.setxs",
    "htable.stats",
    "htable.store",
    "jsonrpc.echo",
    "mod.mem_stats",
    "mod.mem_statsx",
    "mod.stats",
    "pkg.info",
    "pkg.stats",
    "pv.shvGet",
    "pv.shvSet",
    "shm.info",
    "shm.report",
    "shm.stats",
    "sl.stats",
    "stats.clear_statistics",
    "stats.fetch",
    "stats.fetchn",
    "stats.get_statistics",
    "stats.reset_statistics",
    "system.listMethods",
    "system.methodHelp",
    "system.methodSignature",
    "tm.cancel",
    "tm.clean",
    "tm.hash_stats",
    "tm.list",
    "tm.reply",
    "tm.reply_callid",
    "tm.stats",
    "tm.t_uac_start",
    "tm.t_uac_wait",
    "tm.t_uac_wait_block",
    "ul.add",
    "ul.db_contacts",
    "ul.db_expired_contacts",
    "ul.db_users",
    "ul.dump",
    "ul.flush",
    "ul.lookup",
    "ul.rm",
    "ul.rm_contact",
];

/// What it lists besides with `modparam("uac", "reg_db_url", ...)` (recording `uac_reg`).
pub(super) const UAC: &[&str] = &[
    "uac.reg_active",
    "uac.reg_add",
    "uac.reg_disable",
    "uac.reg_dump",
    "uac.reg_enable",
    "uac.reg_info",
    "uac.reg_refresh",
    "uac.reg_reload",
    "uac.reg_remove",
    "uac.reg_unregister",
];

/// Carries a request out. The answer comes after that time.
pub(super) fn run(server: &mut Kamailio, request: &SeenRpc, now: Instant) -> (Outcome, Duration) {
    let method = request.method.as_str();
    if !server.has(method) {
        return (Err(Refusal::no_method()), Duration::ZERO);
    }
    let Some((module, name)) = method.split_once('.') else {
        return (not_staged(), Duration::ZERO);
    };
    if module == "tm"
        && let Some(sent) = tm::run(server, name, request, now)
    {
        return sent;
    }
    let state = &mut server.state;
    let outcome = match module {
        "dlg" => dialog::run(server, name, request, now),
        "dispatcher" => dispatcher::run(state, name, request, now),
        "ul" => usrloc::run(state, name, request, now),
        "htable" => htable::run(state, name, request, now),
        "uac" => uac::run(state, name, request, now),
        _ => core::run(server, module, name, request, now),
    };
    (outcome.unwrap_or_else(not_staged), Duration::ZERO)
}

/// It is listed, and no test needed it so far.
fn not_staged() -> Outcome {
    Ok(Tree::Object(Vec::new()))
}
