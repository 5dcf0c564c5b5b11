use faxbot_core::{
    ErrorKind, Private,
    fax::{FailureClass, FailurePhase, FaxPhase, OutcomeStatus},
    plugin::SendOptions,
};
use http::StatusCode;
use serde_json::json;

use super::{super::list::List, *};

/// The answers as recorded in `spec/support/cassettes/fax/get.yml` and `list.yml` of phaxio-ruby.
const JUST_TAKEN: &str = r#"{"success":true,"message":"Metadata for fax","data":{"id":323034813,"direction":"sent","num_pages":0,"status":"queued","is_test":true,"created_at":"2021-11-04T16:28:30.000-05:00","caller_id":null,"from_number":null,"completed_at":null,"caller_name":null,"cost":0,"tags":{},"recipients":[{"phone_number":"+15558675309","status":null,"retry_count":0,"completed_at":null,"bitrate":null,"resolution":null,"error_type":null,"error_id":null,"error_message":null}],"to_number":null,"error_id":null,"error_type":null,"error_message":null,"barcodes":[]}}"#;
const EMPTY_LIST: &str = r#"{"success":true,"message":"Retrieved faxes successfully","data":[],"paging":{"total":0,"per_page":25,"page":1}}"#;

fn response(status: u16, body: &str) -> HttpResponse {
    HttpResponse::new(StatusCode::from_u16(status).unwrap(), body.to_owned())
}

fn read(raw: Value) -> FaxReport {
    Fax::read("get_status", &raw).unwrap().report(None, raw)
}

/// A fax with one recipient, in the fields of the page "Faxes".
fn fax(status: &str, recipient: Value) -> Value {
    json!({
        "id": 323_034_813, "direction": "sent", "num_pages": 3, "status": status, "cost": 21,
        "created_at": "2021-11-04T16:28:30.000-05:00", "completed_at": "2021-11-04T16:29:40.000-05:00",
        "tags": {"faxbot_job": "job-7"}, "recipients": [recipient],
        "error_id": null, "error_type": null, "error_message": null, "barcodes": [],
    })
}

fn failed(kind: &str, id: u32, retry_count: u32) -> Value {
    let words = "words about +15558675309";
    fax(
        "failure",
        json!({"phone_number": "+15558675309", "status": "failure", "retry_count": retry_count,
            "error_type": kind, "error_id": id, "error_message": words}),
    )
}

#[test]
fn the_recorded_answers_are_read() {
    let envelope = answer("get_status", &response(200, JUST_TAKEN), false).unwrap();
    let report = read(envelope.data);
    assert_eq!(report.sid, "323034813");
    assert_eq!(
        (report.status, report.word.as_str()),
        (JobStatus::Queued, "queued")
    );
    assert!(report.progress.is_none() && report.outcome.is_none() && report.job_id.is_none());
    assert_eq!(report.raw["recipients"][0]["phone_number"], "+15558675309");

    let list = answer("find", &response(200, EMPTY_LIST), false).unwrap();
    let list = List::read("find", list).unwrap();
    assert!(list.is_whole() && list.faxes().is_empty());
    let taken = r#"{"success":true,"message":"Fax queued for sending","data":{"id":323034813}}"#;
    let taken = answer("send_fax", &response(200, taken), true).unwrap();
    assert_eq!(
        Fax::read("send_fax", &taken.data).unwrap().sid(),
        "323034813"
    );
    let deleted = r#"{"success":true,"message":"Deleted files successfully!"}"#;
    assert!(answer("delete_file", &response(200, deleted), true).is_ok());
}

#[test]
fn a_count_above_ten_thousand_is_no_count() {
    let list = r#"{"success":true,"data":[{"id":1},{"no":"id"},{"id":"2"}],"paging":{"total":">10000","per_page":3,"page":1}}"#;
    let list = answer("find", &response(200, list), false).unwrap();
    let list = List::read("find", list).unwrap();
    assert!(!list.is_whole() && list.goes_on(1, 3));
    let sids: Vec<_> = list
        .faxes()
        .iter()
        .map(|fax| fax.sid().to_owned())
        .collect();
    assert_eq!(sids, ["1", "2"]);
}

