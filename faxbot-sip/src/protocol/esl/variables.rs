//! Channel variables of `originate`, and its other arguments, escaped once.
//!
//! The server takes the line apart in three steps: at blanks, then what is in braces at commas,
//! then each piece at its first `=`; and each step takes one layer of quotes and backslashes off
//! (`switch_separate_string` in `switch_utils.c`, `switch_event_create_brackets` in
//! `switch_event.c`; observed on FreeSWITCH 1.10.12, recording `03_originate_variable_quoting`).
//! Here three layers are put on. Quotes are not used: they are paired over the whole line.

use std::fmt::Write as _;

use crate::protocol::guard::{self, Part, Unsendable};

/// Variables that one line may have; the server takes 1,024.
const MAX_VARIABLES: usize = 512;

/// Allows `${...}` in all values of a line. The server looks for exactly this text.
const NESTED: &str = "origination_nested_vars=true";

/// Makes a line several calls at once, wherever it stands (`SWITCH_ENT_ORIGINATE_DELIM`).
const ENTERPRISE: &str = ":_:";

/// Separators that may stand in place of the comma.
const SEPARATORS: &str = ":;|~!#";

/// What the server splits brackets at (`UNQUOTED_ESC_COMMA` in `switch_ivr_originate.c`); no value
/// of a leg has it.
pub(super) const COMMA_IN_BRACKETS: char = '\u{2}';

/// Why a variable cannot be sent. Says the name, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VariableError {
    /// A name has letters, digits, `_`, `-` and `.` only.
    #[error("name of a variable refused")]
    Name(#[source] Unsendable),
    /// CR, LF or NUL, or something that no escape gets through: braces without their partner,
    /// `:_:`, a leading `ARRAY::`, or `${` where it is not allowed.
    #[error("value of variable {name} refused")]
    Value {
        /// The name of the variable.
        name: String,
        /// What is wrong with the value.
        #[source]
        source: Unsendable,
    },
    /// Not one of the separators.
    #[error("separator is none of {SEPARATORS}")]
    Separator,
    /// The server takes no more.
    #[error("more than {MAX_VARIABLES} variables")]
    TooMany,
}

/// The part of `originate` in braces.
///
/// ```
/// use faxbot_sip::protocol::esl::Variables;
///
/// let variables = Variables::new()
///     .set("fax_ident", "Smith, Jo")?
///     .template("api_hangup_hook", "hash insert/faxbot/1/${hangup_cause}")?;
/// assert_eq!(
///     variables.to_string(),
///     r"{origination_nested_vars=true,fax_ident=Smith\,\sJo,api_hangup_hook=hash\sinsert/faxbot/1/${hangup_cause}}",
/// );
/// # Ok::<(), faxbot_sip::protocol::esl::VariableError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Variables {
    pairs: Vec<(String, String)>,
    separator: char,
    nested: bool,
}

impl Variables {
    /// No variables, with the comma between them.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pairs: Vec::new(),
            separator: ',',
            nested: false,
        }
    }

    /// Puts another character between variables, by the server's `^^` form: one of `:;|~!#`.
    ///
    /// # Errors
    /// [`VariableError::Separator`].
    pub fn separated_by(mut self, separator: char) -> Result<Self, VariableError> {
        if !SEPARATORS.contains(separator) {
            return Err(VariableError::Separator);
        }
        self.separator = separator;
        Ok(self)
    }

    /// Adds a variable whose value arrives as it is. An empty value is the same as none: the
    /// server leaves the variable unset.
    ///
    /// # Errors
    /// [`VariableError`]. `${` is refused, also with backslashes between: the server would drop the
    /// variable, or expand it where a [`template`](Self::template) is in the line.
    pub fn set(self, name: &str, value: &str) -> Result<Self, VariableError> {
        check_plain(value).map_err(|source| refused(name, source))?;
        self.add(name, value)
    }

    /// Adds a variable whose value may hold `${...}`, which the server expands when it uses it. The
    /// line then has `origination_nested_vars=true`, without which the variable is dropped in
    /// silence (recording `09_hook_quoting`). Text of a user or a far end may not be part of it:
    /// a [`Template`](super::Template) sees to that.
    ///
    /// # Errors
    /// [`VariableError`].
    pub fn template(self, name: &str, value: &str) -> Result<Self, VariableError> {
        let mut this = self.add(name, value)?;
        this.nested = true;
        Ok(this)
    }

    fn add(mut self, name: &str, value: &str) -> Result<Self, VariableError> {
        check_name(name).map_err(VariableError::Name)?;
        check_value(value).map_err(|source| refused(name, source))?;
        if self.pairs.len() >= MAX_VARIABLES {
            return Err(VariableError::TooMany);
        }
        self.pairs.push((name.to_owned(), value.to_owned()));
        Ok(self)
    }
}

impl Default for Variables {
    fn default() -> Self {
        Self::new()
    }
}

impl Variables {
    pub(super) fn is_nested(&self) -> bool {
        self.nested
    }

    pub(super) fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The list in braces, with the two layers that are taken off last; empty without a variable.
    pub(super) fn braces(&self, nested: bool) -> String {
        match self.list(self.separator, nested) {
            list if list.is_empty() => list,
            list if self.separator == ',' => format!("{{{list}}}"),
            list => format!("{{^^{}{list}}}", self.separator),
        }
    }

