//! What a mock is told to do: how calls end, how faxes go, how replies fail, how long it takes.

use std::time::Duration;

use bytes::Bytes;

/// How long things take, on tokio's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Before a refused login is answered. Asterisk takes exactly one second (recording
    /// `01_login_bad_secret`), FreeSWITCH none.
    pub login_failure: Duration,
    /// Without a login for so long, the connection is closed. Asterisk: 30 s (recording
    /// `01_auth_timeout`), FreeSWITCH: 25 s (recording `01_pre_auth_timeout`).
    pub login: Duration,
    /// From the request to the ringing.
    pub setup: Duration,
    /// From the ringing to the answer.
    pub ring: Duration,
    /// From the answer to the start of the fax.
    pub negotiation: Duration,
    /// From the answer to the failure, when the far end refuses T.38 and no fallback is allowed.
    pub t38_refusal: Duration,
    /// For one page.
    pub page: Duration,
    /// From the far end's hang-up to the last values.
    pub ending: Duration,
    /// Before a hangup handler of Asterisk has written to the disk.
    pub disk: Duration,
    /// From the answer to a `Redirect` until the channel follows it. `Bridge` is refused meanwhile. One
    /// to two milliseconds (observed on Asterisk 16.28 and 22.10).
    pub redirect: Duration,
}

impl Timings {
    /// Nothing takes time but the refused login's and the silent client's.
    pub const fn instant() -> Self {
        let zero = Duration::ZERO;
        Self {
            login_failure: Duration::from_secs(1),
            login: Duration::from_secs(30),
            setup: zero,
            ring: zero,
            negotiation: zero,
            t38_refusal: zero,
            page: zero,
            ending: zero,
            disk: zero,
            redirect: zero,
        }
    }

    /// Short enough for tests on real sockets, long enough to see states. The default.
    pub const fn quick() -> Self {
        let mut timings = Self::instant();
        timings.setup = Duration::from_millis(5);
        timings.ring = Duration::from_millis(20);
        timings.negotiation = Duration::from_millis(40);
        timings.t38_refusal = Duration::from_millis(100);
        timings.page = Duration::from_millis(60);
        timings.ending = Duration::from_millis(17);
        timings.redirect = Duration::from_millis(2);
        timings
    }

    /// As observed on Asterisk 22.10 (recordings `06_fax_t38_ok`, `06_fax_not_a_fax`). For a
    /// paused clock.
    pub const fn real() -> Self {
        let mut timings = Self::quick();
        timings.ring = Duration::from_secs(2);
        timings.negotiation = Duration::from_secs(4);
        timings.t38_refusal = Duration::from_secs(10);
        timings.page = Duration::from_secs(16);
        timings
    }

    /// Sets the time for one page.
    #[must_use]
    pub const fn page(mut self, time: Duration) -> Self {
        self.page = time;
        self
    }

    /// Sets the time from the ringing to the answer.
    #[must_use]
    pub const fn ring(mut self, time: Duration) -> Self {
        self.ring = time;
        self
    }

    /// Sets the time from the answer to the start of the fax.
    #[must_use]
    pub const fn negotiation(mut self, time: Duration) -> Self {
        self.negotiation = time;
        self
    }

    /// Sets the time before a refused login is answered.
    #[must_use]
    pub const fn login_failure(mut self, time: Duration) -> Self {
        self.login_failure = time;
        self
    }

    /// Sets the time that a client has for its login.
    #[must_use]
    pub const fn login(mut self, time: Duration) -> Self {
        self.login = time;
        self
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self::quick()
    }
}

/// How the far end takes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Answer,
    Busy,
    Congestion,
    NoAnswer,
    RingsForEver,
    Unreachable,
    NoEndpoint,
    Rejected(u16),
}

/// Why a fax fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FaxFailure {
    pub after_pages: u32,
    pub error: String,
    pub text: String,
}

/// How the far end takes a fax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FaxScript {
    pub station: String,
    pub t38: bool,
    pub failure: Option<FaxFailure>,
    pub never_starts: bool,
}

/// What goes wrong with one reply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyFault {
    /// The reply comes after this time; the action was carried out at once, and nothing else is
    /// sent on that connection meanwhile.
    Slow(Duration),
    /// The action is carried out, and the link drops without a reply.
    DropBefore,
    /// The link drops right behind the reply.
    DropAfter,
    /// The action is carried out, and these bytes come instead of the reply.
    Garbage(Bytes),
    /// The action is not carried out: an error with this text.
    Refuse(String),
    /// The action is carried out, and no reply comes.
    Silent,
}

