//! The vendor: its plan, its batches, its callbacks.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

use faxbot_core::Timestamp;
use http::StatusCode;
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::{
    batch::{Batch, Checked},
    books::BookedSms,
    callback::Due,
    inbound::{IncomingSms, Received},
    route,
    script::{SmsEnd, SmsPace},
};
use crate::{
    fixtures::private,
    random::Seed,
    server::{
        http::{Callback, HttpAnswer, MockHttp, MockVendor, RetryRule, SeenRequest},
        sinch::{Refused, Standing, Tokens, Ulids, Wall, refused},
    },
};

/// Sinch SMS (XMS v1): see the [module](super).
pub struct MockSinchSms {
    plan: String,
    token: String,
    project: String,
    tokens: Tokens,
    pub(super) secret: Option<String>,
    pub(super) callback: Option<Url>,
    pace: SmsPace,
    rules: Vec<(String, SmsEnd)>,
    next: VecDeque<SmsEnd>,
    pub(super) region: String,
    pub(super) plus_on_output: bool,
    pub(super) list_lag: Duration,
    pub(super) blocked: bool,
    pub(super) batches: Vec<Batch>,
    pub(super) received: Vec<Received>,
    pub(super) due: BTreeMap<(Timestamp, u64), Due>,
    pub(super) made: u64,
    pub(super) ids: Ulids,
    wall: Wall,
}

impl Default for MockSinchSms {
    fn default() -> Self {
        Self::new()
    }
}

impl MockSinchSms {
    /// The service plan unless told otherwise.
    pub const PLAN: &'static str = "mockplan4f1c";
    /// The API token unless told otherwise.
    pub const API_TOKEN: &'static str = private::DEFAULT_SECRET;
    /// The project of OAuth2 unless told otherwise; it stands in the path where the plan does.
    pub const PROJECT: &'static str = "mock-project-7d21";
    /// The key of the project unless told otherwise; its secret is [`API_TOKEN`](Self::API_TOKEN).
    pub const KEY_ID: &'static str = "mock-key-19ab";

    /// A plan of the region `us`, without callbacks and signatures.
    pub fn new() -> Self {
        Self {
            plan: Self::PLAN.to_owned(),
            token: Self::API_TOKEN.to_owned(),
            project: Self::PROJECT.to_owned(),
            tokens: Tokens::new(Self::KEY_ID, Self::API_TOKEN),
            secret: None,
            callback: None,
            pace: SmsPace::default(),
            rules: Vec::new(),
            next: VecDeque::new(),
            region: "us".to_owned(),
            plus_on_output: false,
            list_lag: Duration::ZERO,
            blocked: false,
            batches: Vec::new(),
            received: Vec::new(),
            due: BTreeMap::new(),
            made: 0,
            ids: Ulids::new(Seed(0x5145_5a53)),
            wall: Wall::new(),
        }
    }

    /// The service plan and its API token.
    #[must_use]
    pub fn plan(mut self, plan: &str, token: &str) -> Self {
        plan.clone_into(&mut self.plan);
        token.clone_into(&mut self.token);
        self
    }

    /// The project of OAuth2, its key and the secret of that.
    #[must_use]
    pub fn project(mut self, project: &str, key_id: &str, key_secret: &str) -> Self {
        project.clone_into(&mut self.project);
        self.tokens = Tokens::new(key_id, key_secret);
        self
    }

    /// What a token of OAuth2 lives; an hour.
    #[must_use]
    pub fn token_life(mut self, life: Duration) -> Self {
        self.tokens.life = life;
        self
    }

    /// Signs callbacks with this secret of the plan.
    #[must_use]
    pub fn signs_with(mut self, secret: &str) -> Self {
        self.secret = Some(secret.to_owned());
        self
    }

    /// Where callbacks go when a batch names no address, and those of inbound messages.
    #[must_use]
    pub fn calls_back(mut self, url: Url) -> Self {
        self.callback = Some(url);
        self
    }

    /// How long messages take.
    #[must_use]
    pub fn pace(mut self, pace: SmsPace) -> Self {
        self.pace = pace;
        self
    }

    /// How messages to a number end; a `*` at the end stands for anything, and the last rule that matches
    /// counts. Without any they arrive. A `+` counts for nothing.
    #[must_use]
    pub fn on_number(mut self, pattern: &str, end: SmsEnd) -> Self {
        self.set_number(pattern, end);
        self
    }

