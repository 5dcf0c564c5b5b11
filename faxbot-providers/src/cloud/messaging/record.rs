//! One message of the book.

use std::time::{Duration, Instant};

use faxbot_core::{
    Timestamp,
    message::{MessageKind, MessageState, MessageStatus},
    webhook::Authenticity,
};
use serde_json::Value;

use super::{book::Question, provider::MessageReport};
use crate::jobs::Now;

/// Where a message is in its life here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its request has no answer, or what became of that is being looked for.
    Sending,
    /// The poller asks for it.
    Open,
    /// Final, or given up.
    Over,
}

/// What is known of a message. No number and no text: nobody asks for them by the message.
#[derive(Clone)]
pub(super) struct Record {
    /// Ours; absent for a message of others.
    pub(super) reference: Option<String>,
    /// The vendor's.
    pub(super) id: Option<String>,
    /// Whether callers know it by our reference: the vendor's id came too late for them.
    pub(super) named_by_reference: bool,
    pub(super) kind: Option<MessageKind>,
    /// When its request was sent.
    pub(super) submitted: Timestamp,
    /// When it is given up.
    pub(super) until: Instant,
    pub(super) state: MessageState,
    pub(super) delivered_at: Option<Timestamp>,
    pub(super) read_at: Option<Timestamp>,
    pub(super) authenticity: Option<Authenticity>,
    pub(super) raw: Option<Value>,
    pub(super) stage: Stage,
    /// When the vendor was last asked.
    pub(super) asked: Option<Instant>,
    /// How often the poller asked.
    pub(super) looks: u32,
    /// When the poller asks next.
    pub(super) next: Option<Instant>,
}

impl Record {
    pub(super) fn sending(
        reference: &str,
        kind: MessageKind,
        submitted: Timestamp,
        until: Instant,
    ) -> Self {
        Self {
            reference: Some(reference.to_owned()),
            id: None,
            named_by_reference: false,
            kind: Some(kind),
            submitted,
            until,
            state: MessageState::Queued,
            delivered_at: None,
            read_at: None,
            authenticity: None,
            raw: None,
            stage: Stage::Sending,
            asked: None,
            looks: 0,
            next: None,
        }
    }

    /// A message that this process did not send, before its first report.
    pub(super) fn of_others(report: &MessageReport, now: Now) -> Self {
        Self {
            reference: report.reference.clone(),
            id: Some(report.id.clone()),
            kind: report.kind,
            // What it says is all that is known.
            state: report.state.unwrap_or(MessageState::OutcomeUnknown),
            stage: Stage::Over,
            ..Self::sending("", MessageKind::default(), now.wall, now.instant)
        }
    }

    /// Whether nothing is left to ask: it arrived, or it never will.
    pub(super) fn is_settled(&self) -> bool {
        matches!(
            self.state,
            MessageState::Delivered | MessageState::Read | MessageState::Failed
        )
    }

    /// What is to be asked of the vendor; `None` while the sender looks for it.
    pub(super) fn question(&self, skew: Duration) -> Option<Question> {
        if self.stage == Stage::Sending {
            return None;
        }
        match (&self.id, &self.reference) {
            (Some(id), _) => Some(Question::Status(id.clone())),
            (None, Some(reference)) => Some(Question::Find {
                reference: reference.clone(),
                since: self.submitted - skew,
            }),
            (None, None) => None,
        }
    }

    /// Takes a report, in whatever order reports come.
    pub(super) fn report(
        &mut self,
        report: MessageReport,
        authenticity: Authenticity,
        now: Timestamp,
    ) {
        self.kind = self.kind.or(report.kind);
        let state = report.state.map_or(self.state, |s| self.state.advance(s));
        // A late report of an earlier state must not hide the code of the end.
        let fits = match report.state {
            Some(next) => next == state,
            None => !self.is_settled(),
        };
        if !report.raw.is_null() && (fits || self.raw.is_none()) {
            self.raw = Some(report.raw);
        }
        let Some(next) = report.state else {
            return;
        };
        if state != self.state || self.authenticity.is_none() {
            self.authenticity = Some(authenticity);
        }
        self.state = state;
        // Delivered may come after read: its time is news all the same.
        if next == MessageState::Delivered && state != MessageState::Failed {
            self.delivered_at.get_or_insert(report.at.unwrap_or(now));
        }
        if next == MessageState::Read && state == MessageState::Read {
            self.read_at.get_or_insert(report.at.unwrap_or(now));
        }
    }

    /// Takes what was told under the vendor's id before it was known to be this message's.
    pub(super) fn merge(&mut self, told: Self) {
        self.kind = self.kind.or(told.kind);
        let state = self.state.advance(told.state);
        if told.raw.is_some() && (told.state == state || self.raw.is_none()) {
            self.raw = told.raw;
        }
        if state != self.state || self.authenticity.is_none() {
            self.authenticity = told.authenticity.or(self.authenticity);
        }
        self.state = state;
        self.delivered_at = self.delivered_at.or(told.delivered_at);
        self.read_at = self.read_at.or(told.read_at);
    }

    pub(super) fn status(&self) -> MessageStatus {
        let name = match (&self.id, &self.reference) {
            (_, Some(reference)) if self.named_by_reference => reference,
            (Some(id), _) => id,
            (None, Some(reference)) => reference,
            (None, None) => "",
        };
        let mut status = MessageStatus::new(name, self.state);
        status.kind = self.kind;
        status.delivered_at = self.delivered_at;
        status.read_at = self.read_at;
        status.authenticity = self.authenticity;
        status.raw.clone_from(&self.raw);
        status
    }
}
