//! How lines are read and masked for the transcript.

use bytes::BytesMut;
use faxbot_sip::protocol::{
    session::Codec as _,
    yate::{Kind, MAX_LINE, Role, YateCodec},
};

use crate::server::record::Masking;

/// Parameters whose values hold no personal data. All others show as `***`.
const PLAIN: [&str; 30] = [
    "->",
    "answered",
    "billid",
    "cause_sip",
    "chan",
    "code",
    "direction",
    "error",
    "faxpages",
    "faxtype",
    "filter",
    "handlers",
    "id",
    "lastpeerid",
    "maxcall",
    "message",
    "module",
    "name",
    "operation",
    "peerid",
    "priority",
    "processed",
    "reason_sip",
    "route_type",
    "runid",
    "status",
    "targetid",
    "time",
    "timeout",
    "users",
];

pub(super) const MASKING: Masking = Masking { read, plain };

fn read(line: &[u8]) -> Vec<(String, String)> {
    let mut input = BytesMut::from(line);
    let mut codec = YateCodec::new(Role::Client, MAX_LINE);
    let Ok(Some(frame)) = codec.decode(&mut input) else {
        return Vec::new();
    };
    let said = |text: String| vec![("->".to_owned(), text)];
    let Some(message) = frame.message() else {
        return match (frame.kind(), frame.confirmation()) {
            (_, Some(it)) => said(format!("{} {} {}", it.verb.word(), it.name, it.ok)),
            (Kind::Error, _) => said("Error in".to_owned()),
            _ => said("a line".to_owned()),
        };
    };
    let kind = match frame.kind() {
        Kind::Request => "asks",
        Kind::Answer => "answers",
        _ => "tells",
    };
    let processed = message.is_processed();
    let mut all = said(format!("{kind} {} {processed}", message.name()));
    all.extend(message.params().map(|param| {
        let value = param.text().unwrap_or_default().into_owned();
        (param.name().into_owned(), value)
    }));
    all
}

fn plain(name: &str, _value: &str) -> bool {
    PLAIN.contains(&name)
}
