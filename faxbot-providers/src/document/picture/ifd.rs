//! The few tags that pictures need, of TIFF files and of Exif blocks, which are the same.

/// Tags (TIFF 6.0 part 1; Exif 2.3 §4.6.4).
pub(super) const PHOTOMETRIC: u16 = 262;
pub(super) const ORIENTATION: u16 = 274;
pub(super) const X_RESOLUTION: u16 = 282;
pub(super) const Y_RESOLUTION: u16 = 283;
pub(super) const RESOLUTION_UNIT: u16 = 296;
pub(super) const COLOR_MAP: u16 = 320;

const BYTES_OF_ENTRY: usize = 12;

/// A directory of tags in bytes of which nothing is trusted.
pub(super) struct Ifd<'a> {
    block: Block<'a>,
    at: usize,
    entries: &'a [u8],
}

/// A TIFF file or an Exif block.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl<'a> Block<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        Some(Self { bytes, little })
    }

    /// Where the first directory is.
    pub(super) fn first(self) -> Option<usize> {
        self.long(4)
    }

    pub(super) fn directory(self, at: usize) -> Option<Ifd<'a>> {
        let count = usize::from(self.short(at)?);
        let start = at.checked_add(2)?;
        let end = start.checked_add(count * BYTES_OF_ENTRY)?;
        Some(Ifd {
            block: self,
            at,
            entries: self.bytes.get(start..end)?,
        })
    }

    fn short(self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn long(self, at: usize) -> Option<usize> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        let value = if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        };
        usize::try_from(value).ok()
    }
}

impl Ifd<'_> {
    /// Where the next directory is; `None` behind the last one.
    pub(super) fn next(&self) -> Option<usize> {
        let at = self.at + 2 + self.entries.len();
        self.block.long(at).filter(|next| *next != 0)
    }

    /// Where the value of a tag with one SHORT is.
    pub(super) fn place_of_short(&self, tag: u16) -> Option<usize> {
        let index = self
            .entries
            .chunks_exact(BYTES_OF_ENTRY)
            .position(|entry| self.tag(entry) == Some(tag))?;
        let at = self.at + 2 + index * BYTES_OF_ENTRY;
        (self.block.short(at + 2) == Some(3)).then_some(at + 8)
    }

    /// A tag with one SHORT.
    pub(super) fn short(&self, tag: u16) -> Option<u16> {
        self.block.short(self.place_of_short(tag)?)
    }

    /// A tag with many SHORTs; all of them lie in the file.
    pub(super) fn shorts(&self, tag: u16) -> Option<Vec<u16>> {
        let at = self.place_of_short(tag)? - 8;
        let count = self.block.long(at + 4)?;
        let from = if count <= 2 {
            at + 8
        } else {
            self.block.long(at + 8)?
        };
        let end = from.checked_add(count.checked_mul(2)?)?;
        self.block.bytes.get(from..end)?;
        (from..end)
            .step_by(2)
            .map(|at| self.block.short(at))
            .collect()
    }

    /// Pixels per inch in both directions, where the directory states them.
    pub(super) fn per_inch(&self) -> Option<(f64, f64)> {
        let unit = match self.short(RESOLUTION_UNIT) {
            None | Some(2) => 1.0,
            Some(3) => 2.54,
            _ => return None,
        };
        let x = self.rational(X_RESOLUTION)? * unit;
        let y = self.rational(Y_RESOLUTION).map_or(x, |y| y * unit);
        Some((x, y))
    }

    /// How many pixels along are as long as how many down, where that alone is stated (TIFF 6.0 §8:
    /// `ResolutionUnit` 1).
    pub(super) fn ratio(&self) -> Option<(f64, f64)> {
        let ratio = (self.rational(X_RESOLUTION)?, self.rational(Y_RESOLUTION)?);
        (self.short(RESOLUTION_UNIT) == Some(1)).then_some(ratio)
    }

    fn rational(&self, tag: u16) -> Option<f64> {
        let entry = self
            .entries
            .chunks_exact(BYTES_OF_ENTRY)
            .position(|entry| self.tag(entry) == Some(tag))?;
        let at = self.at + 2 + entry * BYTES_OF_ENTRY;
        if self.block.short(at + 2) != Some(5) {
            return None;
        }
        let value = self.block.long(at + 8)?;
        let number = |at| u32::try_from(self.block.long(at)?).ok().map(f64::from);
        let (above, below) = (number(value)?, number(value.checked_add(4)?)?);
        (below > 0.0).then(|| above / below)
    }

    fn tag(&self, entry: &[u8]) -> Option<u16> {
        let bytes = *entry.first_chunk()?;
        Some(if self.block.little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }
}
