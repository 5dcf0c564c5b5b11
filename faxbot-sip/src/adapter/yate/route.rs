//! A routing hook: what the engine asks of every call, asked of a function of the caller's.

use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc};

use faxbot_core::{Private, sip::RejectCause};

use super::{YateAdapter, incoming::decide::word};
use crate::{
    adapter::incoming::{MAX_HEADERS, private},
    protocol::yate::{Command, CommandError, Incoming, Message},
};

/// Parameters of a message that are the engine's own and say nothing of the call.
const HIDDEN: &[&str] = &["handlers"];

/// A call that the engine asks the way for (`call.route`): one from outside, one of this server's own
/// that names a number, or one that a phone transfers.
#[derive(Clone)]
#[non_exhaustive]
pub struct RouteCall {
    /// The channel that is routed, such as `sip/7`.
    pub channel: Private,
    /// Who calls.
    pub caller: Option<Private>,
    /// The name of the caller.
    pub caller_name: Option<Private>,
    /// The number that was called.
    pub called: Option<Private>,
    /// Everything that the message says of the call, at most 64 values of at most 1,024 bytes:
    /// `sip_uri`, `ip_host`, `address`, `reason`, headers as `sip_x-name` in lower case.
    pub params: BTreeMap<String, Private>,
}

impl RouteCall {
    pub(super) fn of(message: &Message<'_>) -> Self {
        let text = |name: &str| {
            let text = message.text(name).filter(|text| !text.is_empty());
            text.map(|text| private(&text))
        };
        let params = message.params().filter_map(|param| {
            let name = param.name().into_owned();
            let value = param.text()?;
            (!HIDDEN.contains(&name.as_str())).then(|| (name, private(&value)))
        });
        Self {
            channel: text("id").unwrap_or_else(|| Private::new(String::new())),
            caller: text("caller"),
            caller_name: text("callername"),
            called: text("called"),
            params: params.take(MAX_HEADERS).collect(),
        }
    }

    /// One value of the message.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(|value| value.expose().as_str())
    }
}

impl fmt::Debug for RouteCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteCall")
            .field("params", &self.params.len())
            .finish_non_exhaustive()
    }
}

/// Where a call goes.
///
/// ```
/// use faxbot_sip::adapter::yate::RouteTarget;
///
/// let queue = RouteTarget::new("sip/sip:queue@pbx.example").with_param("maxcall", "30000");
/// # let _ = queue;
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RouteTarget {
    target: String,
    params: Vec<(String, String)>,
}

impl RouteTarget {
    /// A target of a driver: `sip/sip:user@host`, `conf/room`, `tone/ring`.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            params: Vec::new(),
        }
    }

    /// No target: the caller is refused. `Busy` gives 486, `Unavailable` 480, `NotFound` 404, `Declined`
    /// 403 (observed on Yate 6.4.1).
    pub fn reject(cause: RejectCause) -> Self {
        Self::new("-").with_param("error", word(cause))
    }

    /// Changes or adds a parameter of the call: `caller`, `callername`, `maxcall` and `timeout` in
    /// milliseconds. A name or value that a line of Yate cannot carry (a line break) makes the call fall
    /// through.
    #[must_use]
    pub fn with_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    pub(super) fn answer(&self, asked: &Incoming) -> Result<Command, CommandError> {
        let mut command = asked.answer(true).retval(&self.target)?;
        for (name, value) in &self.params {
            command = command.param(name, value)?;
        }
        Ok(command)
    }
}

impl<T: Into<String>> From<T> for RouteTarget {
    fn from(target: T) -> Self {
        Self::new(target)
    }
}

impl fmt::Debug for RouteTarget {
    /// A target holds a number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTarget")
            .field("params", &self.params.len())
            .finish_non_exhaustive()
    }
}

type Routed = Pin<Box<dyn Future<Output = Option<RouteTarget>> + Send>>;

/// The function that is asked.
#[derive(Clone)]
pub(super) struct Hook(Arc<dyn Fn(RouteCall) -> Routed + Send + Sync>);

impl Hook {
    pub(super) fn ask(&self, call: RouteCall) -> Routed {
        (self.0)(call)
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook(..)")
    }
}

impl YateAdapter {
    /// Asks `handler` where each call goes that Yate routes, before our own `options.incoming` and, with
    /// the usual `options.incoming_priority`, before Yate's own routes. Set it before
    /// [`connect`](faxbot_core::sip::SipAdapter::connect): each connection asks for calls if there is one.
    ///
    /// `None` lets the call go on: to us as an incoming call if `options.incoming` is on, else to the
    /// other routes. The caller and one of the engine's threads wait, so a handler has two seconds. One
    /// that is slower, panics, or is asked while a hundred others are, lets the call fall through to the
    /// other routes; so does a link that is lost. A handler must not block its thread.
    ///
    /// ```no_run
    /// # use faxbot_sip::adapter::yate::{RouteTarget, YateAdapter, YateConfig};
    /// # fn adapter(config: YateConfig) -> YateAdapter {
    /// YateAdapter::new(config).on_route(|call| async move {
    ///     let called = call.called?;
    ///     let number = called.expose().strip_prefix("77")?;
    ///     Some(RouteTarget::new(format!("sip/sip:{number}@pbx.example")))
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn on_route<F, R>(self, handler: F) -> Self
    where
        F: Fn(RouteCall) -> R + Send + Sync + 'static,
        R: Future<Output = Option<RouteTarget>> + Send + 'static,
    {
        let hook = Hook(Arc::new(move |call| Box::pin(handler(call))));
        self.core.asked.set_hook(hook);
        self
    }
}
