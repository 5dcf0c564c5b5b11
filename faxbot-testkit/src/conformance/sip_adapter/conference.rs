//! Conferences: who is in them, and what is done to them.

use faxbot_core::{
    ErrorKind,
    event::EventStream,
    id::{CallId, CallRef},
    sip::{Call, ConferenceAction, ConferenceRequest, SipEvent},
};

use super::{Entry, Need, SOON, World, ended, entry, error_of, event, kind_is};
use crate::conformance::{Failure, Verdict, ensure, eventually, within};

const ROOM: &str = "standup";

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a conference has the calls that joined it",
            [],
            [Calls, Hangup, Conference],
            members
        ),
        entry!(
            "a member is muted, and a stranger is not found",
            [],
            [Calls, Conference],
            muted
        ),
        entry!(
            "a locked conference takes nobody until it is unlocked",
            [Need::ConferenceLock],
            [Calls, Conference],
            locked
        ),
        entry!(
            "a member that is kicked leaves",
            [],
            [Calls, Conference],
            kicked
        ),
        entry!(
            "a conference that is ended has nobody left",
            [],
            [Calls, Conference],
            over
        ),
        entry!(
            "a conference or a call that is not there is not found",
            [],
            [Conference],
            no_conference
        ),
        entry!(
            "a name that a server could misread is refused",
            [],
            [Calls, Conference],
            bad_name
        ),
    ]
}

async fn act(world: &World, action: ConferenceAction) -> Result<(), faxbot_core::Error> {
    let request = ConferenceRequest::new(ROOM, action);
    world.adapter.conference(request).await
}

async fn ok(world: &World, what: &str, action: ConferenceAction) -> Verdict {
    within(what, SOON, act(world, action)).await??;
    Ok(())
}

async fn refused(
    world: &World,
    what: &str,
    action: ConferenceAction,
    kinds: &[ErrorKind],
) -> Verdict {
    let refused = within(what, SOON, act(world, action)).await?;
    kind_is(what, &error_of(what, refused)?, kinds)
}

async fn joined(world: &World) -> Result<Call, Failure> {
    let call = world.answered().await?;
    ok(world, "join", ConferenceAction::Join(call.call_ref())).await?;
    Ok(call)
}

async fn has_members(world: &World, wanted: usize) -> Verdict {
    let members = || {
        let conferences = world.adapter.snapshot().conferences;
        let ours = conferences.iter().find(|(name, _)| name.expose() == ROOM);
        ours.map_or(0, |(_, members)| *members)
    };
    eventually(&format!("a conference of {wanted}"), SOON, || {
        members() == wanted
    })
    .await
}

async fn told_of(events: &mut EventStream<SipEvent>, wanted: usize) -> Verdict {
    event("a change of the conference", events, |event| match event {
        SipEvent::ConferenceChanged {
            conference,
            members,
        } => (conference.expose() == ROOM && members == wanted).then_some(()),
        _ => None,
    })
    .await
}

async fn members(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    let one = joined(&world).await?;
    told_of(&mut events, 1).await?;
    let _two = joined(&world).await?;
    told_of(&mut events, 2).await?;
    has_members(&world, 2).await?;
    world.hang_up(&one).await?;
    told_of(&mut events, 1).await?;
    has_members(&world, 1).await
}

async fn muted(world: World) -> Verdict {
    world.connect().await?;
    let call = joined(&world).await?.call_ref();
    ok(&world, "mute", ConferenceAction::Mute(call.clone(), true)).await?;
    ok(&world, "unmute", ConferenceAction::Mute(call, false)).await?;
    let stranger = world.answered().await?.call_ref();
    refused(
        &world,
        "mute of a stranger",
        ConferenceAction::Mute(stranger, true),
        &[ErrorKind::NotFound],
    )
    .await
}

async fn locked(world: World) -> Verdict {
    world.connect().await?;
    let _call = joined(&world).await?;
    ok(&world, "lock", ConferenceAction::Lock(true)).await?;
    let late = world.answered().await?;
    refused(
        &world,
        "join of a locked conference",
        ConferenceAction::Join(late.call_ref()),
        &[ErrorKind::Rejected, ErrorKind::InvalidState],
    )
    .await?;
    has_members(&world, 1).await?;
    ok(&world, "unlock", ConferenceAction::Lock(false)).await?;
    let _third = joined(&world).await?;
    has_members(&world, 2).await
}

async fn kicked(world: World) -> Verdict {
    world.connect().await?;
    let (_one, two) = (joined(&world).await?, joined(&world).await?);
    has_members(&world, 2).await?;
    ok(&world, "kick", ConferenceAction::Kick(two.call_ref())).await?;
    ended(&two).await?;
    has_members(&world, 1).await
}

async fn over(world: World) -> Verdict {
    world.connect().await?;
    let (one, two) = (joined(&world).await?, joined(&world).await?);
    ok(&world, "end", ConferenceAction::End).await?;
    ended(&one).await?;
    ended(&two).await?;
    has_members(&world, 0).await
}

async fn no_conference(world: World) -> Verdict {
    world.connect().await?;
    let nobody = CallRef::from(CallId::new());
    for action in [
        ConferenceAction::Lock(true),
        ConferenceAction::End,
        ConferenceAction::Join(nobody.clone()),
        ConferenceAction::Kick(nobody),
    ] {
        refused(
            &world,
            "an action on no conference, or no call",
            action,
            &[ErrorKind::NotFound],
        )
        .await?;
    }
    Ok(())
}

async fn bad_name(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    for name in ["", "a,b", "a b", "a\r\nAction: Ping", "${HASH(x)}"] {
        let request = ConferenceRequest::new(name, ConferenceAction::Join(call.call_ref()));
        let refused = world.adapter.conference(request).await;
        let error = error_of("a bad name", refused)?;
        kind_is("a bad name", &error, &[ErrorKind::InvalidRequest])?;
    }
    ensure!(!call.state().is_terminated(), "the call ended");
    Ok(())
}
