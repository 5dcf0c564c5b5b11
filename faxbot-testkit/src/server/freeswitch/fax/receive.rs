//! `rxfax`: takes the fax that the far end of a call sends (recordings `05_fax_receive_ok`,
//! `09_inbound_park_receive_fax`).

use super::{
    SILENCE,
    report::{DROPPED, Failure, Run},
};
use crate::server::{
    files::{drawn, tiff_facts},
    freeswitch::{
        application::Done,
        call::{Here, Stop},
        cause,
        channel::By,
    },
    incoming::IncomingFax,
};

/// Runs `rxfax(file)`.
pub(in crate::server::freeswitch) async fn receive(here: &mut Here<'_>, args: &str) -> Done {
    let (world, id) = (here.world, here.id);
    let file = args.trim();
    let fax = {
        let state = world.lock();
        let caller = state.callers.get(id);
        caller.and_then(|caller| caller.script.fax.clone())
    };
    let far_t38 = fax.as_ref().is_some_and(|fax| fax.t38);
    let mut run = world.with(|state| Run::begin(state, id, file, true, far_t38));
    let Some(fax) = fax else {
        // A caller that is no fax.
        let stop = here.pause(SILENCE).await;
        let failure = match &stop {
            None => Failure::of("Timed out waiting for initial communication"),
            Some(_) => Failure::of(DROPPED),
        };
        return run.over(here, Some(failure), stop).await;
    };
    if let Some(stop) = here.pause(world.timings.negotiation).await {
        return run.over(here, Some(Failure::of(DROPPED)), Some(stop)).await;
    }
    run.negotiated(here, &fax.station);
    run.bad_rows = fax.bad_lines;
    let failed = pages(here, &mut run, &fax, file).await;
    let (failure, stop) = match failed {
        Ok(()) => (None, None),
        Err((failure, stop)) => (Some(failure), stop),
    };
    if stop.is_none() {
        goodbye(here);
    }
    run.over(here, failure, stop).await
}

/// The sender hangs up when it has said goodbye.
fn goodbye(here: &Here<'_>) {
    let (world, id) = (std::sync::Arc::clone(here.world), here.id.to_owned());
    let time = world.timings.ending;
    here.world.spawn(async move {
        tokio::time::sleep(time).await;
        world.with(|state| state.hang_up(&id, cause::NORMAL, By::Far));
    });
}

async fn pages(
    here: &mut Here<'_>,
    run: &mut Run,
    fax: &IncomingFax,
    file: &str,
) -> Result<(), (Failure, Option<Stop>)> {
    let world = here.world;
    let time = fax.page.unwrap_or(world.timings.page);
    let facts = fax.tiff.as_deref().and_then(tiff_facts);
    let total = facts.map_or(fax.pages, |facts| facts.pages);
    let last = fax
        .failure
        .as_ref()
        .map_or(total, |(pages, _)| total.min(*pages));
    for page in 1..=total {
        if let Some(stop) = here.pause(time).await {
            return Err((Failure::of(DROPPED), Some(stop)));
        }
        if page > last {
            break;
        }
        let bytes = match &fax.tiff {
            Some(tiff) if page == total => Some(tiff.clone()),
            _ => drawn(page),
        };
        if bytes.is_none_or(|bytes| world.paths.write(file, &bytes).is_err()) {
            return Err((Failure::of("TIFF/F file cannot be opened"), None));
        }
        if let Some(stop) = run.page(here, page).await {
            return Err((Failure::of(DROPPED), Some(stop)));
        }
    }
    match &fax.failure {
        Some((_, text)) => Err((Failure::of(text), None)),
        None => Ok(()),
    }
}
