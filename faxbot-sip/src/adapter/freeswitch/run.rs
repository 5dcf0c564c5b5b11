//! The worker of one adapter: it sets connections up, reads outcomes, asks about calls that say
//! nothing, and hangs up what was not there yet.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, Result,
    id::CallId,
    sip::{Capability, Severity},
};
use tracing::Instrument as _;

use super::{
    abilities::Abilities,
    control::standings,
    core::Core,
    diet,
    incoming::{announce, decide, socket::Port},
    outcome::{Ended, call_of, keepers},
    rooms,
    server::{Channel, Server, live_legs},
    sweep::Sweep,
};
use crate::{
    adapter::{
        books::{Report, Todo},
        fax_run::{FaxRun, FaxSigns},
        hub::{Turn, call_span, is_passing},
        spool,
    },
    driver::{Handle, Setup},
    protocol::esl::EslSession,
};

const CONNECT: &str = "connect";

/// How far the list of channels may be behind: 70 to 150 ms (observed on FreeSWITCH 1.10.12, which was
/// not busy).
const WRITTEN_BEHIND: Duration = Duration::from_secs(1);

/// Serves the books as long as the adapter runs.
pub(super) async fn work(core: Arc<Core>, handle: Handle<EslSession>) {
    let server = Server::new(handle, core.config.request_timeout);
    let mut port = None;
    let mut sweep = Sweep::default();
    // When the list of channels is looked through once more for calls that wait.
    let mut look_at: Option<Instant> = None;
    loop {
        match core.hub.turn() {
            Turn::SetUp(setup) => {
                set_up(&core, setup, &mut port).await;
                sweep.begins(core.hub.clock.now());
                look_at = Some(core.hub.clock.now() + WRITTEN_BEHIND);
            }
            Turn::Do(todo) => carry_out(&core, &server, todo).await,
            Turn::Rest(_) if look_at.is_some_and(|at| at <= core.hub.clock.now()) => {
                look_at = None;
                look_around(&core, &server).await;
            }
            Turn::Rest(until) => {
                if sweep.step(&core, &server).await {
                    continue;
                }
                let sweeps = sweep.next.filter(|_| server.is_up());
                let until = [until, look_at, sweeps].into_iter().flatten().min();
                core.hub.rest(until).await;
            }
        }
    }
}

/// Looks for calls that came when no events did: they may have been too new for the list of the set-up.
async fn look_around(core: &Core, server: &Server) {
    if !core.hub.state().capabilities.has(Capability::Incoming) {
        return;
    }
    // What fails here shows in the list of the next connection.
    if let Ok(list) = server.channels("incoming").await {
        core.hub
            .events(|state, now| state.books.waiting_in(&list, now));
    }
}

async fn carry_out(core: &Core, server: &Server, todo: Todo) {
    match todo {
        Todo::Settle(id) => {
            let span = call_span(core.hub.name, Some(id));
            settle(core, server, id).instrument(span).await;
        }
        Todo::Check(id) => check(core, server, id).await,
        Todo::HangUp(id) => {
            let Some(uuid) = core.hub.state().books.own_channel(id) else {
                return;
            };
            let done = server.hang_up(&uuid, None).await;
            core.hub.note(|state, now| match done {
                Ok(()) => state.books.hung_up(id),
                // What fails is tried again when the channel is seen again.
                Err(_) => state.books.unsure(id, now),
            });
        }
        Todo::Reloaded => match learn(core, server).await {
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, "freeswitch: what it can do now was not told"),
        },
        Todo::Answered(_) => {}
        Todo::Announce(id) => {
            let span = call_span(core.hub.name, Some(id));
            announce::announce(core, server, id).instrument(span).await;
        }
        Todo::Overdue(id) => decide::overdue(core, server, id).await,
        Todo::Refuse => decide::refuse(core, server).await,
    }
}

/// One list answers for all calls that wait for one.
async fn check(core: &Core, server: &Server, id: CallId) {
    let mut asked = vec![id];
    core.hub.state().work.retain(|todo| match todo {
        Todo::Check(other) => {
            asked.push(*other);
            false
        }
        _ => true,
    });
    // A check that fails is due again by itself.
    let asked_at = core.hub.clock.now();
    if let Ok(list) = server.channels("lookup").await {
        let (legs, standings) = (live_legs(&list), standings(&list));
        core.hub.events(|state, now| {
            let mut out = state.books.waiting_in(&list, now);
            out.extend(state.books.listed(&legs, &asked, now));
            out.extend(state.books.moves_in(&standings, asked_at, false, now));
            out
        });
    }
}

