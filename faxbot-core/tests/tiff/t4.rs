//! Pages of received faxes: T.4 in every form that TIFF knows.

use super::{
    libtiff::{pages_to_check, run, write},
    *,
};

/// Bits as text, each row filled up to a byte where they are apart.
pub(super) fn bits(rows: &[&str]) -> Vec<u8> {
    rows.iter()
        .flat_map(|text| {
            let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
            digits
                .chunks(8)
                .map(|byte| {
                    byte.iter()
                        .enumerate()
                        .fold(0, |sum, (place, digit)| sum | (digit & 1) << (7 - place))
                })
                .collect::<Vec<u8>>()
        })
        .collect()
}

/// The rows of [`small`] one-dimensional: white 16; 4, 8, 4; 4, 4, 7, 1; black 16.
const SMALL: [&str; 4] = [
    "101010",
    "1011 000101 1011",
    "1011 011 1111 010",
    "00110101 0000010111",
];
const EOL: &str = "000000000001";

/// Strips of [`small`] by compression and options.
fn small_strips() -> Vec<(u32, u32, Vec<u8>)> {
    let aligned = SMALL
        .iter()
        .map(|row| {
            // The end-of-line code with its tag ends four and a half bytes on.
            format!("0000 {EOL} {row}")
        })
        .collect::<Vec<_>>();
    let aligned: Vec<&str> = aligned.iter().map(String::as_str).collect();
    let joined = SMALL.map(|row| format!("{EOL}{row}")).concat();
    // The second and the fourth row are two-dimensional: horizontal and V(0), horizontal.
    let mixed = [
        format!("{EOL}1{}", SMALL[0]),
        format!("{EOL}0 001 1011 000101 1"),
        format!("{EOL}1{}", SMALL[2]),
        format!("{EOL}0 001 00110101 0000010111"),
    ];
    let end = format!("{EOL}1").repeat(6);
    let mixed_aligned: Vec<Vec<u8>> = mixed
        .iter()
        .map(|row| bits(&[&format!("0000{row}")]))
        .collect();
    vec![
        (2, 0, bits(&SMALL)),
        (3, 0, bits(&[&joined])),
        (3, 4, bits(&aligned)),
        (3, 1, bits(&[&format!("{}{end}", mixed.concat())])),
        (3, 5, mixed_aligned.concat()),
    ]
}

#[test]
fn pages_in_t4_are_decoded_in_both_bit_orders_and_polarities() {
    for (compression, options, strip) in small_strips() {
        let reversed: Vec<u8> = strip.iter().map(|byte| byte.reverse_bits()).collect();
        for (order, strip) in [(1, strip), (2, reversed)] {
            let raw = Raw::new(&strip)
                .with(259, 3, 1, compression)
                .with(266, 3, 1, order)
                .with(292, 4, 1, options);
            assert_eq!(
                read_all(&raw.build()).unwrap(),
                [small().rows],
                "{compression} {options} {order}"
            );
            let inverted: Vec<Vec<u8>> = small()
                .rows
                .iter()
                .map(|row| row.iter().map(|byte| !byte).collect())
                .collect();
            assert_eq!(
                read_all(&raw.with(262, 3, 1, 1).build()).unwrap(),
                [inverted]
            );
        }
    }
}

#[test]
fn each_strip_of_a_page_in_t4_stands_for_itself() {
    // Two strips of two rows, the second one two-dimensional from its first row on: below white.
    let first = bits(&[&format!("{EOL}1{}{EOL}0 001 1011 000101 1", SMALL[0])]);
    let second = bits(&[&format!(
        "{EOL}0 001 1011 011 001 1111 010 {EOL}1{}",
        SMALL[3]
    )]);
    let lengths = [first.len() as u32, second.len() as u32];
    let mut raw = Raw::new(&[first, second].concat())
        .with(259, 3, 1, 3)
        .with(292, 4, 1, 1)
        .with(278, 4, 1, 2);
    let table = 8 + raw.data.len() as u32;
    raw.data.extend(
        [8, 8 + lengths[0], lengths[0], lengths[1]]
            .map(u32::to_le_bytes)
            .concat(),
    );
    let raw = raw.with(273, 4, 2, table).with(279, 4, 2, table + 8);
    assert_eq!(read_all(&raw.build()).unwrap(), [small().rows]);
}

