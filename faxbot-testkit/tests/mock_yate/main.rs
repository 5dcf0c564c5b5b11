//! The mock speaks as the recordings of a real Yate 6.4.1 do.
#![cfg(test)]

mod play;
mod recordings;
