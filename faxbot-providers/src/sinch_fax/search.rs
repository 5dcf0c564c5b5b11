//! The search for a fax with our label in Sinch's lists.
//!
//! No form of a filter for labels is published, so a list is read and searched here. The filter `to`
//! ("starts with") makes one page of a list of thousands, but a fax that it hides would be sent twice.
//! So its no counts only once it was seen to work, and only for numbers of a form that Sinch was seen to
//! tell: one that it writes in another way than we do (`+52 1` as `+52`, `+44 0` as `+44`) is in no
//! narrowed list, and no number of its form ever is in an answer.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use faxbot_core::{Effect, Error, ErrorKind, Private, Result, Timestamp, id::JobId};

use super::{
    BodyForm, MOST, SinchFax,
    list::{List, has_label},
    wire::{Fax, LABEL},
};
use crate::cloud::fax::{FaxReport, fax_of_job, is_labelled};

/// Pages of a list that are searched for one fax: 100,000 faxes.
pub(super) const MOST_PAGES: u32 = 100;
/// Most forms that are kept; the numbers of a country have some hundreds.
const MOST_FORMS: usize = 10_000;
/// What comes before the part of a number that nobody rewrites: a country code and a digit behind it.
const PREFIX: usize = 5;

/// What was seen of Sinch's numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The filter let a number through that begins as it should.
    filter_works: bool,
    /// A fax had our label, of whatever job.
    labels_kept: bool,
    forms: HashSet<Form>,
}

/// How a number begins, and how long it is.
type Form = ([u8; PREFIX], usize);

fn form(number: &str) -> Option<Form> {
    let digits = number.strip_prefix('+')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = number.as_bytes().first_chunk::<PREFIX>()?;
    plain.then_some((*prefix, number.len()))
}

impl Numbers {
    /// Notes a number of a sent fax as Sinch tells it.
    pub(super) fn saw(&self, told: &str) {
        let mut seen = self.lock();
        if seen.forms.len() < MOST_FORMS {
            seen.forms.extend(form(told));
        }
    }

    /// Notes that Sinch keeps our label.
    pub(super) fn saw_label(&self) {
        self.lock().labels_kept = true;
    }

    fn labels_kept(&self) -> bool {
        self.lock().labels_kept
    }

    /// Whether a list that was narrowed to this number holds every fax to it.
    fn are_complete(&self, to: &str) -> bool {
        let seen = self.lock();
        seen.filter_works && form(to).is_some_and(|form| seen.forms.contains(&form))
    }

    fn filter_works(&self) -> bool {
        self.lock().filter_works
    }

    fn note_filter(&self) {
        self.lock().filter_works = true;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SinchFax {
    /// The fax with our label, in a narrowed list where that is enough.
    pub(super) async fn search(
        &self,
        job: &JobId,
        to: Option<&Private>,
        since: Timestamp,
    ) -> Result<Option<FaxReport>> {
        if let Some(number) = to {
            match self.read_lists(job, to, since, Some(number.expose())).await {
                Ok((None, _))
                    if !self.numbers.are_complete(number.expose()) || !self.finds_labels() => {}
                // The filter is refused: it does not matter then.
                Err(error) if error.kind() == ErrorKind::Rejected => {}
                other => return other.map(|(found, _)| found),
            }
        }
        let (found, sample) = self.read_lists(job, to, since, None).await?;
        // Faxes, and our label on none of them.
        if found.is_none() && sample.is_some() && !self.finds_labels() {
            let message = "sinch was not seen to keep our label: set body to json";
            let error = Error::new(ErrorKind::Protocol, "find", message);
            return Err(error.with_effect(Effect::NoEffect));
        }
        // The next search is to be shorter: a number of the list proves whether the filter works.
        if found.is_none()
            && !self.numbers.filter_works()
            && let Some(sample) = sample.filter(|sample| form(sample).is_some())
        {
            let narrowed = self.read_lists(job, to, since, Some(&sample)).await;
            if let Err(error) = narrowed {
                tracing::debug!(kind = ?error.kind(), "the filter of a list could not be tried");
            }
        }
        Ok(found)
    }

    /// Whether a fax without our label is certainly none of ours. Nothing says that a form can carry
    /// labels.
    fn finds_labels(&self) -> bool {
        self.config.body == BodyForm::Json || self.numbers.labels_kept()
    }

    /// The fax, and a number of those that were read.
    async fn read_lists(
        &self,
        job: &JobId,
        to: Option<&Private>,
        since: Timestamp,
        starts: Option<&str>,
    ) -> Result<(Option<FaxReport>, Option<String>)> {
        let mut sample = None;
        for page in 1..=MOST_PAGES {
            let mut url = self.url(&[])?;
            // The operator is a part of the parameter's name.
            url.query_pairs_mut()
                .append_pair("direction", "OUTBOUND")
                .append_pair("createTime>", &since.to_seconds().to_string())
                .append_pair("pageSize", &MOST.to_string())
                .append_pair("page", &page.to_string());
            if let Some(number) = starts {
                url.query_pairs_mut().append_pair("to", number);
            }
            let list = List::read("find", self.get("find", url).await?)?;
            for number in list.numbers() {
                self.numbers.saw(number);
                if starts.is_some_and(|start| number.starts_with(start)) {
                    self.numbers.note_filter();
                }
                if sample.is_none() {
                    sample = Some(number.to_owned());
                }
            }
            let goes_on = list.goes_on(page, MOST);
            let mut reports = Vec::new();
            for raw in list.items() {
                if has_label(&raw) {
                    self.numbers.saw_label();
                }
                if is_labelled(&raw, "labels", LABEL, job) {
                    reports.push(Fax::read("find", &raw)?.report(raw));
                }
            }
            let found = fax_of_job(reports, job, to);
            if found.is_some() || !goes_on {
                return Ok((found, sample));
            }
        }
        // What was not searched must not pass for what is not there.
        let message = "sinch lists more faxes than can be searched for one: shorten lookup_window";
        Err(Error::new(ErrorKind::Protocol, "find", message).with_effect(Effect::NoEffect))
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
