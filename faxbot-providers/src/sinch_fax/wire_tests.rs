use faxbot_core::{
    fax::{FailureClass, OutcomeStatus},
    plugin::SendOptions,
};
use http::StatusCode;

use super::{super::list::List, *};

/// As in the vendor's `tests/rest/v3/faxes/faxes-api.test.ts`: a completed fax with an error.
const COMPLETED: &str = r#"{"id":"fax_id","direction":"OUTBOUND","from":"+12015555554","to":"+12015555555","numberOfPages":1,"status":"COMPLETED","resolution":"FINE","errorType":"LINE_ERROR","errorCode":89,"errorMessage":"The call dropped prematurely","price":{"currencyCode":"USD","amount":"0.210"},"maxRetries":3,"retryCount":3,"pagesSentSuccessfully":1,"contentUrl":["https://example.com/fax.pdf"],"hasFile":"true","createTime":"2024-02-27T12:28:09Z","completedTime":"2024-02-27T12:30:09Z"}"#;

fn response(status: u16, body: &str) -> HttpResponse {
    HttpResponse::new(StatusCode::from_u16(status).unwrap(), body.to_owned())
}

fn read(raw: Value) -> FaxReport {
    Fax::read("get_status", &raw).unwrap().report(raw)
}

fn fax(status: &str, extra: Value) -> Value {
    let mut fax = json!({"id": "01HDFHACK1YN7CCDYRA6ZRMA8Z", "direction": "OUTBOUND",
        "to": "+15558675309", "numberOfPages": 3, "status": status,
        "labels": {"faxbot_job": "job-7"}});
    let extra = extra.as_object().unwrap().clone();
    fax.as_object_mut().unwrap().extend(extra);
    fax
}

#[test]
fn the_vendors_sample_is_read() {
    let report = read(serde_json::from_str(COMPLETED).unwrap());
    assert_eq!(
        (report.sid.as_str(), report.word.as_str()),
        ("fax_id", "COMPLETED")
    );
    assert_eq!(report.status, JobStatus::Success);
    let outcome = report.outcome.unwrap();
    assert_eq!(
        (outcome.pages_confirmed, outcome.pages_total),
        (Some(1), Some(1))
    );
    assert_eq!(outcome.duration_seconds, Some(120));
    // The error of an earlier call is kept and is none of the fax.
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.native_code.as_deref(), Some("LINE_ERROR 89"));
    assert_eq!(report.raw["price"]["amount"], "0.210");
}

