//! A mock of Yate 6.4 as a module at its external module port sees it.
//!
//! It speaks as the recordings show: answers with all parameters, watched copies, requests that the
//! engine waits for, the parameters of each end of a call, faxes without progress. Calls end as
//! scripted by dialled number or one by one; what a client asked for is kept, and expectations are
//! checked by [`MockYate::finish`] and on drop.
//!
//! ```
//! use faxbot_testkit::server::yate::{CallScript, MockYate};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let mock = MockYate::builder().on_dial("602", CallScript::busy()).start().await?;
//! mock.expect("call.drop").never();
//!
//! let mut client = tokio::net::TcpStream::connect(mock.address()).await?;
//! client.write_all(b"%%>setlocal:engine.version:\n%%>quit\n").await?;
//! let mut said = String::new();
//! client.read_to_string(&mut said).await?;
//! assert_eq!(said, "%%<setlocal:engine.version:6.4.1:true\n%%<quit\n");
//! mock.finish().await;
//! # Ok(())
//! # }
//! ```

mod builder;
mod cdr;
mod channel;
mod conference;
mod connection;
mod dispatch;
mod execute;
mod far_end;
mod fax;
mod handlers;
mod hangup;
mod incoming;
mod leg;
mod lifecycle;
mod local;
mod masquerade;
mod media;
mod modules;
mod msg;
mod progress;
mod route;
mod sip;
mod status;
mod text;
mod transcript;
#[cfg(unix)]
mod unix;
mod world;

pub use super::{
    CallScript, CallerSaw, Expectation, IncomingFax, IncomingScript, MemoryConnector, ReceivedFax,
    ReplyFault, SeenAction, SentMessage, Timings, Unmet,
};
use super::{Mock, MockBuilder};
pub use world::World;

/// A mocked Yate. Dropping it ends all its connections and checks the expectations.
///
/// The actions that it has seen are the messages of clients by their name, commands by their
/// keyword (`watch`, `install`, `setlocal`), and `answer` for the answers to its requests.
pub type MockYate = Mock<World>;

/// Sets up a [`MockYate`].
pub type MockYateBuilder = MockBuilder<World>;
