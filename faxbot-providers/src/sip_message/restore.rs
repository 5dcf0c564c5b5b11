//! What a start takes from the store.

use std::time::Duration;

use faxbot_core::{Result, message::InboundMessage, plugin::InboundQuery};

use super::{ID, peer, shared::Shared};

/// Stored messages that are read at a start, in pages.
const RESTORED: usize = 1000;
const PAGE: usize = 100;

/// A store that is slower than this does not keep the plugin from its start.
const WITHIN: Duration = Duration::from_secs(10);

/// Takes the latest messages of the store into conversations, so that they can be answered. They count
/// as read. Without the store the plugin can still send, so its fault is no error.
pub(super) async fn restore(shared: &Shared) {
    let deadline = shared.clock.sleep_until(shared.clock.now() + WITHIN);
    let mut messages = Vec::new();
    tokio::select! {
        biased;
        read = read(shared, &mut messages) => {
            if let Err(error) = read {
                tracing::warn!(kind = ?error.kind(), "conversations are not restored");
            }
        }
        () = deadline => tracing::warn!("conversations are not restored: the store is slow"),
    }
    // Oldest first, as they came: of two with one time the later is the last one.
    for message in messages.iter().rev() {
        let theirs = peer::of_sender(message.from.expose(), &shared.config.local_domains);
        shared.lasting.conversations.restore(
            &shared.parties(theirs),
            &message.content.text,
            message.received_at,
        );
    }
}

async fn read(shared: &Shared, messages: &mut Vec<InboundMessage>) -> Result<()> {
    let mut query = InboundQuery::new().with_limit(PAGE);
    for _ in 0..RESTORED / PAGE {
        let page = shared.inbound.messages(ID, &query).await?;
        messages.extend(page.items);
        match page.next_cursor {
            Some(cursor) => query = query.with_cursor(cursor),
            None => break,
        }
    }
    Ok(())
}
