//! How faxes age.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    callback::Event,
    fax::{Failure, Fax},
    vendor::MockPhaxio,
};
use crate::server::{fax_end::FaxEnd, http::Callback};

/// What happens to a fax.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// Its document is converted, or is not.
    Convert,
    /// A number is dialled.
    Dial(usize),
    /// Somebody answers, or not.
    Answer(usize),
    /// A page begins.
    Page(usize, u32),
    /// A number is done.
    End(usize),
    /// The customer's wish, or its time-out, with the code of that.
    Cancel(u32),
    /// The customer is told how it is.
    Tell,
}

/// What is to happen.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    steps: BTreeMap<(Instant, u64), Step>,
    made: u64,
}

#[derive(Debug)]
struct Step {
    fax: u64,
    run: u32,
    what: What,
}

impl Schedule {
    pub(super) fn add(&mut self, at: Instant, fax: &Fax, what: What) {
        let step = Step {
            fax: fax.id,
            run: fax.run,
            what,
        };
        self.made += 1;
        self.steps.insert((at, self.made), step);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.steps.keys().next().map(|(at, _)| *at)
    }

    fn take(&mut self, now: Instant) -> Option<(Instant, Step)> {
        let first = self.steps.first_entry()?;
        let at = first.key().0;
        (at <= now).then(|| (at, first.remove()))
    }
}

impl MockPhaxio {
    /// Everything that happened until now, and who is told.
    pub(super) fn advance(&mut self, now: Instant) -> Vec<Callback> {
        let mut told = Vec::new();
        while let Some((at, step)) = self.schedule.take(now) {
            let Some(mut fax) = self.faxes.remove(&step.fax) else {
                continue;
            };
            if fax.run == step.run {
                let event = self.step(&mut fax, at, step.what);
                let told_now = event.and_then(|event| self.callback(&fax, &event));
                told.extend(told_now);
            }
            self.faxes.insert(step.fax, fax);
        }
        told
    }

    fn step(&mut self, fax: &mut Fax, at: Instant, what: What) -> Option<Event> {
        let wall = self.wall(at);
        match what {
            What::Tell => return Some(Event::Completed),
            What::Cancel(_) if fax.is_over() => {}
            What::Cancel(id) => {
                let text = if id == 76 {
                    "Fax canceled because of a timeout"
                } else {
                    "Fax manually canceled"
                };
                fax.fails(&Failure::new("fatalError", id, text), wall);
                fax.run += 1;
                return Some(Event::Completed);
            }
            What::Convert => return self.convert(fax, at),
            What::Dial(index) => {
                let recipient = fax.recipients.get_mut(index)?;
                recipient.status = Some("ringing");
                if recipient.end != FaxEnd::Endless {
                    let answer = at + self.pace.dialling;
                    self.schedule.add(answer, fax, What::Answer(index));
                }
            }
            What::Answer(index) => return self.answer(fax, at, index),
            What::Page(index, page) => {
                let number = fax.recipients.get(index)?.number.clone();
                return self.inflight(Event::Page { number, page });
            }
            What::End(index) => {
                let failure = Failure::of(&fax.recipients.get(index)?.end);
                fax.ends(index, failure, wall);
                return fax.complete(wall).then_some(Event::Completed);
            }
        }
        None
    }

    fn convert(&mut self, fax: &mut Fax, at: Instant) -> Option<Event> {
        let ends = fax.recipients.iter().map(|it| &it.end);
        let damage = fax.order.documents.iter().find_map(|it| it.damage());
        let bad = ends.clone().find(|end| **end == FaxEnd::BadDocument);
        let failure = damage
            .or_else(|| Failure::of(bad?))
            .or_else(|| simulated(fax.order.test_fail.as_deref()?));
        if let Some(failure) = failure {
            fax.fails(&failure, self.wall(at));
            return Some(Event::Completed);
        }
        let word = ends.clone().find_map(|end| match end {
            FaxEnd::Word(word) => Some(word.clone()),
            _ => None,
        });
        fax.starts();
        if let Some(word) = word {
            fax.status = word;
            return None;
        }
        for index in 0..fax.recipients.len() {
            self.schedule.add(at, fax, What::Dial(index));
        }
        None
    }

    fn answer(&mut self, fax: &mut Fax, at: Instant, index: usize) -> Option<Event> {
        let pages = fax.pages;
        let recipient = fax.recipients.get_mut(index)?;
        if recipient.retry_count < self.redials {
            recipient.retry_count += 1;
            recipient.status = Some("willretry");
            let (number, count) = (recipient.number.clone(), recipient.retry_count);
            let again = at + self.pace.redial;
            self.schedule.add(again, fax, What::Dial(index));
            return self.inflight(Event::Retry { number, count });
        }
        let sends = match &recipient.end {
            FaxEnd::Success => pages,
            FaxEnd::FailsAfter(arrived) => pages.min(*arrived),
            _ => 0,
        };
        if sends > 0 {
            recipient.status = Some("callactive");
        }
        for page in 1..=sends {
            let begins = at + self.pace.page * (page - 1);
            self.schedule.add(begins, fax, What::Page(index, page));
        }
        let end = at + self.pace.page * sends;
        self.schedule.add(end, fax, What::End(index));
        None
    }

    fn inflight(&self, event: Event) -> Option<Event> {
        self.tells_inflight.then_some(event)
    }
}

/// A failure that a test asked for. The codes of two types are not known.
fn simulated(kind: &str) -> Option<Failure> {
    let id = match kind {
        "documentConversionError" => Some(122),
        "lineError" => Some(121),
        "faxError" => Some(119),
        _ => None,
    };
    Some(Failure {
        kind: kind.to_owned(),
        id,
        message: "Simulated failure".to_owned(),
    })
}
