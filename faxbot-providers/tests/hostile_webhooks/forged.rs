//! Webhooks that somebody else made, or changed, or sent to another place or at another time.

use std::collections::BTreeMap;

use bytes::Bytes;
use faxbot_core::{
    Timestamp,
    plugin::Plugin as _,
    webhook::{WebhookReply, WebhookRequest},
};
use faxbot_providers::{phaxio::PhaxioPlugin, sinch_sms::SinchSmsPlugin};
use faxbot_testkit::{fixtures::private, server::phaxio};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

use crate::{
    alone,
    payload::{form, multipart, signed_sms, templates, wire},
    rig::{Memory, Rig},
    subject::{Kind, Subject},
};

const ADDRESS: &str = "https://files.example/fax.pdf";
const PHAXIO: &str = "x-phaxio-signature";
const SINCH: &str = "x-sinch-webhook-signature";
const NONCE: &str = "x-sinch-webhook-signature-nonce";
const TIME: &str = "x-sinch-webhook-signature-timestamp";
const ALGORITHM: &str = "x-sinch-webhook-signature-algorithm";

type Forgery = (String, WebhookRequest);

/// Everything that a webhook could change.
#[derive(Debug, PartialEq)]
struct State {
    subjects: Vec<Value>,
    files: BTreeMap<std::path::PathBuf, Vec<u8>>,
}

async fn state(rig: &Rig) -> State {
    let mut subjects = Vec::new();
    for subject in &rig.subjects {
        subjects.push(subject.state().await);
    }
    State {
        subjects,
        files: rig.host.files(),
    }
}

/// Sends forgeries; each gets one of these statuses, and changes nothing.
async fn refused(rig: &mut Rig, forgeries: Vec<Forgery>, statuses: &[u16]) {
    let before = state(rig).await;
    rig.host.http.take();
    for (what, request) in forgeries {
        let reply = rig.host.router.dispatch(request.clone()).await;
        assert!(
            statuses.contains(&reply.status.as_u16()),
            "{what}: {}",
            reply.status
        );
        // The same over a socket.
        let mut url = rig.host.url.clone();
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        url.set_path(path);
        url.set_query((!query.is_empty()).then_some(query));
        let reply = rig.host.post(&url, request.headers, request.body).await;
        assert!(
            statuses.contains(&reply.status.as_u16()),
            "{what}: {}",
            reply.status
        );
        assert_eq!(state(rig).await, before, "{what}");
        assert_eq!(rig.host.told(), [], "{what}");
        let sent = rig.host.http.take();
        assert!(sent.is_empty(), "{what}: {}", sent[0].url);
    }
}

/// Sends what is right, and sees that it is taken: what was forged would have changed something.
async fn taken(rig: &mut Rig, at: usize, template: &Value) -> WebhookReply {
    let before = state(rig).await;
    let subject = &rig.subjects[at];
    let (headers, body) = wire(subject, template);
    let reply = subject.call(&rig.host, &headers, &body).await;
    assert_eq!(reply.status, 200);
    assert_ne!(state(rig).await, before, "{template}");
    reply
}

