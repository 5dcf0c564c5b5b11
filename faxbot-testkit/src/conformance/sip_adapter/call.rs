//! Calls: how they end, what is said of them, and how they are hung up.

use std::time::Duration;

use faxbot_core::{
    ErrorKind,
    id::{CallId, CallRef},
    sip::{CallRecord, CallState, Direction, Disposition, HangupOutcome, Lookup},
};

use super::{Entry, Fate, Need, SOON, World, ended, entry, error_of, kind_is};
use crate::conformance::{Failure, Verdict, ensure, eventually, within};

/// How long a far end stays that hangs up: longer than a machine with much to do stands still, as a
/// server that is polled does not tell of what was over before it was asked.
const ANSWERED: Duration = Duration::from_secs(1);

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "an answered call ends as answered, with times and ids",
            [],
            [Calls, Hangup],
            answered
        ),
        entry!(
            "a far end that hangs up ends the call",
            [Need::Fate(Fate::AnswersFor(ANSWERED))],
            [Calls],
            far_end
        ),
        entry!(
            "a busy call ends as busy",
            [Need::Fate(Fate::Busy), Need::Causes],
            [Calls],
            busy
        ),
        entry!(
            "a call that nobody answers ends as not answered after its ring time-out",
            [Need::Fate(Fate::NoAnswer), Need::Causes],
            [Calls],
            no_answer
        ),
        entry!(
            "a rejected call ends with the cause of the rejection",
            [Need::Fate(Fate::Rejects(404)), Need::Causes],
            [Calls],
            rejected
        ),
        entry!(
            "congestion ends as congestion",
            [Need::Fate(Fate::Congested), Need::Causes],
            [Calls],
            congested
        ),
        entry!(
            "a call that comes to nothing is never called answered",
            [Need::Fate(Fate::Busy)],
            [Calls],
            came_to_nothing
        ),
        entry!(
            "a request that the server refuses is an error without effect",
            [Need::Fate(Fate::Refused)],
            [Calls],
            refused
        ),
        entry!(
            "a ringing call can be hung up",
            [Need::Fate(Fate::NoAnswer)],
            [Calls, Hangup],
            hang_up_ringing
        ),
        entry!(
            "hanging up an unknown call is not found",
            [],
            [Hangup],
            hang_up_unknown
        ),
        entry!(
            "hanging up an ended call asks for nothing",
            [],
            [Calls, Hangup],
            hang_up_ended
        ),
        entry!(
            "the status of a call follows it",
            [],
            [Calls, Hangup],
            status
        ),
        entry!(
            "the status of an unknown call is not found",
            [],
            [],
            unknown_status
        ),
        entry!(
            "the id of a live call is refused a second time and nothing is dialled",
            [Need::Requests],
            [Calls],
            same_id
        ),
        entry!(
            "dropping the handle of a call hangs up nothing",
            [],
            [Calls],
            dropped_handle
        ),
        entry!("a call has the id of its request", [], [Calls], chosen_id),
    ]
}

fn no_fault(record: &CallRecord, id: CallId) -> Verdict {
    ensure!(
        record.id == Some(id),
        "the record is of {:?} and not of {id}",
        record.id
    );
    ensure!(
        record.direction == Direction::Outbound,
        "{:?}",
        record.direction
    );
    ensure!(
        !record.channels.is_empty(),
        "the server's name of the call is missing"
    );
    Ok(())
}

async fn answered(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    ensure!(
        call.state() == CallState::Connected,
        "answered, and {}",
        call.state()
    );
    let record = world.hang_up(&call).await?;
    no_fault(&record, call.id())?;
    ensure!(
        record.disposition == Disposition::Answered,
        "{:?}",
        record.disposition
    );
    let answer = record
        .answer
        .ok_or_else(|| Failure::new("no time of the answer"))?;
    let end = record
        .end
        .ok_or_else(|| Failure::new("no time of the end"))?;
    ensure!(
        record.start <= answer && answer <= end,
        "times out of order"
    );
    ensure!(
        record.duration_seconds.is_some() && record.billable_seconds.is_some(),
        "no durations"
    );
    // After the end both still answer.
    call.answered().await?;
    ensure!(
        ended(&call).await? == record,
        "another record the second time"
    );
    Ok(())
}

