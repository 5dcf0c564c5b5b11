//! Sound for our end of a call: `chan.attach`, a typed call of Yate's own.

use std::{collections::HashMap, fmt};

use faxbot_core::{
    Error, ErrorKind, Result,
    id::{CallId, CallRef, RequestId},
};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::{
    YateAdapter,
    core::Core,
    server::{Server, message, refused},
};

const OPERATION: &str = "attach";

/// Ends that are waited for at one time.
const MAX_ATTACHED: usize = 1_000;

/// What is attached to our end of a call.
///
/// ```
/// use faxbot_sip::adapter::yate::Attach;
///
/// let announcement = Attach::play("/srv/sounds/closed.au");
/// let voicemail = Attach::record("/srv/voicemail/1.au").with_max_bytes(480_000);
/// # let _ = (announcement, voicemail);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Attach {
    role: &'static str,
    what: String,
    max_bytes: Option<u64>,
}

impl Attach {
    /// The far end hears a file, given as Yate sees it. Formats go by the name: `.au`, `.slin`, `.gsm`.
    pub fn play(file: impl fmt::Display) -> Self {
        Self::source(format!("wave/play/{file}"))
    }

    /// The far end hears a source: `tone/ring`, `moh/default`.
    pub fn source(source: impl Into<String>) -> Self {
        Self {
            role: "source",
            what: source.into(),
            max_bytes: None,
        }
    }

    /// What the far end says goes into a file, given as Yate sees it. An `.au` file has a header,
    /// `.slin` and `.wav` are bare samples (observed on Yate 6.4.1).
    pub fn record(file: impl fmt::Display) -> Self {
        Self {
            role: "consumer",
            what: format!("wave/record/{file}"),
            max_bytes: None,
        }
    }

    /// Ends a recording at so many bytes: [`AttachEnd::Full`].
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }
}

impl fmt::Debug for Attach {
    /// A file may be named after a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attach")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// How what was attached ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachEnd {
    /// The file was played to its end.
    Eof,
    /// The recording has the size that was asked for.
    Full,
    /// The call ended before, or what was attached was replaced with it.
    CallEnded,
    /// Another word of Yate's: none for a file that is not there, which is over at once, and for a source
    /// that another one replaced (observed on Yate 6.4.1).
    Other(String),
}

/// What was attached, until it ends by itself. To drop it ends nothing.
#[derive(Debug)]
pub struct Attached {
    ends: oneshot::Receiver<AttachEnd>,
}

impl Attached {
    /// Waits for the end. A source without one (`tone/ring`) ends with the call only.
    ///
    /// # Errors
    /// `OutcomeUnknown` when the link was lost meanwhile: the word may have been missed.
    ///
    /// # Cancel safety
    /// Nothing ends with the future.
    pub async fn ended(self) -> Result<AttachEnd> {
        self.ends.await.map_err(|_| {
            let message = "the link was lost before yate told of the end";
            Error::new(ErrorKind::OutcomeUnknown, OPERATION, message)
        })
    }
}

/// Ends that are waited for, by the name that Yate tells them by.
#[derive(Debug, Default)]
pub(super) struct Notices(HashMap<String, (CallId, oneshot::Sender<AttachEnd>)>);

impl Notices {
    fn expect(&mut self, name: &str, id: CallId) -> Option<Attached> {
        self.0.retain(|_, (_, ends)| !ends.is_closed());
        if self.0.len() >= MAX_ATTACHED {
            return None;
        }
        let (tell, ends) = oneshot::channel();
        self.0.insert(name.to_owned(), (id, tell));
        Some(Attached { ends })
    }

    /// `chan.notify` for one of ours.
    pub(super) fn told(&mut self, name: &str, reason: &str) {
        if let Some((_, tell)) = self.0.remove(name) {
            // Nobody may wait.
            let _ = tell.send(match reason {
                "eof" => AttachEnd::Eof,
                "maxlen" => AttachEnd::Full,
                other => AttachEnd::Other(other.to_owned()),
            });
        }
    }

    /// A call is over.
    pub(super) fn over(&mut self, id: CallId) {
        let of_call: Vec<_> = self
            .0
            .iter()
            .filter(|(_, (call, _))| *call == id)
            .map(|(name, _)| name.clone())
            .collect();
        for name in of_call {
            if let Some((_, tell)) = self.0.remove(&name) {
                let _ = tell.send(AttachEnd::CallEnded);
            }
        }
    }

