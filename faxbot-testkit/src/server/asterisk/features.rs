//! What the state keeps for the features of a telephone system: AGI queues, recordings,
//! messages, presence.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{agi::Queue, presence::Hint, recording::Recording};

#[derive(Debug, Default)]
pub(super) struct Features {
    /// Channels that are, or were, in `AGI(agi:async)`.
    pub agi: HashMap<String, Queue>,
    pub recordings: Vec<Recording>,
    pub monitor_ids: u32,
    /// `Uniqueid` of the channel for incoming messages, once there was one.
    pub message_channel: Option<String>,
    pub devices: BTreeMap<String, String>,
    pub hints: Vec<Hint>,
    /// Endpoints that do not exist.
    pub no_endpoints: BTreeSet<String>,
    /// So many orders to bridge two channels are to come to nothing.
    pub undone_bridges: usize,
}
