//! A fax: what was ordered, the states that it goes through, and what is told of it.

use std::fmt;

use bytes::Bytes;
use faxbot_core::Timestamp;
use serde_json::{Map, Value, json};
use url::Url;

use super::{order::Order, script::FaxPace};
use crate::server::{fax_end::FaxEnd, sinch::with_seconds};

/// Cents for a page; a third digit behind the point, as one of the vendor's samples has it.
const PRICE: f64 = 0.07;

/// Which samples of the vendor the JSON types are from; they differ from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FaxDialect {
    /// Those of sinch-sdk-node: `price.amount` is a string, `hasFile` too, lists have `page`, a callback
    /// has `file` and `fileType`.
    #[default]
    Node,
    /// Those of sinch-sdk-dotnet: `price.amount` is a number, `hasFile` a boolean, lists have
    /// `pageNumber`, a callback of a sent fax has `files`.
    DotNet,
}

/// Why a fax failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    kind: String,
    pub(super) code: u32,
    message: String,
}

impl Failure {
    pub(super) fn new(kind: &str, code: u32, message: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            code,
            message: message.to_owned(),
        }
    }
}

/// A state from a time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: Timestamp,
    pub(super) status: String,
    /// The document was read: its pages are known, and there is a file.
    converted: bool,
    sent: u32,
    retries: u32,
    failure: Option<Failure>,
}

impl Step {
    pub(super) fn is_final(&self) -> bool {
        matches!(self.status.as_str(), "COMPLETED" | "FAILURE")
    }
}

/// Where a fax came from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Outbound,
    Inbound,
}

impl Direction {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Outbound => "OUTBOUND",
            Self::Inbound => "INBOUND",
        }
    }
}

/// One fax.
pub(super) struct Fax {
    pub(super) id: String,
    pub(super) direction: Direction,
    pub(super) from: Option<String>,
    pub(super) to: String,
    pub(super) created: Timestamp,
    pub(super) service: String,
    project: String,
    /// The fields of the request that are told back.
    pub(super) settings: Map<String, Value>,
    pub(super) labels: Map<String, Value>,
    /// Where the vendor tells of its end, with the user and password in it.
    pub(super) callback: Option<Url>,
    pub(super) callback_is_json: bool,
    pub(super) pages: u32,
    pub(super) max_retries: u32,
    steps: Vec<Step>,
    /// The file as it is told; `None` once it was deleted.
    pub(super) pdf: Option<Bytes>,
    pub(super) documents: Vec<Bytes>,
    pub(super) urls: Vec<String>,
}

impl Fax {
    /// A fax to one number of an order.
    pub(super) fn outbound(
        id: String,
        now: Timestamp,
        (project, to, order): (&str, &str, &Order),
        (pace, end): (FaxPace, &FaxEnd),
    ) -> Self {
        let mut fax = Self {
            id,
            direction: Direction::Outbound,
            from: order.from.clone(),
            to: to.to_owned(),
            created: now,
            service: order.service.clone(),
            project: project.to_owned(),
            settings: order.settings.clone(),
            labels: order.labels.clone(),
            callback: order.callback.clone(),
            callback_is_json: order.callback_is_json,
            pages: order.pages(),
            max_retries: order.max_retries,
            steps: Vec::new(),
            pdf: Some(order.pdf()),
            documents: order
                .documents
                .iter()
                .map(|doc| doc.bytes.clone())
                .collect(),
            urls: order.urls.clone(),
        };
        fax.goes(now, pace, end, order.damage());
        fax
    }

    /// A fax that came in.
    pub(super) fn inbound(
        id: String,
        now: Timestamp,
        (project, service): (&str, &str),
        (from, to): (&str, &str),
        (pdf, pages): (Bytes, u32),
    ) -> Self {
        let mut fax = Self {
            id,
            direction: Direction::Inbound,
            from: Some(from.to_owned()),
            to: to.to_owned(),
            created: now,
            service: service.to_owned(),
            project: project.to_owned(),
            settings: Map::new(),
            labels: Map::new(),
            callback: None,
            callback_is_json: false,
            pages,
            max_retries: 0,
            steps: Vec::new(),
            pdf: Some(pdf),
            documents: Vec::new(),
            urls: Vec::new(),
        };
        fax.step(now, "COMPLETED", true, 0);
        fax
    }