    /// The region of the plan; MMS is offered in `us` only.
    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.region);
        self
    }

    /// Tells numbers of batches with a `+`, as some samples of the vendor do; by default without.
    #[must_use]
    pub fn plus_on_output(mut self) -> Self {
        self.plus_on_output = true;
        self
    }

    /// A batch, or a message that came in, is in no list for so long.
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

    /// How messages to a number end from now on; see [`on_number`](Self::on_number).
    pub fn set_number(&mut self, pattern: &str, end: SmsEnd) {
        let pattern = pattern.trim_start_matches('+').to_owned();
        self.rules.push((pattern, end));
    }

    /// How the next message ends, before all rules. Several queue up.
    pub fn next_message(&mut self, end: SmsEnd) {
        self.next.push_back(end);
    }

    /// Where callbacks go from now on; see [`calls_back`](Self::calls_back).
    pub fn set_callback(&mut self, url: Option<Url>) {
        self.callback = url;
    }

    /// How long they are in no list from now on; see [`list_lag`](Self::list_lag).
    pub fn set_list_lag(&mut self, lag: Duration) {
        self.list_lag = lag;
    }

    /// Refuses batches with 403 `blocked_account`, or ends that.
    pub fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// Ends all tokens of OAuth2: the next request with one is told that it is expired.
    pub fn expire_tokens(&mut self) {
        self.tokens.expire();
    }

    /// Tokens of OAuth2 that were issued so far.
    pub fn tokens_issued(&self) -> usize {
        self.tokens.count()
    }

    /// Every batch that was taken, in their order, whether its answer arrived or not.
    pub fn books(&self) -> Vec<BookedSms> {
        self.batches.iter().map(BookedSms::new).collect()
    }

    /// A message comes in. Answers its id.
    pub fn receive(&mut self, sms: IncomingSms) -> String {
        let now = self.wall.at(Instant::now());
        let id = self.ids.next(now);
        let received = self.received.len();
        if !sms.quiet {
            self.schedule(now, Due::Received { received });
        }
        self.received.push(Received {
            id: id.clone(),
            at: now,
            sms,
        });
        id
    }

    /// Ends the messages of a batch that are not over, now and so; `false` for an id that is none.
    pub fn settle(&mut self, id: &str, end: &SmsEnd) -> bool {
        let now = self.wall.at(Instant::now());
        let Some(index) = self.batches.iter().position(|batch| batch.id == id) else {
            return false;
        };
        if let Some(batch) = self.batches.get_mut(index) {
            for message in &mut batch.messages {
                message.settle(now, end);
            }
        }
        self.tell(index, now);
        true
    }

    pub(super) fn batch(&self, id: &str) -> Option<&Batch> {
        self.batches.iter().find(|batch| batch.id == id)
    }

    pub(super) fn create(
        &mut self,
        request: Map<String, Value>,
        checked: Checked,
        now: Timestamp,
    ) -> Value {
        let id = self.ids.next(now);
        let (rules, next) = (&self.rules, &mut self.next);
        let batch = Batch::new(id, now, (request, checked), self.pace, |to| {
            let rule = rules.iter().rev().find(|(pattern, _)| {
                pattern
                    .strip_suffix('*')
                    .map_or(pattern == to, |start| to.starts_with(start))
            });
            next.pop_front()
                .or_else(|| rule.map(|(_, end)| end.clone()))
                .unwrap_or_default()
        });
        let answer = batch.json(self.plus_on_output);
        self.batches.push(batch);
        self.tell(self.batches.len() - 1, now);
        answer
    }

    pub(super) fn cancel(&mut self, id: &str, now: Timestamp) -> Option<HttpAnswer> {
        let index = self.batches.iter().position(|batch| batch.id == id)?;
        let batch = self.batches.get_mut(index)?;
        batch.cancel(now);
        let answer = HttpAnswer::json(200, &batch.json(self.plus_on_output));
        self.tell(index, now);
        Some(answer)
    }

    /// Whether a request may do what it wants under this plan or project.
    fn check(&self, request: &SeenRequest, owner: &str, now: Timestamp) -> Result<(), Refused> {
        let bearer = request.bearer().ok_or_else(|| refused(false))?;
        if owner == self.plan {
            return (bearer == self.token)
                .then_some(())
                .ok_or_else(|| refused(false));
        }
        match self.tokens.standing(bearer, now) {
            Standing::Good if owner == self.project => Ok(()),
            Standing::Expired => Err(refused(true)),
            Standing::Good | Standing::Unknown => Err(refused(false)),
        }
    }
}

impl MockVendor for MockSinchSms {
    fn handle(&mut self, request: &SeenRequest, now: Instant) -> HttpAnswer {
        let now = self.wall.at(now);
        let path = request.segments();
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let owner = match parts.as_slice() {
            ["oauth2", "token"] => return self.tokens.answer(request, &mut self.ids, now),
            ["xms", "v1", owner, ..] => *owner,
            _ => return HttpAnswer::new(404),
        };
        if let Err(refused) = self.check(request, owner, now) {
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
            let due = first.remove();
            callbacks.extend(self.callback_of(&due, now));
        }
        callbacks
    }

    fn due(&self) -> Option<Instant> {
        let ((at, _), _) = self.due.first_key_value()?;
        Some(self.wall.instant(*at))
    }

    /// After 5 s, then twice as long each time up to 81920 s; after 5xx, 429 and no reply at all. Any
    /// other 4xx is taken as an answer, and the event is lost.
    fn retry_rule(&self) -> RetryRule {
        let waits: Vec<Duration> = (0..15).map(|time| Duration::from_secs(5 << time)).collect();
        RetryRule::new(waits).only_after(|status| {
            status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
        })
    }
}

impl fmt::Debug for MockSinchSms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockSinchSms")
            .field("batches", &self.batches.len())
            .field("received", &self.received.len())
            .finish_non_exhaustive()
    }
}
