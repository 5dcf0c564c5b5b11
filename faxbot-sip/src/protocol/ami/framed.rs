//! The codec for `tokio_util::codec::Framed`.

use std::io;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use super::{
    action::Action,
    codec::{AmiCodec, DecodeError},
    message::Message,
};
use crate::protocol::session::Codec;

/// What ends a `Framed` connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FramedError {
    /// The transport failed.
    #[error("transport failed")]
    Io(#[from] io::Error),
    /// The bytes are no message.
    #[error("no message of the manager interface")]
    Decode(#[from] DecodeError),
}

impl Decoder for AmiCodec {
    type Item = Message;
    type Error = FramedError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Message>, FramedError> {
        Ok(Codec::decode(self, input)?)
    }
}

impl Encoder<Message> for AmiCodec {
    type Error = FramedError;

    fn encode(&mut self, message: Message, output: &mut BytesMut) -> Result<(), FramedError> {
        Self::encode_message(&message, output);
        Ok(())
    }
}

impl Encoder<Action> for AmiCodec {
    type Error = FramedError;

    fn encode(&mut self, action: Action, output: &mut BytesMut) -> Result<(), FramedError> {
        Self::encode_action(&action, output);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ami::{MAX_MESSAGE, Role, server};

    #[test]
    fn what_one_end_encodes_the_other_decodes() {
        let mut client = AmiCodec::new(Role::Client, MAX_MESSAGE);
        let mut peer = AmiCodec::new(Role::Server, MAX_MESSAGE);
        let mut wire = BytesMut::new();
        let action = Action::new("Ping")
            .and_then(|action| action.id("1"))
            .unwrap();
        client.encode(action, &mut wire).unwrap();
        let seen = Decoder::decode(&mut peer, &mut wire).unwrap().unwrap();
        assert_eq!(seen.action_id(), Some(&b"1"[..]));

        peer.encode(server::banner("11.0.0"), &mut wire).unwrap();
        let pong = server::MessageBuilder::response("Success").header("Ping", "Pong");
        peer.encode(pong.build().unwrap(), &mut wire).unwrap();
        assert!(
            Decoder::decode(&mut client, &mut wire)
                .unwrap()
                .unwrap()
                .banner()
                .is_some()
        );
        let seen = Decoder::decode(&mut client, &mut wire).unwrap().unwrap();
        assert_eq!(seen.get("Ping"), Some(&b"Pong"[..]));
        assert!(Decoder::decode(&mut client, &mut wire).unwrap().is_none());
    }

    #[test]
    fn a_broken_limit_is_a_decode_error() {
        let mut client = AmiCodec::new(Role::Client, MAX_MESSAGE);
        let error = Decoder::decode(&mut client, &mut BytesMut::from(&[b'x'; 400][..]));
        assert!(matches!(
            error,
            Err(FramedError::Decode(DecodeError::BannerTooLong { .. }))
        ));
    }
}
