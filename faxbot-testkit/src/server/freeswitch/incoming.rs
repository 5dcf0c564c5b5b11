//! Calls that come in from outside (recordings `09_inbound_park_*`).

use std::{sync::Arc, time::Duration};

use super::{
    MockFreeSwitch, call,
    cause::{self},
    channel::{By, Channel, Profile, State as ChannelState},
    leg,
    program::Program,
    world::{State, World, fresh},
};
use crate::server::{
    incoming::{Caller, IncomingScript},
    script::CallScript,
};

/// Where callers land unless their script says otherwise.
const CONTEXT: &str = "public";

impl MockFreeSwitch {
    /// A call comes in. The answer is the uuid of its channel; what becomes of it shows
    /// [`caller_saw`](Self::caller_saw). In a context without an extension of its own it is parked.
    pub fn incoming(&self, script: IncomingScript) -> String {
        let world = Arc::clone(self.world());
        let id = world.with(|state| arrive(state, &script));
        let context = script.context.clone();
        let context = context.unwrap_or_else(|| CONTEXT.to_owned());
        let program = Program::extension(&script.called, "XML", &context);
        world.spawn(patience(Arc::clone(&world), id.clone(), script));
        leg::start(&world, &id, program);
        id
    }

    /// Where a caller was redirected to by `uuid_redirect` or `uuid_deflect`.
    pub fn redirected_to(&self, id: &str) -> Option<String> {
        self.world().lock().redirected.get(id).cloned()
    }
}

fn arrive(state: &mut State, script: &IncomingScript) -> String {
    let id = fresh();
    let number = &script.caller.number;
    let name = format!("sofia/{}/{number}@127.0.0.1", script.endpoint);
    let mut channel = Channel::new(id.clone(), name.clone(), true, CallScript::answer());
    let shown = if script.caller.name.is_empty() {
        number
    } else {
        &script.caller.name
    };
    channel.times.created = Some(state.now);
    channel.dialled.clone_from(&script.called);
    channel.state = ChannelState::New;
    channel.media = true;
    channel.profile = Profile {
        username: number.clone(),
        dialplan: "XML".to_owned(),
        name: shown.clone(),
        number: number.clone(),
        orig_name: shown.clone(),
        orig_number: number.clone(),
        address: "127.0.0.1".to_owned(),
        ani: number.clone(),
        source: "mod_sofia".to_owned(),
        ..Profile::default()
    };
    state.channels.push(channel);
    let called = &script.called;
    let texts = [
        ("direction", "inbound"),
        ("uuid", &id),
        ("call_uuid", &id),
        ("sip_from_user", number),
        ("sip_from_uri", &format!("{number}@127.0.0.1")),
        ("sip_from_host", "127.0.0.1"),
        ("channel_name", &name),
        ("sip_call_id", &fresh()),
        ("sip_network_ip", "127.0.0.1"),
        ("sip_network_port", "5060"),
        ("sip_received_ip", "127.0.0.1"),
        ("sip_via_protocol", "udp"),
        ("sofia_profile_name", &script.endpoint),
        ("sip_from_display", &script.caller.name),
        ("sip_req_user", called),
        ("sip_req_uri", &format!("{called}@127.0.0.1")),
        ("sip_req_host", "127.0.0.1"),
        ("sip_to_user", called),
        ("sip_to_uri", &format!("{called}@127.0.0.1")),
        ("sip_to_host", "127.0.0.1"),
        ("read_codec", "PCMU"),
        ("write_codec", "PCMU"),
        ("endpoint_disposition", "RECEIVED"),
    ];
    for (name, value) in texts {
        state.set_foreign(&id, name, value);
    }
    for (name, value) in &script.headers {
        // Headers of an INVITE that are no X- headers have variables of their own.
        let name = name.to_owned();
        state.set_foreign(&id, &format!("sip_h_{name}"), value);
    }
    let caller = Caller {
        script: script.clone(),
        ended: None,
    };
    state.callers.insert(&id, caller);
    state.set_state(&id, ChannelState::New);
    state.set_state(&id, ChannelState::Init);
    state.tell("CHANNEL_CREATE", &id);
    state.set_callstate(&id, "RINGING");
    id
}

/// Hangs up for the caller when its time has come.
async fn patience(world: Arc<World>, id: String, script: IncomingScript) {
    let told = world.lock().channels.get(&id).map(|c| c.told.subscribe());
    let Some(mut told) = told else { return };
    let answered = async {
        loop {
            let now = {
                let state = world.lock();
                state.channels.get(&id).map(Channel::is_answered)
            };
            match now {
                None => return false,
                Some(true) => return true,
                Some(false) => {}
            }
            if told.changed().await.is_err() {
                return false;
            }
        }
    };
    let limit = script.gives_up.unwrap_or(call::FOR_EVER);
    let cause = match tokio::time::timeout(limit, answered).await {
        Err(_) => "ORIGINATOR_CANCEL",
        Ok(false) => return,
        Ok(true) => {
            let Some(time) = script.hangs_up else { return };
            tokio::time::sleep(time.max(Duration::ZERO)).await;
            cause::NORMAL
        }
    };
    world.with(|state| state.hang_up(&id, cause, By::Far));
}
