//! One request with a bound of our own.

use std::time::Duration;

use super::{HttpClient, HttpRequest, HttpResponse};
use crate::{
    Error, ErrorKind, Result,
    clock::{SharedClock, later},
};

/// A client keeps the time of a request itself and knows better what it means; only one that does
/// not is given up here, so that nothing waits for ever.
const GRACE: Duration = Duration::from_secs(1);

/// Sends a request, and gives up a client that does not keep the request's time.
pub(super) async fn exchange(
    http: &dyn HttpClient,
    clock: &SharedClock,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let deadline = later(clock.now(), request.timeout.saturating_add(GRACE));
    tokio::select! {
        biased;
        result = http.execute(request) => result,
        () = clock.sleep_until(deadline) => {
            let message = "no whole answer in time";
            Err(Error::new(ErrorKind::Timeout, "http_request", message))
        }
    }
}
