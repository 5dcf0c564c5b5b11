//! `SendFAX` and `ReceiveFAX`, with the variables and events of res_fax in their misleading order.
//!
//! The order is that of recording `06_fax_t38_app_ok`: failure is preset, cleared, preset again
//! when the far end hangs up, and only the last values are true.

mod receive;
mod report;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    call::{Stop, pause},
    channel::Signal,
    world::{FaxSession, World},
};
use crate::server::{
    files::{TiffFacts, tiff_facts},
    record::ReceivedFax,
    script::CallScript,
};
pub(super) use receive::receive;
use report::Run;

pub(super) enum FaxEnd {
    /// The application returned; the channel is still up.
    Done,
    /// The channel is to end.
    Stopped(Stop),
}

/// Runs `SendFAX(data)` on a channel.
pub(super) async fn send(
    world: &Arc<World>,
    id: &str,
    data: &str,
    script: &CallScript,
    signal: &mut watch::Receiver<Signal>,
) -> FaxEnd {
    let (files, options) = data.split_once(',').unwrap_or((data, ""));
    let file = files.split('&').next().unwrap_or_default().to_owned();
    let timings = &world.config.timings;
    let (local_station, fax_options) = {
        let state = world.lock();
        let options = state
            .channel(id)
            .map(|c| c.fax_options.clone())
            .unwrap_or_default();
        (
            options.get("localstationid").cloned().unwrap_or_default(),
            options,
        )
    };
    let mut run = Run {
        world,
        id,
        file,
        local_station,
        status_events: world.config.status_events || options.contains('s'),
        mode: "audio",
        receives: false,
    };
    run.preset();

    let tiff = match world.config.paths.read(&run.file) {
        Ok(bytes) => Bytes::from(bytes),
        Err(_) => {
            run.fail_early("FILE_ERROR", "error reading file");
            return FaxEnd::Done;
        }
    };
    let received = world.change(|state| {
        let dialled = state.channel(id).map(|channel| channel.dialled.clone());
        state.received.push(ReceivedFax {
            channel_id: id.to_owned(),
            dialled: dialled.unwrap_or_default(),
            path: run.file.clone(),
            tiff: tiff.clone(),
            options: fax_options.clone().into_iter().collect(),
            pages: 0,
            complete: false,
        });
        state.fax_counters.attempts += 1;
        state.received.len() - 1
    });

    let audio_only = options.contains('F');
    let fallback = options.contains('f');
    if !script.fax.t38 && !audio_only && !fallback {
        if let Some(stop) = pause(signal, timings.t38_refusal).await {
            run.fail_early("HANGUP", "remote channel hungup");
            world.change(|state| state.fax_counters.failed += 1);
            return FaxEnd::Stopped(stop);
        }
        run.fail_early("T38_NEG_ERROR", "error negotiating T.38");
        world.change(|state| state.fax_counters.failed += 1);
        return FaxEnd::Done;
    }
    if script.fax.never_starts {
        let stop = pause(signal, super::call::FOR_EVER).await;
        run.dropped(0, "", None, &stop).await;
        world.change(|state| state.fax_counters.failed += 1);
        return stop.map_or(FaxEnd::Done, FaxEnd::Stopped);
    }
    if let Some(stop) = pause(signal, timings.negotiation).await {
        run.dropped(0, "", Some((14400, "0x0")), &Some(stop.clone()))
            .await;
        world.change(|state| state.fax_counters.failed += 1);
        return FaxEnd::Stopped(stop);
    }
    if script.fax.t38 && !audio_only {
        run.mode = "T38";
        run.status("T.38 Negotiated");
    }
    run.status("Allocating Resources");
    run.cleared();
    run.status("FAX Transmission In Progress");

    let facts = tiff_facts(&tiff);
    let max_rate = fax_options
        .get("maxrate")
        .and_then(|text| text.parse().ok());
    let rate = max_rate.unwrap_or(14400).min(14400);
    let ecm = fax_options
        .get("ecm")
        .is_none_or(|text| !text.eq_ignore_ascii_case("no"));
    let number = world.change(|state| {
        let number = state.fax_number;
        state.fax_number += 1;
        state.fax.insert(
            number,
            FaxSession {
                channel: id.to_owned(),
                file: run.file.clone(),
                page: 1,
                transmitted: 0,
                ecm,
                rate,
                resolution: facts.map_or("0x0", |facts| facts.resolution),
                t38: run.mode == "T38",
                receives: false,
                bad_lines: 0,
            },
        );
        if let Some(channel) = state.channel_mut(id) {
            channel
                .fax_options
                .insert("sessionid".to_owned(), number.to_string());
        }
        number
    });
    let end = run
        .pages(script, facts, rate, number, received, signal)
        .await;
    world.change(|state| {
        state.fax.remove(&number);
        let complete = state.received.get(received).is_some_and(|fax| fax.complete);
        if complete {
            state.fax_counters.completed += 1;
        } else {
            state.fax_counters.failed += 1;
        }
    });
    end
}

impl Run<'_> {
    async fn pages(
        &self,
        script: &CallScript,
        facts: Option<TiffFacts>,
        rate: u32,
        number: u32,
        received: usize,
        signal: &mut watch::Receiver<Signal>,
    ) -> FaxEnd {
        let world = self.world;
        let per_page = script.page.unwrap_or(world.config.timings.page);
        let Some(facts) = facts else {
            // Only found when the handshake is over (recording `06_fax_garbage_file`).
            if let Some(stop) = pause(signal, per_page).await {
                self.dropped(0, "", Some((rate, "0x0")), &Some(stop.clone()))
                    .await;
                return FaxEnd::Stopped(stop);
            }
            let why = "TIFF/F file cannot be opened";
            self.over(&script.fax.station, 0, Some((why, why)), (rate, "0x0"))
                .await;
            return FaxEnd::Stopped(Stop::far(world.far_cause().unwrap_or(0)));
        };
        let last = script
            .fax
            .failure
            .as_ref()
            .map_or(facts.pages, |failure| failure.after_pages.min(facts.pages));
        for page in 1..=facts.pages {
            world.change(|state| {
                if let Some(session) = state.fax.get_mut(&number) {
                    session.page = page;
                }
            });
            if let Some(stop) = pause(signal, per_page).await {
                let line = Some((rate, facts.resolution));
                self.dropped(page - 1, &script.fax.station, line, &Some(stop.clone()))
                    .await;
                return FaxEnd::Stopped(stop);
            }
            if page > last {
                break;
            }
            world.change(|state| {
                if let Some(session) = state.fax.get_mut(&number) {
                    session.transmitted = page;
                }
                if let Some(fax) = state.received.get_mut(received) {
                    fax.pages = page;
                }
            });
        }
        let failure = script.fax.failure.as_ref();
        let why = failure.map(|failure| (failure.error.as_str(), failure.text.as_str()));
        self.over(&script.fax.station, last, why, (rate, facts.resolution))
            .await;
        if why.is_none() {
            world.change(|state| {
                if let Some(fax) = state.received.get_mut(received) {
                    fax.complete = true;
                }
            });
        }
        FaxEnd::Stopped(Stop::far(world.far_cause().unwrap_or(0)))
    }
}
