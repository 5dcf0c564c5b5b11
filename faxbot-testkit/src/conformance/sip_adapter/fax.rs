//! Faxes through the adapter: outcomes, progress, cancellation.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    ErrorKind,
    address::FaxTarget,
    fax::{FailureClass, FaxCall, FaxOutcome, FaxPhase, FaxRequest, OutcomeStatus},
    plugin::CancelOutcome,
    sip::{ConnectionState, Lookup, SipEvent},
};

use super::{Disturbance, Entry, Fate, Need, SOON, World, entry, error_of, kind_is};
use crate::conformance::{Failure, Verdict, ensure, eventually, within};

/// Enough for a fax of a few pages of a mock.
const FAX: Duration = Duration::from_secs(30);

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a fax succeeds with all its pages confirmed",
            [],
            [SendFax],
            success
        ),
        entry!("the progress of a fax only grows", [], [SendFax], progress),
        entry!(
            "a fax that breaks off fails with the pages that were confirmed",
            [Need::Fate(Fate::FaxFailsAfter(1))],
            [SendFax],
            broken_off
        ),
        entry!(
            "a fax that begins at a later page ends with the pages of this call",
            [],
            [SendFax, FaxFirstPage],
            later_page
        ),
        entry!(
            "a fax that begins at a later page breaks off with the pages of this call",
            [Need::Fate(Fate::FaxFailsAfter(1))],
            [SendFax, FaxFirstPage],
            later_page_breaks_off
        ),
        entry!(
            "a fax without a page to begin with is refused before a call",
            [Need::Requests],
            [SendFax, FaxFirstPage],
            no_such_page
        ),
        entry!(
            "a fax to a busy line fails as busy",
            [Need::Fate(Fate::Busy)],
            [SendFax],
            busy
        ),
        entry!(
            "a fax can be cancelled, and a second time is too late",
            [Need::Fate(Fate::SlowFax)],
            [SendFax],
            cancel
        ),
        entry!(
            "two faxes at once do not mix",
            [Need::Fate(Fate::FaxFailsAfter(1))],
            [SendFax],
            two_at_once
        ),
        entry!(
            "the id of a live fax is refused a second time",
            [Need::Fate(Fate::SlowFax)],
            [SendFax],
            same_id
        ),
        entry!(
            "a link that is cut in mid-fax loses no outcome",
            [Need::Disturb(Disturbance::CutLinks)],
            [SendFax, LookupEnded],
            cut_in_fax
        ),
        entry!(
            "a server that dies in mid-fax leaves the outcome unknown",
            [
                Need::Disturb(Disturbance::Crash),
                Need::Fate(Fate::SlowFax),
                Need::Requests
            ],
            [SendFax],
            crash
        ),
        entry!(
            "another process finds how a fax ended",
            [],
            [SendFax, LookupEnded],
            elsewhere
        ),
    ]
}

async fn request(world: &World, fate: Fate, pages: u32) -> Result<FaxRequest, Failure> {
    let to = FaxTarget::try_from(world.setup.target(fate).await?)?;
    Ok(FaxRequest::new(to, world.setup.image(pages)?))
}

async fn send(world: &World, fate: Fate, pages: u32) -> Result<FaxCall, Failure> {
    send_from(world, fate, pages, 1).await
}

async fn send_from(world: &World, fate: Fate, pages: u32, first: u32) -> Result<FaxCall, Failure> {
    let request = request(world, fate, pages).await?.with_first_page(first);
    Ok(within("send_fax", SOON, world.adapter.send_fax(request)).await??)
}

async fn result(fax: &FaxCall) -> Result<FaxOutcome, Failure> {
    Ok(within("the result of a fax", FAX, fax.result()).await??)
}

fn succeeded(outcome: &FaxOutcome, pages: u32) -> Verdict {
    ensure!(outcome.status == OutcomeStatus::Success, "{outcome:?}");
    ensure!(
        outcome.pages_confirmed == Some(pages),
        "{:?} pages of {pages}",
        outcome.pages_confirmed
    );
    ensure!(
        outcome.failure.is_none(),
        "a success with a failure: {outcome:?}"
    );
    Ok(())
}

