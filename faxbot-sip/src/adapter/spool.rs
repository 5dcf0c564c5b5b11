//! The directory that we and the server share: pages go in under names of ours, and come out again
//! when their fax is over; received ones stay until they are taken. Everything here blocks; callers run
//! it off the async threads.

use std::{
    collections::HashSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use faxbot_core::{
    DocumentReason, Effect, Error, ErrorKind, Result, id::CallId, sip::Severity, task::blocking,
};
use uuid::Uuid;

use super::hub::{Book, Hub};
use crate::protocol::session::Session;

/// One directory as we and as the server see it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolConfig {
    /// As we see it.
    pub local: PathBuf,
    /// As the server sees it, without a slash at its end.
    pub remote: String,
    /// The group of the files, by name or number.
    pub group: Option<String>,
}

impl SpoolConfig {
    /// A directory whose files have the group that its own rule gives them.
    pub fn new(local: impl Into<PathBuf>, remote: impl Into<String>) -> Self {
        let remote: String = remote.into();
        Self {
            local: local.into(),
            remote: remote.trim_end_matches('/').to_owned(),
            group: None,
        }
    }

    /// Sets the group of the files, by name or number.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }
}

impl fmt::Debug for SpoolConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolConfig")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

/// The files of one adapter in the directory.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    config: SpoolConfig,
    prefix: String,
}

/// Pages in the spool that nobody was told of: they go when this is dropped, so that a fax that is
/// given up before its request is written leaves nothing.
#[derive(Debug)]
pub(crate) struct Pages {
    path: Option<PathBuf>,
}

impl Pages {
    /// The pages stay: the server may be reading them from now on.
    pub(crate) fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // What stays is swept at the next connect.
            let _ = fs::remove_file(path);
        }
    }
}

/// A received fax on its way to whoever takes it: it goes back when this is dropped, so that pages
/// that nobody was given can be taken again.
#[derive(Debug)]
pub(crate) struct Taken {
    from: PathBuf,
    to: PathBuf,
    kept: bool,
}

impl Taken {
    /// It is handed over now.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.kept = true;
        std::mem::take(&mut self.to)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.kept {
            // One that cannot go back is still there, under the name of one that was taken.
            let _ = fs::rename(&self.to, &self.from);
        }
    }
}

/// A file in the spool.
#[derive(Clone)]
pub(crate) struct SpoolFile {
    pub(crate) local: PathBuf,
    /// As the server sees it: the configured directory, and a name of ours that is letters, digits,
    /// `_`, `-` and one dot.
    pub(crate) remote: String,
}

impl fmt::Debug for SpoolFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpoolFile(***)")
    }
}

impl Spool {
    pub(crate) fn new(config: SpoolConfig, instance: &str) -> Self {
        Self {
            config,
            prefix: format!("faxbot-{instance}-"),
        }
    }

    /// The file of a call, whether it is there or not.
    pub(crate) fn file(&self, id: CallId) -> SpoolFile {
        let name = format!("{}{}.tif", self.prefix, id.as_uuid());
        SpoolFile {
            local: self.config.local.join(&name),
            remote: format!("{}/{name}", self.config.remote),
        }
    }

    /// The file that a fax of an incoming call is received into. The server makes it, and no sweep takes
    /// it: pages that nobody took are kept.
    pub(crate) fn received(&self, id: CallId) -> SpoolFile {
        let name = format!("{}in-{}.tif", self.prefix, id.as_uuid());
        SpoolFile {
            local: self.config.local.join(&name),
            remote: format!("{}/{name}", self.config.remote),
        }
    }

    /// Whether a received fax waits to be taken.
    pub(crate) fn has_received(&self, id: CallId) -> bool {
        self.received(id).local.is_file()
    }

    /// Hands a received fax over, once: it gets the name that it is taken by. `None` when it is not
    /// there.
    pub(crate) fn take(&self, id: CallId) -> io::Result<Option<Taken>> {
        let name = format!("{}taken-{}.tif", self.prefix, id.as_uuid());
        let taken = Taken {
            from: self.received(id).local,
            to: self.config.local.join(name),
            kept: false,
        };
        match fs::rename(&taken.from, &taken.to) {
            Ok(()) => Ok(Some(taken)),
            Err(error) => {
                // There is nothing to give back.
                taken.keep();
                if error.kind() == io::ErrorKind::NotFound {
                    Ok(None)
                } else {
                    Err(error)
                }
            }
        }
    }

