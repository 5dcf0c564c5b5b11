//! Where the recordings of the real servers lie, and what they are called.
//!
//! A name is the folder and the file without its ending: `asterisk/06_fax_t38_app_ok`. The
//! folder `bursts` (100 to 200 calls at once, for benchmarks) is left out of the published
//! package; its names answer [`FixtureError::BurstsNotShipped`] there.

pub mod private;

use std::{fs, io, path::PathBuf};

/// Folder of the large event streams.
pub const BURSTS: &str = "bursts";

const ENDING: &str = ".jsonl.gz";

/// Why a recording cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// No recording has this name.
    #[error("no recording named {name}")]
    NotFound {
        /// The name that was asked for.
        name: String,
    },
    /// The burst recordings are not part of the published package.
    #[error("{name} is a burst recording, and those are only in the repository")]
    BurstsNotShipped {
        /// The name that was asked for.
        name: String,
    },
    /// The file system refused.
    #[error("cannot read the recording {name}")]
    Io {
        /// The name that was asked for.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A line is not of the form that the recordings have.
    #[error("recording {name}, line {line}: {why}")]
    Format {
        /// The name that was asked for.
        name: String,
        /// The line, 1-based.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// The folder of all recordings.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// All names but the bursts, sorted.
///
/// # Errors
/// [`FixtureError::Io`] when the folders cannot be listed.
pub fn names() -> Result<Vec<String>, FixtureError> {
    let mut all = all_names()?;
    all.retain(|name| !is_burst(name));
    Ok(all)
}

/// All names, the bursts among them where they are present, sorted.
///
/// # Errors
/// [`FixtureError::Io`] when the folders cannot be listed.
pub fn all_names() -> Result<Vec<String>, FixtureError> {
    let mut names = Vec::new();
    for folder in list(&root(), "")? {
        if !folder.is_dir() {
            continue;
        }
        let Some(set) = folder.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        for file in list(&folder, set)? {
            let stem = file.file_name().and_then(|name| name.to_str());
            if let Some(stem) = stem.and_then(|name| name.strip_suffix(ENDING)) {
                names.push(format!("{set}/{stem}"));
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Whether this name is one of the bursts.
pub fn is_burst(name: &str) -> bool {
    name.split('/').next() == Some(BURSTS)
}

/// The file of a recording.
///
/// # Errors
/// [`FixtureError::NotFound`], or [`FixtureError::BurstsNotShipped`] for a burst in a published
/// package.
pub fn path(name: &str) -> Result<PathBuf, FixtureError> {
    let plain = name.split('/').all(|part| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    });
    let path = root().join(format!("{name}{ENDING}"));
    if plain && path.is_file() {
        return Ok(path);
    }
    let name = name.to_owned();
    if is_burst(&name) && !root().join(BURSTS).is_dir() {
        return Err(FixtureError::BurstsNotShipped { name });
    }
    Err(FixtureError::NotFound { name })
}

fn list(folder: &std::path::Path, name: &str) -> Result<Vec<PathBuf>, FixtureError> {
    fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .map_err(|source| FixtureError::Io {
            name: name.to_owned(),
            source,
        })
}
