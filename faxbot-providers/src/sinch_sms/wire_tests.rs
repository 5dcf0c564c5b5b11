use http::StatusCode;

use super::*;
use faxbot_core::Effect;

fn prepared(content: MessageContent) -> PreparedMessage {
    PreparedMessage::new(Private::new("+15550104477".to_owned()), content, 1)
}

#[test]
fn a_text_is_the_batch_that_the_vendors_clients_send() {
    let message = prepared(MessageContent::text(MessageKind::Sms, "hi é"));
    let url = "https://fax.example.org/webhooks/x".parse().unwrap();
    assert_eq!(
        batch("ref-1", "15551230000", &message, true, Some(&url)),
        json!({
            "type": "mt_text", "from": "15551230000", "to": ["+15550104477"], "body": "hi é",
            "client_reference": "ref-1", "delivery_report": "per_recipient",
            "callback_url": "https://fax.example.org/webhooks/x",
        })
    );
    // Without reports no address of ours is given away.
    let quiet = batch("ref-1", "15551230000", &message, false, Some(&url));
    assert_eq!(quiet["delivery_report"], "none");
    assert!(quiet.get("callback_url").is_none());
}

#[test]
fn media_are_a_batch_of_their_own_type() {
    let url = "https://example.org/a.png".parse().unwrap();
    let content = MessageContent::text(MessageKind::Mms, "look").with_media([url]);
    let batch = batch("ref-1", "15551230000", &prepared(content), true, None);
    assert_eq!(batch["type"], "mt_media");
    assert_eq!(
        batch["body"],
        json!({"url": "https://example.org/a.png", "message": "look"})
    );
    assert!(batch.get("callback_url").is_none());
}

#[test]
fn the_answer_to_a_batch_has_its_id() {
    // sinch-sdk-java openapi-contracts/src/test/resources/domains/sms/v1/batches/response/
    // TextResponseDto.json
    let text = r#"{"id":"01FC66621XXXXX119Z8PMV1QPQ","to":["+15551231234","+15551256344"],"from":"+15551231234","canceled":false,"parameters":{"name":{"msisdn":"value","default":"x"}},"body":"Hi ${name} ! How are you?","type":"mt_text","created_at":"2019-08-24T14:15:22Z","modified_at":"2019-08-24T14:17:22Z","delivery_report":"none","client_reference":"myReference","from_ton":6,"from_npi":18}"#;
    let batch: Batch = serde_json::from_str(text).unwrap();
    assert_eq!(batch.id.as_deref(), Some("01FC66621XXXXX119Z8PMV1QPQ"));
    assert_eq!(batch.client_reference.as_deref(), Some("myReference"));
    // A page of the documentation shows numbers as JSON numbers.
    let list: Batches = serde_json::from_value(json!({
        "count": 2, "page": 0, "page_size": 2,
        "batches": [{"id": "a", "to": [15_551_231_234_u64]}, "odd", {"id": 7}],
    }))
    .unwrap();
    let ids: Vec<_> = list
        .batches
        .iter()
        .map(|batch| batch.id.as_deref())
        .collect();
    assert_eq!(ids, [Some("a"), Some("7")]);
}

#[test]
fn every_status_and_code_of_the_vendor_is_known() {
    use MessageState::{Delivered, Failed, OutcomeUnknown, Queued, Sent};
    for (word, code, state) in [
        ("Queued", 400, Some(Queued)),
        ("Dispatched", 401, Some(Sent)),
        ("Delivered", 0, Some(Delivered)),
        ("DELIVERED", 0, Some(Delivered)),
        ("Aborted", 402, Some(Failed)),
        ("Aborted", 403, Some(Failed)),
        ("Failed", 404, Some(Failed)),
        ("Aborted", 405, Some(Failed)),
        ("Expired", 406, Some(Failed)),
        ("Cancelled", 407, Some(Failed)),
        ("Rejected", 408, Some(Failed)),
        ("Aborted", 410, Some(Failed)),
        ("Aborted", 411, Some(Failed)),
        ("Aborted", 412, Some(Failed)),
        ("Rejected", 413, Some(Failed)),
        ("Failed", 414, Some(Failed)),
        ("Failed", 415, Some(Failed)),
        ("Failed", 416, Some(Failed)),
        ("Failed", 417, Some(Failed)),
        ("Failed", 418, Some(Failed)),
        ("Deleted", 404, Some(Failed)),
        // A code of an operator.
        ("Failed", 15, Some(Failed)),
        ("Unknown", 404, Some(OutcomeUnknown)),
        // An unknown word, with a code that says more, and with one that does not.
        ("Teleported", 401, Some(Sent)),
        ("Teleported", 15, None),
    ] {
        let value = json!({"type": "recipient_delivery_report_sms", "batch_id": "b",
            "status": word, "code": code});
        let report = report("status", value).unwrap();
        assert_eq!(report.state, state, "{word} {code}");
        assert_eq!(report.word, format!("{word}/{code}"));
    }
    for (code, state) in [
        (400, Queued),
        (401, Sent),
        (0, Delivered),
        (402, Failed),
        (418, Failed),
    ] {
        let report = report("status", json!({"batch_id": "b", "code": code})).unwrap();
        assert_eq!(report.state, Some(state));
    }
    assert_eq!(state_of_code(409), None);
}

