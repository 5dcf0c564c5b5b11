//! Which records a store has, newest first, and the cursor of their lists.

use std::collections::{BTreeSet, HashMap};

use crate::{
    Error, ErrorKind, Result, Timestamp,
    plugin::{InboundQuery, Page},
};

/// Most records of one page.
const MAX_LIMIT: usize = 1000;

/// The ids of a store's records by backend and time.
#[derive(Debug, Default)]
pub(super) struct RecordIndex {
    backends: HashMap<String, BTreeSet<(Timestamp, String)>>,
}

impl RecordIndex {
    pub(super) fn insert(&mut self, backend: &str, at: Timestamp, id: &str) {
        self.backends
            .entry(backend.to_owned())
            .or_default()
            .insert((at, id.to_owned()));
    }

    pub(super) fn remove(&mut self, backend: &str, at: Timestamp, id: &str) {
        if let Some(records) = self.backends.get_mut(backend) {
            records.remove(&(at, id.to_owned()));
            if records.is_empty() {
                self.backends.remove(backend);
            }
        }
    }

    /// Backend and id of the records before a time.
    pub(super) fn before(&self, time: Timestamp) -> Vec<(String, String)> {
        let mut old = Vec::new();
        for (backend, records) in &self.backends {
            let ids = records.range(..(time, String::new()));
            old.extend(ids.map(|(_, id)| (backend.clone(), id.clone())));
        }
        old
    }

    /// One page of ids, newest first. A limit of 0 is 1: an empty page with a cursor would be asked
    /// for over and over.
    pub(super) fn page(&self, backend: &str, query: &InboundQuery) -> Result<Page<String>> {
        let limit = query.limit.clamp(1, MAX_LIMIT);
        let before = query.cursor.as_deref().map(parse).transpose()?;
        let Some(records) = self.backends.get(backend) else {
            return Ok(Page::last(Vec::new()));
        };
        let mut older: Box<dyn Iterator<Item = _>> = match before {
            Some(before) => Box::new(records.range(..before).rev()),
            None => Box::new(records.iter().rev()),
        };
        let mut ids = Vec::new();
        let mut last = None;
        for (at, id) in older.by_ref().take(limit) {
            ids.push(id.clone());
            last = Some(format!("{at}/{id}"));
        }
        Ok(match (older.next(), last) {
            (Some(_), Some(cursor)) => Page::more(ids, cursor),
            _ => Page::last(ids),
        })
    }
}

/// The cursor names the last record that was given, so that records that come or go in between
/// neither repeat nor hide others.
fn parse(cursor: &str) -> Result<(Timestamp, String)> {
    cursor
        .split_once('/')
        .and_then(|(at, id)| Some((at.parse().ok()?, id.to_owned())))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidRequest,
                "list",
                "the cursor is none of this store",
            )
        })
}
