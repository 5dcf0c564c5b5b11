//! Sinch Fax v3 as a vendor behind [`MockHttp`](super::http::MockHttp): faxes that age, their files,
//! faxes that come in, and callbacks that nothing proves.
//!
//! What it says and takes is from the vendor's own clients, read and run: sinch-sdk-node@affb35e
//! (`packages/fax`) and npm `@sinch/fax` 1.4.0, sinch-sdk-dotnet@f408a0f, sinch/skills@474538d.
//!
//! | call | what |
//! |---|---|
//! | `POST /oauth2/token` | a token, for key and secret |
//! | `POST /v3/projects/{project}/faxes` | a form with files, or JSON with `contentUrl`, with `files`, or with both |
//! | `GET .../faxes` | a list: `createTime`, `createTime>`, `createTime<`, `direction`, `status`, `to`, `from`, `serviceId`, `page`, `pageSize` |
//! | `GET .../faxes/{id}` | one |
//! | `GET`, `DELETE .../faxes/{id}/file` | its file as PDF; `file.pdf` is the same |
//!
//! A fax goes QUEUED, IN_PROGRESS and COMPLETED or FAILURE, as its [`FaxEnd`] says. Every body is read
//! strictly: an unknown field or another type is 400, a value that is not allowed 422. Where the vendor's
//! clients disagree on types, [`FaxDialect`] chooses.
//!
//! What nobody knows of the vendor and is set here: a new fax is answered with 200; a form may have its
//! labels as `labels[key]` (so does sinch-sdk-dotnet; that of Node cannot send any); an address of a
//! document is never asked for, and has one page. There is no call to cancel a fax.
//!
//! # Examples
//!
//! ```
//! use faxbot_core::http::{HttpClient as _, HttpRequest};
//! use faxbot_testkit::server::sinch_fax::{FaxEnd, MockSinchFax};
//! use http::header::{AUTHORIZATION, CONTENT_TYPE};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mock = MockSinchFax::new().on_number("+15550009999", FaxEnd::Busy).in_memory();
//! let url = mock.url().join(&format!("v3/projects/{}/faxes", MockSinchFax::PROJECT))?;
//! let request = HttpRequest::post(url, r#"{"to": "+15550009999", "contentUrl": "https://a.example/"}"#)
//!     // base64 of key and secret
//!     .with_header(AUTHORIZATION, "Basic bW9jay1rZXktMTlhYjpzM2NyZXQ=")?
//!     .with_header(CONTENT_TYPE, "application/json")?;
//! assert_eq!(mock.client().execute(request).await?.status, 200);
//! let books = mock.vendor(|fax| fax.books());
//! assert_eq!(books[0].to, "+15550009999");
//! # Ok(())
//! # }
//! ```

mod books;
mod callback;
mod document;
mod fax;
mod order;
mod route;
mod script;
mod vendor;

pub use super::fax_end::FaxEnd;
pub use books::BookedFax;
pub use fax::FaxDialect;
pub use script::FaxPace;
pub use vendor::MockSinchFax;
