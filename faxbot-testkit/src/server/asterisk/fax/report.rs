//! What both fax applications tell: the variables of a channel in their order, and the events.

use std::sync::Arc;

use crate::server::asterisk::{
    call::Stop,
    world::{State, World, start},
};

/// One run of `SendFAX` or `ReceiveFAX`.
pub(super) struct Run<'a> {
    pub world: &'a Arc<World>,
    pub id: &'a str,
    pub file: String,
    pub local_station: String,
    pub status_events: bool,
    pub mode: &'static str,
    pub receives: bool,
}

/// The values that one block of `VarSet` shows.
pub(super) struct Values<'a> {
    pub status: &'a str,
    /// `None` leaves it as it is: a received fax that went well says nothing of errors.
    pub error: Option<&'a str>,
    pub text: &'a str,
    pub station: &'a str,
    pub pages: u32,
    /// Rate and resolution, once the session has begun and ended.
    pub line: Option<(u32, &'a str)>,
}

impl Run<'_> {
    pub(super) fn preset(&self) {
        self.world.change(|state| {
            state.set_var(self.id, "FAXSTATUS", "FAILED");
            state.set_var(self.id, "FAXPAGES", "0");
        });
        self.block(&Values {
            status: "FAILED",
            error: Some("INIT_ERROR"),
            text: "error starting fax session",
            station: "",
            pages: 0,
            line: None,
        });
        if self.receives {
            self.world.change(|state| {
                state.set_var(self.id, "FAXERROR", "Channel Problems");
                let text = "Error before FAX transmission started.";
                state.set_var(self.id, "FAXSTATUSSTRING", text);
            });
        }
    }

    /// The end of a received fax that nobody hung up on: the application returns, and the channel
    /// is up (recordings `06_fax_t38_ok`, `06_fax_garbage_file`).
    pub(super) fn received(
        &self,
        station: &str,
        pages: u32,
        failure: Option<&str>,
        line: (u32, &str),
    ) {
        self.block(&Values {
            status: if failure.is_none() {
                "SUCCESS"
            } else {
                "FAILED"
            },
            error: failure,
            text: failure.unwrap_or("OK"),
            station,
            pages,
            line: Some(line),
        });
        self.done_event(pages, station, line);
    }

    const fn operation(&self) -> &'static str {
        if self.receives { "receive" } else { "send" }
    }

    pub(super) fn cleared(&self) {
        let values = Values {
            status: "",
            error: Some(""),
            text: "",
            station: "",
            pages: 0,
            line: None,
        };
        self.block(&values);
    }

    pub(super) fn fail_early(&self, error: &str, text: &str) {
        self.block(&Values {
            status: "FAILED",
            error: Some(error),
            text,
            station: "",
            pages: 0,
            line: None,
        });
    }

    /// The far end hung up, because it has all pages or because of a failure.
    pub(super) async fn over(
        &self,
        station: &str,
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
        self.block(&Values {
            status,
            error: Some(error),
            text,
            station,
            pages,
            line: Some(line),
        });
        self.done_event(pages, station, line);
    }

    /// Somebody hung up in the middle (recordings `06_fax_local_hangup_midway`,
    /// `06_fax_remote_absolute_timeout`).
    pub(super) async fn dropped(
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
            error: Some(text),
            text,
            station,
            pages,
            line,
        });
        if let Some(line) = line {
            self.done_event(pages, station, line);
        }
    }

    pub(super) fn block(&self, values: &Values<'_>) {
        let id = self.id;
        self.world.change(|state| {
            state.set_var(id, "FAXSTATUS", values.status);
            if let Some(error) = values.error {
                state.set_var(id, "FAXERROR", error);
            }
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
                    ("error", values.error.unwrap_or_default()),
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

    pub(super) fn status(&self, text: &str) {
        if !self.status_events {
            return;
        }
        self.world.change(|state| {
            state.channel_event(
                "FAXStatus",
                "call",
                self.id,
                &[
                    ("Operation", self.operation()),
                    ("Status", text),
                    ("LocalStationID", &self.local_station),
                    ("FileName", &self.file),
                ],
            );
        });
    }

    pub(super) fn done_event(&self, pages: u32, station: &str, (rate, resolution): (u32, &str)) {
        let name = if self.receives {
            "ReceiveFAX"
        } else {
            "SendFAX"
        };
        self.world.change(|state| {
            let Some(channel) = state.channel(self.id) else {
                return;
            };
            let event = channel
                .snapshot(start(name, "call"), "")
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
