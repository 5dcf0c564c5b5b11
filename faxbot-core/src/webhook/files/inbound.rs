//! What was received, a record each.

mod record;

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use self::record::{DAMAGED, FAX, FaxRecord, MESSAGE, PAGES, is_ours, name, same, to_json};
use super::disk::{self, failed, unreadable};
use crate::{
    Effect, Error, ErrorKind, Result, Timestamp,
    message::InboundMessage,
    plugin::{InboundFax, InboundQuery, Page},
    task::blocking,
    webhook::{
        InboundFile, InboundStore, Stored,
        index::RecordIndex,
        memory::{found, lock},
    },
};

/// What was received, in one directory: a fax is a file of its pages and then a file of its record, a
/// message is a record. A record is there whole or not at all, wherever a crash comes between.
///
/// Names of files are hashes of ids. Nothing goes by itself: take over what came and
/// [`remove_before`](Self::remove_before) some time, or the store fills up
/// ([`with_max_bytes`](Self::with_max_bytes)) and refuses, which vendors answer with repetitions.
#[derive(Debug)]
pub struct FileInboundStore {
    inner: Arc<Inner>,
    max_bytes: u64,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    records: Mutex<Records>,
    /// Held while a record is written or removed.
    writing: Mutex<()>,
    _lock: fs::File,
}

#[derive(Debug, Default)]
struct Records {
    faxes: RecordIndex,
    messages: RecordIndex,
    bytes: u64,
}

const DEFAULT_MAX_BYTES: u64 = 8 * 1024 * 1024 * 1024;

impl FileInboundStore {
    /// Opens the directory, or makes it. Records are read, what a crash left unfinished is removed,
    /// and a record that is damaged is set aside under another name.
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
            max_bytes: DEFAULT_MAX_BYTES,
        })
    }

    /// Sets how many bytes the store may have; 8 GiB.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Removes a fax and its pages; false when it is not here.
    ///
    /// # Errors
    /// `Io`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it removed or not.
    pub async fn remove_fax(&self, backend: &str, id: &str) -> Result<bool> {
        self.remove(FAX, backend, id).await
    }

    /// Removes a message; false when it is not here.
    ///
    /// # Errors
    /// `Io`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it removed or not.
    pub async fn remove_message(&self, backend: &str, id: &str) -> Result<bool> {
        self.remove(MESSAGE, backend, id).await
    }

    /// Removes what was received before a time; answers how many records went.
    ///
    /// # Errors
    /// `Io`: some may have gone.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop what has begun.
    pub async fn remove_before(&self, time: Timestamp) -> Result<usize> {
        let inner = Arc::clone(&self.inner);
        blocking("remove_before", move || inner.remove_before(time)).await?
    }

    async fn remove(&self, kind: &'static str, backend: &str, id: &str) -> Result<bool> {
        let inner = Arc::clone(&self.inner);
        let (backend, id) = (backend.to_owned(), id.to_owned());
        blocking("remove", move || {
            let _writing = lock(&inner.writing);
            inner.remove(kind, &backend, &id)
        })
        .await?
    }
}

#[async_trait]
impl InboundStore for FileInboundStore {
    async fn put_fax(&self, fax: &InboundFax, file: &InboundFile) -> Result<Stored> {
        let (inner, max) = (Arc::clone(&self.inner), self.max_bytes);
        let (fax, file) = (fax.clone(), file.clone());
        blocking("put_fax", move || inner.put_fax(fax, &file, max)).await?
    }

    async fn fax(&self, backend: &str, id: &str) -> Result<Option<(InboundFax, InboundFile)>> {
        let inner = Arc::clone(&self.inner);
        let (backend, id) = (backend.to_owned(), id.to_owned());
        blocking("fax", move || inner.fax(&backend, &id)).await?
    }

    async fn faxes(&self, backend: &str, query: &InboundQuery) -> Result<Page<InboundFax>> {
        let inner = Arc::clone(&self.inner);
        let (backend, query) = (backend.to_owned(), query.clone());
        blocking("faxes", move || {
            let ids = lock(&inner.records).faxes.page(&backend, &query)?;
            inner.records_of(ids, |id| {
                let record = inner.read::<FaxRecord>(&name(FAX, &backend, id))?;
                Ok(record.map(|record| record.fax))
            })
        })
        .await?
    }

    async fn put_message(&self, message: &InboundMessage) -> Result<Stored> {
        let (inner, max) = (Arc::clone(&self.inner), self.max_bytes);
        let message = message.clone();
        blocking("put_message", move || inner.put_message(&message, max)).await?
    }

