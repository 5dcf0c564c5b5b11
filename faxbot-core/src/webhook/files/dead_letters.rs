//! Dead letters, a file each.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::disk::{self, failed, unreadable};
use crate::{
    Error, ErrorKind, Result, Timestamp,
    plugin::PluginId,
    task::blocking,
    webhook::{DeadLetter, DeadLetterStore, memory::lock},
};

/// The latest dead letters in a directory, a file each: a line of JSON, and then the body as it came.
/// At most 1,000 letters, and 1 GiB of them; the oldest goes for a new one.
#[derive(Debug)]
pub struct FileDeadLetters {
    inner: Arc<Inner>,
    max: usize,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    /// The names with the bytes of each, oldest first.
    letters: Mutex<BTreeMap<String, u64>>,
    /// Held while a letter is written, so that their names are in the order in which they came.
    writing: Mutex<()>,
    _lock: fs::File,
}

const MAX_LETTERS: usize = 1000;
const MAX_BYTES: u64 = 1024 * 1024 * 1024;
const ENDING: &str = ".letter";

/// A letter without its body, which JSON would make four times as long.
#[derive(Serialize, Deserialize)]
struct Head {
    plugin_id: PluginId,
    received_at: Timestamp,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
}

impl FileDeadLetters {
    /// Opens the directory, or makes it.
    ///
    /// # Errors
    /// `Io`; `InvalidState` when it is in use by another process or store.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the directory opened or not.
    pub async fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        let inner = blocking("open", move || Inner::open(directory)).await??;
        Ok(Self {
            inner: Arc::new(inner),
            max: MAX_LETTERS,
        })
    }

    /// Sets how many letters are kept. 0 is 1.
    #[must_use]
    pub fn with_max(mut self, letters: usize) -> Self {
        self.max = letters.max(1);
        self
    }
}

#[async_trait]
impl DeadLetterStore for FileDeadLetters {
    async fn put(&self, letter: &DeadLetter) -> Result<()> {
        let (inner, letter, max) = (Arc::clone(&self.inner), letter.clone(), self.max);
        blocking("put", move || inner.put(&letter, max)).await?
    }

    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        let inner = Arc::clone(&self.inner);
        blocking("list", move || inner.list(limit)).await?
    }
}

impl Inner {
    fn open(directory: PathBuf) -> Result<Self> {
        let io = |source| failed("open", "the store cannot be opened", source);
        disk::make_directory(&directory).map_err(io)?;
        let held = disk::hold(&directory.join("lock"))?;
        let mut letters = BTreeMap::new();
        for name in disk::names(&directory).map_err(io)? {
            if moment(&name).is_some() {
                let bytes = fs::metadata(directory.join(&name)).map_err(io)?.len();
                letters.insert(name, bytes);
            }
        }
        Ok(Self {
            directory,
            letters: letters.into(),
            writing: Mutex::default(),
            _lock: held,
        })
    }

    fn put(&self, letter: &DeadLetter, max: usize) -> Result<()> {
        let io = |source| failed("put", "the dead letter cannot be written", source);
        let head = Head {
            plugin_id: letter.plugin_id.clone(),
            received_at: letter.received_at,
            reason: letter.reason.clone(),
            content_type: letter.content_type.clone(),
        };
        let mut head = serde_json::to_vec(&head).map_err(|source| {
            Error::new(ErrorKind::Internal, "put", "a letter cannot be written").with_source(source)
        })?;
        head.push(b'\n');
        let _writing = lock(&self.writing);
        let name = self.next_name(letter.received_at);
        disk::write_whole(&self.directory, &name, &[&head, &letter.body]).map_err(io)?;
        disk::sync_directory(&self.directory).map_err(io)?;
        let mut letters = lock(&self.letters);
        letters.insert(name, (head.len() + letter.body.len()) as u64);
        // The latest stays however long it is.
        while letters.len() > 1
            && (letters.len() > max || letters.values().sum::<u64>() > MAX_BYTES)
        {
            let Some((oldest, _)) = letters.pop_first() else {
                break;
            };
            // The new letter is kept: whoever sent it has no reason to send it again.
            if let Err(error) = disk::remove(&self.directory.join(oldest)) {
                tracing::warn!(kind = ?error.kind(), "an old dead letter could not be removed");
            }
        }
        Ok(())
    }

    /// Names sort by time, and after the latest one also where the clock was set back: the oldest
    /// letter would be the new one, and go.
    fn next_name(&self, at: Timestamp) -> String {
        let at = u64::try_from(at.as_microsecond()).unwrap_or(0);
        let last = lock(&self.letters)
            .last_key_value()
            .and_then(|(name, _)| moment(name));
        let moment = last.map_or(at, |last| at.max(last.saturating_add(1)));
        format!("{moment:020}-{}{ENDING}", Uuid::new_v4().simple())
    }

    fn list(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        let names: Vec<_> = lock(&self.letters)
            .keys()
            .rev()
            .take(limit)
            .cloned()
            .collect();
        let mut letters = Vec::new();
        for name in names {
            match read(&self.directory.join(name)) {
                Ok(Some(letter)) => letters.push(letter),
                Ok(None) => tracing::warn!("a dead letter is damaged"),
                // The oldest may have gone in between.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable("list", error)),
            }
        }
        Ok(letters)
    }
}

/// The first part of a letter's name, microseconds since 1970; `None` for a file of somebody else.
fn moment(name: &str) -> Option<u64> {
    let (moment, id) = name.strip_suffix(ENDING)?.split_once('-')?;
    let digits = moment.len() == 20 && moment.bytes().all(|byte| byte.is_ascii_digit());
    moment.parse().ok().filter(|_| digits && disk::is_id(id))
}

fn read(path: &Path) -> std::io::Result<Option<DeadLetter>> {
    let bytes = fs::read(path)?;
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(head), Some(body)) = (parts.next(), parts.next()) else {
        return Ok(None);
    };
    Ok(serde_json::from_slice::<Head>(head).ok().map(|head| {
        DeadLetter::new(
            head.plugin_id,
            head.received_at,
            head.reason,
            head.content_type,
            body,
        )
    }))
}

#[cfg(test)]
mod tests;
