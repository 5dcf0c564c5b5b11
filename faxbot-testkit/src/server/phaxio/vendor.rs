//! The vendor: its account, its faxes, its callbacks.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

use bytes::Bytes;
use faxbot_core::{
    Timestamp,
    clock::{Clock as _, TokioClock},
};
use tokio::time::Instant;
use url::Url;

use super::{
    books::BookedFax,
    callback::{self, CallbackVersion, Event, Manner},
    document::blank_pdf,
    fax::{Birth, Failure, Fax},
    life::{Schedule, What},
    order::{Refusal, refused},
    pace::FaxPace,
    route,
};
use crate::{
    fixtures::private,
    server::{
        base::matches,
        fax_end::FaxEnd,
        http::{Callback, HttpAnswer, MockHttp, MockVendor, RetryRule, SeenRequest},
    },
};

/// The id of the first fax. Those of the vendor have nine digits (cassette `create.yml`).
const FIRST_ID: u64 = 323_034_811;

/// Phaxio v2.1: see the [module](super).
pub struct MockPhaxio {
    key: String,
    secret: String,
    token: Option<String>,
    report: Option<String>,
    incoming: Option<String>,
    version: CallbackVersion,
    incoming_has_file: bool,
    rules: Vec<(String, FaxEnd)>,
    next: VecDeque<FaxEnd>,
    refused: Vec<String>,
    rate: Option<usize>,
    /// When the last requests came.
    lately: VecDeque<Instant>,
    requests: u64,
    last_id: u64,
    clock: TokioClock,
    pub(super) tells_inflight: bool,
    pub(super) has_test_keys: bool,
    pub(super) numbers: Vec<String>,
    pub(super) without_funds: bool,
    pub(super) redials: u32,
    pub(super) pace: FaxPace,
    pub(super) list_lag: Duration,
    pub(super) faxes: BTreeMap<u64, Fax>,
    pub(super) schedule: Schedule,
}

impl Default for MockPhaxio {
    fn default() -> Self {
        Self::new()
    }
}

impl MockPhaxio {
    /// The API key unless told otherwise.
    pub const KEY: &'static str = private::KEY;
    /// The API secret unless told otherwise.
    pub const SECRET: &'static str = private::DEFAULT_SECRET;
    /// The token that signs callbacks unless told otherwise.
    pub const TOKEN: &'static str = private::SECRET;

    /// An account with live keys, without addresses for callbacks.
    pub fn new() -> Self {
        Self {
            key: Self::KEY.to_owned(),
            secret: Self::SECRET.to_owned(),
            token: Some(Self::TOKEN.to_owned()),
            report: None,
            incoming: None,
            version: CallbackVersion::default(),
            incoming_has_file: true,
            rules: Vec::new(),
            next: VecDeque::new(),
            refused: Vec::new(),
            rate: None,
            lately: VecDeque::new(),
            requests: 0,
            last_id: FIRST_ID - 1,
            clock: TokioClock::new(),
            tells_inflight: false,
            has_test_keys: false,
            numbers: Vec::new(),
            without_funds: false,
            redials: 0,
            pace: FaxPace::default(),
            list_lag: Duration::ZERO,
            faxes: BTreeMap::new(),
            schedule: Schedule::default(),
        }
    }

    /// The API key and its secret.
    #[must_use]
    pub fn keys(mut self, key: &str, secret: &str) -> Self {
        key.clone_into(&mut self.key);
        secret.clone_into(&mut self.secret);
        self
    }

    /// The keys are those of tests: faxes can be deleted, let come in, and told to fail.
    #[must_use]
    pub fn test_keys(mut self) -> Self {
        self.has_test_keys = true;
        self
    }

    /// The token that signs callbacks; `None` leaves them unsigned.
    #[must_use]
    pub fn token(mut self, token: Option<&str>) -> Self {
        self.token = token.map(str::to_owned);
        self
    }

    /// Where the end of a fax is told that has no `callback_url` of its own. Signed as it is written
    /// here.
    #[must_use]
    pub fn reports_to(mut self, url: &str) -> Self {
        self.report = Some(url.to_owned());
        self
    }

    /// Where faxes that come in are told. Signed as it is written here.
    #[must_use]
    pub fn calls_back(mut self, url: &str) -> Self {
        self.incoming = Some(url.to_owned());
        self
    }

