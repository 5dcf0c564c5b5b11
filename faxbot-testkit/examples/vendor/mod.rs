//! What the examples of vendors share: a port by argument, an end with the standard input, and calls
//! below `/mock/` by which a client in another language sees the books and lets things come in.

use std::net::{Ipv4Addr, SocketAddr};

use faxbot_testkit::server::http::{
    Callback, HttpAnswer, MockHttp, MockVendor, RetryRule, SeenRequest,
};
use serde_json::Value;
use tokio::{io::AsyncReadExt as _, time::Instant};
use url::Url;

/// Answers a call below `/mock/`: its method, what is behind that, its body. `None` is 404.
pub(crate) type Control<V> = fn(&mut V, &str, &str, &Value) -> Option<Value>;

struct Controlled<V> {
    vendor: V,
    control: Control<V>,
}

impl<V: MockVendor> MockVendor for Controlled<V> {
    fn handle(&mut self, request: &SeenRequest, now: Instant) -> HttpAnswer {
        let Some(what) = request.path.strip_prefix("/mock/") else {
            return self.vendor.handle(request, now);
        };
        let body = request.json().unwrap_or_default();
        let method = request.method.as_str();
        match (self.control)(&mut self.vendor, method, what, &body) {
            Some(answer) => HttpAnswer::json(200, &answer),
            None => HttpAnswer::new(404),
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Callback> {
        self.vendor.tick(now)
    }

    fn due(&self) -> Option<Instant> {
        self.vendor.due()
    }

    fn retry_rule(&self) -> RetryRule {
        self.vendor.retry_rule()
    }

    fn started(&mut self, url: &Url) {
        self.vendor.started(url);
    }
}

/// Serves a vendor on the port that the first argument names, or a free one; prints
/// `variable=http://user:password@127.0.0.1:port/` with `path` behind it, and runs until the standard input
/// ends.
///
/// # Errors
/// Those of the port and of the standard input.
///
/// # Cancel safety
/// The server ends.
pub(crate) async fn serve<V: MockVendor>(
    variable: &str,
    path: &str,
    (user, password): (&str, &str),
    vendor: V,
    control: Control<V>,
) -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
    let mock = MockHttp::start_on(Controlled { vendor, control }, address).await?;
    let mut url = mock.url();
    url.set_path(path);
    let _has_host = url.set_username(user);
    let _has_host = url.set_password(Some(password));
    println!("{variable}={url}");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}
