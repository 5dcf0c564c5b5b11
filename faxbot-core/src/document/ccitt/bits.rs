//! Bit buffers of 64 bits, most significant bit first.

/// Collects code words into bytes.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// The bits that are not in `bytes` yet, from the most significant one down.
    held: u64,
    /// How many bits of `held` are used, 0 to 63.
    used: u32,
}

impl BitWriter {
    /// Appends the lowest `len` bits of `code`. `len` is 1 to 63, the bits above it are 0.
    #[inline]
    pub(super) fn put(&mut self, code: u64, len: u32) {
        let free = 64 - self.used;
        if len < free {
            self.held |= code << (free - len);
            self.used += len;
        } else {
            let rest = len - free;
            self.bytes
                .extend_from_slice(&(self.held | code >> rest).to_be_bytes());
            self.held = code.checked_shl(64 - rest).unwrap_or(0);
            self.used = rest;
        }
    }

    /// Appends `count` bits that are 1.
    pub(super) fn put_ones(&mut self, mut count: usize) {
        while count > 32 {
            self.put(0xffff_ffff, 32);
            count -= 32;
        }
        if let Ok(len @ 1..) = u32::try_from(count) {
            self.put((1 << len) - 1, len);
        }
    }

    /// The bytes, the last one filled up with zero bits.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let count = self.used.div_ceil(8) as usize;
        self.bytes
            .extend(self.held.to_be_bytes().into_iter().take(count));
        self.bytes
    }
}

/// The data ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfBits;

/// Reads code words from bytes; behind the end it shows zero bits that cannot be consumed.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    rest: &'a [u8],
    /// The next bits, from the most significant one down.
    held: u64,
    /// How many bits of `held` are counted. Bits below them are either 0 or a copy of what comes
    /// next in `rest`, which the next refill writes again.
    count: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self {
            rest: data,
            held: 0,
            count: 0,
        }
    }

    /// Makes at least 56 bits visible, or all that are left.
    #[inline]
    pub(super) fn refill(&mut self) {
        if self.count >= 56 {
            return;
        }
        if let Some(chunk) = self.rest.first_chunk::<8>() {
            self.held |= u64::from_be_bytes(*chunk) >> self.count;
            let taken = (63 - self.count) >> 3;
            self.rest = self.rest.get(taken as usize..).unwrap_or_default();
            self.count |= 56;
        } else {
            self.refill_from_the_end();
        }
    }

    #[cold]
    fn refill_from_the_end(&mut self) {
        while self.count < 56 {
            let Some((&byte, rest)) = self.rest.split_first() else {
                return;
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.rest = rest;
        }
    }

    /// The next `len` bits, 1 to 32, without consuming them.
    #[inline]
    pub(super) fn peek(&self, len: u32) -> u64 {
        self.held >> (64 - len)
    }

    /// How many 1 bits come next, as far as they are visible.
    #[inline]
    pub(super) fn leading_ones(&self) -> u32 {
        self.held.leading_ones().min(self.count)
    }

    /// How many bits are visible.
    #[inline]
    pub(super) fn visible(&self) -> u32 {
        self.count
    }

    /// Consumes `len` visible bits, at most 63.
    #[inline]
    pub(super) fn consume(&mut self, len: u32) -> Result<(), OutOfBits> {
        let Some(count) = self.count.checked_sub(len) else {
            return Err(OutOfBits);
        };
        self.count = count;
        self.held <<= len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_at_every_length() {
        let mut writer = BitWriter::default();
        for len in 1..=32 {
            writer.put(1, len);
            writer.put((1 << len) - 1, len);
        }
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        for len in 1..=32 {
            reader.refill();
            assert_eq!(reader.peek(len), 1, "{len}");
            reader.consume(len).unwrap();
            reader.refill();
            assert_eq!(reader.peek(len), (1 << len) - 1, "{len}");
            reader.consume(len).unwrap();
        }
    }

    #[test]
    fn ones_of_any_count_are_written() {
        for count in [0, 1, 31, 32, 33, 63, 64, 65, 200] {
            let mut writer = BitWriter::default();
            writer.put_ones(count);
            let bytes = writer.finish();
            assert_eq!(bytes.len(), count.div_ceil(8));
            assert_eq!(
                bytes
                    .iter()
                    .map(|byte| byte.count_ones() as usize)
                    .sum::<usize>(),
                count
            );
        }
    }

    #[test]
    fn bits_behind_the_end_are_seen_as_zero_but_not_consumed() {
        let mut reader = BitReader::new(&[0xff, 0xff]);
        reader.refill();
        assert_eq!(reader.peek(20), 0xffff0);
        assert_eq!(reader.leading_ones(), 16);
        assert_eq!(reader.consume(17), Err(OutOfBits));
        assert_eq!(reader.consume(16), Ok(()));
        reader.refill();
        assert_eq!(reader.visible(), 0);
        assert_eq!(reader.consume(1), Err(OutOfBits));
    }
}