async fn far_end(world: World) -> Verdict {
    world.connect().await?;
    let call = world.dial(Fate::AnswersFor(ANSWERED)).await?;
    let record = ended(&call).await?;
    no_fault(&record, call.id())?;
    ensure!(
        record.disposition == Disposition::Answered,
        "{:?}",
        record.disposition
    );
    Ok(())
}

/// A call that is not answered, and its record.
async fn unanswered(world: &World, fate: Fate) -> Result<CallRecord, Failure> {
    world.connect().await?;
    let mut request = world.request(fate).await?;
    if fate == Fate::NoAnswer {
        request = request.with_timeout(Duration::from_secs(1));
    }
    let call = within("make_call", SOON, world.adapter.make_call(request)).await??;
    let record = ended(&call).await?;
    no_fault(&record, call.id())?;
    ensure!(
        record.answer.is_none() && record.billable_seconds.unwrap_or(0) == 0,
        "answered: {record:?}"
    );
    let error = error_of(
        "the answer",
        within("the answer", SOON, call.answered()).await?,
    )?;
    kind_is("the answer", &error, &[ErrorKind::Rejected])?;
    ensure!(
        call.state() == CallState::Terminated,
        "ended, and {}",
        call.state()
    );
    Ok(record)
}

fn has_cause(record: &CallRecord) -> Verdict {
    let causes = &record.causes;
    ensure!(
        causes.sip_status.is_some() || causes.q850.is_some(),
        "no cause: {causes:?}"
    );
    Ok(())
}

async fn busy(world: World) -> Verdict {
    let record = unanswered(&world, Fate::Busy).await?;
    ensure!(
        record.disposition == Disposition::Busy,
        "{:?} {:?}",
        record.disposition,
        record.causes
    );
    has_cause(&record)
}

async fn no_answer(world: World) -> Verdict {
    let record = unanswered(&world, Fate::NoAnswer).await?;
    ensure!(
        record.disposition == Disposition::NoAnswer,
        "{:?} {:?}",
        record.disposition,
        record.causes
    );
    Ok(())
}

async fn rejected(world: World) -> Verdict {
    let record = unanswered(&world, Fate::Rejects(404)).await?;
    ensure!(
        record.disposition == Disposition::Failed,
        "{:?} {:?}",
        record.disposition,
        record.causes
    );
    let not_found = record.causes.sip_status == Some(404) || record.causes.q850 == Some(1);
    ensure!(not_found, "404 became {:?}", record.causes);
    Ok(())
}

async fn congested(world: World) -> Verdict {
    let record = unanswered(&world, Fate::Congested).await?;
    ensure!(
        record.disposition == Disposition::Congestion,
        "{:?} {:?}",
        record.disposition,
        record.causes
    );
    has_cause(&record)
}

async fn came_to_nothing(world: World) -> Verdict {
    let record = unanswered(&world, Fate::Busy).await?;
    // Who does not know the cause may not make one up.
    let honest = [Disposition::Busy, Disposition::Unknown];
    ensure!(
        honest.contains(&record.disposition),
        "{:?} {:?}",
        record.disposition,
        record.causes
    );
    Ok(())
}

async fn refused(world: World) -> Verdict {
    world.connect().await?;
    let request = world.request(Fate::Refused).await?;
    let id = request.id;
    let error = error_of("a refused call", world.adapter.make_call(request).await)?;
    kind_is("a refused call", &error, &[ErrorKind::Rejected])?;
    ensure!(
        error.effect() == faxbot_core::Effect::NoEffect,
        "the effect is {:?}",
        error.effect()
    );
    ensure!(
        error.call_id() == Some(id),
        "the error names {:?}",
        error.call_id()
    );
    ensure!(
        world.adapter.snapshot().calls.is_empty(),
        "a refused call is in the books"
    );
    world.works().await
}

