//! Pictures: PNG, JPEG, and TIFF that is no fax.

use faxbot_core::{Result, document::ConvertOptions};

use super::{
    part::Part,
    source::{Input, unknown_format},
};

pub(super) fn open_png(_input: Input, _options: &ConvertOptions) -> Result<Box<dyn Part>> {
    Err(unknown_format())
}

pub(super) fn open_jpeg(_input: Input, _options: &ConvertOptions) -> Result<Box<dyn Part>> {
    Err(unknown_format())
}
