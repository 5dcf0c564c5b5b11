//! Stores in memory: what they keep ends with the process. Each is bounded.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{dedupe::DedupeTable, index::RecordIndex};
use crate::{
    Effect, Error, ErrorKind, Result,
    clock::SharedClock,
    message::InboundMessage,
    plugin::{InboundFax, InboundQuery, Page, PluginId},
    webhook::{Claim, DeadLetter, DeadLetterStore, DedupeStore, InboundFile, InboundStore, Stored},
};

/// Which callbacks were handled, in memory. After a restart none was: what a callback brought has to
/// be known otherwise.
#[derive(Debug)]
pub struct MemoryDedupeStore {
    clock: SharedClock,
    table: Mutex<DedupeTable>,
}

impl MemoryDedupeStore {
    /// A store that remembers the latest 100,000 handled keys for 7 days: vendors repeat a callback
    /// for about 3 days.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            table: Mutex::new(DedupeTable::new()),
        }
    }

    /// Sets how long a handled key is remembered.
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Self {
        lock(&self.table).set_retention(retention);
        self
    }

    /// Sets how many handled keys are remembered; the oldest goes for a new one. 0 is 1.
    #[must_use]
    pub fn with_max_keys(self, keys: usize) -> Self {
        lock(&self.table).set_max_keys(keys);
        self
    }
}

#[async_trait]
impl DedupeStore for MemoryDedupeStore {
    async fn claim(&self, plugin: &PluginId, key: &str, lease: Duration) -> Result<Claim> {
        let key = (plugin.clone(), key.to_owned());
        let (now, wall) = (self.clock.now(), self.clock.timestamp());
        lock(&self.table).claim(key, lease, now, wall)
    }

    async fn done(&self, plugin: &PluginId, key: &str) -> Result<()> {
        let key = (plugin.clone(), key.to_owned());
        lock(&self.table).done(key, self.clock.timestamp());
        Ok(())
    }

    async fn release(&self, plugin: &PluginId, key: &str) -> Result<()> {
        lock(&self.table).release(&(plugin.clone(), key.to_owned()));
        Ok(())
    }
}

/// What was received, in memory: the latest faxes and messages. The oldest go for new ones, and all
/// with the process, so use it where the vendor keeps them as well.
pub struct MemoryInboundStore {
    records: Mutex<Records>,
    max_fax_bytes: usize,
    max_messages: usize,
}

#[derive(Default)]
struct Records {
    faxes: HashMap<Id, (InboundFax, InboundFile)>,
    messages: HashMap<Id, InboundMessage>,
    fax_index: RecordIndex,
    message_index: RecordIndex,
    /// In the order in which they were stored, oldest first.
    fax_order: VecDeque<Id>,
    message_order: VecDeque<Id>,
    fax_bytes: usize,
}

/// Backend and id.
type Id = (String, String);

/// What a record takes beside its pages, so that faxes without bytes are bounded as well.
const RECORD_BYTES: usize = 1024;

impl MemoryInboundStore {
    /// A store of at most 64 MiB of faxes and 10,000 messages.
    pub fn new() -> Self {
        Self {
            records: Mutex::default(),
            max_fax_bytes: 64 * 1024 * 1024,
            max_messages: 10_000,
        }
    }

    /// Sets how many bytes all faxes together may have.
    #[must_use]
    pub fn with_max_fax_bytes(mut self, bytes: usize) -> Self {
        self.max_fax_bytes = bytes;
        self
    }

    /// Sets how many messages are kept. 0 is 1.
    #[must_use]
    pub fn with_max_messages(mut self, messages: usize) -> Self {
        self.max_messages = messages.max(1);
        self
    }
}

impl Default for MemoryInboundStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Records {
    fn drop_oldest_fax(&mut self) {
        let Some(id) = self.fax_order.pop_front() else {
            return;
        };
        if let Some((fax, file)) = self.faxes.remove(&id) {
            self.fax_bytes = self.fax_bytes.saturating_sub(size(&file));
            self.fax_index
                .remove(&fax.backend, fax.received_at, &fax.id);
        }
    }

    fn drop_oldest_message(&mut self) {
        let Some(id) = self.message_order.pop_front() else {
            return;
        };
        if let Some(message) = self.messages.remove(&id) {
            self.message_index
                .remove(&message.backend, message.received_at, &message.id);
        }
    }
}

