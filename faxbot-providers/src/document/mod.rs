//! Documents to fax pages, and fax pages to pictures.
//!
//! [`RenderConverter`] is the [`DocumentConverter`](faxbot_core::document::DocumentConverter) of
//! this crate. What a document is, its content says, never its name:
//!
//! | in | feature | how |
//! |---|---|---|
//! | PDF | `render` | every page drawn to size |
//! | fax TIFF (T.4, T.6 or uncompressed, any strips and bit order) | `document` | pixels unchanged where width and resolution fit, scaled elsewhere |
//! | PNG, JPEG, any other TIFF | `document` | scaled to the paper, grey by [`Halftone`](faxbot_core::document::Halftone) |
//! | plain text, a cover page from a template | `document` | set in a bundled font |
//! | several of these | `document` | one fax |
//!
//! Anything else is refused with
//! [`DocumentReason::UnknownFormat`](faxbot_core::DocumentReason::UnknownFormat). What comes out
//! is a file of mode 0600 that was decoded again and compared with the pixels that went in.
//!
//! What came in is shown by [`ReceivedFax`] and its short forms: [`received_to_pdf`],
//! [`received_page_to_png`], [`received_page_thumbnail`]; [`repair_received`] makes a fax of it that can
//! be sent on. [`fax_to_pdf`], [`page_to_png`] and [`page_thumbnail`] show a fax that is sent.

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
mod received;
mod source;
mod text;
mod tiff;
mod worker;
mod zone;

pub use convert::RenderConverter;
pub use png::{
    PngOptions, ReceivedPicture, page_to_png, pages_to_png, received_page_to_png,
    received_pages_to_png,
};
pub use received::{
    ReceivedFax, ReceivedPage, RepairedFax, ThumbnailOptions, fax_to_pdf, page_thumbnail,
    received_info, received_page_thumbnail, received_to_pdf, repair_received,
};
