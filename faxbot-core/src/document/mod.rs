//! Documents as they come, and fax pages as they are sent.

pub mod ccitt;
mod convert;
mod cover;
mod estimate;
mod header;
mod image;
mod resolution;
mod scratch;
mod source;
pub mod tiff;

pub use ccitt::FaxCoding;
pub use convert::{ConvertOptions, DocumentConverter, DocumentLimits, FaxTiff, FaxWidth, Halftone};
pub use cover::CoverPage;
pub use estimate::{SLOW_PAGE, TransmissionTime, USUAL_BIT_RATE};
pub use header::PageHeader;
pub use image::FaxImage;
pub use resolution::Resolution;
pub use scratch::FaxScratch;
pub use source::{Document, DocumentSource};