    /// Copies pages into the spool: mode 0640, in the configured group. They are gone again with
    /// the answer, unless it is kept.
    pub(crate) fn put(&self, id: CallId, pages: &Path) -> Result<Pages> {
        let mut source = fs::File::open(pages).map_err(|source| {
            Error::document(
                "send_fax",
                DocumentReason::Damaged,
                "the file of the pages cannot be read",
            )
            .with_call_id(id)
            .with_source(source)
        })?;
        let path = self.file(id).local;
        let mut target = create(&path).map_err(|source| unusable(id, source))?;
        // From here on the file is ours: whatever fails, it does not stay.
        let put = Pages { path: Some(path) };
        self.fill(&mut source, &mut target, &put)
            .map_err(|source| unusable(id, source))?;
        Ok(put)
    }

    fn fill(&self, from: &mut impl io::Read, to: &mut fs::File, put: &Pages) -> io::Result<()> {
        if let Some(path) = &put.path {
            // Before the first byte of the document is in it.
            share(to, path, self.config.group.as_deref())?;
        }
        io::copy(from, to)?;
        to.sync_all()
    }

    /// Removes the file of a call; one that is gone is no error.
    pub(crate) fn remove(&self, id: CallId) -> io::Result<()> {
        match fs::remove_file(self.file(id).local) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes files of our name pattern that belong to no call of `keep`, and answers how many.
    /// Other files are never touched.
    pub(crate) fn sweep(&self, keep: &HashSet<CallId>) -> io::Result<usize> {
        let (mut swept, mut failed) = (0, None);
        for entry in fs::read_dir(&self.config.local)? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| self.owner(name));
            if id.is_some_and(|id| !keep.contains(&id)) {
                // One that cannot go does not save the others.
                match fs::remove_file(entry.path()) {
                    Ok(()) => swept += 1,
                    Err(error) => failed = Some(error),
                }
            }
        }
        failed.map_or(Ok(swept), Err)
    }

    /// The call whose file has this name, if it is a name of ours.
    fn owner(&self, name: &str) -> Option<CallId> {
        let uuid = name.strip_prefix(&self.prefix)?.strip_suffix(".tif")?;
        // Only the exact form that we write: 36 characters with hyphens.
        (uuid.len() == 36)
            .then(|| Uuid::try_parse(uuid).ok())
            .flatten()
            .map(CallId::from_uuid)
    }

    /// A small file for the server to look at: the same mode and group as pages get.
    pub(crate) fn put_probe(&self, id: CallId, mut content: &[u8]) -> io::Result<Pages> {
        let path = self.file(id).local;
        let mut target = create(&path)?;
        let put = Pages { path: Some(path) };
        self.fill(&mut content, &mut target, &put)?;
        Ok(put)
    }
}

/// The pages of a fax go when its outcome is final.
pub(crate) async fn clear(spool: Option<&Spool>, id: CallId) {
    if let Some(spool) = spool.cloned() {
        let removed = blocking("send_fax", move || spool.remove(id)).await;
        if !matches!(removed, Ok(Ok(()))) {
            tracing::warn!(call_id = %id, "the pages of a fax could not be removed from the spool; the next connect tries again");
        }
    }
}

/// Takes out what no call of `keep` left, when a connection is set up.
pub(crate) async fn tidy<S: Session, B: Book>(
    hub: &Hub<S, B>,
    spool: Option<&Spool>,
    keep: HashSet<CallId>,
) {
    let Some(spool) = spool.cloned() else {
        return;
    };
    match blocking("connect", move || spool.sweep(&keep)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(swept)) => tracing::info!(
            swept,
            adapter = hub.name,
            "leftover pages were removed from the spool"
        ),
        _ => {
            let message = "the spool directory cannot be read; run preflight()";
            let error = Error::new(ErrorKind::Config, "connect", message);
            hub.trouble(Severity::Warning, error);
        }
    }
}

fn unusable(id: CallId, source: io::Error) -> Error {
    let (kind, message) = if source.kind() == io::ErrorKind::AlreadyExists {
        // Of a fax of an earlier process that may still be read.
        (
            ErrorKind::InvalidState,
            "the pages of a fax with this id are in the spool; ask with lookup",
        )
    } else {
        (
            ErrorKind::Config,
            "the pages cannot be put into the spool directory; check that it exists and that we may write to it",
        )
    };
    Error::new(kind, "send_fax", message)
        .with_call_id(id)
        .with_effect(Effect::NoEffect)
        .with_source(source)
}