async fn hang_up_ringing(world: World) -> Verdict {
    world.connect().await?;
    let call = world.dial(Fate::NoAnswer).await?;
    let rings = match world.env.lacks(&Need::Ringing) {
        None => CallState::Ringing,
        Some(_) => CallState::Dialing,
    };
    eventually("ringing", SOON, || call.state() == rings).await?;
    let outcome = within("hangup", SOON, world.adapter.hangup(&call.call_ref())).await??;
    if outcome == HangupOutcome::CannotCancelRinging {
        // It says that it did nothing: the phone rings on.
        ensure!(
            call.state() == rings,
            "it cannot be taken back, and is {}",
            call.state()
        );
        return Ok(());
    }
    let record = ended(&call).await?;
    ensure!(
        record.disposition == Disposition::Cancelled,
        "{:?} {:?}",
        record.disposition,
        record.causes
    );
    Ok(())
}

async fn hang_up_unknown(world: World) -> Verdict {
    world.connect().await?;
    let unknown: CallRef = CallId::new().into();
    let result = within("hangup", SOON, world.adapter.hangup(&unknown)).await?;
    kind_is(
        "hangup of an unknown call",
        &error_of("hangup of an unknown call", result)?,
        &[ErrorKind::NotFound],
    )
}

async fn hang_up_ended(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    world.hang_up(&call).await?;
    match within("hangup", SOON, world.adapter.hangup(&call.call_ref())).await? {
        // It is known and over; a request for its end would be a claim.
        Ok(outcome) => ensure!(outcome == HangupOutcome::Ended, "{outcome:?}"),
        Err(error) => kind_is(
            "hangup of an ended call",
            &error,
            &[ErrorKind::NotFound, ErrorKind::InvalidState],
        )?,
    }
    Ok(())
}

async fn status(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let status = world.adapter.get_status(&call.call_ref()).await?;
    ensure!(
        status.state == CallState::Connected && status.id == Some(call.id()),
        "{status:?}"
    );
    ensure!(status.answered_at.is_some(), "no time of the answer");
    world.hang_up(&call).await?;
    match world.adapter.get_status(&call.call_ref()).await {
        Ok(status) => ensure!(
            status.state == CallState::Terminated,
            "ended, and {status:?}"
        ),
        Err(error) => kind_is(
            "the status of an ended call",
            &error,
            &[ErrorKind::NotFound],
        )?,
    }
    Ok(())
}

async fn unknown_status(world: World) -> Verdict {
    world.connect().await?;
    let unknown: CallRef = CallId::new().into();
    let error = error_of("the status", world.adapter.get_status(&unknown).await)?;
    kind_is(
        "the status of an unknown call",
        &error,
        &[ErrorKind::NotFound],
    )
}

async fn same_id(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let request = world.request(Fate::Answers).await?.with_id(call.id());
    let error = error_of("the same id", world.adapter.make_call(request).await)?;
    kind_is("the same id", &error, &[ErrorKind::InvalidState])?;
    world.asked_for(1)?;
    ensure!(
        call.state() == CallState::Connected,
        "the first one is {}",
        call.state()
    );
    world.hang_up(&call).await.map(drop)
}

async fn dropped_handle(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let reference = call.call_ref();
    drop(call);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let seen = world.adapter.lookup(&reference).await?;
    ensure!(matches!(seen, Lookup::Live(_)), "{seen:?}");
    within("hangup", SOON, world.adapter.hangup(&reference)).await??;
    Ok(())
}

async fn chosen_id(world: World) -> Verdict {
    world.connect().await?;
    let id = CallId::new();
    let request = world.request(Fate::Answers).await?.with_id(id);
    let call = world.adapter.make_call(request).await?;
    ensure!(call.id() == id, "{} and not {id}", call.id());
    Ok(())
}
