//! Who waits for which answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::protocol::jsonrpc::MAX_ID;

/// What a waiter is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The answer with its id.
    Answer(Bytes),
    /// Nobody took a datagram. `certain` where it can only have been this one.
    Refused {
        /// Whether no other datagram can have been meant.
        certain: bool,
    },
}

/// The requests under way, by their ids.
#[derive(Debug)]
pub(super) struct Board {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The next id. It begins somewhere that nobody can guess, and none comes again before two
    /// thousand million others.
    next: u32,
    waiting: HashMap<u32, Waiter>,
    closed: bool,
}

#[derive(Debug)]
struct Waiter {
    /// `None` where the caller left: the place is taken until the answer or the deadline.
    told: Option<oneshot::Sender<Told>>,
    until: Instant,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    Full,
    Closed,
}

impl Board {
    pub(super) fn new(most: usize, first: u32) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            state: Mutex::new(State {
                next: first & MAX_ID,
                waiting: HashMap::new(),
                closed: false,
            }),
        })
    }

    /// A place until `until`, and its id.
    pub(super) fn enter(
        self: &Arc<Self>,
        until: Instant,
        now: Instant,
    ) -> Result<(Seat, oneshot::Receiver<Told>), NoPlace> {
        let mut state = self.lock();
        if state.closed {
            return Err(NoPlace::Closed);
        }
        if state.waiting.len() >= self.most {
            state.waiting.retain(|_, waiter| waiter.until > now);
        }
        if state.waiting.len() >= self.most {
            return Err(NoPlace::Full);
        }
        let mut id = state.next;
        // One that still waits is passed over; there are more ids than places.
        while state.waiting.contains_key(&id) {
            id = id.wrapping_add(1) & MAX_ID;
        }
        state.next = id.wrapping_add(1) & MAX_ID;
        let (told, answer) = oneshot::channel();
        let told = Some(told);
        state.waiting.insert(id, Waiter { told, until });
        let board = Arc::clone(self);
        Ok((
            Seat {
                board,
                id,
                sent: false,
            },
            answer,
        ))
    }

    /// Hands an answer to who waits for it; false if nobody does.
    pub(super) fn answer(&self, id: u32, body: Bytes) -> bool {
        let waiter = self.lock().waiting.remove(&id);
        let told = waiter.and_then(|waiter| waiter.told);
        told.is_some_and(|told| told.send(Told::Answer(body)).is_ok())
    }

    /// The system says that nobody took a datagram, and not which; it was not that of `except`.
    pub(super) fn refused(&self, except: Option<u32>, now: Instant) {
        let mut state = self.lock();
        state.waiting.retain(|_, waiter| waiter.until > now);
        let meant = |id: &u32| Some(*id) != except;
        let certain = state.waiting.keys().filter(|id| meant(id)).count() == 1;
        for (_, waiter) in state.waiting.extract_if(|id, _| meant(id)) {
            if let Some(told) = waiter.told {
                // Whoever left needs not be told.
                let _ = told.send(Told::Refused { certain });
            }
        }
    }

    /// No answer comes any more: who waits learns it by the end of the channel.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place on the board.
#[derive(Debug)]
pub(super) struct Seat {
    board: Arc<Board>,
    id: u32,
    sent: bool,
}

impl Seat {
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// The request leaves: from now on an answer may come, also to who is gone.
    pub(super) fn sent(&mut self) {
        self.sent = true;
    }

