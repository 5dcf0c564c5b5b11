//! How frames of the event socket are read and masked for the transcript.

use bytes::BytesMut;
use faxbot_sip::protocol::{
    esl::{EslCodec, MAX_FRAME, Role},
    session::Codec,
};

use crate::server::record::Masking;

/// Headers whose values hold no personal data. All others show as `***`.
const PLAIN: [&str; 44] = [
    "API-Command",
    "Api-Command",
    "Action",
    "Answer-State",
    "Application",
    "Call-Direction",
    "Channel-Call-State",
    "Channel-State",
    "Command",
    "Content-Disposition",
    "Content-Length",
    "Content-Type",
    "Control",
    "Core-UUID",
    "Event-Name",
    "Event-Sequence",
    "Event-Subclass",
    "Event-UUID",
    "Hangup-Cause",
    "Job-Command",
    "Job-UUID",
    "Linger-Time",
    "Member-ID",
    "Old-Unique-ID",
    "Other-Leg-Unique-ID",
    "Socket-Mode",
    "Unique-ID",
    "call-command",
    "event-lock",
    "execute-app-name",
    "fax-document-total-pages",
    "fax-document-transferred-pages",
    "fax-ecm-used",
    "fax-result-code",
    "fax-success",
    "fax-t38-status",
    "fax-transfer-rate",
    "hangup-cause",
    "loops",
    "variable_fax_result_code",
    "variable_fax_success",
    "variable_hangup_cause",
    "variable_proto_specific_hangup_cause",
    "variable_sip_term_status",
];

/// Starts of the names of headers that only fill an event.
const FILLER: [&str; 9] = [
    "Caller-",
    "Channel-Read-",
    "Channel-Write-",
    "Event-Calling-",
    "Event-Date-",
    "FreeSWITCH-",
    "Other-Leg-Channel-",
    "Presence-",
    "Channel-HIT-",
];

/// Replies that name nothing of a client's.
const SAID: [&str; 12] = [
    "+OK",
    "+OK\n",
    "+OK accepted",
    "+OK bye",
    "+OK event listener enabled json",
    "+OK event listener enabled plain",
    "-ERR Not found\n",
    "-ERR command not found",
    "-ERR invalid",
    "-ERR no reply\n",
    "false",
    "true",
];

pub(super) const MASKING: Masking = Masking { read, plain };

/// The headers of a frame, and of the event in it.
fn read(frame: &[u8]) -> Vec<(String, String)> {
    let mut codec = EslCodec::new(Role::Client, MAX_FRAME);
    let mut input = BytesMut::from(frame);
    let mut found = Vec::new();
    while let Ok(Some(frame)) = codec.decode(&mut input) {
        match frame.event() {
            Ok(Some(event)) => {
                let headers = event.headers();
                found.extend(
                    headers.map(|(name, value)| (name.into_owned(), value.text().into_owned())),
                );
            }
            _ => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                found.extend(
                    frame
                        .headers()
                        .map(|(name, value)| (text(name), text(value))),
                );
                if !frame.body().is_empty() {
                    found.push(("body".to_owned(), text(frame.body())));
                }
            }
        }
    }
    // What fills an event shows nothing here.
    found.retain(|(name, _)| {
        let filler = FILLER.iter().any(|start| name.starts_with(start));
        !filler && (!name.starts_with("variable_") || PLAIN.contains(&name.as_str()))
    });
    found
}

fn plain(name: &str, value: &str) -> bool {
    PLAIN.contains(&name) || SAID.contains(&value)
}
