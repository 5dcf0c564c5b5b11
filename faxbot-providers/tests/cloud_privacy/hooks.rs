//! Webhooks of the fax vendors that are forged, changed, repeated, or cannot be read or kept.

use std::{fs, time::Duration};

use faxbot_core::{
    Secret,
    document::Document,
    plugin::{FaxPlugin, SendOptions},
    webhook::{
        DeadLetterStore, Form, HmacHash, HmacScheme, MessagePart, SignatureEncoding, WebhookRequest,
    },
};
use faxbot_providers::{cloud::FaxProvider, phaxio::Phaxio, sinch_fax::SinchFax};
use faxbot_testkit::{
    fixtures::private,
    server::{
        http::{CallbackFault, MockVendor as _},
        phaxio::{FaxEnd, MockPhaxio},
        sinch_fax::MockSinchFax,
    },
};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::{
    cloud_wire_support::{headers, until},
    fax::{FaxVendor, Lab, pdf},
    shown::sentence,
};

const WITHIN: Duration = Duration::from_secs(10);
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

const SIGNATURE: HmacScheme = HmacScheme::new(
    HmacHash::Sha1,
    SignatureEncoding::Hex,
    "x-phaxio-signature",
    &[MessagePart::Url, MessagePart::FormFields],
);

impl<P: FaxProvider, V: FaxVendor> Lab<'_, P, V> {
    /// Sends a webhook, and shows it and its reply.
    async fn hook(&mut self, headers: HeaderMap, body: impl Into<bytes::Bytes>) -> u16 {
        let body = body.into();
        let request = WebhookRequest::new(Method::POST, self.webhook.path())
            .with_headers(headers.clone())
            .with_body(body.clone());
        self.shown.debug(&request);
        let reply = self.host.router.dispatch(request).await;
        self.shown.debug(&reply);
        self.host
            .post(&self.webhook, headers, body)
            .await
            .status
            .as_u16()
    }

    /// Callbacks of the vendor that something happens to.
    async fn callbacks(&mut self) {
        for fault in [
            CallbackFault::Tampered,
            CallbackFault::Twice,
            CallbackFault::ReplyLost,
            CallbackFault::Late,
        ] {
            self.mock.webhooks().next(fault);
            self.mock.vendor(|vendor| vendor.comes_in(pdf()));
            assert!(self.mock.webhooks().settled(WITHIN).await);
        }
        assert!(self.mock.webhooks().replay(1));
        assert!(self.mock.webhooks().settled(WITHIN).await);
        for delivery in self.mock.webhooks().deliveries() {
            self.shown.debug(&delivery);
        }
        for callback in self.mock.webhooks().callbacks() {
            self.shown.debug(&callback);
        }
        self.show_events();
    }

    /// A fax that came in cannot be stored for a while.
    async fn full_disk(&mut self, folder: &std::path::Path) {
        let (inbound, aside) = (folder.join("inbound"), folder.join("aside"));
        fs::rename(&inbound, &aside).unwrap();
        self.mock.vendor(|vendor| vendor.comes_in(pdf()));
        let refused = self.mock.wait_until(WITHIN, |mock| {
            let deliveries = mock.webhooks().deliveries();
            let refused = deliveries.last()?.status? == 503;
            refused.then_some(())
        });
        assert_eq!(refused.await, Some(()));
        fs::rename(&aside, &inbound).unwrap();
        assert!(self.mock.webhooks().settled(WITHIN).await);
        self.show_events();
    }

    async fn letters(&mut self) {
        let letters = self.host.letters.list(100).await.unwrap();
        assert!(!letters.is_empty());
        self.shown.debug(&letters);
    }
}

/// A form with the signature of `secret`.
fn signed(url: &str, secret: &str, pairs: &[(&str, &str)]) -> (String, String) {
    let mut form = Form::new();
    for (name, value) in pairs {
        form = form.with_field(*name, *value);
    }
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    let request = WebhookRequest::new(Method::POST, "/").with_body(body.clone());
    let signature = SIGNATURE.sign(&Secret::new(secret), &request, url, Some(&form));
    (signature.unwrap(), body)
}

fn notice() -> Value {
    json!({
        "id": 4711, "direction": "sent", "status": sentence(), "num_pages": 1,
        "to_number": private::NUMBER, "from_number": private::CALLER,
        "error_type": sentence(), "error_message": sentence(), "error_id": 17,
        "tags": { "faxbot_job": "of-another", "patient": private::CALLER_NAME },
    })
}