#[test]
fn a_report_of_a_recipient_is_read() {
    // sinch-sdk-node packages/sms/tests/rest/v1/callbacks/callbacks-webhook.test.ts
    let value = json!({"at": "2025-01-13T09:22:40.914Z", "batch_id": "01JHFFHQ0P99JPPNQPJDV7JTBP",
        "client_reference": "a client reference", "code": 0,
        "operator_status_at": "2025-01-13T09:22:00Z", "recipient": "33662162466",
        "status": "Delivered", "type": "recipient_delivery_report_sms"});
    let report = report("handle_webhook", value.clone()).unwrap();
    assert_eq!(report.id, "01JHFFHQ0P99JPPNQPJDV7JTBP");
    assert_eq!(report.reference.as_deref(), Some("a client reference"));
    assert_eq!(report.at, Some("2025-01-13T09:22:00Z".parse().unwrap()));
    assert_eq!(report.kind, Some(MessageKind::Sms));
    assert_eq!(report.raw, value);
    assert!(!format!("{report:?}").contains("33662162466"));
}

#[test]
fn a_report_of_a_batch_is_read_from_its_statuses() {
    use MessageState::{Delivered, Failed, OutcomeUnknown, Queued, Sent};
    let of = |rows: &[(&str, u64)]| {
        let statuses: Vec<_> = rows
            .iter()
            .map(|(status, code)| json!({"code": code, "count": 1, "status": status}))
            .collect();
        let value = json!({"type": "delivery_report_mms", "batch_id": "b", "statuses": statuses,
            "total_message_count": rows.len(), "client_reference": "r"});
        report("status", value).unwrap()
    };
    // The same words as of the report of a recipient: both tell the same.
    assert_eq!(of(&[("Delivered", 0)]).word, "Delivered/0");
    assert_eq!(of(&[("Delivered", 0)]).kind, Some(MessageKind::Mms));
    for (rows, state) in [
        (vec![], Some(Queued)),
        (vec![("Delivered", 0)], Some(Delivered)),
        (vec![("Aborted", 402)], Some(Failed)),
        (vec![("Delivered", 0), ("Dispatched", 401)], Some(Sent)),
        (vec![("Delivered", 0), ("Queued", 400)], Some(Queued)),
        (vec![("Delivered", 0), ("Failed", 404)], Some(Failed)),
        (
            vec![("Unknown", 404), ("Failed", 404)],
            Some(OutcomeUnknown),
        ),
        (vec![("Delivered", 0), ("Teleported", 15)], None),
    ] {
        assert_eq!(of(&rows).state, state, "{rows:?}");
    }
    for wrong in [
        json!({}),
        json!([]),
        json!("x"),
        json!({"batch_id": ""}),
        json!({"batch_id": "../../oauth2/token"}),
        json!({"batch_id": "b?type=full"}),
        json!({"batch_id": "to +15551231234, Praxis"}),
        json!({"batch_id": "b".repeat(65)}),
        json!({"statuses": []}),
    ] {
        assert!(report("status", wrong).is_err());
    }
}

fn read(value: &Value) -> Result<InboundMessage> {
    inbound(
        "inbound",
        value,
        Authenticity::Signed,
        Timestamp::UNIX_EPOCH,
    )
}

#[test]
fn a_text_that_came_in_is_read() {
    let value = json!({"type": "mo_text", "id": "01XXXXX21XXXXX119Z8P1XXXXX", "from": "16051234567",
        "to": "13185551234", "body": "This is the SMS body", "operator_id": "operator",
        "sent_at": "2024-01-10T08:49:58.429Z", "received_at": "2024-01-10T08:49:59.000Z"});
    let message = read(&value).unwrap();
    assert_eq!(message.id, "01XXXXX21XXXXX119Z8P1XXXXX");
    assert_eq!(message.backend, "faxbot-sinch-sms");
    assert_eq!(
        (message.from.expose().as_str(), message.to.expose().as_str()),
        ("16051234567", "13185551234")
    );
    assert_eq!(
        message.content,
        MessageContent::text(MessageKind::Sms, "This is the SMS body")
    );
    assert_eq!(message.received_at, "2024-01-10T08:49:59Z".parse().unwrap());
    assert_eq!(message.authenticity, Authenticity::Signed);
}