/// What happens to one call. The far end answers unless told otherwise, and takes a fax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallScript {
    pub(super) ending: Ending,
    pub(super) ring: Option<Duration>,
    pub(super) progress: bool,
    pub(super) hangup_after: Option<Duration>,
    pub(super) page: Option<Duration>,
    pub(super) fax: FaxScript,
    pub(super) reply: Option<ReplyFault>,
    pub(super) hangup_first: Option<bool>,
}

impl CallScript {
    const fn new(ending: Ending) -> Self {
        Self {
            ending,
            ring: None,
            progress: false,
            hangup_after: None,
            page: None,
            fax: FaxScript {
                station: String::new(),
                t38: true,
                failure: None,
                never_starts: false,
            },
            reply: None,
            hangup_first: None,
        }
    }

    /// The far end answers. `SendFAX` on this call succeeds with all pages of the file.
    pub fn answer() -> Self {
        Self::new(Ending::Answer).station("RECEIVER")
    }

    /// Busy: SIP 486, or `Busy()` behind a Local channel.
    pub fn busy() -> Self {
        Self::new(Ending::Busy)
    }

    /// All lines taken: SIP 503, or `Congestion()` behind a Local channel.
    pub fn congestion() -> Self {
        Self::new(Ending::Congestion)
    }

    /// Rings until the time-out of the request.
    pub fn no_answer() -> Self {
        Self::new(Ending::NoAnswer)
    }

    /// Rings for ever, whatever the time-out of the request: for the caller's own time-outs.
    pub fn rings_for_ever() -> Self {
        Self::new(Ending::RingsForEver)
    }

    /// Nothing answers, not even a ringing, until the time-out of the request.
    pub fn unreachable() -> Self {
        Self::new(Ending::Unreachable)
    }

    /// There is no such endpoint: a `Dial` makes no channel, and an `Originate` fails at once.
    pub fn no_such_endpoint() -> Self {
        Self::new(Ending::NoEndpoint)
    }

    /// Sound before the answer (SIP 183), and no ringing: the far end answers after this time. A
    /// time longer than the ring time-out is a 183 without an answer.
    pub fn early_media(time: Duration) -> Self {
        Self::answer().rings(time).with_early_media()
    }

    /// Rejected with a SIP status.
    pub fn rejected(status: u16) -> Self {
        Self::new(Ending::Rejected(status))
    }

    /// The fax fails when so many pages are confirmed: the far end hangs up. `FAXERROR` and
    /// `FAXSTATUSSTRING` of Asterisk have these values at last; FreeSWITCH says the text, with the
    /// code that it has in T.30.
    pub fn fax_fails_after(pages: u32, error: &str, text: &str) -> Self {
        let mut script = Self::answer();
        script.fax.failure = Some(FaxFailure {
            after_pages: pages,
            error: error.to_owned(),
            text: text.to_owned(),
        });
        script
    }

    /// The party that answers refuses T.38: `T38_NEG_ERROR`, or an audio fax when the option `f`
    /// allows it.
    pub fn refuses_t38() -> Self {
        let mut script = Self::answer();
        script.fax.t38 = false;
        script
    }

    /// The party that answers is no fax and stays silent: an audio fax never begins.
    pub fn not_a_fax() -> Self {
        let mut script = Self::refuses_t38();
        script.fax.never_starts = true;
        script
    }

    /// The station id of the receiving fax (default `RECEIVER`).
    #[must_use]
    pub fn station(mut self, id: &str) -> Self {
        id.clone_into(&mut self.fax.station);
        self
    }

    /// Rings for so long before it ends in what was chosen.
    #[must_use]
    pub const fn rings(mut self, time: Duration) -> Self {
        self.ring = Some(time);
        self
    }

    /// Instead of ringing it sends sound before the answer (SIP 183, recording
    /// `04_pjsip_early_media_183`).
    #[must_use]
    pub const fn with_early_media(mut self) -> Self {
        self.progress = true;
        self
    }

    /// The far end hangs up so long after the answer.
    #[must_use]
    pub const fn hangs_up_after(mut self, time: Duration) -> Self {
        self.hangup_after = Some(time);
        self
    }

    /// Time for each page of this fax.
    #[must_use]
    pub const fn page_time(mut self, time: Duration) -> Self {
        self.page = Some(time);
        self
    }

    /// What goes wrong with the reply to the `Originate`.
    #[must_use]
    pub fn reply(mut self, fault: ReplyFault) -> Self {
        self.reply = Some(fault);
        self
    }

    /// Whether `Hangup` comes before `OriginateResponse` when the call fails. By default as
    /// observed: before for 404 and 408, after for the others (recordings `04_pjsip_rejected_*`).
    #[must_use]
    pub const fn hangup_first(mut self, first: bool) -> Self {
        self.hangup_first = Some(first);
        self
    }
}
