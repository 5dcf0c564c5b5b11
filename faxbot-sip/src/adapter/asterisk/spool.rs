//! The directory that we and Asterisk share: pages go in under names of ours, and come out again
//! when their fax is over. Everything here blocks; callers run it off the async threads.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use faxbot_core::{Error, ErrorKind, Result, id::CallId};
use uuid::Uuid;

use super::config::SpoolConfig;

/// One directory as we and as Asterisk see it.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    config: SpoolConfig,
    prefix: String,
}

/// A file in the spool.
#[derive(Clone)]
pub(crate) struct SpoolFile {
    pub(crate) local: PathBuf,
    /// As Asterisk sees it: made of the configured directory and a name of ours, so without a comma
    /// or `&`, which `SendFAX` takes for separators.
    pub(crate) remote: String,
}

impl std::fmt::Debug for SpoolFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

    /// Copies pages into the spool: mode 0640, in the configured group.
    pub(crate) fn put(&self, id: CallId, pages: &Path) -> Result<SpoolFile> {
        let file = self.file(id);
        let copied = self.copy(pages, &file.local);
        copied.map_err(|source| {
            // A half-written file must not stay: its call never happens.
            let _ = fs::remove_file(&file.local);
            Error::new(ErrorKind::Config, "send_fax", "the pages cannot be put into the spool directory; check that it exists and that we may write to it")
                .with_call_id(id)
                .with_source(source)
        })?;
        Ok(file)
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut source = fs::File::open(from)?;
        let mut target = create(to)?;
        // Before the first byte of the document is in it.
        share(&target, to, self.config.group.as_deref())?;
        io::copy(&mut source, &mut target)?;
        target.sync_all()
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
        let mut swept = 0;
        for entry in fs::read_dir(&self.config.local)? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| self.owner(name));
            if id.is_some_and(|id| !keep.contains(&id)) {
                fs::remove_file(entry.path())?;
                swept += 1;
            }
        }
        Ok(swept)
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

    /// A small file for Asterisk to look at: the same mode and group as pages get.
    pub(crate) fn put_probe(&self, id: CallId, content: &[u8]) -> io::Result<SpoolFile> {
        use io::Write as _;
        let file = self.file(id);
        let mut target = create(&file.local)?;
        share(&target, &file.local, self.config.group.as_deref())?;
        target.write_all(content)?;
        target.sync_all()?;
        Ok(file)
    }
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
        Spool::new(
            SpoolConfig {
                local: directory.to_owned(),
                remote: "/spool".into(),
                group: None,
            },
            "faxbot",
        )
    }

    #[test]
    fn pages_go_in_readable_by_the_group_only_and_come_out() {
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("a, b & c.tif");
        fs::write(&pages, b"II*\0").unwrap();
        let spool = spool(directory.path());
        let id = CallId::new();
        let file = spool.put(id, &pages).unwrap();
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
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(!error.to_string().contains("nonexistent"));
    }

    #[test]
    fn the_sweep_takes_only_our_leftovers() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path());
        let (live, dead) = (CallId::new(), CallId::new());
        for id in [live, dead] {
            spool.put_probe(id, b"x").unwrap();
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
