//! A file that is there whole or not at all.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// A file under a temporary name beside its target, that nobody else can read (mode 0600 on Unix).
/// Dropped before [`keep`](Self::keep), it is removed.
pub(in crate::document) struct NewFile {
    temporary: Option<PathBuf>,
}

impl NewFile {
    pub(in crate::document) fn create(target: &Path) -> io::Result<(Self, File)> {
        // In the same folder: a name in another file system cannot be renamed to the target.
        let name: OsString = format!(".faxbot-{}.part", Uuid::new_v4()).into();
        let temporary = target.with_file_name(name);
        let mut open = OpenOptions::new();
        open.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        let file = open.open(&temporary)?;
        Ok((
            Self {
                temporary: Some(temporary),
            },
            file,
        ))
    }

    /// Gives the file, which has to be written whole and closed, its name. A file of that name is
    /// replaced.
    pub(in crate::document) fn keep(mut self, target: &Path) -> io::Result<()> {
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, target)?;
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary
            && let Err(error) = fs::remove_file(temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(kind = ?error.kind(), "an unfinished file could not be removed");
        }
    }
}
