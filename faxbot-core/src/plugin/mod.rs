//! Plugins: what every one of them is ([`Plugin`]), and the roles that they take
//! ([`FaxPlugin`], [`MessagingPlugin`]).
//!
//! A product with several roles has one type a role. The host reads the [`Manifest`], checks the
//! configuration, and starts the plugin with the [`PluginDeps`] that it may use.

mod deps;
mod fax;
mod inbound;
mod manifest;
mod messaging;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Result, Timestamp, config::ConfigErrors, webhook::WebhookHandler};

pub use deps::{PluginDeps, PluginEvent};
pub use fax::{CancelOutcome, FaxPlugin, SendOptions, SendResult, StatusDetail, StatusResult};
pub use inbound::{DEFAULT_LIMIT, InboundFax, InboundQuery, Page};
pub use manifest::{Manifest, PluginCapability, PluginId};
pub use messaging::MessagingPlugin;

/// What every plugin is.
///
/// # Contract
/// - `validate_config` may be called at any time, also before `start` and on a running plugin; it
///   has no effect and opens nothing.
/// - Everything else that works needs a started plugin; before `start` and after `stop` it answers
///   `InvalidState`. `health_check` always answers.
/// - A started plugin owns its tasks in the task set of its dependencies. `stop` ends them.
/// - A capability that the manifest names never answers `Unsupported`; one that it does not name
///   always does, before anything is sent.
///
/// # Events and truth
/// Events on the bus of [`PluginDeps`] are notification, never the only truth: a job's status is
/// asked for with `get_status`. A job may not depend on a callback alone; the plugin polls as
/// well.
///
/// # Cancellation
/// Dropping a future never undoes a request that was written. Each method says what that means.
///
/// # Wrappers
/// A type that wraps a plugin forwards every method, the provided ones too
/// (`#[deny(clippy::missing_trait_methods)]` helps); otherwise it hides what the inner one can do.
#[async_trait]
pub trait Plugin: WebhookHandler {
    /// Who it is and what it can do. The same for the life of the plugin.
    fn manifest(&self) -> &Manifest;

    /// Checks a configuration and tells every problem at once, each with its path and what would
    /// be right.
    ///
    /// # Errors
    /// All problems.
    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors>;

    /// Starts the plugin: checks the configuration, takes up what an earlier process left, and
    /// spawns its tasks. A second start is `InvalidState`; a start after `stop` is allowed.
    ///
    /// # Errors
    /// `Config` with every problem; `NoRuntime` outside of tokio; `InvalidState` when it runs;
    /// `InvalidRequest` when a dependency that it needs is missing.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the plugin stopped, with no task running.
    async fn start(&self, config: Value, deps: PluginDeps) -> Result<()>;

    /// Stops the plugin: takes no new work, lets what cannot be interrupted end, joins the tasks.
    /// It cancels no fax and sends nothing again. A second stop does nothing.
    ///
    /// # Errors
    /// The plugin is stopped also when it reports an error.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the stop under way; call again to wait for its end.
    async fn stop(&self) -> Result<()>;

    /// How it is. Cheap: it asks no provider for work that costs.
    ///
    /// # Errors
    /// Only where the plugin cannot find out anything about itself; a provider that is down is a
    /// [`PluginHealth`].
    ///
    /// # Cancel safety
    /// Only reads.
    async fn health_check(&self) -> Result<PluginHealth>;
}

/// How a plugin is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PluginCondition {
    /// It works.
    Healthy,
    /// It works, with faults.
    Degraded,
    /// It does not work.
    Critical,
    /// There is no data: not started, or nothing done so far. Not a fault.
    #[default]
    Unknown,
}

/// The answer of [`Plugin::health_check`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PluginHealth {
    /// In one word.
    pub status: PluginCondition,
    /// What is wrong, without personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When this was found out.
    pub last_check: Timestamp,
    /// Figures of the plugin's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}

impl PluginHealth {
    /// A condition without further words.
    pub fn new(status: PluginCondition, last_check: Timestamp) -> Self {
        Self {
            status,
            message: None,
            last_check,
            detail: None,
        }
    }

    /// Says what is wrong, without personal data.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Adds figures.
    #[must_use]
    pub fn with_detail(mut self, detail: Value) -> Self {
        self.detail = Some(detail);
        self
    }
}
