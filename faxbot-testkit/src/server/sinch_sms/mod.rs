//! Sinch SMS (XMS v1) as a vendor behind [`MockHttp`](super::http::MockHttp): batches, delivery reports,
//! inbound messages, and callbacks that are signed.
//!
//! What it says and takes is from the vendor's own clients, read and run: sinch-sdk-node@affb35e
//! (`packages/sms`), sinch-sdk-python@b45a3ed and PyPI `sinch` 2.3.0, sinch-sdk-java@d747cc3.
//!
//! | path under `/xms/v1/{plan}` | what |
//! |---|---|
//! | `POST /batches` | `mt_text`, `mt_binary`, `mt_media`; 201 |
//! | `POST /batches/dry_run` | counts parts, sends nothing |
//! | `GET /batches`, `GET`, `DELETE /batches/{id}` | list, one, cancel |
//! | `GET /batches/{id}/delivery_report[/{recipient}]`, `GET /delivery_reports` | reports |
//! | `GET /inbounds[/{id}]` | messages that came in |
//!
//! A plan takes its API token as bearer. A project takes a token of `POST /oauth2/token`, and stands in
//! the path where the plan does. Every body is read strictly: an unknown field, another type or a value
//! that is not allowed is 400 with `{code, text}`. A batch goes Queued, Dispatched and where its
//! [`SmsEnd`] says; reports are there whether callbacks were asked for or not.
//!
//! Not mocked: groups, changing a batch, delivery feedback, parameters within a text.
//!
//! # Examples
//!
//! ```
//! use faxbot_core::http::{HttpClient as _, HttpRequest};
//! use faxbot_testkit::server::sinch_sms::{MockSinchSms, SmsEnd};
//! use http::header::{AUTHORIZATION, CONTENT_TYPE};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mock = MockSinchSms::new().on_number("15550009999", SmsEnd::Failed(404)).in_memory();
//! let url = mock.url().join(&format!("xms/v1/{}/batches", MockSinchSms::PLAN))?;
//! let body = r#"{"type": "mt_text", "from": "15550000000", "to": ["15550009999"], "body": "hi"}"#;
//! let request = HttpRequest::post(url, body)
//!     .with_header(AUTHORIZATION, &format!("Bearer {}", MockSinchSms::API_TOKEN))?
//!     .with_header(CONTENT_TYPE, "application/json")?;
//! assert_eq!(mock.client().execute(request).await?.status, 201);
//! let books = mock.vendor(|sms| sms.books());
//! assert_eq!(books.len(), 1);
//! # Ok(())
//! # }
//! ```

mod batch;
mod books;
mod callback;
mod inbound;
mod message;
mod report;
mod route;
mod script;
mod signature;
mod text;
mod vendor;

pub use books::BookedSms;
pub use inbound::IncomingSms;
pub use script::{SmsEnd, SmsPace};
pub use signature::signature;
pub use vendor::MockSinchSms;
