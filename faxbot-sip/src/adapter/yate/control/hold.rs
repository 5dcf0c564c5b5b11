//! Holding a call with music and taking it back.
//!
//! A channel that is connected to an end of ours hears music by that end. Two parties go through a
//! conference of their own, since each of them loses its partner: the engine would hang up the one that
//! was left (observed on Yate 6.4.1). Held so, neither ends with the other: we hang up who is left.

use faxbot_core::{
    Effect, Error, Result,
    id::{CallId, CallRef, RequestId},
    sip::CallState,
};

use super::{
    super::{core::Core, request::mark, server::Server},
    Partner,
    desk::Held,
    orders, party, place, refused,
    rooms::{HOLD, MEMBER},
};
use crate::adapter::claim::Claim;

/// Lets our channel, and the party that it is connected to, hear music.
pub(in crate::adapter::yate) async fn hold(
    core: &Core,
    server: &Server,
    call: &CallRef,
) -> Result<()> {
    const OPERATION: &str = "hold";
    let mut claim = Claim::new(&core.hub, OPERATION);
    let (id, state) = claim.take(call)?;
    if state == CallState::OnHold {
        return Err(refused(OPERATION, "the call is held already", id));
    }
    let done = async {
        let (own, partner) = place(core, server, id, OPERATION).await?;
        let held = match partner {
            Partner::Nobody(end) if end.starts_with("dumb/") => {
                orders::play(server, &end, &core.config.music, OPERATION).await?;
                Held::default()
            }
            Partner::Nobody(_) => {
                music(core, server, id, &own, OPERATION).await?;
                Held::default()
            }
            Partner::Room(seat) => {
                let room = core.hub.state().books.orders.rooms.room_of(&seat);
                music(core, server, id, &own, OPERATION).await?;
                Held {
                    room,
                    ..Held::default()
                }
            }
            Partner::Party(other) => {
                hold_both(core, server, id, &own, &other, OPERATION).await?;
                Held {
                    other: Some(other),
                    ..Held::default()
                }
            }
        };
        core.hub.events(|state, now| {
            let books = &mut state.books;
            let mut out = books.shift(id, CallState::OnHold, now);
            if let Some(other) = held.other.as_deref().and_then(|it| books.own_call(it)) {
                // It is held with ours.
                books.orders.of(other).held = Some(Held {
                    other: Some(own),
                    ..Held::default()
                });
                out.extend(books.shift(other, CallState::OnHold, now));
            }
            books.orders.of(id).held = Some(held);
            out
        });
        Ok(())
    };
    done.await.map_err(|error: Error| error.with_call_id(id))
}

/// Connects our channel to a new end of ours that plays music.
async fn music(
    core: &Core,
    server: &Server,
    id: CallId,
    own: &str,
    operation: &'static str,
) -> Result<()> {
    park(server, id, own, operation).await?;
    let end = orders::partner(server, own, operation).await?;
    orders::play(server, &end, &core.config.music, operation).await
}

/// Connects our channel to a new end of ours, which is silent.
pub(super) async fn park(
    server: &Server,
    id: CallId,
    own: &str,
    operation: &'static str,
) -> Result<()> {
    let target = format!("dumb/{}", mark(id));
    orders::send_to(server, own, &target, &[], operation).await
}

async fn hold_both(
    core: &Core,
    server: &Server,
    id: CallId,
    own: &str,
    other: &str,
    operation: &'static str,
) -> Result<()> {
    let room = format!("{HOLD}{}", RequestId::new().as_uuid());
    orders::both_to_room(server, own, &room, &MEMBER, operation).await?;
    let moved = async {
        music(core, server, id, own, operation).await?;
        orders::send_to(server, other, &core.config.music, &[], operation).await
    };
    if let Err(error) = moved.await {
        // They talk again, wherever each of them is.
        let back = party::join(core, server, own, other, operation).await;
        if let Err(error) = back {
            tracing::debug!(%error, "yate: a pair that could not be held is still apart");
        }
        return Err(error);
    }
    Ok(())
}

/// Connects the channels of a held call again; one that was alone is silent again, or back in its
/// conference.
pub(in crate::adapter::yate) async fn resume(
    core: &Core,
    server: &Server,
    call: &CallRef,
) -> Result<()> {
    const OPERATION: &str = "resume";
    let mut claim = Claim::new(&core.hub, OPERATION);
    let (id, state) = claim.take(call)?;
    if state != CallState::OnHold {
        return Err(refused(OPERATION, "the call is not held", id));
    }
    let held = core.hub.state().books.orders.held(id).cloned();
    let held = held.unwrap_or_default();
    let with = held.other.as_deref();
    let with = with.and_then(|other| core.hub.state().books.own_call(other));
    if let Some(with) = with {
        claim.take(&with.into())?;
    }
    let done = async {
        let Some(own) = core.hub.state().books.own_channel(id) else {
            return Err(refused(OPERATION, "the call's channel is gone", id));
        };
        match (&held.other, &held.room) {
            (Some(other), _) => party::join(core, server, &own, other, OPERATION).await?,
            (None, Some(room)) => {
                let target = format!("conf/{room}");
                orders::send_to(server, &own, &target, &MEMBER, OPERATION).await?;
            }
            (None, None) => park(server, id, &own, OPERATION).await?,
        }
        core.hub.events(|state, now| {
            let books = &mut state.books;
            let mut out = Vec::new();
            for id in std::iter::once(id).chain(with) {
                books.orders.of(id).held = None;
                out.extend(books.shift(id, CallState::Connected, now));
            }
            if let Some(other) = &held.other {
                out.extend(books.joined(id, Some(other), now));
                if let Some(with) = with {
                    out.extend(books.joined(with, Some(&own), now));
                }
            }
            out
        });
        Ok(())
    };
    let done = done.await.map_err(|error: Error| error.with_call_id(id));
    if done
        .as_ref()
        .is_err_and(|error| error.effect() == Effect::Unknown)
    {
        claim.unsure();
    }
    done
}
