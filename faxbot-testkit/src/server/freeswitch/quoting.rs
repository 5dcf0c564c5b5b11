//! How FreeSWITCH splits arguments: `switch_separate_string` and `cleanup_separated_string` of
//! `switch_utils.c`, and the brackets of `switch_event_create_brackets` (recording
//! `03_originate_variable_quoting`).

/// Splits at a delimiter; the last piece takes the rest. Quotes and escapes are honoured and then
/// taken out of each piece.
pub(super) fn separate(text: &str, delimiter: char, most: usize) -> Vec<String> {
    if delimiter == ' ' {
        blanks(text, most)
    } else {
        pieces(text, delimiter, most)
            .into_iter()
            .map(|piece| clean(piece, Some(delimiter)))
            .collect()
    }
}

fn blanks(text: &str, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    while !rest.is_empty() {
        let end = if found.len() + 1 >= most {
            rest.len()
        } else {
            end(rest, ' ')
        };
        let (piece, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        found.push(clean(piece, None));
        rest = after.trim_start_matches(' ');
    }
    found
}

/// The pieces as they are.
pub(super) fn pieces(text: &str, delimiter: char, most: usize) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    if text.is_empty() {
        return found;
    }
    loop {
        if found.len() + 1 >= most {
            found.push(rest);
            return found;
        }
        let at = end(rest, delimiter);
        let (piece, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        found.push(piece);
        match after.strip_prefix(delimiter) {
            Some(after) => rest = after,
            None => return found,
        }
    }
}

/// Where the piece at the front ends.
fn end(text: &str, delimiter: char) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '\'' {
            // A quote that nothing closes is a character.
            let closed = text.get(at + 1..).is_some_and(|rest| rest.contains('\''));
            if quoted || closed {
                quoted = !quoted;
            }
        } else if c == delimiter && !quoted {
            return at;
        }
    }
    text.len()
}

/// Takes the quotes and escapes out, and blanks off both ends.
pub(super) fn clean(text: &str, delimiter: Option<char>) -> String {
    let text = text.trim_start_matches(' ');
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    let mut quoted = false;
    let mut rest = text.char_indices();
    while let Some((at, c)) = rest.next() {
        let after = text.get(at + c.len_utf8()..).unwrap_or_default();
        if c == '\\'
            && let Some(e) = after.chars().next()
        {
            let escape = match e {
                '\'' | '"' | '\\' => Some(e),
                'n' => Some('\n'),
                'r' => Some('\r'),
                't' => Some('\t'),
                's' => Some(' '),
                _ if Some(e) == delimiter => Some(e),
                _ => None,
            };
            if let Some(escape) = escape {
                out.push(escape);
                kept = out.len();
                rest.next();
                continue;
            }
        }
        if c == '\'' && (quoted || after.contains('\'')) {
            quoted = !quoted;
            if quoted {
                kept = out.len();
            }
            continue;
        }
        out.push(c);
        if c != ' ' || quoted {
            kept = out.len();
        }
    }
    out.truncate(kept);
    out
}

/// `{a=b,c=d}rest`: what is in the brackets and what follows. `None` when they do not close.
pub(super) fn brackets(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    let inner = text.strip_prefix(open)?;
    let mut depth = 1_u32;
    // Escapes do not count (`switch_find_end_paren`).
    for (at, c) in inner.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some((inner.get(..at)?, inner.get(at + 1..)?));
            }
        }
    }
    None
}

/// The variables of a bracket, in their order. Empty values are none; `^^:` sets another
/// separator.
pub(super) fn variables(text: &str) -> Vec<(String, String)> {
    let (delimiter, text) = match text.strip_prefix("^^") {
        Some(rest) => {
            let delimiter = rest.chars().next().unwrap_or(',');
            (
                delimiter,
                rest.get(delimiter.len_utf8()..).unwrap_or_default(),
            )
        }
        None => (',', text),
    };
    separate(text, delimiter, usize::MAX)
        .into_iter()
        .filter_map(|pair| {
            let mut both = separate(&pair, '=', 2).into_iter();
            let (name, value) = (both.next()?, both.next()?);
            (!name.is_empty() && !value.is_empty()).then_some((name, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_split_as_the_server_splits_them() {
        assert_eq!(
            separate("{v='two words'}url &park()", ' ', 10),
            ["{v=two words}url", "&park()"]
        );
        assert_eq!(
            separate("insert/a/b/c/d", '/', 4),
            ["insert", "a", "b", "c/d"]
        );
        assert_eq!(separate("a'b'c", '/', 4), ["abc"]);
        assert_eq!(separate("a'b", '/', 4), ["a'b"]);
        assert_eq!(separate(r"a\\b", '/', 4), [r"a\b"]);
        assert_eq!(separate(" a b  ", '/', 4), ["a b"]);
    }

    #[test]
    fn a_bracket_ends_at_its_own_closing_one() {
        assert_eq!(brackets("{a=${b}}c", '{', '}'), Some(("a=${b}", "c")));
        assert_eq!(brackets("{a=b}b}c", '{', '}'), Some(("a=b", "b}c")));
        assert_eq!(brackets("{a=b", '{', '}'), None);
    }

    #[test]
    fn another_separator_may_be_named() {
        let two = [("v", "a,b"), ("w", "2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(variables("^^;v=a,b;w=2"), two);
        assert_eq!(variables(r"v=a\,b,w=2,x="), two);
    }
}
