//! The book of conversations of a messaging plugin: who writes with whom, and what was last.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use faxbot_core::{
    Private, Timestamp,
    message::{Conversation, MessageKind},
};
use uuid::Uuid;

/// Conversations that are kept; the one that was silent for longest goes for a new one.
pub(crate) const CAPACITY: usize = 10_000;

/// Bytes of a last message that are kept: a list shows its beginning, and a book of long messages
/// would otherwise grow without a bound.
const PREVIEW: usize = 4096;

/// Bytes of an address at most: anybody may write to us under a name of any length, and who is kept
/// here is kept for long. Longer ones are no address that a message could go to.
const ADDRESS: usize = 1024;

/// How far our clock and that of a vendor may be apart. Messages out have the time of the one, messages
/// in that of the other: an answer that is told as so little older than the question came after it.
const SKEW: Duration = Duration::from_secs(60);

/// The UUIDv5 namespace of conversation ids. Fixed for ever: ids outlive processes.
const NAMESPACE: Uuid = Uuid::from_u128(0x8c1d_6f4b_52e0_4c39_a7d3_1f0e_96b2_5a07);

/// The two ends of a conversation, each in the one form that the plugin writes numbers in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parties {
    /// How its messages travel.
    pub(crate) kind: MessageKind,
    /// Our number or address; empty where the server has one sender for all.
    pub(crate) ours: Private,
    /// The other's.
    pub(crate) theirs: Private,
}

impl Parties {
    /// Texts and pictures of one pair are one conversation, as every telephone shows them.
    pub(crate) fn new(
        kind: MessageKind,
        ours: impl Into<String>,
        theirs: impl Into<String>,
    ) -> Self {
        Self {
            kind: match kind {
                MessageKind::Mms => MessageKind::Sms,
                kind => kind,
            },
            ours: Private::new(ours.into()),
            theirs: Private::new(theirs.into()),
        }
    }

    /// The conversation's id: the same for the same pair in every process. A number is known to who
    /// can guess it, so the id is no secret.
    pub(crate) fn id(&self) -> String {
        // No number or address has a line break, so no two pairs have the same name.
        let name = format!(
            "{}\n{}\n{}",
            self.kind.as_str(),
            self.ours.expose(),
            self.theirs.expose()
        );
        Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
    }
}

/// The conversations of one plugin, in memory and bounded.
pub(crate) struct Conversations {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<String, Entry>,
    /// By the time of the last message, and by the order in which they came where that is equal.
    order: BTreeMap<Place, String>,
    counter: u64,
}

type Place = (Timestamp, u64);

struct Entry {
    parties: Parties,
    place: Place,
    /// Of the last message.
    way: Way,
    last: Private,
    unread: u32,
}

/// Which way a message went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    In,
    /// In, in an earlier process.
    Earlier,
}

impl Way {
    fn unread(self, unread: u32) -> u32 {
        match self {
            Self::Out => 0,
            Self::In => unread.saturating_add(1),
            Self::Earlier => unread,
        }
    }

    /// How much older than the last message one may be told and have come after it.
    fn skew(self, last: Self) -> Duration {
        match (self, last) {
            (Self::Out, Self::In | Self::Earlier) | (Self::In, Self::Out) => SKEW,
            _ => Duration::ZERO,
        }
    }
}

