//! Pages that are drawn on several threads and written in their order.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use faxbot_core::Result;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    output::{DrawnPage, FaxFile},
    part::Job,
    worker::{STACK_BYTES, Stop, Threads, panicked},
};

/// Coded pages for each thread that may wait for an earlier page. A page of text is 30 KB.
const AHEAD: usize = 4;

/// How often a thread that waits looks whether the conversion is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// The pages of a part, given out first to last and taken back in any order.
pub(super) struct Pages<'a, 'f> {
    count: usize,
    ahead: usize,
    stop: &'a Stop,
    threads: &'a Threads,
    /// The first page that failed. Later ones are not wanted any more, earlier ones are: the error
    /// of a document does not depend on which thread was faster.
    failed_at: Arc<AtomicUsize>,
    state: Mutex<State<'a, 'f>>,
    moved: Condvar,
}

struct State<'a, 'f> {
    out: &'a mut FaxFile<'f>,
    given: usize,
    written: usize,
    waiting: BTreeMap<usize, DrawnPage>,
    result: Result<()>,
}

/// A thread that draws. It holds its place among all conversions.
pub(super) struct Seat(Option<OwnedSemaphorePermit>);

/// Draws `count` pages by `work` on this thread and on as many others as are free, and adds them to
/// `out`. `work` asks for pages until there is none.
pub(super) fn draw_pages<'f>(
    job: &Job<'_>,
    out: &mut FaxFile<'f>,
    count: usize,
    work: impl Fn(&Pages<'_, 'f>, Seat) + Sync,
) -> Result<()> {
    let places = job.threads.take(count.saturating_sub(1));
    let pages = Pages {
        count,
        ahead: AHEAD.saturating_mul(places.len().saturating_add(1)),
        stop: job.stop,
        threads: job.threads,
        failed_at: Arc::new(AtomicUsize::new(usize::MAX)),
        state: Mutex::new(State {
            out,
            given: 0,
            written: 0,
            waiting: BTreeMap::new(),
            result: Ok(()),
        }),
        moved: Condvar::new(),
    };
    thread::scope(|scope| {
        for place in places {
            let (pages, work) = (&pages, &work);
            // A thread that does not start leaves its pages to the others.
            let _ = thread::Builder::new()
                .name("faxbot-page".to_owned())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, move || work(pages, Seat(Some(place))));
        }
        work(&pages, Seat(None));
    });
    let state = pages.state.into_inner();
    state.unwrap_or_else(PoisonError::into_inner).result
}

impl<'a, 'f> Pages<'a, 'f> {
    /// Draws the next page by `draw`, which gets its index. `None` when there is no page left.
    ///
    /// A panic of `draw` makes the page `Document(Damaged)`.
    pub(super) fn next(&self, draw: impl FnOnce(usize, &Stop) -> Result<DrawnPage>) -> Option<()> {
        let index = self.claim()?;
        let stop = self.stop.until(self.failed_at.clone(), index);
        let drawn = catch_unwind(AssertUnwindSafe(|| draw(index, &stop)));
        self.give_back(index, drawn.unwrap_or_else(|_| Err(panicked())));
        Some(())
    }

    /// Gives a waiting conversion the seat, if there is one. `None` when it was taken.
    pub(super) fn keep(&self, seat: Seat) -> Option<Seat> {
        match seat.0 {
            None => Some(Seat(None)),
            Some(place) => self.threads.again(place).map(|place| Seat(Some(place))),
        }
    }