    /// Which fields callbacks have.
    #[must_use]
    pub fn version(mut self, version: CallbackVersion) -> Self {
        self.version = version;
        self
    }

    /// Tells of each page and of each dial that failed.
    #[must_use]
    pub fn with_inflight(mut self) -> Self {
        self.tells_inflight = true;
        self
    }

    /// Tells of faxes that come in without their file.
    #[must_use]
    pub fn without_file(mut self) -> Self {
        self.incoming_has_file = false;
        self
    }

    /// The numbers of the account; another `caller_id` is refused. Without any, none is.
    #[must_use]
    pub fn numbers(mut self, numbers: &[&str]) -> Self {
        self.numbers = numbers.iter().map(|&number| number.to_owned()).collect();
        self
    }

    /// How long faxes take.
    #[must_use]
    pub fn pace(mut self, pace: FaxPace) -> Self {
        self.pace = pace;
        self
    }

    /// How faxes to a number end; a `*` at the end stands for anything, and the last rule that matches
    /// counts. Without any they succeed.
    #[must_use]
    pub fn on_number(mut self, pattern: &str, end: FaxEnd) -> Self {
        self.set_number(pattern, end);
        self
    }

    /// Numbers that are refused with 422, by the same patterns.
    #[must_use]
    pub fn refuses_number(mut self, pattern: &str) -> Self {
        self.refuse_number(pattern);
        self
    }

    /// So many dials of each number fail before the one that counts.
    #[must_use]
    pub fn redials(mut self, dials: u32) -> Self {
        self.redials = dials;
        self
    }

    /// More requests in one second are refused with 429. Phaxio takes one in a second; the mock any
    /// number, unless told otherwise.
    #[must_use]
    pub fn rate(mut self, per_second: usize) -> Self {
        self.rate = Some(per_second);
        self
    }

    /// A fax that was sent is in no list for so long.
    #[must_use]
    pub fn list_lag(mut self, lag: Duration) -> Self {
        self.list_lag = lag;
        self
    }

    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When no port can be had.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn start(self) -> MockHttp<Self> {
        MockHttp::start(self).await
    }

    /// Starts it without a socket.
    pub fn in_memory(self) -> MockHttp<Self> {
        MockHttp::in_memory(self)
    }

    /// How faxes to a number end from now on; see [`on_number`](Self::on_number).
    pub fn set_number(&mut self, pattern: &str, end: FaxEnd) {
        self.rules.push((pattern.to_owned(), end));
    }

    /// Numbers that are refused from now on; see [`refuses_number`](Self::refuses_number).
    pub fn refuse_number(&mut self, pattern: &str) {
        self.refused.push(pattern.to_owned());
    }

    /// Where faxes that come in are told, from now on.
    pub fn set_incoming_callback(&mut self, url: &str) {
        self.incoming = Some(url.to_owned());
    }

    /// How the next fax to one number ends, before all rules. Several queue up.
    pub fn next_fax(&mut self, end: FaxEnd) {
        self.next.push_back(end);
    }

    /// Refuses faxes because the account has no money, or ends that.
    pub fn set_without_funds(&mut self, yes: bool) {
        self.without_funds = yes;
    }

    /// How long a fax is in no list from now on.
    pub fn set_list_lag(&mut self, lag: Duration) {
        self.list_lag = lag;
    }

    /// Every fax that was taken and not deleted, in their order, whether the answer arrived or not.
    pub fn books(&self) -> Vec<BookedFax> {
        let sent = self.faxes.values().filter(|fax| fax.sent);
        sent.map(BookedFax::new).collect()
    }

    /// A fax comes in, and the vendor tells of it. Answers its id.
    pub fn receive(&mut self, from: &str, to: &str, pdf: impl Into<Bytes>) -> u64 {
        self.came(from, to, pdf.into(), true)
    }

    /// A fax comes in, and nobody is told: only the list has it. Answers its id.
    pub fn receive_quietly(&mut self, from: &str, to: &str, pdf: impl Into<Bytes>) -> u64 {
        self.came(from, to, pdf.into(), false)
    }

    /// A PDF of so many empty pages.
    pub fn blank_pdf(pages: u32) -> Bytes {
        blank_pdf(pages)
    }

