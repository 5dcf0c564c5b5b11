//! Calls that come in from outside (recordings `04_pjsip_incoming`,
//! `11_asyncagi_incoming_accept`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    MockAsterisk,
    call::{FOR_EVER, Place, pbx},
    channel::{Channel, Party, Signal},
    dialplan::Step,
    script::CallScript,
    world::{State, World},
};

/// What a caller from outside does.
#[derive(Debug, Clone)]
pub struct IncomingScript {
    pub(super) caller: Party,
    pub(super) called: String,
    pub(super) context: String,
    pub(super) endpoint: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) gives_up: Option<Duration>,
    pub(super) hangs_up: Option<Duration>,
    pub(super) fax: Option<IncomingFax>,
}

impl IncomingScript {
    /// A call from a number to an extension of the context `incoming`. The caller waits for ever.
    pub fn new(caller: &str, called: &str) -> Self {
        Self {
            caller: Party {
                name: String::new(),
                number: caller.to_owned(),
            },
            called: called.to_owned(),
            context: "incoming".to_owned(),
            endpoint: "trunk".to_owned(),
            headers: Vec::new(),
            gives_up: None,
            hangs_up: None,
            fax: None,
        }
    }

    /// The name of the caller.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.caller.name);
        self
    }

    /// The context that it reaches. An extension that is not there is made: `AGI(agi:async)`, then
    /// `Hangup`.
    #[must_use]
    pub fn context(mut self, context: &str) -> Self {
        context.clone_into(&mut self.context);
        self
    }

    /// The endpoint that it comes from (default `trunk`).
    #[must_use]
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        endpoint.clone_into(&mut self.endpoint);
        self
    }

    /// A header of the INVITE, for `PJSIP_HEADER(read,name)`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The caller gives up when it is not answered within this time.
    #[must_use]
    pub const fn gives_up_after(mut self, time: Duration) -> Self {
        self.gives_up = Some(time);
        self
    }

    /// The caller hangs up so long after the answer.
    #[must_use]
    pub const fn hangs_up_after(mut self, time: Duration) -> Self {
        self.hangs_up = Some(time);
        self
    }

    /// The caller is a fax.
    #[must_use]
    pub fn sends_fax(mut self, fax: IncomingFax) -> Self {
        self.fax = Some(fax);
        self
    }
}

/// A fax that a caller sends when it is asked to by `ReceiveFAX`.
#[derive(Debug, Clone)]
pub struct IncomingFax {
    pub(super) pages: u32,
    pub(super) tiff: Option<Bytes>,
    pub(super) station: String,
    pub(super) failure: Option<(u32, String)>,
    pub(super) bad_lines: u32,
    pub(super) t38: bool,
    pub(super) page: Option<Duration>,
}

impl IncomingFax {
    /// A fax of so many pages that the mock draws, from the station `SENDER`, over T.38.
    pub fn new(pages: u32) -> Self {
        Self {
            pages,
            tiff: None,
            station: "SENDER".to_owned(),
            failure: None,
            bad_lines: 0,
            t38: true,
            page: None,
        }
    }

    /// The pages of this file. It is stored as it is when all pages are there.
    pub fn of_tiff(tiff: impl Into<Bytes>) -> Self {
        Self {
            tiff: Some(tiff.into()),
            ..Self::new(1)
        }
    }

    /// The station id of the sender.
    #[must_use]
    pub fn station(mut self, id: &str) -> Self {
        id.clone_into(&mut self.station);
        self
    }

    /// The sender goes wrong when so many pages are there: `FAXERROR` and `FAXSTATUSSTRING` have
    /// this text, such as `Unexpected DCN while waiting for DCS or DIS`.
    #[must_use]
    pub fn fails_after(mut self, pages: u32, text: &str) -> Self {
        self.failure = Some((pages, text.to_owned()));
        self
    }

    /// Damaged rows of each page.
    #[must_use]
    pub const fn bad_lines(mut self, rows: u32) -> Self {
        self.bad_lines = rows;
        self
    }

    /// The sender has no T.38.
    #[must_use]
    pub const fn over_audio(mut self) -> Self {
        self.t38 = false;
        self
    }

    /// Time for each page.
    #[must_use]
    pub const fn page_time(mut self, time: Duration) -> Self {
        self.page = Some(time);
        self
    }
}

/// What a caller sees of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerSaw {
    /// Not answered yet.
    Ringing,
    /// Answered.
    Answered,
    /// Ended, with this Q.850 cause: that of the refusal, or of the BYE.
    Ended {
        /// The cause; 0 when the server named none for a call that it did not answer.
        cause: u32,
    },
}

/// A caller as the state keeps it.
#[derive(Debug)]
pub(super) struct Caller {
    pub script: IncomingScript,
    ended: Option<u32>,
}

impl Caller {
    pub(super) fn end(&mut self, channel: &Channel) {
        let cause = match (channel.answered, channel.cause) {
            // A BYE without a reason is a normal end.
            (Some(_), 0) => 16,
            (_, cause) => cause,
        };
        self.ended = Some(cause);
    }
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
    let headers = state.features.callers.get(id).map(|c| &c.script.headers);
    headers
        .into_iter()
        .flatten()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name))
        .nth(number.saturating_sub(1))
        .map_or_else(String::new, |(_, value)| value.clone())
}

/// `PJSIP_HEADERS(prefix)`: the names.
pub(super) fn sip_headers(state: &State, id: &str, prefix: &str) -> String {
    let headers = state.features.callers.get(id).map(|c| &c.script.headers);
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
        let id = world.change(|state| {
            let plan = &mut state.dialplan;
            if !plan.has(&script.context, &script.called) {
                let own = |step: &Step| (step.application.clone(), step.data.clone());
                let pattern: BTreeMap<u32, (String, String)> = plan
                    .list(Some(&script.context))
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
                    plan.add(&script.context, &script.called, priority, step, true);
                }
            }
            state.unique += 1;
            let id = format!("{}.{}", state.started.as_second(), state.unique);
            let name = format!("PJSIP/{}-{:08x}", script.endpoint, state.names);
            state.names += 1;
            state.processed += 1;
            let mut channel = Channel::new(id.clone(), name, now);
            channel.state = 4;
            channel.context.clone_from(&script.context);
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
            state.features.callers.insert(&id, caller);
            id
        });
        world.spawn(patience(Arc::clone(&world), id.clone(), script.clone()));
        let place = Place::Extension {
            context: script.context,
            exten: script.called,
            priority: 1,
        };
        let call = pbx(Arc::clone(&world), id.clone(), place, CallScript::answer());
        world.spawn(call);
        id
    }

    /// What the caller of an incoming call sees; `None` for an id that is none, or long gone.
    pub fn caller_saw(&self, id: &str) -> Option<CallerSaw> {
        let state = self.world().lock();
        let caller = state.features.callers.get(id)?;
        let channel = state.channel(id);
        Some(match (caller.ended, channel) {
            (Some(cause), _) => CallerSaw::Ended { cause },
            // A server that died says no goodbye.
            (None, None) => CallerSaw::Ended { cause: 0 },
            (None, Some(channel)) if channel.state == 6 => CallerSaw::Answered,
            (None, Some(_)) => CallerSaw::Ringing,
        })
    }
}
