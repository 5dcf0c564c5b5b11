//! What both fax applications tell: variables and events of one run.

use faxbot_core::fax::T30Result;

use crate::server::freeswitch::{
    application::{self, Done},
    call::{self, Flow, Here, Stop},
    world::State,
};

pub(super) const DROPPED: &str = "The call dropped prematurely";

/// Why a fax failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub code: u8,
    text: String,
}

impl Failure {
    pub(super) fn of(text: &str) -> Self {
        let code = T30Result::parse(text).map(T30Result::number);
        Self {
            // What there is no code for ended as an unexpected message does.
            code: code.unwrap_or(13),
            text: text.to_owned(),
        }
    }

    /// With the code that the script has: a number, or a name or text of T.30.
    pub(super) fn named(code: &str, text: &str) -> Self {
        let failure = Self::of(text);
        let named = T30Result::parse(code).map(T30Result::number);
        let known = T30Result::parse(text).map(T30Result::number);
        let number = code.trim().parse().ok().or(known).or(named);
        Self {
            code: number.unwrap_or(failure.code),
            ..failure
        }
    }
}

/// One run of `txfax` or `rxfax`.
pub(super) struct Run {
    receives: bool,
    ident: String,
    station: String,
    t38: &'static str,
    ecm: bool,
    rate: u32,
    begun: bool,
    pages: u32,
    /// Pages of the file that is sent.
    pub total: u32,
    pub bad_rows: u32,
}

impl Run {
    pub(super) fn begin(
        state: &mut State,
        id: &str,
        file: &str,
        receives: bool,
        far_t38: bool,
    ) -> Self {
        let is_true = |name: &str| {
            let channel = state.channels.get(id);
            channel.is_some_and(|channel| channel.vars.is_true(name))
        };
        let t38 = match (is_true("fax_enable_t38"), far_t38) {
            (true, true) => "negotiated",
            // Nobody asked the far end.
            (true, false) if !is_true("fax_enable_t38_request") && !receives => "off",
            (true, false) => "refused",
            (false, _) => "off",
        };
        let named = state.var(id, "fax_use_ecm");
        let ecm = named.is_none_or(|text| super::super::channel::is_true(&text));
        let slow = is_true("fax_disable_v17");
        let ident = state.var(id, "fax_ident").unwrap_or_default();
        state.set_var(id, "fax_v17_disabled", if slow { "1" } else { "0" });
        state.set_var(id, "fax_ecm_requested", if ecm { "1" } else { "0" });
        state.set_var(id, "fax_filename", file);
        Self {
            receives,
            ident,
            station: String::new(),
            t38,
            ecm,
            rate: if slow { 9600 } else { 14400 },
            begun: false,
            pages: 0,
            total: 0,
            bad_rows: 0,
        }
    }

