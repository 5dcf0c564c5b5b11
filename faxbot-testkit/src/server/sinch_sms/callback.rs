//! What the vendor tells by itself: when, what, and how it is signed.

use faxbot_core::Timestamp;

use super::{batch::Reports, report, signature::signature, vendor::MockSinchSms};
use crate::server::http::Callback;

/// A callback that is to come.
#[derive(Debug)]
pub(super) enum Due {
    /// Of all messages of a batch.
    Batch { batch: usize },
    /// Of one message of a batch, in one of its states.
    Message {
        batch: usize,
        message: usize,
        step: usize,
    },
    /// Of a message that came.
    Received { received: usize },
}

impl Due {
    fn is_of(&self, of: usize) -> bool {
        match self {
            Self::Batch { batch } | Self::Message { batch, .. } => *batch == of,
            Self::Received { .. } => false,
        }
    }
}

impl MockSinchSms {
    /// Plans the callbacks of a batch from now on.
    pub(super) fn tell(&mut self, index: usize, now: Timestamp) {
        self.due.retain(|_, due| !due.is_of(index));
        let Some(batch) = self.batches.get(index) else {
            return;
        };
        let every = match batch.reports {
            Reports::None => return,
            Reports::Summary | Reports::Full => {
                let ends: Option<Vec<Timestamp>> = batch
                    .messages
                    .iter()
                    .map(|message| message.steps().last().filter(|step| step.is_final()))
                    .map(|last| Some(last?.at))
                    .collect();
                // A message without an end keeps the report of all back.
                if let Some(last) = ends.and_then(|ends| ends.into_iter().max())
                    && last >= now
                {
                    self.schedule(last, Due::Batch { batch: index });
                }
                return;
            }
            Reports::PerRecipient => true,
            Reports::PerRecipientFinal => false,
        };
        let mut planned = Vec::new();
        for (message, of) in batch.messages.iter().enumerate() {
            // The first state is that of the answer.
            for (step, state) in of.steps().iter().enumerate().skip(1) {
                if state.at >= now && (every || state.is_final()) {
                    let batch = index;
                    planned.push((
                        state.at,
                        Due::Message {
                            batch,
                            message,
                            step,
                        },
                    ));
                }
            }
        }
        for (at, due) in planned {
            self.schedule(at, due);
        }
    }

    pub(super) fn schedule(&mut self, at: Timestamp, due: Due) {
        self.made += 1;
        self.due.insert((at, self.made), due);
    }

    pub(super) fn callback_of(&mut self, due: &Due, now: Timestamp) -> Option<Callback> {
        let (body, label, url) = match due {
            Due::Received { received } => {
                let received = self.received.get(*received)?;
                (received.json(), "inbound", None)
            }
            Due::Batch { batch } => {
                let batch = self.batches.get(*batch)?;
                let full = batch.reports == Reports::Full;
                let report = report::of_batch(batch, now, full, |_| true);
                (report, "delivery report", batch.callback.as_ref())
            }
            Due::Message {
                batch,
                message,
                step,
            } => {
                let batch = self.batches.get(*batch)?;
                let message = batch.messages.get(*message)?;
                let report = report::of_message(batch, message, message.steps().get(*step)?);
                (report, "recipient delivery report", batch.callback.as_ref())
            }
        };
        let url = url.or(self.callback.as_ref())?.clone();
        let body = body.to_string();
        let callback = Callback::new(label, url, "application/json", body.clone());
        let Some(secret) = &self.secret else {
            return Some(callback);
        };
        let nonce = self.ids.next(now);
        let timestamp = now.as_second();
        let signature = signature(secret, body.as_bytes(), &nonce, timestamp);
        Some(
            callback
                .with_header("x-sinch-webhook-signature", &signature)
                .with_header("x-sinch-webhook-signature-algorithm", "HmacSHA256")
                .with_header("x-sinch-webhook-signature-nonce", &nonce)
                .with_header(
                    "x-sinch-webhook-signature-timestamp",
                    &timestamp.to_string(),
                ),
        )
    }
}
