//! Tag numbers (TIFF 6.0 part 1, RFC 2306 for the fax ones).

pub(super) const NEW_SUBFILE_TYPE: u16 = 254;
pub(super) const IMAGE_WIDTH: u16 = 256;
pub(super) const IMAGE_LENGTH: u16 = 257;
pub(super) const BITS_PER_SAMPLE: u16 = 258;
pub(super) const COMPRESSION: u16 = 259;
pub(super) const PHOTOMETRIC: u16 = 262;
pub(super) const FILL_ORDER: u16 = 266;
pub(super) const STRIP_OFFSETS: u16 = 273;
pub(super) const ORIENTATION: u16 = 274;
pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
pub(super) const ROWS_PER_STRIP: u16 = 278;
pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
pub(super) const X_RESOLUTION: u16 = 282;
pub(super) const Y_RESOLUTION: u16 = 283;
pub(super) const T4_OPTIONS: u16 = 292;
pub(super) const T6_OPTIONS: u16 = 293;
pub(super) const RESOLUTION_UNIT: u16 = 296;
pub(super) const PAGE_NUMBER: u16 = 297;
pub(super) const SOFTWARE: u16 = 305;
pub(super) const BAD_FAX_LINES: u16 = 326;
pub(super) const CLEAN_FAX_DATA: u16 = 327;
pub(super) const CONSECUTIVE_BAD_FAX_LINES: u16 = 328;

/// Field types (TIFF 6.0 §2).
pub(super) const BYTE: u16 = 1;
pub(super) const ASCII: u16 = 2;
pub(super) const SHORT: u16 = 3;
pub(super) const LONG: u16 = 4;
pub(super) const RATIONAL: u16 = 5;
