//! The steps of writing that survive a crash at any point.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::Path,
};

use uuid::Uuid;

use crate::{Effect, Error, ErrorKind, Result};

/// The end of the names of files that are being written.
const UNFINISHED: &str = ".unfinished";

/// Makes the directory unless it is there, and those above it. Their names are durable: else all that
/// is in them may be lost with them.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    missing
        .into_iter()
        .try_for_each(|made| sync_directory(above(made)))
}

/// The directory that a file or a directory is in.
pub(super) fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Options that give new files to us alone.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Holds `path` for as long as the file lives. It stays behind, because removing a file that another
/// process waits for gives two of them the lock.
pub(super) fn hold(path: &Path) -> Result<File> {
    let file = private()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|source| failed("open", "the lock file cannot be opened", source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::InvalidState,
            "open",
            "the store is in use by another process or store",
        )),
        Err(TryLockError::Error(source)) => {
            Err(failed("open", "the file system gives no lock", source))
        }
    }
}

/// Writes a file that is there whole or not at all; its name is durable after [`sync_directory`].
pub(super) fn write_whole(directory: &Path, name: &str, pieces: &[&[u8]]) -> io::Result<()> {
    let unfinished = directory.join(format!("{}{UNFINISHED}", Uuid::new_v4()));
    let written =
        write_new(&unfinished, pieces).and_then(|()| fs::rename(&unfinished, directory.join(name)));
    if written.is_err() {
        // What stays behind goes when the store is opened again.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn write_new(path: &Path, pieces: &[&[u8]]) -> io::Result<()> {
    let mut file = private().write(true).create_new(true).open(path)?;
    for piece in pieces {
        file.write_all(piece)?;
    }
    file.sync_all()
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    // Windows opens no directories, and keeps their order itself.
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// Removes a file; that it is not there is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The names of the files in a directory, without those that a crash left unfinished: they are
/// removed. Only for who holds the directory. Files of somebody else may be among them.
pub(super) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let unfinished = name.strip_suffix(UNFINISHED);
        if unfinished.is_some_and(|stem| Uuid::try_parse(stem).is_ok()) {
            remove(&entry.path())?;
        } else {
            names.push(name);
        }
    }
    Ok(names)
}

/// Whether a text is a UUID as names of files have it. Nothing is done to a file whose name is not one
/// of ours, whatever its ending.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn failed(operation: &'static str, message: &'static str, source: io::Error) -> Error {
    Error::new(ErrorKind::Io, operation, message).with_source(source)
}

/// As [`failed`], for what only reads.
pub(super) fn unreadable(operation: &'static str, source: io::Error) -> Error {
    failed(operation, "the store cannot be read", source).with_effect(Effect::NoEffect)
}
