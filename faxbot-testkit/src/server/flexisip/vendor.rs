//! The account manager: its Spaces, its accounts, what it sent.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::{
    account::{MockAccount, MockDevice},
    auth::Opaque,
    route,
    space::SpaceState,
    statistics::CallBook,
};
use crate::{
    fixtures::private,
    server::http::{HttpAnswer, MockHttp, MockVendor, SeenRequest},
};

/// Flexisip's account manager: see the [module](super).
pub struct MockFlexisip {
    pub(super) spaces: Vec<SpaceState>,
    pub(super) accounts: Vec<MockAccount>,
    pub(super) keys: BTreeMap<String, u64>,
    pub(super) bearers: BTreeMap<String, u64>,
    pub(super) opaques: BTreeMap<String, Opaque>,
    pub(super) algorithms: Vec<&'static str>,
    pub(super) of_2_0: bool,
    pub(super) daemon: Option<Result<(), String>>,
    pub(super) store_down: bool,
    pub(super) pusher_down: bool,
    pub(super) throttled: bool,
    pub(super) sent: Vec<(String, String)>,
    pub(super) pushed: Vec<String>,
    pub(super) types: Vec<(u64, String)>,
    pub(super) lists: Vec<(u64, String, String, Vec<u64>)>,
    /// Names of accounts that were deleted.
    pub(super) tombstones: Vec<String>,
    /// Creation tokens and whether they were used.
    pub(super) creation: BTreeMap<String, bool>,
    /// Requests for one, and whether the riddle was solved.
    pub(super) requests: BTreeMap<String, bool>,
    /// Tokens that stand for a login, and whose.
    pub(super) logins: BTreeMap<String, Option<u64>>,
    pub(super) calls: CallBook,
    pub(super) countries: Vec<(&'static str, &'static str, bool)>,
    pub(super) replays: usize,
    pub(super) digests: usize,
    pub(super) made: u64,
}

impl Default for MockFlexisip {
    fn default() -> Self {
        Self::new()
    }
}

impl MockFlexisip {
    /// The SIP domain of the Space.
    pub const DOMAIN: &'static str = "sip.mock.example";
    /// The API key of the admin, who is account 1.
    pub const ADMIN_KEY: &'static str = private::DEFAULT_SECRET;
    /// The user of an account without rights, which is account 2.
    pub const USER: &'static str = private::SIP_USER;
    /// The password of both.
    pub const PASSWORD: &'static str = private::SECRET;
    /// The API key of account 2.
    pub const USER_KEY: &'static str = private::KEY;

    /// A Space with an admin and an account, as 2.1 has it, without a linphone daemon. Digest goes by
    /// SHA-256 and MD5.
    pub fn new() -> Self {
        let mut admin = MockAccount::new(1, "admin", Self::DOMAIN, Self::PASSWORD);
        admin.admin = true;
        let user = MockAccount::new(2, Self::USER, Self::DOMAIN, Self::PASSWORD);
        Self {
            spaces: vec![SpaceState::new("Mock", Self::DOMAIN, "")],
            accounts: vec![admin, user],
            keys: BTreeMap::from([
                (Self::ADMIN_KEY.to_owned(), 1),
                (Self::USER_KEY.to_owned(), 2),
            ]),
            bearers: BTreeMap::new(),
            opaques: BTreeMap::new(),
            algorithms: vec!["MD5", "SHA-256"],
            of_2_0: false,
            daemon: None,
            store_down: false,
            pusher_down: false,
            throttled: false,
            sent: Vec::new(),
            pushed: Vec::new(),
            types: Vec::new(),
            lists: Vec::new(),
            tombstones: Vec::new(),
            creation: BTreeMap::new(),
            requests: BTreeMap::new(),
            logins: BTreeMap::new(),
            calls: CallBook::default(),
            countries: vec![("DE", "49", true), ("CA", "1", false), ("US", "1", false)],
            replays: 0,
            digests: 0,
            made: 100,
        }
    }

    /// As 2.0: admin routes take bearer and digest, too.
    #[must_use]
    pub fn of_2_0(mut self) -> Self {
        self.of_2_0 = true;
        self
    }

    /// The admin is a super admin.
    #[must_use]
    pub fn super_space(mut self) -> Self {
        for space in &mut self.spaces {
            space.is_super = true;
        }
        self
    }

    /// The server has a linphone daemon, which takes every message.
    #[must_use]
    pub fn with_daemon(mut self) -> Self {
        self.set_daemon(Some(Ok(())));
        self
    }

