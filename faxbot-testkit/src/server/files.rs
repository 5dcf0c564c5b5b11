//! The spool as a mock sees it: path mapping, what a fax file says of itself, and drawn faxes.

use std::{
    fs,
    io::{self, Cursor, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use faxbot_core::document::{Resolution, ccitt::T6Encoder, tiff::TiffWriter};

/// Rows of a page that the mock makes: an A4 page in fine resolution.
const ROWS: u32 = 2287;

/// How paths of the mocked server map to paths of this machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    pub maps: Vec<(String, PathBuf)>,
    pub unreadable: bool,
}

impl Paths {
    fn local(&self, path: &str) -> PathBuf {
        for (from, to) in &self.maps {
            if let Some(rest) = path.strip_prefix(from.as_str())
                && (rest.is_empty() || rest.starts_with('/') || from.ends_with('/'))
            {
                return to.join(rest.trim_start_matches('/'));
            }
        }
        Path::new(path).to_owned()
    }

    pub(super) fn size(&self, path: &str) -> Option<u64> {
        fs::metadata(self.local(path)).ok().map(|meta| meta.len())
    }

    pub(super) fn is_dir(&self, path: &str) -> bool {
        self.local(path).is_dir()
    }

    /// Makes the directory that a file is to be in.
    pub(super) fn make_parent(&self, path: &str) -> io::Result<()> {
        match self.local(path).parent() {
            Some(parent) => fs::create_dir_all(parent),
            None => Ok(()),
        }
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        fs::write(self.local(path), bytes)
    }

    /// Writes a file that is zeros from the end of `head` up to `size`.
    pub(super) fn write_sparse(&self, path: &str, head: &[u8], size: u64) -> io::Result<()> {
        let mut file = fs::File::create(self.local(path))?;
        file.write_all(head)?;
        file.set_len(size)
    }

    pub(super) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if self.unreadable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        fs::read(self.local(path))
    }
}

/// What a fax file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TiffFacts {
    pub pages: u32,
    /// As Asterisk writes it: pixels per metre.
    pub resolution: &'static str,
}

/// Walks the directories of a TIFF. Independent of the writer it serves to check.
pub(super) fn tiff_facts(bytes: &[u8]) -> Option<TiffFacts> {
    let little = match bytes.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let raw: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little {
            u16::from_le_bytes(raw)
        } else {
            u16::from_be_bytes(raw)
        })
    };
    let u32_at = |at: usize| {
        let raw: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little {
            u32::from_le_bytes(raw)
        } else {
            u32::from_be_bytes(raw)
        })
    };
    let mut pages = 0;
    let mut lines_per_inch = 196.0;
    let mut at = usize::try_from(u32_at(4)?).ok()?;
    while at != 0 {
        // A loop of directories would never end.
        if pages > 10_000 {
            return None;
        }
        let entries = usize::from(u16_at(at)?);
        let mut resolution = None;
        let mut metric = false;
        for entry in 0..entries {
            let entry = at + 2 + entry * 12;
            match u16_at(entry)? {
                // YResolution, a rational elsewhere in the file.
                283 => {
                    let value = usize::try_from(u32_at(entry + 8)?).ok()?;
                    resolution =
                        Some(f64::from(u32_at(value)?) / f64::from(u32_at(value + 4)?.max(1)));
                }
                // ResolutionUnit.
                296 => metric = u16_at(entry + 8)? == 3,
                _ => {}
            }
        }
        if let Some(value) = resolution {
            lines_per_inch = if metric { value * 2.54 } else { value };
        }
        pages += 1;
        at = usize::try_from(u32_at(at + 2 + entries * 12)?).ok()?;
    }
    let resolution = if lines_per_inch < 150.0 {
        "8031x3850"
    } else if lines_per_inch < 300.0 {
        "8031x7700"
    } else {
        "8031x15400"
    };
    (pages > 0).then_some(TiffFacts { pages, resolution })
}

/// A fax file whose pages have as many black bars as their number.
pub(super) fn drawn(pages: u32) -> Option<Bytes> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new())).ok()?;
    let width = writer.width();
    let white = vec![0_u8; usize::try_from(width / 8).ok()?];
    let black = vec![0xff_u8; white.len()];
    for page in 1..=pages {
        let mut encoder = T6Encoder::new(width).ok()?;
        for row in 0..ROWS {
            let bar = row / 40;
            let inside = bar % 2 == 1 && bar / 2 < page;
            encoder
                .encode_row(if inside { &black } else { &white })
                .ok()?;
        }
        writer
            .add_page(ROWS, Resolution::Fine, &encoder.finish())
            .ok()?;
    }
    Some(writer.finish().ok()?.into_inner().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_pages() -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend(0u16.to_le_bytes());
        bytes.extend(14u32.to_le_bytes());
        bytes.extend(0u16.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes
    }

    #[test]
    fn pages_are_the_directories_of_the_chain() {
        assert_eq!(tiff_facts(&two_pages()).map(|facts| facts.pages), Some(2));
    }

    #[test]
    fn garbage_and_a_cut_file_and_a_loop_are_no_fax() {
        let mut looped = two_pages();
        looped[10] = 8;
        looped[11] = 0;
        assert_eq!(tiff_facts(&looped), None);
        assert_eq!(tiff_facts(&two_pages()[..12]), None);
        assert_eq!(tiff_facts(b"%PDF-1.7"), None);
    }

    #[test]
    fn the_longest_directory_that_matches_is_mapped_and_a_neighbour_is_not() {
        let paths = Paths {
            maps: vec![("/spool".into(), "/tmp/x".into())],
            unreadable: false,
        };
        assert_eq!(paths.local("/spool/a.tif"), PathBuf::from("/tmp/x/a.tif"));
        assert_eq!(
            paths.local("/spooled/a.tif"),
            PathBuf::from("/spooled/a.tif")
        );
    }

    #[test]
    fn a_drawn_fax_has_its_pages_in_fine_resolution() {
        let facts = tiff_facts(&drawn(3).unwrap()).unwrap();
        assert_eq!((facts.pages, facts.resolution), (3, "8031x7700"));
        assert!(drawn(0).is_none());
    }
}
