use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::json;

use super::*;
use faxbot_core::message::{MessageKind, MessageState};

struct Vector {
    /// Where it is from.
    origin: &'static str,
    secret: &'static str,
    nonce: &'static str,
    timestamp: i64,
    signature: &'static str,
    body: &'static str,
}

const VECTORS: [Vector; 5] = [
    Vector {
        origin: "published: sinch-sdk-node@affb35e \
                 packages/sms/tests/rest/v1/callbacks/callbacks-webhook.test.ts",
        secret: "SMSWebhooksSecret",
        nonce: "01JHFFHWYY7HSS4FWTMDTQEK8V",
        timestamp: 1_736_760_161,
        signature: "ZoHei66PPN/kZjw7hFVfGhJOnml3iGNCMWoyQVcE5o0=",
        body: r#"{"at":"2025-01-13T09:22:40.914Z","batch_id":"01JHFFHQ0P99JPPNQPJDV7JTBP","client_reference":"a client reference","code":0,"operator_status_at":"2025-01-13T09:22:00Z","recipient":"33662162466","status":"Delivered","type":"recipient_delivery_report_sms"}"#,
    },
    Vector {
        origin: "published for the Conversation API, which signs alike: sinch-sdk-node@affb35e \
                 packages/sdk-client/tests/utils/authorization.helper.test.ts; the same in sinch-sdk-java@d747cc3 \
                 client/src/test/java/com/sinch/sdk/auth/HmacAuthenticationValidationTest.java",
        secret: "foo_secret1234",
        nonce: "01FJA8B4A7BM43YGWSG9GBV067",
        timestamp: 1_634_579_353,
        signature: "6bpJoRmFoXVjfJIVglMoJzYXxnoxRujzR4k2GOXewOE=",
        body: r#"{"app_id":"","accepted_time":"2021-10-18T17:49:13.813615Z","project_id":"e2df3a34-a71b-4448-9db5-a8d2baad28e4","contact_create_notification":{"contact":{"id":"01FJA8B466Y0R2GNXD78MD9SM1","channel_identities":[{"channel":"SMS","identity":"48123456789","app_id":""}],"display_name":"New Test Contact","email":"new.contact@email.com","external_id":"","metadata":"","language":"EN_US"}},"message_metadata":""}"#,
    },
    Vector {
        origin: "published for the Conversation API: sinch-sdk-python@b45a3ed \
                 tests/unit/domains/conversation/v1/sinch_events/test_conversation_sinch_event.py",
        secret: "foo_secret1234",
        nonce: "01FJA8B4A7BM43YGWSG9GBV067",
        timestamp: 1_634_579_353,
        signature: "Yc+3R1pIS78xLASybulhs8BsSo9BPB3Pr92QCUoczfk=",
        body: r#"{"app_id":"01EB37HMH1M6SV18BSNS3G135H","accepted_time":"2020-11-17T15:09:11.659Z","project_id":"c36f3d3d-1513-2edd-ae42-11995557ff61","message_delivery_report":{"message_id":"01EQBC1A3BEK731GY4YXEN0C2R","conversation_id":"01EPYATA64TMNZ1FV02JKF12JF","status":"QUEUED_ON_CHANNEL","contact_id":"01EXA07N79THJ20WSN6AS30TMW"}}"#,
    },
    Vector {
        origin: "made with the vendor's code: npm @sinch/sdk-client 1.5.0 calculateWebhookSignature; PyPI sinch \
                 2.3.0 accepts it",
        secret: "p5-secret",
        nonce: "01HP5NONCE000000000000000A",
        timestamp: 1_795_294_800,
        signature: "kHsLyX/As7sL61qYfsiw/6uWDs4YSk5fKZm/rP0VXX0=",
        body: "{\"type\":\"mo_text\",\"id\":\"01HP5VEC0000000000000000A1\",\"from\":\"15551230001\",\"to\":\"15551230002\",\"body\":\"fax \\ud83d\\udce0 café 📠\",\"operator_id\":\"311071\",\"received_at\":\"2026-11-21T21:00:00.123Z\"}",
    },
    Vector {
        origin: "made with the vendor's code, as above; pretty-printed, with a line break at the end",
        secret: "p5-secret",
        nonce: "01HP5NONCE000000000000000B",
        timestamp: 1_795_294_801,
        signature: "XelliySq5ARUbodXfswkNEXG779mJpvlBQ1wwa1qyLM=",
        body: "{\n  \"type\": \"delivery_report_sms\",\n  \"batch_id\": \"01HP5VEC0000000000000000B2\",\n  \"total_message_count\": 2,\n  \"statuses\": [ { \"code\": 0, \"status\": \"Delivered\", \"count\": 1, \"recipients\": [\"15551230001\"] }, { \"code\": 402, \"status\": \"Aborted\", \"count\": 1, \"recipients\": [\"15551230003\"] } ],\n  \"client_reference\": \"job.7/a\"\n}\n",
    },
];