    /// The list of one leg, as [`braces`](Self::braces). One variable has the form that was
    /// recorded (`09_hook_other_ways`). More have never the comma between them: one behind a
    /// backslash, which may be the last of a value, separates nothing there.
    pub(super) fn brackets(&self) -> String {
        let set = self.pairs.iter().filter(|(_, value)| !value.is_empty());
        let (separator, mark) = match (self.separator, set.count()) {
            (_, 0) => return String::new(),
            (',', 1) => (COMMA_IN_BRACKETS, String::new()),
            (',', _) => (';', "^^;".to_owned()),
            (other, _) => (other, format!("^^{other}")),
        };
        format!("[{mark}{}]", self.list(separator, false))
    }

    fn list(&self, separator: char, nested: bool) -> String {
        let mut list = String::new();
        if nested {
            list.push_str(NESTED);
        }
        for (name, value) in self.pairs.iter().filter(|(_, value)| !value.is_empty()) {
            if !list.is_empty() {
                list.push(separator);
            }
            let value = layer(&outer_blanks(value), Some('='));
            let _ = write!(list, "{name}={}", layer(&value, Some(separator)));
        }
        list
    }
}

impl std::fmt::Display for Variables {
    /// The escaped text with its braces; nothing when there is no variable.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&argument(&self.braces(self.nested)))
    }
}

impl std::fmt::Debug for Variables {
    /// Names only: values hold numbers and names.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.pairs.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Escapes one argument of `originate` (a dial string, an application) so that the split at blanks
/// gives it back as it is.
#[must_use]
pub fn argument(text: &str) -> String {
    layer(text, None).replace(' ', "\\s")
}

pub(super) fn refused(name: &str, source: Unsendable) -> VariableError {
    VariableError::Value {
        name: name.to_owned(),
        source,
    }
}

pub(super) fn check_name(name: &str) -> Result<(), Unsendable> {
    let part = Part::Name;
    guard::name(name.as_bytes())?;
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    match name.bytes().position(|byte| !known(byte)) {
        None => Ok(()),
        Some(at) => Err(Unsendable::Forbidden { part, at }),
    }
}

/// What the server takes for a variable: a dollar sign, any backslashes, a brace
/// (`switch_string_var_check_const` in `switch_utils.h`).
pub(super) fn check_plain(value: &str) -> Result<(), Unsendable> {
    let part = Part::Value;
    for (at, _) in value.match_indices('$') {
        let behind = value.get(at + 1..).unwrap_or_default();
        if behind.trim_start_matches('\\').starts_with('{') {
            return Err(Unsendable::Forbidden { part, at });
        }
    }
    Ok(())
}

pub(super) fn check_value(value: &str) -> Result<(), Unsendable> {
    let part = Part::Value;
    guard::text(part, value.as_bytes())?;
    let forbidden = |at| Err(Unsendable::Forbidden { part, at });
    if value.starts_with("ARRAY::") {
        return forbidden(0);
    }
    if let Some(at) = value.find(ENTERPRISE) {
        return forbidden(at);
    }
    // With `:` between variables the next one would make it whole.
    if value.ends_with(":_") {
        return forbidden(value.len().saturating_sub(2));
    }
    if let Some(at) = value.to_ascii_lowercase().find(NESTED) {
        return forbidden(at);
    }
    check_pairs(value, b'{', b'}')
}

/// The end of a list is found by counting its brackets; no escape hides one.
pub(super) fn check_pairs(value: &str, open: u8, close: u8) -> Result<(), Unsendable> {
    let part = Part::Value;
    let (mut depth, mut last) = (0_usize, 0);
    for (at, byte) in value.bytes().enumerate() {
        if byte == open {
            (depth, last) = (depth + 1, at);
        } else if byte == close {
            let Some(less) = depth.checked_sub(1) else {
                return Err(Unsendable::Forbidden { part, at });
            };
            depth = less;
        }
    }
    if depth > 0 {
        return Err(Unsendable::Forbidden { part, at: last });
    }
    Ok(())
}

/// A mark for a blank that has to be an escape in the innermost layer already, or it is trimmed.
const BLANK: char = '\u{0}';

fn outer_blanks(value: &str) -> String {
    let inner = value.trim_matches(' ');
    let start = value.len() - value.trim_start_matches(' ').len();
    let end = value.len() - start - inner.len();
    let blanks = |count: usize| BLANK.to_string().repeat(count);
    format!("{}{inner}{}", blanks(start), blanks(end))
}

/// One layer: a backslash before each quote and separator, and before a backslash that would take
/// the next character with it.
pub(super) fn layer(text: &str, separator: Option<char>) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            BLANK => out.push_str("\\s"),
            '\'' => out.push_str("\\'"),
            '\\' => {
                let harmless = chars.peek().is_some_and(|next| {
                    !matches!(
                        next,
                        '\'' | '"' | '\\' | 'n' | 'r' | 't' | 's' | ' ' | &BLANK
                    ) && Some(*next) != separator
                });
                out.push_str(if harmless { "\\" } else { "\\\\" });
            }
            // Only the first `=` splits, and that is the one behind the name.
            c if separator == Some(c) && c != '=' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
