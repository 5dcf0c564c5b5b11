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
mod dialplan;
mod digits;
mod expression;
mod far_end;
mod fax;
mod features;
mod filter;
mod flavour;
mod incoming;
mod lifecycle;
mod message;
mod originate;
mod presence;
mod recording;
mod substitute;
mod transcript;
mod world;

pub use account::Account;
pub use flavour::Flavour;

pub use super::{
    CallScript, CallerSaw, Expectation, IncomingFax, IncomingScript, MemoryConnector, ReceivedFax,
    ReplyFault, SeenAction, SentMessage, Timings, Unmet,
};
use super::{Mock, MockBuilder};
pub use world::World;

/// A mocked Asterisk. Dropping it ends all its connections and checks the expectations.
pub type MockAsterisk = Mock<World>;

/// Sets up a [`MockAsterisk`].
pub type MockAsteriskBuilder = MockBuilder<World>;

impl Mock<World> {
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

    /// `dialplan reload` by the operator: what was added at run time is gone.
    pub fn reload_dialplan(&self) {
        self.world.change(|state| {
            state.record.note("dialplan reloaded");
            state.dialplan.reload();
        });
    }
}
