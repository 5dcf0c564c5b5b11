//! Which callbacks were handled, in one file.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::disk::{self, failed, private, unreadable};
use crate::{
    Error, ErrorKind, Result, Timestamp,
    clock::SharedClock,
    plugin::PluginId,
    task::blocking,
    webhook::{
        Claim, DedupeStore,
        dedupe::{DedupeTable, Key},
        memory::lock,
    },
};

/// Which callbacks were handled, in one file to which each handled key is appended.
///
/// `done` returns when its line is on the disk. A last line that a crash cut is dropped when the file
/// is opened: its `done` never returned. When most lines are past their retention, the file is
/// written anew beside the old one and takes its place whole. Claims are in memory, and end with the
/// process.
#[derive(Debug)]
pub struct FileDedupeStore {
    clock: SharedClock,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    table: Mutex<DedupeTable>,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    /// Bytes that are whole lines.
    len: u64,
    lines: usize,
    /// Something may stand behind `len`, because writing failed.
    torn: bool,
    /// The file's name may be lost in a crash, because a sync of the directory failed.
    unnamed: bool,
    _lock: File,
}

/// The first line, so that no other file is taken for one of ours and cut.
const HEADER: &[u8] = b"{\"faxbot\":\"dedupe\",\"version\":1}\n";
/// Lines that may be past their use before the file is written anew.
const SPARE_LINES: usize = if cfg!(test) { 10 } else { 1000 };

#[derive(Serialize, Deserialize)]
struct Line {
    at: Timestamp,
    plugin: PluginId,
    key: String,
}

impl FileDedupeStore {
    /// Opens the file, or makes it and the directory that it is in. Beside it there is a lock file.
    /// The store remembers the latest 100,000 handled keys for 7 days: vendors repeat a callback for
    /// about 3 days.
    ///
    /// # Errors
    /// `Io`; `InvalidState` when the file is in use by another process or store; `Config` for a file
    /// that is no store.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the file opened or not, and whole.
    pub async fn open(path: impl Into<PathBuf>, clock: SharedClock) -> Result<Self> {
        let path = path.into();
        let inner = blocking("open", move || Inner::open(path)).await??;
        let inner = Arc::new(inner);
        Ok(Self { clock, inner })
    }

    /// Sets how long a handled key is remembered.
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Self {
        lock(&self.inner.table).set_retention(retention);
        self
    }

    /// Sets how many handled keys are remembered; the oldest goes for a new one. 0 is 1.
    #[must_use]
    pub fn with_max_keys(self, keys: usize) -> Self {
        lock(&self.inner.table).set_max_keys(keys);
        self
    }
}

#[async_trait]
impl DedupeStore for FileDedupeStore {
    async fn claim(&self, plugin: &PluginId, key: &str, lease: Duration) -> Result<Claim> {
        let key = (plugin.clone(), key.to_owned());
        let (now, wall) = (self.clock.now(), self.clock.timestamp());
        lock(&self.inner.table).claim(key, lease, now, wall)
    }

    async fn done(&self, plugin: &PluginId, key: &str) -> Result<()> {
        let key = (plugin.clone(), key.to_owned());
        let at = self.clock.timestamp();
        let inner = Arc::clone(&self.inner);
        blocking("done", move || inner.done(key, at)).await?
    }

    async fn release(&self, plugin: &PluginId, key: &str) -> Result<()> {
        lock(&self.inner.table).release(&(plugin.clone(), key.to_owned()));
        Ok(())
    }
}

impl Inner {
    fn open(path: PathBuf) -> Result<Self> {
        let io = |source| failed("open", "the store cannot be opened", source);
        disk::make_directory(disk::above(&path)).map_err(io)?;
        let held = disk::hold(&beside(&path, ".lock"))?;
        // Left by a crash before it took the place of the file.
        disk::remove(&beside(&path, ".new")).map_err(io)?;
        let mut table = DedupeTable::unbounded();
        let read = match File::open(&path) {
            Ok(file) => read(file, &mut table)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Read::default(),
            Err(error) => return Err(unreadable("open", error)),
        };
        // Nothing is forgotten yet: how much is wanted is said after this.
        table.bound();
        let file = private()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(io)?;
        let mut log = Log {
            path,
            file,
            len: read.len,
            lines: read.lines,
            torn: true,
            unnamed: true,
            _lock: held,
        };
        if read.len == 0 {
            log.append(HEADER).map_err(io)?;
        } else {
            log.mend().map_err(io)?;
        }
        if read.damaged > 0 {
            tracing::error!(lines = read.damaged, "damaged lines of handled webhooks");
            log.write_anew(table.handled().cloned()).map_err(io)?;
        }
        Ok(Self {
            table: table.into(),
            log: log.into(),
        })
    }

