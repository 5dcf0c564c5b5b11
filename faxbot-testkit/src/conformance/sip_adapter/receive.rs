//! Faxes that come in.

use std::time::Duration;

use faxbot_core::{
    ErrorKind,
    id::CallId,
    sip::{AcceptAs, SipEvent},
};

use super::{Caller, Entry, Need, SOON, World, entry, error_of, incoming::next_call, kind_is};
use crate::conformance::{Verdict, ensure, eventually, within};

/// Enough for a fax of a few pages of a mock.
const FAX: Duration = Duration::from_secs(30);

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a fax that comes in is handed over once",
            [Need::Caller],
            [Incoming, ReceiveFax],
            handed_over
        ),
        entry!(
            "pages of a call that is no fax are not found",
            [Need::Caller],
            [Incoming, ReceiveFax],
            no_fax
        ),
    ]
}

async fn handed_over(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    let _caller = world.setup.caller(Caller::SendsFax(2)).await?;
    let call = next_call(&mut events).await?;
    let call_ref = call.id.into();
    within(
        "accept",
        SOON,
        world.adapter.accept(&call_ref, AcceptAs::Fax),
    )
    .await??;
    let fax = within("take_fax", FAX, world.adapter.take_fax(&call_ref)).await??;
    ensure!(fax.id == call.id, "the fax of another call");
    ensure!(
        fax.outcome.is_success() && fax.outcome.pages_confirmed == Some(2),
        "{:?}",
        fax.outcome
    );
    let bytes = fax.file.as_ref().map(std::fs::metadata);
    ensure!(
        matches!(&bytes, Some(Ok(file)) if file.len() > 0),
        "no pages: {bytes:?}"
    );
    let again = within("take_fax", SOON, world.adapter.take_fax(&call_ref)).await?;
    kind_is(
        "the same fax again",
        &error_of("the same fax again", again)?,
        &[ErrorKind::NotFound],
    )?;
    let mut finished = 0;
    eventually("the end of the fax as an event", SOON, || {
        while let Some(Ok(stamped)) = events.try_recv() {
            if let SipEvent::FaxFinished { id, .. } = stamped.event {
                finished += usize::from(id == call.id);
            }
        }
        finished > 0
    })
    .await?;
    ensure!(finished == 1, "it ended {finished} times");
    Ok(())
}

async fn no_fax(world: World) -> Verdict {
    world.connect().await?;
    let nobody = CallId::new().into();
    let taken = within("take_fax", SOON, world.adapter.take_fax(&nobody)).await?;
    kind_is(
        "an unknown call",
        &error_of("an unknown call", taken)?,
        &[ErrorKind::NotFound],
    )?;
    let mut events = world.adapter.subscribe();
    let _caller = world.setup.caller(Caller::Waits).await?;
    let call = next_call(&mut events).await?.id.into();
    within("accept", SOON, world.adapter.accept(&call, AcceptAs::Park)).await??;
    let taken = within("take_fax", SOON, world.adapter.take_fax(&call)).await?;
    kind_is(
        "a call that is no fax",
        &error_of("a call that is no fax", taken)?,
        &[ErrorKind::NotFound],
    )
}
