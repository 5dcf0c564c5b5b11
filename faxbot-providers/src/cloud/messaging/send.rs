//! One message on its way out: one request, and the search for what became of it.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Effect, Error, ErrorKind, Result, Timestamp, message::MessageResult, retry::Backoff,
};

use super::{
    book::{Key, SKEW},
    provider::{AcceptedMessage, MessagingProvider, PreparedMessage},
    shared::Shared,
};
use crate::{conversations::Parties, jobs::later};

/// The waits between two searches for a message whose request was not answered: lists lag a little.
const SEARCH: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

/// A message that the book has taken.
pub(super) struct Outgoing {
    pub(super) key: Key,
    /// Ours, which the vendor is given.
    pub(super) reference: String,
    pub(super) message: PreparedMessage,
    pub(super) parties: Parties,
    /// `send_message` or `send_reply`.
    pub(super) operation: &'static str,
}

/// Sends, once. Not raced against a stop: a request that was begun is waited for.
pub(super) async fn send<P: MessagingProvider>(
    shared: Arc<Shared<P>>,
    out: Outgoing,
) -> Result<MessageResult> {
    let began = shared.clock.timestamp();
    let sent = shared
        .within(shared.provider.submit(&out.reference, &out.message))
        .await;
    match sent {
        Ok(accepted) => Ok(taken(&shared, &out, &accepted)),
        Err(error) if error.effect() == Effect::NoEffect => {
            tracing::info!(kind = ?error.kind(), "a message was not taken");
            let proven = shared.change(|book, rules, now| book.refused(out.key, rules, now));
            match proven {
                Some(id) => Ok(taken(&shared, &out, &AcceptedMessage::new(id))),
                None => Err(error
                    .with_operation(out.operation)
                    .with_message_id(&out.reference)),
            }
        }
        Err(error) => {
            tracing::warn!(kind = ?error.kind(), "a message was not answered for; it is looked for, and not sent again");
            match search(&shared, &out, began).await {
                Some(accepted) => Ok(taken(&shared, &out, &accepted)),
                None => Err(lost(&shared, &out, error)),
            }
        }
    }
}

/// The vendor has it.
fn taken<P: MessagingProvider>(
    shared: &Shared<P>,
    out: &Outgoing,
    accepted: &AcceptedMessage,
) -> MessageResult {
    let id = shared.change(|book, rules, now| book.accepted(out.key, &accepted.id, rules, now));
    note(shared, out);
    shared.wake.notify_one();
    let kind = out.message.content.kind;
    let result = MessageResult::new(id, &shared.backend, kind).with_segments(out.message.segments);
    match &accepted.cost {
        Some(cost) => result.with_cost(cost.clone()),
        None => result,
    }
}

/// Nobody can say whether the vendor has it. The poller goes on looking.
fn lost<P: MessagingProvider>(shared: &Shared<P>, out: &Outgoing, source: Error) -> Error {
    shared.change(|book, rules, now| book.gave_up(out.key, rules, now));
    note(shared, out);
    shared.wake.notify_one();
    unknown(out.operation, &out.reference)
        .with_native(
            source.native_code().map(str::to_owned),
            source.native_text().map(str::to_owned),
        )
        .with_source(source)
}

/// The error of a message that may have been sent.
pub(super) fn unknown(operation: &'static str, reference: &str) -> Error {
    Error::new(
        ErrorKind::OutcomeUnknown,
        operation,
        "the provider did not say whether it took the message",
    )
    .with_message_id(reference)
}

fn note<P: MessagingProvider>(shared: &Shared<P>, out: &Outgoing) {
    let text = &out.message.content.text;
    shared
        .conversations
        .sent(&out.parties, text, shared.clock.timestamp());
}

/// Looks for the message at the vendor, by our reference, until the patience of the caller ends.
async fn search<P: MessagingProvider>(
    shared: &Shared<P>,
    out: &Outgoing,
    began: Timestamp,
) -> Option<AcceptedMessage> {
    let end = later(shared.clock.now(), shared.settings.lookup_patience);
    let since = began - SKEW;
    for tries in 0.. {
        let now = shared.now();
        let wait = SEARCH.delay(tries, now.fraction()).unwrap_or_default();
        let at = later(now.instant, wait);
        if at > end {
            break;
        }
        let found = async {
            shared.clock.sleep_until(at).await;
            shared
                .within(shared.provider.find(&out.reference, since))
                .await
        };
        let found = tokio::select! {
            biased;
            () = shared.token.cancelled() => break,
            found = found => found,
            () = shared.clock.sleep_until(end) => break,
        };
        if let Ok(Some(accepted)) = found {
            return Some(accepted);
        }
        // A callback may have told meanwhile.
        if let Some(id) = shared.change(|book, _, _| book.proven(out.key)) {
            return Some(AcceptedMessage::new(id));
        }
    }
    let id = shared.change(|book, _, _| book.proven(out.key))?;
    Some(AcceptedMessage::new(id))
}
