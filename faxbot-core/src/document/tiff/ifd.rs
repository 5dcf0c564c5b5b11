//! Image file directories: the raw entries of a page.

use std::io::{Read, Seek, SeekFrom};

use super::{TiffError, tag};

/// Bytes of a directory entry (TIFF 6.0 §2).
const ENTRY_BYTES: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// A file whose length is known, read by checked ranges only.
#[derive(Debug)]
pub(super) struct Source<R> {
    input: R,
    len: u64,
}

impl<R: Read + Seek> Source<R> {
    pub(super) fn new(mut input: R) -> Result<Self, TiffError> {
        let len = input.seek(SeekFrom::End(0))?;
        Ok(Self { input, len })
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn check(&self, what: &'static str, offset: u64, len: u64) -> Result<(), TiffError> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(TiffError::OutOfFile { what, offset }),
        }
    }

    /// Reads `len` bytes at `offset`; memory is taken only once the range is known to be there.
    pub(super) fn read(
        &mut self,
        what: &'static str,
        offset: u64,
        len: u64,
    ) -> Result<Vec<u8>, TiffError> {
        self.check(what, offset, len)?;
        let count = usize::try_from(len).map_err(|_| TiffError::OutOfFile { what, offset })?;
        let mut bytes = vec![0; count];
        self.input.seek(SeekFrom::Start(offset))?;
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn into_inner(self) -> R {
        self.input
    }
}

/// The entries of one directory and the offset of the next one (0: none).
#[derive(Debug)]
pub(super) struct Directory {
    page: u32,
    order: ByteOrder,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u32,
    value: [u8; 4],
}

/// The offset of the next directory; reads nothing else of this one.
pub(super) fn next_directory<R: Read + Seek>(
    source: &mut Source<R>,
    order: ByteOrder,
    offset: u32,
) -> Result<u32, TiffError> {
    let count = entry_count(source, order, offset)?;
    let at = u64::from(offset) + 2 + u64::from(count) * ENTRY_BYTES as u64;
    let bytes = source.read("a page's directory", at, 4)?;
    Ok(long(order, &bytes).unwrap_or(0))
}

fn entry_count<R: Read + Seek>(
    source: &mut Source<R>,
    order: ByteOrder,
    offset: u32,
) -> Result<u16, TiffError> {
    let bytes = source.read("a page's directory", u64::from(offset), 2)?;
    Ok(bytes.first_chunk().map_or(0, |bytes| order.u16(*bytes)))
}

fn long(order: ByteOrder, bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| order.u32(*bytes))
}

