//! Calls that FreeSWITCH brings by its application `socket`.
#![cfg(test)]
#![cfg(feature = "driver")]

mod calls;
mod listener;
mod peer;
mod recordings;
mod tape;