impl Conversations {
    /// An empty book of at most `capacity` conversations.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            inner: Mutex::default(),
        }
    }

    /// Notes a message of ours, and gives the conversation's id. Who writes has read: nothing is
    /// unread any more.
    pub(crate) fn sent(&self, parties: &Parties, text: &str, at: Timestamp) -> String {
        self.note(parties, text, at, Way::Out)
    }

    /// Notes a message to us, and gives the conversation's id. To be called once a message.
    pub(crate) fn received(&self, parties: &Parties, text: &str, at: Timestamp) -> String {
        self.note(parties, text, at, Way::In)
    }

    /// Notes a message of an earlier process, which changes nothing about what is unread.
    pub(crate) fn restore(&self, parties: &Parties, text: &str, at: Timestamp) -> String {
        self.note(parties, text, at, Way::Earlier)
    }

    /// The two ends of a conversation; `None` when it is not known (any more).
    pub(crate) fn parties(&self, id: &str) -> Option<Parties> {
        self.lock()
            .entries
            .get(id)
            .map(|entry| entry.parties.clone())
    }

    /// At most `limit` conversations, newest first.
    pub(crate) fn latest(&self, limit: usize) -> Vec<Conversation> {
        let inner = self.lock();
        inner
            .order
            .values()
            .rev()
            .take(limit)
            .filter_map(|id| inner.entries.get(id).map(|entry| entry.to_public(id)))
            .collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn note(&self, parties: &Parties, text: &str, at: Timestamp, way: Way) -> String {
        let id = parties.id();
        if parties.theirs.expose().len() > ADDRESS {
            return id;
        }
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.counter = inner.counter.saturating_add(1);
        if let Some(entry) = inner.entries.get_mut(&id) {
            entry.unread = way.unread(entry.unread);
            // What a catch-up brings late is older than what stands there.
            if at + way.skew(entry.way) >= entry.place.0 {
                let place = (at.max(entry.place.0), inner.counter);
                inner.order.remove(&entry.place);
                inner.order.insert(place, id.clone());
                (entry.place, entry.way) = (place, way);
                entry.last = preview(text);
            }
            return id;
        }
        let place = (at, inner.counter);
        inner.order.insert(place, id.clone());
        inner.entries.insert(
            id.clone(),
            Entry {
                parties: parties.clone(),
                place,
                way,
                last: preview(text),
                unread: way.unread(0),
            },
        );
        while inner.entries.len() > self.capacity {
            let Some((_, oldest)) = inner.order.pop_first() else {
                break;
            };
            inner.entries.remove(&oldest);
        }
        id
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Conversations {
    fn default() -> Self {
        Self::new(CAPACITY)
    }
}

impl fmt::Debug for Conversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversations")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Entry {
    fn to_public(&self, id: &str) -> Conversation {
        let parties = &self.parties;
        let mut conversation = Conversation::new(id, parties.kind, vec![parties.theirs.clone()]);
        conversation.last_message_at = Some(self.place.0);
        conversation.last_message = Some(self.last.clone());
        conversation.unread = self.unread;
        conversation
    }
}

fn preview(text: &str) -> Private {
    let cut = text.floor_char_boundary(PREVIEW);
    Private::new(text.get(..cut).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_seconds(second).unwrap()
    }

    fn with(other: &str) -> Parties {
        Parties::new(MessageKind::Sms, "+15550001", other)
    }

    fn shown(book: &Conversations) -> Vec<(String, String, u32)> {
        book.latest(usize::MAX)
            .into_iter()
            .map(|found| {
                (
                    found.participants[0].expose().clone(),
                    found.last_message.unwrap().into_inner(),
                    found.unread,
                )
            })
            .collect()
    }

    #[test]
    fn the_id_of_a_pair_is_the_same_for_ever_and_of_no_other_pair() {
        assert_eq!(
            with("+15550002").id(),
            "49cd59ac-987f-59a8-a5f0-ca9c617267d2"
        );
        let others = [
            with("+15550003"),
            Parties::new(MessageKind::Sip, "+15550001", "+15550002"),
            Parties::new(MessageKind::Sms, "+15550002", "+15550001"),
            Parties::new(MessageKind::Sms, "", "+15550001+15550002"),
        ];
        for other in others {
            assert_ne!(with("+15550002").id(), other.id());
        }
        let pictures = Parties::new(MessageKind::Mms, "+15550001", "+15550002");
        assert_eq!(with("+15550002").id(), pictures.id());
    }

    #[test]
    fn the_newest_is_first_and_what_came_late_replaces_nothing() {
        let book = Conversations::new(8);
        book.received(&with("a"), "1", at(100));
        book.received(&with("b"), "2", at(200));
        book.received(&with("c"), "3", at(200));
        book.received(&with("a"), "4", at(300));
        book.received(&with("a"), "late", at(299));
        let row = |other: &str, text: &str, unread| (other.to_owned(), text.to_owned(), unread);
        assert_eq!(
            shown(&book),
            [row("a", "4", 3), row("c", "3", 1), row("b", "2", 1)]
        );
        book.sent(&with("b"), "5", at(400));
        assert_eq!(shown(&book)[0], row("b", "5", 0));
        assert_eq!(book.latest(2).len(), 2);
        assert!(book.latest(0).is_empty());
    }

    #[test]
    fn an_answer_by_a_clock_that_is_behind_is_the_last_message() {
        let book = Conversations::new(8);
        let last = || {
            let conversation = book.latest(1).remove(0);
            let text = conversation.last_message.unwrap().into_inner();
            (text, conversation.last_message_at.unwrap())
        };
        book.sent(&with("a"), "are you there?", at(100));
        book.received(&with("a"), "yes", at(41));
        assert_eq!(last(), ("yes".to_owned(), at(100)));
        // Of one clock what is older is older.
        book.received(&with("a"), "before", at(99));
        assert_eq!(last(), ("yes".to_owned(), at(100)));
        book.sent(&with("a"), "good", at(70));
        assert_eq!(last(), ("good".to_owned(), at(100)));
        // So is what an earlier process got.
        book.restore(&with("a"), "long ago", at(99));
        assert_eq!(last(), ("good".to_owned(), at(100)));
    }

    #[test]
    fn the_longest_silent_one_goes_when_the_book_is_full() {
        let book = Conversations::new(2);
        let gone = book.sent(&with("a"), "1", at(1));
        book.sent(&with("b"), "2", at(2));
        let kept = book.sent(&with("c"), "3", at(3));
        assert_eq!(book.len(), 2);
        assert_eq!(book.parties(&gone), None);
        assert_eq!(book.parties(&kept), Some(with("c")));
        // One that is older than all that are kept does not push one of them out.
        let old = book.received(&with("d"), "0", at(0));
        assert_eq!(book.parties(&old), None);
        assert_eq!(book.parties(&kept), Some(with("c")));
    }

    #[test]
    fn with_an_address_that_is_none_there_is_no_conversation() {
        let book = Conversations::new(2);
        let kept = book.received(&with(&"a".repeat(ADDRESS)), "1", at(1));
        let other = book.received(&with(&"a".repeat(ADDRESS + 1)), "2", at(2));
        assert!(book.parties(&kept).is_some() && kept != other);
        assert_eq!((book.parties(&other), book.len()), (None, 1));
    }

    #[test]
    fn of_a_long_message_the_beginning_is_kept() {
        let book = Conversations::new(2);
        book.received(&with("a"), &"ü".repeat(PREVIEW), at(1));
        assert_eq!(shown(&book)[0].1, "ü".repeat(PREVIEW / 2));
    }

    #[test]
    fn debug_shows_no_number_and_no_text() {
        let book = Conversations::new(2);
        book.received(&with("+15550002"), "secret", at(1));
        let text = format!("{book:?} {:?} {:?}", book.latest(1), with("+15550002"));
        assert!(!text.contains("5550") && !text.contains("secret"), "{text}");
    }
}
