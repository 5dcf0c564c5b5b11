//! Where a message has its separators.

/// The colons, equals signs and percent signs of a text, in their order.
///
/// The fields of a message have 15 bytes on average (the recorded bursts): a call of `memchr` for each
/// separator costs more than to look at eight bytes at a time.
#[derive(Clone, Debug)]
pub(super) struct Marks<'a> {
    text: &'a [u8],
    /// Where the eight bytes behind the current ones start.
    next: usize,
    /// The top bit of each byte that is one, of the current eight bytes.
    found: u64,
}

impl<'a> Marks<'a> {
    #[inline]
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            next: 0,
            found: 0,
        }
    }
}

impl Iterator for Marks<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            let rest = self.text.get(self.next..).filter(|it| !it.is_empty())?;
            let eight = match rest.first_chunk::<8>() {
                Some(eight) => *eight,
                None => {
                    let mut eight = [0; 8];
                    for (to, from) in eight.iter_mut().zip(rest) {
                        *to = *from;
                    }
                    eight
                }
            };
            self.next += 8;
            let eight = u64::from_le_bytes(eight);
            self.found = same(eight, b':') | same(eight, b'=') | same(eight, b'%');
        }
        // Bits 7, 15 .. 63: the byte is at an eighth of it.
        let at = (self.found.trailing_zeros() / 8) as usize;
        self.found &= self.found - 1;
        Some(self.next - 8 + at)
    }
}

/// The top bit of each byte that is `byte`.
#[inline]
fn same(eight: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let zero = eight ^ u64::from_le_bytes([byte; 8]);
    // Without carries from byte to byte, so that none is found that is not there.
    !(((zero & LOW) + LOW) | zero | LOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_found_at_every_place_and_nothing_else() {
        for mark in *b":=%" {
            for other in 0..=u8::MAX {
                for at in 0..20 {
                    let mut text = [other; 20];
                    text[at] = mark;
                    let want: Vec<_> = (0..20).filter(|at| b":=%".contains(&text[*at])).collect();
                    assert_eq!(Marks::new(&text).collect::<Vec<_>>(), want);
                }
            }
        }
        assert_eq!(Marks::new(b"").next(), None);
        assert_eq!(Marks::new(b"=").collect::<Vec<_>>(), [0]);
    }
}
