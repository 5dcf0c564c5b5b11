//! Steps to drawn pages.

use faxbot_core::{DocumentReason, Error, Result, document::ConvertOptions};

use super::{
    super::{
        convert::OPERATION,
        output::{FaxFile, check_pages, check_pixels, too_large},
        part::Job,
        worker::Stop,
    },
    cell::{Cell, Step},
    paper::{Paper, Press},
    wrap::Pages,
};

/// So many steps are made between two looks whether the work is still wanted.
const LOOK: u32 = 4096;

/// How a text is set.
pub(super) struct Typeset {
    paper: Paper,
    options: ConvertOptions,
    /// What errors call the text.
    name: &'static str,
    title: bool,
}

impl Typeset {
    pub(super) fn new(name: &'static str, options: &ConvertOptions) -> Self {
        Self {
            paper: Paper::new(options.width),
            options: *options,
            name,
            title: false,
        }
    }

    /// Sets whether the first line is a title.
    pub(super) fn with_title(mut self, title: bool) -> Self {
        self.title = title;
        self
    }

    /// Counts the pages and checks every character. What is drawn later has as many.
    ///
    /// # Errors
    /// `Document`: `Empty`, `TooLarge`, `Timeout`, or `Unsuitable` with the first character that
    /// cannot be drawn.
    pub(super) fn count(&self, steps: impl Iterator<Item = Step>, stop: &Stop) -> Result<u32> {
        check_pixels(0, self.paper.rows(self.options.resolution), &self.options)?;
        let limit = self.options.limits.pages;
        let mut pages = 0_u32;
        self.each_page(steps, stop, |_| {
            if pages >= limit {
                let name = self.name;
                return Err(too_large(format!("the {name} has more than {limit} pages")));
            }
            pages = pages.saturating_add(1);
            Ok(())
        })?;
        check_pages(usize::try_from(pages).unwrap_or(usize::MAX), &self.options)?;
        Ok(pages)
    }

    /// Draws every page.
    pub(super) fn draw(
        &self,
        steps: impl Iterator<Item = Step>,
        job: &Job<'_>,
        out: &mut FaxFile<'_>,
    ) -> Result<()> {
        let mut press = Press::new(self.paper, &job.options)?;
        let rows = self.paper.rows(job.options.resolution);
        let mut title = self.title;
        self.each_page(steps, job.stop, |lines| {
            press.page(lines, std::mem::take(&mut title));
            out.page(rows, |rows| press.print(rows))
        })
    }

    fn each_page(
        &self,
        steps: impl Iterator<Item = Step>,
        stop: &Stop,
        on_page: impl FnMut(&[Vec<Cell>]) -> Result<()>,
    ) -> Result<()> {
        let mut pages = Pages::new(self.paper.columns, self.paper.lines, on_page);
        let mut line = 1_u64;
        let mut since_look = 0;
        for step in steps {
            since_look += 1;
            if since_look == LOOK {
                since_look = 0;
                stop.check()?;
            }
            match step {
                Step::Refused(character) => return Err(self.refused(character, line)),
                Step::Line => line = line.saturating_add(1),
                _ => {}
            }
            pages.step(step)?;
        }
        pages.finish()
    }

    /// The character is no secret where its neighbours are not known.
    fn refused(&self, character: char, line: u64) -> Error {
        let (name, code) = (self.name, u32::from(character));
        unsuitable(format!(
            "line {line} of the {name} has the character U+{code:04X}, which cannot be drawn: send \
             it as pdf"
        ))
    }
}

pub(super) fn unsuitable(message: String) -> Error {
    Error::document(OPERATION, DocumentReason::Unsuitable, message)
}
