//! The port that FreeSWITCH's application `socket` calls: each connection brings one call, and holds
//! it until it is decided on.
//!
//! What is decided is ordered by the adapter's own connection, by the uuid: it takes the call out of
//! `socket`. When this process dies before, FreeSWITCH hangs the call up.

use std::{sync::Arc, time::Duration};

use faxbot_core::{Error, ErrorKind, Result, sip::Severity, task::TaskSet};

use super::super::{
    config::{FreeswitchConfig, IncomingPath},
    core::Core,
};
use crate::{
    adapter::incoming::MAX_WAITING,
    outbound::{EslListener, OutboundCall, OutboundCalls, OutboundOptions, SocketMode},
};

/// Connections beyond the calls that may wait: they are rejected as busy, and FreeSWITCH does not wait
/// for a place in vain.
const SPARE: usize = 100;

/// How long a call may take to leave that is none of ours.
const LEAVE: Duration = Duration::from_secs(2);

/// The port, as long as the adapter is connected. Field order is drop order: the calls that wait are
/// let go of before what serves them.
#[derive(Debug)]
pub(crate) struct Port {
    _calls: TaskSet,
    _listener: EslListener,
}

impl Port {
    /// Listens if the configuration says so.
    ///
    /// # Errors
    /// `Io` when the address cannot be listened on.
    pub(crate) async fn open(core: &Arc<Core>) -> Result<Option<Self>> {
        let Some(options) = options(&core.config) else {
            return Ok(None);
        };
        let tasks = TaskSet::current("incoming")?;
        let (listener, calls) = EslListener::bind_with(
            options,
            Arc::clone(&core.hub.clock),
            faxbot_core::random::SystemRandom::shared(),
        )
        .await?;
        tasks.spawn(take_all(Arc::clone(core), calls));
        Ok(Some(Self {
            _calls: tasks,
            _listener: listener,
        }))
    }
}

fn options(config: &FreeswitchConfig) -> Option<OutboundOptions> {
    let IncomingPath::Socket { listen, allow } = &config.incoming else {
        return None;
    };
    let options = OutboundOptions::new()
        .with_address(*listen)
        .with_allow(allow.clone())
        .with_max_calls(MAX_WAITING.saturating_add(SPARE))
        .with_request_timeout(config.request_timeout);
    Some(options)
}

async fn take_all(core: Arc<Core>, mut calls: OutboundCalls) {
    // Of this task, so that they end with it.
    let Ok(tasks) = TaskSet::current("incoming") else {
        return;
    };
    while let Some(call) = calls.recv().await {
        tasks.spawn(hold(Arc::clone(&core), call));
    }
}

/// Enters a call, and holds its connection as long as the call waits: dropped before, the call is hung
/// up. Dropped later it would end a `park` that the call came to meanwhile: the two share one flag of
/// the channel, `CF_CONTROLLED` (`listener_run` in `mod_event_socket.c`, `switch_ivr_park`; observed on
/// FreeSWITCH 1.10.12).
async fn hold(core: Arc<Core>, call: OutboundCall) {
    // Before anybody can decide.
    let mut events = call.events();
    if call.channel().mode() != SocketMode::Async {
        let message =
            "the application socket has to be async: its line is `socket host:port async full`";
        let error = Error::new(ErrorKind::Config, "incoming", message);
        core.hub.trouble(Severity::Warning, error);
        return leave(call).await;
    }
    let id = match call.channel().frame().event() {
        Ok(Some(event)) => core
            .hub
            .change(|state, now| state.books.came_by_socket(&event, now)),
        Ok(None) | Err(_) => None,
    };
    if id.is_none() {
        return leave(call).await;
    }
    let moved = async {
        // The connection's own events: that of the adapter may be down.
        while let Some(event) = events.recv().await {
            let Ok(event) = event else { continue };
            let name = event.event.event().ok().flatten();
            if name.and_then(|event| event.name().map(|name| name == "CHANNEL_UNPARK"))
                == Some(true)
            {
                break;
            }
        }
    };
    tokio::select! {
        () = moved => {}
        _ = call.over() => {}
    }
}

/// The dialplan goes on behind `socket`.
async fn leave(call: OutboundCall) {
    let _ = call.resume().await;
    call.close(LEAVE).await;
}
