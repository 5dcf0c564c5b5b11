//! One case, and the run of many.

use std::{fmt, future::Future, panic, process::ExitCode, sync::mpsc, thread, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};

/// A case that takes longer has failed: nothing in a suite may wait for ever.
const LIMIT: Duration = Duration::from_secs(120);

/// Cases that run at once unless the command line says otherwise.
const THREADS: usize = 6;

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The end of a case.
pub type Verdict = Result<(), Failure>;

type Body = Box<dyn FnOnce() -> Verdict + Send>;

/// Why a case failed. Made from any error by `?`.
pub struct Failure(String);

impl Failure {
    /// A failure in words.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(format!("unexpected error: {error} ({error:?})"))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One named test of a suite.
pub struct Case {
    name: String,
    skip: Option<String>,
    body: Body,
}

impl Case {
    /// A case that runs `body`. A panic in it is a failure too.
    pub fn new(name: impl Into<String>, body: impl FnOnce() -> Verdict + Send + 'static) -> Self {
        Self {
            name: name.into(),
            skip: None,
            body: Box::new(body),
        }
    }

    /// A case on a runtime of its own (two threads, real time), ended after two minutes.
    pub fn on_runtime<F>(name: impl Into<String>, body: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Verdict> + Send + 'static,
    {
        Self::new(name, move || {
            let (done, verdict) = mpsc::channel();
            // A thread of its own: a lock that is taken twice blocks it for ever, and must fail
            // this case and not stop the run.
            thread::spawn(move || {
                let ran = panic::catch_unwind(panic::AssertUnwindSafe(|| on_runtime(body)));
                let _ = done.send(ran.unwrap_or_else(|_| Err(Failure::new("panicked"))));
            });
            verdict
                .recv_timeout(LIMIT + Duration::from_secs(5))
                .unwrap_or_else(|_| Err(Failure::new("its thread is blocked")))
        })
    }

    /// A case that cannot run here. It is listed with the reason, counted as ignored, and fails
    /// when somebody insists on running it.
    pub fn skipped(name: impl Into<String>, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            name: name.into(),
            body: Box::new({
                let reason = reason.clone();
                move || Err(Failure(format!("cannot run here: {reason}")))
            }),
            skip: Some(reason),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it is skipped, if it is.
    pub fn skip_reason(&self) -> Option<&str> {
        self.skip.as_deref()
    }

    /// The same case under `prefix: name`.
    #[must_use]
    pub fn in_suite(mut self, prefix: &str) -> Self {
        self.name = format!("{prefix}: {}", self.name);
        self
    }

    fn into_trial(self) -> Trial {
        let body = self.body;
        let run = move || body().map_err(|why| Failed::from(why.0));
        let trial = Trial::test(self.name, run);
        match self.skip {
            Some(reason) => trial
                .with_kind(format!("skipped: {reason}"))
                .with_ignored_flag(true),
            None => trial,
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("skip", &self.skip)
            .finish_non_exhaustive()
    }
}

fn on_runtime<F: Future<Output = Verdict> + Send>(body: impl FnOnce() -> F) -> Verdict {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let verdict = runtime.block_on(async {
        // Boxed: the bodies of cases are large.
        let body = Box::pin(body());
        tokio::time::timeout(LIMIT, body).await
    });
    // What a case left running must not outlive it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    verdict.unwrap_or_else(|_| Err(Failure(format!("no end within {LIMIT:?}"))))
}

/// Runs the cases as the test program was asked to (filters, `--list`, `--ignored`), and answers
/// its exit code. No case, or none that can run, is a failure: a suite that tests nothing must not
/// look like one that passed.
pub fn run(cases: Vec<Case>) -> ExitCode {
    crate::logs::to_directory();
    let mut arguments = Arguments::from_args();
    // Cases wait most of their time.
    arguments.test_threads.get_or_insert(THREADS);
    if cases.iter().all(|case| case.skip.is_some()) {
        eprintln!("{} cases, and none that can run", cases.len());
        return ExitCode::FAILURE;
    }
    let trials = cases.into_iter().map(Case::into_trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Waits until `holds` is true, at most `limit`.
///
/// # Errors
/// A [`Failure`] with `what` when it did not become true.
///
/// # Cancel safety
/// Only looks.
pub async fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Verdict {
    let end = tokio::time::Instant::now() + limit;
    while !holds() {
        if tokio::time::Instant::now() >= end {
            return Err(Failure(format!("not within {limit:?}: {what}")));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Awaits `future`, at most `limit`.
///
/// # Errors
/// A [`Failure`] with `what` when it took longer.
///
/// # Cancel safety
/// As the future: it is dropped at the limit.
pub async fn within<T>(
    what: &str,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, Box::pin(future))
        .await
        .map_err(|_| Failure(format!("no end within {limit:?}: {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_case_fails_when_it_is_run() {
        let case = Case::skipped("x", "no server").in_suite("suite");
        assert_eq!(
            (case.name(), case.skip_reason()),
            ("suite: x", Some("no server"))
        );
        assert!(format!("{:?}", (case.body)().unwrap_err()).contains("no server"));
    }

    #[test]
    fn an_error_becomes_a_failure_with_its_text() {
        let case = Case::on_runtime("x", || async {
            "x".parse::<u8>()?;
            Ok(())
        });
        assert!(format!("{:?}", (case.body)().unwrap_err()).contains("invalid digit"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_never_holds_is_a_failure() {
        assert!(
            eventually("never", Duration::from_secs(5), || false)
                .await
                .is_err()
        );
        assert!(eventually("at once", Duration::ZERO, || true).await.is_ok());
        assert!(
            within(
                "never",
                Duration::from_secs(5),
                std::future::pending::<()>()
            )
            .await
            .is_err()
        );
    }
}
