//! Real servers, as far as their recordings go: what they said after a request is said again after
//! the same request of an adapter.
#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod esl;
pub(crate) mod esl_stage;
pub(crate) mod yate;

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use faxbot_core::{
    address::{Address, FaxTarget},
    document::FaxImage,
    event::EventStream,
    fax::{FaxOutcome, FaxRequest},
    id::CallId,
    sip::{CallRecord, CallState, SipEvent},
};
use faxbot_testkit::{conformance::samples, fixtures};
use tempfile::TempDir;
use tokio::time::timeout;

/// Longer than any recording.
pub(crate) const LONG: Duration = Duration::from_secs(900);

/// The names of the recordings of a folder.
pub(crate) fn names(folder: &str) -> Vec<String> {
    let start = format!("{folder}/");
    let mut names = fixtures::names().unwrap();
    names.retain(|name| name.starts_with(&start));
    assert!(!names.is_empty());
    names
}

/// Where faxes lie before and while they are sent.
pub(crate) struct Papers {
    pub(crate) spool: TempDir,
    pages: TempDir,
}

impl Papers {
    pub(crate) fn new() -> Self {
        Self {
            spool: tempfile::tempdir().unwrap(),
            pages: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn image(&self, pages: u32) -> FaxImage {
        samples::image(self.pages.path(), pages).unwrap()
    }

    pub(crate) fn fax(&self, to: &str, pages: u32) -> FaxRequest {
        let to = FaxTarget::try_from(to.parse::<Address>().unwrap()).unwrap();
        FaxRequest::new(to, self.image(pages))
    }

    pub(crate) fn is_spool_empty(&self) -> bool {
        fs::read_dir(self.spool.path()).unwrap().next().is_none()
    }
}

/// Everything that an adapter tells, kept as it comes.
#[derive(Clone)]
pub(crate) struct Told(Arc<Mutex<Vec<SipEvent>>>);

impl Told {
    pub(crate) fn listen(mut stream: EventStream<SipEvent>) -> Self {
        let told = Self(Arc::default());
        let all = Arc::clone(&told.0);
        tokio::spawn(async move {
            while let Some(item) = stream.recv().await {
                all.lock().unwrap().push(item.unwrap().event);
            }
        });
        told
    }

    pub(crate) fn all(&self) -> Vec<SipEvent> {
        self.0.lock().unwrap().clone()
    }

    /// The states that calls went through, by their first letters: `d r c e`.
    pub(crate) fn states(&self) -> String {
        let letter = |state: CallState| match state {
            CallState::Dialing => 'd',
            CallState::Ringing => 'r',
            CallState::Connected => 'c',
            CallState::HangingUp => 'h',
            CallState::OnHold => 'o',
            CallState::Transferring => 't',
            CallState::Incoming => 'i',
            CallState::Terminated => 'e',
            CallState::Created => 'n',
            _ => '?',
        };
        let all = self.all();
        let moves = all.iter().filter_map(|event| match event {
            SipEvent::CallStateChanged(change) => Some(letter(change.to)),
            _ => None,
        });
        moves.collect()
    }

    /// The calls that ended.
    pub(crate) fn ended(&self) -> Vec<CallId> {
        let all = self.all();
        let ended = all.iter().filter_map(|event| match event {
            SipEvent::CallStateChanged(change) if change.record.is_some() => change.id,
            _ => None,
        });
        ended.collect()
    }

    /// Troubles that the adapter told of.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let all = self.all();
        let troubles = all.iter().filter_map(|event| match event {
            SipEvent::AdapterError { error, .. } => Some(error.to_string()),
            _ => None,
        });
        troubles.collect()
    }

    /// Pages that were told of while faxes ran.
    pub(crate) fn pages(&self) -> Vec<u32> {
        let mut pages = Vec::new();
        for event in self.all() {
            if let SipEvent::FaxProgress { progress, .. } = event
                && let Some(confirmed) = progress.pages_confirmed.filter(|&it| it > 0)
                && pages.last() != Some(&confirmed)
            {
                pages.push(confirmed);
            }
        }
        pages
    }
}

/// Waits until something is so, on a clock that moves by itself.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(LONG, wait).await.is_ok(), "never happened: {what}");
}

/// An end in one line, to compare with: `Busy sip 486 USER_BUSY`.
pub(crate) fn end(record: &CallRecord) -> String {
    let mut text = format!("{:?}", record.disposition);
    if record.answer.is_some() != (text == "Answered") {
        text.push_str(" (answer does not fit)");
    }
    if let Some(status) = record.causes.sip_status {
        text.push_str(&format!(" sip {status}"));
    }
    if let Some(native) = &record.causes.native {
        text.push_str(&format!(" {native}"));
    }
    text
}

/// An outcome in one line: `Succeeded 3/3 T38 14400`, `Failed 0/3 Busy BeforeAnswer sip 486`.
pub(crate) fn outcome(outcome: &FaxOutcome) -> String {
    let number = |n: Option<u32>| n.map_or("-".to_owned(), |n| n.to_string());
    let mut text = format!(
        "{:?} {}/{}",
        outcome.status,
        number(outcome.pages_confirmed),
        number(outcome.pages_total)
    );
    if let Some(failure) = &outcome.failure {
        text.push_str(&format!(" {:?} {:?}", failure.class, failure.phase));
        if let Some(status) = failure.sip_status {
            text.push_str(&format!(" sip {status}"));
        }
        if let Some(t30) = failure.t30() {
            text.push_str(&format!(" t30 {}", t30.number()));
        }
    } else {
        if let Some(transport) = outcome.transport {
            text.push_str(&format!(" {transport:?}"));
        }
        if let Some(rate) = outcome.bit_rate {
            text.push_str(&format!(" {rate}"));
        }
    }
    text
}
