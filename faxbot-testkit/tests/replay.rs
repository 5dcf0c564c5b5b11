//! The recordings load, and replay to the same bytes however they are cut.
#![cfg(test)]

use faxbot_testkit::{
    fixtures::{self, FixtureError},
    random::Seed,
    replay::{Chunking, Direction, Recording},
};
use tokio::io::AsyncReadExt;

#[test]
fn every_recording_loads_and_has_server_bytes() {
    let names = fixtures::names().unwrap();
    assert!(names.len() > 100, "{}", names.len());
    for name in &names {
        let recording = Recording::load_channels(name).unwrap();
        assert!(!recording.connections().is_empty(), "{name}");
        let chunks = recording.chunks().iter();
        let all: usize = chunks.map(|chunk| chunk.bytes.len()).sum();
        assert!(all > 0, "{name}");
    }
}

#[test]
fn a_recording_of_several_channels_is_taken_apart() {
    let name = "kamailio/ctd_bridge_ok_with_job_header";
    let all = Recording::load_channels(name).unwrap();
    let rpc = all.channel("rpc");
    assert!(rpc.client_bytes(1).starts_with(b"POST /RPC HTTP/1.1\r\n"));
    assert!(rpc.server_bytes(1).starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(all.channel("evapi").server_bytes(2).starts_with(b"47:{"));
    // None of its lines is without a channel.
    assert!(Recording::load(name).unwrap().chunks().is_empty());
    let events = Recording::load_channels("opensips/03_events_datagram_calls").unwrap();
    assert!(!events.channel("event_datagram").chunks().is_empty());
}

#[test]
fn bursts_are_listed_apart() {
    assert!(
        fixtures::names()
            .unwrap()
            .iter()
            .all(|name| !fixtures::is_burst(name))
    );
    if fixtures::root().join(fixtures::BURSTS).is_dir() {
        assert!(
            fixtures::all_names()
                .unwrap()
                .iter()
                .any(|name| fixtures::is_burst(name))
        );
    } else {
        let error = Recording::load("bursts/07_burst_200_calls_full").unwrap_err();
        assert!(
            matches!(error, FixtureError::BurstsNotShipped { .. }),
            "{error}"
        );
    }
}

#[test]
fn an_unknown_name_and_a_path_out_of_the_folder_are_not_found() {
    for name in [
        "asterisk/nothing",
        "../Cargo",
        "asterisk/../asterisk/01_banner",
        "",
        "/etc/passwd",
    ] {
        assert!(
            matches!(Recording::load(name), Err(FixtureError::NotFound { .. })),
            "{name} should not be found"
        );
    }
}

#[test]
fn a_recording_gives_the_banner_first() {
    let recording = Recording::load("asterisk/06_fax_t38_app_ok").unwrap();
    assert!(
        recording
            .server_bytes(1)
            .starts_with(b"Asterisk Call Manager/11.0.0\r\nResponse: ")
    );
    assert!(recording.client_bytes(1).starts_with(b"Action: Login\r\n"));
}

#[test]
fn base64_lines_give_bytes_that_are_not_text() {
    let line = r#"{"t": 0.5, "conn": 2, "dir": "s2c", "b64": "AP/pDQo="}"#;
    let recording = Recording::read("here", line.as_bytes()).unwrap();
    assert_eq!(&recording.server_bytes(2)[..], b"\x00\xff\xe9\r\n");
}

#[test]
fn broken_lines_are_named_with_their_number() {
    let lines =
        "{\"t\":0,\"dir\":\"s2c\",\"text\":\"x\"}\n{\"t\":0,\"dir\":\"up\",\"text\":\"x\"}\n";
    let error = Recording::read("here", lines.as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "recording here, line 2: dir is neither c2s nor s2c"
    );
}

#[tokio::test]
async fn a_replay_gives_the_same_bytes_however_it_is_cut() {
    let recording = Recording::load("asterisk/06_fax_busy").unwrap();
    let expected = recording.server_bytes(1);
    let ways = [
        Chunking::Recorded,
        Chunking::Whole,
        Chunking::Every(1),
        Chunking::Every(1000),
        Chunking::Random {
            seed: Seed(7),
            max: 90,
        },
    ];
    for way in ways {
        let (mut near, mut far) = tokio::io::duplex(512);
        let play = async {
            let n = recording
                .replay(1, Direction::ToClient, way, &mut near)
                .await
                .unwrap();
            drop(near);
            n
        };
        let mut got = Vec::new();
        let (n, read) = tokio::join!(play, far.read_to_end(&mut got));
        read.unwrap();
        assert_eq!(n, expected.len());
        assert_eq!(got, expected, "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timed_replay_keeps_the_recorded_times() {
    let recording = Recording::load("asterisk/06_fax_t38_app_ok").unwrap();
    let (mut near, mut far) = tokio::io::duplex(1 << 20);
    let start = tokio::time::Instant::now();
    recording
        .replay_timed(1, Direction::ToClient, &mut near)
        .await
        .unwrap();
    drop(near);
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 22);
    assert_eq!(got, recording.server_bytes(1));
}
