//! Phaxio's callbacks: their signature, and what they tell.
//!
//! A callback is a form (`multipart/form-data`) whose field `fax` holds the fax as JSON text. v2.1 adds
//! `event_type`: `fax_completed`, and while a fax is sent `transmitting_page` and `retry_scheduled`. A
//! received fax brings its pages in the file `file` (v1: `filename`). Accounts that are set to v1 or v2
//! send the fields of those.
//!
//! `X-Phaxio-Signature` is the HMAC-SHA1, in hexadecimal, of the URL that Phaxio was given, then every
//! field that is no file, sorted by name, as name and value, then every file, sorted by the name of its
//! part, as that name and the SHA-1 of its bytes. The key is the account's callback token. It holds no
//! time, so that an old callback stays right for ever: the id of the fax with its word decides whether
//! one was seen before.
//!
//! Sources: phaxio-ruby at c1cb8e4, `lib/phaxio/resources/webhook.rb` (whose README passes seven of the
//! fields on, and so refuses every callback of a fax that is being sent); Phaxio's pages "Callback
//! Security", "Send Webhooks" (v2.1) and "Receive Callback" (v1, v2.1).

use faxbot_core::{
    Effect, Error, ErrorKind, Result, Secret, Timestamp,
    webhook::{
        Form, HmacHash, HmacScheme, InboundFile, MessagePart, SignatureEncoding, WebhookRequest,
    },
};
use serde_json::Value;
use url::Url;

use super::{ID, wire::Fax};
use crate::cloud::{
    fax::{FaxNotice, received_file},
    lenient,
};

/// How Phaxio signs.
pub(super) const SIGNATURE: HmacScheme = HmacScheme::new(
    HmacHash::Sha1,
    SignatureEncoding::Hex,
    "x-phaxio-signature",
    &[
        MessagePart::Url,
        MessagePart::FormFields,
        MessagePart::FormFileDigests,
    ],
);

/// The names of the file with a received fax: v2.1's, and v1's.
const FILES: [&str; 2] = ["file", "filename"];

/// Whether a request carries the signature of `token` for one of the URLs that Phaxio was given.
pub(super) async fn is_signed(
    request: &WebhookRequest,
    token: &Secret,
    urls: impl IntoIterator<Item = Url>,
) -> bool {
    // What is signed are the parts of the form: they are taken apart, and nothing in them is read.
    let Ok(form) = Form::read(request).await else {
        return false;
    };
    let mut tried: Vec<Url> = Vec::new();
    for url in urls.into_iter().flat_map(forms_of) {
        if tried.contains(&url) {
            continue;
        }
        if SIGNATURE.verify(token, request, &url, Some(&form)) {
            return true;
        }
        tried.push(url);
    }
    false
}

/// A URL as it was given, and without user and password: Phaxio calls with those as a header, and
/// nobody says which of the two it signs.
fn forms_of(url: Url) -> impl Iterator<Item = Url> {
    let mut bare = url.clone();
    let bare = (bare.set_username("").is_ok() && bare.set_password(None).is_ok()).then_some(bare);
    [Some(url), bare].into_iter().flatten()
}

/// What a callback tells. `counts_tests` is whether a fax that was only simulated counts as sent; `now`
/// stands in for a time that it does not tell.
pub(super) async fn read(
    request: &WebhookRequest,
    counts_tests: bool,
    now: Timestamp,
) -> Result<Vec<FaxNotice>> {
    let form = Form::read(request).await?;
    let text = form
        .field("fax")
        .ok_or_else(|| unreadable("the callback has not one fax"))?;
    let raw = lenient::json(text.as_bytes())
        .ok_or_else(|| unreadable("the fax of the callback is not JSON"))?;
    let fax = Fax::read("handle_webhook", &raw)?.counting_tests(counts_tests);
    let event = form.field("event_type").unwrap_or_default().to_owned();
    let received = match (&fax.direction, form.field("direction")) {
        (None, Some(direction)) => direction.eq_ignore_ascii_case("received"),
        _ => fax.is_received(),
    };
    let notice = if received {
        received_notice(fax, &form, now)
    } else {
        sent_notice(fax, &event, &form, raw)
    };
    Ok(vec![notice])
}

fn sent_notice(fax: Fax, event: &str, form: &Form, raw: Value) -> FaxNotice {
    let number = |name: &str| form.field(name)?.trim().parse::<u32>().ok();
    // While a fax is sent its word stays the same: without the page and the count of calls the second
    // of its callbacks would be taken for the first.
    let step = match event {
        "transmitting_page" => number("page").map(|page| (page, fax.retries().unwrap_or(0))),
        "retry_scheduled" => Some((0, number("retry_count").unwrap_or(0))),
        _ => None,
    };
    let page = step.map(|(page, _)| page).filter(|page| *page > 0);
    let key = match step {
        Some((page, retries)) => format!("{}/{}/{event}/{retries}/{page}", fax.sid(), fax.word()),
        None => format!("{}/{}", fax.sid(), fax.word()),
    };
    FaxNotice::Sent {
        report: Box::new(fax.report(page, raw)),
        key,
    }
}

fn received_notice(fax: Fax, form: &Form, now: Timestamp) -> FaxNotice {
    let file: Option<InboundFile> = FILES
        .iter()
        .find_map(|name| form.file(name))
        .and_then(|file| received_file("handle_webhook", file.bytes.clone()).ok());
    // One that is still coming in is told of again, and one without pages has nothing to fetch.
    if file.is_none() && !fax.is_complete() {
        return FaxNotice::Ignored;
    }
    let sid = fax.sid().to_owned();
    let pages = file.map(|file| (fax.inbound(ID.as_str(), now), file));
    FaxNotice::received(sid, pages)
}

fn unreadable(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, "handle_webhook", message).with_effect(Effect::NoEffect)
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
