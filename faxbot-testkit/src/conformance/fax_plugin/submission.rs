//! Requests to send that are refused, lost, or answered in an odd order.

use faxbot_core::fax::JobStatus;

use super::{Entry, FaxFate, Need, QUIET, World, entry};
use crate::conformance::{Verdict, ensure};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a fax that the provider refuses fails and is not asked for again",
            [Refused],
            refused
        ),
        entry!(
            "a fax that certainly was not taken is asked for again, and arrives",
            [Retried],
            retried
        ),
        entry!(
            "a fax whose answer was lost is found again and not sent again",
            [Found],
            found
        ),
        entry!(
            "a callback that comes before the answer counts",
            [CallbackFirst; Need::Webhooks],
            callback_first
        ),
    ]
}

async fn refused(mut world: World) -> Verdict {
    world.start().await?;
    let sent = world.send(FaxFate::Refused, 1).await?;
    let status = world.until(&sent.job_id, &[JobStatus::Failed]).await?;
    ensure!(
        status.error.as_ref().is_some_and(|text| !text.is_empty()),
        "no reason: {status:?}"
    );
    once(&world).await
}

async fn retried(mut world: World) -> Verdict {
    world.start().await?;
    let sent = world.send(FaxFate::Retried, 1).await?;
    let arrived = world.until(&sent.job_id, &[JobStatus::Success]).await;
    arrived.map(drop)
}

async fn found(mut world: World) -> Verdict {
    world.start().await?;
    let sent = world.send(FaxFate::Found, 1).await?;
    world.until(&sent.job_id, &[JobStatus::Success]).await?;
    once(&world).await
}

async fn callback_first(mut world: World) -> Verdict {
    world.start().await?;
    let sent = world.send(FaxFate::CallbackFirst, 1).await?;
    world.until(&sent.job_id, &[JobStatus::Success]).await?;
    once(&world).await
}

/// One request and no more, also a while later.
async fn once(world: &World) -> Verdict {
    tokio::time::sleep(QUIET).await;
    let asked = world.setup.submissions();
    ensure!(asked == 1, "the provider was asked {asked} times");
    Ok(())
}