#[test]
fn a_damaged_or_missing_row_in_t4_is_an_error_and_not_white() {
    // The third row has one run too few.
    let short = format!(
        "{EOL}{}{EOL}{}{EOL} 1011 {EOL}{}",
        SMALL[0], SMALL[1], SMALL[3]
    );
    let page = |text: &str| {
        Raw::new(&bits(&[text]))
            .with(259, 3, 1, 3)
            .with(292, 4, 1, 0)
            .build()
    };
    let mut reader = open(&page(&short)).unwrap();
    let info = reader.page(0).unwrap();
    let mut seen = Vec::new();
    let error = reader
        .decode_page(&info, |row| seen.push(row.to_vec()))
        .unwrap_err();
    assert!(
        matches!(
            error,
            TiffError::Damaged {
                page: 0,
                first_row: 0,
                source: CcittError::InvalidCode { row: 2 }
            }
        ),
        "{error}"
    );
    assert_eq!(seen, small().rows[..2]);
    // Three rows of four, with and without the code at the end of a page.
    let three = SMALL[..3]
        .iter()
        .map(|row| format!("{EOL}{row}"))
        .collect::<String>();
    for text in [three.clone(), three + &EOL.repeat(6)] {
        let error = read_all(&page(&text)).unwrap_err();
        assert!(
            matches!(
                error,
                TiffError::MissingRows {
                    page: 0,
                    announced: 4,
                    found: 3
                }
            ),
            "{error}"
        );
    }
}

#[test]
#[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
fn every_form_of_g3_that_libtiff_writes_has_the_same_pixels() {
    let directory = tempfile::tempdir().unwrap();
    let pages = pages_to_check();
    write(directory.path(), "a.tif", &pages);
    let expected: Vec<_> = pages.iter().map(|(chart, _)| chart.rows.clone()).collect();
    for form in ["g3:1d", "g3:1d:fill", "g3:2d", "g3:2d:fill"] {
        for order in ["msb2lsb", "lsb2msb"] {
            for rows_per_strip in ["200", "33", "1"] {
                let name = "b.tif";
                run(
                    "tiffcp",
                    &["-c", form, "-f", order, "-r", rows_per_strip, "a.tif", name],
                    directory.path(),
                );
                let data = std::fs::read(directory.path().join(name)).unwrap();
                let page = open(&data).unwrap().page(0).unwrap();
                assert_eq!(page.compression, Compression::T4);
                assert_eq!(page.t4_options & 1 == 1, form.contains("2d"));
                assert_eq!(page.fill_order == FillOrder::LsbFirst, order == "lsb2msb");
                assert!(
                    read_all(&data).unwrap() == expected,
                    "{form} {order} {rows_per_strip}"
                );
            }
        }
    }
}

#[test]
fn a_fax_that_asterisk_received_has_the_pixels_that_were_sent() {
    let mut reader = open(include_bytes!("../files/received-asterisk-22.tif")).unwrap();
    let page = reader.page(0).unwrap();
    assert_eq!(
        (page.compression, page.t4_options, page.fill_order),
        (Compression::T4, 5, FillOrder::LsbFirst)
    );
    assert_eq!(
        (page.width, page.fax_resolution()),
        (1728, Some(Resolution::Fine))
    );
    // The page of the real servers' tests.
    let mut noise = 0x2545_f491_u32;
    let sent: Vec<Vec<u8>> = (0..60)
        .map(|_| {
            (0..216)
                .map(|_| {
                    noise ^= noise << 13;
                    noise ^= noise >> 17;
                    noise ^= noise << 5;
                    [0x00, 0x0f, 0xf0, 0xff][(noise >> 8) as usize % 4]
                })
                .collect()
        })
        .collect();
    assert!(rows(&mut reader, &page).unwrap() == sent);
}
