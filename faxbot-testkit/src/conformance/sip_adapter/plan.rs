//! Calls of two parties, and what begins with the answer.

use std::time::Duration;

use faxbot_core::{
    ErrorKind,
    sip::{Call, CallRequest, CallState, Disposition, OnAnswer, SipEvent},
};

use super::{Entry, Fate, Need, SOON, World, ended, entry, error_of, event, kind_is};
use crate::conformance::{Failure, Verdict, ensure, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a call between two parties is answered when the second one answers",
            [],
            [Connect, Hangup],
            both_answer
        ),
        entry!(
            "a call between two parties ends as busy when the second one is",
            [Need::Fate(Fate::Busy), Need::Causes],
            [Connect],
            second_is_busy
        ),
        entry!(
            "a call between two parties ends as busy when the first one is",
            [Need::Fate(Fate::Busy), Need::FirstPartyCauses],
            [Connect],
            first_is_busy
        ),
        entry!(
            "a first party that nobody reaches ends the call soon after the ring time-out",
            [Need::Fate(Fate::NoAnswer), Need::Requests],
            [Connect],
            first_unreached
        ),
        entry!(
            "a party that is bridged on answer joins the call",
            [],
            [Calls, OnAnswerBridge, Hangup],
            bridged
        ),
        entry!(
            "a call ends at its maximum duration",
            [],
            [Calls, MaxDuration],
            too_long
        ),
        entry!(
            "a call that is to be recorded is recorded from its answer on",
            [],
            [Calls, Hangup, RecordOnAnswer],
            recorded
        ),
        entry!(
            "a header that cannot be carried is refused before it is sent",
            [Need::Requests],
            [Calls, Headers],
            bad_header
        ),
    ]
}

async fn connect(world: &World, from: Fate, to: Fate) -> Result<Call, Failure> {
    let (from, to) = (
        world.setup.target(from).await?,
        world.setup.target(to).await?,
    );
    let request = CallRequest::connect(from, to).with_timeout(Duration::from_secs(30));
    Ok(within("make_call", SOON, world.adapter.make_call(request)).await??)
}

async fn both_answer(world: World) -> Verdict {
    world.connect().await?;
    let call = connect(&world, Fate::Answers, Fate::Answers).await?;
    within("the answer", SOON, call.answered()).await??;
    world
        .comes_to(&call.call_ref(), CallState::Connected)
        .await?;
    let record = world.hang_up(&call).await?;
    ensure!(
        record.disposition == Disposition::Answered && record.answer.is_some(),
        "{record:?}"
    );
    ensure!(
        record.from.is_some() && record.to.is_some() && record.from != record.to,
        "the record does not name both parties"
    );
    Ok(())
}

async fn busy(world: &World, call: Call) -> Verdict {
    let refused = within("the answer", SOON, call.answered()).await?;
    kind_is(
        "answered",
        &error_of("a call to a busy party", refused)?,
        &[ErrorKind::Rejected],
    )?;
    let record = ended(&call).await?;
    ensure!(
        record.disposition == Disposition::Busy && record.answer.is_none(),
        "{record:?}"
    );
    world.works().await
}

async fn second_is_busy(world: World) -> Verdict {
    world.connect().await?;
    let call = connect(&world, Fate::Answers, Fate::Busy).await?;
    busy(&world, call).await
}

async fn first_is_busy(world: World) -> Verdict {
    world.connect().await?;
    let call = connect(&world, Fate::Busy, Fate::Answers).await?;
    busy(&world, call).await
}

async fn first_unreached(world: World) -> Verdict {
    world.connect().await?;
    let (from, to) = (
        world.setup.target(Fate::NoAnswer).await?,
        world.setup.target(Fate::Answers).await?,
    );
    let request = CallRequest::connect(from, to).with_timeout(Duration::from_secs(1));
    let call = within("make_call", SOON, world.adapter.make_call(request)).await??;
    match within("the end", SOON, call.ended()).await? {
        // A server need not say why it is over.
        Ok(record) => ensure!(
            [Disposition::NoAnswer, Disposition::Unknown].contains(&record.disposition)
                && record.answer.is_none(),
            "{record:?}"
        ),
        // One that tells nothing of the first party leaves it open whether it still rings.
        Err(error) => kind_is("the end", &error, &[ErrorKind::OutcomeUnknown])?,
    }
    world.asked_for(1)?;
    world.works().await
}

async fn bridged(world: World) -> Verdict {
    world.connect().await?;
    let other = world.setup.target(Fate::Answers).await?;
    let request = world
        .request(Fate::Answers)
        .await?
        .on_answer(OnAnswer::Bridge(other));
    let call = within("make_call", SOON, world.adapter.make_call(request)).await??;
    within("the answer", SOON, call.answered()).await??;
    let record = world.hang_up(&call).await?;
    ensure!(record.disposition == Disposition::Answered, "{record:?}");
    Ok(())
}

async fn too_long(world: World) -> Verdict {
    world.connect().await?;
    let request = world
        .request(Fate::Answers)
        .await?
        .with_max_duration(Duration::from_secs(1));
    let call = within("make_call", SOON, world.adapter.make_call(request)).await??;
    within("the answer", SOON, call.answered()).await??;
    let record = ended(&call).await?;
    ensure!(
        record.billable_seconds.is_some_and(|seconds| seconds <= 4),
        "it lasted {:?} s",
        record.billable_seconds
    );
    Ok(())
}

async fn recorded(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    let request = world.request(Fate::Answers).await?.with_record(true);
    let call = within("make_call", SOON, world.adapter.make_call(request)).await??;
    within("the answer", SOON, call.answered()).await??;
    let id = call.id();
    let file = event("the start of the recording", &mut events, |event| {
        let SipEvent::RecordingChanged {
            id: of,
            running: true,
            file,
        } = event
        else {
            return None;
        };
        (of == Some(id)).then_some(file)
    })
    .await?;
    ensure!(file.is_some(), "a recording without a file");
    let record = world.hang_up(&call).await?;
    ensure!(
        record.recording == file,
        "the record names another recording"
    );
    Ok(())
}

async fn bad_header(world: World) -> Verdict {
    world.connect().await?;
    for (name, value) in [
        ("X-Colour", "blue\r\nX-Evil: 1"),
        ("X Colour", "blue"),
        ("", "blue"),
    ] {
        let request = world.request(Fate::Answers).await?.with_header(name, value);
        let error = error_of("a bad header", world.adapter.make_call(request).await)?;
        kind_is("a bad header", &error, &[ErrorKind::InvalidRequest])?;
    }
    world.asked_for(0)
}
