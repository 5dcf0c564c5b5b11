//! A mock of FreeSWITCH 1.10.12 on the server side of our own codec for the event socket.
//!
//! It speaks as the recordings show: the headers of its events and their order, a fax whose result
//! comes behind the hang-up, hooks that leave an outcome in `db` or `hash`, links that break at the
//! wrong moment. It listens for clients, and dials out for the application `socket`. Calls end as
//! scripted by dialled number or one by one; what a client asked for is kept, and expectations are
//! checked by [`Mock::finish`] and on drop.
//!
//! An action has the name of its API command (`originate`, `uuid_kill`), or else that of the
//! command (`event`, `sendmsg`); its headers are `Command` (`api`, `bgapi`, ...), `Api-Command`,
//! `Argument`, those that came with it, and `Body`.
//!
//! ```
//! use faxbot_testkit::server::freeswitch::{CallScript, MockFreeSwitch};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let mock = MockFreeSwitch::builder().on_dial("602", CallScript::busy()).start().await?;
//! mock.expect("originate").times(1);
//!
//! let mut client = tokio::net::TcpStream::connect(mock.address()).await?;
//! client.write_all(b"auth ClueCon\n\n").await?;
//! client.write_all(b"api originate sofia/gateway/trunk/602 &park()\n\nexit\n\n").await?;
//! let mut said = String::new();
//! client.read_to_string(&mut said).await?;
//! assert!(said.contains("\n\n-ERR USER_BUSY\n"));
//! mock.finish().await;
//! # Ok(())
//! # }
//! ```

mod api;
mod application;
mod bridge;
mod builder;
mod call;
mod cause;
mod channel;
mod command;
mod conference;
mod connection;
mod event;
mod expand;
mod far_end;
mod fax;
mod hangup;
mod incoming;
mod leg;
mod lifecycle;
mod message;
mod originate;
mod outbound;
mod program;
mod quoting;
mod recording;
mod subscribe;
mod transcript;
mod world;

pub use super::{
    CallScript, CallerSaw, Expectation, IncomingFax, IncomingScript, MemoryConnector, ReceivedFax,
    ReplyFault, SeenAction, SentMessage, Timings, Unmet,
};
use super::{Mock, MockBuilder};
pub use world::World;

/// A mocked FreeSWITCH. Dropping it ends all its connections and checks the expectations.
pub type MockFreeSwitch = Mock<World>;

/// Sets up a [`MockFreeSwitch`].
pub type MockFreeSwitchBuilder = MockBuilder<World>;

impl Mock<World> {
    /// A value of `mod_db`.
    pub fn db_get(&self, realm: &str, key: &str) -> Option<String> {
        let place = (realm.to_owned(), key.to_owned());
        self.world.lock().db.get(&place).cloned()
    }

    /// Sets a value of `mod_db`.
    pub fn db_put(&self, realm: &str, key: &str, value: &str) {
        let place = (realm.to_owned(), key.to_owned());
        self.world
            .change(|state| state.db.insert(place, value.to_owned()));
    }

    /// All entries of `mod_db` as `realm/key` and value.
    pub fn db_entries(&self) -> Vec<(String, String)> {
        let state = self.world.lock();
        let entries = state.db.iter();
        entries
            .map(|((realm, key), value)| (format!("{realm}/{key}"), value.clone()))
            .collect()
    }

    /// A value of `mod_hash`.
    pub fn hash_get(&self, realm: &str, key: &str) -> Option<String> {
        let state = self.world.lock();
        state.hash.get(&format!("{realm}_{key}")).cloned()
    }

    /// `core_uuid` of this run.
    pub fn core_uuid(&self) -> String {
        self.world.lock().core_uuid.clone()
    }

    /// A variable of a channel that is there.
    pub fn channel_variable(&self, id: &str, name: &str) -> Option<String> {
        self.world.lock().var(id, name)
    }

    /// The application that a channel runs, with its arguments.
    pub fn application(&self, id: &str) -> Option<(String, String)> {
        let state = self.world.lock();
        let channel = state.channels.get(id)?;
        Some((channel.application.clone(), channel.data.clone()))
    }

    /// There is no such user, gateway or profile: a call to it makes no channel, and a message to
    /// it is not sent.
    pub fn no_endpoint(&self, name: &str) {
        let mut state = self.world.lock();
        state.no_endpoints.insert(name.to_owned());
    }

    /// `fsctl max_sessions` by the operator: no more channels than that.
    pub fn max_sessions(&self, most: u32) {
        self.world.change(|state| state.max_sessions = most);
    }
}