async fn success(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    let fax = send(&world, Fate::Answers, 3).await?;
    let outcome = result(&fax).await?;
    succeeded(&outcome, 3)?;
    ensure!(
        fax.progress().phase == FaxPhase::Finished,
        "{:?}",
        fax.progress()
    );
    ensure!(
        result(&fax).await? == outcome,
        "another result the second time"
    );
    let late = fax.cancel().await?;
    ensure!(late == CancelOutcome::TooLate, "{late:?}");
    let (mut finished, mut foreign) = (0, 0);
    let one = || {
        while let Some(Ok(stamped)) = events.try_recv() {
            if let SipEvent::FaxFinished { id, .. } = stamped.event {
                finished += usize::from(id == fax.id());
                foreign += usize::from(id != fax.id());
            }
        }
        finished > 0
    };
    eventually("the end of the fax as an event", SOON, one).await?;
    ensure!(
        finished == 1 && foreign == 0,
        "{finished} ends and {foreign} of others"
    );
    Ok(())
}

async fn progress(world: World) -> Verdict {
    world.connect().await?;
    let mut fax = send(&world, Fate::Answers, 3).await?;
    let mut last = fax.progress();
    while last.phase != FaxPhase::Finished {
        let next = within("a change", FAX, fax.changed()).await??;
        ensure!(next.phase >= last.phase, "{last:?} and then {next:?}");
        ensure!(
            next.pages_confirmed.unwrap_or(0) >= last.pages_confirmed.unwrap_or(0),
            "{last:?} and then {next:?}"
        );
        ensure!(next.pages_total == 3, "{next:?}");
        last = next;
    }
    succeeded(&result(&fax).await?, 3)
}

async fn broken_off(world: World) -> Verdict {
    world.connect().await?;
    let fax = send(&world, Fate::FaxFailsAfter(1), 3).await?;
    breaks_off(&result(&fax).await?)
}

async fn later_page(world: World) -> Verdict {
    world.connect().await?;
    let fax = send_from(&world, Fate::Answers, 3, 2).await?;
    let total = fax.progress().pages_total;
    ensure!(total == 2, "{total} pages are to go");
    let outcome = result(&fax).await?;
    succeeded(&outcome, 2)?;
    ensure!(outcome.pages_total == Some(2), "{outcome:?}");
    let progress = fax.progress();
    ensure!(progress.pages_confirmed == Some(2), "{progress:?}");
    // Asked for anew, by the same or another process, it is told in the same way.
    let other = Arc::clone(&world.setup.adapter().await?);
    within("connect", SOON, other.connect()).await??;
    if let Lookup::Ended(record) = within("lookup", SOON, other.lookup(&fax.id().into())).await?? {
        let Some(told) = record.fax else {
            return Err(Failure::new("the record has no fax"));
        };
        let pages = (told.pages_confirmed, told.pages_total);
        ensure!(pages == (Some(2), Some(2)), "{pages:?} of another process");
    }
    Ok(())
}

async fn later_page_breaks_off(world: World) -> Verdict {
    world.connect().await?;
    let fax = send_from(&world, Fate::FaxFailsAfter(1), 3, 2).await?;
    let outcome = result(&fax).await?;
    ensure!(outcome.pages_total == Some(2), "{outcome:?}");
    breaks_off(&outcome)
}

async fn no_such_page(world: World) -> Verdict {
    world.connect().await?;
    for page in [0, 3] {
        let request = request(&world, Fate::Answers, 2).await?;
        let request = request.with_first_page(page);
        let error = error_of("no such page", world.adapter.send_fax(request).await)?;
        kind_is("no such page", &error, &[ErrorKind::InvalidRequest])?;
    }
    world.asked_for(0)
}

/// It failed on the line with one page confirmed.
fn breaks_off(outcome: &FaxOutcome) -> Verdict {
    ensure!(outcome.status == OutcomeStatus::Failed, "{outcome:?}");
    ensure!(
        outcome.pages_confirmed == Some(1),
        "{:?} pages confirmed",
        outcome.pages_confirmed
    );
    let class = outcome.failure.as_ref().map(|failure| failure.class);
    ensure!(class == Some(FailureClass::CommError), "{class:?}");
    Ok(())
}

