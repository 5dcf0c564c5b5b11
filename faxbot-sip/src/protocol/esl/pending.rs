//! Which answer belongs to which request.
//!
//! The server answers in the order of the commands and gives no number with it: a request whose
//! caller left keeps its place, or the next answer would go to the wrong one. Results of jobs are
//! matched by a `Job-UUID` that nobody can guess.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Instant,
};

use super::{
    command::Answer,
    frame::{Frame, Kind},
    session::Reply,
};
use crate::protocol::{
    ids::Ids,
    session::{NoReply, Token},
};

/// The commands that the server owes an answer to, and the jobs that run.
pub(super) struct Queue {
    ids: Ids,
    /// In the order in which they were queued; their numbers rise.
    owed: VecDeque<Entry>,
    jobs: HashMap<u64, Job>,
    deadlines: BTreeSet<(Instant, u64)>,
    max_pending: usize,
}

struct Entry {
    number: u64,
    answer: Answer,
    who: Who,
    /// The result of a job that came before its reply.
    early: Option<Frame>,
}

/// Who waits for an answer.
enum Who {
    Own(Own),
    Caller {
        token: Token,
        deadline: Instant,
    },
    /// Nobody any more.
    Gone,
}

struct Job {
    token: Token,
    deadline: Instant,
    reply: Frame,
}

/// Commands of the session's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Login,
    Connect,
    Subscribe,
    Ping,
    Exit,
}

/// What became of an answer.
pub(super) enum Answered {
    Own(Own, Frame),
    Done(Token, Result<Reply, NoReply>),
    /// Its caller left, or its job runs.
    Kept,
    /// Nobody asked for it: answers and requests are out of step.
    Unasked,
}

impl Queue {
    pub(super) fn new(random: [u8; 16], max_pending: usize) -> Self {
        Self {
            ids: Ids::new(random),
            owed: VecDeque::new(),
            jobs: HashMap::new(),
            deadlines: BTreeSet::new(),
            max_pending: max_pending.max(1),
        }
    }

    /// Requests that wait for their answer.
    pub(super) fn live(&self) -> usize {
        self.deadlines.len()
    }

    /// Places of requests that were given up count too: the server is that far behind.
    pub(super) fn is_full(&self) -> bool {
        self.live() >= self.max_pending || self.owed.len() >= self.max_pending.saturating_mul(2)
    }

    pub(super) fn own(&mut self, own: Own) {
        let answer = if own == Own::Ping {
            Answer::Api
        } else {
            Answer::Reply
        };
        self.push(answer, Who::Own(own));
    }

    /// The `Job-UUID` to send with it.
    pub(super) fn open(&mut self, token: Token, answer: Answer, deadline: Instant) -> String {
        let number = self.push(answer, Who::Caller { token, deadline });
        self.deadlines.insert((deadline, number));
        self.ids.text(number)
    }

    fn push(&mut self, answer: Answer, who: Who) -> u64 {
        let number = self.ids.next();
        self.owed.push_back(Entry {
            number,
            answer,
            who,
            early: None,
        });
        number
    }

    /// A reply or an API response: the answer to the oldest command. `jobs` tells whether results
    /// of jobs will come.
    pub(super) fn answer(&mut self, frame: Frame, jobs: bool) -> Answered {
        let Some(entry) = self.owed.pop_front() else {
            return Answered::Unasked;
        };
        // Only `api` is answered by an API response; it may be refused by a reply.
        if frame.kind() == Kind::ApiResponse && entry.answer != Answer::Api {
            return Answered::Unasked;
        }
        let (token, deadline) = match entry.who {
            Who::Own(own) => return Answered::Own(own, frame),
            Who::Gone => return Answered::Kept,
            Who::Caller { token, deadline } => (token, deadline),
        };
        let reply = Reply {
            frame,
            job: entry.early,
        };
        let waits = entry.answer == Answer::Job && jobs && reply.job.is_none();
        if waits && reply.text().starts_with("+OK") {
            let job = Job {
                token,
                deadline,
                reply: reply.frame,
            };
            self.jobs.insert(entry.number, job);
            return Answered::Kept;
        }
        self.deadlines.remove(&(deadline, entry.number));
        Answered::Done(token, Ok(reply))
    }

    /// An event: the result of a job of ours, or given back. The result of a job whose caller left
    /// is an event like any other.
    pub(super) fn event(&mut self, frame: Frame) -> Result<Answered, Frame> {
        let Some(number) = self.job_of(&frame) else {
            return Err(frame);
        };
        if let Some(job) = self.jobs.remove(&number) {
            self.deadlines.remove(&(job.deadline, number));
            let reply = Reply {
                frame: job.reply,
                job: Some(frame),
            };
            return Ok(Answered::Done(job.token, Ok(reply)));
        }
        match self.find(number).and_then(|at| self.owed.get_mut(at)) {
            Some(entry) if matches!(entry.who, Who::Caller { .. }) && entry.early.is_none() => {
                entry.early = Some(frame);
                Ok(Answered::Kept)
            }
            _ => Err(frame),
        }
    }

    fn job_of(&self, frame: &Frame) -> Option<u64> {
        // Most events are of no job: they are not parsed for it.
        memchr::memmem::find(frame.body(), self.ids.prefix().as_bytes())?;
        let event = frame.event().ok()??;
        if event.name()? != "BACKGROUND_JOB" {
            return None;
        }
        let job = event.text("Job-UUID")?;
        self.ids.number(job.as_bytes())
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.owed
            .binary_search_by_key(&number, |entry| entry.number)
            .ok()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Until when the oldest command may rightly keep the connection silent.
    pub(super) fn silent_until(&self) -> Option<Instant> {
        match self.owed.front()?.who {
            Who::Caller { deadline, .. } => Some(deadline),
            Who::Own(_) | Who::Gone => None,
        }
    }

    /// Gives up the next request whose deadline has passed. `was_sent` tells whether its bytes
    /// left the session: if not, no answer can come and no place is kept.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        was_sent: impl FnOnce(Token) -> bool,
    ) -> Option<Token> {
        let first = *self.deadlines.first().filter(|(at, _)| *at <= now)?;
        self.deadlines.remove(&first);
        if let Some(job) = self.jobs.remove(&first.1) {
            return Some(job.token);
        }
        let at = self.find(first.1)?;
        let entry = self.owed.get_mut(at)?;
        let Who::Caller { token, .. } = std::mem::replace(&mut entry.who, Who::Gone) else {
            return None;
        };
        entry.early = None;
        if !was_sent(token) {
            self.owed.remove(at);
        }
        Some(token)
    }
}
