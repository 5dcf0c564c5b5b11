#![cfg(test)]
//! The mock of Kamailio: its calls, its events, its faults, and the recordings that it follows.

mod calls;
mod client;
mod events;
mod faults;
mod recordings;
