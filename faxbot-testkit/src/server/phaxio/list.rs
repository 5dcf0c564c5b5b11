//! `GET /v2.1/faxes`: filters and pages (`www.phaxio.com/docs/api/v2/faxes/list_faxes` and
//! `intro/paging`; cassette `list.yml`).

use std::{collections::BTreeMap, time::Duration};

use faxbot_core::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    fax::Fax,
    order::{Refusal, is_number, refused},
};
use crate::server::http::{HttpAnswer, SeenRequest};

/// Without `created_after`, older faxes are not found.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Faxes of one page, unless told otherwise, and at most.
const PER_PAGE: usize = 25;
const MOST: usize = 1000;

/// From here on the total is no number any more.
const COUNTED: usize = 10_000;

const STATUSES: &[&str] = &[
    "queued",
    "pendingbatch",
    "inprogress",
    "success",
    "partialsuccess",
    "failure",
];

struct Query {
    after: Timestamp,
    before: Timestamp,
    direction: Option<String>,
    status: Option<String>,
    number: Option<String>,
    tags: BTreeMap<String, String>,
    per_page: usize,
    page: usize,
}

impl Query {
    fn read(request: &SeenRequest, now: Timestamp) -> Result<Self, Refusal> {
        let mut query = Self {
            after: now - WEEK,
            before: now,
            direction: None,
            status: None,
            number: None,
            tags: BTreeMap::new(),
            per_page: PER_PAGE,
            page: 1,
        };
        for (name, value) in &request.query {
            let invalid = || refused(422, &format!("{name} is invalid"));
            match name.as_str() {
                "created_after" => query.after = value.parse().map_err(|_| invalid())?,
                "created_before" => query.before = value.parse().map_err(|_| invalid())?,
                "direction" if value == "sent" || value == "received" => {
                    query.direction = Some(value.clone());
                }
                "status" if STATUSES.contains(&value.as_str()) => {
                    query.status = Some(value.clone());
                }
                "phone_number" if is_number(value) => query.number = Some(value.clone()),
                "per_page" => query.per_page = within(value, MOST).ok_or_else(invalid)?,
                "page" => query.page = within(value, usize::MAX).ok_or_else(invalid)?,
                _ => {
                    let tag = name
                        .strip_prefix("tag[")
                        .and_then(|name| name.strip_suffix(']'));
                    let tag = tag.ok_or_else(invalid)?;
                    query.tags.insert(tag.to_owned(), value.clone());
                }
            }
        }
        Ok(query)
    }

    fn finds(&self, fax: &Fax) -> bool {
        let numbers = fax.order.to.iter().map(String::as_str);
        let own = [fax.from_number.as_deref(), fax.to_number.as_deref()];
        let mut numbers = numbers.chain(own.into_iter().flatten());
        (self.after..=self.before).contains(&fax.created)
            && self
                .direction
                .as_deref()
                .is_none_or(|it| it == fax.direction())
            && self.status.as_deref().is_none_or(|it| it == fax.status)
            && self
                .number
                .as_deref()
                .is_none_or(|it| numbers.any(|own| own == it))
            && self
                .tags
                .iter()
                .all(|(name, value)| fax.tags().get(name) == Some(value))
    }
}

fn within(text: &str, most: usize) -> Option<usize> {
    text.parse().ok().filter(|value| (1..=most).contains(value))
}

/// Lists, newest first.
pub(super) fn list<'a>(
    faxes: impl DoubleEndedIterator<Item = &'a Fax>,
    request: &SeenRequest,
    (now, wall): (Instant, Timestamp),
) -> Result<HttpAnswer, Refusal> {
    let query = Query::read(request, wall)?;
    let found: Vec<&Fax> = faxes
        .rev()
        .filter(|fax| fax.listed <= now && query.finds(fax))
        .collect();
    let total = if found.len() > COUNTED {
        json!(format!(">{COUNTED}"))
    } else {
        json!(found.len())
    };
    let skip = query.per_page.saturating_mul(query.page - 1);
    let page = found.iter().skip(skip).take(query.per_page);
    let page: Vec<Value> = page.map(|fax| fax.json()).collect();
    let body = json!({
        "success": true,
        "message": "Retrieved faxes successfully",
        "data": page,
        "paging": { "total": total, "per_page": query.per_page, "page": query.page },
    });
    Ok(HttpAnswer::json(200, &body)
        .with_header("x-total", total.to_string().trim_matches('"'))
        .with_header("x-per-page", &query.per_page.to_string())
        .with_header("x-page", &query.page.to_string()))
}
