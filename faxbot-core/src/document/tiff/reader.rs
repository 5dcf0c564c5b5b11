//! Reading pages and strips.

use std::{
    collections::{HashMap, HashSet},
    io::{Read, Seek},
};

use super::{
    Compression, FillOrder, PageInfo, PageNumber, Photometric, Rational, ResolutionUnit, Strip,
    TiffError,
    ifd::{ByteOrder, Directory, Source, next_directory},
    tag,
};

/// What a file may have at most. The defaults are above every real fax and keep a decoded page
/// below 64 MB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TiffLimits {
    /// Pages of a file. Default 2,000.
    pub max_pages: u32,
    /// Pixels of a row. Default 16,384; A3 at 408 pixels per inch has 4,864.
    pub max_width: u32,
    /// Rows of a page. Default 32,768; A4 in superfine has 4,573.
    pub max_rows: u32,
    /// Bytes of all strips of a page as they are in the file. Default 64 MiB.
    pub max_page_bytes: u64,
}

impl TiffLimits {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            max_pages: 2_000,
            max_width: 16_384,
            max_rows: 32_768,
            max_page_bytes: 64 << 20,
        }
    }

    /// Sets the greatest number of pages.
    #[must_use]
    pub const fn with_max_pages(mut self, pages: u32) -> Self {
        self.max_pages = pages;
        self
    }

    /// Sets the greatest width, in pixels.
    #[must_use]
    pub const fn with_max_width(mut self, pixels: u32) -> Self {
        self.max_width = pixels;
        self
    }

    /// Sets the greatest number of rows of a page.
    #[must_use]
    pub const fn with_max_rows(mut self, rows: u32) -> Self {
        self.max_rows = rows;
        self
    }

    /// Sets the greatest number of coded bytes of a page.
    #[must_use]
    pub const fn with_max_page_bytes(mut self, bytes: u64) -> Self {
        self.max_page_bytes = bytes;
        self
    }
}

impl Default for TiffLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads a TIFF file page by page.
///
/// Every call is a synchronous read of `R`: use it off the async threads.
#[derive(Debug)]
pub struct TiffReader<R> {
    source: Source<R>,
    order: ByteOrder,
    limits: TiffLimits,
    /// Where the directory of each page is.
    directories: Vec<u32>,
    /// The pages that were read, and the bytes of their strips together.
    read: HashSet<u32>,
    read_bytes: u64,
}

impl<R: Read + Seek> TiffReader<R> {
    /// Opens a file with the default [`TiffLimits`].
    ///
    /// # Errors
    ///
    /// As [`with_limits`](Self::with_limits).
    pub fn open(input: R) -> Result<Self, TiffError> {
        Self::with_limits(input, TiffLimits::new())
    }

    /// Opens a file and follows the chain of its pages, without reading their tags.
    ///
    /// # Errors
    ///
    /// [`TiffError::NotTiff`] or [`TiffError::BigTiff`]; [`TiffError::NoPage`] without any page;
    /// [`TiffError::Loop`], [`TiffError::OutOfFile`] and [`TiffError::Limit`] for a chain that
    /// does not end in the file and the limits; [`TiffError::Io`].
    pub fn with_limits(input: R, limits: TiffLimits) -> Result<Self, TiffError> {
        let mut source = Source::new(input)?;
        let header = source
            .read("the header", 0, 8)
            .map_err(|error| match error {
                TiffError::OutOfFile { .. } => TiffError::NotTiff,
                other => other,
            })?;
        let [a, b, magic @ .., e, f, g, h] = header.as_slice() else {
            return Err(TiffError::NotTiff);
        };
        let order = match [*a, *b] {
            [b'I', b'I'] => ByteOrder::Little,
            [b'M', b'M'] => ByteOrder::Big,
            _ => return Err(TiffError::NotTiff),
        };
        match magic.first_chunk().map(|magic| order.u16(*magic)) {
            Some(42) => {}
            Some(43) => return Err(TiffError::BigTiff),
            _ => return Err(TiffError::NotTiff),
        }
        let mut directories = Vec::new();
        let mut seen = HashMap::new();
        let mut offset = order.u32([*e, *f, *g, *h]);
        let mut page = 0;
        while offset != 0 {
            if page >= limits.max_pages {
                return Err(limit(
                    "number of pages",
                    u64::from(page) + 1,
                    u64::from(limits.max_pages),
                ));
            }
            if let Some(page) = seen.insert(offset, page) {
                return Err(TiffError::Loop { page });
            }
            directories.push(offset);
            page += 1;
            offset = next_directory(&mut source, order, offset)?;
        }
        if page == 0 {
            return Err(TiffError::NoPage { page: 0, pages: 0 });
        }
        Ok(Self {
            source,
            order,
            limits,
            directories,
            read: HashSet::new(),
            read_bytes: 0,
        })
    }

