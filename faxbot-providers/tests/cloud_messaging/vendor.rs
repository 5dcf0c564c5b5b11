//! A vendor in memory that does as it is told, and the provider over it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result, Timestamp,
    address::Address,
    config::{ConfigErrors, Field, FieldTable, Kind},
    http::{HttpClient, HttpRequest, HttpResponse},
    message::{InboundMessage, MessageContent, MessageKind, MessageState},
    plugin::{InboundQuery, Manifest, Page, PluginCapability},
    webhook::{Authenticity, WebhookPath, WebhookRequest},
};
use faxbot_providers::cloud::{
    ProviderContext, cloud_fields,
    messaging::{
        AcceptedMessage, MessageNotice, MessageReport, MessagingProvider, PreparedMessage, Segments,
    },
};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

pub(crate) const OURS: &str = "+15550100001";
pub(crate) const ID: &str = "acme-sms";

/// What becomes of one request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Taken, and answered.
    Take,
    /// Taken, and the answer is lost.
    TakeAndCut,
    /// Lost on the way; nobody can tell.
    Cut,
    /// Refused.
    Refuse(ErrorKind),
    /// Taken; the vendor's callback comes before its answer.
    Call(MessageState),
    /// First a pause.
    After(Duration, Box<Self>),
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) script: VecDeque<Act>,
    /// Reference, to, from, text.
    pub(crate) submissions: Vec<(String, String, Option<String>, String)>,
    /// By the vendor's id.
    pub(crate) messages: HashMap<String, (String, Option<MessageState>, String)>,
    pub(crate) asked: Vec<(Instant, String)>,
    pub(crate) finds: usize,
    /// A search is never answered.
    pub(crate) finds_hang: bool,
    /// The list shows nothing before so many looks.
    pub(crate) list_lag: usize,
    /// So many reads fail.
    pub(crate) faults: usize,
    /// What came in, oldest first.
    pub(crate) inbox: Vec<InboundMessage>,
    pub(crate) lists: Vec<Timestamp>,
    pub(crate) fetched: usize,
    /// Whether reports name our reference.
    pub(crate) names_reference: bool,
    pub(crate) page: usize,
    /// The list's cursor never ends.
    pub(crate) endless: bool,
    /// Does what the test wants while the request is open.
    pub(crate) hook: Option<
        tokio::sync::mpsc::UnboundedSender<(WebhookRequest, tokio::sync::oneshot::Sender<()>)>,
    >,
}

#[derive(Debug)]
pub(crate) struct Vendor(Mutex<World>);

impl Vendor {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

/// Vendors by the number in the configuration: a provider is made of nothing else.
fn vendors() -> MutexGuard<'static, Vec<Arc<Vendor>>> {
    static VENDORS: OnceLock<Mutex<Vec<Arc<Vendor>>>> = OnceLock::new();
    VENDORS.get_or_init(Mutex::default).lock().unwrap()
}

pub(crate) fn open() -> (usize, Arc<Vendor>) {
    faxbot_testkit::logs::to_directory();
    let vendor = Arc::new(Vendor(Mutex::new(World {
        names_reference: true,
        page: 100,
        ..World::default()
    })));
    let mut vendors = vendors();
    vendors.push(Arc::clone(&vendor));
    (vendors.len() - 1, vendor)
}

#[derive(Debug)]
pub(crate) struct Acme {
    vendor: Arc<Vendor>,
    signed: bool,
}

fn lost() -> Error {
    Error::new(ErrorKind::OutcomeUnknown, "submit", "no answer")
}

impl Acme {
    fn read(&self) -> Result<()> {
        let mut world = self.vendor.world();
        if world.faults > 0 {
            world.faults -= 1;
            let error = Error::new(ErrorKind::ServerBusy, "read", "busy");
            return Err(error.with_effect(Effect::NoEffect));
        }
        Ok(())
    }

    fn take(&self, reference: &str) -> String {
        let mut world = self.vendor.world();
        let id = format!("acme-{}", world.messages.len() + 1);
        let row = (
            reference.to_owned(),
            Some(MessageState::Queued),
            "Queued".to_owned(),
        );
        world.messages.insert(id.clone(), row);
        id
    }