/// Ends a call with what the hook of its end left.
async fn settle(core: &Core, server: &Server, id: CallId) {
    let told = core.hub.state().books.is_end_told(id);
    let store = core.store();
    let kept = if told {
        Ok(None)
    } else {
        server.outcome(&store, id, "lookup").await
    };
    match kept.map(|kept| kept.map(Ended::report)) {
        Ok(kept) if told || kept.is_some() => finish(core, id, kept).await,
        Ok(_) if store.keeper().is_some() && core.hub.state().books.looks_again(id) => {
            // The hook may still be running: once more, a second later.
            core.hub.settle_later(id);
            core.hub.wake();
        }
        Ok(_) => match is_up_after_all(core, server, id).await {
            Ok(true) => core.hub.note(|state, now| {
                state.books.looked(id);
                state.books.is_up_after_all(id, now);
            }),
            Err(error) if is_passing(&error) => {
                core.hub.settle_later(id);
                core.hub.wake();
            }
            // A server that does not say: its list did.
            Ok(false) | Err(_) => {
                last_pages(core, server, id).await;
                finish(core, id, None).await;
            }
        },
        Err(error) if is_passing(&error) => {
            core.hub.settle_later(id);
            core.hub.wake();
        }
        Err(error) => {
            // It would fail for ever, and the call would never end.
            core.hub.trouble(Severity::Warning, error.with_call_id(id));
            finish(core, id, None).await;
        }
    }
}

/// Whether a call that left no outcome is up: the list of channels is written behind, on a busy server
/// by more than usual, and may lack what was made just now (observed on FreeSWITCH 1.10.12).
async fn is_up_after_all(core: &Core, server: &Server, id: CallId) -> Result<bool> {
    let Some(uuid) = core.hub.state().books.own_channel(id) else {
        return Ok(false);
    };
    server.exists(&uuid, "lookup").await
}

/// A fax left no outcome, because the server died: what is known of it are the pages that were
/// confirmed last.
async fn last_pages(core: &Core, server: &Server, id: CallId) {
    if !core.hub.state().books.is_fax(id) {
        return;
    }
    if let Ok(Some(pages)) = server.pages(&core.store(), id, "lookup").await {
        let signs = FaxSigns {
            agreed: true,
            confirmed: Some(pages),
            ..FaxSigns::default()
        };
        core.hub.events(|state, now| {
            let signed = |fax: &mut FaxRun| fax.signs(signs, now.instant);
            state.books.fax_event(id, signed)
        });
    }
}

async fn finish(core: &Core, id: CallId, kept: Option<Report>) {
    // The pages first: whoever hears the outcome may rely on their being gone.
    let is_fax = core.hub.state().books.is_fax(id);
    if is_fax {
        spool::clear(core.spool.as_ref(), id).await;
    }
    core.hub.events(|state, now| {
        state.books.looked(id);
        state.books.finish(id, kept, now)
    });
}

/// Everything that makes a connection "connected": the events, which run of FreeSWITCH this is, what it
/// can do, the calls that ended meanwhile, leftovers.
async fn set_up(core: &Arc<Core>, setup: Setup<EslSession>, port: &mut Option<Port>) {
    let server = Server::new(setup.handle().clone(), core.config.request_timeout);
    let prepared = async {
        if port.is_none() {
            *port = Port::open(core).await?;
        }
        prepare(core, &server).await
    };
    match prepared.await {
        Ok(()) => {
            core.hub.connected(setup);
        }
        Err(error) => {
            tracing::warn!(%error, "freeswitch: the connection could not be set up");
            setup.fail(error);
        }
    }
}

async fn prepare(core: &Core, server: &Server) -> Result<()> {
    diet::subscribe(server, &core.config).await?;
    core.hub.events(|state, _| state.books.messages.lost());
    let core_uuid = server.core_uuid().await?;
    core.hub.events(|state, now| {
        let lost_at = state.lost_at.unwrap_or(now.wall);
        state.books.answers(core_uuid, lost_at, now);
        Vec::new()
    });
    learn(core, server).await?;
    let ours = core.hub.state().books.live();
    let asked_at = core.hub.clock.now();
    let list = server.channels(CONNECT).await?;
    let (legs, standings) = (live_legs(&list), standings(&list));
    core.hub.events(|state, now| {
        let mut out = state.books.waiting_in(&list, now);
        out.extend(state.books.listed(&legs, &ours, now));
        out.extend(state.books.moves_in(&standings, asked_at, true, now));
        out
    });
    rooms::refresh(core, server).await?;
    sweep_spool(core, &list).await;
    Ok(())
}

/// Finds out what the server can do for us.
async fn learn(core: &Core, server: &Server) -> Result<()> {
    let has = async |module| {
        let told = server.has_module(module, CONNECT).await?;
        Ok::<_, Error>(told != Some(false))
    };
    let mut keeper = None;
    for &choice in keepers(core.config.outcomes) {
        if keeper.is_none() && has(choice.module()).await? {
            keeper = Some(choice);
        }
    }
    let recordings = match &core.config.recordings {
        Some(configured) => Some(configured.clone()),
        None => server.recordings_dir(CONNECT).await?,
    };
    let abilities = Abilities {
        recordings,
        keeper,
        fax: has("mod_spandsp").await?,
        conference: has("mod_conference").await?,
        domain: server.domain(CONNECT).await?,
        sofia: has("mod_sofia").await?,
    };
    core.learn(abilities);
    Ok(())
}

async fn sweep_spool(core: &Core, list: &[Channel]) {
    let live = list.iter().filter_map(|channel| call_of(&channel.uuid));
    let keep = live.chain(core.hub.state().books.live()).collect();
    spool::tidy(&core.hub, core.spool.as_ref(), keep).await;
}