    /// Pages of the file, counted along its chain; at least 1.
    pub fn page_count(&self) -> u32 {
        u32::try_from(self.directories.len()).unwrap_or(u32::MAX)
    }

    /// The limits the file is read with.
    pub fn limits(&self) -> TiffLimits {
        self.limits
    }

    /// The tags of the page at `index`, from 0.
    ///
    /// # Errors
    ///
    /// [`TiffError::NoPage`], [`TiffError::MissingTag`], [`TiffError::InvalidTag`],
    /// [`TiffError::Limit`], [`TiffError::OutOfFile`] and [`TiffError::Overlap`] for pages that
    /// cannot be read; [`TiffError::Io`]. `Overlap` also comes once the strips of the pages read so
    /// far have more bytes than the file. The other pages can still be asked for.
    pub fn page(&mut self, index: u32) -> Result<PageInfo, TiffError> {
        let offset = usize::try_from(index)
            .ok()
            .and_then(|index| self.directories.get(index).copied());
        let Some(offset) = offset else {
            return Err(TiffError::NoPage {
                page: index,
                pages: self.page_count(),
            });
        };
        let directory = Directory::read(&mut self.source, self.order, offset, index)?;
        let page = self.interpret(&directory, index)?;
        self.check_sharing(&page)?;
        Ok(page)
    }

    /// Pages with strips of their own have together no more bytes than the file.
    fn check_sharing(&mut self, page: &PageInfo) -> Result<(), TiffError> {
        if self.read.contains(&page.index) {
            return Ok(());
        }
        let bytes = self.read_bytes + page.data_len();
        if bytes > self.source.len() {
            return Err(TiffError::Overlap { page: page.index });
        }
        self.read_bytes = bytes;
        self.read.insert(page.index);
        Ok(())
    }

    /// All pages in order, read as the iterator gets to them.
    pub fn pages(&mut self) -> Pages<'_, R> {
        Pages {
            next: 0,
            reader: self,
        }
    }

    /// The bytes of a strip as they are in the file.
    ///
    /// # Errors
    ///
    /// [`TiffError::OutOfFile`], [`TiffError::Limit`] (only for strips that are not from this
    /// reader) and [`TiffError::Io`].
    pub fn read_strip(&mut self, strip: Strip) -> Result<Vec<u8>, TiffError> {
        if strip.len > self.limits.max_page_bytes {
            return Err(limit(
                "bytes of a page",
                strip.len,
                self.limits.max_page_bytes,
            ));
        }
        self.source.read("a strip", strip.offset, strip.len)
    }

    /// The input back.
    pub fn into_inner(self) -> R {
        self.source.into_inner()
    }

    fn interpret(&mut self, directory: &Directory, index: u32) -> Result<PageInfo, TiffError> {
        let source = &mut self.source;
        let limits = self.limits;
        let missing = |tag| TiffError::MissingTag { page: index, tag };
        let dimension = |value: Option<u32>, tag, what, max: u32| match value {
            None => Err(missing(tag)),
            Some(0) => Err(directory.invalid(tag, "must not be 0")),
            Some(value) if value > max => Err(limit(what, u64::from(value), u64::from(max))),
            Some(value) => Ok(value),
        };
        let width = directory.number(source, tag::IMAGE_WIDTH)?;
        let width = dimension(width, tag::IMAGE_WIDTH, "width in pixels", limits.max_width)?;
        let rows = directory.number(source, tag::IMAGE_LENGTH)?;
        let rows = dimension(rows, tag::IMAGE_LENGTH, "number of rows", limits.max_rows)?;
        let rows_per_strip = match directory.number(source, tag::ROWS_PER_STRIP)? {
            Some(0) => return Err(directory.invalid(tag::ROWS_PER_STRIP, "must not be 0")),
            value => value.unwrap_or(rows).min(rows),
        };
        let strips = strips(source, directory, rows.div_ceil(rows_per_strip))?;
        let info = PageInfo {
            index,
            width,
            rows,
            compression: Compression::from_code(
                directory.short(source, tag::COMPRESSION)?.unwrap_or(1),
            ),
            photometric: Photometric::from_code(
                directory.short(source, tag::PHOTOMETRIC)?.unwrap_or(0),
            ),
            fill_order: match directory.number(source, tag::FILL_ORDER)? {
                None | Some(1) => FillOrder::MsbFirst,
                Some(2) => FillOrder::LsbFirst,
                Some(_) => return Err(directory.invalid(tag::FILL_ORDER, "neither 1 nor 2")),
            },
            bits_per_sample: directory.short(source, tag::BITS_PER_SAMPLE)?.unwrap_or(1),
            samples_per_pixel: directory
                .short(source, tag::SAMPLES_PER_PIXEL)?
                .unwrap_or(1),
            orientation: match directory.short(source, tag::ORIENTATION)? {
                None => 1,
                Some(value @ 1..=8) => value,
                Some(_) => return Err(directory.invalid(tag::ORIENTATION, "not in 1 to 8")),
            },
            subfile_type: directory
                .number(source, tag::NEW_SUBFILE_TYPE)?
                .unwrap_or(0),
            x_resolution: rational(source, directory, tag::X_RESOLUTION)?,
            y_resolution: rational(source, directory, tag::Y_RESOLUTION)?,
            resolution_unit: match directory.number(source, tag::RESOLUTION_UNIT)? {
                None | Some(2) => ResolutionUnit::Inch,
                Some(1) => ResolutionUnit::None,
                Some(3) => ResolutionUnit::Centimetre,
                Some(_) => return Err(directory.invalid(tag::RESOLUTION_UNIT, "not in 1 to 3")),
            },
            page_number: page_number(source, directory)?,
            t4_options: directory.number(source, tag::T4_OPTIONS)?.unwrap_or(0),
            t6_options: directory.number(source, tag::T6_OPTIONS)?.unwrap_or(0),
            bad_rows: directory.number(source, tag::BAD_FAX_LINES)?,
            clean_fax_data: directory.short(source, tag::CLEAN_FAX_DATA)?,
            consecutive_bad_rows: directory.number(source, tag::CONSECUTIVE_BAD_FAX_LINES)?,
            rows_per_strip,
            strips,
        };
        if info.data_len() > limits.max_page_bytes {
            return Err(limit(
                "bytes of a page",
                info.data_len(),
                limits.max_page_bytes,
            ));
        }
        if let Some(strip) = overlap(&info.strips) {
            return Err(if strip.offset < 8 {
                TiffError::OutOfFile {
                    what: "a strip",
                    offset: strip.offset,
                }
            } else {
                TiffError::Overlap { page: index }
            });
        }
        Ok(info)
    }
}

