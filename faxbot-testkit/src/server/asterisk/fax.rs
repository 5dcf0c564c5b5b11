//! `SendFAX`, with the variables and events of res_fax in their misleading order.
//!
//! The order is that of recording `06_fax_t38_app_ok`: failure is preset, cleared, preset again
//! when the far end hangs up, and only the last values are true.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    call::{Stop, pause},
    channel::Signal,
    files::{TiffFacts, tiff_facts},
    record::ReceivedFax,
    script::CallScript,
    world::{FaxSession, State, World, start},
};

pub(super) enum FaxEnd {
    /// The application returned; the channel is still up.
    Done,
    /// The channel is to end.
    Stopped(Stop),
}

struct Run<'a> {
    world: &'a Arc<World>,
    id: &'a str,
    file: String,
    local_station: String,
    status_events: bool,
    mode: &'static str,
}

/// The values that one block of `VarSet` shows.
struct Values<'a> {
    status: &'a str,
    error: &'a str,
    text: &'a str,
    station: &'a str,
    pages: u32,
    /// Rate and resolution, once the session has begun and ended.
    line: Option<(u32, &'a str)>,
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
            self.over(script, 0, Some((why, why)), (rate, "0x0")).await;
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
        self.over(script, last, why, (rate, facts.resolution)).await;
        if why.is_none() {
            world.change(|state| {
                if let Some(fax) = state.received.get_mut(received) {
                    fax.complete = true;
                }
            });
        }
        FaxEnd::Stopped(Stop::far(world.far_cause().unwrap_or(0)))
    }

    fn preset(&self) {
        self.world.change(|state| {
            state.set_var(self.id, "FAXSTATUS", "FAILED");
            state.set_var(self.id, "FAXPAGES", "0");
        });
        self.block(&Values {
            status: "FAILED",
            error: "INIT_ERROR",
            text: "error starting fax session",
            station: "",
            pages: 0,
            line: None,
        });
    }

    fn cleared(&self) {
        let values = Values {
            status: "",
            error: "",
            text: "",
            station: "",
            pages: 0,
            line: None,
        };
        self.block(&values);
    }

    fn fail_early(&self, error: &str, text: &str) {
        self.block(&Values {
            status: "FAILED",
            error,
            text,
            station: "",
            pages: 0,
            line: None,
        });
    }

    /// The far end hung up, because it has all pages or because of a failure.
    async fn over(
        &self,
        script: &CallScript,
        pages: u32,
        failure: Option<(&str, &str)>,
        line: (u32, &str),
    ) {
        self.world.change(|state| {
            if !self.world.v16() {
                quality(state, self.id);
            }
            state.hangup_request("HangupRequest", self.id, self.world.far_cause());
        });
        self.fail_early("HANGUP", "remote channel hungup");
        tokio::time::sleep(self.world.config.timings.ending).await;
        // `FAXERROR` stays `HANGUP` on success.
        let (status, error, text) = match failure {
            None => ("SUCCESS", "HANGUP", "OK"),
            Some((error, text)) => ("FAILED", error, text),
        };
        let station = &script.fax.station;
        self.block(&Values {
            status,
            error,
            text,
            station,
            pages,
            line: Some(line),
        });
        self.send_fax_event(pages, station, line);
    }

    /// Somebody hung up in the middle (recordings `06_fax_local_hangup_midway`,
    /// `06_fax_remote_absolute_timeout`).
    async fn dropped(
        &self,
        pages: u32,
        station: &str,
        line: Option<(u32, &str)>,
        stop: &Option<Stop>,
    ) {
        if stop.as_ref().is_some_and(Stop::is_far) {
            self.world.change(|state| {
                state.hangup_request("HangupRequest", self.id, self.world.far_cause())
            });
        }
        self.fail_early("HANGUP", "remote channel hungup");
        tokio::time::sleep(self.world.config.timings.ending).await;
        let text = "The call dropped prematurely";
        self.block(&Values {
            status: "FAILED",
            error: text,
            text,
            station,
            pages,
            line,
        });
        if let Some(line) = line {
            self.send_fax_event(pages, station, line);
        }
    }

    fn block(&self, values: &Values<'_>) {
        let id = self.id;
        self.world.change(|state| {
            state.set_var(id, "FAXSTATUS", values.status);
            state.set_var(id, "FAXERROR", values.error);
            state.set_var(id, "FAXSTATUSSTRING", values.text);
            state.set_var(id, "REMOTESTATIONID", values.station);
            state.set_var(id, "LOCALSTATIONID", &self.local_station);
            if let Some((rate, resolution)) = values.line {
                state.set_var(id, "FAXBITRATE", &rate.to_string());
                state.set_var(id, "FAXRESOLUTION", resolution);
            }
            state.set_var(id, "FAXMODE", self.mode);
            state.set_var(id, "FAXPAGES", &values.pages.to_string());
            if let Some(channel) = state.channel_mut(id) {
                for (option, value) in [
                    ("status", values.status),
                    ("error", values.error),
                    ("statusstr", values.text),
                    ("remotestationid", values.station),
                    ("filename", &self.file),
                    ("pages", &values.pages.to_string()),
                ] {
                    channel
                        .fax_options
                        .insert(option.to_owned(), value.to_owned());
                }
                if let Some((rate, resolution)) = values.line {
                    channel
                        .fax_options
                        .insert("rate".to_owned(), rate.to_string());
                    channel
                        .fax_options
                        .insert("resolution".to_owned(), resolution.to_owned());
                }
            }
        });
    }

    fn status(&self, text: &str) {
        if !self.status_events {
            return;
        }
        self.world.change(|state| {
            state.channel_event(
                "FAXStatus",
                "call",
                self.id,
                &[
                    ("Operation", "send"),
                    ("Status", text),
                    ("LocalStationID", &self.local_station),
                    ("FileName", &self.file),
                ],
            );
        });
    }

    fn send_fax_event(&self, pages: u32, station: &str, (rate, resolution): (u32, &str)) {
        self.world.change(|state| {
            let Some(channel) = state.channel(self.id) else {
                return;
            };
            let event = channel
                .snapshot(start("SendFAX", "call"), "")
                .header("LocalStationID", &self.local_station)
                .header("RemoteStationID", station)
                .header("PagesTransferred", pages.to_string())
                .header("Resolution", resolution)
                .header("TransferRate", rate.to_string())
                .header("FileName", &self.file);
            state.emit("call", event);
        });
    }
}

/// The voice quality variables that chan_pjsip leaves at the end (recording `06_fax_t38_app_ok`;
/// Asterisk 16.28 shows none).
fn quality(state: &mut State, id: &str) {
    if !state
        .channel(id)
        .is_some_and(|channel| channel.name.starts_with("PJSIP/"))
    {
        return;
    }
    let values = [
        (
            "RTPAUDIOQOS",
            "ssrc=83121211;themssrc=0;lp=0;rxjitter=0.000000;rxcount=0;txcount=0;",
        ),
        (
            "RTPAUDIOQOSJITTER",
            "minrxjitter=000.000000;maxrxjitter=000.000000;",
        ),
        (
            "RTPAUDIOQOSLOSS",
            "  minrxlost=000.000000;  maxrxlost=000.000000;",
        ),
        (
            "RTPAUDIOQOSRTT",
            "     minrtt=000.000000;     maxrtt=000.000000;",
        ),
        (
            "RTPAUDIOQOSMES",
            "   minrxmes=000.000000;   maxrxmes=000.000000;",
        ),
    ];
    for (name, value) in values {
        state.set_var(id, name, value);
    }
}
