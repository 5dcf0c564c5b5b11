//! Calls of others that pass through a proxy.

use std::time::Duration;

use crate::server::script::CallScript;

/// A call that passes through a proxy. The callee takes it as the mock's rules say for its number,
/// unless [`taken`](Self::taken) says otherwise; the caller waits for ever.
#[derive(Clone)]
pub struct PassingCall {
    pub(in crate::server) from: String,
    pub(in crate::server) to: String,
    pub(in crate::server) script: Option<CallScript>,
    pub(in crate::server) cancels: Option<Duration>,
    pub(in crate::server) hangs_up: Option<Duration>,
    pub(in crate::server) mark: Option<String>,
    pub(in crate::server) referred_by: Option<String>,
    /// The leg of a click-to-dial that this is the other half of.
    pub(in crate::server) leg: Option<u64>,
}

impl PassingCall {
    /// A call from one SIP address to another.
    pub fn new(from: &str, to: &str) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            script: None,
            cancels: None,
            hangs_up: None,
            mark: None,
            referred_by: None,
            leg: None,
        }
    }

    /// How the callee takes it.
    #[must_use]
    pub fn taken(mut self, script: CallScript) -> Self {
        self.script = Some(script);
        self
    }

    /// The caller takes it back after this time, if it is not answered by then.
    #[must_use]
    pub const fn cancelled_after(mut self, time: Duration) -> Self {
        self.cancels = Some(time);
        self
    }

    /// The caller hangs up so long after the answer.
    #[must_use]
    pub const fn hung_up_after(mut self, time: Duration) -> Self {
        self.hangs_up = Some(time);
        self
    }

    /// The header by which clients know their calls: `X-Job` of Kamailio.
    #[must_use]
    pub fn mark(mut self, mark: &str) -> Self {
        self.mark = Some(mark.to_owned());
        self
    }
}

impl std::fmt::Debug for PassingCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PassingCall")
            .field("script", &self.script)
            .field("cancels", &self.cancels)
            .field("hangs_up", &self.hangs_up)
            .finish_non_exhaustive()
    }
}
