//! Messages outside of calls (recording `04_chat_message_out_and_in`).

use super::{MockFreeSwitch, command::Command, event::Event, world::State};
use crate::server::message::SentMessage;

impl MockFreeSwitch {
    /// A SIP MESSAGE comes in, and the chatplan fires it as an event: `MESSAGE` with its body,
    /// twice with the same `Event-Sequence`, as recorded.
    /// `from` is an address such as `alice@127.0.0.1`, with a name or `sip:` before it or not.
    pub fn message_in(&self, from: &str, body: &str) {
        let inner = from.rsplit('<').next().unwrap_or(from);
        let bare = inner.trim_end_matches('>');
        let bare = bare.strip_prefix("sip:").unwrap_or(bare).to_owned();
        let (user, host) = bare.split_once('@').unwrap_or((&bare, "127.0.0.1"));
        let headers = [
            ("login", "sip:mod_sofia@127.0.0.1:5060"),
            ("proto", "sip"),
            ("from", &*bare),
            ("from_user", user),
            ("from_host", host),
            ("to_user", "faxbot"),
            ("to_host", "127.0.0.1"),
            ("from_sip_ip", "127.0.0.1"),
            ("from_sip_port", "5060"),
            ("to", "faxbot@127.0.0.1"),
            ("subject", "SIMPLE MESSAGE"),
            ("context", "public"),
            ("type", "text/plain"),
            ("from_full", from),
            ("sip_profile", "internal"),
            ("dest_proto", "sip"),
            ("max_forwards", "70"),
        ];
        self.world().with(|state| {
            if !state.wanted("MESSAGE", "") {
                return;
            }
            let mut event = state.event("MESSAGE", "");
            for (name, value) in headers {
                event.push(name, value);
            }
            let mut event = event.body(body);
            state.emit(&event);
            event.push("Nonblocking-Delivery", "true");
            state.emit(&event);
        });
    }
}

impl State {
    /// Whether a message can go there: the user or host is not one of those that are not there.
    fn can_send(&self, proto: &str, to: &str) -> bool {
        let address = to.rsplit('/').next().unwrap_or(to);
        let user = address.split('@').next().unwrap_or_default();
        let unknown = |name: &str| self.no_endpoints.contains(name);
        proto == "sip" && !address.is_empty() && !unknown(user) && !unknown(address) && !unknown(to)
    }

    /// `chat proto|from|to|text|type`.
    pub(super) fn chat(&mut self, args: &str) -> &'static str {
        let mut parts = args.splitn(5, '|');
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let (proto, from, to, body) = (next(), next(), next(), next());
        let kind = next();
        if to.is_empty() || body.is_empty() {
            return "Invalid";
        }
        let sent = self.can_send(&proto, &to);
        let code = if sent { "202" } else { "404" };
        let failed = (!sent).to_string();
        let headers = [
            ("proto", "global"),
            ("from", &*from),
            ("to", &*to),
            ("skip_global_process", "true"),
            ("blocking", "true"),
            ("dest_proto", &*proto),
            ("Delivery-Result-Code", code),
            ("Delivery-Failure", &*failed),
        ];
        self.plain_event("MESSAGE", &headers, Some(&body));
        if !sent {
            return "Error! Message Not Sent";
        }
        let mut extra = Vec::new();
        if !kind.is_empty() {
            extra.push(("type".to_owned(), kind));
        }
        self.sent(SentMessage {
            destination: format!("{proto}|{to}"),
            to: None,
            from,
            body,
            headers: extra,
        });
        "Sent"
    }

    /// `sendevent SEND_MESSAGE` and `sendevent CUSTOM` with `SMS::SEND_MESSAGE`.
    pub(super) fn message_event(&mut self, command: &Command, event: &Event) {
        let get = |name: &str| command.get(name).unwrap_or_default().to_owned();
        let custom = event.get("Event-Name") == Some("CUSTOM");
        let to = if custom {
            get("to")
        } else {
            let user = get("user");
            if user.is_empty() {
                get("to-uri")
            } else {
                format!("{}/{user}@{}", get("profile"), get("host"))
            }
        };
        let sent = self.can_send("sip", &to);
        if custom {
            let mut report = self.event("CUSTOM", "SMS::DELIVERY_REPORT");
            report.push("Status", if sent { "Accepted" } else { "Failure" });
            for (name, value) in &event.headers {
                if name != "Event-Subclass" && name != "Event-Name" {
                    report.push(name, value);
                }
            }
            self.emit(&report);
        }
        if sent {
            self.sent(SentMessage {
                destination: format!("sip|{to}"),
                to: None,
                from: get("from"),
                body: command.body.clone(),
                headers: command.headers.clone(),
            });
        }
    }
}
