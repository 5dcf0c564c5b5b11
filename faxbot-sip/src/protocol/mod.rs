//! Bytes to frames to meaning, sans-IO.

pub mod ami;
pub mod guard;
pub mod session;
