//! A mocked Kamailio as a test has it.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use faxbot_core::clock::{Clock as _, TokioClock};
use tokio::{
    io::DuplexStream,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use super::{
    builder::{MockKamailioBuilder, Setup},
    datagrams::{self, Socket},
    engine::Kamailio,
    evapi::{Evapi, Said},
    events::Told,
    methods::dispatcher::Dispatcher,
    rpc::SeenRpc,
    state::State,
};
use crate::server::{
    base::{Closing, Io},
    connector::MemoryConnector,
    door::Door,
    http::{MemoryClient, MockHttp},
    message::SentMessage,
    proxy::{By, Dialog, PassingCall, Phone, ProxySetup, ProxyWorld},
    script::{CallScript, ReplyFault},
};

/// Whom the server is when it calls a phone: `bridge_controller`.
const CONTROLLER: &str = "sip:ctd@127.0.0.1";

/// A mocked Kamailio. Dropping it ends all its sockets.
pub struct MockKamailio {
    http: Arc<MockHttp<Kamailio>>,
    evapi: Evapi,
    evapi_address: Option<SocketAddr>,
    udp_address: Option<SocketAddr>,
    login: Option<(String, String)>,
    path: String,
    tasks: Vec<AbortHandle>,
}

impl MockKamailio {
    /// Sets one up.
    pub fn builder() -> MockKamailioBuilder {
        MockKamailioBuilder::default()
    }

    pub(super) async fn open(setup: Setup) -> io::Result<Self> {
        let now = Instant::now();
        let world = ProxyWorld::new(
            ProxySetup {
                timings: setup.timings.clone(),
                ring_timeout: setup.ring_timeout,
                answer_timeout: setup.answer_timeout,
                linger: setup.linger,
                controller: CONTROLLER.to_owned(),
                rules: setup.rules.clone(),
                phones: setup.phones.clone(),
                elsewhere: setup.elsewhere.clone(),
                mark: "X-Job",
            },
            now,
            TokioClock::new().timestamp(),
        );
        let evapi = Evapi::default();
        let (in_memory, has_evapi) = (setup.in_memory, setup.evapi);
        let (unix, udp) = (setup.unix.clone(), setup.udp);
        let (login, path) = (setup.auth.login(), setup.path.clone());
        let dispatcher = Dispatcher::new(setup.destinations.clone());
        let state = State::new(world, dispatcher, now);
        let server = Kamailio::new(setup, evapi.clone(), state);
        let http = if in_memory {
            MockHttp::in_memory(server)
        } else {
            MockHttp::start_on(server, (Ipv4Addr::LOCALHOST, 0).into()).await?
        };
        let mut mock = Self {
            http: Arc::new(http),
            evapi,
            evapi_address: None,
            udp_address: None,
            login,
            path,
            tasks: Vec::new(),
        };
        if has_evapi && !in_memory {
            let door = Door::open((Ipv4Addr::LOCALHOST, 0)).await?;
            mock.evapi_address = Some(door.address());
            let listen = listen(mock.evapi.clone(), Arc::clone(&mock.http), door);
            mock.tasks.push(tokio::spawn(listen).abort_handle());
        }
        if let Some(path) = &unix {
            mock.datagrams(Socket::unix(path)?);
        }
        if udp {
            let (socket, address) = Socket::udp().await?;
            mock.udp_address = Some(address);
            mock.datagrams(socket);
        }
        Ok(mock)
    }

    /// How a client is told to come: `kamailio+http://127.0.0.1:port/RPC?events=127.0.0.1:port`,
    /// with user and password where the server asks for them. A bearer token is not in it.
    pub fn url(&self) -> String {
        let login = self.login.as_ref();
        let login = login.map_or_else(String::new, |(user, password)| {
            format!("{user}:{password}@")
        });
        let events = self.evapi_address;
        let events = events.map_or_else(String::new, |address| format!("?events={address}"));
        let address = self.http.address();
        let address = address.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 9).into());
        format!("kamailio+http://{login}{address}{}{events}", self.path)
    }

    /// The HTTP server: its address, its faults, the requests of HTTP.
    pub fn http(&self) -> &MockHttp<Kamailio> {
        &self.http
    }

    /// A client of HTTP in memory, for a paused clock.
    pub fn client(&self) -> Arc<MemoryClient<Kamailio>> {
        self.http.client()
    }

    /// Where evapi listens; `None` without it, and in memory.
    pub fn evapi_address(&self) -> Option<SocketAddr> {
        self.evapi_address
    }

    /// Where `jsonrpcs` takes datagrams over UDP; `None` without it.
    pub fn udp_address(&self) -> Option<SocketAddr> {
        self.udp_address
    }

    fn datagrams(&mut self, socket: Socket) {
        let served = datagrams::serve(Arc::clone(&self.http), socket);
        self.tasks.push(tokio::spawn(served).abort_handle());
    }

    /// A client's end of a link to evapi in memory. It is closed at once while evapi is down.
    pub fn connect_evapi(&self) -> DuplexStream {
        link(&self.evapi, &self.http)
    }

    /// Links to evapi in memory for the driver (`faxbot_sip::driver::Connect`).
    pub fn connector(&self) -> MemoryConnector {
        let (evapi, http) = (self.evapi.clone(), Arc::downgrade(&self.http));
        MemoryConnector::over(move || {
            let http = http.upgrade()?;
            (!evapi.is_down()).then(|| link(&evapi, &http))
        })
    }

    /// The requests so far, by all channels.
    pub fn requests(&self) -> Vec<SeenRpc> {
        self.http.look(|server| server.requests.clone())
    }

    /// The requests of that method so far.
    pub fn requests_of(&self, method: &str) -> Vec<SeenRpc> {
        let mut requests = self.requests();
        requests.retain(|request| request.method == method);
        requests
    }

    /// Requests so far of who may not ask.
    pub fn refused(&self) -> usize {
        self.http.vendor(|server| server.refused)
    }

    /// What evapi relayed so far, whoever was there.
    pub fn relayed(&self) -> Vec<String> {
        self.evapi.sent()
    }

    /// Clients of evapi that are there.
    pub fn evapi_clients(&self) -> usize {
        self.evapi.clients()
    }

    /// A call of others passes through. Gives its Call-ID.
    pub fn call(&self, call: PassingCall) -> String {
        self.http.vendor(|server| {
            let now = Instant::now();
            let id = server.state.world.place(call, now);
            server.advance(now);
            id
        })
    }

    /// The dialogs that the server lists.
    pub fn dialogs(&self) -> Vec<Dialog> {
        let listed = |server: &Kamailio| {
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
        self.hangs_up(call_id, By::Callee)
    }

    /// The caller hangs up, or takes back a call that rings. False when there is no such call.
    pub fn caller_hangs_up(&self, call_id: &str) -> bool {
        self.hangs_up(call_id, By::Caller)
    }

    fn hangs_up(&self, call_id: &str, by: By) -> bool {
        self.http.vendor(|server| {
            let now = Instant::now();
            let known = server.state.world.hangs_up(call_id, by, now);
            server.advance(now);
            known
        })
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

    /// The next phone that the server calls itself. Several queue up.
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

    /// A phone registers, for that time. The number has no domain.
    pub fn register(&self, number: &str, contact: &str, expires: Duration) {
        self.http.vendor(|server| {
            let now = Instant::now();
            let action = server.state.register(number, contact, expires, false, now);
            server.tell(&Told::Contact {
                action,
                number,
                contact,
            });
        });
    }

    /// A phone's registration ends.
    pub fn unregister(&self, number: &str) {
        self.http.vendor(|server| {
            let gone = server.state.unregister(number);
            for contact in gone {
                server.tell(&Told::Contact {
                    action: "removed",
                    number,
                    contact: &contact,
                });
            }
        });
    }

    /// A phone sends the adapter a MESSAGE; the shipped script relays it.
    pub fn message_in(&self, from: &str, text: &str) {
        self.http.vendor(|server| {
            server.state.transactions += 1;
            let call_id = format!("m{}@127.0.0.1", server.state.transactions);
            server.tell(&Told::Message {
                call_id: &call_id,
                from,
                to: "sip:faxbot@127.0.0.1:5070",
                text,
            });
        });
    }

    /// A destination of `dispatcher` stops to answer its probes, or answers again.
    pub fn destination_is(&self, uri: &str, up: bool) {
        self.http.vendor(|server| {
            for one in &mut server.state.dispatcher.all {
                if one.uri == uri {
                    (one.state, one.probed) = (if up { 'A' } else { 'I' }, true);
                }
            }
            server.tell(&Told::Destination { up, uri });
        });
    }

    /// The messages that it was asked to send so far, in their order.
    pub fn messages_sent(&self) -> Vec<SentMessage> {
        self.http.vendor(|server| server.state.sent.clone())
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

    /// Everybody who listens at evapi gets this payload.
    pub fn relay(&self, payload: &str) {
        self.evapi.relay(payload);
    }

    /// Everybody who listens at evapi gets these bytes, as they are.
    pub fn send_raw(&self, bytes: impl Into<Bytes>) {
        self.evapi.raw(&bytes.into());
    }

    /// The links of evapi end. Calls and HTTP go on.
    pub fn drop_evapi(&self) {
        self.evapi.close(Closing::Cut, false);
    }

    /// Nobody reaches evapi from now on, and its links end; `false` ends that.
    pub fn evapi_unreachable(&self, yes: bool) {
        if yes {
            self.evapi.close(Closing::Cut, true);
        } else {
            self.evapi.set_down(false);
        }
    }

    /// All links end; calls go on, and new links are taken at once.
    pub async fn drop_links(&self) {
        self.drop_evapi();
        self.http.unreachable(true);
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.http.unreachable(false);
    }

    /// Nobody can connect from now on, and calls go on; `false` ends it.
    pub fn unreachable(&self, yes: bool) {
        self.evapi_unreachable(yes);
        self.http.unreachable(yes);
    }

    /// A restart: evapi closes first, then HTTP, nobody listens for `down`, then it is there again
    /// (recording `stopped_in_mid_poll`). Dialogs and all else in memory are forgotten; the calls
    /// themselves go on.
    pub fn restart(&self, down: Duration) {
        self.stop_now();
        let (http, evapi) = (Arc::downgrade(&self.http), self.evapi.clone());
        tokio::spawn(async move {
            tokio::time::sleep(down).await;
            if let Some(http) = http.upgrade() {
                begin(&http, &evapi);
            }
        });
    }

    /// Stops it for good: connections are refused until [`start_again`](Self::start_again).
    pub fn stop_now(&self) {
        self.evapi.close(Closing::Drained, true);
        self.http.vendor(|server| server.down = true);
        self.http.unreachable(true);
    }

    /// Starts it after [`stop_now`](Self::stop_now), as [`restart`](Self::restart) does.
    pub fn start_again(&self) {
        begin(&self.http, &self.evapi);
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

impl Drop for MockKamailio {
    fn drop(&mut self) {
        self.evapi.close(Closing::Cut, true);
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl fmt::Debug for MockKamailio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockKamailio")
            .field("http", &self.http)
            .field("evapi", &self.evapi)
            .finish_non_exhaustive()
    }
}

fn begin(http: &MockHttp<Kamailio>, evapi: &Evapi) {
    http.vendor(|server| server.restart(Instant::now()));
    evapi.set_down(false);
    http.unreachable(false);
}

fn link(evapi: &Evapi, http: &Arc<MockHttp<Kamailio>>) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let served = serve_evapi(evapi.clone(), Arc::clone(http), Box::new(far));
    tokio::spawn(served);
    near
}

async fn serve_evapi(evapi: Evapi, http: Arc<MockHttp<Kamailio>>, io: Box<dyn Io>) {
    let said = move |said: Said| http.vendor(|server| server.said(&said));
    evapi.serve(io, said).await;
}

/// Takes clients of evapi. While it is down nobody listens.
async fn listen(evapi: Evapi, http: Arc<MockHttp<Kamailio>>, mut door: Door) {
    let mut links = JoinSet::new();
    loop {
        if evapi.is_down() {
            door.shut();
        } else {
            // Somebody else may hold the port for a moment.
            let _later = door.reopen();
        }
        tokio::select! {
            (stream, _) = door.accept() => {
                let _late = stream.set_nodelay(true);
                let served = serve_evapi(evapi.clone(), Arc::clone(&http), Box::new(stream));
                links.spawn(served);
            }
            Some(_) = links.join_next() => {}
            // Somebody stopped or started it.
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
}