    async fn messages(&self, backend: &str, query: &InboundQuery) -> Result<Page<InboundMessage>> {
        let inner = Arc::clone(&self.inner);
        let (backend, query) = (backend.to_owned(), query.clone());
        blocking("messages", move || {
            let ids = lock(&inner.records).messages.page(&backend, &query)?;
            inner.records_of(ids, |id| inner.read(&name(MESSAGE, &backend, id)))
        })
        .await?
    }
}

impl Inner {
    fn open(directory: PathBuf) -> Result<Self> {
        let io = |source| failed("open", "the store cannot be opened", source);
        disk::make_directory(&directory).map_err(io)?;
        let held = disk::hold(&directory.join("lock"))?;
        let store = Self {
            directory,
            records: Mutex::default(),
            writing: Mutex::default(),
            _lock: held,
        };
        let mut names = disk::names(&store.directory).map_err(io)?;
        names.retain(|name| is_ours(name));
        for name in &names {
            let whole = match name {
                name if name.ends_with(FAX) => store.load_fax(name)?,
                name if name.ends_with(MESSAGE) => store.load_message(name)?,
                _ => true,
            };
            if !whole {
                tracing::error!("a damaged record of what was received is set aside");
                let aside = store.directory.join(format!("{name}{DAMAGED}"));
                fs::rename(store.directory.join(name), aside).map_err(io)?;
            }
        }
        for name in names {
            if let Some(stem) = name.strip_suffix(PAGES)
                && !store.exists(&format!("{stem}{FAX}")).map_err(io)?
                && !store.exists(&format!("{stem}{FAX}{DAMAGED}")).map_err(io)?
            {
                // A crash came before the record.
                disk::remove(&store.directory.join(name)).map_err(io)?;
            }
        }
        Ok(store)
    }

    fn load_fax(&self, file: &str) -> Result<bool> {
        let Some(record) = self.read::<FaxRecord>(file)? else {
            return Ok(false);
        };
        let fax = record.fax;
        let pages = self.directory.join(name(PAGES, &fax.backend, &fax.id));
        let length = match fs::metadata(pages) {
            Ok(metadata) => Some(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable("open", error)),
        };
        let whole = length == Some(record.bytes) && file == name(FAX, &fax.backend, &fax.id);
        if whole {
            let bytes = record.bytes + self.size(file)?;
            let mut records = lock(&self.records);
            records.faxes.insert(&fax.backend, fax.received_at, &fax.id);
            records.bytes = records.bytes.saturating_add(bytes);
        }
        Ok(whole)
    }

    fn load_message(&self, file: &str) -> Result<bool> {
        let Some(message) = self.read::<InboundMessage>(file)? else {
            return Ok(false);
        };
        let whole = file == name(MESSAGE, &message.backend, &message.id);
        if whole {
            let bytes = self.size(file)?;
            let mut records = lock(&self.records);
            records
                .messages
                .insert(&message.backend, message.received_at, &message.id);
            records.bytes = records.bytes.saturating_add(bytes);
        }
        Ok(whole)
    }

    fn put_fax(&self, fax: InboundFax, file: &InboundFile, max: u64) -> Result<Stored> {
        let io = |source| failed("put_fax", "the fax cannot be written", source);
        let record_name = name(FAX, &fax.backend, &fax.id);
        let pages_name = name(PAGES, &fax.backend, &fax.id);
        let _writing = lock(&self.writing);
        if let Some(known) = self.read::<FaxRecord>(&record_name)? {
            same((&known.fax.backend, &known.fax.id), (&fax.backend, &fax.id))?;
            return Ok(Stored::Known);
        }
        let record = FaxRecord {
            fax,
            content_type: file.content_type.clone(),
            bytes: file.bytes.len() as u64,
        };
        let json = to_json("put_fax", &record)?;
        let bytes = record.bytes + json.len() as u64;
        self.make_room("put_fax", bytes, max)?;
        let written = disk::write_whole(&self.directory, &pages_name, &[&file.bytes])
            // The record's name must not be on the disk before that of the pages.
            .and_then(|()| disk::sync_directory(&self.directory))
            .and_then(|()| disk::write_whole(&self.directory, &record_name, &[&json]))
            .and_then(|()| disk::sync_directory(&self.directory));
        if let Err(source) = written {
            // Else a repetition would find what nobody knows to be durable.
            let _ = disk::remove(&self.directory.join(record_name));
            let _ = disk::remove(&self.directory.join(pages_name));
            return Err(io(source));
        }
        let fax = record.fax;
        let mut records = lock(&self.records);
        records.faxes.insert(&fax.backend, fax.received_at, &fax.id);
        records.bytes = records.bytes.saturating_add(bytes);
        Ok(Stored::New)
    }

