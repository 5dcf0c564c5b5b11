//! What is no webhook at all, and what nearly is one: it is answered, and kept for a person where it
//! came with a proof. Nothing panics, and memory stays in proportion to what was sent.

use std::{
    panic,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use faxbot_core::{Timestamp, webhook::WebhookReply};
use faxbot_testkit::{
    fixtures::private,
    random::{Seed, TestRng},
    server::phaxio,
};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    HEAP, alone,
    cloud_wire_support::headers,
    payload::{form, multipart, places, signed_sms, templates, wire},
    rig::{Memory, Rig},
    subject::{Kind, Subject},
};

const ADDRESS: &str = "https://files.example/fax.pdf";
/// The router's longest body.
const LONGEST: usize = 32 * 1024 * 1024;
/// Bodies whose use of memory is measured.
const BIG: usize = 8 * 1024 * 1024;
/// Copies of a body at one time, and what is needed whatever its length.
const COPIES: usize = 4;
const ROOM: usize = 16 * 1024 * 1024;

/// Counts panics, wherever they are caught.
struct Panics(Arc<AtomicUsize>);

impl Panics {
    fn count() -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            counter.fetch_add(1, Ordering::SeqCst);
            before(info);
        }));
        Self(count)
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(panic::take_hook());
            assert_eq!(self.0.load(Ordering::SeqCst), 0, "something panicked");
        }
    }
}

/// A body with the proof that its vendor gives; `None` where the vendor proves no such thing.
fn proven(subject: &Subject, kind: &HeaderMap, body: &Bytes) -> Option<HeaderMap> {
    match subject.kind {
        Kind::SinchSms { signed: true } => {
            let text = std::str::from_utf8(body).ok()?;
            let now = Timestamp::now().as_second();
            Some(signed_sms(private::SIGNING_SECRET, text, now))
        }
        Kind::Phaxio { signed: true } => None,
        _ => Some(kind.clone()),
    }
}

/// Calls a plugin, and sees that memory stays in proportion.
async fn call(rig: &Rig, at: usize, kind: &HeaderMap, body: &Bytes, what: &str) -> WebhookReply {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let reply = rig.subjects[at].call(&rig.host, kind, body).await;
    let used = HEAP.peak_usage().saturating_sub(before);
    let allowed = body.len() * COPIES + ROOM;
    let kind = rig.subjects[at].kind;
    assert!(
        used <= allowed,
        "{kind:?}, {what}: {used} bytes of memory for {} bytes",
        body.len()
    );
    reply
}

fn content_types() -> Vec<HeaderMap> {
    let long = format!("application/json; x={}", "x".repeat(5000));
    let boundary = format!("multipart/form-data; boundary={}", "b".repeat(5000));
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"",
        "multipart/mixed; boundary=hostile7f1e",
        "text/plain; charset=utf-16",
        "application/json\t;;;==",
        "/",
        "",
        &long,
        &boundary,
    ]
    .iter()
    .map(|kind| headers(&[("content-type", kind)]))
    .chain([
        HeaderMap::new(),
        multipart(),
        headers(&[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ]),
        headers(&[
            ("content-type", "application/json"),
            ("content-type", "text/plain"),
        ]),
    ])
    .collect()
}