const SIGNATURE: &str = "x-sinch-webhook-signature";

impl Vector {
    fn request(&self) -> WebhookRequest {
        let mut request = WebhookRequest::new(Method::POST, "/webhooks/faxbot-sinch-sms");
        for (name, value) in [
            (SIGNATURE, self.signature.to_owned()),
            (ALGORITHM, "HmacSHA256".to_owned()),
            (NONCE, self.nonce.to_owned()),
            (TIMESTAMP, self.timestamp.to_string()),
        ] {
            set(&mut request, name, &value);
        }
        request.with_body(self.body)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.timestamp).unwrap()
    }

    fn verify(&self, request: &WebhookRequest, now: Timestamp) -> Option<Authenticity> {
        Verifier::new(Some(Secret::new(self.secret))).verify(request, &url(), now)
    }
}

fn set(request: &mut WebhookRequest, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).unwrap();
    request.headers.insert(HeaderName::from_static(name), value);
}

fn url() -> Url {
    "https://fax.example.org/webhooks/faxbot-sinch-sms"
        .parse()
        .unwrap()
}

#[test]
fn the_vendors_vectors_are_signed() {
    for vector in VECTORS {
        let proof = vector.verify(&vector.request(), vector.now());
        assert_eq!(proof, Some(Authenticity::Signed), "{}", vector.origin);
    }
}

#[test]
fn what_is_tampered_with_is_refused() {
    type Tamper = fn(&mut WebhookRequest);
    let rows: &[(&str, Tamper)] = &[
        ("one byte of the body", |r| {
            let mut body = r.body.to_vec();
            body[3] ^= 1;
            r.body = body.into();
        }),
        ("a byte more", |r| {
            r.body = [&r.body[..], b" "].concat().into()
        }),
        ("a byte less", |r| r.body = r.body.slice(1..)),
        ("no body", |r| r.body = bytes::Bytes::new()),
        ("another nonce", |r| {
            set(r, NONCE, "01JHFFHWYY7HSS4FWTMDTQEK8W")
        }),
        ("an empty nonce", |r| set(r, NONCE, "")),
        ("a later time", |r| {
            let time: i64 = r.header(TIMESTAMP).unwrap().parse().unwrap();
            set(r, TIMESTAMP, &(time + 1).to_string());
        }),
        ("a sign before the time", |r| {
            let time = format!("+{}", r.header(TIMESTAMP).unwrap());
            set(r, TIMESTAMP, &time);
        }),
        ("no time", |r| drop(r.headers.remove(TIMESTAMP))),
        ("no nonce", |r| drop(r.headers.remove(NONCE))),
        ("no signature", |r| drop(r.headers.remove(SIGNATURE))),
        ("no header at all", |r| r.headers = HeaderMap::new()),
        ("an empty signature", |r| set(r, SIGNATURE, "")),
        ("a cut signature", |r| {
            let cut = r.header(SIGNATURE).unwrap()[..40].to_owned();
            set(r, SIGNATURE, &cut);
        }),
        ("another hash", |r| set(r, ALGORITHM, "HmacMD5")),
        ("the hash in other letters", |r| {
            set(r, ALGORITHM, "hmacsha256")
        }),
        ("the signature twice", |r| {
            let value = r.headers[SIGNATURE].clone();
            r.headers.append(SIGNATURE, value);
        }),
        ("the time twice", |r| {
            let value = r.headers[TIMESTAMP].clone();
            r.headers.append(TIMESTAMP, value);
        }),
        ("the hash twice", |r| {
            let value = r.headers[ALGORITHM].clone();
            r.headers.append(ALGORITHM, value);
        }),
        // What public code that is wrong writes.
        ("a version before the signature", |r| {
            let value = format!(
                "v1,{},{}",
                r.header(NONCE).unwrap(),
                r.header(SIGNATURE).unwrap()
            );
            set(r, SIGNATURE, &value);
        }),
    ];
    for vector in &VECTORS {
        for (what, tamper) in rows {
            let mut request = vector.request();
            tamper(&mut request);
            assert_eq!(
                vector.verify(&request, vector.now()),
                None,
                "{what}: {}",
                vector.origin
            );
        }
        for secret in ["", "another", "c21zd2ViaG9va3NzZWNyZXQ="] {
            let verifier = Verifier::new(Some(Secret::new(secret)));
            assert_eq!(
                verifier.verify(&vector.request(), &url(), vector.now()),
                None
            );
        }
        // The vendor names it always; nothing depends on it.
        let mut request = vector.request();
        request.headers.remove(ALGORITHM);
        let proof = vector.verify(&request, vector.now());
        assert_eq!(proof, Some(Authenticity::Signed));
    }
}

