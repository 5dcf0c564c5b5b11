use std::sync::Arc;

use faxbot_core::{
    clock::TokioClock,
    document::Resolution,
    fax::{FaxRetryPolicy, JobStatus},
    random::SeededRandom,
    webhook::Form,
};
use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::cloud::{fake_http::FakeHttp, fax::UploadFormat};

struct Rig {
    http: Arc<FakeHttp>,
    phaxio: Phaxio,
}

fn rig(extra: Value) -> Rig {
    let mut config = json!({
        "api_key": "key-1", "api_secret": "secret-1", "callback_token": "token-1",
        "requests_per_second": 1000, "request_burst": 1000,
    });
    let extra = extra.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(extra);
    let http = Arc::new(FakeHttp::default());
    let client = Arc::clone(&http) as Arc<dyn faxbot_core::http::HttpClient>;
    let mut context = ProviderContext::new(client, TokioClock::shared(), SeededRandom::shared(7));
    context.webhook_url = Some("https://fax.example.org/webhooks/phaxio".parse().unwrap());
    let phaxio = Phaxio::build(&config, context).unwrap();
    Rig { http, phaxio }
}

fn submission(upload: Upload) -> Submission {
    Submission {
        job_id: "job-7".parse().unwrap(),
        to: Private::new("+15558675309".to_owned()),
        upload,
        options: SendOptions::new().with_header("Hdr".parse().unwrap()),
    }
}

fn pdf() -> Upload {
    Upload::File {
        format: UploadFormat::Pdf,
        bytes: Bytes::from_static(b"%PDF-1.4 pages"),
        pages: None,
    }
}

async fn form(request: &HttpRequest) -> Form {
    let webhook = WebhookRequest::new(Method::POST, "/")
        .with_headers(request.headers.clone())
        .with_body(request.body.clone());
    Form::read(&webhook).await.unwrap()
}

fn parameters(request: &HttpRequest) -> Vec<(String, String)> {
    request.url.query_pairs().into_owned().collect()
}

const TAKEN: &str =
    r#"{"success":true,"message":"Fax queued for sending","data":{"id":323034813}}"#;

