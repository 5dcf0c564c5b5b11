//! The directory of a page as bytes.

use super::{Compression, PageInfo, PageNumber, Rational, Strip, tag};

/// A directory entry with its values in the file's byte order.
pub(super) struct Field {
    tag: u16,
    kind: u16,
    count: u32,
    bytes: Vec<u8>,
}

impl Field {
    fn short(tag: u16, values: &[u16]) -> Self {
        Self::new(
            tag,
            tag::SHORT,
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            2,
        )
    }

    fn long(tag: u16, values: impl IntoIterator<Item = u32>) -> Self {
        Self::new(
            tag,
            tag::LONG,
            values.into_iter().flat_map(u32::to_le_bytes).collect(),
            4,
        )
    }

    fn rational(tag: u16, value: Rational) -> Self {
        let bytes = [
            value.numerator.to_le_bytes(),
            value.denominator.to_le_bytes(),
        ]
        .concat();
        Self::new(tag, tag::RATIONAL, bytes, 8)
    }

    fn new(tag: u16, kind: u16, bytes: Vec<u8>, size: usize) -> Self {
        Self {
            tag,
            kind,
            count: u32::try_from(bytes.len() / size).unwrap_or(u32::MAX),
            bytes,
        }
    }
}

/// The entries of a page, ascending by tag as the format wants them.
pub(super) fn fields(
    page: &PageInfo,
    strips: &[Strip],
    number: Option<PageNumber>,
    software: Option<&str>,
) -> Vec<Field> {
    let long = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let mut fields = vec![
        Field::long(tag::NEW_SUBFILE_TYPE, [page.subfile_type]),
        Field::long(tag::IMAGE_WIDTH, [page.width]),
        Field::long(tag::IMAGE_LENGTH, [page.rows]),
        Field::short(tag::BITS_PER_SAMPLE, &[1]),
        Field::short(tag::COMPRESSION, &[page.compression.code()]),
        Field::short(tag::PHOTOMETRIC, &[page.photometric.code()]),
        Field::short(tag::FILL_ORDER, &[page.fill_order.code()]),
        Field::long(
            tag::STRIP_OFFSETS,
            strips.iter().map(|strip| long(strip.offset)),
        ),
        Field::short(tag::ORIENTATION, &[page.orientation]),
        Field::short(tag::SAMPLES_PER_PIXEL, &[1]),
        Field::long(tag::ROWS_PER_STRIP, [page.rows_per_strip]),
        Field::long(
            tag::STRIP_BYTE_COUNTS,
            strips.iter().map(|strip| long(strip.len)),
        ),
    ];
    fields.extend(
        page.x_resolution
            .map(|value| Field::rational(tag::X_RESOLUTION, value)),
    );
    fields.extend(
        page.y_resolution
            .map(|value| Field::rational(tag::Y_RESOLUTION, value)),
    );
    match page.compression {
        Compression::T4 => fields.push(Field::long(tag::T4_OPTIONS, [page.t4_options])),
        Compression::T6 => fields.push(Field::long(tag::T6_OPTIONS, [page.t6_options])),
        _ => {}
    }
    fields.push(Field::short(
        tag::RESOLUTION_UNIT,
        &[page.resolution_unit.code()],
    ));
    fields.extend(number.map(|page| Field::short(tag::PAGE_NUMBER, &[page.number, page.total])));
    if let Some(name) = software {
        fields.push(Field::new(
            tag::SOFTWARE,
            tag::ASCII,
            [name.as_bytes(), b"\0"].concat(),
            1,
        ));
    }
    fields.extend(
        page.bad_rows
            .map(|rows| Field::long(tag::BAD_FAX_LINES, [rows])),
    );
    fields.extend(
        page.clean_fax_data
            .map(|value| Field::short(tag::CLEAN_FAX_DATA, &[value])),
    );
    fields.extend(
        page.consecutive_bad_rows
            .map(|rows| Field::long(tag::CONSECUTIVE_BAD_FAX_LINES, [rows])),
    );
    fields
}

/// The bytes of a directory at `start` with an empty link to the next one, and where in them the
/// total of `PageNumber` is.
pub(super) fn layout(fields: &[Field], start: u32) -> (Vec<u8>, Option<u64>) {
    let count = u16::try_from(fields.len()).unwrap_or(u16::MAX);
    let mut entries = count.to_le_bytes().to_vec();
    let mut values = Vec::new();
    let values_at = start + 2 + 12 * u32::from(count) + 4;
    let mut total_at = None;
    for field in fields {
        if field.tag == tag::PAGE_NUMBER {
            total_at = Some(entries.len() as u64 + 10);
        }
        entries.extend(field.tag.to_le_bytes());
        entries.extend(field.kind.to_le_bytes());
        entries.extend(field.count.to_le_bytes());
        if field.bytes.len() <= 4 {
            entries.extend(&field.bytes);
            entries.extend(std::iter::repeat_n(0, 4 - field.bytes.len()));
        } else {
            let offset = values_at.saturating_add(u32::try_from(values.len()).unwrap_or(u32::MAX));
            entries.extend(offset.to_le_bytes());
            values.extend(&field.bytes);
            if values.len() % 2 == 1 {
                values.push(0);
            }
        }
    }
    entries.extend([0; 4]);
    entries.extend(values);
    (entries, total_at)
}
