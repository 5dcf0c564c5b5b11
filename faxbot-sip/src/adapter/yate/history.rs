//! The server's own records of calls: `call.cdr`, for each channel and each change one.

use std::collections::VecDeque;

use faxbot_core::{id::CallId, sip::Disposition};

use super::state::Desk;
use crate::{
    adapter::{books::Leg, history::Cdr},
    protocol::yate::Message,
};

/// Channels that were a call: the record of one may come after its hang-up, and soon.
const MAX_ENDED: usize = 1_000;

/// The channels of calls that ended.
#[derive(Debug, Default)]
pub(super) struct Ended(VecDeque<(String, CallId)>);

impl Ended {
    pub(super) fn push(&mut self, channel: &str, id: CallId) {
        if self.0.len() >= MAX_ENDED {
            self.0.pop_front();
        }
        self.0.push_back((channel.to_owned(), id));
    }

    fn find(&self, channel: &str) -> Option<CallId> {
        let mut last_first = self.0.iter().rev();
        last_first.find(|(it, _)| it == channel).map(|(_, id)| *id)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Desk {
    /// The record of a channel is final: kept if the channel was a call of ours.
    pub(super) fn cdr_told(&mut self, message: &Message<'_>) {
        if message.text("operation").as_deref() != Some("finalize") {
            return;
        }
        let channel = message.text("chan").unwrap_or_default();
        let run = message.text("runid");
        if run.is_some() && run.as_deref() != self.run_id.as_deref() {
            return;
        }
        let id = match self.leg(&channel) {
            Some(Leg::Own(id)) => Some(id),
            Some(Leg::Other(_)) => None,
            None => self.ended_channels.find(&channel),
        };
        if let (Some(id), Some(cdr)) = (id, read(message)) {
            self.cdrs.keep(id, cdr);
        }
    }
}

/// Times are seconds with a fraction.
fn read(message: &Message<'_>) -> Option<Cdr> {
    let text = |name: &str| message.text(name).unwrap_or_default();
    let billed: f64 = text("billtime").parse().ok()?;
    let (status, reason) = (text("status"), text("reason"));
    let disposition = match (&*status, &*reason) {
        _ if billed > 0.0 => Disposition::Answered,
        (_, "busy" | "Busy Here" | "Busy Everywhere") | ("busy", _) => Disposition::Busy,
        ("noanswer" | "timeout", _) | (_, "noanswer" | "Temporarily Unavailable") => {
            Disposition::NoAnswer
        }
        ("congestion", _) | (_, "congestion") => Disposition::Congestion,
        _ => Disposition::Failed,
    };
    Some(Cdr {
        duration_seconds: seconds(&text("duration"))?,
        billable_seconds: seconds(&text("billtime"))?,
        disposition,
    })
}

fn seconds(text: &str) -> Option<u64> {
    text.split('.').next()?.parse().ok()
}
