//! Values that the server expands.

use std::fmt;

use super::variables::{VariableError, check_name, refused};
use crate::protocol::guard::{self, Part, Unsendable};

/// A value with `${...}`, for [`Variables::template`](super::Variables::template). Text and
/// variables are told apart, so that text from outside never becomes a variable.
///
/// ```
/// use faxbot_sip::protocol::esl::{Template, Variables};
///
/// let hook = Template::new()
///     .text("db insert/faxbot/4d3f/")?
///     .variables('|', &["fax_success", "hangup_cause"])?;
/// assert_eq!(&*hook, "db insert/faxbot/4d3f/${fax_success}|${hangup_cause}");
/// assert!(Template::new().text("${system(reboot)}").is_err());
/// let line = Variables::new().template("api_hangup_hook", &hook)?;
/// # Ok::<(), faxbot_sip::protocol::esl::VariableError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Template {
    text: String,
}

impl Template {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds text that arrives as it is.
    ///
    /// # Errors
    /// [`VariableError::Value`] for CR, LF, NUL, and for what the expansion takes as its own: `$`,
    /// braces, quotes and backslashes, which it eats (recording `09_hook_hostile_values`).
    pub fn text(mut self, text: &str) -> Result<Self, VariableError> {
        let part = Part::Value;
        guard::text(part, text.as_bytes())
            .and_then(
                |()| match text.find(['$', '{', '}', '\\', '\'', '"', '`']) {
                    None => Ok(()),
                    Some(at) => Err(Unsendable::Forbidden { part, at }),
                },
            )
            .map_err(|source| refused("template", source))?;
        self.text.push_str(text);
        Ok(self)
    }

    /// Adds a variable of the channel. What it holds is not expanded again (recording
    /// `09_hook_hostile_values`).
    ///
    /// # Errors
    /// [`VariableError::Name`].
    pub fn variable(mut self, name: &str) -> Result<Self, VariableError> {
        check_name(name).map_err(VariableError::Name)?;
        self.text.extend(["${", name, "}"]);
        Ok(self)
    }

    /// Adds variables with a character between them. Free text, and what the far end chooses,
    /// belongs at the end: it may hold the character.
    ///
    /// # Errors
    /// As [`text`](Self::text) and [`variable`](Self::variable).
    pub fn variables(self, between: char, names: &[&str]) -> Result<Self, VariableError> {
        let between = between.to_string();
        let all = names.iter().enumerate();
        all.into_iter().try_fold(self, |it, (n, name)| {
            it.text(if n == 0 { "" } else { &between })?.variable(name)
        })
    }
}

impl std::ops::Deref for Template {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template(..)")
    }
}
