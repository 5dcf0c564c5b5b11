//! In-memory doubles of the contract's traits: no socket, no server, scripted.

mod adapter;
mod message;
mod script;

pub use adapter::FakeAdapter;
pub use message::MessageScript;
pub use script::FaxScript;
