//! What is asked of `/v3/projects/{project}/faxes`.

use std::time::Duration;

use faxbot_core::Timestamp;
use http::header::CONTENT_DISPOSITION;
use serde_json::{Value, json};

use super::{
    fax::{Direction, Fax, FaxDialect},
    order::{Order, Refusal},
    vendor::MockSinchFax,
};
use crate::server::{
    http::{HttpAnswer, SeenRequest},
    sinch::{Fault, Problem, Refused, moment, number},
};

/// Lists look so far back unless told otherwise.
const DEFAULT_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub(super) type Answer = Result<HttpAnswer, Refused>;

/// `{code, error, message}`; the code is a string
/// (developers.sinch.com/docs/fax/api-reference/fax/tag/Error-Messages).
pub(super) fn error(status: u16, error: &str, message: &str) -> Refused {
    let body = json!({"code": status.to_string(), "error": error, "message": message});
    Box::new(HttpAnswer::json(status, &body))
}

fn bad(message: &str) -> Refused {
    error(400, "Bad request", message)
}

fn not_found() -> Refused {
    error(404, "Not found", "The fax or its file was not found")
}

/// Fields of a wrong type are 400, values that are not allowed 422.
fn problems(problems: &[Problem]) -> Refused {
    if let Some(problem) = problems.iter().find(|problem| problem.fault == Fault::Type) {
        return bad(&problem.text);
    }
    let violations: Vec<Value> = problems
        .iter()
        .map(|problem| json!({"field": problem.field, "description": problem.text}))
        .collect();
    let body = json!({
        "code": "422",
        "error": "Unprocessable entity",
        "message": "The request has fields that are not valid",
        "details": {"fieldViolations": violations},
    });
    Box::new(HttpAnswer::json(422, &body))
}

fn refusal(refusal: &Refusal) -> Refused {
    match refusal {
        Refusal::MediaType => error(415, "Unsupported media type", "JSON or a form is wanted"),
        Refusal::Unreadable(text) => bad(text),
        Refusal::TooLarge => error(413, "Payload too large", "A file is too large"),
        Refusal::Problems(list) => problems(list),
    }
}

pub(super) fn route(
    vendor: &mut MockSinchFax,
    request: &SeenRequest,
    path: &[String],
    now: Timestamp,
) -> Answer {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match (request.method.as_str(), path.as_slice()) {
        ("POST", ["faxes"]) => create(vendor, request, now),
        ("GET", ["faxes"]) => list(vendor, request, now),
        ("GET", ["faxes", id]) => {
            let fax = vendor.fax(id).ok_or_else(not_found)?;
            Ok(HttpAnswer::json(200, &fax.json(now, vendor.dialect)))
        }
        // `.pdf` is what older clients of the vendor ask for.
        ("GET", ["faxes", id, "file" | "file.pdf"]) => file(vendor.fax(id), now),
        ("DELETE", ["faxes", id, "file"]) => {
            let fax = vendor.fax_mut(id).filter(|fax| fax.has_file(now));
            fax.ok_or_else(not_found)?.pdf = None;
            Ok(HttpAnswer::new(204))
        }
        // There is no cancel.
        (_, ["faxes", ..]) => Err(error(405, "Method not allowed", "There is no such call")),
        _ => Err(not_found()),
    }
}

fn create(vendor: &mut MockSinchFax, request: &SeenRequest, now: Timestamp) -> Answer {
    let order = Order::read(request, &vendor.service, vendor.max_retries);
    let order = order.map_err(|why| refusal(&why))?;
    if vendor.without_funds {
        return Err(error(
            402,
            "Payment required",
            "The balance of the account is zero",
        ));
    }
    let mut faxes = vendor.create(&order, now);
    // One fax is told bare, also for an array of one number.
    let answer = match faxes.len() {
        1 => faxes.swap_remove(0),
        _ => json!({"faxes": faxes}),
    };
    Ok(HttpAnswer::json(200, &answer))
}

