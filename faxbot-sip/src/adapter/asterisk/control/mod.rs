//! Orders that move the channels of a call: hold, transfer, conference. One at a time on each call,
//! which begins with the question where the call is.

pub(super) mod conference;
pub(super) mod dtmf;
pub(super) mod hold;
pub(super) mod record;
pub(super) mod rooms;
pub(super) mod transfer;

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::CallState,
};

use super::{
    books::{legs::Plan, line::LiveChannel, moves::Back},
    core::{Core, State},
    dialplan::{CONFERENCE, PARK},
    request::action,
    server::Server,
};
use crate::adapter::hub::Book as _;

/// How long the two parties of a call may take from the answer into their bridge: a millisecond or
/// two. So often is it looked for.
const ENTER: Duration = Duration::from_millis(200);
const ENTER_TRIES: usize = 3;

/// Where a call is.
#[derive(Debug)]
pub(super) struct Place {
    /// Our channel.
    pub(super) own: String,
    /// The channel that it is bridged with, or held with.
    pub(super) other: Option<String>,
    pub(super) back: Back,
}

impl Place {
    pub(super) fn channels(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.own.as_str()).chain(self.other.as_deref())
    }
}

/// Calls that an order moves: no other one may until this is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    core: &'a Core,
    operation: &'static str,
    calls: Vec<CallId>,
    known: bool,
}

impl<'a> Claim<'a> {
    pub(super) fn new(core: &'a Core, operation: &'static str) -> Self {
        Self {
            core,
            operation,
            calls: Vec::new(),
            known: true,
        }
    }

    /// Takes a call that is answered and that no other order moves; answers whether it is held.
    pub(super) fn take(&mut self, call: &CallRef) -> Result<(CallId, CallState)> {
        let found = self.core.state().books.find(call);
        match found {
            Some(id) => Ok((id, self.add(id)?)),
            None => Err(Error::new(
                ErrorKind::NotFound,
                self.operation,
                "no such call in the books",
            )),
        }
    }

    fn add(&mut self, id: CallId) -> Result<CallState> {
        let refused =
            |text| Err(Error::new(ErrorKind::InvalidState, self.operation, text).with_call_id(id));
        let mut state = self.core.state();
        let books = &mut state.books;
        let at = books.calls.state(id);
        let Some(line) = books.lines.get_mut(&id) else {
            return refused("the call is over");
        };
        if line.control.busy {
            return refused("another order moves the call at this moment; wait until it is done");
        }
        if line.fax.is_some() {
            return refused("a fax runs in the call");
        }
        if line.hangup.is_some() || line.settling || line.cancel {
            return refused("the call is ending");
        }
        let at = match at {
            Some(at @ (CallState::Connected | CallState::OnHold)) => at,
            Some(CallState::Transferring) => {
                return refused("what became of the last transfer is not known yet");
            }
            _ => return refused("the call is not answered, or is ending"),
        };
        line.control.busy = true;
        books.parts(id);
        drop(state);
        self.calls.push(id);
        Ok(at)
    }

    /// The server may or may not have done it: the list of channels will tell.
    pub(super) fn unsure(&mut self) {
        self.known = false;
        self.core.note(|state, now| {
            for &id in &self.calls {
                state.books.unsure(id, now);
            }
        });
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let now = self.core.now().instant;
        let mut state = self.core.state();
        for id in &self.calls {
            if let Some(line) = state.books.lines.get_mut(id) {
                line.control.busy = false;
                line.control.settled = self.known.then_some(now);
            }
        }
    }
}

/// Where a claimed call is now. A call of ours that it is bridged with is claimed too.
///
/// The server is asked: events may be missing, and the other channel may be none of ours.
pub(super) async fn place(
    core: &Core,
    server: &Server,
    claim: &mut Claim<'_>,
    id: CallId,
) -> Result<Place> {
    let operation = claim.operation;
    let held = held_place(&core.state(), id);
    let place = match held {
        Some(place) => place,
        None => {
            let mut tries = 0;
            loop {
                let list = server.channels(operation).await?;
                if let Some(place) = listed_place(&core.state(), id, &list, operation)? {
                    break place;
                }
                tries += 1;
                if tries > ENTER_TRIES {
                    let text = "the second party of the call still rings";
                    return Err(Error::new(ErrorKind::InvalidState, operation, text));
                }
                let bridged = |state: &mut State| {
                    let line = state.books.lines.get(&id)?;
                    line.bridge.as_ref().map(drop)
                };
                core.until(ENTER, bridged).await;
            }
        }
    };
    let other = place.other.as_deref();
    let other = other.and_then(|other| core.state().books.own_call(other));
    if let Some(other) = other.filter(|other| !claim.calls.contains(other)) {
        claim.add(other)?;
    }
    Ok(place)
}

