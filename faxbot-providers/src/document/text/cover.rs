//! Cover pages.

use faxbot_core::{
    Result,
    document::{ConvertOptions, CoverPage},
};

use super::{
    super::{
        output::FaxFile,
        part::{Job, Part},
        worker::Stop,
    },
    cell::{GHOST, Steps},
    template::{Fields, fill},
    typeset::Typeset,
};

/// The template where none is given. Its first line is drawn as a title, three lines high.
const TEMPLATE: &str = include_str!("cover.txt");

/// As long as every date until the year 9999.
const SOME_DATE: &str = "2000-01-01";

/// Bytes of what the caller gave.
pub(in crate::document) fn given_bytes(cover: &CoverPage) -> u64 {
    let fields = cover.fields.iter().flat_map(|(name, value)| [name, value]);
    fields
        .chain(&cover.template)
        .fold(0, |sum: u64, text| sum.saturating_add(text.len() as u64))
}

/// Opens a cover page. The number of pages in it is not known yet: it has the room of the largest.
pub(in crate::document) fn open(
    cover: &CoverPage,
    options: &ConvertOptions,
    stop: &Stop,
) -> Result<Box<dyn Part>> {
    let mut part = CoverPart {
        cover: cover.clone(),
        typeset: Typeset::new("cover page", options).with_title(cover.template.is_none()),
        bytes: options.limits.bytes,
        digits: options.limits.pages.to_string().len(),
        pages: 0,
    };
    let text = part.text(1, SOME_DATE.to_owned())?;
    part.pages = part.typeset.count(steps(&text), stop)?;
    Ok(Box::new(part))
}

struct CoverPart {
    cover: CoverPage,
    typeset: Typeset,
    bytes: u64,
    /// Of the largest number of pages.
    digits: usize,
    pages: u32,
}

impl Part for CoverPart {
    fn pages(&self) -> u32 {
        self.pages
    }

    fn draw(self: Box<Self>, job: &Job<'_>, out: &mut FaxFile<'_>) -> Result<()> {
        let text = self.text(job.total, job.zone.date(job.at))?;
        self.typeset.draw(steps(&text), job, out)
    }
}

impl CoverPart {
    /// The text, whose lines are broken alike whatever the number of pages is.
    fn text(&self, total: u32, date: String) -> Result<String> {
        let mut pages = total.to_string();
        let missing = self.digits.saturating_sub(pages.len());
        pages.extend(std::iter::repeat_n(GHOST, missing));
        let fields = Fields::new(&self.cover.fields, pages, date);
        let template = self.cover.template.as_deref().unwrap_or(TEMPLATE);
        fill(template, &fields, self.bytes)
    }
}

fn steps(text: &str) -> Steps<std::str::Chars<'_>> {
    Steps::new(text.chars()).with_ghosts()
}
