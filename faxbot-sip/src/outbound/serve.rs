//! The task of one connection: the set-up, then its events, then its end.

use std::sync::{Arc, atomic::AtomicU64};

use faxbot_core::{Error, ErrorKind};
use tokio::sync::{mpsc, oneshot};

use super::{
    board::Board,
    call::{Inner, OutboundCall},
    channel::Channel,
    listener::OutboundOptions,
};
use crate::{
    driver::{Accepted, LinkError, LinkEvent, LinkEvents, Setup},
    protocol::esl::{Command, EslSession, Format},
};

/// Serves one connection from its login to its end.
pub(super) async fn serve(
    accepted: Accepted<EslSession>,
    options: Arc<OutboundOptions>,
    calls: mpsc::Sender<OutboundCall>,
) {
    let Accepted {
        link,
        mut events,
        place,
        ..
    } = accepted;
    let link = Arc::new(link);
    let Some(channel) = set_up(&mut events, &options).await else {
        // The end is on its way: its requests are answered when its events were taken.
        while events.recv().await.is_some() {}
        return;
    };
    let handle = link.handle();
    let board = Board::new(channel.uuid(), Arc::clone(handle.clock()));
    let _end = End(Arc::clone(&board));
    let (held, let_go) = oneshot::channel();
    let mut prefix = [0; 16];
    handle.random().fill(&mut prefix);
    let call = OutboundCall::new(Inner {
        channel,
        handle,
        link: Arc::clone(&link),
        board: Arc::clone(&board),
        request_timeout: options.request_timeout,
        prefix: u128::from_be_bytes(prefix),
        executed: AtomicU64::new(0),
        _place: place,
        _held: held,
    });
    // Each call in that queue has a place, so there is room. Without an owner the call is dropped
    // here and closed below.
    let _ = calls.send(call).await;
    drop(calls);

    let close = async {
        // Nobody sends: it ends with the last handle.
        let _ = let_go.await;
        link.close(options.close_timeout).await
    };
    tokio::pin!(close);
    let mut closed = false;
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(LinkEvent::Event { event, .. }) => board.take(event),
                Some(LinkEvent::Down { reason, .. }) => board.over(reason),
                Some(_) => {}
                None => return,
            },
            _ = &mut close, if !closed => closed = true,
        }
    }
}

/// Subscribes to the events of the channel. `None` when there is no call to give out.
async fn set_up(events: &mut LinkEvents<EslSession>, options: &OutboundOptions) -> Option<Channel> {
    let (ready, setup) = loop {
        match events.recv().await? {
            LinkEvent::Up { ready, setup, .. } => break (ready, setup),
            LinkEvent::Event { .. } => {}
            _ => return None,
        }
    };
    let Some(channel) = Channel::of(&ready) else {
        setup.fail(broken("the channel has no id"));
        return None;
    };
    match subscribe(&setup, options).await {
        Ok(()) => setup.ready().then_some(channel),
        Err(error) => {
            setup.fail(error);
            None
        }
    }
}

async fn subscribe(setup: &Setup<EslSession>, options: &OutboundOptions) -> Result<(), Error> {
    let command = Command::myevents(Format::Json, None)
        .map_err(|error| broken("no subscription").with_source(error))?;
    let reply = setup.handle().request(command, options.request_timeout);
    let reply = reply.await.map_err(|error| error.into_error("connect"))?;
    if reply.is_ok() {
        Ok(())
    } else {
        Err(broken("the events of the channel were refused"))
    }
}

fn broken(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, "connect", message)
}

/// Ends the waits of a call however its task ends.
struct End(Arc<Board>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.over(LinkError::Closed);
    }
}
