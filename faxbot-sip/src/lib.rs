//! Protocol codecs, one driver, and `SipAdapter` implementations.

#[cfg(feature = "asterisk")]
pub mod adapter;
#[cfg(feature = "driver")]
pub mod driver;
pub mod protocol;
