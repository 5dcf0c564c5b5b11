//! Run lengths: the code tables of ITU-T T.4 both ways.

use super::bits::{BitReader, BitWriter};

/// The longest run of one make-up code word; longer runs repeat it (ITU-T T.4 table 3b, note).
const LONGEST: u32 = 2560;

/// White runs of 0 to 63 pixels, ITU-T T.4 table 2.
#[rustfmt::skip]
const WHITE_TERMINATING: [&str; 64] = [
    "00110101", "000111", "0111", "1000", "1011", "1100", "1110", "1111", "10011", "10100", "00111",
    "01000", "001000", "000011", "110100", "110101", "101010", "101011", "0100111", "0001100",
    "0001000", "0010111", "0000011", "0000100", "0101000", "0101011", "0010011", "0100100",
    "0011000", "00000010", "00000011", "00011010", "00011011", "00010010", "00010011", "00010100",
    "00010101", "00010110", "00010111", "00101000", "00101001", "00101010", "00101011", "00101100",
    "00101101", "00000100", "00000101", "00001010", "00001011", "01010010", "01010011", "01010100",
    "01010101", "00100100", "00100101", "01011000", "01011001", "01011010", "01011011", "01001010",
    "01001011", "00110010", "00110011", "00110100",
];

/// White runs of 64 to 1728 pixels in steps of 64, ITU-T T.4 table 3a.
#[rustfmt::skip]
const WHITE_MAKE_UP: [&str; 27] = [
    "11011", "10010", "010111", "0110111", "00110110", "00110111", "01100100", "01100101",
    "01101000", "01100111", "011001100", "011001101", "011010010", "011010011", "011010100",
    "011010101", "011010110", "011010111", "011011000", "011011001", "011011010", "011011011",
    "010011000", "010011001", "010011010", "011000", "010011011",
];

/// Black runs of 0 to 63 pixels, ITU-T T.4 table 2.
#[rustfmt::skip]
const BLACK_TERMINATING: [&str; 64] = [
    "0000110111", "010", "11", "10", "011", "0011", "0010", "00011", "000101", "000100", "0000100",
    "0000101", "0000111", "00000100", "00000111", "000011000", "0000010111", "0000011000",
    "0000001000", "00001100111", "00001101000", "00001101100", "00000110111", "00000101000",
    "00000010111", "00000011000", "000011001010", "000011001011", "000011001100", "000011001101",
    "000001101000", "000001101001", "000001101010", "000001101011", "000011010010", "000011010011",
    "000011010100", "000011010101", "000011010110", "000011010111", "000001101100", "000001101101",
    "000011011010", "000011011011", "000001010100", "000001010101", "000001010110", "000001010111",
    "000001100100", "000001100101", "000001010010", "000001010011", "000000100100", "000000110111",
    "000000111000", "000000100111", "000000101000", "000001011000", "000001011001", "000000101011",
    "000000101100", "000001011010", "000001100110", "000001100111",
];

/// Black runs of 64 to 1728 pixels in steps of 64, ITU-T T.4 table 3a.
#[rustfmt::skip]
const BLACK_MAKE_UP: [&str; 27] = [
    "0000001111", "000011001000", "000011001001", "000001011011", "000000110011", "000000110100",
    "000000110101", "0000001101100", "0000001101101", "0000001001010", "0000001001011",
    "0000001001100", "0000001001101", "0000001110010", "0000001110011", "0000001110100",
    "0000001110101", "0000001110110", "0000001110111", "0000001010010", "0000001010011",
    "0000001010100", "0000001010101", "0000001011010", "0000001011011", "0000001100100",
    "0000001100101",
];

/// Runs of 1792 to 2560 pixels in steps of 64 in either colour, ITU-T T.4 table 3b.
#[rustfmt::skip]
const EXTENDED_MAKE_UP: [&str; 13] = [
    "00000001000", "00000001100", "00000001101", "000000010010", "000000010011", "000000010100",
    "000000010101", "000000010110", "000000010111", "000000011100", "000000011101", "000000011110",
    "000000011111",
];

/// Visible bits that every code word of a run fits into.
const WHITE_BITS: u32 = 12;
const BLACK_BITS: u32 = 13;

