//! Phaxio as the mock plays it: what it takes, says, refuses, and tells.
#![cfg(test)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use faxbot_core::{
    Timestamp,
    http::{HttpClient as _, HttpRequest, HttpResponse},
    webhook::{WebhookReply, WebhookRequest},
};
use faxbot_testkit::server::{
    http::{CallbackFault, Fault, FaultKind, MockHttp},
    phaxio::{CallbackVersion, FaxEnd, FaxPace, MockPhaxio},
};
use http::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const NUMBER: &str = "+15558675309";

/// A tiny client: one request, with the keys of the account.
async fn ask(
    mock: &MockHttp<MockPhaxio>,
    method: Method,
    path: &str,
    kind: &str,
    body: impl Into<Bytes>,
) -> HttpResponse {
    let basic = format!("{}:{}", MockPhaxio::KEY, MockPhaxio::SECRET);
    let url = mock.api_url().join(path).unwrap();
    let request = HttpRequest::new(method, url)
        .with_body(body)
        .with_header(AUTHORIZATION, &format!("Basic {}", STANDARD.encode(basic)))
        .unwrap()
        .with_header(CONTENT_TYPE, kind)
        .unwrap();
    mock.client().execute(request).await.unwrap()
}

fn value(response: &HttpResponse) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

async fn get(mock: &MockHttp<MockPhaxio>, path: &str) -> Value {
    value(&ask(mock, Method::GET, path, "", "").await)
}

/// Sends a form of this text: `name=value` for a field, `name@file name=content` for a file.
async fn send(mock: &MockHttp<MockPhaxio>, items: &[(&str, &str)]) -> (u16, Value) {
    let mut body = String::new();
    for (name, value) in items {
        body += "--B\r\nContent-Disposition: form-data; ";
        match name.split_once('@') {
            Some((name, file)) => body += &format!("name=\"{name}\"; filename=\"{file}\""),
            None => body += &format!("name=\"{name}\""),
        }
        body += &format!("\r\n\r\n{value}\r\n");
    }
    body += "--B--\r\n";
    let kind = "multipart/form-data; boundary=B";
    let answer = ask(mock, Method::POST, "faxes", kind, body).await;
    (answer.status.as_u16(), value(&answer))
}

