//! Public serialised forms: each type is compared with a file of `tests/golden`, both ways.
#![cfg(test)]

use std::{fmt::Debug, fs, path::PathBuf, time::Duration};

use faxbot_core::{
    Private, Timestamp,
    address::{Address, FaxTarget},
    document::Resolution,
    fax::{
        Alternative, AttemptHistory, FailureClass, FailurePhase, FaxFailure, FaxOutcome,
        FaxProgress, FaxTransport, Job, JobStatus,
    },
    id::{CallId, JobId},
    message::{
        Conversation, Cost, InboundMessage, MessageContent, MessageKind, MessageResult,
        MessageState, MessageStatus,
    },
    plugin::{
        CancelOutcome, InboundFax, InboundQuery, Manifest, Page, PluginCapability, PluginCondition,
        PluginEvent, PluginHealth, SendResult, StatusResult,
    },
    sip::{CallRecord, Causes, Direction, Disposition},
    webhook::Authenticity,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Compares `value` with `tests/golden/<name>.json`: it is written as the file says, and what is
/// read from the file is the value. With `FAXBOT_GOLDEN=write` in the environment the file is
/// written instead; look at the difference before you commit it.
fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let path = path.with_extension("json");
    let written = serde_json::to_value(value).unwrap();
    if std::env::var_os("FAXBOT_GOLDEN").is_some_and(|v| v == "write") {
        let text = serde_json::to_string_pretty(&written).unwrap();
        fs::write(&path, text + "\n").unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written, file, "{name} is not written as its file says");
    let read: T = serde_json::from_str(&text).unwrap();
    assert_eq!(&read, value, "{name} is not read back as what it was");
}

fn at(seconds: u64) -> Timestamp {
    "2026-11-21T08:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
}

fn job_id() -> JobId {
    "6f1c2b0e-0000-4000-8000-000000000001".parse().unwrap()
}

fn target() -> FaxTarget {
    FaxTarget::try_from("+15550100123".parse::<Address>().unwrap()).unwrap()
}

fn failure() -> FaxFailure {
    FaxFailure::from_fax_error(
        "HANGUP",
        "The call dropped prematurely",
        FailurePhase::Transmission,
        true,
    )
    .with_causes(&Causes::new().with_sip_status(200).with_q850(16))
    .with_retry_after(Duration::from_secs(30))
}

fn success() -> FaxOutcome {
    FaxOutcome::succeeded(Some(3), Some(3))
        .with_local_station_id("+15550100999".to_owned())
        .with_remote_station_id("RECEIVER".to_owned())
        .with_bit_rate(14400)
        .with_resolution(Resolution::Fine)
        .with_ecm(true)
        .with_transport(FaxTransport::T38)
        .with_duration_seconds(91)
        .with_native(Some("HANGUP".into()), Some("OK".into()))
}

#[test]
fn causes_are_written_as_their_file_says() {
    golden(
        "causes",
        &Causes::new()
            .with_sip_status(486)
            .with_q850(17)
            .with_native("User busy"),
    );
    assert_eq!(serde_json::to_value(Causes::new()).unwrap(), json!({}));
}

#[test]
fn failure_classes_are_written_as_their_file_says() {
    use FailureClass::{
        Busy, Cancelled, CommError, Congestion, Document, InvalidNumber, LocalConfig, NoAnswer,
        NotAFax, Rejected, T38, Unknown,
    };
    golden(
        "failure_class",
        &vec![
            Busy,
            NoAnswer,
            Congestion,
            CommError,
            T38,
            NotAFax,
            InvalidNumber,
            Rejected,
            Document,
            LocalConfig,
            Cancelled,
            Unknown,
        ],
    );
}

#[test]
fn fax_outcomes_are_written_as_their_files_say() {
    golden("fax_outcome_success", &success());
    golden(
        "fax_outcome_failed",
        &FaxOutcome::failed(failure(), Some(1), Some(3)),
    );
    golden(
        "fax_outcome_unknown",
        &FaxOutcome::unknown(Some(2), Some(3)),
    );
}

#[test]
fn status_words_are_written_as_their_file_says() {
    golden(
        "job_status",
        &vec![
            JobStatus::Queued,
            JobStatus::InProgress,
            JobStatus::Success,
            JobStatus::Failed,
            JobStatus::Preparing,
            JobStatus::Dispatching,
            JobStatus::Cancelled,
            JobStatus::OutcomeUnknown,
            JobStatus::Other("media.processed".into()),
        ],
    );
}

#[test]
fn jobs_are_written_as_their_file_says() {
    let mut job = Job::new(job_id(), target(), at(0));
    job.pages_total = Some(3);
    let first = job.begin_attempt(at(1));
    let busy = FaxFailure::from_causes(&Causes::new().with_sip_status(486).with_q850(17));
    assert!(job.end_attempt(first, FaxOutcome::failed(busy, None, Some(3)), at(3)));
    job.next_dial = Some(at(183));
    job.report(&JobStatus::parse("waiting"), at(3));
    golden("job", &job);

    let mut history = AttemptHistory::new().with_reached_before(true);
    history.record(&FaxOutcome::failed(failure(), Some(0), Some(3)));
    history.change(Alternative::MaxRate9600);
    golden("attempt_history", &history);
}