static WHITE: Codes = Codes::of(&WHITE_TERMINATING, &WHITE_MAKE_UP);
static BLACK: Codes = Codes::of(&BLACK_TERMINATING, &BLACK_MAKE_UP);
static WHITE_RUNS: [Run; 1 << WHITE_BITS] = decoding_table(&WHITE, WHITE_BITS);
static BLACK_RUNS: [Run; 1 << BLACK_BITS] = decoding_table(&BLACK, BLACK_BITS);

#[derive(Debug, Clone, Copy)]
struct Code {
    bits: u16,
    len: u16,
}

impl Code {
    const NONE: Self = Self { bits: 0, len: 0 };

    const fn parse(text: &str) -> Self {
        let mut digits = text.as_bytes();
        let mut code = Self::NONE;
        while let [digit, rest @ ..] = digits {
            code.bits = code.bits << 1 | (*digit == b'1') as u16;
            code.len += 1;
            digits = rest;
        }
        code
    }
}

/// The code words of one colour: 64 terminating ones and 40 for multiples of 64 from 64 on.
#[derive(Debug)]
struct Codes {
    terminating: [Code; 64],
    make_up: [Code; 40],
}

impl Codes {
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler only")]
    const fn of(terminating: &[&str; 64], make_up: &[&str; 27]) -> Self {
        let mut codes = Self {
            terminating: [Code::NONE; 64],
            make_up: [Code::NONE; 40],
        };
        let mut i = 0;
        while i < 64 {
            codes.terminating[i] = Code::parse(terminating[i]);
            i += 1;
        }
        i = 0;
        while i < 40 {
            let text = if i < 27 {
                make_up[i]
            } else {
                EXTENDED_MAKE_UP[i - 27]
            };
            codes.make_up[i] = Code::parse(text);
            i += 1;
        }
        codes
    }
}

/// An entry of a decoding table: the run of the code word that the index starts with.
#[derive(Debug, Clone, Copy)]
struct Run {
    pixels: u16,
    /// Bits of the code word; 0 where no code word starts like this.
    len: u16,
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler only")]
const fn decoding_table<const SIZE: usize>(codes: &Codes, bits: u32) -> [Run; SIZE] {
    let mut table = [Run { pixels: 0, len: 0 }; SIZE];
    let mut i: u16 = 0;
    while i < 104 {
        let (code, pixels) = if i < 64 {
            (codes.terminating[i as usize], i)
        } else {
            (codes.make_up[i as usize - 64], (i - 63) * 64)
        };
        let spare = bits - code.len as u32;
        let first = (code.bits as usize) << spare;
        let mut offset = 0;
        while offset < 1 << spare {
            table[first + offset] = Run {
                pixels,
                len: code.len,
            };
            offset += 1;
        }
        i += 1;
    }
    table
}

/// Appends the code words of a run to `prefix`, which has `len` bits (at most 28).
///
/// The run's last code words, at most 25 bits, come back with the prefix so that the caller writes
/// them at once with what follows.
#[inline]
pub(super) fn append_run(
    out: &mut BitWriter,
    black: bool,
    mut pixels: u32,
    (mut prefix, mut len): (u64, u32),
) -> (u64, u32) {
    let codes = if black { &BLACK } else { &WHITE };
    if pixels >= 64 {
        while pixels >= LONGEST + 64 {
            if len > 0 {
                out.put(prefix, len);
            }
            let Some(code) = codes.make_up.last() else {
                break;
            };
            (prefix, len) = (u64::from(code.bits), u32::from(code.len));
            pixels -= LONGEST;
        }
        if len > 28 {
            out.put(prefix, len);
            (prefix, len) = (0, 0);
        }
        if let Some(code) = codes.make_up.get((pixels / 64 - 1) as usize) {
            (prefix, len) = join((prefix, len), *code);
        }
    }
    match codes.terminating.get((pixels % 64) as usize) {
        Some(code) => join((prefix, len), *code),
        None => (prefix, len),
    }
}

#[inline]
fn join((prefix, len): (u64, u32), code: Code) -> (u64, u32) {
    (
        prefix << code.len | u64::from(code.bits),
        len + u32::from(code.len),
    )
}

/// Why a run cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RunError {
    /// No code word starts like this, or the run is longer than `limit`.
    Invalid,
    /// The data ends in the code word.
    OutOfBits,
}