    /// It did not leave after all.
    pub(super) fn kept(&mut self) {
        self.sent = false;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.board.lock();
        if !self.sent {
            state.waiting.remove(&self.id);
        } else if let Some(waiter) = state.waiting.get_mut(&self.id) {
            waiter.told = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_answer_reaches_its_waiter_once_and_a_stranger_nobody() {
        let (board, now) = (Board::new(8, 7), Instant::now());
        let (mut a, mut for_a) = board.enter(now + SECOND, now).unwrap();
        let (mut b, mut for_b) = board.enter(now + SECOND, now).unwrap();
        a.sent();
        b.sent();
        assert_eq!((a.id(), b.id()), (7, 8));
        assert!(board.answer(8, Bytes::from_static(b"b")));
        assert!(!board.answer(8, Bytes::from_static(b"again")));
        assert!(!board.answer(9, Bytes::from_static(b"x")));
        assert!(board.answer(7, Bytes::from_static(b"a")));
        assert_eq!(for_a.try_recv(), Ok(Told::Answer(Bytes::from_static(b"a"))));
        assert_eq!(for_b.try_recv(), Ok(Told::Answer(Bytes::from_static(b"b"))));
    }

    #[test]
    fn a_place_of_who_left_is_taken_until_the_answer_or_the_deadline() {
        let (board, now) = (Board::new(2, 0), Instant::now());
        let mut seats = [
            board.enter(now + SECOND, now),
            board.enter(now + 2 * SECOND, now),
        ]
        .map(Result::unwrap);
        seats.iter_mut().for_each(|(seat, _)| seat.sent());
        drop(seats);
        let full = |at| board.enter(at + SECOND, at).map(drop).err();
        assert_eq!(full(now), Some(NoPlace::Full));
        // An answer that nobody waits for frees its place.
        assert!(!board.answer(1, Bytes::new()));
        assert_eq!(full(now), None);
        let (mut held, _) = board.enter(now + 9 * SECOND, now).unwrap();
        held.sent();
        assert_eq!(full(now), Some(NoPlace::Full));
        assert_eq!(full(now + SECOND), None);
    }

    #[test]
    fn a_request_that_was_not_sent_leaves_nothing() {
        let (board, now) = (Board::new(1, 0), Instant::now());
        for _ in 0..3 {
            drop(board.enter(now + SECOND, now).unwrap());
        }
    }

    #[test]
    fn ids_turn_round_within_their_range_and_pass_over_those_that_wait() {
        let (board, now) = (Board::new(8, MAX_ID), Instant::now());
        let kept = [(); 2].map(|()| board.enter(now + SECOND, now).unwrap());
        assert_eq!(kept.each_ref().map(|(seat, _)| seat.id()), [MAX_ID, 0]);
        board.lock().next = MAX_ID;
        assert_eq!(board.enter(now + SECOND, now).unwrap().0.id(), 1);
        assert_eq!(board.enter(now + SECOND, now).unwrap().0.id(), 2);
    }

    #[test]
    fn a_refusal_is_certain_only_where_one_datagram_can_be_meant() {
        let (board, now) = (Board::new(8, 0), Instant::now());
        let enter = |until: Instant| {
            let (mut seat, told) = board.enter(until, now).unwrap();
            seat.sent();
            (seat, told)
        };
        let (_one, mut told) = enter(now + SECOND);
        board.refused(None, now);
        assert_eq!(told.try_recv(), Ok(Told::Refused { certain: true }));
        let (left, _) = enter(now + SECOND);
        drop(left);
        let (_two, mut told) = enter(now + SECOND);
        board.refused(None, now);
        assert_eq!(told.try_recv(), Ok(Told::Refused { certain: false }));
        // What is over its deadline is not meant.
        let (_old, mut old) = enter(now + SECOND);
        let (_new, mut new) = enter(now + 3 * SECOND);
        board.refused(None, now + SECOND);
        assert!(old.try_recv().is_err());
        assert_eq!(new.try_recv(), Ok(Told::Refused { certain: true }));
        // One that was not sent yet is not meant either.
        let (_sent, mut sent) = enter(now + SECOND);
        let (next, mut kept) = enter(now + SECOND);
        board.refused(Some(next.id()), now);
        assert_eq!(sent.try_recv(), Ok(Told::Refused { certain: true }));
        assert!(kept.try_recv().is_err() && board.answer(next.id(), Bytes::new()));
    }

    #[test]
    fn a_closed_board_takes_nobody_and_tells_who_waits() {
        let (board, now) = (Board::new(8, 0), Instant::now());
        let (_seat, mut told) = board.enter(now + SECOND, now).unwrap();
        board.close();
        assert_eq!(told.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        let closed = board.enter(now + SECOND, now).map(drop).err();
        assert_eq!(closed, Some(NoPlace::Closed));
    }
}