#[cfg(unix)]
fn create(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
}

#[cfg(unix)]
fn share(file: &fs::File, path: &Path, group: Option<&str>) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    if let Some(group) = group {
        chown(path, None, Some(group_id(group)?))?;
    }
    // The umask may have taken the group's right to read.
    file.set_permissions(fs::Permissions::from_mode(0o640))
}

#[cfg(not(unix))]
fn share(_file: &fs::File, _path: &Path, _group: Option<&str>) -> io::Result<()> {
    Ok(())
}

/// A group by number or name.
#[cfg(unix)]
fn group_id(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let found = nix::unistd::Group::from_name(group)?;
    found.map(|found| found.gid.as_raw()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "the group of the spool directory's files does not exist here",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(directory: &Path) -> Spool {
        Spool::new(SpoolConfig::new(directory, "/spool/"), "faxbot")
    }

    #[test]
    fn a_received_fax_is_not_swept_and_is_taken_once() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path());
        let id = CallId::new();
        let file = spool.received(id);
        assert!(spool.take(id).unwrap().is_none());
        fs::write(&file.local, b"II*\0").unwrap();
        assert_eq!(
            file.remote,
            format!("/spool/faxbot-faxbot-in-{}.tif", id.as_uuid())
        );
        assert_eq!(spool.sweep(&HashSet::new()).unwrap(), 0);
        // Whoever took it went away before it was given to him.
        drop(spool.take(id).unwrap().unwrap());
        assert!(spool.has_received(id));
        let taken = spool.take(id).unwrap().unwrap().keep();
        assert_eq!(fs::read(&taken).unwrap(), b"II*\0");
        assert!(spool.take(id).unwrap().is_none());
        // It is its owner's.
        assert_eq!(spool.sweep(&HashSet::new()).unwrap(), 0);
        assert!(taken.exists());
    }

    #[test]
    fn pages_go_in_readable_by_the_group_only_and_come_out() {
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("a, b & c.tif");
        fs::write(&pages, b"II*\0").unwrap();
        let spool = spool(directory.path());
        let id = CallId::new();
        let file = spool.file(id);
        spool.put(id, &pages).unwrap().keep();
        assert_eq!(fs::read(&file.local).unwrap(), b"II*\0");
        assert_eq!(
            file.remote,
            format!("/spool/faxbot-faxbot-{}.tif", id.as_uuid())
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                fs::metadata(&file.local).unwrap().permissions().mode() & 0o777,
                0o640
            );
        }
        spool.remove(id).unwrap();
        assert!(!file.local.exists());
        spool.remove(id).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_copied_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let error = spool(directory.path())
            .put(CallId::new(), Path::new("/nonexistent.tif"))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Document);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(!error.to_string().contains("nonexistent"));
    }

    #[test]
    fn pages_that_are_not_kept_are_gone() {
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("pages.tif");
        fs::write(&pages, b"II*\0").unwrap();
        let spool = spool(directory.path());
        drop(spool.put(CallId::new(), &pages).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_pages_of_a_live_fax_survive_a_second_request_with_its_id() {
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("pages.tif");
        fs::write(&pages, b"II*\0").unwrap();
        let (spool, id) = (spool(directory.path()), CallId::new());
        spool.put(id, &pages).unwrap().keep();
        let error = spool.put(id, &pages).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        assert_eq!(error.effect(), Effect::NoEffect);
        assert!(spool.file(id).local.exists());
    }

    #[test]
    fn the_sweep_takes_only_our_leftovers() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path());
        let (live, dead) = (CallId::new(), CallId::new());
        for id in [live, dead] {
            spool.put_probe(id, b"x").unwrap().keep();
        }
        let strangers = [
            "other.tif".to_owned(),
            "faxbot-faxbot-.tif".to_owned(),
            format!("faxbot-other-{}.tif", Uuid::new_v4()),
            format!("faxbot-faxbot-{}.tif.bak", Uuid::new_v4()),
            format!("faxbot-faxbot-{}.tif", Uuid::new_v4().simple()),
        ];
        for name in &strangers {
            fs::write(directory.path().join(name), b"x").unwrap();
        }
        assert_eq!(spool.sweep(&HashSet::from([live])).unwrap(), 1);
        assert!(spool.file(live).local.exists() && !spool.file(dead).local.exists());
        assert!(
            strangers
                .iter()
                .all(|name| directory.path().join(name).exists())
        );
    }
}