/// Bodies that no vendor can mean anything by.
fn rubbish() -> Vec<(String, Bytes)> {
    let mut bodies: Vec<(String, Bytes)> = Vec::new();
    let mut add = |what: &str, body: &[u8]| bodies.push((what.to_owned(), body.to_vec().into()));
    add("nothing", b"");
    add("a zero", b"\0");
    add("a mark of order", b"\xef\xbb\xbf{}");
    add("utf-16", b"\xff\xfe{\0}\0");
    add("no utf-8", b"{\"event\": \"\xff\xfe\xc0\x80\"}");
    add("half a character", b"{\"type\": \"\xf0\x9f\x93\"}");
    add("half a pair", br#"{"type": "\ud800", "event": "\udc00"}"#);
    add("no escape", br#"{"type": "\x"}"#);
    add("a control character", b"{\"type\": \"\x01\"}");
    add("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03");
    add("a list", b"[1, 2, 3]");
    add("a text", b"\"mo_text\"");
    add("a number", b"1e999999");
    add("a long number", "9".repeat(100_000).as_bytes());
    add("a small number", b"-1e-999999999");
    add("two values", b"{} {}");
    add("an open text", b"{\"type\": \"mo_text");
    add("open lists", "[".repeat(1_000_000).as_bytes());
    add("open objects", "{\"fax\":".repeat(200_000).as_bytes());
    add(
        "lists",
        format!("{}{}", "[".repeat(5000), "]".repeat(5000)).as_bytes(),
    );
    add(
        "many keys",
        format!("{{{}\"x\":0}}", "\"x\":0,".repeat(50_000)).as_bytes(),
    );
    add("markup", b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY y SYSTEM \"file:///etc/passwd\">]><x>&y;</x>");
    let mut rng = TestRng::new(Seed(0x6a7b_a6e5));
    for length in [1, 7, 100, 4096, 70_000] {
        let bytes: Vec<u8> = (0..length)
            .map(|_| u8::try_from(rng.index(256)).unwrap())
            .collect();
        add(&format!("{length} random bytes"), &bytes);
        let text: Vec<u8> = bytes
            .iter()
            .map(|byte| b"{}[]\",:0e-.\\u \"typefax"[usize::from(*byte) % 21])
            .collect();
        add(&format!("{length} random signs"), &text);
    }
    bodies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_answered_and_kept_for_a_person() {
    let _turn = alone().await;
    let _panics = Panics::count();
    for signed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut rig = Rig::start(folder.path(), signed, Memory::None).await;
        for at in 0..rig.subjects.len() {
            let before = rig.subjects[at].state().await;
            for kind in content_types() {
                for (what, body) in rubbish() {
                    let subject = &rig.subjects[at];
                    let what = format!(
                        "{:?}, {what} as {:?}",
                        subject.kind,
                        kind.get("content-type")
                    );
                    let proof = proven(subject, &kind, &body);
                    let kept = rig.counted.letters();
                    let headers = proof.as_ref().unwrap_or(&kind);
                    let reply = call(&rig, at, headers, &body, &what).await;
                    let kept = rig.counted.letters() - kept;
                    match proof {
                        Some(_) => assert_eq!((reply.status.as_u16(), kept), (200, 1), "{what}"),
                        None => assert_eq!((reply.status.as_u16(), kept), (401, 0), "{what}"),
                    }
                }
            }
            assert_eq!(rig.subjects[at].state().await, before);
        }
        assert_eq!(rig.host.told(), []);
        assert!(rig.host.http.take().is_empty());
    }
}

/// Over a socket, with what HTTP itself can carry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_over_a_socket_is_answered() {
    let _turn = alone().await;
    let _panics = Panics::count();
    for signed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut rig = Rig::start(folder.path(), signed, Memory::None).await;
        for subject in &rig.subjects {
            for (what, body) in rubbish() {
                let reply = rig.host.post(&subject.webhook, multipart(), body).await;
                let wanted = if subject.kind.is_signed() { 401 } else { 200 };
                assert_eq!(reply.status, wanted, "{:?}, {what}", subject.kind);
            }
            let long = Bytes::from(vec![b'['; LONGEST + 1]);
            // The connection may end before all of it was written.
            if let Ok(reply) = rig.host.try_post(&subject.webhook, multipart(), long).await {
                assert_eq!(reply.status, 413, "{:?}", subject.kind);
            }
        }
        assert_eq!(rig.host.told(), []);
    }
}

/// Whole webhooks that end too early, or have one value of another type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_with_something_wrong_in_it_is_answered() {
    let _turn = alone().await;
    let _panics = Panics::count();
    for signed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut rig = Rig::start(folder.path(), signed, Memory::None).await;
        for at in 0..rig.subjects.len() {
            for template in templates(&rig.subjects[at], ADDRESS) {
                let (_, body) = wire(&rig.subjects[at], &template);
                let (kind, _) = wire(&rig.subjects[at], &template);
                for end in (0..body.len() - 3).step_by(41) {
                    let cut = body.slice(..end);
                    let what = format!("cut at {end} of {template}");
                    let reply = call(&rig, at, &kind, &cut, &what).await;
                    let status = reply.status.as_u16();
                    let wanted = if rig.subjects[at].kind.is_signed() {
                        401
                    } else {
                        200
                    };
                    assert_eq!(status, wanted, "{what}");
                }
                assert_eq!(rig.host.told(), [], "{template}");
                for place in places(&template) {
                    for value in odd_values() {
                        let mut odd = template.clone();
                        *odd.pointer_mut(&place).unwrap() = value;
                        let (kind, body) = wire(&rig.subjects[at], &odd);
                        let what = format!("{place} of {odd:.300}");
                        let reply = call(&rig, at, &kind, &body, &what).await;
                        // A form whose parts cannot be read has no right signature.
                        let unreadable = place.starts_with("/file") && reply.status == 401;
                        let answered = [200, 503].contains(&reply.status.as_u16());
                        assert!(answered || unreadable, "{what}: {reply:?}");
                    }
                }
                rig.host.told();
            }
        }
    }
}

