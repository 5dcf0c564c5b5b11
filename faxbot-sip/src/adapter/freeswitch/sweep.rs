//! Outcomes that nobody released are taken away after 7 days.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use faxbot_core::{Result, Timestamp, id::CallId};
use uuid::Uuid;

use super::{core::Core, outcome::OutcomeStore, server::Server};
use crate::adapter::lookup::KEEP;

/// How often they are looked for on a connection that lasts.
const EVERY: Duration = Duration::from_secs(24 * 3600);

const OPERATION: &str = "release";

/// How many counts of pages without an outcome are remembered.
const MAX_PAGES: usize = 10_000;

/// What there is to look at and to take away.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// `None` until a connection was set up.
    pub(super) next: Option<Instant>,
    /// Kept outcomes that were not looked at.
    listed: VecDeque<Uuid>,
    /// How many of the last list went.
    gone: usize,
    /// What went since the sweep began: `mod_db` says `+OK` also where it took nothing away.
    deleted: HashSet<Uuid>,
    /// Pages of faxes that left no outcome, because the server died: they have no time of their own.
    /// Since when they are known.
    pages: HashMap<Uuid, Timestamp>,
}

impl Sweep {
    /// A connection was set up.
    pub(super) fn begins(&mut self, now: Instant) {
        self.next = Some(now);
        self.listed.clear();
        self.deleted.clear();
    }

    /// Does one step of what is due. `false` when there is none.
    pub(super) async fn step(&mut self, core: &Core, server: &Server) -> bool {
        let now = core.hub.clock.now();
        if !server.is_up() {
            return false;
        }
        let store = core.store();
        if let Some(uuid) = self.listed.pop_front() {
            match self.look_at(core, server, &store, uuid).await {
                Ok(()) => {}
                Err(error) => {
                    // The others will fare no better; the next sweep tries again.
                    self.listed.clear();
                    self.gone = 0;
                    tracing::warn!(%error, "freeswitch: old outcomes could not be deleted");
                }
            }
            if self.listed.is_empty() && self.gone > 0 {
                // `mod_db` lists 4 KB of them: now there may be others in it.
                self.next = Some(now);
            } else if self.listed.is_empty() {
                self.deleted.clear();
            }
            return true;
        }
        if self.next.is_none_or(|at| at > now) {
            return false;
        }
        self.next = Some(now + EVERY);
        self.gone = 0;
        match listed(server, &store).await {
            Ok(listed) => {
                self.pages
                    .retain(|uuid, _| listed.binary_search(uuid).is_ok());
                self.listed = listed.into();
            }
            Err(error) => {
                tracing::warn!(%error, "freeswitch: old outcomes could not be listed");
            }
        }
        true
    }

    async fn look_at(
        &mut self,
        core: &Core,
        server: &Server,
        store: &OutcomeStore,
        uuid: Uuid,
    ) -> Result<()> {
        let id = CallId::from_uuid(uuid);
        if self.deleted.contains(&uuid) || core.hub.state().books.lines.contains_key(&id) {
            return Ok(());
        }
        let now = core.hub.clock.timestamp();
        let since = match server.outcome(store, id, OPERATION).await? {
            // One of another version is its own business.
            Some(ended) => ended.ended.unwrap_or(now),
            None if self.pages.len() < MAX_PAGES => *self.pages.entry(uuid).or_insert(now),
            None => return Ok(()),
        };
        if now.duration_since(since) >= KEEP {
            server.forget(store, id, OPERATION).await?;
            self.pages.remove(&uuid);
            self.deleted.insert(uuid);
            self.gone += 1;
        }
        Ok(())
    }
}

/// Everything that is kept, as far as the server lists it.
async fn listed(server: &Server, store: &OutcomeStore) -> Result<Vec<Uuid>> {
    let mut all = Vec::new();
    for (command, arguments) in store.lists() {
        let answer = server.look_up(command, &arguments, OPERATION).await?;
        all.extend(store.listed(&answer.unwrap_or_default()));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}
