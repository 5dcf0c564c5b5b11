//! The template of a cover page filled in.

use std::collections::BTreeMap;

use faxbot_core::{Effect, Error, ErrorKind, Result};

use super::{
    super::{convert::OPERATION, output::too_large},
    cell::GHOST,
    typeset::unsuitable,
};

/// The lines of a value stand below each other where they begin left of this.
const HANG_WITHIN: usize = 40;

/// What there is to fill in: what the caller gave, then what is known here.
pub(super) struct Fields<'a> {
    given: BTreeMap<&'a str, &'a str>,
    /// May have ghosts.
    pages: String,
    date: String,
}

impl<'a> Fields<'a> {
    pub(super) fn new(given: &'a BTreeMap<String, String>, pages: String, date: String) -> Self {
        // Cut once: a template may name a field of millions of blanks thousands of times.
        let given = given
            .iter()
            .map(|(name, value)| (name.as_str(), value.trim_end()))
            .collect();
        Self { given, pages, date }
    }

    fn get(&self, name: &str) -> &str {
        match (self.given.get(name), name) {
            (Some(value), _) => value,
            (None, "pages") => &self.pages,
            (None, "date") => &self.date,
            _ => "",
        }
    }

    /// Refuses a value that would pass for what is drawn here.
    fn check(&self) -> Result<()> {
        if self.given.values().any(|value| value.contains(GHOST)) {
            return Err(has_ghost());
        }
        Ok(())
    }
}

/// What stands for itself, and what stands for a field.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Field(&'a str),
}

/// Puts `fields` into `template`; see [`CoverPage`](faxbot_core::document::CoverPage) for the
/// rules. The result has at most `limit` bytes, however often a long field is named.
///
/// # Errors
/// `InvalidRequest` for braces without a meaning; `Document(TooLarge)`.
pub(super) fn fill(template: &str, fields: &Fields<'_>, limit: u64) -> Result<String> {
    if template.contains(GHOST) {
        return Err(has_ghost());
    }
    fields.check()?;
    let mut filled = Filled {
        text: String::new(),
        column: 0,
        limit,
    };
    for (number, line) in (1_u64..).zip(template.lines()) {
        if is_left_out(line, number, fields)? {
            continue;
        }
        for piece in pieces(line, number) {
            match piece? {
                Piece::Text(text) => filled.push(text)?,
                Piece::Field(name) => filled.push_value(fields.get(name))?,
            }
        }
        filled.end_line()?;
    }
    Ok(filled.text)
}

/// Whether the line has fields, and nothing in any of them.
fn is_left_out(line: &str, number: u64, fields: &Fields<'_>) -> Result<bool> {
    let (mut named, mut filled) = (false, false);
    for piece in pieces(line, number) {
        if let Piece::Field(name) = piece? {
            named = true;
            filled = filled || !fields.get(name).is_empty();
        }
    }
    Ok(named && !filled)
}

/// The pieces of a line as they come: a list of them would have many times its bytes.
fn pieces(line: &str, number: u64) -> impl Iterator<Item = Result<Piece<'_>>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let piece = piece(rest, number);
        rest = piece.as_ref().map_or("", |(_, after)| after);
        Some(piece.map(|(piece, _)| piece))
    })
}

/// The first piece of what is left of a line, and what comes behind it.
fn piece(rest: &str, number: u64) -> Result<(Piece<'_>, &str)> {
    let at = rest.find(['{', '}']).unwrap_or(rest.len());
    if at > 0 {
        let (before, brace) = rest.split_at(at);
        return Ok((Piece::Text(before), brace));
    }
    for (twice, once) in [("{{", "{"), ("}}", "}")] {
        if let Some(after) = rest.strip_prefix(twice) {
            return Ok((Piece::Text(once), after));
        }
    }
    let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let (name, after) = inside.ok_or_else(|| {
        invalid(format!(
            "line {number} of the cover template has a brace without its partner: write {{{{ or }}}} \
             for a brace"
        ))
    })?;
    if !is_name(name) {
        return Err(invalid(format!(
            "line {number} of the cover template has braces around what is no field name: letters, \
             digits, _ and - make one"
        )));
    }
    Ok((Piece::Field(name), after))
}

fn is_name(name: &str) -> bool {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !name.is_empty() && name.chars().all(of_name)
}

struct Filled {
    text: String,
    column: usize,
    limit: u64,
}

