//! Decoding pages to rows.

use std::io::{Read, Seek};

use super::{
    Compression, FillOrder, PageInfo, Photometric, TiffError, TiffReader,
    new_page::T4_TWO_DIMENSIONAL,
};
use crate::document::ccitt::{CcittError, T4Coding, T4Decoder, T6Decoder, row_bytes};

impl<R: Read + Seek> TiffReader<R> {
    /// Decodes a page and gives each row, top first, to `on_row`: packed, most significant bit
    /// first, `1` is black whatever the page's `Photometric` and `FillOrder` are, bits behind the
    /// width are 0. One strip is held at a time.
    ///
    /// Every fax compression is decoded, and [`Compression::None`]. Each strip stands for itself:
    /// its first row is coded by none of the strip before (TIFF 6.0 §11).
    ///
    /// # Errors
    ///
    /// [`TiffError::Unsupported`] for a page that is not bilevel or has another compression;
    /// [`TiffError::Damaged`] or [`TiffError::MissingRows`] for damaged data, after the rows that
    /// could be decoded: there is never a white row in place of a missing one. What
    /// [`read_strip`](Self::read_strip) gives.
    pub fn decode_page(
        &mut self,
        page: &PageInfo,
        mut on_row: impl FnMut(&[u8]),
    ) -> Result<(), TiffError> {
        let (coding, inverted) = check(page)?;
        let mut row = vec![0; row_bytes(page.width)];
        let mut done = 0;
        for strip in &page.strips {
            let rows = page.rows_per_strip.min(page.rows - done);
            let mut data = self.read_strip(*strip)?;
            if page.fill_order == FillOrder::LsbFirst {
                for byte in &mut data {
                    *byte = byte.reverse_bits();
                }
            }
            let mut emit = |row: &mut [u8]| {
                if inverted {
                    for byte in row.iter_mut() {
                        *byte = !*byte;
                    }
                }
                clear_padding(row, page.width);
                on_row(row);
            };
            let found = decode_strip(coding, &data, page.width, rows, &mut row, &mut emit)
                .map_err(|source| TiffError::Damaged {
                    page: page.index,
                    first_row: done,
                    source,
                })?;
            done += found;
            if found < rows {
                return Err(TiffError::MissingRows {
                    page: page.index,
                    announced: page.rows,
                    found: done,
                });
            }
        }
        Ok(())
    }
}

/// How strips that can be decoded are coded.
#[derive(Debug, Clone, Copy)]
enum Coding {
    Packed,
    T4(T4Coding),
    T6,
}

/// How the page is coded, and whether its bits are inverted.
fn check(page: &PageInfo) -> Result<(Coding, bool), TiffError> {
    let unsupported = |reason| TiffError::Unsupported {
        page: page.index,
        reason,
    };
    if page.bits_per_sample != 1 || page.samples_per_pixel != 1 {
        return Err(unsupported("not one bit a pixel"));
    }
    let coding = match page.compression {
        Compression::None => Coding::Packed,
        Compression::ModifiedHuffman => Coding::T4(T4Coding::MhAligned),
        Compression::T4 if page.t4_options & T4_TWO_DIMENSIONAL != 0 => Coding::T4(T4Coding::Mr),
        Compression::T4 => Coding::T4(T4Coding::Mh),
        Compression::T6 => Coding::T6,
        Compression::Other(_) => return Err(unsupported("not a fax compression")),
    };
    match page.photometric {
        Photometric::MinIsWhite => Ok((coding, false)),
        Photometric::MinIsBlack => Ok((coding, true)),
        Photometric::Other(_) => Err(unsupported("not a bilevel image")),
    }
}

/// Gives at most `rows` rows of a strip to `emit`: how many there were.
fn decode_strip(
    coding: Coding,
    data: &[u8],
    width: u32,
    rows: u32,
    row: &mut [u8],
    emit: &mut impl FnMut(&mut [u8]),
) -> Result<u32, CcittError> {
    match coding {
        Coding::Packed => {
            let mut found = 0;
            for packed in data.chunks_exact(row.len()).take(rows as usize) {
                row.copy_from_slice(packed);
                emit(row);
                found += 1;
            }
            Ok(found)
        }
        Coding::T4(coding) => {
            let mut decoder = T4Decoder::new(data, width, rows, coding)?;
            while decoder.next_row(row)? {
                emit(row);
            }
            Ok(decoder.rows())
        }
        Coding::T6 => {
            let mut decoder = T6Decoder::new(data, width, rows)?;
            while decoder.next_row(row)? {
                emit(row);
            }
            Ok(decoder.rows())
        }
    }
}

fn clear_padding(row: &mut [u8], width: u32) {
    if !width.is_multiple_of(8)
        && let Some(last) = row.last_mut()
    {
        *last &= !(0xff >> (width % 8));
    }
}
