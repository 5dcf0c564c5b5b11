//! The signature of callbacks: base64 of HMAC-SHA256 over body, nonce and time with points between
//! them (sinch-sdk-node `packages/sdk-client/src/utils/authorization.helper.ts`).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Signs the body of a callback as Sinch does: the value of `x-sinch-webhook-signature`. `timestamp` is
/// in Unix seconds.
pub fn signature(secret: &str, body: &[u8], nonce: &str, timestamp: i64) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    mac.update(format!(".{nonce}.{timestamp}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_that_the_vendor_published() {
        // sinch-sdk-node packages/sms/tests/rest/v1/callbacks/callbacks-webhook.test.ts
        let sms = concat!(
            r#"{"at":"2025-01-13T09:22:40.914Z","batch_id":"01JHFFHQ0P99JPPNQPJDV7JTBP","#,
            r#""client_reference":"a client reference","code":0,"#,
            r#""operator_status_at":"2025-01-13T09:22:00Z","recipient":"33662162466","#,
            r#""status":"Delivered","type":"recipient_delivery_report_sms"}"#,
        );
        // sinch-sdk-python tests/unit/domains/conversation/v1/sinch_events/
        // test_conversation_sinch_event.py: another product, the same scheme.
        let conversation = concat!(
            r#"{"app_id":"01EB37HMH1M6SV18BSNS3G135H","#,
            r#""accepted_time":"2020-11-17T15:09:11.659Z","#,
            r#""project_id":"c36f3d3d-1513-2edd-ae42-11995557ff61","#,
            r#""message_delivery_report":{"message_id":"01EQBC1A3BEK731GY4YXEN0C2R","#,
            r#""conversation_id":"01EPYATA64TMNZ1FV02JKF12JF","status":"QUEUED_ON_CHANNEL","#,
            r#""contact_id":"01EXA07N79THJ20WSN6AS30TMW"}}"#,
        );
        for (secret, body, nonce, timestamp, wanted) in [
            (
                "SMSWebhooksSecret",
                sms,
                "01JHFFHWYY7HSS4FWTMDTQEK8V",
                1_736_760_161,
                "ZoHei66PPN/kZjw7hFVfGhJOnml3iGNCMWoyQVcE5o0=",
            ),
            (
                "foo_secret1234",
                conversation,
                "01FJA8B4A7BM43YGWSG9GBV067",
                1_634_579_353,
                "Yc+3R1pIS78xLASybulhs8BsSo9BPB3Pr92QCUoczfk=",
            ),
        ] {
            assert_eq!(signature(secret, body.as_bytes(), nonce, timestamp), wanted);
        }
    }
}