    fn step(&mut self, at: Timestamp, status: &str, converted: bool, sent: u32) {
        let retries = self.steps.last().map_or(0, |last| last.retries);
        self.steps.push(Step {
            at,
            status: status.to_owned(),
            converted,
            sent,
            retries,
            failure: None,
        });
    }

    fn fails(&mut self, at: Timestamp, failure: Failure) {
        let last = self.steps.last();
        let (converted, sent) = last.map_or((false, 0), |last| (last.converted, last.sent));
        self.step(at, "FAILURE", converted, sent);
        if let Some(last) = self.steps.last_mut() {
            last.failure = Some(failure);
        }
    }

    fn retried(&mut self, retries: u32) {
        if let Some(last) = self.steps.last_mut() {
            last.retries = retries;
        }
    }

    /// Everything from the start on. The vendor dials again by itself, up to `maxRetries` times.
    fn goes(&mut self, now: Timestamp, pace: FaxPace, end: &FaxEnd, damage: Option<Failure>) {
        self.step(now, "QUEUED", false, 0);
        let mut at = now + pace.queued;
        self.step(at, "IN_PROGRESS", false, 0);
        at = at + pace.converting;
        if let Some(failure) = damage.or_else(|| script_damage(end)) {
            self.fails(at, failure);
            return;
        }
        self.step(at, "IN_PROGRESS", true, 0);
        if *end == FaxEnd::Endless {
            return;
        }
        if let FaxEnd::Word(word) = end {
            self.step(at + pace.dialling, word, true, 0);
            return;
        }
        let (pages, failure) = line_failure(end, self.pages);
        for dial in 0..=self.max_retries {
            at = at + pace.dialling;
            self.step(at, "IN_PROGRESS", true, 0);
            self.retried(dial);
            for page in 1..=pages {
                at = at + pace.page;
                self.step(at, "IN_PROGRESS", true, page);
            }
            if failure.is_none() {
                break;
            }
        }
        match failure {
            Some(failure) => self.fails(at, failure),
            None => self.step(at, "COMPLETED", true, pages),
        }
    }

    pub(super) fn state(&self, now: Timestamp) -> Option<&Step> {
        self.steps.iter().rev().find(|step| step.at <= now)
    }

