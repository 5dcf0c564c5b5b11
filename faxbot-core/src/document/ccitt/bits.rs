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

    /// Appends the zeros after which `ahead` bits more end at a byte border.
    #[inline]
    pub(super) fn fill(&mut self, ahead: u32) {
        let zeros = (self.used + ahead).wrapping_neg() % 8;
        if zeros > 0 {
            self.put(0, zeros);
        }
    }

    /// Bits written so far.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.bytes.len() * 8 + self.used as usize
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

/// What [`BitReader::take_end_of_line`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EndOfLine {
    Found,
    /// Something else comes next.
    Missing,
    /// Nothing but zeros up to the end of the data.
    OutOfBits,
}

impl EndOfLine {
    /// The least zeros of an end-of-line code.
    pub(super) const ZEROS: u32 = 11;
    /// Bits of the code without fill.
    pub(super) const BITS: u32 = Self::ZEROS + 1;
}

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

    /// How many 0 bits come next, as far as they are visible.
    #[inline]
    pub(super) fn leading_zeros(&self) -> u32 {
        self.held.leading_zeros().min(self.count)
    }

    /// Consumes an end-of-line code with the fill before it (ITU-T T.4 §4.1.2 and §4.1.3: any
    /// number of zeros, at least eleven, then a 1). Nothing is consumed where there is none.
    #[inline]
    pub(super) fn take_end_of_line(&mut self) -> EndOfLine {
        self.refill();
        let mut zeros = self.leading_zeros();
        if zeros < EndOfLine::ZEROS && zeros < self.count {
            return EndOfLine::Missing;
        }
        while zeros == self.count {
            (self.held, self.count) = (0, 0);
            self.refill();
            if self.count == 0 {
                return EndOfLine::OutOfBits;
            }
            zeros = self.leading_zeros();
        }
        match self.consume(zeros + 1) {
            Ok(()) => EndOfLine::Found,
            Err(OutOfBits) => EndOfLine::OutOfBits,
        }
    }

    /// Consumes what stands before the next end-of-line code and its fill, or all that is left.
    pub(super) fn seek_end_of_line(&mut self) {
        loop {
            self.refill();
            let zeros = self.leading_zeros();
            if zeros >= EndOfLine::ZEROS || self.count == 0 {
                return;
            }
            // A 1 follows unless these zeros are the end of the data, which is no code then.
            if self.consume(zeros + 1).is_err() {
                (self.held, self.count) = (0, 0);
            }
        }
    }

    /// Consumes the bits up to the next byte border.
    #[inline]
    pub(super) fn align(&mut self) {
        let spare = self.count % 8;
        self.held <<= spare;
        self.count -= spare;
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

    #[test]
    fn an_end_of_line_is_found_behind_any_fill() {
        for zeros in 0..200 {
            let mut writer = BitWriter::default();
            writer.put(0b101, 3);
            (0..zeros).for_each(|_| writer.put(0, 1));
            writer.put(0b11, 2);
            writer.put(0b1, 14);
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            reader.refill();
            reader.consume(3).unwrap();
            let expected = if zeros < 11 {
                EndOfLine::Missing
            } else {
                EndOfLine::Found
            };
            assert_eq!(reader.take_end_of_line(), expected, "{zeros}");
            if zeros >= 11 {
                reader.refill();
                assert_eq!(reader.peek(15), 0b100_0000_0000_0001, "{zeros}");
                reader.consume(1).unwrap();
                assert_eq!(reader.take_end_of_line(), EndOfLine::Found);
                assert_eq!(reader.take_end_of_line(), EndOfLine::OutOfBits);
            }
        }
    }

    #[test]
    fn the_next_end_of_line_is_found_behind_any_bits() {
        for bits in 0..150_usize {
            let mut writer = BitWriter::default();
            writer.put_ones(bits % 70);
            (0..bits).for_each(|bit| writer.put(u64::from(bit % 9 == 0), 1));
            writer.put(0b1, 1);
            let before = writer.len();
            writer.put(0b1, 40);
            writer.put(0b101, 3);
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            reader.seek_end_of_line();
            assert_eq!(reader.leading_zeros(), 39, "{bits} {before}");
            assert_eq!(reader.take_end_of_line(), EndOfLine::Found);
            reader.seek_end_of_line();
            assert_eq!(reader.take_end_of_line(), EndOfLine::OutOfBits);
        }
    }

    #[test]
    fn aligning_goes_to_the_next_byte_and_no_further() {
        for bits in 1..=32 {
            let data: Vec<u8> = (1..20).collect();
            let mut reader = BitReader::new(&data);
            reader.refill();
            reader.consume(bits).unwrap();
            reader.align();
            reader.refill();
            assert_eq!(reader.peek(8), u64::from(bits.div_ceil(8)) + 1, "{bits}");
            reader.align();
            assert_eq!(reader.peek(8), u64::from(bits.div_ceil(8)) + 1, "{bits}");
        }
    }
}
