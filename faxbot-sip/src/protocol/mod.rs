//! Bytes to frames to meaning, sans-IO.

pub mod ami;
pub mod config;
pub mod esl;
pub mod evapi;
pub mod guard;
mod ids;
pub mod jsonrpc;
mod keepalive;
mod outbox;
pub mod session;
pub mod yate;
