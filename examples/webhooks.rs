//! Serves the webhooks of two vendors, and prints what they tell.
//!
//! ```sh
//! cargo run --example webhooks            # mocks of the vendors call us; ends when each has told everything
//! cargo run --example webhooks -- serve   # real vendors, see below; ends with Ctrl-C
//! ```
//!
//! `serve` listens on `FAXBOT_LISTEN` (default `127.0.0.1:8080`); a proxy in front of it brings TLS.
//! `FAXBOT_PUBLIC_URL` (`https://fax.example.org`) is what the vendors call: our own URLs are never taken
//! from a request. `FAXBOT_WEBHOOK_SECRET` is the root of the secrets in URLs of vendors that sign nothing.
//! What came in is kept in `FAXBOT_INBOX` (default `inbox`). The vendors are those that have keys:
//! Phaxio by `PHAXIO_API_KEY`, `PHAXIO_API_SECRET`, `PHAXIO_CALLBACK_TOKEN`, Sinch SMS by
//! `SINCH_SERVICE_PLAN_ID`, `SINCH_API_TOKEN`, `SINCH_FROM`, `SINCH_WEBHOOK_SECRET`.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use faxbot_core::{
    Error, ErrorKind, Result, Secret,
    clock::TokioClock,
    document::Document,
    event::EventBus,
    http::ReqwestClient,
    message::{MessageContent, MessageKind, MessageState},
    plugin::{FaxPlugin, MessagingPlugin, Plugin, PluginDeps, PluginEvent, SendOptions},
    webhook::{FileDeadLetters, FileDedupeStore, FileInboundStore, WebhookRouter},
};
use faxbot_providers::{axum, phaxio::PhaxioPlugin, sinch_sms::SinchSmsPlugin};
use faxbot_testkit::server::{
    phaxio::MockPhaxio,
    sinch_sms::{IncomingSms, MockSinchSms},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

/// How long the mocks may take to tell everything.
const PATIENCE: Duration = Duration::from_secs(60);
const OUR_NUMBER: &str = "+12025550100";
const THEIR_NUMBER: &str = "+12025550147";
/// The mock signs with it.
const WEBHOOK_SECRET: &str = "a-secret-of-this-example";

#[tokio::main]
async fn main() -> ExitCode {
    let ran = match env::args().nth(1).as_deref() {
        None => demonstrate().await,
        Some("serve") => serve().await,
        Some(_) => {
            println!("webhooks [serve]");
            return ExitCode::from(2);
        }
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The plugins, and the router that brings them their webhooks.
struct Service {
    router: Arc<WebhookRouter>,
    events: EventBus<PluginEvent>,
    fax: Option<Arc<PhaxioPlugin>>,
    sms: Option<Arc<SinchSmsPlugin>>,
}

/// The configurations of the vendors that there are.
#[derive(Default)]
struct Accounts {
    phaxio: Option<Value>,
    sinch_sms: Option<Value>,
}

impl Service {
    /// Starts the plugins of these accounts. What comes in is stored in `inbox`.
    async fn start(public: Url, secret: Secret, accounts: Accounts, inbox: &Path) -> Result<Self> {
        let clock = TokioClock::shared();
        let dead_letters = Arc::new(FileDeadLetters::open(inbox.join("dead-letters")).await?);
        let dedupe = Arc::new(FileDedupeStore::open(inbox.join("handled"), clock).await?);
        let inbound = Arc::new(FileInboundStore::open(inbox.join("received")).await?);
        let router = WebhookRouter::builder(public)
            .with_secret(secret)
            .with_dead_letters(dead_letters.clone())
            .build()?;
        let mut service = Self {
            router: Arc::new(router),
            events: EventBus::new(EventBus::<PluginEvent>::DEFAULT_CAPACITY),
            fax: None,
            sms: None,
        };
        let http = Arc::new(ReqwestClient::new()?);
        let deps = || -> Result<PluginDeps> {
            let mut deps = PluginDeps::current()?
                .with_http(http.clone())
                .with_webhooks(service.router.clone())
                .with_dedupe(dedupe.clone())
                .with_inbound(inbound.clone())
                .with_dead_letters(dead_letters.clone());
            deps.events = service.events.clone();
            Ok(deps)
        };
        // A plugin is attached when it runs: before that it takes nothing.
        if let Some(config) = accounts.phaxio {
            let plugin = Arc::new(PhaxioPlugin::new());
            plugin.start(config, deps()?).await?;
            service.router.attach(&plugin.manifest().id, plugin.clone());
            service.fax = Some(plugin);
        }
        if let Some(config) = accounts.sinch_sms {
            let plugin = Arc::new(SinchSmsPlugin::new());
            plugin.start(config, deps()?).await?;
            service.router.attach(&plugin.manifest().id, plugin.clone());
            service.sms = Some(plugin);
        }
        Ok(service)
    }

    /// Serves until the future is dropped.
    async fn listen(&self, listener: TcpListener) -> Result<()> {
        let app = axum::router(self.router.clone());
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        ::axum::serve(listener, app).await.map_err(io)
    }

    async fn stop(&self) -> Result<()> {
        if let Some(fax) = &self.fax {
            fax.stop().await?;
        }
        if let Some(sms) = &self.sms {
            sms.stop().await?;
        }
        Ok(())
    }
}

/// What an event tells, without numbers and texts.
fn show(event: &PluginEvent) -> String {
    let (detail, proof) = match event {
        PluginEvent::JobStatusChanged {
            status,
            authenticity,
            ..
        } => (format!(" {status}"), *authenticity),
        PluginEvent::FaxReceived(fax) => {
            let pages = fax.pages.map_or("?".to_owned(), |pages| pages.to_string());
            (format!(" {pages} page(s)"), fax.authenticity)
        }
        PluginEvent::MessageReceived(message) => (String::new(), Some(message.authenticity)),
        PluginEvent::MessageStatusChanged(status) => (String::new(), status.authenticity),
        _ => (String::new(), None),
    };
    let proof = proof.map_or(String::new(), |proof| format!(" ({proof:?})"));
    format!("{}{detail}{proof}", event.topic())
}

/// Real vendors, until Ctrl-C.
async fn serve() -> Result<()> {
    let listen = env::var("FAXBOT_LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let public = variable("FAXBOT_PUBLIC_URL")?;
    let public = Url::parse(&public).map_err(|_| wrong("FAXBOT_PUBLIC_URL is no URL"))?;
    let inbox = env::var("FAXBOT_INBOX").unwrap_or_else(|_| "inbox".to_owned());
    let mut accounts = Accounts::default();
    if env::var_os("PHAXIO_API_KEY").is_some() {
        accounts.phaxio = Some(json!({
            "api_key": variable("PHAXIO_API_KEY")?,
            "api_secret": variable("PHAXIO_API_SECRET")?,
            "callback_token": variable("PHAXIO_CALLBACK_TOKEN")?,
        }));
    }
    if env::var_os("SINCH_SERVICE_PLAN_ID").is_some() {
        accounts.sinch_sms = Some(json!({
            "service_plan_id": variable("SINCH_SERVICE_PLAN_ID")?,
            "api_token": variable("SINCH_API_TOKEN")?,
            "from_number": variable("SINCH_FROM")?,
            "webhook_secret": variable("SINCH_WEBHOOK_SECRET")?,
        }));
    }
    let secret = Secret::new(variable("FAXBOT_WEBHOOK_SECRET")?);
    let service = Service::start(public, secret, accounts, &PathBuf::from(inbox)).await?;
    let listener = TcpListener::bind(listen).await.map_err(io)?;
    let mut events = service.events.subscribe();
    tokio::select! {
        ended = service.listen(listener) => ended?,
        () = async {
            // `Err` says how many events were missed, which here changes nothing.
            while let Some(event) = events.recv().await {
                if let Ok(event) = event {
                    println!("{}", show(&event.event));
                }
            }
        } => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    service.stop().await
}

/// Mocks of the vendors, which call us over HTTP as the vendors do.
async fn demonstrate() -> Result<()> {
    let phaxio = MockPhaxio::new()
        .token(Some(MockPhaxio::TOKEN))
        .start()
        .await;
    let sinch = MockSinchSms::new().signs_with(WEBHOOK_SECRET).start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    let public = Url::parse(&format!("http://{address}")).map_err(|_| wrong("no address"))?;
    let accounts = Accounts {
        // Polling is for callbacks that are lost: here none is, so it can be slow.
        phaxio: Some(json!({
            "api_key": MockPhaxio::KEY, "api_secret": MockPhaxio::SECRET,
            "callback_token": MockPhaxio::TOKEN,
            "options": { "base_url": phaxio.api_url(), "poll_min": "10m", "poll_max": "10m" },
        })),
        sinch_sms: Some(json!({
            "service_plan_id": MockSinchSms::PLAN, "api_token": MockSinchSms::API_TOKEN,
            "from_number": OUR_NUMBER, "webhook_secret": WEBHOOK_SECRET,
            "options": { "base_url": sinch.url(), "poll_min": "10m", "poll_max": "10m" },
        })),
    };
    let inbox = tempfile::tempdir().map_err(io)?;
    let secret = Secret::new(WEBHOOK_SECRET);
    let service = Service::start(public.clone(), secret, accounts, inbox.path()).await?;
    // At a vendor this is what is typed into its settings.
    let hook = |plugin: &str| format!("{public}webhooks/{plugin}");
    phaxio.vendor(|vendor| vendor.set_incoming_callback(&hook("phaxio")));
    sinch.vendor(|vendor| vendor.set_callback(hook("faxbot-sinch-sms").parse().ok()));

    let mut events = service.events.subscribe();
    let told = async {
        let (Some(fax), Some(sms)) = (&service.fax, &service.sms) else {
            return Err(wrong("a plugin is missing"));
        };
        let document = Document::bytes(MockPhaxio::blank_pdf(2));
        fax.send_fax(THEIR_NUMBER.parse()?, document, SendOptions::new())
            .await?;
        let content = MessageContent::text(MessageKind::Sms, "your fax is there");
        sms.send_message(THEIR_NUMBER.parse()?, content).await?;
        phaxio.vendor(|vendor| {
            vendor.receive(THEIR_NUMBER, OUR_NUMBER, MockPhaxio::blank_pdf(1));
        });
        sinch.vendor(|vendor| {
            vendor.receive(IncomingSms::text(THEIR_NUMBER, OUR_NUMBER, "thank you"));
        });
        let mut left = vec!["fax sent", "fax received", "sms delivered", "sms received"];
        while !left.is_empty() {
            let Some(event) = events.recv().await else {
                return Err(wrong("the events ended"));
            };
            let Ok(event) = event else { continue };
            println!("{}", show(&event.event));
            let what = match event.event {
                PluginEvent::JobStatusChanged { status, .. } if status.is_final() => "fax sent",
                PluginEvent::FaxReceived(_) => "fax received",
                PluginEvent::MessageReceived(_) => "sms received",
                PluginEvent::MessageStatusChanged(status)
                    if status.status == MessageState::Delivered =>
                {
                    "sms delivered"
                }
                _ => continue,
            };
            left.retain(|word| *word != what);
        }
        Ok(())
    };
    tokio::select! {
        ended = service.listen(listener) => ended?,
        told = tokio::time::timeout(PATIENCE, told) => {
            told.map_err(|_| wrong("the mocks did not tell everything"))??;
        }
    }
    service.stop().await
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|_| wrong(format!("set {name}")))
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, "webhooks", message)
}

fn io(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "webhooks", "the socket or file failed").with_source(error)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    #[tokio::test]
    async fn vendors_that_sign_are_believed_over_a_real_socket() {
        demonstrate().await.unwrap();
    }

    /// Posts a body over a connection of its own, and answers the status.
    async fn post(address: SocketAddr, path: &str, signature: &str, body: &str) -> u16 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\
             X-Phaxio-Signature: {signature}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn a_forged_callback_is_refused_and_tells_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let public = format!("http://{address}").parse().unwrap();
        let phaxio = json!({ "api_key": "key", "api_secret": "secret", "callback_token": "token",
            "options": { "base_url": "http://127.0.0.1:9/" } });
        let accounts = Accounts {
            phaxio: Some(phaxio),
            ..Accounts::default()
        };
        let inbox = tempfile::tempdir().unwrap();
        let service = Service::start(public, Secret::new(WEBHOOK_SECRET), accounts, inbox.path());
        let service = Arc::new(service.await.unwrap());
        let seen = service.events.seq();
        let serving = service.clone();
        tokio::spawn(async move { serving.listen(listener).await });

        let body = "fax=%7B%22id%22%3A1%2C%22status%22%3A%22success%22%7D&event_type=fax_completed";
        let wrong = "64a735ef0c47a0ae671e381c046648f0966deb29";
        for (path, signature, status) in [
            ("/webhooks/phaxio", wrong, 401),
            ("/webhooks/phaxio", "", 401),
            ("/webhooks/nobody", wrong, 404),
            ("/", wrong, 404),
        ] {
            let answer = post(address, path, signature, body).await;
            assert_eq!(answer, status, "{path}");
        }
        assert_eq!(service.events.seq(), seen);
        service.stop().await.unwrap();
    }
}
