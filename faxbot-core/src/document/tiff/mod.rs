//! Fax TIFF: reader and writer.
//!
//! The reader takes what fax servers and machines write (TIFF 6.0, RFC 2306, RFC 3949): both byte
//! orders, any number of pages and strips, every fax compression (T.6, and T.4 in one and two
//! dimensions). It checks each offset and count against the file's length and [`TiffLimits`] before
//! it allocates, and holds one strip at a time. The writer makes the one form that every fax server
//! takes: little endian, one strip a page, 204 pixels per inch, T.6 unless MH or MR is asked for.
//!
//! ```
//! use std::io::Cursor;
//!
//! use faxbot_core::document::{Resolution, ccitt::T6Encoder, tiff::{TiffReader, TiffWriter}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut encoder = T6Encoder::new(1728)?;
//! for _ in 0..Resolution::Fine.rows_a4() {
//!     encoder.encode_row(&[0; 216])?;
//! }
//! let mut writer = TiffWriter::new(Cursor::new(Vec::new()))?;
//! writer.add_page(encoder.rows(), Resolution::Fine, &encoder.finish())?;
//! let file = writer.finish()?;
//!
//! let mut reader = TiffReader::open(file)?;
//! for index in 0..reader.page_count() {
//!     let page = reader.page(index)?;
//!     assert_eq!((page.width, page.rows), (1728, 2286));
//!     let mut black = 0;
//!     reader.decode_page(&page, |row| black += row.iter().map(|byte| byte.count_ones()).sum::<u32>())?;
//!     assert_eq!(black, 0);
//! }
//! # Ok(())
//! # }
//! ```

mod decode;
mod error;
mod fields;
mod ifd;
mod new_page;
mod page;
mod reader;
mod tag;
mod writer;

pub use error::TiffError;
pub use new_page::NewPage;
pub use page::{
    Compression, FillOrder, PageInfo, PageNumber, Photometric, Rational, ResolutionUnit, Strip,
};
pub use reader::{Pages, TiffLimits, TiffReader};
pub use writer::{PageNumbers, TiffWriter};
