//! What can be wrong with a TIFF file.

use std::io;

use crate::document::ccitt::CcittError;

/// An error of reading or writing a fax TIFF. Pages count from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TiffError {
    /// Reading, writing or seeking failed.
    #[error("input or output of the tiff file failed")]
    Io(#[from] io::Error),
    /// The file does not start like a TIFF file.
    #[error("not a tiff file")]
    NotTiff,
    /// The file is a BigTIFF, which fax software does not write.
    #[error("bigtiff is not supported")]
    BigTiff,
    /// An offset and length lead behind the end of the file: cut off, or forged.
    #[error("{what} at byte {offset} lies outside of the file")]
    OutOfFile {
        /// What was to be read.
        what: &'static str,
        /// Where, in bytes from the start of the file.
        offset: u64,
    },
    /// The chain of pages comes back to a page that was seen before.
    #[error("the chain of pages has a loop at page {page}")]
    Loop {
        /// The page that was seen before.
        page: u32,
    },
    /// There is no page in the file, or no such page.
    #[error("page {page} does not exist, the file has {pages}")]
    NoPage {
        /// The page asked for.
        page: u32,
        /// How many pages there are.
        pages: u32,
    },
    /// A limit of [`TiffLimits`](super::TiffLimits), or one of the format, is exceeded.
    #[error("{what} is {value}, the limit is {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The value found.
        value: u64,
        /// The greatest one allowed.
        limit: u64,
    },
    /// A tag without which a page cannot be read is missing.
    #[error("page {page} has no tag {tag}")]
    MissingTag {
        /// The page.
        page: u32,
        /// The tag's number.
        tag: u16,
    },
    /// A tag has a type, count or value that it cannot have.
    #[error("page {page}, tag {tag}: {reason}")]
    InvalidTag {
        /// The page.
        page: u32,
        /// The tag's number.
        tag: u16,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two strips of a page share bytes of the file, or the strips of the pages read so far have
    /// together more bytes than the file: pages share strips, and a small file would cost the work
    /// of a big one.
    #[error("strips of page {page} overlap each other or those of another page")]
    Overlap {
        /// The page, or the one with which there are too many bytes.
        page: u32,
    },
    /// The page is valid but not one that is decoded, copied or written here.
    #[error("page {page}: {reason}")]
    Unsupported {
        /// The page.
        page: u32,
        /// What is not supported.
        reason: &'static str,
    },
    /// The coded rows are damaged or cut off.
    #[error("page {page} is damaged in the strip from row {first_row} on")]
    Damaged {
        /// The page.
        page: u32,
        /// The first row of the damaged strip; the row in `source` counts from it.
        first_row: u32,
        /// What is wrong with the strip.
        source: CcittError,
    },
    /// The strips have fewer rows than the page announces.
    #[error("page {page} announces {announced} rows and has {found}")]
    MissingRows {
        /// The page.
        page: u32,
        /// Rows by the page's tags.
        announced: u32,
        /// Rows in its strips.
        found: u32,
    },
}
