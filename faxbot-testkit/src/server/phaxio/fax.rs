//! One fax, and how the vendor shows it.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use faxbot_core::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{document::Document, document::blank_pdf, order::Order};
use crate::server::fax_end::FaxEnd;

/// Cents for one page.
const PRICE: u32 = 7;

/// Why a fax failed, in the vendor's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: String,
    pub(super) id: Option<u32>,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(kind: &str, id: u32, message: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            id: Some(id),
            message: message.to_owned(),
        }
    }

    /// Of one dial; `None` for an end that is none, or a success. The texts are those of
    /// sinch-sdk-node@affb35e `fax-error.ts` and `call-error.ts`, whose codes are Phaxio's.
    pub(super) fn of(end: &FaxEnd) -> Option<Self> {
        let (kind, id, message) = match end {
            FaxEnd::Success | FaxEnd::Endless | FaxEnd::Word(_) => return None,
            FaxEnd::Busy => ("lineError", 17, "Busy"),
            FaxEnd::NoAnswer => ("lineError", 16, "Ring timeout"),
            FaxEnd::Congestion => ("lineError", 15, "Congestion"),
            FaxEnd::InvalidNumber => ("lineError", 34, "Phone number not operational"),
            FaxEnd::Rejected => ("faxError", 133, "Phone number is not permitted"),
            FaxEnd::NotAFax => ("faxError", 132, "No fax tone was detected"),
            FaxEnd::FailsAfter(0) => ("faxError", 13, "Timed out waiting for the first message"),
            FaxEnd::FailsAfter(_) => ("faxError", 8, "No response after sending a page"),
            FaxEnd::BadDocument => ("documentConversionError", 4, "Could not convert document"),
            FaxEnd::NoFunds => ("fatalError", 46, "Insufficient funds"),
            FaxEnd::Native(kind, id) => (kind.as_str(), *id, "Something else"),
        };
        Some(Self::new(kind, id, message))
    }
}

/// One number of a fax that is sent.
#[derive(Debug, Clone)]
pub(super) struct Recipient {
    pub(super) number: String,
    /// Nothing while the fax is queued.
    pub(super) status: Option<&'static str>,
    pub(super) retry_count: u32,
    pub(super) completed: Option<Timestamp>,
    pub(super) failure: Option<Failure>,
    pub(super) end: FaxEnd,
}

#[derive(Debug, Clone)]
pub(super) struct Fax {
    pub(super) id: u64,
    pub(super) sent: bool,
    pub(super) is_test: bool,
    pub(super) status: String,
    pub(super) created: Timestamp,
    pub(super) completed: Option<Timestamp>,
    /// Shown once the document is converted.
    pub(super) shown_pages: u32,
    pub(super) pages: u32,
    pub(super) cost: u32,
    /// What was ordered; for a fax that came in only the file.
    pub(super) order: Order,
    pub(super) recipients: Vec<Recipient>,
    pub(super) from_number: Option<String>,
    pub(super) to_number: Option<String>,
    pub(super) failure: Option<Failure>,
    /// What can be fetched.
    pub(super) pdf: Option<Bytes>,
    /// Steps of an earlier life are void.
    pub(super) run: u32,
    /// In no list before.
    pub(super) listed: Instant,
    /// The fax that this sends again.
    pub(super) resent: Option<u64>,
}

/// When, and by whom, a fax comes to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Birth {
    pub(super) id: u64,
    pub(super) is_test: bool,
    pub(super) now: Instant,
    pub(super) wall: Timestamp,
}

impl Fax {
    /// One that is to be sent.
    pub(super) fn sent(birth: Birth, order: Order, ends: Vec<FaxEnd>, list_lag: Duration) -> Self {
        let files = order.documents.iter().map(Document::pages);
        // An address counts as one page: it is never asked for.
        let urls = u32::try_from(order.urls.len()).unwrap_or(u32::MAX);
        let pages = files.sum::<u32>().saturating_add(urls);
        let recipients = order.to.iter().zip(ends);
        let recipients: Vec<_> = recipients
            .map(|(number, end)| Recipient {
                number: number.clone(),
                status: None,
                retry_count: 0,
                completed: None,
                failure: None,
                end,
            })
            .collect();
        let status = if order.batch_delay.is_some() {
            "pendingbatch"
        } else {
            "queued"
        };
        let pdf = match order.documents.as_slice() {
            [one] if order.urls.is_empty() => one.pdf(),
            _ => None,
        };
        Self {
            pdf: Some(pdf.unwrap_or_else(|| blank_pdf(pages))),
            sent: true,
            status: status.to_owned(),
            pages,
            recipients,
            listed: birth.now + list_lag,
            ..Self::blank(birth, order)
        }
    }

    /// One that came in.
    pub(super) fn received(birth: Birth, from: &str, to: &str, pdf: Bytes) -> Self {
        let pages = Document::new("", pdf.clone()).pages();
        Self {
            status: "success".to_owned(),
            completed: Some(birth.wall),
            shown_pages: pages,
            pages,
            cost: PRICE * pages,
            from_number: Some(from.to_owned()),
            to_number: Some(to.to_owned()),
            pdf: Some(pdf),
            ..Self::blank(birth, Order::default())
        }
    }

