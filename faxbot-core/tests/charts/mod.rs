//! Drawn test charts: packed rows, most significant bit first, 1 is black, padding 0.

/// A bilevel image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chart {
    pub(crate) width: u32,
    pub(crate) rows: Vec<Vec<u8>>,
}

/// Linear congruential numbers (Knuth's MMIX constants): the same on every machine.
#[derive(Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(limit)) as u32
    }
}

impl Chart {
    pub(crate) fn white(width: u32, rows: u32) -> Self {
        Self {
            width,
            rows: vec![vec![0; width.div_ceil(8) as usize]; rows as usize],
        }
    }

    /// Draws by asking for each pixel.
    pub(crate) fn draw(width: u32, rows: u32, mut black: impl FnMut(u32, u32) -> bool) -> Self {
        let mut chart = Self::white(width, rows);
        for y in 0..rows {
            for x in 0..width {
                if black(x, y) {
                    chart.set(x, y);
                }
            }
        }
        chart
    }

    /// Wraps raw bytes, with the padding cleared.
    pub(crate) fn from_bytes(width: u32, bytes: &[u8]) -> Self {
        let mut rows: Vec<Vec<u8>> = bytes
            .chunks_exact(width.div_ceil(8) as usize)
            .map(<[u8]>::to_vec)
            .collect();
        for row in &mut rows {
            if !width.is_multiple_of(8) {
                *row.last_mut().unwrap() &= !(0xff >> (width % 8));
            }
        }
        Self { width, rows }
    }

    pub(crate) fn set(&mut self, x: u32, y: u32) {
        if x < self.width && (y as usize) < self.rows.len() {
            self.rows[y as usize][x as usize / 8] |= 0x80 >> (x % 8);
        }
    }

    pub(crate) fn fill(&mut self, x: u32, y: u32, width: u32, height: u32) {
        for y in y..y + height {
            for x in x..x + width {
                self.set(x, y);
            }
        }
    }

    pub(crate) fn black(&self, x: u32, y: u32) -> bool {
        self.rows[y as usize][x as usize / 8] & (0x80 >> (x % 8)) != 0
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.rows.concat()
    }
}

/// Lines of made-up letters: stems, bars, arcs of a few pixels, words and paragraphs.
pub(crate) fn text(width: u32, rows: u32, seed: u64) -> Chart {
    let mut chart = Chart::white(width, rows);
    let mut numbers = Numbers(seed);
    let (letter, line) = (22, 46);
    let mut y = line;
    while y + line < rows {
        let mut x = letter * 3;
        let end = if numbers.below(5) == 0 {
            width / 2
        } else {
            width.saturating_sub(letter * 4)
        };
        while x < end {
            for _ in 0..2 + numbers.below(8) {
                glyph(&mut chart, x, y, &mut numbers);
                x += letter - 4;
            }
            x += letter;
        }
        y += line + if numbers.below(6) == 0 { line } else { 0 };
    }
    chart
}

fn glyph(chart: &mut Chart, x: u32, y: u32, numbers: &mut Numbers) {
    let shape = numbers.below(64);
    if shape & 1 != 0 {
        chart.fill(x, y, 3, 28);
    }
    if shape & 2 != 0 {
        chart.fill(x + 10, y + 6, 3, 22);
    }
    if shape & 4 != 0 {
        chart.fill(x, y, 13, 3);
    }
    if shape & 8 != 0 {
        chart.fill(x, y + 25, 13, 3);
    }
    if shape & 16 != 0 {
        for step in 0..26 {
            chart.fill(x + step / 2, y + step, 3, 1);
        }
    }
    if shape & 32 != 0 || shape == 0 {
        for step in 0_u32..28 {
            let bow = (step.abs_diff(14) * step.abs_diff(14)) / 17;
            chart.fill(x + bow, y + step, 3, 1);
            chart.fill(x + 16 - bow, y + step, 2, 1);
        }
    }
}

/// A form: frames, a grid, slanted lines.
pub(crate) fn lines(width: u32, rows: u32) -> Chart {
    Chart::draw(width, rows, |x, y| {
        x % 173 < 2 || y % 97 < 3 || (x + y * 3) % 401 == 0 || (x * 2 + 4096 - (y % 4096)) % 509 < 3
    })
}

/// A table: text between thin rules, a heading in a thick frame.
pub(crate) fn table(width: u32, rows: u32) -> Chart {
    let mut chart = text(width, rows, 6);
    for y in (0..rows).step_by(46) {
        chart.fill(0, y, width, 1);
    }
    for x in (0..width).step_by(181) {
        chart.fill(x, 0, 2, rows);
    }
    for y in [0, 40] {
        chart.fill(0, y, width, 6.min(rows));
    }
    chart
}

/// A grey wedge as clustered dots of 8 by 8 pixels.
pub(crate) fn halftone(width: u32, rows: u32) -> Chart {
    const ORDER: [u32; 16] = [12, 5, 6, 13, 4, 0, 1, 7, 11, 3, 2, 8, 15, 10, 9, 14];
    Chart::draw(width, rows, |x, y| {
        let grey = x * 17 / width.max(1);
        ORDER[((y / 2 % 4) * 4 + x / 2 % 4) as usize] < grey
    })
}

/// Each second pixel, changing from row to row: the worst case of the code.
pub(crate) fn checkers(width: u32, rows: u32) -> Chart {
    Chart::draw(width, rows, |x, y| (x + y) % 2 == 0)
}

/// Every pixel by chance, one of `of` black.
pub(crate) fn noise(width: u32, rows: u32, of: u32, seed: u64) -> Chart {
    let mut numbers = Numbers(seed);
    Chart::draw(width, rows, |_, _| numbers.below(of) == 0)
}

/// Every chart at one size, with its name.
pub(crate) fn all(width: u32, rows: u32) -> Vec<(&'static str, Chart)> {
    vec![
        ("white", Chart::white(width, rows)),
        ("black", Chart::draw(width, rows, |_, _| true)),
        ("text", text(width, rows, 1)),
        ("lines", lines(width, rows)),
        ("table", table(width, rows)),
        ("halftone", halftone(width, rows)),
        ("checkers", checkers(width, rows)),
        ("columns", Chart::draw(width, rows, |x, _| x % 2 == 0)),
        ("odd columns", Chart::draw(width, rows, |x, _| x % 2 == 1)),
        ("stripes", Chart::draw(width, rows, |_, y| y % 2 == 0)),
        (
            "dots",
            Chart::draw(width, rows, |x, y| x % 64 == 63 && y % 3 == 0),
        ),
        ("noise", noise(width, rows, 2, 3)),
        ("sparse noise", noise(width, rows, 200, 4)),
        (
            "dense noise",
            Chart::draw(width, rows, {
                let mut numbers = Numbers(5);
                move |_, _| numbers.below(100) != 0
            }),
        ),
    ]
}