impl Lab<'_, Phaxio, MockPhaxio> {
    pub(crate) async fn phaxio_hooks(&mut self) {
        self.callbacks().await;
        let url = self.webhook.as_str().to_owned();
        let fax = notice().to_string();
        let (right, body) = signed(&url, private::SIGNING_SECRET, &[("fax", &fax)]);
        self.shown.secret(&right);
        let (wrong, _) = signed(&url, private::DEFAULT_SECRET, &[("fax", &fax)]);
        for signature in [
            &[][..],
            &[wrong.as_str()],
            &[&right, &right],
            &["x"],
            &[private::SECRET],
        ] {
            let mut pairs = vec![FORM];
            pairs.extend(signature.iter().map(|value| ("x-phaxio-signature", *value)));
            assert_eq!(self.hook(headers(&pairs), body.clone()).await, 401);
        }
        let signature = ("x-phaxio-signature", right.as_str());
        assert_eq!(self.hook(headers(&[FORM, signature]), body).await, 200);
        // Signed, and not to be read.
        let broken = format!("{{\"id\": \"{}\"", private::NUMBER);
        for value in [
            sentence(),
            broken,
            json!({ "id": private::FILE_NAME }).to_string(),
        ] {
            let (signature, body) = signed(&url, private::SIGNING_SECRET, &[("fax", &value)]);
            let headers = headers(&[FORM, ("x-phaxio-signature", &signature)]);
            assert_eq!(self.hook(headers, body).await, 200);
        }
        self.letters().await;
        self.read_alone().await;
        let folder = self.folder();
        self.full_disk(&folder).await;
    }

    /// What the provider makes of a webhook, before the engine.
    async fn read_alone(&mut self) {
        let config = json!({ "api_key": private::KEY, "api_secret": private::SECRET });
        let context = faxbot_providers::cloud::ProviderContext::new(
            self.host.http.clone(),
            self.host.clock.clone(),
            faxbot_core::random::SystemRandom::shared(),
        );
        let provider = Phaxio::build(&config, context).unwrap();
        let fax = notice().to_string();
        for pairs in [
            &[("fax", fax.as_str())][..],
            &[("fax", "{"), ("event_type", "x")],
        ] {
            let (_, body) = signed("https://fax.example/", private::SIGNING_SECRET, pairs);
            let request = WebhookRequest::new(Method::POST, "/")
                .with_headers(headers(&[FORM]))
                .with_body(body);
            let read = provider.read_webhook(&request).await;
            self.shown.result(&read);
        }
    }
}

impl Lab<'_, SinchFax, MockSinchFax> {
    /// A fax that goes on is said to be over.
    async fn contradicted(&mut self, told: &impl Fn(&str, &Value) -> String) {
        self.mock.vendor(|vendor| vendor.ends(FaxEnd::Endless));
        let to = private::NUMBER.parse().unwrap();
        let sent = self
            .plugin
            .send_fax(to, Document::bytes(pdf()), SendOptions::new());
        let job = sent.await.unwrap().job_id;
        let sid = until(async || {
            let status = self.plugin.get_status(&job).await.unwrap();
            status.detail.provider_sid
        })
        .await;
        let mut fax = notice();
        fax["id"] = json!(sid);
        fax["direction"] = json!("OUTBOUND");
        fax["status"] = json!("FAILURE");
        assert_eq!(
            self.hook(headers(&[JSON]), told("FAX_COMPLETED", &fax))
                .await,
            200
        );
        assert!(
            !self
                .plugin
                .get_status(&job)
                .await
                .unwrap()
                .status
                .is_final()
        );
    }

    pub(crate) async fn sinch_hooks(&mut self) {
        self.callbacks().await;
        let mut fax = notice();
        fax["direction"] = json!("OUTBOUND");
        fax["labels"] = fax["tags"].take();
        let told = |event: &str, fax: &Value| json!({ "event": event, "fax": fax }).to_string();
        let json_headers = headers(&[JSON]);
        assert_eq!(
            self.hook(json_headers.clone(), told("FAX_COMPLETED", &fax))
                .await,
            200
        );
        fax["direction"] = json!("INBOUND");
        fax["id"] = json!("01HINVENTED");
        assert_eq!(
            self.hook(json_headers.clone(), told("INCOMING_FAX", &fax))
                .await,
            503
        );
        fax["id"] = json!(private::FILE_NAME);
        for body in [
            told("INCOMING_FAX", &fax),
            sentence(),
            format!("{{\"{}", sentence()),
        ] {
            assert_eq!(self.hook(json_headers.clone(), body).await, 200);
        }
        self.contradicted(&told).await;
        // A path with another secret, and one without.
        let right = self.webhook.clone();
        for path in [
            "/webhooks/sinch-fax",
            "/webhooks/sinch-fax/0123",
            "/webhooks/Rabe",
        ] {
            let mut url = right.clone();
            url.set_path(path);
            url.set_query(Some(private::SIP_USER));
            self.webhook = url;
            assert_eq!(self.hook(json_headers.clone(), sentence()).await, 404);
        }
        self.webhook = right;
        self.letters().await;
        let folder = self.folder();
        self.full_disk(&folder).await;
        // No room for dead letters.
        let (letters, aside) = (folder.join("letters"), folder.join("aside"));
        fs::rename(&letters, &aside).unwrap();
        assert_eq!(self.hook(json_headers, sentence()).await, 500);
        fs::rename(&aside, &letters).unwrap();
        let label = self.mock.vendor(|vendor| vendor.retry_rule());
        self.shown.debug(&label);
    }
}
