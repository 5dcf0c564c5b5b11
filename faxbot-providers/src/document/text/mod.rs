//! Text: plain text, cover pages, and what header lines are drawn with.
//!
//! Characters become [`Step`]s, steps become lines and pages of cells, cells are drawn with the
//! bundled font. What cannot be drawn right in cells of one width from left to right is refused.

mod canvas;
mod cell;
mod cover;
mod font;
mod paper;
mod plain;
mod template;
mod typeset;
mod wrap;

pub(super) use canvas::Canvas;
pub(super) use cell::{Cell, Step, Steps};
pub(super) use cover::{given_bytes as cover_bytes, open as open_cover};
pub(super) use font::{Face, Size, rows_per_row};
pub(super) use plain::open;
