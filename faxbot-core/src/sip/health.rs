//! What an adapter says of itself: counts, latency, and one word.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::AdapterKind;
use crate::{Error, ErrorKind, Timestamp};

/// One word for the state of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HealthStatus {
    /// Connected, and nothing below speaks against it. An idle adapter is healthy.
    Healthy,
    /// A success rate under 0.9, or a mean latency above 300 ms.
    Degraded,
    /// Not connected, or a success rate under 0.8.
    Critical,
}

/// The health of one adapter at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// The adapter's kind.
    pub adapter: AdapterKind,
    /// Whether it is connected, logged in and subscribed.
    pub connected: bool,
    /// Seconds since the present connection was made; 0 without one.
    pub uptime_seconds: u64,
    /// The counts.
    pub metrics: HealthMetrics,
    /// When this was put together, in whole seconds.
    pub last_check: Timestamp,
    /// The word that follows from the rest.
    pub status: HealthStatus,
}

impl Health {
    /// Below this success rate an adapter is critical.
    pub const CRITICAL_SUCCESS_RATE: f64 = 0.8;
    /// Below this success rate an adapter is degraded.
    pub const DEGRADED_SUCCESS_RATE: f64 = 0.9;
    /// Above this mean latency, in milliseconds, an adapter is degraded.
    pub const DEGRADED_LATENCY_MS: f64 = 300.0;

    /// Puts the parts together and works out the status. `uptime` is `None` when not connected.
    pub fn new(
        adapter: AdapterKind,
        uptime: Option<Duration>,
        metrics: HealthMetrics,
        at: Timestamp,
    ) -> Self {
        let rate = metrics.call_success_rate;
        let rate_under = |limit: f64| rate.is_some_and(|rate| rate < limit);
        let slow = metrics
            .latency
            .avg_ms
            .is_some_and(|mean| mean > Self::DEGRADED_LATENCY_MS);
        let status = if uptime.is_none() || rate_under(Self::CRITICAL_SUCCESS_RATE) {
            HealthStatus::Critical
        } else if rate_under(Self::DEGRADED_SUCCESS_RATE) || slow {
            HealthStatus::Degraded
        } else {
            HealthStatus::Healthy
        };
        Self {
            adapter,
            connected: uptime.is_some(),
            uptime_seconds: uptime.unwrap_or_default().as_secs(),
            metrics,
            last_check: at.to_seconds(),
            status,
        }
    }
}

/// The counts behind a [`Health`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HealthMetrics {
    /// Operations since the adapter was made.
    pub total_calls: u64,
    /// Of those, the ones that failed by a fault of the server or the connection.
    pub failed_calls: u64,
    /// The part of the last 100 operations that did not fail, 0 to 1; null below 10 operations.
    pub call_success_rate: Option<f64>,
    /// Calls that live now.
    pub active_calls: u64,
    /// Round trips of the last 100 commands.
    pub latency: Latency,
    /// Connections that could not be made or were lost, since the adapter was made.
    pub connection_failures: u64,
}

/// Round trips of commands, in milliseconds; null before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Latency {
    /// The shortest.
    pub min_ms: Option<f64>,
    /// The mean.
    pub avg_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
}

/// Counts for [`Health`]. Every time is an argument; it holds no clock.
#[derive(Debug, Clone, Default)]
pub struct HealthRecorder {
    connected_at: Option<Instant>,
    total: u64,
    failed: u64,
    connection_failures: u64,
    /// Whether each of the last operations went well.
    operations: VecDeque<bool>,
    round_trips: VecDeque<Duration>,
}

impl HealthRecorder {
    /// Operations and round trips that are looked back on.
    pub const WINDOW: usize = 100;
    /// Operations below which there is no success rate.
    pub const MIN_OPERATIONS: usize = 10;

