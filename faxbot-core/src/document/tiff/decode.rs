//! Decoding pages to rows.

use std::io::{Read, Seek};

use super::{
    Compression, FillOrder, PageInfo, Photometric, Strip, TiffError, TiffReader,
    new_page::T4_TWO_DIMENSIONAL,
};
use crate::document::ccitt::{
    CcittError, PageQuality, T4Coding, T4Decoder, T6Decoder, Tally, row_bytes,
};

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
            let data = self.read_msb_first(page, *strip)?;
            let mut emit = |row: &mut [u8]| {
                finish_row(row, page.width, inverted);
                on_row(row);
            };
            let found = decode_strip(coding, &data, page.width, rows, &mut row, &mut emit)
                .map_err(|source| damaged(page, done, source))?;
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

    /// As [`decode_page`](Self::decode_page), but gives exactly [`PageInfo::rows`] rows of a damaged
    /// page in T.4 (MH or MR), and says how many of them are not what was sent.
    ///
    /// A row that cannot be decoded is a copy of the row above it in the page, white if it is the
    /// first; [`T4Decoder::with_repair`] has what counts as such. Rows that a strip announces and
    /// does not have are white, not copies, which would look like something that was sent; they
    /// count as missing, and as bad. Pages in T.6 and packed ones have nothing to find the next row
    /// by: they are decoded as by [`decode_page`](Self::decode_page), damage is an error.
    ///
    /// # Errors
    ///
    /// As [`decode_page`](Self::decode_page); none for damaged or missing rows in T.4.
    pub fn decode_page_repaired(
        &mut self,
        page: &PageInfo,
        mut on_row: impl FnMut(&[u8]),
    ) -> Result<PageQuality, TiffError> {
        let (Coding::T4(coding), inverted) = check(page)? else {
            self.decode_page(page, on_row)?;
            return Ok(PageQuality::default());
        };
        let mut tally = Tally::default();
        let mut decoded = vec![0; row_bytes(page.width)];
        let mut row = decoded.clone();
        let mut first_row = 0;
        for strip in &page.strips {
            let rows = page.rows_per_strip.min(page.rows - first_row);
            let data = self.read_msb_first(page, *strip)?;
            let fault = |source| damaged(page, first_row, source);
            let mut decoder = T4Decoder::new(&data, page.width, rows, coding)
                .map_err(fault)?
                .with_repair(true);
            let mut bad_rows = 0;
            while decoder.next_row(&mut decoded).map_err(fault)? {
                let bad = decoder.quality().bad_rows > bad_rows;
                if bad {
                    bad_rows += 1;
                    tally.bad();
                } else {
                    tally.good();
                    row.copy_from_slice(&decoded);
                    finish_row(&mut row, page.width, inverted);
                }
                on_row(&row);
            }
            for _ in decoder.rows()..rows {
                tally.missing();
                row.fill(0);
                on_row(&row);
            }
            first_row += rows;
        }
        Ok(tally.quality())
    }

    /// A strip with the most significant bit of each byte first.
    fn read_msb_first(&mut self, page: &PageInfo, strip: Strip) -> Result<Vec<u8>, TiffError> {
        let mut data = self.read_strip(strip)?;
        if page.fill_order == FillOrder::LsbFirst {
            for byte in &mut data {
                *byte = byte.reverse_bits();
            }
        }
        Ok(data)
    }
}

fn damaged(page: &PageInfo, first_row: u32, source: CcittError) -> TiffError {
    TiffError::Damaged {
        page: page.index,
        first_row,
        source,
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
    // No page of a reader has that, but anybody can change a field.
    if page.width == 0 {
        return Err(unsupported("no columns"));
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

/// Makes 1 black and the bits behind the width 0.
fn finish_row(row: &mut [u8], width: u32, inverted: bool) {
    if inverted {
        for byte in row.iter_mut() {
            *byte = !*byte;
        }
    }
    if !width.is_multiple_of(8)
        && let Some(last) = row.last_mut()
    {
        *last &= !(0xff >> (width % 8));
    }
}