    fn report(&self, id: &str) -> Option<MessageReport> {
        let world = self.vendor.world();
        let (reference, state, word) = world.messages.get(id)?;
        let mut report = MessageReport::new(id, *state, word.clone());
        report.reference = world.names_reference.then(|| reference.clone());
        report.kind = Some(MessageKind::Sms);
        report.raw = json!({"word": word});
        Some(report)
    }

    async fn act(&self, act: Act, reference: &str) -> Result<AcceptedMessage> {
        match act {
            Act::Take => Ok(AcceptedMessage::new(self.take(reference))),
            Act::TakeAndCut => {
                self.take(reference);
                Err(lost())
            }
            Act::Cut => Err(lost()),
            Act::Refuse(kind) => Err(Error::new(kind, "submit", "refused")
                .with_effect(Effect::NoEffect)
                .with_native(Some("E7".into()), Some("number +15550109999 is bad".into()))),
            Act::Call(state) => {
                let id = self.take(reference);
                let request = {
                    let mut world = self.vendor.world();
                    let row = world.messages.get_mut(&id).unwrap();
                    (row.1, row.2) = (Some(state), format!("{state:?}"));
                    let names = world.names_reference;
                    let hook = world.hook.clone().unwrap();
                    (
                        hook,
                        super::status_call(&id, names.then_some(reference), state),
                    )
                };
                let (done, handled) = tokio::sync::oneshot::channel();
                request.0.send((request.1, done)).unwrap();
                handled.await.unwrap();
                Ok(AcceptedMessage::new(id))
            }
            Act::After(pause, act) => {
                tokio::time::sleep(pause).await;
                Box::pin(self.act(*act, reference)).await
            }
        }
    }
}

#[async_trait]
impl MessagingProvider for Acme {
    const FIELDS: FieldTable = cloud_fields!(
        messaging,
        ["acme-sms"],
        [
            Field::new(
                "options.vendor",
                Kind::Integer {
                    min: 0,
                    max: 1 << 20
                },
                "which vendor of this process"
            )
            .required(),
            Field::new("options.signed", Kind::Bool, "whether callbacks are signed")
                .default("true"),
        ]
    );
    const WEBHOOK_PATH: WebhookPath = WebhookPath::Plain;

    fn manifest() -> Manifest {
        Manifest::new(
            ID.parse().unwrap(),
            "Acme",
            &["messaging"],
            &[
                PluginCapability::SEND_MESSAGE,
                PluginCapability::GET_MESSAGE_STATUS,
                PluginCapability::LIST_CONVERSATIONS,
                PluginCapability::SEND_REPLY,
                PluginCapability::RECEIVE_WEBHOOK,
            ],
        )
    }

    fn validate(config: &Value) -> Result<(), ConfigErrors> {
        Self::FIELDS.validate(config)
    }

    fn build(config: &Value, _context: ProviderContext) -> Result<Self> {
        let config = Self::FIELDS.examine(config).value;
        let vendor = config["options"]["vendor"].as_u64().unwrap();
        Ok(Self {
            vendor: Arc::clone(&vendors()[usize::try_from(vendor).unwrap()]),
            signed: config["options"]["signed"].as_bool().unwrap(),
        })
    }

    fn our_number(&self) -> Private {
        Private::new(OURS.to_owned())
    }

    fn prepare(&self, to: &Address, content: &MessageContent) -> Result<PreparedMessage> {
        let refused = |why: &str| Err(Error::new(ErrorKind::InvalidRequest, "prepare", why));
        let Address::PhoneNumber(to) = to else {
            return refused("not a number");
        };
        if !content.media.is_empty() {
            return refused("no media");
        }
        let segments = Segments::of(&content.text).parts;
        let to = Private::new(to.digits().to_owned());
        Ok(PreparedMessage::new(to, content.clone(), segments))
    }

