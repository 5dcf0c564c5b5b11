//! Logs of tests, captured at TRACE and searched for what may not be in them.
//!
//! With [`DIRECTORY_VARIABLE`] set, every process that starts a mock or a conformance suite writes
//! all its log lines to a file of its own in that directory; a last test searches them.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Once, PoisonError},
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

use crate::fixtures::private;

/// Environment variable that names the directory for the logs of a test run.
pub const DIRECTORY_VARIABLE: &str = "FAXBOT_TEST_LOG_DIR";

/// Digits behind a `+` from which on it is a full phone number.
const NUMBER_DIGITS: usize = 7;

/// Writes everything that this process logs from now on into a file in the directory that
/// [`DIRECTORY_VARIABLE`] names. Without the variable, and the second time, it does nothing; also
/// when a test has set its own global subscriber.
pub fn to_directory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE).map(PathBuf::from) else {
            return;
        };
        let program = std::env::current_exe().ok();
        let name = program
            .as_deref()
            .and_then(Path::file_stem)
            .unwrap_or_default();
        let file = format!("{}-{}.log", name.to_string_lossy(), std::process::id());
        let opened =
            fs::create_dir_all(&directory).and_then(|()| File::create(directory.join(file)));
        // Without the file the search of the logs would pass on nothing.
        assert!(
            opened.is_ok(),
            "{DIRECTORY_VARIABLE} names no directory that can be written"
        );
        if let Ok(file) = opened {
            subscribe(Arc::new(file));
        }
    });
}

fn subscribe<W>(writer: W) -> bool
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        // A span without an event in it has fields, too.
        .with_span_events(FmtSpan::NEW)
        .with_writer(writer)
        .finish();
    tracing::subscriber::set_global_default(subscriber).is_ok()
}

/// Everything that this process logs, in memory.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    lines: Arc<Mutex<Vec<u8>>>,
}

impl Capture {
    /// Captures the logs of the whole process, all threads, at TRACE. `None` when another global
    /// subscriber is there already.
    pub fn global() -> Option<Self> {
        let capture = Self::default();
        let writer = capture.clone();
        subscribe(move || writer.clone()).then_some(capture)
    }

    /// What was logged so far.
    pub fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }
}

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that show something of [`private::ALL`], or a full phone number.
pub fn leaks(text: &str) -> Vec<&str> {
    let shows =
        |line: &&str| private::ALL.iter().any(|private| line.contains(private)) || has_number(line);
    text.lines().filter(shows).collect()
}

fn has_number(line: &str) -> bool {
    line.split('+')
        .skip(1)
        .any(|rest| rest.bytes().take_while(u8::is_ascii_digit).count() >= NUMBER_DIGITS)
}

/// Searches every file of a directory that [`to_directory`] filled. Answers the number of lines,
/// and those that leak, each with its file.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn leaks_in(directory: &Path) -> io::Result<(usize, Vec<String>)> {
    let (mut lines, mut found) = (0, Vec::new());
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        lines += text.lines().count();
        found.extend(
            leaks(&text)
                .into_iter()
                .map(|line| format!("{}: {line}", path.display())),
        );
    }
    Ok((lines, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_or_a_full_number_is_a_leak_and_a_masked_one_is_not() {
        let clean = "call to +49*********55\nevent 12+34567\nat 2026-11-21T08:00:00Z +1";
        assert!(leaks(clean).is_empty());
        for bad in [
            "secret: s3cret",
            "to +15551234567",
            "dialled 493090182055",
            "befund-zwirner.tif",
        ] {
            assert_eq!(leaks(&format!("{clean}\n{bad}\n{clean}")), [bad]);
        }
    }

    #[test]
    fn every_file_of_a_directory_is_searched() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.log"), "fine\nfine\n").unwrap();
        fs::write(directory.path().join("b.log"), "to +15551234567\n").unwrap();
        let (lines, found) = leaks_in(directory.path()).unwrap();
        assert_eq!((lines, found.len()), (3, 1));
    }
}