    /// Events are missed.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl YateAdapter {
    /// Attaches a source or a recorder to our end of an answered call: the `dumb` channel that the far
    /// end of a parked call talks with. It takes the place of what was attached in that role before.
    ///
    /// Yate does not say whether a file is there, or can be written: its answer is `false` also where it
    /// plays (`chan.attach` by `chan.masquerade`; recording `call_control_hold_attach_record_conf`). So
    /// success means that the order arrived; [`Attached::ended`] tells the rest. There is no silence to
    /// attach: a tone goes on until another source comes, or the call goes elsewhere.
    ///
    /// # Errors
    /// `NotFound`; `InvalidState` for a call that is not answered, or whose far end talks with somebody
    /// else than us; `Overloaded` when a thousand ends are waited for.
    ///
    /// # Cancel safety
    /// An order that was written is not undone.
    pub async fn attach(&self, call: &CallRef, what: Attach) -> Result<Attached> {
        let server = self.server(OPERATION)?;
        attach(&self.core, &server, call, &what)
            .instrument(self.span(call.id))
            .await
    }
}

async fn attach(core: &Core, server: &Server, call: &CallRef, what: &Attach) -> Result<Attached> {
    let name = format!("{}-{}", core.config.instance, RequestId::new().as_uuid());
    let (id, seat, attached) = {
        let mut state = core.hub.state();
        let books = &mut state.books;
        let Some(id) = books.find(call) else {
            let message = "no such call in the books";
            return Err(Error::new(ErrorKind::NotFound, OPERATION, message));
        };
        let seat = books.seat(id).filter(|_| books.calls.is_answered(id));
        let Some(seat) = seat else {
            let message = "the call is not answered, or its far end does not talk with us";
            return Err(Error::new(ErrorKind::InvalidState, OPERATION, message).with_call_id(id));
        };
        let Some(attached) = books.notices.expect(&name, id) else {
            let message = "too many ends of sounds are waited for";
            return Err(Error::new(ErrorKind::Overloaded, OPERATION, message).with_call_id(id));
        };
        (id, seat, attached)
    };
    let ordered = order(server, &seat, what, &name).await;
    ordered.map_err(|error| error.with_call_id(id))?;
    Ok(attached)
}

async fn order(server: &Server, seat: &str, what: &Attach, name: &str) -> Result<()> {
    let params = [
        ("id", seat),
        ("message", "chan.attach"),
        (what.role, what.what.as_str()),
        ("notify", name),
    ];
    let mut command = message("chan.masquerade", &params, OPERATION)?;
    if let Some(bytes) = what.max_bytes {
        command = command
            .param("maxlen", bytes.to_string())
            .map_err(|error| refused(OPERATION, error))?;
    }
    let frame = server.ask(command, OPERATION).await?;
    // It keeps its name when there is no such channel.
    let unknown = frame
        .message()
        .is_none_or(|answer| !answer.is("chan.attach"));
    if unknown {
        let message = "the far end of the call talks with us no longer";
        return Err(Error::new(ErrorKind::NotFound, OPERATION, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_is_told_once_and_by_its_name() {
        let (mut notices, id) = (Notices::default(), CallId::new());
        let played = notices.expect("a", id).unwrap();
        let full = notices.expect("b", id).unwrap();
        let cut = notices.expect("c", id).unwrap();
        let lost = notices.expect("d", CallId::new()).unwrap();
        notices.told("a", "eof");
        notices.told("a", "maxlen");
        notices.told("b", "maxlen");
        notices.told("nobody", "eof");
        notices.over(id);
        notices.forget();
        assert_eq!(played.ended().await.unwrap(), AttachEnd::Eof);
        assert_eq!(full.ended().await.unwrap(), AttachEnd::Full);
        assert_eq!(cut.ended().await.unwrap(), AttachEnd::CallEnded);
        assert_eq!(
            lost.ended().await.unwrap_err().kind(),
            ErrorKind::OutcomeUnknown
        );
    }

    #[test]
    fn what_nobody_waits_for_takes_no_room() {
        let (mut notices, id) = (Notices::default(), CallId::new());
        for number in 0..MAX_ATTACHED + 10 {
            drop(notices.expect(&number.to_string(), id).unwrap());
        }
        let mut kept: Vec<_> = (0..MAX_ATTACHED)
            .map(|number| notices.expect(&format!("k{number}"), id).unwrap())
            .collect();
        assert!(notices.expect("more", id).is_none());
        kept.pop();
        assert!(notices.expect("more", id).is_some());
    }
}