#[async_trait]
impl InboundStore for MemoryInboundStore {
    async fn put_fax(&self, fax: &InboundFax, file: &InboundFile) -> Result<Stored> {
        let id = (fax.backend.clone(), fax.id.clone());
        let mut records = lock(&self.records);
        if records.faxes.contains_key(&id) {
            return Ok(Stored::Known);
        }
        if size(file) > self.max_fax_bytes {
            let message = "the fax is longer than the whole store";
            return Err(
                Error::new(ErrorKind::Overloaded, "put_fax", message).with_effect(Effect::NoEffect)
            );
        }
        records.fax_bytes += size(file);
        while records.fax_bytes > self.max_fax_bytes {
            records.drop_oldest_fax();
        }
        records
            .fax_index
            .insert(&fax.backend, fax.received_at, &fax.id);
        records.fax_order.push_back(id.clone());
        records.faxes.insert(id, (fax.clone(), file.clone()));
        Ok(Stored::New)
    }

    async fn fax(&self, backend: &str, id: &str) -> Result<Option<(InboundFax, InboundFile)>> {
        let id = (backend.to_owned(), id.to_owned());
        Ok(lock(&self.records).faxes.get(&id).cloned())
    }

    async fn faxes(&self, backend: &str, query: &InboundQuery) -> Result<Page<InboundFax>> {
        let records = lock(&self.records);
        let ids = records.fax_index.page(backend, query)?;
        Ok(found(ids, |id| {
            let (fax, _) = records.faxes.get(&(backend.to_owned(), id))?;
            Some(fax.clone())
        }))
    }

    async fn put_message(&self, message: &InboundMessage) -> Result<Stored> {
        let id = (message.backend.clone(), message.id.clone());
        let mut records = lock(&self.records);
        if records.messages.contains_key(&id) {
            return Ok(Stored::Known);
        }
        while records.messages.len() >= self.max_messages {
            records.drop_oldest_message();
        }
        records
            .message_index
            .insert(&message.backend, message.received_at, &message.id);
        records.message_order.push_back(id.clone());
        records.messages.insert(id, message.clone());
        Ok(Stored::New)
    }

    async fn messages(&self, backend: &str, query: &InboundQuery) -> Result<Page<InboundMessage>> {
        let records = lock(&self.records);
        let ids = records.message_index.page(backend, query)?;
        Ok(found(ids, |id| {
            records.messages.get(&(backend.to_owned(), id)).cloned()
        }))
    }
}

impl fmt::Debug for MemoryInboundStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = lock(&self.records);
        f.debug_struct("MemoryInboundStore")
            .field("faxes", &records.faxes.len())
            .field("fax_bytes", &records.fax_bytes)
            .field("messages", &records.messages.len())
            .finish_non_exhaustive()
    }
}

/// The latest dead letters, in memory.
#[derive(Debug)]
pub struct MemoryDeadLetters {
    letters: Mutex<Letters>,
    max: usize,
}

#[derive(Debug, Default)]
struct Letters {
    /// Oldest first.
    kept: VecDeque<DeadLetter>,
    bytes: usize,
}

/// Bytes of all letters together.
const LETTER_BYTES: usize = 64 * 1024 * 1024;

impl MemoryDeadLetters {
    /// At most 100 letters, and at most 64 MiB of them.
    pub fn new() -> Self {
        Self {
            letters: Mutex::default(),
            max: 100,
        }
    }

    /// Sets how many letters are kept; the oldest goes for a new one. 0 is 1.
    #[must_use]
    pub fn with_max(mut self, letters: usize) -> Self {
        self.max = letters.max(1);
        self
    }
}

impl Default for MemoryDeadLetters {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl DeadLetterStore for MemoryDeadLetters {
    async fn put(&self, letter: &DeadLetter) -> Result<()> {
        let mut letters = lock(&self.letters);
        letters.bytes += letter.body.len();
        letters.kept.push_back(letter.clone());
        // The latest stays however long it is.
        while letters.kept.len() > 1
            && (letters.kept.len() > self.max || letters.bytes > LETTER_BYTES)
        {
            let gone = letters.kept.pop_front().map_or(0, |gone| gone.body.len());
            letters.bytes = letters.bytes.saturating_sub(gone);
        }
        Ok(())
    }

    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        let letters = lock(&self.letters);
        Ok(letters.kept.iter().rev().take(limit).cloned().collect())
    }
}

/// The records of a page of ids.
pub(super) fn found<K, T>(ids: Page<K>, record: impl FnMut(K) -> Option<T>) -> Page<T> {
    let items = ids.items.into_iter().filter_map(record).collect();
    match ids.next_cursor {
        Some(cursor) => Page::more(items, cursor),
        None => Page::last(items),
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size(file: &InboundFile) -> usize {
    file.bytes.len() + RECORD_BYTES
}

#[cfg(test)]
mod tests;
