//! Bytes to frames to meaning, sans-IO.

pub mod session;
