//! Event filters of one session, as `Action: Filter` adds them (`manager_add_filter` and
//! `should_send_event` in `main/manager.c`; recording `02_event_filters`).

use faxbot_sip::protocol::ami::Message;

use crate::server::pattern::Pattern;

/// Most filters of one session; what a client adds beyond is refused.
const MAX_FILTERS: usize = 1000;

/// Why a filter was refused, with the text of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Syntax,
    Format,
    TooMany,
}

impl Refused {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Syntax => "Filter did not compile.  Check the syntax of the filter given.",
            Self::Format => {
                "Filter was formatted incorrectly.  Check the syntax of the filter given."
            }
            Self::TooMany => "Internal Error. Failed adding filter.",
        }
    }
}

/// The filters of one session.
#[derive(Debug, Default)]
pub(super) struct Filters {
    include: Vec<Entry>,
    exclude: Vec<Entry>,
}

impl Filters {
    /// Adds one; `criteria` is `MatchCriteria`, which Asterisk 16 does not look at.
    pub(super) fn add(
        &mut self,
        v16: bool,
        criteria: Option<&str>,
        filter: &str,
    ) -> Result<(), Refused> {
        if self.include.len() + self.exclude.len() >= MAX_FILTERS {
            return Err(Refused::TooMany);
        }
        let (excludes, entry) = Entry::read(v16, criteria.filter(|_| !v16), filter)?;
        if excludes {
            self.exclude.push(entry);
        } else {
            self.include.push(entry);
        }
        Ok(())
    }

    /// Whether the session gets this event.
    pub(super) fn pass_message(&self, event: &Message) -> bool {
        if self.include.is_empty() && self.exclude.is_empty() {
            return true;
        }
        self.pass(&String::from_utf8_lossy(event.raw()))
    }

    /// Without includes everything is in; excludes come last.
    pub(super) fn pass(&self, event: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|entry| entry.matches(event)))
            && !self.exclude.iter().any(|entry| entry.matches(event))
    }
}

#[derive(Debug)]
struct Entry {
    name: Option<String>,
    header: Option<String>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    None,
    Regex(Pattern),
    Exact(String),
    Starts(String),
    Ends(String),
    Contains(String),
}

impl Entry {
    /// The entry, and whether it excludes.
    fn read(v16: bool, criteria: Option<&str>, filter: &str) -> Result<(bool, Self), Refused> {
        let (mut excludes, filter) = match filter.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, filter),
        };
        let mut entry = Self {
            name: None,
            header: None,
            test: Test::None,
        };
        let Some(criteria) = criteria else {
            // Asterisk 16 takes the empty one, which is in every event.
            if filter.is_empty() && !v16 {
                return Err(Refused::Format);
            }
            entry.test = Test::Regex(Pattern::new(filter).ok_or(Refused::Syntax)?);
            return Ok((excludes, entry));
        };
        let mut method = "none";
        for option in criteria
            .split([',', ' '])
            .filter(|option| !option.is_empty())
        {
            let value = option
                .strip_suffix(')')
                .and_then(|option| option.split_once('('));
            match value.ok_or(Refused::Format)? {
                ("action", "include") => excludes = false,
                ("action", "exclude") => excludes = true,
                ("name", name) if !name.is_empty() => entry.name = Some(name.to_owned()),
                ("header", name) if !name.is_empty() => {
                    entry.header = Some(name.trim_end_matches(':').to_owned());
                }
                ("method", name) => method = name,
                _ => return Err(Refused::Format),
            }
        }
        let text = filter.to_owned();
        entry.test = match method {
            "none" => Test::None,
            "regex" => Test::Regex(Pattern::new(filter).ok_or(Refused::Syntax)?),
            "exact" => Test::Exact(text),
            "starts_with" => Test::Starts(text),
            "ends_with" => Test::Ends(text),
            "contains" => Test::Contains(text),
            _ => return Err(Refused::Format),
        };
        Ok((excludes, entry))
    }

    fn matches(&self, event: &str) -> bool {
        let header = |name: &str| {
            event
                .split("\r\n")
                .filter_map(|line| line.split_once(": "))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        if self
            .name
            .as_deref()
            .is_some_and(|name| header("Event") != Some(name))
        {
            return false;
        }
        let text = match &self.header {
            Some(name) => match header(name) {
                Some(value) => value,
                None => return false,
            },
            None => event,
        };
        match &self.test {
            Test::None => true,
            Test::Regex(pattern) => pattern.is_match(text),
            Test::Exact(want) => text == want,
            Test::Starts(want) => text.starts_with(want.as_str()),
            Test::Ends(want) => text.ends_with(want.as_str()),
            Test::Contains(want) => text.contains(want.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excludes_come_after_includes() {
        let mut filters = Filters::default();
        assert!(filters.pass("Event: X\r\n"));
        filters.add(false, None, "!Event: RTCP").unwrap();
        assert!(filters.pass("Event: X\r\n"));
        assert!(!filters.pass("Event: RTCPSent\r\n"));
        filters
            .add(false, None, "Event: (UserEvent|RTCPSent)")
            .unwrap();
        assert!(!filters.pass("Event: X\r\n"));
        assert!(filters.pass("Event: UserEvent\r\n"));
        assert!(!filters.pass("Event: RTCPSent\r\n"));
        filters
            .add(false, Some("action(include),name(Newchannel)"), "")
            .unwrap();
        assert!(filters.pass("Event: Newchannel\r\nChannel: x\r\n"));
        filters
            .add(
                false,
                Some("action(exclude),header(Channel),method(starts_with)"),
                "Local/",
            )
            .unwrap();
        assert!(!filters.pass("Event: Newchannel\r\nChannel: Local/1\r\n"));
    }

    #[test]
    fn what_does_not_compile_or_has_a_wrong_form_is_refused() {
        let mut filters = Filters::default();
        assert_eq!(filters.add(false, None, "("), Err(Refused::Syntax));
        assert_eq!(filters.add(false, None, "!"), Err(Refused::Format));
        assert_eq!(
            filters.add(false, Some("nonsense(x)"), "a"),
            Err(Refused::Format)
        );
    }
}
