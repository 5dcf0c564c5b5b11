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
use crate::cloud::fax::FaxNotice;

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
    let json = |text: &[u8]| {
        serde_json::from_slice::<Value>(text).map_err(|_| unreadable("the callback is not JSON"))
    };
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
mod tests {
    use faxbot_core::fax::{FailureClass, JobStatus};
    use http::{HeaderMap, HeaderValue, Method, header::AUTHORIZATION};
    use serde_json::json;

    use super::*;

    /// As in the vendor's HooksTests.cs.
    const INCOMING: &str = r#"{"event":"INCOMING_FAX","eventTime":"2021-11-01T23:25:39Z","fax":{"id":"01HDFHACK1YN7CCDYRA6ZRMA8Z","direction":"INBOUND","from":"+14155552222","to":"+14155553333","numberOfPages":1,"status":"COMPLETED","price":{"amount":0.07,"currencyCode":"USD"},"createTime":"2021-11-01T23:25:39Z","completedTime":"2021-11-01T23:25:39Z","callbackUrl":"https://www.my-website.com/callback","callbackUrlContentType":"multipart/form-data","imageConversionMethod":"HALFTONE","projectId":"YOUR_PROJECT_ID","serviceId":"YOUR_SERVICE_ID"},"file":"ZmFzZGZkYXNkYWY=","fileType":"PDF"}"#;

    fn request(media_type: &'static str, body: impl Into<bytes::Bytes>) -> WebhookRequest {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        WebhookRequest::new(Method::POST, "/")
            .with_headers(headers)
            .with_body(body)
    }

    fn completed(fax: &Value) -> WebhookRequest {
        let body = json!({"event": "FAX_COMPLETED", "eventTime": "2021-11-01T23:25:39Z", "fax": fax,
            "files": [{"file": "ZmFzZGZkYXNkYWY=", "fileType": "PDF"}]});
        request("application/json; charset=utf-8", body.to_string())
    }

    async fn one(request: &WebhookRequest) -> FaxNotice {
        let mut notices = read(request).await.unwrap();
        assert_eq!(notices.len(), 1);
        notices.pop().unwrap()
    }

    #[tokio::test]
    async fn a_received_fax_is_told_by_its_id_alone() {
        let fax: Value = serde_json::from_str(INCOMING).unwrap();
        let form = format!(
            "--b0\r\nContent-Disposition: form-data; name=\"event\"\r\n\r\nINCOMING_FAX\r\n\
             --b0\r\nContent-Disposition: form-data; name=\"fax\"\r\nContent-Type: application/json\r\n\r\n{}\r\n\
             --b0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\
             Content-Type: application/pdf\r\n\r\n%PDF-1.4\r\n--b0--\r\n",
            fax["fax"]
        );
        for request in [
            request("application/json", INCOMING),
            request("", INCOMING),
            request("Multipart/Form-Data; boundary=b0", form),
            completed(&fax["fax"]),
        ] {
            let FaxNotice::Received { sid, fax, key } = one(&request).await else {
                panic!();
            };
            assert_eq!(sid, "01HDFHACK1YN7CCDYRA6ZRMA8Z");
            assert_eq!(key, "01HDFHACK1YN7CCDYRA6ZRMA8Z/received");
            assert!(fax.is_none(), "nothing of it is believed");
        }
    }

    #[tokio::test]
    async fn a_sent_fax_is_told_with_its_end_and_label() {
        let sent = |status: &str| {
            json!({"id": "01H", "direction": "OUTBOUND", "status": status, "numberOfPages": 1,
                "retryCount": 0, "errorType": "CALL_ERROR", "errorCode": 17,
                "labels": {"faxbot_job": "job-7"}})
        };
        for (word, status, class) in [
            ("COMPLETED", JobStatus::Success, None),
            ("FAILURE", JobStatus::Failed, Some(FailureClass::Busy)),
        ] {
            let FaxNotice::Sent { report, key } = one(&completed(&sent(word))).await else {
                panic!("{word}");
            };
            assert_eq!(key, format!("01H/{word}"));
            assert_eq!(
                (&report.status, report.outcome.unwrap().class()),
                (&status, class)
            );
            assert_eq!(report.job_id, Some("job-7".parse().unwrap()));
        }
        // The fax as text, as it stands in a form.
        let body = json!({"event": "FAX_COMPLETED", "fax": sent("COMPLETED").to_string()});
        let request = request("application/json", body.to_string());
        assert!(matches!(one(&request).await, FaxNotice::Sent { .. }));
    }

    #[tokio::test]
    async fn what_means_nothing_is_ignored_and_what_cannot_be_read_is_an_error() {
        let other = json!({"event": "NUMBER_ORDERED", "fax": {"id": "1"}}).to_string();
        let failed = json!({"id": "1", "direction": "INBOUND", "status": "FAILURE"});
        for request in [request("application/json", other), completed(&failed)] {
            assert!(matches!(one(&request).await, FaxNotice::Ignored));
        }
        for (media_type, body) in [
            ("application/json", ""),
            ("application/json", "{\"event\":\"FAX_COMPLETED\""),
            ("application/json", "[]"),
            ("application/json", r#"{"event":"FAX_COMPLETED"}"#),
            (
                "application/json",
                r#"{"event":"FAX_COMPLETED","fax":{"to":"+15558675309"}}"#,
            ),
            (
                "application/json",
                r#"{"event":"FAX_COMPLETED","fax":{"id":"../a"}}"#,
            ),
            ("application/json", r#"{"event":"FAX_COMPLETED","fax":"{"}"#),
            ("multipart/form-data; boundary=b0", "--b0--\r\n"),
            ("multipart/form-data", "--b0--\r\n"),
        ] {
            let error = read(&request(media_type, body)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{media_type} {body}");
            assert!(!format!("{error:?} {error}").contains("5309"));
        }
    }

    #[test]
    fn user_and_password_of_any_of_our_urls_have_to_be_right() {
        let open: Url = "https://fax.example.org/webhooks/sinch-fax/abc"
            .parse()
            .unwrap();
        let closed: Url = "https://vendor:hush@fax.example.org/hook".parse().unwrap();
        let bare = request("application/json", "{}");
        let mut known = bare.clone();
        known.headers.insert(
            AUTHORIZATION,
            HeaderValue::from_static("Basic dmVuZG9yOmh1c2g="),
        );
        for (request, urls, found) in [
            (&bare, &[&open][..], Some(Authenticity::SecretUrl)),
            (&bare, &[&open, &closed], None),
            (&known, &[&open, &closed], Some(Authenticity::BasicAuth)),
            (&known, &[&closed], Some(Authenticity::BasicAuth)),
        ] {
            assert_eq!(proof(request, urls), found, "{urls:?}");
        }
    }
}