    /// When it is over; `None` for never.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        Some(self.steps.last().filter(|step| step.is_final())?.at)
    }

    /// Ends it now, whatever was to come; nothing when it is over.
    pub(super) fn settle(&mut self, now: Timestamp, end: &FaxEnd) {
        if self.state(now).is_some_and(Step::is_final) {
            return;
        }
        self.steps.retain(|step| step.at <= now);
        let damage = script_damage(end);
        let (pages, failure) = line_failure(end, self.pages);
        match (damage.or(failure), end) {
            (Some(failure), _) => {
                self.step(now, "IN_PROGRESS", true, pages);
                self.fails(now, failure);
            }
            (None, FaxEnd::Endless) => {}
            (None, FaxEnd::Word(word)) => self.step(now, word, true, 0),
            (None, _) => self.step(now, "COMPLETED", true, pages),
        }
    }

    pub(super) fn has_file(&self, now: Timestamp) -> bool {
        self.pdf.is_some() && self.state(now).is_some_and(|step| step.converted)
    }

    /// As it is told.
    pub(super) fn json(&self, now: Timestamp, dialect: FaxDialect) -> Value {
        let mut map = self.settings.clone();
        let mut put = |name: &str, value: Value| {
            map.insert(name.to_owned(), value);
        };
        put("id", json!(self.id));
        put("direction", json!(self.direction.word()));
        put("to", json!(self.to));
        put("createTime", json!(with_seconds(self.created)));
        put("projectId", json!(self.project));
        put("serviceId", json!(self.service));
        if let Some(from) = &self.from {
            put("from", json!(from));
        }
        if !self.labels.is_empty() {
            put("labels", Value::Object(self.labels.clone()));
        }
        if !self.urls.is_empty() {
            put("contentUrl", json!(self.urls));
        }
        if let Some(callback) = &self.callback {
            put("callbackUrl", json!(masked(callback)));
        }
        let has_file = self.has_file(now);
        put(
            "hasFile",
            match dialect {
                FaxDialect::Node => json!(has_file.to_string()),
                FaxDialect::DotNet => json!(has_file),
            },
        );
        let Some(step) = self.state(now) else {
            return Value::Object(map);
        };
        put("status", json!(step.status));
        put(
            "numberOfPages",
            json!(if step.converted { self.pages } else { 0 }),
        );
        if step.is_final() {
            put("completedTime", json!(with_seconds(step.at)));
            let billed = match self.direction {
                Direction::Outbound => step.sent,
                Direction::Inbound => self.pages,
            };
            let amount = PRICE * f64::from(billed);
            let amount = match dialect {
                FaxDialect::Node => json!(format!("{amount:.2}")),
                FaxDialect::DotNet => json!((amount * 100.0).round() / 100.0),
            };
            put("price", json!({"currencyCode": "USD", "amount": amount}));
        }
        if self.direction == Direction::Outbound {
            put("maxRetries", json!(self.max_retries));
            put("retryCount", json!(step.retries));
            put("pagesSentSuccessfully", json!(step.sent));
        }
        if let Some(failure) = &step.failure {
            put("errorType", json!(failure.kind));
            put("errorCode", json!(failure.code));
            put("errorMessage", json!(failure.message));
        }
        Value::Object(map)
    }
}

/// User and password in an address are not told back.
fn masked(url: &Url) -> String {
    let mut url = url.clone();
    if !url.username().is_empty() || url.password().is_some() {
        let _has_host = url.set_username("****");
        let _has_host = url.set_password(Some("****"));
    }
    url.into()
}

/// What fails before anything is dialled.
fn script_damage(end: &FaxEnd) -> Option<Failure> {
    match end {
        FaxEnd::BadDocument => {
            let text = "Error converting or merging the documents";
            Some(Failure::new("DOCUMENT_CONVERSION_ERROR", 4, text))
        }
        FaxEnd::NoFunds => Some(Failure::new("FAX_ERROR", 46, "Insufficient funds")),
        _ => None,
    }
}

/// The pages that arrive, and what fails then (sinch-sdk-node `packages/fax/src/models/v3/errors`).
fn line_failure(end: &FaxEnd, pages: u32) -> (u32, Option<Failure>) {
    let call = |code, text| (0, Some(Failure::new("CALL_ERROR", code, text)));
    let fax = |code, text| (0, Some(Failure::new("FAX_ERROR", code, text)));
    match end {
        FaxEnd::Busy => call(17, "The line is busy"),
        FaxEnd::NoAnswer => call(16, "The call was not answered in time"),
        FaxEnd::Congestion => call(15, "The network is congested"),
        FaxEnd::InvalidNumber => call(34, "The number is not operational"),
        FaxEnd::Rejected => fax(133, "The phone number is not permitted"),
        FaxEnd::NotAFax => fax(132, "No fax tone was heard"),
        FaxEnd::FailsAfter(sent) => {
            let text = "No response after a page was sent";
            ((*sent).min(pages), Some(Failure::new("FAX_ERROR", 8, text)))
        }
        FaxEnd::Native(kind, code) => (0, Some(Failure::new(kind, *code, "Something else"))),
        _ => (pages, None),
    }
}

impl fmt::Debug for Fax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fax")
            .field("id", &self.id)
            .field("direction", &self.direction)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}
