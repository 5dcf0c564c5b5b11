//! The mock speaks as the recordings of a real Yate 6.4.1 do.
#![cfg(test)]

mod far_ends;
mod faults;
mod faxes;
mod incoming;
mod lines;
mod play;
mod recordings;
