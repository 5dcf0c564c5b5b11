//! Sinch's callbacks: what little proves them, and what they tell.
//!
//! `INCOMING_FAX` and `FAX_COMPLETED` (which comes for failed faxes too) are
//! `{event, eventTime, fax, file, fileType}` as JSON, or a form (`multipart/form-data`) whose field `fax`
//! is the fax as JSON text and whose file `file` holds the pages. Older ones have `files: [...]` instead.
//!
//! Nothing is signed: the vendor's own validator answers yes to everything. So a callback comes by a URL
//! with a secret in its path, may prove itself further by user and password of that URL, and is believed
//! in nothing: the fax that it names is fetched. That is why the pages that it brings are not looked at.
//!
//! Sources: sinch-sdk-node at affb35e, `packages/fax/src/rest/v3/callbacks/callbacks-webhook.ts` and
//! `models/v3/mod-events/`; sinch-sdk-dotnet at f408a0f, `tests/Sinch.Tests/Fax/HooksTests.cs`; Sinch's
//! page "Notifications". Nobody published the bytes of a form.

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    webhook::{Authenticity, Form, WebhookRequest},
};
use http::header::CONTENT_TYPE;
use serde_json::Value;
use url::Url;

use super::wire::Fax;
use crate::cloud::{fax::FaxNotice, lenient};

/// What proves a request whose path was right: user and password where one of our URLs has them.
pub(super) fn proof(request: &WebhookRequest, urls: &[&Url]) -> Option<Authenticity> {
    let mut with_password = urls
        .iter()
        .filter(|url| url.password().is_some())
        .peekable();
    if with_password.peek().is_none() {
        return Some(Authenticity::SecretUrl);
    }
    with_password
        .any(|url| request.has_basic_auth_of(url))
        .then_some(Authenticity::BasicAuth)
}

/// What a callback tells.
pub(super) async fn read(request: &WebhookRequest) -> Result<Vec<FaxNotice>> {
    let (event, raw) = parts(request).await?;
    let fax = Fax::read("handle_webhook", &raw)?;
    let received = match event.to_ascii_uppercase().as_str() {
        "INCOMING_FAX" => true,
        "FAX_COMPLETED" => fax.is_received(),
        _ => return Ok(vec![FaxNotice::Ignored]),
    };
    let notice = if !received {
        FaxNotice::sent(fax.report(raw))
    } else if fax.has_failed() {
        // There are no pages to fetch.
        FaxNotice::Ignored
    } else {
        FaxNotice::received(fax.sid(), None)
    };
    Ok(vec![notice])
}

/// The event's name and the fax.
async fn parts(request: &WebhookRequest) -> Result<(String, Value)> {
    let json =
        |text: &[u8]| lenient::json(text).ok_or_else(|| unreadable("the callback is not JSON"));
    let media_type = request.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    if media_type
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("multipart/")
    {
        let form = Form::read(request).await?;
        let fax = form
            .field("fax")
            .ok_or_else(|| unreadable("the callback has not one fax"))?;
        let event = form.field("event").unwrap_or_default().to_owned();
        return Ok((event, json(fax.as_bytes())?));
    }
    let mut body = json(&request.body)?;
    let mut take = |name: &str| body.get_mut(name).map(Value::take).unwrap_or_default();
    let event = take("event").as_str().unwrap_or_default().to_owned();
    let fax = match take("fax") {
        Value::String(text) => json(text.as_bytes())?,
        fax => fax,
    };
    Ok((event, fax))
}

fn unreadable(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, "handle_webhook", message).with_effect(Effect::NoEffect)
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
