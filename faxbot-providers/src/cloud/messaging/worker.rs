//! What runs beside the callers: questions about messages that are on their way, and the search for
//! messages whose callback was missed.

use std::{collections::HashSet, sync::Arc, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp, message::InboundMessage, plugin::InboundQuery,
    webhook::Authenticity,
};

use super::{
    book::Due,
    provider::{MessageNotice, MessagingProvider},
    shared::Shared,
};
use crate::{cloud::webhook, jobs::later};

/// Questions at one time.
pub(super) const POLLERS: usize = 4;
/// How far one look for missed messages reaches back into the time of the one before: a vendor lists
/// a message some time after it came.
const OVERLAP: Duration = Duration::from_secs(600);
/// Messages of a page of the vendor's list.
const PAGE: usize = 100;
/// Pages of one look at most: a list that never ends must not be read for ever.
const PAGES: usize = 1000;
/// Messages of an earlier process that are taken from the store into conversations.
const RESTORED: usize = 1000;
/// A store that is slower than this does not keep the plugin from its start.
const RESTORE_WITHIN: Duration = Duration::from_secs(10);

/// Asks for the messages whose turn it is. Several run at one time over one book.
pub(super) async fn poll<P: MessagingProvider>(shared: Arc<Shared<P>>) {
    loop {
        match shared.change(|book, rules, now| book.due(rules, now)) {
            Due::Ask(key, question) => shared.ask(key, question).await,
            Due::At(at) => {
                tokio::select! {
                    () = shared.clock.sleep_until(at) => {}
                    () = shared.wake.notified() => {}
                }
            }
            Due::Idle => shared.wake.notified().await,
        }
    }
}

/// Takes what came in and was not told of by a callback, at once and then again and again.
pub(super) async fn catch_up<P: MessagingProvider>(shared: Arc<Shared<P>>) {
    let every = shared.settings.inbound_poll;
    if every.is_zero() {
        return;
    }
    let mut since = shared.clock.timestamp() - shared.settings.inbound_window;
    loop {
        let began = shared.clock.timestamp();
        match look(&shared, since).await {
            Ok(newest) => {
                // By the vendor's clock: with ours far ahead of it, what comes next would be older
                // than a look that starts from our time.
                let reached = newest.unwrap_or(since + OVERLAP).min(began) - OVERLAP;
                let window = shared.settings.inbound_window.max(OVERLAP);
                since = reached.max(began - window);
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => return,
            // The next look covers the time of this one.
            Err(error) => {
                tracing::warn!(kind = ?error.kind(), "messages that came in were not looked for");
            }
        }
        let at = later(shared.clock.now(), every);
        shared.clock.sleep_until(at).await;
    }
}

/// One look over all pages. Answers when the newest message came, by the vendor's clock.
async fn look<P: MessagingProvider>(
    shared: &Shared<P>,
    since: Timestamp,
) -> Result<Option<Timestamp>> {
    let mut query = InboundQuery::new().with_limit(PAGE);
    let mut seen = HashSet::new();
    let (mut all, mut newest) = (true, None);
    for _ in 0..PAGES {
        let page = shared
            .within(shared.provider.list_inbound(since, &query))
            .await?;
        // Oldest first, as they came.
        for message in page.items.into_iter().rev() {
            newest = newest.max(Some(message.received_at));
            all &= take(shared, message).await;
        }
        match page.next_cursor {
            // A cursor that comes back would read the same pages for ever.
            Some(cursor) if seen.insert(cursor.clone()) => query = query.with_cursor(cursor),
            _ => {
                return if all {
                    Ok(newest)
                } else {
                    Err(not_all("a message was not stored"))
                };
            }
        }
    }
    Err(not_all("the list has no end"))
}

fn not_all(why: &str) -> Error {
    Error::new(ErrorKind::Overloaded, "list_inbound", why)
}

/// The same way as by a callback, under the same key: whoever comes first stores it.
async fn take<P: MessagingProvider>(shared: &Shared<P>, message: InboundMessage) -> bool {
    let notice = MessageNotice::received(message);
    match webhook::take(shared, notice, Authenticity::Fetched).await {
        Ok(done) => done,
        Err(error) => {
            tracing::warn!(kind = ?error.kind(), "a message that came in was not stored");
            false
        }
    }
}

/// Takes the latest messages of the store into conversations, so that they can be replied to after a
/// restart. They count as read. Without the store messages can still be sent.
pub(super) async fn restore<P: MessagingProvider>(shared: &Shared<P>) {
    let late = shared
        .clock
        .sleep_until(later(shared.clock.now(), RESTORE_WITHIN));
    let mut messages = Vec::new();
    tokio::select! {
        biased;
        () = read(shared, &mut messages) => {}
        () = late => tracing::warn!("conversations were not restored: the store is slow"),
    }
    // Oldest first, as they came: of two with one time the later is the last one.
    let now = shared.clock.timestamp();
    for message in messages.iter().rev() {
        let parties = Shared::<P>::parties(message);
        let at = message.received_at.min(now);
        let text = &message.content.text;
        shared.conversations.restore(&parties, text, at);
    }
}

async fn read<P: MessagingProvider>(shared: &Shared<P>, messages: &mut Vec<InboundMessage>) {
    let mut query = InboundQuery::new().with_limit(PAGE);
    while messages.len() < RESTORED {
        let page = match shared
            .stores
            .inbound
            .messages(&shared.backend, &query)
            .await
        {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(kind = ?error.kind(), "conversations were not restored");
                break;
            }
        };
        let empty = page.items.is_empty();
        messages.extend(page.items);
        match page.next_cursor {
            Some(cursor) if !empty => query = query.with_cursor(cursor),
            _ => break,
        }
    }
}
