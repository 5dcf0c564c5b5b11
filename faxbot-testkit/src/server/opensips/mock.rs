//! A mocked OpenSIPS as a test has it.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use faxbot_core::clock::{Clock as _, TokioClock};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    task::AbortHandle,
    time::Instant,
};

use super::{
    b2b::B2bCall,
    builder::{MockOpenSipsBuilder, Setup},
    datagram,
    engine::OpenSips,
    mi::SeenMi,
    sockets::Sockets,
    state::State,
};
use crate::server::{
    http::{MemoryClient, MockHttp},
    message::SentMessage,
    proxy::{By, Dialog, PassingCall, Phone, ProxySetup, ProxyWorld, Tree},
    script::{CallScript, ReplyFault},
};

/// A mocked OpenSIPS. Dropping it ends all its sockets.
pub struct MockOpenSips {
    http: Arc<MockHttp<OpenSips>>,
    sockets: Sockets,
    datagrams: Option<SocketAddr>,
    unix: Option<PathBuf>,
    root: String,
    up: watch::Sender<bool>,
    tasks: Vec<AbortHandle>,
}

impl MockOpenSips {
    /// Sets one up.
    pub fn builder() -> MockOpenSipsBuilder {
        MockOpenSipsBuilder::default()
    }

    pub(super) async fn open(setup: Setup) -> io::Result<Self> {
        let now = Instant::now();
        let world = ProxyWorld::new(
            ProxySetup {
                timings: setup.timings.clone(),
                ring_timeout: setup.ring_timeout,
                answer_timeout: setup.answer_timeout,
                linger: setup.linger,
                controller: "sip:b2b@127.0.0.1".to_owned(),
                rules: setup.rules.clone(),
                phones: setup.phones.clone(),
                elsewhere: Vec::new(),
                mark: "X-Job",
            },
            now,
            TokioClock::new().timestamp(),
        );
        let sockets = Sockets::default();
        let (in_memory, udp, unix, root) = (
            setup.in_memory,
            setup.udp,
            setup.unix.clone(),
            setup.root.clone(),
        );
        let server = OpenSips::new(setup, sockets.clone(), State::new(world, now));
        let http = if in_memory {
            MockHttp::in_memory(server)
        } else {
            MockHttp::start_on(server, (Ipv4Addr::LOCALHOST, 0).into()).await?
        };
        let mut mock = Self {
            http: Arc::new(http),
            sockets,
            datagrams: None,
            unix: unix.clone(),
            root,
            up: watch::Sender::new(true),
            tasks: Vec::new(),
        };
        if udp {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = socket.local_addr()?;
            mock.datagrams = Some(address);
            let serve = datagram::udp(Arc::clone(&mock.http), socket, address, mock.up.subscribe());
            mock.tasks.push(tokio::spawn(serve).abort_handle());
        }
        #[cfg(unix)]
        if let Some(path) = unix {
            let serve = datagram::unix(Arc::clone(&mock.http), path, mock.up.subscribe());
            mock.tasks.push(tokio::spawn(serve).abort_handle());
        }
        Ok(mock)
    }

