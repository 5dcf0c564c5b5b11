//! Writing fax pages.

use std::{
    io::{Read, Seek, SeekFrom, Write},
    ops::Range,
};

use super::{
    Compression, NewPage, PageInfo, PageNumber, Photometric, Strip, TiffError, TiffReader,
    fields::{fields, layout},
};
use crate::document::Resolution;

/// The page widths of fax in pixels: A4 and Letter, B4, A3 (RFC 3949).
const WIDTHS: [u32; 3] = [1728, 2048, 2432];

/// What copied pages are numbered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PageNumbers {
    /// The tag of the original page, or none where it has none.
    Keep,
    /// The page's place in the new file and its total, as for added pages.
    Renumber,
}

/// Writes a fax TIFF page by page.
///
/// The file is little endian and valid after each page, up to that page. Each added page has one
/// strip, of T.6 unless it says otherwise, `Photometric` 0 and `FillOrder` 1. Pages are numbered
/// from 0 in `PageNumber`, where they have no number of their own; the total is 0 (unknown, TIFF 6.0
/// §12) until [`finish`](Self::finish) puts it into every page.
///
/// Every call is a synchronous write of `W`: use it off the async threads.
#[derive(Debug)]
pub struct TiffWriter<W> {
    out: W,
    width: u32,
    software: Option<String>,
    pages: u32,
    /// Where the next byte goes; always even.
    at: u64,
    /// Where the offset of the next directory has to be put.
    link: u64,
    /// Where the totals are that `finish` puts in.
    totals: Vec<u64>,
}

impl<W: Write + Seek> TiffWriter<W> {
    /// Starts a file at the start of `out`, which has to be empty. Pages are 1728 pixels wide.
    ///
    /// # Errors
    ///
    /// [`TiffError::Io`].
    pub fn new(mut out: W) -> Result<Self, TiffError> {
        out.seek(SeekFrom::Start(0))?;
        out.write_all(b"II\x2a\0\0\0\0\0")?;
        Ok(Self {
            out,
            width: WIDTHS[0],
            software: None,
            pages: 0,
            at: 8,
            link: 4,
            totals: Vec::new(),
        })
    }

    /// Sets the width of the pages that follow: 1728, 2048 or 2432 pixels.
    ///
    /// # Errors
    ///
    /// [`TiffError::Unsupported`] for any other width.
    pub fn with_width(mut self, width: u32) -> Result<Self, TiffError> {
        if !WIDTHS.contains(&width) {
            return Err(self.unsupported("width is not that of a fax page"));
        }
        self.width = width;
        Ok(self)
    }

    /// Puts a `Software` tag into added pages; bytes that are not printable ASCII are left out.
    #[must_use]
    pub fn with_software(mut self, name: &str) -> Self {
        let name: String = name
            .chars()
            .filter(|c| c.is_ascii_graphic() || *c == ' ')
            .collect();
        self.software = (!name.is_empty()).then_some(name);
        self
    }

    /// Pixels of a row of added pages.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pages written so far.
    pub fn page_count(&self) -> u32 {
        self.pages
    }

    /// Adds a page of `rows` rows, coded by [`T6Encoder`](crate::document::ccitt::T6Encoder) with
    /// this writer's width.
    ///
    /// # Errors
    ///
    /// As [`add_coded_page`](Self::add_coded_page).
    pub fn add_page(
        &mut self,
        rows: u32,
        resolution: Resolution,
        strip: &[u8],
    ) -> Result<(), TiffError> {
        self.add_coded_page(&NewPage::new(rows, resolution), strip)
    }

    /// Adds a page that was coded as it says, with this writer's width: by
    /// [`T6Encoder`](crate::document::ccitt::T6Encoder), or by
    /// [`T4Encoder`](crate::document::ccitt::T4Encoder) with the
    /// [`T4Coding`](crate::document::ccitt::T4Coding) of [`FaxCoding::t4`](crate::document::FaxCoding::t4).
    ///
    /// # Errors
    ///
    /// [`TiffError::Unsupported`] for a page without rows or bytes, [`TiffError::Limit`] for more
    /// than 4 GiB or 65,535 pages; the file is unchanged then. [`TiffError::Io`].
    pub fn add_coded_page(&mut self, page: &NewPage, strip: &[u8]) -> Result<(), TiffError> {
        if page.rows == 0 || strip.is_empty() {
            return Err(self.unsupported("page without rows"));
        }
        let info = page.info(self.pages, self.width);
        self.check_room(strip.len() as u64, 1)?;
        let numbers = match page.page_number {
            Some(_) => PageNumbers::Keep,
            None => PageNumbers::Renumber,
        };
        let place = self.write_strip(strip)?;
        self.write_directory(&info, &[place], numbers, self.software.clone().as_deref())
    }

