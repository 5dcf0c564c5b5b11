//! Setting up, looking, and the work of the books.

use std::{collections::HashSet, sync::Arc, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    id::CallId,
    sip::{CallState, Severity},
    task::TaskSet,
};

use super::{
    abilities::Abilities,
    core::Core,
    place,
    rounds::Round,
    server::Server,
    state::{Desk, Job, Look},
    subscribe,
    wire::{
        b2b::RawTuple,
        dialog::RawDialog,
        server::{ServerVersion, UptimeAnswer},
    },
};
use crate::adapter::{
    dialogs::Todo,
    hub::{Book as _, Hub},
    polled::{NoLink, Polled, Timing, Work},
};

/// How often the run of the server is asked for: a restart forgets subscriptions without a word.
const CHECK: Duration = Duration::from_secs(10);

const CONNECT: &str = "connect";
const POLL: &str = "poll";

impl Polled for Core {
    type Books = Desk;

    fn hub(&self) -> &Hub<NoLink, Desk> {
        &self.hub
    }

    fn timing(&self) -> Timing {
        Timing {
            connect_timeout: self.config.connect_timeout,
            poll: self.poll_every(),
            wait_for_server: self.config.wait_for_server,
        }
    }

    async fn set_up(self: &Arc<Self>, tasks: &TaskSet) -> Result<()> {
        let server = self.make_server(tasks)?;
        let server = self.learn(server).await?;
        self.uses(&server);
        let events = self.hub.state().books.abilities.events;
        if self.config.events.is_some() && !events {
            let message = "the server has no event_subscribe: calls are seen by polling alone";
            let error = Error::new(ErrorKind::Config, CONNECT, message);
            self.hub.trouble(Severity::Warning, error);
        }
        let subscriptions = if events {
            subscribe::subscribe(self, &server, tasks).await?
        } else {
            None
        };
        let records = subscriptions.as_ref().is_some_and(|it| it.has_records());
        self.subscribed(subscriptions);
        self.hub.events(|state, _| {
            state.books.abilities.records = records;
            let now_can = state.books.abilities.capabilities(&self.config);
            state.set_capabilities(now_can)
        });
        self.look(&server, Round::WHOLE, true).await
    }

    async fn poll(self: &Arc<Self>) -> Result<()> {
        let mut server = self.server(POLL)?;
        if let Some(time) = self.slowed_for() {
            // Each of those requests ends in that time: without a break they would hide a server that
            // is gone for ever.
            if time < self.config.sip_timeout {
                let message = "the server is kept busy by requests of ours";
                return Err(Error::new(ErrorKind::Overloaded, POLL, message));
            }
            server = server.within(self.config.sip_timeout.max(self.config.request_timeout));
        }
        let round = self.next_round();
        let done = if round.is_empty() {
            self.same_run(&server).await
        } else {
            self.look(&server, round, false).await
        };
        match &done {
            Ok(()) => self.came_through(),
            Err(_) => self.hub.state().books.rounds.failed(round),
        }
        done
    }

    fn work(todo: &Job) -> Work {
        todo.work()
    }

    async fn carry_out(self: &Arc<Self>, job: Job) {
        match job {
            Job::Of(Todo::HangUp(id)) => self.hang_up_late(id).await,
            Job::Of(Todo::Look(id)) => self.look_for(id, false).await,
            Job::Of(Todo::Unreached(id)) => self.look_for(id, true).await,
            Job::Of(Todo::Settle(id)) => {
                self.hub
                    .events(|state, now| state.books.dialogs.settle(id, now));
            }
            Job::Of(Todo::Poll) => {}
            Job::RingOver(id) => self.ring_over(id).await,
            Job::Transferred(id) => self.end_transferred(id).await,
        }
    }

    async fn close(&self) {
        // They have not had their second yet, and nobody follows them any longer.
        let transferred = self.hub.state().books.transferred.begun();
        for id in transferred {
            self.end_transferred(id).await;
        }
        if let (Ok(server), Some(subscriptions)) = (self.server("disconnect"), self.subscriptions())
        {
            subscriptions.end(&server).await;
        }
        self.closed();
    }

    fn hangs_up_on_close(&self) -> bool {
        self.config.hangup_on_close
    }

    async fn hang_up_on_close(&self, id: CallId, limit: Duration) -> Result<()> {
        let server = self.server("disconnect")?.within(limit);
        place::end(self, &server, id, "disconnect").await
    }
}

