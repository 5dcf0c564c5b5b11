//! The coded rows of a page for a PDF (ISO 32000-1 §7.4.6).

use std::io::{Read, Seek};

use faxbot_core::document::{
    FaxCoding,
    ccitt::PageQuality,
    tiff::{Compression, FillOrder, PageInfo, Photometric, TiffError, TiffReader},
};
use pdf_writer::writers::DecodeParms;

use super::decode::{Damage, Recoder, decode, with_tags};

/// Zero bits of an end-of-line code (ITU-T T.4 §4.1.2); nothing else starts with as many.
const END_OF_LINE_ZEROS: u32 = 11;

/// `K` of two-dimensional rows: any positive value means them (ISO 32000-1 table 11). 4 is what T.4
/// §4.2 allows at fine resolution.
const K_MR: i32 = 4;

/// Whose coded rows they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A fax to send: what our converter wrote was read back then. Nothing is repaired, because
    /// nothing is repaired on the line either.
    Ours,
    /// A received one: each page is decoded once, and repaired when it is damaged.
    Received,
}

/// The coded rows of a page, most significant bit first, and how they are coded.
pub(super) struct Coded {
    pub(super) data: Vec<u8>,
    coding: FaxCoding,
    /// Each row starts at a byte border, and there are no end-of-line codes: TIFF compression 2.
    row_aligned: bool,
    /// A coded black pixel is shown white.
    inverted: bool,
}

impl Coded {
    /// The rows as they are in the file where a viewer reads them as we do, else coded anew.
    pub(super) fn read<R: Read + Seek>(
        reader: &mut TiffReader<R>,
        page: &PageInfo,
        origin: Origin,
    ) -> Result<(Self, PageQuality), TiffError> {
        let damage = match origin {
            Origin::Ours => Damage::Refuse,
            Origin::Received => Damage::Repair,
        };
        if (origin == Origin::Ours || is_whole(reader, page)?)
            && let Some(coded) = Self::untouched(reader, page)?
        {
            return Ok((coded, with_tags(page, PageQuality::default())));
        }
        let (coded, found) = Self::anew(reader, page, damage)?;
        Ok((coded, with_tags(page, found)))
    }

    /// The strip untouched but for the order of its bits, which a PDF cannot tell. `None` for
    /// several strips, between which viewers draw seams, and for what is in no fax coding.
    fn untouched<R: Read + Seek>(
        reader: &mut TiffReader<R>,
        page: &PageInfo,
    ) -> Result<Option<Self>, TiffError> {
        let (Some(coding), [strip]) = (page.coding(), page.strips.as_slice()) else {
            return Ok(None);
        };
        let inverted = match page.photometric {
            Photometric::MinIsWhite => false,
            Photometric::MinIsBlack => true,
            _ => return Ok(None),
        };
        let mut data = reader.read_strip(*strip)?;
        if page.fill_order == FillOrder::LsbFirst {
            for byte in &mut data {
                *byte = byte.reverse_bits();
            }
        }
        // Viewers count on the code before the first row, which some senders leave out.
        if page.compression == Compression::T4 && leading_zeros(&data) < END_OF_LINE_ZEROS {
            return Ok(None);
        }
        Ok(Some(Self {
            data,
            coding,
            row_aligned: page.compression == Compression::ModifiedHuffman,
            inverted,
        }))
    }

    fn anew<R: Read + Seek>(
        reader: &mut TiffReader<R>,
        page: &PageInfo,
        damage: Damage,
    ) -> Result<(Self, PageQuality), TiffError> {
        let mut recoder = Recoder::new(page.width);
        let found = decode(reader, page, damage, |row| recoder.row(row))?;
        let coded = Self {
            data: recoder.finish(page)?,
            coding: FaxCoding::T6,
            row_aligned: false,
            inverted: false,
        };
        Ok((coded, found))
    }

    /// Tells the decoder of a viewer how the rows are coded. The number of rows ends the page: the
    /// end-of-block code is not there in every file.
    pub(super) fn parameters(&self, parms: &mut DecodeParms<'_>, (width, rows): (i32, i32)) {
        let k = match self.coding {
            FaxCoding::Mh => 0,
            FaxCoding::Mr => K_MR,
            _ => -1,
        };
        parms.k(k).columns(width).rows(rows).end_of_block(false);
        if k >= 0 && !self.row_aligned {
            parms.end_of_line(true);
        }
        if self.row_aligned {
            parms.encoded_byte_align(true);
        }
        if self.inverted {
            parms.black_is_1(true);
        }
    }
}

/// Whether every row can be decoded where it is expected. Stricter than what can be repaired without
/// a bad row: viewers skip to the next end-of-line code, and so past rows that have none.
fn is_whole<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    page: &PageInfo,
) -> Result<bool, TiffError> {
    match decode(reader, page, Damage::Refuse, |_| {}) {
        Ok(_) => Ok(true),
        Err(TiffError::Damaged { .. } | TiffError::MissingRows { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn leading_zeros(data: &[u8]) -> u32 {
    let mut zeros = 0;
    for byte in data.iter().take(2) {
        zeros += byte.leading_zeros();
        if *byte != 0 {
            break;
        }
    }
    zeros
}
