//! A fax file that is being written.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::{Effect, Error, ErrorKind, Result, document::FaxImage};

/// The name on disk of fax pages that are being written: one that nobody can guess, for a file that
/// nobody else can read. Dropped before [`into_image`](Self::into_image), it removes its file.
///
/// For converters: write the pages into the file with a [`TiffWriter`](super::tiff::TiffWriter).
pub struct FaxScratch(Option<PathBuf>);

impl FaxScratch {
    /// Makes an empty file (mode 0600 on Unix) in `directory`, which has to exist.
    ///
    /// # Errors
    /// `Io`.
    pub fn create(directory: impl AsRef<Path>) -> Result<(Self, File)> {
        let path = directory
            .as_ref()
            .join(format!("faxbot-{}.tif", Uuid::new_v4()));
        let mut open = OpenOptions::new();
        open.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        let file = open.open(&path).map_err(|source| {
            Error::new(ErrorKind::Io, "create", "the fax file cannot be written")
                .with_effect(Effect::NoEffect)
                .with_source(source)
        })?;
        Ok((Self(Some(path)), file))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// Reads the facts of the file, which has to be written whole. It is removed when the last
    /// clone of the image is dropped, and also when it is refused here.
    ///
    /// # Errors
    /// As [`FaxImage::open`].
    pub fn into_image(mut self) -> Result<FaxImage> {
        FaxImage::open_temporary(self.0.take().unwrap_or_default())
    }
}

impl Drop for FaxScratch {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(kind = ?error.kind(), "an unfinished fax file could not be removed");
        }
    }
}

impl std::fmt::Debug for FaxScratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaxScratch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_finished_goes() {
        let directory = tempfile::tempdir().unwrap();
        let (scratch, file) = FaxScratch::create(&directory).unwrap();
        assert!(scratch.path().exists());
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions())
                & 0o777,
            0o600
        );
        drop((scratch, file));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_no_fax_goes_too() {
        let directory = tempfile::tempdir().unwrap();
        let (scratch, file) = FaxScratch::create(&directory).unwrap();
        drop(file);
        scratch.into_image().unwrap_err();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let error = FaxScratch::create(directory.path().join("gone")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
    }
}
