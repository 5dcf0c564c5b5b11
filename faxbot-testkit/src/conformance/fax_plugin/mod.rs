//! What every [`FaxPlugin`] owes, whatever provider it drives.

mod env;
mod inbound;
mod job;
mod life;
mod submission;
mod webhook;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use faxbot_core::{
    address::FaxTarget,
    event::{EventBus, EventStream},
    fax::{FaxRetryPolicy, JobStatus},
    id::JobId,
    plugin::{
        FaxPlugin, PluginCapability, PluginDeps, PluginEvent, SendOptions, SendResult, StatusResult,
    },
    webhook::{InboundStore, MemoryInboundStore},
};

pub use env::{FaxFate, FaxPluginEnv, FaxPluginSetup, FaxWebhooks, Redials};

use super::{
    Case, Failure, Verdict, ensure,
    expect::{error_of, kind_is, names_an_unknown_key},
    within,
};

/// Enough for a fax of a mocked provider.
const SOON: Duration = Duration::from_secs(20);

/// How often a status is asked for.
const LOOK: Duration = Duration::from_millis(10);

/// How long is waited for something that must not happen.
const QUIET: Duration = Duration::from_millis(300);

type Body = fn(World) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// What a case needs besides a provider and the fates of its faxes.
#[derive(Clone, Copy)]
enum Need {
    Can(fn() -> PluginCapability),
    /// The plugin dials again, and not the provider.
    Redials,
    Inbound,
    Webhooks,
    /// Webhooks that the vendor does not sign.
    Unsigned,
}

/// A case, the fates that it needs, and what else.
struct Entry {
    name: &'static str,
    fates: &'static [FaxFate],
    needs: Vec<Need>,
    body: Body,
}

/// `entry!("name", [fates; needs], function)`.
macro_rules! entry {
    ($name:literal, [$($fate:ident),* $(; $($need:expr),+)?], $body:path) => {
        $crate::conformance::fax_plugin::Entry {
            name: $name,
            fates: &[$($crate::conformance::fax_plugin::FaxFate::$fate),*],
            needs: vec![$($($need),+)?],
            body: |world| Box::pin($body(world)),
        }
    };
}
use entry;

/// The cases for one plugin.
pub fn cases(env: Arc<dyn FaxPluginEnv>) -> Vec<Case> {
    let name = env.name();
    let case = |entry: Entry| {
        let needs = entry.needs.iter().find_map(|need| missing(&*env, *need));
        let fates = || entry.fates.iter().find_map(|fate| env.lacks(*fate));
        if let Some(reason) = needs.or_else(fates) {
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
                inbound: Arc::new(MemoryInboundStore::new()),
                tasks: None,
                events: None,
            })
            .await
        })
    };
    let entries = life::entries()
        .into_iter()
        .chain(job::entries())
        .chain(submission::entries())
        .chain(inbound::entries())
        .chain(webhook::entries());
    entries.map(|entry| case(entry).in_suite(&name)).collect()
}

fn missing(env: &dyn FaxPluginEnv, need: Need) -> Option<String> {
    let names = |word: PluginCapability| {
        let missing = !env.capabilities().contains(&word);
        missing.then(|| env.why_not(&word))
    };
    match need {
        Need::Can(word) => names(word()),
        Need::Redials => (env.redials() == Redials::Provider)
            .then(|| "the provider dials again by itself".to_owned()),
        Need::Unsigned => env
            .signs()
            .then(|| "the vendor signs what it tells".to_owned()),
        Need::Inbound => env.lacks_inbound(),
        Need::Webhooks => names(PluginCapability::HANDLE_WEBHOOK).or_else(|| env.lacks_webhooks()),
    }
}

/// A fresh provider and a plugin for it, not started.
struct World {
    env: Arc<dyn FaxPluginEnv>,
    setup: Box<dyn FaxPluginSetup>,
    plugin: Arc<dyn FaxPlugin>,
    inbound: Arc<dyn InboundStore>,
    tasks: Option<faxbot_core::task::TaskSet>,
    events: Option<EventBus<PluginEvent>>,
}

impl World {
    async fn start(&mut self) -> Verdict {
        let deps = PluginDeps::current()?.with_inbound(Arc::clone(&self.inbound));
        let deps = self.setup.deps(deps);
        if let Some(inbound) = &deps.inbound {
            self.inbound = Arc::clone(inbound);
        }
        self.tasks = Some(deps.tasks.clone());
        self.events = Some(deps.events.clone());
        let config = self.setup.config(self.env.good_config());
        Ok(within("start", SOON, self.plugin.start(config, deps)).await??)
    }

    fn subscribe(&self) -> Result<EventStream<PluginEvent>, Failure> {
        let bus = self.events.as_ref();
        bus.map(EventBus::subscribe)
            .ok_or_else(|| Failure::new("the plugin is not started"))
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