/// Sends two pages to a number, and answers the id.
async fn send_to(mock: &MockHttp<MockPhaxio>, number: &str) -> u64 {
    let pdf = String::from_utf8(MockPhaxio::blank_pdf(2).to_vec()).unwrap();
    let (status, body) = send(mock, &[("to", number), ("file@a.pdf", &pdf)]).await;
    assert_eq!(status, 200, "{body}");
    body["data"]["id"].as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_fax_is_taken_as_the_recorded_traffic_says() {
    let mock = MockPhaxio::new().test_keys().in_memory();
    let (status, body) = send(&mock, &[("to", NUMBER), ("file@test.pdf", "%PDF-1.4")]).await;
    let id = 323_034_811_u64;
    let expected =
        json!({"success": true, "message": "Fax queued for sending", "data": {"id": id}});
    assert_eq!((status, body), (200, expected));
    // phaxio-ruby@c1cb8e4 spec/support/cassettes/fax/get.yml
    let shown = get(&mock, &format!("faxes/{id}")).await;
    assert_eq!(shown["message"], "Metadata for fax");
    let mut fax = shown["data"].clone();
    let created = fax["created_at"].as_str().unwrap().to_owned();
    assert!(created.ends_with("-06:00") && created.parse::<Timestamp>().is_ok());
    fax["created_at"] = json!("");
    let recipient = json!({"phone_number": NUMBER, "status": null, "retry_count": 0,
        "completed_at": null, "bitrate": null, "resolution": null, "error_type": null,
        "error_id": null, "error_message": null});
    let expected = json!({"id": id, "direction": "sent", "num_pages": 0, "status": "queued",
        "is_test": true, "created_at": "", "caller_id": null, "from_number": null,
        "completed_at": null, "caller_name": null, "cost": 0, "tags": {},
        "recipients": [recipient], "to_number": null, "error_id": null, "error_type": null,
        "error_message": null, "barcodes": []});
    assert_eq!(fax, expected);
}

#[tokio::test(start_paused = true)]
async fn faxes_age_to_the_end_of_their_script() {
    let line = "lineError";
    // The end, the status of the fax, type and code of the error, cents.
    let cases = [
        (FaxEnd::Success, "success", "", 0, 14),
        (FaxEnd::Busy, "failure", line, 17, 0),
        (FaxEnd::NoAnswer, "failure", line, 16, 0),
        (FaxEnd::Congestion, "failure", line, 15, 0),
        (FaxEnd::InvalidNumber, "failure", line, 34, 0),
        (FaxEnd::Rejected, "failure", "faxError", 133, 0),
        (FaxEnd::NotAFax, "failure", "faxError", 132, 0),
        (FaxEnd::FailsAfter(0), "failure", "faxError", 13, 0),
        (FaxEnd::FailsAfter(1), "failure", "faxError", 8, 0),
        (
            FaxEnd::BadDocument,
            "failure",
            "documentConversionError",
            4,
            0,
        ),
        (FaxEnd::NoFunds, "failure", "fatalError", 46, 0),
        (
            FaxEnd::Native("generalError".into(), 99),
            "failure",
            "generalError",
            99,
            0,
        ),
        (FaxEnd::Endless, "inprogress", "", 0, 14),
        (
            FaxEnd::Word("ready_to_send".into()),
            "ready_to_send",
            "",
            0,
            14,
        ),
    ];
    for (end, status, kind, code, cost) in cases {
        let mock = MockPhaxio::new().pace(FaxPace::real()).in_memory();
        mock.vendor(|phaxio| phaxio.next_fax(end.clone()));
        let path = format!("faxes/{}", send_to(&mock, NUMBER).await);
        assert_eq!(get(&mock, &path).await["data"]["status"], "queued");
        tokio::time::sleep(Duration::from_secs(600)).await;
        let fax = &get(&mock, &path).await["data"];
        assert_eq!(fax["status"], status, "{end:?}");
        let over = matches!(status, "success" | "failure");
        assert_eq!(fax["completed_at"].is_string(), over, "{end:?}");
        assert_eq!(fax["error_type"].as_str().unwrap_or(""), kind, "{end:?}");
        assert_eq!(fax["error_id"].as_u64().unwrap_or(0), code, "{end:?}");
        assert_eq!(fax["recipients"][0]["error_id"], fax["error_id"], "{end:?}");
        assert_eq!(fax["cost"], cost, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fax_to_several_numbers_is_one_and_ends_in_a_part_of_a_success() {
    let mock = MockPhaxio::new()
        .on_number("+1555*", FaxEnd::Busy)
        .in_memory();
    let (status, body) = send(
        &mock,
        &[
            ("to[]", NUMBER),
            ("to[]", "4145556984"),
            ("file[]@a.txt", "hello"),
        ],
    )
    .await;
    assert_eq!(status, 200, "{body}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let list = get(&mock, "faxes").await;
    assert_eq!(
        list["paging"],
        json!({"total": 1, "per_page": 25, "page": 1})
    );
    let fax = &list["data"][0];
    assert_eq!(fax["status"], "partialsuccess");
    let statuses: Vec<_> = (0..2).map(|at| &fax["recipients"][at]["status"]).collect();
    assert_eq!(statuses, ["failure", "success"]);
    assert_eq!(fax["recipients"][1]["phone_number"], "+14145556984");
    assert_eq!(fax["cost"], 7);
}

#[tokio::test(start_paused = true)]
async fn the_books_have_what_was_uploaded() {
    let mock = MockPhaxio::new().numbers(&["+15550001111"]).in_memory();
    let pdf = String::from_utf8(MockPhaxio::blank_pdf(3).to_vec()).unwrap();
    let items = [
        ("to", NUMBER),
        ("file[]@one.pdf", pdf.as_str()),
        ("file[]@two.txt", "hello"),
        ("content_url[]", "https://example.com/a"),
        ("header_text", "Kopf"),
        ("header_page_nums", "false"),
        ("batch_delay", "60"),
        ("batch_collision_avoidance", "true"),
        ("callback_url", "https://example.com/cb/"),
        ("cancel_timeout", "5"),
        ("caller_id", "+15550001111"),
        ("tag[job]", "j-1"),
        ("tag[other]", "x"),
    ];
    assert_eq!(send(&mock, &items).await.0, 200);
    // The answer is lost, the fax is not.
    mock.fault(Fault::new(FaultKind::StatusAfterEffect { code: 500 }).on("POST", "/v2.1/faxes"));
    let kind = "application/x-www-form-urlencoded";
    let body =
        "to%5B%5D=%2B15558675309&content_url%5B%5D=https%3A%2F%2Fexample.com%2Fa&tag%5Bjob%5D=j-2";
    assert_eq!(
        ask(&mock, Method::POST, "faxes", kind, body).await.status,
        500
    );
    let books = mock.vendor(|phaxio| phaxio.books());
    assert_eq!(books.len(), 2);
    assert_eq!(
        (books[0].tags["job"].as_str(), books[1].tags["job"].as_str()),
        ("j-1", "j-2")
    );
    assert_eq!(
        (books[0].pages, books[0].status.as_str()),
        (5, "pendingbatch")
    );
    assert_eq!(
        (&books[0].documents[0][..], books[0].to.as_slice()),
        (pdf.as_bytes(), &[NUMBER.to_owned()][..])
    );
    assert_eq!(
        books[0].callback_url.as_deref(),
        Some("https://example.com/cb/")
    );
    assert_eq!(books[1].content_urls, ["https://example.com/a"]);
    assert!(!format!("{books:?}").contains(NUMBER));
    let found = get(&mock, "faxes?tag%5Bjob%5D=j-2").await;
    assert_eq!(
        (&found["paging"]["total"], &found["data"][0]["id"]),
        (&json!(1), &json!(books[1].id))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_documented_is_refused() {
    let mock = MockPhaxio::new().refuses_number("+1900*").in_memory();
    let ok = [("to", NUMBER), ("file@a.pdf", "%PDF-")];
    let long = "x".repeat(51);
    // What is taken of the order above, and what joins it.
    type Case<'a> = (&'a [usize], &'a [(&'a str, &'a str)]);
    let cases: &[Case<'_>] = &[
        (&[1], &[]),
        (&[0], &[]),
        (&[1], &[("to", "+1 555 867 5309")]),
        (&[1], &[("to", "15558675309")]),
        (&[1], &[("to", "+19005551234")]),
        (&[0], &[("file", "%PDF-")]),
        (&[0], &[("file@", "%PDF-")]),
        (&[0], &[("document@a.pdf", "%PDF-")]),
        (&[0, 1], &[("header_text", &long)]),
        (&[0, 1], &[("header_text", "a"), ("header_text", "b")]),
        (&[0, 1], &[("batch_delay", "3601")]),
        (&[0, 1], &[("cancel_timeout", "2")]),
        (&[0, 1], &[("cancel_timeout", "five")]),
        (&[0, 1], &[("callback_url", "ftp://example.com/")]),
        (&[0, 1], &[("content_url", "file:///etc/passwd")]),
        (&[0, 1], &[("header_page_nums", "1")]),
        (&[0, 1], &[("test_fail", "lineError")]),
        (&[0, 1], &[("job", "j-1")]),
        (&[0, 1], &[("tag[]", "j-1")]),
        (&[0, 1], &[("tag[a]", "1"), ("tag[a]", "2")]),
        (&[0], &[("direction", "received"), ("file@a.pdf", "%PDF-")]),
    ];
    for (from, more) in cases {
        let mut items: Vec<(&str, &str)> = from.iter().map(|&at| ok[at]).collect();
        items.extend(more.iter().copied());
        let (status, body) = send(&mock, &items).await;
        assert_eq!(
            (status, &body["success"]),
            (422, &json!(false)),
            "{items:?}"
        );
        assert!(body["message"].is_string() && body.get("data").is_none());
    }
    let tags: Vec<String> = (0..11).map(|at| format!("tag[t{at}]")).collect();
    let mut items = ok.to_vec();
    items.extend(tags.iter().map(|tag| (tag.as_str(), "x")));
    assert_eq!(send(&mock, &items).await.0, 422);
    items.pop();
    assert_eq!(send(&mock, &items).await.0, 200);
    for (kind, body) in [
        ("application/json", "{}"),
        ("multipart/form-data; boundary=B", "--B\r\n"),
    ] {
        assert_eq!(
            ask(&mock, Method::POST, "faxes", kind, body).await.status,
            422
        );
    }
    mock.vendor(|phaxio| phaxio.set_without_funds(true));
    assert_eq!(send(&mock, &ok).await.0, 422);
    assert_eq!(mock.vendor(|phaxio| phaxio.books().len()), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_and_paths_and_the_rate_are_checked() {
    let mock = MockPhaxio::new().rate(2).in_memory();
    for basic in [None, Some("mock-key-62c4:wrong"), Some("other:s3cret")] {
        let mut request = HttpRequest::get(mock.api_url().join("faxes").unwrap());
        if let Some(basic) = basic {
            let basic = format!("Basic {}", STANDARD.encode(basic));
            request = request.with_header(AUTHORIZATION, &basic).unwrap();
        }
        let answer = mock.client().execute(request).await.unwrap();
        assert_eq!(answer.status, 401);
        assert_eq!(value(&answer)["success"], false);
    }
    for path in ["faxes/1", "faxes/abc", "account/status", "/v2/faxes"] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let answer = ask(&mock, Method::GET, path, "", "").await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.headers.contains_key("x-request-id"));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let answer = ask(&mock, Method::GET, "faxes", "", "").await;
        statuses.push(answer.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_filtered_paged_and_late() {
    let lag = Duration::from_secs(10);
    let mock = MockPhaxio::new().list_lag(lag).in_memory();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(send_to(&mock, NUMBER).await);
    }
    mock.vendor(|phaxio| phaxio.receive_quietly("+15550002222", "+15550001111", "%PDF-"));
    let total = async |query: &str| {
        let list = get(&mock, &format!("faxes?{query}")).await;
        list["paging"]["total"].as_u64()
    };
    // What was sent is not listed yet.
    assert_eq!(total("").await, Some(1));
    tokio::time::sleep(lag).await;
    for (query, found) in [
        ("", Some(4)),
        ("direction=sent", Some(3)),
        ("direction=received&phone_number=%2B15550002222", Some(1)),
        ("phone_number=%2B15558675309&status=success", Some(3)),
        ("status=failure", Some(0)),
        ("created_after=2030-01-01T00%3A00%3A00%2B00%3A00", Some(0)),
        ("created_before=2020-01-01T00%3A00%3A00Z", Some(0)),
        ("tag%5Bjob%5D=j-1", Some(0)),
        // Refused: a bare plus is a blank.
        ("phone_number=+15558675309", None),
        ("created_after=2026-01-01T00:00:00+00:00", None),
        ("created_after=2026-01-01T00:00:00", None),
        ("status=SUCCESS", None),
        ("per_page=1001", None),
        ("page=0", None),
        ("label=1", None),
    ] {
        assert_eq!(total(query).await, found, "{query}");
    }
    let page = get(&mock, "faxes?direction=sent&per_page=2&page=2").await;
    assert_eq!(
        page["paging"],
        json!({"total": 3, "per_page": 2, "page": 2})
    );
    // The newest come first.
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    assert_eq!(page["data"][0]["id"], ids[0]);
    let week = Duration::from_secs(7 * 24 * 3600);
    tokio::time::sleep(week).await;
    assert_eq!(total("").await, Some(0));
    let after = (Timestamp::now() - week).to_seconds();
    assert_eq!(total(&format!("created_after={after}")).await, Some(4));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_works_later_or_too_late() {
    let mock = MockPhaxio::new().pace(FaxPace::real()).in_memory();
    mock.vendor(|phaxio| phaxio.next_fax(FaxEnd::Endless));
    let id = send_to(&mock, NUMBER).await;
    let path = format!("faxes/{id}/cancel");
    let answer = ask(&mock, Method::POST, &path, "", "").await;
    let message = "Fax cancellation scheduled successfully.";
    assert_eq!(
        value(&answer),
        json!({"success": true, "message": message, "data": {"id": id}})
    );
    assert_eq!(
        get(&mock, &format!("faxes/{id}")).await["data"]["status"],
        "queued"
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    let fax = &get(&mock, &format!("faxes/{id}")).await["data"];
    assert_eq!(
        (&fax["status"], &fax["error_id"]),
        (&json!("failure"), &json!(75))
    );
    tokio::time::sleep(Duration::from_secs(600)).await;
    // What was planned before is void.
    let fax = &get(&mock, &format!("faxes/{id}")).await["data"];
    assert_eq!(fax["error_id"], 75);
    assert_eq!(ask(&mock, Method::POST, &path, "", "").await.status, 422);
    // A time-out of the customer's.
    mock.vendor(|phaxio| phaxio.next_fax(FaxEnd::Endless));
    let items = [
        ("to", NUMBER),
        ("file@a.pdf", "%PDF-"),
        ("cancel_timeout", "3"),
    ];
    let id = send(&mock, &items).await.1["data"]["id"].clone();
    tokio::time::sleep(Duration::from_secs(181)).await;
    assert_eq!(
        get(&mock, &format!("faxes/{id}")).await["data"]["error_id"],
        76
    );
}

#[tokio::test(start_paused = true)]
async fn files_are_fetched_and_deleted_and_faxes_sent_again() {
    let mock = MockPhaxio::new().in_memory();
    let id = send_to(&mock, NUMBER).await;
    let file = format!("faxes/{id}/file");
    assert_eq!(ask(&mock, Method::GET, &file, "", "").await.status, 404);
    assert_eq!(ask(&mock, Method::DELETE, &file, "", "").await.status, 422);
    let resend = format!("faxes/{id}/resend");
    assert_eq!(ask(&mock, Method::POST, &resend, "", "").await.status, 422);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answer = ask(&mock, Method::GET, &file, "", "").await;
    assert_eq!(answer.body, MockPhaxio::blank_pdf(2));
    assert_eq!(answer.headers["content-type"], "application/pdf");
    let disposition = format!("attachment; filename=\"fax-{id}.pdf\"");
    assert_eq!(answer.headers["content-disposition"], disposition);
    let answer = ask(&mock, Method::GET, &format!("{file}?thumbnail=s"), "", "").await;
    assert_eq!(answer.headers["content-type"], "image/jpeg");
    assert_eq!(
        ask(&mock, Method::GET, &format!("{file}?thumbnail=x"), "", "")
            .await
            .status,
        422
    );

    let kind = "application/x-www-form-urlencoded";
    let body = "callback_url=https%3A%2F%2Fexample.com%2F";
    let again = value(&ask(&mock, Method::POST, &resend, kind, body).await);
    assert_eq!(again["message"], "Fax queued for resending");
    let books = mock.vendor(|phaxio| phaxio.books());
    assert_eq!(
        (books.len(), books[1].resent, &again["data"]["id"]),
        (2, Some(id), &json!(books[1].id))
    );

    let answer = ask(&mock, Method::DELETE, &file, "", "").await;
    assert_eq!(
        value(&answer),
        json!({"success": true, "message": "Deleted files successfully!"})
    );
    assert_eq!(ask(&mock, Method::GET, &file, "", "").await.status, 404);
    // Only with test keys.
    assert_eq!(
        ask(&mock, Method::DELETE, &format!("faxes/{id}"), "", "")
            .await
            .status,
        422
    );
    let mock = MockPhaxio::new().test_keys().in_memory();
    let id = send_to(&mock, NUMBER).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answer = ask(&mock, Method::DELETE, &format!("faxes/{id}"), "", "").await;
    assert_eq!(
        value(&answer),
        json!({"success": true, "message": "Deleted fax successfully!"})
    );
    assert!(mock.vendor(|phaxio| phaxio.books()).is_empty());
}

/// What a callback says: its fields, and the names of its files with their lengths.
type Told = (Vec<(String, String)>, Vec<(String, usize)>);

async fn read(request: &WebhookRequest) -> Told {
    let boundary = multer::parse_boundary(request.header("content-type").unwrap()).unwrap();
    let body = http_body_util::Full::new(request.body.clone());
    let stream = http_body_util::BodyExt::into_data_stream(body);
    let mut form = multer::Multipart::new(stream, boundary);
    let (mut fields, mut files) = (Vec::new(), Vec::new());
    while let Some(field) = form.next_field().await.unwrap() {
        let name = field.name().unwrap().to_owned();
        match field.file_name() {
            Some(_) => files.push((name, field.bytes().await.unwrap().len())),
            None => fields.push((name, field.text().await.unwrap())),
        }
    }
    (fields, files)
}

/// Delivers into a list.
fn collect(mock: &MockHttp<MockPhaxio>) -> Arc<Mutex<Vec<WebhookRequest>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    mock.webhooks().to(move |request| {
        list.lock().unwrap().push(request);
        async { WebhookReply::received() }
    });
    seen
}

fn field<'a>(told: &'a Told, name: &str) -> &'a str {
    let (_, value) = told.0.iter().find(|(own, _)| own == name).unwrap();
    value
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_fax_is_told_with_a_signature() {
    let mock = MockPhaxio::new()
        .reports_to("https://example.com/hooks/p?a=1")
        .redials(1)
        .with_inflight()
        .in_memory();
    let seen = collect(&mock);
    send_to(&mock, NUMBER).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(mock.webhooks().settled(Duration::from_secs(1)).await);
    let seen = seen.lock().unwrap().clone();
    let mut events = Vec::new();
    for request in &seen {
        assert_eq!(request.path, "/hooks/p?a=1");
        assert_eq!(request.header("x-phaxio-signature").unwrap().len(), 40);
        let told = read(request).await;
        assert!(told.1.is_empty());
        events.push(field(&told, "event_type").to_owned());
        let fax: Value = serde_json::from_str(field(&told, "fax")).unwrap();
        assert_eq!(
            (&fax["direction"], &fax["recipients"][0]["retry_count"]),
            (&json!("sent"), &json!(1))
        );
        match events.last().unwrap().as_str() {
            "transmitting_page" => assert_eq!(field(&told, "recipient_phone_number"), NUMBER),
            "retry_scheduled" => assert_eq!(field(&told, "retry_count"), "1"),
            _ => assert_eq!(
                (field(&told, "success"), &fax["status"]),
                ("true", &json!("success"))
            ),
        }
    }
    assert_eq!(
        events,
        [
            "retry_scheduled",
            "transmitting_page",
            "transmitting_page",
            "fax_completed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_comes_in_is_told_with_its_file() {
    let url = "https://example.com/hooks/p/";
    // The version, the name of the file's part, whether there is an event type.
    for (version, part, has_type) in [
        (CallbackVersion::Full, "file", true),
        (CallbackVersion::Documented, "file", true),
        (CallbackVersion::Version1, "filename", false),
    ] {
        let mock = MockPhaxio::new()
            .test_keys()
            .calls_back(url)
            .version(version)
            .in_memory();
        let seen = collect(&mock);
        let pdf = MockPhaxio::blank_pdf(2);
        let id = mock.vendor(|phaxio| phaxio.receive("+15550002222", "+15550001111", pdf.clone()));
        assert!(
            mock.wait_until(Duration::from_secs(1), |mock| mock
                .webhooks()
                .deliveries()
                .pop())
                .await
                .is_some()
        );
        let request = seen.lock().unwrap().pop().unwrap();
        let told = read(&request).await;
        assert_eq!(told.1, [(part.to_owned(), pdf.len())]);
        assert_eq!(
            told.0.iter().any(|(name, _)| name == "event_type"),
            has_type
        );
        let fax: Value = serde_json::from_str(field(&told, "fax")).unwrap();
        assert_eq!((&fax["id"], &fax["num_pages"]), (&json!(id), &json!(2)));
        assert_eq!(
            fax["requested_at"].is_u64(),
            version == CallbackVersion::Version1
        );
        let file = ask(&mock, Method::GET, &format!("faxes/{id}/file"), "", "").await;
        assert_eq!(file.body, pdf);
        // The same by the vendor's own simulation.
        let items = [
            ("direction", "received"),
            ("file@a.pdf", "%PDF-"),
            ("to_number", NUMBER),
        ];
        let (status, body) = send(&mock, &items).await;
        assert_eq!((status, body.get("data")), (200, None));
        let message =
            format!("Test fax received from +18773346654 to {NUMBER}.  Calling back now...");
        assert_eq!(body["message"], message);
        mock.finish().await;
        assert_eq!(seen.lock().unwrap().len(), 1);
    }
    let mock = MockPhaxio::new()
        .calls_back(url)
        .without_file()
        .token(None)
        .in_memory();
    let seen = collect(&mock);
    mock.webhooks().next(CallbackFault::Twice);
    mock.vendor(|phaxio| phaxio.receive("+15550002222", "+15550001111", "%PDF-"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].header("x-phaxio-signature").is_none());
    assert!(read(&seen[1]).await.1.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_test_may_end_a_fax_as_it_likes() {
    let mock = MockPhaxio::new()
        .reports_to("https://example.com/")
        .in_memory();
    let seen = collect(&mock);
    mock.vendor(|phaxio| phaxio.next_fax(FaxEnd::Endless));
    let id = send_to(&mock, NUMBER).await;
    assert!(mock.vendor(|phaxio| phaxio.settle(id, &FaxEnd::Busy)));
    assert!(!mock.vendor(|phaxio| phaxio.settle(id, &FaxEnd::Success)));
    let fax = &get(&mock, &format!("faxes/{id}")).await["data"];
    assert_eq!(
        (&fax["status"], &fax["error_id"]),
        (&json!("failure"), &json!(17))
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn it_is_there_over_a_real_link() {
    let mock = MockPhaxio::new().start().await;
    let mut stream = tokio::net::TcpStream::connect(mock.address().unwrap())
        .await
        .unwrap();
    let request = "GET /v2.1/faxes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
        Authorization: Basic bW9jay1rZXktNjJjNDpzM2NyZXQ=\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("x-total: 0\r\n"));
    assert!(answer.contains(r#""message":"Retrieved faxes successfully""#));
    mock.finish().await;
}
