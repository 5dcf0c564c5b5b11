//! What is asked of `/xms/v1/{plan}/`.

use std::time::Duration;

use faxbot_core::Timestamp;
use serde_json::{Value, json};

use super::{
    batch::{self, Batch},
    report, text,
    vendor::MockSinchSms,
};
use crate::server::{
    http::{HttpAnswer, SeenRequest},
    sinch::{Fault, Problem, Refused, moment, number},
};

/// Lists look so far back unless told otherwise.
const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Batches and inbound messages are kept so long.
const KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);

pub(super) type Answer = Result<HttpAnswer, Refused>;

/// `{code, text}`, as 400 and 403 have it (sinch-sdk-java `sms/v1/error-response.json`).
fn error(status: u16, code: &str, text: &str) -> Refused {
    Box::new(HttpAnswer::json(
        status,
        &json!({"code": code, "text": text}),
    ))
}

fn format_error(text: &str) -> Refused {
    error(400, "syntax_invalid_parameter_format", text)
}

/// The vendor tells one problem at a time.
fn problem(problems: &[Problem]) -> Refused {
    let (code, text) = problems
        .first()
        .map_or(("syntax_invalid_json", ""), |first| {
            let code = match first.fault {
                Fault::Type => "syntax_invalid_parameter_format",
                Fault::Missing | Fault::Value => "syntax_constraint_violation",
            };
            (code, first.text.as_str())
        });
    error(400, code, text)
}

/// What is not there has a standard body, which may be empty.
fn not_found() -> Refused {
    Box::new(HttpAnswer::new(404))
}

pub(super) fn route(
    vendor: &mut MockSinchSms,
    request: &SeenRequest,
    path: &[String],
    now: Timestamp,
) -> Answer {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match (request.method.as_str(), path.as_slice()) {
        ("POST", ["batches"]) => create(vendor, request, now),
        ("GET", ["batches"]) => batches(vendor, request, now),
        ("POST", ["batches", "dry_run"]) => dry_run(vendor, request),
        ("GET", ["batches", id]) => {
            let plus = vendor.plus_on_output;
            Ok(HttpAnswer::json(
                200,
                &vendor.batch(id).ok_or_else(not_found)?.json(plus),
            ))
        }
        ("DELETE", ["batches", id]) => vendor.cancel(id, now).ok_or_else(not_found),
        ("GET", ["batches", id, "delivery_report"]) => report_of(vendor, request, id, now),
        ("GET", ["batches", id, "delivery_report", to]) => recipient(vendor, id, to, now),
        ("GET", ["delivery_reports"]) => reports(vendor, request, now),
        ("GET", ["inbounds"]) => inbounds(vendor, request, now),
        ("GET", ["inbounds", id]) => {
            let received = vendor.received.iter().find(|received| received.id == *id);
            let received = received.filter(|received| received.at + KEPT > now);
            Ok(HttpAnswer::json(
                200,
                &received.ok_or_else(not_found)?.json(),
            ))
        }
        (_, ["batches" | "inbounds" | "delivery_reports", ..]) => Ok(HttpAnswer::new(405)),
        _ => Err(not_found()),
    }
}

/// A body that is an object in JSON.
fn object(request: &SeenRequest) -> Result<serde_json::Map<String, Value>, Refused> {
    if request.media_type().as_deref() != Some("application/json") {
        return Err(Box::new(HttpAnswer::new(415)));
    }
    match request.json() {
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(format_error("the body is not an object")),
        None => Err(error(400, "syntax_invalid_json", "the body is not JSON")),
    }
}

fn create(vendor: &mut MockSinchSms, request: &SeenRequest, now: Timestamp) -> Answer {
    let map = object(request)?;
    let checked = batch::check(&map, &vendor.region).map_err(|problems| problem(&problems))?;
    if vendor.blocked {
        return Err(error(403, "blocked_account", "the account is blocked"));
    }
    let batch = vendor.create(map, checked, now);
    Ok(HttpAnswer::json(201, &batch))
}

fn dry_run(vendor: &MockSinchSms, request: &SeenRequest) -> Answer {
    let map = object(request)?;
    let checked = batch::check(&map, &vendor.region).map_err(|problems| problem(&problems))?;
    let mut answer = json!({
        "number_of_recipients": checked.to.len(),
        "number_of_messages": checked.to.len() * checked.parts as usize,
    });
    // The Python client writes `True`.
    let each = request.query("per_recipient").unwrap_or("false");
    if each.eq_ignore_ascii_case("true") {
        let most = count(request, "number_of_recipients", 100, 0, 1000)?;
        let body = map.get("body").and_then(Value::as_str).unwrap_or_default();
        let (unicode, _) = text::parts(body);
        let encoding = if unicode { "unicode" } else { "text" };
        let each = checked.to.iter().take(most).map(|to| {
            json!({
                "recipient": to,
                "number_of_parts": checked.parts,
                "body": body,
                "encoding": encoding,
            })
        });
        let each: Vec<Value> = each.collect();
        if let Some(map) = answer.as_object_mut() {
            map.insert("per_recipient".into(), json!(each));
        }
    }
    Ok(HttpAnswer::json(200, &answer))
}

fn count(
    request: &SeenRequest,
    name: &str,
    default: usize,
    least: usize,
    most: usize,
) -> Result<usize, Refused> {
    let Some(text) = request.query(name) else {
        return Ok(default);
    };
    let Ok(number) = text.parse() else {
        return Err(format_error(&format!("'{name}' is not an integer")));
    };
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    let text = format!("'{name}' is not from {least} to {most}");
    Err(error(400, "syntax_constraint_violation", &text))
}

