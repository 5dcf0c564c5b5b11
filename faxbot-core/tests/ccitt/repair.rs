//! Damaged rows of T.4 are counted and replaced, and cost no others.

use super::{
    t4::{CODINGS, encode},
    *,
};

const EOL: &str = "000000000001";
const EOL1: &str = "0000000000011";
const EOL0: &str = "0000000000010";
/// Rows of eight pixels: two white, three black, three white; all white; all black.
const BAR: &str = "0111 10 1000";
const WHITE: &str = "10011";
const BLACK: &str = "00110101 000101";

pub(super) fn repaired(
    data: &[u8],
    width: u32,
    max_rows: u32,
    coding: T4Coding,
) -> (Rows, PageQuality) {
    let mut decoder = T4Decoder::new(data, width, max_rows, coding)
        .unwrap()
        .with_repair(true);
    let mut rows = Vec::new();
    let mut row = vec![0x55; row_bytes(width)];
    while decoder.next_row(&mut row).unwrap() {
        rows.push(row.clone());
        assert_eq!(decoder.rows() as usize, rows.len());
    }
    assert_eq!(decoder.next_row(&mut row), Ok(false));
    (rows, decoder.quality())
}

/// The codings, the bits, the rows of eight pixels, how many are bad and most of them in a row.
type Case<'a> = (T4Coding, String, &'a [u8], u32, u32);

