//! The nearest known name to one that is not known.

/// The candidate with the smallest edit distance to `name`, the first of several.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    candidates
        .into_iter()
        .min_by_key(|candidate| distance(&name, candidate))
}

/// Levenshtein distance: single characters inserted, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        for (cell, cb) in row
            .iter_mut()
            .zip(std::iter::once(None).chain(b.chars().map(Some)))
        {
            let Some(cb) = cb else {
                *cell = left;
                continue;
            };
            let above = *cell;
            let replaced = diagonal.saturating_add(usize::from(ca != cb));
            left = replaced
                .min(above.saturating_add(1))
                .min(left.saturating_add(1));
            diagonal = above;
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("usrname", "username", 1),
            ("same", "same", 0),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_name_wins() {
        assert_eq!(
            nearest("Pasword", ["username", "password", "port"]),
            Some("password")
        );
        assert_eq!(nearest("x", []), None);
    }
}
