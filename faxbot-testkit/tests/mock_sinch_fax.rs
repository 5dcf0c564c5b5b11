#![cfg(test)]
//! MockSinchFax says and takes what the vendor's own clients say and take.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use faxbot_core::webhook::WebhookReply;
use faxbot_testkit::server::{
    http::{Fault, FaultKind, MockHttp},
    sinch_fax::{FaxDialect, FaxEnd, FaxPace, MockSinchFax},
};
use http::Method;
use serde_json::{Value, json};

mod api;
use api::{Answer, Api};

const HOOK: &str = "https://user:pass%20word@customer.example/webhooks/fax/s3";
const TO: &str = "+12015555555";
const PDF: &[u8] = b"%PDF-1.4\n<< /Type /Page >> << /Type /Page >>\n%%EOF\n";
// base64 of the key and its secret
const BASIC: &str = "Basic bW9jay1rZXktMTlhYjpzM2NyZXQ=";

fn slow() -> MockSinchFax {
    MockSinchFax::new().pace(FaxPace::every(Duration::from_secs(10)))
}

fn api(mock: &MockHttp<MockSinchFax>) -> Api<MockSinchFax> {
    let path = format!("v3/projects/{}/", MockSinchFax::PROJECT);
    Api::new(mock, &path, BASIC)
}

/// JSON with one PDF.
fn fax(more: Value) -> Value {
    let file = json!({"file": STANDARD.encode(PDF), "fileType": "PDF"});
    let mut body = json!({"to": TO, "files": [file]});
    let (Value::Object(map), Value::Object(more)) = (&mut body, more) else {
        unreachable!()
    };
    map.extend(more);
    body
}

/// A form as `form-data` of the Node client writes it.
fn form(parts: &[(&str, Option<&str>, &[u8])]) -> (&'static str, Vec<u8>) {
    let mut body = Vec::new();
    for (name, file_name, value) in parts {
        body.extend(format!("--b1\r\nContent-Disposition: form-data; name=\"{name}\"").bytes());
        if let Some(file_name) = file_name {
            let head = format!("; filename=\"{file_name}\"\r\nContent-Type: application/pdf");
            body.extend(head.bytes());
        }
        body.extend(b"\r\n\r\n");
        body.extend(*value);
        body.extend(b"\r\n");
    }
    body.extend(b"--b1--\r\n");
    ("multipart/form-data;boundary=b1", body)
}

async fn post_form(api: &Api<MockSinchFax>, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
    api.send(Method::POST, "faxes", Some(form(parts))).await
}

