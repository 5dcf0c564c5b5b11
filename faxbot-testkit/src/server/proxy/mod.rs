//! What mocked proxies share: calls that pass through and age, phones, and JSON whose members keep
//! their order.
//!
//! A proxy places no call of its own. [`PassingCall`] is a call of others that goes through it,
//! [`Phone`] a phone that the proxy itself rings for a click-to-dial or sends messages to. How far
//! ends take a call is told by [`CallScript`](super::CallScript)s, as for all mocks.

mod agent;
mod call;
mod dialog;
mod happening;
mod phone;
mod tree;
mod uri;
mod world;

pub use call::PassingCall;
pub use dialog::{Dialog, Stage};
pub(in crate::server) use happening::{By, Happening, reason};
pub(in crate::server) use phone::PickUp;
pub use phone::{Phone, Replies};
pub use tree::Tree;
pub(in crate::server) use uri::Target;
pub(in crate::server) use world::{Endable, ProxySetup, ProxyWorld};
