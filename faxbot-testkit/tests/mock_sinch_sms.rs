#![cfg(test)]
//! MockSinchSms says and takes what the vendor's own clients say and take.

use std::time::Duration;

use faxbot_core::http::{HttpClient as _, HttpRequest};
use faxbot_testkit::server::{
    http::{Fault, FaultKind, MockHttp},
    sinch_sms::{IncomingSms, MockSinchSms, SmsEnd, SmsPace, signature},
};
use http::Method;
use serde_json::{Value, json};
use url::Url;

mod api;
use api::Api;

const HOOK: &str = "https://customer.example/webhooks/sms";
const US: &str = "15551234567";
const FROM: &str = "15550000000";

fn slow() -> MockSinchSms {
    let pace = SmsPace::new(Duration::from_secs(10), Duration::from_secs(20));
    MockSinchSms::new().pace(pace)
}

fn api(mock: &MockHttp<MockSinchSms>) -> Api<MockSinchSms> {
    let path = format!("xms/v1/{}/", MockSinchSms::PLAN);
    Api::new(mock, &path, &format!("Bearer {}", MockSinchSms::API_TOKEN))
}

fn text(to: &[&str], more: Value) -> Value {
    let mut body = json!({"type": "mt_text", "to": to, "from": FROM, "body": "hi"});
    let (Value::Object(body_map), Value::Object(more)) = (&mut body, more) else {
        unreachable!()
    };
    body_map.extend(more);
    body
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

async fn create(api: &Api<MockSinchSms>, body: &Value) -> String {
    let batch = api.post("batches", body).await.good();
    batch["id"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_told_back_as_it_was_given_and_booked() {
    let mock = slow().in_memory();
    let api = api(&mock);
    let body = text(
        &["+15551234567", "15557654321"],
        json!({"client_reference": "job-7", "delivery_report": "full", "body": "caf\u{e9} 📠"}),
    );
    let answer = api.post("batches", &body).await;
    assert_eq!(answer.status(), 201);
    let batch = answer.json();
    assert_eq!(batch["to"], json!(["15551234567", "15557654321"]));
    for (name, value) in [
        ("canceled", json!(false)),
        ("client_reference", json!("job-7")),
        ("delivery_report", json!("full")),
        ("type", json!("mt_text")),
        ("body", json!("café 📠")),
        ("flash_message", json!(false)),
    ] {
        assert_eq!(batch[name], value, "{name}");
    }
    let created = batch["created_at"].as_str().unwrap();
    assert_eq!(
        (created.len(), batch["id"].as_str().unwrap().len()),
        (24, 26)
    );
    assert_eq!(batch.get("status"), None);
    let id = batch["id"].as_str().unwrap();
    assert_eq!(api.get(&format!("batches/{id}")).await.good(), batch);

    let books = mock.vendor(|sms| sms.books());
    assert_eq!(books.len(), 1);
    assert_eq!(books[0].id, id);
    assert_eq!(books[0].client_reference.as_deref(), Some("job-7"));
    assert_eq!(books[0].to, ["15551234567", "15557654321"]);
    assert_eq!((&books[0].body, books[0].parts), (&json!("café 📠"), 1));
    assert!(!format!("{books:?}").contains("5551234567"));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_in_a_batch_is_refused_with_a_code() {
    let mock = slow().region("eu").in_memory();
    let api = api(&mock);
    let format = "syntax_invalid_parameter_format";
    let constraint = "syntax_constraint_violation";
    for (body, code) in [
        (json!([]), format),
        (json!({"from": FROM, "body": "hi"}), constraint),
        (json!({"to": [], "from": FROM, "body": "hi"}), constraint),
        (json!({"to": US, "from": FROM, "body": "hi"}), format),
        (json!({"to": [US], "from": FROM}), constraint),
        (text(&["+0123"], json!({})), format),
        (text(&["Muster"], json!({})), format),
        (text(&[US], json!({"body": 7})), format),
        (text(&[US], json!({"body": "a".repeat(2001)})), constraint),
        (
            text(&[US], json!({"client_reference": "a".repeat(2049)})),
            constraint,
        ),
        (text(&[US], json!({"delivery_report": "some"})), constraint),
        (text(&[US], json!({"callback_url": "customer"})), constraint),
        (text(&[US], json!({"send_at": "tomorrow"})), format),
        (text(&[US], json!({"flash_message": "yes"})), format),
        (
            text(&[US], json!({"max_number_of_message_parts": 0})),
            constraint,
        ),
        (text(&[US], json!({"type": "mt_fax"})), constraint),
        (text(&[US], json!({"clientReference": "job"})), format),
        (
            text(
                &[US],
                json!({"type": "mt_media", "body": {"url": "https://a.example/i.png"}}),
            ),
            constraint,
        ),
        (
            text(&[US], json!({"type": "mt_binary", "body": "QUJD"})),
            constraint,
        ),
        (
            text(
                &[US],
                json!({"type": "mt_binary", "body": "QUJD", "udh": "0"}),
            ),
            format,
        ),
    ] {
        let answer = api.post("batches", &body).await;
        assert_eq!(
            (answer.status(), answer.json()["code"].as_str()),
            (400, Some(code)),
            "{body}"
        );
        assert!(answer.json()["text"].is_string());
    }
    let raw = |kind, body: &[u8]| Some((kind, body.to_vec()));
    let answer = api
        .send(Method::POST, "batches", raw("application/json", b"{"))
        .await;
    assert_eq!(answer.json()["code"], "syntax_invalid_json");
    let answer = api
        .send(Method::POST, "batches", raw("text/plain", b"{}"))
        .await;
    assert_eq!(answer.status(), 415);
    mock.vendor(|sms| sms.set_blocked(true));
    let answer = api.post("batches", &text(&[US], json!({}))).await;
    assert_eq!(
        (answer.status(), answer.json()["code"].as_str()),
        (403, Some("blocked_account"))
    );
    assert_eq!(mock.vendor(|sms| sms.books()).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn reports_follow_a_message_through_its_states() {
    let mock = slow()
        .on_number("1555000*", SmsEnd::Failed(404))
        .on_number("15550002222", SmsEnd::Rejected(402))
        .in_memory();
    let api = api(&mock);
    let to = [US, "15550001111", "15550002222"];
    let id = create(&api, &text(&to, json!({"client_reference": "r"}))).await;
    let report = async |query: &str| {
        api.get(&format!("batches/{id}/delivery_report{query}"))
            .await
            .good()
    };

    let queued = report("?type=full").await;
    assert_eq!(queued["total_message_count"], 3);
    assert_eq!(
        queued["statuses"],
        json!([{"code": 400, "count": 3, "status": "Queued", "recipients": to}])
    );
    seconds(10).await;
    let summary = report("").await;
    assert_eq!(summary["type"], "delivery_report_sms");
    assert_eq!(summary["client_reference"], "r");
    assert_eq!(
        summary["statuses"],
        json!([
            {"code": 401, "count": 2, "status": "Dispatched"},
            {"code": 402, "count": 1, "status": "Rejected"},
        ])
    );
    seconds(20).await;
    let full = report("?type=full&batch_id=ignored&status=delivered,Failed&code=0").await;
    assert_eq!(
        full["statuses"],
        json!([{"code": 0, "count": 1, "status": "Delivered", "recipients": [US]}])
    );

    let one = api
        .get(&format!("batches/{id}/delivery_report/+15550001111"))
        .await
        .good();
    assert_eq!(one["type"], "recipient_delivery_report_sms");
    assert_eq!(
        (&one["status"], &one["code"]),
        (&json!("Failed"), &json!(404))
    );
    assert_eq!(one["recipient"], "15550001111");
    assert_eq!(one.get("number_of_message_parts"), None);
    let stranger = api
        .get(&format!("batches/{id}/delivery_report/15559999999"))
        .await;
    assert_eq!(stranger.status(), 404);
    assert_eq!(
        api.get("batches/nothing/delivery_report").await.status(),
        404
    );

    let all = api
        .get("delivery_reports?client_reference=r&page_size=2")
        .await
        .good();
    assert_eq!((&all["count"], &all["page_size"]), (&json!(3), &json!(2)));
    let none = api
        .get("delivery_reports?client_reference=other")
        .await
        .good();
    assert_eq!(none["count"], 0);
}

#[tokio::test(start_paused = true)]
async fn each_end_has_its_word_and_code() {
    for (end, wanted) in [
        (SmsEnd::Delivered, ("Delivered", 0)),
        (SmsEnd::Aborted(403), ("Aborted", 403)),
        (SmsEnd::Expired, ("Expired", 406)),
        (SmsEnd::Endless, ("Dispatched", 401)),
        (SmsEnd::Word("PARKED".into(), 77), ("PARKED", 77)),
    ] {
        let mock = slow().in_memory();
        mock.vendor(|sms| sms.next_message(end));
        let api = api(&mock);
        let id = create(&api, &text(&[US], json!({}))).await;
        seconds(60).await;
        let one = api
            .get(&format!("batches/{id}/delivery_report/{US}"))
            .await
            .good();
        assert_eq!(
            (one["status"].as_str(), one["code"].as_u64()),
            (Some(wanted.0), Some(wanted.1))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_has_the_parts_that_it_may_have() {
    let mock = slow().in_memory();
    let api = api(&mock);
    let long = "a".repeat(161);
    for (more, status, parts) in [
        (json!({"max_number_of_message_parts": 2}), "Delivered", 2),
        (json!({"max_number_of_message_parts": 1}), "Aborted", 2),
        (
            json!({"max_number_of_message_parts": 1, "truncate_concat": true}),
            "Delivered",
            1,
        ),
        (
            json!({"max_number_of_message_parts": 9, "from": null}),
            "Aborted",
            2,
        ),
    ] {
        let mut body = text(&[US], more);
        body["body"] = json!(long);
        let id = create(&api, &body).await;
        seconds(30).await;
        let one = api
            .get(&format!("batches/{id}/delivery_report/{US}"))
            .await
            .good();
        assert_eq!(one["status"], status, "{body}");
        assert_eq!(one["number_of_message_parts"], parts);
        assert_eq!(one["encoding"], "GSM");
    }
    let body = text(&[US, "15557654321"], json!({"body": "я".repeat(71)}));
    let before = mock.vendor(|sms| sms.books()).len();
    let dry = api
        .post(
            "batches/dry_run?per_recipient=True&number_of_recipients=1",
            &body,
        )
        .await
        .good();
    assert_eq!(
        (&dry["number_of_recipients"], &dry["number_of_messages"]),
        (&json!(2), &json!(4))
    );
    assert_eq!(dry["per_recipient"].as_array().unwrap().len(), 1);
    assert_eq!(dry["per_recipient"][0]["encoding"], "unicode");
    assert_eq!(mock.vendor(|sms| sms.books()).len(), before);
}

#[tokio::test(start_paused = true)]
async fn only_what_waits_can_be_cancelled() {
    let mock = slow().in_memory();
    let api = api(&mock);
    let early = create(&api, &text(&[US], json!({}))).await;
    assert_eq!(
        api.delete(&format!("batches/{early}")).await.good()["canceled"],
        true
    );
    let late = create(&api, &text(&[US], json!({}))).await;
    seconds(15).await;
    assert_eq!(
        api.delete(&format!("batches/{late}")).await.good()["canceled"],
        true
    );
    seconds(30).await;
    for (id, status) in [(early, "Cancelled"), (late, "Delivered")] {
        let report = api
            .get(&format!("batches/{id}/delivery_report"))
            .await
            .good();
        assert_eq!(report["statuses"][0]["status"], status);
    }
    assert_eq!(api.delete("batches/nothing").await.status(), 404);
    assert!(
        mock.vendor(|sms| sms.books())
            .iter()
            .all(|book| book.canceled)
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_its_time_and_expires() {
    let mock = slow().in_memory();
    let api = api(&mock);
    let now = faxbot_core::Timestamp::now();
    let hour = Duration::from_secs(3600);
    let send = (now + hour).to_string();
    let expire = (now + hour + Duration::from_secs(15)).to_string();
    let id = create(
        &api,
        &text(&[US], json!({"send_at": send, "expire_at": expire})),
    )
    .await;
    for (after, status) in [(60, "Queued"), (3552, "Dispatched"), (30, "Expired")] {
        seconds(after).await;
        let report = api
            .get(&format!("batches/{id}/delivery_report"))
            .await
            .good();
        assert_eq!(report["statuses"][0]["status"], status);
    }
}

#[tokio::test(start_paused = true)]
async fn batches_are_listed_by_reference_and_time_newest_first() {
    let mock = slow().list_lag(Duration::from_secs(5)).in_memory();
    let api = api(&mock);
    for number in 0..5 {
        let more = json!({"client_reference": format!("r{number}"), "from": format!("1555000000{}", number % 2)});
        create(&api, &text(&[US], more)).await;
        seconds(10).await;
    }
    let list = async |query: &str| api.get(&format!("batches?{query}")).await.good();
    let references = |list: &Value| -> Vec<String> {
        let batches = list["batches"].as_array().unwrap().iter();
        batches
            .map(|batch| batch["client_reference"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(references(&list("client_reference=r3").await), ["r3"]);
    let page = list("page=1&page_size=2").await;
    assert_eq!(
        (&page["count"], &page["page"], &page["page_size"]),
        (&json!(5), &json!(1), &json!(2))
    );
    assert_eq!(references(&page), ["r2", "r1"]);
    assert_eq!(list("page=9").await["page_size"], 0);
    assert_eq!(
        references(&list("from=%2B15550000001,15559999999").await),
        ["r3", "r1"]
    );
    let since = faxbot_core::Timestamp::now() + Duration::from_secs(35);
    assert_eq!(
        references(&list(&format!("start_date={since}")).await),
        ["r4"]
    );
    for query in ["page=-1", "page_size=101", "start_date=now"] {
        assert_eq!(
            api.get(&format!("batches?{query}")).await.status(),
            400,
            "{query}"
        );
    }
    // A new one is not there at once.
    create(&api, &text(&[US], json!({"client_reference": "new"}))).await;
    assert_eq!(list("client_reference=new").await["count"], 0);
    seconds(5).await;
    assert_eq!(list("client_reference=new").await["count"], 1);
    // By default a list goes back one day, and nothing is kept for more than 14.
    seconds(24 * 3600).await;
    assert_eq!(list("").await["count"], 0);
    assert_eq!(list("start_date=2020-01-01").await["count"], 6);
    seconds(14 * 24 * 3600).await;
    assert_eq!(list("start_date=2020-01-01").await["count"], 0);
}

#[tokio::test(start_paused = true)]
async fn messages_that_come_in_are_listed_and_called_back() {
    let mock = slow().calls_back(HOOK.parse().unwrap()).in_memory();
    let api = api(&mock);
    let loud = IncomingSms::text("16051234567", "13185551234", "hello");
    let loud = mock.vendor(|sms| sms.receive(loud));
    seconds(1).await;
    let quiet = IncomingSms::media(
        "+16051234567",
        "13185550000",
        "a picture",
        &[("https://media.example/1.png", "image/png")],
    );
    let quiet = quiet.with("client_reference", json!("r")).quiet();
    let quiet = mock.vendor(|sms| sms.receive(quiet));
    let binary = IncomingSms::binary("16051234567", "13185551234", b"ABC", "0605040b").quiet();
    mock.vendor(|sms| sms.receive(binary));

    let all = api.get("inbounds?page_size=30").await.good();
    assert_eq!(all["count"], 3);
    assert_eq!(all["inbounds"][2]["id"], loud.as_str());
    let some = api.get("inbounds?to=%2B13185551234,1").await.good();
    assert_eq!(some["count"], 2);
    assert_eq!(some["inbounds"][0]["udh"], "0605040b");
    let by_reference = api.get("inbounds?client_reference=r").await.good();
    assert_eq!(
        by_reference["inbounds"][0]["body"]["media"][0]["status"],
        "Uploaded"
    );
    assert_eq!(
        api.get(&format!("inbounds/{quiet}")).await.good()["type"],
        "mo_media"
    );
    assert_eq!(api.get("inbounds/nothing").await.status(), 404);

    let callbacks = mock.webhooks().callbacks();
    assert_eq!(callbacks.len(), 1);
    let told: Value = serde_json::from_slice(&callbacks[0].body).unwrap();
    assert_eq!(told, api.get(&format!("inbounds/{loud}")).await.good());
}

#[tokio::test(start_paused = true)]
async fn callbacks_come_as_the_batch_asked_for_them() {
    let recipient = "recipient_delivery_report_sms";
    for (kind, wanted) in [
        ("none", vec![]),
        ("summary", vec![("delivery_report_sms", 30)]),
        ("full", vec![("delivery_report_sms", 30)]),
        (
            "per_recipient",
            vec![(recipient, 10), (recipient, 10), (recipient, 30)],
        ),
        (
            "per_recipient_final",
            vec![(recipient, 10), (recipient, 30)],
        ),
    ] {
        let mock = slow()
            .on_number("15550000001", SmsEnd::Rejected(402))
            .calls_back("https://elsewhere.example/".parse().unwrap())
            .in_memory();
        let started = tokio::time::Instant::now();
        let more = json!({"delivery_report": kind, "callback_url": HOOK});
        create(&api(&mock), &text(&[US, "15550000001"], more)).await;
        // Between the seconds at which something happens.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut seen = Vec::new();
        while started.elapsed() < Duration::from_secs(60) {
            seconds(1).await;
            let callbacks = mock.webhooks().callbacks();
            for callback in callbacks.iter().skip(seen.len()) {
                let told: Value = serde_json::from_slice(&callback.body).unwrap();
                assert_eq!(callback.url.as_str(), HOOK);
                let has_recipients = told["statuses"][0].get("recipients").is_some();
                assert_eq!(has_recipients, kind == "full");
                let at = started.elapsed().as_secs();
                seen.push((told["type"].as_str().unwrap().to_owned(), at));
            }
        }
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|(kind, at)| (kind.to_owned(), at))
            .collect();
        assert_eq!(seen, wanted, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn callbacks_are_signed_over_their_bytes() {
    let mock = slow()
        .calls_back(HOOK.parse().unwrap())
        .signs_with("p5 secret")
        .in_memory();
    create(
        &api(&mock),
        &text(&[US], json!({"delivery_report": "per_recipient"})),
    )
    .await;
    seconds(60).await;
    let callbacks = mock.webhooks().callbacks();
    assert_eq!(callbacks.len(), 2);
    for callback in &callbacks {
        let header = |name: &str| {
            callback.headers[format!("x-sinch-webhook-signature{name}")]
                .to_str()
                .unwrap()
        };
        assert_eq!(header("-algorithm"), "HmacSHA256");
        let timestamp = header("-timestamp").parse().unwrap();
        let wanted = signature("p5 secret", &callback.body, header("-nonce"), timestamp);
        assert_eq!(header(""), wanted);
    }
    let nonces: Vec<_> = callbacks
        .iter()
        .map(|one| &one.headers["x-sinch-webhook-signature-nonce"])
        .collect();
    assert_ne!(nonces[0], nonces[1]);
}

#[tokio::test(start_paused = true)]
async fn a_callback_comes_again_after_5xx_and_429_and_never_after_another_4xx() {
    use faxbot_core::webhook::WebhookReply;
    for (status, attempts) in [(200, 1), (503, 16), (429, 16), (400, 1), (401, 1), (404, 1)] {
        let mock = slow().calls_back(HOOK.parse().unwrap()).in_memory();
        mock.webhooks().shorten(1);
        let status = http::StatusCode::from_u16(status).unwrap();
        mock.webhooks()
            .to(move |_| async move { WebhookReply::status(status) });
        let started = tokio::time::Instant::now();
        mock.vendor(|sms| sms.receive(IncomingSms::text("16051234567", "13185551234", "hello")));
        seconds(1).await;
        assert!(
            mock.webhooks()
                .settled(Duration::from_secs(1_000_000))
                .await
        );
        assert_eq!(mock.webhooks().deliveries().len(), attempts, "{status}");
        if attempts > 1 {
            // 5 + 10 + ... + 81920 seconds.
            assert!(started.elapsed() >= Duration::from_secs(163_835));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_can_be_ended_by_hand() {
    let mock = slow()
        .on_number("*", SmsEnd::Endless)
        .calls_back(HOOK.parse().unwrap())
        .in_memory();
    let id = create(
        &api(&mock),
        &text(&[US], json!({"delivery_report": "full"})),
    )
    .await;
    seconds(600).await;
    assert_eq!(mock.webhooks().callbacks().len(), 0);
    assert!(mock.vendor(|sms| sms.settle(&id, &SmsEnd::Failed(404))));
    seconds(1).await;
    let callbacks = mock.webhooks().callbacks();
    let told: Value = serde_json::from_slice(&callbacks[0].body).unwrap();
    assert_eq!(told["statuses"][0]["code"], 404);
    assert!(!mock.vendor(|sms| sms.settle("nothing", &SmsEnd::Delivered)));
}

#[tokio::test(start_paused = true)]
async fn a_plan_takes_its_token_and_a_project_one_that_lives() {
    let mock = slow().token_life(Duration::from_secs(60)).in_memory();
    let mut plan = api(&mock);
    for wrong in ["", "Bearer other", "Basic bW9jazptb2Nr"] {
        wrong.clone_into(&mut plan.authorization);
        assert_eq!(plan.get("batches").await.status(), 401, "{wrong}");
    }
    let token_of = async |authorization: &str, form: &str| {
        let auth = Api::new(&mock, "", authorization);
        let kind = "application/x-www-form-urlencoded";
        let form = Some((kind, form.as_bytes().to_vec()));
        auth.send(Method::POST, "oauth2/token", form).await
    };
    // base64 of the key and its secret
    let good = "Basic bW9jay1rZXktMTlhYjpzM2NyZXQ=";
    assert_eq!(
        token_of("Basic bW9jazptb2Nr", "grant_type=client_credentials")
            .await
            .status(),
        401
    );
    assert_eq!(token_of(good, "grant_type=password").await.status(), 400);
    let token = token_of(good, "grant_type=client_credentials").await.good();
    assert_eq!(
        (&token["expires_in"], &token["token_type"], &token["scope"]),
        (&json!(60), &json!("bearer"), &json!(""))
    );

    let path = format!("xms/v1/{}/", MockSinchSms::PROJECT);
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let project = Api::new(&mock, &path, &bearer);
    assert_eq!(
        project
            .post("batches", &text(&[US], json!({})))
            .await
            .status(),
        201
    );
    let in_plan = Api::new(&mock, &format!("xms/v1/{}/", MockSinchSms::PLAN), &bearer);
    assert_eq!(in_plan.get("batches").await.status(), 401);
    seconds(60).await;
    let late = project.get("batches").await;
    assert_eq!(late.status(), 401);
    assert!(late.header("www-authenticate").contains("expired"));
    assert_eq!(mock.vendor(|sms| sms.tokens_issued()), 1);
}

#[tokio::test(start_paused = true)]
async fn media_are_for_the_us_and_told_as_mms() {
    let mock = slow().plus_on_output().in_memory();
    let api = api(&mock);
    let media =
        json!({"type": "mt_media", "body": {"url": "https://a.example/i.png", "message": "see"}});
    assert_eq!(
        api.post("batches", &text(&["4915112345678"], media.clone()))
            .await
            .status(),
        400
    );
    let batch = api.post("batches", &text(&[US], media)).await.good();
    assert_eq!(batch["to"], json!(["+15551234567"]));
    let id = batch["id"].as_str().unwrap();
    let report = api
        .get(&format!("batches/{id}/delivery_report"))
        .await
        .good();
    assert_eq!(report["type"], "delivery_report_mms");
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_booked_and_found() {
    let mock = MockSinchSms::new().start().await;
    mock.fault(Fault::new(FaultKind::CutAfterEffect).on("POST", "/xms"));
    let api = api(&mock);
    let body = text(&[US], json!({"client_reference": "job-9"}));
    let url: Url = mock
        .url()
        .join(&format!("xms/v1/{}/batches", MockSinchSms::PLAN))
        .unwrap();
    let request = HttpRequest::post(url, body.to_string())
        .with_header(http::header::AUTHORIZATION, &api.authorization)
        .unwrap()
        .with_header(http::header::CONTENT_TYPE, "application/json")
        .unwrap();
    assert!(mock.client().execute(request).await.is_err());
    assert_eq!(mock.vendor(|sms| sms.books()).len(), 1);
    let found = api.get("batches?client_reference=job-9").await.good();
    assert_eq!(found["count"], 1);
}
