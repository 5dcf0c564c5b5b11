//! What the adapter tells: statuses of what we sent, and messages that come in.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use faxbot_core::{
    Private, Timestamp,
    event::{EventStream, Lagged, Stamped},
    message::{InboundMessage, MessageContent},
    plugin::PluginEvent,
    retry::Backoff,
    sip::SipEvent,
    task::TaskSet,
    webhook::Authenticity,
};
use tokio::sync::mpsc;

use super::{
    ID, peer,
    shared::{Shared, add},
};
use crate::conversations::Parties;

/// Messages that came in and wait for a store that takes none now. A busy office gets some a minute, so
/// this is hours; an adapter hands over 64 KiB each at most.
const WAITING: usize = 1000;

/// Events that are still read when the plugin stops; no bus keeps more for a stream.
const LAST_EVENTS: usize = 4096;

/// Between two tries to store a message.
const STORE_AGAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// A message that came in, with its conversation.
struct Received {
    message: InboundMessage,
    parties: Parties,
}

/// Listens from now on.
pub(super) fn spawn(tasks: &TaskSet, shared: &Arc<Shared>) {
    let events = shared.adapter.subscribe();
    let (queue, waiting) = mpsc::channel(WAITING);
    tasks.spawn(listen(Arc::clone(shared), events, queue));
    tasks.spawn(store(Arc::clone(shared), waiting));
}

async fn listen(
    shared: Arc<Shared>,
    mut events: EventStream<SipEvent>,
    queue: mpsc::Sender<Received>,
) {
    loop {
        tokio::select! {
            biased;
            () = shared.token.cancelled() => break,
            item = events.recv() => match item {
                Some(item) => shared.told(item, &queue),
                None => {
                    shared.lasting.figures.events_ended.store(true, Ordering::Relaxed);
                    tracing::error!("the sip adapter ended its events");
                    return;
                }
            },
        }
    }
    // What came before the stop is not lost.
    for _ in 0..LAST_EVENTS {
        let Some(item) = events.try_recv() else { break };
        shared.told(item, &queue);
    }
}

impl Shared {
    fn told(&self, item: Result<Stamped<SipEvent>, Lagged>, queue: &mpsc::Sender<Received>) {
        let figures = &self.lasting.figures;
        let stamped = match item {
            Ok(stamped) => stamped,
            Err(Lagged { missed, .. }) => {
                add(&figures.events_missed, missed);
                tracing::warn!(
                    missed,
                    "events of the sip adapter were lost: messages and statuses may be among them"
                );
                return;
            }
        };
        match stamped.event {
            SipEvent::MessageStatusChanged(status) => self.tell(&status),
            SipEvent::MessageReceived { from, content } => {
                let received = self.received(from, content, stamped.at);
                if queue.try_send(received).is_err() {
                    add(&figures.inbound_lost, 1);
                    tracing::error!("a message that came in is lost: too many wait for the store");
                }
            }
            SipEvent::ConnectionStateChanged(change) if change.gap.is_some() => {
                add(&figures.gaps, 1);
                tracing::warn!(
                    "the sip server was not connected: messages and statuses of that time are not known"
                );
            }
            _ => {}
        }
    }

    fn received(&self, from: Private, content: MessageContent, at: Timestamp) -> Received {
        let theirs = peer::of_sender(from.expose(), &self.config.local_domains);
        let parties = self.parties(theirs);
        let to = Private::new(self.ours());
        // Nothing in SIP proves who sent it, and no server gives it an id.
        let message = InboundMessage::new(
            self.new_id(),
            ID,
            (from, to),
            content,
            at,
            Authenticity::None,
        )
        .with_conversation(parties.id());
        Received { message, parties }
    }
}

/// Stores what came in, and tells of it then.
async fn store(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Received>) {
    let figures = &shared.lasting.figures;
    while let Some(received) = waiting.recv().await {
        if stored(&shared, &received.message).await {
            let Received { message, parties } = received;
            let text = &message.content.text;
            let book = &shared.lasting.conversations;
            book.received(&parties, text, message.received_at);
            let event = PluginEvent::MessageReceived(message);
            shared.events.publish(shared.clock.timestamp(), event);
        } else {
            add(&figures.inbound_lost, 1);
            tracing::error!("a message that came in is lost: the store did not take it");
        }
    }
}

/// Tries until it is stored; once more after a stop.
async fn stored(shared: &Shared, message: &InboundMessage) -> bool {
    let fails = &shared.lasting.figures.storing_fails;
    for attempt in 0.. {
        let last = shared.token.is_cancelled();
        match shared.inbound.put_message(message).await {
            Ok(_) => {
                fails.store(false, Ordering::Relaxed);
                return true;
            }
            Err(error) => {
                fails.store(true, Ordering::Relaxed);
                tracing::warn!(kind = ?error.kind(), attempt, "a message that came in is not stored so far");
            }
        }
        if last {
            return false;
        }
        // The top bits are random as well, and 32 of them are a number without loss.
        let random = f64::from(u32::try_from(shared.random.next_u64() >> 32).unwrap_or(0));
        let wait = STORE_AGAIN.delay(attempt, random / f64::from(u32::MAX));
        let until = shared.clock.now() + wait.unwrap_or(STORE_AGAIN.cap);
        tokio::select! {
            () = shared.token.cancelled() => {}
            () = shared.clock.sleep_until(until) => {}
        }
    }
    false
}
