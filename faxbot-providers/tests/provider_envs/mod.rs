//! What the environments of all cloud providers share: a vendor on a socket, a client that reaches it,
//! and a router between its callbacks and the plugin.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use faxbot_core::{
    Secret,
    http::ReqwestClient,
    plugin::{PluginDeps, PluginId},
    webhook::{
        WebhookHandler, WebhookPath, WebhookRegistry, WebhookReply, WebhookRequest, WebhookRouter,
    },
};
use faxbot_testkit::{
    conformance::{Failure, Tampered},
    fixtures::private,
    server::http::{Callback, Fault, FaultKind, MockHttp, MockVendor},
};
use http::Method;
use serde_json::Value;
use url::Url;

/// The number of the account.
pub(crate) const OURS: &str = private::CALLER;
/// Somebody's number.
pub(crate) const CALLER: &str = private::NUMBER;
/// Longer than any case.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// How late a late answer is: later than a fax or a message of a mock takes.
pub(crate) const LATE: Duration = Duration::from_secs(1);
/// Enough for a callback of a mock.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A vendor, the way to it, and the way back.
pub(crate) struct Link<M: MockVendor> {
    pub(crate) mock: MockHttp<M>,
    /// Where the vendor calls back.
    pub(crate) url: Url,
    router: Arc<WebhookRouter>,
    http: Arc<ReqwestClient>,
    /// Whether callbacks get through to the router.
    open: Arc<AtomicBool>,
    next: AtomicU32,
}

impl<M: MockVendor> Link<M> {
    pub(crate) async fn start(
        plugin: &PluginId,
        path: WebhookPath,
        vendor: impl FnOnce(&Url) -> M,
    ) -> Result<Self, Failure> {
        let router = WebhookRouter::builder("https://fax.example.org".parse()?)
            .with_secret(Secret::new(private::WEBHOOK_SECRET))
            .build()?;
        let url = router.register_webhook(plugin, path)?;
        let (router, open) = (Arc::new(router), Arc::new(AtomicBool::new(true)));
        let mock = MockHttp::start(vendor(&url)).await;
        let shared = (Arc::clone(&router), Arc::clone(&open));
        mock.webhooks().to(move |request| {
            let (router, open) = shared.clone();
            async move {
                match open.load(Ordering::Acquire) {
                    true => router.dispatch(request).await,
                    false => WebhookReply::default(),
                }
            }
        });
        Ok(Self {
            mock,
            url,
            router,
            http: Arc::new(ReqwestClient::new()?),
            open,
            next: AtomicU32::new(0),
        })
    }

    /// Whether callbacks get through by themselves from now on.
    pub(crate) fn open(&self, yes: bool) {
        self.open.store(yes, Ordering::Release);
    }

    pub(crate) fn attach(&self, plugin: &PluginId, handler: Arc<dyn WebhookHandler>) {
        self.router.attach(plugin, handler);
    }

    pub(crate) fn deps(&self, deps: PluginDeps) -> PluginDeps {
        deps.with_http(self.http.clone())
            .with_webhooks(self.router.clone())
    }

    /// A number that was not given out before.
    pub(crate) fn number(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("+493090182{:03}", 100 + number)
    }

    /// Something goes wrong with the next request to send.
    pub(crate) fn fault(&self, path: &str, kind: FaultKind) {
        self.mock.fault(Fault::new(kind).on("POST", path));
    }

    /// The way that a host takes.
    pub(crate) async fn dispatch(&self, request: WebhookRequest) -> WebhookReply {
        self.router.dispatch(request).await
    }

    /// The callbacks that name this id, when one of them is the last.
    pub(crate) async fn callbacks(
        &self,
        id: &str,
        is_last: impl Fn(&Callback) -> bool,
    ) -> Result<Vec<WebhookRequest>, Failure> {
        let all = |mock: &MockHttp<M>| {
            let mut made = mock.webhooks().callbacks();
            made.retain(|callback| contains(&callback.body, id));
            made.iter().any(&is_last).then_some(made)
        };
        let made = self.mock.wait_until(SOON, all).await;
        let made = made.ok_or_else(|| Failure::new("the vendor calls back nothing"))?;
        Ok(made.iter().map(request).collect())
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

fn request(callback: &Callback) -> WebhookRequest {
    WebhookRequest::new(Method::POST, callback.url.path())
        .with_headers(callback.headers.clone())
        .with_body(callback.body.clone())
}

/// A request that was changed.
pub(crate) fn changed(
    request: &WebhookRequest,
    what: &str,
    change: impl FnOnce(&mut WebhookRequest),
) -> Tampered {
    let mut request = request.clone();
    change(&mut request);
    Tampered::new(what, request)
}

/// A request for an address where there is nothing: by the name of another plugin, and by secrets that
/// are not that of the path, which are of account where the path has one.
pub(crate) fn elsewhere(request: &WebhookRequest) -> Vec<Tampered> {
    let at =
        |what: &str, path: String| changed(request, what, |it| it.path = path).with_status(404);
    let mut parts = request.path.trim_start_matches('/').split('/');
    let (plugin, secret) = (parts.nth(1).unwrap_or_default(), parts.next());
    let mut all = vec![at("another plugin", format!("/webhooks/not-{plugin}"))];
    match secret {
        None => all.push(at("a secret", format!("/webhooks/{plugin}/secret"))),
        Some(secret) => {
            let other = secret.chars().rev().collect::<String>();
            all.extend([
                at("no secret", format!("/webhooks/{plugin}")),
                at("an empty secret", format!("/webhooks/{plugin}/")),
                at("another secret", format!("/webhooks/{plugin}/{other}")),
                at(
                    "half a secret",
                    format!("/webhooks/{plugin}/{}", &secret[..16]),
                ),
            ]);
        }
    }
    all.push(changed(request, "another method", |it| it.method = Method::GET).with_status(405));
    all
}

/// A configuration with more keys.
pub(crate) fn with(mut config: Value, more: Value) -> Value {
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
    config
}
