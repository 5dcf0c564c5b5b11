//! Holding and transferring calls.

use faxbot_core::{
    ErrorKind,
    event::EventStream,
    id::{CallId, CallRef},
    sip::{Call, CallState, SipEvent, TransferRequest},
};

use super::{Entry, FarEnd, Fate, Need, SOON, World, ended, entry, error_of, event, kind_is};
use crate::conformance::{Verdict, ensure, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a call is held and taken back",
            [Need::OwnControl],
            [Calls, Hangup, Hold],
            held
        ),
        entry!(
            "a call between two parties is held and taken back",
            [Need::OwnControl],
            [Connect, Hangup, Hold],
            both_held
        ),
        entry!(
            "a call cannot be held twice, nor taken back when it is not held",
            [Need::OwnControl],
            [Calls, Hold],
            held_twice
        ),
        entry!(
            "a call that rings cannot be held",
            [Need::Fate(Fate::NoAnswer), Need::Ringing],
            [Calls, Hold],
            held_ringing
        ),
        entry!(
            "a held call whose far end hangs up ends",
            [Need::FarEnd, Need::OwnControl],
            [Calls, Hold],
            held_and_left
        ),
        entry!(
            "control of a call that nobody knows is not found",
            [],
            [Hold, TransferBlind],
            unknown
        ),
        entry!(
            "a blind transfer ends with the new party's answer",
            [],
            [Calls, Hangup, TransferBlind],
            blind
        ),
        entry!(
            "a blind transfer to a busy party is refused and the call stays up",
            [Need::Fate(Fate::Busy), Need::KeptOnRefusal],
            [Calls, Hangup, TransferBlind],
            blind_to_busy
        ),
        entry!(
            "an attended transfer joins two calls",
            [Need::OwnControl],
            [Calls, Hangup, TransferAttended],
            attended
        ),
        entry!(
            "an attended transfer needs two calls that are answered",
            [Need::Fate(Fate::NoAnswer), Need::Ringing],
            [Calls, TransferAttended],
            attended_ringing
        ),
    ]
}

async fn hold_and_resume(world: &World, call: &CallRef) -> Verdict {
    within("hold", SOON, world.adapter.hold(call)).await??;
    world.comes_to(call, CallState::OnHold).await?;
    within("resume", SOON, world.adapter.resume(call)).await??;
    world.comes_to(call, CallState::Connected).await
}

/// A change of the call to this state is told of.
async fn told_of(events: &mut EventStream<SipEvent>, call: &Call, state: CallState) -> Verdict {
    let id = Some(call.id());
    event(
        &format!("a call that is {state}"),
        events,
        |event| match event {
            SipEvent::CallStateChanged(change) => {
                (change.id == id && change.to == state).then_some(())
            }
            _ => None,
        },
    )
    .await
}

async fn held(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let mut events = world.adapter.subscribe();
    for _ in 0..2 {
        hold_and_resume(&world, &call.call_ref()).await?;
        told_of(&mut events, &call, CallState::OnHold).await?;
        told_of(&mut events, &call, CallState::Connected).await?;
    }
    world.hang_up(&call).await.map(drop)
}

async fn both_held(world: World) -> Verdict {
    world.connect().await?;
    let (from, to) = (
        world.setup.target(Fate::Answers).await?,
        world.setup.target(Fate::Answers).await?,
    );
    let request = faxbot_core::sip::CallRequest::connect(from, to);
    let call = within("make_call", SOON, world.adapter.make_call(request)).await??;
    within("the answer", SOON, call.answered()).await??;
    hold_and_resume(&world, &call.call_ref()).await?;
    world.hang_up(&call).await.map(drop)
}

async fn held_twice(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?.call_ref();
    let early = world.adapter.resume(&call).await;
    kind_is(
        "resume of a call that is not held",
        &error_of("resume of a call that is not held", early)?,
        &[ErrorKind::InvalidState],
    )?;
    within("hold", SOON, world.adapter.hold(&call)).await??;
    let twice = world.adapter.hold(&call).await;
    kind_is(
        "hold of a held call",
        &error_of("hold of a held call", twice)?,
        &[ErrorKind::InvalidState],
    )?;
    world.comes_to(&call, CallState::OnHold).await
}

