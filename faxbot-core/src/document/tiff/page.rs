//! What a page says about itself.

use super::new_page::T4_TWO_DIMENSIONAL;
use crate::document::{FaxCoding, Resolution};

/// The tags of one page.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PageInfo {
    /// The page's place in the file, from 0.
    pub index: u32,
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub rows: u32,
    /// How the strips are coded. Default of the format: none.
    pub compression: Compression,
    /// Which colour a 0 bit has. A fax page without the tag means [`Photometric::MinIsWhite`].
    pub photometric: Photometric,
    /// Which bit of a byte is first. Default of the format: the most significant one.
    pub fill_order: FillOrder,
    /// Bits of a sample; 1 for every fax page.
    pub bits_per_sample: u16,
    /// Samples of a pixel; 1 for every fax page.
    pub samples_per_pixel: u16,
    /// Where the first row and column are, 1 (top left, the default) to 8 (TIFF 6.0 §8).
    pub orientation: u16,
    /// `NewSubfileType`: 2 for a page of several, 0 by default.
    pub subfile_type: u32,
    /// Pixels per [`resolution_unit`](Self::resolution_unit) in a row.
    pub x_resolution: Option<Rational>,
    /// Rows per [`resolution_unit`](Self::resolution_unit).
    pub y_resolution: Option<Rational>,
    /// The unit of both resolutions. Default of the format: inch.
    pub resolution_unit: ResolutionUnit,
    /// The page's number as the file states it, which may differ from [`index`](Self::index).
    pub page_number: Option<PageNumber>,
    /// `T4Options`: bit 0 two-dimensional (MR), bit 1 uncompressed mode, bit 2 byte-aligned EOLs.
    pub t4_options: u32,
    /// `T6Options`: bit 1 uncompressed mode.
    pub t6_options: u32,
    /// Rows that the receiver could not decode, if it counted (RFC 2306).
    pub bad_rows: Option<u32>,
    /// 0 no bad rows, 1 bad rows were repaired, 2 they are in the data.
    pub clean_fax_data: Option<u16>,
    /// The most bad rows in a row.
    pub consecutive_bad_rows: Option<u32>,
    /// Rows of each strip but the last, which may have fewer.
    pub rows_per_strip: u32,
    /// The strips from top to bottom. Each lies in the file, and no two overlap.
    pub strips: Vec<Strip>,
}

impl PageInfo {
    /// Pixels per inch in a row, or `None` when the file does not say.
    pub fn x_per_inch(&self) -> Option<f64> {
        self.per_inch(self.x_resolution)
    }

    /// Rows per inch, or `None` when the file does not say.
    pub fn y_per_inch(&self) -> Option<f64> {
        self.per_inch(self.y_resolution)
    }

    /// The fax resolution that the rows per inch mean, if they mean one.
    pub fn fax_resolution(&self) -> Option<Resolution> {
        self.y_per_inch().and_then(Resolution::from_lines_per_inch)
    }

    /// The fax coding of the strips, or `None` when it is none. [`FaxCoding::Mh`] is both that with
    /// end-of-line codes and that without ([`Compression::ModifiedHuffman`]).
    pub fn coding(&self) -> Option<FaxCoding> {
        match self.compression {
            Compression::T6 => Some(FaxCoding::T6),
            Compression::T4 if self.t4_options & T4_TWO_DIMENSIONAL != 0 => Some(FaxCoding::Mr),
            Compression::T4 | Compression::ModifiedHuffman => Some(FaxCoding::Mh),
            Compression::None | Compression::Other(_) => None,
        }
    }

    /// Bytes of all strips.
    pub fn data_len(&self) -> u64 {
        self.strips.iter().map(|strip| strip.len).sum()
    }

    fn per_inch(&self, resolution: Option<Rational>) -> Option<f64> {
        let value = resolution?.value()?;
        match self.resolution_unit {
            ResolutionUnit::Inch => Some(value),
            ResolutionUnit::Centimetre => Some(value * 2.54),
            ResolutionUnit::None => None,
        }
    }
}

/// How the strips of a page are coded (`Compression`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// 1: packed rows.
    None,
    /// 2: one-dimensional runs, each row from a byte border on, without end-of-line codes.
    ModifiedHuffman,
    /// 3: ITU-T T.4, MH or MR by [`PageInfo::t4_options`].
    T4,
    /// 4: ITU-T T.6 (Group 4, MMR).
    T6,
    /// Any other value.
    Other(u16),
}

impl Compression {
    /// The tag's value.
    pub const fn code(self) -> u16 {
        match self {
            Self::None => 1,
            Self::ModifiedHuffman => 2,
            Self::T4 => 3,
            Self::T6 => 4,
            Self::Other(code) => code,
        }
    }

    pub(super) const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::None,
            2 => Self::ModifiedHuffman,
            3 => Self::T4,
            4 => Self::T6,
            other => Self::Other(other),
        }
    }
}

/// Which colour a 0 bit has (`PhotometricInterpretation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Photometric {
    /// 0: a 0 bit is white, as fax is coded.
    MinIsWhite,
    /// 1: a 0 bit is black.
    MinIsBlack,
    /// Any other value: not a bilevel page.
    Other(u16),
}

impl Photometric {
    /// The tag's value.
    pub const fn code(self) -> u16 {
        match self {
            Self::MinIsWhite => 0,
            Self::MinIsBlack => 1,
            Self::Other(code) => code,
        }
    }

    pub(super) const fn from_code(code: u16) -> Self {
        match code {
            0 => Self::MinIsWhite,
            1 => Self::MinIsBlack,
            other => Self::Other(other),
        }
    }
}

/// Which bit of a byte is first (`FillOrder`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FillOrder {
    /// 1: the most significant one.
    MsbFirst,
    /// 2: the least significant one, as on the telephone line.
    LsbFirst,
}

impl FillOrder {
    /// The tag's value.
    pub const fn code(self) -> u16 {
        match self {
            Self::MsbFirst => 1,
            Self::LsbFirst => 2,
        }
    }
}

/// The unit of the resolutions (`ResolutionUnit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResolutionUnit {
    /// 1: only the ratio of the two has a meaning.
    None,
    /// 2.
    Inch,
    /// 3.
    Centimetre,
}

impl ResolutionUnit {
    /// The tag's value.
    pub const fn code(self) -> u16 {
        match self {
            Self::None => 1,
            Self::Inch => 2,
            Self::Centimetre => 3,
        }
    }
}

/// A fraction as the file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rational {
    /// Above the line.
    pub numerator: u32,
    /// Below the line; may be 0 in a bad file.
    pub denominator: u32,
}

impl Rational {
    /// The value, or `None` for a fraction that has none or is 0, which no resolution is.
    pub fn value(self) -> Option<f64> {
        (self.numerator > 0 && self.denominator > 0)
            .then(|| f64::from(self.numerator) / f64::from(self.denominator))
    }
}

/// The tag `PageNumber`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageNumber {
    /// The page, from 0.
    pub number: u16,
    /// Pages of the document; 0 is unknown (TIFF 6.0 §12).
    pub total: u16,
}

/// Where a strip lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Strip {
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}
