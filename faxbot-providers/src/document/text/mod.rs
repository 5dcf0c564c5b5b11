//! Text: plain text, cover pages and header lines.

use faxbot_core::{
    Result,
    document::{ConvertOptions, CoverPage},
};

use super::{part::Part, source::unknown_format};

pub(super) fn open(_text: Vec<u8>, _options: &ConvertOptions) -> Result<Box<dyn Part>> {
    Err(unknown_format())
}

pub(super) fn open_cover(_cover: &CoverPage, _options: &ConvertOptions) -> Result<Box<dyn Part>> {
    Err(unknown_format())
}
