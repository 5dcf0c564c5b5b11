//! The worker of a connection: sets it up, and asks the server for what the books want to know, one
//! question after the other. What ends calls comes before what merely shows progress, and both
//! before the sweeping.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use faxbot_core::{Error, ErrorKind, Result, clock::later, id::CallId, sip::Severity};

use tracing::Instrument as _;

use super::{
    abilities::Abilities,
    answer,
    books::{Todo, history, line::LiveChannel},
    call_span,
    control::{self, rooms},
    core::Core,
    diet,
    identity::Identity,
    incoming::{announce, decide},
    outcome::{Leg, Report},
    server::{Extent, Server},
};
use crate::{
    adapter::{
        hub::{Book as _, Turn, is_passing},
        lookup::KEEP,
        spool,
    },
    driver::{Handle, Setup},
    protocol::ami::AmiSession,
};

/// How often they are looked for on a connection that lasts.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Asks the server for what the books want to know, as long as the adapter runs.
pub(super) async fn work(core: Arc<Core>, handle: Handle<AmiSession>) {
    let now = core.clock.now();
    let worker = Worker {
        server: Server::new(handle, core.config.request_timeout),
        next_poll: later(now, core.config.fax_poll),
        next_sweep: None,
        sessions: VecDeque::new(),
        old: VecDeque::new(),
        core,
    };
    worker.run().await;
}

struct Worker {
    core: Arc<Core>,
    server: Server,
    next_poll: Instant,
    /// `None` until a connection was set up.
    next_sweep: Option<Instant>,
    /// Fax sessions of the last poll that were not asked for: call and session number.
    sessions: VecDeque<(CallId, String)>,
    /// Keys of outcomes that are too old.
    old: VecDeque<String>,
}

impl Worker {
    async fn run(mut self) {
        loop {
            match self.core.turn() {
                Turn::SetUp(setup) => {
                    self.sessions.clear();
                    if set_up(&self.core, setup).await {
                        self.next_sweep = Some(self.core.clock.now());
                    }
                }
                Turn::Do(todo) => self.carry_out(todo).await,
                Turn::Rest(due) => {
                    if self.step().await {
                        continue;
                    }
                    let wake_at = [due, self.next_sweep.filter(|_| self.server.is_up())]
                        .into_iter()
                        .flatten()
                        .fold(self.next_poll, Instant::min);
                    self.core.rest(Some(wake_at)).await;
                }
            }
        }
    }

    /// Does what can wait, as long as there is nothing else. `false` when there is none of it now.
    async fn step(&mut self) -> bool {
        let now = self.core.clock.now();
        if let Some((id, session)) = self.sessions.pop_front() {
            if let Ok(Some(answer)) = self.server.fax_session(&session).await {
                self.core
                    .events(|state, now| state.books.fax_session(id, &answer, now));
            }
            return true;
        }
        if now >= self.next_poll {
            if let Err(error) = self.poll().await {
                tracing::debug!(%error, "asterisk: progress of faxes could not be asked for");
            }
            // Counted from the end: on a slow server one poll must not follow the other at once.
            self.next_poll = later(self.core.clock.now(), self.core.config.fax_poll);
            return true;
        }
        if let Some(key) = self.old.pop_front() {
            self.forget(&key).await;
            return true;
        }
        if self.server.is_up() && self.next_sweep.is_some_and(|at| at <= now) {
            self.next_sweep = Some(now + SWEEP_EVERY);
            self.old = old_outcomes(&self.core, &self.server).await;
            return true;
        }
        false
    }

    async fn carry_out(&mut self, todo: Todo) {
        let (core, server) = (&self.core, &self.server);
        match todo {
            Todo::Settle(id) => {
                settle(core, server, id)
                    .instrument(call_span(Some(id)))
                    .await
            }
            Todo::Check(id) => {
                // One list answers for all that wait for one.
                let mut asked = vec![id];
                core.state().work.retain(|todo| match todo {
                    Todo::Check(other) => {
                        asked.push(*other);
                        false
                    }
                    _ => true,
                });
                core.state().books.moves.listing = Some(core.clock.now());
                // A check that fails is due again by itself.
                if let Ok(list) = server.channels("lookup").await {
                    core.events(|state, now| state.books.channels(&list, &asked, now));
                }
            }
            Todo::HangUp(id) => {
                let Some(channel) = core.state().books.own_channel(id) else {
                    return;
                };
                let done = server.hang_up(&channel).await;
                core.events(|state, now| {
                    // What fails is tried again when the channel is seen again.
                    match done {
                        Ok(()) => state.books.hung_up(id),
                        Err(_) => state.books.unsure(id, now),
                    }
                    Vec::new()
                });
            }
            Todo::Answered(id) => answer::once_answered(core, server, id).await,
            Todo::Announce(id) => announce::announce(core, server, id).await,
            Todo::LeftAlone => control::hang_up_left(core, server).await,
            Todo::Overdue(id) => decide::overdue(core, server, id).await,
            Todo::Refuse => decide::refuse(core, server).await,
            Todo::Reloaded => {
                // What cannot be kept was told when that began.
                if let Err(error) = learn(core, server).await {
                    uncertain(&error);
                }
            }
        }
    }

