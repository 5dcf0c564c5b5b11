//! What a start takes from the store.

use std::time::Duration;

use faxbot_core::{Result, plugin::InboundQuery};

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
    tokio::select! {
        biased;
        read = read(shared) => {
            if let Err(error) = read {
                tracing::warn!(kind = ?error.kind(), "conversations are not restored");
            }
        }
        () = deadline => tracing::warn!("conversations are not restored: the store is slow"),
    }
}

async fn read(shared: &Shared) -> Result<()> {
    let mut query = InboundQuery::new().with_limit(PAGE);
    for _ in 0..RESTORED / PAGE {
        let page = shared.inbound.messages(ID, &query).await?;
        for message in page.items {
            let from = message.from.expose();
            let theirs = peer::of_sender(from, &shared.config.local_domains);
            shared.lasting.conversations.restore(
                &shared.parties(theirs),
                &message.content.text,
                message.received_at,
            );
        }
        match page.next_cursor {
            Some(cursor) => query = query.with_cursor(cursor),
            None => break,
        }
    }
    Ok(())
}
