//! The channel of a call, as the reply to `connect` tells it.

use std::{borrow::Cow, fmt};

use crate::protocol::esl::{Frame, Ready};

/// Whether applications are queued or waited for: the word `async` in the dialplan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketMode {
    /// `async`: an application is queued, its end is an event.
    Async,
    /// Without it: FreeSWITCH answers when the application has ended, and nothing before that.
    Sync,
}

/// What the connection may ask: the word `full` in the dialplan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Control {
    /// `full`: all of the event socket.
    Full,
    /// Without it: what concerns this call.
    SingleChannel,
}

/// The channel of a call at the moment when it came. Cheap to clone.
#[derive(Clone)]
pub struct Channel {
    frame: Frame,
    uuid: String,
    mode: SocketMode,
    control: Control,
}

impl Channel {
    /// `None` when the reply has no channel, or one without an id.
    pub(super) fn of(ready: &Ready) -> Option<Self> {
        let frame = ready.channel.clone()?;
        let uuid = frame.get_decoded("Unique-ID")?.into_owned();
        let is = |name: &str, word: &str| frame.get_decoded(name).as_deref() == Some(word);
        // Whatever is not said to be allowed is not.
        let mode = if is("Socket-Mode", "async") {
            SocketMode::Async
        } else {
            SocketMode::Sync
        };
        let control = if is("Control", "full") {
            Control::Full
        } else {
            Control::SingleChannel
        };
        let known = !uuid.is_empty();
        known.then_some(Self {
            frame,
            uuid,
            mode,
            control,
        })
    }

    /// The id of the channel (`Unique-ID`), by which a session of our own knows it too.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Whether applications are queued or waited for.
    #[must_use]
    pub fn mode(&self) -> SocketMode {
        self.mode
    }

    /// What the connection may ask.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control
    }

    /// A header by its name, decoded. The case counts.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.frame.get_decoded(name)
    }

    /// A variable of the channel, decoded. What came later is not in it:
    /// [`OutboundCall::getvar`](super::OutboundCall::getvar) asks.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        self.header(&format!("variable_{name}"))
    }

    /// The name of the channel, such as `sofia/internal/100@host`.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'_, str>> {
        self.header("Channel-Name")
    }

    /// The number of who calls.
    #[must_use]
    pub fn caller_number(&self) -> Option<Cow<'_, str>> {
        self.header("Caller-Caller-ID-Number")
    }

    /// The name of who calls, as the far end says it.
    #[must_use]
    pub fn caller_name(&self) -> Option<Cow<'_, str>> {
        self.header("Caller-Caller-ID-Name")
    }

    /// What was dialled.
    #[must_use]
    pub fn destination(&self) -> Option<Cow<'_, str>> {
        self.header("Caller-Destination-Number")
    }

    /// The context of the dialplan.
    #[must_use]
    pub fn context(&self) -> Option<Cow<'_, str>> {
        self.header("Caller-Context")
    }

    /// Whether the call came in, seen from FreeSWITCH. A call of ours that was sent through the
    /// dialplan did not.
    #[must_use]
    pub fn is_inbound(&self) -> bool {
        self.header("Call-Direction").as_deref() == Some("inbound")
    }

    /// Whether it was answered when it came to us.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.header("Answer-State").as_deref() == Some("answered")
    }

    /// The reply to `connect`, whose [`event`](Frame::event) has all headers.
    #[must_use]
    pub fn frame(&self) -> &Frame {
        &self.frame
    }
}

impl fmt::Debug for Channel {
    /// The modes only: headers hold numbers and names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("mode", &self.mode)
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}
