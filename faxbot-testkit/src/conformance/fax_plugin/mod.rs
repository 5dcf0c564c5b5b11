//! What every [`FaxPlugin`] owes, whatever provider it drives.

mod env;
mod job;
mod life;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use faxbot_core::{
    address::FaxTarget,
    event::EventBus,
    fax::{FaxRetryPolicy, JobStatus},
    id::JobId,
    plugin::{
        FaxPlugin, PluginCapability, PluginDeps, PluginEvent, SendOptions, SendResult, StatusResult,
    },
};

pub use env::{FaxFate, FaxPluginEnv, FaxPluginSetup};

use super::{
    Case, Failure, Verdict, ensure,
    expect::{error_of, kind_is, names_an_unknown_key},
    within,
};

/// Enough for a fax of a mocked provider.
const SOON: Duration = Duration::from_secs(20);

/// How often a status is asked for.
const LOOK: Duration = Duration::from_millis(10);

type Body = fn(World) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// A case, the fates that it needs, and what the manifest must name for it.
struct Entry {
    name: &'static str,
    fates: &'static [FaxFate],
    capability: Option<PluginCapability>,
    body: Body,
}

/// `entry!("name", [fates], capability, function)`.
macro_rules! entry {
    ($name:literal, [$($fate:ident),*], $capability:expr, $body:path) => {
        $crate::conformance::fax_plugin::Entry {
            name: $name,
            fates: &[$($crate::conformance::fax_plugin::FaxFate::$fate),*],
            capability: $capability,
            body: |world| Box::pin($body(world)),
        }
    };
}
use entry;

/// The cases for one plugin.
pub fn cases(env: Arc<dyn FaxPluginEnv>) -> Vec<Case> {
    let name = env.name();
    let case = |entry: Entry| {
        if let Some(word) = entry
            .capability
            .filter(|capability| !env.capabilities().contains(capability))
        {
            return Case::skipped(
                entry.name,
                format!("{} is not in the manifest", word.as_str()),
            );
        }
        if let Some(reason) = entry.fates.iter().find_map(|fate| env.lacks(*fate)) {
            return Case::skipped(entry.name, reason);
        }
        let env = Arc::clone(&env);
        Case::on_runtime(entry.name, move || async move {
            let setup = env.setup().await?;
            let plugin = setup.plugin();
            (entry.body)(World {
                env,
                setup,
                plugin,
                tasks: None,
                events: None,
            })
            .await
        })
    };
    let entries = life::entries().into_iter().chain(job::entries());
    entries.map(|entry| case(entry).in_suite(&name)).collect()
}

/// A fresh provider and a plugin for it, not started.
struct World {
    env: Arc<dyn FaxPluginEnv>,
    setup: Box<dyn FaxPluginSetup>,
    plugin: Arc<dyn FaxPlugin>,
    tasks: Option<faxbot_core::task::TaskSet>,
    events: Option<EventBus<PluginEvent>>,
}

impl World {
    async fn start(&mut self) -> Verdict {
        let deps = self.setup.deps(PluginDeps::current()?);
        self.tasks = Some(deps.tasks.clone());
        self.events = Some(deps.events.clone());
        Ok(within(
            "start",
            SOON,
            self.plugin.start(self.env.good_config(), deps),
        )
        .await??)
    }

    async fn target(&self, fate: FaxFate) -> Result<FaxTarget, Failure> {
        self.setup.target(fate).await
    }

    /// Sends a fax that is dialled once.
    async fn send(&self, fate: FaxFate, pages: u32) -> Result<SendResult, Failure> {
        self.send_with(fate, pages, once(SendOptions::new())).await
    }

    async fn send_with(
        &self,
        fate: FaxFate,
        pages: u32,
        options: SendOptions,
    ) -> Result<SendResult, Failure> {
        let (to, document) = (self.target(fate).await?, self.setup.document(pages)?);
        Ok(within(
            "send_fax",
            SOON,
            self.plugin.send_fax(to, document, options),
        )
        .await??)
    }

    async fn status(&self, job: &JobId) -> Result<StatusResult, Failure> {
        Ok(within("get_status", SOON, self.plugin.get_status(job)).await??)
    }

    /// Asks until the job is in one of these states.
    async fn until(&self, job: &JobId, wanted: &[JobStatus]) -> Result<StatusResult, Failure> {
        let end = tokio::time::Instant::now() + SOON;
        loop {
            let status = self.status(job).await?;
            if wanted.contains(&status.status) {
                return Ok(status);
            }
            let stuck = status.status.is_final() || tokio::time::Instant::now() >= end;
            ensure!(!stuck, "{status:?} and none of {wanted:?}");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// One dial and no more.
fn once(mut options: SendOptions) -> SendOptions {
    let mut policy = FaxRetryPolicy::default();
    policy.max_dials = 1;
    options.retry = Some(policy);
    options
}
