//! Which answer belongs to which request.
//!
//! Everything is matched by the `ActionID`, which nobody can guess: a value with line breaks in it
//! forges whole messages (observed on Asterisk 22.10, recording `10_newline_in_value`).

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Instant,
};

use super::{action::Answer, config::AmiConfig, message::Message, session::Reply};
use crate::protocol::{
    ids::Ids,
    session::{NoReply, Token},
};

/// The open requests of one session, and the places of those that were given up.
pub(super) struct Table {
    ids: Ids,
    entries: HashMap<u64, Entry>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// Places whose requests are over, oldest first; their answers may still come.
    late: VecDeque<u64>,
    max_pending: usize,
    max_items: usize,
    max_bytes: usize,
    /// Bytes held by all open answers.
    bytes: usize,
}

struct Entry {
    waits: Waits,
    /// `None` when the request is over: what comes is swallowed.
    owner: Option<Owner>,
}

struct Owner {
    token: Token,
    deadline: Instant,
    response: Option<Message>,
    events: Vec<Message>,
    bytes: usize,
}

#[derive(Clone, Copy)]
enum Waits {
    Response(Answer),
    /// Items up to `EventList: Complete`, or to a name that ends so if the list was not announced.
    Items {
        announced: bool,
    },
    Event,
}

/// What became of a message.
pub(super) enum Taken {
    /// It belongs to no request.
    No(Message),
    /// It was kept or dropped.
    Kept,
    /// It ended a request.
    Done(Token, Result<Reply, NoReply>),
}

impl Table {
    pub(super) fn new(random: [u8; 16], config: &AmiConfig) -> Self {
        Self {
            ids: Ids::new(random),
            entries: HashMap::new(),
            deadlines: BTreeSet::new(),
            late: VecDeque::new(),
            max_pending: config.max_pending.max(1),
            max_items: config.own.max_list_items,
            max_bytes: config.own.max_list_bytes,
            bytes: 0,
        }
    }

    /// Requests that wait for their answer.
    pub(super) fn live(&self) -> usize {
        self.deadlines.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.live() >= self.max_pending
    }

    /// A number for an action of the session's own.
    pub(super) fn number(&mut self) -> u64 {
        self.ids.next()
    }

    pub(super) fn id(&self, number: u64) -> String {
        self.ids.text(number)
    }

    pub(super) fn open(&mut self, token: Token, answer: Answer, deadline: Instant) -> u64 {
        let number = self.number();
        let owner = Owner {
            token,
            deadline,
            response: None,
            events: Vec::new(),
            bytes: 0,
        };
        let waits = Waits::Response(answer);
        self.entries.insert(
            number,
            Entry {
                waits,
                owner: Some(owner),
            },
        );
        self.deadlines.insert((deadline, number));
        number
    }

    /// The number in an `ActionID` of ours.
    pub(super) fn number_of(&self, message: &Message) -> Option<u64> {
        self.ids.number(message.action_id()?)
    }

    /// The bytes of an answer count by its length; what it pins of a read buffer is not ours.
    pub(super) fn response(&mut self, message: Message) -> Taken {
        let Some(number) = self.number_of(&message) else {
            return Taken::No(message);
        };
        let Some(entry) = self.entries.get_mut(&number) else {
            return Taken::No(message);
        };
        let Waits::Response(answer) = entry.waits else {
            return Taken::Kept;
        };
        let success = is(message.response(), b"Success");
        let announced = is(message.get("EventList"), b"start");
        entry.waits = match answer {
            _ if !success => return self.done(number, message),
            Answer::Single => return self.done(number, message),
            Answer::Inferred if !announced => return self.done(number, message),
            Answer::OneEvent if !announced => Waits::Event,
            _ => Waits::Items { announced },
        };
        let len = message.raw().len();
        if let Some(owner) = &mut entry.owner {
            owner.bytes += len;
            owner.response = Some(message);
            self.bytes += len;
        }
        self.check_limits(number)
    }

