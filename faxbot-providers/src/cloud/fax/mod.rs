//! Faxes over a vendor's HTTP interface.

mod config;
mod provider;

pub use config::{FIELDS, FaxSettings, UploadMode};
pub use provider::{
    FaxLimits, FaxNotice, FaxProvider, FaxReport, Submission, Submitted, Upload, UploadFormat,
};