    /// A recorder that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The adapter is connected, logged in and subscribed.
    pub fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
    }

    /// The adapter was disconnected on purpose.
    pub fn disconnected(&mut self) {
        self.connected_at = None;
    }

    /// A connection could not be made, or was lost.
    pub fn connection_failed(&mut self) {
        self.connected_at = None;
        self.connection_failures = self.connection_failures.saturating_add(1);
    }

    /// An operation did what it should. Busy, no answer and a rejection by the called party belong
    /// here: they are outcomes of a call that server and connection carried well.
    pub fn succeeded(&mut self) {
        self.record(true);
    }

    /// An operation failed. Only faults of the server or the connection count; the error of a
    /// wrong argument, an unknown call or a cancelled request changes nothing. A server's refusal
    /// of a command counts: an adapter whose server refuses everything is not healthy.
    pub fn failed(&mut self, error: &Error) {
        if is_fault(error.kind()) {
            self.record(false);
        }
    }

    /// The time from a command to its answer.
    pub fn round_trip(&mut self, took: Duration) {
        push(&mut self.round_trips, took);
    }

    /// The health now. `now` and `at` are the same moment on two clocks.
    pub fn health(
        &self,
        adapter: AdapterKind,
        active_calls: u64,
        now: Instant,
        at: Timestamp,
    ) -> Health {
        let uptime = self
            .connected_at
            .map(|since| now.saturating_duration_since(since));
        let metrics = HealthMetrics {
            total_calls: self.total,
            failed_calls: self.failed,
            call_success_rate: self.success_rate(),
            active_calls,
            latency: self.latency(),
            connection_failures: self.connection_failures,
        };
        Health::new(adapter, uptime, metrics, at)
    }

    fn record(&mut self, good: bool) {
        self.total = self.total.saturating_add(1);
        self.failed = self.failed.saturating_add(u64::from(!good));
        push(&mut self.operations, good);
    }

    fn success_rate(&self) -> Option<f64> {
        if self.operations.len() < Self::MIN_OPERATIONS {
            return None;
        }
        let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
        let good = self.operations.iter().filter(|good| **good).count();
        Some(count(good) / count(self.operations.len()))
    }

    fn latency(&self) -> Latency {
        let Some(count) = u32::try_from(self.round_trips.len())
            .ok()
            .filter(|n| *n > 0)
        else {
            return Latency::default();
        };
        let total = self
            .round_trips
            .iter()
            .fold(Duration::ZERO, |sum, took| sum.saturating_add(*took));
        Latency {
            min_ms: self.round_trips.iter().min().copied().map(milliseconds),
            avg_ms: total.checked_div(count).map(milliseconds),
            max_ms: self.round_trips.iter().max().copied().map(milliseconds),
        }
    }
}

fn push<T>(window: &mut VecDeque<T>, item: T) {
    if window.len() >= HealthRecorder::WINDOW {
        window.pop_front();
    }
    window.push_back(item);
}

/// Milliseconds with three decimals: more is noise, and whole ones are 0 on one machine.
fn milliseconds(duration: Duration) -> f64 {
    let rounded = duration.saturating_add(Duration::from_nanos(500));
    let micros = u32::try_from(rounded.as_micros()).map_or(f64::from(u32::MAX), f64::from);
    micros / 1000.0
}