#[test]
fn odd_forms_of_a_text_are_read_and_half_ones_are_not() {
    let whole = json!({"type": "mo_text", "id": "i", "from": 16_051_234_567_u64, "to": "12345",
        "body": "", "received_at": "2024-01-10T08:49:58.4291234"});
    let message = read(&whole).unwrap();
    assert_eq!(message.from.expose(), "16051234567");
    // Without an offset it is UTC.
    assert_eq!(message.received_at.as_second(), 1_704_876_598);
    for name in ["type", "id", "from", "to", "body"] {
        let mut half = whole.clone();
        half.as_object_mut().unwrap().remove(name);
        assert!(read(&half).is_err(), "{name}");
    }
    for id in [
        "",
        ".",
        "..",
        "//evil.example",
        "i/../j",
        "i%2Fj",
        "i\n",
        "\u{456}",
        "i#",
    ] {
        let mut other = whole.clone();
        other["id"] = json!(id);
        assert!(read(&other).is_err(), "{id}");
    }
    let mut late = whole;
    late["received_at"] = json!("yesterday");
    assert_eq!(read(&late).unwrap().received_at, Timestamp::UNIX_EPOCH);
    assert!(
        read(&json!({"type": "mo_rcs", "id": "i", "from": "1", "to": "2", "body": "x"})).is_err()
    );
}

#[test]
fn media_that_came_in_are_named_where_they_are_whole() {
    // sinch-sdk-node packages/sms/tests/models/v1: an address may stand at a failed one, too.
    let value = json!({"type": "mo_media", "id": "i", "from": "1", "to": "2",
        "body": {"subject": "Befund", "message": "see there", "media": [
            {"url": "https://media.example.org/1.png", "content_type": "image/png", "status": "Uploaded", "code": 0},
            {"url": "https://media.example.org/2.png", "content_type": "image/png", "status": "Failed", "code": 1},
            {"content_type": "image/png", "status": "Uploaded", "code": 0},
            {"url": "file:///etc/passwd", "status": "Uploaded", "code": 0},
            {"url": "no url", "status": "Uploaded", "code": 0}]},
        "received_at": "2024-01-10T08:49:58Z"});
    let content = read(&value).unwrap().content;
    assert_eq!(
        (content.kind, content.text.as_str()),
        (MessageKind::Mms, "Befund\nsee there")
    );
    assert_eq!(
        content.media,
        ["https://media.example.org/1.png".parse().unwrap()]
    );
    let bare = json!({"type": "mo_media", "id": "i", "from": "1", "to": "2", "body": {}});
    assert_eq!(read(&bare).unwrap().content.text, "");
    let binary = json!({"type": "mo_binary", "id": "i", "from": "1", "to": "2", "body": "VGV4dA==",
        "udh": "050003f8030a"});
    assert_eq!(read(&binary).unwrap().content.text, "VGV4dA==");
}

#[test]
fn errors_keep_the_vendors_code_and_show_none_of_its_text() {
    for (status, body, kind, code, acts) in [
        // sinch-sdk-java .../sms/v1/error-response.json
        (
            400,
            r#"{"code":"syntax_invalid_parameter_format","text":"'foo' is not a valid identifier"}"#,
            ErrorKind::Rejected,
            "syntax_invalid_parameter_format",
            true,
        ),
        (
            403,
            r#"{"code":"blocked_account","text":"foo"}"#,
            ErrorKind::PermissionDenied,
            "blocked_account",
            true,
        ),
        (401, "", ErrorKind::Authentication, "401", true),
        (429, "", ErrorKind::Overloaded, "429", true),
        (404, "foo", ErrorKind::NotFound, "404", false),
        // The gateway's form, and a problem document.
        (
            400,
            r#"{"error":{"code":400,"message":"foo","status":"INVALID"}}"#,
            ErrorKind::Rejected,
            "400",
            true,
        ),
        (
            500,
            r#"{"title":"foo","detail":"foo"}"#,
            ErrorKind::OutcomeUnknown,
            "500",
            true,
        ),
        (503, "<html>foo</html>", ErrorKind::ServerBusy, "503", false),
    ] {
        let response = HttpResponse::new(StatusCode::from_u16(status).unwrap(), body);
        let error = answer("send_message", &response, acts).unwrap_err();
        assert_eq!(
            (error.kind(), error.native_code()),
            (kind, Some(code)),
            "{status} {body}"
        );
        assert!(!format!("{error} {error:?}").contains("foo"), "{error:?}");
    }
    // Taken, and the answer cannot be read: nobody may send it again.
    for body in ["", "{", "<html>"] {
        let response = HttpResponse::new(StatusCode::CREATED, body);
        let error = answer("send_message", &response, true).unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown);
        let error = answer("get_message_status", &response, false).unwrap_err();
        assert_eq!(error.effect(), Effect::NoEffect);
    }
}
