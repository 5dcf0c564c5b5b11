//! A mock of Asterisk 16 and 22 on the server side of our own AMI codec.
//!
//! It speaks as the recordings show: header names and their order, a fax that says `FAILED` twice
//! before `SUCCESS`, the outcome of the hangup handler in AstDB, links that break at the wrong
//! moment. Calls end as scripted by dialled number or one by one; what a client asked for is kept,
//! and expectations are checked by [`MockAsterisk::finish`] and on drop.
//!
//! ```
//! use faxbot_testkit::server::asterisk::{CallScript, MockAsterisk};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let mock = MockAsterisk::builder().on_dial("602", CallScript::busy()).start().await?;
//! mock.expect("Ping").times(1);
//!
//! let mut client = tokio::net::TcpStream::connect(mock.address()).await?;
//! client.write_all(b"Action: Login\r\nUsername: faxbot\r\nSecret: s3cret\r\n\r\n").await?;
//! client.write_all(b"Action: Ping\r\nActionID: 1\r\n\r\nAction: Logoff\r\n\r\n").await?;
//! let mut said = String::new();
//! client.read_to_string(&mut said).await?;
//! assert!(said.contains("ActionID: 1\r\nPing: Pong\r\n"));
//! mock.finish().await;
//! # Ok(())
//! # }
//! ```

mod account;
mod actions;
mod agi;
mod application;
mod bridge;
mod builder;
mod call;
mod channel;
mod cli;
mod confbridge;
mod connection;
mod connector;
mod dialplan;
mod digits;
mod expression;
mod far_end;
mod fax;
mod features;
mod files;
mod filter;
mod incoming;
mod lifecycle;
mod message;
mod originate;
mod presence;
mod record;
mod recording;
mod script;
mod substitute;
mod world;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    task::AbortHandle,
};

pub use account::Account;
pub use builder::MockAsteriskBuilder;
pub use connector::MemoryConnector;
pub use incoming::{CallerSaw, IncomingFax, IncomingScript};
pub use message::SentMessage;
pub use record::{ReceivedFax, SeenAction, Unmet};
pub use script::{CallScript, Flavour, ReplyFault, Timings};

use record::Expected;
use world::{Closing, World};

/// Bytes that an in-memory link holds before the writer waits, as a socket buffer does.
const DUPLEX_BYTES: usize = 64 * 1024;

/// A mocked Asterisk. Dropping it ends all its connections and checks the expectations.
pub struct MockAsterisk {
    world: Arc<World>,
    address: Option<SocketAddr>,
    root: AbortHandle,
    verified: bool,
}

impl MockAsterisk {
    /// Sets one up.
    pub fn builder() -> MockAsteriskBuilder {
        MockAsteriskBuilder::default()
    }

    fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Where it listens; port 0 when it has no port.
    pub fn address(&self) -> SocketAddr {
        self.address
            .unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into())
    }

    /// `ami://user:secret@127.0.0.1:port` of its first account.
    pub fn url(&self) -> String {
        let account = self.world.config.accounts.first();
        let (user, secret) = account.map_or(("", ""), |a| (a.name.as_str(), a.secret.as_str()));
        format!("ami://{user}:{secret}@{}", self.address())
    }

    /// A client's end of a link in memory, for a paused clock. It is closed at once while the
    /// server is down.
    pub fn connect_duplex(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(DUPLEX_BYTES);
        self.serve(far);
        near
    }

    /// Links in memory for the driver (`faxbot_sip::driver::Connect`).
    pub fn connector(&self) -> MemoryConnector {
        MemoryConnector::new(Arc::clone(&self.world))
    }

    /// Serves a client on any stream, such as one with faults.
    pub fn serve<IO>(&self, io: IO)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if self.world.lock().listening {
            let world = Arc::clone(&self.world);
            let peer = "127.0.0.1/0".to_owned();
            self.world.spawn_free(connection::serve(world, io, peer));
        }
    }

    /// What happens to the next call, before all rules. Several queue up.
    pub fn next_call(&self, script: CallScript) {
        self.world.lock().next_calls.push_back(script);
    }

    /// What happens to calls to a number from now on; see [`MockAsteriskBuilder::on_dial`].
    pub fn on_dial(&self, pattern: &str, script: CallScript) {
        self.world.lock().rules.push((pattern.to_owned(), script));
    }

    /// What goes wrong with the reply to the next action of that name.
    pub fn next_reply(&self, action: &str, fault: ReplyFault) {
        self.world
            .lock()
            .next_replies
            .push((action.to_owned(), fault));
    }

    /// Expects an action, at least once unless the answer says otherwise.
    pub fn expect(&self, action: &str) -> Expectation<'_> {
        let mut state = self.world.lock();
        let index = state.record.expected.len();
        state.record.expected.push(Expected {
            action: action.to_owned(),
            header: None,
            least: 1,
            most: usize::MAX,
        });
        Expectation { mock: self, index }
    }

    /// All actions of all clients so far, in their order.
    pub fn actions(&self) -> Vec<SeenAction> {
        self.world.lock().record.actions.clone()
    }

    /// The actions of that name so far.
    pub fn actions_named(&self, name: &str) -> Vec<SeenAction> {
        let mut actions = self.actions();
        actions.retain(|action| action.name.eq_ignore_ascii_case(name));
        actions
    }

    /// The faxes whose file was read so far, in their order.
    pub fn received_faxes(&self) -> Vec<ReceivedFax> {
        self.world.lock().received.clone()
    }

    /// What went over the wire, with everything personal masked.
    pub fn transcript(&self) -> String {
        self.world.lock().record.transcript()
    }

    /// A value of AstDB.
    pub fn db_get(&self, family: &str, key: &str) -> Option<String> {
        self.world
            .lock()
            .db
            .get(&format!("/{family}/{key}"))
            .cloned()
    }

    /// Sets a value of AstDB.
    pub fn db_put(&self, family: &str, key: &str, value: &str) {
        let entry = format!("/{family}/{key}");
        self.world
            .change(|state| state.db.insert(entry, value.to_owned()));
    }

    /// All entries of AstDB as `/family/key` and value.
    pub fn db_entries(&self) -> Vec<(String, String)> {
        self.world
            .lock()
            .db
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    /// `Uniqueid` of each channel that is up or being set up.
    pub fn channels(&self) -> Vec<String> {
        self.world
            .lock()
            .channels
            .iter()
            .map(|channel| channel.id.clone())
            .collect()
    }

    /// Number of clients that are connected.
    pub fn connections(&self) -> usize {
        self.world.lock().clients.len()
    }

    /// Whether an extension exists.
    pub fn has_extension(&self, context: &str, exten: &str) -> bool {
        self.world.lock().dialplan.has(context, exten)
    }

    /// Page that is being sent and pages confirmed, of each running fax session.
    pub fn fax_pages(&self) -> Vec<(u32, u32)> {
        self.world
            .lock()
            .fax
            .values()
            .map(|fax| (fax.page, fax.transmitted))
            .collect()
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
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let changed = self.world.changed.notified();
            if let Some(found) = look(self) {
                return Some(found);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return look(self);
            }
        }
    }

    /// Waits until that action came so many times; false when it did not within 30 s.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn wait_for(&self, action: &str, times: usize) -> bool {
        let enough = |mock: &Self| (mock.actions_named(action).len() >= times).then_some(());
        self.wait_until(Duration::from_secs(30), enough)
            .await
            .is_some()
    }

    /// Cuts all links. Calls and faxes go on.
    pub fn drop_links(&self) {
        self.world.change(|state| {
            state.record.note("all links dropped");
            for client in state.clients.values() {
                client.closing.send_replace(Closing::Cut);
            }
        });
    }

    /// Writes these bytes to every client, as they are.
    pub fn send_raw(&self, bytes: impl Into<bytes::Bytes>) {
        let bytes = bytes.into();
        self.world.change(|state| {
            state.record.note("raw bytes sent");
            for client in state.clients.values() {
                let _gone = client.events.send(bytes.clone());
            }
        });
    }

    /// From now on every action, a login too, is answered `Asterisk is shutting down`; calls go
    /// on. `false` ends it.
    pub fn shutting_down(&self, yes: bool) {
        self.world.change(|state| state.shutting_down = yes);
    }

    /// An orderly restart: `Shutdown`, links closed, nobody listens for `down`, then it boots.
    /// Channels and what was added to the dialplan are lost, AstDB is kept.
    pub fn restart(&self, down: Duration) {
        self.stop(true, Some(down));
    }

    /// The same as by SIGKILL: no word, no hangup handler runs.
    pub fn kill(&self, down: Duration) {
        self.stop(false, Some(down));
    }

    /// Stops it for good: connections are refused until [`start_again`](Self::start_again).
    pub fn stop_now(&self) {
        self.stop(true, None);
    }

    /// Starts it after [`stop_now`](Self::stop_now).
    pub fn start_again(&self) {
        lifecycle::start_again(&self.world);
    }

    fn stop(&self, orderly: bool, down: Option<Duration>) {
        self.world
            .change(|state| lifecycle::stop(state, orderly, down.is_some()));
        if let Some(down) = down {
            let world = Arc::clone(&self.world);
            self.world.spawn_free(async move {
                tokio::time::sleep(down).await;
                lifecycle::start_again(&world);
            });
        }
    }

    /// `dialplan reload` by the operator: what was added at run time is gone.
    pub fn reload_dialplan(&self) {
        self.world.change(|state| {
            state.record.note("dialplan reloaded");
            state.dialplan.reload();
        });
    }

    /// Whether the expectations are met.
    ///
    /// # Errors
    /// [`Unmet`] with those that are not, and the masked transcript.
    pub fn verify(&self) -> Result<(), Unmet> {
        let state = self.world.lock();
        let lines = state.record.unmet();
        if lines.is_empty() {
            return Ok(());
        }
        Err(Unmet {
            lines,
            transcript: state.record.transcript(),
        })
    }

    /// Ends it: lets what was sent arrive, then checks the expectations.
    ///
    /// # Panics
    /// When an expectation is not met, with the masked transcript.
    ///
    /// # Cancel safety
    /// Dropped before the end, the expectations are checked by the drop.
    pub async fn finish(mut self) {
        // What clients have written is read by tasks that wait for their turn.
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        let result = self.verify();
        self.verified = true;
        assert!(
            result.is_ok(),
            "MockAsterisk: {}",
            result.err().map_or_else(String::new, |e| e.to_string())
        );
    }
}

