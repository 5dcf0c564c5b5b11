//! The mock of OpenSIPS, by its sockets and against recordings of the real server.
#![cfg(test)]

mod calls;
mod client;
mod events;
mod recordings;
mod transport;
