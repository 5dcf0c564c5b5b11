//! Whether a document on disk is still the one that confirmed pages are of.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hasher},
    io::{self, Read},
    path::{Path, PathBuf},
};

use faxbot_core::{
    document::{Document, DocumentSource, FaxImage},
    task::blocking,
};

const BUFFER: usize = 64 * 1024;

/// A hash of the files of a document. It tells a file that was saved anew; it is no proof against
/// somebody who makes two files with the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u64);

impl Mark {
    /// `None` for a document without files, or with one that cannot be read up to its end or to
    /// `limit` bytes. What is in memory does not change, and what is fetched is not fetched here.
    pub(super) async fn of(document: &Document, limit: u64) -> Option<Self> {
        let parts = match document.source() {
            DocumentSource::Combined(parts) => parts.as_slice(),
            _ => std::slice::from_ref(document),
        };
        let paths: Vec<PathBuf> = parts.iter().filter_map(path).map(Path::to_owned).collect();
        if paths.is_empty() {
            return None;
        }
        let hash = blocking("send_fax", move || hash(&paths, limit)).await;
        hash.ok()?.ok().map(Self)
    }
}

/// Whether the pages are read from the document itself, not from a copy in another form.
pub(super) fn is_the_document(image: &FaxImage, document: &Document) -> bool {
    path(document) == Some(image.path())
}

fn path(document: &Document) -> Option<&Path> {
    match document.source() {
        DocumentSource::Path(path) => Some(path),
        _ => None,
    }
}

fn hash(paths: &[PathBuf], limit: u64) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    let mut buffer = vec![0; BUFFER];
    for path in paths {
        // To open a pipe waits for somebody who writes.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let mut file = File::open(path)?.take(limit);
        let mut len = 0_u64;
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            hasher.write(buffer.get(..count).unwrap_or_default());
            len = len.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        // Where a file ends counts too.
        hasher.write_u64(len);
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn mark(document: &Document) -> Option<Mark> {
        Mark::of(document, 1000).await
    }

    #[tokio::test]
    async fn a_mark_is_that_of_the_files_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            Document::path(path)
        };
        let (a, b) = (file("a", "12"), file("b", "3"));
        let both = mark(&Document::combined([a.clone(), b.clone()])).await;
        assert!(both.is_some());
        let bytes = Document::bytes(&b"in memory"[..]);
        for (parts, same) in [
            (vec![a.clone(), bytes.clone(), b.clone()], true),
            (vec![b.clone(), a.clone()], false),
            (vec![file("c", "1"), file("d", "23")], false),
            (vec![file("e", "12"), file("f", "4")], false),
        ] {
            let other = mark(&Document::combined(parts)).await;
            assert_eq!(other == both, same);
        }
        // What has no bytes of its own on disk.
        assert_eq!(mark(&bytes).await, None);
        assert_eq!(mark(&Document::path(directory.path())).await, None);
        assert_eq!(mark(&Document::path("/nowhere")).await, None);
    }
}
