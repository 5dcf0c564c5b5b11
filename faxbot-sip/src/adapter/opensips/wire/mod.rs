//! Answers of the management interface, as they were recorded and as other releases may write them.
//! Names that are not known are ignored, numbers may be texts.

pub(super) mod b2b;
pub(super) mod dialog;
pub(super) mod lenient;
pub(super) mod routing;
pub(super) mod server;
pub(super) mod users;
