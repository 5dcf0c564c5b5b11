//! Providers of the Faxbot SDK: `FaxPlugin`s and `MessagingPlugin`s, and the documents that they send.
//!
//! - `sip_fax`, `sip_message`: faxes and messages over any `SipAdapter`. Jobs, retries by policy,
//!   recovery by id.
//! - `phaxio`, `sinch_fax`, `sinch_sms`: vendors in the cloud, on the engines of `cloud`, which take
//!   vendors of your own as well.
//! - `axum`: serves the webhooks of all of them.
//! - `document`: PDF and fax TIFF to fax pages, and fax pages to PNG.
//!
//! Providers know no server and no HTTP client: `sip_fax` takes an `Arc<dyn SipAdapter>`, which
//! `faxbot-sip` or an application of its own brings; the vendors take an `HttpClient`, which is
//! `faxbot_core::http::ReqwestClient` or another.
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
//! | `sip-message` | no | `sip_message` | `SipMessagePlugin` |
//! | `phaxio` | no | `phaxio` | `PhaxioPlugin`: faxes by Phaxio v2.1 |
//! | `sinch-fax` | no | `sinch_fax` | `SinchFaxPlugin`: faxes by Sinch Fax v3 |
//! | `sinch-sms` | no | `sinch_sms` | `SinchSmsPlugin`: SMS and MMS by Sinch |
//! | `cloud` | by each vendor | `cloud` | the engines, for vendors of your own |
//! | `document` | by `render` | `document` | fax TIFF in, fax pages out; pages as PNG |
//! | `render` | no | `document` | the same with PDF, drawn by hayro (pure Rust, about a hundred crates) |
//! | `axum` | no | `axum` | a `WebhookRouter` as routes of axum |

#![cfg_attr(docsrs, feature(doc_cfg))]

use faxbot_core::plugin::Manifest;

#[cfg(feature = "axum")]
pub mod axum;

#[cfg(feature = "cloud")]
pub mod cloud;

#[cfg(any(feature = "cloud", feature = "sip-message"))]
mod conversations;

#[cfg(feature = "document")]
pub mod document;

#[cfg(any(feature = "cloud", feature = "sip-fax"))]
#[allow(dead_code, reason = "each user needs a part of it")]
mod jobs;

// The providers: a module and a line of `manifests` each.

#[cfg(feature = "phaxio")]
pub mod phaxio;

#[cfg(feature = "sinch-fax")]
pub mod sinch_fax;

#[cfg(feature = "sinch-sms")]
pub mod sinch_sms;

#[cfg(feature = "sip-fax")]
pub mod sip_fax;

#[cfg(feature = "sip-message")]
pub mod sip_message;

/// The manifests of the providers that are compiled in: who they are and what they can do.
pub fn manifests() -> Vec<Manifest> {
    Vec::from([
        #[cfg(feature = "sip-fax")]
        sip_fax::manifest(),
        #[cfg(feature = "phaxio")]
        <phaxio::Phaxio as cloud::FaxProvider>::manifest(),
        #[cfg(feature = "sinch-fax")]
        <sinch_fax::SinchFax as cloud::FaxProvider>::manifest(),
        #[cfg(feature = "sinch-sms")]
        <sinch_sms::SinchSms as cloud::MessagingProvider>::manifest(),
        #[cfg(feature = "sip-message")]
        sip_message::manifest(),
    ])
}

/// The code of the README has to compile. Only here, where every crate that it names is at hand.
#[cfg(all(doctest, feature = "render", feature = "sip-fax"))]
#[doc = include_str!("../../README.md")]
mod readme {}