fn with(headers: &HeaderMap, name: &'static str, values: &[&str]) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(name);
    for value in values {
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap().to_str().unwrap()
}

fn phaxio_forgeries(subject: &Subject, template: &Value) -> Vec<Forgery> {
    let (headers, body) = wire(subject, template);
    let right = value(&headers, PHAXIO).to_owned();
    let url = subject.webhook.as_str();
    let fields: Vec<(String, String)> = template
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != "file")
        .map(|(name, value)| {
            let text = value.as_str().map(str::to_owned);
            (name.clone(), text.unwrap_or_else(|| value.to_string()))
        })
        .collect();
    let content = template["file"]["text"].as_str();
    let files: Vec<_> = content
        .iter()
        .map(|text| ("file", text.as_bytes()))
        .collect();
    let sign = |token: &str, url: &str| phaxio::signature(token, url, &fields, &files);
    let request = |headers: HeaderMap, body: &Bytes| subject.request(&headers, body);
    let mut forgeries = Vec::new();
    let mut add = |what: &str, values: &[&str]| {
        forgeries.push((
            what.to_owned(),
            request(with(&headers, PHAXIO, values), &body),
        ));
    };
    let half = right.get(..20).unwrap();
    let more = format!("{right}00");
    let named = format!("sha1={right}");
    let wrong = sign(private::DEFAULT_SECRET, url);
    add("no signature", &[]);
    add("an empty signature", &[""]);
    add("no hexadecimal", &["x"]);
    add("half of the signature", &[half]);
    add("more than the signature", &[&more]);
    add("a prefix", &[&named]);
    add("twice the same", &[&right, &right]);
    add("a wrong one before it", &[&wrong, &right]);
    add("a wrong one behind it", &[&right, &wrong]);
    add("two in one", &[&format!("{right}, {right}")]);
    add("another secret", &[&wrong]);
    add("an empty secret", &[&sign("", url)]);
    add(
        "the key of the account",
        &[&sign(private::DEFAULT_SECRET, url)],
    );
    for other in [
        "https://fax.example.org/webhooks/phaxio".to_owned(),
        format!("{url}/"),
        format!("{url}?a=b"),
        url.replace("http:", "https:"),
        url.replace("phaxio", "sinch-fax"),
        subject.webhook.path().to_owned(),
        String::new(),
    ] {
        add(
            &format!("signed for {other}"),
            &[&sign(private::SIGNING_SECRET, &other)],
        );
    }
    // The signature of the other vendor, in its headers and in this one.
    let text = String::from_utf8_lossy(&body).into_owned();
    let mut others = signed_sms(private::SIGNING_SECRET, &text, Timestamp::now().as_second());
    others.insert("content-type", headers["content-type"].clone());
    let foreign = value(&others, SINCH).to_owned();
    forgeries.push((
        "the other vendor's signature".to_owned(),
        request(others, &body),
    ));
    let moved = with(&headers, PHAXIO, &[&foreign]);
    forgeries.push((
        "the other vendor's signature here".to_owned(),
        request(moved, &body),
    ));
    // The right signature, and something else in the body.
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut template = template.clone();
        change(&mut template);
        wire(subject, &template).1
    };
    for (what, body) in [
        (
            "another word",
            changed(&|it| it["fax"]["status"] = json!("failure")),
        ),
        ("another fax", changed(&|it| it["fax"]["id"] = json!(1))),
        ("a field more", changed(&|it| it["is_live"] = json!("true"))),
        (
            "a field less",
            changed(&|it| {
                let names = ["direction", "event_type"];
                let fields = it.as_object_mut().unwrap();
                fields.retain(|name, _| !names.contains(&name.as_str()));
            }),
        ),
        (
            "a file",
            changed(&|it| it["file"] = json!({"name": "a", "type": "b", "text": "c"})),
        ),
        ("nothing", Bytes::new()),
        ("a form that is cut", body.slice(..body.len() - 10)),
        ("the fax twice", {
            let mut twice = fields.clone();
            twice.push(("fax".to_owned(), "{\"id\": 1}".to_owned()));
            form(&twice, None)
        }),
    ] {
        forgeries.push((what.to_owned(), request(headers.clone(), &body)));
    }
    let mut urlencoded = headers.clone();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    urlencoded.insert("content-type", kind);
    forgeries.push(("another type".to_owned(), request(urlencoded, &body)));
    let mut untyped = headers.clone();
    untyped.remove("content-type");
    forgeries.push(("no type".to_owned(), request(untyped, &body)));
    forgeries
}