#[test]
fn an_empty_list_is_made_of_nothing_else() {
    let two = json!([{"id": 1}, {"id": 2}]);
    let list = |answer: Value| {
        let envelope = super::answer("find", &response(200, &answer.to_string()), false);
        List::read("find", envelope.unwrap())
    };
    for data in [json!(null), json!({}), json!(""), json!({"faxes": []})] {
        let error = list(json!({"success": true, "data": data})).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{data}");
    }
    assert!(list(json!({"success": true})).is_err());
    for (data, paging, whole, goes_on) in [
        (json!([]), json!({"total": 0}), true, false),
        (json!([]), json!({}), true, false),
        (
            two.clone(),
            json!({"total": 2, "per_page": 1000}),
            true,
            false,
        ),
        (two.clone(), json!({"total": "2"}), true, false),
        (two.clone(), json!({"total": 3, "per_page": 2}), false, true),
        // Nobody says that these are all.
        (
            two.clone(),
            json!({"total": ">10000", "per_page": 2}),
            false,
            true,
        ),
        (two.clone(), json!({"total": null}), false, true),
        (two, json!(null), false, true),
        (json!([{"id": 1}]), json!({}), false, false),
    ] {
        let answer = json!({"success": true, "data": data, "paging": paging});
        let list = list(answer.clone()).unwrap();
        assert_eq!(list.is_whole(), whole, "{answer}");
        assert_eq!(list.goes_on(1, 2), goes_on, "{answer}");
    }
}

