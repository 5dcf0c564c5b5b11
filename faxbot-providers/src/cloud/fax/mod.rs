//! Faxes over a vendor's HTTP interface.

mod config;
#[cfg(any(feature = "phaxio", feature = "sinch-fax"))]
mod phaxio_codes;
mod provider;

#[cfg(any(feature = "phaxio", feature = "sinch-fax"))]
pub(crate) use phaxio_codes::VendorError;
pub use config::{FIELDS, FaxSettings, UploadMode};
pub use provider::{
    FaxLimits, FaxNotice, FaxProvider, FaxReport, Submission, Submitted, Upload, UploadFormat,
};
