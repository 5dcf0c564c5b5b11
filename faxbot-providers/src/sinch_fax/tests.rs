use std::sync::Arc;

use faxbot_core::{
    Effect,
    clock::TokioClock,
    fax::{FaxRetryPolicy, JobStatus, T38Mode},
    http::HttpClient,
    random::SeededRandom,
    webhook::Form,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::cloud::{fake_http::FakeHttp, fax::UploadFormat};

struct Rig {
    http: Arc<FakeHttp>,
    sinch: SinchFax,
}

fn rig(extra: Value) -> Rig {
    let mut config = json!({
        "project_id": "p-1", "key_id": "key-1", "key_secret": "secret-1", "auth_method": "basic",
        "requests_per_second": 1000, "request_burst": 1000,
    });
    let extra = extra.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(extra);
    let http = Arc::new(FakeHttp::default());
    let client = Arc::clone(&http) as Arc<dyn HttpClient>;
    let mut context = ProviderContext::new(client, TokioClock::shared(), SeededRandom::shared(7));
    context.webhook_url = Some(
        "https://fax.example.org/webhooks/sinch-fax/abc"
            .parse()
            .unwrap(),
    );
    let sinch = SinchFax::build(&config, context).unwrap();
    Rig { http, sinch }
}

fn submission(options: SendOptions) -> Submission {
    Submission {
        job_id: "job-7".parse().unwrap(),
        to: Private::new("+15558675309".to_owned()),
        upload: Upload::File {
            format: UploadFormat::Tiff,
            bytes: Bytes::from_static(b"II*\0pages"),
            pages: Some(1),
        },
        options,
    }
}

fn body(request: &HttpRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn parameters(request: &HttpRequest) -> Vec<(String, String)> {
    request.url.query_pairs().into_owned().collect()
}

const TAKEN: &str = r#"{"id":"01HDFHACK1YN7CCDYRA6ZRMA8Z","direction":"OUTBOUND","status":"IN_PROGRESS","numberOfPages":0,"labels":{"faxbot_job":"job-7"}}"#;

#[tokio::test(start_paused = true)]
async fn a_fax_goes_as_json_with_our_label() {
    let rig = rig(json!({"from": "+15551230000"}));
    rig.http.answer(201, TAKEN);
    let mut four = FaxRetryPolicy::default();
    four.max_dials = 4;
    let options = SendOptions::new()
        .with_retry(four)
        .with_resolution(Resolution::Superfine);
    let taken = rig.sinch.submit(&submission(options)).await.unwrap();
    assert_eq!(taken.sid, "01HDFHACK1YN7CCDYRA6ZRMA8Z");
    assert_eq!(taken.report.unwrap().status, JobStatus::InProgress);
    let request = &rig.http.requests()[0];
    assert_eq!(request.method, Method::POST);
    assert_eq!(
        request.url.as_str(),
        "https://fax.api.sinch.com/v3/projects/p-1/faxes"
    );
    assert_eq!(
        request.headers["authorization"],
        "Basic a2V5LTE6c2VjcmV0LTE="
    );
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(
        body(request),
        json!({"to": "+15558675309", "files": [{"file": "SUkqAHBhZ2Vz", "fileType": "TIF"}],
            "labels": {"faxbot_job": "job-7"}, "from": "+15551230000", "maxRetries": 3,
            "callbackUrl": "https://fax.example.org/webhooks/sinch-fax/abc",
            "callbackUrlContentType": "application/json", "resolution": "SUPERFINE"})
    );
}

#[tokio::test(start_paused = true)]
async fn a_form_has_the_same_parts_and_the_file() {
    let rig = rig(json!({"body": "multipart", "max_retries": 2}));
    rig.http.answer(200, TAKEN);
    rig.sinch
        .submit(&submission(SendOptions::new()))
        .await
        .unwrap();
    let request = &rig.http.requests()[0];
    let webhook = WebhookRequest::new(Method::POST, "/")
        .with_headers(request.headers.clone())
        .with_body(request.body.clone());
    let form = Form::read(&webhook).await.unwrap();
    assert_eq!(form.field("to"), Some("+15558675309"));
    assert_eq!(form.field("labels[faxbot_job]"), Some("job-7"));
    assert_eq!(form.field("maxRetries"), Some("2"));
    let file = form.file("file").unwrap();
    assert_eq!(file.file_name.as_deref(), Some("fax.tif"));
    assert_eq!(
        (file.content_type.as_deref(), file.bytes.as_ref()),
        (Some("image/tiff"), &b"II*\0pages"[..])
    );
}

#[tokio::test(start_paused = true)]
async fn dials_become_repetitions_as_far_as_sinch_takes_them() {
    let rig = rig(json!({"max_retries": 2}));
    for (dials, retries) in [
        (Some(0), 0),
        (Some(1), 0),
        (Some(6), 5),
        (Some(12), 5),
        (None, 2),
    ] {
        let mut options = SendOptions::new();
        options.retry = dials.map(|dials| {
            let mut policy = FaxRetryPolicy::default();
            policy.max_dials = dials;
            policy
        });
        rig.http.answer(200, TAKEN);
        rig.sinch.submit(&submission(options)).await.unwrap();
        assert_eq!(
            body(&rig.http.requests()[0])["maxRetries"],
            retries,
            "{dials:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_with_the_key_and_renewed_when_it_is_refused() {
    let rig = rig(json!({"auth_method": "oauth2"}));
    let token = |token: &str| {
        json!({"access_token": token, "token_type": "bearer", "expires_in": 3599, "scope": ""})
            .to_string()
    };
    rig.http.answer(200, token("t1"));
    rig.http.answer(401, "");
    rig.http.answer(200, token("t2"));
    rig.http.answer(200, TAKEN);
    rig.sinch
        .submit(&submission(SendOptions::new()))
        .await
        .unwrap();
    let requests = rig.http.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|r| (r.url.path(), r.headers["authorization"].to_str().unwrap()))
        .collect();
    let (key, faxes) = ("Basic a2V5LTE6c2VjcmV0LTE=", "/v3/projects/p-1/faxes");
    assert_eq!(
        seen,
        [
            ("/oauth2/token", key),
            (faxes, "Bearer t1"),
            ("/oauth2/token", key),
            (faxes, "Bearer t2")
        ]
    );
    assert_eq!(requests[0].url.host_str(), Some("auth.sinch.com"));
    assert_eq!(requests[0].body, "grant_type=client_credentials");
}

#[tokio::test(start_paused = true)]
async fn a_submission_is_sent_once_whatever_the_answer_unless_it_was_refused_for_now() {
    for (answers, kind, requests) in [
        (vec![], ErrorKind::OutcomeUnknown, 1),
        (vec![(500, "")], ErrorKind::OutcomeUnknown, 1),
        (vec![(504, "")], ErrorKind::OutcomeUnknown, 1),
        (vec![(200, "")], ErrorKind::OutcomeUnknown, 1),
        (vec![(200, r#"{"faxes":[]}"#)], ErrorKind::OutcomeUnknown, 1),
        (vec![(402, r#"{"message":"no"}"#)], ErrorKind::Rejected, 1),
        (vec![(422, "")], ErrorKind::Rejected, 1),
        (vec![(401, "")], ErrorKind::Authentication, 1),
        (vec![(429, ""), (400, "")], ErrorKind::Rejected, 2),
    ] {
        let rig = rig(json!({}));
        for (status, body) in &answers {
            rig.http.answer(*status, *body);
        }
        let error = rig
            .sinch
            .submit(&submission(SendOptions::new()))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{answers:?}");
        let known = kind != ErrorKind::OutcomeUnknown;
        assert_eq!(error.effect() == Effect::NoEffect, known, "{answers:?}");
        assert_eq!(rig.http.requests().len(), requests, "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fax_is_looked_for_by_its_label_in_all_pages_of_its_time() {
    let rig = rig(json!({}));
    let job: JobId = "job-7".parse().unwrap();
    let since = "2026-11-21T08:00:00.5Z".parse().unwrap();
    let fax =
        |id: &str, job: &str| json!({"id": id, "status": "QUEUED", "labels": {"faxbot_job": job}});
    let list = |fax: Value, pages: u32| json!({"faxes": [fax], "totalPages": pages}).to_string();
    rig.http.answer(200, list(fax("1", "job-8"), 2));
    rig.http.answer(200, list(fax("2", "job-7"), 2));
    let found = rig.sinch.find(&job, None, since).await.unwrap().unwrap();
    assert_eq!((found.sid.as_str(), found.status), ("2", JobStatus::Queued));
    let requests = rig.http.requests();
    let raw = requests[0].url.query().unwrap();
    assert!(
        raw.contains("createTime%3E=2026-11-21T08%3A00%3A00Z"),
        "{raw}"
    );
    let pages: Vec<_> = requests
        .iter()
        .flat_map(parameters)
        .filter(|(n, _)| n == "page")
        .collect();
    assert_eq!(
        pages,
        [("page".into(), "1".into()), ("page".into(), "2".into())]
    );

    rig.http.answer(200, list(fax("1", "job-8"), 1));
    assert!(rig.sinch.find(&job, None, since).await.unwrap().is_none());
    for _ in 0..search::MOST_PAGES {
        rig.http.answer(200, list(fax("1", "job-8"), 1000));
    }
    assert!(rig.sinch.find(&job, None, since).await.is_err());
    rig.http.answer(200, "{}");
    assert!(rig.sinch.find(&job, None, since).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_fax_is_none() {
    let rig = rig(json!({}));
    // To a submission: what became of ours is not known.
    rig.http.answer(200, TAKEN.replace("job-7", "job-8"));
    let error = rig
        .sinch
        .submit(&submission(SendOptions::new()))
        .await
        .unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    // To a question.
    let other = json!({"id": "2", "direction": "INBOUND", "status": "COMPLETED"}).to_string();
    rig.http.answer(200, other.clone());
    assert!(rig.sinch.status("1").await.is_err());
    rig.http.answer(200, other);
    assert!(rig.sinch.inbound("1").await.is_err());
    // What is no id is not asked for.
    rig.http.requests();
    for id in ["", ".", "..", "1/file", "1?page=2", "a b"] {
        let error = rig.sinch.inbound(id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{id}");
    }
    assert!(rig.http.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn received_faxes_are_listed_page_by_page_and_fetched_by_id() {
    let rig = rig(json!({}));
    let received = |id: &str, status: &str| {
        json!({"id": id, "direction": "INBOUND", "status": status, "numberOfPages": 1,
            "createTime": "2026-11-20T13:00:00Z"})
    };
    let page = json!({"faxes": [received("9", "COMPLETED"), received("8", "IN_PROGRESS")],
        "pageNumber": 1, "totalPages": 2});
    rig.http.answer(200, page.to_string());
    let first = rig
        .sinch
        .list_inbound(&InboundQuery::new().with_limit(2))
        .await
        .unwrap();
    assert_eq!((first.items.len(), first.items[0].id.as_str()), (1, "9"));
    assert_eq!(first.items[0].authenticity, Some(Authenticity::Fetched));
    rig.http.requests();
    let last = json!({"faxes": [received("7", "COMPLETED")], "pageNumber": 2, "totalPages": 2});
    rig.http.answer(200, last.to_string());
    let query = InboundQuery::new().with_cursor(first.next_cursor.unwrap());
    let second = rig.sinch.list_inbound(&query).await.unwrap();
    assert_eq!((second.items.len(), second.next_cursor), (1, None));
    let asked = parameters(&rig.http.requests()[0]);
    for (name, value) in [
        ("page", "2"),
        ("pageSize", "2"),
        ("createTime<", "2026-11-20T13:00:02Z"),
    ] {
        assert!(
            asked.contains(&(name.into(), value.into())),
            "{name}: {asked:?}"
        );
    }

    // The newer path of the file, and the older one where that is not known.
    rig.http.answer(200, received("9", "COMPLETED").to_string());
    rig.http.answer(404, "");
    rig.http.answer(200, &b"%PDF-1.4 pages"[..]);
    let (fax, file) = rig.sinch.inbound("9").await.unwrap();
    assert_eq!(
        (fax.id.as_str(), file.content_type.as_str()),
        ("9", "application/pdf")
    );
    let paths: Vec<_> = rig
        .http
        .requests()
        .iter()
        .map(|r| r.url.path().to_owned())
        .collect();
    let root = "/v3/projects/p-1/faxes/9";
    assert_eq!(
        paths,
        [
            root.to_owned(),
            format!("{root}/file"),
            format!("{root}/file.pdf")
        ]
    );

    rig.http
        .answer(200, received("9", "IN_PROGRESS").to_string());
    assert_eq!(
        rig.sinch.inbound("9").await.unwrap_err().kind(),
        ErrorKind::ServerBusy
    );
    rig.http
        .answer(200, json!({"id": "9", "direction": "OUTBOUND"}).to_string());
    assert_eq!(
        rig.sinch.inbound("9").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    for (status, body, kind) in [
        (200, "{}", ErrorKind::Document),
        (200, "", ErrorKind::Document),
        (403, "", ErrorKind::PermissionDenied),
    ] {
        rig.http.answer(200, received("9", "COMPLETED").to_string());
        rig.http.answer(status, body);
        assert_eq!(
            rig.sinch.inbound("9").await.unwrap_err().kind(),
            kind,
            "{status} {body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sinch_cannot_cancel_and_deletes_the_document_alone() {
    let rig = rig(json!({}));
    assert!(!SinchFax::manifest().can(&PluginCapability::CANCEL_FAX));
    rig.http.answer(204, "");
    rig.sinch.delete_file("01H").await.unwrap();
    let request = &rig.http.requests()[0];
    assert_eq!(
        (&request.method, request.url.path()),
        (&Method::DELETE, "/v3/projects/p-1/faxes/01H/file")
    );
}

#[tokio::test]
async fn a_callback_is_never_proof() {
    let url: Url = "https://fax.example.org/webhooks/sinch-fax/abc"
        .parse()
        .unwrap();
    let now = "2026-11-21T08:00:00Z".parse().unwrap();
    let request = WebhookRequest::new(Method::POST, "/");
    let secret = rig(json!({}));
    let proof = secret.sinch.verify(&request, &url, now).await.unwrap();
    assert_eq!(proof, Authenticity::SecretUrl);
    let callback = "https://vendor:hush@fax.example.org/webhooks/sinch-fax/abc";
    let closed = rig(json!({"callback_url": callback}));
    assert_eq!(closed.sinch.verify(&request, &url, now).await, None);
    assert!(!Authenticity::BasicAuth.is_proof() && !proof.is_proof());
}

#[test]
fn options_that_sinch_decides_are_refused() {
    let rig = rig(json!({}));
    let to: FaxTarget = "+15558675309".parse().unwrap();
    for (options, right) in [
        (SendOptions::new(), true),
        (SendOptions::new().with_retry(FaxRetryPolicy::never()), true),
        (SendOptions::new().with_resolution(Resolution::Fine), true),
        (
            SendOptions::new().with_resolution(Resolution::Superfine),
            true,
        ),
        (
            SendOptions::new().with_resolution(Resolution::Standard),
            false,
        ),
        (SendOptions::new().with_t38(T38Mode::Disable), false),
    ] {
        let prepared = rig.sinch.prepare(&to, &options);
        assert_eq!(prepared.is_ok(), right, "{options:?}");
    }
    for to in ["1001", "sip:fax@example.org"] {
        let to: FaxTarget = to.parse().unwrap();
        assert!(rig.sinch.prepare(&to, &SendOptions::new()).is_err());
    }
}

proptest! {
    #[test]
    fn a_number_survives_the_way_to_sinch_and_back(digits in "[1-9][0-9]{6,14}") {
        let text = format!("+{digits}");
        let rig = rig(json!({}));
        let prepared = rig.sinch.prepare(&text.parse().unwrap(), &SendOptions::new()).unwrap();
        let raw = json!({"id": "1", "direction": "INBOUND", "from": prepared.expose(), "to": prepared.expose()});
        let now = "2026-11-21T08:00:00Z".parse().unwrap();
        let fax = Fax::read("list", &raw).unwrap().inbound("sinch-fax", now);
        prop_assert_eq!(fax.from, Some(Private::new(text.clone())));
        prop_assert_eq!(fax.to, Some(Private::new(text)));
    }
}