    /// How a client is told to come: `opensips+http://127.0.0.1:port/mi`.
    pub fn url(&self) -> String {
        let address = self.http.address();
        let address = address.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 9).into());
        format!("opensips+http://{address}/{}", self.root)
    }

    /// The HTTP server: its address, its faults, the requests of HTTP.
    pub fn http(&self) -> &MockHttp<OpenSips> {
        &self.http
    }

    /// A client of HTTP in memory, for a paused clock.
    pub fn client(&self) -> Arc<MemoryClient<OpenSips>> {
        self.http.client()
    }

    /// Where `mi_datagram` listens by UDP; `None` without it.
    pub fn datagram_address(&self) -> Option<SocketAddr> {
        self.datagrams
    }

    /// The unix socket of `mi_datagram`; `None` without it.
    pub fn datagram_path(&self) -> Option<&PathBuf> {
        self.unix.as_ref()
    }

    /// The requests so far, by all channels.
    pub fn requests(&self) -> Vec<SeenMi> {
        self.http.look(|server| server.requests.clone())
    }

    /// The requests of that method so far.
    pub fn requests_of(&self, method: &str) -> Vec<SeenMi> {
        let mut requests = self.requests();
        requests.retain(|request| request.method == method);
        requests
    }

    /// Who is subscribed: the event and the socket.
    pub fn subscriptions(&self) -> Vec<(String, String)> {
        self.http.look(|server| {
            let second = server.second(Instant::now());
            server.state.subscriptions.listed(second)
        })
    }

    /// What was sent so far, whoever took it: the socket and the event.
    pub fn sent_events(&self) -> Vec<(String, String)> {
        self.sockets.sent()
    }

    /// Events for this socket come here from now on, and not to the network.
    pub fn events_at(&self, socket: &str) -> mpsc::UnboundedReceiver<Bytes> {
        self.sockets.tap(socket)
    }

    /// Connections of events that are open.
    pub fn event_links(&self) -> usize {
        self.sockets.streams()
    }

    /// The messages that it was asked to send, in their order.
    pub fn messages_sent(&self) -> Vec<SentMessage> {
        self.http.look(|server| server.state.sent.clone())
    }

    /// A call of others passes through. Gives its Call-ID.
    pub fn call(&self, call: PassingCall) -> String {
        self.now(|server, now| server.state.world.place(call, now))
    }

    /// Changes something, and tells what came of it.
    fn now<T>(&self, change: impl FnOnce(&mut OpenSips, Instant) -> T) -> T {
        self.http.vendor(|server| {
            let now = Instant::now();
            let result = change(server, now);
            server.advance(now);
            result
        })
    }

    /// The dialogs that the server lists.
    pub fn dialogs(&self) -> Vec<Dialog> {
        let listed = |server: &OpenSips| {
            let all = server.state.world.listed();
            all.into_iter().cloned().collect()
        };
        self.http.look(listed)
    }

    /// A call by its Call-ID, also one that the server forgot.
    pub fn dialog(&self, call_id: &str) -> Option<Dialog> {
        self.http
            .look(|server| server.state.world.call(call_id).cloned())
    }

    /// The callee hangs up, or declines a call that rings. False when there is no such call.
    pub fn callee_hangs_up(&self, call_id: &str) -> bool {
        self.now(|server, now| server.state.world.hangs_up(call_id, By::Callee, now))
    }

    /// The caller hangs up, or takes back a call that rings. False when there is no such call.
    pub fn caller_hangs_up(&self, call_id: &str) -> bool {
        self.now(|server, now| server.state.world.hangs_up(call_id, By::Caller, now))
    }

    /// The calls that the server made itself.
    pub fn b2b_calls(&self) -> Vec<B2bCall> {
        self.http.look(|server| server.b2b_calls())
    }

    /// The call of a scenario.
    pub fn b2b_call(&self, scenario: &str) -> Option<B2bCall> {
        let mut all = self.b2b_calls().into_iter();
        all.find(|call| call.scenario == scenario)
    }

    /// The first party of a call of the server's own hangs up. By its key or its scenario; false
    /// when there is no such call.
    pub fn first_party_hangs_up(&self, key_or_scenario: &str) -> bool {
        self.now(|server, now| server.b2b_hangs_up(key_or_scenario, By::Caller, now))
    }

    /// The second party of a call of the server's own hangs up, or declines a call that rings.
    pub fn second_party_hangs_up(&self, key_or_scenario: &str) -> bool {
        self.now(|server, now| server.b2b_hangs_up(key_or_scenario, By::Callee, now))
    }

    /// The far end of a session of one leg hangs up. False when there is no such session.
    pub fn session_hangs_up(&self, key: &str) -> bool {
        self.now(|server, now| server.session_hangs_up(key, now))
    }

    /// Parties refuse to be held, or no longer.
    pub fn parties_refuse_hold(&self, yes: bool) {
        self.http
            .vendor(|server| server.state.callops.refuse_hold = yes);
    }

    /// The callee leaves requests to be held, or to be held no longer, without an answer, or does not any
    /// more. Nothing tells of it.
    pub fn callee_ignores_hold(&self, yes: bool) {
        self.http
            .vendor(|server| server.state.callops.ignore_hold = yes);
    }

    /// Parties that were transferred stay in their old call too until somebody ends it, as RFC 5589
    /// section 6 has it and pjsua does; or they leave it (the default).
    pub fn transferred_parties_stay(&self, yes: bool) {
        self.http.vendor(|server| server.state.callops.stay = yes);
    }

    /// Parties refuse to be transferred (603 to the REFER), or no longer. Nothing tells of it.
    pub fn parties_refuse_transfer(&self, yes: bool) {
        self.http
            .vendor(|server| server.state.callops.refuse_transfer = yes);
    }

    /// A phone registers, or does so again.
    pub fn registers(&self, aor: &str, contact: &str, expires: Duration) {
        self.now(|server, now| server.register(aor, contact, expires, "rig-phone/1.0", false, now));
    }

    /// A phone is registered no longer. False when it was not.
    pub fn unregisters(&self, aor: &str) -> bool {
        self.now(|server, now| server.unregister(aor, None, now))
    }

    /// What happens to the next call, before all rules. Several queue up.
    pub fn next_call(&self, script: CallScript) {
        self.http
            .vendor(|server| server.state.world.next_call(script));
    }

    /// How the party with that number or address takes calls from now on.
    pub fn on_dial(&self, pattern: &str, script: CallScript) {
        let rule = (pattern.to_owned(), script);
        self.http
            .vendor(|server| server.state.world.setup.rules.push(rule));
    }

    /// The next phone that the server calls first. Several queue up.
    pub fn next_phone(&self, phone: Phone) {
        self.http
            .vendor(|server| server.state.world.next_phone(phone));
    }

    /// What the phone with that number or address does from now on.
    pub fn phone(&self, pattern: &str, phone: Phone) {
        let rule = (pattern.to_owned(), phone);
        self.http
            .vendor(|server| server.state.world.setup.phones.push(rule));
    }

    /// What goes wrong with the reply to the next request of that method, whatever its channel.
    pub fn next_reply(&self, method: &str, fault: ReplyFault) {
        let fault = (method.to_owned(), fault);
        self.http.vendor(|server| server.next_replies.push(fault));
    }

    /// The next request of that method gets no answer, and is carried out after this time.
    pub fn next_is_late(&self, method: &str, time: Duration) {
        let late = (method.to_owned(), time);
        self.http.vendor(|server| server.next_late.push(late));
    }

    /// The process of HTTP is busy for this time: who asks meanwhile waits.
    pub fn http_is_busy(&self, time: Duration) {
        let busy = |server: &mut OpenSips| server.busy_until = Some(Instant::now() + time);
        self.http.vendor(busy);
    }

    /// The server raises an event by itself. Without members `params` is missing.
    pub fn raise(&self, event: &str, params: Option<Tree>) {
        self.now(|server, now| server.tell(event, params, now));
    }

    /// Every socket that is subscribed gets these bytes once, as they are.
    pub fn send_raw(&self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let sockets = self
            .http
            .look(|server| server.state.subscriptions.sockets());
        for socket in sockets {
            self.sockets.raw(&socket, bytes.clone());
        }
    }

    /// Connections of events end. The next event opens another.
    pub fn drop_event_links(&self) {
        self.sockets.close();
    }

    /// All links end; calls go on, and new links are taken at once.
    pub async fn drop_links(&self) {
        self.drop_event_links();
        self.http.unreachable(true);
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.http.unreachable(false);
    }

    /// Nobody can connect from now on, and calls go on; `false` ends it. Events still go out.
    pub fn unreachable(&self, yes: bool) {
        self.up.send_replace(!yes);
        self.http.unreachable(yes);
    }

    /// A restart: connections are closed without an answer, nobody listens for `down`, then it is
    /// there again. Subscriptions and dialogs are forgotten, as is all else in memory; the calls
    /// themselves go on (recording `10_server_stopped_sigterm_with_live_calls`).
    pub fn restart(&self, down: Duration) {
        self.stop_now();
        let (http, up) = (Arc::downgrade(&self.http), self.up.clone());
        tokio::spawn(async move {
            tokio::time::sleep(down).await;
            if let Some(http) = http.upgrade() {
                http.vendor(|server| server.restart(Instant::now()));
                up.send_replace(true);
                http.unreachable(false);
            }
        });
    }

    /// Stops it for good: connections are refused until [`start_again`](Self::start_again).
    pub fn stop_now(&self) {
        self.http.vendor(|server| server.restart(Instant::now()));
        self.up.send_replace(false);
        self.http.unreachable(true);
    }

    /// Starts it after [`stop_now`](Self::stop_now), as [`restart`](Self::restart) does.
    pub fn start_again(&self) {
        self.http.vendor(|server| server.restart(Instant::now()));
        self.up.send_replace(true);
        self.http.unreachable(false);
    }

    /// Waits until `look` finds what it wants, at most `within`. It is asked after each change.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn wait_until<T>(
        &self,
        within: Duration,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Option<T> {
        self.http.wait_until(within, |_| look(self)).await
    }
}

impl Drop for MockOpenSips {
    fn drop(&mut self) {
        self.sockets.close();
        for task in &self.tasks {
            task.abort();
        }
        if let Some(path) = &self.unix {
            let _none = std::fs::remove_file(path);
        }
    }
}

impl fmt::Debug for MockOpenSips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockOpenSips")
            .field("http", &self.http)
            .field("sockets", &self.sockets)
            .finish_non_exhaustive()
    }
}