fn is_fault(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Authentication
        | ErrorKind::PermissionDenied
        | ErrorKind::NotConnected
        | ErrorKind::Closed
        | ErrorKind::Timeout
        | ErrorKind::Overloaded
        | ErrorKind::ServerBusy
        | ErrorKind::Rejected
        | ErrorKind::Protocol
        | ErrorKind::Io
        | ErrorKind::OutcomeUnknown
        | ErrorKind::Internal => true,
        ErrorKind::Config
        | ErrorKind::InvalidRequest
        | ErrorKind::Unsupported
        | ErrorKind::InvalidState
        | ErrorKind::NotFound
        | ErrorKind::Document
        | ErrorKind::Cancelled
        | ErrorKind::NoRuntime => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(good: usize, bad: usize) -> (HealthRecorder, Instant) {
        let start = Instant::now();
        let mut recorder = HealthRecorder::new();
        recorder.connected(start);
        let fault = Error::new(ErrorKind::Timeout, "test", "no answer");
        (0..bad).for_each(|_| recorder.failed(&fault));
        (0..good).for_each(|_| recorder.succeeded());
        (recorder, start)
    }

    fn health(recorder: &HealthRecorder, now: Instant) -> Health {
        let at = "2026-11-21T08:00:00.75Z".parse().unwrap();
        recorder.health(AdapterKind::ASTERISK, 1, now, at)
    }

    #[test]
    fn an_idle_adapter_is_healthy_and_an_unconnected_one_critical() {
        let (mut recorder, start) = recorder(0, 0);
        let idle = health(&recorder, start + Duration::from_secs(90));
        assert_eq!(idle.status, HealthStatus::Healthy);
        assert_eq!((idle.connected, idle.uptime_seconds), (true, 90));
        assert_eq!(idle.metrics.call_success_rate, None);
        recorder.connection_failed();
        let cut = health(&recorder, start);
        assert_eq!(cut.status, HealthStatus::Critical);
        assert_eq!((cut.connected, cut.uptime_seconds), (false, 0));
        assert_eq!(cut.metrics.connection_failures, 1);
    }

    #[test]
    fn the_success_rate_decides_from_ten_operations_on() {
        for (good, bad, rate, status) in [
            (0, 9, None, HealthStatus::Healthy),
            (0, 10, Some(0.0), HealthStatus::Critical),
            (79, 21, Some(0.79), HealthStatus::Critical),
            (8, 2, Some(0.8), HealthStatus::Degraded),
            (89, 11, Some(0.89), HealthStatus::Degraded),
            (9, 1, Some(0.9), HealthStatus::Healthy),
        ] {
            let (recorder, start) = recorder(good, bad);
            let health = health(&recorder, start);
            assert_eq!(health.metrics.call_success_rate, rate, "{good} {bad}");
            assert_eq!(health.status, status, "{good} {bad}");
        }
    }

    #[test]
    fn only_the_last_hundred_operations_decide() {
        let (recorder, start) = recorder(100, 50);
        let health = health(&recorder, start);
        assert_eq!(health.metrics.call_success_rate, Some(1.0));
        assert_eq!(health.metrics.total_calls, 150);
        assert_eq!(health.metrics.failed_calls, 50);
    }

    #[test]
    fn the_callers_mistakes_do_not_count() {
        let (mut recorder, start) = recorder(0, 0);
        for kind in [
            ErrorKind::InvalidRequest,
            ErrorKind::NotFound,
            ErrorKind::Cancelled,
        ] {
            recorder.failed(&Error::new(kind, "test", "no"));
        }
        assert_eq!(health(&recorder, start).metrics.total_calls, 0);
        recorder.failed(&Error::new(ErrorKind::Rejected, "test", "no"));
        assert_eq!(health(&recorder, start).metrics.failed_calls, 1);
    }

    #[test]
    fn a_mean_above_300_ms_is_degraded() {
        let (mut recorder, start) = recorder(10, 0);
        recorder.round_trip(Duration::from_millis(200));
        recorder.round_trip(Duration::from_millis(400));
        let fine = health(&recorder, start);
        assert_eq!(fine.status, HealthStatus::Healthy);
        assert_eq!(fine.metrics.latency.avg_ms, Some(300.0));
        recorder.round_trip(Duration::from_micros(400_500));
        let slow = health(&recorder, start);
        assert_eq!(slow.status, HealthStatus::Degraded);
        assert_eq!(slow.metrics.latency.min_ms, Some(200.0));
        assert_eq!(slow.metrics.latency.max_ms, Some(400.5));
    }
}