#[test]
fn refusals_are_errors_with_phaxios_own_words() {
    let body = r#"{"success": false, "message": "words about +15558675309"}"#;
    for (status, body, acts, kind, effect) in [
        (401, body, true, ErrorKind::Authentication, Effect::NoEffect),
        (402, body, true, ErrorKind::Rejected, Effect::NoEffect),
        (404, body, false, ErrorKind::NotFound, Effect::NoEffect),
        (422, body, true, ErrorKind::Rejected, Effect::NoEffect),
        (429, body, true, ErrorKind::Overloaded, Effect::NoEffect),
        (500, body, true, ErrorKind::OutcomeUnknown, Effect::Unknown),
        (503, "", true, ErrorKind::OutcomeUnknown, Effect::Unknown),
        (503, "", false, ErrorKind::ServerBusy, Effect::NoEffect),
        (200, body, true, ErrorKind::Rejected, Effect::NoEffect),
        (200, "", true, ErrorKind::OutcomeUnknown, Effect::Unknown),
        (
            200,
            "<html>",
            true,
            ErrorKind::OutcomeUnknown,
            Effect::Unknown,
        ),
        (
            200,
            r#"{"success":true,"mess"#,
            true,
            ErrorKind::OutcomeUnknown,
            Effect::Unknown,
        ),
        (200, "{}", true, ErrorKind::OutcomeUnknown, Effect::Unknown),
        // It says no, and names a fax.
        (
            200,
            r#"{"success":false,"data":{"id":1}}"#,
            true,
            ErrorKind::OutcomeUnknown,
            Effect::Unknown,
        ),
        (200, "[]", false, ErrorKind::Protocol, Effect::NoEffect),
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
}

#[test]
fn every_word_has_its_status() {
    let recipient = |status: &str| json!({"status": status, "retry_count": 0});
    for (word, its, status) in [
        ("queued", "queued", JobStatus::Queued),
        ("pendingbatch", "pendingbatch", JobStatus::Queued),
        ("inprogress", "ringing", JobStatus::InProgress),
        ("InProgress", "callactive", JobStatus::InProgress),
        ("success", "success", JobStatus::Success),
        ("failure", "failure", JobStatus::Failed),
        ("partialsuccess", "success", JobStatus::Success),
        ("partialsuccess", "failure", JobStatus::Failed),
        ("partialsuccess", "willretry", JobStatus::OutcomeUnknown),
        // What contradicts itself is believed in neither.
        ("success", "failure", JobStatus::OutcomeUnknown),
        ("failure", "success", JobStatus::OutcomeUnknown),
        (
            "ready_to_send",
            "queued",
            JobStatus::Other("ready_to_send".into()),
        ),
        ("", "", JobStatus::Other(String::new())),
    ] {
        let report = read(fax(word, recipient(its)));
        assert_eq!(report.status, status, "{word}, {its}");
        assert_eq!(report.word, word);
        assert_eq!(report.job_id, Some("job-7".parse().unwrap()));
        let over = status.is_final() || status == JobStatus::OutcomeUnknown;
        assert_eq!(report.outcome.is_some(), over, "{word}, {its}");
    }
}

#[test]
fn a_fax_that_was_only_simulated_is_no_success_unless_tests_count() {
    let mut raw = fax("success", json!({"status": "success", "retry_count": 0}));
    raw["is_test"] = json!("true");
    let counted = Fax::read("get_status", &raw).unwrap().counting_tests(true);
    assert_eq!(counted.report(None, raw.clone()).status, JobStatus::Success);
    let outcome = read(raw.clone()).outcome.unwrap();
    assert_eq!(outcome.class(), Some(FailureClass::LocalConfig));
    assert_eq!(outcome.native_code.as_deref(), Some("is_test"));
    assert!(outcome.certainly_nothing_delivered());
    // One that is to be received has its pages.
    raw["direction"] = json!("received");
    assert!(Fax::read("get_inbound", &raw).unwrap().is_complete());
}

#[test]
fn the_pages_of_a_success_are_those_of_the_document() {
    let recipient =
        json!({"status": "success", "bitrate": 14400, "resolution": 8040, "retry_count": 0});
    let outcome = read(fax("success", recipient)).outcome.unwrap();
    assert_eq!(
        (outcome.pages_confirmed, outcome.pages_total),
        (Some(3), Some(3))
    );
    assert_eq!(
        (outcome.bit_rate, outcome.duration_seconds),
        (Some(14400), Some(70))
    );
    // Nobody counts the pages that went out before a failure.
    let outcome = read(failed("faxError", 60, 0)).outcome.unwrap();
    assert_eq!(
        (outcome.pages_confirmed, outcome.pages_total),
        (None, Some(3))
    );
}

#[test]
fn a_failure_has_the_class_of_its_type_and_number() {
    for (kind, id, retries, class, nothing_sent) in [
        ("lineError", 17, 0, FailureClass::Busy, true),
        ("lineError", 17, 2, FailureClass::Busy, false),
        ("lineError", 11, 0, FailureClass::CommError, false),
        (
            "documentConversionError",
            133,
            0,
            FailureClass::Document,
            true,
        ),
        ("faxError", 133, 0, FailureClass::Rejected, false),
        ("fatalError", 46, 0, FailureClass::LocalConfig, false),
        ("somethingNew", 7777, 0, FailureClass::Unknown, false),
    ] {
        let report = read(failed(kind, id, retries));
        let outcome = report.outcome.unwrap();
        assert_eq!(outcome.class(), Some(class), "{kind} {id}");
        assert_eq!(
            outcome.certainly_nothing_delivered(),
            nothing_sent,
            "{kind} {id} {retries}"
        );
        assert_eq!(
            outcome.native_code.as_deref(),
            Some(format!("{kind} {id}").as_str())
        );
        assert!(!format!("{outcome:?}").contains("5309"));
    }
    assert_eq!(
        read(failed("fatalError", 75, 0)).status,
        JobStatus::Cancelled
    );
}

#[test]
fn a_failure_that_says_that_the_fax_is_complete_says_not_how() {
    for kind in ["faxError", "fatalError"] {
        assert_eq!(
            read(failed(kind, 79, 0)).status,
            JobStatus::OutcomeUnknown,
            "{kind}"
        );
    }
    assert_eq!(read(failed("lineError", 79, 0)).status, JobStatus::Failed);
}

#[test]
fn the_number_is_that_of_the_one_recipient() {
    let one = json!({"phone_number": "+15558675309", "status": "queued"});
    let v1 = json!({"number": "+15558675309", "status": "queued"});
    for (recipients, told) in [
        (json!([one]), true),
        (json!([v1]), true),
        (json!([one, v1]), false),
        (json!([]), false),
        (json!(null), false),
    ] {
        let mut raw = fax("queued", json!({}));
        raw["recipients"] = recipients;
        let to = read(raw).to.map(Private::into_inner);
        assert_eq!(to, told.then(|| "+15558675309".to_owned()));
    }
}

#[test]
fn the_error_of_the_fax_stands_in_for_one_that_the_recipient_does_not_have() {
    let mut raw = failed("lineError", 17, 0);
    raw["recipients"] = json!([]);
    raw["error_type"] = json!("lineError");
    raw["error_id"] = json!("16");
    let failure = read(raw).outcome.unwrap().failure.unwrap();
    assert_eq!(failure.class, FailureClass::NoAnswer);
    // Without a recipient nobody says that it was the first call.
    assert_eq!(failure.phase, FailurePhase::Transmission);
    let bare = read(json!({"id": 1, "status": "failure"})).outcome.unwrap();
    assert_eq!(
        (bare.status, bare.class()),
        (OutcomeStatus::Failed, Some(FailureClass::Unknown))
    );
}

#[test]
fn progress_is_told_once_the_pages_are_counted() {
    let progress = |page, raw: Value| {
        let fax = Fax::read("read_webhook", &raw).unwrap();
        fax.report(page, raw).progress
    };
    let active = fax(
        "inprogress",
        json!({"status": "callactive", "bitrate": null}),
    );
    let told = progress(None, active.clone()).unwrap();
    assert_eq!(
        (told.phase, told.page, told.pages_total),
        (FaxPhase::Negotiating, None, 3)
    );
    let told = progress(Some(2), active).unwrap();
    assert_eq!((told.phase, told.page), (FaxPhase::Transmitting, Some(2)));
    let ringing = progress(None, fax("inprogress", json!({"status": "ringing"})));
    assert_eq!(ringing.unwrap().phase, FaxPhase::Ringing);
    assert!(
        progress(
            None,
            json!({"id": 1, "status": "inprogress", "num_pages": 0})
        )
        .is_none()
    );
}

#[test]
fn a_received_fax_is_read_in_the_words_of_each_version() {
    let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
    // v1 (thermondo/django-phaxio at 3587135, tests/test_views.py).
    let v1 = json!({"id": 12_444_660, "num_pages": 1, "cost": 7, "direction": "received",
        "status": "success", "is_test": false, "requested_at": 1_433_914_489,
        "completed_at": 1_433_914_488, "from_number": "+16504888494", "to_number": "+13142666714"});
    let v2 = json!({"id": 12_444_660, "num_pages": "1", "direction": "received", "status": "success",
        "created_at": "2015-06-10T00:34:48.000-05:00", "completed_at": null,
        "from_number": "+16504888494", "to_number": "+13142666714"});
    for raw in [v1, v2] {
        let fax = Fax::read("read_webhook", &raw).unwrap();
        assert!(fax.is_received() && fax.is_complete() && !fax.has_failed());
        let fax = fax.inbound("phaxio", now);
        assert_eq!((fax.id.as_str(), fax.pages), ("12444660", Some(1)));
        assert_eq!(fax.received_at.to_string(), "2015-06-10T05:34:48Z");
        assert_eq!(
            fax.from.map(Private::into_inner).as_deref(),
            Some("+16504888494")
        );
        assert_eq!(
            fax.to.map(Private::into_inner).as_deref(),
            Some("+13142666714")
        );
    }
    let bare = Fax::read("get_inbound", &json!({"id": 1})).unwrap();
    assert_eq!(bare.inbound("phaxio", now).received_at, now);
}

#[test]
fn an_id_that_is_no_number_is_refused() {
    for raw in [
        json!({}),
        json!({"id": null}),
        json!({"id": ""}),
        json!({"id": "../account"}),
        json!({"id": "1/2"}),
        json!({"id": -1}),
        json!([1]),
        json!("1"),
    ] {
        let error = Fax::read("get_status", &raw).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{raw}");
    }
}

#[test]
fn a_submission_has_what_was_chosen_and_nothing_else() {
    let mut fax = Submission {
        job_id: "job-7".parse().unwrap(),
        to: Private::new("+15558675309".to_owned()),
        upload: Upload::Url("https://example.com/a.pdf".parse().unwrap()),
        options: SendOptions::new(),
    };
    let all = fields(
        &fax,
        Some("Hdr"),
        Some("+15551230000"),
        Some("https://example.com/hook"),
    );
    let all: Vec<_> = all.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        all,
        [
            ("to", "+15558675309"),
            ("content_url", "https://example.com/a.pdf"),
            ("header_text", "Hdr"),
            ("caller_id", "+15551230000"),
            ("callback_url", "https://example.com/hook"),
            ("tag[faxbot_job]", "job-7"),
        ]
    );
    fax.upload = Upload::File {
        format: crate::cloud::fax::UploadFormat::Pdf,
        bytes: bytes::Bytes::from_static(b"%PDF-"),
        pages: None,
    };
    let bare = fields(&fax, None, None, None);
    let names: Vec<_> = bare.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["to", "tag[faxbot_job]"]);
}