    pub(super) fn event(&mut self, message: Message) -> Taken {
        let Some(number) = self.number_of(&message) else {
            return Taken::No(message);
        };
        let Some(entry) = self.entries.get_mut(&number) else {
            return Taken::No(message);
        };
        match entry.waits {
            // The event of an answered action, such as `OriginateResponse`, has its ActionID too.
            Waits::Response(_) => Taken::No(message),
            Waits::Event => self.finish(number, Some(message), None),
            Waits::Items { announced } if ends(&message, announced) => {
                self.finish(number, None, Some(message))
            }
            Waits::Items { .. } => {
                let len = message.raw().len();
                if let Some(owner) = &mut entry.owner {
                    owner.bytes += len;
                    owner.events.push(message);
                    self.bytes += len;
                }
                self.check_limits(number)
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Gives up the next request whose deadline has passed. `was_sent` tells whether its bytes
    /// left the session: if not, no answer can come and no place is kept.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        was_sent: impl FnOnce(Token) -> bool,
    ) -> Option<Token> {
        let (_, number) = *self
            .deadlines
            .first()
            .filter(|(deadline, _)| *deadline <= now)?;
        let token = self.give_up(number)?;
        if !was_sent(token) {
            self.entries.remove(&number);
            self.late.retain(|late| *late != number);
        }
        Some(token)
    }

    /// Frees the owner and keeps the place.
    fn give_up(&mut self, number: u64) -> Option<Token> {
        let owner = self.entries.get_mut(&number)?.owner.take()?;
        self.deadlines.remove(&(owner.deadline, number));
        self.bytes -= owner.bytes.min(self.bytes);
        self.late.push_back(number);
        // Places cost little but are not free; the oldest is the least likely to be answered.
        if self.late.len() > self.max_pending
            && let Some(oldest) = self.late.pop_front()
        {
            self.entries.remove(&oldest);
        }
        Some(owner.token)
    }

    fn check_limits(&mut self, number: u64) -> Taken {
        let over = self
            .entries
            .get(&number)
            .and_then(|entry| entry.owner.as_ref())
            .is_some_and(|owner| {
                owner.events.len() > self.max_items || self.bytes > self.max_bytes
            });
        match over.then(|| self.give_up(number)).flatten() {
            Some(token) => Taken::Done(token, Err(NoReply::Garbled)),
            None => Taken::Kept,
        }
    }

    fn done(&mut self, number: u64, response: Message) -> Taken {
        if let Some(owner) = self
            .entries
            .get_mut(&number)
            .and_then(|entry| entry.owner.as_mut())
        {
            owner.response = Some(response);
        }
        self.finish(number, None, None)
    }

    fn finish(&mut self, number: u64, item: Option<Message>, end: Option<Message>) -> Taken {
        let Some(Entry {
            owner: Some(owner), ..
        }) = self.entries.remove(&number)
        else {
            self.late.retain(|late| *late != number);
            return Taken::Kept;
        };
        self.deadlines.remove(&(owner.deadline, number));
        self.bytes -= owner.bytes.min(self.bytes);
        let Some(response) = owner.response else {
            return Taken::Done(owner.token, Err(NoReply::Garbled));
        };
        let mut events = owner.events;
        events.extend(item);
        Taken::Done(
            owner.token,
            Ok(Reply {
                response,
                events,
                complete: end,
            }),
        )
    }
}

fn is(value: Option<&[u8]>, word: &[u8]) -> bool {
    value.is_some_and(|value| value.eq_ignore_ascii_case(word))
}

/// `ListItems` is not looked at: `OutboundRegistrationDetailComplete` says 2 after 4 items
/// (observed on Asterisk 22.10, recording `05_pjsip_show`).
fn ends(event: &Message, announced: bool) -> bool {
    let mark = event.get("EventList");
    if is(mark, b"Complete") || is(mark, b"Cancelled") {
        return true;
    }
    !announced
        && event
            .event()
            .is_some_and(|name| name.ends_with(b"Complete"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_places_of_requests_that_were_given_up_are_limited() {
        let now = Instant::now();
        let config = AmiConfig::new().with_max_pending(3);
        let mut table = Table::new([7; 16], &config);
        for token in 0..100 {
            let deadline = now + Duration::from_secs(token);
            table.open(Token(token), Answer::Inferred, deadline);
            assert_eq!(table.expire(deadline, |_| true), Some(Token(token)));
        }
        assert_eq!(
            (table.entries.len(), table.late.len(), table.live()),
            (3, 3, 0)
        );
        // The youngest places are the ones that are kept, and a late answer frees its own.
        for number in [98_u64, 99, 100] {
            assert!(table.entries.contains_key(&number));
            let text = format!("Response: Success\r\nActionID: {}\r\n", table.id(number));
            let end = u32::try_from(text.len() - 1).unwrap();
            let answer = Message::from_parts((text + "\r\n").into(), &[18, end], false);
            assert!(matches!(table.response(answer), Taken::Kept));
        }
        assert_eq!((table.entries.len(), table.late.len()), (0, 0));
    }
}
