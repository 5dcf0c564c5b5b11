//! Documents to fax pages, and fax pages to pictures.
//!
//! [`RenderConverter`] is the [`DocumentConverter`](faxbot_core::document::DocumentConverter) of
//! this crate. What a document is, its content says, never its name:
//!
//! | in | feature | how |
//! |---|---|---|
//! | PDF | `render` | every page drawn to size and turned to black and white by threshold |
//! | fax TIFF (T.4, T.6 or uncompressed, any strips and bit order) | `document` | pixels unchanged, written as one T.6 strip a page |
//!
//! Anything else is refused with
//! [`DocumentReason::UnknownFormat`](faxbot_core::DocumentReason::UnknownFormat). What comes out
//! is a file of mode 0600 that was decoded again and compared with the pixels that went in.
//!
//! [`page_to_png`] and [`pages_to_png`] show the pages of a fax that can be sent,
//! [`received_page_to_png`] and [`received_pages_to_png`] those of one that was received.

mod convert;
mod halftone;
mod header;
mod layout;
mod output;
#[cfg(feature = "render")]
mod parallel;
mod part;
#[cfg(feature = "render")]
mod pdf;
mod picture;
mod png;
mod source;
mod text;
mod tiff;
mod worker;
mod zone;

pub use convert::RenderConverter;
pub use png::{PngOptions, page_to_png, pages_to_png, received_page_to_png, received_pages_to_png};