impl Directory {
    pub(super) fn read<R: Read + Seek>(
        source: &mut Source<R>,
        order: ByteOrder,
        offset: u32,
        page: u32,
    ) -> Result<Self, TiffError> {
        let count = entry_count(source, order, offset)?;
        let bytes = source.read(
            "a page's directory",
            u64::from(offset) + 2,
            u64::from(count) * ENTRY_BYTES as u64,
        )?;
        let entries = bytes
            .chunks_exact(ENTRY_BYTES)
            .filter_map(|bytes| Entry::parse(order, bytes))
            .collect();
        Ok(Self {
            page,
            order,
            entries,
        })
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// The first value of a BYTE, SHORT or LONG tag.
    pub(super) fn number<R: Read + Seek>(
        &self,
        source: &mut Source<R>,
        tag: u16,
    ) -> Result<Option<u32>, TiffError> {
        let Some(entry) = self.entry(tag) else {
            return Ok(None);
        };
        if entry.count == 0 {
            return Err(self.invalid(tag, "no value"));
        }
        // A bad count must not lead to a bigger read: only the first value is looked at.
        let inline = entry
            .size()
            .is_some_and(|size| u64::from(size) * u64::from(entry.count) <= 4);
        let numbers = if inline {
            self.decode(*entry, &entry.value)?
        } else {
            let len = entry.size().map_or(0, u64::from);
            let bytes = source.read("a tag's value", self.offset(entry), len)?;
            self.decode(*entry, &bytes)?
        };
        Ok(numbers.first().copied())
    }

    /// Like [`number`](Self::number), for values that fit into 16 bits.
    pub(super) fn short<R: Read + Seek>(
        &self,
        source: &mut Source<R>,
        tag: u16,
    ) -> Result<Option<u16>, TiffError> {
        let Some(value) = self.number(source, tag)? else {
            return Ok(None);
        };
        u16::try_from(value)
            .map(Some)
            .map_err(|_| self.invalid(tag, "value above 65535"))
    }

    /// All values of a BYTE, SHORT or LONG tag; more than `limit` of them are refused.
    pub(super) fn numbers<R: Read + Seek>(
        &self,
        source: &mut Source<R>,
        tag: u16,
        limit: u32,
    ) -> Result<Vec<u32>, TiffError> {
        let entry = self.entry(tag).ok_or(TiffError::MissingTag {
            page: self.page,
            tag,
        })?;
        if entry.count == 0 {
            return Err(self.invalid(tag, "no value"));
        }
        if entry.count > limit {
            return Err(self.invalid(tag, "more values than the page can have"));
        }
        let len = entry.size().map_or(0, u64::from) * u64::from(entry.count);
        if len <= 4 {
            let inline = entry
                .value
                .get(..usize::try_from(len).unwrap_or(4))
                .unwrap_or_default();
            return self.decode(*entry, inline);
        }
        let bytes = source.read("a tag's value", self.offset(entry), len)?;
        self.decode(*entry, &bytes)
    }

    /// The first value of a RATIONAL tag as numerator and denominator.
    pub(super) fn rational<R: Read + Seek>(
        &self,
        source: &mut Source<R>,
        tag: u16,
    ) -> Result<Option<(u32, u32)>, TiffError> {
        let Some(entry) = self.entry(tag) else {
            return Ok(None);
        };
        if entry.kind != tag::RATIONAL || entry.count == 0 {
            return Err(self.invalid(tag, "not a fraction"));
        }
        let bytes = source.read("a tag's value", self.offset(entry), 8)?;
        let denominator = bytes.get(4..).and_then(|bytes| long(self.order, bytes));
        Ok(long(self.order, &bytes).zip(denominator))
    }

    pub(super) fn invalid(&self, tag: u16, reason: &'static str) -> TiffError {
        TiffError::InvalidTag {
            page: self.page,
            tag,
            reason,
        }
    }

    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    fn offset(&self, entry: &Entry) -> u64 {
        u64::from(self.order.u32(entry.value))
    }

    fn decode(&self, entry: Entry, bytes: &[u8]) -> Result<Vec<u32>, TiffError> {
        match entry.kind {
            tag::BYTE => Ok(bytes.iter().copied().map(u32::from).collect()),
            tag::SHORT => {
                let (chunks, _) = bytes.as_chunks();
                Ok(chunks
                    .iter()
                    .map(|chunk| u32::from(self.order.u16(*chunk)))
                    .collect())
            }
            tag::LONG => {
                let (chunks, _) = bytes.as_chunks();
                Ok(chunks.iter().map(|chunk| self.order.u32(*chunk)).collect())
            }
            _ => Err(self.invalid(entry.tag, "not a whole number")),
        }
    }
}

impl Entry {
    fn parse(order: ByteOrder, bytes: &[u8]) -> Option<Self> {
        let [a, b, c, d, counts @ .., e, f, g, h] = bytes else {
            return None;
        };
        Some(Self {
            tag: order.u16([*a, *b]),
            kind: order.u16([*c, *d]),
            count: long(order, counts)?,
            value: [*e, *f, *g, *h],
        })
    }

    /// Bytes of one whole number of this type.
    fn size(&self) -> Option<u32> {
        match self.kind {
            tag::BYTE => Some(1),
            tag::SHORT => Some(2),
            tag::LONG => Some(4),
            _ => None,
        }
    }
}
