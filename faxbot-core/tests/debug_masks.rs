//! No `Debug` form of a public type shows a number, a name, a file or a secret that it holds.
#![cfg(test)]

use std::{fmt::Debug, io::Cursor};

use faxbot_core::{
    Error, ErrorKind, Private, Secret, Timestamp,
    address::{Address, FaxTarget, PhoneNumber},
    document::{
        CoverPage, Document, FaxImage, PageHeader, Resolution, ccitt::T6Encoder, tiff::TiffWriter,
    },
    fax::{
        Attempt, FailureClass, FailurePhase, FaxFailure, FaxOutcome, FaxRequest, Job, JobStatus,
    },
    http::{HttpRequest, HttpResponse},
    id::{CallId, CallRef, JobId},
    message::{
        Conversation, InboundMessage, MessageContent, MessageKind, MessageState, MessageStatus,
    },
    plugin::{InboundFax, PluginEvent, SendOptions, StatusResult},
    sip::{
        AcceptAs, AdapterKind, CallRecord, CallRequest, CallState, CallStateChanged, CallStatus,
        Causes, ConferenceAction, ConferenceRequest, ConnectionState, Direction, DtmfRequest,
        IncomingCall, Lookup, OnAnswer, RawEvent, RecordRequest, SipEvent, SipMessage, Snapshot,
        TransferRequest,
    },
    webhook::Authenticity,
    webhook::{WebhookReply, WebhookRequest},
};
use http::{HeaderName, HeaderValue, Method, StatusCode};

const NUMBER: &str = "+12025550147";
const EXTENSION: &str = "73911";
const NAME: &str = "zwirner";
const URI: &str = "sip:zwirner@pbx.example.org";
const NATIVE: &str = "PJSIP/zwirner-0007";

/// What may show nowhere: the numbers without their masked ends, and the name that every text has.
const HIDDEN: [&str; 3] = ["0255501", EXTENSION, NAME];

struct Shown(Vec<(String, String)>);

impl Shown {
    fn add(&mut self, value: &impl Debug) {
        let text = format!("{value:?} {value:#?}");
        let name = std::any::type_name_of_val(value).to_owned();
        self.0.push((name, text));
    }
}

fn addresses() -> [Address; 4] {
    [NUMBER, EXTENSION, URI, "native:PJSIP/zwirner-0007"].map(|text| text.parse().unwrap())
}

/// Always the same: a random one could hold the digits that are searched for.
fn id() -> CallId {
    CallId::from_uuid(uuid::Uuid::nil())
}

fn private() -> Private {
    Private::from(NATIVE.to_owned())
}

fn image(directory: &std::path::Path) -> FaxImage {
    let mut page = T6Encoder::new(1728).unwrap();
    for _ in 0..Resolution::Fine.rows_a4() {
        page.encode_row(&[0; 216]).unwrap();
    }
    let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
    writer
        .add_page(page.rows(), Resolution::Fine, &page.finish())
        .unwrap();
    let path = directory.join("zwirner.tif");
    std::fs::write(&path, writer.finish().unwrap().into_inner()).unwrap();
    FaxImage::open(path).unwrap()
}

fn outcome() -> FaxOutcome {
    let failure = FaxFailure::new(FailureClass::CommError, FailurePhase::Transmission)
        .with_native(None, Some(NATIVE.to_owned()));
    FaxOutcome::failed(failure, Some(1), Some(3))
        .with_local_station_id(private())
        .with_remote_station_id(private())
        .with_native(None, Some(NATIVE.to_owned()))
}

fn record() -> CallRecord {
    let mut record = CallRecord::new(
        Some(id()),
        AdapterKind::new("asterisk"),
        Direction::Outbound,
        Timestamp::UNIX_EPOCH,
    );
    record.channels = vec![private()];
    record.from = Some(private());
    record.to = Some(NUMBER.to_owned().into());
    record.recording = Some(private());
    record.causes = Causes::new().with_native(NATIVE);
    record.fax = Some(outcome());
    record
}

