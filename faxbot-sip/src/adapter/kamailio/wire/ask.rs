//! What is asked.

use faxbot_core::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::protocol::jsonrpc::{Params, Request};

/// Names of methods, as `system.listMethods` has them.
pub(in super::super) mod method {
    pub(in super::super::super) const VERSION: &str = "core.version";
    pub(in super::super::super) const UPTIME: &str = "core.uptime";
    pub(in super::super::super) const METHODS: &str = "system.listMethods";
    pub(in super::super::super) const STATISTICS: &str = "stats.get_statistics";
    pub(in super::super::super) const DIALOGS: &str = "dlg.list";
    pub(in super::super::super) const DIALOG: &str = "dlg.dlg_list";
    pub(in super::super::super) const END: &str = "dlg.end_dlg";
    pub(in super::super::super) const BRIDGE: &str = "dlg.bridge_dlg";
    pub(in super::super::super) const CANCEL: &str = "tm.cancel";
    pub(in super::super::super) const SEND_AND_WAIT: &str = "tm.t_uac_wait";
    pub(in super::super::super) const DESTINATIONS: &str = "dispatcher.list";
    pub(in super::super::super) const SET_STATE: &str = "dispatcher.set_state";
    pub(in super::super::super) const RELOAD_DESTINATIONS: &str = "dispatcher.reload";
    pub(in super::super::super) const REGISTRATIONS: &str = "ul.dump";
    pub(in super::super::super) const REGISTRATION: &str = "ul.lookup";
}

/// A request of one of the [`method`]s.
///
/// # Errors
/// `InvalidRequest` for what cannot be sent.
pub(in super::super) fn request(
    method: &'static str,
    params: impl IntoIterator<Item = Value>,
    operation: &'static str,
) -> Result<Request> {
    let params: Vec<_> = params.into_iter().collect();
    let params = if params.is_empty() {
        Params::None
    } else {
        Params::List(params)
    };
    Request::new(method, params)
        .map_err(|error| Error::new(ErrorKind::InvalidRequest, operation, error.to_string()))
}

/// A SIP request that Kamailio sends for us.
pub(in super::super) struct Uac<'a> {
    /// Its method.
    pub(in super::super) method: &'static str,
    /// To whom: Request-URI and To.
    pub(in super::super) to: &'a str,
    /// From whom.
    pub(in super::super) from: &'a str,
    /// The next hop, unless the Request-URI says it.
    pub(in super::super) next_hop: Option<&'a str>,
    /// Its Call-ID, which names it in the events.
    pub(in super::super) call_id: &'a str,
    /// Type and text of its body.
    pub(in super::super) body: Option<(&'a str, &'a str)>,
}

impl Uac<'_> {
    /// The request. `tm` writes the headers as they are given, so nothing in them may end a line.
    ///
    /// # Errors
    /// `InvalidRequest` for what would write a header of its own.
    pub(in super::super) fn request(&self, operation: &'static str) -> Result<Request> {
        let in_lines = [self.to, self.from, self.call_id];
        let content_type = self.body.map(|(content_type, _)| content_type);
        for text in in_lines
            .into_iter()
            .chain(content_type)
            .chain(self.next_hop)
        {
            check_text(text, operation)?;
        }
        let mut headers = format!(
            "From: <{}>\r\nTo: <{}>\r\nCall-ID: {}\r\n",
            self.from, self.to, self.call_id
        );
        if let Some(content_type) = content_type {
            headers.push_str(&format!("Content-Type: {content_type}\r\n"));
        }
        let mut params = vec![
            Value::from(self.method),
            Value::from(self.to),
            Value::from(self.next_hop.unwrap_or(".")),
            // The socket: Kamailio's choice.
            Value::from("."),
            Value::from(headers),
        ];
        params.extend(self.body.map(|(_, text)| Value::from(text)));
        request(method::SEND_AND_WAIT, params, operation)
    }
}

/// Refuses what would end a line, or a URI between angle brackets.
///
/// # Errors
/// `InvalidRequest`.
pub(in super::super) fn check_text(text: &str, operation: &'static str) -> Result<()> {
    let breaks = |c: char| c.is_control() || c == '<' || c == '>';
    if text.is_empty() || text.contains(breaks) {
        let message = "an address is empty, or has a control character or an angle bracket";
        return Err(Error::new(ErrorKind::InvalidRequest, operation, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uac<'a>() -> Uac<'a> {
        Uac {
            method: "MESSAGE",
            to: "sip:bob@h",
            from: "sip:faxbot@k",
            next_hop: None,
            call_id: "1@faxbot",
            body: Some(("text/plain", "hi\r\nthere")),
        }
    }

    #[test]
    fn a_request_has_its_headers_ended_and_its_places_filled() {
        let bytes = uac().request("send_message").unwrap().encode(7);
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(
            text,
            r#"{"jsonrpc":"2.0","method":"tm.t_uac_wait","params":["MESSAGE","sip:bob@h",".",".","From: <sip:faxbot@k>\r\nTo: <sip:bob@h>\r\nCall-ID: 1@faxbot\r\nContent-Type: text/plain\r\n","hi\r\nthere"],"id":7}"#
        );
        let mut ping = uac();
        (ping.body, ping.next_hop) = (None, Some("sip:proxy"));
        let bytes = ping.request("options_ping").unwrap().encode(7);
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains(r#""sip:proxy",".","From"#), "{text}");
        assert!(text.ends_with(r#"\r\n"],"id":7}"#), "{text}");
    }

    #[test]
    fn nothing_writes_a_header_of_its_own() {
        for bad in ["sip:a@h\r\nX: y", "sip:a@h\n", "sip:a@h>", "", "a\0"] {
            for place in 0..5 {
                let mut uac = uac();
                match place {
                    0 => uac.to = bad,
                    1 => uac.from = bad,
                    2 => uac.call_id = bad,
                    3 => uac.next_hop = Some(bad),
                    _ => uac.body = Some((bad, "text")),
                }
                let error = uac.request("send_message").unwrap_err();
                assert_eq!(
                    error.kind(),
                    ErrorKind::InvalidRequest,
                    "{bad:?} at {place}"
                );
            }
        }
    }
}
