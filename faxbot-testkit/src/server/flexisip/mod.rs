//! Flexisip's account manager (FlexiAPI) as a vendor behind [`MockHttp`](super::http::MockHttp): Spaces,
//! accounts, devices, tokens, statistics, and what they may ask by key, token and digest.
//!
//! What it says and takes is from the sources of the account manager
//! (BelledonneCommunications/flexisip-account-manager@d910ff6976af, August 2026); nothing of it was
//! recorded from a server.
//!
//! | below `/api` | who |
//! |---|---|
//! | `ping`, `phone_countries`, `account_creation_request_tokens`, `account_creation_tokens/send-by-push`, `.../using-account-creation-request-token`, `account_recovery_tokens/send-by-push`, `accounts/with-account-creation-token`, `accounts/auth_token`, `accounts/me/api_key/{token}` | anybody |
//! | `accounts/me` and what is below it, `accounts/auth_token/{token}/attach`, `account_creation_tokens/consume`, `push_notification` | an account: key, bearer or digest |
//! | `accounts` and what is below it, `account_types`, `contacts_lists`, `resolve`, `wizard`, `messages`, `files`, `statistics`, `account_creation_tokens` | an admin, by key alone; [`of_2_0`](MockFlexisip::of_2_0) takes the others, too |
//! | `spaces`, `phone_countries/{code}/activate` | an admin of a super Space |
//!
//! - Digest is checked as the server does: the response by MD5 or SHA-256, `opaque` known and used up by a
//!   replay, `nc` that grows, `uri` equal to the path alone, `From` in every request.
//! - A bearer is a text that was told by [`bearer`](MockFlexisip::bearer): it is no signed JWT here.
//! - The host name of a request chooses the Space; a request without one (in memory) is of the first.
//! - Without `Accept: application/json` it answers with pages and redirects.
//!
//! Not mocked: mail and SMS, limits of the address a key was made at, the rules of names and phone
//! numbers (a name must be lower case, and free), CardDAV, mail servers of Spaces.
//!
//! # Examples
//!
//! ```
//! use faxbot_core::http::{HttpClient as _, HttpRequest};
//! use faxbot_testkit::server::flexisip::MockFlexisip;
//! use http::header::{ACCEPT, HeaderName};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mock = MockFlexisip::new().in_memory();
//! let request = HttpRequest::get(mock.url().join("api/accounts")?)
//!     .with_header(HeaderName::from_static("x-api-key"), MockFlexisip::ADMIN_KEY)?
//!     .with_header(ACCEPT, "application/json")?;
//! assert_eq!(mock.client().execute(request).await?.status, 200);
//! # Ok(())
//! # }
//! ```

mod account;
mod answer;
mod auth;
mod check;
mod me;
mod route;
mod space;
mod statistics;
mod token;
mod vendor;

pub use account::{MockAccount, MockDevice};
pub use vendor::MockFlexisip;
