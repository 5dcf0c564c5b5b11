//! Cover pages.

use std::{collections::BTreeMap, fmt};

/// A cover page: a text template and what goes into it.
///
/// `{name}` in the template stands for the field of that name, `{{` and `}}` for braces. The
/// converter fills `{pages}` (of the whole fax, the cover included) and `{date}` unless they are
/// given. A line whose fields are all empty or absent is left out, so that one template does for
/// many. Fields that the template does not name are ignored.
///
/// ```
/// use faxbot_core::document::{CoverPage, Document};
///
/// let cover = CoverPage::new()
///     .with_field("to", "Dr. Example")
///     .with_field("subject", "Referral");
/// let fax = Document::combined([Document::cover(cover), Document::path("letter.pdf")]);
/// # let _ = fax;
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoverPage {
    /// The template; that of the converter by default, which has the fields `to`, `fax`, `from`,
    /// `phone`, `subject` and `message`.
    pub template: Option<String>,
    /// The fields.
    pub fields: BTreeMap<String, String>,
}

impl CoverPage {
    /// A cover page with the converter's template and no fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the template.
    #[must_use]
    pub fn with_template(mut self, template: impl Into<String>) -> Self {
        self.template = Some(template.into());
        self
    }

    /// Sets a field. It may have several lines.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }
}

impl fmt::Debug for CoverPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoverPage")
            .field("fields", &self.fields.len())
            .finish_non_exhaustive()
    }
}
