use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;
use crate::webhook::FormFile;

const PHAXIO: HmacScheme = HmacScheme::new(
    HmacHash::Sha1,
    SignatureEncoding::Hex,
    "x-phaxio-signature",
    &[
        MessagePart::Url,
        MessagePart::FormFields,
        MessagePart::FormFileDigests,
    ],
);

const SINCH: HmacScheme = HmacScheme::new(
    HmacHash::Sha256,
    SignatureEncoding::Base64,
    "x-sinch-webhook-signature",
    &[
        MessagePart::Body,
        MessagePart::Text("."),
        MessagePart::Header("x-sinch-webhook-signature-nonce"),
        MessagePart::Text("."),
        MessagePart::Header("x-sinch-webhook-signature-timestamp"),
    ],
);

const TWILIO: HmacScheme = HmacScheme::new(
    HmacHash::Sha1,
    SignatureEncoding::Base64,
    "x-twilio-signature",
    &[MessagePart::Url, MessagePart::DistinctFormFields],
);

/// A signed request with everything that a signature may cover.
#[derive(Clone)]
struct Signed {
    scheme: HmacScheme,
    secret: Secret,
    headers: HeaderMap,
    body: Bytes,
    url: String,
    form: Option<Form>,
}

impl Signed {
    fn new(scheme: HmacScheme, secret: &str, signature: &'static str, url: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static(scheme.header),
            HeaderValue::from_static(signature),
        );
        Self {
            scheme,
            secret: Secret::new(secret),
            headers,
            body: Bytes::new(),
            url: url.to_owned(),
            form: None,
        }
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        let name = HeaderName::from_static(name);
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    fn fields(mut self, fields: &[(&str, &str)]) -> Self {
        let form = self.form.take().unwrap_or_default();
        self.form = Some(
            fields
                .iter()
                .fold(form, |form, (name, value)| form.with_field(*name, *value)),
        );
        self
    }

    fn file(mut self, name: &str, bytes: &'static [u8]) -> Self {
        let form = self.form.take().unwrap_or_default();
        self.form = Some(form.with_file(FormFile::new(name, bytes)));
        self
    }

    fn request(&self) -> WebhookRequest {
        WebhookRequest::new(Method::POST, "/")
            .with_headers(self.headers.clone())
            .with_body(self.body.clone())
    }

    fn holds(&self) -> bool {
        let request = self.request();
        self.scheme
            .verify(&self.secret, &request, &self.url, self.form.as_ref())
    }

    fn signed_again(&self) -> Option<String> {
        let request = self.request();
        self.scheme
            .sign(&self.secret, &request, &self.url, self.form.as_ref())
    }
}

/// phaxio-ruby@c1cb8e4 spec/resources/webhook_spec.rb, with the token of spec/support/vcr.rb.
fn phaxio_published() -> Signed {
    Signed::new(
        PHAXIO,
        "test-webhook-token",
        "64a735ef0c47a0ae671e381c046648f0966deb29",
        "example.com",
    )
    .fields(&[("test", "true")])
}

/// Signed by phaxio-ruby's lib/phaxio/resources/webhook.rb; the values are ours.
fn phaxio_two_files() -> Signed {
    Signed::new(
        PHAXIO,
        "test-webhook-token",
        "b005af2340ab34e16cebae99e1e0613923088f78",
        "https://example.com/phaxio/hook",
    )
    .fields(&[("direction", "received"), ("fax", "{\"id\":1}")])
    .file("file", b"AAA")
    .file("attachment", b"BBB")
}

/// sinch-sdk-node@affb35e packages/sms/tests/rest/v1/callbacks/callbacks-webhook.test.ts.
fn sinch_published() -> Signed {
    let mut signed = Signed::new(
        SINCH,
        "SMSWebhooksSecret",
        "ZoHei66PPN/kZjw7hFVfGhJOnml3iGNCMWoyQVcE5o0=",
        "",
    )
    .header(
        "x-sinch-webhook-signature-nonce",
        "01JHFFHWYY7HSS4FWTMDTQEK8V",
    )
    .header("x-sinch-webhook-signature-timestamp", "1736760161");
    signed.body = Bytes::from_static(br#"{"at":"2025-01-13T09:22:40.914Z","batch_id":"01JHFFHQ0P99JPPNQPJDV7JTBP","client_reference":"a client reference","code":0,"operator_status_at":"2025-01-13T09:22:00Z","recipient":"33662162466","status":"Delivered","type":"recipient_delivery_report_sms"}"#);
    signed
}

const TWILIO_URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

/// twilio-php tests/Twilio/Unit/Security/RequestValidatorTest.php, fields unsorted.
fn twilio_published() -> Signed {
    Signed::new(TWILIO, "12345", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", TWILIO_URL).fields(&[
        ("To", "+18005551212"),
        ("Digits", "1234"),
        ("CallSid", "CA1234567890ABCDE"),
        ("From", "+14158675309"),
        ("Caller", "+14158675309"),
    ])
}

