//! Another party of a call: called by a call of its own, and connected when it answers. Whoever it is
//! called for stays where it is until then, and stays there if it does not answer.

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    clock::later,
    id::{CallId, RequestId},
    sip::{CallOptions, Causes, ConnectionState},
};

use super::{
    super::{
        config::YateConfig,
        core::{Core, HANGUP},
        place::Answer,
        request::{Target, millis, options_of, second_mark},
        run::channels,
        server::{Server, message, refusal},
    },
    orders,
};
use crate::{
    adapter::{
        books::{Calling, Sign},
        hub::is_passing,
        unreached::not_answered,
    },
    protocol::yate::Command,
};

/// What the far end may take beside the ring time.
const GRACE: Duration = Duration::from_secs(15);

/// How often it is looked whether events are missing.
const ASK: Duration = Duration::from_secs(2);

/// How long a party whose request was not answered may take to appear at the server.
const APPEARS: Duration = Duration::from_secs(1);
const APPEARS_TRIES: usize = 6;

/// How often two channels are tried to be connected while the link comes and goes.
const TRIES: usize = 5;

/// A party to call.
#[derive(Debug, Clone)]
pub(in crate::adapter::yate) struct Party {
    command: Command,
    mark: String,
    ring: Duration,
}

impl Party {
    /// A party, for a call.
    pub(in crate::adapter::yate) fn new(
        id: CallId,
        to: &Target,
        ring: Duration,
        options: Option<&CallOptions>,
        operation: &'static str,
    ) -> Result<Self> {
        let mark = second_mark(id, RequestId::new());
        let callto = format!("dumb/{mark}");
        let params = [("callto", callto.as_str()), ("maxcall", &millis(ring))];
        let command = to.add(message("call.execute", &params, operation)?, operation)?;
        let command = match options {
            Some(options) => options_of(command, options, operation)?,
            None => command,
        };
        Ok(Self {
            command,
            mark,
            ring,
        })
    }
}

/// The address of a new party, in the form of a request.
pub(super) fn target(
    config: &YateConfig,
    to: &faxbot_core::address::Address,
    operation: &'static str,
) -> Result<Target> {
    super::super::request::target(config, to, operation)
}

/// A party that is called for a call. If it is dropped before they are connected, the party is hung up.
struct Called<'a> {
    core: &'a Core,
    id: CallId,
    /// The run of the engine that the party is of: in another one its name is somebody else's.
    run_id: Option<String>,
    party: String,
    connected: bool,
}

impl<'a> Called<'a> {
    fn begin(core: &'a Core, id: CallId, operation: &'static str) -> Result<Self> {
        let mut state = core.hub.state();
        let Some(line) = state.books.lines.get_mut(&id) else {
            return Err(gone(operation));
        };
        line.moves.calling = Some(Calling::default());
        let run_id = state.books.run_id.clone();
        drop(state);
        Ok(Self {
            core,
            id,
            run_id,
            party: String::new(),
            connected: false,
        })
    }

    /// The channels of the party are known.
    fn is(&mut self, party: &str, end: &str) {
        party.clone_into(&mut self.party);
        let id = self.id;
        self.core.hub.events(|state, now| {
            let Some(calling) = state.books.calling(id) else {
                return Vec::new();
            };
            party.clone_into(&mut calling.party);
            let mut out = state.books.is_other(id, end, now);
            out.extend(state.books.is_other(id, party, now));
            out
        });
    }
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        let (id, connected) = (self.id, self.connected);
        let party = std::mem::take(&mut self.party);
        let run_id = self.run_id.take();
        self.core.hub.note(|state, _| {
            if let Some(line) = state.books.lines.get_mut(&id) {
                line.moves.calling = None;
            }
            if !connected && state.books.run_id == run_id {
                state.books.orders.leave(party);
            }
        });
    }
}

/// How the call of a party went.
enum Heard {
    Answered,
    Failed(Causes),
    /// Our own call ended first.
    Gone,
}

/// Calls a party for a call, and connects them when it answers.
///
/// # Errors
/// `Rejected` when it did not answer, or the call ended first; `OutcomeUnknown`.
pub(in crate::adapter::yate) async fn bring(
    core: &Core,
    server: &Server,
    id: CallId,
    party: Party,
    operation: &'static str,
) -> Result<()> {
    let mut called = Called::begin(core, id, operation)?;
    call(core, server, &mut called, &party, operation).await?;
    let heard = listen(core, server, &called, party.ring, operation).await?;
    match heard {
        Heard::Answered => {}
        Heard::Failed(causes) => {
            // There is nothing left to hang up.
            called.party.clear();
            return Err(not_answered(operation, "", &causes));
        }
        Heard::Gone => return Err(gone(operation)),
    }
    let Some(own) = core.hub.state().books.own_channel(id) else {
        return Err(gone(operation));
    };
    join(core, server, &own, &called.party, operation).await?;
    called.connected = true;
    let party = called.party.clone();
    core.hub
        .events(|state, now| state.books.joined(id, Some(&party), now));
    Ok(())
}