#[tokio::test(start_paused = true)]
async fn a_file_goes_as_a_form_with_our_label_and_a_url_without_one() {
    let rig = rig(json!({"caller_id": "+15551230000"}));
    rig.http.answer(200, TAKEN);
    let taken = rig.phaxio.submit(&submission(pdf())).await.unwrap();
    assert_eq!(taken.sid, "323034813");
    let requests = rig.http.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(
        (&request.method, request.url.as_str()),
        (&Method::POST, "https://api.phaxio.com/v2.1/faxes")
    );
    assert_eq!(
        request.headers["authorization"],
        "Basic a2V5LTE6c2VjcmV0LTE="
    );
    let sent = form(request).await;
    let fields: Vec<_> = sent
        .fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let fields_of_all = [
        ("to", "+15558675309"),
        ("header_text", "Hdr"),
        ("caller_id", "+15551230000"),
        ("callback_url", "https://fax.example.org/webhooks/phaxio"),
        ("tag[faxbot_job]", "job-7"),
    ];
    assert_eq!(fields, fields_of_all);
    let file = sent.file("file").unwrap();
    assert_eq!(file.file_name.as_deref(), Some("fax.pdf"));
    assert_eq!(
        (file.content_type.as_deref(), file.bytes.as_ref()),
        (Some("application/pdf"), &b"%PDF-1.4 pages"[..])
    );

    rig.http.answer(200, TAKEN);
    let url = Upload::Url("https://example.com/a.pdf?b=c&d=e+f".parse().unwrap());
    rig.phaxio.submit(&submission(url)).await.unwrap();
    let request = &rig.http.requests()[0];
    assert_eq!(
        request.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    let sent = form(request).await;
    assert_eq!(
        sent.field("content_url"),
        Some("https://example.com/a.pdf?b=c&d=e+f")
    );
    assert_eq!(sent.field("to"), Some("+15558675309"));
    assert!(sent.files.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_submission_is_sent_once_whatever_the_answer_unless_it_was_refused_for_now() {
    for (answers, kind, requests) in [
        (vec![], ErrorKind::OutcomeUnknown, 1),
        (vec![(500, "")], ErrorKind::OutcomeUnknown, 1),
        (vec![(503, "")], ErrorKind::OutcomeUnknown, 1),
        (
            vec![(200, r#"{"success":true,"data":{}}"#)],
            ErrorKind::OutcomeUnknown,
            1,
        ),
        (
            vec![(200, r#"{"success":false,"message":"no"}"#)],
            ErrorKind::Rejected,
            1,
        ),
        (
            vec![(422, r#"{"success":false,"message":"no"}"#)],
            ErrorKind::Rejected,
            1,
        ),
        (vec![(401, "")], ErrorKind::Authentication, 1),
        (vec![(302, "")], ErrorKind::OutcomeUnknown, 1),
        (
            vec![(429, ""), (429, ""), (500, "")],
            ErrorKind::OutcomeUnknown,
            3,
        ),
    ] {
        let rig = rig(json!({}));
        for (status, body) in &answers {
            rig.http.answer(*status, *body);
        }
        let error = rig.phaxio.submit(&submission(pdf())).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{answers:?}");
        let known = kind != ErrorKind::OutcomeUnknown;
        assert_eq!(error.effect() == Effect::NoEffect, known, "{answers:?}");
        assert_eq!(rig.http.requests().len(), requests, "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_upload_gets_longer_and_never_more_than_the_engine_waits() {
    let rig = rig(json!({}));
    for (megabytes, seconds) in [(0, 180), (20, 500), (60, 780)] {
        rig.http.answer(200, TAKEN);
        let upload = Upload::File {
            format: UploadFormat::Pdf,
            bytes: Bytes::from(vec![b' '; megabytes * 1024 * 1024]),
            pages: None,
        };
        rig.phaxio.submit(&submission(upload)).await.unwrap();
        let timeout = rig.http.requests()[0].timeout;
        assert_eq!(timeout.as_secs(), seconds, "{megabytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fax_is_found_by_our_label_alone() {
    let rig = rig(json!({}));
    let job: JobId = "job-7".parse().unwrap();
    let since = "2026-11-21T08:00:00.5Z".parse().unwrap();
    let fax =
        |id: u32, job: &str| json!({"id": id, "status": "queued", "tags": {"faxbot_job": job}});
    let list = |total: Value, faxes: Value| {
        json!({"success": true, "data": faxes, "paging": {"total": total, "per_page": 1000, "page": 1}})
            .to_string()
    };
    let both = list(json!(2), json!([fax(1, "job-8"), fax(2, "job-7")]));
    rig.http.answer(200, both);
    let found = rig.phaxio.find(&job, None, since).await.unwrap().unwrap();
    assert_eq!((found.sid.as_str(), found.status), ("2", JobStatus::Queued));
    let requests = rig.http.requests();
    let raw = requests[0].url.query().unwrap();
    assert!(raw.contains("tag%5Bfaxbot_job%5D=job-7"), "{raw}");
    assert!(
        raw.contains("created_after=2026-11-21T08%3A00%3A00Z"),
        "{raw}"
    );
    assert!(parameters(&requests[0]).contains(&("direction".into(), "sent".into())));

    rig.http
        .answer(200, list(json!(1), json!([fax(1, "job-8")])));
    assert!(rig.phaxio.find(&job, None, since).await.unwrap().is_none());
    // A list that has more than it shows holds perhaps what is not shown.
    for total in [json!(5000), json!("5000")] {
        rig.http.answer(200, list(total, json!([fax(1, "job-8")])));
        assert!(rig.phaxio.find(&job, None, since).await.is_err());
    }
    let full: Vec<_> = (0..1000).map(|id| fax(id, "job-8")).collect();
    rig.http.answer(200, list(json!(">10000"), json!(full)));
    assert!(rig.phaxio.find(&job, None, since).await.is_err());
    // Neither is one that is none, nor one that holds ours in a form that cannot be read.
    let mut odd = fax(2, "job-7");
    odd["id"] = json!("two");
    let odd = list(json!(1), json!([odd]));
    for answer in [r#"{"success":true}"#, r#"{"success":true,"data":{}}"#, &odd] {
        rig.http.answer(200, answer.to_owned());
        let error = rig.phaxio.find(&job, None, since).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_faxes_with_our_label_the_one_to_our_number_that_arrived_counts() {
    let rig = rig(json!({}));
    let since = "2026-11-21T08:00:00Z".parse().unwrap();
    let fax = |id: u32, status: &str, to: &str| {
        json!({"id": id, "direction": "sent", "status": status, "tags": {"faxbot_job": "job-7"},
            "recipients": [{"phone_number": to, "status": status, "retry_count": 0}]})
    };
    let (ours, other) = ("+15558675309", "+15550000000");
    let faxes = json!([
        fax(4, "success", other),
        fax(3, "failure", ours),
        fax(2, "success", ours),
        fax(1, "failure", ours)
    ]);
    let list = json!({"success": true, "data": faxes, "paging": {"total": 4}}).to_string();
    let to = Private::new(ours.to_owned());
    rig.http.answer(200, list);
    let job = "job-7".parse().unwrap();
    let found = rig.phaxio.find(&job, Some(&to), since).await.unwrap();
    assert_eq!(found.unwrap().sid, "2");
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_fax_is_none() {
    let rig = rig(json!({}));
    let other =
        json!({"success": true, "data": {"id": 2, "direction": "received", "status": "success"}});
    rig.http.answer(200, other.to_string());
    assert!(rig.phaxio.status("1").await.is_err());
    rig.http.answer(200, other.to_string());
    assert!(rig.phaxio.inbound("1").await.is_err());
    // What is no id is not asked for.
    rig.http.requests();
    for id in ["", ".", "..", "1/file", "1/cancel", "1?page=2", "abc"] {
        let error = rig.phaxio.inbound(id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{id}");
    }
    assert!(rig.http.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_is_asked_for_and_one_that_is_too_late_says_so() {
    let rig = rig(json!({}));
    // As recorded in spec/support/cassettes/fax/cancel.yml of phaxio-ruby.
    let scheduled = r#"{"success":true,"message":"Fax cancellation scheduled successfully.","data":{"id":323034818}}"#;
    rig.http.answer(200, scheduled);
    assert_eq!(
        rig.phaxio.cancel("323034818").await.unwrap(),
        CancelOutcome::Requested
    );
    let request = &rig.http.requests()[0];
    assert_eq!(
        (&request.method, request.url.path()),
        (&Method::POST, "/v2.1/faxes/323034818/cancel")
    );
    let complete = r#"{"success":false,"message":"Can't cancel the fax, it's already complete!"}"#;
    rig.http.answer(422, complete);
    assert_eq!(
        rig.phaxio.cancel("1").await.unwrap(),
        CancelOutcome::TooLate
    );
    rig.http
        .answer(404, r#"{"success":false,"message":"not found"}"#);
    assert_eq!(
        rig.phaxio.cancel("1").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    rig.http.answer(
        200,
        r#"{"success":true,"message":"Deleted files successfully!"}"#,
    );
    rig.phaxio.delete_file("1").await.unwrap();
    let request = &rig.http.requests()[2];
    assert_eq!(
        (&request.method, request.url.path()),
        (&Method::DELETE, "/v2.1/faxes/1/file")
    );
}

#[tokio::test(start_paused = true)]
async fn received_faxes_are_listed_page_by_page_and_fetched_by_id() {
    let rig = rig(json!({}));
    let received = |id: u32, status: &str| {
        json!({"id": id, "direction": "received", "status": status, "num_pages": 1,
            "created_at": "2026-11-20T08:00:00.000-05:00", "completed_at": "2026-11-20T08:01:00.000-05:00"})
    };
    let page = json!({"success": true, "data": [received(9, "success"), received(8, "inprogress")],
        "paging": {"total": 3, "per_page": 2, "page": 1}});
    rig.http.answer(200, page.to_string());
    let first = rig
        .phaxio
        .list_inbound(&InboundQuery::new().with_limit(2))
        .await
        .unwrap();
    assert_eq!(first.items.len(), 1);
    assert_eq!(
        (first.items[0].id.as_str(), first.items[0].pages),
        ("9", Some(1))
    );
    assert_eq!(first.items[0].authenticity, Some(Authenticity::Fetched));
    let request = &rig.http.requests()[0];
    assert!(parameters(request).contains(&("created_after".into(), BEGINNING.into())));
    let last = json!({"success": true, "data": [received(7, "success")], "paging": {"total": 3}});
    rig.http.answer(200, last.to_string());
    let query = InboundQuery::new().with_cursor(first.next_cursor.unwrap());
    let second = rig.phaxio.list_inbound(&query).await.unwrap();
    assert_eq!((second.items.len(), second.next_cursor), (1, None));
    let asked = parameters(&rig.http.requests()[0]);
    assert!(asked.contains(&("page".into(), "2".into())), "{asked:?}");
    assert!(
        asked.contains(&("created_before".into(), "2026-11-20T13:00:02Z".into())),
        "{asked:?}"
    );

    let one = |fax: Value| json!({"success": true, "data": fax}).to_string();
    rig.http.answer(200, one(received(9, "success")));
    rig.http.answer(200, &b"%PDF-1.4 pages"[..]);
    let (fax, file) = rig.phaxio.inbound("9").await.unwrap();
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
    assert_eq!(paths, ["/v2.1/faxes/9", "/v2.1/faxes/9/file"]);

    rig.http.answer(200, one(received(9, "inprogress")));
    assert_eq!(
        rig.phaxio.inbound("9").await.unwrap_err().kind(),
        ErrorKind::ServerBusy
    );
    rig.http.answer(
        200,
        one(json!({"id": 9, "direction": "sent", "status": "success"})),
    );
    assert_eq!(
        rig.phaxio.inbound("9").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    for (status, body, kind) in [
        (
            200,
            r#"{"success":false,"message":"no"}"#,
            ErrorKind::Document,
        ),
        (200, "", ErrorKind::Document),
        (404, "", ErrorKind::NotFound),
    ] {
        rig.http.answer(200, one(received(9, "success")));
        rig.http.answer(status, body);
        assert_eq!(
            rig.phaxio.inbound("9").await.unwrap_err().kind(),
            kind,
            "{status} {body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_of_somebody_else_is_never_a_path() {
    let rig = rig(json!({}));
    for sid in ["", ".", ".."] {
        assert!(rig.phaxio.cancel(sid).await.is_err(), "{sid}");
    }
    assert!(rig.http.requests().is_empty());
    rig.http.answer(404, "");
    assert!(rig.phaxio.cancel("../account?a=b#c").await.is_err());
    assert_eq!(
        rig.http.requests()[0].url.path(),
        "/v2.1/faxes/..%2Faccount%3Fa%3Db%23c/cancel"
    );
}

#[tokio::test]
async fn an_unsigned_callback_is_refused_or_believed_in_nothing() {
    let url: Url = "https://fax.example.org/webhooks/phaxio".parse().unwrap();
    let now = "2026-11-21T08:00:00Z".parse().unwrap();
    let unsigned = WebhookRequest::new(Method::POST, "/").with_headers(HeaderMap::new());
    let strict = rig(json!({}));
    assert_eq!(strict.phaxio.verify(&unsigned, &url, now).await, None);
    let open = rig(json!({"verify_signature": false}));
    let proof = open.phaxio.verify(&unsigned, &url, now).await.unwrap();
    assert!(!proof.is_proof());
    let config =
        |verify: bool| json!({"api_key": "k", "api_secret": "s", "verify_signature": verify});
    assert_eq!(Phaxio::webhook_path(&config(true)), WebhookPath::Plain);
    assert_eq!(Phaxio::webhook_path(&config(false)), WebhookPath::Secret);
}

#[test]
fn options_that_phaxio_decides_are_refused() {
    let rig = rig(json!({}));
    let to: FaxTarget = "+15558675309".parse().unwrap();
    let mut once = FaxRetryPolicy::default();
    once.max_dials = 1;
    for (options, right) in [
        (SendOptions::new(), true),
        (SendOptions::new().with_retry(once), true),
        (SendOptions::new().with_header("Hdr".parse().unwrap()), true),
        (SendOptions::new().with_ecm(true), false),
        (SendOptions::new().with_resolution(Resolution::Fine), false),
    ] {
        let prepared = rig.phaxio.prepare(&to, &options);
        assert_eq!(prepared.is_ok(), right, "{options:?}");
    }
    for to in ["1001", "sip:fax@example.org"] {
        let to: FaxTarget = to.parse().unwrap();
        assert!(rig.phaxio.prepare(&to, &SendOptions::new()).is_err());
    }
}

#[test]
fn callbacks_of_the_host_without_a_token_are_an_error_of_the_configuration() {
    let client: Arc<dyn faxbot_core::http::HttpClient> = Arc::new(FakeHttp::default());
    let mut context = ProviderContext::new(client, TokioClock::shared(), SeededRandom::shared(7));
    let config = json!({"api_key": "k", "api_secret": "s"});
    assert!(Phaxio::build(&config, context.clone()).is_ok());
    context.webhook_url = Some("https://fax.example.org/webhooks/phaxio".parse().unwrap());
    let error = Phaxio::build(&config, context).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

proptest! {
    #[test]
    fn a_number_survives_the_way_to_phaxio_and_back(digits in "[1-9][0-9]{6,14}") {
        let text = format!("+{digits}");
        let rig = rig(json!({}));
        let prepared = rig.phaxio.prepare(&text.parse().unwrap(), &SendOptions::new()).unwrap();
        let raw = json!({"id": 1, "direction": "received", "from_number": prepared.expose(),
            "to_number": prepared.expose()});
        let now = "2026-11-21T08:00:00Z".parse().unwrap();
        let fax = Fax::read("list", &raw).unwrap().inbound("phaxio", now);
        prop_assert_eq!(fax.from, Some(Private::new(text.clone())));
        prop_assert_eq!(fax.to, Some(Private::new(text)));
    }
}