async fn held_ringing(world: World) -> Verdict {
    world.connect().await?;
    let call = world.dial(Fate::NoAnswer).await?;
    world.comes_to(&call.call_ref(), CallState::Ringing).await?;
    let refused = world.adapter.hold(&call.call_ref()).await;
    kind_is(
        "hold of a call that rings",
        &error_of("hold of a call that rings", refused)?,
        &[ErrorKind::InvalidState],
    )
}

async fn held_and_left(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    within("hold", SOON, world.adapter.hold(&call.call_ref())).await??;
    let status = world.status(&call.call_ref()).await?;
    world.setup.far_end(&status, FarEnd::HangsUp).await?;
    let record = ended(&call).await?;
    ensure!(record.answer.is_some(), "{record:?}");
    Ok(())
}

async fn unknown(world: World) -> Verdict {
    world.connect().await?;
    let nobody = CallRef::from(CallId::new());
    let to = world.setup.target(Fate::Answers).await?;
    let transfer = TransferRequest::blind(nobody.clone(), to);
    for (what, result) in [
        ("hold", world.adapter.hold(&nobody).await),
        ("resume", world.adapter.resume(&nobody).await),
        ("transfer", world.adapter.transfer(transfer).await),
    ] {
        kind_is(what, &error_of(what, result)?, &[ErrorKind::NotFound])?;
    }
    Ok(())
}

async fn blind(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let to = world.setup.target(Fate::Answers).await?;
    let transfer = TransferRequest::blind(call.id(), to);
    within("transfer", SOON, world.adapter.transfer(transfer)).await??;
    world
        .comes_to(&call.call_ref(), CallState::Connected)
        .await?;
    world.hang_up(&call).await.map(drop)
}

async fn blind_to_busy(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let to = world.setup.target(Fate::Busy).await?;
    let transfer = TransferRequest::blind(call.id(), to);
    let refused = within("transfer", SOON, world.adapter.transfer(transfer)).await?;
    kind_is(
        "a transfer to a busy party",
        &error_of("a transfer to a busy party", refused)?,
        &[ErrorKind::Rejected],
    )?;
    world
        .comes_to(&call.call_ref(), CallState::Connected)
        .await?;
    world.hang_up(&call).await.map(drop)
}

async fn attended(world: World) -> Verdict {
    world.connect().await?;
    let (one, other) = (world.answered().await?, world.answered().await?);
    let transfer = TransferRequest::attended(one.id(), other.id());
    within("transfer", SOON, world.adapter.transfer(transfer)).await??;
    for call in [&one, &other] {
        world
            .comes_to(&call.call_ref(), CallState::Connected)
            .await?;
    }
    world.hang_up(&one).await?;
    // Nobody is left to talk to.
    ended(&other).await.map(drop)
}

async fn attended_ringing(world: World) -> Verdict {
    world.connect().await?;
    let one = world.answered().await?;
    let other = world.dial(Fate::NoAnswer).await?;
    world
        .comes_to(&other.call_ref(), CallState::Ringing)
        .await?;
    let transfer = TransferRequest::attended(one.id(), other.id());
    let refused = within("transfer", SOON, world.adapter.transfer(transfer)).await?;
    kind_is(
        "a transfer to a call that rings",
        &error_of("a transfer to a call that rings", refused)?,
        &[ErrorKind::InvalidState],
    )?;
    world
        .comes_to(&one.call_ref(), CallState::Connected)
        .await?;
    let nobody = TransferRequest::attended(one.id(), CallId::new());
    let refused = within("transfer", SOON, world.adapter.transfer(nobody)).await?;
    kind_is(
        "a transfer to a call that nobody knows",
        &error_of("a transfer to a call that nobody knows", refused)?,
        &[ErrorKind::NotFound],
    )?;
    let itself = TransferRequest::attended(one.id(), one.id());
    let refused = within("transfer", SOON, world.adapter.transfer(itself)).await?;
    kind_is(
        "a transfer to itself",
        &error_of("a transfer to itself", refused)?,
        &[ErrorKind::InvalidRequest, ErrorKind::InvalidState],
    )
}
