//! Text: plain text, cover pages, and what header lines are drawn with.

mod canvas;
mod cell;
mod font;

use faxbot_core::{
    Result,
    document::{ConvertOptions, CoverPage},
};

use super::{part::Part, source::unknown_format};

pub(super) use canvas::Canvas;
pub(super) use cell::{Cell, Step, Steps};
pub(super) use font::{Face, Size, rows_per_row};

pub(super) fn open(_text: Vec<u8>, _options: &ConvertOptions) -> Result<Box<dyn Part>> {
    Err(unknown_format())
}

pub(super) fn open_cover(_cover: &CoverPage, _options: &ConvertOptions) -> Result<Box<dyn Part>> {
    Err(unknown_format())
}
