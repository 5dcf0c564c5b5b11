//! What a fax call is asked to be.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Error, ErrorKind, Result,
    address::FaxTarget,
    document::{FaxImage, Resolution},
    id::CallId,
    redact::MASK,
    sip::Capability,
};

/// Characters that a station id may have (ITU-T T.30 table 3: 20 positions).
pub const STATION_ID_MAX: usize = 20;

/// Characters of a header line that fit beside date and page number.
pub const HEADER_MAX: usize = 50;

/// What is added to the estimated time of each page: hand-shakes and slow rates.
const TIME_PER_PAGE: Duration = Duration::from_secs(300);

/// Call set-up and the first negotiation: T0 (60 s) and T1 (35 s) of T.30 with room.
const TIME_FOR_SETUP: Duration = Duration::from_secs(120);

/// One fax over one call.
#[derive(Clone)]
#[non_exhaustive]
pub struct FaxRequest {
    /// Chosen by the caller; random by default.
    pub id: CallId,
    /// Who gets it.
    pub to: FaxTarget,
    /// The pages.
    pub image: FaxImage,
    /// The page of `image` that the call begins with, from 1; the first one by default. Any other one
    /// needs [`Capability::FaxFirstPage`]. The server's header line has the numbers of `image`;
    /// progress and outcome count the pages of this call.
    pub first_page: u32,
    /// Our station id (TSI): at most 20 characters.
    pub station_id: Option<StationId>,
    /// The text of the header line that the server draws; empty or absent for none.
    pub header: Option<HeaderText>,
    /// Vertical resolution that is offered; that of the image by default.
    pub resolution: Option<Resolution>,
    /// Error correction; on by default.
    pub ecm: bool,
    /// The highest bit rate that is offered, in bit/s; the server's own by default.
    pub max_rate: Option<u32>,
    /// Which transport is used.
    pub t38: T38Mode,
    /// How long it may ring.
    pub ring_timeout: Duration,
    /// How long the whole call may take; by default 2 minutes and 5 more for each page of the call.
    pub timeout: Option<Duration>,
}

/// Which transport a fax takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum T38Mode {
    /// T.38 when the far end agrees, else G.711 audio.
    #[default]
    Prefer,
    /// T.38 or nothing.
    Require,
    /// G.711 audio only.
    Disable,
}

impl FaxRequest {
    /// A fax with defaults.
    pub fn new(to: FaxTarget, image: FaxImage) -> Self {
        Self {
            id: CallId::new(),
            to,
            image,
            first_page: 1,
            station_id: None,
            header: None,
            resolution: None,
            ecm: true,
            max_rate: None,
            t38: T38Mode::default(),
            ring_timeout: crate::sip::DEFAULT_RING_TIMEOUT,
            timeout: None,
        }
    }

    /// Chooses the id.
    #[must_use]
    pub fn with_id(mut self, id: CallId) -> Self {
        self.id = id;
        self
    }

    /// Sets our station id.
    #[must_use]
    pub fn with_station_id(mut self, id: StationId) -> Self {
        self.station_id = Some(id);
        self
    }

    /// Sets the text of the header line.
    #[must_use]
    pub fn with_header(mut self, header: HeaderText) -> Self {
        self.header = Some(header);
        self
    }

    /// Begins with this page of the image, from 1.
    #[must_use]
    pub fn with_first_page(mut self, page: u32) -> Self {
        self.first_page = page;
        self
    }

    /// Pages that this call sends: from the first one asked for to the last one of the image.
    pub fn pages(&self) -> u32 {
        let before = self.first_page.saturating_sub(1);
        self.image.pages().saturating_sub(before)
    }

    /// What an adapter needs for this request.
    pub fn capabilities(&self) -> Vec<Capability> {
        let mut needs = vec![Capability::SendFax];
        if self.first_page != 1 {
            needs.push(Capability::FaxFirstPage);
        }
        needs
    }

    /// Checks what no server has to be asked for: that there is a page to begin with.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for page 0, or one behind the last one.
    pub fn check(&self) -> Result<()> {
        if (1..=self.image.pages()).contains(&self.first_page) {
            return Ok(());
        }
        let message = "first_page: the fax has no such page; count from 1";
        Err(Error::new(ErrorKind::InvalidRequest, "send_fax", message))
    }

    /// How long the whole call may take, from the request on.
    pub fn total_timeout(&self) -> Duration {
        self.timeout.unwrap_or_else(|| {
            TIME_FOR_SETUP.saturating_add(TIME_PER_PAGE.saturating_mul(self.pages()))
        })
    }
}

impl fmt::Debug for FaxRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaxRequest")
            .field("id", &self.id)
            .field("to", &self.to)
            .field("pages", &self.image.pages())
            .field("first_page", &self.first_page)
            .field("resolution", &self.resolution)
            .field("ecm", &self.ecm)
            .field("max_rate", &self.max_rate)
            .field("t38", &self.t38)
            .field("timeout", &self.total_timeout())
            .finish_non_exhaustive()
    }
}

macro_rules! text_type {
    ($(#[$docs:meta])* $name:ident, $max:ident, $what:literal, $ok:expr) => {
        $(#[$docs])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The only way to the text.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            /// # Errors
            /// [`ErrorKind::InvalidRequest`] when it is too long or holds other characters.
            fn from_str(text: &str) -> Result<Self> {
                let ok: fn(char) -> bool = $ok;
                if text.chars().count() <= $max && text.chars().all(ok) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Error::new(ErrorKind::InvalidRequest, "parse", $what))
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(MASK)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_type!(
    /// A station id (TSI, CSI). T.30 has digits, space and `+`; many machines send letters, so
    /// printable ASCII is taken.
    StationId,
    STATION_ID_MAX,
    "a station id has at most 20 printable ASCII characters",
    |c| c == ' ' || c.is_ascii_graphic()
);

text_type!(
    /// The text of a header line: printable, at most 50 characters.
    HeaderText,
    HEADER_MAX,
    "a header line has at most 50 characters and no control characters",
    |c| !c.is_control()
);
