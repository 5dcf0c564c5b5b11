//! `ReceiveFAX`: takes the fax that the caller of an incoming call sends (recordings
//! `06_fax_t38_ok`, `06_fax_audio_pjsip_ok`, `06_fax_garbage_file`, the receiving sides).

use std::time::Duration;

use super::Run;
use crate::server::{
    asterisk::{
        application::{Done, Here},
        call::{FOR_EVER, Stop, pause},
        channel::Signal,
        world::FaxSession,
    },
    files::{drawn, tiff_facts},
    incoming::IncomingFax,
};

/// Runs `ReceiveFAX(data)` on a channel.
pub(in crate::server::asterisk) async fn receive(here: &mut Here<'_>, data: &str) -> Done {
    let (world, id) = (here.world, here.id);
    let (file, options) = data.split_once(',').unwrap_or((data, ""));
    let (station, ecm, fax) = {
        let state = world.lock();
        let option = |name: &str| {
            state
                .channel(id)
                .and_then(|c| c.fax_options.get(name).cloned())
        };
        let ecm = option("ecm").is_none_or(|text| !text.eq_ignore_ascii_case("no"));
        let caller = state.callers.get(id);
        let fax = caller.and_then(|caller| caller.script.fax.clone());
        (option("localstationid").unwrap_or_default(), ecm, fax)
    };
    let mut run = Run {
        world,
        id,
        file: file.to_owned(),
        local_station: station,
        status_events: world.config.status_events || options.contains('s'),
        mode: "audio",
        receives: true,
    };
    run.preset();
    world.change(|state| state.fax_counters.receives += 1);
    let Some(fax) = fax else {
        // A caller that is no fax: it listens until somebody hangs up.
        let stop = pause(here.signal, FOR_EVER).await;
        world.change(|state| {
            state.fax_counters.failed += 1;
            if stop.as_ref().is_some_and(Stop::is_far) {
                state.hangup_request("HangupRequest", id, world.far_cause());
            }
        });
        run.fail_early("T38_NEG_ERROR", "error negotiating T.38");
        return stop.into();
    };
    if let Some(stop) = pause(here.signal, world.config.timings.negotiation).await {
        world.change(|state| state.fax_counters.failed += 1);
        return dropped(&run, 0, "", Some((14400, "0x0")), Some(stop)).await;
    }
    if fax.t38 && !options.contains('F') {
        run.mode = "T38";
        run.status("T.38 Negotiated");
    }
    run.status("Allocating Resources");
    run.cleared();
    run.status("FAX Transmission In Progress");
    let number = world.change(|state| {
        let number = state.fax_number;
        state.fax_number += 1;
        let session = FaxSession {
            channel: id.to_owned(),
            file: run.file.clone(),
            page: 1,
            transmitted: 0,
            ecm,
            rate: 14400,
            resolution: "0x0",
            t38: run.mode == "T38",
            receives: true,
            bad_lines: 0,
        };
        state.fax.insert(number, session);
        if let Some(channel) = state.channel_mut(id) {
            channel
                .fax_options
                .insert("sessionid".to_owned(), number.to_string());
        }
        number
    });
    let done = pages(here, &run, &fax, number).await;
    world.change(|state| {
        state.fax.remove(&number);
        let good = state.channel(id).and_then(|c| c.vars.get("FAXSTATUS"));
        if good.is_some_and(|status| status == "SUCCESS") {
            state.fax_counters.completed += 1;
        } else {
            state.fax_counters.failed += 1;
        }
    });
    done
}

async fn pages(here: &mut Here<'_>, run: &Run<'_>, fax: &IncomingFax, number: u32) -> Done {
    let world = here.world;
    let time = fax.page.unwrap_or(world.config.timings.page);
    let facts = fax.tiff.as_deref().and_then(tiff_facts);
    let total = facts.map_or(fax.pages, |facts| facts.pages);
    let resolution = facts.map_or("8031x7700", |facts| facts.resolution);
    let last = fax
        .failure
        .as_ref()
        .map_or(total, |(pages, _)| total.min(*pages));
    let mut done = 0;
    loop {
        world.change(|state| {
            if let Some(session) = state.fax.get_mut(&number) {
                session.page = done + 1;
                session.resolution = resolution;
            }
        });
        // A sender that goes wrong does so in the middle of a page, or at once without one.
        if let Some(stop) = pause(here.signal, time).await {
            let line = Some((14400, resolution));
            return dropped(run, done, &fax.station, line, Some(stop)).await;
        }
        if done >= last {
            break;
        }
        done += 1;
        if !save(run, fax, done, total) {
            let why = "TIFF/F file cannot be opened";
            run.received("", 0, Some(why), (14400, resolution));
            return Done::Next;
        }
        world.change(|state| {
            if let Some(session) = state.fax.get_mut(&number) {
                session.transmitted = done;
                session.bad_lines += fax.bad_lines;
            }
        });
        if done == total && fax.failure.is_none() {
            break;
        }
    }
    let why = fax.failure.as_ref().map(|(_, why)| why.as_str());
    let station = if done == 0 { "" } else { &fax.station };
    let resolution = if done == 0 { "0x0" } else { resolution };
    run.received(station, done, why, (14400, resolution));
    // The sender says goodbye and hangs up.
    let (world, id) = (std::sync::Arc::clone(world), here.id.to_owned());
    let wait = world.config.timings.ending.max(Duration::from_millis(1));
    std::sync::Arc::clone(&world).spawn(async move {
        tokio::time::sleep(wait).await;
        world.lock().signal(&id, Signal::FarHangup { cause: 0 });
    });
    Done::Next
}

/// Writes the pages so far; false when the place cannot be written.
fn save(run: &Run<'_>, fax: &IncomingFax, pages: u32, total: u32) -> bool {
    let bytes = match &fax.tiff {
        Some(tiff) if pages == total => Some(tiff.clone()),
        _ => drawn(pages),
    };
    bytes.is_some_and(|bytes| run.world.config.paths.write(&run.file, &bytes).is_ok())
}

/// Somebody hung up in the middle.
async fn dropped(
    run: &Run<'_>,
    pages: u32,
    station: &str,
    line: Option<(u32, &str)>,
    stop: Option<Stop>,
) -> Done {
    run.dropped(pages, station, line, &stop).await;
    stop.into()
}