    fn done(&self, key: Key, at: Timestamp) -> Result<()> {
        let (plugin, key) = key;
        let line = Line { at, plugin, key };
        let bytes = line.to_bytes()?;
        // Held over the whole, so that the file is written anew with every line that was appended.
        let mut log = lock(&self.log);
        log.append(&bytes)
            .map_err(|source| failed("done", "the handled webhook cannot be written", source))?;
        log.lines += 1;
        lock(&self.table).done((line.plugin, line.key), at);
        let old = {
            let mut table = lock(&self.table);
            table.forget_old(at);
            log.is_mostly_old(&table)
        };
        // The line is safe already: what fails here is tried again at the next one.
        if old && let Err(error) = self.write_anew(&mut log) {
            tracing::warn!(kind = ?error.kind(), "handled webhooks could not be written anew");
        }
        Ok(())
    }

    fn write_anew(&self, log: &mut Log) -> io::Result<()> {
        // Claims go on while the file is written: the lines are copied first.
        let lines: Vec<_> = lock(&self.table).handled().cloned().collect();
        log.write_anew(lines.into_iter())
    }
}

impl Log {
    /// Appends whole lines; they are on the disk when it returns.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.mend()?;
        self.torn = true;
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        self.torn = false;
        self.len += lines.len() as u64;
        Ok(())
    }

    /// Makes good what failed before: the next line must not follow a cut one, nor be the last of a
    /// file without a name.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.len)?;
            self.file.sync_data()?;
            self.torn = false;
        }
        if self.unnamed {
            disk::sync_directory(disk::above(&self.path))?;
            self.unnamed = false;
        }
        Ok(())
    }

    fn is_mostly_old(&self, table: &DedupeTable) -> bool {
        self.lines > 2 * table.handled().len() + SPARE_LINES
    }

    fn write_anew(
        &mut self,
        handled: impl ExactSizeIterator<Item = (Timestamp, Key)>,
    ) -> io::Result<()> {
        let path = beside(&self.path, ".new");
        disk::remove(&path)?;
        let lines = handled.len();
        let mut out = BufWriter::new(private().append(true).create_new(true).open(&path)?);
        out.write_all(HEADER)?;
        for (at, (plugin, key)) in handled {
            let line = Line { at, plugin, key };
            out.write_all(&line.to_bytes().map_err(io::Error::other)?)?;
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let len = file.metadata()?.len();
        fs::rename(&path, &self.path)?;
        self.file = file;
        self.len = len;
        self.lines = lines;
        self.torn = false;
        // Until this is done, a crash may bring the old file back, without what follows.
        self.unnamed = true;
        self.mend()
    }
}

impl Line {
    fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self).map_err(|source| {
            Error::new(ErrorKind::Internal, "done", "a key cannot be written").with_source(source)
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// What was found in a file.
#[derive(Default)]
struct Read {
    /// Bytes of whole lines, the header's among them; 0 for a file that has to begin.
    len: u64,
    /// Lines without the header.
    lines: usize,
    damaged: usize,
}

fn read(file: File, table: &mut DedupeTable) -> Result<Read> {
    let mut input = BufReader::new(file);
    let mut read = Read::default();
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        input
            .read_until(b'\n', line)
            .map_err(|error| unreadable("open", error))
    };
    next(&mut line)?;
    if line != HEADER {
        // A crash may have cut the very first write.
        if HEADER.starts_with(&line) {
            return Ok(read);
        }
        return Err(Error::new(
            ErrorKind::Config,
            "open",
            "the file is no store of handled webhooks",
        ));
    }
    read.len = line.len() as u64;
    while next(&mut line)? > 0 && line.ends_with(b"\n") {
        read.len += line.len() as u64;
        read.lines += 1;
        match serde_json::from_slice::<Line>(&line) {
            Ok(line) => table.done((line.plugin, line.key), line.at),
            Err(_) => read.damaged += 1,
        }
    }
    Ok(read)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests;