fn held_place(state: &State, id: CallId) -> Option<Place> {
    let line = state.books.lines.get(&id)?;
    let held = line.control.held.as_ref()?;
    Some(Place {
        own: line.uniqueid.clone(),
        other: held.other.clone(),
        back: held.back.clone(),
    })
}

/// The place that the server's list shows; `None` while `Dial` calls the second party, or while both
/// are on their way into their bridge.
fn listed_place(
    state: &State,
    id: CallId,
    list: &[LiveChannel],
    operation: &'static str,
) -> Result<Option<Place>> {
    let books = &state.books;
    let line = books.lines.get(&id);
    let found = line.and_then(|line| {
        let own = list.iter().find(|it| it.uniqueid == line.uniqueid)?;
        Some((line, own))
    });
    let Some((line, own)) = found else {
        let text = "the call's channel is gone";
        return Err(Error::new(ErrorKind::NotFound, operation, text));
    };
    let is = |application: &str| own.application.eq_ignore_ascii_case(application);
    if own.bridge.is_empty() && is("Dial") {
        return Ok(None);
    }
    // Whoever else is in a conference has nothing to do with this call.
    let pair = !own.bridge.is_empty() && !is("ConfBridge");
    let mut others = list
        .iter()
        .filter(|it| pair && it.bridge == own.bridge && it.uniqueid != own.uniqueid);
    let other = match (others.next(), others.next()) {
        (Some(other), None) => Some(other.uniqueid.clone()),
        _ => None,
    };
    let moves = &books.moves;
    let back = if moves.is_at(own, CONFERENCE) {
        moves.back_to(CONFERENCE)
    } else if moves.context.as_deref() == Some(&own.context)
        || own.exten.is_empty()
        || !(line.control.in_dialplan || line.plan == Plan::Incoming)
    {
        // A channel on which an application runs by itself has an extension that it never was in.
        moves.back_to(PARK)
    } else {
        Back {
            context: own.context.clone(),
            exten: own.exten.clone(),
            priority: own.priority.clone(),
        }
    };
    Ok(Some(Place {
        own: own.uniqueid.clone(),
        other,
        back,
    }))
}

/// Sees that an extension of ours is there. It comes right before the order that sends a channel to
/// it: to one that is missing `Redirect` answers Success, and the server hangs the channel up
/// (observed on Asterisk 16.28 and 22.10).
pub(super) async fn see_extension(
    core: &Core,
    server: &Server,
    channel: &str,
    extension: &str,
    operation: &'static str,
) -> Result<()> {
    core.keep_extension(server, operation).await?;
    let (there, step) = {
        let state = core.state();
        let step = state.books.moves.back_to(extension);
        (state.books.known.abilities.control, step)
    };
    if there && is_there(server, channel, &step, operation).await? {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Config,
        operation,
        "the adapter's own context lacks an extension; see the adapter's documentation",
    ))
}

/// Whether a step of a dialplan is there. Without `func_dialplan` nobody knows, and it counts as there.
async fn is_there(
    server: &Server,
    channel: &str,
    step: &Back,
    operation: &'static str,
) -> Result<bool> {
    let parts = [&step.context, &step.exten, &step.priority];
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+.*#@".contains(c);
    if !parts.iter().all(|part| part.chars().all(plain)) {
        // The function would misread it.
        return Ok(true);
    }
    let [context, exten, priority] = parts;
    let question = format!("VALID_EXTEN({context},{exten},{priority})");
    let answer = server.variable(channel, &question, operation).await?;
    Ok(answer.as_deref() != Some("0"))
}

/// Sends a channel to a step of any dialplan.
pub(super) async fn send_back(
    server: &Server,
    channel: &str,
    back: &Back,
    operation: &'static str,
) -> Result<()> {
    // A reload may have taken it away.
    if !is_there(server, channel, back, operation).await? {
        let text = "the step of the dialplan that the call was taken from is gone";
        return Err(Error::new(ErrorKind::InvalidState, operation, text));
    }
    let headers = [
        ("Channel", channel),
        ("Context", &back.context),
        ("Exten", &back.exten),
        ("Priority", &back.priority),
    ];
    let redirect = action("Redirect", &headers, operation)?;
    server.order(redirect, operation).await.map(drop)
}

/// Hangs up the channels that nobody is left for. What cannot be hung up now is, when the server's
/// list shows it again.
pub(super) async fn hang_up_left(core: &Core, server: &Server) {
    let left = std::mem::take(&mut core.state().books.moves.left);
    for channel in left {
        match server.hang_up(&channel).await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::debug!(%error, "asterisk: a channel that is left alone is still up");
                core.state().books.moves.left.push(channel);
            }
            Ok(()) | Err(_) => {}
        }
    }
}