impl Filled {
    fn push(&mut self, text: &str) -> Result<()> {
        let len = self.text.len().saturating_add(text.len());
        if u64::try_from(len).unwrap_or(u64::MAX) > self.limit {
            let limit = self.limit;
            return Err(too_large(format!(
                "the cover page has more than {limit} bytes"
            )));
        }
        self.text.push_str(text);
        self.column = self.column.saturating_add(text.chars().count());
        Ok(())
    }

    fn push_value(&mut self, value: &str) -> Result<()> {
        let column = Some(self.column).filter(|column| *column < HANG_WITHIN);
        let indent = " ".repeat(column.unwrap_or(0));
        for (index, line) in value.lines().enumerate() {
            if index > 0 {
                self.end_line()?;
                self.push(&indent)?;
            }
            self.push(line)?;
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<()> {
        self.push("\n")?;
        self.column = 0;
        Ok(())
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidRequest, OPERATION, message).with_effect(Effect::NoEffect)
}

fn has_ghost() -> Error {
    unsuitable("the cover page has the character U+FFFF, which cannot be drawn".to_owned())
}

#[cfg(test)]
mod tests {
    use faxbot_core::DocumentReason;

    use super::*;

    fn filled(template: &str, given: &[(&str, &str)]) -> Result<String> {
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let fields = Fields::new(&given, "3".to_owned(), "2026-11-21".to_owned());
        fill(template, &fields, 100)
    }

    #[test]
    fn fields_stand_where_their_names_did() {
        for (template, given, expected) in [
            (
                "To: {to}",
                &[("to", "Dr. Example")][..],
                "To: Dr. Example\n",
            ),
            ("{a}{b}-{a}", &[("a", "x"), ("b", "y")], "xy-x\n"),
            ("{{to}} {to}", &[("to", "{to}")], "{to} {to}\n"),
            ("}}{{", &[], "}{\n"),
            ("{pages} {date}", &[], "3 2026-11-21\n"),
            ("{pages}", &[("pages", "many")], "many\n"),
            ("none", &[("to", "x")], "none\n"),
            ("a\r\nb", &[], "a\nb\n"),
            ("", &[], ""),
        ] {
            assert_eq!(filled(template, given).unwrap(), expected, "{template:?}");
        }
    }

    #[test]
    fn lines_whose_fields_are_all_empty_are_left_out() {
        let template = "To: {to}\n\n{a} {b}\nend";
        for (given, expected) in [
            (&[][..], "\nend\n"),
            (&[("to", " \n"), ("a", "")], "\nend\n"),
            (&[("b", "x")], "\n x\nend\n"),
        ] {
            assert_eq!(filled(template, given).unwrap(), expected);
        }
        assert_eq!(filled("{pages}", &[("pages", "")]).unwrap(), "");
    }

    #[test]
    fn lines_of_a_value_stand_below_each_other() {
        assert_eq!(
            filled("To: {to}!", &[("to", "a\r\nb\nc\n")]).unwrap(),
            "To: a\n    b\n    c!\n"
        );
        assert_eq!(filled("{m}", &[("m", "a\n\n b")]).unwrap(), "a\n\n b\n");
    }

    #[test]
    fn braces_without_a_meaning_are_refused_with_their_line_and_not_their_text() {
        for template in [
            "a\n{secret",
            "a\nsecret}",
            "a\n{}",
            "a\n{sec ret}",
            "a\n{secret\n}",
            "a\n{{{secret}}",
        ] {
            let error = filled(template, &[("secret", "x")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{template:?}");
            assert!(error.message().contains("line 2"), "{error}");
            assert!(!error.message().contains("sec"), "{error}");
        }
    }

    #[test]
    fn what_a_template_multiplies_is_limited() {
        let newlines = "x\n".repeat(40);
        for (template, value) in [
            ("{m}".repeat(30), "xxxx"),
            ("                    {m}".to_owned(), newlines.as_str()),
            ("x".repeat(101), ""),
        ] {
            let error = filled(&template, &[("m", value)]).unwrap_err();
            assert_eq!(error.document_reason(), Some(DocumentReason::TooLarge));
        }
    }

    #[test]
    fn a_field_of_many_blanks_is_read_once_however_often_it_is_named() {
        let (names, blanks) = ("{m}".repeat(20_000), " ".repeat(1 << 20));
        // Read each time, it would take minutes.
        assert_eq!(filled(&names, &[("m", &blanks)]).unwrap(), "");
    }

    #[test]
    fn a_ghost_cannot_be_smuggled_in() {
        for (template, value) in [("\u{ffff}", ""), ("{m}", "\u{ffff}")] {
            let error = filled(template, &[("m", value)]).unwrap_err();
            assert_eq!(error.document_reason(), Some(DocumentReason::Unsuitable));
        }
    }
}
