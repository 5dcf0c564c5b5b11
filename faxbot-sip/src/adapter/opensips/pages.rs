//! The list of dialogs: one page as a rule, several where the server cannot build it at once.

use std::collections::HashSet;

use faxbot_core::Result;

use super::{core::Core, server::Server, wire::dialog::RawDialog};

/// The smallest page that is asked for.
const SMALLEST_PAGE: usize = 10;

/// Calls that are asked for one by one, after a list of several pages: each page shows another moment.
const ONE_BY_ONE: usize = 50;

/// Pages of one look: above that it is no look at one moment.
const MAX_PAGES: usize = 1_000;

/// How often all pages are asked for where somebody wants to see every dialog.
const PASSES: usize = 3;

impl Core {
    /// All dialogs: one page as a rule. Answers whether all were shown at one moment.
    pub(super) async fn all_dialogs(
        &self,
        server: &Server,
        operation: &'static str,
    ) -> Result<(Vec<RawDialog>, bool)> {
        let pages = self.pages(server, operation).await?;
        Ok((pages.dialogs, pages.at_once))
    }

    /// All dialogs, asked for again while they come and go between the pages.
    pub(super) async fn steady_dialogs(
        &self,
        server: &Server,
        operation: &'static str,
    ) -> Result<Vec<RawDialog>> {
        let mut pages = self.pages(server, operation).await?;
        for _ in 1..PASSES {
            if pages.steady {
                break;
            }
            pages = self.pages(server, operation).await?;
        }
        Ok(pages.dialogs)
    }

    /// All pages of the list of dialogs.
    async fn pages(&self, server: &Server, operation: &'static str) -> Result<Pages> {
        let mut pages = Pages::default();
        let mut shown = 0;
        for _ in 0..MAX_PAGES {
            let page = self.page();
            let list = match server.dialogs(shown, page, operation).await {
                Ok(list) => list,
                // The answer is larger than the server can build (`buf_size` of httpd).
                Err(refusal) if refusal.http == Some(500) && page > SMALLEST_PAGE => {
                    self.set_page((page / 2).max(SMALLEST_PAGE));
                    continue;
                }
                Err(refusal) => return Err(refusal.into()),
            };
            let count = list.count.and_then(|count| usize::try_from(count).ok());
            let part = list.into_dialogs();
            let end = part.is_empty();
            shown += part.len();
            pages.add(part, count);
            if end || count.is_none_or(|count| shown >= count) {
                return Ok(pages);
            }
        }
        pages.steady = false;
        Ok(pages)
    }

    /// Adds the known dialogs that several pages did not show: one that ended in between moves the
    /// others. Answers whether all were asked for.
    pub(super) async fn with_missing(
        &self,
        server: &Server,
        mut dialogs: Vec<RawDialog>,
        operation: &'static str,
    ) -> Result<(Vec<RawDialog>, bool)> {
        let missing: Vec<_> = self.hub.state().books.missing(&dialogs).collect();
        let all = missing.len() <= ONE_BY_ONE;
        let mut gone = Vec::new();
        for (id, call_id) in missing.into_iter().take(ONE_BY_ONE) {
            match server.dialog(&call_id, operation).await? {
                Some(dialog) => dialogs.push(dialog),
                None => gone.push(id),
            }
        }
        if !all {
            self.hub.events(|state, now| {
                let books = &mut state.books.dialogs;
                gone.iter().flat_map(|id| books.over(*id, now)).collect()
            });
        }
        Ok((dialogs, all))
    }
}

/// The pages of one look at the dialogs.
#[derive(Default)]
struct Pages {
    dialogs: Vec<RawDialog>,
    /// The numbers of those.
    known: HashSet<String>,
    count: Option<usize>,
    /// There was one page: all were shown at one moment.
    at_once: bool,
    /// As far as can be seen none came or went between them.
    steady: bool,
}

impl Pages {
    fn add(&mut self, part: Vec<RawDialog>, count: Option<usize>) {
        let first = self.dialogs.is_empty();
        self.at_once = first;
        self.steady = first || (self.steady && self.count == count);
        self.count = count;
        for dialog in part {
            // One that ended or began moves the others to other pages.
            if dialog.id.is_empty() || self.known.insert(dialog.id.clone()) {
                self.dialogs.push(dialog);
            } else {
                self.steady = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(ids: &[&str]) -> Vec<RawDialog> {
        let one = |id: &&str| serde_json::from_str(&format!(r#"{{"ID":"{id}","callid":"x"}}"#));
        ids.iter().map(|id| one(id).unwrap()).collect()
    }

    #[test]
    fn a_dialog_on_two_pages_is_one_and_tells_that_they_moved() {
        for (parts, dialogs, at_once, steady) in [
            (&[(&["1", "2"][..], Some(2))][..], 2, true, true),
            (&[(&["1", "2"], Some(3)), (&["3"], Some(3))], 3, false, true),
            (
                &[(&["1", "2"], Some(3)), (&["2"], Some(3))],
                2,
                false,
                false,
            ),
            (
                &[(&["1", "2"], Some(3)), (&["3"], Some(4))],
                3,
                false,
                false,
            ),
            (&[(&["", ""], None)], 2, true, true),
        ] {
            let mut pages = Pages::default();
            for (ids, count) in parts {
                pages.add(part(ids), *count);
            }
            assert_eq!(pages.dialogs.len(), dialogs, "{parts:?}");
            assert_eq!(
                (pages.at_once, pages.steady),
                (at_once, steady),
                "{parts:?}"
            );
        }
    }
}
