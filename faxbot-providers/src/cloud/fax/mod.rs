//! Faxes over a vendor's HTTP interface.

mod provider;

pub use provider::{
    FaxLimits, FaxNotice, FaxProvider, FaxReport, Submission, Submitted, Upload, UploadFormat,
};
