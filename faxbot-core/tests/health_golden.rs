//! The serialised form of `Health` is part of the contract.
#![cfg(test)]

use std::time::{Duration, Instant};

use faxbot_core::{
    Error, ErrorKind, Timestamp,
    sip::{AdapterKind, Health, HealthRecorder, HealthStatus},
};

const GOLDEN: &str = include_str!("golden/health.json");

fn at() -> Timestamp {
    "2026-11-21T08:00:00.5Z".parse().unwrap()
}

#[test]
fn health_serialises_as_the_contract_says() {
    let start = Instant::now();
    let mut recorder = HealthRecorder::new();
    recorder.connection_failed();
    recorder.connected(start);
    recorder.failed(&Error::new(ErrorKind::Timeout, "make_call", "no answer"));
    (0..9).for_each(|_| recorder.succeeded());
    recorder.round_trip(Duration::from_micros(1_500));
    recorder.round_trip(Duration::from_millis(3));
    let now = start + Duration::from_millis(90_400);
    let health = recorder.health(AdapterKind::ASTERISK, 2, now, at());
    assert_eq!(
        serde_json::to_string_pretty(&health).unwrap(),
        GOLDEN.trim_end()
    );
    assert_eq!(serde_json::from_str::<Health>(GOLDEN).unwrap(), health);
}

#[test]
fn no_data_is_null_and_decides_nothing() {
    let start = Instant::now();
    let mut recorder = HealthRecorder::new();
    recorder.connected(start);
    let health = recorder.health(AdapterKind::ASTERISK, 0, start, at());
    let json = serde_json::to_value(&health).unwrap();
    assert!(json["metrics"]["call_success_rate"].is_null());
    assert!(json["metrics"]["latency"]["avg_ms"].is_null());
    assert_eq!(health.status, HealthStatus::Healthy);
}