    async fn submit(&self, reference: &str, message: &PreparedMessage) -> Result<AcceptedMessage> {
        let act = {
            let mut world = self.vendor.world();
            world.submissions.push((
                reference.to_owned(),
                message.to.expose().clone(),
                message.from.as_ref().map(|from| from.expose().clone()),
                message.content.text.clone(),
            ));
            world.script.pop_front().unwrap_or(Act::Take)
        };
        self.act(act, reference).await
    }

    async fn status(&self, id: &str) -> Result<MessageReport> {
        self.vendor
            .world()
            .asked
            .push((Instant::now(), id.to_owned()));
        self.read()?;
        self.report(id)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "status", "none"))
    }

    async fn find(&self, reference: &str, _since: Timestamp) -> Result<Option<AcceptedMessage>> {
        self.vendor.world().finds += 1;
        if self.vendor.world().finds_hang {
            std::future::pending::<()>().await;
        }
        self.read()?;
        let mut world = self.vendor.world();
        if world.list_lag > 0 {
            world.list_lag -= 1;
            return Ok(None);
        }
        let found = world.messages.iter().find(|(_, row)| row.0 == reference);
        Ok(found.map(|(id, _)| AcceptedMessage::new(id)))
    }

    async fn list_inbound(
        &self,
        since: Timestamp,
        query: &InboundQuery,
    ) -> Result<Page<InboundMessage>> {
        self.vendor.world().lists.push(since);
        self.read()?;
        let world = self.vendor.world();
        let mut all: Vec<_> = world
            .inbox
            .iter()
            .filter(|m| m.received_at >= since)
            .cloned()
            .collect();
        all.reverse();
        let start: usize = query.cursor.as_deref().map_or(0, |at| at.parse().unwrap());
        let end = all.len().min(start + world.page);
        let items = all.get(start..end).unwrap_or_default().to_vec();
        Ok(if world.endless {
            Page::more(items, "0")
        } else if end < all.len() {
            Page::more(items, end.to_string())
        } else {
            Page::last(items)
        })
    }

    async fn inbound(&self, id: &str) -> Result<InboundMessage> {
        self.vendor.world().fetched += 1;
        self.read()?;
        let world = self.vendor.world();
        let found = world.inbox.iter().find(|message| message.id == id).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "inbound", "none"))
    }

    async fn verify(
        &self,
        request: &WebhookRequest,
        url: &Url,
        _now: Timestamp,
    ) -> Option<Authenticity> {
        assert_eq!(url.as_str(), super::WEBHOOK_URL);
        if !self.signed {
            return Some(Authenticity::SecretUrl);
        }
        (request.header("x-sign")? == "right").then_some(Authenticity::Signed)
    }

    async fn read_webhook(
        &self,
        request: &WebhookRequest,
        authenticity: Authenticity,
    ) -> Result<Vec<MessageNotice>> {
        let garbage = || Error::new(ErrorKind::Protocol, "read_webhook", "not json");
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| garbage())?;
        if let Some(id) = body["status_of"].as_str() {
            let state = serde_json::from_value(body["state"].clone()).ok();
            let mut report = MessageReport::new(id, state, body["word"].as_str().unwrap());
            report.reference = body["reference"].as_str().map(str::to_owned);
            report.raw = body.clone();
            return Ok(vec![MessageNotice::status(report)]);
        }
        if body["from"].is_null() {
            return Ok(vec![MessageNotice::Ignored]);
        }
        let mut message = super::inbound(
            body["id"].as_str().unwrap(),
            body["from"].as_str().unwrap(),
            body["text"].as_str().unwrap(),
            body["at"].as_str().unwrap().parse().unwrap(),
        );
        message.authenticity = authenticity;
        Ok(vec![MessageNotice::received(message)])
    }
}

/// A client that nobody uses: the vendor is in memory.
#[derive(Debug)]
pub(crate) struct NoHttp;

#[async_trait]
impl HttpClient for NoHttp {
    async fn execute(&self, _request: HttpRequest) -> Result<HttpResponse> {
        panic!("the scripted vendor has no http");
    }
}