fn check(table: &[Case<'_>]) {
    for (coding, text, expected, bad_rows, longest) in table {
        let (rows, quality) = repaired(&bits(text), 8, 20, *coding);
        assert_eq!(rows.concat(), *expected, "{coding:?} {text}");
        assert_eq!(
            quality,
            PageQuality::new(*bad_rows, *longest),
            "{coding:?} {text}"
        );
    }
}

#[test]
fn a_bad_row_is_a_copy_of_the_row_above_and_decoding_goes_on_behind_it() {
    let (bar, black) = (0b0011_1000, 0xff);
    let table = [
        // Too short, too long, a code that is none, an extension, endless make-up codes.
        "0111",
        "0111 000101",
        "00000000 1 111",
        "000000001 000",
    ]
    .map(String::from)
    .into_iter()
    .chain([format!("{BAR} 0111"), "11011".repeat(40)])
    .map(|bad| {
        (
            T4Coding::Mh,
            format!("{EOL}{BAR}{EOL}{bad}{EOL}{BLACK}"),
            &[0b0011_1000, 0b0011_1000, 0xff][..],
            1,
            1,
        )
    })
    .collect::<Vec<_>>();
    assert_eq!((table[0].2[0], table[0].2[2]), (bar, black));
    check(&table);
}

#[test]
fn bad_rows_are_counted_with_the_longest_run_of_them() {
    check(&[
        // White above the first.
        (
            T4Coding::Mh,
            format!("{EOL} 0111 {EOL}{BLACK}"),
            &[0, 0xff],
            1,
            1,
        ),
        (
            T4Coding::Mh,
            format!("{EOL} 0111 {EOL}{BLACK}{EOL} 0111 {EOL} 0111 {EOL}{WHITE}{EOL} 0111"),
            &[0, 0xff, 0xff, 0xff, 0, 0],
            4,
            2,
        ),
        // Without the first code, and cut in the last row.
        (
            T4Coding::Mh,
            format!("0111 {EOL}{BLACK}{EOL}{BAR}{EOL} 0011"),
            &[0, 0xff, 0b0011_1000, 0b0011_1000],
            2,
            1,
        ),
        // Noise without any code is one row.
        (T4Coding::Mh, "0101".repeat(30), &[0], 1, 1),
        (T4Coding::Mr, "0101".repeat(30), &[0], 1, 1),
        (T4Coding::Mh, String::new(), &[], 0, 0),
    ]);
}

#[test]
fn end_of_line_codes_without_a_row_between_them_are_bad_rows() {
    for codes in 2..6_usize {
        let mut expected = vec![0xff; codes];
        expected.push(0);
        check(&[
            (
                T4Coding::Mh,
                format!("{EOL}{BLACK}{}{WHITE}", EOL.repeat(codes)),
                &expected,
                codes as u32 - 1,
                codes as u32 - 1,
            ),
            (
                T4Coding::Mr,
                format!("{EOL1}{BLACK}{}{WHITE}", EOL1.repeat(codes)),
                &expected,
                codes as u32 - 1,
                codes as u32 - 1,
            ),
            // A cut return-to-control code is none of them.
            (
                T4Coding::Mh,
                format!("{EOL}{BLACK}{}", EOL.repeat(codes)),
                &[0xff],
                0,
                0,
            ),
        ]);
    }
}

#[test]
fn a_return_to_control_ends_the_rows_wherever_it_is() {
    check(&[
        (
            T4Coding::Mh,
            format!("{EOL}{BLACK}{}{EOL}{BAR}{EOL}{BAR}", EOL.repeat(6)),
            &[0xff],
            0,
            0,
        ),
        (
            T4Coding::Mr,
            format!("{EOL1}{BLACK}{}{EOL1}{BAR}", EOL1.repeat(6)),
            &[0xff],
            0,
            0,
        ),
        (
            T4Coding::Mh,
            format!("{EOL}{BLACK}{EOL} 0111 {}", EOL.repeat(6)),
            &[0xff, 0xff],
            1,
            1,
        ),
    ]);
}

#[test]
fn rows_of_mh_without_any_end_of_line_code_are_good_up_to_the_first_bad_one() {
    let rows = [0xff, 0b0011_1000, 0, 0b0011_1000];
    for (start, end) in [("", String::new()), (EOL, EOL.repeat(6))] {
        check(&[
            (
                T4Coding::Mh,
                format!("{start}{BLACK}{BAR}{WHITE}{BAR}{end}"),
                &rows,
                0,
                0,
            ),
            (
                T4Coding::Mh,
                format!("{start}{BLACK}{BAR} 0111 000101 {WHITE}{BAR}{end}"),
                &[0xff, 0b0011_1000, 0b0011_1000],
                1,
                1,
            ),
        ]);
    }
}

#[test]
fn an_empty_second_row_does_not_tell_that_there_are_no_codes() {
    let bar = 0b0011_1000;
    check(&[(
        T4Coding::Mh,
        format!("{EOL}{BAR}{EOL}{EOL}{BAR}{EOL}{BAR} 0111 {EOL}{BLACK}"),
        &[bar, bar, bar, bar, 0xff],
        2,
        1,
    )]);
}

#[test]
fn a_row_that_goes_on_behind_the_width_is_bad_where_others_end_with_a_code() {
    check(&[
        (
            T4Coding::Mh,
            format!("{EOL}{BLACK}{BAR}{EOL}{WHITE}"),
            &[0, 0],
            1,
            1,
        ),
        (
            T4Coding::Mh,
            format!("{EOL}{BAR}{EOL}{BLACK} 0111 10 {EOL}{WHITE}"),
            &[0b0011_1000, 0b0011_1000, 0],
            1,
            1,
        ),
        (
            T4Coding::Mr,
            format!("{EOL1}{BAR}{EOL1}{BLACK}{BAR}{EOL1}{WHITE}"),
            &[0b0011_1000, 0b0011_1000, 0],
            1,
            1,
        ),
    ]);
}

#[test]
fn fill_of_any_length_is_no_damage() {
    for zeros in [0, 1, 50, 500] {
        let fill = "0".repeat(zeros);
        check(&[
            (
                T4Coding::Mh,
                format!(
                    "{fill}{EOL}{BLACK}{fill}{EOL} 0111 {fill}{EOL}{BAR}{fill}{EOL}{WHITE}{fill}"
                ),
                &[0xff, 0xff, 0b0011_1000, 0],
                1,
                1,
            ),
            (
                T4Coding::Mr,
                format!(
                    "{fill}{EOL1}{BLACK}{fill}{EOL0} 1 {fill}{EOL1}{BAR}{fill}{EOL0} 1 1 1 {fill}"
                ),
                &[0xff, 0xff, 0b0011_1000, 0b0011_1000],
                1,
                1,
            ),
        ]);
    }
}

#[test]
fn a_bad_row_of_mr_takes_the_two_dimensional_rows_after_it_along() {
    let same = "1 1 1";
    check(&[
        // One-dimensional: bad with its two followers, though they fit the width.
        (
            T4Coding::Mr,
            format!(
                "{EOL1}{BAR}{EOL0}{same}{EOL1} 0111 {EOL0}{same}{EOL0}{same}{EOL1}{BLACK}{EOL0} 1 1"
            ),
            &[0x38, 0x38, 0x38, 0x38, 0x38, 0xff, 0xff],
            3,
            3,
        ),
        // Two-dimensional.
        (
            T4Coding::Mr,
            format!("{EOL1}{BAR}{EOL0} 0000001111 {EOL0}{same}{EOL1}{WHITE}"),
            &[0x38, 0x38, 0x38, 0],
            2,
            2,
        ),
        // Two-dimensional from the first row on, below the imaginary white one.
        (T4Coding::Mr, format!("{EOL0} 1 {EOL0} 1"), &[0, 0], 0, 0),
    ]);
}

#[test]
fn rows_without_end_of_line_codes_end_at_the_first_bad_one() {
    // Each from a byte border on.
    let rows = "0111 10 1000 000000 00110101 000101 00 0111 0000 10011 000";
    check(&[(T4Coding::MhAligned, rows.into(), &[0x38, 0xff, 0xff], 1, 1)]);
}

#[test]
fn what_follows_the_last_row_is_not_looked_at() {
    for coding in CODINGS {
        let chart = charts::text(100, 50, 2);
        let mut data = encode(&chart, coding, 4);
        data.extend([0xff; 9]);
        let (rows, quality) = repaired(&data, 100, 50, coding);
        assert!(rows == chart.rows, "{coding:?}");
        assert!(quality.is_clean(), "{coding:?}");
    }
}

/// A coded page whose rows are known: the first bit of each row's code words and the one behind.
struct Coded {
    chart: Chart,
    bits: Vec<bool>,
    rows: Vec<std::ops::Range<usize>>,
}

impl Coded {
    fn new(chart: Chart, coding: T4Coding, k: u32) -> Self {
        let code_bits = if coding == T4Coding::Mr { 13 } else { 12 };
        let data = encode(&chart, coding, k);
        let bits: Vec<bool> = data
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0))
            .collect();
        // An end-of-line code is the only place with eleven zeros before a one.
        let mut rows = Vec::new();
        let mut zeros = 0;
        let mut start = None;
        for (at, bit) in bits.iter().enumerate() {
            if !bit {
                zeros += 1;
                continue;
            }
            if zeros >= 11 {
                rows.extend(start.map(|start| start..at - 11));
                start = Some(at - 11 + code_bits);
            }
            zeros = 0;
        }
        rows.extend(start.map(|start| start..bits.len()));
        assert_eq!(rows.len(), chart.rows.len());
        Self { chart, bits, rows }
    }

    /// The data with some bits of a row turned, or `None` if that makes an end-of-line code, or a
    /// row of zeros, which is fill.
    fn damaged(&self, row: usize, turned: &[usize]) -> Option<Vec<u8>> {
        let mut bits = self.bits.clone();
        let range = self.rows[row].clone();
        for turn in turned {
            let at = range.start + turn % range.len();
            bits[at] = !bits[at];
        }
        if !bits[range.clone()].contains(&true) {
            return None;
        }
        // From the bit before the row on: the tag of a row of MR may be the first of the zeros.
        let mut zeros = 0;
        for bit in &bits[range.start - 1..range.end] {
            if *bit && zeros >= 11 {
                return None;
            }
            zeros = if *bit { 0 } else { zeros + 1 };
        }
        let text: String = bits
            .iter()
            .map(|bit| if *bit { '1' } else { '0' })
            .collect();
        Some(super::bits(&text))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_row_costs_that_row_in_mh_and_k_rows_in_mr(
        chart in image().prop_filter("has rows", |chart| !chart.rows.is_empty()),
        k in 1_u32..6,
        row in any::<prop::sample::Index>(),
        turned in prop::collection::vec(any::<usize>(), 1..4),
    ) {
        let row = row.index(chart.rows.len());
        for (coding, k) in [(T4Coding::Mh, 1), (T4Coding::Mr, k as usize)] {
            let coded = Coded::new(chart.clone(), coding, k as u32);
            let Some(data) = coded.damaged(row, &turned) else { continue };
            let count = chart.rows.len();
            let (rows, quality) = repaired(&data, chart.width, count as u32, coding);
            prop_assert_eq!(rows.len(), count);
            let group = row..(row / k * k + k).min(count);
            for (at, (got, sent)) in rows.iter().zip(&coded.chart.rows).enumerate() {
                prop_assert!(got == sent || group.contains(&at), "row {} of {:?}, {:?}", at, group, coding);
            }
            prop_assert!(quality.bad_rows as usize <= group.len());
            prop_assert!(quality.longest_bad_run <= quality.bad_rows);
        }
    }

    #[test]
    fn any_damage_gives_no_more_rows_than_announced_and_no_error(
        chart in image(),
        coding in prop::sample::select(&CODINGS[..]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 0..8),
        max_rows in 0_u32..40,
    ) {
        let mut data = encode(&chart, coding, 4);
        for (at, value, kind) in edits {
            if data.is_empty() { break }
            let at = at.index(data.len());
            match kind {
                0 => data[at] = value,
                1 => drop(data.remove(at)),
                2 => data.insert(at, value),
                _ => data.truncate(at),
            }
        }
        let (rows, quality) = repaired(&data, chart.width, max_rows, coding);
        prop_assert!(rows.len() <= max_rows as usize);
        prop_assert!(quality.bad_rows as usize <= rows.len());
        prop_assert!(quality.longest_bad_run <= quality.bad_rows);
        prop_assert_eq!(quality.missing_rows, 0);
        // What needs no repair is not touched.
        let mut strict = T4Decoder::new(&data, chart.width, max_rows, coding).unwrap();
        let mut row = vec![0; row_bytes(chart.width)];
        let mut good = Vec::new();
        while let Ok(true) = strict.next_row(&mut row) {
            good.push(row.clone());
        }
        if strict.next_row(&mut row) == Ok(false) {
            prop_assert_eq!(good, rows);
            prop_assert!(quality.is_clean());
        } else {
            prop_assert!(!quality.is_clean());
        }
    }
}
