//! The event stream of OpenSIPS. Its session asks nothing, so that the codec alone has cases.

use std::sync::Arc;

use bytes::Bytes;
use faxbot_sip::protocol::jsonrpc::EventCodec;
use faxbot_testkit::{
    conformance::{
        Case,
        codec::{self, CodecEnv},
    },
    replay::{Direction, Recording},
};

use super::MAX;

pub(crate) fn cases() -> Vec<Case> {
    codec::cases(Arc::new(Events))
}

struct Events;

impl CodecEnv for Events {
    type Codec = EventCodec;

    fn name(&self) -> String {
        "opensips event codec".to_owned()
    }

    fn codec(&self) -> EventCodec {
        EventCodec::new(MAX)
    }

    fn samples(&self) -> Vec<(String, Bytes)> {
        let names = [
            "03_event_stream_reconnect",
            "03_event_stream_reliable_answered",
            "03_event_stream_two_subscribers_large_events",
            "03_events_custom_and_states",
        ];
        let mut samples = Vec::new();
        for name in names {
            let recording = Recording::load_channels(&format!("opensips/{name}")).unwrap();
            let events = recording.channel("event_stream");
            for conn in events.connections() {
                let bytes = events.bytes(conn, Direction::ToServer);
                samples.push((format!("{name} {conn}"), bytes));
            }
        }
        assert!(samples.len() > 4, "{}", samples.len());
        samples
    }

    fn describe(&self, frame: &Bytes) -> Vec<u8> {
        frame.to_vec()
    }

    fn most_buffered(&self) -> usize {
        MAX
    }

    fn endless(&self) -> Vec<(Bytes, Bytes)> {
        [
            ("{\"a\":\"", "x"),
            ("{", "{"),
            ("{\"a\":[", "[],"),
            ("{\"", "\\\""),
        ]
        .map(|(first, again)| (Bytes::from(first), Bytes::from(again)))
        .into()
    }
}
