//! How many requests are under way at once. HTTP/1.1 has one a connection, so that they are
//! connections.

use std::{
    num::NonZeroUsize,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::clock::{SharedClock, later};

/// Hands out the places of all calls of a client, first come, first served.
#[derive(Debug)]
pub(super) struct Connections(Option<Places>);

#[derive(Debug)]
struct Places {
    free: Semaphore,
    wait: Duration,
    /// Until when the places of callers that left are taken.
    left: Mutex<Vec<Instant>>,
    /// One more caller left.
    leaves: Notify,
}

/// A place among the connections.
#[derive(Debug)]
pub(super) struct Place<'a> {
    held: Option<(&'a Places, SemaphorePermit<'a>)>,
    /// The deadline of a request that is under way and acts.
    until: Option<Instant>,
}

impl Connections {
    pub(super) fn unlimited() -> Self {
        Self(None)
    }

    pub(super) fn new(most: NonZeroUsize, wait: Duration) -> Self {
        Self(Some(Places {
            free: Semaphore::new(most.get().min(Semaphore::MAX_PERMITS)),
            wait,
            left: Mutex::default(),
            leaves: Notify::new(),
        }))
    }

    /// Waits for a place, `patience` and the time of these connections at most.
    pub(super) async fn place(&self, clock: &SharedClock, patience: Duration) -> Option<Place<'_>> {
        let Some(places) = &self.0 else {
            return Some(Place {
                held: None,
                until: None,
            });
        };
        let give_up = later(clock.now(), patience.min(places.wait));
        // One for the whole wait: it keeps its turn.
        let mut acquired = pin!(places.free.acquire());
        loop {
            let mut leaves = pin!(places.leaves.notified());
            // Before the look: who leaves in between must not be missed.
            leaves.as_mut().enable();
            let next = places.take_back(clock.now());
            tokio::select! {
                biased;
                permit = &mut acquired => {
                    let held = Some((places, permit.ok()?));
                    return Some(Place { held, until: None });
                }
                () = clock.sleep_until(give_up) => return None,
                () = clock.sleep_until(next.unwrap_or(give_up)) => {}
                () = leaves => {}
            }
        }
    }
}

impl Places {
    /// Frees the places of callers that left whose deadlines are over. Answers the next deadline.
    fn take_back(&self, now: Instant) -> Option<Instant> {
        let mut left = self.left();
        let before = left.len();
        left.retain(|until| *until > now);
        self.free.add_permits(before - left.len());
        left.iter().min().copied()
    }