impl Core {
    /// Which server this is, which run of it, and what it can do.
    async fn learn(&self, server: Server) -> Result<Server> {
        let version = server.version(CONNECT).await?;
        if version < ServerVersion::OLDEST {
            let message = format!("opensips {version} is older than {}", ServerVersion::OLDEST);
            let error = Error::new(ErrorKind::Config, CONNECT, message);
            self.hub.trouble(Severity::Warning, error);
        }
        let uptime = server.uptime(CONNECT).await?;
        // What else is asked takes its time.
        let up_since = up_since(&uptime, self.hub.clock.timestamp());
        let commands = server.commands(CONNECT).await?;
        self.checked();
        let abilities = Abilities::of(&commands);
        let server = server.of(version);
        let asked = self.hub.clock.now();
        let (restarted, has_pairs, before) = {
            let state = self.hub.state();
            let books = &state.books;
            let known = books.run.as_ref();
            let restarted = known.is_some_and(|run| *run != uptime.since);
            (restarted, books.has_pairs(), books.taken_so_far())
        };
        let mut newer = HashSet::new();
        if restarted && abilities.connect && has_pairs {
            // Calls that were placed since, before anybody knew.
            let tuples = server.tuples(CONNECT).await?;
            newer.extend(tuples.iter().filter_map(RawTuple::mark));
        }
        self.hub.events(|state, _| {
            let mut out = Vec::new();
            if restarted {
                tracing::info!(adapter = self.hub.name, "the server was restarted");
                out.extend(state.books.restarted(&newer, &before, asked));
            }
            state.books.up_since = up_since;
            state.books.run = Some(uptime.since);
            let records = state.books.abilities.records;
            state.books.abilities = abilities;
            state.books.abilities.records = records;
            out
        });
        Ok(server)
    }

    /// One look at what is up.
    async fn look(&self, server: &Server, round: Round, first: bool) -> Result<()> {
        let asked = self.hub.clock.now();
        if !first && self.is_check_due(CHECK) {
            self.same_run(server).await?;
        }
        let (abilities, taken) = {
            let state = self.hub.state();
            let books = &state.books;
            (books.abilities, books.taken_so_far())
        };
        // First: their legs may be among the dialogs.
        let tuples = if abilities.connect && round.pairs {
            Some(server.tuples(POLL).await?)
        } else {
            None
        };
        let list = abilities.dialogs && round.list;
        let (dialogs, mut whole) = if list {
            self.all_dialogs(server, POLL).await?
        } else {
            (Vec::new(), false)
        };
        if !list && tuples.is_none() {
            self.same_run(server).await?;
        } else if !first
            && (self.lacks(list.then_some(&dialogs), tuples.as_deref(), &taken)
                || self.are_the_first(&dialogs))
        {
            // Before it is concluded that they ended: a restart forgets them too. Of a server without a
            // call only what comes after it may show that.
            self.same_run(server).await?;
        }
        let dialogs = if whole || !list {
            dialogs
        } else {
            let (all, found_all) = self.with_missing(server, dialogs, POLL).await?;
            whole = found_all;
            all
        };
        self.hub.events(|state, now| {
            let look = Look {
                dialogs: &dialogs,
                whole,
                tuples: tuples.as_deref(),
                asked: Some(asked),
                taken: &taken,
            };
            state.books.rounds.asked(round, asked);
            state.books.looked(look, now)
        });
        Ok(())
    }

    /// Whether a call that is known is not there any more, in the lists that were asked for.
    fn lacks(
        &self,
        dialogs: Option<&Vec<RawDialog>>,
        tuples: Option<&[RawTuple]>,
        taken: &[CallId],
    ) -> bool {
        let state = self.hub.state();
        let books = &state.books;
        let lacks_pair = tuples.is_some_and(|tuples| {
            let listed = |id: &CallId| tuples.iter().any(|tuple| tuple.mark() == Some(*id));
            let mut known = books.pairs().chain(taken.iter().copied());
            known.any(|id| !listed(&id))
        });
        lacks_pair || dialogs.is_some_and(|dialogs| books.misses(dialogs))
    }

    /// Whether no other calls than these were shown so far, or none that is not over.
    fn are_the_first(&self, dialogs: &[RawDialog]) -> bool {
        !dialogs.is_empty() && self.hub.state().books.shows_nothing()
    }

