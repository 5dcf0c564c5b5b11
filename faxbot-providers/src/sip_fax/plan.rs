//! What the next call is asked to be, and what a retry changes of it.

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Result,
    address::FaxTarget,
    document::{DocumentConverter, FaxTiff, Resolution},
    fax::{Alternative, FaxRequest, FaxRetryPolicy, HeaderText, StationId, T38Mode},
    id::CallId,
    plugin::SendOptions,
    sip::SipAdapter,
};

use super::{
    config::{RATES, RING_MAX, SipFaxConfig},
    cut::{Next, can_begin_later},
};

/// Bit rate of the second rung of the ladder: V.29 without V.17.
const RATE_REDUCED: u32 = 9600;
/// Bit rate of the last rung: V.27ter.
const RATE_SLOWEST: u32 = 4800;

/// What the document is converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rendering {
    pub(super) resolution: Resolution,
    /// A fax TIFF keeps its own resolution until a retry needs another one.
    pub(super) fax_tiff: FaxTiff,
}

/// What the host's converter and the server can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Means {
    /// There is a converter.
    pub(super) converts: bool,
    pub(super) draws_headers: bool,
    /// The server begins at any page of a file.
    pub(super) begins_later: bool,
}

impl Means {
    pub(super) fn of(converter: Option<&dyn DocumentConverter>, adapter: &dyn SipAdapter) -> Self {
        Self {
            converts: converter.is_some(),
            draws_headers: converter.is_some_and(DocumentConverter::draws_headers),
            begins_later: can_begin_later(adapter),
        }
    }
}

/// What the next call is asked to be.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    station_id: Option<StationId>,
    header: Option<HeaderText>,
    rendering: Rendering,
    ecm: bool,
    max_rate: Option<u32>,
    t38: T38Mode,
    ring_timeout: Duration,
    timeout: Option<Duration>,
}

impl Plan {
    /// The options of a fax over those of the configuration.
    pub(super) fn new(options: &SendOptions, config: &SipFaxConfig) -> Result<Self> {
        let plan = Self {
            station_id: options
                .station_id
                .clone()
                .or_else(|| config.station_id.clone()),
            header: options
                .header
                .clone()
                .or_else(|| config.header.clone())
                .filter(|text| !text.expose().is_empty()),
            rendering: Rendering {
                resolution: options.resolution.unwrap_or(config.resolution),
                fax_tiff: FaxTiff::Keep,
            },
            ecm: options.ecm.unwrap_or(config.ecm),
            max_rate: options.max_rate.or(config.max_rate),
            t38: options.t38.unwrap_or(config.t38),
            ring_timeout: options.ring_timeout.unwrap_or(config.ring_timeout),
            timeout: options.timeout,
        };
        if plan.max_rate.is_some_and(|rate| !RATES.contains(&rate)) {
            return Err(refused("max_rate: expected 2400 to 33600 bit/s"));
        }
        if plan.ring_timeout.is_zero() || plan.ring_timeout > RING_MAX {
            return Err(refused("ring_timeout: expected up to 10 minutes"));
        }
        if plan.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(refused("timeout: expected more than zero"));
        }
        Ok(plan)
    }

    /// The policy without what cannot be followed here: another trunk, a resume without the header
    /// line that all pages are to have, and what the caller's choice of transport rules out.
    pub(super) fn policy(&self, asked: &FaxRetryPolicy, means: Means) -> Result<FaxRetryPolicy> {
        if asked.max_dials == 0 || asked.max_tries == 0 {
            return Err(refused("retry: expected budgets of at least 1"));
        }
        let header = self.header.is_none() || means.draws_headers || means.begins_later;
        let mut policy = asked.clone().with_routes(1);
        policy.resume &= header;
        policy.alternatives.retain(|alternative| match alternative {
            Alternative::G711 | Alternative::OtherTransport => self.t38 == T38Mode::Prefer,
            Alternative::RerenderStandard => means.converts,
            _ => true,
        });
        Ok(policy)
    }

    pub(super) fn rendering(&self) -> Rendering {
        self.rendering
    }

    /// Who sends it, for a header line of our own; `None` where none is asked for.
    pub(super) fn header_line(&self) -> Option<String> {
        let header = self.header.as_ref()?.expose();
        Some(match &self.station_id {
            Some(id) if !id.expose().trim().is_empty() => format!("{header}  {}", id.expose()),
            _ => header.to_owned(),
        })
    }

    /// Changes one thing for the calls that follow. `renders`: the document can be converted anew.
    pub(super) fn apply(&mut self, alternative: Alternative, renders: bool) {
        match alternative {
            Alternative::MaxRate9600 => self.cap_rate(RATE_REDUCED),
            Alternative::ToggleEcm => self.ecm = !self.ecm,
            Alternative::Slowest => {
                self.cap_rate(RATE_SLOWEST);
                // Without a converter the pages stay as they are; the rate alone helps as well.
                if renders {
                    self.render_standard();
                }
            }
            Alternative::OtherTransport | Alternative::G711 => self.t38 = T38Mode::Disable,
            Alternative::RerenderStandard if renders => self.render_standard(),
            _ => {}
        }
    }

    fn render_standard(&mut self) {
        self.rendering = Rendering {
            resolution: Resolution::Standard,
            fax_tiff: FaxTiff::Scale,
        };
    }

    fn cap_rate(&mut self, rate: u32) {
        self.max_rate = Some(self.max_rate.map_or(rate, |known| known.min(rate)));
    }

    /// The request for the pages of the next call.
    pub(super) fn request(&self, id: CallId, to: FaxTarget, next: Next) -> FaxRequest {
        let request = FaxRequest::new(to, next.image).with_id(id);
        let mut request = request.with_first_page(next.first_page);
        request.station_id.clone_from(&self.station_id);
        request.header = self.header.clone().filter(|_| next.server_draws);
        request.ecm = self.ecm;
        request.max_rate = self.max_rate;
        request.t38 = self.t38;
        request.ring_timeout = self.ring_timeout;
        request.timeout = self.timeout;
        request
    }
}

fn refused(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, "send_fax", message)
}
