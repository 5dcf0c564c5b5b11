//! The forms that fax servers and machines write are read.

use super::*;

#[test]
fn big_endian_files_and_both_fill_orders_and_photometrics_give_the_same_pixels() {
    let strip = encode(&small());
    let reversed: Vec<u8> = strip.iter().map(|byte| byte.reverse_bits()).collect();
    let inverted: Vec<Vec<u8>> = small()
        .rows
        .iter()
        .map(|row| row.iter().map(|byte| !byte).collect())
        .collect();
    for big in [false, true] {
        let table = [
            (Raw::new(&strip), small().rows),
            (Raw::new(&reversed).with(266, 3, 1, 2), small().rows),
            (Raw::new(&strip).with(262, 3, 1, 1), inverted.clone()),
            (Raw::new(&strip).without(262), small().rows),
            (Raw::new(&small().bytes()).with(259, 3, 1, 1), small().rows),
            (Raw::new(&small().bytes()).without(259), small().rows),
            // Dimensions as SHORT and BYTE, RowsPerStrip as "all".
            (
                Raw::new(&strip)
                    .with(256, 3, 1, 16)
                    .with(278, 4, 1, u32::MAX),
                small().rows,
            ),
        ];
        for (mut raw, expected) in table {
            raw.big = big;
            assert_eq!(read_all(&raw.build()).unwrap(), [expected]);
        }
    }
}

#[test]
fn pages_of_several_strips_are_decoded_as_one() {
    let chart = small();
    let strips: Vec<Vec<u8>> = chart
        .rows
        .chunks(3)
        .map(|rows| {
            encode(&Chart {
                width: 16,
                rows: rows.to_vec(),
            })
        })
        .collect();
    let mut raw = Raw::new(&strips.concat()).with(278, 4, 1, 3);
    let table = raw.data.len() as u32 + 8;
    for value in [
        8,
        8 + strips[0].len() as u32,
        strips[0].len() as u32,
        strips[1].len() as u32,
    ] {
        raw.data.extend(value.to_le_bytes());
    }
    let raw = raw.with(273, 4, 2, table).with(279, 4, 2, table + 8);
    assert_eq!(read_all(&raw.build()).unwrap(), [chart.rows]);
}

#[test]
fn units_and_odd_resolutions_are_understood() {
    let strip = encode(&small());
    let mut raw = Raw::new(&strip)
        .with(282, 5, 1, 8 + strip.len() as u32)
        .with(283, 5, 1, 16 + strip.len() as u32);
    raw.data
        .extend([80_u32, 1, 385, 5].map(u32::to_le_bytes).concat());
    for (unit, x, y) in [
        (3, Some(203.2), Some(195.58)),
        (2, Some(80.0), Some(77.0)),
        (1, None, None),
    ] {
        let page = open(&raw.clone().with(296, 3, 1, unit).build())
            .unwrap()
            .page(0)
            .unwrap();
        let close =
            |a: Option<f64>, b: Option<f64>| a.zip(b).map_or(a == b, |(a, b)| (a - b).abs() < 1e-9);
        assert!(
            close(page.x_per_inch(), x) && close(page.y_per_inch(), y),
            "{unit}: {page:?}"
        );
    }
    let mut zero = raw.clone();
    let end = zero.data.len();
    zero.data[end - 4..].fill(0);
    assert_eq!(
        open(&zero.build()).unwrap().page(0).unwrap().y_per_inch(),
        None
    );
    assert_eq!(
        open(&Raw::new(&strip).build())
            .unwrap()
            .page(0)
            .unwrap()
            .y_per_inch(),
        None
    );
}
