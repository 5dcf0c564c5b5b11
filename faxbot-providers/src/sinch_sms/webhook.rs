//! Callbacks: the vendor's signature, our window on top of it, and what is in them.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use faxbot_core::{
    Error, ErrorKind, Result, Secret, Timestamp,
    webhook::{
        Authenticity, HmacHash, HmacScheme, MessagePart, SignatureEncoding, WebhookRequest, fresh,
    },
};
use serde_json::Value;
use url::Url;

use super::wire;
use crate::cloud::{lenient, messaging::MessageNotice};

/// Base64 of HMAC-SHA256 over body, nonce and time with points between them; the secret is taken as
/// it is (sinch-sdk-node, `packages/sdk-client/src/utils/authorization.helper.ts`).
pub(super) const SCHEME: HmacScheme = HmacScheme::new(
    HmacHash::Sha256,
    SignatureEncoding::Base64,
    "x-sinch-webhook-signature",
    &[
        MessagePart::Body,
        MessagePart::Text("."),
        MessagePart::Header(NONCE),
        MessagePart::Text("."),
        MessagePart::Header(TIMESTAMP),
    ],
);

const NONCE: &str = "x-sinch-webhook-signature-nonce";
const TIMESTAMP: &str = "x-sinch-webhook-signature-timestamp";
/// Not signed; a client of the vendor takes any hash that it names, we take one.
const ALGORITHM: &str = "x-sinch-webhook-signature-algorithm";

/// How old a signed request may be, and how far ahead its clock: the vendor checks neither.
pub(super) const WINDOW: Duration = Duration::from_secs(300);
/// Nonces that are remembered: as many as fit into the window at 100 callbacks a second.
const NONCES: usize = 60_000;

/// Proves callbacks.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Without one there is what is in the URL: user and password, or the secret of the path.
    secret: Option<Secret>,
    nonces: Mutex<Nonces>,
}

impl Verifier {
    pub(super) fn new(secret: Option<Secret>) -> Self {
        Self {
            secret,
            nonces: Mutex::default(),
        }
    }

    pub(super) fn verify(
        &self,
        request: &WebhookRequest,
        url: &Url,
        now: Timestamp,
    ) -> Option<Authenticity> {
        let Some(secret) = &self.secret else {
            if url.password().is_some() {
                let right = request.has_basic_auth_of(url);
                return right.then_some(Authenticity::BasicAuth);
            }
            // The router compared the secret of the path; it proves who knew the URL, and no more.
            return Some(Authenticity::SecretUrl);
        };
        let named = request.headers.contains_key(ALGORITHM);
        if named && request.header(ALGORITHM) != Some("HmacSHA256") {
            return None;
        }
        if !SCHEME.verify(secret, request, url, None) {
            return None;
        }
        let seconds = request.header(TIMESTAMP)?;
        // What `parse` takes besides digits, such as a sign, the vendor does not write.
        let digits = seconds.bytes().all(|byte| byte.is_ascii_digit());
        let at = Timestamp::from_unix_seconds(seconds.parse().ok().filter(|_| digits)?).ok()?;
        if !fresh(now, at, WINDOW) {
            return None;
        }
        let nonce = request.header(NONCE).filter(|nonce| !nonce.is_empty())?;
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces
            .stands_for(nonce, &request.body, now)
            .then_some(Authenticity::Signed)
    }
}

/// The nonces of the window. One stands for one body: the vendor's repetition of a callback that we
/// could not handle may have the same nonce, and is let through to the keys of what was handled; the
/// nonce with another body is not.
#[derive(Debug, Default)]
struct Nonces {
    bodies: HashMap<String, u64>,
    order: VecDeque<(Timestamp, String)>,
}

impl Nonces {
    fn stands_for(&mut self, nonce: &str, body: &[u8], now: Timestamp) -> bool {
        // Behind it the time that was signed is too old, on whichever side it was.
        let kept = WINDOW.saturating_mul(2);
        while let Some((at, _)) = self.order.front() {
            if now.duration_since(*at) <= kept && self.order.len() < NONCES {
                break;
            }
            if let Some((_, oldest)) = self.order.pop_front() {
                self.bodies.remove(&oldest);
            }
        }
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let body = hasher.finish();
        if let Some(known) = self.bodies.get(nonce) {
            return *known == body;
        }
        self.bodies.insert(nonce.to_owned(), body);
        self.order.push_back((now, nonce.to_owned()));
        true
    }
}

/// What a callback tells, by its `type` (sinch-sdk-node, `packages/sms/src/rest/v1/callbacks`).
pub(super) fn read(
    request: &WebhookRequest,
    authenticity: Authenticity,
    now: Timestamp,
) -> Result<Vec<MessageNotice>> {
    const OPERATION: &str = "handle_webhook";
    let value = lenient::json(&request.body)
        .ok_or_else(|| Error::new(ErrorKind::Protocol, OPERATION, "the callback is not json"))?;
    let kind = value
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let notice = match kind {
        "delivery_report_sms"
        | "delivery_report_mms"
        | "recipient_delivery_report_sms"
        | "recipient_delivery_report_mms" => MessageNotice::status(wire::report(OPERATION, value)?),
        "mo_text" | "mo_binary" | "mo_media" => {
            MessageNotice::received(wire::inbound(OPERATION, &value, authenticity, now)?)
        }
        // Kept for a person: it may be a message.
        _ => {
            return Err(Error::new(
                ErrorKind::Protocol,
                OPERATION,
                "the callback is of no known type",
            ));
        }
    };
    Ok(vec![notice])
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
