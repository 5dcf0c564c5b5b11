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
            "pagesSentSuccessfully": u32::from(status == "COMPLETED"),
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