    /// Copies pages of another file, numbered from 0, as they are: strips, compression,
    /// resolution, fill order, options and quality tags. Tags that a fax page does not need
    /// (names, dates, addresses, thumbnails) are not copied.
    ///
    /// # Errors
    ///
    /// [`TiffError::NoPage`] for a range outside of the file, before anything is written;
    /// [`TiffError::Unsupported`] for a page that is not bilevel or not in a fax compression or
    /// none; [`TiffError::Limit`] as [`add_page`](Self::add_page); what [`TiffReader::page`] and
    /// [`TiffReader::read_strip`] give. Pages copied before the error stay in the file.
    pub fn copy_pages<R: Read + Seek>(
        &mut self,
        reader: &mut TiffReader<R>,
        range: Range<u32>,
        numbers: PageNumbers,
    ) -> Result<(), TiffError> {
        if range.end > reader.page_count() {
            return Err(TiffError::NoPage {
                page: range.end - 1,
                pages: reader.page_count(),
            });
        }
        for index in range {
            let page = reader.page(index)?;
            if page.bits_per_sample != 1
                || page.samples_per_pixel != 1
                || matches!(page.compression, Compression::Other(_))
                || matches!(page.photometric, Photometric::Other(_))
            {
                return Err(TiffError::Unsupported {
                    page: index,
                    reason: "not a fax page",
                });
            }
            self.check_room(page.data_len(), page.strips.len() as u64)?;
            let mut places = Vec::with_capacity(page.strips.len());
            for strip in &page.strips {
                let bytes = reader.read_strip(*strip)?;
                places.push(self.write_strip(&bytes)?);
            }
            self.write_directory(&page, &places, numbers, None)?;
        }
        Ok(())
    }

    /// Puts the number of pages into the pages, flushes and gives the output back.
    ///
    /// # Errors
    ///
    /// [`TiffError::NoPage`] if no page was added: a TIFF file has at least one.
    /// [`TiffError::Io`].
    pub fn finish(mut self) -> Result<W, TiffError> {
        if self.pages == 0 {
            return Err(TiffError::NoPage { page: 0, pages: 0 });
        }
        let total = u16::try_from(self.pages).unwrap_or(0);
        for at in std::mem::take(&mut self.totals) {
            self.out.seek(SeekFrom::Start(at))?;
            self.out.write_all(&total.to_le_bytes())?;
        }
        self.out.seek(SeekFrom::Start(self.at))?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn unsupported(&self, reason: &'static str) -> TiffError {
        TiffError::Unsupported {
            page: self.pages,
            reason,
        }
    }

    /// Offsets have 32 bits and page numbers 16.
    fn check_room(&self, bytes: u64, strips: u64) -> Result<(), TiffError> {
        // A strip has a padding byte and two table entries; the rest of a directory is below 4 KiB.
        let end = self.at + bytes + 9 * strips + 4096;
        if end > u64::from(u32::MAX) {
            return Err(TiffError::Limit {
                what: "bytes of the file",
                value: end,
                limit: u32::MAX.into(),
            });
        }
        if self.pages >= u32::from(u16::MAX) {
            let (value, limit) = (u64::from(self.pages) + 1, u16::MAX.into());
            return Err(TiffError::Limit {
                what: "number of pages",
                value,
                limit,
            });
        }
        Ok(())
    }

    fn write_strip(&mut self, bytes: &[u8]) -> Result<Strip, TiffError> {
        self.out.seek(SeekFrom::Start(self.at))?;
        self.out.write_all(bytes)?;
        let place = Strip {
            offset: self.at,
            len: bytes.len() as u64,
        };
        self.at += place.len;
        if self.at % 2 == 1 {
            // Directories and their values start at even offsets (TIFF 6.0 §2).
            self.out.write_all(&[0])?;
            self.at += 1;
        }
        Ok(place)
    }

    fn write_directory(
        &mut self,
        page: &PageInfo,
        strips: &[Strip],
        numbers: PageNumbers,
        software: Option<&str>,
    ) -> Result<(), TiffError> {
        let number = match numbers {
            PageNumbers::Keep => page.page_number,
            PageNumbers::Renumber => u16::try_from(self.pages)
                .ok()
                .map(|number| PageNumber { number, total: 0 }),
        };
        let start = u32::try_from(self.at).map_err(|_| self.unsupported("file above 4 gib"))?;
        let fields = fields(page, strips, number, software);
        let (bytes, total_at) = layout(&fields, start);
        self.out.seek(SeekFrom::Start(self.at))?;
        self.out.write_all(&bytes)?;
        // The link comes last: what was written before it is not part of the file without it.
        self.out.seek(SeekFrom::Start(self.link))?;
        self.out.write_all(&start.to_le_bytes())?;
        if let (PageNumbers::Renumber, Some(offset)) = (numbers, total_at) {
            self.totals.push(self.at + offset);
        }
        self.link = self.at + 2 + 12 * fields.len() as u64;
        self.at += bytes.len() as u64;
        self.pages += 1;
        Ok(())
    }
}