async fn create(api: &Api<MockSinchFax>, body: &Value) -> String {
    let fax = api.post("faxes", body).await.good();
    fax["id"].as_str().unwrap().to_owned()
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_fax_is_taken_in_three_bodies_and_booked() {
    let mock = slow().in_memory();
    let api = api(&mock);
    let json_files = fax(json!({
        "labels": {"job": "j-1"}, "from": "+12014444444", "maxRetries": 0, "headerText": "",
        "headerPageNumbers": true, "coverPageId": "c1", "coverPageData": {"name": "x"},
    }));
    let first = api.post("faxes", &json_files).await.good();
    let url = json!({"to": [TO], "contentUrl": "https://a.example/fax.pdf", "files": []});
    let second = api.post("faxes", &url).await.good();
    let third = post_form(
        &api,
        &[
            ("to", None, TO.as_bytes()),
            ("file", Some("a.pdf"), PDF),
            ("file", Some("b.pdf"), PDF),
            ("headerPageNumbers", None, b"true"),
            ("retryDelaySeconds", None, b"60"),
            ("maxRetries", None, b"2"),
            ("Labels[job]", None, b"j-3"),
        ],
    )
    .await
    .good();
    for (fax, retries) in [(&first, 0), (&second, 3), (&third, 2)] {
        // One fax is told bare, also for an array of one.
        assert_eq!(fax["to"], TO);
        assert_eq!(
            (&fax["status"], &fax["numberOfPages"]),
            (&json!("QUEUED"), &json!(0))
        );
        assert_eq!(fax["maxRetries"], retries);
        assert_eq!(fax["projectId"], MockSinchFax::PROJECT);
        assert_eq!(fax["hasFile"], "false");
        assert_eq!(
            fax["createTime"].as_str().unwrap().len(),
            "2026-11-21T21:00:00Z".len()
        );
    }
    assert_eq!(first["labels"], json!({"job": "j-1"}));
    assert_eq!(second["contentUrl"], json!(["https://a.example/fax.pdf"]));
    let id = third["id"].as_str().unwrap();
    assert_eq!(api.get(&format!("faxes/{id}")).await.good(), third);

    let books = mock.vendor(|fax| fax.books());
    let pages: Vec<u32> = books.iter().map(|book| book.pages).collect();
    assert_eq!(pages, [2, 1, 4]);
    assert_eq!(books[0].documents[0], PDF);
    assert_eq!(books[1].content_urls, ["https://a.example/fax.pdf"]);
    assert_eq!(books[2].labels["job"], "j-3");
    assert!(books.iter().all(|book| book.to == TO));
    assert!(!format!("{books:?}").contains("2015555555"));
}

#[tokio::test(start_paused = true)]
async fn a_fax_to_several_numbers_is_several() {
    let mock = slow().in_memory();
    let api = api(&mock);
    let other = "+12016666666";
    let many = [
        api.post("faxes", &fax(json!({"to": [TO, other]}))).await,
        post_form(
            &api,
            &[
                ("to", None, TO.as_bytes()),
                ("to", None, other.as_bytes()),
                ("contentUrl", None, b"https://a.example/"),
            ],
        )
        .await,
        post_form(
            &api,
            &[
                ("To", None, b"+12015555555,+12016666666"),
                ("ContentUrl", None, b"https://a.example/"),
            ],
        )
        .await,
    ];
    for answer in many {
        let faxes = answer.good();
        assert_eq!(
            (&faxes["faxes"][0]["to"], &faxes["faxes"][1]["to"]),
            (&json!(TO), &json!(other))
        );
    }
    assert_eq!(mock.vendor(|fax| fax.books()).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_in_a_fax_is_refused_and_named() {
    let mock = slow().in_memory();
    let api = api(&mock);
    for (body, status, field) in [
        (json!([]), 400, ""),
        (fax(json!({"to": 12_015_555_555_u64})), 400, ""),
        (fax(json!({"maxRetries": "2"})), 400, ""),
        (fax(json!({"labels": {"job": 1}})), 400, ""),
        (fax(json!({"headerPageNumbers": "true"})), 400, ""),
        (fax(json!({"tag": "x"})), 400, ""),
        (fax(json!({"files": ["QUJD"]})), 400, ""),
        (json!({"to": TO}), 422, "contentUrl"),
        (fax(json!({"to": null})), 422, "to"),
        (fax(json!({"to": []})), 422, "to"),
        (fax(json!({"to": "+15551"})), 422, "to"),
        (fax(json!({"to": "2015555555"})), 422, "to"),
        (fax(json!({"from": "Praxis"})), 422, "from"),
        (
            fax(json!({"files": [{"file": "***", "fileType": "PDF"}]})),
            422,
            "files",
        ),
        (
            fax(json!({"files": [{"file": "QUJD", "fileType": "TIFF"}]})),
            422,
            "files",
        ),
        (fax(json!({"files": [{"file": "QUJD"}]})), 422, "files"),
        (
            fax(json!({"contentUrl": "ftp://a.example/"})),
            422,
            "contentUrl",
        ),
        (fax(json!({"callbackUrl": "customer"})), 422, "callbackUrl"),
        (
            fax(json!({"callbackUrlContentType": "text/plain"})),
            422,
            "callbackUrlContentType",
        ),
        (fax(json!({"maxRetries": 6})), 422, "maxRetries"),
        (
            fax(json!({"headerText": "a".repeat(51)})),
            422,
            "headerText",
        ),
        (fax(json!({"resolution": "fine"})), 422, "resolution"),
        (
            fax(json!({"imageConversionMethod": "GREY"})),
            422,
            "imageConversionMethod",
        ),
        (fax(json!({"serviceId": "other"})), 422, "serviceId"),
    ] {
        let answer = api.post("faxes", &body).await;
        let told = answer.json();
        assert_eq!(answer.status(), status, "{body} {told}");
        assert_eq!(told["code"], status.to_string());
        assert!(told["error"].is_string() && told["message"].is_string());
        if !field.is_empty() {
            assert_eq!(
                told["details"]["fieldViolations"][0]["field"], field,
                "{body}"
            );
        }
    }
    let to = ("to", None, TO.as_bytes());
    for (parts, status) in [
        (vec![to, ("file", None, PDF)], 422),
        (vec![to], 422),
        (
            vec![
                to,
                ("file", Some("a.pdf"), PDF),
                ("maxRetries", None, b"two".as_slice()),
            ],
            400,
        ),
        (
            vec![
                to,
                ("file", Some("a.pdf"), PDF),
                ("labels", None, b"{}".as_slice()),
            ],
            400,
        ),
        (vec![to, ("document", Some("a.pdf"), PDF)], 400),
        (
            vec![
                to,
                ("from", None, TO.as_bytes()),
                ("from", None, TO.as_bytes()),
            ],
            400,
        ),
    ] {
        assert_eq!(post_form(&api, &parts).await.status(), status, "{parts:?}");
    }
    for (kind, body, status) in [
        ("application/json", "{", 400),
        ("multipart/form-data", "", 400),
        ("multipart/form-data; boundary=b", "--b\r\n", 400),
        (
            "application/x-www-form-urlencoded",
            "to=%2B12015555555",
            415,
        ),
    ] {
        let body = Some((kind, body.as_bytes().to_vec()));
        assert_eq!(
            api.send(Method::POST, "faxes", body).await.status(),
            status,
            "{kind}"
        );
    }
    let large = vec![b'a'; 20_000_001];
    let parts = [to, ("file", Some("a.txt"), large.as_slice())];
    assert_eq!(post_form(&api, &parts).await.status(), 413);
    mock.vendor(|fax| fax.set_without_funds(true));
    assert_eq!(api.post("faxes", &fax(json!({}))).await.status(), 402);
    assert_eq!(mock.vendor(|fax| fax.books()).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fax_goes_through_its_states() {
    let mock = slow().in_memory();
    let api = api(&mock);
    let id = create(&api, &fax(json!({}))).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        let fax = api.get(&format!("faxes/{id}")).await.good();
        let number = |name: &str| fax[name].as_u64().unwrap();
        let status = fax["status"].as_str().unwrap().to_owned();
        seen.push((
            status,
            number("numberOfPages"),
            number("pagesSentSuccessfully"),
        ));
        seconds(10).await;
    }
    let of = |word: &str, pages, sent| (word.to_owned(), pages, sent);
    assert_eq!(
        seen,
        [
            of("QUEUED", 0, 0),
            of("IN_PROGRESS", 0, 0),
            of("IN_PROGRESS", 2, 0),
            of("IN_PROGRESS", 2, 0),
            of("IN_PROGRESS", 2, 1),
            of("COMPLETED", 2, 2),
        ]
    );
    let done = api.get(&format!("faxes/{id}")).await.good();
    assert_eq!(
        done["price"],
        json!({"currencyCode": "USD", "amount": "0.14"})
    );
    assert_eq!(
        (&done["hasFile"], &done["retryCount"]),
        (&json!("true"), &json!(0))
    );
    assert!(done["completedTime"].is_string() && done.get("errorType").is_none());
}

#[tokio::test(start_paused = true)]
async fn each_end_has_its_type_and_code() {
    let call = "CALL_ERROR";
    for (end, kind, code, sent, retries) in [
        (FaxEnd::Busy, call, 17, 0, 2),
        (FaxEnd::NoAnswer, call, 16, 0, 2),
        (FaxEnd::Congestion, call, 15, 0, 2),
        (FaxEnd::InvalidNumber, call, 34, 0, 2),
        (FaxEnd::Rejected, "FAX_ERROR", 133, 0, 2),
        (FaxEnd::NotAFax, "FAX_ERROR", 132, 0, 2),
        (FaxEnd::FailsAfter(1), "FAX_ERROR", 8, 1, 2),
        (FaxEnd::NoFunds, "FAX_ERROR", 46, 0, 0),
        (FaxEnd::BadDocument, "DOCUMENT_CONVERSION_ERROR", 4, 0, 0),
        (
            FaxEnd::Native("LINE_ERROR".into(), 89),
            "LINE_ERROR",
            89,
            0,
            2,
        ),
    ] {
        let mock = slow().on_number("+1201*", end.clone()).in_memory();
        let api = api(&mock);
        let id = create(&api, &fax(json!({"maxRetries": 2}))).await;
        seconds(600).await;
        let fax = api.get(&format!("faxes/{id}")).await.good();
        assert_eq!(fax["status"], "FAILURE", "{end:?}");
        assert_eq!(
            (&fax["errorType"], &fax["errorCode"]),
            (&json!(kind), &json!(code))
        );
        assert_eq!(fax["pagesSentSuccessfully"], sent, "{end:?}");
        assert_eq!(fax["retryCount"], retries, "{end:?}");
    }
    for (end, status) in [
        (FaxEnd::Endless, "IN_PROGRESS"),
        (FaxEnd::Word("PAUSED".into()), "PAUSED"),
    ] {
        let mock = slow().in_memory();
        mock.vendor(|fax| fax.next_fax(end));
        let api = api(&mock);
        let id = create(&api, &fax(json!({}))).await;
        seconds(600).await;
        assert_eq!(
            api.get(&format!("faxes/{id}")).await.good()["status"],
            status
        );
        assert!(mock.vendor(|fax| fax.settle(&id, &FaxEnd::Success)));
        let fax = api.get(&format!("faxes/{id}")).await.good();
        assert_eq!(
            (&fax["status"], &fax["pagesSentSuccessfully"]),
            (&json!("COMPLETED"), &json!(2))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_none_fails_in_conversion() {
    let mock = slow().in_memory();
    let api = api(&mock);
    let parts = [
        ("to", None, TO.as_bytes()),
        ("file", Some("a.pdf"), b"hello".as_slice()),
    ];
    let id = post_form(&api, &parts).await.good()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    seconds(30).await;
    let fax = api.get(&format!("faxes/{id}")).await.good();
    assert_eq!(
        (&fax["status"], &fax["errorCode"]),
        (&json!("FAILURE"), &json!(133))
    );
    assert_eq!(fax["errorType"], "DOCUMENT_CONVERSION_ERROR");
    assert_eq!(api.get(&format!("faxes/{id}/file")).await.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn the_file_of_a_fax_can_be_had_and_deleted_and_a_fax_not_cancelled() {
    let mock = slow().in_memory();
    let api = api(&mock);
    let id = create(&api, &fax(json!({}))).await;
    assert_eq!(api.get(&format!("faxes/{id}/file")).await.status(), 404);
    seconds(20).await;
    for path in ["file", "file.pdf"] {
        let file = api.get(&format!("faxes/{id}/{path}")).await;
        assert_eq!((file.status(), file.0.body.as_ref()), (200, PDF));
        assert_eq!(file.header("content-type"), "application/pdf");
        assert!(file.header("content-disposition").contains("filename="));
    }
    assert_eq!(api.delete(&format!("faxes/{id}")).await.status(), 405);
    assert_eq!(api.delete(&format!("faxes/{id}/file")).await.status(), 204);
    assert_eq!(api.delete(&format!("faxes/{id}/file")).await.status(), 404);
    assert_eq!(api.get(&format!("faxes/{id}/file")).await.status(), 404);
    assert_eq!(
        api.get(&format!("faxes/{id}")).await.good()["hasFile"],
        "false"
    );
    let missing = api.get("faxes/nothing").await;
    assert_eq!(
        (missing.status(), &missing.json()["code"]),
        (404, &json!("404"))
    );
}

#[tokio::test(start_paused = true)]
async fn faxes_are_listed_by_time_and_number_newest_first() {
    let mock = slow().list_lag(Duration::from_secs(5)).in_memory();
    let api = api(&mock);
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(create(&api, &fax(json!({"to": format!("+1201555000{number}")}))).await);
        seconds(100).await;
    }
    let incoming = mock.vendor(|fax| fax.receive_quietly("+12017777777", "+12018888888", PDF));
    let list = async |query: &str| api.get(&format!("faxes?{query}")).await.good();
    let found = |list: &Value| -> Vec<String> {
        let faxes = list["faxes"].as_array().unwrap().iter();
        faxes
            .map(|fax| fax["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        found(&list("direction=INBOUND").await),
        std::slice::from_ref(&incoming)
    );
    assert_eq!(found(&list("direction=OUTBOUND").await).len(), 5);
    // A number is compared by its start, and its plus may be raw.
    assert_eq!(found(&list("to=+12015550003").await), [ids[3].clone()]);
    assert_eq!(found(&list("to=%2B1201555").await).len(), 5);
    assert_eq!(found(&list("from=%2B12017").await), [incoming]);
    assert_eq!(
        found(&list("status=COMPLETED&direction=OUTBOUND").await).len(),
        5
    );
    assert_eq!(found(&list("serviceId=other").await).len(), 0);
    // Nobody knows how to ask for labels.
    assert_eq!(found(&list("labels=[object%20Object]").await).len(), 6);
    let page = list("pageSize=2&page=2&direction=OUTBOUND").await;
    assert_eq!((&page["page"], &page["totalPages"]), (&json!(2), &json!(3)));
    assert_eq!(
        (&page["totalItems"], &page["pageSize"]),
        (&json!(5), &json!(2))
    );
    assert_eq!(found(&page), [ids[2].clone(), ids[1].clone()]);
    let third = api.get(&format!("faxes/{}", ids[2])).await.good();
    let third = third["createTime"].as_str().unwrap();
    let since = list(&format!("direction=OUTBOUND&createTime%3E={third}")).await;
    assert_eq!(
        found(&since),
        [ids[4].clone(), ids[3].clone(), ids[2].clone()]
    );
    let until = list(&format!("createTime%3C={third}")).await;
    assert_eq!(
        found(&until),
        [ids[2].clone(), ids[1].clone(), ids[0].clone()]
    );
    for query in [
        "page=0",
        "pageSize=1001",
        "status=DONE",
        "createTime%3E=now",
    ] {
        assert_eq!(
            api.get(&format!("faxes?{query}")).await.status(),
            400,
            "{query}"
        );
    }
    create(&api, &fax(json!({"to": "+13015555555"}))).await;
    assert_eq!(found(&list("to=%2B1301").await).len(), 0);
    seconds(5).await;
    assert_eq!(found(&list("to=%2B1301").await).len(), 1);
    // By default a list goes back one week.
    seconds(8 * 24 * 3600).await;
    assert_eq!(found(&list("").await).len(), 0);
    assert_eq!(found(&list("createTime%3E=2020-01-01").await).len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_token_lives_as_long_as_it_says_and_basic_works_without() {
    let mock = slow().token_life(Duration::from_secs(60)).in_memory();
    let auth = Api::new(&mock, "", BASIC);
    let kind = "application/x-www-form-urlencoded";
    let form = b"grant_type=client_credentials".to_vec();
    let token = auth
        .send(Method::POST, "oauth2/token", Some((kind, form)))
        .await
        .good();
    let mut api = api(&mock);
    assert_eq!(api.get("faxes").await.status(), 200);
    api.authorization = format!("Bearer {}", token["access_token"].as_str().unwrap());
    assert_eq!(api.get("faxes").await.status(), 200);
    seconds(60).await;
    let late = api.get("faxes").await;
    assert_eq!((late.status(), late.0.body.len()), (401, 0));
    assert!(late.header("www-authenticate").contains("expired"));
    for wrong in [
        "",
        "Basic bW9jazptb2Nr",
        "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x",
    ] {
        wrong.clone_into(&mut api.authorization);
        let refused = api.get("faxes").await;
        assert_eq!(refused.status(), 401);
        assert!(!refused.header("www-authenticate").contains("expired"));
    }
    let other = Api::new(&mock, "v3/projects/other/", BASIC);
    assert_eq!(other.get("faxes").await.status(), 401);
    assert_eq!(mock.vendor(|fax| fax.tokens_issued()), 1);

    let strict = slow().without_basic().in_memory();
    assert_eq!(self::api(&strict).get("faxes").await.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_fax_is_told_as_it_asked_for() {
    for dialect in [FaxDialect::Node, FaxDialect::DotNet] {
        let mock = slow().dialect(dialect).in_memory();
        let api = api(&mock);
        let as_json = json!({"callbackUrl": HOOK, "callbackUrlContentType": "application/json"});
        let told = api.post("faxes", &fax(as_json)).await.good();
        assert_eq!(
            told["callbackUrl"],
            "https://****:****@customer.example/webhooks/fax/s3"
        );
        let id = create(&api, &fax(json!({"callbackUrl": HOOK}))).await;
        create(&api, &fax(json!({}))).await;
        seconds(100).await;
        let callbacks = mock.webhooks().callbacks();
        assert_eq!(callbacks.len(), 2);
        for callback in &callbacks {
            assert_eq!(
                callback.url.as_str(),
                "https://customer.example/webhooks/fax/s3"
            );
            // base64 of `user:pass word`
            assert_eq!(
                callback.headers["authorization"],
                "Basic dXNlcjpwYXNzIHdvcmQ="
            );
        }
        let body: Value = serde_json::from_slice(&callbacks[0].body).unwrap();
        assert_eq!(body["event"], "FAX_COMPLETED");
        assert_eq!(body["fax"]["status"], "COMPLETED");
        assert!(body["eventTime"].is_string());
        let file = match dialect {
            FaxDialect::Node => &body,
            _ => &body["files"][0],
        };
        assert_eq!(file["file"], STANDARD.encode(PDF));
        assert_eq!(file["fileType"], "PDF");

        let kind = callbacks[1].headers["content-type"].to_str().unwrap();
        let boundary = multer::parse_boundary(kind).unwrap();
        let body = callbacks[1].body.clone();
        let body = http_body_util::BodyExt::into_data_stream(http_body_util::Full::new(body));
        let mut form = multer::Multipart::new(body, boundary);
        let mut parts = Vec::new();
        while let Some(part) = form.next_field().await.unwrap() {
            let (name, file) = (part.name().unwrap().to_owned(), part.file_name().is_some());
            parts.push((name, file, part.bytes().await.unwrap()));
        }
        let names: Vec<_> = parts
            .iter()
            .map(|(name, file, _)| (name.as_str(), *file))
            .collect();
        assert_eq!(
            names,
            [
                ("event", false),
                ("eventTime", false),
                ("fax", false),
                ("file", true)
            ]
        );
        let told: Value = serde_json::from_slice(&parts[2].2).unwrap();
        assert_eq!(
            (&told["id"], &told["status"]),
            (&json!(id), &json!("COMPLETED"))
        );
        assert_eq!(parts[3].2, PDF);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_comes_in_is_told_until_the_reply_is_200() {
    for (status, attempts) in [(200, 1), (204, 17), (401, 17), (503, 17)] {
        let mock = slow()
            .calls_back(HOOK.parse().unwrap())
            .incoming_as_json()
            .in_memory();
        mock.webhooks().shorten(1);
        let status = http::StatusCode::from_u16(status).unwrap();
        mock.webhooks()
            .to(move |_| async move { WebhookReply::status(status) });
        let started = tokio::time::Instant::now();
        let id = mock.vendor(|fax| fax.receive("+12017777777", "+12018888888", PDF));
        seconds(1).await;
        assert!(
            mock.webhooks()
                .settled(Duration::from_secs(1_000_000))
                .await
        );
        assert_eq!(mock.webhooks().deliveries().len(), attempts, "{status}");
        if attempts > 1 {
            assert!(started.elapsed() >= Duration::from_secs(65 * 60 + 12 * 6 * 3600));
        }
        let callback = &mock.webhooks().callbacks()[0];
        let told: Value = serde_json::from_slice(&callback.body).unwrap();
        assert_eq!(
            (&told["event"], &told["fax"]["id"]),
            (&json!("INCOMING_FAX"), &json!(id))
        );
        assert_eq!(told["file"], STANDARD.encode(PDF));
        let fax = api(&mock).get(&format!("faxes/{id}")).await.good();
        assert_eq!(
            (&fax["direction"], &fax["numberOfPages"]),
            (&json!("INBOUND"), &json!(2))
        );
        assert_eq!(
            api(&mock).get(&format!("faxes/{id}/file")).await.0.body,
            PDF
        );
    }
}

#[tokio::test(start_paused = true)]
async fn types_differ_as_the_clients_of_the_vendor_do() {
    let mock = slow().dialect(FaxDialect::DotNet).in_memory();
    let api = api(&mock);
    let id = create(&api, &fax(json!({}))).await;
    seconds(100).await;
    let fax = api.get(&format!("faxes/{id}")).await.good();
    assert_eq!(fax["price"]["amount"], 0.14);
    assert_eq!(fax["hasFile"], true);
    let list = api.get("faxes").await.good();
    assert_eq!((&list["pageNumber"], list.get("page")), (&json!(1), None));
}

#[tokio::test]
async fn a_fax_whose_answer_is_lost_is_booked() {
    let mock = MockSinchFax::new().start().await;
    mock.fault(Fault::new(FaultKind::StatusAfterEffect { code: 502 }).on("POST", "/v3"));
    let api = api(&mock);
    assert_eq!(
        api.post("faxes", &fax(json!({"labels": {"job": "j-9"}})))
            .await
            .status(),
        502
    );
    let books = mock.vendor(|fax| fax.books());
    assert_eq!((books.len(), books[0].labels["job"].as_str()), (1, "j-9"));
    let list = api.get(&format!("faxes?to=%2B{}", &TO[1..])).await.good();
    assert_eq!(list["faxes"][0]["labels"]["job"], "j-9");
}