    fn left(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// A request that acts is sent: if the caller leaves, the server may be at it until `deadline`.
    pub(super) fn acts_until(&mut self, deadline: Instant) {
        self.until = Some(deadline);
    }

    /// The request has its answer, or will not have one.
    pub(super) fn ended(&mut self) {
        self.until = None;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let (Some((places, permit)), Some(until)) = (self.held.take(), self.until) {
            permit.forget();
            places.left().push(until);
            places.leaves.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::time::Instant;

    use super::*;
    use crate::{
        Effect, ErrorKind,
        clock::TokioClock,
        http::{
            ApiCall, ApiClient, Auth, HttpClient, HttpRequest,
            fake::{Fake, Step},
        },
        random::SeededRandom,
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn api(http: &Arc<Fake>, base: &str) -> crate::Result<ApiClient> {
        let http: Arc<dyn HttpClient> = Arc::clone(http) as _;
        let base = base.parse().unwrap();
        ApiClient::over_plain_http(http, base, TokioClock::shared(), SeededRandom::shared(7))
    }

    fn call(api: &ApiClient) -> ApiCall {
        let request = HttpRequest::post(api.url(&["mi"]).unwrap(), "{}");
        ApiCall::act("make_call", request).without_repeats()
    }

    fn most(connections: usize) -> NonZeroUsize {
        NonZeroUsize::new(connections).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_requests_are_under_way_and_who_waits_too_long_was_not_sent() {
        let slow = Step::Late(3 * SECOND, Box::new(Step::Status(200)));
        let http = Fake::steps(&[slow]);
        let api = api(&http, "http://127.0.0.1/").unwrap();
        let api = api.with_connections(most(2), 5 * SECOND);
        let begun = Instant::now();
        let calls: Vec<_> = (0..5)
            .map(|_| {
                // Clones share the connections.
                let api = api.clone();
                tokio::spawn(async move { (api.call(call(&api)).await, begun.elapsed()) })
            })
            .collect();
        let mut ends = Vec::new();
        for call in calls {
            let (result, after) = call.await.unwrap();
            let result = result.map(|response| response.status.as_u16());
            ends.push((
                result.map_err(|error| (error.kind(), error.effect())),
                after.as_secs(),
            ));
        }
        let over = Err((ErrorKind::Overloaded, Effect::NoEffect));
        assert_eq!(
            ends,
            [
                (Ok(200), 3),
                (Ok(200), 3),
                (Ok(200), 6),
                (Ok(200), 6),
                (over, 5)
            ]
        );
        assert_eq!(http.count(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_place_of_a_failed_call_and_of_a_dropped_one_that_reads_is_free_again() {
        let http = Fake::new(|number, _| match number {
            0 => Step::Hangs,
            1 => Step::Fails(ErrorKind::Io),
            _ => Step::Status(200),
        });
        let api = api(&http, "http://127.0.0.1/").unwrap();
        let api = api.with_connections(most(1), Duration::ZERO);
        let read = ApiCall::read("get_status", HttpRequest::get(api.url(&["mi"]).unwrap()));
        let dropped = tokio::time::timeout(SECOND, api.call(read)).await;
        assert!(dropped.is_err());
        assert!(api.call(call(&api)).await.is_err());
        assert!(api.call(call(&api)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_place_of_a_dropped_call_that_acts_is_taken_until_its_deadline() {
        let http = Fake::new(|number, _| match number {
            0 | 1 => Step::Hangs,
            _ => Step::Status(200),
        });
        let api = api(&http, "http://127.0.0.1/").unwrap();
        let api = api.with_connections(most(2), 40 * SECOND);
        let acts = |timeout| {
            let request = HttpRequest::post(api.url(&["mi"]).unwrap(), "{}").with_timeout(timeout);
            ApiCall::act("make_call", request).without_repeats()
        };
        let begun = Instant::now();
        // Who waits already learns of it, too.
        let held = tokio::spawn({
            let (api, call) = (api.clone(), acts(30 * SECOND));
            async move { tokio::time::timeout(3 * SECOND, api.call(call)).await }
        });
        let dropped = tokio::time::timeout(SECOND, api.call(acts(10 * SECOND))).await;
        assert!(dropped.is_err());
        assert!(api.call(call(&api)).await.is_ok());
        assert_eq!(begun.elapsed(), 10 * SECOND);
        assert!(held.await.unwrap().is_err());
        let calls = [(); 2].map(|()| {
            let api = api.clone();
            tokio::spawn(async move { api.call(call(&api)).await.is_ok() })
        });
        for done in calls {
            assert!(done.await.unwrap());
        }
        assert_eq!(begun.elapsed(), 10 * SECOND);
        assert_eq!(http.count(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_while_it_waits_for_a_place_takes_none() {
        let slow = Step::Late(3 * SECOND, Box::new(Step::Status(200)));
        let http = Fake::steps(&[slow]);
        let api = api(&http, "http://127.0.0.1/").unwrap();
        let api = api.with_connections(most(1), 5 * SECOND);
        let first = tokio::spawn({
            let api = api.clone();
            async move { api.call(call(&api)).await }
        });
        tokio::task::yield_now().await;
        let left = tokio::time::timeout(SECOND, api.call(call(&api))).await;
        assert!(left.is_err());
        assert!(api.call(call(&api)).await.is_ok());
        assert!(first.await.unwrap().is_ok());
        assert_eq!(http.count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_call_waits_for_a_place_within_its_patience() {
        let http = Fake::steps(&[Step::Hangs]);
        let api = api(&http, "http://127.0.0.1/").unwrap();
        let api = api
            .with_connections(most(1), 60 * SECOND)
            .with_patience(2 * SECOND);
        let _held = tokio::spawn({
            let api = api.clone();
            async move { api.call(call(&api)).await }
        });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        let read = ApiCall::read("get_status", HttpRequest::get(api.url(&["mi"]).unwrap()));
        let error = api.call(read).await.unwrap_err();
        assert_eq!(
            (error.kind(), begun.elapsed()),
            (ErrorKind::Overloaded, 2 * SECOND)
        );
    }

    #[tokio::test]
    async fn credentials_go_over_plain_http_to_another_machine_only_if_told() {
        let http = Fake::steps(&[Step::Status(200)]);
        let bearer = || Auth::Bearer("secret".into());
        let rows = [
            ("http://127.0.0.1/", true),
            ("http://localhost/", true),
            ("https://sip.example.org/", true),
            ("http://sip.example.org/", false),
            ("http://192.0.2.7/", false),
        ];
        for (base, private) in rows {
            let open = api(&http, base).unwrap();
            assert!(open.call(call(&open)).await.is_ok(), "{base}");
            let before = http.count();
            let kept = open.clone().with_auth(bearer());
            let kind = kept.call(call(&kept)).await.map_err(|error| error.kind());
            assert_eq!(kind.is_ok(), private, "{base}");
            if let Err(kind) = kind {
                assert_eq!((kind, http.count()), (ErrorKind::Config, before), "{base}");
            }
            let told = open.with_auth(bearer()).with_plain_credentials();
            assert!(told.call(call(&told)).await.is_ok(), "{base}");

            let http: Arc<dyn HttpClient> = Arc::clone(&http) as _;
            let base_url = base.parse().unwrap();
            let (clock, random) = (TokioClock::shared(), SeededRandom::shared(7));
            let strict = ApiClient::new(http, base_url, clock, random);
            assert_eq!(strict.is_ok(), private, "{base}");
        }
        for base in [
            "ftp://127.0.0.1/",
            "http://a:b@127.0.0.1/",
            "http://192.0.2.7/?x",
        ] {
            let error = api(&http, base).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{base}");
        }
    }
}
