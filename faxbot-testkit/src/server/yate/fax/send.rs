//! Faxes that go out (recordings `fax_ok_*`, `fax_not_a_tiff`, `fax_dropped_mid_page`).

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::sleep;

use super::{FaxSide, silence};
use crate::server::{
    files::tiff_facts,
    record::ReceivedFax,
    script::CallScript,
    yate::{sip, world::World},
};

/// What the other end of a file that is no TIFF says.
const NOT_A_FAX: &str = "Unexpected DCN while waiting for DCS or DIS";

/// Sends to a far end, as its script says.
pub(super) async fn to_far_end(world: &Arc<World>, id: &str, peer: &str, side: &FaxSide) {
    let script = world
        .lock()
        .channel(peer)
        .and_then(|channel| channel.script.clone());
    let script = script.unwrap_or_else(CallScript::answer);
    let tiff = world.config.paths.read(&side.path).unwrap_or_default();
    let received = note(world, id, peer, side, &tiff);
    if script.fax.never_starts || !side.caller {
        silence(world, id).await;
        return;
    }
    sleep(world.config.timings.negotiation).await;
    let time = script.page.unwrap_or(world.config.timings.page);
    let facts = tiff_facts(&tiff);
    let failure = script.fax.failure.as_ref();
    let all = facts.map_or(0, |facts| facts.pages);
    let last = failure.map_or(all, |failure| failure.after_pages.min(all));
    // The page that fails takes its time too.
    let tries = last + u32::from(failure.is_some() || facts.is_none());
    for page in 1..=tries {
        sleep(time).await;
        if !world.lock().runs(id) {
            return;
        }
        if page <= last {
            confirmed(world, received, page, false);
        }
    }
    world.act(|state| {
        // Without any page there is nobody at the other end that had a name.
        let reason = match (facts, failure) {
            (None, _) => None,
            (_, Some(failure)) => Some(failure.text.as_str()),
            _ => Some("eof"),
        };
        let remote = facts.is_some().then_some(script.fax.station.as_str());
        if state.runs(id) {
            state.result(id, reason, last, remote);
            if reason == Some("eof") {
                finish(&mut state.received, received);
            }
            state.far_end_ends(peer, (200, sip::phrase(200)));
        }
    });
}

/// Sends to a fax of the same engine.
pub(super) async fn to_own_fax(world: &Arc<World>, from: &str, to: &str) {
    let sides = {
        let state = world.lock();
        let side = |id: &str| state.channel(id).and_then(|channel| channel.fax.clone());
        side(from).zip(side(to))
    };
    let Some((sender, receiver)) = sides else {
        return;
    };
    if sender.caller && receiver.caller {
        // Both play the calling side, and hang for ever (recording `fax_both_legs_caller_hang`).
        return;
    }
    world.change(|state| state.fax_mode(from));
    let tiff = world.config.paths.read(&sender.path).unwrap_or_default();
    let received = note(world, from, to, &sender, &tiff);
    sleep(world.config.timings.negotiation).await;
    let facts = tiff_facts(&tiff);
    let pages = facts.map_or(0, |facts| facts.pages);
    for page in 1..=pages.max(1) {
        sleep(world.config.timings.page).await;
        if !world.lock().runs(from) {
            return;
        }
        if facts.is_some() {
            confirmed(world, received, page, false);
        }
    }
    if facts.is_some() {
        // Nobody asks whether it is there.
        let _written = world.config.paths.write(&receiver.path, &tiff);
    }
    world.act(|state| {
        let name = |side: &FaxSide| side.local.clone().filter(|_| facts.is_some());
        let why = if facts.is_some() { "eof" } else { NOT_A_FAX };
        let own = facts.is_some().then_some("eof");
        state.result(from, own, pages, name(&receiver).as_deref());
        if own.is_some() {
            finish(&mut state.received, received);
        }
        if let Some(side) = state.side(to).filter(|_| own.is_none()) {
            // They never came to agree on it.
            side.ecm = false;
        }
        let remote = name(&sender);
        state.fax_ends(to, Some(why), pages, remote.as_deref());
    });
}

/// Notes the file as it is now.
fn note(world: &Arc<World>, id: &str, peer: &str, side: &FaxSide, tiff: &[u8]) -> usize {
    world.change(|state| {
        let dialled = state.channel(peer).map(|channel| channel.dialled.clone());
        let mut options: Vec<(String, String)> = side.state();
        options.sort();
        state.received.push(ReceivedFax {
            channel_id: id.to_owned(),
            dialled: dialled.unwrap_or_default(),
            path: side.path.clone(),
            tiff: Bytes::copy_from_slice(tiff),
            options,
            pages: 0,
            complete: false,
        });
        state.received.len() - 1
    })
}

fn confirmed(world: &Arc<World>, index: usize, pages: u32, complete: bool) {
    world.change(|state| {
        if let Some(fax) = state.received.get_mut(index) {
            fax.pages = pages;
            fax.complete = complete;
        }
    });
}

fn finish(received: &mut [ReceivedFax], index: usize) {
    if let Some(fax) = received.get_mut(index) {
        fax.complete = true;
    }
}
