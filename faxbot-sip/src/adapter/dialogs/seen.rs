//! What a proxy shows of a dialog, in its list and in its events.

use std::fmt;

use faxbot_core::{
    Timestamp,
    id::CallId,
    sip::{Causes, Disposition},
};

/// Where a dialog is: 1 to 5 in the lists of Kamailio and of OpenSIPS
/// (`src/modules/dialog/dlg_hash.h`, `modules/dialog/dlg_hash.h`: `DLG_STATE_UNCONFIRMED` ..
/// `DLG_STATE_DELETED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The INVITE passed.
    Begun,
    /// A provisional answer passed.
    Early,
    /// Answered, without ACK yet.
    Answered,
    Up,
    /// Ended; still listed for some seconds.
    Over,
}

/// One dialog as the server shows it. `Debug` shows the stage alone: all else may hold numbers.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) call_id: String,
    pub(crate) from_tag: String,
    pub(crate) to_tag: Option<String>,
    pub(crate) stage: Stage,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// How the server wants it named for a hang-up, opaque and unlike that of each other dialog of this
    /// run of the server. Empty where that is not known.
    pub(crate) handle: String,
    /// The id of a call that is written in it.
    pub(crate) mark: Option<CallId>,
    pub(crate) begun: Option<Timestamp>,
    pub(crate) answered: Option<Timestamp>,
    /// When it ended. This and the two before are by the server's clock.
    pub(crate) ended: Option<Timestamp>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("stage", &self.stage)
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}

/// What names one dialog of a server. Several may have one Call-ID.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct DialogKey {
    pub(crate) call_id: String,
    pub(crate) from_tag: String,
}

impl fmt::Debug for DialogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DialogKey(..)")
    }
}

/// What an event told of a dialog.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Begun(Box<Seen>),
    Rings,
    Answered,
    /// We hold it.
    Held,
    /// We hold it no longer.
    Resumed,
    /// It is on its way to somebody else.
    Transferring,
    /// It stays where it is: the transfer failed.
    NotTransferred,
    /// Why it ends, should this be its end, and should nobody have answered. The end itself is told
    /// otherwise.
    Cause(Report),
    /// It is over, for this reason.
    Over(Report),
    OverWithoutCause,
}

/// Why a dialog ended. The default: nobody said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) causes: Causes,
    /// The word for the end of one that was not answered, where the causes do not have it.
    pub(crate) disposition: Option<Disposition>,
    /// When, where that is not now.
    pub(crate) at: Option<Timestamp>,
    /// It was answered before, however little was told of that.
    pub(crate) answered: bool,
}

impl Report {
    /// What is known of the causes.
    pub(crate) fn new(causes: Causes) -> Self {
        Self {
            causes,
            ..Self::default()
        }
    }

    /// Whether this has the words for the status that the other has alone.
    pub(super) fn says_more_than(&self, other: &Self) -> bool {
        self.causes.sip_status == other.causes.sip_status
            && self.causes.native.is_some()
            && other.causes.native.is_none()
    }

    /// The request was challenged: the caller may send it again with credentials, in a new dialog of the
    /// same name (RFC 3261 section 8.1.3.5).
    pub(super) fn is_challenge(&self) -> bool {
        matches!(self.causes.sip_status, Some(401 | 407))
    }
}
