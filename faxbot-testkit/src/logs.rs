//! Logs of tests, captured at TRACE and searched for what may not be in them.
//!
//! What is logged by `tracing` and what is logged by `log` are captured alike: libraries use either.
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

/// Characters behind the name of a scheme of HTTP from which on they are credentials.
const LOGIN_CHARACTERS: usize = 8;

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
    W: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static,
{
    if log::set_boxed_logger(Box::new(Records(writer.clone()))).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        // A span without an event in it has fields, too.
        .with_span_events(FmtSpan::NEW)
        .with_writer(writer)
        .finish();
    tracing::subscriber::set_global_default(subscriber).is_ok()
}

/// Writes what comes by the crate `log`.
struct Records<W>(W);

impl<W> log::Log for Records<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync,
{
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let (level, target) = (record.level(), record.target());
        let line = format!("{level} log: {target}: {}\n", record.args());
        // As the subscriber does: a line that cannot be written is lost.
        let _lost = self.0.make_writer().write_all(line.as_bytes());
    }

    fn flush(&self) {}
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

/// The lines that show something of [`private::ALL`] or [`private::ACCOUNTS`], a full phone number,
/// credentials of HTTP, or more of a web address than its host.
pub fn leaks(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| {
            shows_private(line)
                || private::ACCOUNTS
                    .iter()
                    .any(|account| line.contains(account))
                || has_login(line)
                || has_address(line)
        })
        .collect()
}

/// The lines that show something of [`private::ALL`], or a full phone number: what no error and no
/// `Debug` form may show either. Those of a configuration may name an account and an address.
pub fn private_lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| shows_private(line)).collect()
}

fn shows_private(line: &str) -> bool {
    private::ALL.iter().any(|private| line.contains(private)) || has_number(line)
}

fn has_number(line: &str) -> bool {
    line.split('+')
        .skip(1)
        .any(|rest| rest.bytes().take_while(u8::is_ascii_digit).count() >= NUMBER_DIGITS)
}

/// `Basic` or `Bearer` with something behind it (RFC 7617, RFC 6750).
fn has_login(line: &str) -> bool {
    let of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    ["basic ", "bearer "].iter().any(|scheme| {
        let line = line.to_ascii_lowercase();
        line.split(scheme)
            .skip(1)
            .any(|rest| rest.bytes().take_while(of_token).count() >= LOGIN_CHARACTERS)
    })
}

/// A web address with a path or a query: those of vendors hold accounts, ids and secrets.
fn has_address(line: &str) -> bool {
    let ends = |c: char| c.is_whitespace() || "\"'<>)],;".contains(c);
    ["http://", "https://"].iter().any(|scheme| {
        line.split(scheme).skip(1).any(|rest| {
            let address = rest.split(ends).next().unwrap_or_default();
            let behind = address.find(['/', '?', '#']).map(|at| address.len() - at);
            behind.is_some_and(|length| length > 1)
        })
    })
}

/// Logs secrets in each way there is: an event, a span without an event, and a record of the crate
/// `log`. A capture that works has so many lines that leak.
pub fn plant() -> usize {
    tracing::trace!(number = private::NUMBER, "planted");
    drop(tracing::trace_span!(
        "planted span",
        secret = private::SECRET
    ));
    log::trace!("planted: {}", private::MESSAGE);
    3
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
            assert_eq!(private_lines(&format!("{clean}\n{bad}\n{clean}")), [bad]);
        }
    }

    #[test]
    fn credentials_of_http_and_addresses_with_a_path_are_leaks() {
        let clean = "starting new connection: http://127.0.0.1:8080/\n\
            origin: \"https://api.example.org\", auth: Basic(***), Bearer(***)\n\
            the basic rules, a bearer token, if://call/0b1c, ami://127.0.0.1:5038";
        assert_eq!(leaks(clean), Vec::<&str>::new());
        for bad in [
            "authorization: Basic dTpwYXNzd29yZA==",
            "authorization: bearer eyJhbGciOi.e30",
            "connecting to https://api.example.org/v3/projects/4711",
            "GET http://127.0.0.1:80?token=x (again)",
            "(https://fax.example.org/hooks/0123)",
            "/xms/v1/mockplan4f1c/batches",
        ] {
            assert_eq!(leaks(&format!("{clean}\n{bad}")), [bad]);
        }
    }

    #[test]
    fn what_is_logged_by_any_library_is_captured() {
        // Where the logs of a whole run are searched, another test has set a subscriber.
        let Some(capture) = Capture::global() else {
            return;
        };
        let planted = plant();
        let text = capture.text();
        let planted_lines = leaks(&text)
            .into_iter()
            .filter(|line| line.contains("planted"))
            .count();
        assert_eq!(planted_lines, planted, "{text}");
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
