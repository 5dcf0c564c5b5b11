//! Providers for the Faxbot SDK.
//!
//! | feature | module | what |
//! |---|---|---|
//! | `document` | `document` | fax TIFF in, fax pages out; pages as PNG |
//! | `render` | `document` | the same with PDF, drawn by hayro (pure Rust) |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "document")]
pub mod document;

#[cfg(feature = "sip-fax")]
pub mod sip_fax;

/// The code of the README has to compile. Only here, where every crate that it names is at hand.
#[cfg(all(doctest, feature = "render", feature = "sip-fax"))]
#[doc = include_str!("../../README.md")]
mod readme {}
