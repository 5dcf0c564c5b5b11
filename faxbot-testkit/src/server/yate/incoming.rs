//! Calls that come in from outside (recordings `sip_in_*`).

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    MockYate,
    channel::Kind,
    dispatch::dispatch,
    lifecycle,
    msg::Msg,
    sip,
    world::{SIP_ADDRESS, World},
};
use crate::server::incoming::{Caller, IncomingScript};

/// Where callers are.
const CALLER: &str = "127.0.0.1:5091";

const NO_ROUTE: &str = "No route to call target";

impl MockYate {
    /// A call comes in. The answer is the id of its channel; what becomes of it shows
    /// [`caller_saw`](Self::caller_saw).
    pub fn incoming(&self, script: IncomingScript) -> String {
        let world = Arc::clone(self.world());
        let caller = script.caller.number.clone();
        let id = world.act(|state| {
            let mut channel = state.make(Kind::Sip, true);
            channel.address = Some(CALLER.to_owned());
            channel.bill = Some(state.next_bill());
            channel.domain = Some("127.0.0.1".to_owned());
            let call = 145_321_782 + channel.serial * 7_919;
            channel.dialog = Some(format!("sip/c{call}-5091@127.0.0.1/c{}/", call / 3));
            channel.contact = Some(format!("<sip:{caller}@{CALLER}>"));
            channel.dialled.clone_from(&caller);
            let id = state.add(channel);
            let mut own = vec![("caller".to_owned(), caller.clone())];
            if !script.caller.name.is_empty() {
                own.push(("callername".to_owned(), script.caller.name.clone()));
            }
            own.push(("called".to_owned(), script.called.clone()));
            own.push(("connection_id".to_owned(), "general".to_owned()));
            state.started(&id, own);
            state.cdr_open(&id, Some(&caller), Some(&script.called));
            let script = script.clone();
            state.callers.insert(
                &id,
                Caller {
                    script,
                    ended: None,
                },
            );
            id
        });
        lifecycle::tick(&world);
        world.spawn(patience(Arc::clone(&world), id.clone(), script.clone()));
        world.spawn(call(Arc::clone(&world), id.clone(), script));
        id
    }
}

/// Routes and executes a call.
async fn call(world: Arc<World>, id: String, script: IncomingScript) {
    let Some(mut msg) = invite(&world, &id, &script) else {
        return;
    };
    msg.channel = Some(id.clone());
    dispatch(&world, &mut msg).await;
    "call.route".clone_into(&mut msg.name);
    msg.clear("handlers");
    let mut routed = dispatch(&world, &mut msg).await;
    world.act(|state| state.cdr(&id, "update", None));
    if routed && !matches!(msg.retval.as_str(), "" | "-" | "error") {
        "call.execute".clone_into(&mut msg.name);
        msg.clear("handlers");
        let target = std::mem::take(&mut msg.retval);
        msg.set("callto", target);
        if dispatch(&world, &mut msg).await {
            world.act(|state| state.accepted(&id, &msg));
            return;
        }
        routed = msg.some("error").is_some();
        if !routed {
            msg.set("error", "failure");
            routed = true;
        }
    }
    let (status, text) = match msg.some("error").filter(|_| routed) {
        Some(word) => (sip::status(word).unwrap_or(500), msg.some("reason")),
        // A handler that took it without a target.
        None if routed => (500, msg.some("reason")),
        None => (404, Some(NO_ROUTE)),
    };
    world.act(|state| {
        if let Some(channel) = state.channel_mut(&id).filter(|channel| !channel.answered) {
            channel.refusal = Some(status);
            "rejected".clone_into(&mut channel.status);
            let text = text.map(str::to_owned);
            state.gone(&id, text.as_deref());
        }
    });
}

/// `call.preroute` of an INVITE.
fn invite(world: &Arc<World>, id: &str, script: &IncomingScript) -> Option<Msg> {
    let state = world.lock();
    let channel = state.channel(id)?;
    let dialog = channel.dialog.as_deref().unwrap_or_default();
    let call_id = dialog.split('/').nth(1).unwrap_or_default().to_owned();
    let mut complete = channel.complete();
    complete.retain(|(name, _)| name != "domain");
    let (caller, called) = (&script.caller.number, &script.called);
    let name = Some(script.caller.name.clone()).filter(|name| !name.is_empty());
    let mut msg = Msg::new("call.preroute")
        .all(complete)
        .with("caller", caller.clone())
        .maybe("callername", name)
        .with("called", called.clone());
    for (name, value) in [
        ("antiloop", "19"),
        ("ip_host", "127.0.0.1"),
        ("ip_port", "5091"),
        ("ip_transport", "UDP"),
        ("address", CALLER),
        ("connection_id", "general"),
        ("connection_reliable", "false"),
    ] {
        msg = msg.with(name, value);
    }
    msg = msg
        .with("sip_uri", format!("sip:{called}@{SIP_ADDRESS}"))
        .with("sip_from", format!("sip:{caller}@{CALLER}"))
        .with("sip_to", format!("<sip:{called}@{SIP_ADDRESS}>"))
        .with("sip_callid", call_id)
        .with("device", "")
        .with("sip_contact", format!("<sip:{caller}@{CALLER}>"))
        .with("sip_content-type", "application/sdp");
    for (name, value) in &script.headers {
        msg = msg.with(&format!("sip_{}", name.to_ascii_lowercase()), value.clone());
    }
    for (name, value) in [
        ("newcall", "true"),
        ("domain", "127.0.0.1"),
        ("rtp_addr", "127.0.0.1"),
        ("media", "yes"),
        ("formats", "mulaw,alaw"),
        ("transport", "RTP/AVP"),
        ("rtp_rfc2833", "false"),
        ("rtp_port", "40000"),
        ("rtp_forward", "possible"),
    ] {
        msg = msg.with(name, value);
    }
    Some(msg)
}

/// Hangs up for the caller when its time has come.
async fn patience(world: Arc<World>, id: String, script: IncomingScript) {
    let answered = async {
        loop {
            let changed = world.changed.notified();
            let found = world.lock().channel(&id).map(|channel| channel.answered);
            match found {
                Some(false) => changed.await,
                Some(true) => return true,
                None => return false,
            }
        }
    };
    let waits = script
        .gives_up
        .unwrap_or(Duration::from_secs(365 * 24 * 3600));
    match (tokio::time::timeout(waits, answered).await, script.hangs_up) {
        (Ok(false), _) | (Ok(true), None) => return,
        (Ok(true), Some(time)) => sleep(time).await,
        (Err(_), _) => {}
    }
    super::hangup::by_far_end(&world, &id, (200, sip::phrase(200)));
}