fn sms_forgeries(subject: &Subject, template: &Value) -> Vec<Forgery> {
    let body = template.to_string();
    let now = Timestamp::now().as_second();
    let sign = |secret: &str, at: i64| signed_sms(secret, &body, at);
    let headers = sign(private::SIGNING_SECRET, now);
    let right = value(&headers, SINCH).to_owned();
    let bytes = Bytes::from(body.clone());
    let mut forgeries = Vec::new();
    let mut add = |what: String, headers: HeaderMap, body: &Bytes| {
        forgeries.push((what, subject.request(&headers, body)));
    };
    for (what, values) in [
        ("no signature", &[][..]),
        ("an empty signature", &[""]),
        ("no base64", &["?"]),
        ("half of the signature", &[&right[..20]]),
        ("twice the same", &[&right, &right]),
        ("a wrong one before it", &["AAAA", &right]),
        ("two in one", &[&format!("{right},{right}")]),
    ] {
        add(what.to_owned(), with(&headers, SINCH, values), &bytes);
    }
    for (what, secret) in [
        ("another secret", private::WEBHOOK_SECRET),
        ("the token of the plan", private::DEFAULT_SECRET),
        ("an empty secret", ""),
    ] {
        add(what.to_owned(), sign(secret, now), &bytes);
    }
    for (what, at) in [
        ("ten minutes ago", now - 600),
        ("in ten minutes", now + 600),
        ("long ago", 0),
        ("before all time", -1),
        ("in a far time", i64::MAX),
    ] {
        add(what.to_owned(), sign(private::SIGNING_SECRET, at), &bytes);
    }
    for name in [NONCE, TIME] {
        let own = value(&headers, name).to_owned();
        let later = (now + 1).to_string();
        for values in [
            &[][..],
            &[""],
            &["x"],
            &[&own, &own],
            &[&later],
            &[&format!("+{own}")],
        ] {
            add(
                format!("{name}: {values:?}"),
                with(&headers, name, values),
                &bytes,
            );
        }
    }
    for algorithm in ["", "none", "HmacSHA1", "hmacsha256"] {
        add(
            algorithm.to_owned(),
            with(&headers, ALGORITHM, &[algorithm]),
            &bytes,
        );
    }
    let twice = with(&headers, ALGORITHM, &["HmacSHA256", "HmacSHA256"]);
    add("the algorithm twice".to_owned(), twice, &bytes);
    let mut changed = template.clone();
    changed["at"] = json!("2022-01-01T00:00:00Z");
    for (what, other) in [
        ("another body", changed.to_string()),
        ("a space more", format!("{body} ")),
        ("nothing", String::new()),
    ] {
        add(what.to_owned(), headers.clone(), &other.into());
    }
    // The signature of the other vendor.
    let url = subject.webhook.as_str();
    let other = phaxio::signature(private::SIGNING_SECRET, url, &[], &[("", body.as_bytes())]);
    add(
        "the other vendor's".to_owned(),
        with(&multipart(), PHAXIO, &[&other]),
        &bytes,
    );
    add(
        "the other vendor's here".to_owned(),
        with(&headers, SINCH, &[&other]),
        &bytes,
    );
    forgeries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_signature_changes_nothing() {
    let _turn = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::start(folder.path(), true, Memory::Files).await;
    for at in 0..rig.subjects.len() {
        let all = templates(&rig.subjects[at], ADDRESS);
        for template in &all {
            let subject = &rig.subjects[at];
            let forgeries = match subject.kind {
                Kind::SinchSms { .. } => sms_forgeries(subject, template),
                _ => phaxio_forgeries(subject, template),
            };
            refused(&mut rig, forgeries, &[401]).await;
            // What is right for one plugin is nothing for the other.
            let (headers, body) = wire(&rig.subjects[at], template);
            let other = rig.subjects[1 - at].request(&headers, &body);
            refused(
                &mut rig,
                vec![("the other plugin's".to_owned(), other)],
                &[401],
            )
            .await;
        }
        taken(&mut rig, at, &all[0]).await;
        rig.host.told();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_was_taken_changes_nothing_again() {
    let _turn = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::start(folder.path(), true, Memory::Files).await;
    for at in 0..rig.subjects.len() {
        let template = templates(&rig.subjects[at], ADDRESS)[2].clone();
        let (headers, body) = wire(&rig.subjects[at], &template);
        let subject = &rig.subjects[at];
        assert_eq!(subject.call(&rig.host, &headers, &body).await.status, 200);
        assert_eq!(rig.host.told().len(), 1);
        let again = rig.subjects[at].request(&headers, &body);
        let replays = vec![
            ("again".to_owned(), again.clone()),
            ("and again".to_owned(), again),
        ];
        refused(&mut rig, replays, &[200]).await;
        let subject = &rig.subjects[at];
        if subject.kind == (Kind::SinchSms { signed: true }) {
            // The nonce of a body that was taken, rightly signed with another body.
            let mut other = template.clone();
            other["id"] = json!("01HOTHER");
            let text = other.to_string();
            let nonce = value(&headers, NONCE);
            let time = value(&headers, TIME);
            let at_time = time.parse().unwrap();
            let secret = private::SIGNING_SECRET;
            let signature = faxbot_testkit::server::sinch_sms::signature(
                secret,
                text.as_bytes(),
                nonce,
                at_time,
            );
            let moved = with(&headers, SINCH, &[&signature]);
            let request = subject.request(&moved, &text.into());
            refused(
                &mut rig,
                vec![("a nonce twice".to_owned(), request)],
                &[401],
            )
            .await;
        }
    }
}

/// Phaxio signs names and values without anything between them, so that who has a signed form can cut
/// it in other places: such a form is right by its signature, and tells nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_form_that_was_cut_in_other_places_tells_nothing() {
    let _turn = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::start(folder.path(), true, Memory::Files).await;
    let template = templates(&rig.subjects[0], ADDRESS)[0].clone();
    let (headers, _) = wire(&rig.subjects[0], &template);
    let whole: String = template
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}{text}")
        })
        .collect();
    let before = rig.subjects[0].state().await;
    let mut letters = 0;
    for cut in (1..whole.len()).step_by(7) {
        let (name, text) = whole.split_at(cut);
        if name.contains(['"', '\\']) {
            continue;
        }
        let body = form(&[(name.to_owned(), text.to_owned())], None);
        let reply = rig.subjects[0].call(&rig.host, &headers, &body).await;
        assert_eq!(reply.status, 200, "{name}");
        letters += 1;
        assert_eq!(rig.subjects[0].state().await, before, "{name}");
    }
    assert!(letters > 3, "{letters}");
    assert_eq!(rig.host.told(), []);
    assert!(rig.host.http.take().is_empty());
    taken(&mut rig, 0, &template).await;
}

