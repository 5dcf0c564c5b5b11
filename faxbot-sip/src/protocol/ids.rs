//! Ids that answers are matched by, and that nobody can guess.

/// Makes ids of one session: 16 random bytes in hex, and a number that rises.
///
/// The random part is what keeps a forged answer out; see each session's `new`.
#[derive(Debug)]
pub(in crate::protocol) struct Ids {
    prefix: String,
    last: u64,
}

impl Ids {
    pub(in crate::protocol) fn new(random: [u8; 16]) -> Self {
        Self {
            prefix: format!("{:032x}-", u128::from_be_bytes(random)),
            last: 0,
        }
    }

    /// A new number, from 1.
    pub(in crate::protocol) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// What all ids start with.
    pub(in crate::protocol) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The id on the wire.
    pub(in crate::protocol) fn text(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    /// The number in an id of ours that was given out.
    pub(in crate::protocol) fn number(&self, id: &[u8]) -> Option<u64> {
        let digits = id.strip_prefix(self.prefix.as_bytes())?;
        let digits = std::str::from_utf8(digits).ok()?;
        let number = digits.parse().ok()?;
        // Only the form that we write: no sign, no leading zero.
        (self.last >= number && !digits.starts_with(['+', '0'])).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_that_were_given_out_are_known() {
        let mut ids = Ids::new([0xa5; 16]);
        for want in 1..=10 {
            assert_eq!(ids.next(), want);
            assert_eq!(ids.number(ids.text(want).as_bytes()), Some(want));
        }
        for tail in ["", "0", "11", "+1", "01", " 1", "1 ", "-1", "1x"] {
            let id = format!("{}{tail}", ids.prefix());
            assert_eq!(ids.number(id.as_bytes()), None, "{tail:?}");
        }
        assert_eq!(ids.number(b"1"), None);
    }
}
