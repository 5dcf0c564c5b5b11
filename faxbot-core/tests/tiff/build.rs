//! Files as other programs write them, and as none does.

use faxbot_core::document::ccitt::{T4Coding, T4Encoder, T6Encoder};

use crate::charts::Chart;

pub(crate) fn encode(chart: &Chart) -> Vec<u8> {
    let mut encoder = T6Encoder::new(chart.width).unwrap();
    for row in &chart.rows {
        encoder.encode_row(row).unwrap();
    }
    encoder.finish()
}

/// A hand-made file: its entries as (tag, type, count, value), each page linked to the next.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) big: bool,
    pub(crate) data: Vec<u8>,
    pub(crate) pages: Vec<Vec<(u16, u16, u32, u32)>>,
    /// Where the last page's link leads.
    pub(crate) last_link: u32,
}

impl Raw {
    /// One page of 16 by 4 pixels, `data` as its strip at offset 8.
    pub(crate) fn new(data: &[u8]) -> Self {
        let page = vec![
            (256, 4, 1, 16),
            (257, 4, 1, 4),
            (259, 3, 1, 4),
            (262, 3, 1, 0),
            (273, 4, 1, 8),
            (278, 4, 1, 4),
            (279, 4, 1, data.len() as u32),
        ];
        Self {
            big: false,
            data: data.to_vec(),
            pages: vec![page],
            last_link: 0,
        }
    }

    pub(crate) fn with(mut self, tag: u16, kind: u16, count: u32, value: u32) -> Self {
        self.pages[0].retain(|entry| entry.0 != tag);
        self.pages[0].push((tag, kind, count, value));
        self.pages[0].sort_unstable();
        self
    }

    pub(crate) fn without(mut self, tag: u16) -> Self {
        self.pages[0].retain(|entry| entry.0 != tag);
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let short = |value: u16| {
            if self.big {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        let long = |value: u32| {
            if self.big {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        let mut out = if self.big {
            b"MM".to_vec()
        } else {
            b"II".to_vec()
        };
        out.extend(short(42));
        out.extend(long(8 + self.data.len() as u32));
        out.extend(&self.data);
        for (index, page) in self.pages.iter().enumerate() {
            out.extend(short(page.len() as u16));
            for &(tag, kind, count, value) in page {
                out.extend(short(tag));
                out.extend(short(kind));
                out.extend(long(count));
                if kind == 3 && count == 1 {
                    out.extend(short(value as u16));
                    out.extend([0; 2]);
                } else {
                    out.extend(long(value));
                }
            }
            let next = out.len() as u32 + 4;
            out.extend(long(if index + 1 < self.pages.len() {
                next
            } else {
                self.last_link
            }));
        }
        out
    }
}

/// One page as other programs write it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) big: bool,
    pub(crate) lsb_first: bool,
    pub(crate) min_is_black: bool,
    /// `None` is T.6.
    pub(crate) coding: Option<T4Coding>,
    pub(crate) aligned: bool,
    pub(crate) return_to_control: bool,
    pub(crate) rows_per_strip: usize,
}

impl Form {
    pub(crate) fn new(coding: Option<T4Coding>) -> Self {
        Self {
            big: false,
            lsb_first: false,
            min_is_black: false,
            coding,
            aligned: false,
            return_to_control: false,
            rows_per_strip: usize::MAX,
        }
    }

    /// The strips of a chart, most significant bit first.
    pub(crate) fn strips(&self, chart: &Chart) -> Vec<Vec<u8>> {
        chart
            .rows
            .chunks(self.rows_per_strip.min(chart.rows.len()))
            .map(|rows| {
                let rows = rows.iter().map(|row| {
                    row.iter()
                        .map(|byte| if self.min_is_black { !byte } else { *byte })
                        .collect::<Vec<u8>>()
                });
                let chart = Chart {
                    width: chart.width,
                    rows: rows.collect(),
                };
                let Some(coding) = self.coding else {
                    return encode(&chart);
                };
                let mut encoder = T4Encoder::new(chart.width, coding)
                    .unwrap()
                    .with_aligned_end_of_lines(self.aligned)
                    .with_return_to_control(self.return_to_control);
                for row in &chart.rows {
                    encoder.encode_row(row).unwrap();
                }
                encoder.finish()
            })
            .collect()
    }

    /// A file of these strips.
    pub(crate) fn build(&self, width: u32, rows: u32, strips: &[Vec<u8>]) -> Vec<u8> {
        let mut data = strips.concat();
        if self.lsb_first {
            data.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let mut raw = Raw::new(&data);
        raw.big = self.big;
        let rows_per_strip = u32::try_from(self.rows_per_strip).unwrap_or(rows).min(rows);
        let (compression, two_dimensional) = match self.coding {
            None => (4, 0),
            Some(T4Coding::MhAligned) => (2, 0),
            Some(coding) => (3, u32::from(coding == T4Coding::Mr)),
        };
        raw = raw
            .with(256, 4, 1, width)
            .with(257, 4, 1, rows)
            .with(259, 3, 1, compression)
            .with(262, 3, 1, self.min_is_black.into())
            .with(266, 3, 1, if self.lsb_first { 2 } else { 1 })
            .with(278, 4, 1, rows_per_strip);
        if compression == 3 {
            let aligned = if self.aligned { 4 } else { 0 };
            raw = raw.with(292, 4, 1, two_dimensional | aligned);
        }
        let count = strips.len() as u32;
        if count == 1 {
            return raw.build();
        }
        let table = 8 + raw.data.len() as u32;
        let lengths = strips.iter().map(|strip| strip.len() as u32);
        let offsets = lengths.clone().scan(8, |next, length| {
            let offset = *next;
            *next += length;
            Some(offset)
        });
        for value in offsets.chain(lengths) {
            raw.data.extend(if self.big {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            });
        }
        raw.with(273, 4, count, table)
            .with(279, 4, count, table + 4 * count)
            .build()
    }

    pub(crate) fn file(&self, chart: &Chart) -> Vec<u8> {
        self.build(chart.width, chart.rows.len() as u32, &self.strips(chart))
    }
}