#[test]
fn the_call_of_an_attempt_never_gets_another_id() {
    // Stored jobs ask for their calls by these ids after a crash: a change loses their outcomes.
    golden(
        "attempt_call_ids",
        &(1..=3)
            .map(|n| CallId::for_attempt(&job_id(), n))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn call_records_are_written_as_their_file_says() {
    let mut record = CallRecord::new(
        Some(CallId::for_attempt(&job_id(), 1)),
        faxbot_core::sip::AdapterKind::ASTERISK,
        Direction::Outbound,
        at(0),
    );
    record.channels = vec![Private::from("PJSIP/trunk-00000001".to_owned())];
    record.to = Some(Private::from("+15550100123".to_owned()));
    record.answer = Some(at(4));
    record.close(at(95));
    record.disposition = Disposition::Answered;
    record.causes = Causes::new().with_q850(16);
    record.fax = Some(success());
    golden("call_record", &record);
}

#[test]
fn fax_results_are_written_as_their_files_say() {
    golden(
        "send_result",
        &SendResult::new(job_id(), "faxbot-sip").with_provider_sid("FX123"),
    );
    let mut status = StatusResult::new(job_id(), JobStatus::Failed);
    status.pages = Some(1);
    status.error = Some("the transmission broke off".into());
    status.raw_response = Some(json!({"FAXSTATUS": "FAILED"}));
    status.detail.outcome = Some(FaxOutcome::failed(failure(), Some(1), Some(3)));
    golden("status_result", &status);
    let plain = StatusResult::new(job_id(), JobStatus::Queued);
    golden("status_result_plain", &plain);
    golden(
        "cancel_outcome",
        &vec![
            CancelOutcome::Cancelled,
            CancelOutcome::Requested,
            CancelOutcome::TooLate,
            CancelOutcome::Unsupported,
        ],
    );
    golden("fax_progress", &FaxProgress::new(3));
}

#[test]
fn a_result_without_detail_is_read() {
    let read: StatusResult =
        serde_json::from_value(json!({"job_id": job_id(), "status": "success"})).unwrap();
    assert_eq!(read, StatusResult::new(job_id(), JobStatus::Success));
}

#[test]
fn inbound_faxes_are_written_as_their_file_says() {
    let mut fax = InboundFax::new("in-1", "faxbot-sip", at(0));
    fax.from = Some(Private::from("+15550100123".to_owned()));
    fax.pages = Some(2);
    golden("inbound_page", &Page::more(vec![fax], "10"));
    golden("inbound_query", &InboundQuery::new().with_cursor("10"));
    let query: InboundQuery = serde_json::from_str("{}").unwrap();
    assert_eq!((query.limit, query.cursor), (10, None));
}

#[test]
fn manifests_are_written_as_their_file_says() {
    let manifest = Manifest::new(
        "faxbot-sip-flowroute".parse().unwrap(),
        "Flowroute SIP Fax",
        &["outbound"],
        &[PluginCapability::SEND_FAX, PluginCapability::GET_STATUS],
    );
    golden("manifest", &manifest);
}

#[test]
fn plugin_health_and_events_are_written_as_their_files_say() {
    golden(
        "plugin_health",
        &PluginHealth::new(PluginCondition::Degraded, at(0))
            .with_message("one of two trunks is down"),
    );
    golden(
        "plugin_events",
        &vec![
            PluginEvent::job_status(job_id(), "faxbot-sip", JobStatus::InProgress),
            PluginEvent::progress(job_id(), FaxProgress::new(3)),
            PluginEvent::finished(job_id(), FaxOutcome::unknown(None, Some(3))),
            PluginEvent::FaxReceived(InboundFax::new("in-1", "faxbot-sip", at(0))),
            PluginEvent::MessageReceived(inbound_message()),
            PluginEvent::MessageStatusChanged(MessageStatus::new("m-1", MessageState::Sent)),
        ],
    );
}

fn inbound_message() -> InboundMessage {
    InboundMessage::new(
        "in-2",
        "faxbot-sms",
        (
            Private::from("+12025550147".to_owned()),
            Private::from("+12025550148".to_owned()),
        ),
        MessageContent::text(MessageKind::Sms, "hello"),
        at(0),
        Authenticity::Signed,
    )
    .with_conversation("c-1")
}

#[test]
fn messages_are_written_as_their_files_say() {
    golden(
        "message_content",
        &MessageContent::text(MessageKind::Mms, "hello")
            .with_media(["https://example.org/a.png".parse().unwrap()]),
    );
    golden(
        "message_result",
        &MessageResult::new("m-1", "faxbot-sms", MessageKind::Sms)
            .with_segments(2)
            .with_cost(Cost::new("0.0158", "USD")),
    );
    let mut status = MessageStatus::new("m-1", MessageState::Read);
    status.delivered_at = Some(at(1));
    status.read_at = Some(at(2));
    status.raw = Some(json!({"status": "read"}));
    golden("message_status", &status);
    let mut conversation = Conversation::new(
        "c-1",
        MessageKind::Sms,
        vec![Private::from("+15550100123".to_owned())],
    );
    conversation.last_message_at = Some(at(0));
    conversation.last_message = Some(Private::from("hello".to_owned()));
    golden("conversation", &conversation);
    golden(
        "message_words",
        &(
            vec![
                MessageKind::Sms,
                MessageKind::Mms,
                MessageKind::Whatsapp,
                MessageKind::Telegram,
                MessageKind::Sip,
                MessageKind::Other,
            ],
            vec![
                MessageState::Queued,
                MessageState::Sent,
                MessageState::HandedOver,
                MessageState::Delivered,
                MessageState::Read,
                MessageState::Failed,
                MessageState::OutcomeUnknown,
            ],
        ),
    );
}
