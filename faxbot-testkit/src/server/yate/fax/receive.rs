//! Faxes that come in, as the caller's script says.

use std::sync::Arc;

use tokio::time::sleep;

use super::{FaxSide, silence};
use crate::server::{
    files::{drawn, tiff_facts},
    yate::world::World,
};

/// Takes the fax of a caller from outside, and leaves its file, which grows by the page.
pub(super) async fn from_caller(world: &Arc<World>, id: &str, peer: &str, side: &FaxSide) {
    let fax = {
        let state = world.lock();
        state
            .callers
            .get(peer)
            .and_then(|caller| caller.script.fax.clone())
    };
    let Some(fax) = fax.filter(|_| !side.caller) else {
        silence(world, id).await;
        return;
    };
    sleep(world.config.timings.negotiation).await;
    let time = fax.page.unwrap_or(world.config.timings.page);
    let known = fax.tiff.as_ref().and_then(|tiff| tiff_facts(tiff));
    let all = known.map_or(fax.pages, |facts| facts.pages);
    let failure = fax.failure.as_ref();
    let last = failure.map_or(all, |(pages, _)| (*pages).min(all));
    for page in 1..=last + u32::from(failure.is_some()) {
        sleep(time).await;
        if !world.lock().runs(id) {
            return;
        }
        let whole = page == all && failure.is_none();
        let file = match &fax.tiff {
            Some(tiff) if whole => Some(tiff.clone()),
            _ => drawn(page.min(last)),
        };
        if let Some(file) = file {
            // Nobody asks whether it is there.
            let _written = world.config.paths.write(&side.path, &file);
        }
    }
    world.act(|state| {
        if state.runs(id) {
            let reason = failure.map_or("eof", |(_, text)| text.as_str());
            state.fax_ends(id, Some(reason), last, Some(&fax.station));
        }
    });
}
