//! Providers of the Faxbot SDK: `FaxPlugin`s, and the documents that they send.
//!
//! - `sip_fax`: a fax over any `SipAdapter` that can fax. Jobs, retries by policy, recovery by id.
//! - `document`: PDF and fax TIFF to fax pages, and fax pages to PNG.
//!
//! Providers know no server: `sip_fax` takes an `Arc<dyn SipAdapter>`, which `faxbot-sip` or an
//! application of its own brings.
//!
//! # Example
//!
//! A fax TIFF becomes the pages that a fax call sends, and the pages become pictures:
//!
#![cfg_attr(feature = "document", doc = "```")]
#![cfg_attr(not(feature = "document"), doc = "```ignore")]
//! use std::io::Cursor;
//!
//! use faxbot_core::document::{
//!     ConvertOptions, Document, DocumentConverter, Resolution, ccitt::T6Encoder, tiff::TiffWriter,
//! };
//! use faxbot_providers::document::{PngOptions, RenderConverter, page_to_png};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut page = T6Encoder::new(1728)?;
//! for _ in 0..Resolution::Fine.rows_a4() {
//!     page.encode_row(&[0; 216])?;
//! }
//! let mut tiff = TiffWriter::new(Cursor::new(Vec::new()))?;
//! tiff.add_page(page.rows(), Resolution::Fine, &page.finish())?;
//! let document = Document::bytes(tiff.finish()?.into_inner());
//!
//! let image = RenderConverter::new().to_fax(document, ConvertOptions::default()).await?;
//! assert_eq!((image.pages(), image.resolution()), (1, Resolution::Fine));
//! let png = page_to_png(&image, 0, &PngOptions::new())?;
//! assert!(png.starts_with(b"\x89PNG"));
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | module | what |
//! |---|---|---|---|
//! | `sip-fax` | yes | `sip_fax` | `SipFaxPlugin` |
//! | `document` | by `render` | `document` | fax TIFF in, fax pages out; pages as PNG |
//! | `render` | no | `document` | the same with PDF, drawn by hayro (pure Rust, about a hundred crates) |
//! | `axum` | no | `axum` | a `WebhookRouter` as routes of axum |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
pub mod axum;

#[cfg(feature = "document")]
pub mod document;

#[cfg(feature = "cloud")]
pub mod cloud;

#[cfg(any(feature = "cloud", feature = "sip-message"))]
mod conversations;

#[cfg(feature = "phaxio")]
pub mod phaxio;

#[cfg(feature = "sinch-fax")]
pub mod sinch_fax;

#[cfg(any(feature = "cloud", feature = "sip-fax"))]
#[allow(dead_code, reason = "each user needs a part of it")]
mod jobs;

#[cfg(feature = "sip-fax")]
pub mod sip_fax;

#[cfg(feature = "sip-message")]
pub mod sip_message;

/// The code of the README has to compile. Only here, where every crate that it names is at hand.
#[cfg(all(doctest, feature = "render", feature = "sip-fax"))]
#[doc = include_str!("../../README.md")]
mod readme {}