/// Vendors that sign nothing: their webhooks come by a path that nobody else knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_was_guessed_changes_nothing() {
    let _turn = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::start(folder.path(), false, Memory::Files).await;
    for at in 0..rig.subjects.len() {
        let subject = &rig.subjects[at];
        let other = &rig.subjects[(at + 1) % rig.subjects.len()];
        let secret = |subject: &Subject| {
            subject
                .webhook
                .path()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        };
        let (own, others) = (secret(subject), secret(other));
        let bare = format!("/webhooks/{}", subject.id);
        let (headers, body) = wire(subject, &templates(subject, ADDRESS)[0]);
        let forgeries = [
            bare.clone(),
            format!("{bare}/"),
            format!("{bare}/{others}"),
            format!("{bare}/{}", own.to_uppercase()),
            format!("{bare}/{}", &own[..own.len() - 1]),
            format!("{bare}/{own}0"),
            format!("{bare}/{own}/"),
            format!("{bare}/{own}/{own}"),
            format!("{bare}/%{:02x}{}", own.as_bytes()[0], &own[1..]),
            format!("{bare}/{}", "0".repeat(own.len())),
            format!("{bare}/?secret={own}"),
            format!("{bare}?{own}"),
            format!("/webhooks/{}/{own}", other.id),
            format!("/files/{own}"),
            format!("/webhooks//{own}"),
            format!("/webhooks/{}/{own}", subject.id.as_str().to_uppercase()),
        ]
        .into_iter()
        .map(|path| {
            let request = WebhookRequest::new(Method::POST, path.clone())
                .with_headers(headers.clone())
                .with_body(body.clone());
            (path, request)
        })
        .collect();
        refused(&mut rig, forgeries, &[404]).await;
        let gets = [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS].map(|method| {
            let path = rig.subjects[at].webhook.path();
            let request = WebhookRequest::new(method.clone(), path).with_body(body.clone());
            (method, request)
        });
        for (method, request) in gets {
            let before = state(&rig).await;
            assert_eq!(
                rig.host.router.dispatch(request).await.status,
                405,
                "{method}"
            );
            assert_eq!(state(&rig).await, before, "{method}");
        }
    }
}

/// Whoever learned the secret path can make us ask the vendor, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_without_a_signature_is_believed_in_nothing() {
    let _turn = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::start(folder.path(), false, Memory::Files).await;
    let mut before = Vec::new();
    for subject in &rig.subjects {
        before.push(subject.state().await);
    }
    for at in 0..rig.subjects.len() {
        let subject = &rig.subjects[at];
        for template in templates(subject, ADDRESS) {
            // Of what goes on that it is over, and of what is not there that it came.
            let mut text = template.to_string();
            for invented in [false, true] {
                if invented {
                    let (sent, received) = (&subject.sent, &subject.received);
                    text = text
                        .replace(sent, "999999999")
                        .replace(received, "888888888");
                } else if text.contains(&subject.received) {
                    continue;
                }
                let template: Value = serde_json::from_str(&text).unwrap();
                let (headers, body) = wire(subject, &template);
                let reply = subject.call(&rig.host, &headers, &body).await;
                assert!([200, 503].contains(&reply.status.as_u16()), "{text}");
            }
        }
    }
    for (subject, before) in rig.subjects.iter().zip(before) {
        let after = subject.state().await;
        let word = |state: &Value| match state {
            Value::Array(parts) => (parts[0]["status"].clone(), parts[1].clone()),
            other => (other["status"].clone(), other["detail"]["outcome"].clone()),
        };
        assert_eq!(word(&after), word(&before), "{:?}", subject.kind);
    }
    let received = rig
        .host
        .told()
        .iter()
        .any(|event| event.topic().ends_with(".received"));
    assert!(!received);
}

#[test]
fn an_empty_secret_is_no_configuration() {
    let phaxio = json!({ "api_key": "k", "api_secret": "s", "callback_token": "" });
    assert!(PhaxioPlugin::new().validate_config(&phaxio).is_err());
    let sms = json!({
        "service_plan_id": "p", "api_token": "t", "from_number": "12345", "webhook_secret": "",
    });
    assert!(SinchSmsPlugin::new().validate_config(&sms).is_err());
}
