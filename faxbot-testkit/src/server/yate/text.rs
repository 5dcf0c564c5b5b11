//! Messages outside of calls (recordings `message_send`, `message_xsip_generate`,
//! `message_generate_disabled`, `sip_in_message`, `sip_in_message_auth_required`).

use std::{sync::Arc, time::Duration};

use super::{
    MockYate,
    dispatch::dispatch,
    msg::Msg,
    sip,
    world::{SIP_ADDRESS, State, World},
};
use crate::server::message::SentMessage;

/// How long a far end is asked that does not answer.
const SILENCE: Duration = Duration::from_millis(7_500);

/// `msg.execute` to a SIP target is queued; what the far end says is not told.
pub(super) fn execute(world: &Arc<World>, msg: &Msg) -> bool {
    let target = msg.text("callto");
    if !target.starts_with("sip/") || sip::parts(&target).is_none() {
        return false;
    }
    let Some(body) = msg.get("xsip_body").or_else(|| msg.get("body")) else {
        return false;
    };
    world.change(|state| state.send(&target, &msg.text("caller"), body, msg));
    true
}

/// `xsip.generate`, with the status of the far end where it waits for it.
pub(super) async fn generate(world: &Arc<World>, msg: &mut Msg) -> bool {
    if !world.config.generate {
        return false;
    }
    let uri = msg.text("uri");
    let Some((user, address)) = sip::parts(&uri) else {
        msg.set("error", "failure");
        return false;
    };
    let status = world.change(|state| {
        if msg.get("method") == Some("MESSAGE") {
            let from = msg
                .some("sip_From")
                .or_else(|| msg.some("user"))
                .unwrap_or_default();
            let (from, body) = (from.to_owned(), msg.text("xsip_body"));
            state.send(&uri, &from, &body, msg);
        }
        state.replies.get(&user).copied().unwrap_or(200)
    });
    if !msg.flag("wait") {
        return true;
    }
    if status == 408 {
        tokio::time::sleep(SILENCE).await;
    }
    let sent: Vec<String> = msg.params().iter().map(|(name, _)| name.clone()).collect();
    for name in sent {
        // What made the request is not in the answer.
        if name.starts_with("xsip_") || name.starts_with("sip_") {
            msg.clear(&name);
        }
    }
    msg.set("code", status.to_string());
    if status != 408 {
        msg.set("sip_contact", format!("<sip:{user}@{address}>"));
    }
    true
}

impl State {
    fn send(&mut self, destination: &str, from: &str, body: &str, msg: &Msg) {
        let headers = msg
            .params()
            .iter()
            .filter(|(name, _)| name.starts_with("sip_"));
        let message = SentMessage {
            destination: destination.to_owned(),
            to: None,
            from: from.to_owned(),
            body: body.to_owned(),
            headers: headers.cloned().collect(),
        };
        self.sent(message);
    }
}

/// A message from outside goes through routing and `msg.execute`. The answer is its status.
async fn incoming(world: &Arc<World>, from: &str, called: &str, body: &str) -> u16 {
    if !world.config.messages {
        return 401;
    }
    let (caller, address) = sip::parts(from).unwrap_or_else(|| (from.to_owned(), String::new()));
    let (host, port) = address.split_once(':').unwrap_or((&address, "5060"));
    let mut msg = Msg::new("call.route")
        .with("module", "sip")
        .with("route_type", "msg")
        .with("called", called)
        .with("caller", caller.clone())
        .with("connection_id", "general")
        .with("connection_reliable", "false")
        .with("antiloop", "19")
        .with("ip_host", host)
        .with("ip_port", port)
        .with("ip_transport", "UDP")
        .with("address", address.clone())
        .with("sip_uri", format!("sip:{called}@{SIP_ADDRESS}"))
        .with("sip_callid", "message-1@127.0.0.1")
        .with("xsip_dlgtag", "123365912")
        .with("sip_from", format!("<sip:{caller}@{address}>;tag=m1"))
        .with("sip_to", format!("<sip:{called}@{SIP_ADDRESS}>"))
        .with("sip_content-type", "text/plain")
        .with("xsip_type", "text/plain")
        .with("xsip_body", body);
    let routed = dispatch(world, &mut msg).await;
    if !routed || matches!(msg.retval.as_str(), "" | "-" | "error") {
        return 405;
    }
    "msg.execute".clone_into(&mut msg.name);
    let target = std::mem::take(&mut msg.retval);
    msg.set("callto", target);
    if !dispatch(world, &mut msg).await {
        return 405;
    }
    msg.get("code")
        .and_then(|code| code.parse().ok())
        .unwrap_or(200)
}

impl MockYate {
    /// A SIP MESSAGE comes in for the number 600. `from` is a URI such as `sip:alice@127.0.0.1`.
    /// The answer is its number for [`message_saw`](Self::message_saw).
    pub fn message_in(&self, from: &str, body: &str) -> u32 {
        self.message_in_to(from, "600", body)
    }

    /// A SIP MESSAGE comes in for a number.
    pub fn message_in_to(&self, from: &str, called: &str, body: &str) -> u32 {
        let world = Arc::clone(self.world());
        let number = world.change(|state| {
            let number = u32::try_from(state.answers.len()).unwrap_or(u32::MAX) + 1;
            state.answers.insert(number, None);
            number
        });
        let (from, called, body) = (from.to_owned(), called.to_owned(), body.to_owned());
        let job = Arc::clone(&world);
        world.spawn(async move {
            let status = incoming(&job, &from, &called, &body).await;
            job.change(|state| state.answers.insert(number, Some(status)));
        });
        number
    }

    /// The SIP status that the sender of an incoming message got: 200, 405 when nobody took it, 401
    /// with [`without_messages`](super::MockYateBuilder::without_messages). `None` until then.
    pub fn message_saw(&self, number: u32) -> Option<u16> {
        self.world.lock().answers.get(&number).copied().flatten()
    }

    /// How the far end of that SIP user answers messages; 408 is not at all. Default: 200.
    pub fn answers_messages(&self, user: &str, status: u16) {
        self.world.lock().replies.insert(user.to_owned(), status);
    }

    /// There is no far end of that name: messages to it are refused by 404.
    pub fn no_endpoint(&self, name: &str) {
        self.answers_messages(name, 404);
    }
}