impl Drop for MockAsterisk {
    fn drop(&mut self) {
        self.root.abort();
        if self.verified {
            return;
        }
        if std::thread::panicking() {
            // The test has failed already: show what went on, and do not panic twice.
            eprintln!("MockAsterisk transcript:\n{}", self.transcript());
            return;
        }
        let result = self.verify();
        assert!(
            result.is_ok(),
            "MockAsterisk: {}",
            result.err().map_or_else(String::new, |e| e.to_string())
        );
    }
}

impl fmt::Debug for MockAsterisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockAsterisk")
            .field("address", &self.address)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// How often an action is expected. Counts from the start of the mock to the check.
#[derive(Debug)]
pub struct Expectation<'a> {
    mock: &'a MockAsterisk,
    index: usize,
}

impl Expectation<'_> {
    fn set(self, with: impl FnOnce(&mut Expected)) -> Self {
        if let Some(expected) = self.mock.world.lock().record.expected.get_mut(self.index) {
            with(expected);
        }
        self
    }

    /// Exactly so many.
    pub fn times(self, times: usize) -> Self {
        self.set(|expected| (expected.least, expected.most) = (times, times))
    }

    /// So many or more.
    pub fn at_least(self, times: usize) -> Self {
        self.set(|expected| (expected.least, expected.most) = (times, usize::MAX))
    }

    /// So many or fewer.
    pub fn at_most(self, times: usize) -> Self {
        self.set(|expected| (expected.least, expected.most) = (0, times))
    }

    /// Never.
    pub fn never(self) -> Self {
        self.times(0)
    }

    /// Only those with this header.
    pub fn with_header(self, name: &str, value: &str) -> Self {
        self.set(|expected| expected.header = Some((name.to_owned(), value.to_owned())))
    }
}
