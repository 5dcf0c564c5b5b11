//! Webhooks in suites: requests as the vendor makes them, and what may not pass for one.

use async_trait::async_trait;
use bytes::Bytes;
use faxbot_core::{
    Error,
    webhook::{WebhookHandler, WebhookReply, WebhookRequest},
};

use super::{Failure, Verdict, ensure};

/// A vendor that calls back. Its requests are made and not delivered: the suite delivers them, in its
/// own order and number.
#[async_trait]
pub trait VendorWebhooks: Send + Sync {
    /// A request as the vendor makes it (address, headers, signature as of now), with this body. Of what
    /// kind the body is decides the environment; it may be no body of the vendor's at all.
    fn genuine(&self, body: Bytes) -> WebhookRequest;

    /// Copies of a good request that nobody may take for the vendor's: changed body, header, address or
    /// time, a signature that is missing or of another secret. Where the vendor signs nothing, what is
    /// wrong is the secret in the path.
    fn tampered(&self, request: &WebhookRequest) -> Vec<Tampered>;

    /// Hands a request over as the host does. By default straight to the plugin; an environment with a
    /// router takes the way through it.
    ///
    /// # Errors
    /// Those of the plugin.
    ///
    /// # Cancel safety
    /// As the handler's.
    async fn deliver(
        &self,
        plugin: &dyn WebhookHandler,
        request: WebhookRequest,
    ) -> Result<WebhookReply, Error> {
        plugin.handle_webhook(request).await
    }
}

/// A request that is not the vendor's.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tampered {
    /// What was changed.
    pub what: String,
    /// The request.
    pub request: WebhookRequest,
    /// How it must be answered: 401, or 404 for a path that leads nowhere.
    pub status: u16,
}

impl Tampered {
    /// A request that must be answered with 401.
    pub fn new(what: impl Into<String>, request: WebhookRequest) -> Self {
        Self {
            what: what.into(),
            request,
            status: 401,
        }
    }

    /// Another answer than 401.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// Bodies that are none, in all ways in which bodies are none. `good` is one that is.
pub(super) fn garbage(good: &Bytes) -> Vec<Bytes> {
    let half = good.slice(..good.len() / 2);
    let flipped: Vec<u8> = good.iter().map(|byte| byte ^ 0x55).collect();
    vec![
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from_static(b"{"),
        Bytes::from_static(b"null"),
        Bytes::from_static(b"[]"),
        Bytes::from_static(b"{}"),
        Bytes::from_static(b"{\"fax\":{\"id\":{}},\"id\":[],\"type\":7}"),
        Bytes::from_static(b"a=b&c=d&fax=%7B"),
        Bytes::from_static(b"--\r\n\r\n--\r\n"),
        Bytes::from_static(b"\xff\xfe\xfd"),
        Bytes::from("[".repeat(20_000)),
        Bytes::from("a".repeat(1 << 20)),
        half,
        Bytes::from(flipped),
    ]
}

/// A reply that makes the vendor believe that we have it.
pub(super) fn is_taken(what: &str, reply: &WebhookReply) -> Verdict {
    ensure!(
        reply.status.is_success(),
        "{what} was answered with {}",
        reply.status
    );
    Ok(())
}

/// All orders of `count` things, the given one first; of more than four only some.
pub(super) fn orders(count: usize) -> Vec<Vec<usize>> {
    let forward: Vec<usize> = (0..count).collect();
    if count > 4 {
        let mut backward = forward.clone();
        backward.reverse();
        let mut last_first = forward.clone();
        last_first.rotate_right(1);
        let mut swapped = forward.clone();
        swapped.chunks_mut(2).for_each(<[usize]>::reverse);
        return vec![forward, backward, last_first, swapped];
    }
    let mut all = vec![Vec::new()];
    for _ in 0..count {
        all = all
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                let left: Vec<usize> = (0..count).filter(|at| !order.contains(at)).collect();
                left.into_iter().map(move |next| {
                    let mut longer = order.clone();
                    longer.push(next);
                    longer
                })
            })
            .collect();
    }
    all
}

/// A failure unless a reply came.
pub(super) fn answered(
    what: &str,
    reply: Result<WebhookReply, Error>,
) -> Result<WebhookReply, Failure> {
    reply.map_err(|error| Failure::new(format!("{what}: {error:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_comes_once() {
        assert_eq!(orders(0), [Vec::<usize>::new()]);
        assert_eq!(orders(2), [vec![0, 1], vec![1, 0]]);
        let mut three = orders(3);
        assert_eq!(three.len(), 6);
        three.sort();
        three.dedup();
        assert_eq!(three.len(), 6);
        assert_eq!(orders(4).len(), 24);
        for mut order in orders(7) {
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4, 5, 6]);
        }
    }
}
