//! Orders that move the channels of a call: hold, transfer, conference. One at a time on each call,
//! which begins with the question who our channel is connected to.
//!
//! Yate hangs up whoever loses its partner. So nobody is taken away from a partner that is to stay: a
//! pair goes through a conference of its own, and a new party is called by a second call and connected
//! when it answers (observed on Yate 6.4.1).

pub(super) mod answer;
pub(super) mod conference;
pub(super) mod desk;
pub(super) mod dtmf;
pub(super) mod hold;
pub(super) mod orders;
pub(super) mod party;
pub(super) mod record;
pub(super) mod rooms;
pub(super) mod transfer;

use faxbot_core::{Error, ErrorKind, Result, id::CallId};

use super::{core::Core, server::Server};

/// Who our channel is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Partner {
    /// An end of our own, or music: nobody who would be missed.
    Nobody(String),
    /// A member of a conference, by the server's name of it.
    Room(String),
    /// Another party.
    Party(String),
}

impl Partner {
    fn of(channel: &str) -> Self {
        let channel = channel.to_owned();
        if channel.starts_with("conf/") {
            Self::Room(channel)
        } else if is_party(&channel) {
            Self::Party(channel)
        } else {
            Self::Nobody(channel)
        }
    }
}

/// Whether a channel is one of a driver that calls parties, not one that makes sound.
pub(super) fn is_party(channel: &str) -> bool {
    const SOUND: [&str; 6] = ["dumb", "moh", "conf", "tone", "wave", "fax"];
    channel
        .split_once('/')
        .is_some_and(|(module, _)| !SOUND.contains(&module))
}

/// Whether a channel is none of a call, but of a conference or a file.
pub(super) fn is_of_room(channel: &str) -> bool {
    channel.starts_with("conf/") || channel.starts_with("wave/")
}

/// Our channel of an answered call, and who it is connected to.
pub(super) async fn place(
    core: &Core,
    server: &Server,
    id: CallId,
    operation: &'static str,
) -> Result<(String, Partner)> {
    let Some(own) = core.hub.state().books.own_channel(id) else {
        let text = "the call's channel is gone";
        return Err(Error::new(ErrorKind::NotFound, operation, text));
    };
    let partner = orders::partner(server, &own, operation).await?;
    Ok((own, Partner::of(&partner)))
}

fn refused(operation: &'static str, text: &str, id: CallId) -> Error {
    Error::new(ErrorKind::InvalidState, operation, text).with_call_id(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_sound_is_no_party() {
        for (channel, party) in [
            ("sip/12", true),
            ("iax/1", true),
            ("dumb/1", false),
            ("moh/2", false),
            ("conf/3", false),
            ("", false),
        ] {
            assert_eq!(is_party(channel), party, "{channel}");
        }
    }
}