    /// # Errors
    /// `NotConnected` when the server was restarted: everything is set up again.
    async fn same_run(&self, server: &Server) -> Result<()> {
        let uptime = server.uptime(POLL).await?;
        self.checked();
        let known = self.hub.state().books.run.clone();
        if known.is_none_or(|run| run == uptime.since) {
            return Ok(());
        }
        let message = "the server was restarted";
        Err(Error::new(ErrorKind::NotConnected, POLL, message))
    }

    /// A call of ours of which the server said nothing yet; `last` when it is not waited for any longer.
    async fn look_for(&self, id: CallId, last: bool) {
        const OPERATION: &str = "make_call";
        let Ok(server) = self.server(OPERATION) else {
            return;
        };
        let Ok(tuples) = server.tuples(OPERATION).await else {
            return;
        };
        let found = tuples.iter().any(|tuple| tuple.mark() == Some(id));
        self.hub.events(|state, now| {
            if !last || found {
                let look = Look::at_pairs(&tuples);
                return state.books.looked(look, now);
            }
            if state.books.was_taken(id) {
                return state.books.dialogs.over(id, now);
            }
            let message = "the server gave no answer and shows no such call";
            let error = Error::new(ErrorKind::OutcomeUnknown, OPERATION, message);
            state.books.lose(id, error.with_call_id(id))
        });
    }

    /// A call that was hung up before it was there.
    async fn hang_up_late(&self, id: CallId) {
        const OPERATION: &str = "hangup";
        let Ok(server) = self.server(OPERATION) else {
            return;
        };
        match place::end(self, &server, id, OPERATION).await {
            Ok(()) => self.hub.events(|state, now| {
                state.books.dialogs.hung_up(id);
                state.books.dialogs.hanging_up(id, now)
            }),
            Err(error) => {
                // It is tried again with the next list that shows it.
                tracing::warn!(%error, call_id = %id, adapter = self.hub.name, "a call could not be hung up");
            }
        }
    }

    /// A call of ours rang for as long as it may: it is ended, unless somebody answered meanwhile.
    async fn ring_over(&self, id: CallId) {
        if let Err(error) = self.end_ringing(id).await {
            tracing::warn!(%error, call_id = %id, adapter = self.hub.name, "a call rings on: it could not be ended");
            self.hub
                .note(|state, now| state.books.rings.again(id, now.instant));
        }
    }

    /// The transfer of a call is done, and no phone left it by itself. A party that was sent on does not
    /// have to: whoever asked for the transfer ends the call (RFC 5589 section 6), and that are we.
    async fn end_transferred(&self, id: CallId) {
        let state = self.hub.state().books.calls().state(id);
        let is_up = state.is_some_and(|state| state != CallState::HangingUp);
        let ended = match self.server("transfer") {
            Ok(server) if is_up => place::hang_up(self, &server, &id.into()).await.map(drop),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        self.hub.note(|state, now| match &ended {
            Ok(()) => state.books.transferred.done(id),
            Err(error) => {
                tracing::warn!(%error, call_id = %id, adapter = self.hub.name, "a call could not be ended after its transfer");
                state.books.transferred.again(id, now.instant);
            }
        });
    }

    async fn end_ringing(&self, id: CallId) -> Result<()> {
        const OPERATION: &str = "make_call";
        let server = self.server(OPERATION)?;
        // The last look may be older than an answer, and than a key that is another call's by now.
        let tuples = server.tuples(OPERATION).await?;
        let rings = self.hub.change(|state, now| {
            let look = Look::at_pairs(&tuples);
            let out = state.books.looked(look, now);
            let at = state.books.calls().state(id);
            let rings = at.is_some_and(|at| at != CallState::HangingUp)
                && !state.books.calls().is_answered(id);
            (rings, out)
        });
        let mut ours = tuples.iter().filter(|tuple| tuple.mark() == Some(id));
        match ours.find(|tuple| !tuple.is_over()) {
            Some(tuple) if rings => {
                server
                    .end_tuple(&tuple.key, OPERATION)
                    .await
                    .map_err(Error::from)?;
                self.hub.events(|state, now| {
                    let mut out = state.books.rang_out(id, now);
                    out.extend(state.books.dialogs.hanging_up(id, now));
                    out
                });
            }
            // The next look says what became of it.
            _ => {}
        }
        self.hub.note(|state, _| {
            state.books.rings.done(id);
            state.books.want_pairs();
        });
        Ok(())
    }
}

/// When the server began, by our clock.
fn up_since(uptime: &UptimeAnswer, now: Timestamp) -> Option<Timestamp> {
    Some(now - Duration::from_secs(uptime.seconds()?))
}
