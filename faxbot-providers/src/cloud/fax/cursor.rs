//! Where a list of received faxes goes on, for vendors that number their pages.

use std::{fmt, str::FromStr, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    plugin::{InboundFax, InboundQuery, Page},
};

/// Most items of a page; no vendor is known to give more.
const MOST: usize = 1000;

/// A page of a list that grows at its head. Faxes that come in while it is read would push others from
/// a page to the next one: so all pages but the first end at the newest fax of the first.
///
/// It shows and parses as the [`cursor`](InboundQuery::cursor) of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageCursor {
    /// 1-based.
    pub page: u32,
    /// Items of each page: a number of a page means nothing with another.
    pub size: usize,
    /// Faxes of this time and later are left out.
    pub before: Option<Timestamp>,
}

impl PageCursor {
    /// The page that a query asks for.
    ///
    /// # Errors
    /// `InvalidRequest` for a cursor that is not ours.
    pub fn of(query: &InboundQuery) -> Result<Self> {
        match &query.cursor {
            Some(text) => text.parse(),
            None => Ok(Self {
                page: 1,
                size: query.limit.clamp(1, MOST),
                before: None,
            }),
        }
    }

    /// The page of these faxes. `newest` is when the vendor made the newest one of them; `more` is
    /// whether there are others behind them.
    pub fn page(
        self,
        mut faxes: Vec<InboundFax>,
        newest: Option<Timestamp>,
        more: bool,
    ) -> Page<InboundFax> {
        faxes.sort_by_key(|fax| std::cmp::Reverse(fax.received_at));
        if !more {
            return Page::last(faxes);
        }
        // A second later: vendors count in whole seconds, and whether the bound counts is not said.
        let bound = |newest: Timestamp| (newest + Duration::from_secs(2)).to_seconds();
        let next = Self {
            page: self.page.saturating_add(1),
            before: self.before.or(newest.map(bound)),
            ..self
        };
        Page::more(faxes, next.to_string())
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.page, self.size)?;
        match self.before {
            Some(before) => write!(f, "-{}", before.as_second()),
            None => Ok(()),
        }
    }
}

impl FromStr for PageCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut numbers = text.split('-').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse::<i64>().ok()).flatten()
        });
        let mut number = || numbers.next();
        let parsed = (|| {
            let page = u32::try_from(number()??).ok().filter(|page| *page > 0)?;
            let size = usize::try_from(number()??).ok()?;
            let before = match number() {
                Some(seconds) => Some(Timestamp::from_unix_seconds(seconds?).ok()?),
                None => None,
            };
            let whole = number().is_none() && (1..=MOST).contains(&size);
            whole.then_some(Self { page, size, before })
        })();
        parsed.ok_or_else(|| {
            let message = "cursor: not one of this list";
            Error::new(ErrorKind::InvalidRequest, "list_inbound", message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_cursor_goes_on_where_the_page_before_ended_whatever_comes_in() {
        let first = PageCursor::of(&InboundQuery::new().with_limit(2)).unwrap();
        assert_eq!((first.page, first.size, first.before), (1, 2, None));
        let newest = at("2026-11-21T08:00:00.5Z");
        let page = first.page(Vec::new(), Some(newest), true);
        let query = InboundQuery::new()
            .with_limit(50)
            .with_cursor(page.next_cursor.unwrap());
        let second = PageCursor::of(&query).unwrap();
        assert_eq!((second.page, second.size), (2, 2));
        assert_eq!(second.before, Some(at("2026-11-21T08:00:02Z")));
        let third = second.page(Vec::new(), Some(at("2026-11-20T08:00:00Z")), true);
        let third: PageCursor = third.next_cursor.unwrap().parse().unwrap();
        assert_eq!((third.page, third.before), (3, second.before));
        assert_eq!(
            first.page(Vec::new(), Some(newest), false).next_cursor,
            None
        );
    }

    #[test]
    fn a_page_is_newest_first() {
        let fax = |id: &str, time: &str| InboundFax::new(id, "acme", at(time));
        let faxes = vec![
            fax("1", "2026-11-21T08:00:00Z"),
            fax("2", "2026-11-21T09:00:00Z"),
        ];
        let first = PageCursor::of(&InboundQuery::new()).unwrap();
        let ids: Vec<_> = first
            .page(faxes, None, false)
            .items
            .into_iter()
            .map(|fax| fax.id)
            .collect();
        assert_eq!(ids, ["2", "1"]);
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        for text in [
            "",
            "1",
            "0-10",
            "1-0",
            "1-1001",
            "1-10-",
            "1-10-x",
            "1-10-1-1",
            "a-b",
            "-1-10",
            "+1-10",
            "99999999999-10",
            "1-10-99999999999999",
        ] {
            let error = text.parse::<PageCursor>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{text}");
        }
        for text in ["1-10", "7-1000-1700000000"] {
            assert_eq!(text.parse::<PageCursor>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_limit_is_kept_within_what_vendors_give() {
        for (limit, size) in [(0, 1), (10, 10), (usize::MAX, 1000)] {
            let cursor = PageCursor::of(&InboundQuery::new().with_limit(limit)).unwrap();
            assert_eq!(cursor.size, size);
        }
    }
}
