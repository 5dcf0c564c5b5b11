//! The calls of the vendor. Messages of successes are those of the recorded traffic
//! (phaxio-ruby@c1cb8e4 `spec/support/cassettes/fax`).

use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    document::THUMBNAIL,
    fax::{Birth, Fax},
    life::What,
    list::list,
    order::{Order, Refusal, address, refused},
    vendor::MockPhaxio,
};
use crate::server::http::{HttpAnswer, SeenRequest};

type Answer = Result<HttpAnswer, Refusal>;

fn ok(message: &str, data: Option<Value>) -> HttpAnswer {
    let mut body = json!({ "success": true, "message": message });
    if let (Some(data), Some(map)) = (data, body.as_object_mut()) {
        map.insert("data".into(), data);
    }
    HttpAnswer::json(200, &body)
}

fn id_alone(id: u64) -> Option<Value> {
    Some(json!({ "id": id }))
}

fn missing() -> Refusal {
    refused(404, "Not found failure.")
}

/// Routes a request of the account, behind `/v2.1/faxes`.
pub(super) fn route(
    vendor: &mut MockPhaxio,
    request: &SeenRequest,
    path: &[&str],
    now: Instant,
) -> Answer {
    match (request.method.as_str(), path) {
        ("POST", []) => create(vendor, request, now),
        ("GET", []) => list(vendor.faxes.values(), request, (now, vendor.wall(now))),
        ("GET", [id]) => {
            let fax = vendor.faxes.get(&number(id)?).ok_or_else(missing)?;
            Ok(ok("Metadata for fax", Some(fax.json())))
        }
        ("POST", [id, "cancel"]) => cancel(vendor, number(id)?, now),
        ("POST", [id, "resend"]) => resend(vendor, request, number(id)?, now),
        ("GET", [id, "file"]) => file(vendor, request, number(id)?),
        ("DELETE", [id, "file"]) => {
            vendor.over(number(id)?)?.pdf = None;
            Ok(ok("Deleted files successfully!", None))
        }
        ("DELETE", [id]) => {
            let id = number(id)?;
            if !vendor.over(id)?.is_test {
                return Err(refused(422, "Only test faxes can be deleted"));
            }
            vendor.faxes.remove(&id);
            Ok(ok("Deleted fax successfully!", None))
        }
        _ => Err(missing()),
    }
}

fn number(id: &str) -> Result<u64, Refusal> {
    id.parse().map_err(|_| missing())
}

fn create(vendor: &mut MockPhaxio, request: &SeenRequest, now: Instant) -> Answer {
    let order = Order::read(request, vendor.has_test_keys)?;
    if let Some((from, to)) = order.received.clone() {
        let pdf = order.documents.first().map(|it| it.bytes.clone());
        vendor.came(&from, &to, pdf.unwrap_or_default(), true);
        let message = format!("Test fax received from {from} to {to}.  Calling back now...");
        return Ok(ok(&message, None));
    }
    if vendor.without_funds {
        return Err(refused(422, "Your account has insufficient funds"));
    }
    if order.to.iter().any(|to| vendor.refuses(to)) {
        let message = "Phone number is not formatted correctly or invalid";
        return Err(refused(422, message));
    }
    if let Some(own) = &order.caller_id
        && !vendor.numbers.is_empty()
        && !vendor.numbers.contains(own)
    {
        return Err(refused(422, "caller_id is no number of this account"));
    }
    let id = begin(vendor, order, now, None);
    Ok(ok("Fax queued for sending", id_alone(id)))
}

fn begin(vendor: &mut MockPhaxio, order: Order, now: Instant, resent: Option<u64>) -> u64 {
    let ends = order.to.iter().map(|to| vendor.end_of(to)).collect();
    let birth = Birth {
        id: vendor.next_id(),
        is_test: vendor.has_test_keys,
        now,
        wall: vendor.wall(now),
    };
    // A batch waits for others, five seconds at the least.
    let batch = order.batch_delay.map(|seconds| seconds.max(5));
    let timeout = order.cancel_timeout.map(|minutes| minutes * 60);
    let mut fax = Fax::sent(birth, order, ends, vendor.list_lag);
    fax.resent = resent;
    let seconds = |seconds: u32| std::time::Duration::from_secs(seconds.into());
    let converted = now + vendor.pace.queued + batch.map(seconds).unwrap_or_default();
    vendor.schedule.add(converted, &fax, What::Convert);
    if let Some(timeout) = timeout {
        let at = now + seconds(timeout.max(batch.map_or(0, |delay| delay + 180)));
        vendor.schedule.add(at, &fax, What::Cancel(76));
    }
    let id = fax.id;
    vendor.faxes.insert(id, fax);
    id
}

fn cancel(vendor: &mut MockPhaxio, id: u64, now: Instant) -> Answer {
    let fax = vendor.faxes.get(&id).ok_or_else(missing)?;
    if fax.is_over() || !fax.sent {
        return Err(refused(422, "Can't cancel the fax, it's already complete!"));
    }
    let at = now + vendor.pace.cancelling;
    vendor.schedule.add(at, fax, What::Cancel(75));
    Ok(ok("Fax cancellation scheduled successfully.", id_alone(id)))
}

fn resend(vendor: &mut MockPhaxio, request: &SeenRequest, id: u64, now: Instant) -> Answer {
    let old = vendor.over(id)?;
    if !old.sent {
        return Err(refused(422, "Only a sent fax can be sent again"));
    }
    let mut order = old.order.clone();
    for (name, value) in request.form().unwrap_or_default() {
        if name != "callback_url" {
            return Err(refused(422, "There is no such parameter"));
        }
        order.callback_url = Some(address(&value, &["http", "https", "mailto"])?);
    }
    let id = begin(vendor, order, now, Some(id));
    Ok(ok("Fax queued for resending", id_alone(id)))
}

fn file(vendor: &mut MockPhaxio, request: &SeenRequest, id: u64) -> Answer {
    let fax = vendor.faxes.get(&id).ok_or_else(missing)?;
    // Of a fax that is sent there is a file once it is converted.
    let pdf = fax.pdf.clone().filter(|_| fax.shown_pages > 0);
    let pdf = pdf.ok_or_else(missing)?;
    let named = |end: &str| format!("attachment; filename=\"fax-{id}.{end}\"");
    let (kind, end, body) = match request.query.as_slice() {
        [] => ("application/pdf", "pdf", pdf),
        [(name, size)] if name == "thumbnail" && (size == "s" || size == "l") => {
            ("image/jpeg", "jpg", THUMBNAIL.into())
        }
        _ => return Err(refused(422, "thumbnail is invalid")),
    };
    Ok(HttpAnswer::new(200)
        .with_body(kind, body)
        .with_header(CONTENT_DISPOSITION, &named(end))
        .with_header("content-transfer-encoding", "binary")
        .with_header(CACHE_CONTROL, "private"))
}

impl MockPhaxio {
    /// A fax that is over; some calls want one.
    fn over(&mut self, id: u64) -> Result<&mut Fax, Refusal> {
        let fax = self.faxes.get_mut(&id).ok_or_else(missing)?;
        if fax.is_over() {
            Ok(fax)
        } else {
            Err(refused(422, "The fax is not complete"))
        }
    }
}