/// Reads make-up code words and the terminating one: the pixels of the run.
///
/// `limit` ends a run of endless make-up codes.
#[inline]
pub(super) fn read_run(bits: &mut BitReader<'_>, black: bool, limit: u32) -> Result<u32, RunError> {
    let mut total = 0;
    loop {
        let run = if black {
            lookup(&BLACK_RUNS, bits.peek(BLACK_BITS))
        } else {
            lookup(&WHITE_RUNS, bits.peek(WHITE_BITS))
        };
        if run.len == 0 {
            // Zero bits behind the end of the data look like an unknown code.
            return Err(if bits.visible() < BLACK_BITS {
                RunError::OutOfBits
            } else {
                RunError::Invalid
            });
        }
        bits.consume(u32::from(run.len))
            .map_err(|_| RunError::OutOfBits)?;
        total += u32::from(run.pixels);
        if run.pixels < 64 {
            return Ok(total);
        }
        if total > limit {
            return Err(RunError::Invalid);
        }
        bits.refill();
    }
}

#[inline]
fn lookup(table: &[Run], index: u64) -> Run {
    let entry = usize::try_from(index)
        .ok()
        .and_then(|index| table.get(index));
    entry.copied().unwrap_or(Run { pixels: 0, len: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_of_either_colour_is_read_back() {
        for black in [false, true] {
            for pixels in (0..2700).chain([5119, 5120, 5183, 5184, 7743, 7744, 65_535]) {
                let mut writer = BitWriter::default();
                let (code, len) = append_run(&mut writer, black, pixels, (0b001, 3));
                writer.put(code, len);
                writer.put(0b1, 1);
                let bytes = writer.finish();
                let mut reader = BitReader::new(&bytes);
                reader.refill();
                assert_eq!(reader.peek(3), 0b001);
                reader.consume(3).unwrap();
                assert_eq!(
                    read_run(&mut reader, black, 65_535),
                    Ok(pixels),
                    "{black} {pixels}"
                );
                assert_eq!(reader.peek(1), 1, "{black} {pixels}");
            }
        }
    }

    #[test]
    fn two_long_runs_fit_into_one_write() {
        for first in [63, 64, 2560, 2623, 2624, 5183, 5184] {
            for second in [63, 1791, 2559, 2560, 2623, 2624, 9000] {
                let mut writer = BitWriter::default();
                let joined = append_run(&mut writer, true, first, (0b001, 3));
                let (code, len) = append_run(&mut writer, false, second, joined);
                assert!(len < 64);
                writer.put(code, len);
                let bytes = writer.finish();
                let mut reader = BitReader::new(&bytes);
                reader.refill();
                reader.consume(3).unwrap();
                assert_eq!(read_run(&mut reader, true, 10_000), Ok(first));
                reader.refill();
                assert_eq!(read_run(&mut reader, false, 10_000), Ok(second));
            }
        }
    }

    #[test]
    fn only_the_prefix_of_the_end_of_line_code_starts_no_run() {
        for (table, bits) in [(&WHITE_RUNS[..], WHITE_BITS), (&BLACK_RUNS[..], BLACK_BITS)] {
            for (index, run) in table.iter().enumerate() {
                let zeros = u32::try_from(index).unwrap().leading_zeros() - (32 - bits);
                // Eight zeros or more start only end-of-line codes (ITU-T T.4).
                assert_eq!(
                    run.len == 0,
                    zeros >= 8,
                    "{index:0bits$b}",
                    bits = bits as usize
                );
            }
        }
    }

    #[test]
    fn endless_make_up_codes_end_at_the_limit() {
        let mut writer = BitWriter::default();
        for _ in 0..100 {
            writer.put(0b0000_0001_1111, 12);
        }
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        reader.refill();
        assert_eq!(read_run(&mut reader, false, 1728), Err(RunError::Invalid));
    }
}
