//! The answer of `tm.t_uac_wait` (`rpc_uac_callback` in `rpc_uac.c`).

use std::fmt;

use serde::{Deserialize, Deserializer};

use super::lenient::{Number, Text};

/// The final answer to a SIP request that Kamailio sent for us. `Debug` shows the status.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SipReply {
    /// The SIP status; 408 also where nothing came.
    pub status: u16,
    /// The text behind it.
    pub reason: String,
    /// Headers and body of the answer; `None` where Kamailio made it up because nothing came.
    pub message: Option<String>,
}

impl SipReply {
    /// Whether the far end said yes.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the far end, or a proxy on the way, said anything at all.
    pub fn was_received(&self) -> bool {
        self.message.is_some()
    }

    /// The first header of this name, letters in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.message.as_deref()?;
        let head = head.split("\r\n\r\n").next().unwrap_or(head);
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(found, _)| found.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

impl fmt::Debug for SipReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipReply")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// An array of the status, its text, two URIs, the route set and the message, or of the status, its text
/// and the message for what was received and is no yes; as an object (that of `tm.t_uac_wait_block`) the
/// status and its text alone.
impl<'de> Deserialize<'de> for SipReply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Named {
            code: Number,
            #[serde(default)]
            text: Text,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            List(Vec<Text>),
            Named(Named),
        }
        let (status, reason, message) = match Form::deserialize(deserializer)? {
            Form::List(list) => {
                let mut list = list.into_iter();
                let status = list.next().unwrap_or_default().0;
                let status = status.and_then(|status| status.parse().ok());
                // URIs and the route set lie between where it is a yes; else nothing does.
                let (reason, message) = (list.next(), list.last());
                (status, reason, message)
            }
            Form::Named(named) => {
                let status = named.code.unsigned();
                let status = status.and_then(|status| u16::try_from(status).ok());
                (status, Some(named.text), None)
            }
        };
        let status = status.filter(|status| (200..700).contains(status));
        Ok(Self {
            status: status.ok_or_else(|| serde::de::Error::custom("no final status"))?,
            reason: reason.and_then(|text| text.0).unwrap_or_default(),
            message: message.and_then(|text| text.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_one_that_the_server_made_up() {
        // Of `t_uac_variants`.
        let json = r#"[200, "OK", "sip:uas@127.0.0.1:5080", "sip:uas@127.0.0.1:5080", "", "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK6c1\r\nCall-ID: 79d9e2f45e76cfb4-10210@127.0.0.1\r\nCSeq: 10 MESSAGE\r\nContent-Length: 0\r\n\r\n"]"#;
        let reply: SipReply = serde_json::from_str(json).unwrap();
        assert_eq!((reply.status, reply.reason.as_str()), (200, "OK"));
        assert!(reply.is_success() && reply.was_received());
        assert_eq!(reply.header("cseq"), Some("10 MESSAGE"));
        assert_eq!(reply.header("Contact"), None);

        let json = r#"[408, "Request Timeout", "", "", "", ""]"#;
        let reply: SipReply = serde_json::from_str(json).unwrap();
        assert_eq!(reply.status, 408);
        assert!(!reply.is_success() && !reply.was_received());

        // Observed with 5.6.3 and 6.1.5.
        let json = r#"[488, "Refused", "Via: SIP/2.0/UDP 127.0.0.1:7120;branch=z9hG4bK8168\r\nX-Foo: bar\r\n\r\n"]"#;
        let reply: SipReply = serde_json::from_str(json).unwrap();
        assert_eq!((reply.status, reply.reason.as_str()), (488, "Refused"));
        assert!(!reply.is_success() && reply.was_received());
        assert_eq!(reply.header("x-foo"), Some("bar"));

        let reply: SipReply = serde_json::from_str(r#"{"code":200,"text":"OK"}"#).unwrap();
        assert!(reply.is_success());
        assert_eq!(format!("{reply:?}"), "SipReply { status: 200, .. }");
    }

    #[test]
    fn what_has_no_final_status_is_no_answer() {
        for json in [
            "[]",
            "{}",
            "[100, \"Trying\"]",
            "\"200\"",
            "[\"x\"]",
            "null",
        ] {
            assert!(serde_json::from_str::<SipReply>(json).is_err(), "{json}");
        }
    }
}
