//! In-memory doubles of the contract's traits: no socket, no server, scripted.

mod adapter;
mod script;

pub use adapter::FakeAdapter;
pub use script::FaxScript;
