//! Calls that come in from outside (recordings `04_pjsip_incoming`,
//! `11_asyncagi_incoming_accept`).

use std::{collections::BTreeMap, sync::Arc};

use super::{
    MockAsterisk,
    call::{FOR_EVER, Place, pbx},
    channel::{Channel, Signal},
    dialplan::Step,
    world::{State, World},
};
use crate::server::{
    incoming::{Caller, IncomingScript},
    script::CallScript,
};

/// Where callers land unless their script says otherwise.
const CONTEXT: &str = "incoming";

/// The call of a caller is over.
pub(super) fn ended(caller: &mut Caller, channel: &Channel) {
    caller.ended = Some(match (channel.answered, channel.cause) {
        // A BYE without a reason is a normal end.
        (Some(_), 0) => 16,
        (_, cause) => cause,
    });
}

/// Hangs up for the caller when its time has come.
async fn patience(world: Arc<World>, id: String, script: IncomingScript) {
    let told = world.lock().channel(&id).map(|c| c.state_told.subscribe());
    let Some(mut told) = told else { return };
    let answered = tokio::time::timeout(
        script.gives_up.unwrap_or(FOR_EVER),
        told.wait_for(|state| *state == 6),
    )
    .await;
    match (answered.map(|told| told.is_ok()), script.hangs_up) {
        // The channel is gone.
        (Ok(false), _) | (Ok(true), None) => return,
        (Ok(true), Some(time)) => tokio::time::sleep(time).await,
        (Err(_), _) => {}
    }
    world.lock().signal(&id, Signal::FarHangup { cause: 0 });
}

/// The caller is gone while AGI has the channel. No `HangupRequest` tells of it, and a CANCEL has a
/// cause of its own (observed on Asterisk 16.28 and 22.10).
pub(super) fn left(world: &World, state: &mut State, id: &str) {
    let Some(channel) = state.channel_mut(id) else {
        return;
    };
    channel.end_told = true;
    if channel.answered.is_none() {
        channel.cause = 127;
        channel.tech_cause = Some(487).filter(|_| !world.v16());
    } else if let Some(cause) = world.far_cause() {
        channel.cause = cause;
    }
}

/// `PJSIP_HEADER(read,name)` of an incoming call.
pub(super) fn sip_header(state: &State, id: &str, arguments: &str) -> String {
    let mut parts = arguments.split(',').map(str::trim);
    if parts.next() != Some("read") {
        return String::new();
    }
    let name = parts.next().unwrap_or_default();
    let number: usize = parts.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let headers = state.callers.get(id).map(|c| &c.script.headers);
    headers
        .into_iter()
        .flatten()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name))
        .nth(number.saturating_sub(1))
        .map_or_else(String::new, |(_, value)| value.clone())
}

/// `PJSIP_HEADERS(prefix)`: the names.
pub(super) fn sip_headers(state: &State, id: &str, prefix: &str) -> String {
    let headers = state.callers.get(id).map(|c| &c.script.headers);
    let names: Vec<&str> = headers
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.join(",")
}

impl MockAsterisk {
    /// A call comes in. The answer is the `Uniqueid` of its channel; what becomes of it shows
    /// [`caller_saw`](Self::caller_saw).
    pub fn incoming(&self, script: IncomingScript) -> String {
        let world = Arc::clone(self.world());
        let now = world.now();
        let context = script.context.clone();
        let context = context.unwrap_or_else(|| CONTEXT.to_owned());
        let id = world.change(|state| {
            let plan = &mut state.dialplan;
            if !plan.has(&context, &script.called) {
                let own = |step: &Step| (step.application.clone(), step.data.clone());
                let pattern: BTreeMap<u32, (String, String)> = plan
                    .list(Some(&context))
                    .into_iter()
                    .filter(|(_, exten, ..)| exten.starts_with('_'))
                    .map(|(_, _, priority, step)| (priority, own(step)))
                    .collect();
                let steps = if pattern.is_empty() {
                    let agi = ("AGI".to_owned(), "agi:async".to_owned());
                    BTreeMap::from([(1, agi), (2, ("Hangup".to_owned(), String::new()))])
                } else {
                    pattern
                };
                for (priority, (application, data)) in steps {
                    let step = Step {
                        application,
                        data,
                        run_time: false,
                    };
                    plan.add(&context, &script.called, priority, step, true);
                }
            }
            state.unique += 1;
            let id = format!("{}.{}", state.started.as_second(), state.unique);
            let name = format!("PJSIP/{}-{:08x}", script.endpoint, state.names);
            state.names += 1;
            state.processed += 1;
            let mut channel = Channel::new(id.clone(), name, now);
            channel.state = 4;
            channel.context.clone_from(&context);
            channel.exten.clone_from(&script.called);
            channel.dialled.clone_from(&script.called);
            channel.caller = Some(script.caller.clone());
            channel.pbx = true;
            state.channels.push(channel);
            state.channel_event("Newchannel", "call", &id, &[]);
            state.set_var(&id, "SIPDOMAIN", "127.0.0.1");
            state.device(&id, "INUSE");
            let caller = Caller {
                script: script.clone(),
                ended: None,
            };
            state.callers.insert(&id, caller);
            id
        });
        world.spawn(patience(Arc::clone(&world), id.clone(), script.clone()));
        let place = Place::Extension {
            context,
            exten: script.called,
            priority: 1,
        };
        let call = pbx(Arc::clone(&world), id.clone(), place, CallScript::answer());
        world.spawn(call);
        id
    }
}