fn date(request: &SeenRequest, name: &str) -> Result<Option<Timestamp>, Refused> {
    let Some(text) = request.query(name) else {
        return Ok(None);
    };
    let at =
        moment(&number(text)).ok_or_else(|| format_error(&format!("'{name}' is not a date")))?;
    Ok(Some(at))
}

/// From and until when a list goes, within what is kept.
fn window(
    request: &SeenRequest,
    now: Timestamp,
) -> Result<impl Fn(Timestamp) -> bool + use<>, Refused> {
    let start = date(request, "start_date")?.unwrap_or(now - DEFAULT_WINDOW);
    let end = date(request, "end_date")?;
    Ok(move |at| at + KEPT > now && at >= start && end.is_none_or(|end| at < end))
}

fn list(request: &SeenRequest, name: &str) -> Option<Vec<String>> {
    let text = request.query(name).filter(|text| !text.is_empty())?;
    Some(text.split(',').map(number).collect())
}

/// One page, numbered from 0. `page_size` in the answer is what the page has, not what was asked for.
fn page(request: &SeenRequest, name: &str, all: Vec<Value>) -> Answer {
    let page = count(request, "page", 0, 0, usize::MAX)?;
    let size = count(request, "page_size", 30, 1, 100)?;
    let total = all.len();
    let items: Vec<Value> = all
        .into_iter()
        .skip(page.saturating_mul(size))
        .take(size)
        .collect();
    let mut answer = json!({"count": total, "page": page, "page_size": items.len()});
    if let Some(map) = answer.as_object_mut() {
        map.insert(name.to_owned(), json!(items));
    }
    Ok(HttpAnswer::json(200, &answer))
}

/// Newest first.
fn batches(vendor: &MockSinchSms, request: &SeenRequest, now: Timestamp) -> Answer {
    let within = window(request, now)?;
    let from = list(request, "from");
    let reference = request.query("client_reference");
    let fits = |batch: &&Batch| {
        let own = batch
            .from
            .as_deref()
            .unwrap_or_default()
            .trim_start_matches('+');
        within(batch.created)
            && batch.created + vendor.list_lag <= now
            && reference.is_none_or(|wanted| batch.reference.as_deref() == Some(wanted))
            && from
                .as_ref()
                .is_none_or(|from| from.iter().any(|from| from.trim_start_matches('+') == own))
    };
    let all = vendor.batches.iter().rev().filter(fits);
    let all = all.map(|batch| batch.json(vendor.plus_on_output)).collect();
    page(request, "batches", all)
}

fn report_of(vendor: &MockSinchSms, request: &SeenRequest, id: &str, now: Timestamp) -> Answer {
    let batch = vendor.batch(id).ok_or_else(not_found)?;
    let full = match request.query("type") {
        None | Some("summary") => false,
        Some("full") => true,
        Some(_) => return Err(format_error("'type' is none of summary, full")),
    };
    let wanted = wanted(request)?;
    let report = report::of_batch(batch, now, full, |step| wanted(&step.word, step.code));
    Ok(HttpAnswer::json(200, &report))
}

/// The states that `status` and `code` ask for.
fn wanted(request: &SeenRequest) -> Result<impl Fn(&str, u32) -> bool + use<>, Refused> {
    let words = list(request, "status");
    let codes = list(request, "code").map(|codes| {
        let codes: Result<Vec<u32>, _> = codes.iter().map(|code| code.parse()).collect();
        codes
    });
    let codes = codes
        .transpose()
        .map_err(|_| format_error("'code' has what is no integer"))?;
    Ok(move |word: &str, code: u32| {
        words
            .as_ref()
            .is_none_or(|words| words.iter().any(|other| other.eq_ignore_ascii_case(word)))
            && codes.as_ref().is_none_or(|codes| codes.contains(&code))
    })
}

fn recipient(vendor: &MockSinchSms, id: &str, to: &str, now: Timestamp) -> Answer {
    let batch = vendor.batch(id).ok_or_else(not_found)?;
    let Some(to) = batch::msisdn(to) else {
        return Err(format_error(&format!("'{to}' is not a valid MSISDN")));
    };
    let message = batch.messages.iter().find(|message| message.to == to);
    let message = message.ok_or_else(not_found)?;
    let step = message.state(now).ok_or_else(not_found)?;
    Ok(HttpAnswer::json(
        200,
        &report::of_message(batch, message, step),
    ))
}

/// Reports of messages that are over, newest first.
fn reports(vendor: &MockSinchSms, request: &SeenRequest, now: Timestamp) -> Answer {
    let within = window(request, now)?;
    let wanted = wanted(request)?;
    let reference = request.query("client_reference");
    let mut all: Vec<(Timestamp, Value)> = Vec::new();
    for batch in &vendor.batches {
        if reference.is_some_and(|wanted| batch.reference.as_deref() != Some(wanted)) {
            continue;
        }
        for message in &batch.messages {
            let step = message
                .state(now)
                .filter(|step| step.is_final() && within(step.at) && wanted(&step.word, step.code));
            if let Some(step) = step {
                all.push((step.at, report::of_message(batch, message, step)));
            }
        }
    }
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let all = all.into_iter().map(|(_, report)| report).collect();
    page(request, "delivery_reports", all)
}

/// Newest first.
fn inbounds(vendor: &MockSinchSms, request: &SeenRequest, now: Timestamp) -> Answer {
    let within = window(request, now)?;
    let to = list(request, "to");
    let reference = request.query("client_reference");
    let all = vendor.received.iter().rev().filter(|received| {
        within(received.at)
            && received.at + vendor.list_lag <= now
            && to.as_ref().is_none_or(|to| received.is_to(to))
            && reference.is_none_or(|wanted| received.is_of(wanted))
    });
    let all = all.map(super::inbound::Received::json).collect();
    page(request, "inbounds", all)
}