/// The same file: values of one name are sorted, and count once.
fn twilio_repeated() -> Signed {
    Signed::new(TWILIO, "12345", "IK+Dwps556ElfBT0I3Rgjkr1wJU=", TWILIO_URL).fields(&[
        ("Sid", "CA123"),
        ("SidAccount", "AC123"),
        ("Digits", "5678"),
        ("Digits", "1234"),
        ("Digits", "1234"),
    ])
}

fn vectors() -> [(&'static str, Signed); 5] {
    [
        ("phaxio published", phaxio_published()),
        ("phaxio files", phaxio_two_files()),
        ("sinch published", sinch_published()),
        ("twilio published", twilio_published()),
        ("twilio repeated", twilio_repeated()),
    ]
}

#[test]
fn the_vendors_vectors_hold_and_are_signed_the_same() {
    for (name, signed) in vectors() {
        assert!(signed.holds(), "{name}");
        let given = &signed.headers[signed.scheme.header];
        assert_eq!(signed.signed_again().unwrap(), *given, "{name}");
    }
}

#[test]
fn whatever_is_signed_cannot_be_changed() {
    type Row = (&'static str, fn() -> Signed, fn(&mut Signed));
    let rows: [Row; 16] = [
        ("a byte of the body", sinch_published, |s| {
            s.body = s.body.iter().map(|b| b ^ u8::from(*b == b'D')).collect();
        }),
        ("a line break after the body", sinch_published, |s| {
            s.body = [&s.body[..], b"\n"].concat().into();
        }),
        ("a signed header", sinch_published, |s| {
            let name = "x-sinch-webhook-signature-timestamp";
            s.headers
                .insert(name, HeaderValue::from_static("1736760162"));
        }),
        ("a signed header that is gone", sinch_published, |s| {
            s.headers.remove("x-sinch-webhook-signature-nonce");
        }),
        ("a signed header given twice", sinch_published, |s| {
            let name = "x-sinch-webhook-signature-nonce";
            let value = s.headers[name].clone();
            s.headers.append(name, value);
        }),
        ("the url", phaxio_two_files, |s| s.url.push('/')),
        ("the scheme of the url", twilio_published, |s| {
            s.url = s.url.replace("https", "http");
        }),
        ("the order of the query", twilio_published, |s| {
            s.url = s.url.replace("foo=1&bar=2", "bar=2&foo=1");
        }),
        ("the value of a field", twilio_published, |s| {
            s.form.as_mut().unwrap().fields[1].1 = "1235".to_owned();
        }),
        ("another field", phaxio_published, |s| {
            s.form
                .as_mut()
                .unwrap()
                .fields
                .push(("a".to_owned(), String::new()));
        }),
        ("a field given twice", phaxio_published, |s| {
            let field = s.form.as_ref().unwrap().fields[0].clone();
            s.form.as_mut().unwrap().fields.push(field);
        }),
        ("no form", phaxio_published, |s| s.form = None),
        ("a byte of a file", phaxio_two_files, |s| {
            s.form.as_mut().unwrap().files[0].bytes = Bytes::from_static(b"AAB");
        }),
        ("the part of a file", phaxio_two_files, |s| {
            s.form.as_mut().unwrap().files[0].name = "fil".to_owned();
        }),
        ("a file less", phaxio_two_files, |s| {
            s.form.as_mut().unwrap().files.pop();
        }),
        ("a file more", phaxio_published, |s| {
            s.form
                .as_mut()
                .unwrap()
                .files
                .push(FormFile::new("", b"".as_slice()));
        }),
    ];
    for (what, signed, change) in rows {
        let mut changed = signed();
        assert!(changed.holds());
        change(&mut changed);
        assert!(!changed.holds(), "{what}");
    }
}

#[test]
fn a_signature_that_is_not_exactly_one_right_one_is_refused() {
    for (name, signed) in vectors() {
        let header = HeaderName::from_static(signed.scheme.header);
        let right = signed.headers[&header].to_str().unwrap().to_owned();
        let with = |values: &[&str]| {
            let mut changed = signed.clone();
            changed.headers.remove(&header);
            for value in values {
                changed
                    .headers
                    .append(&header, HeaderValue::from_str(value).unwrap());
            }
            changed.holds()
        };
        assert!(with(&[&right]), "{name}");
        let cut = &right[..right.len() - 1];
        let longer = format!("{right}A");
        for wrong in ["", "=", "0", "zz", cut, &longer, "é", &right[4..]] {
            assert!(!with(&[wrong]), "{name}: {wrong:?}");
        }
        assert!(!with(&[]), "{name}: none");
        assert!(!with(&[&right, &right]), "{name}: twice");
        assert!(!with(&["AAAA", &right]), "{name}: two");
    }
}

#[test]
fn a_secret_that_is_wrong_or_empty_is_refused() {
    for (name, signed) in vectors() {
        for secret in ["", " ", "12346", "test-webhook-token ", "smswebhookssecret"] {
            let mut changed = signed.clone();
            changed.secret = Secret::new(secret);
            assert!(!changed.holds(), "{name}: {secret:?}");
        }
    }
    // An empty key would sign anything.
    let mut anybody = phaxio_published();
    anybody.secret = Secret::new("");
    assert_eq!(anybody.signed_again(), None);
}

#[test]
fn hexadecimal_is_read_in_any_case_and_base64_as_it_is() {
    let upper = phaxio_published().headers["x-phaxio-signature"]
        .to_str()
        .unwrap()
        .to_uppercase();
    let mut signed = phaxio_published();
    let value = HeaderValue::from_str(&upper).unwrap();
    signed.headers.insert("x-phaxio-signature", value);
    assert!(signed.holds());
    let mut signed = twilio_published();
    let lower = HeaderValue::from_static("rsoydt4t1cutdk1pdd93/vvr8b8=");
    signed.headers.insert("x-twilio-signature", lower);
    assert!(!signed.holds());
    // Names of headers have no case (RFC 9110 section 5.1).
    let mut signed = twilio_published();
    let value = signed.headers.remove("x-twilio-signature").unwrap();
    let name = HeaderName::from_bytes(b"X-TWILIO-Signature").unwrap();
    signed.headers.insert(name, value);
    assert!(signed.holds());
}

#[test]
fn a_prefix_is_written_and_asked_for() {
    let scheme = HmacScheme::new(
        HmacHash::Sha256,
        SignatureEncoding::Hex,
        "x-hub-signature-256",
        &[MessagePart::Body],
    )
    .with_prefix("sha256=");
    // RFC 4231 section 4.3, test case 2.
    let tag = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let mut request =
        WebhookRequest::new(Method::POST, "/").with_body("what do ya want for nothing?");
    let secret = Secret::new("Jefe");
    let signature = scheme.sign(&secret, &request, "", None).unwrap();
    assert_eq!(signature, format!("sha256={tag}"));
    for (value, holds) in [(signature.as_str(), true), (tag, false), ("sha256=", false)] {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers.insert("x-hub-signature-256", value);
        assert_eq!(scheme.verify(&secret, &request, "", None), holds);
    }
}

#[test]
fn only_a_time_within_the_window_is_fresh() {
    let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
    let window = Duration::from_secs(300);
    for (seconds, is_fresh) in [(0, true), (299, true), (300, true), (301, false)] {
        let away = Duration::from_secs(seconds);
        assert_eq!(fresh(now, now - away, window), is_fresh, "-{seconds}");
        assert_eq!(fresh(now, now + away, window), is_fresh, "+{seconds}");
    }
    assert!(!fresh(now, Timestamp::UNIX_EPOCH, window));
}

#[test]
fn texts_are_equal_only_as_a_whole() {
    for (a, b, same) in [
        ("", "", true),
        ("a", "a", true),
        ("a", "b", false),
        ("a", "ab", false),
        ("", "a", false),
        ("ba", "ab", false),
    ] {
        assert_eq!(equal(a.as_bytes(), b.as_bytes()), same, "{a:?} {b:?}");
    }
}
