//! Stores in files: what they keep outlives the process and the power.
//!
//! Each holds a lock on what it was opened on, so that no second process, and no second store of this
//! one, writes there. Files have mode 0600 and directories that are made here 0700 (on Unix). Blocking
//! work runs on tokio's threads for it; work that has begun ends even when its future is dropped.

mod dead_letters;
mod dedupe;
mod disk;
mod inbound;

pub use dead_letters::FileDeadLetters;
pub use dedupe::FileDedupeStore;
pub use inbound::FileInboundStore;
