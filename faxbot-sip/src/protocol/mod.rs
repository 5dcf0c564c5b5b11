//! Bytes to frames to meaning, sans-IO.

pub mod ami;
pub mod config;
pub mod esl;
pub mod evapi;
pub mod guard;
mod ids;
mod keepalive;
mod outbox;
pub mod session;
pub mod yate;
