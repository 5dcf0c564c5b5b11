//! Which blocks get dots; the rule is in the documentation of [`super`].

use super::dots;

/// Real mid-grey, which the threshold would turn into a black or white area.
const MID: std::ops::RangeInclusive<u8> = 64..=211;
/// Neither ink nor paper.
const TONE: std::ops::RangeInclusive<u8> = 16..=243;
/// Pixels beside or above each other in a smooth area differ by less.
const SMOOTH: u8 = 33;

/// Smooth pixels with which a block begins dots. A block has 7 by 7 pixels with a neighbour above
/// and beside, so it is enough when the area covers six rows or columns of eight.
const BEGINS_WITH_SMOOTH: u32 = 32;
/// Mid-grey pixels with which a block joins dots.
const JOINS_WITH_MID: u32 = 12;
/// Pixels of any tone with which a block joins dots.
const JOINS_WITH_TONE: u32 = 32;
/// Pixels of paper above which nothing joins a block.
const MUCH_PAPER: u32 = 16;

/// The state of a band and of what is above it, a value for each block.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Not 0 where a block has grey in it.
    grey: Vec<u64>,
    kinds: Vec<Kind>,
    dotted: Vec<bool>,
    /// Whether the band above has dots there that can be joined.
    above: Vec<bool>,
    any_above: bool,
}

/// What a block is by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Text, lines, paper.
    Plain,
    /// Some grey among paper: joins dots, but nothing joins it.
    Edge,
    /// Joins dots and passes them on.
    Tone,
    /// Begins dots.
    Grey,
}

impl Blocks {
    pub(super) fn new(count: usize) -> Self {
        Self {
            grey: vec![0; count],
            kinds: vec![Kind::Plain; count],
            dotted: vec![false; count],
            above: vec![false; count],
            any_above: false,
        }
    }

    pub(super) fn begin_page(&mut self) {
        self.above.fill(false);
        self.any_above = false;
    }

    pub(super) fn begin_band(&mut self) {
        self.grey.fill(0);
    }

    /// Where the grey pixels of a band are marked.
    pub(super) fn grey(&mut self) -> &mut [u64] {
        &mut self.grey
    }

    /// Chooses the blocks with dots in a band; whether there are any.
    pub(super) fn choose(&mut self, band: &[u8], width: usize) -> bool {
        if self.grey.iter().all(|grey| *grey == 0) {
            self.begin_page();
            return false;
        }
        for (block, (grey, kind)) in self.grey.iter().zip(&mut self.kinds).enumerate() {
            *kind = if *grey == 0 {
                Kind::Plain
            } else {
                kind_of(band, width, block)
            };
        }
        let beside = |at: usize, test: &dyn Fn(usize) -> bool| {
            at.checked_sub(1).is_some_and(test) || test(at + 1)
        };
        for at in 0..self.kinds.len() {
            let kind = self.kind(at);
            let begins = kind == Kind::Grey && beside(at, &|at: usize| self.kind(at) == Kind::Grey);
            let joins = kind != Kind::Plain
                && self.any_above
                && (self.is_above(at) || beside(at, &|at: usize| self.is_above(at)));
            if let Some(dotted) = self.dotted.get_mut(at) {
                *dotted = begins || joins;
            }
        }
        self.spread();
        self.remember()
    }

    /// Blocks join those at their left, then those at their right.
    fn spread(&mut self) {
        let mut passes = false;
        let mut join = |(kind, dotted): (&Kind, &mut bool)| {
            *dotted |= passes && *kind != Kind::Plain;
            passes = *dotted && *kind != Kind::Edge;
        };
        self.kinds.iter().zip(&mut self.dotted).for_each(&mut join);
        join((&Kind::Plain, &mut false));
        self.kinds
            .iter()
            .zip(&mut self.dotted)
            .rev()
            .for_each(&mut join);
    }

    /// Keeps for the next band what it can join; whether this one has any dots.
    fn remember(&mut self) -> bool {
        let mut any = false;
        self.any_above = false;
        for ((kind, dotted), above) in self.kinds.iter().zip(&self.dotted).zip(&mut self.above) {
            *above = *dotted && *kind != Kind::Edge;
            any |= *dotted;
            self.any_above |= *above;
        }
        any
    }

    /// Puts dots into the chosen blocks of a packed row.
    pub(super) fn screen(&self, pixels: &[u8], cell: &[u8; 8], row: &mut [u8]) {
        for ((pixels, byte), dotted) in pixels.chunks(8).zip(row).zip(&self.dotted) {
            if *dotted {
                *byte = dots::black(&super::pack::padded(pixels), cell);
            }
        }
    }

    fn kind(&self, at: usize) -> Kind {
        self.kinds.get(at).copied().unwrap_or(Kind::Plain)
    }

    fn is_above(&self, at: usize) -> bool {
        self.above.get(at).copied().unwrap_or(false)
    }
}

/// Counts of a block's pixels.
#[derive(Default)]
struct Counts {
    pixels: u32,
    mid: u32,
    tone: u32,
    paper: u32,
    smooth: u32,
}

fn kind_of(band: &[u8], width: usize, block: usize) -> Kind {
    let mut counts = Counts::default();
    let (mut least, mut most) = (255, 0);
    let mut above: Option<[u8; 8]> = None;
    for row in band.chunks_exact(width) {
        let Some(pixels) = row.chunks(8).nth(block) else {
            return Kind::Plain;
        };
        let eight = super::pack::padded(pixels);
        for pixel in eight {
            least = least.min(pixel);
            most = most.max(pixel);
            counts.pixels += 1;
            counts.mid += u32::from(MID.contains(&pixel));
            counts.tone += u32::from(TONE.contains(&pixel));
            counts.paper += u32::from(pixel > *TONE.end());
        }
        if let Some(above) = above {
            counts.smooth += smooth(&above, &eight);
        }
        above = Some(eight);
    }
    // A page's last band may have fewer rows.
    let enough = |count: u32, of_64: u32| count > 0 && count * 64 >= of_64 * counts.pixels;
    if enough(counts.smooth, BEGINS_WITH_SMOOTH) {
        Kind::Grey
    } else if enough(counts.mid, JOINS_WITH_MID)
        || (enough(counts.tone, JOINS_WITH_TONE) && least != most)
    {
        if enough(counts.paper, MUCH_PAPER + 1) {
            Kind::Edge
        } else {
            Kind::Tone
        }
    } else {
        Kind::Plain
    }
}

/// Mid-grey pixels that differ little from the one at their left and the one above.
fn smooth(above: &[u8; 8], row: &[u8; 8]) -> u32 {
    let mut left = None;
    let mut count = 0;
    for (above, pixel) in above.iter().zip(row) {
        let near = left.is_some_and(|left| pixel.abs_diff(left) < SMOOTH);
        count += u32::from(near && MID.contains(pixel) && pixel.abs_diff(*above) < SMOOTH);
        left = Some(*pixel);
    }
    count
}
