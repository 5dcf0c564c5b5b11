//! Every way to write the same page is read, with and without repair.

use super::*;

#[test]
fn byte_orders_bit_orders_polarities_strips_and_codings_give_the_same_pixels() {
    for (name, chart) in charts::all(75, 23) {
        for coding in [
            None,
            Some(T4Coding::MhAligned),
            Some(T4Coding::Mh),
            Some(T4Coding::Mr),
        ] {
            for bits in 0..32_u32 {
                let flag = |bit: u32| bits >> bit & 1 == 1;
                for rows_per_strip in [usize::MAX, 8, 1] {
                    let form = Form {
                        big: flag(0),
                        lsb_first: flag(1),
                        min_is_black: flag(2),
                        coding,
                        aligned: flag(3),
                        return_to_control: flag(4),
                        rows_per_strip,
                    };
                    let file = form.file(&chart);
                    assert!(
                        read_all(&file).unwrap() == [chart.rows.clone()],
                        "{name} {form:?}"
                    );
                    let (rows, quality) = repair(&file).unwrap();
                    assert!(rows == chart.rows, "repair: {name} {form:?}");
                    assert!(quality.is_clean(), "{name} {form:?}");
                }
            }
        }
    }
}