#[test]
fn a_signature_is_good_for_five_minutes_on_either_side() {
    let vector = &VECTORS[0];
    for (seconds, fresh) in [(0, true), (300, true), (301, false), (86_400, false)] {
        let proof = fresh.then_some(Authenticity::Signed);
        let wait = Duration::from_secs(seconds);
        let request = vector.request();
        assert_eq!(
            vector.verify(&request, vector.now() + wait),
            proof,
            "{seconds} s late"
        );
        assert_eq!(
            vector.verify(&request, vector.now() - wait),
            proof,
            "{seconds} s early"
        );
    }
}

#[test]
fn a_nonce_stands_for_one_body() {
    // Two bodies that the vendor signed with one nonce and one time.
    let [_, one, other, ..] = &VECTORS;
    let verifier = Verifier::new(Some(Secret::new(one.secret)));
    let (now, url) = (one.now(), url());
    let proof = |request: &WebhookRequest| verifier.verify(request, &url, now);
    assert_eq!(proof(&one.request()), Some(Authenticity::Signed));
    assert_eq!(proof(&one.request()), Some(Authenticity::Signed));
    assert_eq!(proof(&other.request()), None);
    assert_eq!(proof(&one.request()), Some(Authenticity::Signed));
    // What is refused leaves nothing behind.
    let verifier = Verifier::new(Some(Secret::new(one.secret)));
    let mut forged = one.request();
    set(&mut forged, SIGNATURE, other.signature);
    assert_eq!(verifier.verify(&forged, &url, now), None);
    assert!(verifier.nonces.lock().unwrap().order.is_empty());
}

#[test]
fn nonces_are_forgotten_behind_the_window_and_bounded_within() {
    let mut nonces = Nonces::default();
    let begin = Timestamp::UNIX_EPOCH;
    assert!(nonces.stands_for("a", b"1", begin));
    let late = begin + WINDOW.saturating_mul(2);
    assert!(!nonces.stands_for("a", b"2", late));
    assert!(nonces.stands_for("a", b"2", late + Duration::from_secs(1)));
    for number in 0..NONCES + 10 {
        assert!(nonces.stands_for(&format!("n{number}"), b"1", late));
    }
    assert!(nonces.order.len() <= NONCES);
    assert_eq!(nonces.order.len(), nonces.bodies.len());
}

#[test]
fn without_a_secret_the_url_is_all_there_is() {
    let vector = &VECTORS[0];
    let verifier = Verifier::new(None);
    let proof = verifier.verify(&vector.request(), &url(), vector.now());
    assert_eq!(proof, Some(Authenticity::SecretUrl));
    assert!(!proof.unwrap().is_proof());
    // One with a user and a password is for Sinch to log in with.
    let url: Url = "https://sinch:hush@fax.example.org/hook".parse().unwrap();
    let mut request = vector.request();
    assert_eq!(verifier.verify(&request, &url, vector.now()), None);
    set(&mut request, "authorization", "Basic c2luY2g6aHVzaA==");
    let proof = verifier.verify(&request, &url, vector.now());
    assert_eq!(proof, Some(Authenticity::BasicAuth));
    set(&mut request, "authorization", "Basic c2luY2g6aHVzaEE=");
    assert_eq!(verifier.verify(&request, &url, vector.now()), None);
}

#[test]
fn each_type_of_callback_is_read_or_kept_for_a_person() {
    let read = |body: &str| {
        let request = WebhookRequest::new(Method::POST, "/").with_body(body.to_owned());
        read(&request, Authenticity::Signed, Timestamp::UNIX_EPOCH)
    };
    let [MessageNotice::Status { report, key, .. }] = &read(VECTORS[0].body).unwrap()[..] else {
        panic!("not a status");
    };
    assert_eq!(report.state, Some(MessageState::Delivered));
    assert_eq!(key, "01JHFFHQ0P99JPPNQPJDV7JTBP/Delivered/0");
    let [MessageNotice::Received { message, key, .. }] = &read(VECTORS[3].body).unwrap()[..] else {
        panic!("not a message");
    };
    assert_eq!(message.content.text, "fax 📠 café 📠");
    assert_eq!(message.content.kind, MessageKind::Sms);
    assert_eq!(key, "01HP5VEC0000000000000000A1/received");
    // Two recipients, of which one failed: a batch of another program.
    let [MessageNotice::Status { report, .. }] = &read(VECTORS[4].body).unwrap()[..] else {
        panic!("not a status");
    };
    assert_eq!(report.state, Some(MessageState::Failed));
    assert_eq!(report.reference.as_deref(), Some("job.7/a"));
    for wrong in [
        "",
        "{",
        "[]",
        "null",
        "7",
        &json!({"type": "mo_rcs", "id": "i"}).to_string(),
        &json!({"type": "mo_text", "id": "i"}).to_string(),
        &json!({"type": 7}).to_string(),
        &"[".repeat(100_000),
        VECTORS[1].body,
    ] {
        let error = read(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }
}