fn odd_values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(1e308),
        json!(""),
        json!("x\u{0}\u{7f}\u{202e}"),
        json!("9".repeat(400)),
        json!([]),
        json!([[[[]]]]),
        json!({}),
        json!({ "id": { "id": {} } }),
    ]
}

/// Forms that a careless reader makes much more of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_in_proportion_to_what_was_sent() {
    let _turn = alone().await;
    let _panics = Panics::count();
    for signed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let rig = Rig::start(folder.path(), signed, Memory::None).await;
        for at in 0..rig.subjects.len() {
            for (what, kind, body) in big() {
                let subject = &rig.subjects[at];
                let mut headers = proven(subject, &kind, &body).unwrap_or(kind);
                if subject.kind == (Kind::Phaxio { signed: true }) {
                    // Nobody else signs it.
                    let signature = phaxio::signature(
                        private::SIGNING_SECRET,
                        subject.webhook.as_str(),
                        &[],
                        &[],
                    );
                    headers.insert("x-phaxio-signature", signature.parse().unwrap());
                }
                let reply = call(&rig, at, &headers, &body, &what).await;
                let status = reply.status.as_u16();
                assert!(
                    [200, 401].contains(&status),
                    "{:?}, {what}: {status}",
                    subject.kind
                );
            }
        }
    }
}

fn big() -> Vec<(String, HeaderMap, Bytes)> {
    let json_type = headers(&[("content-type", "application/json")]);
    let form_type = headers(&[("content-type", "application/x-www-form-urlencoded")]);
    let fill = |start: &str, unit: &str, end: &str| {
        let units = (BIG - start.len() - end.len()) / unit.len();
        Bytes::from(format!("{start}{}{end}", unit.repeat(units)))
    };
    let fields = |count: usize, length: usize| {
        let field = |n: usize| (format!("f{n}"), "x".repeat(length));
        let fields: Vec<_> = (0..count).map(field).collect();
        form(&fields, None)
    };
    let mut all: Vec<(String, HeaderMap, Bytes)> = Vec::new();
    for (what, body) in [
        ("a list of zeros", fill("[", "0,", "0]")),
        ("a list of lists", fill("[", "[],", "0]")),
        ("a list of objects", fill("[", "{},", "0]")),
        (
            "an event with a list",
            fill("{\"event\":\"FAX_COMPLETED\",\"fax\":[", "0,", "0]}"),
        ),
        (
            "a fax with a list",
            fill(
                "{\"event\":\"FAX_COMPLETED\",\"fax\":{\"id\":\"1\",\"x\":[",
                "0,",
                "0]}}",
            ),
        ),
        (
            "an event and a list",
            fill("{\"event\":\"FAX_COMPLETED\",\"x\":[", "[],", "0]}"),
        ),
        (
            "a type and a list",
            fill(
                "{\"type\":\"mo_media\",\"body\":{\"media\":[",
                "{},",
                "{}]}}",
            ),
        ),
        (
            "labels",
            fill(
                "{\"event\":\"INCOMING_FAX\",\"fax\":{\"labels\":{",
                "\"a\":0,",
                "\"a\":0}}}",
            ),
        ),
        ("a long text", fill("{\"event\":\"", "x", "\"}")),
        ("escapes", fill("{\"event\":\"", "\\u0041", "\"}")),
    ] {
        all.push((what.to_owned(), json_type.clone(), body));
    }
    all.push((
        "ten thousand fields".into(),
        multipart(),
        fields(10_000, 10),
    ));
    all.push((
        "a million fields".into(),
        form_type.clone(),
        fill("", "a=b&", "c=d"),
    ));
    all.push(("long fields".into(), multipart(), fields(8, 1024 * 1024)));
    all.push(("one long field".into(), multipart(), fields(1, BIG)));
    all.push((
        "percent signs".into(),
        form_type.clone(),
        fill("fax=", "%41", ""),
    ));
    let deep = |inner: Bytes| {
        let text = String::from_utf8(inner.to_vec()).unwrap();
        form(
            &[
                ("event".into(), "FAX_COMPLETED".into()),
                ("fax".into(), text),
            ],
            None,
        )
    };
    let short = |start: &str, unit: &str, end: &str| {
        Bytes::from(format!(
            "{start}{}{end}",
            unit.repeat(1_000_000 / unit.len())
        ))
    };
    for (what, inner) in [
        ("a list in a field", short("[", "0,", "0]")),
        (
            "a fax with a list in a field",
            short("{\"id\":1,\"x\":[", "[],", "0]}"),
        ),
        ("deep lists in a field", short("", "[", "")),
    ] {
        all.push((what.to_owned(), multipart(), deep(inner)));
    }
    all
}
