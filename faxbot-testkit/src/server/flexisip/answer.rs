//! Answers in the forms that Laravel has.

use serde_json::{Map, Value, json};

use crate::server::http::{HttpAnswer, SeenRequest};

pub(super) type Answer = Result<HttpAnswer, Refused>;

/// An answer that says no.
pub(super) type Refused = Box<HttpAnswer>;

/// `abort(status, message)`.
pub(super) fn abort(request: &SeenRequest, status: u16, message: &str) -> Refused {
    Box::new(match wants_json(request) {
        true => HttpAnswer::json(status, &json!({ "message": message })),
        false => page(status, message),
    })
}

pub(super) fn not_found(request: &SeenRequest) -> Refused {
    abort(request, 404, "No query results for model.")
}

/// What a middleware says: plain text.
pub(super) fn text(status: u16, text: &str) -> HttpAnswer {
    HttpAnswer::new(status).with_body("text/html; charset=UTF-8", text.to_owned())
}

fn page(status: u16, message: &str) -> HttpAnswer {
    let page = format!("<!DOCTYPE html><html><title>{message}</title></html>");
    HttpAnswer::new(status).with_body("text/html; charset=UTF-8", page)
}

/// The redirect to the login page.
pub(super) fn login() -> Refused {
    Box::new(page(302, "Redirecting").with_header("location", "/login"))
}

/// A validation that failed, told for each field.
pub(super) fn invalid(request: &SeenRequest, fields: &[(&str, &str)]) -> Refused {
    if !wants_json(request) {
        return login();
    }
    let errors: Map<String, Value> = fields
        .iter()
        .map(|(field, text)| ((*field).to_owned(), json!([text])))
        .collect();
    let message = fields.first().map_or("", |(_, text)| *text);
    Box::new(HttpAnswer::json(
        422,
        &json!({ "message": message, "errors": errors }),
    ))
}

pub(super) fn wants_json(request: &SeenRequest) -> bool {
    let accept = request.header("accept").unwrap_or_default();
    accept.contains("/json") || accept.contains("+json")
}

pub(super) fn ok(body: &Value) -> HttpAnswer {
    HttpAnswer::json(200, body)
}

pub(super) fn created(body: &Value) -> HttpAnswer {
    HttpAnswer::json(201, body)
}

/// 200 without a body.
pub(super) fn empty() -> HttpAnswer {
    HttpAnswer::new(200)
}

/// The number of rows that a deletion met.
pub(super) fn rows(count: usize) -> HttpAnswer {
    text(200, &count.to_string())
}

/// One page of a list.
pub(super) fn paged(request: &SeenRequest, all: &[Value], size: usize) -> HttpAnswer {
    let page = request.query("page").and_then(|page| page.parse().ok());
    let page: usize = page.filter(|page| *page > 0).unwrap_or(1);
    let last = all.len().div_ceil(size).max(1);
    let data: Vec<&Value> = all.iter().skip((page - 1) * size).take(size).collect();
    let url = |page: usize| format!("http://localhost{}?page={page}", request.path);
    let from = (!data.is_empty()).then_some((page - 1) * size + 1);
    let body = json!({
        "current_page": page,
        "from": from,
        "to": from.map(|from| from + data.len() - 1),
        "data": data,
        "first_page_url": url(1),
        "last_page": last,
        "last_page_url": url(last),
        "links": [],
        "next_page_url": (page < last).then(|| url(page + 1)),
        "path": format!("http://localhost{}", request.path),
        "per_page": size,
        "prev_page_url": (page > 1).then(|| url(page - 1)),
        "total": all.len(),
    });
    ok(&body)
}