async fn busy(world: World) -> Verdict {
    world.connect().await?;
    let fax = send(&world, Fate::Busy, 1).await?;
    let outcome = result(&fax).await?;
    let class = outcome.failure.as_ref().map(|failure| failure.class);
    ensure!(
        outcome.status == OutcomeStatus::Failed && class == Some(FailureClass::Busy),
        "{outcome:?}"
    );
    ensure!(
        outcome.pages_confirmed.unwrap_or(0) == 0,
        "pages over a busy line: {outcome:?}"
    );
    Ok(())
}

async fn cancel(world: World) -> Verdict {
    world.connect().await?;
    let fax = send(&world, Fate::SlowFax, 3).await?;
    eventually("pages are sent", SOON, || {
        fax.progress().phase >= FaxPhase::Negotiating
    })
    .await?;
    let cancelled = within("cancel", SOON, fax.cancel()).await??;
    ensure!(
        matches!(
            cancelled,
            CancelOutcome::Cancelled | CancelOutcome::Requested
        ),
        "{cancelled:?}"
    );
    let outcome = result(&fax).await?;
    ensure!(outcome.status == OutcomeStatus::Failed, "{outcome:?}");
    let class = outcome.failure.map(|failure| failure.class);
    ensure!(class == Some(FailureClass::Cancelled), "{class:?}");
    let late = fax.cancel().await?;
    ensure!(late == CancelOutcome::TooLate, "{late:?}");
    world.is_in(ConnectionState::Connected)
}

async fn two_at_once(world: World) -> Verdict {
    world.connect().await?;
    let good = send(&world, Fate::Answers, 2).await?;
    let bad = send(&world, Fate::FaxFailsAfter(1), 3).await?;
    let (good, bad) = (result(&good).await?, result(&bad).await?);
    succeeded(&good, 2)?;
    ensure!(
        bad.status == OutcomeStatus::Failed && bad.pages_total == Some(3),
        "{bad:?}"
    );
    let up = world.adapter.snapshot();
    ensure!(
        up.faxes.is_empty() && up.calls.is_empty(),
        "something is left: {up:?}"
    );
    Ok(())
}

async fn same_id(world: World) -> Verdict {
    world.connect().await?;
    let fax = send(&world, Fate::SlowFax, 1).await?;
    let to = FaxTarget::try_from(world.setup.target(Fate::Answers).await?)?;
    let request = FaxRequest::new(to, world.setup.image(1)?).with_id(fax.id());
    let error = error_of("the same id", world.adapter.send_fax(request).await)?;
    kind_is("the same id", &error, &[ErrorKind::InvalidState])?;
    within("cancel", SOON, fax.cancel()).await??;
    result(&fax).await.map(drop)
}

async fn cut_in_fax(world: World) -> Verdict {
    world.connect().await?;
    let fax = send(&world, Fate::Answers, 3).await?;
    eventually("pages are sent", SOON, || {
        fax.progress().phase >= FaxPhase::Negotiating
    })
    .await?;
    world.setup.disturb(Disturbance::CutLinks).await?;
    succeeded(&result(&fax).await?, 3)
}

async fn crash(world: World) -> Verdict {
    world.connect().await?;
    let fax = send(&world, Fate::SlowFax, 3).await?;
    eventually("pages are sent", SOON, || {
        fax.progress().phase >= FaxPhase::Negotiating
    })
    .await?;
    world.setup.disturb(Disturbance::Crash).await?;
    match within("the result", FAX, fax.result()).await? {
        Ok(outcome) => ensure!(outcome.status == OutcomeStatus::Unknown, "{outcome:?}"),
        Err(error) => kind_is("the result", &error, &[ErrorKind::OutcomeUnknown])?,
    }
    world.wait_for(ConnectionState::Connected).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.asked_for(1)?;
    Ok(())
}

async fn elsewhere(world: World) -> Verdict {
    world.connect().await?;
    let fax = send(&world, Fate::Answers, 2).await?;
    let id = fax.id();
    result(&fax).await?;
    drop(fax);
    let other = Arc::clone(&world.setup.adapter().await?);
    within("connect", SOON, other.connect()).await??;
    let found = within("lookup", SOON, other.lookup(&id.into())).await??;
    let Lookup::Ended(record) = found else {
        return Err(Failure::new(format!("{found:?}")));
    };
    let Some(outcome) = record.fax else {
        return Err(Failure::new("the record has no fax"));
    };
    ensure!(outcome.status == OutcomeStatus::Success, "{outcome:?}");
    Ok(())
}
