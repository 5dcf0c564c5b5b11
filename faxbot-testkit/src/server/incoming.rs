//! Calls that come in from outside: what the caller does, and what it sees.

use std::time::Duration;

use bytes::Bytes;

use super::party::Party;

/// What a caller from outside does.
#[derive(Debug, Clone)]
pub struct IncomingScript {
    pub(super) caller: Party,
    pub(super) called: String,
    /// Where it lands; each server has its own default.
    pub(super) context: Option<String>,
    pub(super) endpoint: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) gives_up: Option<Duration>,
    pub(super) hangs_up: Option<Duration>,
    pub(super) fax: Option<IncomingFax>,
}

impl IncomingScript {
    /// A call from a number to an extension of the context `incoming` (Asterisk) or `public`
    /// (FreeSWITCH). The caller waits for ever.
    pub fn new(caller: &str, called: &str) -> Self {
        Self {
            caller: Party {
                name: String::new(),
                number: caller.to_owned(),
            },
            called: called.to_owned(),
            context: None,
            endpoint: "trunk".to_owned(),
            headers: Vec::new(),
            gives_up: None,
            hangs_up: None,
            fax: None,
        }
    }

    /// The name of the caller.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.caller.name);
        self
    }

    /// The context that it reaches. In Asterisk an extension that is not there is made:
    /// `AGI(agi:async)`, then `Hangup`.
    #[must_use]
    pub fn context(mut self, context: &str) -> Self {
        self.context = Some(context.to_owned());
        self
    }

    /// The endpoint that it comes from (default `trunk`).
    #[must_use]
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        endpoint.clone_into(&mut self.endpoint);
        self
    }

    /// A header of the INVITE, for `PJSIP_HEADER(read,name)` or `variable_sip_h_name`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The caller gives up when it is not answered within this time.
    #[must_use]
    pub const fn gives_up_after(mut self, time: Duration) -> Self {
        self.gives_up = Some(time);
        self
    }

    /// The caller hangs up so long after the answer.
    #[must_use]
    pub const fn hangs_up_after(mut self, time: Duration) -> Self {
        self.hangs_up = Some(time);
        self
    }

    /// The caller is a fax.
    #[must_use]
    pub fn sends_fax(mut self, fax: IncomingFax) -> Self {
        self.fax = Some(fax);
        self
    }
}

/// A fax that a caller sends when it is asked to by `ReceiveFAX` or `rxfax`.
#[derive(Debug, Clone)]
pub struct IncomingFax {
    pub(super) pages: u32,
    pub(super) tiff: Option<Bytes>,
    pub(super) station: String,
    pub(super) failure: Option<(u32, String)>,
    pub(super) bad_lines: u32,
    pub(super) t38: bool,
    pub(super) page: Option<Duration>,
}

impl IncomingFax {
    /// A fax of so many pages that the mock draws, from the station `SENDER`, over T.38.
    pub fn new(pages: u32) -> Self {
        Self {
            pages,
            tiff: None,
            station: "SENDER".to_owned(),
            failure: None,
            bad_lines: 0,
            t38: true,
            page: None,
        }
    }

    /// The pages of this file. It is stored as it is when all pages are there.
    pub fn of_tiff(tiff: impl Into<Bytes>) -> Self {
        Self {
            tiff: Some(tiff.into()),
            ..Self::new(1)
        }
    }

    /// The station id of the sender.
    #[must_use]
    pub fn station(mut self, id: &str) -> Self {
        id.clone_into(&mut self.station);
        self
    }

    /// The sender goes wrong when so many pages are there, and the server says this text, such as `Unexpected DCN while waiting for DCS or DIS`.
    #[must_use]
    pub fn fails_after(mut self, pages: u32, text: &str) -> Self {
        self.failure = Some((pages, text.to_owned()));
        self
    }

    /// Damaged rows of each page.
    #[must_use]
    pub const fn bad_lines(mut self, rows: u32) -> Self {
        self.bad_lines = rows;
        self
    }

    /// The sender has no T.38.
    #[must_use]
    pub const fn over_audio(mut self) -> Self {
        self.t38 = false;
        self
    }

    /// Time for each page.
    #[must_use]
    pub const fn page_time(mut self, time: Duration) -> Self {
        self.page = Some(time);
        self
    }
}

/// What a caller sees of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerSaw {
    /// Not answered yet.
    Ringing,
    /// Answered.
    Answered,
    /// Ended, with this Q.850 cause: that of the refusal, or of the BYE.
    Ended {
        /// The cause; 0 when the server named none for a call that it did not answer.
        cause: u32,
    },
}

/// A caller as the state keeps it.
#[derive(Debug)]
pub(super) struct Caller {
    pub script: IncomingScript,
    /// The Q.850 cause of its end.
    pub ended: Option<u32>,
}