    /// Ends a fax that is not over, now and so, and tells of it; `false` for an id that is none, or
    /// over.
    pub fn settle(&mut self, id: u64, end: &FaxEnd) -> bool {
        let now = Instant::now();
        let wall = self.wall(now);
        let Some(fax) = self.faxes.get_mut(&id).filter(|fax| !fax.is_over()) else {
            return false;
        };
        fax.run += 1;
        if fax.shown_pages == 0 {
            fax.starts();
        }
        for index in 0..fax.recipients.len() {
            fax.ends(index, Failure::of(end), wall);
        }
        fax.complete(wall);
        self.schedule.add(now, fax, What::Tell);
        true
    }

    pub(super) fn came(&mut self, from: &str, to: &str, pdf: Bytes, tell: bool) -> u64 {
        let now = Instant::now();
        let birth = Birth {
            id: self.next_id(),
            is_test: self.has_test_keys,
            now,
            wall: self.wall(now),
        };
        let fax = Fax::received(birth, from, to, pdf);
        if tell {
            self.schedule.add(now, &fax, What::Tell);
        }
        self.faxes.insert(fax.id, fax);
        birth.id
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn refuses(&self, number: &str) -> bool {
        self.refused.iter().any(|pattern| matches(pattern, number))
    }

    pub(super) fn end_of(&mut self, number: &str) -> FaxEnd {
        let mut rules = self.rules.iter().rev();
        let rule = rules.find(|(pattern, _)| matches(pattern, number));
        let rule = rule.map(|(_, end)| end.clone());
        self.next.pop_front().or(rule).unwrap_or_default()
    }

    /// Wall time of a moment that is near.
    pub(super) fn wall(&self, at: Instant) -> Timestamp {
        let (now, wall) = (Instant::now(), self.clock.timestamp());
        wall - now.saturating_duration_since(at) + at.saturating_duration_since(now)
    }

    pub(super) fn callback(&self, fax: &Fax, event: &Event) -> Option<Callback> {
        let url = if fax.sent {
            fax.order.callback_url.as_ref().or(self.report.as_ref())
        } else {
            self.incoming.as_ref()
        };
        let manner = Manner {
            url: url?.clone(),
            token: self.token.clone(),
            version: self.version,
            with_file: self.incoming_has_file,
        };
        callback::tell(fax, event, &manner)
    }

    fn check(&mut self, request: &SeenRequest, now: Instant) -> Result<(), Refusal> {
        let own = (self.key.clone(), self.secret.clone());
        if request.basic() != Some(own) {
            return Err(refused(401, "Auth failure."));
        }
        let Some(rate) = self.rate else {
            return Ok(());
        };
        let second = Duration::from_secs(1);
        self.lately.retain(|at| now.duration_since(*at) < second);
        if self.lately.len() >= rate {
            return Err(refused(429, "Rate limited"));
        }
        self.lately.push_back(now);
        Ok(())
    }
}

impl MockVendor for MockPhaxio {
    fn handle(&mut self, request: &SeenRequest, now: Instant) -> HttpAnswer {
        self.requests += 1;
        let segments = request.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        let answer = match path.as_slice() {
            ["v2.1", "faxes", rest @ ..] => self
                .check(request, now)
                .and_then(|()| route::route(self, request, rest, now)),
            _ => Err(refused(404, "Not found failure.")),
        };
        let answer = answer.unwrap_or_else(Refusal::answer);
        answer.with_header("x-request-id", &format!("mock-{:08x}", self.requests))
    }

    fn tick(&mut self, now: Instant) -> Vec<Callback> {
        self.advance(now)
    }

    fn due(&self) -> Option<Instant> {
        self.schedule.due()
    }

    /// Until the reply is 2xx: after 5, 10, 20 and 30 minutes, then twelve times after 6 hours
    /// (`www.phaxio.com/docs/api/v2.1/faxes/receive_callback`).
    fn retry_rule(&self) -> RetryRule {
        let minutes = [5, 10, 20, 30].into_iter().chain([360; 12]);
        let waits: Vec<Duration> = minutes.map(|time| Duration::from_secs(60 * time)).collect();
        RetryRule::new(waits)
    }
}

impl MockHttp<MockPhaxio> {
    /// The base of its calls, `/v2.1/`.
    pub fn api_url(&self) -> Url {
        let mut url = self.url();
        url.set_path("/v2.1/");
        url
    }
}

impl fmt::Debug for MockPhaxio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockPhaxio")
            .field("faxes", &self.faxes.len())
            .finish_non_exhaustive()
    }
}