async fn call(
    core: &Core,
    server: &Server,
    called: &mut Called<'_>,
    party: &Party,
    operation: &'static str,
) -> Result<()> {
    // What is told of the party before the answer names its channels is kept.
    let answer = Answer::awaited(core);
    let asked = server.ask(party.command.clone(), operation).await;
    let (end, far) = match asked {
        Ok(frame) => {
            if let Some(error) = refusal(&frame, operation) {
                return Err(error.with_effect(Effect::NoEffect));
            }
            let name = |name: &str| {
                let message = frame.message();
                let text = message.and_then(|message| Some(message.text(name)?.into_owned()));
                text.unwrap_or_default()
            };
            (name("id"), name("peerid"))
        }
        Err(error) if error.effect() == Effect::Unknown => {
            match find(core, server, &party.mark, operation).await {
                Some(found) => found,
                None => return Err(error),
            }
        }
        Err(error) => return Err(error),
    };
    if far.is_empty() {
        let text = "yate did not name the channel of the new party";
        return Err(Error::new(ErrorKind::Protocol, operation, text));
    }
    called.is(&far, &end);
    drop(answer);
    Ok(())
}

/// Looks for the channels of a party whose request has no answer.
async fn find(
    core: &Core,
    server: &Server,
    mark: &str,
    operation: &'static str,
) -> Option<(String, String)> {
    for _ in 0..APPEARS_TRIES {
        let list = server.channels(operation).await;
        let found = list.iter().flatten().find(|it| it.address == mark);
        if let Some(end) = found {
            // While the engine still routes it, our end has nobody.
            if let Some(far) = end.leg.joined.clone() {
                return Some((end.leg.native.clone(), far));
            }
        }
        let clock = &core.hub.clock;
        clock.sleep_until(clock.now() + APPEARS).await;
    }
    None
}

/// Waits until the party answers, or does not.
async fn listen(
    core: &Core,
    server: &Server,
    called: &Called<'_>,
    ring: Duration,
    operation: &'static str,
) -> Result<Heard> {
    let hub = &core.hub;
    let (id, party) = (called.id, called.party.as_str());
    let end = later(hub.clock.now(), ring.saturating_add(GRACE));
    let mut gap = false;
    loop {
        let heard = hub.until(ASK, |state| {
            gap |= state.connection != ConnectionState::Connected;
            let line = state.books.lines.get(&id).filter(|line| line.is_there());
            let Some(line) = line else {
                return Some(Heard::Gone);
            };
            let calling = line.moves.calling.as_ref()?;
            if calling.answered {
                return Some(Heard::Answered);
            }
            let causes = || calling.causes.clone().unwrap_or_default();
            calling.ended.then(|| Heard::Failed(causes()))
        });
        if let Some(heard) = heard.await {
            return Ok(heard);
        }
        let late = hub.clock.now() >= end;
        if !gap && !late {
            continue;
        }
        // Events are missing: the server is asked.
        match channels(core, server, operation).await {
            Ok(list) => match list.iter().find(|it| it.leg.native == party) {
                None => return Ok(Heard::Failed(Causes::new())),
                Some(channel) if channel.leg.sign == Sign::Up => return Ok(Heard::Answered),
                Some(_) => gap = false,
            },
            Err(error) if !is_passing(&error) => return Err(error),
            Err(_) => {}
        }
        if late {
            // It is hung up.
            return Err(not_answered(operation, "", &Causes::new().with_q850(19)));
        }
    }
}

/// Connects two channels, and sees that they are.
pub(super) async fn join(
    core: &Core,
    server: &Server,
    own: &str,
    other: &str,
    operation: &'static str,
) -> Result<()> {
    let mut last = None;
    for _ in 0..TRIES {
        match orders::connect(server, own, other, operation).await {
            Ok(true) => return Ok(()),
            Ok(false) => {
                let text = "one of the parties is gone";
                return Err(Error::new(ErrorKind::Rejected, operation, text));
            }
            Err(error) if is_passing(&error) => last = Some(error),
            Err(error) => return Err(error),
        }
        // The order may have been carried out.
        let up = |state: &mut crate::adapter::hub::State<_, _>| {
            (state.connection == ConnectionState::Connected).then_some(())
        };
        let _ = core.hub.until(core.config.request_timeout, up).await;
        if orders::partner(server, own, operation)
            .await
            .is_ok_and(|partner| partner == other)
        {
            return Ok(());
        }
    }
    let text =
        "yate did not tell whether the parties were connected; ask for the state of the call";
    let error = Error::new(ErrorKind::OutcomeUnknown, operation, text).with_effect(Effect::Unknown);
    Err(match last {
        Some(last) => error.with_source(last),
        None => error,
    })
}

fn gone(operation: &'static str) -> Error {
    let text = "the call ended before the new party answered";
    Error::new(ErrorKind::Rejected, operation, text)
}

/// Hangs up the channels that nobody is left for. What cannot be hung up now is with the next
/// connection.
pub(in crate::adapter::yate) async fn hang_up_left(core: &Core, server: &Server) {
    let left = core.hub.state().books.orders.take_left();
    for channel in left {
        match server.hang_up(&channel, HANGUP).await {
            Err(error) if is_passing(&error) => {
                tracing::debug!(%error, "yate: a channel that is left alone is still up");
                core.hub.state().books.orders.still_left(channel);
            }
            Ok(()) | Err(_) => {}
        }
    }
}