#[test]
fn one_fax_is_found_in_each_form_of_an_answer() {
    let one = json!({"id": "01H", "status": "IN_PROGRESS"});
    for answer in [one.clone(), json!([one]), json!({"faxes": [one]})] {
        let (fax, raw) = submitted(answer).unwrap();
        assert_eq!((fax.sid(), &raw), ("01H", &one));
    }
    for answer in [
        json!({}),
        json!([]),
        json!({"faxes": []}),
        json!([one, one]),
        json!({"faxes": [one, one]}),
        json!({"faxes": {}}),
        json!({"id": ""}),
        json!({"id": "../a"}),
        json!("01H"),
        json!(null),
    ] {
        let error = submitted(answer.clone()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{answer}");
    }
}

#[test]
fn a_list_ends_where_the_vendor_says_or_with_a_page_that_is_not_full() {
    let two = json!([{"id": "1"}, {"no": "id"}]);
    for (answer, page, goes_on) in [
        (
            json!({"faxes": two, "pageNumber": 1, "totalPages": 2, "pageSize": 2}),
            1,
            true,
        ),
        (
            json!({"faxes": two, "page": 2, "totalPages": "2"}),
            2,
            false,
        ),
        (json!({"faxes": two}), 1, true),
        // Nobody says how many a page has: only an empty one is the last.
        (json!({"faxes": [{"id": "1"}]}), 1, true),
        (json!({"faxes": [{"id": "1"}], "pageSize": 2}), 1, false),
        // Sinch gives fewer than were asked for.
        (json!({"faxes": [{"id": "1"}], "pageSize": 1}), 1, true),
        (json!({"faxes": two, "totalPages": 0}), 1, true),
        (json!({"faxes": [], "totalPages": 9}), 1, false),
        (json!({"faxes": []}), 1, false),
        (json!(two), 1, true),
    ] {
        let list = List::read("find", answer.clone()).unwrap();
        assert_eq!(list.goes_on(page, 2), goes_on, "{answer}");
        assert!(list.faxes().len() <= 1);
    }
    for answer in [json!({}), json!({"faxes": null}), json!("x"), json!(null)] {
        assert!(List::read("find", answer).is_err());
    }
}

#[test]
fn refusals_are_errors_with_sinchs_own_words_by_status_and_never_by_code() {
    let sinch = r#"{"code":"404","error":"Bad request","message":"words about +15558675309"}"#;
    let problem = r#"{"type":"x","title":"Too many","detail":"words about +15558675309"}"#;
    for (status, body, acts, kind, effect) in [
        (400, sinch, true, ErrorKind::Rejected, Effect::NoEffect),
        (401, "", true, ErrorKind::Authentication, Effect::NoEffect),
        (402, sinch, true, ErrorKind::Rejected, Effect::NoEffect),
        (
            403,
            sinch,
            true,
            ErrorKind::PermissionDenied,
            Effect::NoEffect,
        ),
        (404, sinch, false, ErrorKind::NotFound, Effect::NoEffect),
        // The vendor's own sample of 422 is not JSON.
        (
            422,
            r#"{"code":"422","details":{"fieldViolations":[{"field":"to""#,
            true,
            ErrorKind::Rejected,
            Effect::NoEffect,
        ),
        (429, problem, true, ErrorKind::Overloaded, Effect::NoEffect),
        (500, sinch, true, ErrorKind::OutcomeUnknown, Effect::Unknown),
        (503, "", false, ErrorKind::ServerBusy, Effect::NoEffect),
        (200, "", true, ErrorKind::OutcomeUnknown, Effect::Unknown),
        (
            202,
            "{\"id\"",
            true,
            ErrorKind::OutcomeUnknown,
            Effect::Unknown,
        ),
        (200, "<html>", false, ErrorKind::Protocol, Effect::NoEffect),
    ] {
        let error = answer("send_fax", &response(status, body), acts)
            .err()
            .unwrap();
        assert_eq!(
            (error.kind(), error.effect()),
            (kind, effect),
            "{status} {body}"
        );
        assert!(!format!("{error} {error:?}").contains("5309"), "{error:?}");
        let told = body.contains("5309").then_some("words about +15558675309");
        assert_eq!(error.native_text(), told, "{status} {body}");
    }
    for status in [200, 202, 204] {
        assert!(check("delete_file", &response(status, ""), true).is_ok());
    }
}

#[test]
fn every_word_has_its_status() {
    for (word, status) in [
        ("QUEUED", JobStatus::Queued),
        ("IN_PROGRESS", JobStatus::InProgress),
        ("in_progress", JobStatus::InProgress),
        ("COMPLETED", JobStatus::Success),
        ("FAILURE", JobStatus::Failed),
        ("PAUSED", JobStatus::Other("PAUSED".into())),
        ("", JobStatus::Other(String::new())),
    ] {
        let report = read(fax(word, json!({})));
        assert_eq!(report.status, status, "{word}");
        assert_eq!(report.word, word);
        assert_eq!(report.job_id, Some("job-7".parse().unwrap()));
        assert_eq!(report.outcome.is_some(), status.is_final(), "{word}");
    }
}

#[test]
fn pages_are_believed_as_far_as_they_are_certain() {
    let counts = |extra: Value| {
        let outcome = read(fax("FAILURE", extra)).outcome.unwrap();
        (
            outcome.status,
            outcome.pages_confirmed,
            outcome.certainly_nothing_delivered(),
        )
    };
    let failed = OutcomeStatus::Failed;
    for (sent, retries, kind, code, expected) in [
        (
            json!(0),
            json!(0),
            "CALL_ERROR",
            17,
            (failed, Some(0), true),
        ),
        (
            json!(null),
            json!(0),
            "CALL_ERROR",
            17,
            (failed, None, true),
        ),
        (json!(0), json!(1), "CALL_ERROR", 17, (failed, None, false)),
        (
            json!(0),
            json!(null),
            "CALL_ERROR",
            17,
            (failed, None, false),
        ),
        (json!(0), json!(0), "CALL_ERROR", 11, (failed, None, false)),
        (json!(0), json!(0), "FAX_ERROR", 8, (failed, None, false)),
        (
            json!(2),
            json!("0"),
            "FAX_ERROR",
            60,
            (failed, Some(2), false),
        ),
        // All sent and yet a failure: what was sent was not confirmed.
        (json!(3), json!(0), "FAX_ERROR", 8, (failed, None, false)),
        (json!(4), json!(0), "FAX_ERROR", 8, (failed, None, false)),
        (
            json!(0),
            json!(0),
            "DOCUMENT_CONVERSION_ERROR",
            133,
            (failed, Some(0), true),
        ),
    ] {
        let extra = json!({"pagesSentSuccessfully": sent, "retryCount": retries,
            "errorType": kind, "errorCode": code});
        assert_eq!(counts(extra.clone()), expected, "{extra}");
    }
}

#[test]
fn a_completed_fax_that_contradicts_itself_is_no_success() {
    use OutcomeStatus::{Failed, Success, Unknown};
    let call = json!("CALL_ERROR");
    for (sent, retries, error, pages, status) in [
        (json!(3), json!(0), json!(null), Some(3), Success),
        (json!(3), json!(2), call.clone(), Some(3), Success),
        (json!(null), json!(0), json!(null), None, Success),
        // Of one call it is not the whole document; of several it may be the last call alone.
        (json!(2), json!(0), json!(null), Some(2), Failed),
        (json!(2), json!(1), json!(null), None, Unknown),
        (json!(2), json!(null), json!(null), None, Unknown),
        (json!(0), json!(0), json!(null), None, Unknown),
        // An error, and no page that says that a later call made up for it.
        (json!(null), json!(0), call.clone(), None, Unknown),
        (json!(0), json!(3), call, None, Unknown),
    ] {
        let extra = json!({"pagesSentSuccessfully": sent, "retryCount": retries,
            "errorType": error, "errorCode": if error.is_null() { json!(null) } else { json!(11) }});
        let outcome = read(fax("COMPLETED", extra.clone())).outcome.unwrap();
        let told = (outcome.pages_confirmed, outcome.status);
        assert_eq!(told, (pages, status), "{extra}");
        let code = (!error.is_null()).then_some("CALL_ERROR 11");
        assert_eq!(outcome.native_code.as_deref(), code);
    }
    // Nothing was counted at all.
    let bare = json!({"numberOfPages": 0, "pagesSentSuccessfully": 0});
    assert_eq!(read(fax("COMPLETED", bare)).status, JobStatus::Success);
}

#[test]
fn a_failure_that_says_that_the_fax_is_complete_says_not_how() {
    for kind in ["FAX_ERROR", "GENERAL_ERROR"] {
        let extra = json!({"errorType": kind, "errorCode": 79, "retryCount": 0});
        let report = read(fax("FAILURE", extra));
        assert_eq!(report.status, JobStatus::OutcomeUnknown, "{kind}");
        let code = report.outcome.unwrap().native_code.unwrap();
        assert_eq!(code, format!("{kind} 79"));
    }
}

#[test]
fn a_number_of_an_error_means_what_its_type_says() {
    for (kind, code, class, status) in [
        (
            "DOCUMENT_CONVERSION_ERROR",
            133,
            FailureClass::Document,
            JobStatus::Failed,
        ),
        ("FAX_ERROR", 133, FailureClass::Rejected, JobStatus::Failed),
        (
            "FAX_ERROR",
            46,
            FailureClass::LocalConfig,
            JobStatus::Failed,
        ),
        (
            "FAX_ERROR",
            75,
            FailureClass::Cancelled,
            JobStatus::Cancelled,
        ),
        (
            "CALL_ERROR",
            49,
            FailureClass::InvalidNumber,
            JobStatus::Failed,
        ),
        (
            "FATAL_ERROR",
            7777,
            FailureClass::Unknown,
            JobStatus::Failed,
        ),
    ] {
        let extra =
            json!({"errorType": kind, "errorCode": code, "errorMessage": "to +15558675309"});
        let report = read(fax("FAILURE", extra));
        assert_eq!(report.status, status, "{kind} {code}");
        let failure = report.outcome.unwrap().failure.unwrap();
        assert_eq!(failure.class, class, "{kind} {code}");
        assert_eq!(failure.native_code, Some(format!("{kind} {code}")));
        assert!(!format!("{failure:?}").contains("5309"));
    }
}

#[test]
fn a_received_fax_has_its_numbers_and_pages() {
    let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
    let raw = json!({"id": "01H", "direction": "inbound", "from": "+14155552222", "to": "+14155553333",
        "numberOfPages": "2", "status": "COMPLETED", "createTime": "2021-11-01T23:25:39Z"});
    let fax = Fax::read("get_inbound", &raw).unwrap();
    assert!(fax.is_received() && fax.is_complete() && !fax.has_failed());
    let fax = fax.inbound("sinch-fax", now);
    assert_eq!((fax.id.as_str(), fax.pages), ("01H", Some(2)));
    assert_eq!(fax.received_at.to_string(), "2021-11-01T23:25:39Z");
    assert_eq!(fax.from, Some(Private::new("+14155552222".to_owned())));
    assert_eq!(fax.to, Some(Private::new("+14155553333".to_owned())));
    let bare = Fax::read("get_inbound", &json!({"id": "01H"})).unwrap();
    assert!(!bare.is_received());
    assert_eq!(bare.inbound("sinch-fax", now).received_at, now);
}

fn submission(upload: Upload) -> Submission {
    Submission {
        job_id: "job-7".parse().unwrap(),
        to: Private::new("+15558675309".to_owned()),
        upload,
        options: SendOptions::new(),
    }
}

#[test]
fn a_submission_has_what_was_chosen_and_nothing_else() {
    let pdf = submission(Upload::File {
        format: UploadFormat::Pdf,
        bytes: bytes::Bytes::from_static(b"ABC"),
        pages: None,
    });
    let url = submission(Upload::Url("https://example.com/a.pdf".parse().unwrap()));
    let read = |body: Vec<u8>| serde_json::from_slice::<Value>(&body).unwrap();
    let bare = Details::default();
    assert_eq!(
        read(json_body(&pdf, &bare)),
        json!({"to": "+15558675309", "files": [{"file": "QUJD", "fileType": "PDF"}],
            "labels": {"faxbot_job": "job-7"}})
    );
    let full = Details {
        from: Some("+15551230000"),
        header: Some("Hdr"),
        service_id: Some("s-1"),
        resolution: Some("FINE"),
        image_conversion: Some("HALFTONE"),
        max_retries: Some(0),
        callback_url: Some("https://fax.example.org/hook"),
    };
    assert_eq!(
        read(json_body(&url, &full)),
        json!({"to": "+15558675309", "contentUrl": "https://example.com/a.pdf",
            "labels": {"faxbot_job": "job-7"}, "from": "+15551230000", "headerText": "Hdr",
            "callbackUrl": "https://fax.example.org/hook",
            "callbackUrlContentType": "application/json", "imageConversionMethod": "HALFTONE",
            "serviceId": "s-1", "maxRetries": 0, "resolution": "FINE"})
    );
    let fields = form_fields(&url, &full);
    let fields: Vec<_> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        fields,
        [
            ("to", "+15558675309"),
            ("contentUrl", "https://example.com/a.pdf"),
            ("labels[faxbot_job]", "job-7"),
            ("from", "+15551230000"),
            ("headerText", "Hdr"),
            ("callbackUrl", "https://fax.example.org/hook"),
            ("callbackUrlContentType", "application/json"),
            ("imageConversionMethod", "HALFTONE"),
            ("serviceId", "s-1"),
            ("maxRetries", "0"),
            ("resolution", "FINE"),
        ]
    );
    assert_eq!(form_fields(&pdf, &bare).len(), 2);
}
