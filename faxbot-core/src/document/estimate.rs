//! How long pages take on the line.

use std::time::Duration;

/// What a page costs beside its data: the end-of-page message, its answer and the carriers between
/// them (ITU-T T.30 §5.3; about 7 s were measured with spandsp).
const PER_PAGE: Duration = Duration::from_secs(7);

/// The bit rate of an ordinary fax call in bit/s: V.17.
pub const USUAL_BIT_RATE: u32 = 14_400;

/// A page that takes longer than this is worth a warning: 2 minutes. Photos are the usual cause.
pub const SLOW_PAGE: Duration = Duration::from_secs(120);

/// An estimate of the time that pages take on the line, without dialling and negotiation (about
/// 15 s).
///
/// It is made from the bytes of the file. A far end that does not take T.6 gets MH or MR in their
/// place, which takes longer, and bad lines repeat blocks: read it as the least that it will take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransmissionTime {
    /// Each page, first page first.
    pub pages: Vec<Duration>,
    /// All pages.
    pub total: Duration,
}

impl TransmissionTime {
    /// An estimate for pages of these many bytes at `bit_rate` bit/s (0 counts as 1).
    pub fn of_pages(bytes: impl IntoIterator<Item = u64>, bit_rate: u32) -> Self {
        let rate = u64::from(bit_rate.max(1));
        let pages: Vec<Duration> = bytes
            .into_iter()
            .map(|bytes| {
                let milliseconds = bytes.saturating_mul(8_000) / rate;
                PER_PAGE.saturating_add(Duration::from_millis(milliseconds))
            })
            .collect();
        let total = pages
            .iter()
            .fold(Duration::ZERO, |sum, page| sum.saturating_add(*page));
        Self { pages, total }
    }

    /// The pages, from 1, that take longer than [`SLOW_PAGE`].
    pub fn slow_pages(&self) -> Vec<u32> {
        (1..)
            .zip(&self.pages)
            .filter(|(_, time)| **time > SLOW_PAGE)
            .map(|(number, _)| number)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_its_bits_and_its_messages() {
        let time = TransmissionTime::of_pages([18_000, 0, 747_000], 14_400);
        assert_eq!(
            time.pages,
            [
                Duration::from_secs(17),
                Duration::from_secs(7),
                Duration::from_secs(422)
            ]
        );
        assert_eq!(time.total, Duration::from_secs(446));
        assert_eq!(time.slow_pages(), [3]);
    }

    #[test]
    fn no_rate_and_no_size_overflows() {
        let time = TransmissionTime::of_pages([u64::MAX, u64::MAX], 0);
        assert_eq!(time.slow_pages(), [1, 2]);
        assert_eq!(TransmissionTime::of_pages([], 1).total, Duration::ZERO);
    }
}