    /// The algorithms of passwords: `MD5`, `SHA-256`.
    #[must_use]
    pub fn algorithms(mut self, algorithms: &[&'static str]) -> Self {
        self.algorithms = algorithms.to_vec();
        self
    }

    /// A bearer that stands for an account.
    #[must_use]
    pub fn bearer(mut self, token: &str, account: u64) -> Self {
        self.bearers.insert(token.to_owned(), account);
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

    /// What its linphone daemon does from now on: none, takes messages, or refuses them in these words.
    pub fn set_daemon(&mut self, daemon: Option<Result<(), String>>) {
        self.daemon = daemon;
    }

    /// The store of registrations is down: no account has a device.
    pub fn set_store_down(&mut self, down: bool) {
        self.store_down = down;
    }

    /// No push is sent: 503.
    pub fn set_pusher_down(&mut self, down: bool) {
        self.pusher_down = down;
    }

    /// Every push of a token is too soon: 429.
    pub fn set_throttled(&mut self, throttled: bool) {
        self.throttled = throttled;
    }

    /// The Space ended: 403 on every route.
    pub fn set_expired(&mut self, expired: bool) {
        for space in &mut self.spaces {
            space.expired = expired;
        }
    }

    /// How many accounts the Space may have; 0 for any number.
    pub fn set_max_accounts(&mut self, most: usize) {
        for space in &mut self.spaces {
            space.max_accounts = most;
        }
    }

    /// Ends every challenge: the next response to one is `Invalid opaque`.
    pub fn forget_nonces(&mut self) {
        self.opaques.clear();
    }

    /// Makes an account. Answers its id.
    pub fn add_account(&mut self, username: &str) -> u64 {
        let id = self.next_id();
        let account = MockAccount::new(id, username, Self::DOMAIN, Self::PASSWORD);
        self.accounts.push(account);
        id
    }

    /// A device registers for an account.
    pub fn register(&mut self, account: u64, device: MockDevice) {
        if let Some(account) = self.account_mut(account) {
            account.devices.push(device);
        }
    }

    /// An API key of an account.
    pub fn add_key(&mut self, key: &str, account: u64) {
        self.keys.insert(key.to_owned(), account);
    }

    /// Somebody solves the riddle of a request for a creation token; `false` for one that is none.
    pub fn solve(&mut self, request: &str) -> bool {
        let solved = self.requests.get_mut(request);
        solved.map(|solved| *solved = true).is_some()
    }

    /// An account.
    pub fn account(&self, id: u64) -> Option<&MockAccount> {
        self.accounts.iter().find(|account| account.id == id)
    }

    /// An account, to be changed.
    pub fn account_mut(&mut self, id: u64) -> Option<&mut MockAccount> {
        self.accounts.iter_mut().find(|account| account.id == id)
    }

    /// The messages that were handed to the daemon: to whom, and what.
    pub fn messages(&self) -> &[(String, String)] {
        &self.sent
    }

    /// The words of the pushes that were sent, in their order.
    pub fn pushes(&self) -> &[String] {
        &self.pushed
    }

    /// The code that was sent to a new phone number or mail address of an account.
    pub const CODE: &'static str = "4711";

    /// Responses by digest whose count was used before.
    pub fn replays(&self) -> usize {
        self.replays
    }

    /// Responses by digest that were right.
    pub fn digests(&self) -> usize {
        self.digests
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// A token that nobody else has.
    pub(super) fn fresh(&mut self, what: &str) -> String {
        let id = self.next_id();
        format!("{what}{id:08}mock")
    }

    pub(super) fn is_super(&self, domain: &str) -> bool {
        let mut spaces = self.spaces.iter();
        spaces.any(|space| space.domain == domain && space.is_super)
    }

    /// The Space that the host name of a request chooses.
    pub(super) fn space(&self, request: &SeenRequest) -> Option<&SpaceState> {
        let Some(host) = request.header("host") else {
            return self.spaces.first();
        };
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        self.spaces.iter().find(|space| space.host == host)
    }

    pub(super) fn put_texts(account: &mut MockAccount, map: &Map<String, Value>) {
        for name in ["display_name", "email", "phone", "dtmf_protocol"] {
            match map.get(name).and_then(Value::as_str) {
                Some(text) => account.texts.insert(name, text.to_owned()),
                None => account.texts.remove(name),
            };
        }
    }
}

impl MockVendor for MockFlexisip {
    fn handle(&mut self, request: &SeenRequest, _now: Instant) -> HttpAnswer {
        let path = request.segments();
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        route::route(self, request, &parts).unwrap_or_else(|refused| *refused)
    }

    fn started(&mut self, url: &Url) {
        if let Some(space) = self.spaces.first_mut() {
            url.host_str()
                .unwrap_or_default()
                .clone_into(&mut space.host);
        }
    }
}

impl fmt::Debug for MockFlexisip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockFlexisip")
            .field("accounts", &self.accounts.len())
            .field("spaces", &self.spaces.len())
            .finish_non_exhaustive()
    }
}
