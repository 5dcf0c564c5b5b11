//! The vendor: its project, its faxes, its callbacks.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

use bytes::Bytes;
use faxbot_core::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{
    books::BookedFax,
    callback::{self, Manner},
    document::Document,
    fax::{Direction, Fax, FaxDialect},
    order::Order,
    route,
    script::FaxPace,
};
use crate::{
    fixtures::private,
    random::Seed,
    server::{
        fax_end::FaxEnd,
        http::{Callback, HttpAnswer, MockHttp, MockVendor, RetryRule, SeenRequest},
        sinch::{Refused, Standing, Tokens, Ulids, Wall, refused},
    },
};

/// Sinch Fax v3: see the [module](super).
pub struct MockSinchFax {
    project: String,
    tokens: Tokens,
    takes_basic: bool,
    incoming: Option<Url>,
    incoming_is_json: bool,
    pace: FaxPace,
    rules: Vec<(String, FaxEnd)>,
    next: VecDeque<FaxEnd>,
    pub(super) service: String,
    pub(super) max_retries: u32,
    pub(super) dialect: FaxDialect,
    pub(super) list_lag: Duration,
    pub(super) without_funds: bool,
    pub(super) faxes: Vec<Fax>,
    /// The faxes that are to be told of, by time.
    due: BTreeMap<(Timestamp, u64), usize>,
    made: u64,
    ids: Ulids,
    wall: Wall,
}

impl Default for MockSinchFax {
    fn default() -> Self {
        Self::new()
    }
}

impl MockSinchFax {
    /// The project unless told otherwise.
    pub const PROJECT: &'static str = "mock-project-7d21";
    /// The key of the project unless told otherwise.
    pub const KEY_ID: &'static str = "mock-key-19ab";
    /// The secret of the key unless told otherwise.
    pub const KEY_SECRET: &'static str = private::DEFAULT_SECRET;
    /// The fax service of the project unless told otherwise.
    pub const SERVICE: &'static str = "01MOCKSERVICE00000000000AA";

    /// A project with one service, without an address for faxes that come in.
    pub fn new() -> Self {
        Self {
            project: Self::PROJECT.to_owned(),
            tokens: Tokens::new(Self::KEY_ID, Self::KEY_SECRET),
            takes_basic: true,
            incoming: None,
            incoming_is_json: false,
            pace: FaxPace::default(),
            rules: Vec::new(),
            next: VecDeque::new(),
            service: Self::SERVICE.to_owned(),
            max_retries: 3,
            dialect: FaxDialect::default(),
            list_lag: Duration::ZERO,
            without_funds: false,
            faxes: Vec::new(),
            due: BTreeMap::new(),
            made: 0,
            ids: Ulids::new(Seed(0x5145_5afa)),
            wall: Wall::new(),
        }
    }

    /// The project, its key and the secret of that.
    #[must_use]
    pub fn project(mut self, project: &str, key_id: &str, key_secret: &str) -> Self {
        project.clone_into(&mut self.project);
        self.tokens = Tokens::new(key_id, key_secret);
        self
    }

    /// The fax service of the project.
    #[must_use]
    pub fn service(mut self, id: &str) -> Self {
        id.clone_into(&mut self.service);
        self
    }

    /// How often the service dials again when a fax does not say; 3.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// What a token lives; an hour.
    #[must_use]
    pub fn token_life(mut self, life: Duration) -> Self {
        self.tokens.life = life;
        self
    }

    /// Takes tokens only, no key and secret with each request.
    #[must_use]
    pub fn without_basic(mut self) -> Self {
        self.takes_basic = false;
        self
    }

    /// Where the service tells of faxes that came in, as a form.
    #[must_use]
    pub fn calls_back(mut self, url: Url) -> Self {
        self.incoming = Some(url);
        self
    }