fn calls(shown: &mut Shown) {
    for to in addresses() {
        shown.add(&to);
        shown.add(&TransferRequest::blind(id(), to.clone()));
        shown.add(&CallRequest::connect(to.clone(), to.clone()));
        let content = MessageContent::text(MessageKind::Sip, NATIVE);
        shown.add(&SipMessage::new(to.clone(), content));
        let then = [
            OnAnswer::Bridge(to.clone()),
            OnAnswer::Extension {
                extension: EXTENSION.to_owned(),
                context: Some(NAME.to_owned()),
            },
            OnAnswer::Application {
                name: "Playback".to_owned(),
                data: NATIVE.to_owned(),
            },
        ];
        for then in then {
            let request = CallRequest::dial(to.clone())
                .on_answer(then)
                .with_caller_id(NUMBER.parse().unwrap())
                .with_caller_id_name(NAME)
                .with_variable("VARIABLE", NATIVE)
                .with_header("X-Header", NATIVE);
            shown.add(&request);
        }
        shown.add(&AcceptAs::Bridge(to));
    }
    let native = CallRef::native(NATIVE);
    shown.add(&native);
    shown.add(&RecordRequest::start(native.clone()));
    shown.add(&DtmfRequest::new(native.clone(), EXTENSION));
    shown.add(&ConferenceRequest::new(
        NAME,
        ConferenceAction::Join(native),
    ));

    let mut status = CallStatus::new(
        None,
        CallState::Connected,
        Direction::Inbound,
        Timestamp::UNIX_EPOCH,
    );
    status.channels = vec![private()];
    shown.add(&Lookup::Live(status.clone()));
    shown.add(&Lookup::Ended(Box::new(record())));
    let mut incoming = IncomingCall::new(id(), Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    incoming.caller = Some(private());
    incoming.called = Some(private());
    incoming.headers.insert("X-Header".to_owned(), private());
    let mut snapshot = Snapshot::new(1, ConnectionState::Connected);
    snapshot.calls = vec![status];
    snapshot.incoming = vec![incoming.clone()];
    snapshot.conferences = vec![(private(), 2)];
    shown.add(&snapshot);
    shown.add(&SipEvent::IncomingCall(incoming));
    let fields = vec![("Channel".to_owned(), private())];
    shown.add(&SipEvent::Raw(RawEvent::new("Newchannel", fields)));
    let mut changed = CallStateChanged::new(None, CallState::Connected, CallState::Terminated);
    changed.record = Some(Box::new(record()));
    shown.add(&SipEvent::CallStateChanged(changed));
}

fn faxes(shown: &mut Shown, image: FaxImage) {
    for address in addresses() {
        let Ok(to) = FaxTarget::try_from(address) else {
            continue;
        };
        shown.add(&to);
        let request = FaxRequest::new(to.clone(), image.clone())
            .with_station_id(NAME.parse().unwrap())
            .with_header(NAME.parse().unwrap());
        shown.add(&request);
        let mut job = Job::new("job-1".parse::<JobId>().unwrap(), to, Timestamp::UNIX_EPOCH);
        let mut attempt = Attempt::new(1, id(), Timestamp::UNIX_EPOCH);
        attempt.outcome = Some(outcome());
        job.attempts.push(attempt.clone());
        shown.add(&job);
        let mut status = StatusResult::new(job.id, JobStatus::Failed);
        status.raw_response = Some(serde_json::json!({ "to": NUMBER, "name": NAME }));
        status.detail.outcome = Some(outcome());
        status.detail.attempts.push(attempt);
        shown.add(&status);
    }
    shown.add(&image);
    shown.add(&outcome());
    shown.add(&Document::path("zwirner.pdf"));
    shown.add(&Document::url(
        "https://example.org/zwirner.pdf".parse().unwrap(),
    ));
    shown.add(&Document::bytes(NAME));
    let cover = CoverPage::new()
        .with_template(NAME)
        .with_field(NAME, NUMBER);
    shown.add(&Document::combined([
        Document::cover(cover),
        Document::path("zwirner.pdf"),
    ]));
    shown.add(
        &PageHeader::new(Timestamp::UNIX_EPOCH, 3)
            .with_from(NAME)
            .with_to(NUMBER),
    );
    let options = SendOptions::new()
        .with_station_id(NAME.parse().unwrap())
        .with_header(NAME.parse().unwrap());
    shown.add(&options);
    let mut fax = InboundFax::new("fax-1", "sip-fax", Timestamp::UNIX_EPOCH);
    fax.from = Some(private());
    fax.to = Some(private());
    fax.station_id = Some(private());
    shown.add(&PluginEvent::FaxReceived(fax));
}

fn others(shown: &mut Shown) {
    shown.add(&NUMBER.parse::<PhoneNumber>().unwrap());
    shown.add(&Secret::new(NAME));
    let content = MessageContent::text(MessageKind::Sms, NAME)
        .with_media(["https://example.org/zwirner.png".parse().unwrap()]);
    shown.add(&PluginEvent::MessageReceived(InboundMessage::new(
        "in-1",
        "sms",
        (private(), private()),
        content,
        Timestamp::UNIX_EPOCH,
        Authenticity::Signed,
    )));
    let mut status = MessageStatus::new("message", MessageState::Sent);
    status.raw = Some(serde_json::json!({ "to": NUMBER }));
    shown.add(&status);
    let mut conversation = Conversation::new("1", MessageKind::Sms, vec![private()]);
    conversation.last_message = Some(private());
    shown.add(&conversation);

    let url = "https://zwirner@example.org/zwirner?to=zwirner";
    let name = HeaderName::from_static("authorization");
    let request = HttpRequest::post(url.parse().unwrap(), NAME);
    shown.add(&request.with_header(name.clone(), NAME).unwrap());
    shown.add(&HttpResponse::new(StatusCode::OK, NAME));
    let headers = [(name, HeaderValue::from_static(NAME))]
        .into_iter()
        .collect();
    let request = WebhookRequest::new(Method::POST, "/webhooks/zwirner").with_body(NAME);
    shown.add(&request.with_headers(headers));
    shown.add(&WebhookReply::json(StatusCode::OK, NAME));

    let refused = Error::new(ErrorKind::Rejected, "make_call", "the server refused it")
        .with_native(Some("404".to_owned()), Some(NATIVE.to_owned()));
    let text = refused.to_string();
    shown.add(&text);
    shown.add(&refused);
    // What cannot be parsed is as private as what can.
    for bad in ["+1202555014x zwirner", "sip:zwirner@", "native:zwirner\n"] {
        shown.add(&bad.parse::<Address>().unwrap_err());
        shown.add(&bad.parse::<Address>().unwrap_err().to_string());
    }
}

#[test]
fn what_is_private_shows_in_no_debug_form() {
    let directory = tempfile::tempdir().unwrap();
    let mut shown = Shown(Vec::new());
    calls(&mut shown);
    faxes(&mut shown, image(directory.path()));
    others(&mut shown);
    for (name, text) in &shown.0 {
        for hidden in HIDDEN {
            assert!(!text.contains(hidden), "{name} shows {hidden}: {text}");
        }
    }
}
