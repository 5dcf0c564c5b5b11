//! A mock HTTP server as a test has it.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{task::AbortHandle, time::Instant};
use url::Url;

use super::{
    client::MemoryClient,
    fault::{Fault, RandomFaults},
    request::SeenRequest,
    serve,
    vendor::MockVendor,
    webhook::WebhookSender,
    world::World,
};
use crate::server::door::Door;

/// A mock HTTP server with a vendor behind it. Dropping it ends all its links and callbacks.
pub struct MockHttp<V: MockVendor> {
    world: Arc<World<V>>,
    url: Url,
    address: Option<SocketAddr>,
    root: AbortHandle,
}

impl<V: MockVendor> MockHttp<V> {
    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When no port can be had.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn start(vendor: V) -> Self {
        let started = Self::start_on(vendor, (Ipv4Addr::LOCALHOST, 0).into()).await;
        assert!(started.is_ok(), "no port for a mock: {:?}", started.err());
        match started {
            Ok(mock) => mock,
            Err(_) => unreachable!("asserted above"),
        }
    }

    /// Starts it on an address.
    ///
    /// # Errors
    /// When the address cannot be had.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn start_on(vendor: V, address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self::run(vendor, Some(Door::open(address).await?)))
    }

    /// Starts it without a socket: only [`client`](Self::client) reaches it, also on a clock that
    /// stands still. Needs a tokio runtime.
    pub fn in_memory(vendor: V) -> Self {
        Self::run(vendor, None)
    }

    fn run(mut vendor: V, door: Option<Door>) -> Self {
        crate::logs::to_directory();
        let address = door.as_ref().map(Door::address);
        let url = url_of(address);
        vendor.started(&url);
        let world = Arc::new(World::new(vendor));
        let shared = Arc::clone(&world);
        let root = tokio::spawn(async move {
            let listen = async {
                match door {
                    Some(door) => serve::listen(&shared, door).await,
                    None => std::future::pending().await,
                }
            };
            tokio::join!(listen, shared.age(), shared.webhooks.deliver());
        });
        Self {
            world,
            url,
            address,
            root: root.abort_handle(),
        }
    }

    /// Where it listens: `http://127.0.0.1:port/`. In memory it has port 9, where nobody is.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// The address that it listens on; `None` in memory.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// A client that reaches it without a socket. It has the faults of the wire, too.
    pub fn client(&self) -> Arc<MemoryClient<V>> {
        Arc::new(MemoryClient::new(Arc::clone(&self.world)))
    }

    /// The requests so far, in their order.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.world.lock().requests.iter().cloned().collect()
    }

    /// The requests so far with this method and a path that starts so. `*` is any method.
    pub fn requests_on(&self, method: &str, path_prefix: &str) -> Vec<SeenRequest> {
        let mut requests = self.requests();
        requests.retain(|request| {
            (method == "*" || request.method == *method) && request.path.starts_with(path_prefix)
        });
        requests
    }

    /// Something goes wrong. Several queue up.
    pub fn fault(&self, fault: Fault) {
        self.world.lock().faults.add(fault);
    }

    /// Something goes wrong by chance, with requests that no [`fault`](Self::fault) meets.
    pub fn faults(&self, faults: RandomFaults) {
        self.world.lock().faults.randomly(faults);
    }

    /// Nothing goes wrong any more.
    pub fn no_faults(&self) {
        self.world.lock().faults.clear();
    }

    /// Connections are refused and those that are open end; `false` ends that. The vendor lives on.
    pub fn unreachable(&self, yes: bool) {
        self.world.up.send_replace(!yes);
    }

    /// Looks at the vendor or changes it, aged to now.
    pub fn vendor<T>(&self, with: impl FnOnce(&mut V) -> T) -> T {
        self.world.change(|state, _| with(&mut state.vendor))
    }

    /// Looks at the vendor as it is. Unlike [`vendor`](Self::vendor) it wakes nobody, so that
    /// [`wait_until`](Self::wait_until) can look on a clock that stands still.
    pub fn look<T>(&self, with: impl FnOnce(&V) -> T) -> T {
        with(&self.world.lock().vendor)
    }

    /// How its callbacks are delivered.
    pub fn webhooks(&self) -> &WebhookSender {
        &self.world.webhooks
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
        let deadline = Instant::now() + within;
        loop {
            let told = self.world.told.notified();
            let delivered = self.world.webhooks.told();
            tokio::pin!(told, delivered);
            // Before the look, so that a change behind it wakes this task.
            told.as_mut().enable();
            delivered.as_mut().enable();
            if let Some(found) = look(self) {
                return Some(found);
            }
            tokio::select! {
                () = told => {}
                () = delivered => {}
                () = tokio::time::sleep_until(deadline) => return look(self),
            }
        }
    }

    /// Ends it: lets the callbacks that are under way arrive, retries included, for at most 30 s.
    ///
    /// # Panics
    /// When a callback was still under way then.
    ///
    /// # Cancel safety
    /// Dropped before the end, it ends at once.
    pub async fn finish(self) {
        let settled = self.webhooks().settled(Duration::from_secs(30)).await;
        assert!(settled, "callbacks are still under way");
    }
}

fn url_of(address: Option<SocketAddr>) -> Url {
    let address = address.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 9).into());
    let url = Url::parse(&format!("http://{address}/"));
    assert!(url.is_ok(), "an address is a URL");
    match url {
        Ok(url) => url,
        Err(_) => unreachable!("asserted above"),
    }
}

impl<V: MockVendor> Drop for MockHttp<V> {
    fn drop(&mut self) {
        self.root.abort();
    }
}

impl<V: MockVendor> fmt::Debug for MockHttp<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockHttp")
            .field("url", &self.url.as_str())
            .field("requests", &self.world.lock().requests.len())
            .finish_non_exhaustive()
    }
}
