//! Recordings of calls: silence as long as they took.

use std::{io, path::Path, time::Duration};

use super::files::Paths;

/// Samples of a second: telephone sound in 16 bits.
const RATE: u32 = 8000;

/// Longest file; what is recorded beyond is left out.
const MAX_SECONDS: u32 = 24 * 3600;

/// Leaves the file of a recording of that length: WAV by its name, else bare samples.
pub(super) fn leave(paths: &Paths, file: &str, length: Duration) -> io::Result<()> {
    let samples = u64::try_from(length.as_millis()).unwrap_or(0) * u64::from(RATE) / 1000;
    let most = RATE.saturating_mul(MAX_SECONDS);
    let samples = u32::try_from(samples).unwrap_or(most).min(most);
    write(paths, file, samples)
}

/// The silence is a hole in the file, so an hour costs no disk.
fn write(paths: &Paths, file: &str, samples: u32) -> io::Result<()> {
    let ending = Path::new(file)
        .extension()
        .and_then(|ending| ending.to_str());
    let bytes = samples.saturating_mul(2);
    let (file, head, size) = match ending {
        Some("wav") => (file.to_owned(), wav_head(bytes), u64::from(bytes) + 44),
        Some("ulaw" | "alaw" | "ul" | "al" | "pcm") => {
            (file.to_owned(), Vec::new(), u64::from(samples))
        }
        Some("sln" | "raw") => (file.to_owned(), Vec::new(), u64::from(bytes)),
        None => (format!("{file}.raw"), Vec::new(), u64::from(bytes)),
        // A format that is none: nothing is written, and nothing tells of it.
        Some(_) => return Ok(()),
    };
    paths.write_sparse(&file, &head, size)
}

/// The 44 bytes before the samples.
fn wav_head(bytes: u32) -> Vec<u8> {
    let mut head = b"RIFF".to_vec();
    head.extend((bytes.saturating_add(36)).to_le_bytes());
    head.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    head.extend(RATE.to_le_bytes());
    head.extend((RATE * 2).to_le_bytes());
    head.extend(b"\x02\0\x10\0data");
    head.extend(bytes.to_le_bytes());
    head
}