    /// Tells of faxes that came in as JSON.
    #[must_use]
    pub fn incoming_as_json(mut self) -> Self {
        self.incoming_is_json = true;
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

    /// Which types the JSON has.
    #[must_use]
    pub fn dialect(mut self, dialect: FaxDialect) -> Self {
        self.dialect = dialect;
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

    /// How the next fax ends, before all rules. Several queue up.
    pub fn next_fax(&mut self, end: FaxEnd) {
        self.next.push_back(end);
    }

    /// Where the service tells of faxes that came in from now on; see [`calls_back`](Self::calls_back).
    pub fn set_callback(&mut self, url: Option<Url>) {
        self.incoming = url;
    }

    /// How long a fax is in no list from now on.
    pub fn set_list_lag(&mut self, lag: Duration) {
        self.list_lag = lag;
    }

    /// Refuses faxes with 402, or ends that.
    pub fn set_without_funds(&mut self, yes: bool) {
        self.without_funds = yes;
    }

    /// Ends all tokens: the next request with one is told that it is expired.
    pub fn expire_tokens(&mut self) {
        self.tokens.expire();
    }

    /// Tokens that were issued so far.
    pub fn tokens_issued(&self) -> usize {
        self.tokens.count()
    }

    /// Every fax that was taken, in their order, whether the answer arrived or not.
    pub fn books(&self) -> Vec<BookedFax> {
        let sent = self.faxes.iter();
        sent.filter(|fax| fax.direction == Direction::Outbound)
            .map(BookedFax::new)
            .collect()
    }

    /// A fax comes in, and the service tells of it. Answers its id.
    pub fn receive(&mut self, from: &str, to: &str, pdf: impl Into<Bytes>) -> String {
        let (id, at) = self.came(from, to, pdf.into());
        self.schedule(at, self.faxes.len() - 1);
        id
    }

    /// A fax comes in, and nobody is told: only the list has it.
    pub fn receive_quietly(&mut self, from: &str, to: &str, pdf: impl Into<Bytes>) -> String {
        self.came(from, to, pdf.into()).0
    }

    fn came(&mut self, from: &str, to: &str, pdf: Bytes) -> (String, Timestamp) {
        let now = self.wall.at(Instant::now());
        let id = self.ids.next(now);
        let pages = Document::of("PDF", pdf.clone()).pages();
        let own = (self.project.as_str(), self.service.as_str());
        let fax = Fax::inbound(id.clone(), now, own, (from, to), (pdf, pages));
        self.faxes.push(fax);
        (id, now)
    }

    /// Ends a fax that is not over, now and so; `false` for an id that is none.
    pub fn settle(&mut self, id: &str, end: &FaxEnd) -> bool {
        let now = self.wall.at(Instant::now());
        let Some(index) = self.faxes.iter().position(|fax| fax.id == id) else {
            return false;
        };
        if let Some(fax) = self.faxes.get_mut(index) {
            fax.settle(now, end);
            let ends = fax.ends();
            self.due.retain(|_, due| *due != index);
            if let Some(at) = ends.filter(|at| *at >= now) {
                self.schedule(at, index);
            }
        }
        true
    }

    pub(super) fn fax(&self, id: &str) -> Option<&Fax> {
        self.faxes.iter().find(|fax| fax.id == id)
    }

    pub(super) fn fax_mut(&mut self, id: &str) -> Option<&mut Fax> {
        self.faxes.iter_mut().find(|fax| fax.id == id)
    }

    pub(super) fn create(&mut self, order: &Order, now: Timestamp) -> Vec<Value> {
        let mut told = Vec::new();
        for to in &order.to {
            let id = self.ids.next(now);
            let end = self.end_of(to);
            let own = (self.project.as_str(), to.as_str(), order);
            let fax = Fax::outbound(id, now, own, (self.pace, &end));
            told.push(fax.json(now, self.dialect));
            let ends = fax.ends();
            self.faxes.push(fax);
            if let Some(at) = ends {
                self.schedule(at, self.faxes.len() - 1);
            }
        }
        told
    }

    fn end_of(&mut self, to: &str) -> FaxEnd {
        let rule = self.rules.iter().rev().find(|(pattern, _)| {
            pattern
                .strip_suffix('*')
                .map_or(pattern == to, |start| to.starts_with(start))
        });
        let rule = rule.map(|(_, end)| end.clone());
        self.next.pop_front().or(rule).unwrap_or_default()
    }

    fn schedule(&mut self, at: Timestamp, fax: usize) {
        self.made += 1;
        self.due.insert((at, self.made), fax);
    }

    fn callback(&self, fax: usize, now: Timestamp) -> Option<Callback> {
        let fax = self.faxes.get(fax)?;
        let (event, url, json) = match fax.direction {
            Direction::Inbound => ("INCOMING_FAX", &self.incoming, self.incoming_is_json),
            Direction::Outbound => ("FAX_COMPLETED", &fax.callback, fax.callback_is_json),
        };
        let manner = Manner {
            event,
            json,
            dialect: self.dialect,
        };
        Some(callback::tell(fax, url.as_ref()?, manner, now))
    }

    /// Whether a request may do what it wants in this project.
    fn check(&self, request: &SeenRequest, project: &str, now: Timestamp) -> Result<(), Refused> {
        let allowed = match request.bearer() {
            Some(token) => match self.tokens.standing(token, now) {
                Standing::Good => true,
                Standing::Expired => return Err(refused(true)),
                Standing::Unknown => false,
            },
            None => self.takes_basic && self.tokens.knows(request.basic()),
        };
        // "You have the wrong API key, secret, or project", says the vendor of a 401.
        (allowed && project == self.project)
            .then_some(())
            .ok_or_else(|| refused(false))
    }
}

impl MockVendor for MockSinchFax {
    fn handle(&mut self, request: &SeenRequest, now: Instant) -> HttpAnswer {
        let now = self.wall.at(now);
        let path = request.segments();
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let project = match parts.as_slice() {
            ["oauth2", "token"] => return self.tokens.answer(request, &mut self.ids, now),
            ["v3", "projects", project, ..] => *project,
            _ => return *route::error(404, "Not found", "There is nothing here"),
        };
        if let Err(refused) = self.check(request, project, now) {
            return *refused;
        }
        let path = path.get(3..).unwrap_or_default().to_vec();
        route::route(self, request, &path, now).unwrap_or_else(|refused| *refused)
    }

    fn tick(&mut self, now: Instant) -> Vec<Callback> {
        let now = self.wall.at(now);
        let mut callbacks = Vec::new();
        while let Some(first) = self.due.first_entry() {
            if first.key().0 > now {
                break;
            }
            let fax = first.remove();
            callbacks.extend(self.callback(fax, now));
        }
        callbacks
    }

    fn due(&self) -> Option<Instant> {
        let ((at, _), _) = self.due.first_key_value()?;
        Some(self.wall.instant(*at))
    }

    /// Until the reply is 200: after 5, 10, 20 and 30 minutes, then twelve times after 6 hours. It waits a
    /// minute for the reply.
    fn retry_rule(&self) -> RetryRule {
        let minutes = [5, 10, 20, 30].into_iter().chain([360; 12]);
        let waits: Vec<Duration> = minutes.map(|time| Duration::from_secs(60 * time)).collect();
        RetryRule::new(waits).only_after(|status| status != 200)
    }
}

impl fmt::Debug for MockSinchFax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockSinchFax")
            .field("faxes", &self.faxes.len())
            .finish_non_exhaustive()
    }
}
