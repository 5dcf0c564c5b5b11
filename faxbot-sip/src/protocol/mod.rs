//! Bytes to frames to meaning, sans-IO.

pub mod ami;
pub mod esl;
pub mod guard;
mod keepalive;
pub mod session;