    fn blank(birth: Birth, order: Order) -> Self {
        Self {
            id: birth.id,
            sent: false,
            is_test: birth.is_test,
            status: String::new(),
            created: birth.wall,
            completed: None,
            shown_pages: 0,
            pages: 0,
            cost: 0,
            order,
            recipients: Vec::new(),
            from_number: None,
            to_number: None,
            failure: None,
            pdf: None,
            run: 0,
            listed: birth.now,
            resent: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.completed.is_some()
    }

    /// Its document is converted.
    pub(super) fn starts(&mut self) {
        self.status = "inprogress".to_owned();
        self.shown_pages = self.pages;
        let recipients = u32::try_from(self.recipients.len()).unwrap_or(u32::MAX);
        self.cost = PRICE.saturating_mul(self.pages).saturating_mul(recipients);
        for recipient in &mut self.recipients {
            recipient.status = Some("inprogress");
        }
    }

    /// One number is done.
    pub(super) fn ends(&mut self, index: usize, failure: Option<Failure>, now: Timestamp) {
        if let Some(recipient) = self.recipients.get_mut(index)
            && recipient.completed.is_none()
        {
            recipient.status = Some(if failure.is_none() {
                "success"
            } else {
                "failure"
            });
            recipient.completed = Some(now);
            if failure.is_some() {
                self.cost = self.cost.saturating_sub(PRICE * self.pages);
            }
            recipient.failure = failure;
        }
    }

    /// All numbers that are not done fail.
    pub(super) fn fails(&mut self, failure: &Failure, now: Timestamp) {
        for index in 0..self.recipients.len() {
            self.ends(index, Some(failure.clone()), now);
        }
        self.complete(now);
    }

    /// Sums up when all numbers are done; true when they are.
    pub(super) fn complete(&mut self, now: Timestamp) -> bool {
        let all = self.recipients.len();
        let done = self.recipients.iter().filter(|it| it.completed.is_some());
        if done.count() < all || self.is_over() {
            return false;
        }
        let good = self.recipients.iter().filter(|it| it.failure.is_none());
        self.status = match good.count() {
            0 => "failure",
            good if good < all => "partialsuccess",
            _ => "success",
        }
        .to_owned();
        self.failure = self.recipients.iter().find_map(|it| it.failure.clone());
        self.completed = Some(now);
        true
    }

    /// As `GET faxes/{id}` shows it (cassettes `get.yml`, `create.yml`).
    pub(super) fn json(&self) -> Value {
        let mut shown = json!({
            "id": self.id,
            "direction": self.direction(),
            "num_pages": self.shown_pages,
            "status": self.status,
            "is_test": self.is_test,
            "created_at": stamp(self.created),
            "caller_id": self.order.caller_id,
            "from_number": self.from_number,
            "completed_at": self.completed.map(stamp),
            "caller_name": null,
            "cost": self.cost,
            "tags": self.order.tags,
            "to_number": self.to_number,
            "barcodes": [],
        });
        if let Some(map) = shown.as_object_mut() {
            failure(map, self.failure.as_ref());
            if self.sent {
                let recipients = self.recipients.iter().map(Recipient::json);
                map.insert("recipients".into(), recipients.collect());
            }
        }
        shown
    }

    pub(super) fn direction(&self) -> &'static str {
        if self.sent { "sent" } else { "received" }
    }

    pub(super) fn tags(&self) -> &BTreeMap<String, String> {
        &self.order.tags
    }
}

impl Recipient {
    fn json(&self) -> Value {
        let arrived = self.status == Some("success");
        let mut shown = json!({
            "phone_number": self.number,
            "status": self.status,
            "retry_count": self.retry_count,
            "completed_at": self.completed.map(stamp),
            "bitrate": arrived.then_some(14_400),
            "resolution": arrived.then_some(8040),
        });
        if let Some(map) = shown.as_object_mut() {
            failure(map, self.failure.as_ref());
        }
        shown
    }
}

fn failure(map: &mut Map<String, Value>, failure: Option<&Failure>) {
    map.insert("error_type".into(), json!(failure.map(|it| &it.kind)));
    map.insert("error_id".into(), json!(failure.and_then(|it| it.id)));
    map.insert("error_message".into(), json!(failure.map(|it| &it.message)));
}

/// A time as the vendor writes it, such as `2021-11-04T16:28:30.000-05:00`.
pub(super) fn stamp(at: Timestamp) -> String {
    const BEHIND: Duration = Duration::from_secs(6 * 3600);
    let seconds = (at - BEHIND).to_seconds().to_string();
    let millis = at.as_millisecond().rem_euclid(1000);
    format!("{}.{millis:03}-06:00", seconds.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_milliseconds_and_the_offset_of_the_vendor() {
        let at: Timestamp = "2026-11-21T03:04:05.25Z".parse().unwrap();
        assert_eq!(stamp(at), "2026-11-20T21:04:05.250-06:00");
        assert_eq!(stamp(at).parse::<Timestamp>().unwrap(), at);
    }
}