fn file(fax: Option<&Fax>, now: Timestamp) -> Answer {
    let fax = fax.filter(|fax| fax.has_file(now)).ok_or_else(not_found)?;
    let pdf = fax.pdf.clone().ok_or_else(not_found)?;
    let name = format!("attachment; filename=\"{}.pdf\"", fax.id);
    let answer = HttpAnswer::new(200).with_body("application/pdf", pdf);
    Ok(answer.with_header(CONTENT_DISPOSITION, &name))
}

fn count(request: &SeenRequest, name: &str, default: usize, most: usize) -> Result<usize, Refused> {
    let Some(text) = request.query(name) else {
        return Ok(default);
    };
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| bad(&format!("'{name}' is not from 1 to {most}")))
}

fn time(request: &SeenRequest, name: &str) -> Result<Option<Timestamp>, Refused> {
    let Some(text) = request.query(name) else {
        return Ok(None);
    };
    let at = moment(&number(text)).ok_or_else(|| bad(&format!("'{name}' is not a time")))?;
    Ok(Some(at))
}

/// `createTime>` and `createTime<` include their bounds. `createTime` alone is a day, or everything
/// since an instant.
fn window(
    request: &SeenRequest,
    now: Timestamp,
) -> Result<impl Fn(Timestamp) -> bool + use<>, Refused> {
    let alone = time(request, "createTime")?;
    let is_day = request
        .query("createTime")
        .is_some_and(|text| !text.contains('T'));
    let day = Duration::from_secs(24 * 60 * 60);
    let from = time(request, "createTime>")?.or(alone);
    let until = time(request, "createTime<")?;
    // Without a lower bound it is a week.
    let from = from.unwrap_or_else(|| until.unwrap_or(now) - DEFAULT_WINDOW);
    Ok(move |at: Timestamp| {
        // Times are told in whole seconds, and compared so.
        let at = at.to_seconds();
        at >= from.to_seconds()
            && until.is_none_or(|until| at <= until)
            && !alone.is_some_and(|start| is_day && at >= start + day)
    })
}

/// Newest first. `labels` filters nothing: what the vendor's clients write there is
/// `[object Object]`, and no other form is known.
fn list(vendor: &MockSinchFax, request: &SeenRequest, now: Timestamp) -> Answer {
    let within = window(request, now)?;
    let page = count(request, "page", 1, usize::MAX)?;
    let size = count(request, "pageSize", 100, 1000)?;
    for (name, words) in [
        ("direction", ["OUTBOUND", "INBOUND"].as_slice()),
        (
            "status",
            ["QUEUED", "IN_PROGRESS", "COMPLETED", "FAILURE"].as_slice(),
        ),
    ] {
        if request
            .query(name)
            .is_some_and(|word| !words.contains(&word))
        {
            return Err(bad(&format!("'{name}' is none of {}", words.join(", "))));
        }
    }
    let starts = |name: &str, own: Option<&str>| {
        request
            .query(name)
            .is_none_or(|wanted| own.is_some_and(|own| own.starts_with(&number(wanted))))
    };
    let is = |name: &str, own: &str| request.query(name).is_none_or(|wanted| wanted == own);
    let fits = |fax: &&Fax| {
        let lag = match fax.direction {
            Direction::Outbound => vendor.list_lag,
            Direction::Inbound => Duration::ZERO,
        };
        within(fax.created)
            && fax.created + lag <= now
            && is("serviceId", &fax.service)
            && is("direction", fax.direction.word())
            && is("status", fax.state(now).map_or("", |step| &step.status))
            && starts("to", Some(&fax.to))
            && starts("from", fax.from.as_deref())
    };
    let all: Vec<&Fax> = vendor.faxes.iter().rev().filter(fits).collect();
    let faxes: Vec<Value> = all
        .iter()
        .skip((page - 1).saturating_mul(size))
        .take(size)
        .map(|fax| fax.json(now, vendor.dialect))
        .collect();
    let mut answer = json!({
        "faxes": faxes,
        "totalPages": all.len().div_ceil(size),
        "pageSize": size,
        "totalItems": all.len(),
    });
    if let Some(map) = answer.as_object_mut() {
        let name = match vendor.dialect {
            FaxDialect::Node => "page",
            FaxDialect::DotNet => "pageNumber",
        };
        map.insert(name.to_owned(), json!(page));
    }
    Ok(HttpAnswer::json(200, &answer))
}