    const fn subclass(&self, what: &str) -> &'static str {
        match (self.receives, what.as_bytes()) {
            (false, b"negotiation") => "spandsp::txfaxnegociateresult",
            (false, b"page") => "spandsp::txfaxpageresult",
            (false, _) => "spandsp::txfaxresult",
            (true, b"negotiation") => "spandsp::rxfaxnegociateresult",
            (true, b"page") => "spandsp::rxfaxpageresult",
            (true, _) => "spandsp::rxfaxresult",
        }
    }

    /// Sets `fax_` variables and sends an event with the same as `fax-` headers.
    fn tell(&self, state: &mut State, id: &str, what: &str, values: &[(&str, String)]) {
        for (name, value) in values {
            // The station id is the far end's text.
            state.set_foreign(id, &format!("fax_{name}"), value);
        }
        let headers: Vec<(String, &str)> = values
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (format!("fax-{}", name.replace('_', "-")), value.as_str()))
            .collect();
        let uuid = ("uuid", id);
        let mut more: Vec<(&str, &str)> = Vec::new();
        if what != "result" {
            more.push(uuid);
        }
        more.extend(headers.iter().map(|(name, value)| (name.as_str(), *value)));
        state.tell_with("CUSTOM", self.subclass(what), id, &more);
    }

    fn on_off(&self) -> String {
        if self.ecm { "on" } else { "off" }.to_owned()
    }

    /// Both ends know of each other.
    pub(super) fn negotiated(&mut self, here: &Here<'_>, station: &str) {
        station.clone_into(&mut self.station);
        self.begun = true;
        here.world.with(|state| {
            let mut values = vec![
                ("transfer_rate", self.rate.to_string()),
                ("ecm_used", self.on_off()),
                ("t38_status", self.t38.to_owned()),
                ("local_station_id", self.ident.clone()),
                ("remote_station_id", self.station.clone()),
            ];
            if !self.receives {
                values.push(("document_total_pages", "0".to_owned()));
            }
            self.tell(state, here.id, "negotiation", &values);
        });
    }

    /// A page is over; what is to run then runs, such as `execute_on_fax_phase_d`.
    pub(super) async fn page(&mut self, here: &mut Here<'_>, page: u32) -> Option<Stop> {
        self.pages = page;
        let (encoding, name) = if self.ecm {
            ("32", "T.85(L0)")
        } else {
            ("4", "T.4 2-D")
        };
        let hook = here.world.with(|state| {
            let mut values = vec![("document_transferred_pages", page.to_string())];
            if !self.receives {
                values.push(("document_total_pages", self.total.to_string()));
            }
            values.extend([
                ("image_resolution", "8040x7700".to_owned()),
                ("file_image_resolution", "8031x7716".to_owned()),
                ("image_size", "21295".to_owned()),
                ("image_pixel_size", "1728x2156".to_owned()),
                ("file_image_pixel_size", "1728x2156".to_owned()),
                ("bad_rows", self.bad_rows.to_string()),
                ("longest_bad_row_run", self.bad_rows.to_string()),
                ("encoding", encoding.to_owned()),
                ("encoding_name", name.to_owned()),
            ]);
            self.tell(state, here.id, "page", &values);
            state.var(here.id, "execute_on_fax_phase_d")
        });
        let step = call::step(&hook?);
        let was = {
            let state = here.world.lock();
            let channel = state.channels.get(here.id);
            channel.map(|channel| (channel.application.clone(), channel.data.clone()))
        };
        let flow = call::execute(here, &step).await;
        here.world.with(|state| {
            if let (Some(channel), Some((name, data))) = (state.channels.get_mut(here.id), was) {
                channel.application = name;
                channel.data = data;
            }
        });
        match flow {
            Flow::Next => None,
            flow => Some(Stop::Flow(flow)),
        }
    }

    /// The result, and how the application ends.
    pub(super) async fn over(
        &self,
        here: &mut Here<'_>,
        failure: Option<Failure>,
        stop: Option<Stop>,
    ) -> Done {
        let good = failure.is_none();
        here.world.with(|state| {
            let (code, text) = failure.map_or((0, "OK".to_owned()), |f| (f.code, f.text));
            let total = if self.receives {
                self.pages
            } else {
                self.total
            };
            let resolution = if self.begun { "8040x7700" } else { "0x0" };
            let ecm = if self.begun {
                self.on_off()
            } else {
                "off".to_owned()
            };
            let mut values = vec![
                ("success", u8::from(good).to_string()),
                ("result_code", code.to_string()),
                ("result_text", text),
                ("document_transferred_pages", self.pages.to_string()),
                ("document_total_pages", total.to_string()),
                ("image_resolution", resolution.to_owned()),
                ("image_size", "0".to_owned()),
                ("bad_rows", self.bad_rows.to_string()),
                ("transfer_rate", self.rate.to_string()),
                ("ecm_used", ecm),
                ("t38_status", self.t38.to_owned()),
                ("local_station_id", self.ident.clone()),
            ];
            if !self.station.is_empty() {
                values.push(("remote_station_id", self.station.clone()));
            }
            self.tell(state, here.id, "result", &values);
        });
        hooks(here, good).await;
        Done::from(stop)
    }
}

/// Runs the hooks that a result has: `execute_on_fax_success` and the like.
async fn hooks(here: &mut Here<'_>, good: bool) {
    let names = if good {
        ["execute_on_fax_result", "execute_on_fax_success"]
    } else {
        ["execute_on_fax_result", "execute_on_fax_failure"]
    };
    for name in names {
        let hook = here.world.lock().var(here.id, name);
        if let Some(hook) = hook {
            let step = call::step(&hook);
            let args = super::super::expand::expand(&here.world.lock(), here.id, &step.args);
            Box::pin(application::run(here, &step.name, &args)).await;
        }
    }
}