    fn claim(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            let index = state.given;
            if index >= self.count || index > self.failed_at.load(Ordering::Relaxed) {
                return None;
            }
            // The page that all wait for is being drawn by a thread that does not wait here.
            if index < state.written.saturating_add(self.ahead) {
                state.given = index.saturating_add(1);
                return Some(index);
            }
            if let Err(error) = self.stop.check() {
                // The page that all wait for hangs: who waits goes, and gives its place to others.
                self.fail(&mut state, index, Err(error));
                return None;
            }
            state = self
                .moved
                .wait_timeout(state, LOOK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn give_back(&self, index: usize, drawn: Result<DrawnPage>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        match drawn {
            Ok(page) => drop(state.waiting.insert(index, page)),
            Err(error) => self.fail(state, index, Err(error)),
        }
        while let Some(page) = state.waiting.remove(&state.written) {
            // Whatever happens here, those who wait have to be told.
            let added = catch_unwind(AssertUnwindSafe(|| state.out.add(page)));
            match added.unwrap_or_else(|_| Err(panicked())) {
                Ok(()) => state.written = state.written.saturating_add(1),
                Err(error) => {
                    let index = state.written;
                    self.fail(state, index, Err(error));
                    break;
                }
            }
        }
        self.moved.notify_all();
    }

    fn fail(&self, state: &mut State<'a, 'f>, index: usize, error: Result<()>) {
        if index < self.failed_at.fetch_min(index, Ordering::Relaxed) {
            state.result = error;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a, 'f>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use faxbot_core::{DocumentReason, ErrorKind, Timestamp, document::ConvertOptions};

    use super::*;
    use crate::document::{
        output::{PageRows, internal},
        zone::Zone,
    };

    /// Draws `count` pages of one more row each by `script`, on up to `threads` threads more.
    fn drawn(
        count: usize,
        threads: usize,
        script: impl Fn(usize) -> Result<()> + Sync,
    ) -> Result<u32> {
        let directory = tempfile::tempdir().unwrap();
        let options = ConvertOptions::default();
        let (stop, zone, threads) = (Stop::default(), Zone::default(), Threads::of(threads));
        let job = Job {
            options,
            total: 0,
            at: Timestamp::UNIX_EPOCH,
            zone: &zone,
            stop: &stop,
            threads: &threads,
        };
        let mut out = FaxFile::create(directory.path(), &options, &stop)?;
        draw_pages(&job, &mut out, count, |pages, _| {
            let draw = |index, stop: &Stop| {
                script(index)?;
                let mut rows = PageRows::new(&options, stop)?;
                for _ in 0..=index {
                    rows.row(&[0; 216])?;
                }
                rows.finish(u32::try_from(index + 1).unwrap())
            };
            while pages.next(draw).is_some() {}
        })?;
        let image = out.finish()?;
        let mut reader = image.reader()?;
        for index in 0..reader.page_count() {
            assert_eq!(reader.page(index).unwrap().rows, index + 1);
        }
        Ok(image.pages())
    }

    #[test]
    fn pages_are_written_in_order_by_any_number_of_threads() {
        for threads in 0..5 {
            for count in [1, 2, 40] {
                let pages = drawn(count, threads, |index| {
                    // The first pages are the slowest.
                    for _ in index..40 {
                        thread::yield_now();
                    }
                    Ok(())
                });
                assert_eq!(pages.unwrap() as usize, count);
            }
        }
    }

    #[test]
    fn the_error_of_the_first_bad_page_is_the_error() {
        for threads in 0..4 {
            let error = drawn(30, threads, |index| match index {
                7 => Err(internal("seven")),
                9 => panic!("in a test"),
                8 | 20 => Err(internal("another")),
                _ => Ok(()),
            })
            .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert!(error.to_string().contains("seven"), "{error}");
        }
    }

    #[test]
    fn a_panic_on_any_thread_is_a_damaged_document() {
        for threads in 0..4 {
            let error = drawn(30, threads, |index| {
                assert!(index < 20, "in a test");
                Ok(())
            })
            .unwrap_err();
            assert_eq!(error.document_reason(), Some(DocumentReason::Damaged));
        }
    }

    #[test]
    fn who_waits_for_a_page_that_hangs_gives_its_place_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let options = ConvertOptions::default();
        let (stop, zone, threads) = (Stop::default(), Zone::default(), Threads::of(1));
        let job = Job {
            options,
            total: 0,
            at: Timestamp::UNIX_EPOCH,
            zone: &zone,
            stop: &stop,
            threads: &threads,
        };
        let mut out = FaxFile::create(directory.path(), &options, &stop).unwrap();
        let drawn = AtomicUsize::new(0);
        let result = draw_pages(&job, &mut out, 100, |pages, seat| {
            let draw = |index, stop: &Stop| {
                if index == 0 {
                    // The other thread draws what it may, and waits.
                    while drawn.load(Ordering::Relaxed) + 1 < 2 * AHEAD {
                        thread::yield_now();
                    }
                    job.stop.set();
                    while seat.0.is_none() && threads.take(1).is_empty() {
                        thread::yield_now();
                    }
                }
                let mut rows = PageRows::new(&options, stop)?;
                rows.row(&[0; 216])?;
                drawn.fetch_add(1, Ordering::Relaxed);
                rows.finish(1)
            };
            while pages.next(draw).is_some() {}
            drop(seat);
        });
        assert_eq!(
            result.unwrap_err().document_reason(),
            Some(DocumentReason::Timeout)
        );
    }
}