    fn put_message(&self, message: &InboundMessage, max: u64) -> Result<Stored> {
        let record_name = name(MESSAGE, &message.backend, &message.id);
        let _writing = lock(&self.writing);
        if let Some(known) = self.read::<InboundMessage>(&record_name)? {
            same((&known.backend, &known.id), (&message.backend, &message.id))?;
            return Ok(Stored::Known);
        }
        let json = to_json("put_message", message)?;
        let bytes = json.len() as u64;
        self.make_room("put_message", bytes, max)?;
        let written = disk::write_whole(&self.directory, &record_name, &[&json])
            .and_then(|()| disk::sync_directory(&self.directory));
        if let Err(source) = written {
            let _ = disk::remove(&self.directory.join(record_name));
            return Err(failed(
                "put_message",
                "the message cannot be written",
                source,
            ));
        }
        let mut records = lock(&self.records);
        records
            .messages
            .insert(&message.backend, message.received_at, &message.id);
        records.bytes = records.bytes.saturating_add(bytes);
        Ok(Stored::New)
    }

    fn fax(&self, backend: &str, id: &str) -> Result<Option<(InboundFax, InboundFile)>> {
        let Some(record) = self.read::<FaxRecord>(&name(FAX, backend, id))? else {
            return Ok(None);
        };
        same((&record.fax.backend, &record.fax.id), (backend, id))?;
        let pages = fs::read(self.directory.join(name(PAGES, backend, id)))
            .map_err(|error| unreadable("fax", error))?;
        if pages.len() as u64 != record.bytes {
            let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(unreadable("fax", cut));
        }
        let file = InboundFile::new(record.content_type, pages);
        Ok(Some((record.fax, file)))
    }

    fn remove_before(&self, time: Timestamp) -> Result<usize> {
        let (faxes, messages) = {
            let records = lock(&self.records);
            (records.faxes.before(time), records.messages.before(time))
        };
        let mut removed = 0;
        for (kind, old) in [(FAX, faxes), (MESSAGE, messages)] {
            for (backend, id) in old {
                let _writing = lock(&self.writing);
                removed += usize::from(self.remove(kind, &backend, &id)?);
            }
        }
        Ok(removed)
    }

    /// Removes a record, and then its pages. The caller holds `writing`.
    fn remove(&self, kind: &str, backend: &str, id: &str) -> Result<bool> {
        let io = |source| failed("remove", "the record cannot be removed", source);
        let file = name(kind, backend, id);
        let (received_at, pages) = if kind == FAX {
            let record = self.read::<FaxRecord>(&file)?;
            record.map(|record| (record.fax.received_at, record.bytes))
        } else {
            let message = self.read::<InboundMessage>(&file)?;
            message.map(|message| (message.received_at, 0))
        }
        .unzip();
        let (Some(received_at), Some(pages)) = (received_at, pages) else {
            return Ok(false);
        };
        let bytes = self.size(&file)?.saturating_add(pages);
        disk::remove(&self.directory.join(file)).map_err(io)?;
        disk::sync_directory(&self.directory).map_err(io)?;
        let mut records = lock(&self.records);
        records.bytes = records.bytes.saturating_sub(bytes);
        if kind == FAX {
            records.faxes.remove(backend, received_at, id);
            drop(records);
            disk::remove(&self.directory.join(name(PAGES, backend, id))).map_err(io)?;
        } else {
            records.messages.remove(backend, received_at, id);
        }
        Ok(true)
    }

    fn make_room(&self, operation: &'static str, bytes: u64, max: u64) -> Result<()> {
        if bytes <= max.saturating_sub(lock(&self.records).bytes) {
            return Ok(());
        }
        let message = "the store of what was received is full";
        Err(Error::new(ErrorKind::Overloaded, operation, message).with_effect(Effect::NoEffect))
    }

    fn records_of<T>(
        &self,
        ids: Page<String>,
        read: impl Fn(&str) -> Result<Option<T>>,
    ) -> Result<Page<T>> {
        // One that was removed in between is left out.
        let read = ids.map(|id| read(&id));
        let mut failed = None;
        let page = found(read, |record| match record {
            Ok(record) => record,
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        failed.map_or(Ok(page), Err)
    }

    /// A record; `None` when it is not there, or is none.
    fn read<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>> {
        match fs::read(self.directory.join(file)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable("read", error)),
        }
    }

    fn size(&self, file: &str) -> Result<u64> {
        fs::metadata(self.directory.join(file))
            .map(|metadata| metadata.len())
            .map_err(|error| unreadable("read", error))
    }

    fn exists(&self, file: &str) -> io::Result<bool> {
        self.directory.join(file).try_exists()
    }
}

#[cfg(test)]
mod tests;
