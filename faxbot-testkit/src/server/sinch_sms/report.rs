//! Delivery reports (sinch-sdk-node `packages/sms/src/models/v1`, delivery-report and
//! recipient-delivery-report).

use faxbot_core::Timestamp;
use serde_json::{Map, Value, json};

use super::{batch::Batch, message::Message, message::Step};
use crate::server::sinch::{with_millis, with_seconds};

/// Of a batch: its messages by state. A summary has no recipients.
pub(super) fn of_batch(
    batch: &Batch,
    now: Timestamp,
    full: bool,
    wanted: impl Fn(&Step) -> bool,
) -> Value {
    let mut groups: Vec<(&Step, Vec<&str>)> = Vec::new();
    for message in &batch.messages {
        let Some(step) = message.state(now).filter(|step| wanted(step)) else {
            continue;
        };
        let group = groups
            .iter_mut()
            .find(|(other, _)| (other.code, &other.word) == (step.code, &step.word));
        match group {
            Some((_, recipients)) => recipients.push(&message.to),
            None => groups.push((step, vec![&message.to])),
        }
    }
    let statuses: Vec<Value> = groups
        .into_iter()
        .map(|(step, recipients)| {
            let mut status =
                json!({"code": step.code, "count": recipients.len(), "status": step.word});
            if let (true, Some(map)) = (full, status.as_object_mut()) {
                map.insert("recipients".into(), json!(recipients));
            }
            status
        })
        .collect();
    let mut map = base(batch, "delivery_report");
    map.insert("statuses".into(), json!(statuses));
    map.insert("total_message_count".into(), json!(batch.messages.len()));
    Value::Object(map)
}

/// Of one recipient in one state.
pub(super) fn of_message(batch: &Batch, message: &Message, step: &Step) -> Value {
    let mut map = base(batch, "recipient_delivery_report");
    for (name, value) in [
        ("recipient", json!(message.to)),
        ("code", json!(step.code)),
        ("status", json!(step.word)),
        ("at", json!(with_millis(step.at))),
    ] {
        map.insert(name.to_owned(), value);
    }
    if step.is_final() {
        map.insert("operator_status_at".into(), json!(with_seconds(step.at)));
    }
    // Told only to who set a limit.
    if batch.has_limit() {
        let encoding = if batch.unicode { "UNICODE" } else { "GSM" };
        map.insert("encoding".into(), json!(encoding));
        map.insert("number_of_message_parts".into(), json!(batch.parts));
    }
    Value::Object(map)
}

fn base(batch: &Batch, kind: &str) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("type".into(), json!(format!("{kind}_{}", batch.medium())));
    map.insert("batch_id".into(), json!(batch.id));
    if let Some(reference) = &batch.reference {
        map.insert("client_reference".into(), json!(reference));
    }
    map
}
