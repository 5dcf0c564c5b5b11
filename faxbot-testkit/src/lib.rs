//! Mock servers, recordings of real servers and faults for tests of the Faxbot SDK.

pub mod conformance;
pub mod fake;
pub mod fault;
pub mod fixtures;
pub mod logs;
pub mod pair;
pub mod random;
pub mod replay;
pub mod server;
