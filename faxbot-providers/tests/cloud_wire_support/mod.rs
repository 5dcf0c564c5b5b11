//! A host with everything real: sockets, axum, stores of files. Its clock is fast, and its client
//! notes where each request goes.
#![allow(dead_code, reason = "each user needs a part of it")]

use std::{
    collections::BTreeMap,
    fmt, fs,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use faxbot_core::{
    Result, Secret, Timestamp,
    clock::{Clock, SharedClock},
    event::{EventBus, EventStream},
    http::{HttpClient, HttpRequest, HttpResponse, ReqwestClient},
    plugin::{Plugin, PluginDeps, PluginEvent, PluginId},
    random::SystemRandom,
    task::TaskSet,
    webhook::{
        FileDeadLetters, FileDedupeStore, FileInboundStore, WebhookHandler, WebhookPath,
        WebhookRegistry, WebhookRouter,
    },
};
use http::{HeaderMap, HeaderName, Method};
use serde_json::Value;
use tokio::net::TcpListener;
use url::Url;

/// A clock whose seconds are so many times shorter, for waits that a test would not see the end of.
/// Its wall time is real.
#[derive(Debug)]
pub(crate) struct FastClock {
    began: Instant,
    speed: u32,
}

impl FastClock {
    pub(crate) fn shared(speed: u32) -> SharedClock {
        let began = Instant::now();
        Arc::new(Self { began, speed })
    }
}

impl Clock for FastClock {
    fn now(&self) -> Instant {
        self.began + self.began.elapsed() * self.speed
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        let wait = deadline.saturating_duration_since(self.now()) / self.speed;
        Box::pin(tokio::time::sleep(wait))
    }
}

/// A request as it was sent.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
}

/// The real client, and a note of each request.
pub(crate) struct Recorder {
    inner: ReqwestClient,
    /// The longest time for an answer, in milliseconds.
    patience: AtomicU64,
    sent: Mutex<Vec<Sent>>,
    /// The `Debug` forms of requests and answers.
    shown: Mutex<String>,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: ReqwestClient::new().unwrap(),
            patience: AtomicU64::new(10_000),
            sent: Mutex::default(),
            shown: Mutex::default(),
        })
    }

    /// Waits for an answer at most so long from now on.
    pub(crate) fn patience(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.patience.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// What was sent since the last call.
    pub(crate) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }

    /// The `Debug` forms since the last call.
    pub(crate) fn shown(&self) -> String {
        std::mem::take(&mut self.shown.lock().unwrap())
    }
}

#[async_trait]
impl HttpClient for Recorder {
    async fn execute(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        let shown = format!("{request:?} {request:#?}\n");
        self.shown.lock().unwrap().push_str(&shown);
        self.sent.lock().unwrap().push(Sent {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
        });
        let patience = Duration::from_millis(self.patience.load(Ordering::Relaxed));
        request.timeout = request.timeout.min(patience);
        let result = self.inner.execute(request).await;
        let shown = format!("{result:?} {result:#?}\n");
        self.shown.lock().unwrap().push_str(&shown);
        result
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorder").field(&self.inner).finish()
    }
}

/// A server that answers nobody: it counts who comes.
pub(crate) struct Trap {
    pub(crate) address: SocketAddr,
    came: Arc<AtomicUsize>,
}

impl Trap {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&came);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, came }
    }

    pub(crate) fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }
}

/// The host of plugins.
pub(crate) struct Host {
    pub(crate) router: Arc<WebhookRouter>,
    pub(crate) url: Url,
    pub(crate) address: SocketAddr,
    pub(crate) http: Arc<Recorder>,
    pub(crate) clock: SharedClock,
    pub(crate) dedupe: Arc<FileDedupeStore>,
    pub(crate) inbound: Arc<FileInboundStore>,
    pub(crate) letters: Arc<FileDeadLetters>,
    pub(crate) events: EventBus<PluginEvent>,
    pub(crate) stream: EventStream<PluginEvent>,
    stranger: ReqwestClient,
    folder: PathBuf,
}

impl Host {
    /// Its stores are in `folder`, and its webhooks are served on a free port.
    pub(crate) async fn start(folder: &Path, secret: &str, speed: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url: Url = format!("http://{address}/").parse().unwrap();
        let clock = FastClock::shared(speed);
        let real = FastClock::shared(1);
        let letters = FileDeadLetters::open(folder.join("letters")).await.unwrap();
        let letters = Arc::new(letters);
        let dedupe = FileDedupeStore::open(folder.join("handled"), Arc::clone(&real))
            .await
            .unwrap();
        let inbound = FileInboundStore::open(folder.join("inbound"))
            .await
            .unwrap();
        let router = WebhookRouter::builder(url.clone())
            .with_secret(Secret::new(secret))
            .with_dead_letters(letters.clone())
            .with_clock(real)
            .build()
            .unwrap();
        let router = Arc::new(router);
        let app = faxbot_providers::axum::router(Arc::clone(&router))
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let events = EventBus::new(EventBus::<PluginEvent>::DEFAULT_CAPACITY);
        let stream = events.subscribe();
        Self {
            router,
            url,
            address,
            http: Recorder::new(),
            clock,
            dedupe: Arc::new(dedupe),
            inbound: Arc::new(inbound),
            letters,
            events,
            stream,
            stranger: ReqwestClient::new().unwrap(),
            folder: folder.to_owned(),
        }
    }

    pub(crate) fn deps(&self) -> PluginDeps {
        PluginDeps::new(
            Arc::clone(&self.clock),
            TaskSet::current("start").unwrap(),
            SystemRandom::shared(),
            self.events.clone(),
        )
        .with_http(self.http.clone())
        .with_webhooks(self.router.clone())
        .with_dedupe(self.dedupe.clone())
        .with_inbound(self.inbound.clone())
        .with_dead_letters(self.letters.clone())
    }

    /// Starts a plugin and serves its webhooks.
    pub(crate) async fn run<P>(&self, plugin: P, config: Value) -> Arc<P>
    where
        P: Plugin + WebhookHandler + 'static,
    {
        let plugin = Arc::new(plugin);
        plugin.start(config, self.deps()).await.unwrap();
        self.router.attach(&plugin.manifest().id, plugin.clone());
        plugin
    }

    /// Where a vendor calls a plugin.
    pub(crate) fn webhook(&self, id: &PluginId, path: WebhookPath) -> Url {
        self.router.register_webhook(id, path).unwrap()
    }

    /// The events since the last call.
    pub(crate) fn told(&mut self) -> Vec<PluginEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.stream.try_recv() {
            events.push(event.unwrap().event);
        }
        events
    }

    /// Fetches from the host's server, as anybody may.
    pub(crate) async fn get(&self, url: &Url) -> HttpResponse {
        let request = HttpRequest::get(url.clone());
        self.stranger.execute(request).await.unwrap()
    }

    /// Sends a webhook over a socket, as anybody may.
    pub(crate) async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> HttpResponse {
        self.try_post(url, headers, body).await.unwrap()
    }

    /// The same, where the server may hang up.
    pub(crate) async fn try_post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> Result<HttpResponse> {
        let mut request = HttpRequest::post(url.clone(), body);
        request.headers = headers;
        self.stranger.execute(request).await
    }

    /// Every file of the stores with what is in it.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.folder, &mut files);
        files
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            let bytes = fs::read(&path).unwrap();
            files.insert(path, bytes);
        }
    }
}

/// Headers of a webhook.
pub(crate) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    headers
}

/// Waits until something is so, for at most half a minute.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(look: impl Fn() -> F) -> T {
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), search)
        .await
        .expect("it did not come")
}
