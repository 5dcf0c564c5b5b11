//! What every start of a cloud plugin takes from its dependencies.

use std::sync::{Arc, Mutex, PoisonError};

use faxbot_core::{
    Error, ErrorKind, Private, Result,
    http::HttpClient,
    plugin::{Manifest, PluginCapability, PluginDeps},
    webhook::{
        DeadLetterStore, DedupeStore, InboundStore, MemoryDeadLetters, MemoryDedupeStore,
        MemoryInboundStore, WebhookPath,
    },
};
use url::Url;

use super::ProviderContext;

/// The stores of a plugin: those of the host, or its own in memory.
#[derive(Debug, Clone)]
pub(super) struct Stores {
    pub(super) dedupe: Arc<dyn DedupeStore>,
    pub(super) inbound: Arc<dyn InboundStore>,
    pub(super) dead_letters: Arc<dyn DeadLetterStore>,
}

/// A plugin's own stores. They outlive a stop: what was received stays readable, and what was handled
/// is not handled again.
#[derive(Debug, Default)]
pub(super) struct OwnStores(Mutex<Option<Stores>>);

impl OwnStores {
    /// Those that the host gives, and the plugin's own for the rest.
    pub(super) fn or_of(&self, deps: &PluginDeps) -> Stores {
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = own.get_or_insert_with(|| Stores {
            dedupe: Arc::new(MemoryDedupeStore::new(Arc::clone(&deps.clock))),
            inbound: Arc::new(MemoryInboundStore::new()),
            dead_letters: Arc::new(MemoryDeadLetters::new()),
        });
        let own = own.clone();
        Stores {
            dedupe: deps.dedupe.clone().unwrap_or(own.dedupe),
            inbound: deps.inbound.clone().unwrap_or(own.inbound),
            dead_letters: deps.dead_letters.clone().unwrap_or(own.dead_letters),
        }
    }
}

/// What a provider is built with: the host's HTTP client, and the public URL of the webhooks, which is
/// the configured one, else the host's.
///
/// The plugin is registered at the host in any case: a host serves no plugin that did not register,
/// and learns here whether the path has a secret.
///
/// # Errors
/// `InvalidRequest` without an HTTP client; those of the host when it gives no URL and none is
/// configured.
pub(super) fn context(
    manifest: &Manifest,
    configured: Option<&Private<Url>>,
    path: WebhookPath,
    deps: &PluginDeps,
) -> Result<ProviderContext> {
    let http = http_client(deps)?;
    let (clock, random) = (Arc::clone(&deps.clock), Arc::clone(&deps.random));
    let mut context = ProviderContext::new(http, clock, random);
    if manifest.can(&PluginCapability::HANDLE_WEBHOOK) {
        let host = deps.webhooks.as_ref();
        let registered = host.map(|host| host.register_webhook(&manifest.id, path));
        context.webhook_url = match configured {
            Some(url) => Some(url.expose().clone()),
            None => registered
                .transpose()
                .map_err(|error| error.with_operation("start"))?,
        };
    }
    Ok(context)
}

fn http_client(deps: &PluginDeps) -> Result<Arc<dyn HttpClient>> {
    deps.http.clone().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidRequest,
            "start",
            "this plugin needs an http client: give one with PluginDeps::with_http, such as faxbot_core::http::ReqwestClient",
        )
    })
}
