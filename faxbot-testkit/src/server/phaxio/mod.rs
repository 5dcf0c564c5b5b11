//! Phaxio v2.1 as a vendor behind [`MockHttp`](super::http::MockHttp): faxes that age, their files,
//! faxes that come in, and callbacks that are signed.
//!
//! What it says and takes is from the vendor's own clients and the traffic that they recorded:
//! phaxio-ruby@c1cb8e4 (`spec/support/cassettes`, `lib/phaxio`), phaxio-python@6a3aa16
//! (`spec/api.yaml`), and the pages `www.phaxio.com/docs/api/v2.1`.
//!
//! | call | what |
//! |---|---|
//! | `POST /v2.1/faxes` | a form with files, or `application/x-www-form-urlencoded` without; `direction=received` lets one come in, with test keys |
//! | `GET /v2.1/faxes` | a list: `created_after` (a week ago without it), `created_before`, `direction`, `status`, `phone_number`, `tag[name]`, `per_page`, `page` |
//! | `GET /v2.1/faxes/{id}` | one |
//! | `POST /v2.1/faxes/{id}/cancel` | cancels it, some time later |
//! | `POST /v2.1/faxes/{id}/resend` | sends it again, under another id |
//! | `DELETE /v2.1/faxes/{id}` | forgets it, with test keys |
//! | `GET`, `DELETE /v2.1/faxes/{id}/file` | its file as PDF, or with `thumbnail=s` or `l` its first page as JPEG |
//!
//! A fax goes `queued` (or `pendingbatch`), `inprogress` and `success`, `failure` or
//! `partialsuccess`, as the [`FaxEnd`]s of its numbers say. Every body and query is read strictly: what
//! is not documented is 422.
//!
//! What nobody knows of the vendor and is set here: the words of refusals; 422 for a file or a cancel
//! that comes too early or too late, for an account without money, and for the deletion of a fax that
//! is no test; a time without an offset is refused; an address of a document is never asked for, and
//! has one page; the event type of a fax that came in is `fax_completed`.
//!
//! # Examples
//!
//! ```
//! use faxbot_core::http::{HttpClient as _, HttpRequest};
//! use faxbot_testkit::server::phaxio::{FaxEnd, MockPhaxio};
//! use http::header::{AUTHORIZATION, CONTENT_TYPE};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mock = MockPhaxio::new().on_number("+15550009999", FaxEnd::Busy).in_memory();
//! let body = "to=%2B15550009999&content_url=https%3A%2F%2Fa.example%2F&tag%5Bjob%5D=j-1";
//! let request = HttpRequest::post(mock.api_url().join("faxes")?, body)
//!     // base64 of key and secret
//!     .with_header(AUTHORIZATION, "Basic bW9jay1rZXktNjJjNDpzM2NyZXQ=")?
//!     .with_header(CONTENT_TYPE, "application/x-www-form-urlencoded")?;
//! assert_eq!(mock.client().execute(request).await?.status, 200);
//! let books = mock.vendor(|phaxio| phaxio.books());
//! assert_eq!((books[0].to[0].as_str(), books[0].tags["job"].as_str()), ("+15550009999", "j-1"));
//! # Ok(())
//! # }
//! ```

mod books;
mod callback;
mod document;
mod fax;
mod life;
mod list;
mod order;
mod pace;
mod route;
mod sign;
mod vendor;

pub use super::fax_end::FaxEnd;
pub use books::BookedFax;
pub use callback::CallbackVersion;
pub use pace::FaxPace;
pub use sign::signature;
pub use vendor::MockPhaxio;
