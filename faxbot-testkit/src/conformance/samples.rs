//! Documents for the suites.

use std::{io::Cursor, path::Path};

use faxbot_core::document::{FaxImage, Resolution, ccitt::T6Encoder, tiff::TiffWriter};

use super::Failure;

/// Rows of a sample page: small, so that a mock's test is quick.
const ROWS: u32 = 64;

/// A fax TIFF with so many small pages, each other than the next.
///
/// # Errors
/// When no page is asked for.
pub fn tiff(pages: u32) -> Result<Vec<u8>, Failure> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()))?;
    for page in 0..pages {
        let mut encoder = T6Encoder::new(writer.width())?;
        let bytes = usize::try_from(writer.width().div_ceil(8))?;
        for row in 0..ROWS {
            let mark = u8::try_from((row * (page + 3)) % 251)?;
            encoder.encode_row(&vec![mark; bytes])?;
        }
        writer.add_page(ROWS, Resolution::Fine, &encoder.finish())?;
    }
    Ok(writer.finish()?.into_inner())
}

/// The same, as a file in `folder`.
///
/// # Errors
/// When the file cannot be written, or no page is asked for.
pub fn image(folder: &Path, pages: u32) -> Result<FaxImage, Failure> {
    let path = folder.join(format!("sample-{pages}.tif"));
    std::fs::write(&path, tiff(pages)?)?;
    Ok(FaxImage::open(path)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_sample_has_the_pages_that_were_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        for pages in [1, 3] {
            assert_eq!(super::image(folder.path(), pages).unwrap().pages(), pages);
        }
        assert!(super::tiff(0).is_err());
    }
}
