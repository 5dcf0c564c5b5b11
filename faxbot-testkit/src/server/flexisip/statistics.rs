//! Statistics of calls and messages.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    answer::{Answer, abort, created, invalid, not_found, ok, rows},
    check,
    vendor::MockFlexisip,
};
use crate::server::http::SeenRequest;

/// What was written down.
#[derive(Default)]
pub(super) struct CallBook {
    calls: Vec<Map<String, Value>>,
    messages: Vec<String>,
    reports: BTreeMap<String, Value>,
}

impl CallBook {
    /// The calls of an account, newest first.
    pub(super) fn of(&self, user: &str, domain: &str) -> Vec<Value> {
        let is = |call: &Map<String, Value>, way: &str| {
            call.get(&format!("{way}_username")).and_then(Value::as_str) == Some(user)
                && call.get(&format!("{way}_domain")).and_then(Value::as_str) == Some(domain)
        };
        let mut calls: Vec<_> = self
            .calls
            .iter()
            .filter(|call| is(call, "from") || is(call, "to"))
            .cloned()
            .collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.get("initiated_at").map(Value::to_string)));
        calls.into_iter().map(Value::Object).collect()
    }

    fn call(&mut self, id: &str) -> Option<&mut Map<String, Value>> {
        let is = |call: &Map<String, Value>| call.get("id").and_then(Value::as_str) == Some(id);
        self.calls.iter_mut().find(|call| is(call))
    }
}

/// Refuses what is no time of ISO 8601.
fn times(
    request: &SeenRequest,
    map: &Map<String, Value>,
    fields: &[&str],
) -> Result<(), super::answer::Refused> {
    for field in fields {
        let Some(value) = map.get(*field).filter(|value| !value.is_null()) else {
            continue;
        };
        let time = value.as_str().map(str::parse::<faxbot_core::Timestamp>);
        if !matches!(time, Some(Ok(_))) {
            return Err(invalid(request, &[(field, "The value is not a date.")]));
        }
    }
    Ok(())
}

/// `/statistics`.
pub(super) fn route(vendor: &mut MockFlexisip, request: &SeenRequest, path: &[&str]) -> Answer {
    vendor.admin(request)?;
    let map = check::object(request)?;
    let database = || abort(request, 400, "Database error");
    let halves = |name: &str| {
        let (user, domain) = check::text(&map, name)?.split_once('@')?;
        Some((user.to_owned(), domain.to_owned()))
    };
    match (request.method.as_str(), path) {
        ("POST", ["calls"]) => {
            check::required(request, &map, &["id", "from", "to", "initiated_at"])?;
            times(request, &map, &["initiated_at", "ended_at"])?;
            let id = check::text(&map, "id").unwrap_or_default();
            let (Some(from), Some(to)) = (halves("from"), halves("to")) else {
                return Err(abort(request, 500, "Server Error"));
            };
            if vendor.calls.call(id).is_some() {
                return Err(database());
            }
            let call = json!({
                "id": id,
                "from_username": from.0,
                "from_domain": from.1,
                "to_username": to.0,
                "to_domain": to.1,
                "initiated_at": map.get("initiated_at"),
                "ended_at": map.get("ended_at"),
                "devices": [],
            });
            if let Value::Object(call) = call {
                vendor.calls.calls.push(call);
            }
            Ok(rows(1))
        }
        ("PATCH", ["calls", id]) => {
            check::required(request, &map, &["ended_at"])?;
            times(request, &map, &["ended_at"])?;
            let call = vendor.calls.call(id).ok_or_else(|| not_found(request))?;
            call.insert("ended_at".into(), map.get("ended_at").cloned().into());
            Ok(ok(&Value::Object(call.clone())))
        }
        ("PATCH", ["calls", id, "devices", device]) => {
            times(request, &map, &["rang_at"])?;
            let end = map.get("invite_terminated").and_then(Value::as_object);
            let state = end.and_then(|end| end.get("state")?.as_str());
            const STATES: [&str; 6] = [
                "error",
                "declined",
                "canceled",
                "accepted_elsewhere",
                "declined_elsewhere",
                "accepted",
            ];
            if end.is_some() && !state.is_some_and(|state| STATES.contains(&state)) {
                let wrong = [("invite_terminated.state", "The selected value is invalid.")];
                return Err(invalid(request, &wrong));
            }
            let Some(call) = vendor.calls.call(id) else {
                return Err(database());
            };
            let Some(Value::Array(devices)) = call.get_mut("devices") else {
                return Err(database());
            };
            let known = devices
                .iter_mut()
                .find(|it| it.get("device_id").and_then(Value::as_str) == Some(device));
            let new = known.is_none();
            let mut report = known
                .as_deref()
                .cloned()
                .unwrap_or_else(|| json!({ "call_id": id, "device_id": device }));
            if let Value::Object(report) = &mut report {
                let at = end.and_then(|end| end.get("at").cloned());
                report.insert("invite_terminated_at".into(), at.into());
                report.insert("invite_terminated_state".into(), state.into());
                if let Some(rang) = map.get("rang_at") {
                    report.insert("rang_at".into(), rang.clone());
                }
            }
            match known {
                Some(known) => *known = report.clone(),
                None => devices.push(report.clone()),
            }
            Ok(if new { created(&report) } else { ok(&report) })
        }
        ("POST", ["messages"]) => {
            check::required(request, &map, &["id", "from", "sent_at", "encrypted"])?;
            times(request, &map, &["sent_at"])?;
            let id = check::text(&map, "id").unwrap_or_default().to_owned();
            if vendor.calls.messages.contains(&id) {
                return Err(database());
            }
            vendor.calls.messages.push(id);
            Ok(rows(1))
        }
        ("PATCH", ["messages", id, "to", to, "devices", device]) => {
            check::required(request, &map, &["last_status", "received_at"])?;
            times(request, &map, &["received_at"])?;
            if !vendor.calls.messages.iter().any(|it| it == id) {
                return Err(database());
            }
            let key = format!("{id} {to} {device}");
            let report = Value::Object(map);
            let new = vendor.calls.reports.insert(key, report.clone()).is_none();
            Ok(if new { created(&report) } else { ok(&report) })
        }
        _ => Err(not_found(request)),
    }
}
