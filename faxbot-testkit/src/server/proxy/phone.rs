//! Phones that a proxy rings, and sends messages to, by itself.

use std::time::Duration;

/// What a phone does when the proxy itself calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum PickUp {
    Answers,
    Rejects(u16),
    RingsOn,
    Silent,
}

/// What it does when it is asked to call somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum OnRefer {
    Calls,
    /// Past the proxy: a good call that the proxy never sees.
    CallsElsewhere,
    Refuses(u16),
    /// Takes it, and forgets it with the BYE that follows.
    Drops,
}

/// What a phone answers to a MESSAGE or an OPTIONS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replies {
    /// This status.
    With(u16),
    /// Nothing.
    Never,
}

/// A phone of a person that the proxy calls first in a click-to-dial. It answers, calls who it is
/// told to with the headers that it is told to, and takes messages.
#[derive(Debug, Clone)]
pub struct Phone {
    pub(in crate::server) pick_up: PickUp,
    pub(in crate::server) on_refer: OnRefer,
    pub(in crate::server) ring: Option<Duration>,
    pub(in crate::server) copies_headers: bool,
    pub(in crate::server) notifies: bool,
    pub(in crate::server) notifies_ringing: bool,
    pub(in crate::server) hangs_up: Option<Duration>,
    pub(in crate::server) messages: Replies,
    pub(in crate::server) reply_after: Duration,
}

impl Phone {
    const fn new(pick_up: PickUp) -> Self {
        Self {
            pick_up,
            on_refer: OnRefer::Calls,
            ring: None,
            copies_headers: true,
            notifies: true,
            notifies_ringing: false,
            hangs_up: None,
            messages: Replies::With(200),
            reply_after: Duration::ZERO,
        }
    }

    /// It answers, and calls who it is told to.
    pub const fn answers() -> Self {
        Self::new(PickUp::Answers)
    }

    /// Busy.
    pub const fn busy() -> Self {
        Self::rejects(486)
    }

    /// It rejects the call with this status.
    pub const fn rejects(status: u16) -> Self {
        Self::new(PickUp::Rejects(status))
    }

    /// It rings until the proxy gives up.
    pub const fn no_answer() -> Self {
        Self::new(PickUp::RingsOn)
    }

    /// Nothing answers, neither calls nor messages.
    pub const fn silent() -> Self {
        let mut phone = Self::new(PickUp::Silent);
        phone.messages = Replies::Never;
        phone
    }

    /// It answers, and refuses to call anybody else with this status.
    #[must_use]
    pub const fn refuses_transfer(mut self, status: u16) -> Self {
        self.on_refer = OnRefer::Refuses(status);
        self
    }

    /// It accepts to call somebody else, and forgets about it with the BYE that follows.
    #[must_use]
    pub const fn drops_transfer(mut self) -> Self {
        self.on_refer = OnRefer::Drops;
        self
    }

    /// It calls past this proxy, which never sees that call.
    #[must_use]
    pub const fn calls_elsewhere(mut self) -> Self {
        self.on_refer = OnRefer::CallsElsewhere;
        self
    }

    /// It rings for so long before it answers or rejects.
    #[must_use]
    pub const fn rings(mut self, time: Duration) -> Self {
        self.ring = Some(time);
        self
    }

    /// It leaves out the headers that the address of the transfer has.
    #[must_use]
    pub const fn without_headers(mut self) -> Self {
        self.copies_headers = false;
        self
    }

    /// It tells nobody how the transfer goes.
    #[must_use]
    pub const fn without_notify(mut self) -> Self {
        self.notifies = false;
        self
    }

    /// It tells of the ringing too, as PJSUA does.
    #[must_use]
    pub const fn tells_of_ringing(mut self) -> Self {
        self.notifies_ringing = true;
        self
    }

    /// It hangs up so long after the call to the other was answered.
    #[must_use]
    pub const fn hangs_up_after(mut self, time: Duration) -> Self {
        self.hangs_up = Some(time);
        self
    }

    /// How it answers a MESSAGE or an OPTIONS, and after what time.
    #[must_use]
    pub const fn replies(mut self, replies: Replies, after: Duration) -> Self {
        self.messages = replies;
        self.reply_after = after;
        self
    }
}
