//! Documents as they come, and fax pages as they are sent.

pub mod ccitt;
mod convert;
mod image;
mod resolution;
mod source;
pub mod tiff;

pub use convert::{ConvertOptions, DocumentConverter, DocumentLimits, FaxWidth};
pub use image::FaxImage;
pub use resolution::Resolution;
pub use source::{Document, DocumentSource};
