//! Webhooks of people who mean harm: no address in them is contacted, none that is forged changes
//! anything, and garbage is answered.
#![cfg(test)]

mod addresses;
#[path = "../cloud_wire_support/mod.rs"]
mod cloud_wire_support;
mod forged;
mod garbage;
mod payload;
mod redirect;
mod rig;
mod subject;

use std::sync::LazyLock;

use tokio::sync::{Mutex, MutexGuard};

#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// One test at a time: they count memory, panics and connections of the whole process.
async fn alone() -> MutexGuard<'static, ()> {
    static TURN: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
    TURN.lock().await
}
