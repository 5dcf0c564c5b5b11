//! `txfax` and `rxfax` of `mod_spandsp` (recordings `05_*`, `09_fax_*`): the variables, the events
//! and their order. The far end hangs up before the result comes.

mod receive;
mod report;

use std::time::Duration;

use bytes::Bytes;

pub(super) use receive::receive;
use report::{DROPPED, Failure, Run};

use super::{
    application::Done,
    call::{Flow, Here, Stop},
    cause,
    channel::By,
    world::State,
};
use crate::server::{
    files::{TiffFacts, tiff_facts},
    record::ReceivedFax,
};

/// How long a fax waits for a sign of another one (recording `05_fax_answer_but_no_fax`).
const SILENCE: Duration = Duration::from_secs(60);

/// What `txfax` says of a file that is not there.
const NO_FILE: &str = "Cannot send non-existant fax file";

/// Runs `txfax(file)`.
pub(super) async fn send(here: &mut Here<'_>, args: &str) -> Done {
    let (world, id) = (here.world, here.id);
    let file = args.trim();
    let Ok(tiff) = world.paths.read(file) else {
        return Done::said(NO_FILE);
    };
    let tiff = Bytes::from(tiff);
    let script = world.lock().channels.get(id).map(|c| c.script.clone());
    let Some(script) = script else {
        return Flow::Ended.into();
    };
    let (mut run, received) = world.with(|state| {
        let run = Run::begin(state, id, file, false, script.fax.t38);
        (run, remember(state, id, file, &tiff))
    });
    if script.fax.never_starts {
        let stop = here.pause(SILENCE).await;
        let failure = match &stop {
            None => Failure::of("Timed out waiting for initial communication"),
            Some(_) => Failure::of(DROPPED),
        };
        return run.over(here, Some(failure), stop).await;
    }
    if let Some(stop) = here.pause(world.timings.negotiation).await {
        return run.over(here, Some(Failure::of(DROPPED)), Some(stop)).await;
    }
    let facts = tiff_facts(&tiff);
    let Some((first, last)) = facts.and_then(|facts| range(&world.lock(), id, facts)) else {
        let failure = Failure::of("TIFF/F file cannot be opened");
        return run.over(here, Some(failure), None).await;
    };
    run.negotiated(here, &script.fax.station);
    run.total = facts.map_or(0, |facts| facts.pages);
    let time = script.page.unwrap_or(world.timings.page);
    let pages = last - first + 1;
    let fails = script.fax.failure.as_ref();
    let most = fails.map_or(pages, |failure| failure.after_pages.min(pages));
    for page in 1..=pages {
        if let Some(stop) = here.pause(time).await {
            return run.over(here, Some(Failure::of(DROPPED)), Some(stop)).await;
        }
        if page > most {
            break;
        }
        world.with(|state| {
            if let Some(fax) = state.received.get_mut(received) {
                fax.pages = page;
            }
        });
        if let Some(stop) = run.page(here, page).await {
            return run.over(here, Some(Failure::of(DROPPED)), Some(stop)).await;
        }
    }
    let failure = fails.map(|failure| Failure::named(&failure.error, &failure.text));
    if failure.is_none() {
        world.with(|state| {
            if let Some(fax) = state.received.get_mut(received) {
                fax.complete = true;
            }
        });
    }
    // The receiver hangs up when it has all pages, or has enough.
    let stop = here.pause(world.timings.ending).await;
    world.with(|state| state.hang_up(id, cause::NORMAL, By::Far));
    run.over(here, failure, stop.or(Some(Stop::Flow(Flow::Ended))))
        .await
}

fn remember(state: &mut State, id: &str, file: &str, tiff: &Bytes) -> usize {
    let channel = state.channels.get(id);
    let mut options: Vec<(String, String)> = channel
        .into_iter()
        .flat_map(|channel| channel.vars.iter())
        .filter(|(name, _)| name.starts_with("fax_"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    options.sort();
    let dialled = channel.map(|channel| channel.dialled.clone());
    state.received.push(ReceivedFax {
        channel_id: id.to_owned(),
        dialled: dialled.unwrap_or_default(),
        path: file.to_owned(),
        tiff: tiff.clone(),
        options,
        pages: 0,
        complete: false,
    });
    state.received.len() - 1
}

/// The pages that are asked for, 0-based; `None` when they start behind the end (recording
/// `09_fax_start_end_page`).
fn range(state: &State, id: &str, facts: TiffFacts) -> Option<(u32, u32)> {
    let number = |name: &str| {
        let text = state.var(id, name)?;
        // What is no number is 0, -1 is as if it was not set.
        let number: i64 = text.trim().parse().unwrap_or(0);
        u32::try_from(number).ok()
    };
    let first = number("fax_start_page").unwrap_or(0);
    let end = facts.pages.checked_sub(1)?;
    if first > end {
        return None;
    }
    let last = number("fax_end_page").unwrap_or(end).min(end).max(first);
    Some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_the_code_that_spandsp_gives_it() {
        for (text, code) in [
            ("Timed out waiting for initial communication", 2),
            ("TIFF/F file cannot be opened", 41),
            (DROPPED, 49),
        ] {
            assert_eq!(Failure::of(text).code, code, "{text}");
        }
        assert_eq!(Failure::named("6", "x").code, 6);
    }
}