/// The pages of a file in order; see [`TiffReader::pages`].
#[derive(Debug)]
pub struct Pages<'a, R> {
    reader: &'a mut TiffReader<R>,
    next: u32,
}

impl<R: Read + Seek> Iterator for Pages<'_, R> {
    type Item = Result<PageInfo, TiffError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        if index >= self.reader.page_count() {
            return None;
        }
        self.next += 1;
        Some(self.reader.page(index))
    }
}

fn limit(what: &'static str, value: u64, limit: u64) -> TiffError {
    TiffError::Limit { what, value, limit }
}

fn rational<R: Read + Seek>(
    source: &mut Source<R>,
    directory: &Directory,
    tag: u16,
) -> Result<Option<Rational>, TiffError> {
    let value = directory.rational(source, tag)?;
    Ok(value.map(|(numerator, denominator)| Rational {
        numerator,
        denominator,
    }))
}

fn page_number<R: Read + Seek>(
    source: &mut Source<R>,
    directory: &Directory,
) -> Result<Option<PageNumber>, TiffError> {
    if !directory.has(tag::PAGE_NUMBER) {
        return Ok(None);
    }
    let values = directory.numbers(source, tag::PAGE_NUMBER, 2)?;
    let values: Vec<u16> = values
        .into_iter()
        .filter_map(|value| u16::try_from(value).ok())
        .collect();
    let [number, total] = values.as_slice() else {
        return Err(directory.invalid(tag::PAGE_NUMBER, "not a page and a total"));
    };
    Ok(Some(PageNumber {
        number: *number,
        total: *total,
    }))
}

fn strips<R: Read + Seek>(
    source: &mut Source<R>,
    directory: &Directory,
    count: u32,
) -> Result<Vec<Strip>, TiffError> {
    let offsets = directory.numbers(source, tag::STRIP_OFFSETS, count)?;
    let lengths = directory.numbers(source, tag::STRIP_BYTE_COUNTS, count)?;
    for (tag, found) in [
        (tag::STRIP_OFFSETS, offsets.len()),
        (tag::STRIP_BYTE_COUNTS, lengths.len()),
    ] {
        if u32::try_from(found) != Ok(count) {
            return Err(directory.invalid(tag, "fewer values than the page has strips"));
        }
    }
    let mut strips = Vec::with_capacity(offsets.len());
    for (offset, len) in offsets.into_iter().zip(lengths) {
        let strip = Strip {
            offset: offset.into(),
            len: len.into(),
        };
        source.check("a strip", strip.offset, strip.len)?;
        strips.push(strip);
    }
    Ok(strips)
}

/// The first strip that overlaps the one before it in the file, or the header.
fn overlap(strips: &[Strip]) -> Option<Strip> {
    let mut sorted: Vec<Strip> = strips
        .iter()
        .copied()
        .filter(|strip| strip.len > 0)
        .collect();
    sorted.sort_unstable_by_key(|strip| strip.offset);
    let mut end = 8;
    sorted.into_iter().find(|strip| {
        let overlaps = strip.offset < end;
        end = strip.offset + strip.len;
        overlaps
    })
}