    /// Looks after the extension while calls are up, and notes which faxes to ask for.
    async fn poll(&mut self) -> Result<()> {
        let (calls, faxes) = {
            let state = self.core.state();
            (state.books.calls.len(), state.books.answered_faxes())
        };
        if calls == 0 || !self.server.is_up() {
            return Ok(());
        }
        if let Err(error) = self.core.keep_extension(&self.server, "lookup").await {
            uncertain(&error);
        }
        if faxes.is_empty() {
            return Ok(());
        }
        let all = self.server.fax_sessions().await?;
        let ours = |(channel, session)| Some((*faxes.get(&channel)?, session));
        self.sessions = all.into_iter().filter_map(ours).collect();
        Ok(())
    }

    async fn forget(&mut self, key: &str) {
        let family = self.core.store.family();
        if let Err(error) = self.server.forget(family, key, "release").await {
            // The others will fare no better; the next sweep tries again.
            self.old.clear();
            tracing::warn!(%error, "asterisk: old outcomes could not be deleted");
        }
    }
}

fn uncertain(error: &Error) {
    tracing::warn!(%error, "asterisk: it is not certain that calls that end now leave their outcome");
}

/// Ends a call with what its handler left.
async fn settle(core: &Core, server: &Server, id: CallId) {
    let outcomes = core.state().books.known.abilities.outcomes;
    let report = if outcomes {
        server.outcome(&core.store, id).await
    } else {
        Ok(None)
    };
    match report {
        Ok(report) => finish(core, id, report.as_ref()).await,
        Err(error) if is_passing(&error) => {
            core.settle_later(id);
        }
        Err(error) => {
            // It would fail for ever, and the call would never end.
            core.trouble(Severity::Warning, error.with_call_id(id));
            finish(core, id, None).await;
        }
    }
}

async fn finish(core: &Core, id: CallId, report: Option<&Report>) {
    // The pages first: whoever hears the outcome may rely on their being gone.
    let is_fax = core.state().books.is_fax(id);
    if is_fax {
        spool::clear(core.spool.as_ref(), id).await;
    }
    core.events(|state, now| state.books.finish(id, report, now));
}

/// Everything that makes a connection "connected": which run of Asterisk this is, the outcome
/// extension, the calls that ended meanwhile, leftovers. Answers whether it is connected.
async fn set_up(core: &Core, setup: Setup<AmiSession>) -> bool {
    let server = Server::new(setup.handle().clone(), core.config.request_timeout);
    if let Err(error) = prepare(core, &server).await {
        tracing::warn!(%error, "asterisk: the connection could not be set up");
        setup.fail(error);
        return false;
    }
    core.connected(setup)
}

async fn prepare(core: &Core, server: &Server) -> Result<()> {
    let identity = Identity::of(server).await?;
    core.events(|state, now| {
        state.books.answers(identity, state.lost_at, now.wall);
        Vec::new()
    });
    if let Err(why) = learn(core, server).await? {
        core.trouble(Severity::Warning, why);
    }
    // They go with the connection, so each has to be asked for them.
    diet::ask(server, &core.config).await?;
    let ours: Vec<_> = core.state().books.calls.live().collect();
    core.state().books.moves.listing = Some(core.clock.now());
    let list = server.channels("connect").await?;
    core.events(|state, now| state.books.channels(&list, &ours, now));
    rooms::refresh(core, server).await?;
    sweep_spool(core, &list).await;
    Ok(())
}

/// Finds out what the server can do for us. The inner error is why outcomes are not kept.
async fn learn(core: &Core, server: &Server) -> Result<Result<()>> {
    let kept = core.secure(server, Extent::Whole, "connect").await?;
    let actions = server.actions("connect").await?;
    let has = async |module| server.has_module(module, "connect").await;
    core.learn(Abilities {
        outcomes: !core.store.is_off() && kept.is_ok(),
        control: *kept.as_ref().unwrap_or(&false),
        fax: core.spool.is_some() && has("res_fax").await? != Some(false),
        music: has("res_musiconhold").await? != Some(false),
        headers: has("res_pjsip_header_funcs").await? == Some(true),
        cdr: history::sends_cdr(server).await?,
        actions: Some(actions),
    });
    Ok(kept.map(drop))
}

async fn sweep_spool(core: &Core, list: &[LiveChannel]) {
    let live = list
        .iter()
        .filter_map(|channel| match Leg::of(&channel.uniqueid) {
            Some(Leg::Own(id)) => Some(id),
            _ => None,
        });
    let keep = live.chain(core.state().books.calls.live()).collect();
    spool::tidy(core, core.spool.as_ref(), keep).await;
}

/// The keys of outcomes that nobody released within 7 days.
async fn old_outcomes(core: &Core, server: &Server) -> VecDeque<String> {
    if !core.state().books.known.abilities.outcomes {
        return VecDeque::new();
    }
    let limit = core.clock.timestamp() - KEEP;
    let kept = match server.family(core.store.family()).await {
        Ok(kept) => kept,
        Err(error) if error.kind() == ErrorKind::Protocol => {
            // More than a list may hold. They grow until somebody releases them.
            core.trouble(
                Severity::Warning,
                Error::new(
                    ErrorKind::Overloaded,
                    "release",
                    "the server keeps more outcomes than can be listed; release calls whose outcome is stored",
                ),
            );
            return VecDeque::new();
        }
        Err(error) => {
            tracing::warn!(%error, "asterisk: old outcomes could not be listed");
            return VecDeque::new();
        }
    };
    let is_old = |value: &str| {
        Report::parse(value)
            .and_then(|report| report.ended)
            .is_some_and(|ended| ended < limit)
    };
    kept.into_iter()
        .filter(|(_, value)| is_old(value))
        .map(|(key, _)| key)
        .collect()
}
